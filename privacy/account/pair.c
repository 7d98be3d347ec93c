#include "pair.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "strip.h"

enum { NODES_MAX = 30000 };

/* ln sum_j w_j e^{y_j}, all y_j huge or the sum below 1/2: the plain log-sum-exp. */
static double log_sum(const struct sg_mixture *m, const double *y, double y_max)
{
    double sum = 0;
    for (int j = 0; j < m->n; j++)
        sum += m->weight[j] * exp(y[j] - y_max);
    return y_max + log(sum);
}

double sg_mixture_log_ratio(const struct sg_mixture *m, double sigma, double x, double *error)
{
    double y[SG_PAIR_COMPONENTS_MAX], y_max = -DBL_MAX;
    double scale = 1 / (2 * sigma * sigma);
    if (m->n == 1) {
        double only = m->shift[0] * (2 * x - m->shift[0]) * scale;
        *error = 6 * fabs(only);
        return only;
    }
    for (int j = 0; j < m->n; j++) {
        y[j] = m->shift[j] * (2 * x - m->shift[j]) * scale;
        if (m->weight[j] > 0 && y[j] > y_max)
            y_max = y[j];
    }
    /* 1 + sum w (e^y - 1): exact near 1 whatever the rate; the constant component has y = 0 and drops out. */
    double value, excess = 0, mass = 0, spread = 0;
    if (y_max < 300) {
        for (int j = 0; j < m->n; j++) {
            double term = m->weight[j] * expm1(y[j]);
            excess += term;
            mass += fabs(term);
            spread += (m->weight[j] + term) * fabs(y[j]);
        }
    }
    if (y_max < 300 && excess > -0.5) {
        value = log1p(excess);
        *error = (4 + m->n) * (fabs(value) + 2 * (spread + mass) / (1 + excess));
        return value;
    }
    value = log_sum(m, y, y_max), spread = 0;
    for (int j = 0; j < m->n; j++)
        if (m->weight[j] > 0)
            spread += m->weight[j] * exp(y[j] - value) * (fabs(y[j]) + 2 + (y_max - y[j]));
    *error = (4 + m->n) * (fabs(value) + 2 * spread);
    return value;
}

double sg_pair_loss(const struct sg_pair *pair, double x)
{
    double ignored;
    return sg_mixture_log_ratio(&pair->p, pair->sigma, x, &ignored) -
           sg_mixture_log_ratio(&pair->q, pair->sigma, x, &ignored);
}

void sg_event_swap(struct sg_event *event)
{
    for (int b = 0; b < event->n_branches; b++) {
        struct sg_mixture p = event->branch[b].p;
        event->branch[b].p = event->branch[b].q;
        event->branch[b].q = p;
    }
}

void sg_nodes_close(struct sg_nodes *nodes)
{
    free(nodes->weight); /* one block */
    memset(nodes, 0, sizeof *nodes);
}

static bool reserve(struct sg_nodes *nodes, size_t n)
{
    if (n <= nodes->capacity)
        return true;
    if (n > NODES_MAX)
        return false;
    size_t capacity = nodes->capacity ? nodes->capacity : 512;
    while (capacity < n)
        capacity *= 2;
    double *block = malloc(7 * capacity * sizeof *block);
    if (!block)
        return false;
    double *old[7] = {nodes->weight,  nodes->loss,     nodes->eta,      nodes->loss_error,
                      nodes->log_phi, nodes->exponent, nodes->phi_error};
    for (int k = 0; k < 7; k++)
        if (old[k])
            memcpy(block + k * capacity, old[k], nodes->n * sizeof *block);
    free(nodes->weight);
    nodes->weight = block, nodes->loss = block + capacity, nodes->eta = block + 2 * capacity;
    nodes->loss_error = block + 3 * capacity, nodes->log_phi = block + 4 * capacity;
    nodes->exponent = block + 5 * capacity, nodes->phi_error = block + 6 * capacity;
    nodes->capacity = capacity;
    return true;
}

struct range {
    double low, high;
};

