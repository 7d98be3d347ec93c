/* The model once more, written from the papers in double for one unit at a time, with no code shared with src/nn. */
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "support.h"

const double *oracle_next_weight(struct oracle *o, int64_t n_out, int64_t n_in)
{
    const double *w = o->weights;
    o->weights += n_out * n_in;
    return w;
}

void oracle_drop(const struct oracle *o, uint64_t layer, double *x, int64_t n)
{
    if (!o->drop)
        return;
    struct sg_buffer text = {0};
    sg_buffer_append(&text, "sealgrad dropout 1", 19);
    sg_buffer_u64be(&text, o->seed);
    sg_buffer_u64be(&text, (uint64_t)o->step);
    sg_buffer_u64be(&text, layer);
    uint8_t key[32], nonce[24] = {0};
    memcpy(nonce, o->digest, 16);
    sg_sha256(text.data, text.len, key);
    sg_buffer_free(&text);
    uint8_t *stream = sg_alloc((size_t)n, 4);
    crypto_stream_xchacha20(stream, (unsigned long long)n * 4, nonce, key);
    for (int64_t i = 0; i < n; i++) {
        double u =
            (stream[4 * i] + 256.0 * stream[4 * i + 1] + 65536.0 * stream[4 * i + 2] + 16777216.0 * stream[4 * i + 3]) /
            4294967296.0;
        x[i] *= u < o->spec->dropout ? 0 : 1 / (1 - o->spec->dropout);
    }
    free(stream);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* h of every step of one direction into y (n, 2H) at column `at`. */
static void lstm(struct oracle *o, const double *x, int64_t n, int64_t n_x, bool reverse, double *y, int64_t at)
{
    int64_t hidden = o->spec->hidden, n_in = n_x + hidden + 1;
    const double *w = oracle_next_weight(o, 4 * hidden, n_in);
    double *h = sg_alloc((size_t)hidden, sizeof *h), *c = sg_alloc((size_t)hidden, sizeof *c);
    double *gate = sg_alloc((size_t)(4 * hidden), sizeof *gate);
    for (int64_t s = 0; s < n; s++) {
        int64_t t = reverse ? n - 1 - s : s;
        for (int64_t j = 0; j < 4 * hidden; j++) {
            gate[j] = w[j * n_in + n_in - 1];
            for (int64_t k = 0; k < n_x; k++)
                gate[j] += w[j * n_in + k] * x[t * n_x + k];
            for (int64_t k = 0; k < hidden; k++)
                gate[j] += w[j * n_in + n_x + k] * h[k];
        }
        for (int64_t j = 0; j < hidden; j++) {
            c[j] = sigmoid(gate[hidden + j]) * c[j] + sigmoid(gate[j]) * tanh(gate[2 * hidden + j]);
            h[j] = sigmoid(gate[3 * hidden + j]) * tanh(c[j]);
            y[t * 2 * hidden + at + j] = h[j];
        }
    }
    free(h);
    free(c);
    free(gate);
}

/* pooled = sum over steps of softmax(v . tanh(W h + b)) h */
static void attention(struct oracle *o, const double *h, int64_t n, double *pooled)
{
    int64_t width = 2 * o->spec->hidden, n_att = o->spec->attention;
    const double *w = oracle_next_weight(o, n_att, width + 1), *v = oracle_next_weight(o, 1, n_att);
    double total = 0;
    memset(pooled, 0, (size_t)width * sizeof *pooled);
    for (int64_t t = 0; t < n; t++) {
        double score = 0;
        for (int64_t a = 0; a < n_att; a++) {
            double z = w[a * (width + 1) + width];
            for (int64_t k = 0; k < width; k++)
                z += w[a * (width + 1) + k] * h[t * width + k];
            score += v[a] * tanh(z);
        }
        total += exp(score);
        for (int64_t k = 0; k < width; k++)
            pooled[k] += exp(score) * h[t * width + k];
    }
    for (int64_t k = 0; k < width; k++)
        pooled[k] /= total;
}

static double affine(const double *w, const double *x, int64_t n)
{
    double z = w[n];
    for (int64_t i = 0; i < n; i++)
        z += w[i] * x[i];
    return z;
}

static double deep_logit(struct oracle *o, const float *x32, const float *statics, int64_t n)
{
    const struct sg_model_spec *spec = o->spec;
    int64_t width = 2 * spec->hidden, n_x = spec->n_features, widest = width > n_x ? width : n_x;
    double *x = sg_alloc((size_t)(n * widest), sizeof *x), *y = sg_alloc((size_t)(n * width), sizeof *y);
    for (int64_t i = 0; i < n * n_x; i++)
        x[i] = x32[i];
    for (int64_t l = 0; l < spec->layers; l++) {
        lstm(o, x, n, n_x, false, y, 0);
        lstm(o, x, n, n_x, true, y, spec->hidden);
        n_x = width;
        memcpy(x, y, (size_t)(n * width) * sizeof *x);
        if (l + 1 < spec->layers)
            oracle_drop(o, (uint8_t)l, x, n * width);
    }
    int64_t n_joined = width + spec->n_static;
    double *joined = sg_alloc((size_t)n_joined, sizeof *joined);
    attention(o, x, n, joined);
    for (int64_t i = 0; i < spec->n_static; i++)
        joined[width + i] = statics[i];
    oracle_drop(o, 255, joined, n_joined);
    double logit;
    if (spec->mlp) {
        double *hidden = sg_alloc((size_t)spec->mlp, sizeof *hidden);
        const double *w = oracle_next_weight(o, spec->mlp, n_joined + 1);
        for (int64_t m = 0; m < spec->mlp; m++) {
            double z = affine(w + m * (n_joined + 1), joined, n_joined);
            hidden[m] = spec->mlp_activation == SG_TANH ? tanh(z) : fmax(z, 0);
        }
        logit = affine(oracle_next_weight(o, 1, spec->mlp + 1), hidden, spec->mlp);
        free(hidden);
    } else {
        logit = affine(oracle_next_weight(o, 1, n_joined + 1), joined, n_joined);
    }
    free(x);
    free(y);
    free(joined);
    return logit;
}

static double linear_logit(struct oracle *o, const float *x, const float *statics, int64_t n)
{
    const struct sg_model_spec *spec = o->spec;
    int64_t n_x = spec->n_features, n_in = spec->linear_steps * n_x + spec->n_static + 1;
    const double *w = oracle_next_weight(o, 1, n_in);
    double z = w[n_in - 1];
    for (int64_t back = 1; back <= spec->linear_steps && back <= n; back++)
        for (int64_t k = 0; k < n_x; k++)
            z += w[(spec->linear_steps - back) * n_x + k] * x[(n - back) * n_x + k];
    for (int64_t i = 0; i < spec->n_static; i++)
        z += w[spec->linear_steps * n_x + i] * statics[i];
    return z;
}

double oracle_logit(const struct sg_model_spec *spec, const double *weights, const struct test_batch *batch,
                    int64_t unit, bool training, uint64_t seed)
{
    struct oracle o = {spec, weights, batch->digest[unit], batch->view.step, seed, training && spec->dropout > 0};
    int64_t n = batch->offset[unit + 1] - batch->offset[unit];
    const float *x = batch->x + batch->offset[unit] * spec->n_features;
    const float *statics = batch->statics + unit * spec->n_static;
    double logit = spec->kind == SG_MODEL_BILSTM_ATTENTION ? deep_logit(&o, x, statics, n) : 0;
    return logit + (spec->linear_steps ? linear_logit(&o, x, statics, n) : 0);
}
