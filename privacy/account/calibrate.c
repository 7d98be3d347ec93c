/* The inverse questions. Epsilon falls in the noise and rises in steps and rate, so all three are root searches on the
 * certified figure; what is returned has been evaluated and found within the target. */
#include "account/account.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "attained.h"
#include "composition.h"
#include "guess.h"

struct search {
    struct sg_history history;
    struct sg_phase *phases;
    double target, delta;
    enum { SEARCH_NOISE, SEARCH_RATE, SEARCH_STEPS } what; /* steps: of the last phase */
};

static void set_value(struct search *search, double log_value)
{
    if (search->what == SEARCH_STEPS) {
        search->phases[search->history.n_phases - 1].steps = (int64_t)exp(log_value);
        return;
    }
    for (size_t i = 0; i < search->history.n_phases; i++) {
        if (search->what == SEARCH_NOISE)
            search->phases[i].noise_multiplier = exp(log_value);
        else
            search->phases[i].sample_rate = fmin(exp(log_value), 1);
    }
}

/* ln of epsilon over the target. */
static double excess(const struct search *search, double epsilon)
{
    return fmin(log(fmax(epsilon, 1e-12) / search->target), 700);
}

static enum sg_status evaluate(struct search *search, double log_value, struct sg_epsilon *out, double *f)
{
    set_value(search, log_value);
    SG_TRY(sg_account_by_pair(&search->history, search->delta, out));
    *f = excess(search, out->epsilon);
    return SG_OK;
}

/* Copies the phases so that the caller's stay as they are. */
static enum sg_status search_open(const struct sg_history *history, double target, double delta, struct search *search)
{
    if (!(target >= 1e-6 && target <= 1e6))
        return sg_fail(SG_USAGE, "target epsilon %g is outside [1e-6, 1e6]", target);
    if (!history->n_phases)
        return sg_fail(SG_USAGE, "there is no phase to calibrate");
    SG_TRY(sg_delta_check(delta));
    *search = (struct search){.history = *history, .target = target, .delta = delta};
    search->phases = malloc(history->n_phases * sizeof *search->phases);
    if (!search->phases)
        return sg_fail(SG_FAILED, "out of memory");
    memcpy(search->phases, history->phases, history->n_phases * sizeof *search->phases);
    search->history.phases = search->phases;
    return SG_OK;
}

/* While searching only the dominating pair was asked; what is certain from below is added to the answer. */
static enum sg_status add_lower(const struct search *search, struct sg_epsilon *out)
{
    return sg_history_is_attained(&search->history) ? SG_OK : sg_account_epsilon(&search->history, search->delta, out);
}

struct ends {
    double low, high, direction; /* of ln value; which way epsilon falls */
};

static double guess_at(struct search *search, double log_value)
{
    set_value(search, log_value);
    return excess(search, sg_epsilon_guess(&search->history, search->delta));
}

/* Where the guess meets the target, by doubling and halving; `start` where there is no guess. */
static double begin(struct search *search, const struct ends *ends, double start)
{
    double at = start, step = 1, bad = NAN, good = NAN;
    for (int i = 0; i < 30 && !(fabs(good - bad) < 0.02); i++) {
        double f = guess_at(search, at);
        if (isnan(f))
            return start;
        *(f > 0 ? &bad : &good) = at;
        if (isnan(bad) || isnan(good)) {
            at = fmin(fmax(at + (f > 0 ? 1 : -1) * ends->direction * step, ends->low), ends->high);
            step *= 1.5;
        } else {
            at = (good + bad) / 2;
        }
    }
    return fabs(good - bad) < 0.02 ? (good + bad) / 2 : start;
}

/* What a search knows: the nearest value on either side, and the last two points. */
struct known {
    double bad, good, f_good; /* NaN before there is one */
    double at, f, before, f_before;
    double slope; /* of ln epsilon in ln value */
    struct sg_epsilon at_good;
};

/* Within 8e-7 of the target, and no farther from the least admissible value. */
static bool is_done(const struct known *k)
{
    double within = 8e-7 * fmin(fabs(k->slope), 1);
    return !isnan(k->good) && (k->f_good >= -within || fabs(k->good - k->bad) <= 2e-7);
}

/* The secant, aimed a little within the target; where that leads out of what is known or has gone on for long, half
 * way. */
static double next_value(const struct known *k, const struct ends *ends, int round)
{
    double aim = -4e-7 * fmin(fabs(k->slope), 1), move = (aim - k->f) / k->slope;
    if (isnan(k->good) || isnan(k->bad)) /* walk towards the other side, a little farther than it seems */
        return fmin(fmax(k->at + fmin(fmax(move * (round > 2 ? 1.5 : 1), -3), 3), ends->low), ends->high);
    double at = k->at + move, low = fmin(k->good, k->bad), high = fmax(k->good, k->bad);
    return !(at > low && at < high) || round % 5 == 4 || round > 15 ? (low + high) / 2 : at;
}

static void learn(struct known *k, double direction)
{
    double here = (k->f - k->f_before) / (k->at - k->before);
    if (here * direction < -0.01 && here * direction > -50) /* else the figures are too near, or rough */
        k->slope = here;
}

