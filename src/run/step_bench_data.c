#include "step_bench_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "format/safetensors.h"

#define LENGTH_MIN 7.0 /* of generated messages: their lengths are exponential above it, mean 15 where 32 is the most  \
                        */
#define LENGTH_MORE 10.0

static uint64_t mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static double uniform(uint64_t *state)
{
    return (double)(mix(state) >> 11) * 0x1p-53;
}

/* Roughly standard normal: the sum of four uniforms. */
static float noise_float(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += uniform(state) - 0.5;
    return (float)(sum * 1.7320508);
}

/* Lengths (n_units) become the rows of the dataset. */
static enum sg_status set_lengths(const struct sg_step_bench *setup, const float *length, struct sg_dataset *d)
{
    for (int64_t u = 0; u < d->n_units; u++) {
        if (!(length[u] >= 1 && length[u] <= (float)setup->n_steps))
            return sg_fail(SG_USAGE, "%s: tensor length must hold numbers in 1 .. %lld", setup->tensors,
                           (long long)setup->n_steps);
        d->offset[u + 1] = d->offset[u] + (int64_t)length[u];
    }
    d->n_rows = d->offset[d->n_units];
    d->token = sg_alloc((size_t)d->n_rows, sizeof *d->token);
    return SG_OK;
}

static enum sg_status generate_tokens(const struct sg_step_bench *setup, uint64_t *state, struct sg_dataset *d)
{
    float *length = sg_alloc((size_t)d->n_units, sizeof *length);
    for (int64_t u = 0; u < d->n_units; u++) {
        double n = floor(LENGTH_MIN - LENGTH_MORE * log(1 - uniform(state)));
        length[u] = (float)(n < (double)setup->n_steps ? n : (double)setup->n_steps);
    }
    enum sg_status status = set_lengths(setup, length, d);
    free(length);
    for (int64_t r = 0; r < d->n_rows; r++)
        d->token[r] = (int32_t)(mix(state) % (uint64_t)setup->model.encoder.vocabulary);
    return status;
}

/* A start of zeros, as heads and factors have it, would leave gradients of zeros: no usual step. */
static void start_everywhere(const struct sg_model *model, uint64_t *state, float *weights)
{
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    for (size_t i = 0; i < n; i++) {
        float *w = weights + p[i].first;
        int64_t k = 0, size = p[i].n_out * p[i].n_in;
        while (k < size && w[k] == 0)
            k++;
        if (p[i].kind != SG_PARAMETER_WEIGHT || k < size)
            continue;
        for (k = 0; k < size; k++)
            w[k] = 0.02f * noise_float(state);
    }
}

static enum sg_status generate(const struct sg_step_bench *setup, const struct sg_model *model, struct sg_bench_data *b)
{
    struct sg_dataset *d = &b->dataset;
    uint64_t state = 1;
    if (setup->model.kind == SG_MODEL_ENCODER)
        SG_TRY(generate_tokens(setup, &state, d));
    for (int64_t i = 0; i < d->n_rows * d->n_features; i++)
        d->x[i] = noise_float(&state);
    for (int64_t i = 0; i < d->n_units * d->n_static; i++)
        d->statics[i] = noise_float(&state);
    uint64_t n_classes = (uint64_t)setup->model.n_outputs;
    for (int64_t u = 0; u < d->n_units; u++)
        d->label[u] = n_classes > 1 ? (float)(mix(&state) % n_classes) : (float)(mix(&state) % 100 < 22);
    sg_model_init(model, 1, b->weights);
    if (setup->model.kind == SG_MODEL_ENCODER)
        start_everywhere(model, &state, b->weights);
    return SG_OK;
}

static enum sg_status take(const struct sg_step_bench *setup, const struct sg_safetensors *file, const char *name,
                           int64_t n, float *out)
{
    const struct sg_tensor *t = sg_safetensors_find(file, name);
    if (!t || t->n != n)
        return sg_fail(SG_USAGE, "%s: tensor %s is missing or does not hold %lld numbers", setup->tensors, name,
                       (long long)n);
    memcpy(out, t->data, (size_t)n * sizeof(float));
    return SG_OK;
}

