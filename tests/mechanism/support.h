/* For the tests of the mechanism: plans, units with taps of any kind, and one step by the real path
 * (sampler -> taps -> absorb) with the noise left off. */
#ifndef SG_TESTS_MECHANISM_SUPPORT_H
#define SG_TESTS_MECHANISM_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mechanism/mechanism.h"
#include "nn/model.h"

#define TEST_SEED 20260726u
#define TEST_TAPS 4

double test_uniform(uint64_t *state); /* in -1 .. 1 */
int64_t test_below(uint64_t *state, int64_t n);

/* The i-th backend that this machine has, NULL after the last. */
const struct sg_ops *test_backend(int i);

/* What a test decides; the rest of the request is fixed. */
struct test_plan {
    int64_t population, n_panels, microbatch, rows_max, n_weights;
    double q, clip, sigma;
};
struct sg_plan test_plan_make(const struct test_plan *wanted);

/* A tap's weight. shared: a LINEAR tap of a bias, n_in = 1, whose a is one 1 for all rows. */
struct test_shape {
    int64_t n_in, n_out;
    bool per_step, shared;
    enum sg_tap_kind kind;
};

/* Units whose taps are plain data: tap t of unit i has rows[i] rows (1 where the tap is not per step). */
struct test_units {
    int64_t n, n_taps, n_weights;
    struct test_shape shape[TEST_TAPS];
    int32_t *rows;                        /* (n) */
    float **a[TEST_TAPS], **g[TEST_TAPS]; /* (n): each (rows, test_a_width), (rows, test_g_width) */
    int32_t **id[TEST_TAPS];              /* (n): each (rows), one in eight -1 */
    uint8_t (*digest)[SG_ID_DIGEST_BYTES];
};
void test_units_make(int64_t n, const struct test_shape *shape, int64_t n_taps, int64_t rows_max, uint64_t seed,
                     struct test_units *out);
void test_units_free(struct test_units *units);
static inline int64_t test_rows(const struct test_units *u, int64_t unit, int64_t tap)
{
    return u->shape[tap].per_step ? u->rows[unit] : 1;
}
/* Floats of a and g in a row. */
static inline int64_t test_a_width(const struct test_shape *s)
{
    return s->kind == SG_TAP_EMBED || s->shared ? 0 : s->kind == SG_TAP_SCALE ? s->n_out : s->n_in;
}
static inline int64_t test_g_width(const struct test_shape *s)
{
    return s->kind == SG_TAP_EMBED ? s->n_in : s->n_out;
}
/* Multiplies unit's rows in every tap. */
void test_scale_unit(struct test_units *u, int64_t unit, float a, float g);
/* Rows in pairs (a, g), (a, -g) whose mass is about `mass`: the norm is zero, for an odd number of rows one row's. */
void test_cancel_unit(struct test_units *u, int64_t unit, double mass);
/* What can be done to a unit; the number of kinds is TEST_N_HOSTILE. */
#define TEST_N_HOSTILE 20
const char *test_make_hostile(struct test_units *u, int64_t unit, int kind);

/* Whatever makes taps of a panel's units: the functions below, or a test's own. */
typedef const struct sg_tap *test_fill_fn(void *self, const int32_t *unit, int64_t n, size_t *n_taps);

/* A panel of test_units as taps. */
struct test_taps {
    const struct test_units *units;
    struct sg_tap tap[TEST_TAPS];
    int32_t *offset[TEST_TAPS], *id[TEST_TAPS];
    void *memory[TEST_TAPS];
    float one[TEST_TAPS];
};
const struct sg_tap *test_fill_taps(void *taps, const int32_t *unit, int64_t n, size_t *n_taps);
void test_taps_free(struct test_taps *taps);

/* A panel of a model's units: gather, forward, loss, backward. */
struct test_model_units {
    const struct sg_ops *ops;
    struct sg_model *model;
    struct sg_model_spec spec;
    int64_t n, microbatch, step;
    int32_t *first; /* (n + 1) */
    float *x, *statics, *label, *weights;
    int32_t *token, *batch_token; /* of an encoder's rows */
    uint8_t (*digest)[SG_ID_DIGEST_BYTES];
    int64_t units_max, rows_max;
    void *packed, *memory;
    struct sg_workspace *workspace;
    int32_t *offset;
    float *batch_x, *batch_statics, *batch_label, *logit, *dlogit;
    uint8_t (*batch_digest)[SG_ID_DIGEST_BYTES];
};
void test_model_units_make(const struct sg_model_spec *spec, const struct sg_ops *ops, int64_t n, int64_t rows_max,
                           int64_t microbatch, uint64_t seed, struct test_model_units *out);
const struct sg_tap *test_fill_model(void *units, const int32_t *unit, int64_t n, size_t *n_taps);
void test_model_units_free(struct test_model_units *units);

/* A step by the real path. after, where given, sees each panel's absorber. */
struct test_step {
    const struct sg_plan *plan;
    const struct sg_ops *ops;
    test_fill_fn *fill;
    void *self;
    const uint8_t (*digest)[SG_ID_DIGEST_BYTES];
    int64_t n_units, step;
    int64_t panels;                            /* at once; 0: one */
    bool in_parts;                             /* hands the taps over one at a time, twice */
    void (*regroup)(struct sg_sample *sample); /* a planted fault: rearranges the draw */
    void (*after)(void *context, const struct sg_sample *sample, int64_t panel, const struct sg_absorber *absorber);
    void *context;
};
/* Step 0 over all units of the taps, or of the model. */
static inline struct test_step test_step_of_taps(const struct sg_plan *plan, const struct sg_ops *ops,
                                                 struct test_taps *taps)
{
    return (struct test_step){.plan = plan,
                              .ops = ops,
                              .fill = test_fill_taps,
                              .self = taps,
                              .digest = (const uint8_t(*)[SG_ID_DIGEST_BYTES])taps->units->digest,
                              .n_units = taps->units->n};
}
static inline struct test_step test_step_of_model(const struct sg_plan *plan, struct test_model_units *units)
{
    return (struct test_step){.plan = plan,
                              .ops = units->ops,
                              .fill = test_fill_model,
                              .self = units,
                              .digest = (const uint8_t(*)[SG_ID_DIGEST_BYTES])units->digest,
                              .n_units = units->n};
}
/* Its integers before the noise. `left_out` is a unit's number or -1. The caller frees sum (P); *sample where asked for
 * is handed over, its unit[] numbering all units. */
int64_t *test_step_sum(const struct test_step *step, int64_t left_out, struct sg_sample *sample);

/* Norm of (x - y) h, in long double. */
double test_distance(const int64_t *x, const int64_t *y, int64_t n, double h);

extern const uint8_t test_secret[SG_KEY_BYTES];

#endif
