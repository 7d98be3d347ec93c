/* One block of a transformer (Vaswani et al. 2017, layer norm after each sublayer as in BERT): self-attention and a
 * GELU feed-forward over packed rows.
 *
 * Backward stops where nothing below learns; what it leaves are the taps' gradients. */
#include <math.h>

#include "internal.h"

void sg_nn_drop_rows(const struct pass *pass, int stage, uint64_t layer, float *x)
{
    const struct encoder_memory *m = &pass->w->encoder;
    int64_t width = pass->model->spec.encoder.width;
    if (!pass->w->dropped || pass->model->lowest > stage)
        return;
    sg_nn_dropout_masks(pass, layer, m->offset, width, m->mask);
    sg_nn_multiply_mask(pass, m->n_rows, width, x, width, m->mask, width);
}

/* The two places of a block where dropout acts. Its last stage says whether the block is part of a frozen prefix. */
static void drop_sublayer(const struct pass *pass, int64_t block, int which, float *x)
{
    sg_nn_drop_rows(pass, stage_of_block(block) + STAGE_OUTPUT_NORM,
                    DROPOUT_LAYER_BLOCKS + 2 * (uint64_t)block + (uint64_t)which, x);
}

static float scale_of(const struct sg_encoder_spec *e)
{
    return (float)(1 / sqrt((double)(e->width / e->heads)));
}

static void attention_forward(const struct pass *pass, const struct block_tables *t, const struct block_memory *b)
{
    const struct sg_encoder_spec *e = &pass->model->spec.encoder;
    const struct encoder_memory *m = &pass->w->encoder;
    int64_t d = e->width;
    for (int i = QUERY; i <= VALUE; i++)
        sg_nn_dense_forward(pass, &t->dense[i], m->n_rows, b->x, d, b->qkv + i * d, 3 * d, NULL, &b->lora[i]);
    pass->model->ops->attention(pass->batch->n_units, m->far_offset, e->heads, d / e->heads, scale_of(e), b->qkv,
                                b->qkv + d, b->qkv + 2 * d, 3 * d, b->lse, b->context, d, m->attention_scratch);
    sg_nn_dense_forward(pass, &t->dense[ATTENTION_OUTPUT], m->n_rows, b->context, d, b->xhat1, d, NULL,
                        &b->lora[ATTENTION_OUTPUT]);
}

/* y = layer norm of (sum + residual), the sum normalised in place. */
static void add_and_norm(const struct pass *pass, const struct norm *norm, float *sum, const float *residual,
                         float *rstd, float *y)
{
    int64_t n_rows = pass->w->encoder.n_rows, d = pass->model->spec.encoder.width;
    pass->model->ops->add_rows(n_rows, d, sum, d, residual, d);
    sg_nn_norm_forward(pass, norm, n_rows, sum, rstd, y);
}

void sg_nn_block_forward(const struct pass *pass, int64_t block)
{
    const struct sg_encoder_spec *e = &pass->model->spec.encoder;
    const struct encoder_memory *m = &pass->w->encoder;
    const struct block_tables *t = &pass->model->encoder->blocks[block];
    const struct block_memory *b = &m->blocks[block];
    int64_t d = e->width, n_hidden = e->intermediate;
    float *y = block + 1 < e->layers ? b[1].x : m->top;
    attention_forward(pass, t, b);
    drop_sublayer(pass, block, 0, b->xhat1);
    add_and_norm(pass, &t->attention_norm, b->xhat1, b->x, b->rstd1, b->y1);
    sg_nn_dense_forward(pass, &t->dense[INTERMEDIATE], m->n_rows, b->y1, d, b->z, n_hidden, NULL,
                        &b->lora[INTERMEDIATE]);
    pass->model->ops->gelu((enum sg_gelu)e->gelu, m->n_rows, n_hidden, b->z, n_hidden, b->act, n_hidden);
    sg_nn_dense_forward(pass, &t->dense[OUTPUT], m->n_rows, b->act, n_hidden, b->xhat2, d, NULL, &b->lora[OUTPUT]);
    drop_sublayer(pass, block, 1, b->xhat2);
    add_and_norm(pass, &t->output_norm, b->xhat2, b->y1, b->rstd2, y);
}

