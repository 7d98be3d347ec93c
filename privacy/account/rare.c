#include "rare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "closed.h"
#include "line.h"
#include "parted.h"
#include "strip.h"
#include "wheel.h"

enum { TURNS = 6, RUNGS = 160, PASSES = 3 };
static const double tail_share = 1e-8, work_max = 3e7;

/* Where rest(c) - c eps - ln c(c+1) is least; what cannot be computed counts as too far. */
static double saddle(struct sg_parted *p, double epsilon)
{
    double low = log(1e-9), high = log(1e9), at = log(4 / epsilon), step = 0.7;
    bool has_low = false, has_high = false;
    for (int i = 0; i < 40 && high - low > 0.03; i++) {
        double c = exp(at);
        struct sg_parted_moment m = sg_parted_moment_at(p, c);
        if (!m.ok || m.slope - epsilon - 1 / c - 1 / (1 + c) > 0)
            high = at, has_high = true;
        else
            low = at, has_low = true;
        at = has_low && has_high ? (low + high) / 2 : has_low ? at + step : at - step;
        if (!(at > low && at < high))
            at = (low + high) / 2;
    }
    return exp(low);
}

struct line {
    double c, period, c2, alias_log;
};

static double log_alias(struct sg_parted *p, double c)
{
    struct sg_parted_moment m = sg_parted_moment_at(p, c);
    return m.ok ? m.rest + 1e-6 + m.error + c * log(c) - (1 + c) * log1p(c) : INFINITY;
}

/* The shortest period on the line through c, and on one to its left. */
static struct line choose_line(struct sg_parted *p, double saddle_c, double epsilon, double delta)
{
    static const double factors[] = {1.15, 1.4, 1.8, 2.6, 4}, lefts[] = {1, 0.8, 0.5, 0.3};
    double need = -log(SG_RARE_LEFT_OUT * delta);
    struct line best = {.period = INFINITY};
    for (int l = 0; l < 4 && (l < 2 || best.period == INFINITY); l++) {
        double c = saddle_c * lefts[l], last = INFINITY;
        for (size_t k = 0; k < sizeof factors / sizeof *factors; k++) {
            double c2 = c * factors[k], bound = log_alias(p, c2);
            double period =
                fmax((bound - c2 * epsilon + need + 0.1) / (c2 - c), fmax(0.1 / (c2 - c), (need + 0.1) / c));
            if (period < best.period * (l ? 0.8 : 1))
                best = (struct line){c, period, c2, bound};
            if (period > last || !isfinite(bound))
                break;
            last = period;
        }
    }
    return best;
}

/* Bounds of |M_tail(c + it)| for one event: the integral of the modulus along x + i theta sigma^2, where e^{itL} falls
 * as the loss turns. ln of it over M_core(c). */
struct fall {
    size_t n;
    double *level, *angle; /* TURNS rows of n cells: ln of the cell's share, and the least turn in it */
};

static bool fall_open(const struct sg_event *event, double c, double digits, double log_core, struct fall *out)
{
    const struct sg_pair *pair = &event->branch[0];
    struct sg_scan scan = {.value = NULL};
    bool ok = sg_scan_open(pair, c, digits, &scan);
    out->n = ok ? scan.n + 2 : 0;
    out->level = ok ? malloc(2 * TURNS * out->n * sizeof *out->level) : NULL;
    for (int r = 0; out->level && r < TURNS; r++) {
        static const double thetas[TURNS] = {0.08, 0.16, 0.3, 0.55, 0.9, 1.4};
        double theta = thetas[r] / pair->p.shift[pair->p.n - 1];
        out->angle = out->level + TURNS * out->n;
        sg_scan_turns(pair, c, theta, &scan, out->level + (size_t)r * out->n, out->angle + (size_t)r * out->n);
        for (size_t k = 0; k < out->n; k++)
            out->level[(size_t)r * out->n + k] += log(1 / (pair->sigma * sqrt(2 * M_PI))) - log_core;
    }
    sg_scan_close(&scan);
    return out->level;
}

