/* The mechanism: sample, clip, sum, add noise once, count the step. Everything it does is read from the plan.
 *
 * One object per run holds the subkeys, the sampler, the noise source and the step counter. Each worker owns an absorber: it
 * turns the taps of a panel into norms, weights and integers. Integer sums of workers and ranks add up exactly, so the
 * released gradient does not depend on how panels were dealt. */
#ifndef SG_MECHANISM_MECHANISM_H
#define SG_MECHANISM_MECHANISM_H

#include <stdbool.h>
#include <stdint.h>

#include "account/plan.h"
#include "base/bytes.h"
#include "mechanism/noise.h"
#include "mechanism/sampler.h"
#include "nn/tap.h"
#include "ops/ops.h"

/* Subkey = HMAC-SHA-256(run secret; length-prefixed purpose, context). The context is everything that must not change while
 * the same noise is used: plan, configuration, data commitment, code, numeric environment. */
void sg_mechanism_subkey(const uint8_t secret[SG_KEY_BYTES], const char *purpose, const struct sg_buffer *context,
                         uint8_t out[SG_KEY_BYTES]);

struct sg_mechanism;

/* Without privacy the sampler is the same and there is no clip and no noise. `ops` and `plan` are copied or borrowed for the
 * run. SG_FAILED when the plan's noise source is missing or the floating-point environment is not the standard one, SG_USAGE
 * when the sampling threshold says everybody and the rate does not. */
SG_MUST_USE enum sg_status sg_mechanism_open(const struct sg_plan *plan, const struct sg_ops *ops,
                                             const uint8_t secret[SG_KEY_BYTES], const struct sg_buffer *context,
                                             struct sg_mechanism **out);
void sg_mechanism_close(struct sg_mechanism **mechanism); /* wipes the keys */

/* The panels of a step: which of the n_units join, where each goes. SG_FAILED when the cipher is not available. */
SG_MUST_USE enum sg_status sg_mechanism_sample(struct sg_mechanism *mechanism, int64_t step, const uint8_t (*digest)[16],
                                               int64_t n_units, struct sg_sample *sample);

struct sg_absorber {
    int64_t *sum; /* (P) of the grid */
    bool overflow;
    struct sg_clip_counts counts;
    /* room for one panel */
    int64_t groups_max, rows_max;
    struct sg_group_norm *norm; /* (groups_max) */
    double *group_weight;       /* (groups_max) */
    double *row_weight;         /* (rows_max) */
    int32_t *first;             /* (groups_max + 1) */
};

/* Sizing and carving share this: memory NULL returns the bytes only. Place zeroes the sums. */
size_t sg_absorber_place(int64_t n_weights, int64_t units_max, int64_t rows_max, void *memory, struct sg_absorber *out);
void sg_absorber_reset(struct sg_absorber *absorber, int64_t n_weights);

/* Adds one panel of the sample to the absorber. The taps hold exactly this panel's units, in sample order. Rows of excluded
 * groups are set to zero in the taps. */
void sg_mechanism_absorb(const struct sg_mechanism *mechanism, const struct sg_sample *sample, int64_t panel,
                         const struct sg_tap *taps, size_t n_taps, struct sg_absorber *absorber, void *scratch);

/* The released mean gradient of `step`, which must be the next one of the plan: noise on the grid is added to sum (P) once, one
 * scale to float, the public divisor. The step is counted before this returns. SG_FAILED "gradient overflow" when a panel's sum
 * did not fit. */
SG_MUST_USE enum sg_status sg_mechanism_release(struct sg_mechanism *mechanism, int64_t step, int64_t *sum, bool overflow,
                                                float *gradient);
int64_t sg_mechanism_steps_done(const struct sg_mechanism *mechanism);

#endif
