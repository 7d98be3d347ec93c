#include "pld.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fft.h"
#include "saddle.h"

enum { GRID = 1 << 16, CELLS_MAX = 1 << 18 };

/* The composed, tilted distribution on the window [start, start + GRID) of multiples of h. */
struct grid {
    double h, theta, log_scale; /* p_l = mass[l] e^{log_scale - theta (start + l) h} */
    double start;
    double infinite; /* probability put at an infinite loss */
    double lost;     /* bound of the mass right of the window */
    double error;    /* 2-norm of the rounding error of `mass` */
    double drift;    /* relative error of the whole by rounding of weights and of the cells' ends */
    double *mass, *imag, *sum_r, *sum_i;
};

struct cells {
    double first; /* grid index of mass[0] */
    size_t n;
    double *mass; /* P's mass at each grid point */
    double infinite;
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

/* x with loss(x) = target, for a loss monotone in x; INFINITY with the sign of the end beyond which it lies. */
static double inverse_loss(const struct sg_pair *pair, double target, bool rising, double start)
{
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

static void add_cell(const struct sg_pair *pair, struct cells *out, size_t i, double h, double a, double b,
                     bool is_upper)
{
    double error_p, error_q, loss = (out->first + (double)i) * h;
    double p = mixture_mass(&pair->p, pair->sigma, fmin(a, b), fmax(a, b), &error_p);
    double q = mixture_mass(&pair->q, pair->sigma, fmin(a, b), fmax(a, b), &error_q);
    p *= pair->probability, q *= pair->probability;
    if (!is_upper) {
        out->mass[i] += fmax(p - error_p, 0);
        return;
    }
    p += error_p;
    double right = (p - fmax(q - error_q, 0) * exp(loss)) / -expm1(-h);
    right = fmin(fmax(right + 4 * DBL_EPSILON * p / h, 0), p);
    out->mass[i] += p - right;
    out->mass[i + 1] += right;
}

/* One branch into cells from `first` to `last` (grid indices); losses below go to the first point, above to infinity
 * (or, for the lower bound, below to nothing and above to the last point). */
static void add_branch(const struct sg_pair *pair, struct cells *out, double h, bool is_upper)
{
    bool rising = sg_pair_loss(pair, pair->sigma) >= sg_pair_loss(pair, -pair->sigma);
    double before = rising ? -INFINITY : INFINITY, error;
    for (size_t i = 0; i + 1 < out->n; i++) {
        double x = inverse_loss(pair, (out->first + (double)i + 1) * h, rising, isfinite(before) ? before : 0);
        if (i == 0 && is_upper) { /* all that lies lower, on the first point but one */
            out->mass[1] += pair->probability *
                            (mixture_mass(&pair->p, pair->sigma, fmin(before, x), fmax(before, x), &error) + error);
        } else if (i > 0) {
            add_cell(pair, out, i, h, before, x, is_upper);
        }
        before = x;
    }
    double end = rising ? INFINITY : -INFINITY;
    double above = mixture_mass(&pair->p, pair->sigma, fmin(before, end), fmax(before, end), &error);
    if (is_upper)
        out->infinite += pair->probability * (above + error);
    else
        out->mass[out->n - 1] += pair->probability * fmax(above - error, 0);
}

/* Laplace: P = Lap(0, b), Q = Lap(1, b): atoms at both ends and e^{-x/b}/(2b) between, where the loss is (1 - 2x)/b. */
static void add_laplace(double a, struct cells *out, double h, bool is_upper)
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
        double loss = (out->first + (double)i) * h;
        if (!is_upper) {
            out->mass[i] += p * (1 - 1e-14);
            continue;
        }
        p *= 1 + 1e-14;
        double right = fmin(fmax((p - q * (1 - 1e-14) * exp(loss)) / -expm1(-h), 0), p);
        out->mass[i] += p - right;
        out->mass[i + 1] += right;
    }
}