static double fall_at(const struct fall *fall, double t)
{
    double best = INFINITY;
    for (int r = 0; r < TURNS; r++) {
        const double *level = fall->level + (size_t)r * fall->n, *angle = fall->angle + (size_t)r * fall->n;
        double sum = 0;
        for (size_t k = 0; k < fall->n && sum < best; k++) {
            double y = level[k] - t * angle[k];
            sum += y > -700 ? exp(y) : 0;
        }
        best = fmin(best, sum);
    }
    return best * (1 + 1e-9);
}

struct builder {
    struct sg_parted *p;
    struct sg_line_sum *sum;
    struct sg_wheel core[SG_PARTED_EVENTS_MAX], tail[SG_PARTED_EVENTS_MAX];
    double core_mean[SG_PARTED_EVENTS_MAX], tail_mean[SG_PARTED_EVENTS_MAX], ratio[SG_PARTED_EVENTS_MAX],
        ratio_error[SG_PARTED_EVENTS_MAX];
    double t_max, t_end;
    struct fall fall[SG_PARTED_EVENTS_MAX];
};

/* |(core + tail)^T - core^T| <= core^T ((1 + |tail|/core)^T - 1), with the core's modulus at most its value at t = 0.
 */
static bool plan_tail(struct builder *b, double epsilon, double delta)
{
    double rung[RUNGS + 1], block[RUNGS + 1], dt = b->sum->dt, most = 0;
    double enough = exp(fmin(log(tail_share * delta * M_PI / dt) - b->sum->log_scale + b->sum->c * epsilon, 600));
    double t = fmax(2 * dt, 1 / epsilon);
    int n = 0;
    for (; n < RUNGS; n++, t *= 1.15) {
        double all = 0;
        for (size_t i = 0; i < b->p->n; i++)
            all += b->p->count[i] * log1p(fall_at(&b->fall[i], t));
        rung[n] = t, most = expm1(all); /* infinite where it is beyond a double */
        block[n] = most * (0.15 * t / dt + 1) / (t * t);
        if (most / (t * dt) < 1e-3 * enough)
            break;
    }
    if (n == RUNGS)
        return false;
    double sum = most / (rung[n] * dt) * 1.01;
    while (n > 0 && sum + block[n - 1] <= enough)
        sum += block[--n];
    b->sum->tail = sum * (1 + 1e-9);
    b->t_end = rung[n];
    return rung[n] / dt < SG_LINE_POINTS_MAX - 2;
}

static bool open_wheels(struct builder *b, double t_max)
{
    double nodes = 0;
    for (size_t i = 0; i < b->p->n; i++) {
        sg_wheel_close(&b->core[i]);
        sg_wheel_close(&b->tail[i]);
        if (!sg_wheel_open(&b->p->core[i], b->sum->c, t_max, b->p->digits, b->core_mean[i], &b->p->nodes,
                           &b->core[i]) ||
            !sg_wheel_open(&b->p->tail[i], b->sum->c, t_max, b->p->digits, b->tail_mean[i], &b->p->nodes, &b->tail[i]))
            return false;
        sg_wheel_set(&b->core[i], b->sum->dt, b->core[i].rr, b->core[i].ri);
        sg_wheel_set(&b->tail[i], b->sum->dt, b->tail[i].rr, b->tail[i].ri);
        nodes += (double)(b->core[i].n + b->tail[i].n);
    }
    b->t_max = t_max;
    return nodes * b->t_end / b->sum->dt < work_max;
}

struct value {
    double re, im, size, error; /* a characteristic function, its modulus and its error */
};

static struct value turn_wheel(struct sg_wheel *wheel, double t)
{
    double re, im;
    sg_wheel_sum(wheel, &re, &im);
    re += 1;
    double size = hypot(re, im);
    return (struct value){re, im, size, sg_wheel_error(wheel, t) + 6 * SG_UNIT};
}

struct entry {
    double log_modulus, phase, relative; /* the core's power */
    double log_power, turn, error;       /* ln of (1 + tail/core)^T: real, imaginary, absolute error */
};

