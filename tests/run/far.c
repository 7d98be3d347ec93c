/* Written out from the table: each op opens the fence, runs the CPU's and closes it. */
#include "far.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCKS_MAX 64

struct fenced {
    char *at;
    size_t bytes;
};

static struct fenced blocks[BLOCKS_MAX];
static int n_blocks, fail_at;
static bool is_open;

static const struct sg_ops *cpu(void)
{
    return sg_ops_cpu() ? sg_ops_cpu() : sg_ops_reference();
}

static void protect(int how)
{
    for (int i = 0; i < BLOCKS_MAX; i++)
        if (blocks[i].at && mprotect(blocks[i].at, blocks[i].bytes, how) != 0)
            abort();
    is_open = how != PROT_NONE;
}

static void fence_open(void)
{
    protect(PROT_READ | PROT_WRITE);
}

static void fence_close(void)
{
    protect(PROT_NONE);
}

int far_blocks(void)
{
    return n_blocks;
}

void far_fail_alloc(int n)
{
    fail_at = n;
}

bool far_is_fenced(const void *at)
{
    for (int i = 0; i < BLOCKS_MAX; i++)
        if (blocks[i].at && (const char *)at >= blocks[i].at && (const char *)at < blocks[i].at + blocks[i].bytes)
            return !is_open;
    return false;
}

static void *far_alloc(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), all = (bytes + page) / page * page;
    if (fail_at && --fail_at == 0)
        return NULL;
    int i = 0;
    while (i < BLOCKS_MAX && blocks[i].at)
        i++;
    assert(i < BLOCKS_MAX);
    void *at = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    memset(at, 0xff, all);
    blocks[i] = (struct fenced){at, all};
    n_blocks++;
    fence_close();
    return at;
}

static void far_release(void *at)
{
    for (int i = 0; i < BLOCKS_MAX; i++)
        if (blocks[i].at == at) {
            munmap(at, blocks[i].bytes);
            blocks[i] = (struct fenced){0};
            n_blocks--;
            return;
        }
    abort();
}

static void far_move(void *to, const void *from, size_t bytes)
{
    fence_open();
    memcpy(to, from, bytes);
    fence_close();
}

static void far_zero(void *at, size_t bytes)
{
    fence_open();
    memset(at, 0, bytes);
    fence_close();
}

static const char *far_sync(void)
{
    return NULL;
}

static void far_room(size_t *free_bytes, size_t *total_bytes)
{
    *free_bytes = *total_bytes = (size_t)1 << 30;
}

static size_t far_scratch_bytes(int64_t widest, int64_t rows_max)
{
    return cpu()->scratch_bytes(widest, rows_max);
}

static size_t far_packed_bytes(int64_t n_k, int64_t n_cols)
{
    return cpu()->packed_bytes(n_k, n_cols);
}

static void far_pack_forward(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed)
{
    fence_open();
    cpu()->pack_forward(n_out, n_in, w, ldw, packed);
    fence_close();
}

static void far_pack_backward(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed)
{
    fence_open();
    cpu()->pack_backward(n_out, n_in, w, ldw, packed);
    fence_close();
}

static void far_gemm(int64_t n_rows, int64_t n_k, int64_t n_cols, const float *a, int64_t lda, const int32_t *a_rows,
                     const void *packed, float *c, int64_t ldc, const int32_t *c_rows, bool accumulate, void *scratch)
{
    fence_open();
    cpu()->gemm(n_rows, n_k, n_cols, a, lda, a_rows, packed, c, ldc, c_rows, accumulate, scratch);
    fence_close();
}

static void far_copy_rows(int64_t n_rows, int64_t width, const float *src, int64_t lds, const int32_t *src_rows,
                          float *dst, int64_t ldd, const int32_t *dst_rows)
{
    fence_open();
    cpu()->copy_rows(n_rows, width, src, lds, src_rows, dst, ldd, dst_rows);
    fence_close();
}

static void far_add_rows(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    fence_open();
    cpu()->add_rows(n_rows, width, x, ldx, y, ldy);
    fence_close();
}

