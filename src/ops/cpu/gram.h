/* Dot products between the rows of a group, 4 x 4 pairs at a time in registers.
 *
 * A dot product's lanes are those of sum.h. Pairs are taken in blocks of four by four rows, later row first: pair (t,
 * s), s < t, lies in lane (t mod 4) 4 + s mod 4 of its block. */
#ifndef SG_OPS_CPU_GRAM_H
#define SG_OPS_CPU_GRAM_H

#include "cpu/sum.h"

#define GRAM_ROWS 4
#define GRAM_PAIRS (GRAM_ROWS * GRAM_ROWS)

/* The first halving of sum.h's order: 16 lanes to 8. */
SG_INLINE __m256 lanes_halve(const vf acc[SUM_VECTORS])
{
#if SG_LANES == 16
    return _mm256_add_ps(_mm512_castps512_ps256(acc[0]), _mm512_extractf32x8_ps(acc[0], 1));
#else
    return _mm256_add_ps(acc[0], acc[1]);
#endif
}

/* Two vectors of eight lanes, each added to four: x below, y above. */
SG_INLINE __m256 lanes_four(__m256 x, __m256 y)
{
    return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}

SG_INLINE __m256 lanes_two(__m256 x, __m256 y)
{
    __m256d p = _mm256_castps_pd(x), q = _mm256_castps_pd(y);
    return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(p, q)), _mm256_castpd_ps(_mm256_unpackhi_pd(p, q)));
}

SG_INLINE __m256 lanes_one(__m256 x, __m256 y)
{
    return _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x88), _mm256_shuffle_ps(x, y, 0xdd));
}

/* The sums of eight half[], in order, by the tree of sum.h. */
SG_INLINE void lanes_sum_eight(const __m256 half[8], float *sum)
{
    __m256 even = lanes_two(lanes_four(half[0], half[4]), lanes_four(half[1], half[5]));
    __m256 odd = lanes_two(lanes_four(half[2], half[6]), lanes_four(half[3], half[7]));
    _mm256_storeu_ps(sum, lanes_one(even, odd));
}

/* One vector of every row of a part. */
SG_INLINE void gram_step(int t0, int n_t, int s0, int n_s, bool diagonal, int64_t lanes, const float *xt,
                         const float *xs, int64_t ldx, int v, vf acc[GRAM_ROWS][GRAM_ROWS][SUM_VECTORS])
{
    vf b[GRAM_ROWS];
#pragma GCC unroll 4
    for (int s = 0; s < n_s; s++)
        b[s] = load_left(xs + (s0 + s) * ldx, lanes);
#pragma GCC unroll 4
    for (int t = 0; t < n_t; t++) {
        vf a = load_left(xt + (t0 + t) * ldx, lanes);
#pragma GCC unroll 4
        for (int s = 0; s < n_s; s++)
            if (!diagonal || s0 + s < t0 + t)
                acc[t][s][v] = vf_fma(a, b[s], acc[t][s][v]);
    }
}

/* half[(t0 + t) 4 + s0 + s] for t < n_t, s < n_s; only pairs with s0 + s < t0 + t when `diagonal`. All counts are
 * constant. */
SG_INLINE void gram_part(int t0, int n_t, int s0, int n_s, bool diagonal, int64_t n, const float *xt, const float *xs,
                         int64_t ldx, __m256 half[GRAM_PAIRS])
{
    vf acc[GRAM_ROWS][GRAM_ROWS][SUM_VECTORS];
#pragma GCC unroll 32
    for (int i = 0; i < GRAM_PAIRS * SUM_VECTORS; i++)
        acc[i / SUM_VECTORS / GRAM_ROWS][i / SUM_VECTORS % GRAM_ROWS][i % SUM_VECTORS] = vf_zero();
    int64_t j = 0;
    for (; j + SG_SUM_LANES <= n; j += SG_SUM_LANES)
#pragma GCC unroll 2
        for (int v = 0; v < SUM_VECTORS; v++)
            gram_step(t0, n_t, s0, n_s, diagonal, SG_LANES, xt + j + v * SG_LANES, xs + j + v * SG_LANES, ldx, v, acc);
#pragma GCC unroll 2
    for (int v = 0; v < SUM_VECTORS; v++, j += SG_LANES)
        if (j < n)
            gram_step(t0, n_t, s0, n_s, diagonal, lanes_left(n, j), xt + j, xs + j, ldx, v, acc);
#pragma GCC unroll 4
    for (int t = 0; t < n_t; t++)
#pragma GCC unroll 4
        for (int s = 0; s < n_s; s++)
            half[(t0 + t) * GRAM_ROWS + s0 + s] = lanes_halve(acc[t][s]);
}

