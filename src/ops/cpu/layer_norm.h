/* Layer norm, the mean of a unit's rows, rows of unit length. Sums over a row are taken in double over the lanes of
 * sum.h. */
#ifndef SG_OPS_CPU_LAYER_NORM_H
#define SG_OPS_CPU_LAYER_NORM_H

#include <math.h>

#include "cpu/rows.h"
#include "cpu/sum.h"

#define LENGTH_MIN 1e-12f

static double row_sum(int64_t n, const float *x)
{
    vd acc[SUM_DOUBLES];
    for (int v = 0; v < SUM_DOUBLES; v++)
        acc[v] = vd_zero();
    for (int64_t j = 0; j < n; j += SG_SUM_LANES)
#pragma GCC unroll 2
        for (int v = 0; v < SUM_VECTORS; v++) {
            vf y = sum_load(x, n, j + v * SG_LANES);
            acc[2 * v] = vd_add(acc[2 * v], vd_low(y));
            acc[2 * v + 1] = vd_add(acc[2 * v + 1], vd_high(y));
        }
    return vd_lanes_sum(acc);
}

SG_INLINE void spread_step(const float *x, double centre, vd acc[SUM_DOUBLES])
{
#pragma GCC unroll 4
    for (int v = 0; v < SUM_DOUBLES; v++) {
        vd d = vd_add(vd_from(x + v * (SG_LANES / 2)), vd_set(-centre));
        acc[v] = vd_fma(d, d, acc[v]);
    }
}

/* Sum of (x - centre)^2. */
static double row_spread(int64_t n, const float *x, float centre)
{
    vd acc[SUM_DOUBLES];
    int64_t j = 0;
    for (int v = 0; v < SUM_DOUBLES; v++)
        acc[v] = vd_zero();
    for (; j + SG_SUM_LANES <= n; j += SG_SUM_LANES)
        spread_step(x + j, centre, acc);
    if (j < n) {
        float left[SG_SUM_LANES];
        for (int64_t l = 0; l < SG_SUM_LANES; l++)
            left[l] = j + l < n ? x[j + l] : centre;
        spread_step(left, centre, acc);
    }
    return vd_lanes_sum(acc);
}

/* The mean in two floats, so that x - mean is rounded as if it were known exactly; the spread is taken about the first.
 */
static void layer_norm(int64_t n_rows, int64_t width, float epsilon, const float *x, int64_t ldx, const float *gain,
                       const float *bias, float *xhat, int64_t ldxhat, float *rstd, float *y, int64_t ldy)
{
    for (int64_t r = 0; r < n_rows; r++, x += ldx, xhat += ldxhat, y += ldy) {
        double mean = row_sum(width, x) / (double)width;
        float high = (float)mean, low = (float)(mean - high);
        double variance = row_spread(width, x, high) / (double)width - (mean - high) * (mean - high);
        rstd[r] = (float)(1 / sqrt((variance < 0 ? 0 : variance) + epsilon));
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            vf centred = vf_sub(vf_sub(load_left(x + j, n), vf_set(high)), vf_set(low));
            vf normal = vf_mul(centred, vf_set(rstd[r]));
            store_left(xhat + j, normal, n);
            store_left(y + j, vf_fma(normal, load_left(gain + j, n), load_left(bias + j, n)), n);
        }
    }
}

