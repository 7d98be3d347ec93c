/* A model: its specification, its public start, and the two passes over a batch. */
#include "nn/model.h"

#include <assert.h>
#include <fnmatch.h>
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "internal.h"

enum sg_status sg_nn_check_ranges(const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ranges[i].value < ranges[i].min || ranges[i].value > ranges[i].max)
            return sg_fail(SG_USAGE, "model: %s is %lld; it must lie in %lld .. %lld", ranges[i].name,
                           (long long)ranges[i].value, (long long)ranges[i].min, (long long)ranges[i].max);
    return SG_OK;
}

enum sg_status sg_nn_check_dropout(double dropout)
{
    return dropout >= 0 && dropout <= .95
               ? SG_OK
               : sg_fail(SG_USAGE, "model: dropout is %g; it must lie in 0 .. 0.95", dropout);
}

static enum sg_status check_spec(const struct sg_model_spec *spec)
{
    if (sg_model_has_blocks(spec->kind))
        return sg_nn_check_encoder(spec);
    if (spec->kind != SG_MODEL_LOGISTIC && spec->kind != SG_MODEL_BILSTM_ATTENTION)
        return sg_fail(SG_USAGE, "model: unknown kind %d", (int)spec->kind);
    if (spec->n_outputs > 1)
        return sg_fail(SG_USAGE, "model: %lld outputs; only encoders and tabular transformers have more than one",
                       (long long)spec->n_outputs);
    if (spec->objective != SG_BINARY && spec->objective != SG_REGRESSION)
        return sg_fail(SG_USAGE, "model: one output is a binary label's or a value's; for classes use an encoder or a "
                                 "tabular transformer");
    bool logistic = spec->kind == SG_MODEL_LOGISTIC;
    const struct range always[] = {
        {"n_features", spec->n_features, logistic ? 0 : 1, WIDTH_MAX},
        {"n_static", spec->n_static, logistic && !spec->n_features ? 1 : 0, WIDTH_MAX},
        {"linear_steps", spec->linear_steps, logistic ? 1 : 0, STEPS_MAX},
    };
    SG_TRY(sg_nn_check_ranges(always, sizeof always / sizeof *always));
    if (logistic)
        return spec->dropout == 0 ? SG_OK
                                  : sg_fail(SG_USAGE, "model: a logistic model has no layer that dropout could act on; "
                                                      "leave dropout out or set it to 0");
    const struct range deep[] = {
        {"hidden", spec->hidden, 1, WIDTH_MAX / 4},
        {"layers", spec->layers, 1, SG_MODEL_LAYERS_MAX},
        {"attention", spec->attention, 1, WIDTH_MAX},
        {"mlp", spec->mlp, 0, WIDTH_MAX},
    };
    SG_TRY(sg_nn_check_ranges(deep, sizeof deep / sizeof *deep));
    if (spec->mlp_activation != SG_TANH && spec->mlp_activation != SG_RELU)
        return sg_fail(SG_USAGE, "model: unknown activation %d", (int)spec->mlp_activation);
    return sg_nn_check_dropout(spec->dropout);
}

enum sg_status sg_model_create(const struct sg_model_spec *spec, const struct sg_ops *ops, uint64_t seed,
                               struct sg_model **out)
{
    *out = NULL;
    SG_TRY(check_spec(spec));
    if (sodium_init() < 0) /* also picks the fastest stream cipher */
        return sg_fail(SG_FAILED, "libsodium cannot be initialised");
    struct sg_model *model = sg_alloc(1, sizeof *model);
    model->spec = *spec;
    model->spec.n_outputs = spec->n_outputs ? spec->n_outputs : 1;
    model->ops = ops;
    model->seed = seed;
    sg_nn_build_tables(model);
    *out = model;
    return SG_OK;
}

