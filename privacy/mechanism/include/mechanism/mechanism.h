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
#include "ops/zones.h"

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

/* What an absorber is placed for: batches of up to panels_max panels, units_max units, rows_max rows in any tap and
 * taps_max taps, of a model with n_weights that learn (0: the caller sets `sum` to a vector of its own). */
struct sg_absorber_room {
    int64_t n_weights, units_max, rows_max, panels_max;
    size_t taps_max;
};

/* A range of the vector of weights. */
struct sg_span {
    int64_t begin, end;
};

struct sg_absorber {
    int64_t *sum;                    /* (P) of the grid, in the ops' memory as what has no other word */
    bool overflow;                   /* the host's, true after sg_absorber_finish */
    struct sg_clip_counts counts;    /* likewise */
    bool *overflow_at;               /* where ops keep them */
    struct sg_clip_counts *counts_at;
    ptrdiff_t shift;                 /* from the lists below to the ops' copies */
    struct sg_absorber_room room;
    /* The batch at hand: its groups and panels in order, as units and, in the tap at hand, as rows. */
    int64_t n_groups, n_panels;
    int32_t *group_unit, *group_row; /* (units_max + 1), the host's with copies of the rows */
    int32_t *panel_unit, *panel_row; /* (panels_max + 1) */
    const int32_t *located;          /* the offsets that the rows were found from */
    struct sg_group_norm *norm;      /* (units_max) */
    double *group_weight;            /* (units_max) */
    double *row_weight;              /* (rows_max) */
    bool weighed;
    struct sg_span *seen; /* (taps_max) with privacy: the weights whose norms are taken, in order */
    size_t n_seen, n_summed;
};

/* Sizing and carving share this: in the sizing pass `out` may be NULL. Carving zeroes the sums. */
void sg_absorber_carve(const struct sg_ops *ops, const struct sg_absorber_room *room, struct sg_zones *zones,
                       struct sg_absorber *out);
/* The same for ops whose memory is the host's: memory NULL returns the bytes only. */
size_t sg_absorber_place(const struct sg_absorber_room *room, void *memory, struct sg_absorber *out);
void sg_absorber_reset(const struct sg_ops *ops, struct sg_absorber *absorber, int64_t n_weights);
/* Fetches overflow and counts. */
void sg_absorber_finish(const struct sg_ops *ops, struct sg_absorber *absorber);

/* Adds n_panels panels of the sample, from first_panel on, to the absorber: each is rounded by itself, so how many come
 * at once changes no bit. The taps hold exactly these panels' units, in sample order. Rows of excluded groups are set to
 * zero in the taps. */
void sg_mechanism_absorb(const struct sg_mechanism *mechanism, const struct sg_sample *sample, int64_t first_panel,
                         int64_t n_panels, const struct sg_tap *taps, size_t n_taps, struct sg_absorber *absorber,
                         void *scratch);

/* The same in four movements, for taps that come in parts: begin; take the norms of each part; weigh; then sum each
 * part, in the same order and with the same floats. Without privacy no norms are taken. */
void sg_mechanism_begin(const struct sg_mechanism *mechanism, const struct sg_sample *sample, int64_t first_panel,
                        int64_t n_panels, struct sg_absorber *absorber);
void sg_mechanism_take_norms(const struct sg_mechanism *mechanism, const struct sg_tap *taps, size_t n_taps,
                             struct sg_absorber *absorber, void *scratch);
void sg_mechanism_weigh(const struct sg_mechanism *mechanism, struct sg_absorber *absorber);
void sg_mechanism_sum(const struct sg_mechanism *mechanism, const struct sg_tap *taps, size_t n_taps,
                      struct sg_absorber *absorber, void *scratch);

/* The released mean gradient of `step`, which must be the next one of the plan: noise on the grid is added to sum (P) once, one
 * scale to float, the public divisor. Sum and gradient lie in the ops' memory. The step is counted before this returns. SG_FAILED "gradient overflow" when a panel's sum
 * did not fit. */
SG_MUST_USE enum sg_status sg_mechanism_release(struct sg_mechanism *mechanism, int64_t step, int64_t *sum, bool overflow,
                                                float *gradient);
int64_t sg_mechanism_steps_done(const struct sg_mechanism *mechanism);

#endif
