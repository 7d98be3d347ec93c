#include "on_device.h"

#include "stage.h"
#include "table.h"

namespace
{

const struct sg_ops *inner;
size_t scratch_most, attention_scratch_most;

/* Floats from the first to the last of a matrix. */
int64_t extent(int64_t rows, int64_t ld, int64_t width)
{
    return rows > 0 ? (rows - 1) * ld + width : 0;
}

/* Rows that a list reaches, n without one. */
int64_t reached(const int32_t *list, int64_t n)
{
    int64_t most = -1;
    for (int64_t i = 0; list && i < n; i++)
        most = std::max<int64_t>(most, list[i]);
    return list ? most + 1 : n;
}

/* ---- GEMM, rows ---- */

size_t scratch_bytes(int64_t widest, int64_t rows_max)
{
    size_t bytes = inner->scratch_bytes(widest, rows_max);
    scratch_most = std::max(scratch_most, bytes);
    return bytes;
}

void pack_forward(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed)
{
    stage s;
    char *to = static_cast<char *>(packed);
    s.in(w, extent(n_out, ldw, n_in));
    s.out(to, (int64_t)inner->packed_bytes(n_in, n_out));
    s.begin();
    inner->pack_forward(n_out, n_in, w, ldw, to);
}

void pack_backward(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed)
{
    stage s;
    char *to = static_cast<char *>(packed);
    s.in(w, extent(n_out, ldw, n_in));
    s.out(to, (int64_t)inner->packed_bytes(n_out, n_in));
    s.begin();
    inner->pack_backward(n_out, n_in, w, ldw, to);
}

void gemm(int64_t n_rows, int64_t n_k, int64_t n_cols, const float *a, int64_t lda, const int32_t *a_rows,
          const void *packed, float *c, int64_t ldc, const int32_t *c_rows, bool accumulate, void *scratch)
{
    stage s;
    const char *b = static_cast<const char *>(packed);
    s.in(a, extent(reached(a_rows, n_rows), lda, n_k));
    s.in(b, (int64_t)inner->packed_bytes(n_k, n_cols));
    s.out(c, extent(reached(c_rows, n_rows), ldc, n_cols));
    s.in(a_rows, n_rows);
    s.in(c_rows, n_rows);
    s.scratch(scratch, scratch_most);
    s.begin();
    inner->gemm(n_rows, n_k, n_cols, a, lda, a_rows, b, c, ldc, c_rows, accumulate, scratch);
}

void copy_rows(int64_t n_rows, int64_t width, const float *src, int64_t lds, const int32_t *src_rows, float *dst,
               int64_t ldd, const int32_t *dst_rows)
{
    stage s;
    s.in(src, extent(reached(src_rows, n_rows), lds, width));
    s.out(dst, extent(reached(dst_rows, n_rows), ldd, width));
    s.in(src_rows, n_rows);
    s.in(dst_rows, n_rows);
    s.begin();
    inner->copy_rows(n_rows, width, src, lds, src_rows, dst, ldd, dst_rows);
}

void add_rows(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    stage s;
    s.out(x, extent(n_rows, ldx, width));
    s.in(y, extent(n_rows, ldy, width));
    s.begin();
    inner->add_rows(n_rows, width, x, ldx, y, ldy);
}

void multiply_rows(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    stage s;
    s.out(x, extent(n_rows, ldx, width));
    s.in(y, extent(n_rows, ldy, width));
    s.begin();
    inner->multiply_rows(n_rows, width, x, ldx, y, ldy);
}

/* ---- Elements, LSTM, pooling ---- */

void activate(enum sg_activation f, int64_t n_rows, int64_t width, float *x, int64_t ldx)
{
    stage s;
    s.out(x, extent(n_rows, ldx, width));
    s.begin();
    inner->activate(f, n_rows, width, x, ldx);
}

void activate_backward(enum sg_activation f, int64_t n_rows, int64_t width, const float *y, int64_t ldy, float *g,
                       int64_t ldg)
{
    stage s;
    s.in(y, extent(n_rows, ldy, width));
    s.out(g, extent(n_rows, ldg, width));
    s.begin();
    inner->activate_backward(f, n_rows, width, y, ldy, g, ldg);
}

void lstm_forward(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                  float *gates, int64_t ldgates, float *c, int64_t ldc, float *y, int64_t ldy, float *h_next,
                  int64_t ldh)
{
    stage s;
    int64_t now = reached(rows, n);
    s.out(gates, extent(now, ldgates, 4 * hidden));
    s.out(c, extent(std::max(now, reached(prev, n)), ldc, hidden));
    s.out(y, extent(now, ldy, hidden));
    s.out(h_next, extent(reached(next, n), ldh, hidden));
    s.in(rows, n);
    s.in(prev, n);
    s.in(next, n);
    s.begin();
    inner->lstm_forward(n, hidden, rows, prev, next, gates, ldgates, c, ldc, y, ldy, h_next, ldh);
}

void lstm_backward(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                   float *gates, int64_t ldgates, const float *c, int64_t ldc, const float *dy, int64_t lddy, float *dc,
                   int64_t lddc)
{
    stage s;
    int64_t now = reached(rows, n), most = std::max(now, reached(prev, n));
    s.out(gates, extent(now, ldgates, 4 * hidden));
    s.in(c, extent(most, ldc, hidden));
    s.in(dy, extent(now, lddy, hidden));
    s.out(dc, extent(most, lddc, hidden));
    s.in(rows, n);
    s.in(prev, n);
    s.in(next, n);
    s.begin();
    inner->lstm_backward(n, hidden, rows, prev, next, gates, ldgates, c, ldc, dy, lddy, dc, lddc);
}

void pool_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *score, const float *h,
                  int64_t ldh, float *alpha, float *pooled, int64_t ldp)
{
    stage s;
    int64_t rows = offset[n_units];
    s.in(offset, n_units + 1);
    s.in(score, rows);
    s.in(h, extent(rows, ldh, width));
    s.out(alpha, rows);
    s.out(pooled, extent(n_units, ldp, width));
    s.begin();
    inner->pool_forward(n_units, offset, width, score, h, ldh, alpha, pooled, ldp);
}

