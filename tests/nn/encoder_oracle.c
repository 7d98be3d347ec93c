/* Encoders and tabular transformers once more, written from the papers (Vaswani et al. 2017, Devlin et al. 2019, Hu et
 * al. 2022) in double for one unit at a time, with no code shared with src/nn. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "support.h"

/* y (n, n_out) = x W^T + b, with the factors where there are some. Target bits as in enum sg_lora_target. */
static double *dense(struct oracle *o, const double *x, int64_t n, int64_t n_out, int64_t n_in, unsigned target)
{
    const struct sg_encoder_spec *e = &o->spec->encoder;
    const double *w = n_in ? oracle_next_weight(o, n_out, n_in) : NULL, *bias = oracle_next_weight(o, n_out, 1);
    bool lora = e->lora_rank && (e->lora_targets & target);
    const double *a = lora ? oracle_next_weight(o, e->lora_rank, n_in) : NULL;
    const double *b = lora ? oracle_next_weight(o, n_out, e->lora_rank) : NULL;
    double *y = sg_alloc((size_t)(n * n_out), sizeof *y);
    for (int64_t r = 0; r < n; r++)
        for (int64_t j = 0; j < n_out; j++) {
            double z = bias[j];
            for (int64_t k = 0; k < n_in; k++)
                z += w[j * n_in + k] * x[r * n_in + k];
            for (int64_t q = 0; lora && q < e->lora_rank; q++) {
                double u = 0;
                for (int64_t k = 0; k < n_in; k++)
                    u += a[q * n_in + k] * x[r * n_in + k];
                z += e->lora_alpha / (double)e->lora_rank * b[j * e->lora_rank + q] * u;
            }
            y[r * n_out + j] = z;
        }
    return y;
}

static void layer_norm(struct oracle *o, double *x, int64_t n)
{
    int64_t d = o->spec->encoder.width;
    const double *gain = oracle_next_weight(o, d, 1), *bias = oracle_next_weight(o, d, 1);
    for (int64_t r = 0; r < n; r++, x += d) {
        double mean = 0, variance = 0;
        for (int64_t k = 0; k < d; k++)
            mean += x[k] / (double)d;
        for (int64_t k = 0; k < d; k++)
            variance += (x[k] - mean) * (x[k] - mean) / (double)d;
        for (int64_t k = 0; k < d; k++)
            x[k] = (x[k] - mean) / sqrt(variance + o->spec->encoder.layer_norm_epsilon) * gain[k] + bias[k];
    }
}

static double gelu(const struct oracle *o, double x)
{
    if (o->spec->encoder.gelu == SG_GELU_ERF)
        return x * .5 * (1 + erf(x / sqrt(2)));
    return .5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + .044715 * x * x * x)));
}

static double *attention(const struct oracle *o, const double *q, const double *k, const double *v, int64_t n)
{
    int64_t d = o->spec->encoder.width, width = d / o->spec->encoder.heads;
    double *out = sg_alloc((size_t)(n * d), sizeof *out);
    for (int64_t h = 0; h < d; h += width)
        for (int64_t t = 0; t < n; t++) {
            double total = 0;
            for (int64_t s = 0; s < n; s++) {
                double score = 0;
                for (int64_t i = h; i < h + width; i++)
                    score += q[t * d + i] * k[s * d + i];
                double p = exp(score / sqrt((double)width));
                total += p;
                for (int64_t i = h; i < h + width; i++)
                    out[t * d + i] += p * v[s * d + i];
            }
            for (int64_t i = h; i < h + width; i++)
                out[t * d + i] /= total;
        }
    return out;
}

static void add(double *x, double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
    free(y);
}

