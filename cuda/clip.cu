/* From group norms to weights: the clip weight, its counts, the rows of excluded groups, the weight of each row. */
#include "launch.h"
#include "table.h"

#define THREADS 256
#define WARPS (THREADS / 32)

/* The largest float up to x in [0, 1]. */
SG_DEVICE double float_below(double x)
{
    const float y = (float)x;
    return (double)y > x ? __int_as_float(__float_as_int(y) - 1) : y; /* y is above x, hence above zero */
}

/* Quotients and roots in double are correctly rounded on the card as on the CPU. */
SG_KERNEL(sg_k_clip_weight)
(int64_t n_groups, const struct sg_group_norm *norm, double clip, double kappa, double *w)
{
    const int64_t j = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (j >= n_groups)
        return;
    const double bound2 = norm[j].norm2 + norm[j].slack2;
    const double by_norm = clip / sqrt(bound2), by_mass = kappa * clip / sqrt(norm[j].mass2);
    const double least = isinf(clip) ? 1 : fmin(1.0, fmin(by_norm, by_mass));
    /* fmin passes over a NaN: a norm that is not known weighs nothing instead. */
    const bool unknown = isnan(bound2) || isnan(norm[j].mass2);
    w[j] = norm[j].excluded || unknown ? 0 : float_below(least);
}

static void clip_weight(int64_t n_groups, const struct sg_group_norm *norm, double clip, double kappa, double *w)
{
    assert(clip > 0 && kappa > 0);
    if (n_groups > 0)
        SG_LAUNCH(sg_k_clip_weight, (int)((n_groups + THREADS - 1) / THREADS), THREADS, 0, n_groups, norm, clip, kappa,
                  w);
}

/* ---- What the operator may see: one block, norms added in order of groups ---- */

/* Sums of integers commute; that of the norms is one chain, though their roots are taken side by side. */
SG_KERNEL(sg_k_count_groups)
(int64_t n_groups, const struct sg_group_norm *norm, const double *w, struct sg_clip_counts *counts)
{
    SG_SHARED(double, root, THREADS);
    SG_SHARED(int, votes, 2);
    double norm_sum = threadIdx.x == 0 ? counts->norm_sum : 0;
    int clipped = 0, excluded = 0;
    if (threadIdx.x < 2)
        votes[threadIdx.x] = 0;
    for (int64_t begin = 0; begin < n_groups; begin += THREADS) {
        const int64_t j = begin + threadIdx.x;
        const bool there = j < n_groups, out = there && norm[j].excluded;
        root[threadIdx.x] = there && !out ? sqrt(norm[j].norm2) : 0;
        clipped += there && !out && w[j] < 1;
        excluded += out;
        __syncthreads();
        for (int i = 0; threadIdx.x == 0 && i < THREADS; i++)
            norm_sum += root[i];
        __syncthreads();
    }
    __syncthreads();
    atomicAdd(&votes[0], clipped);
    atomicAdd(&votes[1], excluded);
    __syncthreads();
    if (threadIdx.x == 0) {
        counts->n_groups += n_groups;
        counts->n_clipped += votes[0];
        counts->n_excluded += votes[1];
        counts->norm_sum = norm_sum;
    }
}

static void count_groups(int64_t n_groups, const struct sg_group_norm *norm, const double *w,
                         struct sg_clip_counts *counts)
{
    if (n_groups > 0)
        SG_LAUNCH(sg_k_count_groups, 1, THREADS, 0, n_groups, norm, w, counts);
}

/* ---- A block of rows for each group ---- */

/* A warp for a group, so that a short one leaves few threads idle. */
SG_KERNEL(sg_k_spread_weights)(int64_t n_groups, const int32_t *first, const double *w, double *row_weight)
{
    const int64_t j = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (j >= n_groups)
        return;
    const double weight = w[j];
    for (int64_t r = first[j] + (int)threadIdx.x % 32; r < first[j + 1]; r += 32)
        row_weight[r] = weight;
}

static void spread_weights(int64_t n_groups, const int32_t *first, const double *w, double *row_weight)
{
    if (n_groups > 0)
        SG_LAUNCH(sg_k_spread_weights, (int)((n_groups + WARPS - 1) / WARPS), THREADS, 0, n_groups, first, w,
                  row_weight);
}

SG_KERNEL(sg_k_clear_rows)
(int64_t n_groups, const int32_t *first, const struct sg_group_norm *norm, int64_t width, float *x, int64_t ldx)
{
    const int64_t j = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (j >= n_groups || !norm[j].excluded)
        return;
    for (int64_t r = first[j]; r < first[j + 1]; r++)
        for (int64_t i = (int)threadIdx.x % 32; i < width; i += 32)
            x[r * ldx + i] = 0;
}

static void clear_rows(int64_t n_groups, const int32_t *first, const struct sg_group_norm *norm, int64_t width,
                       float *x, int64_t ldx)
{
    if (n_groups > 0)
        SG_LAUNCH(sg_k_clear_rows, (int)((n_groups + WARPS - 1) / WARPS), THREADS, 0, n_groups, first, norm, width, x,
                  ldx);
}

void sg_cuda_fill_clip(struct sg_ops *ops)
{
    ops->clip_weight = clip_weight;
    ops->count_groups = count_groups;
    ops->clear_rows = clear_rows;
    ops->spread_weights = spread_weights;
}