void pool_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *alpha, const float *h,
                   int64_t ldh, const float *dpooled, int64_t lddp, float *dscore, float *dh, int64_t lddh)
{
    stage s;
    int64_t rows = offset[n_units];
    s.in(offset, n_units + 1);
    s.in(alpha, rows);
    s.in(h, extent(rows, ldh, width));
    s.in(dpooled, extent(n_units, lddp, width));
    s.out(dscore, rows);
    s.out(dh, extent(rows, lddh, width));
    s.begin();
    inner->pool_backward(n_units, offset, width, alpha, h, ldh, dpooled, lddp, dscore, dh, lddh);
}

/* ---- Blocks ---- */

void gelu(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *y, int64_t ldy)
{
    stage s;
    s.in(x, extent(n_rows, ldx, width));
    s.out(y, extent(n_rows, ldy, width));
    s.begin();
    inner->gelu(f, n_rows, width, x, ldx, y, ldy);
}

void gelu_backward(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *g, int64_t ldg)
{
    stage s;
    s.in(x, extent(n_rows, ldx, width));
    s.out(g, extent(n_rows, ldg, width));
    s.begin();
    inner->gelu_backward(f, n_rows, width, x, ldx, g, ldg);
}

void layer_norm(int64_t n_rows, int64_t width, float epsilon, const float *x, int64_t ldx, const float *gain,
                const float *bias, float *xhat, int64_t ldxhat, float *rstd, float *y, int64_t ldy)
{
    stage s;
    s.in(x, extent(n_rows, ldx, width));
    s.in(gain, width);
    s.in(bias, width);
    s.out(xhat, extent(n_rows, ldxhat, width));
    s.out(rstd, n_rows);
    s.out(y, extent(n_rows, ldy, width));
    s.begin();
    inner->layer_norm(n_rows, width, epsilon, x, ldx, gain, bias, xhat, ldxhat, rstd, y, ldy);
}

void layer_norm_backward(int64_t n_rows, int64_t width, const float *xhat, int64_t ldxhat, const float *rstd,
                         const float *gain, const float *dy, int64_t lddy, float *dx, int64_t lddx)
{
    stage s;
    s.in(xhat, extent(n_rows, ldxhat, width));
    s.in(rstd, n_rows);
    s.in(gain, width);
    s.in(dy, extent(n_rows, lddy, width));
    s.out(dx, extent(n_rows, lddx, width));
    s.begin();
    inner->layer_norm_backward(n_rows, width, xhat, ldxhat, rstd, gain, dy, lddy, dx, lddx);
}

