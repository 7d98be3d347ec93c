#include "cells.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_MAX = 1 << 17 };

static double normal_above(double x)
{
    return 0.5 * erfc(x * M_SQRT1_2);
}

/* Mass of (a, b] under the mixture from the smaller tails; *error is absolute. */
static double mixture_mass(const struct sg_mixture *m, double sigma, double a, double b, double *error)
{
    double sum = 0;
    *error = 0;
    for (int j = 0; j < m->n; j++) {
        double u = (a - m->shift[j]) / sigma, v = (b - m->shift[j]) / sigma;
        double near = u > 0 ? normal_above(u) : normal_above(-v), far = u > 0 ? normal_above(v) : normal_above(-u);
        double part = u > 0 || v < 0 ? near - far : 1 - normal_above(v) - normal_above(-u);
        double z = fmin(fabs(u), fabs(v));
        sum += m->weight[j] * fmax(part, 0);
        *error += m->weight[j] * 4 * DBL_EPSILON * (1 + fmin(z * z, 1600)) * (u > 0 || v < 0 ? near : 1);
    }
    return sum;
}

/* Between a point and a two-component mixture the inverse is closed: r = 1 - q + q e^y with y = m (2x - m) / (2 s^2).
 */
static bool is_simple(const struct sg_pair *pair)
{
    return pair->p.n + pair->q.n == 3 && pair->p.shift[0] == 0 && pair->q.shift[0] == 0;
}

static double simple_inverse(const struct sg_pair *pair, double target)
{
    const struct sg_mixture *m = pair->p.n == 2 ? &pair->p : &pair->q;
    double log_ratio = pair->p.n == 2 ? target : -target, q = m->weight[1], shift = m->shift[1];
    double excess = expm1(fmin(log_ratio, 700)) + q;
    if (!(excess > 0))
        return -INFINITY; /* beyond the end of the losses: x at minus infinity on either side */
    double y = log_ratio < 700 ? log(excess / q) : log_ratio - log(q);
    return (y * 2 * pair->sigma * pair->sigma + shift * shift) / (2 * shift);
}

/* x with loss(x) = target, for a loss monotone in x; INFINITY with the sign of the end beyond which it lies. */
static double inverse_loss(const struct sg_pair *pair, double target, bool rising, double start)
{
    if (is_simple(pair))
        return simple_inverse(pair, target);
    double span = 45 * pair->sigma + 45;
    double low = -span, high = span, at = start;
    double f_low = sg_pair_loss(pair, low) - target, f_high = sg_pair_loss(pair, high) - target;
    if ((rising ? f_low : f_high) >= 0)
        return rising ? -INFINITY : INFINITY;
    if ((rising ? f_high : f_low) <= 0)
        return rising ? INFINITY : -INFINITY;
    double step = pair->sigma * 1e-5, previous = NAN, f_previous = 0;
    for (int i = 0; i < 200; i++) {
        if (!(at > low && at < high))
            at = (low + high) / 2;
        double f = sg_pair_loss(pair, at) - target;
        if ((f < 0) == rising)
            low = at;
        else
            high = at;
        if (f == 0 || high - low < 4e-16 * (fabs(at) + pair->sigma))
            break;
        double slope =
            isnan(previous) ? (sg_pair_loss(pair, at + step) - target - f) / step : (f - f_previous) / (at - previous);
        previous = at, f_previous = f;
        double move = f / slope;
        if (fabs(move) < 1e-15 * (fabs(at) + pair->sigma))
            break;
        at = i > 40 ? (low + high) / 2 : at - move;
    }
    return at;
}

/* By the means of the shifts: the loss itself may be flat to the last bit where it is looked at. */
static bool is_rising(const struct sg_pair *pair)
{
    double difference = 0;
    for (int j = 0; j < pair->p.n; j++)
        difference += pair->p.weight[j] * pair->p.shift[j];
    for (int j = 0; j < pair->q.n; j++)
        difference -= pair->q.weight[j] * pair->q.shift[j];
    return difference >= 0;
}

