/* GEMM over packed weights.
 *
 * Packed layout: the strips of copy_strips.
 * Blocks: KC of k and NC columns of b stay in the second-level cache while a tile of rows of a, copied to a fixed
 * distance, stays in the first. Between k-blocks the accumulators go through c: a float stored and loaded is the same
 * float. */
#ifndef SG_OPS_CPU_GEMM_H
#define SG_OPS_CPU_GEMM_H

#include <assert.h>

#include "cpu/tile.h"

#define GEMM_KC 256
#define GEMM_NC 256
#define GEMM_A_ROW (GEMM_KC + 16) /* distance of copied rows: not a power of two, or rows would share cache sets */

static size_t packed_bytes(int64_t n_k, int64_t n_cols)
{
    assert(n_k > 0 && n_cols > 0);
    return ((size_t)strips_width(n_cols) * (size_t)n_k * sizeof(float) + 63) / 64 * 64;
}

/* b[k][j] = w[k ldw + j] */
static void pack_backward(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed)
{
    copy_strips(n_out, n_in, w, ldw, packed);
}

/* to[k ld_to + i] = from[i ldf + k] for i, k < 8, zero for i >= n_rows. */
SG_INLINE void transpose_eight(int64_t n_rows, const float *from, int64_t ldf, float *to, int64_t ld_to)
{
    __m256 a[8], b[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        a[i] = i < n_rows ? _mm256_loadu_ps(from + i * ldf) : _mm256_setzero_ps();
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        _mm256_storeu_ps(to + k * ld_to, _mm256_permute2f128_ps(a[k], a[k + 4], 0x20));
        _mm256_storeu_ps(to + (k + 4) * ld_to, _mm256_permute2f128_ps(a[k], a[k + 4], 0x31));
    }
}

/* Eight columns of a strip from n_rows rows of w: b[k][j .. j + 8). What does not exist is zero. */
static void pack_eight(int64_t n_rows, int64_t n_in, const float *w, int64_t ldw, float *to, int64_t width)
{
    int64_t k = 0;
    for (; k + 8 <= n_in; k += 8)
        transpose_eight(n_rows, w + k, ldw, to + k * width, width);
    for (; k < n_in; k++)
        for (int64_t i = 0; i < 8; i++)
            to[k * width + i] = i < n_rows ? w[i * ldw + k] : 0.0f;
}

/* b[k][j] = w[j ldw + k]: a transposition. */
static void pack_forward(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed)
{
    float *to = packed;
    for (int64_t j = 0; j < n_out;) {
        int64_t width = strip_width(n_out, j);
        for (int64_t i = 0; i < width; i += 8)
            pack_eight(n_out - j - i, n_in, w + (j + i) * ldw, ldw, to + i, width);
        to += width * n_in;
        j += width;
    }
}

/* One tile of c: its rows, and how many lanes of its last vector exist. */
struct gemm_tile {
    int64_t n_k;
    const float *a, *b;
    float *c[TILE_ROWS];
    int64_t last_lanes;
    bool load; /* continue from c rather than from +0 */
};

SG_INLINE void gemm_tile_do(int rows, int vectors, const struct gemm_tile *t)
{
    vf acc[TILE_ROWS][2];
    bool whole = t->last_lanes == SG_LANES;
    int last = vectors - 1;
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        acc[i][0] = acc[i][1] = vf_zero();
        if (!t->load)
            continue;
        if (vectors == 2)
            acc[i][0] = vf_load(t->c[i]);
        const float *p = t->c[i] + last * SG_LANES;
        acc[i][last] = whole ? vf_load(p) : vf_load_first(p, t->last_lanes);
    }
    tile_chain(rows, vectors, t->n_k, t->a, GEMM_A_ROW, 1, t->b, vectors * SG_LANES, acc);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        if (vectors == 2)
            vf_store(t->c[i], acc[i][0]);
        float *p = t->c[i] + last * SG_LANES;
        if (whole)
            vf_store(p, acc[i][last]);
        else
            vf_store_first(p, acc[i][last], t->last_lanes);
    }
}