size_t attention_scratch_bytes(int64_t rows_per_unit_max, int64_t width)
{
    size_t bytes = inner->attention_scratch_bytes(rows_per_unit_max, width);
    attention_scratch_most = std::max(attention_scratch_most, bytes);
    return bytes;
}

void attention(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale, const float *q,
               const float *k, const float *v, int64_t ld, float *lse, float *out, int64_t ldout, void *scratch)
{
    stage s;
    int64_t rows = offset[n_units], all = n_heads * width;
    s.in(offset, n_units + 1);
    s.in(q, extent(rows, ld, all));
    s.in(k, extent(rows, ld, all));
    s.in(v, extent(rows, ld, all));
    s.out(lse, rows * n_heads);
    s.out(out, extent(rows, ldout, all));
    s.scratch(scratch, attention_scratch_most);
    s.begin();
    inner->attention(n_units, offset, n_heads, width, scale, q, k, v, ld, lse, out, ldout, scratch);
}

void attention_backward(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                        const float *q, const float *k, const float *v, int64_t ld, const float *lse, const float *out,
                        int64_t ldout, const float *dout, int64_t lddout, float *dq, float *dk, float *dv, int64_t ldd,
                        void *scratch)
{
    stage s;
    int64_t rows = offset[n_units], all = n_heads * width;
    s.in(offset, n_units + 1);
    s.in(q, extent(rows, ld, all));
    s.in(k, extent(rows, ld, all));
    s.in(v, extent(rows, ld, all));
    s.in(lse, rows * n_heads);
    s.in(out, extent(rows, ldout, all));
    s.in(dout, extent(rows, lddout, all));
    s.out(dq, extent(rows, ldd, all));
    s.out(dk, extent(rows, ldd, all));
    s.out(dv, extent(rows, ldd, all));
    s.scratch(scratch, attention_scratch_most);
    s.begin();
    inner->attention_backward(n_units, offset, n_heads, width, scale, q, k, v, ld, lse, out, ldout, dout, lddout, dq,
                              dk, dv, ldd, scratch);
}

void mean_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *h, int64_t ldh, float *pooled,
                  int64_t ldp)
{
    stage s;
    s.in(h, extent(offset[n_units], ldh, width));
    s.in(offset, n_units + 1);
    s.out(pooled, extent(n_units, ldp, width));
    s.begin();
    inner->mean_forward(n_units, offset, width, h, ldh, pooled, ldp);
}

void mean_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *dpooled, int64_t lddp, float *dh,
                   int64_t lddh)
{
    stage s;
    s.out(dh, extent(offset[n_units], lddh, width));
    s.in(offset, n_units + 1);
    s.in(dpooled, extent(n_units, lddp, width));
    s.begin();
    inner->mean_backward(n_units, offset, width, dpooled, lddp, dh, lddh);
}

void unit_length(int64_t n_rows, int64_t width, float *x, int64_t ldx, float *length)
{
    stage s;
    s.out(x, extent(n_rows, ldx, width));
    s.out(length, n_rows);
    s.begin();
    inner->unit_length(n_rows, width, x, ldx, length);
}

void unit_length_backward(int64_t n_rows, int64_t width, const float *y, int64_t ldy, const float *length, float *g,
                          int64_t ldg)
{
    stage s;
    s.in(y, extent(n_rows, ldy, width));
    s.in(length, n_rows);
    s.out(g, extent(n_rows, ldg, width));
    s.begin();
    inner->unit_length_backward(n_rows, width, y, ldy, length, g, ldg);
}

/* ---- Losses ---- */

void cross_entropy(int64_t n_rows, int64_t n_classes, const float *logit, int64_t ld, const int32_t *target,
                   float scale, float *loss, float *dlogit, int64_t ldd)
{
    stage s;
    s.in(logit, extent(n_rows, ld, n_classes));
    s.in(target, n_rows);
    s.out(loss, n_rows);
    s.out(dlogit, extent(n_rows, ldd, n_classes));
    s.begin();
    inner->cross_entropy(n_rows, n_classes, logit, ld, target, scale, loss, dlogit, ldd);
}