static enum sg_status load_tokens(const struct sg_step_bench *setup, const struct sg_safetensors *file,
                                  struct sg_dataset *d)
{
    float *value = sg_alloc((size_t)(d->n_units * setup->n_steps), sizeof *value); /* the most tokens there can be */
    enum sg_status status = take(setup, file, "length", d->n_units, value);
    if (status == SG_OK)
        status = set_lengths(setup, value, d);
    if (status == SG_OK)
        status = take(setup, file, "token", d->n_rows, value);
    float n_ids = (float)setup->model.encoder.vocabulary;
    for (int64_t r = 0; r < d->n_rows && status == SG_OK; r++) {
        if (!(value[r] >= 0 && value[r] < n_ids))
            status = sg_fail(SG_USAGE, "%s: tensor token must hold ids below %.0f", setup->tensors, (double)n_ids);
        else
            d->token[r] = (int32_t)value[r];
    }
    free(value);
    return status;
}

static enum sg_status load_units(const struct sg_step_bench *setup, const struct sg_safetensors *file,
                                 struct sg_dataset *d)
{
    if (setup->model.kind == SG_MODEL_ENCODER)
        SG_TRY(load_tokens(setup, file, d));
    else
        SG_TRY(take(setup, file, "x", d->n_rows * d->n_features, d->x));
    if (d->n_static)
        SG_TRY(take(setup, file, "statics", d->n_units * d->n_static, d->statics));
    SG_TRY(take(setup, file, "label", d->n_units, d->label));
    float n_labels = (float)(setup->model.n_outputs > 1 ? setup->model.n_outputs : 2);
    for (int64_t u = 0; u < d->n_units; u++)
        if (!(d->label[u] >= 0 && d->label[u] < n_labels))
            return sg_fail(SG_USAGE, "%s: tensor label must hold numbers below %.0f", setup->tensors, (double)n_labels);
    return SG_OK;
}

static enum sg_status load(const struct sg_step_bench *setup, const struct sg_model *model, struct sg_bench_data *b)
{
    struct sg_safetensors file = {0};
    SG_TRY(sg_safetensors_read(setup->tensors, &file));
    enum sg_status status = load_units(setup, &file, &b->dataset);
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    for (size_t i = 0; i < n && status == SG_OK; i++)
        status = take(setup, &file, p[i].name, p[i].n_out * p[i].n_in, b->weights + p[i].first);
    sg_safetensors_free(&file);
    return status;
}

enum sg_status sg_bench_data_open(const struct sg_step_bench *setup, const struct sg_model *model,
                                  struct sg_bench_data *out)
{
    struct sg_dataset *d = &out->dataset;
    d->n_units = setup->n_units;
    d->n_features = setup->model.n_features;
    d->n_static = setup->model.n_static;
    d->offset = sg_alloc((size_t)d->n_units + 1, sizeof *d->offset);
    d->label = sg_alloc((size_t)d->n_units, sizeof *d->label);
    d->digest = sg_alloc((size_t)d->n_units, SG_UNIT_DIGEST_BYTES);
    out->unit = sg_alloc((size_t)d->n_units, sizeof *out->unit);
    out->weights = sg_alloc((size_t)sg_model_n_weights(model), sizeof *out->weights);
    for (int64_t u = 0; u < d->n_units; u++) {
        out->unit[u] = (int32_t)u;
        uint8_t digest[SG_DIGEST_BYTES];
        sg_sha256(&u, sizeof u, digest);
        memcpy(d->digest[u], digest, SG_UNIT_DIGEST_BYTES);
    }
    if (setup->model.kind != SG_MODEL_ENCODER) { /* an encoder's lengths come with its tokens */
        d->n_rows = d->n_units * setup->n_steps;
        for (int64_t u = 0; u < d->n_units; u++)
            d->offset[u + 1] = (u + 1) * setup->n_steps;
        d->x = sg_alloc((size_t)(d->n_rows * d->n_features), sizeof *d->x);
        d->statics = sg_alloc((size_t)(d->n_units * d->n_static), sizeof *d->statics);
    }
    return setup->tensors ? load(setup, model, out) : generate(setup, model, out);
}

void sg_bench_data_close(struct sg_bench_data *data)
{
    struct sg_dataset *d = &data->dataset;
    free(d->offset);
    free(d->x);
    free(d->statics);
    free(d->token);
    free(d->label);
    free(d->digest);
    free(data->unit);
    free(data->weights);
}
