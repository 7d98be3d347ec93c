/* The masked-language-model head of BERT (Devlin et al. 2019): for each masked row a dense layer, GELU, layer norm, and
 * the word embeddings once more as the decoder. The tied weight is one parameter: rows that read it and rows that are
 * scored with it add up in one gradient. Trains without privacy only, so that nobody needs the norm of that sum. */
#include "internal.h"

void sg_nn_masked_forward(const struct pass *pass, float *logit)
{
    const struct sg_ops *ops = pass->model->ops;
    const struct sg_encoder_spec *e = &pass->model->spec.encoder;
    const struct encoder_tables *t = pass->model->encoder;
    const struct encoder_memory *m = &pass->w->encoder;
    int64_t d = e->width, n = pass->batch->n_masked;
    ops->copy_rows(n, d, m->top, d, sg_nn_batch_list(pass, pass->batch->masked), m->masked, d, NULL);
    sg_nn_dense_forward(pass, &t->transform, n, m->masked, d, m->masked_z, d, NULL, NULL);
    ops->gelu((enum sg_gelu)e->gelu, n, d, m->masked_z, d, m->masked_xhat, d);
    sg_nn_norm_forward(pass, &t->transform_norm, n, m->masked_xhat, m->masked_rstd, m->masked_y);
    sg_nn_dense_forward(pass, &t->decoder, n, m->masked_y, d, logit, e->vocabulary, NULL, NULL);
}

void sg_nn_masked_backward(const struct pass *pass, const float *dlogit)
{
    const struct sg_ops *ops = pass->model->ops;
    const struct sg_encoder_spec *e = &pass->model->spec.encoder;
    const struct encoder_tables *t = pass->model->encoder;
    struct encoder_memory *m = &pass->w->encoder;
    int64_t d = e->width, n = pass->batch->n_masked;
    m->dlogit = (float *)dlogit; /* a row for each word of the vocabulary: borrowed, nobody writes into it */
    sg_nn_dense_backward(pass, &t->decoder, n, dlogit, e->vocabulary, m->dmasked_y, d, false, NULL);
    if (pass->model->lowest > t->transform.stage)
        return;
    sg_nn_norm_backward(pass, &t->transform_norm, n, m->masked_xhat, m->masked_rstd, m->dmasked_y, m->dmasked_z);
    ops->gelu_backward((enum sg_gelu)e->gelu, n, d, m->masked_z, d, m->dmasked_z, d);
    sg_nn_dense_backward(pass, &t->transform, n, m->dmasked_z, d, m->dmasked, d, false, NULL);
    float *dtop = sg_nn_top_gradient(pass);
    if (dtop)
        sg_nn_top_rows_backward(pass, n, m->dmasked, sg_nn_batch_list(pass, pass->batch->masked), dtop);
}

void sg_nn_masked_taps(const struct pass *pass)
{
    const struct encoder_tables *t = pass->model->encoder;
    const struct encoder_memory *m = &pass->w->encoder;
    const int32_t *offset = pass->batch->masked_offset;
    int64_t d = pass->model->spec.encoder.width;
    sg_nn_dense_taps(pass, &t->transform, offset, m->masked, d, m->dmasked_z, d, NULL);
    sg_nn_norm_taps(pass, &t->transform_norm, offset, d, m->masked_xhat, m->dmasked_y);
    sg_nn_dense_taps(pass, &t->decoder, offset, m->masked_y, d, m->dlogit, pass->model->spec.encoder.vocabulary, NULL);
}
