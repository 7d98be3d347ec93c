/* A model's tables: which parameters there are, which packed strips its GEMMs need, and what backward must do. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "internal.h"

int sg_nn_add_parameter(struct sg_model *model, const struct sg_parameter *parameter, const struct place *place)
{
    int i = model->n_parameters++;
    if (i == model->parameter_capacity) {
        model->parameter_capacity = i ? 2 * i : 16;
        model->parameters = sg_realloc(model->parameters, (size_t)model->parameter_capacity, sizeof *model->parameters);
        model->places = sg_realloc(model->places, (size_t)model->parameter_capacity, sizeof *model->places);
    }
    struct sg_parameter *p = &model->parameters[i];
    *p = *parameter;
    p->first = i ? p[-1].first + p[-1].n_out * p[-1].n_in : 0;
    p->trainable = true;
    model->places[i] = *place;
    model->widest = p->n_in > model->widest ? p->n_in : model->widest;
    if (p->kind != SG_PARAMETER_EMBEDDING)
        model->widest = p->n_out > model->widest ? p->n_out : model->widest;
    return i;
}

int sg_nn_add_strip(struct sg_model *model, int parameter, bool backward, int64_t column, int64_t n_columns, int flow)
{
    int i = model->n_strips++;
    assert(n_columns > 0);
    if (i == model->strip_capacity) {
        model->strip_capacity = i ? 2 * i : 32;
        model->strips = sg_realloc(model->strips, (size_t)model->strip_capacity, sizeof *model->strips);
    }
    model->strips[i] = (struct strip){parameter, backward, column, n_columns, flow, false, 0};
    return i;
}

static int add_parameter(struct sg_model *model, int64_t n_out, int64_t n_in, bool has_bias, const char *name)
{
    struct sg_parameter p = {.n_out = n_out, .n_in = n_in, .n_dimensions = 2};
    snprintf(p.name, sizeof p.name, "%s", name);
    return sg_nn_add_parameter(model, &p, &(struct place){.start = has_bias ? START_BIASED : START_UNIFORM});
}

static int add_strip(struct sg_model *model, int parameter, bool backward, int64_t column, int64_t n_columns)
{
    return sg_nn_add_strip(model, parameter, backward, column, n_columns, INT_MAX);
}

/* `n_back`: the first columns, whose inputs have a gradient; 0 when none has. */
static struct linear_place add_linear(struct sg_model *model, const char *name, int64_t n_out, int64_t n_in,
                                      bool has_bias, int64_t n_back)
{
    struct linear_place place = {.backward = -1};
    place.parameter = add_parameter(model, n_out, n_in, has_bias, name);
    place.forward = add_strip(model, place.parameter, false, 0, n_in);
    if (n_back)
        place.backward = add_strip(model, place.parameter, true, 0, n_back);
    return place;
}

static struct lstm_place add_lstm(struct sg_model *model, int64_t layer, int direction)
{
    int64_t hidden = model->spec.hidden, n_x = lstm_inputs(&model->spec, layer);
    char name[96];
    snprintf(name, sizeof name, "lstm.%lld.%s.weight", (long long)layer, direction == FORWARD ? "forward" : "reverse");
    struct lstm_place place = {.backward_x = -1};
    int p = place.parameter = add_parameter(model, 4 * hidden, n_x + hidden + 1, true, name);
    place.all = add_strip(model, p, false, 0, n_x + hidden + 1);
    place.first_x = add_strip(model, p, false, 0, n_x);
    place.first_bias = add_strip(model, p, false, n_x + hidden, 1);
    place.backward_h = add_strip(model, p, true, n_x, hidden);
    if (layer > 0)
        place.backward_x = add_strip(model, p, true, 0, n_x);
    return place;
}

void sg_nn_build_tables(struct sg_model *model)
{
    const struct sg_model_spec *spec = &model->spec;
    const struct linear_place none = {-1, -1, -1};
    model->attention = model->score = model->mlp = model->output = model->linear = none;
    if (spec->kind == SG_MODEL_BILSTM_ATTENTION) {
        int64_t pooled = 2 * spec->hidden, joined = pooled + spec->n_static + 1;
        for (int64_t l = 0; l < spec->layers; l++)
            for (int d = 0; d < N_DIRECTIONS; d++)
                model->lstm[l][d] = add_lstm(model, l, d);
        model->attention = add_linear(model, "attention.weight", spec->attention, pooled + 1, true, pooled);
        model->score = add_linear(model, "attention.score.weight", 1, spec->attention, false, spec->attention);
        if (spec->mlp)
            model->mlp = add_linear(model, "mlp.weight", spec->mlp, joined, true, pooled);
        model->output = spec->mlp ? add_linear(model, "output.weight", 1, spec->mlp + 1, true, spec->mlp)
                                  : add_linear(model, "output.weight", 1, joined, true, pooled);
    }
    if (sg_model_has_blocks(spec->kind))
        sg_nn_build_encoder(model);
    if (spec->linear_steps) {
        int64_t n_in = spec->linear_steps * spec->n_features + spec->n_static + 1;
        model->linear = add_linear(model, "linear.weight", spec->n_outputs, n_in, true, 0);
        model->places[model->linear.parameter] = (struct place){START_ZERO, INT_MAX};
    }
    sg_nn_refresh_trainable(model);
}

