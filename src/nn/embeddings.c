/* From a batch's rows to the input of the first block: BERT's sum of three embeddings, or a history's projected rows
 * behind its unit's static features, in one row or in a row each (feature tokens, Gorishniy et al. 2021); layer norm,
 * dropout. */
#include <assert.h>

#include "internal.h"

/* A tabular unit of n rows has K + n here: those in front at places 0 .. K - 1, then its own, the newest at place K. */
static void tabular_rows(const struct pass *pass)
{
    const struct sg_batch *batch = pass->batch;
    struct encoder_memory *m = &pass->w->encoder;
    int32_t at = 0, front = (int32_t)rows_in_front(&pass->model->spec);
    for (int32_t b = 0; b < batch->n_units; b++) {
        m->own_offset[b] = m->first_row[b] = at;
        m->static_offset[b] = b * front;
        for (int32_t i = 0; i < front; i++) {
            m->static_row[b * front + i] = at;
            m->place[at++] = i;
        }
        for (int32_t r = batch->offset[b]; r < batch->offset[b + 1]; r++) {
            m->step_row[r] = at;
            m->place[at++] = front - 1 + batch->offset[b + 1] - r;
        }
        assert(at - m->own_offset[b] <= pass->model->spec.encoder.positions);
    }
    m->own_offset[batch->n_units] = at;
    m->static_offset[batch->n_units] = (int32_t)batch->n_units * front;
    m->n_rows = at;
    m->offset = m->own_offset;
    m->far_offset = sg_nn_list(pass, m->own_offset);
    sg_nn_upload(pass, m->own_offset, batch->n_units + 1);
    sg_nn_upload(pass, m->first_row, batch->n_units);
    sg_nn_upload(pass, m->static_row, batch->n_units * front);
    sg_nn_upload(pass, m->step_row, batch->n_rows);
    sg_nn_upload(pass, m->place, at);
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
    m->far_offset = sg_nn_batch_list(pass, batch->offset);
    sg_nn_upload(pass, m->first, batch->n_units);
    sg_nn_upload(pass, m->place, batch->n_rows);
    sg_nn_upload(pass, m->type, batch->n_rows);
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
    ops->copy_rows(m->n_rows, d, sg_nn_weights(pass, t->word), d, sg_nn_batch_list(pass, pass->batch->token), m->xhat,
                   d, NULL);
    ops->add_rows(m->n_rows, d, m->xhat, d, sg_nn_weights(pass, t->type), 0);
}

/* Each static feature alone in a row of zeros, so that the projection takes its columns only: one weight serves all
 * tokens. The first row stays empty. Without tokens all features are the first row. */
static void static_rows(const struct pass *pass)
{
    const struct sg_model_spec *spec = &pass->model->spec;
    const struct sg_batch *batch = pass->batch;
    struct encoder_memory *m = &pass->w->encoder;
    int64_t s = spec->n_static, front = rows_in_front(spec), first = 0;
    if (!spec->n_static_tokens) {
        pass->model->ops->copy_rows(batch->n_units, s, batch->statics, s, NULL, m->statics, s, NULL);
        return;
    }
    pass->model->ops->copy_rows(batch->n_units * front, s, pass->w->zeros, 0, NULL, m->statics, s, NULL);
    for (int64_t i = 0; i < spec->n_static_tokens; first += spec->static_token[i++])
        pass->model->ops->copy_rows(batch->n_units, spec->static_token[i], batch->statics + first, s, NULL,
                                    m->statics + (i + 1) * s + first, front * s, NULL);
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
    sg_nn_dense_forward(pass, &t->features, batch->n_rows, m->features, spec->n_features, m->xhat, d,
                        sg_nn_list(pass, m->step_row), NULL);
    if (spec->n_static)
        static_rows(pass);
    sg_nn_dense_forward(pass, &t->statics, batch->n_units * rows_in_front(spec), m->statics, spec->n_static, m->xhat, d,
                        sg_nn_list(pass, m->static_row), NULL);
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
    ops->copy_rows(m->n_rows, d, sg_nn_weights(pass, t->position), d, sg_nn_list(pass, m->place), m->summand, d, NULL);
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
    ops->copy_rows(pass->batch->n_rows, d, m->dembeddings, d, sg_nn_list(pass, m->step_row), m->dfeatures, d, NULL);
    ops->copy_rows(pass->batch->n_units * rows_in_front(&pass->model->spec), d, m->dembeddings, d,
                   sg_nn_list(pass, m->static_row), m->dstatics, d, NULL);
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
        sg_nn_dense_taps(pass, &t->statics, m->static_offset, m->statics, spec->n_static, m->dstatics, d, NULL);
        embed_tap(pass, t->position, sg_nn_list(pass, m->place));
    } else {
        embed_tap(pass, t->word, sg_nn_batch_list(pass, pass->batch->token));
        embed_tap(pass, t->position, sg_nn_list(pass, m->place));
        embed_tap(pass, t->type, sg_nn_list(pass, m->type));
    }
    sg_nn_norm_taps(pass, &t->norm, m->offset, d, m->xhat, m->dx);
}