static void far_multiply_rows(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    fence_open();
    cpu()->multiply_rows(n_rows, width, x, ldx, y, ldy);
    fence_close();
}

static void far_activate(enum sg_activation f, int64_t n_rows, int64_t width, float *x, int64_t ldx)
{
    fence_open();
    cpu()->activate(f, n_rows, width, x, ldx);
    fence_close();
}

static void far_activate_backward(enum sg_activation f, int64_t n_rows, int64_t width, const float *y, int64_t ldy,
                                  float *g, int64_t ldg)
{
    fence_open();
    cpu()->activate_backward(f, n_rows, width, y, ldy, g, ldg);
    fence_close();
}

static void far_lstm_forward(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                             float *gates, int64_t ldgates, float *c, int64_t ldc, float *y, int64_t ldy, float *h_next,
                             int64_t ldh)
{
    fence_open();
    cpu()->lstm_forward(n, hidden, rows, prev, next, gates, ldgates, c, ldc, y, ldy, h_next, ldh);
    fence_close();
}

static void far_lstm_backward(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                              float *gates, int64_t ldgates, const float *c, int64_t ldc, const float *dy, int64_t lddy,
                              float *dc, int64_t lddc)
{
    fence_open();
    cpu()->lstm_backward(n, hidden, rows, prev, next, gates, ldgates, c, ldc, dy, lddy, dc, lddc);
    fence_close();
}

static void far_pool_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *score, const float *h,
                             int64_t ldh, float *alpha, float *pooled, int64_t ldp)
{
    fence_open();
    cpu()->pool_forward(n_units, offset, width, score, h, ldh, alpha, pooled, ldp);
    fence_close();
}

static void far_pool_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *alpha, const float *h,
                              int64_t ldh, const float *dpooled, int64_t lddp, float *dscore, float *dh, int64_t lddh)
{
    fence_open();
    cpu()->pool_backward(n_units, offset, width, alpha, h, ldh, dpooled, lddp, dscore, dh, lddh);
    fence_close();
}

static void far_gelu(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *y, int64_t ldy)
{
    fence_open();
    cpu()->gelu(f, n_rows, width, x, ldx, y, ldy);
    fence_close();
}

static void far_gelu_backward(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *g,
                              int64_t ldg)
{
    fence_open();
    cpu()->gelu_backward(f, n_rows, width, x, ldx, g, ldg);
    fence_close();
}

static void far_layer_norm(int64_t n_rows, int64_t width, float epsilon, const float *x, int64_t ldx, const float *gain,
                           const float *bias, float *xhat, int64_t ldxhat, float *rstd, float *y, int64_t ldy)
{
    fence_open();
    cpu()->layer_norm(n_rows, width, epsilon, x, ldx, gain, bias, xhat, ldxhat, rstd, y, ldy);
    fence_close();
}

static void far_layer_norm_backward(int64_t n_rows, int64_t width, const float *xhat, int64_t ldxhat, const float *rstd,
                                    const float *gain, const float *dy, int64_t lddy, float *dx, int64_t lddx)
{
    fence_open();
    cpu()->layer_norm_backward(n_rows, width, xhat, ldxhat, rstd, gain, dy, lddy, dx, lddx);
    fence_close();
}

static size_t far_attention_scratch_bytes(int64_t rows_per_unit_max, int64_t width)
{
    return cpu()->attention_scratch_bytes(rows_per_unit_max, width);
}

static void far_attention(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                          const float *q, const float *k, const float *v, int64_t ld, float *lse, float *out,
                          int64_t ldout, void *scratch)
{
    fence_open();
    cpu()->attention(n_units, offset, n_heads, width, scale, q, k, v, ld, lse, out, ldout, scratch);
    fence_close();
}

static void far_attention_backward(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                                   const float *q, const float *k, const float *v, int64_t ld, const float *lse,
                                   const float *out, int64_t ldout, const float *dout, int64_t lddout, float *dq,
                                   float *dk, float *dv, int64_t ldd, void *scratch)
{
    fence_open();
    cpu()->attention_backward(n_units, offset, n_heads, width, scale, q, k, v, ld, lse, out, ldout, dout, lddout, dq,
                              dk, dv, ldd, scratch);
    fence_close();
}