/* False where rounding leaves nothing known of a factor. */
static bool add_event(struct builder *b, size_t i, double t, struct entry *e)
{
    struct value core = turn_wheel(&b->core[i], t), tail = turn_wheel(&b->tail[i], t);
    double count = b->p->count[i], apart = t * (b->tail_mean[i] - b->core_mean[i]);
    if (!(core.error < core.size / 4))
        return false;
    /* tail / core, with the rotations between their centres */
    double scale = b->ratio[i] / (core.size * core.size), sine, cosine;
    sincos(apart, &sine, &cosine);
    double re = scale * (tail.re * core.re + tail.im * core.im), im = scale * (tail.im * core.re - tail.re * core.im);
    double x = re * cosine - im * sine, y = re * sine + im * cosine, size = hypot(x, y);
    double error = b->ratio[i] * 1.34 * (tail.error + tail.size * core.error / core.size) / core.size +
                   size * (b->ratio_error[i] + SG_UNIT * (24 + 4 * fabs(apart)));
    double whole = hypot(1 + x, y);
    if (!(error < whole / 4))
        return false;
    double log_power = sg_log_one_plus(x, y), turn = atan2(y, 1 + x);
    e->log_power += count * log_power, e->turn += count * turn;
    e->error += count * (1.34 * error / whole + 8 * SG_UNIT * (fabs(x) + fabs(y)) / whole +
                         2 * SG_UNIT * (fabs(log_power) + fabs(turn)));
    double log_modulus = log(core.size), phase = atan2(core.im, core.re);
    e->log_modulus += count * log_modulus, e->phase += count * phase;
    e->relative += count * (1.34 * core.error / core.size + 4 * SG_UNIT * (fabs(log_modulus) + fabs(phase)));
    return true;
}

/* False where a value is beyond what can be written down. */
static bool store(struct builder *b, size_t j, const struct entry *e)
{
    if (!(e->log_power < 600 && e->error < 50 && e->log_modulus < 1 && e->relative >= 0))
        return false;
    double modulus = exp(e->log_modulus), power = exp(e->log_power), half = sin(e->turn / 2);
    double x = expm1(e->log_power) * cos(e->turn) - 2 * half * half, y = power * sin(e->turn);
    double cosine = cos(e->phase) * modulus, sine = sin(e->phase) * modulus, size = hypot(x, y);
    double error = power * expm1(e->error) + 12 * SG_UNIT * (size + power * fabs(e->turn));
    /* of the core's power; the power itself is at most 1 */
    double core =
        e->relative < 50 ? modulus * expm1(e->relative) : modulus + exp(fmin(e->log_modulus + e->relative, 0));
    error = (modulus + core) * error + size * (core + modulus * 4 * SG_UNIT * (2 + fabs(e->phase)));
    sg_line_store(b->sum, j, cosine * x - sine * y, cosine * y + sine * x, error);
    return true;
}

static bool fill(struct builder *b)
{
    size_t since_set = 0;
    for (size_t j = 0; j == 0 || (double)(j - 1) * b->sum->dt < b->t_end; j++) {
        double t = (double)j * b->sum->dt;
        if (j == 0 || t > b->t_max) {
            if (!open_wheels(b, fmin(fmax(3 * t, 8 * b->sum->dt), b->t_end + 2 * b->sum->dt)))
                return false;
            since_set = SG_WHEEL_RESYNC;
        }
        struct entry e = {0, 0, 0, 0, 0, 0};
        bool set = since_set >= SG_WHEEL_RESYNC;
        for (size_t i = 0; i < b->p->n; i++) {
            if (set) {
                sg_wheel_set(&b->core[i], t, b->core[i].er, b->core[i].ei);
                sg_wheel_set(&b->tail[i], t, b->tail[i].er, b->tail[i].ei);
            }
            if (!add_event(b, i, t, &e))
                return false;
        }
        since_set = set ? 1 : since_set + 1;
        if (!store(b, j, &e))
            return false;
    }
    return true;
}

