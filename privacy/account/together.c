/* Several plans as one history. */
#include <math.h>
#include <string.h>

#include "account/plan.h"

enum { KINDS_MAX = 64 };
#define SHARES_MAX 0.02 /* of delta, for caps and noise */

/* Adds a phase, or its steps to one that is alike. */
static bool add_phase(struct sg_phase *phases, size_t *n, const struct sg_phase *more)
{
    for (size_t i = 0; i < *n; i++)
        if (phases[i].sample_rate == more->sample_rate && phases[i].noise_multiplier == more->noise_multiplier)
            return !__builtin_add_overflow(phases[i].steps, more->steps, &phases[i].steps);
    if (*n == KINDS_MAX)
        return false;
    phases[(*n)++] = *more;
    return true;
}

/* Microbatches have sensitivity 2, which is half the noise multiplier at sensitivity 1. */
static bool gather(const struct sg_plan_runs *list, size_t n, struct sg_phase *phases, size_t *n_phases, double *base)
{
    *n_phases = 0;
    *base = 0;
    for (size_t i = 0; i < n; i++) {
        const struct sg_plan *plan = &list[i].plan;
        struct sg_phase phase;
        if (!plan->is_private || plan->relation != list[0].plan.relation || list[i].runs < 1)
            return false;
        struct sg_history history = sg_plan_history(plan, &phase);
        phase.noise_multiplier /= history.sensitivity;
        if (__builtin_mul_overflow(phase.steps, list[i].runs, &phase.steps) || !add_phase(phases, n_phases, &phase))
            return false;
        *base += (plan->delta_caps + plan->delta_noise) / (1 + exp(plan->epsilon)) * (double)list[i].runs * (1 + 1e-12);
    }
    return true;
}

double sg_plans_as_fixed(const struct sg_plan_runs *list, size_t n, double delta)
{
    struct sg_phase phases[KINDS_MAX];
    size_t n_phases;
    double base;
    struct sg_epsilon figure;
    if (n == 0)
        return 0;
    if (!gather(list, n, phases, &n_phases, &base))
        return INFINITY;
    const struct sg_history history = {.sampler = list[0].plan.sampler,
                                       .relation = list[0].plan.relation,
                                       .sensitivity = 1,
                                       .phases = phases,
                                       .n_phases = n_phases};
    /* As for one plan: the shares are stated at an epsilon that is not below the final one. */
    if (sg_account_epsilon(&history, delta * (1 - SHARES_MAX), &figure) != SG_OK)
        return INFINITY;
    double share = base * (1 + exp(figure.epsilon)) * (1 + 1e-9);
    if (!(share <= SHARES_MAX * delta) || sg_account_epsilon(&history, delta - share, &figure) != SG_OK)
        return INFINITY;
    return figure.epsilon;
}