/* sum[0] = sum of d, sum[1] = sum of d xhat, d = dy gain rounded to a float. */
static void layer_norm_sums(int64_t n, const float *xhat, const float *gain, const float *dy, double sum[2])
{
    vd acc[2][SUM_DOUBLES];
    for (int v = 0; v < 2 * SUM_DOUBLES; v++)
        acc[v / SUM_DOUBLES][v % SUM_DOUBLES] = vd_zero();
    for (int64_t j = 0; j < n; j += SG_SUM_LANES)
#pragma GCC unroll 2
        for (int v = 0; v < SUM_VECTORS; v++) {
            int64_t at = j + v * SG_LANES;
            vf d = vf_mul(sum_load(dy, n, at), sum_load(gain, n, at)), normal = sum_load(xhat, n, at);
            vd low = vd_low(d), high = vd_high(d);
            acc[0][2 * v] = vd_add(acc[0][2 * v], low);
            acc[0][2 * v + 1] = vd_add(acc[0][2 * v + 1], high);
            acc[1][2 * v] = vd_fma(low, vd_low(normal), acc[1][2 * v]);
            acc[1][2 * v + 1] = vd_fma(high, vd_high(normal), acc[1][2 * v + 1]);
        }
    sum[0] = vd_lanes_sum(acc[0]);
    sum[1] = vd_lanes_sum(acc[1]);
}

static void layer_norm_backward(int64_t n_rows, int64_t width, const float *xhat, int64_t ldxhat, const float *rstd,
                                const float *gain, const float *dy, int64_t lddy, float *dx, int64_t lddx)
{
    for (int64_t r = 0; r < n_rows; r++, xhat += ldxhat, dy += lddy, dx += lddx) {
        double sum[2];
        layer_norm_sums(width, xhat, gain, dy, sum);
        const vf mean = vf_set((float)(sum[0] / (double)width)), along = vf_set((float)(sum[1] / (double)width));
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            vf d = vf_mul(load_left(dy + j, n), load_left(gain + j, n));
            vf rest = vf_fnma(load_left(xhat + j, n), along, vf_sub(d, mean));
            store_left(dx + j, vf_mul(vf_set(rstd[r]), rest), n);
        }
    }
}

static void mean_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *h, int64_t ldh,
                         float *pooled, int64_t ldp)
{
    for (int64_t b = 0; b < n_units; b++, pooled += ldp) {
        assert(offset[b] < offset[b + 1]);
        const vd n_rows = vd_set((double)(offset[b + 1] - offset[b]));
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            vd low = vd_zero(), high = vd_zero();
            for (int32_t r = offset[b]; r < offset[b + 1]; r++) {
                vf x = load_left(h + r * ldh + j, n);
                low = vd_add(low, vd_low(x));
                high = vd_add(high, vd_high(x));
            }
            store_left(pooled + j, vf_from(vd_div(low, n_rows), vd_div(high, n_rows)), n);
        }
    }
}

static void mean_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *dpooled, int64_t lddp,
                          float *dh, int64_t lddh)
{
    for (int64_t b = 0; b < n_units; b++, dpooled += lddp)
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            vf d = vf_div(load_left(dpooled + j, n), vf_set((float)(offset[b + 1] - offset[b])));
            for (int32_t r = offset[b]; r < offset[b + 1]; r++)
                store_left(dh + r * lddh + j, d, n);
        }
}

static void unit_length(int64_t n_rows, int64_t width, float *x, int64_t ldx, float *length)
{
    for (int64_t r = 0; r < n_rows; r++, x += ldx) {
        float norm = (float)sqrt(dot_double(width, x, x));
        length[r] = norm < LENGTH_MIN ? LENGTH_MIN : norm;
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            store_left(x + j, vf_div(load_left(x + j, n), vf_set(length[r])), n);
        }
    }
}

/* A row shorter than the least length was only scaled: no direction of it is lost. */
static void unit_length_backward(int64_t n_rows, int64_t width, const float *y, int64_t ldy, const float *length,
                                 float *g, int64_t ldg)
{
    for (int64_t r = 0; r < n_rows; r++, y += ldy, g += ldg) {
        const vf along = vf_set(length[r] == LENGTH_MIN ? 0 : (float)dot_double(width, y, g));
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            vf rest = vf_fnma(load_left(y + j, n), along, load_left(g + j, n));
            store_left(g + j, vf_div(rest, vf_set(length[r])), n);
        }
    }
}

#endif
