#include "strip.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SCAN_MAX = 12000, BESIDE_MAX = 600 };
/* nats that the worst case over the whole line may cost before a closer look pays */
static const double crude_cost_max = 25, hopeless = 1e120;

static double largest_shift(const struct sg_mixture *m)
{
    double most = 0;
    for (int j = 0; j < m->n; j++)
        most = fmax(most, fabs(m->shift[j]));
    return most;
}

void sg_scan_close(struct sg_scan *scan)
{
    free(scan->value); /* one block */
    memset(scan, 0, sizeof *scan);
}

/* E[|shift| | x], which rises towards the side to which all shifts point. */
static double shift_at(const struct sg_mixture *m, double sigma, double x)
{
    double y_max = -DBL_MAX, y[SG_PAIR_COMPONENTS_MAX], sum = 0, all = 0;
    for (int j = 0; j < m->n; j++) {
        y[j] = m->shift[j] * (2 * x - m->shift[j]) / (2 * sigma * sigma);
        y_max = fmax(y_max, m->weight[j] > 0 ? y[j] : -DBL_MAX);
    }
    for (int j = 0; j < m->n; j++) {
        double share = m->weight[j] * exp(y[j] - y_max);
        sum += share * fabs(m->shift[j]), all += share;
    }
    return sum / all * (1 + 1e-12);
}

bool sg_scan_open(const struct sg_pair *pair, double c, double digits, struct sg_scan *out)
{
    double scale = 1 / (2 * pair->sigma * pair->sigma), low, high, ignored;
    double spread_q = largest_shift(&pair->q), reach = pair->sigma * (sqrt(2 * digits + 20) + 1);
    sg_pair_range(pair, c, &low, &high);
    /* (ln Q)'' is the variance of the shift given x over sigma^4: at most spread^2 / 4, and spread E[|shift|] */
    double mean = fmax(shift_at(&pair->q, pair->sigma, low - reach), shift_at(&pair->q, pair->sigma, high + reach));
    double curvature = scale * 2 + c * spread_q * fmin(spread_q / 4, mean) * 4 * scale * scale;
    if (pair->cut_width > 0)
        curvature += 1 / (pair->cut_width * pair->cut_width);
    if (pair->floor_width > 0)
        curvature += 1 / (pair->floor_width * pair->floor_width);
    *out = (struct sg_scan){.reach = reach, .cell = 1 / sqrt(curvature)};
    out->low = low - out->reach;
    double cells = (high + out->reach - out->low) / out->cell;
    if (!(cells < SCAN_MAX))
        return false;
    out->n = (size_t)cells + 1;
    out->value = malloc(2 * (out->n + 1) * sizeof *out->value);
    if (!out->value)
        return false;
    out->base = out->value + out->n + 1;
    out->peak = -INFINITY;
    for (size_t k = 0; k <= out->n; k++) {
        double x = out->low + (double)k * out->cell;
        double log_p = sg_mixture_log_ratio(&pair->p, pair->sigma, x, &ignored);
        double log_q = sg_mixture_log_ratio(&pair->q, pair->sigma, x, &ignored);
        out->base[k] = -x * x * scale + sg_pair_log_thinning(pair, x, &ignored);
        out->value[k] = out->base[k] + log_p + c * (log_p - log_q);
        out->peak = fmax(out->peak, out->value[k]);
    }
    return isfinite(out->peak);
}

/* What Gaussian weight and thinning cost at half-width theta sigma^2: |Phi(u - iv)| <= e^{v^2/2} Phi(u). */
static double weight_cost(const struct sg_pair *pair, double theta)
{
    double sigma2 = pair->sigma * pair->sigma, widths = 1;
    if (pair->cut_width > 0)
        widths += sigma2 / (pair->cut_width * pair->cut_width);
    if (pair->floor_width > 0)
        widths += sigma2 / (pair->floor_width * pair->floor_width);
    return theta * theta * sigma2 / 2 * widths;
}

/* How far a mixture's value turns on the lines x +- i theta sigma^2, and how much it may shrink there: bounds that are
 * monotone in x, so that the worse end of a cell holds for all of it. All shifts have one sign. */
struct turn {
    double angle, shrink;
};