/* Splits cell i's masses between its two ends so that both are kept. */
static void split(struct sg_cells *out, size_t i, double h, double p, double error_p, double q, double error_q)
{
    p += error_p;
    double loss = (out->first + (double)i) * h, below = fmax(q - error_q, 0), rest = below * exp(fmin(loss, 600));
    if (loss > 600 && below > 0)
        rest = exp(fmin(log(below) + loss, 700)) * (1 - 1e-12);
    double right = (p - rest) / -expm1(-h);
    right = fmin(fmax(right + 4 * DBL_EPSILON * p / h, 0), p);
    out->mass[i] += p - right;
    out->mass[i + 1] += right;
}

/* One branch from above. Losses below the first cell go up to its end, those above the last to infinity. */
static void dominate_branch(const struct sg_pair *pair, struct sg_cells *out, double h)
{
    bool rising = is_rising(pair);
    double before = rising ? -INFINITY : INFINITY, error, error_q, share = pair->probability;
    for (size_t i = 0; i + 1 < out->n; i++) {
        double x = inverse_loss(pair, (out->first + (double)i + 1) * h, rising, isfinite(before) ? before : 0);
        double low = fmin(before, x), high = fmax(before, x);
        double p = share * mixture_mass(&pair->p, pair->sigma, low, high, &error);
        if (i == 0) {
            out->mass[1] += p + share * error;
        } else if (high > low) {
            double q = share * mixture_mass(&pair->q, pair->sigma, low, high, &error_q);
            split(out, i, h, p, share * error, q, share * error_q);
        }
        before = x;
    }
    double end = rising ? INFINITY : -INFINITY;
    double above = mixture_mass(&pair->p, pair->sigma, fmin(before, end), fmax(before, end), &error);
    out->infinite += share * (above + error);
}

/* The same for a mirrored step: each cell of positive loss, and once more with the two laws exchanged. */
static void dominate_mirrored(const struct sg_pair *pair, struct sg_cells *out, double h)
{
    double zero = -out->first, before = inverse_loss(pair, 0, true, 0), known = 0, error, error_q;
    for (size_t i = (size_t)zero; i + 1 < out->n; i++) {
        double x = inverse_loss(pair, (out->first + (double)i + 1) * h, true, before),
               mirror = 2 * zero - (double)i - 1;
        double p = mixture_mass(&pair->p, pair->sigma, before, x, &error);
        double q = mixture_mass(&pair->q, pair->sigma, before, x, &error_q);
        split(out, i, h, p, error, q, error_q);
        if (mirror >= 0)
            split(out, (size_t)mirror, h, q, error_q, p, error);
        else
            out->mass[0] += q + error_q;
        known += fmax(p - error, 0) + fmax(q - error_q, 0);
        before = x;
    }
    out->infinite += mixture_mass(&pair->p, pair->sigma, before, INFINITY, &error) + error;
    out->mass[0] += mixture_mass(&pair->q, pair->sigma, before, INFINITY, &error_q) + error_q;
    out->mass[(size_t)zero] += fmax(1 - known * (1 - 1e-12), 0);
}

/* The cells of a coarsened step, from below: what is known is in which cell x fell, so that the loss of all of it is
 * ln p/q. The cells end half way between points of the grid, and that loss lies close to the point. */
struct coarse {
    double *p, *loss; /* n of each: rounded down */
};

static void coarsen(struct coarse *c, size_t i, double p, double error_p, double q, double error_q)
{
    c->p[i] = fmax(p - error_p, 0) * (1 - 4 * DBL_EPSILON);
    c->loss[i] = c->p[i] > 0 ? log(c->p[i]) - log(q + error_q) : -INFINITY;
    c->loss[i] -= 8 * DBL_EPSILON * (1 + fabs(c->loss[i]) + (c->p[i] > 0 ? fabs(log(c->p[i])) : 0));
}

static void coarsen_branch(const struct sg_pair *pair, const struct sg_cells *cells, double h, struct coarse *out)
{
    bool rising = is_rising(pair);
    double before = rising ? -INFINITY : INFINITY, error, error_q, share = pair->probability;
    for (size_t i = 0; i < cells->n; i++) {
        double x = rising ? INFINITY : -INFINITY;
        if (i + 1 < cells->n)
            x = inverse_loss(pair, (cells->first + (double)i + 0.5) * h, rising, isfinite(before) ? before : 0);
        double low = fmin(before, x), high = fmax(before, x), p = 0, q = 0;
        error = error_q = 0;
        if (high > low) {
            p = share * mixture_mass(&pair->p, pair->sigma, low, high, &error);
            q = share * mixture_mass(&pair->q, pair->sigma, low, high, &error_q);
        }
        coarsen(out, i, p, share * error, q, share * error_q);
        before = x;
    }
}