/* The value nearest to the target on its good side. Epsilon falls in `direction`. */
static enum sg_status solve(struct search *search, double start, const struct ends *ends, double *value,
                            struct sg_epsilon *out)
{
    struct known k = {.bad = NAN, .good = NAN, .at = begin(search, ends, start), .before = NAN};
    double ahead = guess_at(search, k.at + 0.05), behind = guess_at(search, k.at - 0.05);
    k.slope = (ahead - behind) / 0.1;
    if (!(k.slope * ends->direction < -0.3 && k.slope * ends->direction > -20))
        k.slope = -2 * ends->direction;
    for (int round = 0; round < 100; round++) {
        struct sg_epsilon here;
        SG_TRY(evaluate(search, k.at, &here, &k.f));
        if (k.f <= 0)
            k.good = k.at, k.f_good = k.f, k.at_good = here;
        else
            k.bad = k.at;
        if (round > 0)
            learn(&k, ends->direction);
        if (is_done(&k))
            break;
        double next = next_value(&k, ends, round);
        if (next == k.at && k.f > 0)
            return sg_fail(SG_USAGE, "no %s meets epsilon %g at delta %g: what else is released already costs more",
                           search->what == SEARCH_NOISE ? "noise up to 1e6" : "sample rate", search->target,
                           search->delta);
        if (next == k.at)
            break;
        k.before = k.at, k.f_before = k.f, k.at = next;
    }
    if (isnan(k.good))
        return sg_fail(SG_FAILED, "calibration did not settle; please report this");
    *value = exp(k.good), *out = k.at_good;
    set_value(search, k.good);
    return add_lower(search, out);
}

enum sg_status sg_account_calibrate(const struct sg_history *history, double target_epsilon, double delta,
                                    double *noise_multiplier, struct sg_epsilon *out)
{
    struct search search = {.phases = NULL};
    enum sg_status status = search_open(history, target_epsilon, delta, &search);
    search.what = SEARCH_NOISE;
    if (status == SG_OK)
        status = solve(&search, 0, &(struct ends){log(1e-2) + 1e-9, log(1e6) - 1e-9, 1}, noise_multiplier, out);
    free(search.phases);
    return status;
}

enum sg_status sg_account_calibrate_rate(const struct sg_history *history, double target_epsilon, double delta,
                                         double *sample_rate, struct sg_epsilon *out)
{
    struct search search = {.phases = NULL};
    enum sg_status status = search_open(history, target_epsilon, delta, &search);
    search.what = SEARCH_RATE;
    if (status == SG_OK)
        status = solve(&search, log(0.01), &(struct ends){log(1e-9), 0, -1}, sample_rate, out);
    free(search.phases);
    return status;
}

/* From the last point by the slope of ln epsilon in ln steps, and the neighbour where that leads back to it; half way
 * now and then. */
static int64_t next_steps(int64_t at, double f, double slope, int64_t good, int64_t bad, int round)
{
    double next = (double)at * exp(fmin(fmax(-f / slope, -3), 3));
    if (good > 0 && (double)bad < 9e11 && round % 5 == 4)
        next = sqrt((double)good * (double)bad);
    int64_t steps = (int64_t)fmin(next, 9e17);
    if (steps == at)
        steps = f <= 0 ? at + 1 : at - 1;
    return steps <= good ? good + 1 : steps >= bad ? bad - 1 : steps;
}

/* From a guess, or the steps that the phase has. */
static enum sg_status search_steps(struct search *search, int64_t *steps, struct sg_epsilon *out)
{
    const int64_t most = 1000000000000;
    const struct ends ends = {0, log((double)most), -1};
    struct sg_phase *last = &search->phases[search->history.n_phases - 1];
    int64_t good = 0, bad = most + 1, at = last->steps >= 1 && last->steps <= most ? last->steps : 1;
    at = (int64_t)fmin(fmax(exp(begin(search, &ends, log((double)at))), 1), (double)most);
    double slope = 0.6, before = NAN, f_before = 0; /* the slope lies between 1/2 and 1 or so */
    for (int round = 0; bad - good > 1; round++) {
        struct sg_epsilon here;
        last->steps = at;
        SG_TRY(sg_account_by_pair(&search->history, search->delta, &here));
        double f = excess(search, here.epsilon), now = log((double)at);
        if (here.epsilon <= search->target)
            good = at, *out = here;
        else
            bad = at;
        double secant = (f - f_before) / (now - before);
        if (secant > 0.05 && secant < 20 && fabs(f) < 100)
            slope = secant;
        before = now, f_before = f;
        at = next_steps(at, f, slope, good, bad, round);
    }
    if (!good)
        return sg_fail(SG_USAGE, "not even one step meets epsilon %g at delta %g: raise the noise multiplier",
                       search->target, search->delta);
    *steps = last->steps = good;
    return add_lower(search, out);
}

enum sg_status sg_account_calibrate_steps(const struct sg_history *history, double target_epsilon, double delta,
                                          int64_t *steps, struct sg_epsilon *out)
{
    struct search search = {.phases = NULL};
    enum sg_status status = search_open(history, target_epsilon, delta, &search);
    search.what = SEARCH_STEPS;
    if (status == SG_OK)
        status = search_steps(&search, steps, out);
    free(search.phases);
    return status;
}
