/* The weighted gradient sum of a panel: chains of SG_CHAIN_ROWS rows in registers, chains added in double, rounded once to
 * the grid and added as integers while the tile is still in cache.
 *
 * The scratch holds one block: ABSORB_ROWS outputs x ABSORB_COLS inputs. g is weighted and copied with k (the rows of the
 * panel) slowest, a is copied into strips like a packed weight. */
#ifndef SG_OPS_CPU_ABSORB_H
#define SG_OPS_CPU_ABSORB_H

#include <assert.h>
#include <math.h>

#include "cpu/tile.h"
#include "ops/ops.h"

#define ABSORB_ROWS 96
#define ABSORB_COLS 192

struct absorb_scratch {
    float g[SG_CHAIN_ROWS * ABSORB_ROWS];    /* (chain, ABSORB_ROWS) */
    float a[SG_CHAIN_ROWS * ABSORB_COLS];    /* strips */
    double chains[ABSORB_ROWS * ABSORB_COLS]; /* by tile: (rows of the tile, STRIP) */
};

struct absorb_tile {
    int64_t n_rows;
    const float *g, *a;
    double *chains;       /* (rows, STRIP): the sum over the chains so far */
    bool first, last;     /* chain of the panel */
    double inverse, limit;
    int64_t *sum;         /* of the tile's first output */
    int64_t ld_sum, n_cols; /* columns that exist */
    bool overflow;
};

/* (float)(w g): the product in double, rounded once. */
static void absorb_weigh(int64_t n_rows, int64_t width, const float *g, int64_t ldg, const double *w, float *to)
{
    for (int64_t r = 0; r < n_rows; r++, g += ldg, to += ABSORB_ROWS) {
        vd weight = vd_set(w[r]);
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            vf x = n == SG_LANES ? vf_load(g + j) : vf_load_first(g + j, n);
            vf_store(to + j, vf_from(vd_mul(vd_low(x), weight), vd_mul(vd_high(x), weight)));
        }
    }
}

static void absorb_strips(int64_t n_rows, int64_t width, const float *a, int64_t lda, float *to)
{
    for (int64_t j = 0; j < width;) {
        int64_t strip = strip_width(width, j);
        for (int64_t r = 0; r < n_rows; r++, to += strip)
            for (int64_t v = 0; v < strip; v += SG_LANES) {
                int64_t n = width - j - v;
                const float *from = a + r * lda + j + v;
                vf_store(to + v, n >= SG_LANES ? vf_load(from) : vf_load_first(from, n > 0 ? n : 0));
            }
        j += strip;
    }
}

/* One coordinate at a time: what is out of range is left out and noted. */
static __attribute__((noinline)) void absorb_round_slowly(vd x, struct absorb_tile *t, int64_t *sum, int64_t n)
{
    double lane[SG_LANES / 2];
    vd_store(lane, x);
    for (int64_t j = 0; j < n; j++)
        if (fabs(lane[j]) <= t->limit)
            sum[j] += llrint(lane[j] * t->inverse);
        else
            t->overflow = true;
}

/* Adds half a vector of finished sums to the integers. */
SG_INLINE void absorb_round(vd x, struct absorb_tile *t, int64_t *sum, int64_t n)
{
    if (n <= 0)
        return;
    n = n < SG_LANES / 2 ? n : SG_LANES / 2;
    vd scaled = vd_mul(x, vd_set(t->inverse));
    if (__builtin_expect(vd_within(x, vd_set(t->limit)) && vd_within(scaled, vd_set(SG_ROUND_MAX)), true))
        vd_add_rounded(scaled, sum, n);
    else
        absorb_round_slowly(x, t, sum, n);
}

SG_INLINE void absorb_finish(int i, int v, vf chain, struct absorb_tile *t)
{
    vd low = vd_low(chain), high = vd_high(chain);
    double *so_far = t->chains + i * STRIP + v * SG_LANES;
    if (!t->first) {
        low = vd_add(vd_load(so_far), low);
        high = vd_add(vd_load(so_far + SG_LANES / 2), high);
    }
    if (!t->last) {
        vd_store(so_far, low);
        vd_store(so_far + SG_LANES / 2, high);
        return;
    }
    int64_t j = v * SG_LANES;
    absorb_round(low, t, t->sum + i * t->ld_sum + j, t->n_cols - j);
    j += SG_LANES / 2;
    absorb_round(high, t, t->sum + i * t->ld_sum + j, t->n_cols - j);
}