static void add_gaussian(double mu, struct cells *out, double h, bool is_upper)
{
    struct sg_pair pair = {.probability = 1, .sigma = 1 / mu};
    pair.p = (struct sg_mixture){.n = 1, .shift = {1}, .weight = {1}};
    pair.q = (struct sg_mixture){.n = 1, .weight = {1}};
    add_branch(&pair, out, h, is_upper);
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
static bool multiply(struct grid *g, const struct sg_fft *fft, const struct cells *cells, double count)
{
    double *re = calloc(2 * GRID, sizeof *re), *im = re + GRID, total = 0, weight_error = 0, most = -INFINITY;
    if (!re)
        return false;
    for (size_t i = 0; i < cells->n; i++)
        most = fmax(most, cells->mass[i] > 0 ? log(cells->mass[i]) + g->theta * (cells->first + (double)i) * g->h
                                             : -INFINITY);
    /* position 0 of the transform is grid index 0; the window is unrolled when read */
    for (size_t i = 0; i < cells->n; i++) {
        if (!(cells->mass[i] > 0))
            continue;
        double index = cells->first + (double)i, w = exp(log(cells->mass[i]) + g->theta * index * g->h - most);
        long long at = (long long)fmod(index, GRID);
        re[at < 0 ? at + GRID : at] += w;
        total += w;
        /* the weight's own rounding, and the loss of the cell's end: both move ln M */
        weight_error +=
            w * 8 * SG_UNIT * (4 + fabs(most) + fabs(log(cells->mass[i])) + 60 * g->theta * fabs(index) * g->h);
    }
    weight_error /= total;
    for (size_t i = 0; i < GRID; i++)
        re[i] /= total;
    sg_fft_run(fft, false, re, im);
    double norm = 0, powered = 0;
    for (size_t i = 0; i < GRID; i++) {
        double size2 = re[i] * re[i] + im[i] * im[i], log_size = 0.5 * log(fmax(size2, 1e-300)),
               turn = atan2(im[i], re[i]);
        double size = exp(count * log_size), r = size * cos(count * turn), m = size * sin(count * turn);
        double a = g->sum_r[i], b = g->sum_i[i];
        g->sum_r[i] = a * r - b * m, g->sum_i[i] = a * m + b * r;
        norm += size2, powered += size * size;
    }
    g->log_scale += count * (most + log(total));
    g->error += count * (log2(GRID) * SG_FFT_ETA * sqrt(norm / GRID) + 16 * SG_UNIT * sqrt(powered / GRID));
    g->drift += count * weight_error;
    free(re);
    return true;
}

static bool compose_event(struct grid *g, const struct sg_fft *fft, const struct sg_composition *composition,
                          size_t which, double rest, bool is_upper)
{
    double low, high, count = 1;
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
    struct cells cells = {.first = fmax(floor(low / g->h) - 2, ceil(high / g->h) - CELLS_MAX)};
    double n = ceil(high / g->h) - cells.first + 3;
    if (!(n < 2 * CELLS_MAX) || !(high < CELLS_MAX / 2 * g->h))
        return false;
    cells.n = (size_t)n;
    cells.mass = calloc(cells.n, sizeof *cells.mass);
    bool ok = cells.mass;
    if (ok && which < n_events)
        for (int b = 0; b < composition->events[which].n_branches; b++)
            add_branch(&composition->events[which].branch[b], &cells, g->h, is_upper);
    else if (ok && which < n_events + n_laplaces)
        add_laplace(composition->laplaces[which - n_events].loss_max, &cells, g->h, is_upper);
    else if (ok)
        add_gaussian(sqrt(composition->gaussian_mu2) * (is_upper ? 1 + 0x1p-50 : 1 - 0x1p-50), &cells, g->h, is_upper);
    g->infinite += is_upper ? count * cells.infinite : 0;
    ok = ok && multiply(g, fft, &cells, count);
    free(cells.mass);
    return ok;
}

static void grid_close(struct grid *g)
{
    free(g->mass);
    memset(g, 0, sizeof *g);
}

/* Composes on the window that starts at `start` (a loss) with period P = GRID h, tilted by theta. */
static bool grid_open(const struct sg_composition *composition, double start, double period, double theta, double delta,
                      bool is_upper, struct grid *g)
{
    struct sg_fft fft;
    *g = (struct grid){.h = period / GRID, .theta = theta};
    g->start = floor(start / g->h);
    g->mass = calloc(4 * GRID, sizeof *g->mass);
    if (!g->mass || !sg_fft_open(GRID, &fft))
        return false;
    g->imag = g->mass + GRID, g->sum_r = g->mass + 2 * GRID, g->sum_i = g->mass + 3 * GRID;
    for (size_t i = 0; i < GRID; i++)
        g->sum_r[i] = 1;
    size_t n = composition->n_events + composition->n_laplaces + (composition->gaussian_mu2 > 0);
    double rest = delta * 1e-10 / sg_composition_count(composition);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = compose_event(g, &fft, composition, i, rest, is_upper);
    if (ok) {
        sg_fft_run(&fft, true, g->sum_r, g->sum_i);
        double norm = 0;
        for (size_t i = 0; i < GRID; i++) {
            double index = fmod(g->start + (double)i, GRID);
            g->mass[i] = g->sum_r[(size_t)(index < 0 ? index + GRID : index)] / GRID;
            norm += g->mass[i] * g->mass[i];
        }
        g->error += log2(GRID) * SG_FFT_ETA * sqrt(norm) + 4 * SG_UNIT;
    }
    sg_fft_close(&fft);
    return ok;
}

/* Reads from the right: the least epsilon whose bound is within delta (upper), or the largest whose bound is not
 * (lower). */
static double read_epsilon(const struct grid *g, double delta, bool is_upper)
{
    double step = exp(-g->theta * g->h), near = exp(-g->h), above = 0, below = 0;
    double kernel = g->error / sqrt(-expm1(-2 * g->theta * g->h));
    double extra = is_upper ? g->infinite + g->lost : -1e-8 * delta;
    for (size_t k = GRID - 1;; k--) {
        /* above, below: the sums over l > k of p_l and p_l e^{-(l - l_k)}, in units of e^{log_scale - theta l_k} */
        double unit = exp(fmin(g->log_scale - g->theta * (g->start + (double)k) * g->h, 700));
        double relative = expm1(g->drift);
        double value = is_upper ? (above - below + kernel) * unit * (1 + relative) + extra
                                : (above - below - kernel) * unit * (1 - relative) + extra;
        if (value > delta || k == 0) {
            double loss = (g->start + (double)k) * g->h;
            if (k == 0 && value <= delta)
                return loss; /* even here: the caller's window starts at or below 0 in that case */
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

/* The window for delta near the saddle's epsilon: a period that keeps the left wrap below 1e-9 delta, and a right end
 * beyond which Chernoff at the same tilt leaves as little. */
static bool plan_window(const struct sg_composition *composition, double delta, const struct sg_saddle *saddle,
                        double *start, double *period)
{
    struct sg_nodes nodes = {0};
    double need = -log(1e-9 * delta), c = saddle->c;
    struct sg_tilt tilt = sg_composition_tilt(composition, c, &nodes);
    sg_nodes_close(&nodes);
    *start = saddle->epsilon > 0 ? saddle->epsilon * 0.25 : saddle->epsilon * 1.25;
    *period = fmax((tilt.log_mgf + need + 0.5) / c - *start, (need + 0.1) / c);
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
    memcpy(copy->events, given->events, given->n_events * sizeof *copy->events);
    *left_out = 0;
    bool rising = given->n_events && given->events[0].branch[0].p.n > 1;
    if (rising)
        *left_out = sg_composition_thin(copy, 1e-9 * delta);
    *saddle = sg_saddle_find(copy, target, by_delta, &nodes);
    sg_nodes_close(&nodes);
    return saddle->ok;
}

bool sg_pld_epsilon(const struct sg_composition *given, double delta, double epsilon_max, double *lower, double *upper)
{
    struct sg_composition composition;
    struct sg_saddle saddle;
    double start, period, left_out;
    bool ok = prepare(given, log(delta), true, delta, &composition, &saddle, &left_out) &&
              plan_window(&composition, delta, &saddle, &start, &period);
    *lower = 0, *upper = epsilon_max;
    for (int pass = 0; ok && pass < 2; pass++) {
        bool is_upper = pass == 0;
        struct grid g;
        ok = grid_open(given, start, period, saddle.c, delta, is_upper, &g);
        if (ok) {
            g.lost = exp(g.log_scale + g.drift - g.theta * (g.start + GRID - 1) * g.h) * (1 + 1e-9);
            double epsilon = fmax(read_epsilon(&g, delta, is_upper), 0);
            if (is_upper)
                *upper = fmin(epsilon, epsilon_max);
            else
                *lower = fmin(epsilon, *upper);
        }
        grid_close(&g);
    }
    free(composition.events);
    return ok;
}

bool sg_pld_delta(const struct sg_composition *given, double epsilon, double *upper)
{
    struct sg_composition composition;
    struct sg_saddle saddle;
    struct grid g = {0};
    double start, period, left_out;
    bool ok = prepare(given, epsilon, false, 1e-12, &composition, &saddle, &left_out);
    double delta = ok ? exp(fmax(saddle.log_delta, -600)) : 1;
    ok = ok && plan_window(&composition, delta, &saddle, &start, &period) &&
         grid_open(given, start, period, saddle.c, delta, true, &g);
    if (ok) {
        double point = floor(epsilon / g.h * (1 - 1e-15)) - g.start;
        g.lost = exp(g.log_scale + g.drift - g.theta * (g.start + GRID - 1) * g.h) * (1 + 1e-9);
        ok = point >= 0 && point < GRID;
        *upper = ok ? fmin(read_delta(&g, (size_t)point), 1) : 1;
    }
    grid_close(&g);
    free(composition.events);
    return ok;
}
