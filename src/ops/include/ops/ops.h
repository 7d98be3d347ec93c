/* The op table that every backend fills. Valid C17 and C++.
 *
 * Shapes are asserted, ops never fail. All arrays are row-major float32 unless said; `ld*` is the distance between rows
 * in floats. A "row" is one time step (or token) of one unit; units own consecutive rows. Ops are single-threaded: a
 * worker calls them on its own memory and passes its own scratch (scratch_bytes, aligned to 64).
 *
 * The one rule behind every signature: a row's bits do not depend on its neighbours. Each output of a GEMM is one chain
 * of fused multiply-adds over ascending k, whatever the number and position of rows, and a weight gradient sums rows in
 * chains of at most SG_CHAIN_ROWS. The reference backend (plain loops) and the CPU backend give the same bits for the
 * GEMMs and absorb; for transcendental functions they agree to a stated bound. */
#ifndef SG_OPS_OPS_H
#define SG_OPS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SG_CHAIN_ROWS 64

/* How the squared norm of a group's weight gradient is found: from dot products between its rows, or by writing the
 * gradient out. CHEAPER takes for each group the one with fewer multiplications: its own rows alone decide, no
 * measurement and no other group. */
enum sg_norm_route { SG_ROUTE_GRAM, SG_ROUTE_INSTANTIATE, SG_ROUTE_CHEAPER };

/* The route of a group with that many rows: one formula for the host and for the card. */
#ifdef __CUDACC__
__host__ __device__
#endif
static inline enum sg_norm_route sg_norm_route_of(enum sg_norm_route route, int64_t n_rows, int64_t n_in, int64_t n_out)
{
    double rows = (double)n_rows, i = (double)n_in, o = (double)n_out;
    double gram = rows * (rows + 1) / 2 * (i + o), instantiate = (rows + 1) * i * o;
    if (route != SG_ROUTE_CHEAPER)
        return route;
    return gram <= instantiate ? SG_ROUTE_GRAM : SG_ROUTE_INSTANTIATE;
}

enum sg_activation { SG_TANH, SG_RELU };
/* Hendrycks & Gimpel 2016: x Phi(x), and its approximation by tanh. */
enum sg_gelu { SG_GELU_ERF, SG_GELU_TANH };

/* Per clip group: what the clip weight is made from, summed over taps. */
struct sg_group_norm {
    double norm2; /* squared L2 norm of the gradient as computed */
    double
        slack2;   /* sum over taps of gamma * mass^2: what rounding may have hidden (DESIGN: n_up^2 = norm2 + slack2) */
    double mass2; /* sum over taps of (sum over rows |a||g|)^2 */
    bool excluded; /* a non-finite value in a or g, or a row of a above 2^64: contributes nothing, rows are set to zero
                    */
};

/* What the operator may see on request, never a part of the record: sums over groups. */
struct sg_clip_counts {
    int64_t n_groups, n_clipped, n_excluded;
    double norm_sum;
};

struct sg_optimizer_step {
    float learning_rate, momentum;   /* SGD: v = momentum v + g; p -= lr v */
    float beta1, beta2, epsilon;     /* Adam (Kingma & Ba 2015, algorithm 1) */
    double correction1, correction2; /* 1 - beta1^t, 1 - beta2^t */
};

struct sg_ops {
    const char *name;       /* "reference", "cpu" */
    const char *arithmetic; /* version of the arithmetic, part of the numeric environment: "cpu-2" */

    /* Scratch that any op below but attention may need, for weights of up to `widest` inputs and outputs, and groups
     * and panels of up to `rows_max` rows. */
    size_t (*scratch_bytes)(int64_t widest, int64_t rows_max);

    /* ---- GEMM. A weight w (n_out, n_in) is packed once per step and shared by all workers. ---- */
    size_t (*packed_bytes)(int64_t n_k, int64_t n_cols);
    /* For y = a w^T: n_k = n_in, n_cols = n_out. */
    void (*pack_forward)(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed);
    /* For dx = g w: n_k = n_out, n_cols = n_in. A sub-range of columns of w is packed by offsetting w. */
    void (*pack_backward)(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed);
    /* c[c_rows[i]][j] = chain over k ascending of fma(a[a_rows[i]][k], b[k][j], acc), acc starting at +0, or at the old
     * c when `accumulate`. Row lists may be NULL (row i). Rows of c in one call are distinct. */
    void (*gemm)(int64_t n_rows, int64_t n_k, int64_t n_cols, const float *a, int64_t lda, const int32_t *a_rows,
                 const void *packed, float *c, int64_t ldc, const int32_t *c_rows, bool accumulate, void *scratch);