SG_INLINE void absorb_tile_do(int rows, int vectors, struct absorb_tile *t)
{
    vf acc[TILE_ROWS][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
        acc[i][0] = acc[i][1] = vf_zero();
    tile_chain(rows, vectors, t->n_rows, t->g, 1, ABSORB_ROWS, t->a, vectors * SG_LANES, acc);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        absorb_finish(i, 0, acc[i][0], t);
        if (vectors == 2)
            absorb_finish(i, 1, acc[i][1], t);
    }
}

SG_INLINE void absorb_tile_rows(int rows, bool wide, struct absorb_tile *t)
{
    if (wide)
        absorb_tile_do(rows, 2, t);
    else
        absorb_tile_do(rows, 1, t);
}

static void absorb_tile_any(int rows, bool wide, struct absorb_tile *t)
{
    switch (rows) {
    case 1: absorb_tile_rows(1, wide, t); break;
    case 2: absorb_tile_rows(2, wide, t); break;
    case 3: absorb_tile_rows(3, wide, t); break;
    case 4: absorb_tile_rows(4, wide, t); break;
    case 5: absorb_tile_rows(5, wide, t); break;
    case 6: absorb_tile_rows(6, wide, t); break;
#if TILE_ROWS > 6
    case 7: absorb_tile_rows(7, wide, t); break;
    case 8: absorb_tile_rows(8, wide, t); break;
    case 9: absorb_tile_rows(9, wide, t); break;
    case 10: absorb_tile_rows(10, wide, t); break;
    case 11: absorb_tile_rows(11, wide, t); break;
    case 12: absorb_tile_rows(12, wide, t); break;
#endif
    default: assert(!"tile height");
    }
}

/* One chain of one block; sum points at the block's first output. */
static void absorb_chain(int64_t n_out, int64_t n_in, struct absorb_scratch *s, int64_t *sum, struct absorb_tile *t)
{
    t->chains = s->chains;
    t->a = s->a;
    for (int64_t j = 0; j < n_in;) {
        int64_t width = strip_width(n_in, j);
        t->n_cols = n_in - j < width ? n_in - j : width;
        for (int64_t o = 0; o < n_out;) {
            int height = tile_height(n_out - o);
            t->g = s->g + o;
            t->sum = sum + o * t->ld_sum + j;
            absorb_tile_any(height, width == STRIP, t);
            t->chains += height * STRIP;
            o += height;
        }
        t->a += width * t->n_rows;
        j += width;
    }
}

static void absorb(int64_t n_rows, int64_t n_in, int64_t n_out, const float *a, int64_t lda, const float *g, int64_t ldg,
                   const double *w, double grid, double limit, int64_t *sum, bool *overflow, void *scratch)
{
    assert(n_rows >= 0 && n_in > 0 && n_out > 0 && lda >= n_in && ldg >= n_out && grid > 0 && limit > 0);
    struct absorb_scratch *s = scratch;
    double integer_limit = grid * 0x1p62;
    struct absorb_tile t = {
        .inverse = 1 / grid, .limit = limit < integer_limit ? limit : integer_limit, .ld_sum = n_in};
    for (int64_t o = 0; o < n_out; o += ABSORB_ROWS)
        for (int64_t i = 0; i < n_in; i += ABSORB_COLS)
            for (int64_t r = 0; r < n_rows; r += SG_CHAIN_ROWS) {
                int64_t height = n_out - o < ABSORB_ROWS ? n_out - o : ABSORB_ROWS;
                int64_t width = n_in - i < ABSORB_COLS ? n_in - i : ABSORB_COLS;
                t.n_rows = n_rows - r < SG_CHAIN_ROWS ? n_rows - r : SG_CHAIN_ROWS;
                t.first = r == 0;
                t.last = r + t.n_rows == n_rows;
                absorb_weigh(t.n_rows, height, g + r * ldg + o, ldg, w + r, s->g);
                absorb_strips(t.n_rows, width, a + r * lda + i, lda, s->a);
                absorb_chain(height, width, s, sum + o * n_in + i, &t);
            }
    if (t.overflow)
        *overflow = true;
}

#endif