void sg_model_close(struct sg_model **model)
{
    if (!*model)
        return;
    if (has_blocks(*model))
        free((*model)->encoder->blocks);
    free((*model)->encoder);
    free((*model)->parameters);
    free((*model)->places);
    free((*model)->strips);
    free(*model);
    *model = NULL;
}

const struct sg_model_spec *sg_model_spec_of(const struct sg_model *model)
{
    return &model->spec;
}

const struct sg_ops *sg_model_ops(const struct sg_model *model)
{
    return model->ops;
}

const struct sg_parameter *sg_model_parameters(const struct sg_model *model, size_t *n)
{
    *n = (size_t)model->n_parameters;
    return model->parameters;
}

int64_t sg_model_unit_rows(const struct sg_model_spec *spec, int64_t rows)
{
    return rows + (spec->kind == SG_MODEL_TABULAR ? 1 + spec->n_static_tokens : 0);
}

const struct sg_parameter *sg_model_find_parameter(const struct sg_model *model, const char *name)
{
    for (int i = 0; i < model->n_parameters; i++)
        if (strcmp(model->parameters[i].name, name) == 0)
            return &model->parameters[i];
    return NULL;
}

int64_t sg_model_n_weights(const struct sg_model *model)
{
    const struct sg_parameter *last = &model->parameters[model->n_parameters - 1];
    return last->first + last->n_out * last->n_in;
}

int64_t sg_model_n_trainable(const struct sg_model *model)
{
    int64_t n = 0;
    for (int i = 0; i < model->n_parameters; i++)
        if (model->parameters[i].trainable)
            n += model->parameters[i].n_out * model->parameters[i].n_in;
    return n;
}

enum sg_status sg_model_train_only(struct sg_model *model, const char *const *patterns, size_t n_patterns)
{
    if (!n_patterns)
        return sg_fail(SG_USAGE, "trainable: no pattern is given, so nothing would learn; \"*\" trains everything");
    bool *trainable = sg_alloc((size_t)model->n_parameters, sizeof *trainable);
    for (size_t k = 0; k < n_patterns; k++) {
        bool matched = false;
        for (int i = 0; i < model->n_parameters; i++)
            if (fnmatch(patterns[k], model->parameters[i].name, 0) == 0)
                matched = trainable[i] = true;
        if (!matched) {
            free(trainable);
            return sg_fail(SG_USAGE, "trainable: no weight of this model has a name like \"%s\"; the first is \"%s\"",
                           patterns[k], model->parameters[0].name);
        }
    }
    for (int i = 0; i < model->n_parameters; i++)
        model->parameters[i].trainable = trainable[i];
    free(trainable);
    sg_nn_refresh_trainable(model);
    return SG_OK;
}

/* Uniform in +-1/sqrt(n_in) from ChaCha20 under SHA-256(label, seed, name): a weight's start depends on nothing else.
 */
static void init_uniform(const struct sg_parameter *p, uint64_t seed, float *weight)
{
    static const char label[] = "sealgrad init 1";
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    uint8_t text[sizeof label + 8 + sizeof p->name] = {0}, key[SG_DIGEST_BYTES];
    memcpy(text, label, sizeof label);
    sg_store_u64be(text + sizeof label, seed);
    memcpy(text + sizeof label + 8, p->name, strlen(p->name));
    sg_sha256(text, sizeof text, key);
    int64_t n = p->n_out * p->n_in;
    uint8_t *words = (uint8_t *)weight;
    crypto_stream_chacha20(words, (unsigned long long)n * 4, nonce, key);
    double reach = 1 / sqrt((double)p->n_in);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *q = words + 4 * i;
        uint32_t word = q[0] | (uint32_t)q[1] << 8 | (uint32_t)q[2] << 16 | (uint32_t)q[3] << 24;
        weight[i] = (float)(((word + .5) * 0x1p-31 - 1) * reach);
    }
}

static bool is_lstm(const struct sg_model *model, int parameter)
{
    return model->spec.kind == SG_MODEL_BILSTM_ATTENTION && parameter < model->attention.parameter;
}

