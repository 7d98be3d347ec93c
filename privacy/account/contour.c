#include "contour.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"
#include "line.h"
#include "saddle.h"
#include "strip.h"
#include "wheel.h"

static const double work_max = 2e7, work_cheap = 4e6; /* node visits; a twentieth and a hundredth of a second */
static const double alias_share = 1e-8, tail_share = 1e-8;

struct entry {
    double log_modulus, phase, relative; /* of e^{K(c+it)-K(c)}, the rotation taken out */
};

static void add_wheel(const struct sg_wheel *wheel, double t, double re, double im, struct entry *entry)
{
    double modulus2 = (1 + re) * (1 + re) + im * im, error = sg_wheel_error(wheel, t);
    double size = sqrt(fmax(modulus2, 1e-300));
    double log_modulus = sg_log_one_plus(re, im);
    double phase = atan2(im, 1 + re);
    double step_error = error / size + 6 * SG_UNIT * (fabs(re) + fabs(im)) / size;
    if (error > size / 4) { /* nothing is known of the phase: all of it is error */
        log_modulus = log(size + error);
        step_error = 800 / wheel->count;
    } else {
        step_error *= 1.34; /* ln(1 + x) against x for |x| <= 1/4 */
    }
    entry->log_modulus += wheel->count * log_modulus;
    entry->phase += wheel->count * phase;
    entry->relative += wheel->count * (step_error + 2 * SG_UNIT * (fabs(log_modulus) + fabs(phase)));
}

/* ln M(c+it) - ln M(c) of a Laplace event: closed form. */
static void add_laplace(const struct sg_laplace *laplace, double c, double t, struct entry *entry)
{
    double a = laplace->loss_max, back = exp(-(2 * c + 1) * a);
    /* ((c+1+it) + (c+it) back e^{-2ita}) / (2c+1+2it), over the same at t = 0, times e^{ita}: |.| and arg */
    double cosine = cos(2 * t * a), sine = -sin(2 * t * a);
    double re = c + 1 + back * (c * cosine - t * sine), im = t + back * (c * sine + t * cosine);
    double below = 2 * c + 1, re0 = c + 1 + c * back;
    double log_modulus = 0.5 * log((re * re + im * im) / (re0 * re0)) - 0.5 * log1p(4 * t * t / (below * below));
    double phase = atan2(im, re) - atan2(2 * t, below) + t * a;
    entry->log_modulus += laplace->count * fmin(log_modulus, 0);
    entry->phase += laplace->count * phase;
    entry->relative += laplace->count * SG_UNIT * (60 + 8 * t * a) * (1 + 2 * back);
}

struct builder {
    double work_max;
    double enough; /* tail wanted, in units of the sum */
    const struct sg_composition *composition;
    struct sg_line_sum *table;
    struct sg_wheel *wheels;
    struct sg_bridge *bridges;
    double *centre;
    struct sg_nodes nodes;
    double *n_real; /* nodes at t = 0 */
    double digits, t_max, t_end;
    size_t since_set;
};

static bool open_wheels(struct builder *b, double t_max)
{
    for (size_t i = 0; i < b->composition->n_events; i++) {
        sg_wheel_close(&b->wheels[i]);
        if (!sg_wheel_open(&b->composition->events[i], b->table->c, t_max, b->digits, b->centre[i], &b->nodes,
                           &b->wheels[i]))
            return false;
        sg_wheel_set(&b->wheels[i], b->table->dt, b->wheels[i].rr, b->wheels[i].ri);
    }
    b->t_max = t_max;
    b->since_set = SG_WHEEL_RESYNC;
    return true;
}

/* Bounds of sum_{t_k > t} |g_k| on a ladder of t, 15 % a rung, summed from its far end; then the lowest rung whose
 * bound is small against delta. No oscillating integrand is evaluated for it, so that what cannot work fails at once.
 */
