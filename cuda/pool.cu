/* Pooling of a unit's rows: by attention scores and by the mean. Chains run over a unit's ascending rows, a thread for
 * each column; sums of scores are one chain, which every lane of a warp follows in lockstep, 32 rows at a time. */
#include "layout.h"
#include "sums.h"
#include "table.h"
#include "transcend.h"

#define POOL_WARPS 4   /* a block's */
#define POOL_COLUMNS 4 /* chains of one thread */
#define POOL_SPAN (SG_WARP * POOL_COLUMNS)

/* The largest of a unit's n scores; with a NaN among them, any. */
SG_DEVICE float unit_top(int lane, int64_t n, const float *score)
{
    float top = score[0];
    for (int64_t r = lane; r < n; r += SG_WARP)
        top = score[r] > top ? score[r] : top;
    top = lanes_top(top);
    float other = __shfl_xor_sync(SG_ALL_LANES, top, SUM_LANES);
    return other > top ? other : top;
}

/* x of lanes 0 .. n - 1 added to total in that order, by every lane. */
SG_DEVICE float chain_of_lanes(float total, float x, int64_t n)
{
    for (int i = 0; i < n && i < SG_WARP; i++)
        total += __shfl_sync(SG_ALL_LANES, x, i);
    return total;
}

/* A warp for POOL_SPAN columns of one unit: each finds the unit's alpha for itself, the first one writes it. */
SG_KERNEL_BOUNDS(POOL_WARPS *SG_WARP, 8)
SG_KERNEL(sg_k_pool_forward)
(int64_t n_units, const int32_t *offset, int64_t width, const float *score, const float *h, int64_t ldh, float *alpha,
 float *pooled, int64_t ldp)
{
    int lane = threadIdx.x;
    int64_t spans = (width + POOL_SPAN - 1) / POOL_SPAN;
    for (int64_t at = rows_first(); at < n_units * spans; at += rows_step()) {
        int64_t b = at / spans, j = at % spans * POOL_SPAN + lane, first = offset[b], n = offset[b + 1] - first;
        float top = unit_top(lane, n, score + first), total = 0, sum[POOL_COLUMNS] = {0};
        for (int64_t r = 0; r < n; r += SG_WARP) {
            float e = r + lane < n ? exp_negative(score[first + r + lane] - top) : 0;
            total = chain_of_lanes(total, e, n - r);
        }
        for (int64_t r = 0; r < n; r += SG_WARP) {
            float mine = r + lane < n ? exp_negative(score[first + r + lane] - top) / total : 0;
            if (at % spans == 0 && r + lane < n)
                alpha[first + r + lane] = mine;
            for (int i = 0; i < SG_WARP && r + i < n; i++) {
                float share = __shfl_sync(SG_ALL_LANES, mine, i);
                const float *row = h + (first + r + i) * ldh + j;
                SG_UNROLL
                for (int c = 0; c < POOL_COLUMNS; c++)
                    sum[c] = j + c * SG_WARP < width ? fmaf(share, row[c * SG_WARP], sum[c]) : 0;
            }
        }
        SG_UNROLL
        for (int c = 0; c < POOL_COLUMNS; c++)
            if (j + c * SG_WARP < width)
                pooled[b * ldp + j + c * SG_WARP] = sum[c];
    }
}