    /* ---- Rows ---- */
    /* dst[dst_rows[i]][0..width) = src[src_rows[i]][0..width); lists may be NULL. */
    void (*copy_rows)(int64_t n_rows, int64_t width, const float *src, int64_t lds, const int32_t *src_rows, float *dst,
                      int64_t ldd, const int32_t *dst_rows);
    /* x[i][0..width) += y[i][0..width) */
    void (*add_rows)(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy);
    /* x[i][0..width) *= y[i][0..width): dropout masks. */
    void (*multiply_rows)(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy);

    /* x = f(x) in place; g *= f'(.) from the output y of f. */
    void (*activate)(enum sg_activation f, int64_t n_rows, int64_t width, float *x, int64_t ldx);
    void (*activate_backward)(enum sg_activation f, int64_t n_rows, int64_t width, const float *y, int64_t ldy,
                              float *g, int64_t ldg);

    /* ---- LSTM cell (Hochreiter & Schmidhuber 1997; gate order i, f, g, o) for one step of one direction.
     * rows[i] is the row of the i-th active unit now, prev[i] the row of its step before or -1, next[i] after or -1 (in
     * the direction of the recurrence). forward: gates (rows, 4H) holds pre-activations and gets activations; c (rows,
     * H); h = o * tanh(c) is written to y[rows[i]] and, where next[i] >= 0, to h_next[next[i]] (the recurrent columns
     * of the layer's input rows). */
    void (*lstm_forward)(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                         float *gates, int64_t ldgates, float *c, int64_t ldc, float *y, int64_t ldy, float *h_next,
                         int64_t ldh);
    /* backward: dy[rows[i]] is the whole gradient of h at this step (from above and from the recurrence); dc[rows[i]]
     * the gradient of c carried from the next step (ignored where next[i] < 0). gates gets the gradient of the
     * pre-activations; dc[prev[i]] gets the carry, where prev[i] >= 0. */
    void (*lstm_backward)(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                          float *gates, int64_t ldgates, const float *c, int64_t ldc, const float *dy, int64_t lddy,
                          float *dc, int64_t lddc);

    /* ---- Attention pooling: alpha = softmax of score over a unit's rows (unit b owns offset[b] .. offset[b+1], at
     * least one), pooled[b] = sum alpha_r h_r. backward: dscore (rows) and dh (rows, width; overwritten). ---- */
    void (*pool_forward)(int64_t n_units, const int32_t *offset, int64_t width, const float *score, const float *h,
                         int64_t ldh, float *alpha, float *pooled, int64_t ldp);
    void (*pool_backward)(int64_t n_units, const int32_t *offset, int64_t width, const float *alpha, const float *h,
                          int64_t ldh, const float *dpooled, int64_t lddp, float *dscore, float *dh, int64_t lddh);