static void far_mean_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *h, int64_t ldh,
                             float *pooled, int64_t ldp)
{
    fence_open();
    cpu()->mean_forward(n_units, offset, width, h, ldh, pooled, ldp);
    fence_close();
}

static void far_mean_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *dpooled, int64_t lddp,
                              float *dh, int64_t lddh)
{
    fence_open();
    cpu()->mean_backward(n_units, offset, width, dpooled, lddp, dh, lddh);
    fence_close();
}

static void far_unit_length(int64_t n_rows, int64_t width, float *x, int64_t ldx, float *length)
{
    fence_open();
    cpu()->unit_length(n_rows, width, x, ldx, length);
    fence_close();
}

static void far_unit_length_backward(int64_t n_rows, int64_t width, const float *y, int64_t ldy, const float *length,
                                     float *g, int64_t ldg)
{
    fence_open();
    cpu()->unit_length_backward(n_rows, width, y, ldy, length, g, ldg);
    fence_close();
}

static void far_cross_entropy(int64_t n_rows, int64_t n_classes, const float *logit, int64_t ld, const int32_t *target,
                              float scale, float *loss, float *dlogit, int64_t ldd)
{
    fence_open();
    cpu()->cross_entropy(n_rows, n_classes, logit, ld, target, scale, loss, dlogit, ldd);
    fence_close();
}

static void far_squared_error(int64_t n_units, const float *logit, const float *label, float scale, float *loss,
                              float *dlogit)
{
    fence_open();
    cpu()->squared_error(n_units, logit, label, scale, loss, dlogit);
    fence_close();
}

static void far_bce(int64_t n_units, const float *logit, const float *label, float scale, float *loss, float *dlogit)
{
    fence_open();
    cpu()->bce(n_units, logit, label, scale, loss, dlogit);
    fence_close();
}

static void far_group_norm(enum sg_norm_route route, int64_t n_groups, const int32_t *first, int64_t n_in,
                           int64_t n_out, const float *a, int64_t lda, const float *g, int64_t ldg,
                           struct sg_group_norm *norm, void *scratch)
{
    fence_open();
    cpu()->group_norm(route, n_groups, first, n_in, n_out, a, lda, g, ldg, norm, scratch);
    fence_close();
}

static void far_embed_norm(int64_t n_groups, const int32_t *first, const int32_t *id, int64_t width, const float *g,
                           int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    fence_open();
    cpu()->embed_norm(n_groups, first, id, width, g, ldg, norm, scratch);
    fence_close();
}

static void far_scale_norm(int64_t n_groups, const int32_t *first, int64_t width, const float *xhat, int64_t ldx,
                           const float *g, int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    fence_open();
    cpu()->scale_norm(n_groups, first, width, xhat, ldx, g, ldg, norm, scratch);
    fence_close();
}

static void far_clip_weight(int64_t n_groups, const struct sg_group_norm *norm, double clip, double kappa, double *w)
{
    fence_open();
    cpu()->clip_weight(n_groups, norm, clip, kappa, w);
    fence_close();
}

static void far_count_groups(int64_t n_groups, const struct sg_group_norm *norm, const double *w,
                             struct sg_clip_counts *counts)
{
    fence_open();
    cpu()->count_groups(n_groups, norm, w, counts);
    fence_close();
}

static void far_clear_rows(int64_t n_groups, const int32_t *first, const struct sg_group_norm *norm, int64_t width,
                           float *x, int64_t ldx)
{
    fence_open();
    cpu()->clear_rows(n_groups, first, norm, width, x, ldx);
    fence_close();
}

static void far_spread_weights(int64_t n_groups, const int32_t *first, const double *w, double *row_weight)
{
    fence_open();
    cpu()->spread_weights(n_groups, first, w, row_weight);
    fence_close();
}