/* A block for a unit, half a warp for a row. Between the barriers dscore holds dpooled . h. */
SG_KERNEL_BOUNDS(POOL_WARPS *SG_WARP, 8)
SG_KERNEL(sg_k_pool_backward)
(const int32_t *offset, int64_t width, const float *alpha, const float *h, int64_t ldh, const float *dpooled,
 int64_t lddp, float *dscore, float *dh, int64_t lddh)
{
    int lane = threadIdx.x % SUM_LANES, warp_lane = threadIdx.x % SG_WARP;
    int64_t first = offset[blockIdx.x], n = offset[blockIdx.x + 1] - first;
    const float *d = dpooled + blockIdx.x * lddp;
    for (int64_t r = threadIdx.x / SUM_LANES; r < n + r % 2; r += POOL_WARPS * 2) {
        int64_t columns = r < n ? width : 0, row = first + r;
        float along = lanes_dot(lane, columns, d, h + row * ldh), share = r < n ? alpha[row] : 0;
        if (r < n && lane == 0)
            dscore[row] = along;
        for (int64_t j = lane; j < columns; j += SUM_LANES)
            dh[row * lddh + j] = share * d[j];
    }
    __syncthreads();
    float mean = 0;
    for (int64_t r = 0; r < n; r += SG_WARP) {
        float x = r + warp_lane < n ? alpha[first + r + warp_lane] * dscore[first + r + warp_lane] : 0;
        mean = chain_of_lanes(mean, x, n - r);
    }
    __syncthreads();
    for (int64_t r = threadIdx.x; r < n; r += POOL_WARPS * SG_WARP)
        dscore[first + r] = alpha[first + r] * (dscore[first + r] - mean);
}

SG_KERNEL(sg_k_mean_forward)
(int64_t n_units, const int32_t *offset, int64_t width, const float *h, int64_t ldh, float *pooled, int64_t ldp)
{
    for (int64_t b = rows_first(); b < n_units; b += rows_step())
        for (int64_t j = sg_grid_first(); j < width; j += sg_grid_step()) {
            int64_t first = offset[b], end = offset[b + 1];
            double sum = 0;
            for (int64_t r = first; r < end; r++)
                sum += (double)h[r * ldh + j];
            pooled[b * ldp + j] = (float)(sum / (double)(end - first));
        }
}

SG_KERNEL(sg_k_mean_backward)
(int64_t n_units, const int32_t *offset, int64_t width, const float *dpooled, int64_t lddp, float *dh, int64_t lddh)
{
    for (int64_t b = rows_first(); b < n_units; b += rows_step())
        for (int64_t j = sg_grid_first(); j < width; j += sg_grid_step()) {
            int64_t first = offset[b], end = offset[b + 1];
            float d = dpooled[b * lddp + j] / (float)(end - first);
            for (int64_t r = first; r < end; r++)
                dh[r * lddh + j] = d;
        }
}

static void pool_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *score, const float *h,
                         int64_t ldh, float *alpha, float *pooled, int64_t ldp)
{
    if (n_units <= 0)
        return;
    int64_t warps = n_units * ((width + POOL_SPAN - 1) / POOL_SPAN), blocks = (warps + POOL_WARPS - 1) / POOL_WARPS;
    dim3 grid(1, (unsigned)(blocks < 65535 ? blocks : 65535)), block(SG_WARP, POOL_WARPS);
    SG_LAUNCH(sg_k_pool_forward, grid, block, 0, n_units, offset, width, score, h, ldh, alpha, pooled, ldp);
}

static void pool_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *alpha, const float *h,
                          int64_t ldh, const float *dpooled, int64_t lddp, float *dscore, float *dh, int64_t lddh)
{
    if (n_units > 0)
        SG_LAUNCH(sg_k_pool_backward, (int)n_units, POOL_WARPS * SG_WARP, 0, offset, width, alpha, h, ldh, dpooled,
                  lddp, dscore, dh, lddh);
}

static void mean_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *h, int64_t ldh,
                         float *pooled, int64_t ldp)
{
    if (n_units <= 0)
        return;
    struct rows_launch over = rows_over(n_units, width);
    SG_LAUNCH(sg_k_mean_forward, over.grid, over.block, 0, n_units, offset, width, h, ldh, pooled, ldp);
}

static void mean_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *dpooled, int64_t lddp,
                          float *dh, int64_t lddh)
{
    if (n_units <= 0)
        return;
    struct rows_launch over = rows_over(n_units, width);
    SG_LAUNCH(sg_k_mean_backward, over.grid, over.block, 0, n_units, offset, width, dpooled, lddp, dh, lddh);
}

void sg_cuda_fill_pool(struct sg_ops *ops)
{
    ops->pool_forward = pool_forward;
    ops->pool_backward = pool_backward;
    ops->mean_forward = mean_forward;
    ops->mean_backward = mean_backward;
}