static struct range shifts(const struct sg_mixture *m)
{
    struct range r = {m->shift[0], m->shift[0]};
    for (int j = 1; j < m->n; j++) {
        r.low = fmin(r.low, m->shift[j]);
        r.high = fmax(r.high, m->shift[j]);
    }
    return r;
}

struct tilt {
    const struct sg_pair *pair;
    double c, scale, log_constant; /* 1/(2 sigma^2), ln(probability h / (sigma sqrt(2 pi))) */
};

static double tilt_exponent(const struct tilt *t, double x, double *log_p, double *log_q, double *error)
{
    double error_p, error_q;
    *log_p = sg_mixture_log_ratio(&t->pair->p, t->pair->sigma, x, &error_p);
    *log_q = sg_mixture_log_ratio(&t->pair->q, t->pair->sigma, x, &error_q);
    *error = error_p + error_q;
    return *log_p + t->c * (*log_p - *log_q);
}

/* ln Phi(-z sqrt 2). Beyond erfc's range an upper bound, relative to which the truth is within 1e-3: such nodes are
 * long negligible. */
static double log_half_erfc(double z, double *error)
{
    if (z < -6)
        return 0; /* 1 - Phi is below 1e-16 of it */
    *error += 8 * (1 + z * z);
    return z < 26 ? log(0.5 * erfc(z)) : -z * z - log(2 * sqrt(M_PI) * z);
}

double sg_pair_log_thinning(const struct sg_pair *pair, double x, double *error)
{
    double sum = 0;
    *error = 0;
    if (pair->cut_width > 0)
        sum += log_half_erfc((x - pair->cut) / (pair->cut_width * M_SQRT2), error);
    if (pair->floor_width > 0)
        sum += log_half_erfc((pair->floor - x) / (pair->floor_width * M_SQRT2), error);
    return sum;
}

/* E[shift | x] at x = 0 under the mixture. */
static double shift_at_zero(const struct sg_mixture *m, double sigma)
{
    double mean = 0, total = 0;
    for (int j = 0; j < m->n; j++) {
        double w = m->weight[j] * exp(-m->shift[j] * m->shift[j] / (2 * sigma * sigma));
        mean += w * m->shift[j], total += w;
    }
    return mean / total;
}

/* The slope of the log density is (drift(x) - x) / sigma^2, drift = (1+c) E_P[shift | x] - c E_Q[shift | x], and
 * E[shift | x] rises in x. So left of 0 the drift is at least its value with Q's mean taken at 0; right of a cut and
 * left of a floor the thinning adds its own pull, and right of a floor it pulls outwards by less than 0.8 / width. */
void sg_pair_range(const struct sg_pair *pair, double c, double *low, double *high)
{
    struct range p = shifts(&pair->p), q = shifts(&pair->q);
    *low = fmin(0, (1 + c) * p.low - c * fmax(shift_at_zero(&pair->q, pair->sigma), 0) * (1 + 1e-12));
    *high = fmax(0, (1 + c) * p.high - c * q.low);
    if (pair->cut_width > 0 && pair->cut > 0) {
        double s2 = pair->cut_width * pair->cut_width, sigma2 = pair->sigma * pair->sigma;
        *high = fmin(*high, (*high * s2 + pair->cut * sigma2) / (s2 + sigma2));
    }
    if (pair->floor_width > 0) {
        double s2 = pair->floor_width * pair->floor_width, sigma2 = pair->sigma * pair->sigma;
        *high = fmax(*high, pair->floor) + 0.8 * sigma2 / pair->floor_width;
        if (pair->floor > *low)
            *low = (*low * s2 + pair->floor * sigma2) / (s2 + sigma2);
    }
}

/* Where the thinning is deeper than its logarithm is known, a node must be negligible: so high an order would lift it
 * again, and is out of reach. What such nodes amount to is added to *dropped, relative to e^peak. */