static bool plan_tail(struct builder *b, double variance)
{
    enum { RUNGS = 220 };
    double rung[RUNGS + 1], block[RUNGS], dt = b->table->dt, mu2 = b->composition->gaussian_mu2, rest_sum = INFINITY;
    int n = 0;
    double t = variance > 0 ? fmax(2.5 / sqrt(variance), 2 * dt) : 2 * dt;
    for (; n < RUNGS; n++, t *= 1.15) {
        double rest = mu2 * t * t / 2, here = rest;
        for (size_t i = 0; i < b->composition->n_events; i++) {
            double count = b->composition->events[i].count;
            here += count * sg_bridge_decay(&b->bridges[i], t, t * 1.15);
            rest += count * sg_bridge_decay(&b->bridges[i], t, INFINITY);
        }
        rung[n] = t;
        block[n] = exp(-here) * (0.15 * t / dt + 1) / (t * t);
        rest_sum = exp(-rest) / (t * dt);
        if (rest_sum <= b->enough * 1e-3)
            break;
    }
    rung[n] = t;
    int usable = -1;
    for (int k = n; k >= 0; k--) {
        double sum = rest_sum;
        if (k < n)
            sum = rest_sum += block[k];
        if (rung[k] < dt * SG_LINE_POINTS_MAX && sum <= b->enough * 1e6 && (usable < 0 || sum <= b->enough))
            usable = k, b->table->tail = sum * (1 + 1e-9);
        if (sum > b->enough * 1e6)
            break;
    }
    b->t_end = usable >= 0 ? rung[usable] : 0;
    return usable >= 0;
}

static struct entry entry_at(struct builder *b, size_t j)
{
    const struct sg_composition *composition = b->composition;
    double t = (double)j * b->table->dt, c = b->table->c;
    struct entry entry = {-composition->gaussian_mu2 * t * t / 2, 0, 0};
    entry.relative = 8 * SG_UNIT * fabs(entry.log_modulus);
    bool set = b->since_set >= SG_WHEEL_RESYNC;
    for (size_t i = 0; i < composition->n_events; i++) {
        struct sg_wheel *wheel = &b->wheels[i];
        double re, im;
        if (set)
            sg_wheel_set(wheel, t, wheel->er, wheel->ei);
        sg_wheel_sum(wheel, &re, &im);
        add_wheel(wheel, t, re, im, &entry);
    }
    b->since_set = set ? 1 : b->since_set + 1;
    for (size_t i = 0; i < composition->n_laplaces; i++)
        add_laplace(&composition->laplaces[i], c, t, &entry);
    return entry;
}

/* Node visits that the sum up to t_end will take. */
static double expected_work(const struct builder *b)
{
    double nodes = 0;
    for (size_t i = 0; i < b->composition->n_events; i++) {
        const struct sg_event *event = &b->composition->events[i];
        struct sg_scan scan = {.value = NULL};
        bool ok = sg_scan_open(&event->branch[0], b->table->c, b->digits, &scan);
        nodes += ok ? b->n_real[i] * sg_scan_step(&event->branch[0], b->table->c, 0, b->digits, &scan).h /
                          sg_scan_step(&event->branch[0], b->table->c, b->t_end, b->digits, &scan).h
                    : INFINITY;
        sg_scan_close(&scan);
    }
    return nodes * b->t_end / b->table->dt;
}

/* Fills the table up to t_end, with more nodes as the integrand turns faster. */
static bool fill(struct builder *b)
{
    struct sg_line_sum *table = b->table;
    for (size_t j = 0; j == 0 || (double)(j - 1) * table->dt < b->t_end; j++) {
        double t = (double)j * table->dt;
        if (t > b->t_max && !open_wheels(b, fmin(3 * t, b->t_end + 2 * table->dt)))
            return false;
        struct entry entry = entry_at(b, j);
        double modulus = exp(entry.log_modulus);
        sg_line_store(table, j, cos(entry.phase) * modulus, sin(entry.phase) * modulus,
                      modulus * (expm1(fmin(entry.relative, 50)) + 2 * SG_UNIT * fabs(entry.phase)));
    }
    return true;
}