void sg_model_init(const struct sg_model *model, uint64_t seed, float *weights)
{
    for (int i = 0; i < model->n_parameters; i++) {
        const struct sg_parameter *p = &model->parameters[i];
        enum start start = model->places[i].start;
        float *weight = weights + p->first;
        if (start == START_ZERO || start == START_ONE) {
            for (int64_t k = 0; k < p->n_out * p->n_in; k++)
                weight[k] = start == START_ONE;
            continue;
        }
        init_uniform(p, seed, weight);
        if (start != START_BIASED)
            continue;
        int64_t hidden = model->spec.hidden; /* gates i, f, g, o */
        for (int64_t o = 0; o < p->n_out; o++)
            weight[o * p->n_in + p->n_in - 1] = is_lstm(model, i) && o >= hidden && o < 2 * hidden ? 1 : 0;
    }
}

void sg_nn_gemm(const struct pass *pass, int strip, int64_t n_rows, const float *a, int64_t lda, const int32_t *a_rows,
                float *c, int64_t ldc, const int32_t *c_rows, bool accumulate)
{
    const struct strip *s = &pass->model->strips[strip];
    int64_t n_out = pass->model->parameters[s->parameter].n_out;
    int64_t n_k = s->backward ? n_out : s->n_columns, n_cols = s->backward ? s->n_columns : n_out;
    pass->model->ops->gemm(n_rows, n_k, n_cols, a, lda, a_rows,
                           ((const struct packed_head *)pass->packed)->strips + s->at, c, ldc, c_rows, accumulate,
                           pass->w->scratch);
}

void sg_nn_ones(const struct pass *pass, int64_t n_rows, float *column, int64_t ld)
{
    pass->model->ops->copy_rows(n_rows, 1, pass->w->ones, 0, NULL, column, ld, NULL);
}

static void check_batch(const struct sg_model *model, const struct sg_batch *batch, const struct sg_workspace *w)
{
    assert(batch->n_units >= 0 && batch->n_units <= w->units_max && batch->n_rows <= w->rows_max);
    assert(batch->offset[0] == 0 && batch->offset[batch->n_units] == batch->n_rows);
    assert(model->spec.kind != SG_MODEL_ENCODER || batch->token || batch->prefix);
    assert(!model->spec.n_static || batch->statics);
    (void)model, (void)batch, (void)w;
}

void sg_model_forward(const struct sg_model *model, const void *packed, const struct sg_batch *batch, bool training,
                      struct sg_workspace *workspace, float *logit)
{
    check_batch(model, batch, workspace);
    struct pass pass = {model, packed, batch, workspace};
    workspace->dropped = training && model->spec.dropout > 0;
    assert(!workspace->dropped || (batch->digest && workspace->with_backward));
    if (has_blocks(model))
        sg_nn_embeddings_rows(&pass);
    if (!batch->n_units)
        return;
    bool deep = model->spec.kind == SG_MODEL_BILSTM_ATTENTION;
    if (deep) {
        sg_nn_walk(&pass);
        sg_nn_lstm_forward(&pass);
        sg_nn_attention_forward(&pass);
        sg_nn_head_forward(&pass, logit);
    }
    if (has_blocks(model))
        sg_nn_encoder_forward(&pass, logit);
    if (model->spec.linear_steps)
        sg_nn_linear_forward(&pass, logit, deep || has_blocks(model));
}

void sg_nn_add_tap(const struct pass *pass, int parameter, struct sg_tap tap)
{
    if (!is_trainable(pass->model, parameter))
        return;
    const struct sg_parameter *p = &pass->model->parameters[parameter];
    tap.n_in = p->n_in;
    tap.n_out = p->n_out;
    tap.weight = p->trainable_first;
    pass->w->taps[pass->w->n_taps++] = tap;
}