/* dots[t 4 + s] = xt_t . xs_s for t < n_t, zero for what is not wanted. */
SG_INLINE void gram_block(int n_t, bool diagonal, int64_t n, const float *xt, const float *xs, int64_t ldx,
                          float dots[GRAM_PAIRS])
{
    __m256 half[GRAM_PAIRS];
    for (int i = 0; i < GRAM_PAIRS; i++)
        half[i] = _mm256_setzero_ps();
#if SG_LANES == 16
    gram_part(0, n_t, 0, diagonal ? n_t - 1 : GRAM_ROWS, diagonal, n, xt, xs, ldx, half);
#else
    int upper = n_t < 2 ? n_t : 2;
    gram_part(0, upper, 0, 2, diagonal, n, xt, xs, ldx, half);
    if (!diagonal)
        gram_part(0, upper, 2, 2, false, n, xt, xs, ldx, half);
    if (n_t > 2)
        gram_part(2, n_t - 2, 0, 2, false, n, xt, xs, ldx, half);
    if (n_t > 2 && !(diagonal && n_t == 3))
        gram_part(2, n_t - 2, 2, 2, diagonal, n, xt, xs, ldx, half);
#endif
    lanes_sum_eight(half, dots);
    lanes_sum_eight(half + 8, dots + 8);
}

static void gram_block_any(int n_t, bool diagonal, int64_t n, const float *xt, const float *xs, int64_t ldx,
                           float dots[GRAM_PAIRS])
{
    switch (n_t * 2 + diagonal) {
    case 2:
        gram_block(1, false, n, xt, xs, ldx, dots);
        break;
    case 4:
        gram_block(2, false, n, xt, xs, ldx, dots);
        break;
    case 5:
        gram_block(2, true, n, xt, xs, ldx, dots);
        break;
    case 6:
        gram_block(3, false, n, xt, xs, ldx, dots);
        break;
    case 7:
        gram_block(3, true, n, xt, xs, ldx, dots);
        break;
    case 8:
        gram_block(4, false, n, xt, xs, ldx, dots);
        break;
    case 9:
        gram_block(4, true, n, xt, xs, ldx, dots);
        break;
    default:
        memset(dots, 0, GRAM_PAIRS * sizeof *dots); /* a single row has no pairs */
    }
}

/* sum over s < t of (a_t . a_s)(g_t . g_s): float dots, products and sums in double. */
static double gram_pairs(int64_t n_rows, int64_t n_in, int64_t n_out, const float *a, int64_t lda, const float *g,
                         int64_t ldg)
{
    float dots_a[GRAM_PAIRS], dots_g[GRAM_PAIRS];
    double lane[GRAM_PAIRS] = {0};
    for (int64_t t = 0; t < n_rows; t += GRAM_ROWS)
        for (int64_t s = 0; s <= t; s += GRAM_ROWS) {
            int n_t = n_rows - t < GRAM_ROWS ? (int)(n_rows - t) : GRAM_ROWS;
            if (s == t && n_t == 1)
                continue;
            gram_block_any(n_t, s == t, n_in, a + t * lda, a + s * lda, lda, dots_a);
            gram_block_any(n_t, s == t, n_out, g + t * ldg, g + s * ldg, ldg, dots_g);
            for (int i = 0; i < GRAM_PAIRS; i++)
                lane[i] += (double)dots_a[i] * (double)dots_g[i];
        }
    return lanes_sum_double(lane);
}

#endif
