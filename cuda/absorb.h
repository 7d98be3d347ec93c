/* What the three kinds of weighted sums share: a weighted gradient, and a finished sum's way to the grid. */
#ifndef SG_CUDA_ABSORB_H
#define SG_CUDA_ABSORB_H

#include "ops/ops.h"
#include "sums.h"

/* Where finished sums go. */
struct absorb_target {
    double inverse, limit; /* 1 / grid */
    int64_t *sum;
    bool *overflow;
};

/* (float)(w g): one rounding where w is a float, the double product's and one more where it is not. */
SG_DEVICE float absorb_weighted(double w, float g)
{
    const float short_w = (float)w;
    return (double)short_w == w ? short_w * g : (float)(w * (double)g);
}

/* Adds one finished sum of a panel to the integer at `sum`; false where it is out of range (or a NaN) and left out.
 * Integers commute, so that panels may be added in any order and by any block. */
SG_DEVICE bool absorb_rounded(double total, const struct absorb_target *to, int64_t *sum)
{
    if (!(fabs(total) <= to->limit))
        return false;
    atomicAdd((unsigned long long *)sum, (unsigned long long)llrint(total * to->inverse));
    return true;
}

/* Notes a block's overflow; by all its threads, flag: one int of shared memory. */
SG_DEVICE void absorb_note(bool overflow, int *flag, const struct absorb_target *to)
{
    __syncthreads();
    if (threadIdx.x == 0)
        *flag = 0;
    __syncthreads();
    if (overflow)
        atomicOr(flag, 1);
    __syncthreads();
    if (threadIdx.x == 0 && *flag)
        *to->overflow = true;
}

static inline struct absorb_target absorb_target_of(double grid, double limit, int64_t *sum, bool *overflow)
{
    const struct absorb_target to = {1 / grid, limit, sum, overflow};
    assert(grid > 0 && limit * to.inverse <= 0x1p62); /* or the integer could overflow unseen */
    return to;
}

/* Blocks in grid.y or z over which to spread panels, when one pass over all of them takes `blocks`: enough to fill a
 * large card, no more, since a block that takes several panels finds their integers in the cache. */
static inline int absorb_spread(int64_t blocks, int64_t n_panels)
{
    const int64_t wanted = (1024 + blocks - 1) / blocks;
    return (int)(wanted < n_panels ? wanted : n_panels);
}

/* absorb where n_in is 1. */
void sg_cuda_bias_absorb(int64_t n_panels, const int32_t *panel_row, int64_t n_out, const float *a, int64_t lda,
                         const float *g, int64_t ldg, const double *w, const struct absorb_target *to);

#endif