/* Laplace: P = Lap(0, b), Q = Lap(1, b): atoms at both ends and e^{-x/b}/(2b) between, where the loss is (1 - 2x)/b.
 * Masses of the losses in (low, high]. */
static bool laplace_mass(double a, double low, double high, double *p, double *q)
{
    bool has_low = low <= -a, has_high = high >= a;
    low = fmax(low, -a), high = fmin(high, a);
    if (!(high > low))
        return false;
    /* x/b = (a - loss)/2; mass of (low, high] = (e^{-(a-high)/2} - e^{-(a-low)/2}) / 2 */
    *p = 0.5 * exp(-(a - high) / 2) * -expm1(-(high - low) / 2);
    *q = 0.5 * exp(-(a + low) / 2) * -expm1(-(high - low) / 2);
    if (has_low)
        *p += 0.5 * exp(-a), *q += 0.5;
    if (has_high)
        *p += 0.5, *q += 0.5 * exp(-a);
    return true;
}

static void dominate_laplace(double a, struct sg_cells *out, double h)
{
    double p, q;
    for (size_t i = 0; i + 1 < out->n; i++)
        if (laplace_mass(a, (out->first + (double)i) * h, (out->first + (double)i + 1) * h, &p, &q))
            split(out, i, h, p, p * 1e-14, q, q * 1e-14);
}

static void coarsen_laplace(double a, const struct sg_cells *cells, double h, struct coarse *out)
{
    for (size_t i = 0; i < cells->n; i++) {
        double p = 0, q = 0, at = cells->first + (double)i;
        laplace_mass(a, (at - 0.5) * h, (at + 0.5) * h, &p, &q);
        coarsen(out, i, p, p * 1e-14, q, q * 1e-14);
    }
}

/* Every cell to the point of the grid below its loss plus `shift`, the least that keeps all cells that matter at their
 * own points: then the loss is nowhere less than that of the grid less the shift. */
static void settle(const struct coarse *c, double h, double negligible, struct sg_cells *out)
{
    double shift = out->shift;
    for (size_t i = 0; i < out->n; i++) {
        double short_of = (out->first + (double)i) * h - c->loss[i];
        if (c->p[i] > negligible && short_of < h / 2)
            shift = fmax(shift, short_of * (1 + 1e-9) + 4e-15 * fabs(c->loss[i]));
    }
    out->shift = shift;
}

static void place(const struct coarse *c, double h, struct sg_cells *out)
{
    for (size_t i = 0; i < out->n; i++) {
        double at = floor((c->loss[i] + out->shift) / h * (1 + (c->loss[i] < 0 ? 1e-15 : -1e-15))) - out->first;
        if (at >= 0)
            out->mass[(size_t)fmin(at, (double)out->n - 1)] += c->p[i];
    }
}

static struct sg_pair gaussian(double mu)
{
    struct sg_pair pair = {.probability = 1, .sigma = 1 / mu};
    pair.p = (struct sg_mixture){.n = 1, .shift = {1}, .weight = {1}};
    pair.q = (struct sg_mixture){.n = 1, .weight = {1}};
    return pair;
}

/* Where the step's loss lies but for probability `rest` at each end. */
static void loss_range(const struct sg_event *event, double rest, double *low, double *high)
{
    *low = INFINITY, *high = -INFINITY;
    for (int b = 0; b < event->n_branches; b++) {
        const struct sg_pair *pair = &event->branch[b];
        double x = 0, top = pair->p.shift[pair->p.n - 1], bottom = 0;
        for (int j = 0; j < pair->p.n; j++)
            bottom = fmin(bottom, pair->p.shift[j]), top = fmax(top, pair->p.shift[j]);
        double above = 40 * pair->sigma, below = 0;
        for (int k = 0; k < 50; k++) {
            x = (above + below) / 2;
            double mass = 0;
            for (int j = 0; j < pair->p.n; j++)
                mass += pair->p.weight[j] * normal_above((top + x - pair->p.shift[j]) / pair->sigma);
            if (mass * pair->probability > rest)
                below = x;
            else
                above = x;
        }
        double right = sg_pair_loss(pair, top + above), left = sg_pair_loss(pair, bottom - above);
        *low = fmin(*low, fmin(left, right)), *high = fmax(*high, fmax(left, right));
    }
}