static bool measure(struct builder *b)
{
    struct sg_line_sum *sum = b->sum;
    for (size_t i = 0; i < b->p->n; i++) {
        struct sg_nodes *nodes = &b->p->nodes;
        if (!sg_nodes_tilt(&b->p->core[i], sum->c, 0, b->p->digits, nodes))
            return false;
        double log_core = nodes->log_mgf, error = nodes->log_mgf_error;
        sum->log_scale += b->p->count[i] * log_core, sum->log_error += b->p->count[i] * error;
        sum->shift += b->p->count[i] * nodes->mean;
        b->core_mean[i] = nodes->mean;
        if (!sg_nodes_tilt(&b->p->tail[i], sum->c, 0, b->p->digits, nodes))
            return false;
        b->tail_mean[i] = nodes->mean;
        b->ratio[i] = exp(nodes->log_mgf - log_core);
        b->ratio_error[i] = nodes->log_mgf_error + error + 4 * SG_UNIT * (2 + fabs(nodes->log_mgf) + fabs(log_core));
        if (!fall_open(&b->p->tail[i], sum->c, b->p->digits, log_core - error, &b->fall[i]))
            return false;
    }
    sum->log_error += 4 * SG_UNIT * fabs(sum->log_scale) * (double)b->p->n;
    return isfinite(sum->log_scale) && isfinite(sum->log_error);
}

static bool build(struct sg_parted *p, const struct line *line, double epsilon, double delta, struct sg_line_sum *sum)
{
    *sum = (struct sg_line_sum){
        .c = line->c, .dt = 2 * M_PI / line->period, .alias_c2 = line->c2, .alias_log = line->alias_log};
    struct builder *b = calloc(1, sizeof *b);
    bool ok = b && sg_line_open(sum);
    if (ok) {
        b->p = p, b->sum = sum;
        sum->core_c = p->core_c, sum->core_log = p->core_log, sum->core_leak = p->core_leak;
        ok = measure(b) && plan_tail(b, epsilon, delta) && fill(b);
    }
    for (size_t i = 0; b && i < p->n; i++) {
        sg_wheel_close(&b->core[i]);
        sg_wheel_close(&b->tail[i]);
        free(b->fall[i].level);
    }
    free(b);
    return ok;
}

/* The most that one kind of step alone would need: a lower bound of epsilon, and near it where losses are rare. */
static double first_guess(const struct sg_composition *composition, double delta)
{
    double most = 0, count = 0;
    for (size_t i = 0; i < composition->n_events; i++)
        count += composition->events[i].count;
    for (size_t i = 0; i < composition->n_events; i++) {
        double lower, upper;
        if (!sg_event_epsilon_once(&composition->events[i], fmax(delta / count, 1e-200), &lower, &upper))
            return INFINITY;
        most = fmax(most, lower);
    }
    return most;
}

bool sg_rare_epsilon(const struct sg_composition *composition, double delta, double *lower, double *upper)
{
    *lower = 0, *upper = INFINITY;
    if (composition->n_events == 0 || composition->n_events > SG_PARTED_EVENTS_MAX || composition->n_laplaces ||
        composition->gaussian_mu2 > 0)
        return false;
    for (size_t i = 0; i < composition->n_events; i++)
        if (composition->events[i].n_branches > 1 || composition->events[i].branch[0].p.n < 2)
            return false;
    struct sg_parted *p = calloc(1, sizeof *p);
    double epsilon = first_guess(composition, delta);
    for (int pass = 0; p && pass < PASSES && epsilon > 0 && isfinite(epsilon); pass++) {
        struct sg_line_sum sum = {.real = NULL};
        struct line line = {.period = INFINITY};
        double before = epsilon, up = INFINITY;
        if (sg_part(composition, epsilon, delta, p))
            line = choose_line(p, saddle(p, epsilon), epsilon, delta);
        bool built = isfinite(line.period) && build(p, &line, epsilon, delta, &sum);
        if (built) {
            up = sg_line_solve_upper(&sum, delta - p->left_out, epsilon);
            if (isfinite(up))
                *lower = fmax(*lower, sg_line_solve_lower(&sum, delta, up));
            *upper = fmin(*upper, up);
        }
        sg_line_close(&sum);
        if (*upper - *lower < 1e-7 * *upper || (isfinite(line.period) && !built))
            break;
        /* the guess was far off: where many rare losses add up, or where the first line found nothing */
        epsilon = isfinite(up) ? *upper : 2.5 * epsilon;
        if (fabs(epsilon - before) < 1e-3 * before)
            break;
    }
    if (p)
        sg_nodes_close(&p->nodes);
    free(p);
    return isfinite(*upper) && *upper - *lower < 1e-5 * *upper;
}
