/* What the files of the reference backend show each other: ops_ref.c holds the table. ops.h says what each does. */
#ifndef SG_OPS_REF_H
#define SG_OPS_REF_H

#include "ops/ops.h"

/* In double, where a product of two floats is exact; the sum over ascending i. */
static inline double ref_dot(int64_t n, const float *x, const float *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * y[i];
    return sum;
}

/* ops_ref_blocks.c */
void sg_ref_gelu(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *y, int64_t ldy);
void sg_ref_gelu_backward(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *g,
                          int64_t ldg);
void sg_ref_layer_norm(int64_t n_rows, int64_t width, float epsilon, const float *x, int64_t ldx, const float *gain,
                       const float *bias, float *xhat, int64_t ldxhat, float *rstd, float *y, int64_t ldy);
void sg_ref_layer_norm_backward(int64_t n_rows, int64_t width, const float *xhat, int64_t ldxhat, const float *rstd,
                                const float *gain, const float *dy, int64_t lddy, float *dx, int64_t lddx);
void sg_ref_mean_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *h, int64_t ldh,
                         float *pooled, int64_t ldp);
void sg_ref_mean_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *dpooled, int64_t lddp,
                          float *dh, int64_t lddh);
void sg_ref_unit_length(int64_t n_rows, int64_t width, float *x, int64_t ldx, float *length);
void sg_ref_unit_length_backward(int64_t n_rows, int64_t width, const float *y, int64_t ldy, const float *length,
                                 float *g, int64_t ldg);
void sg_ref_cross_entropy(int64_t n_rows, int64_t n_classes, const float *logit, int64_t ld, const int32_t *target,
                          float scale, float *loss, float *dlogit, int64_t ldd);
void sg_ref_squared_error(int64_t n_units, const float *logit, const float *label, float scale, float *loss,
                          float *dlogit);

/* ops_ref_attention.c */
size_t sg_ref_attention_scratch_bytes(int64_t rows_per_unit_max, int64_t width);
void sg_ref_attention(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                      const float *q, const float *k, const float *v, int64_t ld, float *lse, float *out, int64_t ldout,
                      void *scratch);
void sg_ref_attention_backward(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                               const float *q, const float *k, const float *v, int64_t ld, const float *lse,
                               const float *out, int64_t ldout, const float *dout, int64_t lddout, float *dq, float *dk,
                               float *dv, int64_t ldd, void *scratch);

/* ops_ref_privacy.c */
void sg_ref_group_norm(enum sg_norm_route route, int64_t n_groups, const int32_t *first, int64_t n_in, int64_t n_out,
                       const float *a, int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm,
                       void *scratch);
void sg_ref_embed_norm(int64_t n_groups, const int32_t *first, const int32_t *id, int64_t width, const float *g,
                       int64_t ldg, struct sg_group_norm *norm, void *scratch);
void sg_ref_scale_norm(int64_t n_groups, const int32_t *first, int64_t width, const float *xhat, int64_t ldx,
                       const float *g, int64_t ldg, struct sg_group_norm *norm, void *scratch);
void sg_ref_clip_weight(int64_t n_groups, const struct sg_group_norm *norm, double clip, double kappa, double *w);
void sg_ref_count_groups(int64_t n_groups, const struct sg_group_norm *norm, const double *w,
                         struct sg_clip_counts *counts);
void sg_ref_clear_rows(int64_t n_groups, const int32_t *first, const struct sg_group_norm *norm, int64_t width,
                       float *x, int64_t ldx);
void sg_ref_spread_weights(int64_t n_groups, const int32_t *first, const double *w, double *row_weight);
void sg_ref_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_in, int64_t n_out,
                   const float *a, int64_t lda, const float *g, int64_t ldg, const double *w, double grid, double limit,
                   int64_t *sum, bool *overflow, void *scratch);
void sg_ref_embed_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_ids, const int32_t *id,
                         int64_t width, const float *g, int64_t ldg, const double *w, double grid, double limit,
                         int64_t *sum, bool *overflow, void *scratch);
void sg_ref_scale_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t width, const float *xhat,
                         int64_t ldx, const float *g, int64_t ldg, const double *w, double grid, double limit,
                         int64_t *sum, bool *overflow, void *scratch);

#endif
