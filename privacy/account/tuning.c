/* The price of choosing among trials: Papernot, Steinke 2022, 2110.03620, theorems 2 (negative binomial) and 6
 * (Poisson).
 *
 *   truncated negative binomial: rho'(a) = rho(a) + (1 + eta) [(1 - 1/b) rho(b) + ln(1/gamma)/b] + ln(E K)/(a-1), any b
 * > 1 Poisson of mean m:           rho'(a) = rho(a) + m d + ln(m)/(a-1), d = delta at epsilon ln(1 + 1/(a-1)) */
#include "account/curve.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attained.h"
#include "rdp.h"

enum { ORDERS = 160 };

/* E[K] of the law with this shape and gamma (section 3 of the paper). */
static double expected_trials(double shape, double gamma)
{
    if (shape == 0)
        return (1 - gamma) / (gamma * log(1 / gamma));
    return shape * (1 - gamma) / (gamma * -expm1(shape * log(gamma)));
}

static double gamma_of(double shape, double trials)
{
    double low = 1e-18, high = 1 - 1e-12; /* E[K] falls in gamma */
    for (int i = 0; i < 200; i++) {
        double middle = sqrt(low * high);
        if (expected_trials(shape, middle) > trials)
            low = middle;
        else
            high = middle;
    }
    return low; /* the end with more trials and the larger ln(1/gamma) */
}

struct orders {
    double alpha[ORDERS], rho[ORDERS];
};

static enum sg_status fill_orders(const struct sg_history *history, struct orders *out)
{
    for (int i = 0; i < ORDERS; i++) {
        out->alpha[i] = 1 + exp(-5 + 14.0 * i / (ORDERS - 1));
        SG_TRY(sg_account_rdp(history, out->alpha[i], &out->rho[i]));
    }
    return SG_OK;
}

static double best_epsilon(const struct orders *orders, const double *extra, double delta)
{
    double best = INFINITY;
    for (int i = 0; i < ORDERS; i++) {
        double rho = (orders->rho[i] + extra[i]) * (1 + 16 * DBL_EPSILON);
        if (isfinite(rho))
            best = fmin(best, sg_account_rdp_to_epsilon(rho, orders->alpha[i], delta));
    }
    return best;
}

static void negative_binomial(const struct orders *orders, const struct sg_tuning *tuning, double *extra)
{
    double log_inverse = -log(gamma_of(tuning->shape, tuning->trials_expected)), least = INFINITY;
    for (int i = 0; i < ORDERS; i++) {
        double b = orders->alpha[i];
        least = fmin(least, (1 - 1 / b) * orders->rho[i] + log_inverse / b);
    }
    for (int i = 0; i < ORDERS; i++)
        extra[i] = (1 + tuning->shape) * least + log(tuning->trials_expected) / (orders->alpha[i] - 1);
}

static enum sg_status poisson(const struct sg_history *history, const struct orders *orders,
                              const struct sg_tuning *tuning, double *extra)
{
    double m = tuning->trials_expected;
    for (int i = 0; i < ORDERS; i++) {
        double epsilon = log1p(1 / (orders->alpha[i] - 1)), lower, delta = 0;
        SG_TRY(sg_account_delta(history, epsilon, &lower, &delta));
        extra[i] = m * delta + log(m) / (orders->alpha[i] - 1);
    }
    return SG_OK;
}

static struct sg_phase sweep_phase(const struct sg_history *history, size_t i, int64_t runs)
{
    struct sg_phase phase = history->phases[i];
    if (history->sampler == SG_SAMPLER_SHUFFLE) {
        phase.steps = (int64_t)sg_epochs_touched(phase.sample_rate, (double)phase.steps, i == 0);
        phase.sample_rate = 1;
    }
    phase.steps *= runs;
    return phase;
}

/* A sweep by hand is the composition of its runs: every phase as often as it was run. Each run shuffles afresh, so that
 * epochs begun count for each; they are unsampled releases. */
static enum sg_status sweep(const struct sg_history *history, int64_t runs, double delta, double *epsilon)
{
    struct sg_history all = *history;
    struct sg_phase *phases = malloc((history->n_phases + 1) * sizeof *phases);
    struct sg_query *queries = malloc((history->n_queries + 1) * sizeof *queries);
    enum sg_status status = phases && queries ? SG_OK : sg_fail(SG_FAILED, "out of memory");
    struct sg_epsilon out = {0};
    if (status == SG_OK) {
        for (size_t i = 0; i < history->n_phases; i++)
            phases[i] = sweep_phase(history, i, runs);
        for (size_t i = 0; i < history->n_queries; i++)
            queries[i] = history->queries[i], queries[i].count *= runs;
        all.phases = phases, all.queries = queries;
        if (history->sampler == SG_SAMPLER_SHUFFLE)
            all.sampler = SG_SAMPLER_FULL_BATCH;
        status = sg_account_epsilon(&all, delta, &out);
    }
    *epsilon = out.epsilon;
    free(phases);
    free(queries);
    return status;
}

enum sg_status sg_account_tuning(const struct sg_history *history, const struct sg_tuning *tuning, double delta,
                                 double *epsilon)
{
    double trials = tuning->trials_expected;
    SG_TRY(sg_delta_check(delta));
    SG_TRY(sg_history_check(history));
    if (!(trials >= 1 && trials <= 1e6) || (tuning->kind == SG_TUNING_SWEEP && trials != floor(trials)))
        return sg_fail(SG_USAGE, "the number of trials lies in [1, 10^6] and is whole for a sweep");
    if (tuning->kind == SG_TUNING_SWEEP)
        return sweep(history, (int64_t)trials, delta, epsilon);
    if (tuning->kind == SG_TUNING_NEGATIVE_BINOMIAL && !(tuning->shape > -1 && tuning->shape <= 100 && trials > 1))
        return sg_fail(SG_USAGE, "the shape of a negative binomial lies in (-1, 100] and its mean above 1");
    double extra[ORDERS];
    struct orders *orders = malloc(sizeof *orders);
    enum sg_status status = orders ? fill_orders(history, orders) : sg_fail(SG_FAILED, "out of memory");
    if (status == SG_OK && tuning->kind == SG_TUNING_POISSON)
        status = poisson(history, orders, tuning, extra);
    else if (status == SG_OK)
        negative_binomial(orders, tuning, extra);
    if (status == SG_OK)
        *epsilon = best_epsilon(orders, extra, delta);
    free(orders);
    return status;
}
