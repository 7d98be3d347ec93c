/* From a batch's rows to the input of the first block: BERT's sum of three embeddings, or a history's projected rows
 * behind one row of static features; layer norm, dropout. */
#include <assert.h>

#include "internal.h"

/* A tabular unit of n rows has 1 + n here: the static features at place 0, then the rows, the newest at place 1. */
static void tabular_rows(const struct pass *pass)
{
    const struct sg_batch *batch = pass->batch;
    struct encoder_memory *m = &pass->w->encoder;
    int32_t at = 0;
    for (int32_t b = 0; b < batch->n_units; b++) {
        m->own_offset[b] = m->first_row[b] = at;
        m->place[at++] = 0;
        for (int32_t r = batch->offset[b]; r < batch->offset[b + 1]; r++) {
            m->step_row[r] = at;
            m->place[at++] = batch->offset[b + 1] - r;
        }
        assert(batch->offset[b + 1] - batch->offset[b] < pass->model->spec.encoder.positions);
    }
    m->own_offset[batch->n_units] = at;
    m->n_rows = at;
    m->offset = m->own_offset;
}

static void token_rows(const struct pass *pass)
{
    const struct sg_batch *batch = pass->batch;
    struct encoder_memory *m = &pass->w->encoder;
    for (int32_t b = 0; b < batch->n_units; b++) {
        assert(batch->offset[b + 1] > batch->offset[b]);
        assert(batch->offset[b + 1] - batch->offset[b] <= pass->model->spec.encoder.positions);
        m->first[b] = batch->offset[b];
        for (int32_t r = batch->offset[b]; r < batch->offset[b + 1]; r++) {
            m->place[r] = r - batch->offset[b];
            m->type[r] = 0;
        }
    }
    m->n_rows = batch->n_rows;
    m->offset = batch->offset;
}

void sg_nn_embeddings_rows(const struct pass *pass)
{
    if (pass->model->spec.kind == SG_MODEL_TABULAR)
        tabular_rows(pass);
    else
        token_rows(pass);
}

static void token_sum(const struct pass *pass)
{
    const struct sg_ops *ops = pass->model->ops;
    const struct encoder_tables *t = pass->model->encoder;
    struct encoder_memory *m = &pass->w->encoder;
    int64_t d = pass->model->spec.encoder.width;
    for (int64_t r = 0; r < m->n_rows; r++)
        assert(pass->batch->token[r] >= 0 && pass->batch->token[r] < pass->model->spec.encoder.vocabulary);
    ops->copy_rows(m->n_rows, d, sg_nn_weights(pass, t->word), d, pass->batch->token, m->xhat, d, NULL);
    ops->add_rows(m->n_rows, d, m->xhat, d, sg_nn_weights(pass, t->type), 0);
}

static void tabular_sum(const struct pass *pass)
{
    const struct sg_model_spec *spec = &pass->model->spec;
    const struct sg_batch *batch = pass->batch;
    const struct encoder_tables *t = pass->model->encoder;
    struct encoder_memory *m = &pass->w->encoder;
    int64_t d = spec->encoder.width;
    pass->model->ops->copy_rows(batch->n_rows, spec->n_features, batch->x, spec->n_features, NULL, m->features,
                                spec->n_features, NULL);
    sg_nn_dense_forward(pass, &t->features, batch->n_rows, m->features, spec->n_features, m->xhat, d, m->step_row,
                        NULL);
    if (spec->n_static)
        pass->model->ops->copy_rows(batch->n_units, spec->n_static, batch->statics, spec->n_static, NULL, m->statics,
                                    spec->n_static, NULL);
    sg_nn_dense_forward(pass, &t->statics, batch->n_units, m->statics, spec->n_static, m->xhat, d, m->first_row, NULL);
}

void sg_nn_embeddings_forward(const struct pass *pass)
{
    const struct sg_ops *ops = pass->model->ops;
    const struct encoder_tables *t = pass->model->encoder;
    struct encoder_memory *m = &pass->w->encoder;
    int64_t d = pass->model->spec.encoder.width;
    if (pass->model->spec.kind == SG_MODEL_TABULAR)
        tabular_sum(pass);
    else
        token_sum(pass);
    ops->copy_rows(m->n_rows, d, sg_nn_weights(pass, t->position), d, m->place, m->summand, d, NULL);
    ops->add_rows(m->n_rows, d, m->xhat, d, m->summand, d);
    sg_nn_norm_forward(pass, &t->norm, m->n_rows, m->xhat, m->rstd, m->blocks[0].x);
    sg_nn_drop_rows(pass, STAGE_EMBEDDINGS_NORM, DROPOUT_LAYER_EMBEDDINGS, m->blocks[0].x);
}

void sg_nn_embeddings_backward(const struct pass *pass)
{
    const struct sg_ops *ops = pass->model->ops;
    const struct encoder_tables *t = pass->model->encoder;
    struct encoder_memory *m = &pass->w->encoder;
    int64_t d = pass->model->spec.encoder.width;
    if (pass->model->lowest > STAGE_EMBEDDINGS_NORM)
        return;
    sg_nn_drop_rows(pass, STAGE_EMBEDDINGS_NORM, DROPOUT_LAYER_EMBEDDINGS, m->dx);
    if (pass->model->lowest > STAGE_EMBEDDINGS)
        return;
    sg_nn_norm_backward(pass, &t->norm, m->n_rows, m->xhat, m->rstd, m->dx, m->dembeddings);
    if (pass->model->spec.kind != SG_MODEL_TABULAR)
        return;
    ops->copy_rows(pass->batch->n_rows, d, m->dembeddings, d, m->step_row, m->dfeatures, d, NULL);
    ops->copy_rows(pass->batch->n_units, d, m->dembeddings, d, m->first_row, m->dstatics, d, NULL);
}

static void embed_tap(const struct pass *pass, int parameter, const int32_t *id)
{
    const struct encoder_memory *m = &pass->w->encoder;
    sg_nn_add_tap(pass, parameter,
                  (struct sg_tap){.kind = SG_TAP_EMBED,
                                  .g = m->dembeddings,
                                  .ldg = pass->model->spec.encoder.width,
                                  .id = id,
                                  .offset = m->offset});
}

void sg_nn_embeddings_taps(const struct pass *pass)
{
    const struct sg_model_spec *spec = &pass->model->spec;
    const struct encoder_tables *t = pass->model->encoder;
    const struct encoder_memory *m = &pass->w->encoder;
    int64_t d = spec->encoder.width;
    if (spec->kind == SG_MODEL_TABULAR) {
        sg_nn_dense_taps(pass, &t->features, pass->batch->offset, m->features, spec->n_features, m->dfeatures, d, NULL);
        sg_nn_dense_taps(pass, &t->statics, pass->w->unit_offset, m->statics, spec->n_static, m->dstatics, d, NULL);
        embed_tap(pass, t->position, m->place);
    } else {
        embed_tap(pass, t->word, pass->batch->token);
        embed_tap(pass, t->position, m->place);
        embed_tap(pass, t->type, m->type);
    }
    sg_nn_norm_taps(pass, &t->norm, m->offset, d, m->xhat, m->dx);
}