/* Of a weight whose last column is the bias: the rows of a and g lie without gaps. */
static void add_tap(const struct pass *pass, int parameter, float *a, float *g, const int32_t *offset)
{
    if (parameter < 0)
        return;
    const struct sg_parameter *p = &pass->model->parameters[parameter];
    sg_nn_add_tap(pass, parameter, (struct sg_tap){.a = a, .g = g, .lda = p->n_in, .ldg = p->n_out, .offset = offset});
}

static void add_linear_tap(const struct pass *pass)
{
    add_tap(pass, pass->model->linear.parameter, pass->w->linear, pass->w->dlinear, pass->w->unit_offset);
}

void sg_nn_add_taps(const struct pass *pass)
{
    const struct sg_model *model = pass->model;
    struct sg_workspace *w = pass->w;
    w->n_taps = 0;
    if (model->spec.kind == SG_MODEL_BILSTM_ATTENTION) {
        const int32_t *rows = pass->batch->offset, *units = w->unit_offset;
        for (int64_t l = 0; l < model->spec.layers; l++)
            for (int d = 0; d < N_DIRECTIONS; d++)
                add_tap(pass, model->lstm[l][d].parameter, w->cells[l][d].a, w->cells[l][d].gates, rows);
        add_tap(pass, model->attention.parameter, w->y, w->du, rows);
        add_tap(pass, model->score.parameter, w->u, w->dscore, rows);
        add_tap(pass, model->mlp.parameter, w->joined, w->dhidden, units);
        add_tap(pass, model->output.parameter, model->spec.mlp ? w->hidden : w->joined, w->doutput, units);
    }
    if (has_blocks(model))
        sg_nn_encoder_taps(pass);
    add_linear_tap(pass);
}

/* Fills what the taps point to; hands them to `sink` as they come, or leaves them all in the workspace. */
static void backward(const struct pass *pass, const float *dlogit, sg_tap_sink *sink, void *context)
{
    const struct sg_model *model = pass->model;
    struct sg_workspace *w = pass->w;
    int64_t n_units = pass->batch->n_units, n_outputs = model->spec.n_outputs;
    check_batch(model, pass->batch, w);
    assert(w->with_backward && (sink || !w->recompute));
    w->n_taps = 0;
    if (model->spec.kind == SG_MODEL_BILSTM_ATTENTION) {
        model->ops->copy_rows(n_units, 1, dlogit, 1, NULL, w->doutput, 1, NULL);
        sg_nn_head_backward(pass);
        if (model->needs_pooled)
            sg_nn_attention_backward(pass);
        sg_nn_lstm_backward(pass);
    }
    if (has_blocks(model) && n_units)
        sg_nn_encoder_backward(pass, dlogit, sink, context);
    if (model->spec.linear_steps)
        model->ops->copy_rows(n_units, n_outputs, dlogit, n_outputs, NULL, w->dlinear, n_outputs, NULL);
}

const struct sg_tap *sg_model_backward(const struct sg_model *model, const void *packed, const struct sg_batch *batch,
                                       const float *dlogit, struct sg_workspace *workspace, size_t *n_taps)
{
    const struct pass pass = {model, packed, batch, workspace};
    backward(&pass, dlogit, NULL, NULL);
    sg_nn_add_taps(&pass);
    assert(workspace->n_taps == model->n_taps);
    *n_taps = workspace->n_taps;
    return workspace->taps;
}

void sg_model_backward_in_parts(const struct sg_model *model, const void *packed, const struct sg_batch *batch,
                                const float *dlogit, struct sg_workspace *workspace, sg_tap_sink *sink, void *context)
{
    const struct pass pass = {model, packed, batch, workspace};
    backward(&pass, dlogit, sink, context);
    if (has_blocks(model))
        add_linear_tap(&pass);
    else
        sg_nn_add_taps(&pass);
    if (workspace->n_taps)
        sink(context, workspace->taps, workspace->n_taps);
}