/* Which strips are needed, and where they lie. */
static void place_strips(struct sg_model *model)
{
    model->packed_bytes = 64; /* struct packed_head */
    for (int i = 0; i < model->n_strips; i++) {
        struct strip *s = &model->strips[i];
        int64_t n_out = model->parameters[s->parameter].n_out;
        s->at = model->packed_bytes;
        s->wanted = !s->backward || model->lowest < s->flow;
        if (!s->wanted)
            continue;
        size_t bytes =
            s->backward ? model->ops->packed_bytes(n_out, s->n_columns) : model->ops->packed_bytes(s->n_columns, n_out);
        model->packed_bytes += (bytes + 63) / 64 * 64;
    }
}

/* By making them without their rows. */
static size_t count_taps(const struct sg_model *model)
{
    const struct sg_batch batch = {0};
    struct sg_workspace nowhere = {0};
    nowhere.taps = sg_alloc((size_t)model->n_parameters + 1, sizeof *nowhere.taps);
    sg_nn_add_taps(&(struct pass){model, NULL, &batch, &nowhere});
    free(nowhere.taps);
    return nowhere.n_taps;
}

void sg_nn_refresh_trainable(struct sg_model *model)
{
    int64_t first = 0;
    model->lowest = INT_MAX;
    for (int i = 0; i < model->n_parameters; i++) {
        struct sg_parameter *p = &model->parameters[i];
        p->trainable_first = p->trainable ? first : -1;
        if (!p->trainable)
            continue;
        model->lowest = model->places[i].stage < model->lowest ? model->places[i].stage : model->lowest;
        first += p->n_out * p->n_in;
    }
    place_strips(model);
    model->n_taps = count_taps(model);
    int64_t layers = model->spec.kind == SG_MODEL_BILSTM_ATTENTION ? model->spec.layers : 0;
    model->lstm_below[0] = false;
    for (int64_t l = 0; l < layers; l++)
        model->lstm_below[l + 1] = model->lstm_below[l] || is_trainable(model, model->lstm[l][FORWARD].parameter) ||
                                   is_trainable(model, model->lstm[l][REVERSE].parameter);
    model->needs_attention = model->lstm_below[layers] || is_trainable(model, model->attention.parameter);
    model->needs_pooled = model->needs_attention || is_trainable(model, model->score.parameter);
    model->needs_hidden = model->needs_pooled || is_trainable(model, model->mlp.parameter);
}

size_t sg_model_packed_bytes(const struct sg_model *model)
{
    return model->packed_bytes;
}

enum sg_status sg_model_packed_open(const struct sg_model *model, void **packed)
{
    if (!model->ops->far) {
        *packed = sg_alloc_aligned(model->packed_bytes);
        return SG_OK;
    }
    struct packed_head *head = *packed = sg_alloc(1, sizeof *head);
    head->strips = model->ops->far->alloc(model->packed_bytes);
    if (head->strips)
        return SG_OK;
    sg_model_packed_close(model, packed);
    return sg_fail(SG_FAILED, "backend %s: the device has no %.1f MiB left for the packed weights", model->ops->name,
                   (double)model->packed_bytes / 0x1p20);
}

void sg_model_packed_close(const struct sg_model *model, void **packed)
{
    struct packed_head *head = *packed;
    if (head && model->ops->far && head->strips)
        model->ops->far->release(head->strips);
    free(head);
    *packed = NULL;
}

static void pack(const struct sg_model *model, const float *weights, bool with_backward, bool all, void *packed)
{
    struct packed_head *head = packed;
    head->weights = weights;
    if (!model->ops->far)
        head->strips = packed; /* the strips' places leave room for the head */
    for (int i = 0; i < model->n_strips; i++) {
        const struct strip *strip = &model->strips[i];
        const struct sg_parameter *p = &model->parameters[strip->parameter];
        const float *from = weights + p->first + strip->column;
        void *to = head->strips + strip->at;
        if (!strip->wanted || !(all || p->trainable))
            continue;
        if (!strip->backward)
            model->ops->pack_forward(p->n_out, strip->n_columns, from, p->n_in, to);
        else if (with_backward)
            model->ops->pack_backward(p->n_out, strip->n_columns, from, p->n_in, to);
    }
}

void sg_model_pack(const struct sg_model *model, const float *weights, bool with_backward, void *packed)
{
    pack(model, weights, with_backward, true, packed);
}

void sg_model_repack(const struct sg_model *model, const float *weights, bool with_backward, void *packed)
{
    pack(model, weights, with_backward, false, packed);
}