static void far_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_in, int64_t n_out,
                       const float *a, int64_t lda, const float *g, int64_t ldg, const double *w, double grid,
                       double limit, int64_t *sum, bool *overflow, void *scratch)
{
    fence_open();
    cpu()->absorb(n_rows, n_panels, panel_row, n_in, n_out, a, lda, g, ldg, w, grid, limit, sum, overflow, scratch);
    fence_close();
}

static void far_embed_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_ids,
                             const int32_t *id, int64_t width, const float *g, int64_t ldg, const double *w,
                             double grid, double limit, int64_t *sum, bool *overflow, void *scratch)
{
    fence_open();
    cpu()->embed_absorb(n_rows, n_panels, panel_row, n_ids, id, width, g, ldg, w, grid, limit, sum, overflow, scratch);
    fence_close();
}

static void far_scale_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t width,
                             const float *xhat, int64_t ldx, const float *g, int64_t ldg, const double *w, double grid,
                             double limit, int64_t *sum, bool *overflow, void *scratch)
{
    fence_open();
    cpu()->scale_absorb(n_rows, n_panels, panel_row, width, xhat, ldx, g, ldg, w, grid, limit, sum, overflow, scratch);
    fence_close();
}

static void far_scale_sum(int64_t n, const int64_t *sum, double scale, float *gradient)
{
    fence_open();
    cpu()->scale_sum(n, sum, scale, gradient);
    fence_close();
}

static void far_sgd(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *velocity, float *p)
{
    fence_open();
    cpu()->sgd(n, step, gradient, velocity, p);
    fence_close();
}

static void far_adam(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *m, float *v,
                     float *p)
{
    fence_open();
    cpu()->adam(n, step, gradient, m, v, p);
    fence_close();
}

static void far_average(int64_t n, float decay, const float *p, float *average)
{
    fence_open();
    cpu()->average(n, decay, p, average);
    fence_close();
}

const struct sg_ops *far_ops(void)
{
    static const struct sg_far_memory memory = {.alloc = far_alloc,
                                                .release = far_release,
                                                .upload = far_move,
                                                .download = far_move,
                                                .copy = far_move,
                                                .zero = far_zero,
                                                .sync = far_sync,
                                                .room = far_room,
                                                .panels_wanted = 4};
    static const struct sg_ops ops = {
        .far = &memory,
        .name = "far",
        .arithmetic = "cpu-2",
        .scratch_bytes = far_scratch_bytes,
        .packed_bytes = far_packed_bytes,
        .pack_forward = far_pack_forward,
        .pack_backward = far_pack_backward,
        .gemm = far_gemm,
        .copy_rows = far_copy_rows,
        .add_rows = far_add_rows,
        .multiply_rows = far_multiply_rows,
        .activate = far_activate,
        .activate_backward = far_activate_backward,
        .lstm_forward = far_lstm_forward,
        .lstm_backward = far_lstm_backward,
        .pool_forward = far_pool_forward,
        .pool_backward = far_pool_backward,
        .gelu = far_gelu,
        .gelu_backward = far_gelu_backward,
        .layer_norm = far_layer_norm,
        .layer_norm_backward = far_layer_norm_backward,
        .attention_scratch_bytes = far_attention_scratch_bytes,
        .attention = far_attention,
        .attention_backward = far_attention_backward,
        .mean_forward = far_mean_forward,
        .mean_backward = far_mean_backward,
        .unit_length = far_unit_length,
        .unit_length_backward = far_unit_length_backward,
        .cross_entropy = far_cross_entropy,
        .squared_error = far_squared_error,
        .bce = far_bce,
        .group_norm = far_group_norm,
        .embed_norm = far_embed_norm,
        .scale_norm = far_scale_norm,
        .clip_weight = far_clip_weight,
        .count_groups = far_count_groups,
        .clear_rows = far_clear_rows,
        .spread_weights = far_spread_weights,
        .absorb = far_absorb,
        .embed_absorb = far_embed_absorb,
        .scale_absorb = far_scale_absorb,
        .scale_sum = far_scale_sum,
        .sgd = far_sgd,
        .adam = far_adam,
        .average = far_average,
    };
    return &ops;
}