/* From b->dy to b->dy1, as far down as something learns. */
static void feed_forward_backward(const struct pass *pass, int64_t block, const struct block_memory *b)
{
    const struct sg_encoder_spec *e = &pass->model->spec.encoder;
    const struct block_tables *t = &pass->model->encoder->blocks[block];
    int64_t n_rows = pass->w->encoder.n_rows, d = e->width, n_hidden = e->intermediate;
    int lowest = pass->model->lowest - stage_of_block(block);
    sg_nn_norm_backward(pass, &t->output_norm, n_rows, b->xhat2, b->rstd2, b->dy, b->doutput);
    if (lowest < STAGE_INTERMEDIATE) /* the sum's gradient also goes past the feed-forward */
        pass->model->ops->copy_rows(n_rows, d, b->doutput, d, NULL, b->dy1, d, NULL);
    drop_sublayer(pass, block, 1, b->doutput);
    sg_nn_dense_backward(pass, &t->dense[OUTPUT], n_rows, b->doutput, d, b->dz, n_hidden, false, &b->lora[OUTPUT]);
    if (lowest >= STAGE_OUTPUT)
        return;
    pass->model->ops->gelu_backward((enum sg_gelu)e->gelu, n_rows, n_hidden, b->z, n_hidden, b->dz, n_hidden);
    sg_nn_dense_backward(pass, &t->dense[INTERMEDIATE], n_rows, b->dz, n_hidden, b->dy1, d, true,
                         &b->lora[INTERMEDIATE]);
}

/* From b->dy1 to dx, the gradient of the block's input. */
static void attention_backward(const struct pass *pass, int64_t block, const struct block_memory *b, float *dx)
{
    const struct sg_encoder_spec *e = &pass->model->spec.encoder;
    const struct encoder_memory *m = &pass->w->encoder;
    const struct block_tables *t = &pass->model->encoder->blocks[block];
    int64_t d = e->width;
    int lowest = pass->model->lowest - stage_of_block(block);
    sg_nn_norm_backward(pass, &t->attention_norm, m->n_rows, b->xhat1, b->rstd1, b->dy1, b->dattention);
    if (lowest < STAGE_QKV)
        pass->model->ops->copy_rows(m->n_rows, d, b->dattention, d, NULL, dx, d, NULL);
    drop_sublayer(pass, block, 0, b->dattention);
    sg_nn_dense_backward(pass, &t->dense[ATTENTION_OUTPUT], m->n_rows, b->dattention, d, b->dcontext, d, false,
                         &b->lora[ATTENTION_OUTPUT]);
    if (lowest >= STAGE_ATTENTION)
        return;
    pass->model->ops->attention_backward(pass->batch->n_units, m->far_offset, e->heads, d / e->heads, scale_of(e),
                                         b->qkv, b->qkv + d, b->qkv + 2 * d, 3 * d, b->lse, b->context, d, b->dcontext,
                                         d, b->dqkv, b->dqkv + d, b->dqkv + 2 * d, 3 * d, m->attention_scratch);
    for (int i = QUERY; i <= VALUE; i++)
        sg_nn_dense_backward(pass, &t->dense[i], m->n_rows, b->dqkv + i * d, 3 * d, dx, d, true, &b->lora[i]);
}

void sg_nn_block_backward(const struct pass *pass, int64_t block)
{
    const struct encoder_memory *m = &pass->w->encoder;
    const struct block_memory *b = &m->blocks[block];
    int lowest = pass->model->lowest - stage_of_block(block);
    if (lowest < STAGE_OUTPUT_NORM)
        feed_forward_backward(pass, block, b);
    if (lowest < STAGE_ATTENTION_NORM)
        attention_backward(pass, block, b, block ? b[-1].dy : m->dx);
}

void sg_nn_block_taps(const struct pass *pass, int64_t block)
{
    const struct encoder_memory *m = &pass->w->encoder;
    const struct block_tables *t = &pass->model->encoder->blocks[block];
    const struct block_memory *b = &m->blocks[block];
    int64_t d = pass->model->spec.encoder.width, n_hidden = pass->model->spec.encoder.intermediate;
    for (int i = QUERY; i <= VALUE; i++)
        sg_nn_dense_taps(pass, &t->dense[i], m->offset, b->x, d, b->dqkv ? b->dqkv + i * d : NULL, 3 * d, &b->lora[i]);
    sg_nn_dense_taps(pass, &t->dense[ATTENTION_OUTPUT], m->offset, b->context, d, b->dattention, d,
                     &b->lora[ATTENTION_OUTPUT]);
    sg_nn_norm_taps(pass, &t->attention_norm, m->offset, d, b->xhat1, b->dy1);
    sg_nn_dense_taps(pass, &t->dense[INTERMEDIATE], m->offset, b->y1, d, b->dz, n_hidden, &b->lora[INTERMEDIATE]);
    sg_nn_dense_taps(pass, &t->dense[OUTPUT], m->offset, b->act, n_hidden, b->doutput, d, &b->lora[OUTPUT]);
    sg_nn_norm_taps(pass, &t->output_norm, m->offset, d, b->xhat2, b->dy);
}