/* One kind of step: the branches of an event, a Laplace release, or all Gaussian ones together. */
struct step {
    const struct sg_pair *pairs;
    int n_pairs;
    struct sg_pair gaussian;
    double loss_max; /* Laplace */
    bool is_mirrored;
};

static void find_step(const struct sg_composition *composition, size_t which, double rest, struct step *step,
                      double *low, double *high, double *count)
{
    size_t n_events = composition->n_events, n_laplaces = composition->n_laplaces;
    *step = (struct step){.n_pairs = 0}, *count = 1;
    if (which < n_events) {
        const struct sg_event *event = &composition->events[which];
        loss_range(event, rest, low, high);
        step->pairs = event->branch, step->n_pairs = event->n_branches, *count = event->count;
        step->is_mirrored = event->is_mirrored;
        if (event->is_mirrored)
            *low = -*high;
    } else if (which < n_events + n_laplaces) {
        step->loss_max = composition->laplaces[which - n_events].loss_max;
        *high = step->loss_max, *low = -step->loss_max, *count = composition->laplaces[which - n_events].count;
    } else {
        double mu = sqrt(composition->gaussian_mu2), reach = sqrt(-2 * log(rest)) + 1;
        step->gaussian = gaussian(mu), step->pairs = &step->gaussian, step->n_pairs = 1;
        *low = mu * mu / 2 - mu * reach, *high = mu * mu / 2 + mu * reach;
    }
}

static bool fill_below(const struct step *step, double h, double negligible, struct sg_cells *out)
{
    struct coarse c[2] = {{.p = calloc(4 * out->n, sizeof *out->mass)}};
    if (!c[0].p)
        return false;
    c[0].loss = c[0].p + out->n, c[1].p = c[0].p + 2 * out->n, c[1].loss = c[0].p + 3 * out->n;
    int n = step->n_pairs ? step->n_pairs : 1;
    for (int b = 0; b < n; b++) {
        if (step->n_pairs)
            coarsen_branch(&step->pairs[b], out, h, &c[b]);
        else
            coarsen_laplace(step->loss_max, out, h, &c[b]);
        settle(&c[b], h, negligible, out);
    }
    for (int b = 0; b < n; b++)
        place(&c[b], h, out);
    free(c[0].p);
    return true;
}

bool sg_cells_open(const struct sg_composition *composition, size_t which, double h, double rest, bool is_upper,
                   struct sg_cells *out)
{
    struct step step;
    double low, high, count;
    find_step(composition, which, rest, &step, &low, &high, &count);
    /* a far lower end is not worth the cells: what lies below the first is put on it, upwards, or left out, downwards
     */
    *out = (struct sg_cells){.first = fmax(floor(low / h) - 2, ceil(high / h) - CELLS_MAX), .count = count};
    double n = ceil(high / h) - out->first + 3;
    if (!(n < 2 * CELLS_MAX) || !(high < CELLS_MAX * h))
        return false;
    out->n = (size_t)n;
    out->mass = calloc(out->n, sizeof *out->mass);
    if (!out->mass)
        return false;
    if (!is_upper)
        return !step.is_mirrored && fill_below(&step, h, rest / 10, out);
    if (step.is_mirrored)
        dominate_mirrored(step.pairs, out, h);
    for (int b = 0; !step.is_mirrored && b < step.n_pairs; b++)
        dominate_branch(&step.pairs[b], out, h);
    if (!step.n_pairs)
        dominate_laplace(step.loss_max, out, h);
    return true;
}

void sg_cells_close(struct sg_cells *cells)
{
    free(cells->mass);
    memset(cells, 0, sizeof *cells);
}
