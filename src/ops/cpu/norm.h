/* Norm of each group's share of a weight gradient, and the clip weight. */
#ifndef SG_OPS_CPU_NORM_H
#define SG_OPS_CPU_NORM_H

#include <assert.h>
#include <math.h>

#include "cpu/columns.h"
#include "cpu/gram.h"
#include "cpu/tile.h"
#include "ops/ops.h"

#define NORM_UNIT 0x1p-24
#define NORM_A_MAX2 0x1p128          /* squares of the row norms: beyond it the group is excluded, */
#define NORM_LOW2 0x1p-110           /* below or */
#define NORM_HIGH2 0x1p96            /* above these float products might underflow or overflow unseen */
#define NORM_GRAM_ROWS_MAX (1 << 16) /* so that the sum of all pairs in double stays inside the slack */

/* The bounds below need gamma <= 1/3; a group of millions of rows is a defect of the caller. */
static double norm_gamma(double k)
{
    assert(k * NORM_UNIT < 0.25);
    return k * NORM_UNIT / (1 - k * NORM_UNIT);
}

struct row_sums {
    double diagonal; /* sum over rows of |a|^2 |g|^2 */
    double mass;     /* sum over rows of |a| |g| */
    bool fit;        /* everything finite, no |a| above 2^64 */
    bool tame;       /* float dots are safe */
};

static bool norm_is_tame(double norm2)
{
    return norm2 == 0 || (norm2 >= NORM_LOW2 && norm2 <= NORM_HIGH2);
}

/* Squared norms of up to four rows. */
static void row_norms(int64_t n_rows, int64_t n, const float *x, int64_t ldx, double norm2[4])
{
    if (n_rows == 4)
        norms_of_four(n, x, ldx, norm2);
    else
        for (int64_t r = 0; r < n_rows; r++)
            norm2[r] = dot_double(n, x + r * ldx, x + r * ldx);
}

/* A double holds the sum of squares of any finite floats: it is finite exactly when they all are. */
static struct row_sums sum_rows(int64_t n_rows, int64_t n_in, int64_t n_out, const float *a, int64_t lda,
                                const float *g, int64_t ldg)
{
    struct row_sums s = {.fit = true, .tame = true};
    for (int64_t r = 0; r < n_rows; r += 4) {
        int64_t n = n_rows - r < 4 ? n_rows - r : 4;
        double a2[4], g2[4];
        row_norms(n, n_in, a + r * lda, lda, a2);
        row_norms(n, n_out, g + r * ldg, ldg, g2);
        for (int64_t i = 0; i < n; i++) {
            s.fit = s.fit && a2[i] <= NORM_A_MAX2 && isfinite(g2[i]);
            s.tame = s.tame && norm_is_tame(a2[i]) && norm_is_tame(g2[i]);
            s.diagonal += a2[i] * g2[i];
            s.mass += sqrt(a2[i] * g2[i]);
        }
    }
    return s;
}

static double pairs_double(int64_t n_rows, int64_t n_in, int64_t n_out, const float *a, int64_t lda, const float *g,
                           int64_t ldg)
{
    double sum = 0;
    for (int64_t t = 0; t < n_rows; t++)
        for (int64_t s = 0; s < t; s++)
            sum += dot_double(n_in, a + t * lda, a + s * lda) * dot_double(n_out, g + t * ldg, g + s * ldg);
    return sum;
}

/* Squares of one tile of the instantiated gradient, added lane by lane in ascending rows. Called with constant rows. */
SG_INLINE void squares_tile(int rows, int64_t n_rows, const float *g, int64_t ldg, const float *strip, double *lane)
{
    vf acc[TILE_ROWS][2];
    vd sum[SUM_DOUBLES];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
        acc[i][0] = acc[i][1] = vf_zero();
    tile_chain(rows, SUM_VECTORS, n_rows, g, 1, ldg, strip, SG_SUM_LANES, acc);
#pragma GCC unroll 4
    for (int v = 0; v < SUM_DOUBLES; v++)
        sum[v] = vd_load(lane + v * (SG_LANES / 2));
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < SUM_VECTORS; v++) {
            vd low = vd_low(acc[i][v]), high = vd_high(acc[i][v]);
            sum[2 * v] = vd_fma(low, low, sum[2 * v]);
            sum[2 * v + 1] = vd_fma(high, high, sum[2 * v + 1]);
        }
