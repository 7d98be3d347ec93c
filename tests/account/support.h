/* What the accountant's tests share. */
#ifndef TEST_ACCOUNT_SUPPORT_H
#define TEST_ACCOUNT_SUPPORT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "account/curve.h"

/* Uniform in (0, 1); xorshift, seeded by the caller and printed by the test. */
static inline double uniform(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)((*state >> 11) + 1) * 0x1p-53;
}

static inline double log_uniform(uint64_t *state, double low, double high)
{
    return low * exp(log(high / low) * uniform(state));
}

struct setting {
    double rate, noise, delta;
    int64_t steps;
};

static inline struct sg_epsilon account_once(enum sg_sampler sampler, enum sg_relation relation, struct setting s)
{
    struct sg_phase phase = {s.rate, s.noise, s.steps};
    struct sg_history history = {
        .sampler = sampler, .relation = relation, .sensitivity = 1, .phases = &phase, .n_phases = 1};
    struct sg_epsilon out = {0};
    if (sg_account_epsilon(&history, s.delta, &out) != SG_OK)
        fail_msg("q %.17g sigma %.17g T %lld delta %g: %s", s.rate, s.noise, (long long)s.steps, s.delta,
                 sg_error_text());
    return out;
}

static inline struct sg_epsilon poisson(double rate, double noise, int64_t steps, double delta)
{
    return account_once(SG_SAMPLER_POISSON, SG_ADD_OR_REMOVE_ONE, (struct setting){rate, noise, delta, steps});
}

#define assert_close(value, expected, relative)                                                                        \
    do {                                                                                                               \
        double v_ = (value), e_ = (expected);                                                                          \
        if (!(fabs(v_ - e_) <= (relative)*fabs(e_)))                                                                   \
            fail_msg("%s is %.15g, expected %.15g within %g", #value, v_, e_, (double)(relative));                     \
    } while (0)

#endif