static bool add_node(const struct tilt *t, double x, double floor_value, double peak, double *dropped,
                     struct sg_nodes *nodes)
{
    double log_p, log_q, error, gauss = x * x * t->scale, thinning_error;
    double thinning = sg_pair_log_thinning(t->pair, x, &thinning_error);
    double exponent = tilt_exponent(t, x, &log_p, &log_q, &error);
    if (thinning < -600) {
        double value = exponent - gauss + thinning;
        *dropped += exp(value - peak) * 1.14;
        return value < floor_value;
    }
    if (!reserve(nodes, nodes->n + 1))
        return false;
    size_t i = nodes->n++;
    nodes->exponent[i] = exponent;
    nodes->loss[i] = log_p - log_q;
    nodes->loss_error[i] = error + fabs(nodes->loss[i]);
    nodes->log_phi[i] = t->log_constant - gauss + thinning;
    nodes->phi_error[i] = 12 + 4 * gauss + 2 * fabs(t->log_constant) + thinning_error;
    nodes->eta[i] = nodes->phi_error[i] + (1 + t->c) * error + 2 * (fabs(log_p) + t->c * fabs(nodes->loss[i])) +
                    2 * fabs(nodes->exponent[i]);
    return true;
}

/* Nodes of one branch, only where the integrand or the Gaussian weight matters. Errors are those of the branch's share
 * of M: ln of what dropped nodes and the rule's step cost. */
static bool add_nodes(const struct tilt *t, const struct sg_scan *scan, double h, double digits, struct sg_nodes *nodes,
                      double *log_dropped)
{
    double sigma = t->pair->sigma, peak = scan->peak, cell = scan->cell, dropped = 0, next = -INFINITY;
    double floor_value = peak - digits - log((double)scan->n + 1) - 6, floor_base = -digits - 6;
    bool ok = true, is_exact = t->pair->floor_width > 0; /* summed without the Gaussian weight's help */
    for (size_t k = 0; ok && k < scan->n; k++) {
        double left = scan->low + (double)k * cell, right = left + cell;
        double most = fmax(scan->value[k], scan->value[k + 1]), most_base = fmax(scan->base[k], scan->base[k + 1]);
        if (most < floor_value && (most_base < floor_base || peak > 40 || is_exact)) {
            dropped +=
                (cell / h + 1) * (exp(most - peak) + (peak < 40 && !is_exact ? exp(most_base - peak) : 0)) * 1.14;
            continue;
        }
        double i = fmax(ceil(left / h), next);
        for (; ok && i * h < right; i += 1)
            ok = add_node(t, i * h, floor_value, peak, &dropped, nodes);
        next = i;
    }
    /* Outside the scan the integrand falls faster than the Gaussian at distance `reach`. */
    double ends = fmax(exp(scan->value[0] - peak), exp(scan->value[scan->n] - peak));
    if (peak < 40 && !is_exact)
        ends += exp(scan->base[0] - peak) + exp(scan->base[scan->n] - peak);
    *log_dropped = t->log_constant + peak + log(dropped + 2 * (sigma / h + 1) * ends);
    return ok;
}

static bool add_branch(const struct sg_pair *pair, double c, double t_max, double digits, struct sg_nodes *nodes,
                       double *log_dropped, double *log_quadrature)
{
    struct sg_scan scan = {.value = NULL};
    bool ok = sg_scan_open(pair, c, digits, &scan);
    if (ok) {
        struct sg_step step = sg_scan_step(pair, c, t_max, digits, &scan);
        double log_unit = log(pair->probability / (pair->sigma * sqrt(2 * M_PI)));
        struct tilt t = {pair, c, 1 / (2 * pair->sigma * pair->sigma), log_unit + log(step.h)};
        *log_quadrature = log_unit + step.log_error;
        ok = step.h > 0 && add_nodes(&t, &scan, step.h, digits, nodes, log_dropped);
    }
    sg_scan_close(&scan);
    return ok;
}

/* The Gaussian weight that thinning at a cut leaves out. */
static double missing_weight(const struct sg_event *event, double *error)
{
    double sum = 0;
    for (int b = 0; b < event->n_branches; b++) {
        const struct sg_pair *pair = &event->branch[b];
        if (pair->cut_width == 0)
            continue;
        double z2 = pair->cut * pair->cut / (2 * (pair->sigma * pair->sigma + pair->cut_width * pair->cut_width));
        double part = pair->probability * 0.5 * erfc(copysign(sqrt(z2), pair->cut));
        sum += part;
        *error += part * (8 + 8 * z2);
    }
    return sum;
}