static struct turn turn_at(const struct sg_mixture *m, double sigma, double x, double theta, double shrink_least)
{
    if (m->n == 1)
        return (struct turn){fabs(m->shift[0]) * theta, 1};
    double y_max = -DBL_MAX, scale = 1 / (2 * sigma * sigma), y[SG_PAIR_COMPONENTS_MAX], across = 0, along = 0, all = 0;
    for (int j = 0; j < m->n; j++) {
        y[j] = m->shift[j] * (2 * x - m->shift[j]) * scale;
        y_max = fmax(y_max, m->weight[j] > 0 ? y[j] : -DBL_MAX);
    }
    for (int j = 0; j < m->n; j++) {
        double share = m->weight[j] * exp(y[j] - y_max);
        across += share * sin(fabs(m->shift[j]) * theta);
        along += share * cos(m->shift[j] * theta);
        all += share;
    }
    return (struct turn){atan2(across, along) * (1 + 1e-12), fmax(along / all * (1 - 1e-12), shrink_least)};
}

struct strip {
    const struct sg_pair *pair;
    const struct sg_scan *scan;
    double c, t, theta;
    double worst;        /* of the whole line, nats: t times the largest angle, c times the least shrink */
    double shrink_least; /* of Q */
};

struct beside {
    struct turn p, q;
};

static struct beside beside_at(const struct strip *s, double x)
{
    return (struct beside){turn_at(&s->pair->p, s->pair->sigma, x, s->theta, 0),
                           turn_at(&s->pair->q, s->pair->sigma, x, s->theta, s->shrink_least)};
}

static double nats(const struct strip *s, const struct beside *a, const struct beside *b)
{
    return s->t * (fmax(a->p.angle, b->p.angle) + fmax(a->q.angle, b->q.angle)) -
           s->c * log(fmin(a->q.shrink, b->q.shrink));
}

/* Beyond an end of the scan, in steps short enough for the odds to change little; relative to e^peak. A cut left behind
 * pulls as well. */
static double outside(const struct strip *s, double x, double value, double direction)
{
    const struct sg_pair *pair = s->pair;
    double sigma2 = pair->sigma * pair->sigma, pull = s->scan->reach / sigma2, curvature = 1 / sigma2,
           most = largest_shift(&pair->p) + largest_shift(&pair->q);
    double step = fmin(pair->sigma / 2, sigma2 / (2 * most + 1e-300)), sum = 0;
    struct beside here = {{0, 0}, {0, 0}}, next;
    if (direction > 0 && pair->cut_width > 0 && x >= pair->cut) {
        pull += (x - pair->cut) / (pair->cut_width * pair->cut_width);
        curvature += 1 / (pair->cut_width * pair->cut_width);
    }
    for (int k = 0; k < BESIDE_MAX; k++) {
        double z = k * step, level = value - s->scan->peak - z * (pull + z * curvature / 2);
        if (level + s->worst < -120)
            return sum + exp(level + s->worst) / pull;
        if (k == 0)
            here = beside_at(s, x);
        next = beside_at(s, x + direction * (z + step));
        sum += step * exp(level + nats(s, &here, &next));
        here = next;
    }
    return INFINITY;
}

/* ln of the integral of the modulus along the lines, less the cost of weight and thinning, relative to e^peak. */
static double log_beside(const struct strip *s)
{
    const struct sg_scan *scan = s->scan;
    double sum = 0;
    bool known = false;
    struct beside here = {{0, 0}, {0, 0}}, next;
    for (size_t k = scan->n; k-- > 0;) { /* from the right, where most mixtures turn most */
        double x = scan->low + (double)k * scan->cell;
        double level = fmax(scan->value[k], scan->value[k + 1]) - scan->peak + 0.125;
        if (level + s->worst < -120) {
            sum += scan->cell * exp(level + s->worst);
            known = false;
            continue;
        }
        if (!known)
            here = beside_at(s, x + scan->cell);
        next = beside_at(s, x);
        sum += scan->cell * exp(level + nats(s, &here, &next));
        if (!(sum < hopeless))
            return INFINITY;
        here = next, known = true;
    }
    sum += outside(s, scan->low, scan->value[0], -1);
    sum += outside(s, scan->low + (double)scan->n * scan->cell, scan->value[scan->n], 1);
    return log(sum);
}

