/* From the BiLSTM's rows to the logit: additive attention pooling (Bahdanau et al. 2015), [pooled, static] through an
 * MLP, and the linear path beside it. */
#include <assert.h>

#include "internal.h"

void sg_nn_attention_forward(const struct pass *pass)
{
    const struct sg_model *model = pass->model;
    struct sg_workspace *w = pass->w;
    int64_t n_rows = pass->batch->n_rows, n_att = model->spec.attention, width = 2 * model->spec.hidden;
    sg_nn_gemm(pass, model->attention.forward, n_rows, w->y, width + 1, NULL, w->u, n_att, NULL, false);
    model->ops->activate(SG_TANH, n_rows, n_att, w->u, n_att);
    sg_nn_gemm(pass, model->score.forward, n_rows, w->u, n_att, NULL, w->score, 1, NULL, false);
    model->ops->pool_forward(pass->batch->n_units, sg_nn_batch_list(pass, pass->batch->offset), width, w->score, w->y,
                             width + 1, w->alpha, w->joined, width + model->spec.n_static + 1);
}

void sg_nn_attention_backward(const struct pass *pass)
{
    const struct sg_model *model = pass->model;
    struct sg_workspace *w = pass->w;
    int64_t n_rows = pass->batch->n_rows, n_att = model->spec.attention, width = 2 * model->spec.hidden;
    model->ops->pool_backward(pass->batch->n_units, sg_nn_batch_list(pass, pass->batch->offset), width, w->alpha, w->y,
                              width + 1, w->dpooled, width, w->dscore, w->dy[0], width);
    if (!model->needs_attention)
        return;
    sg_nn_gemm(pass, model->score.backward, n_rows, w->dscore, 1, NULL, w->du, n_att, NULL, false);
    model->ops->activate_backward(SG_TANH, n_rows, n_att, w->u, n_att, w->du, n_att);
    if (model->lstm_below[model->spec.layers])
        sg_nn_gemm(pass, model->attention.backward, n_rows, w->du, n_att, NULL, w->dy[0], width, NULL, true);
}

void sg_nn_head_forward(const struct pass *pass, float *logit)
{
    const struct sg_model *model = pass->model;
    const struct sg_model_spec *spec = &model->spec;
    struct sg_workspace *w = pass->w;
    int64_t n_units = pass->batch->n_units, n_joined = 2 * spec->hidden + spec->n_static, ldh = spec->mlp + 1;
    if (spec->n_static)
        model->ops->copy_rows(n_units, spec->n_static, pass->batch->statics, spec->n_static, NULL,
                              w->joined + 2 * spec->hidden, n_joined + 1, NULL);
    if (w->dropped) {
        sg_nn_dropout_masks(pass, DROPOUT_LAYER_JOINED, w->unit_offset, n_joined, w->joined_mask);
        sg_nn_multiply_mask(pass, n_units, n_joined, w->joined, n_joined + 1, w->joined_mask, n_joined);
    }
    sg_nn_ones(pass, n_units, w->joined + n_joined, n_joined + 1);
    if (!spec->mlp) {
        sg_nn_gemm(pass, model->output.forward, n_units, w->joined, n_joined + 1, NULL, logit, 1, NULL, false);
        return;
    }
    sg_nn_gemm(pass, model->mlp.forward, n_units, w->joined, n_joined + 1, NULL, w->hidden, ldh, NULL, false);
    model->ops->activate(spec->mlp_activation, n_units, spec->mlp, w->hidden, ldh);
    sg_nn_ones(pass, n_units, w->hidden + spec->mlp, ldh);
    sg_nn_gemm(pass, model->output.forward, n_units, w->hidden, ldh, NULL, logit, 1, NULL, false);
}

void sg_nn_head_backward(const struct pass *pass)
{
    const struct sg_model *model = pass->model;
    const struct sg_model_spec *spec = &model->spec;
    struct sg_workspace *w = pass->w;
    int64_t n_units = pass->batch->n_units, width = 2 * spec->hidden, n_joined = width + spec->n_static;
    if (spec->mlp && model->needs_hidden) {
        sg_nn_gemm(pass, model->output.backward, n_units, w->doutput, 1, NULL, w->dhidden, spec->mlp, NULL, false);
        model->ops->activate_backward(spec->mlp_activation, n_units, spec->mlp, w->hidden, spec->mlp + 1, w->dhidden,
                                      spec->mlp);
    }
    if (!model->needs_pooled)
        return;
    if (spec->mlp)
        sg_nn_gemm(pass, model->mlp.backward, n_units, w->dhidden, spec->mlp, NULL, w->dpooled, width, NULL, false);
    else
        sg_nn_gemm(pass, model->output.backward, n_units, w->doutput, 1, NULL, w->dpooled, width, NULL, false);
    if (w->dropped)
        sg_nn_multiply_mask(pass, n_units, width, w->dpooled, width, w->joined_mask, n_joined);
}

/* Columns: `linear_steps` slots of F features, the newest row in the last slot, static features, 1. */
void sg_nn_linear_forward(const struct pass *pass, float *logit, bool accumulate)
{
    const struct sg_ops *ops = pass->model->ops;
    const struct sg_model_spec *spec = &pass->model->spec;
    const struct sg_batch *batch = pass->batch;
    struct sg_workspace *w = pass->w;
    int64_t n_units = batch->n_units, n_features = spec->n_features;
    int64_t statics_at = spec->linear_steps * n_features, lda = statics_at + spec->n_static + 1;
    for (int64_t slot = 0; slot < spec->linear_steps; slot++) {
        int64_t n_there = 0, n_absent = 0, back = spec->linear_steps - slot; /* rows from the end of the history */
        for (int32_t b = 0; b < n_units; b++) {
            if (batch->offset[b + 1] - batch->offset[b] < back) {
                w->list_absent[n_absent++] = b;
            } else {
                w->list_from[n_there] = (int32_t)(batch->offset[b + 1] - back);
                w->list_to[n_there++] = b;
            }
        }
        float *to = w->linear + slot * n_features;
        sg_nn_upload(pass, w->list_from, n_there);
        sg_nn_upload(pass, w->list_to, n_there);
        sg_nn_upload(pass, w->list_absent, n_absent);
        ops->copy_rows(n_there, n_features, batch->x, n_features, sg_nn_list(pass, w->list_from), to, lda,
                       sg_nn_list(pass, w->list_to));
        ops->copy_rows(n_absent, n_features, w->zeros, 0, NULL, to, lda, sg_nn_list(pass, w->list_absent));
    }
    if (spec->n_static)
        ops->copy_rows(n_units, spec->n_static, batch->statics, spec->n_static, NULL, w->linear + statics_at, lda,
                       NULL);
    sg_nn_ones(pass, n_units, w->linear + lda - 1, lda);
    sg_nn_gemm(pass, pass->model->linear.forward, n_units, w->linear, lda, NULL, logit, spec->n_outputs, NULL,
               accumulate);
}