static bool table_build(const struct sg_composition *composition, double work, double c, double period, double alias_c2,
                        double alias_log, double epsilon, double delta, struct sg_line_sum *table)
{
    size_t n = composition->n_events;
    struct builder b = {.work_max = work, .composition = composition, .table = table};
    *table = (struct sg_line_sum){.c = c, .dt = 2 * M_PI / period, .alias_c2 = alias_c2, .alias_log = alias_log};
    bool ok = sg_line_open(table);
    b.wheels = calloc(n + 1, sizeof *b.wheels);
    b.bridges = calloc(n + 1, sizeof *b.bridges);
    b.centre = calloc(2 * (n + 1), sizeof *b.centre);
    b.n_real = b.centre + n + 1;
    b.digits = 48 + log(sg_composition_count(composition));
    ok = ok && b.wheels && b.bridges && b.centre;
    if (ok) {
        double variance = composition->gaussian_mu2;
        struct sg_tilt tilt = sg_composition_tilt(composition, c, &b.nodes);
        table->log_scale = tilt.log_mgf, table->log_error = tilt.error;
        b.enough = tail_share * exp(fmin(log(delta) - tilt.log_mgf + c * epsilon - log(table->dt / M_PI), 600));
        ok = isfinite(table->log_scale);
        table->shift = composition->gaussian_mu2 * (c + 0.5);
        for (size_t i = 0; ok && i < n; i++) {
            ok = sg_nodes_tilt(&composition->events[i], c, 0, b.digits, &b.nodes) &&
                 sg_bridge_open(&composition->events[i], c, b.nodes.log_mgf + b.nodes.log_mgf_error, &b.bridges[i]);
            variance += composition->events[i].count * b.nodes.variance;
            b.centre[i] = b.nodes.mean, b.n_real[i] = (double)b.nodes.n;
            table->shift += composition->events[i].count * b.nodes.mean;
        }
        ok = ok && plan_tail(&b, variance) && expected_work(&b) < b.work_max &&
             open_wheels(&b, fmin(fmax(9 / sqrt(variance), 8 * table->dt), b.t_end + 2 * table->dt)) && fill(&b);
    }
    for (size_t i = 0; i < n; i++) {
        if (b.wheels)
            sg_wheel_close(&b.wheels[i]);
        if (b.bridges)
            sg_bridge_close(&b.bridges[i]);
    }
    free(b.wheels);
    free(b.bridges);
    free(b.centre);
    sg_nodes_close(&b.nodes);
    return ok;
}

static double log_mgf(const struct sg_composition *composition, double c, struct sg_nodes *nodes)
{
    struct sg_tilt tilt = sg_composition_tilt(composition, c, nodes);
    return tilt.log_mgf + tilt.error;
}

struct line {
    double c, period, c2, alias_log;
};

/* The period that keeps both aliasing sums below alias_share delta at epsilon, on the line Re s = c. */
static struct line try_line(const struct sg_composition *composition, double c, double epsilon, double delta,
                            struct sg_nodes *nodes)
{
    static const double factors[] = {1.1, 1.3, 1.6, 2, 3, 5};
    double need = -log(alias_share * delta);
    struct line best = {.c = c, .period = INFINITY};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        double c2 = c * factors[i], log_bound = log_mgf(composition, c2, nodes) + c2 * log(c2) - (1 + c2) * log1p(c2);
        double period = (log_bound - c2 * epsilon + need + 0.1) / (c2 - c);
        period = fmax(period, 0.1 / (c2 - c));
        if (period < best.period)
            best = (struct line){c, period, c2, log_bound};
        else if (period > 4 * best.period)
            break;
    }
    best.period = fmax(best.period, (need + 0.1) / c);
    return best;
}

/* Any line is valid. A shorter period needs fewer points; away from the saddle the terms cancel, which costs digits. */
static bool choose_line(const struct sg_composition *composition, double saddle, double epsilon, double delta,
                        struct line *out)
{
    static const double factors[] = {1, 0.85, 0.7, 0.55};
    struct sg_nodes nodes = {0};
    double nats = INFINITY;
    *out = (struct line){.period = INFINITY};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        double c = saddle * factors[i];
        double level = log_mgf(composition, c, &nodes) - c * epsilon - log(c) - log1p(c);
        nats = fmin(nats, level);
        if (level > nats + 4)
            break;
        struct line line = try_line(composition, c, epsilon, delta, &nodes);
        if (line.period < 0.8 * out->period)
            *out = line;
        else if (line.period > 1.5 * out->period)
            break;
    }
    sg_nodes_close(&nodes);
    return isfinite(out->period) && out->period > 0;
}

static bool build_at(const struct sg_composition *composition, double work, double c, double epsilon, double delta,
                     struct sg_line_sum *table)
{
    struct line line;
    return choose_line(composition, c, epsilon, delta, &line) &&
           table_build(composition, work, line.c, line.period, line.c2, line.alias_log, epsilon, delta, table);
}