static void block(struct oracle *o, double *x, int64_t n, uint64_t index, bool drop)
{
    int64_t d = o->spec->encoder.width, m = o->spec->encoder.intermediate;
    double *q = dense(o, x, n, d, d, SG_LORA_QUERY), *k = dense(o, x, n, d, d, SG_LORA_KEY);
    double *v = dense(o, x, n, d, d, SG_LORA_VALUE), *context = attention(o, q, k, v, n);
    double *projected = dense(o, context, n, d, d, SG_LORA_ATTENTION_OUTPUT);
    if (drop)
        oracle_drop(o, 512 + 2 * index, projected, n * d);
    add(x, projected, n * d);
    layer_norm(o, x, n);
    double *hidden = dense(o, x, n, m, d, SG_LORA_INTERMEDIATE);
    for (int64_t i = 0; i < n * m; i++)
        hidden[i] = gelu(o, hidden[i]);
    double *output = dense(o, hidden, n, d, m, SG_LORA_OUTPUT);
    if (drop)
        oracle_drop(o, 513 + 2 * index, output, n * d);
    add(x, output, n * d);
    layer_norm(o, x, n);
    free(q);
    free(k);
    free(v);
    free(context);
    free(hidden);
}

static double *token_rows(struct oracle *o, const int32_t *token, int64_t n)
{
    const struct sg_encoder_spec *e = &o->spec->encoder;
    int64_t d = e->width;
    const double *word = oracle_next_weight(o, e->vocabulary, d), *position = oracle_next_weight(o, e->positions, d);
    const double *type = oracle_next_weight(o, e->types, d);
    double *x = sg_alloc((size_t)(n * d), sizeof *x);
    for (int64_t r = 0; r < n; r++)
        for (int64_t k = 0; k < d; k++)
            x[r * d + k] = word[token[r] * d + k] + position[r * d + k] + type[k];
    return x;
}

static double *tabular_rows(struct oracle *o, const float *x32, const float *statics32, int64_t n)
{
    int64_t d = o->spec->encoder.width, f = o->spec->n_features, s = o->spec->n_static;
    int64_t front = 1 + o->spec->n_static_tokens;
    double *x = sg_alloc((size_t)(n * f), sizeof *x), *statics = sg_alloc((size_t)(front * s), sizeof *statics);
    for (int64_t i = 0; i < n * f; i++)
        x[i] = x32[i];
    for (int64_t i = 0, left = 0, row = 0; i < s; i++, left--) {
        if (left == 0 && front > 1)
            left = o->spec->static_token[row++];
        statics[row * s + i] = statics32[i];
    }
    double *projected = dense(o, x, n, d, f, 0), *first = dense(o, statics, front, d, s, 0);
    const double *position = oracle_next_weight(o, o->spec->encoder.positions, d);
    double *out = sg_alloc((size_t)((front + n) * d), sizeof *out);
    for (int64_t k = 0; k < d; k++) {
        for (int64_t r = 0; r < front; r++)
            out[r * d + k] = first[r * d + k] + position[r * d + k];
        for (int64_t r = 0; r < n; r++)
            out[(front + r) * d + k] = projected[r * d + k] + position[(front + n - 1 - r) * d + k];
    }
    free(x);
    free(statics);
    free(projected);
    free(first);
    return out;
}

static double *pool(struct oracle *o, const double *x, int64_t n)
{
    int64_t d = o->spec->encoder.width;
    double *pooled = sg_alloc((size_t)d, sizeof *pooled), length = 0;
    bool mean = o->spec->kind == SG_MODEL_ENCODER && o->spec->encoder.pooling == SG_POOL_MEAN;
    for (int64_t r = 0; r < (mean ? n : 1); r++)
        for (int64_t k = 0; k < d; k++)
            pooled[k] += x[r * d + k] / (mean ? (double)n : 1);
    if (o->spec->kind == SG_MODEL_ENCODER && !mean) {
        double *y = dense(o, pooled, 1, d, d, 0);
        for (int64_t k = 0; k < d; k++)
            pooled[k] = tanh(y[k]);
        free(y);
    }
    for (int64_t k = 0; k < d; k++)
        length += pooled[k] * pooled[k];
    for (int64_t k = 0; o->spec->encoder.unit_length && k < d; k++)
        pooled[k] /= sqrt(length);
    return pooled;
}