SG_INLINE void gemm_tile_rows(int rows, bool wide, const struct gemm_tile *t)
{
    if (wide)
        gemm_tile_do(rows, 2, t);
    else
        gemm_tile_do(rows, 1, t);
}

static void gemm_tile_any(int rows, bool wide, const struct gemm_tile *t)
{
    switch (rows) {
    case 1:
        gemm_tile_rows(1, wide, t);
        break;
    case 2:
        gemm_tile_rows(2, wide, t);
        break;
    case 3:
        gemm_tile_rows(3, wide, t);
        break;
    case 4:
        gemm_tile_rows(4, wide, t);
        break;
    case 5:
        gemm_tile_rows(5, wide, t);
        break;
    case 6:
        gemm_tile_rows(6, wide, t);
        break;
#if TILE_ROWS > 6
    case 7:
        gemm_tile_rows(7, wide, t);
        break;
    case 8:
        gemm_tile_rows(8, wide, t);
        break;
    case 9:
        gemm_tile_rows(9, wide, t);
        break;
    case 10:
        gemm_tile_rows(10, wide, t);
        break;
    case 11:
        gemm_tile_rows(11, wide, t);
        break;
    case 12:
        gemm_tile_rows(12, wide, t);
        break;
#endif
    default:
        assert(!"tile height");
    }
}

SG_INLINE void copy_floats(int64_t n, const float *from, float *to)
{
    int64_t j = 0;
    for (; j + SG_LANES <= n; j += SG_LANES)
        vf_store(to + j, vf_load(from + j));
    if (j < n)
        vf_store_first(to + j, vf_load_first(from + j, n - j), n - j);
}

/* Rows [0, n_rows) x columns [first, end) for one block of k; t->n_k and t->load are set. */
static void gemm_block(int64_t n_rows, int64_t k, int64_t n_k, int64_t first, int64_t end, int64_t n_cols,
                       const float *a, int64_t lda, const int32_t *a_rows, const float *packed, float *c, int64_t ldc,
                       const int32_t *c_rows, struct gemm_tile *t, float *a_tile)
{
    t->a = a_tile;
    for (int64_t r = 0; r < n_rows;) {
        int height = tile_height(n_rows - r);
        for (int i = 0; i < height; i++)
            copy_floats(t->n_k, a + (a_rows ? a_rows[r + i] : r + i) * lda + k, a_tile + i * GEMM_A_ROW);
        for (int64_t j = first; j < end;) {
            int64_t width = strip_width(n_cols, j);
            int64_t valid = n_cols - j < width ? n_cols - j : width;
            t->b = packed + j * n_k + k * width;
            t->last_lanes = valid - (width - SG_LANES);
            for (int i = 0; i < height; i++)
                t->c[i] = c + (c_rows ? c_rows[r + i] : r + i) * ldc + j;
            gemm_tile_any(height, width == STRIP, t);
            j += width;
        }
        r += height;
    }
}

static void gemm(int64_t n_rows, int64_t n_k, int64_t n_cols, const float *a, int64_t lda, const int32_t *a_rows,
                 const void *packed, float *c, int64_t ldc, const int32_t *c_rows, bool accumulate, void *scratch)
{
    assert(n_rows >= 0 && n_k > 0 && n_cols > 0 && lda >= n_k && ldc >= n_cols);
    for (int64_t j = 0; j < n_cols; j += GEMM_NC) {
        int64_t end = j + GEMM_NC < n_cols ? j + GEMM_NC : n_cols;
        for (int64_t k = 0; k < n_k; k += GEMM_KC) {
            struct gemm_tile t = {.n_k = n_k - k < GEMM_KC ? n_k - k : GEMM_KC, .load = accumulate || k > 0};
            gemm_block(n_rows, k, n_k, j, end, n_cols, a, lda, a_rows, packed, c, ldc, c_rows, &t, scratch);
        }
    }
}

#define GEMM_SCRATCH (TILE_ROWS * GEMM_A_ROW * sizeof(float))

#endif
