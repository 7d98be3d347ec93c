#include "pld.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fft.h"
#include "cells.h"
#include "saddle.h"

enum { GRID = 1 << 16 };
static const double steep = 1.5;
static const double left_out_share =
    1e-5; /* of delta: the larger, the less the moments explode, and the farther the tilt */

/* The composed, tilted distribution on the window [start, start + GRID) of multiples of h. */
struct grid {
    double h, theta, log_scale; /* p_l = mass[l] e^{log_scale - theta (start + l) h} */
    double start;
    double infinite;        /* probability put at an infinite loss */
    double shift;           /* the dominated law's losses are these less the shift */
    double lost;            /* bound of the mass right of the window, */
    double wrapped;         /* and of what it adds inside by wrapping round */
    double log_scale_steep; /* ln of the moment at steep * theta, for that */
    double error;           /* 2-norm of the rounding error of `mass` */
    double drift;           /* relative error of the whole by rounding of weights and of the cells' ends */
    double *mass, *sum_r, *sum_i;
};

/* Multiplies the running spectrum by the tilted cells' spectrum to the power count. */
static bool multiply(struct grid *g, const struct sg_fft *fft, const struct sg_cells *cells)
{
    const double *mass = cells->mass, count = cells->count;
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

static bool compose_step(struct grid *g, const struct sg_fft *fft, const struct sg_composition *composition,
                         size_t which, double rest, bool is_upper)
{
    struct sg_cells cells;
    bool ok = sg_cells_open(composition, which, g->h, rest, is_upper, &cells) && multiply(g, fft, &cells);
    g->infinite += cells.count * cells.infinite;
    g->shift += cells.count * cells.shift;
    sg_cells_close(&cells);
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

/* Composes on the window that starts at `start` (a loss) with period P = GRID h, tilted by theta: the dominating law or
 * the dominated one. Close it also after failure. */
static bool grid_open(const struct sg_composition *composition, double start, double period, double theta, double delta,
                      bool is_upper, const struct sg_fft *fft, struct grid *g)
{
    bool ok = grid_make(start, period, theta, g);
    size_t n = composition->n_events + composition->n_laplaces + (composition->gaussian_mu2 > 0);
    double rest = delta * left_out_share / sg_composition_count(composition);
    for (size_t i = 0; ok && i < n; i++)
        ok = compose_step(g, fft, composition, i, rest, is_upper);
    if (ok)
        grid_finish(g, fft);
    return ok && isfinite(g->log_scale) && isfinite(g->error) && isfinite(g->drift);
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
                return (loss - g->shift) * (1 - 1e-15);
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
        *left_out = sg_composition_thin(copy, left_out_share * delta, sharpness);
        *saddle = sg_saddle_find(copy, target, by_delta, saddle->ok ? saddle->c : 5, &nodes);
    }
    sg_nodes_close(&nodes);
    return saddle->ok;
}

enum { TILTS = 4 };

/* The dominated law needs a window so wide that what wraps round from the right is negligible too. */
static double below(const struct sg_composition *given, const struct sg_composition *thinned, double start,
                    double period, double theta, double delta, const struct sg_fft *fft)
{
    struct sg_nodes nodes = {0};
    struct grid g = {.h = 0};
    double need = -log(1e-6 * delta), lower = 0;
    struct sg_tilt tilt = sg_composition_tilt(thinned, steep * theta, &nodes);
    sg_nodes_close(&nodes);
    double wide = (tilt.log_mgf + need - theta * start) / ((steep - 1) * theta) - start;
    if (isfinite(wide))
        period = fmin(fmax(period, wide), 8 * period);
    if (grid_open(given, start, period, theta, delta, false, fft, &g))
        lower = fmax(read_epsilon(&g, delta, false), 0);
    grid_close(&g);
    return lower;
}

static bool is_mirrored(const struct sg_composition *composition)
{
    return composition->n_events && composition->events[0].is_mirrored;
}

static double above(const struct sg_composition *given, const struct sg_composition *thinned,
                    const struct sg_saddle *saddle, double c, double delta, const struct sg_fft *fft)
{
    struct grid g = {.h = 0};
    struct sg_saddle here = *saddle;
    double start = fmin(saddle->epsilon, 0) * 1.01, period, upper = INFINITY;
    here.c = c;
    if (plan_window(thinned, delta, &here, start, &period) && grid_open(given, start, period, c, delta, true, fft, &g))
        upper = fmax(read_epsilon(&g, delta, true), 0);
    grid_close(&g);
    return upper;
}

/* The saddle-point approximation may tilt too far or too little where few steps make the law ragged. Any tilt is valid:
 * it is halved, or else doubled, while that helps. The dominated law is best tilted a little less. */
bool sg_pld_epsilon(const struct sg_composition *given, double delta, double epsilon_max, double *lower, double *upper)
{
    struct sg_composition thinned;
    struct sg_saddle saddle;
    double left_out;
    struct sg_fft fft = {0};
    *lower = 0, *upper = INFINITY;
    bool ok = prepare(given, log(delta), true, delta, &thinned, &saddle, &left_out) && sg_fft_open(GRID, &fft);
    double best = saddle.c, gain = 1;
    if (ok)
        *upper = above(given, &thinned, &saddle, best, delta, &fft);
    for (int k = 0, direction = -1, tried = 0; ok && k < TILTS; k++) {
        double next = best * (direction < 0 ? 0.5 : 2), here = above(given, &thinned, &saddle, next, delta, &fft);
        gain = here < *upper ? here / *upper : 1;
        if (here < *upper)
            *upper = here, best = next, tried++;
        if (!(gain < 0.98)) {
            if (direction > 0 || tried > 0)
                break;
            direction = 1;
        }
    }
    if (ok && !is_mirrored(given)) {
        double start = fmin(saddle.epsilon, 0) * 1.01, period;
        saddle.c = best * 0.7;
        if (plan_window(&thinned, delta, &saddle, start, &period))
            *lower = below(given, &thinned, start, period, saddle.c, delta, &fft);
    }
    sg_fft_close(&fft);
    free(thinned.events);
    ok = ok && isfinite(*upper);
    *upper = fmin(*upper, epsilon_max);
    return ok;
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
        struct grid g = {.h = 0};
        double hint = fmin(delta, exp(fmax(saddle.log_delta, -600))), before = delta;
        if (plan_window(&thinned, hint, &saddle, 0, &period) &&
            grid_open(given, 0, period, saddle.c, hint, true, &fft, &g)) {
            double point = floor(epsilon / g.h * (1 - 1e-15)) - g.start;
            if (point >= 0 && point < GRID) {
                delta = fmin(delta, read_delta(&g, (size_t)point));
                any = true;
            }
        }
        grid_close(&g);
        if (any && (delta <= enough || !(delta < before * 0.998)))
            break;
    }
    *upper = delta;
    sg_fft_close(&fft);
    free(thinned.events);
    return any;
}
