/* For the tests of nn: random batches, a model with its memory, and a second, independent model in double. */
#ifndef SG_TESTS_NN_SUPPORT_H
#define SG_TESTS_NN_SUPPORT_H

#include "nn/model.h"

#define TEST_SEED 20260419u

/* A batch that owns its arrays. */
struct test_batch {
    struct sg_batch view;
    int32_t *offset, *token, *masked, *masked_offset;
    float *x, *statics, *dlogit; /* dlogit (B, n_outputs), or (masked rows, n_outputs) */
    uint8_t (*digest)[16];
};

/* Units of the given lengths with random features, digests and output gradients. */
void test_batch_make(const struct sg_model_spec *spec, const int32_t *lengths, int64_t n_units, uint64_t seed,
                     struct test_batch *out);
/* The units order[0..n) of a batch, in that order, as a batch. */
void test_batch_take(const struct sg_model_spec *spec, const struct test_batch *from, const int *order, int64_t n,
                     struct test_batch *out);
void test_batch_free(struct test_batch *batch);

/* A model, weights with every value nonzero, and a workspace. */
struct test_model {
    const struct sg_ops *ops;
    struct sg_model *model;
    int64_t n_weights;
    float *weights;
    void *packed, *memory;
    struct sg_workspace *workspace;
    float logit[2048];
};
/* `trainable`: patterns up to NULL; NULL itself for all. The workspace takes `slack` rows and units more than needed.
 */
void test_model_open(const struct sg_model_spec *spec, const struct sg_ops *ops, const char *const *trainable,
                     int64_t units_max, int64_t rows_max, struct test_model *out);
void test_model_close(struct test_model *m);
/* Forward and backward; returns the taps. */
const struct sg_tap *test_model_run(struct test_model *m, const struct test_batch *batch, bool training,
                                    size_t *n_taps);

/* What an oracle carries along: the weights are read in the order of the parameter table. */
struct oracle {
    const struct sg_model_spec *spec;
    const double *weights; /* the next unread weight */
    const uint8_t *digest;
    int64_t step;
    uint64_t seed;
    bool drop;
};
const double *oracle_next_weight(struct oracle *o, int64_t n_out, int64_t n_in);
void oracle_drop(const struct oracle *o, uint64_t layer, double *x, int64_t n);

/* The same for the families with blocks: all outputs of one unit, (n_outputs) or (its masked rows, n_outputs).
 * `dropped_from`: the lowest block where dropout acts, -1 for the embeddings too; the head always has it. */
void oracle_outputs(const struct sg_model_spec *spec, const double *weights, const struct test_batch *batch,
                    int64_t unit, bool training, int64_t dropped_from, double *logit);

/* One unit's logit by plain formulas in double. `training` applies dropout masks made from the documented key. */
double oracle_logit(const struct sg_model_spec *spec, const double *weights, const struct test_batch *batch,
                    int64_t unit, bool training, uint64_t seed);

/* The i-th backend that this machine has, NULL after the last. */
const struct sg_ops *test_backend(int i);

/* A uniform value in -1 .. 1 from a counter. */
double test_uniform(uint64_t *state);

#endif
