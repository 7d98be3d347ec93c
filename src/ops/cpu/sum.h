/* Sums over lanes in one order for every vector width: element j of a row belongs to lane j mod SG_SUM_LANES, each lane is
 * a chain over ascending j, and lanes are then added in halves (lane l with lane l + 8, then + 4, + 2, + 1). */
#ifndef SG_OPS_CPU_SUM_H
#define SG_OPS_CPU_SUM_H

#include "cpu/lanes.h"

#define SUM_VECTORS (SG_SUM_LANES / SG_LANES)            /* vf per set of lanes */
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

/* In double; products of floats are exact there. */
static double dot_double(int64_t n, const float *x, const float *y)
{
    vd acc[SUM_DOUBLES];
    for (int v = 0; v < SUM_DOUBLES; v++)
        acc[v] = vd_zero();
    for (int64_t j = 0; j < n; j += SG_SUM_LANES)
        for (int v = 0; v < SUM_VECTORS; v++) {
            vf a = sum_load(x, n, j + v * SG_LANES), b = sum_load(y, n, j + v * SG_LANES);
            acc[2 * v] = vd_fma(vd_low(a), vd_low(b), acc[2 * v]);
            acc[2 * v + 1] = vd_fma(vd_high(a), vd_high(b), acc[2 * v + 1]);
        }
    double lane[SG_SUM_LANES];
    for (int v = 0; v < SUM_DOUBLES; v++)
        vd_store(lane + v * (SG_LANES / 2), acc[v]);
    return lanes_sum_double(lane);
}

#endif