/* ln of the plain integral relative to e^peak, from above and roughly. */
static double log_plain(const struct sg_scan *scan, double sigma)
{
    double sum = 2 * sigma * exp(fmax(scan->value[0], scan->value[scan->n]) - scan->peak);
    for (size_t k = 0; k < scan->n; k++)
        sum += scan->cell * exp(fmax(scan->value[k], scan->value[k + 1]) - scan->peak + 0.125);
    return log(sum);
}

static double round_step(double h)
{
    int exponent;
    double mantissa = frexp(h, &exponent);
    return ldexp(floor(mantissa * 4096), exponent - 12);
}

/* Over half-widths theta sigma^2 of the strip the error is 2 J / (e^{2 pi theta sigma^2 / h} - 1), J the integral along
 * its edges. First J by the worst case over the whole line, which is enough for real and slow integrands; then, where
 * that is dear, by cells. The largest h that keeps the error e^-digits below the integral itself. */
struct sg_step sg_scan_step(const struct sg_pair *pair, double c, double t_max, double digits,
                            const struct sg_scan *scan)
{
    double shift_p = largest_shift(&pair->p), shift_q = largest_shift(&pair->q), sigma2 = pair->sigma * pair->sigma;
    double spread = fmax(shift_p, shift_q), turn = shift_p + shift_q;
    double theta_max = spread > 0 ? 3.1 / spread : 40 / pair->sigma;
    double best = 0, best_crude = 0, plain = log_plain(scan, pair->sigma);
    double log_error = INFINITY;
    for (double theta = theta_max; theta > theta_max * 1e-9; theta *= 0.9) {
        double crude = t_max * turn * theta - (c > 0 && shift_q > 0 ? c * log(cos(shift_q * theta / 2)) : 0);
        double cost = digits + 0.7 + weight_cost(pair, theta) + crude, h = 2 * M_PI * theta * sigma2 / (cost + 1e-9);
        if (h > best)
            best = h, best_crude = crude, log_error = plain - digits;
        else if (h < best / 4)
            break;
    }
    if (best_crude > crude_cost_max) {
        bool has_many = pair->p.n > 2 || pair->q.n > 2;
        double top = spread > 0 ? (has_many ? 1.5 : 3.1) / spread : theta_max, closer = 0;
        for (double theta = top; theta > top * 1e-9; theta /= 1.5) {
            double cost = digits + 0.7 + weight_cost(pair, theta), h = 2 * M_PI * theta * sigma2 / cost;
            if (h < fmax(best, 1.2 * closer))
                break; /* not even without the rest of the cost */
            if (cost > 6 * digits)
                continue;
            struct strip s = {pair, scan, c, t_max, theta, 0, cos(shift_q * theta / 2)};
            s.worst = t_max * turn * theta - c * log(s.shrink_least);
            h *= cost / (cost + fmax(log_beside(&s) - plain, 0));
            if (h < closer)
                break;
            closer = h;
        }
        if (closer > best)
            best = closer, log_error = plain - digits;
    }
    return (struct sg_step){round_step(fmin(best, pair->sigma)), scan->peak + log_error};
}

void sg_scan_turns(const struct sg_pair *pair, double c, double theta, const struct sg_scan *scan, double *level,
                   double *angle)
{
    double cost = weight_cost(pair, theta), sigma2 = pair->sigma * pair->sigma;
    struct strip s = {pair, scan, c, 0, theta, 0, cos(largest_shift(&pair->q) * theta / 2)};
    struct beside left = beside_at(&s, scan->low), right;
    double worst = -c * log(s.shrink_least);
    level[scan->n] = scan->value[0] + log(sigma2 / scan->reach) + cost + worst; /* to the left: no turn is counted on */
    angle[scan->n] = 0;
    for (size_t k = 0; k < scan->n; k++, left = right) {
        right = beside_at(&s, scan->low + (double)(k + 1) * scan->cell);
        level[k] = fmax(scan->value[k], scan->value[k + 1]) + 0.125 + log(scan->cell) + cost -
                   c * log(fmin(left.q.shrink, right.q.shrink));
        angle[k] = (fmin(left.p.angle, right.p.angle) + fmin(left.q.angle, right.q.angle)) * (1 - 1e-11);
    }
    level[scan->n + 1] = scan->value[scan->n] + log(sigma2 / scan->reach) + cost + worst;
    angle[scan->n + 1] = left.p.angle * (1 - 1e-11);
}