/* ln M from the nodes: log1p of a sum of expm1 where M is of order one (no cancellation at tiny rates), else
 * log-sum-exp. `may_lean`: the whole Gaussian weight is known. */
static void sum_mgf(const struct sg_event *event, bool may_lean, struct sg_nodes *nodes)
{
    double peak = -INFINITY, high = -INFINITY;
    for (size_t i = 0; i < nodes->n; i++) {
        peak = fmax(peak, nodes->log_phi[i] + nodes->exponent[i]);
        high = fmax(high, nodes->exponent[i]);
    }
    struct sg_sum sum = {0, 0};
    double error = 0, missing = missing_weight(event, &error);
    may_lean = may_lean && peak < 20 && high < 690;
    if (may_lean) {
        for (size_t i = 0; i < nodes->n; i++) {
            double phi = exp(nodes->log_phi[i]), excess = expm1(nodes->exponent[i]);
            sg_sum_add(&sum, phi * excess);
            error += phi * (fabs(excess) * nodes->phi_error[i] + (1 + excess) * (nodes->eta[i] - nodes->phi_error[i]));
        }
    }
    sg_sum_add(&sum, -missing);
    double excess = sg_sum_value(&sum);
    if (may_lean && excess < 1 && excess > -0.5) {
        nodes->log_mgf = log1p(excess);
        nodes->log_mgf_error =
            (error * SG_UNIT * 1.01 + 4 * SG_UNIT * fabs(excess)) / (1 + excess) + 4 * SG_UNIT * fabs(nodes->log_mgf);
        for (size_t i = 0; i < nodes->n; i++)
            nodes->weight[i] = exp(nodes->log_phi[i] + nodes->exponent[i] - nodes->log_mgf);
        return;
    }
    sum = (struct sg_sum){0, 0}, error = 0;
    for (size_t i = 0; i < nodes->n; i++) {
        nodes->weight[i] = exp(nodes->log_phi[i] + nodes->exponent[i] - peak);
        sg_sum_add(&sum, nodes->weight[i]);
        error += nodes->weight[i] * nodes->eta[i];
    }
    double total = sg_sum_value(&sum);
    nodes->log_mgf = peak + log(total);
    nodes->log_mgf_error = 1.01 * SG_UNIT * (error / total + 8 + 4 * fabs(nodes->log_mgf) + 2 * fabs(peak));
    for (size_t i = 0; i < nodes->n; i++)
        nodes->weight[i] /= total;
}

bool sg_nodes_tilt(const struct sg_event *event, double c, double t_max, double digits, struct sg_nodes *nodes)
{
    nodes->n = 0;
    double log_dropped[2] = {-INFINITY, -INFINITY}, log_quadrature[2] = {-INFINITY, -INFINITY};
    bool may_lean = true;
    for (int b = 0; b < event->n_branches; b++) {
        may_lean = may_lean && event->branch[b].floor_width == 0;
        if (event->branch[b].probability > 0 &&
            !add_branch(&event->branch[b], c, t_max, digits, nodes, &log_dropped[b], &log_quadrature[b]))
            return false;
    }
    if (!nodes->n)
        return false;
    sum_mgf(event, may_lean, nodes);
    nodes->truncation = 4 * exp(-digits); /* the Gaussian weight's own */
    for (int b = 0; b < 2; b++)
        nodes->truncation += exp(log_dropped[b] - nodes->log_mgf) + exp(log_quadrature[b] - nodes->log_mgf);
    nodes->log_mgf_error += nodes->truncation;
    struct sg_sum mean = {0, 0}, square = {0, 0};
    for (size_t i = 0; i < nodes->n; i++)
        sg_sum_add(&mean, nodes->weight[i] * nodes->loss[i]);
    nodes->mean = sg_sum_value(&mean);
    for (size_t i = 0; i < nodes->n; i++) {
        double d = nodes->loss[i] - nodes->mean;
        sg_sum_add(&square, nodes->weight[i] * d * d);
    }
    nodes->variance = sg_sum_value(&square);
    return isfinite(nodes->log_mgf) && isfinite(nodes->log_mgf_error);
}