    /* ---- Transformer blocks (Vaswani et al. 2017) ---- */
    /* y = f(x); backward g *= f'(x), from the input. x and y may be the same array. Below -13, where |f| < 1e-37, f
     * and f' may be 0. */
    void (*gelu)(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *y, int64_t ldy);
    void (*gelu_backward)(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *g,
                          int64_t ldg);
    /* Layer norm (Ba et al. 2016): xhat = (x - mean) / sqrt(var + epsilon), y = xhat gain + bias; rstd (rows) keeps
     * 1 / sqrt(var + epsilon). Mean and variance are found in double in one fixed order. xhat may be x, y may not be
     * xhat. backward: dx = rstd (d - mean(d) - xhat mean(d xhat)), d = dy gain; dx may be dy. */
    void (*layer_norm)(int64_t n_rows, int64_t width, float epsilon, const float *x, int64_t ldx, const float *gain,
                       const float *bias, float *xhat, int64_t ldxhat, float *rstd, float *y, int64_t ldy);
    void (*layer_norm_backward)(int64_t n_rows, int64_t width, const float *xhat, int64_t ldxhat, const float *rstd,
                                const float *gain, const float *dy, int64_t lddy, float *dx, int64_t lddx);
    /* Self-attention of each unit over its own rows (unit b owns offset[b] .. offset[b+1], at least one), for n_heads
     * heads of `width` floats each, side by side in q, k, v and out: out_t = sum_s softmax_s(scale q_t . k_s) v_s.
     * lse (rows, n_heads) keeps log sum exp of a row's scores, from which backward finds the probabilities again, so
     * that no T x T matrix outlives a unit. scale > 0. backward overwrites dq, dk, dv. scratch as of
     * attention_scratch_bytes. */
    size_t (*attention_scratch_bytes)(int64_t rows_per_unit_max, int64_t width);
    void (*attention)(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                      const float *q, const float *k, const float *v, int64_t ld, float *lse, float *out, int64_t ldout,
                      void *scratch);
    void (*attention_backward)(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                               const float *q, const float *k, const float *v, int64_t ld, const float *lse,
                               const float *out, int64_t ldout, const float *dout, int64_t lddout, float *dq, float *dk,
                               float *dv, int64_t ldd, void *scratch);
    /* pooled[b] = mean of a unit's rows; backward: dh of each row = dpooled[b] / rows of b (overwritten). */
    void (*mean_forward)(int64_t n_units, const int32_t *offset, int64_t width, const float *h, int64_t ldh,
                         float *pooled, int64_t ldp);
    void (*mean_backward)(int64_t n_units, const int32_t *offset, int64_t width, const float *dpooled, int64_t lddp,
                          float *dh, int64_t lddh);
    /* x = x / max(|x|, 1e-12) in place, length (rows) keeps that divisor; backward from y: g = (g - y (y . g)) /
     * length, or g / length where the length is the least. */
    void (*unit_length)(int64_t n_rows, int64_t width, float *x, int64_t ldx, float *length);
    void (*unit_length_backward)(int64_t n_rows, int64_t width, const float *y, int64_t ldy, const float *length,
                                 float *g, int64_t ldg);

    /* ---- Losses ---- */
    /* Softmax cross entropy over n_classes logits, target[i] in 0 .. n_classes - 1. loss may be NULL;
     * dlogit = (softmax(z) - onehot) * scale; it may be logit itself. */
    void (*cross_entropy)(int64_t n_rows, int64_t n_classes, const float *logit, int64_t ld, const int32_t *target,
                          float scale, float *loss, float *dlogit, int64_t ldd);
    /* Squared error: loss = (z - y)^2 / 2 (may be NULL), dlogit = (z - y) * scale. */
    void (*squared_error)(int64_t n_units, const float *logit, const float *label, float scale, float *loss,
                          float *dlogit);
    /* Binary cross entropy on a logit, per unit. loss may be NULL; dlogit = (sigmoid(z) - y) * scale. */
    void (*bce)(int64_t n_units, const float *logit, const float *label, float scale, float *loss, float *dlogit);

    /* ---- Privacy: norms, weights, the weighted sum ---- */
    /* Adds one LINEAR tap's share to each group: group j owns rows first[j] .. first[j+1] (maybe none). a (rows, n_in),
     * or lda = 0: one row that all share; g (rows, n_out). Row norms and masses are found in double. A group with
     * non-finite input or a row norm of a above 2^64 is marked excluded: what w g loses where it is subnormal (2^-150)
     * is then never worth more than 2^-86 a row. Where a row norm lies outside [2^-55, 2^48] (and is not zero) the Gram
     * is taken wholly in double, so that no float product can underflow or overflow unseen; gamma is gamma(n_in + n_out
     * + 4) for the Gram with pairs summed in double, 3 gamma(rows + 2) for the instantiated gradient, gamma(k) = k u /
     * (1 - k u), u = 2^-24. docs/privacy.md derives it. */
    void (*group_norm)(enum sg_norm_route route, int64_t n_groups, const int32_t *first, int64_t n_in, int64_t n_out,
                       const float *a, int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm,
                       void *scratch);
    /* The same for an EMBED tap: row r's gradient g[r] goes to row id[r] of the weight (n_ids, width), so rows of one
     * group with one id add up; id[r] < 0 is a row that adds nothing, whatever its g. mass is the sum of |g|. The
     * gradient is summed in double, gamma is gamma(1); groups of up to 2^22 rows. Time and scratch do not depend on
     * n_ids. */
    void (*embed_norm)(int64_t n_groups, const int32_t *first, const int32_t *id, int64_t width, const float *g,
                       int64_t ldg, struct sg_group_norm *norm, void *scratch);
    /* And for a SCALE tap (the gain of a layer norm): the gradient is the sum over rows of g xhat, by coordinate; mass
     * is the sum of |g xhat|, gamma as for EMBED. A row norm of xhat above 2^64 excludes. */
    void (*scale_norm)(int64_t n_groups, const int32_t *first, int64_t width, const float *xhat, int64_t ldx,
                       const float *g, int64_t ldg, struct sg_group_norm *norm, void *scratch);
    /* w = min(1, clip / sqrt(norm2 + slack2), kappa clip / sqrt(mass2)), rounded down to a float, so that its product
     * with a float is rounded but once; 0 when excluded or when a norm is a NaN. clip = infinity: w = 1. */
    void (*clip_weight)(int64_t n_groups, const struct sg_group_norm *norm, double clip, double kappa, double *w);
    /* Adds n_groups, how many of them weigh less than 1 or are excluded, and the norms of those that are not. */
    void (*count_groups)(int64_t n_groups, const struct sg_group_norm *norm, const double *w,
                         struct sg_clip_counts *counts);
    /* The rows of excluded groups leave as zeros, since 0 x infinity is not a number: x[r][0..width) = 0. */
    void (*clear_rows)(int64_t n_groups, const int32_t *first, const struct sg_group_norm *norm, int64_t width,
                       float *x, int64_t ldx);
    /* The weight of each row is that of its group: row_weight[r] = w[j] for first[j] <= r < first[j+1]. */
    void (*spread_weights)(int64_t n_groups, const int32_t *first, const double *w, double *row_weight);

