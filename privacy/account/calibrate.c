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
 * on ln epsilon - ln target with bisection as safeguard, until the gap is below 2e-7. */
static enum sg_status close_in(struct search *search, double bad, double f_bad, double good, double f_good,
                               struct sg_epsilon *out, double *value)
{
    int side = 0;
    for (int i = 0; i < 60 && fabs(good - bad) > 2e-7; i++) {
        double step = f_bad - f_good > 0 ? f_bad / (f_bad - f_good) : 0.5;
        double middle = bad + (good - bad) * fmin(fmax(step, 0.01), 0.99);
        /* step past the root by a little, towards the end that lags, so that both ends close in */
        middle += (side < 0 ? bad - good : good - bad) > 0 ? 0.8e-7 : -0.8e-7;
        middle = good > bad ? fmin(fmax(middle, bad), good) : fmax(fmin(middle, bad), good);
        if (i > 12 && i % 3 == 0)
            middle = (bad + good) / 2;
        struct sg_epsilon at;
        SG_TRY(evaluate(search, middle, &at));
        double f = log(fmax(at.epsilon, 1e-12) / search->target);
        if (f <= 0) {
            good = middle, f_good = f, *out = at;
            if (side < 0)
                f_bad /= 2;
            side = -1;
        } else {
            bad = middle, f_bad = f;
            if (side > 0)
                f_good /= 2;
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

static enum sg_status try_steps(struct search *search, int64_t steps, struct sg_epsilon *out, bool *fits)
{
    search->phases[search->history.n_phases - 1].steps = steps;
    SG_TRY(sg_account_epsilon(&search->history, search->delta, out));
    *fits = out->epsilon <= search->target;
    return SG_OK;
}

static enum sg_status search_steps(struct search *search, int64_t *steps, struct sg_epsilon *out)
{
    int64_t good = 0, bad = 1;
    struct sg_epsilon at;
    for (bool fits = true; fits;) {
        SG_TRY(try_steps(search, bad, &at, &fits));
        if (fits)
            good = bad, *out = at, bad = bad < 1000000000000 / 4 ? bad * 4 : 1000000000000;
        if (good == 1000000000000)
            break;
    }
    if (!good)
        return sg_fail(SG_USAGE, "not even one step meets epsilon %g at delta %g: raise the noise multiplier",
                       search->target, search->delta);
    while (bad - good > 1) {
        bool fits;
        int64_t middle = good + (bad - good) / 2;
        SG_TRY(try_steps(search, middle, &at, &fits));
        if (fits)
            good = middle, *out = at;
        else
            bad = middle;
    }
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
