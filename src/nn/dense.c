/* Layer norms, and linear layers with a bias of their own and, where the specification says so, LoRA factors (Hu et al.
 * 2022). */
#include "internal.h"

/* u = (alpha / rank) A x: the scale is taken here, so that B's tap is (u, g). */
static void lora_forward(const struct pass *pass, const struct dense *dense, int64_t n_rows, const float *x,
                         int64_t ldx, float *y, int64_t ldy, const struct lora_memory *lora)
{
    int64_t rank = pass->model->spec.encoder.lora_rank;
    sg_nn_gemm(pass, dense->a_forward, n_rows, x, ldx, NULL, lora->u, rank, NULL, false);
    pass->model->ops->multiply_rows(n_rows, rank, lora->u, rank, pass->w->encoder.lora_scale, 0);
    sg_nn_gemm(pass, dense->b_forward, n_rows, lora->u, rank, NULL, y, ldy, NULL, true);
}

void sg_nn_dense_forward(const struct pass *pass, const struct dense *dense, int64_t n_rows, const float *x,
                         int64_t ldx, float *y, int64_t ldy, const int32_t *rows, const struct lora_memory *lora)
{
    int64_t n_out = pass->model->parameters[dense->bias].n_out;
    pass->model->ops->copy_rows(n_rows, n_out, sg_nn_weights(pass, dense->bias), 0, NULL, y, ldy, rows);
    if (dense->weight >= 0)
        sg_nn_gemm(pass, dense->forward, n_rows, x, ldx, NULL, y, ldy, rows, true);
    if (dense->lora_a >= 0)
        lora_forward(pass, dense, n_rows, x, ldx, y, ldy, lora);
}

void sg_nn_dense_backward(const struct pass *pass, const struct dense *dense, int64_t n_rows, const float *g,
                          int64_t ldg, float *dx, int64_t lddx, bool accumulate, const struct lora_memory *lora)
{
    bool flows = pass->model->lowest < dense->stage;
    int64_t rank = pass->model->spec.encoder.lora_rank;
    if (flows)
        sg_nn_gemm(pass, dense->backward, n_rows, g, ldg, NULL, dx, lddx, NULL, accumulate);
    if (dense->lora_a < 0 || !(flows || is_trainable(pass->model, dense->lora_a)))
        return;
    sg_nn_gemm(pass, dense->b_backward, n_rows, g, ldg, NULL, lora->du, rank, NULL, false);
    pass->model->ops->multiply_rows(n_rows, rank, lora->du, rank, pass->w->encoder.lora_scale, 0);
    if (flows)
        sg_nn_gemm(pass, dense->a_backward, n_rows, lora->du, rank, NULL, dx, lddx, NULL, true);
}

/* The bias is a weight that multiplies one shared 1. */
static void bias_tap(const struct pass *pass, int bias, const int32_t *offset, float *g, int64_t ldg)
{
    sg_nn_add_tap(pass, bias, (struct sg_tap){.a = pass->w->ones, .lda = 0, .g = g, .ldg = ldg, .offset = offset});
}

void sg_nn_dense_taps(const struct pass *pass, const struct dense *dense, const int32_t *offset, float *x, int64_t ldx,
                      float *g, int64_t ldg, const struct lora_memory *lora)
{
    int64_t rank = pass->model->spec.encoder.lora_rank;
    sg_nn_add_tap(pass, dense->weight, (struct sg_tap){.a = x, .lda = ldx, .g = g, .ldg = ldg, .offset = offset});
    bias_tap(pass, dense->bias, offset, g, ldg);
    if (dense->lora_a < 0)
        return;
    sg_nn_add_tap(pass, dense->lora_a,
                  (struct sg_tap){.a = x, .lda = ldx, .g = lora->du, .ldg = rank, .offset = offset});
    sg_nn_add_tap(pass, dense->lora_b,
                  (struct sg_tap){.a = lora->u, .lda = rank, .g = g, .ldg = ldg, .offset = offset});
}

void sg_nn_norm_forward(const struct pass *pass, const struct norm *norm, int64_t n_rows, float *xhat, float *rstd,
                        float *y)
{
    const struct sg_encoder_spec *e = &pass->model->spec.encoder;
    pass->model->ops->layer_norm(n_rows, e->width, (float)e->layer_norm_epsilon, xhat, e->width,
                                 sg_nn_weights(pass, norm->gain), sg_nn_weights(pass, norm->bias), xhat, e->width, rstd,
                                 y, e->width);
}

void sg_nn_norm_backward(const struct pass *pass, const struct norm *norm, int64_t n_rows, const float *xhat,
                         const float *rstd, const float *dy, float *dx)
{
    int64_t d = pass->model->spec.encoder.width;
    pass->model->ops->layer_norm_backward(n_rows, d, xhat, d, rstd, sg_nn_weights(pass, norm->gain), dy, d, dx, d);
}

void sg_nn_norm_taps(const struct pass *pass, const struct norm *norm, const int32_t *offset, int64_t width,
                     float *xhat, float *g)
{
    sg_nn_add_tap(
        pass, norm->gain,
        (struct sg_tap){.kind = SG_TAP_SCALE, .a = xhat, .lda = width, .g = g, .ldg = width, .offset = offset});
    bias_tap(pass, norm->bias, offset, g, width);
}