static void masked_outputs(struct oracle *o, const double *word, const double *x, const struct test_batch *batch,
                           int64_t unit, double *logit)
{
    int64_t d = o->spec->encoder.width, n_words = o->spec->encoder.vocabulary;
    int32_t begin = batch->masked_offset[unit], n = batch->masked_offset[unit + 1] - begin;
    double *rows = sg_alloc((size_t)(n * d), sizeof *rows);
    for (int32_t i = 0; i < n; i++)
        memcpy(rows + i * d, x + (batch->masked[begin + i] - batch->offset[unit]) * d, (size_t)d * sizeof *rows);
    double *y = dense(o, rows, n, d, d, 0);
    for (int64_t i = 0; i < n * d; i++)
        y[i] = gelu(o, y[i]);
    layer_norm(o, y, n);
    const double *bias = oracle_next_weight(o, n_words, 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n_words; j++) {
            logit[i * n_words + j] = bias[j];
            for (int64_t k = 0; k < d; k++)
                logit[i * n_words + j] += word[j * d + k] * y[i * d + k];
        }
    free(rows);
    free(y);
}

static void add_linear(struct oracle *o, const float *x, const float *statics, int64_t n, double *logit)
{
    const struct sg_model_spec *spec = o->spec;
    int64_t n_x = spec->n_features, n_in = spec->linear_steps * n_x + spec->n_static + 1;
    for (int64_t j = 0; j < spec->n_outputs; j++) {
        const double *w = oracle_next_weight(o, 1, n_in);
        logit[j] += w[n_in - 1];
        for (int64_t back = 1; back <= spec->linear_steps && back <= n; back++)
            for (int64_t k = 0; k < n_x; k++)
                logit[j] += w[(spec->linear_steps - back) * n_x + k] * x[(n - back) * n_x + k];
        for (int64_t i = 0; i < spec->n_static; i++)
            logit[j] += w[spec->linear_steps * n_x + i] * statics[i];
    }
}

void oracle_outputs(const struct sg_model_spec *spec, const double *weights, const struct test_batch *batch,
                    int64_t unit, bool training, int64_t dropped_from, double *logit)
{
    struct oracle o = {spec, weights, batch->digest[unit], batch->view.step, TEST_SEED, training && spec->dropout > 0};
    int64_t first = batch->offset[unit], n = batch->offset[unit + 1] - first, d = spec->encoder.width;
    bool tabular = spec->kind == SG_MODEL_TABULAR;
    const float *features = batch->x + first * spec->n_features, *statics = batch->statics + unit * spec->n_static;
    double *x = tabular ? tabular_rows(&o, features, statics, n) : token_rows(&o, batch->token + first, n);
    int64_t n_rows = n + (tabular ? 1 + spec->n_static_tokens : 0);
    layer_norm(&o, x, n_rows);
    if (dropped_from < 0)
        oracle_drop(&o, 256, x, n_rows * d);
    for (int64_t l = 0; l < spec->encoder.layers; l++)
        block(&o, x, n_rows, (uint64_t)l, dropped_from <= l);
    if (spec->objective == SG_MASKED_TOKENS) {
        masked_outputs(&o, weights, x, batch, unit, logit);
        free(x);
        return;
    }
    double *pooled = pool(&o, x, n_rows);
    oracle_drop(&o, 255, pooled, d);
    double *outputs = dense(&o, pooled, 1, spec->n_outputs, d, 0);
    memcpy(logit, outputs, (size_t)spec->n_outputs * sizeof *logit);
    if (spec->linear_steps)
        add_linear(&o, features, statics, n, logit);
    free(x);
    free(pooled);
    free(outputs);
}