void squared_error(int64_t n_units, const float *logit, const float *label, float scale, float *loss, float *dlogit)
{
    stage s;
    s.in(logit, n_units);
    s.in(label, n_units);
    s.out(loss, n_units);
    s.out(dlogit, n_units);
    s.begin();
    inner->squared_error(n_units, logit, label, scale, loss, dlogit);
}

void bce(int64_t n_units, const float *logit, const float *label, float scale, float *loss, float *dlogit)
{
    stage s;
    s.in(logit, n_units);
    s.in(label, n_units);
    s.out(loss, n_units);
    s.out(dlogit, n_units);
    s.begin();
    inner->bce(n_units, logit, label, scale, loss, dlogit);
}

/* ---- Privacy ---- */

void group_norm(enum sg_norm_route route, int64_t n_groups, const int32_t *first, int64_t n_in, int64_t n_out,
                const float *a, int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    stage s;
    int64_t rows = first[n_groups];
    s.in(first, n_groups + 1);
    s.in(a, lda == 0 ? n_in : extent(rows, lda, n_in));
    s.in(g, extent(rows, ldg, n_out));
    s.out(norm, n_groups);
    s.scratch(scratch, scratch_most);
    s.begin();
    inner->group_norm(route, n_groups, first, n_in, n_out, a, lda, g, ldg, norm, scratch);
}

void embed_norm(int64_t n_groups, const int32_t *first, const int32_t *id, int64_t width, const float *g, int64_t ldg,
                struct sg_group_norm *norm, void *scratch)
{
    stage s;
    int64_t rows = first[n_groups];
    s.in(first, n_groups + 1);
    s.in(id, rows);
    s.in(g, extent(rows, ldg, width));
    s.out(norm, n_groups);
    s.scratch(scratch, scratch_most);
    s.begin();
    inner->embed_norm(n_groups, first, id, width, g, ldg, norm, scratch);
}

void scale_norm(int64_t n_groups, const int32_t *first, int64_t width, const float *xhat, int64_t ldx, const float *g,
                int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    stage s;
    int64_t rows = first[n_groups];
    s.in(first, n_groups + 1);
    s.in(xhat, extent(rows, ldx, width));
    s.in(g, extent(rows, ldg, width));
    s.out(norm, n_groups);
    s.scratch(scratch, scratch_most);
    s.begin();
    inner->scale_norm(n_groups, first, width, xhat, ldx, g, ldg, norm, scratch);
}

void clip_weight(int64_t n_groups, const struct sg_group_norm *norm, double clip, double kappa, double *w)
{
    stage s;
    s.in(norm, n_groups);
    s.out(w, n_groups);
    s.begin();
    inner->clip_weight(n_groups, norm, clip, kappa, w);
}

void count_groups(int64_t n_groups, const struct sg_group_norm *norm, const double *w, struct sg_clip_counts *counts)
{
    stage s;
    s.in(norm, n_groups);
    s.in(w, n_groups);
    s.out(counts, 1);
    s.begin();
    inner->count_groups(n_groups, norm, w, counts);
}

void clear_rows(int64_t n_groups, const int32_t *first, const struct sg_group_norm *norm, int64_t width, float *x,
                int64_t ldx)
{
    stage s;
    s.out(x, extent(first[n_groups], ldx, width));
    s.in(first, n_groups + 1);
    s.in(norm, n_groups);
    s.begin();
    inner->clear_rows(n_groups, first, norm, width, x, ldx);
}

void spread_weights(int64_t n_groups, const int32_t *first, const double *w, double *row_weight)
{
    stage s;
    s.out(row_weight, first[n_groups]);
    s.in(first, n_groups + 1);
    s.in(w, n_groups);
    s.begin();
    inner->spread_weights(n_groups, first, w, row_weight);
}

void absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_in, int64_t n_out, const float *a,
            int64_t lda, const float *g, int64_t ldg, const double *w, double grid, double limit, int64_t *sum,
            bool *overflow, void *scratch)
{
    stage s;
    s.in(panel_row, n_panels + 1);
    s.in(a, lda == 0 ? n_in : extent(n_rows, lda, n_in));
    s.in(g, extent(n_rows, ldg, n_out));
    s.in(w, n_rows);
    s.out(sum, n_in * n_out);
    s.out(overflow, 1);
    s.scratch(scratch, scratch_most);
    s.begin();
    inner->absorb(n_rows, n_panels, panel_row, n_in, n_out, a, lda, g, ldg, w, grid, limit, sum, overflow, scratch);
}

void embed_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_ids, const int32_t *id,
                  int64_t width, const float *g, int64_t ldg, const double *w, double grid, double limit, int64_t *sum,
                  bool *overflow, void *scratch)
{
    stage s;
    s.in(panel_row, n_panels + 1);
    s.in(id, n_rows);
    s.in(g, extent(n_rows, ldg, width));
    s.in(w, n_rows);
    s.out(sum, n_ids * width);
    s.out(overflow, 1);
    s.scratch(scratch, scratch_most);
    s.begin();
    inner->embed_absorb(n_rows, n_panels, panel_row, n_ids, id, width, g, ldg, w, grid, limit, sum, overflow, scratch);
}

void scale_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t width, const float *xhat,
                  int64_t ldx, const float *g, int64_t ldg, const double *w, double grid, double limit, int64_t *sum,
                  bool *overflow, void *scratch)
{
    stage s;
    s.in(panel_row, n_panels + 1);
    s.in(xhat, extent(n_rows, ldx, width));
    s.in(g, extent(n_rows, ldg, width));
    s.in(w, n_rows);
    s.out(sum, width);
    s.out(overflow, 1);
    s.scratch(scratch, scratch_most);
    s.begin();
    inner->scale_absorb(n_rows, n_panels, panel_row, width, xhat, ldx, g, ldg, w, grid, limit, sum, overflow, scratch);
}

/* ---- Optimizer: `step` is the host's ---- */

void scale_sum(int64_t n, const int64_t *sum, double scale, float *gradient)
{
    stage s;
    s.in(sum, n);
    s.out(gradient, n);
    s.begin();
    inner->scale_sum(n, sum, scale, gradient);
}

void sgd(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *velocity, float *p)
{
    stage s;
    s.in(gradient, n);
    s.out(velocity, n);
    s.out(p, n);
    s.begin();
    inner->sgd(n, step, gradient, velocity, p);
}

void adam(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *m, float *v, float *p)
{
    stage s;
    s.in(gradient, n);
    s.out(m, n);
    s.out(v, n);
    s.out(p, n);
    s.begin();
    inner->adam(n, step, gradient, m, v, p);
}

void average(int64_t n, float decay, const float *p, float *average_)
{
    stage s;
    s.in(p, n);
    s.out(average_, n);
    s.begin();
    inner->average(n, decay, p, average_);
}

const struct sg_ops staged = {nullptr,
                              "cuda",
                              "cpu-2",
                              scratch_bytes,
                              nullptr,
                              pack_forward,
                              pack_backward,
                              gemm,
                              copy_rows,
                              add_rows,
                              multiply_rows,
                              activate,
                              activate_backward,
                              lstm_forward,
                              lstm_backward,
                              pool_forward,
                              pool_backward,
                              gelu,
                              gelu_backward,
                              layer_norm,
                              layer_norm_backward,
                              attention_scratch_bytes,
                              attention,
                              attention_backward,
                              mean_forward,
                              mean_backward,
                              unit_length,
                              unit_length_backward,
                              cross_entropy,
                              squared_error,
                              bce,
                              group_norm,
                              embed_norm,
                              scale_norm,
                              clip_weight,
                              count_groups,
                              clear_rows,
                              spread_weights,
                              absorb,
                              embed_absorb,
                              scale_absorb,
                              scale_sum,
                              sgd,
                              adam,
                              average};

} // namespace

const struct sg_ops *sg_ops_on_device(void)
{
    static struct sg_ops table;
    if (!inner) {
        if (sg_cuda_open(0) != SG_OK) {
            fprintf(stderr, "%s\n", sg_error_text());
            exit(1);
        }
        inner = sg_ops_cuda();
        table = staged;
        table.packed_bytes = inner->packed_bytes;
    }
    return &table;
}
