/* Sums over a row in the CPU's order (src/ops/cpu/sum.h): element j belongs to lane j mod 16, each lane is a chain over
 * ascending j, and lanes are then added in halves: l with l + 8, + 4, + 2, + 1. Here half a warp holds the lanes of a
 * row; every lane of it ends with the sum, since an addition does not mind which operand comes first. */
#ifndef SG_CUDA_ROW_SUMS_H
#define SG_CUDA_ROW_SUMS_H

#include "launch.h"

#define SG_SUM_LANES 16

/* All 32 lanes of the warp take part. */
template <typename T> SG_DEVICE T lanes_sum(T x)
{
    SG_UNROLL
    for (int by = SG_SUM_LANES / 2; by > 0; by /= 2)
        x += __shfl_xor_sync(SG_ALL_LANES, x, by);
    return x;
}

/* The largest; with a NaN among them, any. */
SG_DEVICE float lanes_top(float x)
{
    SG_UNROLL
    for (int by = SG_SUM_LANES / 2; by > 0; by /= 2) {
        float y = __shfl_xor_sync(SG_ALL_LANES, x, by);
        x = x > y ? x : y;
    }
    return x;
}

/* Dot products of a row of n floats by half a warp; n = 0 gives zero, so that a half without a row can take part. */
SG_DEVICE float lanes_dot(int lane, int64_t n, const float *x, const float *y)
{
    float sum = 0;
    for (int64_t j = lane; j < n; j += SG_SUM_LANES)
        sum = fmaf(x[j], y[j], sum);
    return lanes_sum(sum);
}

/* In double, where products of floats are exact. */
SG_DEVICE double lanes_dot_double(int lane, int64_t n, const float *x, const float *y)
{
    double sum = 0;
    for (int64_t j = lane; j < n; j += SG_SUM_LANES)
        sum = fma((double)x[j], (double)y[j], sum);
    return lanes_sum(sum);
}

#endif
