/* The CPU backend's order of sums (src/ops/cpu/sum.h) on half warps: element j of a row belongs to lane j mod 16, each
 * lane is a chain over ascending j, and the lanes are added in halves. A half warp is the sixteen lanes of one sum. */
#ifndef SG_CUDA_SUMS_H
#define SG_CUDA_SUMS_H

#include <assert.h>
#include <math.h>

#include "launch.h"

#ifdef __CUDACC__
#define SG_PRAGMA(text) _Pragma(#text)
#define SG_UNROLL_BY(n) SG_PRAGMA(unroll n)
#else
#define SG_UNROLL_BY(n)
#endif

#define SUM_LANES 16

SG_DEVICE int sum_lane()
{
    return (int)threadIdx.x % SUM_LANES;
}

/* Which half warp of the block this thread is in. */
SG_DEVICE int sum_half()
{
    return (int)threadIdx.x / SUM_LANES;
}

/* The sum of the sixteen lanes, in each of them. Both partners of an addition get the same bits. All 32 lanes of the warp
 * take part. */
template <typename T> SG_DEVICE T lanes_sum(T x)
{
    SG_UNROLL
    for (int step = SUM_LANES / 2; step; step /= 2)
        x += __shfl_xor_sync(SG_ALL_LANES, x, step);
    return x;
}

/* The largest; with a NaN among them, any. */
SG_DEVICE float lanes_top(float x)
{
    SG_UNROLL
    for (int step = SUM_LANES / 2; step; step /= 2) {
        float y = __shfl_xor_sync(SG_ALL_LANES, x, step);
        x = x > y ? x : y;
    }
    return x;
}

/* N sums at once: where plain halving would add everything in every lane, the partners share the work. Lane l ends with
 * the sums l N/16 .. (l + 1) N/16 in v[0 .. N/16), or for N < 16 with sum l N/16 in v[0]. */
template <int N, int STEP = SUM_LANES / 2, typename T> SG_DEVICE void lanes_sums(T *v)
{
    const bool upper = sum_lane() & STEP;
    const int n = N / 2;
    if constexpr (N == 1)
        v[0] += __shfl_xor_sync(SG_ALL_LANES, v[0], STEP);
    SG_UNROLL
    for (int i = 0; i < n; i++) {
        const T keep = upper ? v[i + n] : v[i], give = upper ? v[i] : v[i + n];
        v[i] = keep + __shfl_xor_sync(SG_ALL_LANES, give, STEP);
    }
    if constexpr (STEP > 1)
        lanes_sums<(N > 1 ? N / 2 : 1), STEP / 2>(v);
}

/* This lane's chain of a dot product in double, where products of floats are exact. */
SG_DEVICE double dot_lane(int64_t n, const float *x, const float *y)
{
    double sum = 0;
    for (int64_t j = sum_lane(); j < n; j += SUM_LANES)
        sum = fma((double)x[j], (double)y[j], sum);
    return sum;
}

/* A dot product in float by the lanes that `lane` numbers; n = 0 gives zero, so that a half without a row can take part. */
SG_DEVICE float lanes_dot(int lane, int64_t n, const float *x, const float *y)
{
    float sum = 0;
    for (int64_t j = lane; j < n; j += SUM_LANES)
        sum = fmaf(x[j], y[j], sum);
    return lanes_sum(sum);
}

SG_DEVICE int64_t smaller(int64_t x, int64_t y)
{
    return x < y ? x : y;
}

#endif