    /* Several panels of one LINEAR tap (lda may be 0). Panel p owns rows panel_row[p] .. panel_row[p+1], maybe none;
     * panel_row[0] = 0 and panel_row[n_panels] = n_rows. For each panel that has rows, sum[o][i] += round_to_even((sum
     * over its rows r of (w[r] g[r][o]) a[r][i]) * (1 / grid)) as int64, where w[r] g is (float)(w[r] * (double)g),
     * rows are summed by fmaf in chains of at most SG_CHAIN_ROWS from +0 and from the panel's first row on, in
     * ascending order, the chains are added in double in ascending order, and 1 / grid is a double. Sets *overflow when
     * a coordinate's sum of one panel exceeds limit in absolute value or is not finite (that coordinate of that panel
     * is left out). limit / grid is at most 2^62. So one call with several panels is the same as a call for each. */
    void (*absorb)(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_in, int64_t n_out,
                   const float *a, int64_t lda, const float *g, int64_t ldg, const double *w, double grid, double limit,
                   int64_t *sum, bool *overflow, void *scratch);
    /* Several panels of one EMBED tap, in each sum[id][i] += round_to_even((sum over its rows r with that id,
     * ascending, of w[r] g[r][i]) * (1 / grid)), each term (float)(w[r] (double)g[r][i]), floats added from +0 in
     * chains of at most SG_CHAIN_ROWS, the chains in double in ascending order, one rounding per id and panel. id[r] <
     * 0 is a row that adds nothing; id[r] < n_ids. */
    void (*embed_absorb)(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_ids, const int32_t *id,
                         int64_t width, const float *g, int64_t ldg, const double *w, double grid, double limit,
                         int64_t *sum, bool *overflow, void *scratch);
    /* Several panels of one SCALE tap: as absorb for n_in = 1 by coordinate: fmaf((float)(w g), xhat, acc). */
    void (*scale_absorb)(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t width, const float *xhat,
                         int64_t ldx, const float *g, int64_t ldg, const double *w, double grid, double limit,
                         int64_t *sum, bool *overflow, void *scratch);

    /* ---- Optimizer: plain vectors of n floats ---- */
    /* gradient[i] = (float)((double)sum[i] * scale) */
    void (*scale_sum)(int64_t n, const int64_t *sum, double scale, float *gradient);
    void (*sgd)(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *velocity, float *p);
    void (*adam)(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *m, float *v, float *p);
    /* average = decay average + (1 - decay) p */
    void (*average)(int64_t n, float decay, const float *p, float *average);
};

/* Plain loops, the truth. */
const struct sg_ops *sg_ops_reference(void);
/* Vector kernels for x86-64 with AVX2 and FMA; NULL on a machine without them. */
const struct sg_ops *sg_ops_cpu(void);

#ifdef __cplusplus
}
#endif
#endif
