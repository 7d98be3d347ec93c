/* From the top rows to the logits: BERT's pooler over the first token, the mean of all rows, or a tabular unit's first
 * row; length 1 where asked for; dropout; one linear layer. */
#include "internal.h"

static bool has_pooler(const struct pass *pass)
{
    return pass->model->encoder->pooler.weight >= 0;
}

static bool takes_first_row(const struct pass *pass)
{
    return has_pooler(pass) || pass->model->spec.kind == SG_MODEL_TABULAR;
}

static const int32_t *first_rows(const struct pass *pass)
{
    const struct encoder_memory *m = &pass->w->encoder;
    return sg_nn_list(pass, pass->model->spec.kind == SG_MODEL_TABULAR ? m->first_row : m->first);
}

void sg_nn_pool_forward(const struct pass *pass)
{
    const struct sg_ops *ops = pass->model->ops;
    const struct encoder_memory *m = &pass->w->encoder;
    int64_t d = pass->model->spec.encoder.width, n_units = pass->batch->n_units;
    if (takes_first_row(pass))
        ops->copy_rows(n_units, d, m->top, d, first_rows(pass), has_pooler(pass) ? m->cls : m->pooled, d, NULL);
    else
        ops->mean_forward(n_units, m->far_offset, d, m->top, d, m->pooled, d);
    if (has_pooler(pass)) {
        sg_nn_dense_forward(pass, &pass->model->encoder->pooler, n_units, m->cls, d, m->pooler, d, NULL, NULL);
        ops->activate(SG_TANH, n_units, d, m->pooler, d);
        ops->copy_rows(n_units, d, m->pooler, d, NULL, m->pooled, d, NULL);
    }
    if (pass->model->spec.encoder.unit_length)
        ops->unit_length(n_units, d, m->pooled, d, m->length);
}

static void drop_head(const struct pass *pass, float *x)
{
    const struct encoder_memory *m = &pass->w->encoder;
    int64_t d = pass->model->spec.encoder.width;
    if (!pass->w->dropped)
        return;
    sg_nn_dropout_masks(pass, DROPOUT_LAYER_JOINED, pass->w->unit_offset, d, m->mask);
    sg_nn_multiply_mask(pass, pass->batch->n_units, d, x, d, m->mask, d);
}

void sg_nn_classifier_forward(const struct pass *pass, float *logit)
{
    const struct encoder_memory *m = &pass->w->encoder;
    int64_t d = pass->model->spec.encoder.width, n_units = pass->batch->n_units;
    pass->model->ops->copy_rows(n_units, d, m->pooled, d, NULL, m->head, d, NULL);
    drop_head(pass, m->head);
    sg_nn_dense_forward(pass, &pass->model->encoder->classifier, n_units, m->head, d, logit,
                        pass->model->spec.n_outputs, NULL, NULL);
}

float *sg_nn_top_gradient(const struct pass *pass)
{
    const struct sg_model *model = pass->model;
    int64_t layers = model->spec.encoder.layers;
    return model->lowest < stage_of_block(layers) ? pass->w->encoder.blocks[layers - 1].dy : NULL;
}

void sg_nn_top_rows_backward(const struct pass *pass, int64_t n, const float *g, const int32_t *rows, float *dtop)
{
    int64_t d = pass->model->spec.encoder.width;
    pass->model->ops->copy_rows(pass->w->encoder.n_rows, d, pass->w->zeros, 0, NULL, dtop, d, NULL);
    pass->model->ops->copy_rows(n, d, g, d, NULL, dtop, d, rows);
}

void sg_nn_classifier_backward(const struct pass *pass, const float *dlogit)
{
    const struct sg_ops *ops = pass->model->ops;
    const struct encoder_tables *t = pass->model->encoder;
    const struct encoder_memory *m = &pass->w->encoder;
    int64_t d = pass->model->spec.encoder.width, n_units = pass->batch->n_units, n = pass->model->spec.n_outputs;
    ops->copy_rows(n_units, n, dlogit, n, NULL, m->dlogit, n, NULL);
    if (pass->model->lowest >= t->classifier.stage)
        return;
    sg_nn_dense_backward(pass, &t->classifier, n_units, m->dlogit, n, m->dhead, d, false, NULL);
    drop_head(pass, m->dhead);
    if (pass->model->spec.encoder.unit_length)
        ops->unit_length_backward(n_units, d, m->pooled, d, m->length, m->dhead, d);
    if (has_pooler(pass)) {
        ops->activate_backward(SG_TANH, n_units, d, m->pooler, d, m->dhead, d);
        sg_nn_dense_backward(pass, &t->pooler, n_units, m->dhead, d, m->dcls, d, false, NULL);
    }
    float *dtop = sg_nn_top_gradient(pass);
    if (!dtop)
        return;
    if (takes_first_row(pass))
        sg_nn_top_rows_backward(pass, n_units, has_pooler(pass) ? m->dcls : m->dhead, first_rows(pass), dtop);
    else
        ops->mean_backward(n_units, m->far_offset, d, m->dhead, d, dtop, d);
}

void sg_nn_classifier_taps(const struct pass *pass)
{
    const struct encoder_tables *t = pass->model->encoder;
    const struct encoder_memory *m = &pass->w->encoder;
    int64_t d = pass->model->spec.encoder.width;
    const int32_t *units = pass->w->unit_offset;
    if (has_pooler(pass))
        sg_nn_dense_taps(pass, &t->pooler, units, m->cls, d, m->dhead, d, NULL);
    sg_nn_dense_taps(pass, &t->classifier, units, m->head, d, m->dlogit, pass->model->spec.n_outputs, NULL);
}
