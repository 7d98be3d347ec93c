/* The inner kernel that the GEMM, the weight gradient and the instantiated norm share: a tile of outputs held in
 * registers, each one chain of fused multiply-adds over ascending k. Tile shapes never show in the bits. */
#ifndef SG_OPS_CPU_TILE_H
#define SG_OPS_CPU_TILE_H

#include "cpu/lanes.h"

/* Register blocking: TILE_ROWS x two vectors of accumulators, two vectors of b and a broadcast. */
#if SG_LANES == 16
#define TILE_ROWS 12
#else
#define TILE_ROWS 6
#endif
#define STRIP (2 * SG_LANES) /* columns of a full strip */

/* acc[i][v] = chain over k of a[i a_row + k a_step] * b[k b_step + v lanes + lane]. Called with constant rows, vectors
 * and strides, so that the loops unroll into straight code. */
SG_INLINE void tile_chain(int rows, int vectors, int64_t n_k, const float *a, int64_t a_row, int64_t a_step,
                          const float *b, int64_t b_step, vf acc[TILE_ROWS][2])
{
#pragma GCC unroll 4
    for (int64_t k = 0; k < n_k; k++) {
        vf b0 = vf_load(b + k * b_step);
        vf b1 = vectors == 2 ? vf_load(b + k * b_step + SG_LANES) : b0;
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            vf x = vf_set(a[i * a_row + k * a_step]);
            acc[i][0] = vf_fma(x, b0, acc[i][0]);
            if (vectors == 2)
                acc[i][1] = vf_fma(x, b1, acc[i][1]);
        }
    }
}

/* Splits what is left into tiles of nearly equal height: a tile of one row wastes most of the machine. */
SG_INLINE int tile_height(int64_t rows_left)
{
    int64_t tiles = (rows_left + TILE_ROWS - 1) / TILE_ROWS;
    return (int)((rows_left + tiles - 1) / tiles);
}

/* Width in floats of the strip that begins at column j: a full one, or one vector where that holds the rest. */
SG_INLINE int64_t strip_width(int64_t n_cols, int64_t j)
{
    return n_cols - j <= SG_LANES ? SG_LANES : STRIP;
}

/* Floats of all strips per unit of k. */
SG_INLINE int64_t strips_width(int64_t n_cols)
{
    return (n_cols + SG_LANES - 1) / SG_LANES * SG_LANES;
}

/* Copies a matrix b (n_k, n_cols) into strips: of STRIP columns, the last perhaps of one vector, in each strip k
 * ascending, in each k the strip's columns, zero beyond the matrix. The strip at column j begins at float j n_k. */
static void copy_strips(int64_t n_k, int64_t n_cols, const float *b, int64_t ldb, float *to)
{
    for (int64_t j = 0; j < n_cols;) {
        int64_t strip = strip_width(n_cols, j);
        for (int64_t k = 0; k < n_k; k++, to += strip) {
            const float *from = b + k * ldb + j;
            int64_t left = n_cols - j - (strip - SG_LANES);
            if (strip == STRIP)
                vf_store(to, vf_load(from));
            vf_store(to + strip - SG_LANES, load_left(from + strip - SG_LANES, left < SG_LANES ? left : SG_LANES));
        }
        j += strip;
    }
}

#endif