#pragma GCC unroll 4
    for (int v = 0; v < SUM_DOUBLES; v++)
        vd_store(lane + v * (SG_LANES / 2), sum[v]);
}

/* The gradient written out, a strip of SG_SUM_LANES columns at a time: one float chain over all the group's rows for
 * each weight, squares summed in double. strip: (n_rows, SG_SUM_LANES). */
static double instantiated(int64_t n_rows, int64_t n_in, int64_t n_out, const float *a, int64_t lda, const float *g,
                           int64_t ldg, float *strip)
{
    double lane[SG_SUM_LANES] = {0};
    for (int64_t j = 0; j < n_in; j += SG_SUM_LANES) {
        for (int64_t r = 0; r < n_rows; r++)
            for (int v = 0; v < SUM_VECTORS; v++)
                vf_store(strip + r * SG_SUM_LANES + v * SG_LANES, sum_load(a + r * lda, n_in, j + v * SG_LANES));
        int64_t o = 0;
        for (; o + TILE_ROWS <= n_out; o += TILE_ROWS)
            squares_tile(TILE_ROWS, n_rows, g + o, ldg, strip, lane);
        for (; o < n_out; o++)
            squares_tile(1, n_rows, g + o, ldg, strip, lane);
    }
    return lanes_sum_double(lane);
}

static void norm_add(enum sg_norm_route asked, int64_t n_rows, int64_t n_in, int64_t n_out, const float *a, int64_t lda,
                     const float *g, int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    struct row_sums s = sum_rows(n_rows, n_in, n_out, a, lda, g, ldg);
    if (!s.fit) {
        norm->excluded = true;
        return;
    }
    enum sg_norm_route route = sg_norm_route_of(asked, n_rows, n_in, n_out);
    double norm2;
    if (n_in == 1)
        norm2 = columns_norm2(COLUMN_ROW, &(struct columns){n_rows, n_out, NULL, g, a, ldg, lda});
    else if (!s.tame)
        norm2 = s.diagonal + 2 * pairs_double(n_rows, n_in, n_out, a, lda, g, ldg);
    else if (route == SG_ROUTE_GRAM)
        norm2 = s.diagonal + 2 * gram_pairs(n_rows, n_in, n_out, a, lda, g, ldg);
    else
        norm2 = instantiated(n_rows, n_in, n_out, a, lda, g, ldg, scratch);
    bool gram = route == SG_ROUTE_GRAM;
    assert(!gram || n_rows <= NORM_GRAM_ROWS_MAX);
    double gamma = gram ? norm_gamma((double)(n_in + n_out + 4)) : 3 * norm_gamma((double)(n_rows + 2));
    norm->norm2 += norm2 < 0 ? 0 : norm2; /* rows that cancel can leave a negative rest; a NaN stays one */
    norm->slack2 += gamma * s.mass * s.mass;
    norm->mass2 += s.mass * s.mass;
}

static void group_norm(enum sg_norm_route route, int64_t n_groups, const int32_t *first, int64_t n_in, int64_t n_out,
                       const float *a, int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm,
                       void *scratch)
{
    assert(n_groups >= 0 && n_in > 0 && n_out > 0 && (lda >= n_in || lda == 0) && ldg >= n_out);
    for (int64_t j = 0; j < n_groups; j++) {
        int64_t r = first[j], n_rows = first[j + 1] - r;
        if (n_rows > 0 && !norm[j].excluded)
            norm_add(route, n_rows, n_in, n_out, a + r * lda, lda, g + r * ldg, ldg, norm + j, scratch);
    }
}

/* The largest float up to x in [0, 1]. */
static double float_below(double x)
{
    float y = (float)x;
    return (double)y > x ? nextafterf(y, 0) : y;
}

static void clip_weight(int64_t n_groups, const struct sg_group_norm *norm, double clip, double kappa, double *w)
{
    assert(clip > 0 && kappa > 0);
    for (int64_t j = 0; j < n_groups; j++) {
        double bound2 = norm[j].norm2 + norm[j].slack2;
        double by_norm = clip / sqrt(bound2), by_mass = kappa * clip / sqrt(norm[j].mass2);
        double least = isinf(clip) ? 1 : fmin(1, fmin(by_norm, by_mass));
        /* fmin passes over a NaN: a norm that is not known weighs nothing instead. */
        bool unknown = isnan(bound2) || isnan(norm[j].mass2);
        w[j] = norm[j].excluded || unknown ? 0 : float_below(least);
    }
}

#endif
