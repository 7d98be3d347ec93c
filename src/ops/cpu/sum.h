/* Sums over lanes in one order for every vector width: element j of a row belongs to lane j mod SG_SUM_LANES, each lane
 * is a chain over ascending j, and lanes are then added in halves (lane l with lane l + 8, then + 4, + 2, + 1). */
#ifndef SG_OPS_CPU_SUM_H
#define SG_OPS_CPU_SUM_H

#include "cpu/lanes.h"

#define SUM_VECTORS (SG_SUM_LANES / SG_LANES)       /* vf per set of lanes */
#define SUM_DOUBLES (SG_SUM_LANES / (SG_LANES / 2)) /* vd per set of lanes */

SG_INLINE float lanes_sum(const float lane[SG_SUM_LANES])
{
    float a[8], b[4];
    for (int l = 0; l < 8; l++)
        a[l] = lane[l] + lane[l + 8];
    for (int l = 0; l < 4; l++)
        b[l] = a[l] + a[l + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
}

SG_INLINE double lanes_sum_double(const double lane[SG_SUM_LANES])
{
    double a[8], b[4];
    for (int l = 0; l < 8; l++)
        a[l] = lane[l] + lane[l + 8];
    for (int l = 0; l < 4; l++)
        b[l] = a[l] + a[l + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
}

/* The lanes from j on of a row of n floats, zero beyond its end. */
SG_INLINE vf sum_load(const float *p, int64_t n, int64_t j)
{
    int64_t left = n - j;
    return left >= SG_LANES ? vf_load(p + j) : vf_load_first(p + j, left > 0 ? left : 0);
}

static float dot(int64_t n, const float *x, const float *y)
{
    vf acc[SUM_VECTORS];
    for (int v = 0; v < SUM_VECTORS; v++)
        acc[v] = vf_zero();
    for (int64_t j = 0; j < n; j += SG_SUM_LANES)
        for (int v = 0; v < SUM_VECTORS; v++)
            acc[v] = vf_fma(sum_load(x, n, j + v * SG_LANES), sum_load(y, n, j + v * SG_LANES), acc[v]);
    float lane[SG_SUM_LANES];
    for (int v = 0; v < SUM_VECTORS; v++)
        vf_store(lane + v * SG_LANES, acc[v]);
    return lanes_sum(lane);
}

/* The first two halvings of sixteen double lanes. */
SG_INLINE __m256d lanes_four_double(const vd acc[SUM_DOUBLES])
{
#if SG_LANES == 16
    __m512d sum = _mm512_add_pd(acc[0], acc[1]);
    return _mm256_add_pd(_mm512_castpd512_pd256(sum), _mm512_extractf64x4_pd(sum, 1));
#else
    return _mm256_add_pd(_mm256_add_pd(acc[0], acc[2]), _mm256_add_pd(acc[1], acc[3]));
#endif
}

/* All of them: the order of lanes_sum_double. */
SG_INLINE double vd_lanes_sum(const vd acc[SUM_DOUBLES])
{
    double b[4];
    _mm256_storeu_pd(b, lanes_four_double(acc));
    return (b[0] + b[2]) + (b[1] + b[3]);
}

/* One set of lanes of a dot product in double, where products of floats are exact. */
SG_INLINE void dot_step(const float *x, const float *y, vd acc[SUM_DOUBLES])
{
#pragma GCC unroll 4
    for (int v = 0; v < SUM_DOUBLES; v++)
        acc[v] = vd_fma(vd_from(x + v * (SG_LANES / 2)), vd_from(y + v * (SG_LANES / 2)), acc[v]);
}

SG_INLINE void square_step(const float *x, vd acc[SUM_DOUBLES])
{
#pragma GCC unroll 4
    for (int v = 0; v < SUM_DOUBLES; v++) {
        vd a = vd_from(x + v * (SG_LANES / 2));
        acc[v] = vd_fma(a, a, acc[v]);
    }
}

static double dot_double(int64_t n, const float *x, const float *y)
{
    vd acc[SUM_DOUBLES];
    int64_t j = 0;
#pragma GCC unroll 4
    for (int v = 0; v < SUM_DOUBLES; v++)
        acc[v] = vd_zero();
    for (; j + SG_SUM_LANES <= n; j += SG_SUM_LANES)
        dot_step(x + j, y + j, acc);
    if (j < n) {
        float left[2][SG_SUM_LANES];
        for (int v = 0; v < SUM_VECTORS; v++) {
            vf_store(left[0] + v * SG_LANES, sum_load(x, n, j + v * SG_LANES));
            vf_store(left[1] + v * SG_LANES, sum_load(y, n, j + v * SG_LANES));
        }
        dot_step(left[0], left[1], acc);
    }
    return vd_lanes_sum(acc);
}

/* Squared norms of four rows at once; the same bits as dot_double(n, x, x) of each. */
static void norms_of_four(int64_t n, const float *x, int64_t ldx, double norm2[4])
{
    vd acc[4][SUM_DOUBLES];
    int64_t j = 0;
#pragma GCC unroll 16
    for (int i = 0; i < 4 * SUM_DOUBLES; i++)
        acc[i / SUM_DOUBLES][i % SUM_DOUBLES] = vd_zero();
    for (; j + SG_SUM_LANES <= n; j += SG_SUM_LANES)
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
            square_step(x + r * ldx + j, acc[r]);
    if (j < n)
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            float left[SG_SUM_LANES];
            for (int v = 0; v < SUM_VECTORS; v++)
                vf_store(left + v * SG_LANES, sum_load(x + r * ldx, n, j + v * SG_LANES));
            square_step(left, acc[r]);
        }
    __m256d p = lanes_four_double(acc[0]), q = lanes_four_double(acc[1]);
    __m256d r = lanes_four_double(acc[2]), s = lanes_four_double(acc[3]);
    /* (lane l with lane l + 2) of two rows in one vector, then the last two lanes */
    __m256d pr = _mm256_add_pd(_mm256_permute2f128_pd(p, r, 0x20), _mm256_permute2f128_pd(p, r, 0x31));
    __m256d qs = _mm256_add_pd(_mm256_permute2f128_pd(q, s, 0x20), _mm256_permute2f128_pd(q, s, 0x31));
    _mm256_storeu_pd(norm2, _mm256_hadd_pd(pr, qs));
}

#endif
