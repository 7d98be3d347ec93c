#include "support.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

double test_uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)(int64_t)(z ^ z >> 31) * 0x1p-63;
}

const struct sg_ops *test_backend(int i)
{
    return i == 0 ? sg_ops_reference() : i == 1 ? sg_ops_cpu() : NULL;
}

static int64_t outputs_of(const struct sg_model_spec *spec)
{
    return spec->n_outputs ? spec->n_outputs : 1;
}

static void batch_alloc(const struct sg_model_spec *spec, int64_t n_units, int64_t n_rows, struct test_batch *out)
{
    out->offset = sg_alloc((size_t)(n_units + 1), sizeof *out->offset);
    out->x = sg_alloc((size_t)(n_rows * spec->n_features), sizeof *out->x);
    out->statics = sg_alloc((size_t)(n_units * spec->n_static), sizeof *out->statics);
    out->token = sg_alloc((size_t)n_rows, sizeof *out->token);
    out->masked = sg_alloc((size_t)n_rows, sizeof *out->masked);
    out->masked_offset = sg_alloc((size_t)(n_units + 1), sizeof *out->masked_offset);
    out->dlogit = sg_alloc((size_t)(n_rows * outputs_of(spec)), sizeof *out->dlogit);
    out->digest = sg_alloc((size_t)n_units, sizeof *out->digest);
    out->view = (struct sg_batch){.n_units = n_units,
                                  .n_rows = n_rows,
                                  .offset = out->offset,
                                  .x = out->x,
                                  .statics = spec->n_static ? out->statics : NULL,
                                  .token = spec->kind == SG_MODEL_ENCODER ? out->token : NULL,
                                  .masked = out->masked,
                                  .masked_offset = out->masked_offset,
                                  .digest = out->digest,
                                  .step = 17};
}

/* Words at random, so that some repeat within a unit; every third row is masked, and so not every unit has one. */
static void fill_tokens(const struct sg_model_spec *spec, uint64_t *seed, struct test_batch *out)
{
    int32_t n = 0;
    for (int64_t b = 0; spec->kind == SG_MODEL_ENCODER && b < out->view.n_units; b++) {
        for (int32_t r = out->offset[b]; r < out->offset[b + 1]; r++) {
            out->token[r] = (int32_t)((.5 + .49 * test_uniform(seed)) * (double)spec->encoder.vocabulary);
            if (r % 3 == 1)
                out->masked[n++] = r;
        }
        out->masked_offset[b + 1] = n;
    }
    out->view.n_masked = n;
}

void test_batch_make(const struct sg_model_spec *spec, const int32_t *lengths, int64_t n_units, uint64_t seed,
                     struct test_batch *out)
{
    int64_t n_rows = 0;
    for (int64_t b = 0; b < n_units; b++)
        n_rows += lengths[b];
    batch_alloc(spec, n_units, n_rows, out);
    for (int64_t b = 0; b < n_units; b++) {
        out->offset[b + 1] = out->offset[b] + lengths[b];
        out->dlogit[b] = (float)test_uniform(&seed);
        for (int i = 0; i < 16; i++)
            out->digest[b][i] = (uint8_t)(128 + 127 * test_uniform(&seed));
    }
    for (int64_t i = 0; i < n_rows * spec->n_features; i++)
        out->x[i] = (float)test_uniform(&seed);
    for (int64_t i = 0; i < n_units * spec->n_static; i++)
        out->statics[i] = (float)test_uniform(&seed);
    fill_tokens(spec, &seed, out);
    for (int64_t i = 0; spec->n_outputs > 1 && i < n_rows * spec->n_outputs; i++)
        out->dlogit[i] = (float)test_uniform(&seed);
}

void test_batch_take(const struct sg_model_spec *spec, const struct test_batch *from, const int *order, int64_t n,
                     struct test_batch *out)
{
    int64_t n_rows = 0, f = spec->n_features, s = spec->n_static, o = outputs_of(spec);
    for (int64_t b = 0; b < n; b++)
        n_rows += from->offset[order[b] + 1] - from->offset[order[b]];
    batch_alloc(spec, n, n_rows, out);
    for (int64_t b = 0; b < n; b++) {
        int32_t begin = from->offset[order[b]], rows = from->offset[order[b] + 1] - begin;
        out->offset[b + 1] = out->offset[b] + rows;
        memcpy(out->dlogit + b * o, from->dlogit + order[b] * o, (size_t)o * sizeof(float));
        memcpy(out->token + out->offset[b], from->token + begin, (size_t)rows * sizeof *out->token);
        memcpy(out->digest[b], from->digest[order[b]], 16);
        memcpy(out->x + out->offset[b] * f, from->x + begin * f, (size_t)(rows * f) * sizeof(float));
        memcpy(out->statics + b * s, from->statics + order[b] * s, (size_t)s * sizeof(float));
    }
}

void test_batch_free(struct test_batch *batch)
{
    free(batch->offset);
    free(batch->token);
    free(batch->masked);
    free(batch->masked_offset);
    free(batch->x);
    free(batch->statics);
    free(batch->dlogit);
    free(batch->digest);
}

void test_model_open(const struct sg_model_spec *spec, const struct sg_ops *ops, const char *const *trainable,
                     int64_t units_max, int64_t rows_max, struct test_model *out)
{
    memset(out, 0, sizeof *out);
    out->ops = ops;
    enum sg_status status = sg_model_create(spec, ops, TEST_SEED, &out->model);
    size_t n = 0;
    while (trainable && trainable[n])
        n++;
    if (status == SG_OK && trainable)
        status = sg_model_train_only(out->model, trainable, n);
    if (status != SG_OK)
        abort();
    out->n_weights = sg_model_n_weights(out->model);
    out->weights = sg_alloc((size_t)out->n_weights, sizeof *out->weights);
    uint64_t state = 3;
    for (int64_t i = 0; i < out->n_weights; i++)
        out->weights[i] = (float)(.6 * test_uniform(&state));
    out->packed = sg_alloc_aligned(sg_model_packed_bytes(out->model));
    sg_model_pack(out->model, out->weights, true, out->packed);
    size_t bytes = sg_workspace_bytes(out->model, units_max, rows_max, true);
    out->memory = sg_alloc_aligned(bytes);
    memset(out->memory, 0xff, bytes); /* NaN: whatever is read before it is written shows */
    out->workspace = sg_workspace_place(out->model, units_max, rows_max, true, out->memory);
}

void test_model_close(struct test_model *m)
{
    sg_model_close(&m->model);
    free(m->weights);
    free(m->packed);
    free(m->memory);
}

const struct sg_tap *test_model_run(struct test_model *m, const struct test_batch *batch, bool training, size_t *n_taps)
{
    assert(batch->view.n_rows * sg_model_spec_of(m->model)->n_outputs <= (int64_t)(sizeof m->logit / sizeof *m->logit));
    sg_model_forward(m->model, m->packed, &batch->view, training, m->workspace, m->logit);
    return sg_model_backward(m->model, m->packed, &batch->view, batch->dlogit, m->workspace, n_taps);
}
