#include "pld.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fft.h"
#include "saddle.h"

enum { GRID = 1 << 16, CELLS_MAX = 1 << 17 };
static const double steep = 1.5;

/* The composed, tilted distribution on the window [start, start + GRID) of multiples of h. */
struct grid {
    double h, theta, log_scale; /* p_l = mass[l] e^{log_scale - theta (start + l) h} */
    double start;
    double infinite;        /* probability put at an infinite loss */
    double lost;            /* bound of the mass right of the window, */
    double wrapped;         /* and of what it adds inside by wrapping round */
    double log_scale_steep; /* ln of the moment at steep * theta, for that */
    double error;           /* 2-norm of the rounding error of `mass` */
    double drift;           /* relative error of the whole by rounding of weights and of the cells' ends */
    double *mass, *sum_r, *sum_i;
};

struct cells {
    double first; /* grid index of mass[0] */
    size_t n;
    double *upper, *lower; /* P's mass at each grid point: a dominating and a dominated law */
    double infinite;       /* the dominating one's */
};

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

/* Splits cell i's masses between its two ends so that both are kept; all of P's to the lower end for the lower law. */
static void split(struct cells *out, size_t i, double h, double p, double error_p, double q, double error_q)
{
    out->lower[i] += fmax(p - error_p, 0);
    p += error_p;
    double loss = (out->first + (double)i) * h, below = fmax(q - error_q, 0), rest = below * exp(fmin(loss, 600));
    if (loss > 600 && below > 0)
        rest = exp(fmin(log(below) + loss, 700)) * (1 - 1e-12);
    double right = (p - rest) / -expm1(-h);
    right = fmin(fmax(right + 4 * DBL_EPSILON * p / h, 0), p);
    out->upper[i] += p - right;
    out->upper[i + 1] += right;
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

/* One branch into the cells. Losses below the first cell go up to its end (lower law: nowhere), those above to infinity
 * (lower law: to the last point). */
static void add_branch(const struct sg_pair *pair, struct cells *out, double h)
{
    bool rising = is_rising(pair);
    double before = rising ? -INFINITY : INFINITY, error, error_q, share = pair->probability;
    for (size_t i = 0; i + 1 < out->n; i++) {
        double x = inverse_loss(pair, (out->first + (double)i + 1) * h, rising, isfinite(before) ? before : 0);
        double low = fmin(before, x), high = fmax(before, x);
        double p = share * mixture_mass(&pair->p, pair->sigma, low, high, &error);
        if (i == 0) {
            out->upper[1] += p + share * error;
        } else if (high > low) {
            double q = share * mixture_mass(&pair->q, pair->sigma, low, high, &error_q);
            split(out, i, h, p, share * error, q, share * error_q);
        }
        before = x;
    }
    double end = rising ? INFINITY : -INFINITY;
    double above = mixture_mass(&pair->p, pair->sigma, fmin(before, end), fmax(before, end), &error);
    out->infinite += share * (above + error);
    out->lower[out->n - 1] += share * fmax(above - error, 0);
}

/* Laplace: P = Lap(0, b), Q = Lap(1, b): atoms at both ends and e^{-x/b}/(2b) between, where the loss is (1 - 2x)/b. */
static void add_laplace(double a, struct cells *out, double h)
{
    for (size_t i = 0; i + 1 < out->n; i++) {
        double low = fmax((out->first + (double)i) * h, -a), high = fmin((out->first + (double)i + 1) * h, a);
        if (!(high > low))
            continue;
        /* x/b = (a - loss)/2; mass of (low, high] = (e^{-(a-high)/2} - e^{-(a-low)/2}) / 2 */
        double p = 0.5 * exp(-(a - high) / 2) * -expm1(-(high - low) / 2);
        double q = 0.5 * exp(-(a + low) / 2) * -expm1(-(high - low) / 2);
        if (low == -a)
            p += 0.5 * exp(-a), q += 0.5;
        if (high == a)
            p += 0.5, q += 0.5 * exp(-a);
        split(out, i, h, p, p * 1e-14, q, q * 1e-14);
    }
}

static void add_gaussian(double mu, struct cells *out, double h)
{
    struct sg_pair pair = {.probability = 1, .sigma = 1 / mu};
    pair.p = (struct sg_mixture){.n = 1, .shift = {1}, .weight = {1}};
    pair.q = (struct sg_mixture){.n = 1, .weight = {1}};
    add_branch(&pair, out, h);
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

/* Multiplies the running spectrum by the tilted cells' spectrum to the power count. */
static bool multiply(struct grid *g, const struct sg_fft *fft, const struct cells *cells, const double *mass,
                     double count)
{
    double *re = calloc(2 * GRID, sizeof *re), *im = re + GRID, total = 0, weight_error = 0, most = -INFINITY;
    if (!re)
        return false;
    for (size_t i = 0; i < cells->n; i++)
        most = fmax(most, mass[i] > 0 ? log(mass[i]) + g->theta * (cells->first + (double)i) * g->h : -INFINITY);
    /* position 0 of the transform is grid index 0; the window is unrolled when read */
    for (size_t i = 0; i < cells->n; i++) {
        if (!(mass[i] > 0))
            continue;
        double index = cells->first + (double)i, w = exp(log(mass[i]) + g->theta * index * g->h - most);
        long long at = (long long)fmod(index, GRID);
        re[at < 0 ? at + GRID : at] += w;
        total += w;
        /* the weight's own rounding, and the loss of the cell's end: both move ln M */
        weight_error += w * 8 * SG_UNIT * (4 + fabs(most) + fabs(log(mass[i])) + 60 * g->theta * fabs(index) * g->h);
    }
    weight_error /= total;
    double sum_steep = 0, bend = (steep - 1) * g->theta * g->h;
    for (size_t i = 0; i < cells->n; i++)
        if (mass[i] > 0)
            sum_steep += exp(log(mass[i]) + g->theta * (cells->first + (double)i) * g->h - most +
                             bend * ((double)i + 1 - (double)cells->n));
    g->log_scale_steep += count * (most + log(sum_steep) + bend * (cells->first + (double)cells->n - 1) + 1e-12);
    for (size_t i = 0; i < GRID; i++)
        re[i] /= total;
    sg_fft_run(fft, false, re, im);
    double norm = 0, powered = 0;
    for (size_t i = 0; i <= GRID / 2; i++) { /* the other half is the conjugate of this one */
        double size2 = re[i] * re[i] + im[i] * im[i], log_size = 0.5 * log(fmax(size2, 1e-300)),
               turn = atan2(im[i], re[i]);
        if (count * log_size < -745) {
            g->sum_r[i] = g->sum_i[i] = 0;
            norm += 2 * size2;
            continue;
        }
        double size = exp(count * log_size), r = size * cos(count * turn), m = size * sin(count * turn);
        double a = g->sum_r[i], b = g->sum_i[i];
        g->sum_r[i] = a * r - b * m, g->sum_i[i] = a * m + b * r;
        norm += 2 * size2, powered += 2 * size * size;
    }
    for (size_t i = 1; i < GRID / 2; i++)
        g->sum_r[GRID - i] = g->sum_r[i], g->sum_i[GRID - i] = -g->sum_i[i];
    g->log_scale += count * (most + log(total));
    g->error += count * (log2(GRID) * SG_FFT_ETA * sqrt(norm / GRID) + 16 * SG_UNIT * sqrt(powered / GRID));
    g->drift += count * weight_error;
    free(re);
    return true;
}

static bool compose_event(struct grid *pair, const struct sg_fft *fft, const struct sg_composition *composition,
                          size_t which, double rest)
{
    double low, high, count = 1, h = pair[0].h;
    size_t n_events = composition->n_events, n_laplaces = composition->n_laplaces;
    if (which < n_events) {
        loss_range(&composition->events[which], rest, &low, &high);
        count = composition->events[which].count;
    } else if (which < n_events + n_laplaces) {
        high = composition->laplaces[which - n_events].loss_max, low = -high;
        count = composition->laplaces[which - n_events].count;
    } else {
        double mu = sqrt(composition->gaussian_mu2), reach = sqrt(-2 * log(rest)) + 1;
        low = mu * mu / 2 - mu * reach, high = mu * mu / 2 + mu * reach;
    }
    /* a far lower end is not worth the cells: what lies below the first is put on it, upwards */
    struct cells cells = {.first = fmax(floor(low / h) - 2, ceil(high / h) - CELLS_MAX)};
    double n = ceil(high / h) - cells.first + 3;
    if (!(n < 2 * CELLS_MAX) || !(high < CELLS_MAX * h))
        return false;
    cells.n = (size_t)n;
    cells.upper = calloc(2 * cells.n, sizeof *cells.upper);
    cells.lower = cells.upper + cells.n;
    bool ok = cells.upper;
    if (ok && which < n_events)
        for (int b = 0; b < composition->events[which].n_branches; b++)
            add_branch(&composition->events[which].branch[b], &cells, h);
    else if (ok && which < n_events + n_laplaces)
        add_laplace(composition->laplaces[which - n_events].loss_max, &cells, h);
    else if (ok)
        add_gaussian(sqrt(composition->gaussian_mu2), &cells, h);
    pair[0].infinite += count * cells.infinite;
    ok = ok && multiply(&pair[0], fft, &cells, cells.upper, count) &&
         (!pair[1].mass || multiply(&pair[1], fft, &cells, cells.lower, count));
    free(cells.upper);
    return ok;
}

static void grid_close(struct grid *g)
{
    free(g->mass);
    memset(g, 0, sizeof *g);
}

static bool grid_make(double start, double period, double theta, struct grid *g)
{
    *g = (struct grid){.h = period / GRID, .theta = theta, .mass = calloc(3 * GRID, sizeof *g->mass)};
    if (!g->mass)
        return false;
    g->start = floor(start / g->h);
    g->sum_r = g->mass + GRID, g->sum_i = g->mass + 2 * GRID;
    for (size_t i = 0; i < GRID; i++)
        g->sum_r[i] = 1;
    return true;
}

/* Back from the spectrum, unrolled from the window's start. */
static void grid_finish(struct grid *g, const struct sg_fft *fft)
{
    double norm = 0;
    sg_fft_run(fft, true, g->sum_r, g->sum_i);
    for (size_t i = 0; i < GRID; i++) {
        double index = fmod(g->start + (double)i, GRID);
        g->mass[i] = g->sum_r[(size_t)(index < 0 ? index + GRID : index)] / GRID;
        norm += g->mass[i] * g->mass[i];
    }
    g->error += log2(GRID) * SG_FFT_ETA * sqrt(norm) + 4 * SG_UNIT;
    double end = (g->start + GRID - 1) * g->h;
    g->wrapped =
        exp(fmin(g->log_scale_steep + g->drift - (steep - 1) * g->theta * end - g->theta * g->start * g->h, 700));
    g->lost = exp(g->log_scale + g->drift - g->theta * end) * (1 + 1e-9);
}

/* Composes on the window that starts at `start` (a loss) with period P = GRID h, tilted by theta: the dominating law
 * into pair[0], the dominated one into pair[1] where that is wanted. Close both also after failure. */
static bool grid_open(const struct sg_composition *composition, double start, double period, double theta, double delta,
                      bool wants_lower, const struct sg_fft *fft, struct grid pair[2])
{
    bool ok = grid_make(start, period, theta, &pair[0]) && (!wants_lower || grid_make(start, period, theta, &pair[1]));
    size_t n = composition->n_events + composition->n_laplaces + (composition->gaussian_mu2 > 0);
    double rest = delta * 1e-10 / sg_composition_count(composition);
    for (size_t i = 0; ok && i < n; i++)
        ok = compose_event(pair, fft, composition, i, rest);
    for (int k = 0; ok && k <= wants_lower; k++)
        grid_finish(&pair[k], fft);
    for (int k = 0; ok && k <= wants_lower; k++)
        ok = isfinite(pair[k].log_scale) && isfinite(pair[k].error) && isfinite(pair[k].drift);
    return ok;
}

/* Reads from the right: the least epsilon whose bound is within delta (upper), or the largest whose bound is not
 * (lower). */
static double read_epsilon(const struct grid *g, double delta, bool is_upper)
{
    double step = exp(-g->theta * g->h), near = exp(-g->h), above = 0, below = 0;
    double kernel = g->error / sqrt(-expm1(-2 * g->theta * g->h));
    double extra = is_upper ? g->infinite + g->lost : -1e-8 * delta - g->wrapped;
    for (size_t k = GRID - 1;; k--) {
        /* above, below: the sums over l > k of p_l and p_l e^{-(l - l_k)}, in units of e^{log_scale - theta l_k} */
        double unit = exp(fmin(g->log_scale - g->theta * (g->start + (double)k) * g->h, 700));
        double relative = expm1(g->drift);
        double value = is_upper ? (above - below + kernel) * unit * (1 + relative) + extra
                                : (above - below - kernel) * unit * (1 - relative) + extra;
        if (!(value <= delta) || k == 0) {
            double loss = (g->start + (double)k) * g->h;
            if (k == 0 && value <= delta) /* below the window: nothing is known there */
                return is_upper ? loss : -INFINITY;
            if (!is_upper)
                return loss;
            /* within the cell delta(eps) = A - e^{eps - l_k} B, exactly */
            double a = (above + kernel) * unit * (1 + relative) + extra, b = below * unit * (1 - relative);
            double inside = b > 0 && a > delta ? log((a - delta) / b) : g->h;
            return loss + fmin(fmax(inside, 0), g->h) * (1 + 1e-12);
        }
        double mass = g->mass[k];
        above = (above + mass) * step;
        below = (below + mass) * step * near;
    }
}

static double read_delta(const struct grid *g, size_t point)
{
    double step = exp(-g->theta * g->h), near = exp(-g->h), above = 0, below = 0;
    for (size_t k = GRID - 1; k > point; k--) {
        above = (above + g->mass[k]) * step;
        below = (below + g->mass[k]) * step * near;
    }
    double unit = exp(fmin(g->log_scale - g->theta * (g->start + (double)point) * g->h, 700));
    double kernel = g->error / sqrt(-expm1(-2 * g->theta * g->h));
    return (above - below + kernel) * unit * (1 + expm1(g->drift)) + g->infinite + g->lost;
}

/* The window for delta: a period that keeps the left wrap below 1e-9 delta, and a right end
 * beyond which Chernoff at the same tilt leaves as little. */
static bool plan_window(const struct sg_composition *composition, double delta, const struct sg_saddle *saddle,
                        double start, double *period)
{
    struct sg_nodes nodes = {0};
    double need = -log(1e-9 * delta), c = saddle->c;
    struct sg_tilt tilt = sg_composition_tilt(composition, c, &nodes);
    sg_nodes_close(&nodes);
    *period = fmax((tilt.log_mgf + need + 0.5) / c - start, (need + 0.1) / c);
    return isfinite(*period) && *period > 0;
}

/* A thinned copy, for the choice of tilt and window only: the cells are of the whole law. */
static bool prepare(const struct sg_composition *given, double target, bool by_delta, double delta,
                    struct sg_composition *copy, struct sg_saddle *saddle, double *left_out)
{
    struct sg_nodes nodes = {0};
    *copy = *given;
    copy->events = malloc((given->n_events + 1) * sizeof *copy->events);
    if (!copy->events)
        return false;
    if (given->n_events)
        memcpy(copy->events, given->events, given->n_events * sizeof *copy->events);
    *left_out = 0;
    bool rising = given->n_events && given->events[0].branch[0].p.n > 1;
    *saddle = sg_saddle_find(copy, target, by_delta, 5, &nodes);
    for (double sharpness = 16; rising && sharpness < 300; sharpness *= 8) {
        if (saddle->ok && saddle->cancellation < 5 &&
            fabs((by_delta ? saddle->log_delta : saddle->epsilon) - target) < 0.5)
            break;
        *left_out = sg_composition_thin(copy, 1e-9 * delta, sharpness);
        *saddle = sg_saddle_find(copy, target, by_delta, saddle->ok ? saddle->c : 5, &nodes);
    }
    sg_nodes_close(&nodes);
    return saddle->ok;
}

enum { TILTS = 3 };

/* The saddle-point approximation may tilt too far where few steps make the law ragged. Any tilt is valid: reduce it
 * while that helps, and keep the best of what was proven. */
bool sg_pld_epsilon(const struct sg_composition *given, double delta, double epsilon_max, double *lower, double *upper)
{
    struct sg_composition thinned;
    struct sg_saddle saddle;
    double left_out, period;
    struct sg_fft fft = {0};
    *lower = 0, *upper = epsilon_max;
    bool ok = prepare(given, log(delta), true, delta, &thinned, &saddle, &left_out) && sg_fft_open(GRID, &fft);
    bool any = false;
    for (int k = 0; ok && k < TILTS; k++, saddle.c /= 3) {
        struct grid pair[2] = {{.h = 0}, {.h = 0}};
        double start = fmin(saddle.epsilon, 0) * 1.01, before = *upper;
        if (plan_window(&thinned, delta, &saddle, start, &period) &&
            grid_open(given, start, period, saddle.c, delta, k < 2, &fft, pair)) {
            *upper = fmin(*upper, fmax(read_epsilon(&pair[0], delta, true), 0));
            if (k < 2)
                *lower = fmax(*lower, read_epsilon(&pair[1], delta, false));
            any = true;
        }
        grid_close(&pair[0]);
        grid_close(&pair[1]);
        if (any && !(*upper < before * 0.998))
            break;
    }
    sg_fft_close(&fft);
    free(thinned.events);
    return any;
}

bool sg_pld_delta(const struct sg_composition *given, double epsilon, double enough, double *upper)
{
    struct sg_composition thinned;
    struct sg_saddle saddle;
    double left_out, period, delta = 1;
    struct sg_fft fft = {0};
    bool ok = prepare(given, epsilon, false, 1e-12, &thinned, &saddle, &left_out) && sg_fft_open(GRID, &fft);
    bool any = false;
    for (int k = 0; ok && k < TILTS; k++, saddle.c /= 3) {
        struct grid pair[2] = {{.h = 0}, {.h = 0}};
        double hint = fmin(delta, exp(fmax(saddle.log_delta, -600))), before = delta;
        if (plan_window(&thinned, hint, &saddle, 0, &period) &&
            grid_open(given, 0, period, saddle.c, hint, false, &fft, pair)) {
            double point = floor(epsilon / pair[0].h * (1 - 1e-15)) - pair[0].start;
            if (point >= 0 && point < GRID) {
                delta = fmin(delta, read_delta(&pair[0], (size_t)point));
                any = true;
            }
        }
        grid_close(&pair[0]);
        if (any && (delta <= enough || !(delta < before * 0.998)))
            break;
    }
    *upper = delta;
    sg_fft_close(&fft);
    free(thinned.events);
    return any;
}