/* The line would have to lie where the moments explode, or much would cancel on it. */
static bool is_unfit(const struct sg_saddle *saddle, double delta)
{
    return !saddle->ok || fabs(saddle->log_delta - log(delta)) > 0.5 || saddle->cancellation > 4;
}

/* One law, thinned or not: tables from the saddle until the bounds meet. The saddle-point approximation is good for
 * sums of many small losses; where it was not, the next table starts from the figure of the last. */
static bool approach(const struct sg_composition *composition, double work, struct sg_saddle saddle, double delta,
                     double left_out, double *lower, double *upper)
{
    struct sg_line_sum table = {0};
    struct sg_nodes nodes = {0};
    for (int pass = 0; saddle.ok && pass < 3; pass++) {
        double hint = fmax(saddle.epsilon, 0), last = saddle.c;
        bool built = build_at(composition, work, saddle.c, hint, delta, &table);
        if (built) {
            double up = sg_line_solve_upper(&table, delta - left_out, hint),
                   low = sg_line_solve_lower(&table, delta, up);
            *lower = fmax(*lower, isfinite(up) ? low : 0);
            *upper = fmin(*upper, up);
        }
        sg_line_close(&table);
        if (!built || !isfinite(*upper) || *upper - *lower < 3e-8 * *upper)
            break;
        saddle = sg_saddle_find(composition, *upper, false, saddle.c, &nodes);
        if (fabs(saddle.c - last) < 0.03 * last)
            break;
    }
    sg_nodes_close(&nodes);
    return isfinite(*upper) && *upper - *lower <= 1e-5 * *upper;
}

bool sg_contour_epsilon(struct sg_composition *composition, enum sg_contour_form form, double delta, double *lower,
                        double *upper)
{
    struct sg_nodes nodes = {0};
    *lower = 0, *upper = INFINITY;
    struct sg_saddle saddle = sg_saddle_find(composition, log(delta), true, 5, &nodes);
    bool fits = form == SG_CONTOUR_WHOLE || !is_unfit(&saddle, delta);
    bool is_thinned = form == SG_CONTOUR_CHEAP_THINNED || form == SG_CONTOUR_THINNED;
    double work = form == SG_CONTOUR_CHEAP || form == SG_CONTOUR_CHEAP_THINNED ? work_cheap : work_max;
    bool done = fits && approach(composition, work, saddle, delta, 0, lower, upper);
    /* Rare large losses make the moments explode before the saddle: leave out what happens with probability 1e-8 delta.
     */
    double sharpest = form == SG_CONTOUR_CHEAP_THINNED ? 8 : 32;
    for (double sharpness = 8; is_thinned && !done && sharpness <= sharpest; sharpness *= 4) {
        double left_out = sg_composition_thin(composition, alias_share * delta, sharpness);
        saddle = sg_saddle_find(composition, log(delta), true, saddle.ok ? saddle.c : 5, &nodes);
        done = approach(composition, work, saddle, delta, left_out, lower, upper) ||
               (saddle.ok && fabs(saddle.log_delta - log(delta)) < 0.5);
    }
    sg_composition_unthin(composition);
    sg_nodes_close(&nodes);
    return isfinite(*upper);
}

bool sg_contour_delta(const struct sg_composition *composition, double epsilon, double enough, double *lower,
                      double *upper)
{
    struct sg_line_sum table = {0};
    struct sg_nodes nodes = {0};
    struct sg_saddle saddle = sg_saddle_find(composition, epsilon, false, 5, &nodes);
    bool ok = false;
    *lower = 0, *upper = 1;
    if (saddle.ok) {
        double c = saddle.c, bound = log_mgf(composition, c, &nodes) - c * epsilon + c * log(c) - (1 + c) * log1p(c);
        *upper = fmin(exp(bound + 1e-9), 1); /* Chernoff's */
        ok = *upper <= enough;
        if (!ok && build_at(composition, work_max, c, epsilon, exp(fmax(saddle.log_delta, -600)), &table)) {
            sg_line_delta(&table, epsilon, lower, upper);
            ok = true;
        }
    }
    sg_line_close(&table);
    sg_nodes_close(&nodes);
    return ok;
}
