/* The inverse questions. Epsilon falls in the noise and rises in steps and rate, so all three are root searches on the
 * certified figure; what is returned has been evaluated and found within the target. */
#include "account/account.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct search {
    struct sg_history history;
    struct sg_phase *phases;
    double target, delta;
    enum { SEARCH_NOISE, SEARCH_RATE } what;
};

static enum sg_status evaluate(struct search *search, double log_value, struct sg_epsilon *out)
{
    for (size_t i = 0; i < search->history.n_phases; i++) {
        if (search->what == SEARCH_NOISE)
            search->phases[i].noise_multiplier = exp(log_value);
        else
            search->phases[i].sample_rate = fmin(exp(log_value), 1);
    }
    return sg_account_epsilon(&search->history, search->delta, out);
}

/* Copies the phases so that the caller's stay as they are. */
static enum sg_status search_open(const struct sg_history *history, double target, double delta, struct search *search)
{
    if (!(target >= 1e-6 && target <= 1e6))
        return sg_fail(SG_USAGE, "target epsilon %g is outside [1e-6, 1e6]", target);
    if (!history->n_phases)
        return sg_fail(SG_USAGE, "there is no phase to calibrate");
    *search = (struct search){.history = *history, .target = target, .delta = delta};
    search->phases = malloc(history->n_phases * sizeof *search->phases);
    if (!search->phases)
        return sg_fail(SG_FAILED, "out of memory");
    memcpy(search->phases, history->phases, history->n_phases * sizeof *search->phases);
    search->history.phases = search->phases;
    return SG_OK;
}

/* The root in ln value between `bad` (epsilon above the target) and `good` (within it), by the Illinois false position
 * on ln epsilon, aimed a little within the target, with bisection as safeguard. Done when epsilon is within 5e-7 of the
 * target, or the ends within 2e-7 of each other. */
static enum sg_status close_in(struct search *search, double bad, double f_bad, double good, double f_good,
                               struct sg_epsilon *out, double *value)
{
    const double within = 5e-7, aim = 2e-7;
    double w_bad = f_bad + aim, w_good = f_good + aim;
    for (int i = 0, side = 0; i < 60 && f_good < -within && fabs(good - bad) > 2e-7; i++) {
        double step = w_bad - w_good > 0 ? w_bad / (w_bad - w_good) : 0.5;
        double middle = bad + (good - bad) * fmin(fmax(step, 1e-6), 1 - 1e-6);
        if (i > 9 && i % 3 == 0)
            middle = (bad + good) / 2;
        struct sg_epsilon at;
        SG_TRY(evaluate(search, middle, &at));
        double f = log(fmax(at.epsilon, 1e-12) / search->target);
        if (f <= 0) {
            good = middle, f_good = f, w_good = fmin(f + aim, -1e-12), *out = at;
            w_bad = side < 0 ? w_bad / 2 : w_bad;
            side = -1;
        } else {
            bad = middle, w_bad = f + aim;
            w_good = side > 0 ? w_good / 2 : w_good;
            side = 1;
        }
    }
    *value = exp(good);
    return SG_OK;
}

static enum sg_status solve(struct search *search, double start, double low, double high, double *value,
                            struct sg_epsilon *out)
{
    /* walk by doubling from the start until the target is bracketed */
    double direction = search->what == SEARCH_NOISE ? 1 : -1; /* towards a smaller epsilon */
    double at = start, bad = NAN, good = NAN, f_bad = 0, f_good = 0;
    struct sg_epsilon result;
    while (isnan(bad) || isnan(good)) {
        SG_TRY(evaluate(search, at, &result));
        double f = log(fmax(result.epsilon, 1e-12) / search->target);
        if (f <= 0)
            good = at, f_good = f, *out = result;
        else
            bad = at, f_bad = fmin(f, 700);
        if (!isnan(bad) && !isnan(good))
            break;
        double next = at + direction * (f > 0 ? fmin(fmax(f, 0.2), 3) : fmax(fmin(f, -0.2), -3));
        next = fmin(fmax(next, low), high);
        if (next == at && f > 0)
            return sg_fail(SG_USAGE, "no %s meets epsilon %g at delta %g: what else is released already costs more",
                           search->what == SEARCH_NOISE ? "noise up to 1e6" : "sample rate", search->target,
                           search->delta);
        if (next == at) {
            *value = exp(at);
            return SG_OK;
        }
        at = next;
    }
    return close_in(search, bad, f_bad, good, f_good, out, value);
}

enum sg_status sg_account_calibrate(const struct sg_history *history, double target_epsilon, double delta,
                                    double *noise_multiplier, struct sg_epsilon *out)
{
    struct search search = {.phases = NULL};
    enum sg_status status = search_open(history, target_epsilon, delta, &search);
    search.what = SEARCH_NOISE;
    if (status == SG_OK)
        status = solve(&search, 0, log(1e-2) + 1e-9, log(1e6) - 1e-9, noise_multiplier, out);
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
        status = solve(&search, log(0.01), log(1e-9), 0, sample_rate, out);
    free(search.phases);
    return status;
}

/* Between `good`, which fits, and `bad`, which does not: where ln epsilon, about linear in ln steps, meets the target;
 * half way now and then, so that both ends move. */
static int64_t next_steps(int64_t good, int64_t bad, double f_good, double f_bad, int round)
{
    double low = log((double)good), high = log((double)bad), share = f_good / (f_good - f_bad);
    double at = round % 4 == 3 ? (low + high) / 2 : low + (high - low) * fmin(fmax(share, 0.001), 0.999);
    int64_t steps = (int64_t)(exp(at) + (round % 2 ? 1.5 : 0));
    return steps <= good ? good + 1 : steps >= bad ? bad - 1 : steps;
}

/* From the steps that the phase has, by the slope of epsilon in steps, which lies between 1/2 and 1 or so. */
static enum sg_status search_steps(struct search *search, int64_t *steps, struct sg_epsilon *out)
{
    const int64_t most = 1000000000000;
    struct sg_phase *last = &search->phases[search->history.n_phases - 1];
    int64_t good = 0, bad = most + 1, at = last->steps >= 1 && last->steps <= most ? last->steps : 1;
    double f_good = -1, f_bad = 1;
    for (int round = 0; bad - good > 1; round++) {
        struct sg_epsilon here;
        last->steps = at;
        SG_TRY(sg_account_epsilon(&search->history, search->delta, &here));
        double f = log(fmax(here.epsilon, 1e-12) / search->target);
        if (here.epsilon <= search->target)
            good = at, f_good = f, *out = here;
        else
            bad = at, f_bad = fmin(f, 700);
        if (good > 0 && bad <= most)
            at = next_steps(good, bad, f_good, f_bad, round);
        else if (good > 0)
            at = (int64_t)fmin((double)most, fmax((double)at * exp(fmin(-1.6 * f, 2.8)) + 1, (double)at * 1.3));
        else
            at = (int64_t)fmax(1, fmin((double)at * exp(fmax(-1.6 * f, -2.8)), (double)at - 1));
    }
    if (!good)
        return sg_fail(SG_USAGE, "not even one step meets epsilon %g at delta %g: raise the noise multiplier",
                       search->target, search->delta);
    *steps = good;
    return SG_OK;
}

enum sg_status sg_account_calibrate_steps(const struct sg_history *history, double target_epsilon, double delta,
                                          int64_t *steps, struct sg_epsilon *out)
{
    struct search search = {.phases = NULL};
    enum sg_status status = search_open(history, target_epsilon, delta, &search);
    if (status == SG_OK)
        status = search_steps(&search, steps, out);
    free(search.phases);
    return status;
}
