/* A model's tables: which parameters there are, which packed strips its GEMMs need, and what backward must do. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

static int add_parameter(struct sg_model *model, int64_t n_out, int64_t n_in, bool has_bias, const char *name)
{
    int i = model->n_parameters++;
    assert(i < PARAMETERS_MAX);
    struct sg_parameter *p = &model->parameters[i];
    snprintf(p->name, sizeof p->name, "%s", name);
    p->n_out = n_out;
    p->n_in = n_in;
    p->first = i ? p[-1].first + p[-1].n_out * p[-1].n_in : 0;
    p->trainable = true;
    model->has_bias[i] = has_bias;
    model->widest = n_in > model->widest ? n_in : model->widest;
    model->widest = n_out > model->widest ? n_out : model->widest;
    return i;
}

static int add_strip(struct sg_model *model, int parameter, bool backward, int64_t column, int64_t n_columns)
{
    int i = model->n_strips++;
    assert(i < STRIPS_MAX && n_columns > 0);
    int64_t n_out = model->parameters[parameter].n_out;
    model->strips[i] = (struct strip){parameter, backward, column, n_columns, model->packed_bytes};
    size_t bytes = backward ? model->ops->packed_bytes(n_out, n_columns) : model->ops->packed_bytes(n_columns, n_out);
    model->packed_bytes += (bytes + 63) / 64 * 64;
    return i;
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
    if (spec->linear_steps)
        model->linear =
            add_linear(model, "linear.weight", 1, spec->linear_steps * spec->n_features + spec->n_static + 1, true, 0);
    sg_nn_refresh_trainable(model);
}

void sg_nn_refresh_trainable(struct sg_model *model)
{
    int64_t first = 0;
    model->n_taps = 0;
    for (int i = 0; i < model->n_parameters; i++) {
        struct sg_parameter *p = &model->parameters[i];
        p->trainable_first = p->trainable ? first : -1;
        if (!p->trainable)
            continue;
        model->shapes[model->n_taps++] = (struct sg_tap){.n_in = p->n_in, .n_out = p->n_out, .weight = first};
        first += p->n_out * p->n_in;
    }
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

void sg_model_pack(const struct sg_model *model, const float *weights, bool with_backward, void *packed)
{
    for (int i = 0; i < model->n_strips; i++) {
        const struct strip *strip = &model->strips[i];
        const struct sg_parameter *p = &model->parameters[strip->parameter];
        const float *from = weights + p->first + strip->column;
        void *to = (char *)packed + strip->at;
        if (!strip->backward)
            model->ops->pack_forward(p->n_out, strip->n_columns, from, p->n_in, to);
        else if (with_backward)
            model->ops->pack_backward(p->n_out, strip->n_columns, from, p->n_in, to);
    }
}
