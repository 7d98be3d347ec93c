/* The weighted gradient sum of a panel: chains of SG_CHAIN_ROWS rows in registers, chains added in double, rounded once
 * to the grid and added as integers while the tile is still in cache.
 *
 * Loops, outermost first: blocks of ABSORB_COLS inputs, blocks of ABSORB_OUTS outputs, blocks of ABSORB_ROWS rows (a
 * few chains), tiles of TILE_ROWS outputs, strips of inputs, chains. a is copied into strips like a packed weight, g is
 * weighted into one narrow (rows, TILE_ROWS) piece per tile, which stays in the first-level cache for all strips. Up to
 * three last columns that would waste a vector of their own (a bias is one) are taken with lanes over outputs instead.
 */
#ifndef SG_OPS_CPU_ABSORB_H
#define SG_OPS_CPU_ABSORB_H

#include <assert.h>
#include <math.h>

#include "cpu/rows.h"
#include "cpu/tile.h"
#include "ops/ops.h"

#define ABSORB_CHAINS 4
#define ABSORB_G SG_LANES /* distance of rows of the weighted piece: whole vectors, TILE_ROWS of them used */
#define ABSORB_ROWS (ABSORB_CHAINS * SG_CHAIN_ROWS)
#define ABSORB_G_TILE (ABSORB_ROWS * ABSORB_G + 32) /* pieces of tiles must not all begin in the same cache set */
#define ABSORB_G_ROWS 16
#define ABSORB_COLS 192
#define ABSORB_OUTS 96
#define ABSORB_TILES (ABSORB_OUTS / TILE_ROWS)
#define ABSORB_TAIL 3 /* columns */

struct absorb_scratch {
    float g[ABSORB_TILES][ABSORB_G_TILE];          /* for each tile (rows, ABSORB_G), weighted */
    float w[ABSORB_ROWS];                          /* weights as floats, where they all are floats */
    float a[ABSORB_ROWS * ABSORB_COLS];            /* strips, then the tail as (rows, n_tail) */
    float tile[ABSORB_CHAINS * TILE_ROWS * STRIP]; /* the chains of one tile */
    double chains[ABSORB_OUTS * ABSORB_COLS];      /* sums over the chains of earlier blocks, by tile and strip */
    double tail[ABSORB_TILES][ABSORB_TAIL][SG_LANES];
};

/* One block of rows of one tile of outputs. */
struct absorb_tile {
    int64_t n_rows;
    const float *g, *a;
    float *tile;
    double *chains;   /* (rows of the tile, STRIP): the sum over the chains so far */
    bool first, last; /* block of the panel */
    double inverse, limit;
    double safe;            /* no scaled sum up to here exceeds the limit or what vectors can round */
    int64_t *sum;           /* of the tile's first output */
    int64_t ld_sum, n_cols; /* columns that exist */
    bool overflow;
};

/* Are all weights floats? Then products need no double: clip_weight makes only such. */
static bool absorb_short_weights(int64_t n_rows, const double *w, float *to)
{
    bool all = true;
    for (int64_t r = 0; r < n_rows; r++) {
        to[r] = (float)w[r];
        all = all && (double)to[r] == w[r];
    }
    return all;
}

/* (float)(w g), one rounding where w is a float, the double product's and one more where it is not. A row is read once
 * for all tiles of the block: rows may lie a multiple of the cache's set distance apart. */
static void absorb_weigh(int64_t n_rows, int n_tiles, const int64_t *first, const float *g, int64_t ldg,
                         const double *w, const float *short_w, float to[ABSORB_TILES][ABSORB_G_TILE])
{
    int64_t n_out = first[n_tiles];
    for (int64_t r0 = 0; r0 < n_rows; r0 += ABSORB_G_ROWS)
        for (int tile = 0; tile < n_tiles; tile++) {
            int64_t end = r0 + ABSORB_G_ROWS < n_rows ? r0 + ABSORB_G_ROWS : n_rows, n = lanes_left(n_out, first[tile]);
            for (int64_t r = r0; r < end; r++) {
                vf x = load_left(g + r * ldg + first[tile], n);
                if (short_w) {
                    vf_store(to[tile] + r * ABSORB_G, vf_mul(x, vf_set(short_w[r])));
                } else {
                    vd weight = vd_set(w[r]);
                    vf product = vf_from(vd_mul(vd_low(x), weight), vd_mul(vd_high(x), weight));
                    vf_store(to[tile] + r * ABSORB_G, product);
                }
            }
        }
}

static void absorb_strips(int64_t n_rows, int64_t width, int64_t n_tail, const float *a, int64_t lda, float *to)
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
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t i = 0; i < n_tail; i++)
            *to++ = a[r * lda + width + i];
}

/* One coordinate at a time: what is out of range is left out and noted. */
static void absorb_coordinate(double x, struct absorb_tile *t, int64_t *sum)
{
    if (fabs(x) <= t->limit)
        *sum += llrint(x * t->inverse);
    else
        t->overflow = true;
}

static __attribute__((noinline)) void absorb_row_slowly(const vd *x, int n_x, struct absorb_tile *t, int64_t *sum)
{
    double lane[STRIP];
    for (int v = 0; v < n_x; v++)
        vd_store(lane + v * (SG_LANES / 2), x[v]);
    for (int64_t j = 0; j < t->n_cols; j++)
        absorb_coordinate(lane[j], t, sum + j);
}

/* Adds one row of finished sums to the integers. */
SG_INLINE void absorb_row(const vd *x, int n_x, struct absorb_tile *t, int64_t *sum)
{
    vd scaled[4];
    int beyond = 0;
#pragma GCC unroll 4
    for (int v = 0; v < n_x; v++) {
        scaled[v] = vd_mul(x[v], vd_set(t->inverse));
        beyond |= vd_beyond(scaled[v], vd_set(t->safe));
    }
    if (__builtin_expect(beyond, 0)) {
        absorb_row_slowly(x, n_x, t, sum);
        return;
    }
#pragma GCC unroll 4
    for (int v = 0; v < n_x; v++) {
        int64_t n = t->n_cols - v * (SG_LANES / 2);
        if (n >= SG_LANES / 2)
            vd_add_rounded(scaled[v], sum + v * (SG_LANES / 2), SG_LANES / 2);
        else if (n > 0)
            vd_add_rounded(scaled[v], sum + v * (SG_LANES / 2), n);
    }
}

/* Adds up the chains of one row of a tile, and finishes it or leaves it to the next block of rows. */
SG_INLINE void absorb_finish(int i, int vectors, int n_chains, struct absorb_tile *t)
{
    const float *chain = t->tile + i * STRIP;
    double *so_far = t->chains + i * STRIP;
    vd x[4];
#pragma GCC unroll 4
    for (int v = 0; v < 2 * vectors; v++) {
        x[v] = vd_from(chain + v * (SG_LANES / 2));
        if (!t->first)
            x[v] = vd_add(vd_load(so_far + v * (SG_LANES / 2)), x[v]);
    }
    for (int c = 1; c < n_chains; c++)
#pragma GCC unroll 4
        for (int v = 0; v < 2 * vectors; v++)
            x[v] = vd_add(x[v], vd_from(chain + c * TILE_ROWS * STRIP + v * (SG_LANES / 2)));
    if (t->last) {
        absorb_row(x, 2 * vectors, t, t->sum + i * t->ld_sum);
        return;
    }
#pragma GCC unroll 4
    for (int v = 0; v < 2 * vectors; v++)
        vd_store(so_far + v * (SG_LANES / 2), x[v]);
}

SG_INLINE void absorb_tile_do(int rows, int vectors, struct absorb_tile *t)
{
    const int width = vectors * SG_LANES;
    int n_chains = 0;
    for (int i = 0; t->last && i < rows; i++)
        for (int j = 0; j <= width; j += 8)
            __builtin_prefetch(t->sum + i * t->ld_sum + j, 1);
    for (int64_t r = 0; r < t->n_rows; r += SG_CHAIN_ROWS, n_chains++) {
        int64_t n = t->n_rows - r < SG_CHAIN_ROWS ? t->n_rows - r : SG_CHAIN_ROWS;
        vf acc[TILE_ROWS][2];
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
            acc[i][0] = acc[i][1] = vf_zero();
        tile_chain(rows, vectors, n, t->g + r * ABSORB_G, 1, ABSORB_G, t->a + r * width, width, acc);
        float *to = t->tile + n_chains * TILE_ROWS * STRIP;
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                vf_store(to + i * STRIP + v * SG_LANES, acc[i][v]);
    }
    for (int i = 0; i < rows; i++)
        absorb_finish(i, vectors, n_chains, t);
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
    case 1:
        absorb_tile_rows(1, wide, t);
        break;
    case 2:
        absorb_tile_rows(2, wide, t);
        break;
    case 3:
        absorb_tile_rows(3, wide, t);
        break;
    case 4:
        absorb_tile_rows(4, wide, t);
        break;
    case 5:
        absorb_tile_rows(5, wide, t);
        break;
    case 6:
        absorb_tile_rows(6, wide, t);
        break;
#if TILE_ROWS > 6
    case 7:
        absorb_tile_rows(7, wide, t);
        break;
    case 8:
        absorb_tile_rows(8, wide, t);
        break;
    case 9:
        absorb_tile_rows(9, wide, t);
        break;
    case 10:
        absorb_tile_rows(10, wide, t);
        break;
    case 11:
        absorb_tile_rows(11, wide, t);
        break;
    case 12:
        absorb_tile_rows(12, wide, t);
        break;
#endif
    default:
        assert(!"tile height");
    }
}

/* n_chains chains of n rows for each of n_tail columns, both counts constant: independent, so that their latencies
 * overlap. lane: (chain, ABSORB_TAIL columns, SG_LANES outputs). */
SG_INLINE void tail_chains(int n_chains, int n_tail, int64_t n, const float *g, const float *tail, float *lane)
{
    vf acc[ABSORB_CHAINS][ABSORB_TAIL];
#pragma GCC unroll 16
    for (int i = 0; i < n_chains * n_tail; i++)
        acc[i / n_tail][i % n_tail] = vf_zero();
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 4
        for (int c = 0; c < n_chains; c++) {
            int64_t row = c * SG_CHAIN_ROWS + k;
            vf x = vf_load(g + row * ABSORB_G);
#pragma GCC unroll 4
            for (int i = 0; i < n_tail; i++)
                acc[c][i] = vf_fma(x, vf_set(tail[row * n_tail + i]), acc[c][i]);
        }
#pragma GCC unroll 16
    for (int i = 0; i < n_chains * n_tail; i++)
        vf_store(lane + (i / n_tail * ABSORB_TAIL + i % n_tail) * SG_LANES, acc[i / n_tail][i % n_tail]);
}

static void tail_chains_any(int64_t n_chains, int64_t n_tail, int64_t n, const float *g, const float *tail, float *lane)
{
    switch (n_chains * 4 + n_tail) {
    case 5:
        tail_chains(1, 1, n, g, tail, lane);
        break;
    case 6:
        tail_chains(1, 2, n, g, tail, lane);
        break;
    case 7:
        tail_chains(1, 3, n, g, tail, lane);
        break;
    case 9:
        tail_chains(2, 1, n, g, tail, lane);
        break;
    case 10:
        tail_chains(2, 2, n, g, tail, lane);
        break;
    case 11:
        tail_chains(2, 3, n, g, tail, lane);
        break;
    case 13:
        tail_chains(3, 1, n, g, tail, lane);
        break;
    case 14:
        tail_chains(3, 2, n, g, tail, lane);
        break;
    case 15:
        tail_chains(3, 3, n, g, tail, lane);
        break;
    case 17:
        tail_chains(4, 1, n, g, tail, lane);
        break;
    case 18:
        tail_chains(4, 2, n, g, tail, lane);
        break;
    case 19:
        tail_chains(4, 3, n, g, tail, lane);
        break;
    default:
        break; /* nothing */
    }
}
_Static_assert(ABSORB_CHAINS == 4 && ABSORB_TAIL == 3, "tail_chains_any names every count");

/* Adds finished sums of one column, lanes over outputs; sum: the column's first output. */
static void tail_round(int64_t height, const vd x[2], struct absorb_tile *t, int64_t *sum)
{
    double lane[SG_LANES];
    int64_t rounded[SG_LANES] = {0};
    vd scaled[2] = {vd_mul(x[0], vd_set(t->inverse)), vd_mul(x[1], vd_set(t->inverse))};
    if (vd_beyond(scaled[0], vd_set(t->safe)) | vd_beyond(scaled[1], vd_set(t->safe))) {
        vd_store(lane, x[0]);
        vd_store(lane + SG_LANES / 2, x[1]);
        for (int64_t o = 0; o < height; o++)
            absorb_coordinate(lane[o], t, sum + o * t->ld_sum);
        return;
    }
    vd_add_rounded(scaled[0], rounded, SG_LANES / 2);
    vd_add_rounded(scaled[1], rounded + SG_LANES / 2, SG_LANES / 2);
    for (int64_t o = 0; o < height; o++)
        sum[o * t->ld_sum] += rounded[o];
}

/* The tail's columns for one tile of outputs: vectors run over outputs here. */
static void absorb_tail(int64_t height, int64_t n_tail, const float *tail, double chains[ABSORB_TAIL][SG_LANES],
                        struct absorb_tile *t)
{
    float lane[ABSORB_CHAINS][ABSORB_TAIL][SG_LANES];
    int64_t full = t->n_rows / SG_CHAIN_ROWS, rest = t->n_rows % SG_CHAIN_ROWS, at = full * SG_CHAIN_ROWS;
    tail_chains_any(full, n_tail, SG_CHAIN_ROWS, t->g, tail, lane[0][0]);
    if (rest)
        tail_chains_any(1, n_tail, rest, t->g + at * ABSORB_G, tail + at * n_tail, lane[full][0]);
    for (int64_t i = 0; i < n_tail; i++) {
        vd x[2];
        for (int v = 0; v < 2; v++) {
            x[v] = t->first ? vd_zero() : vd_load(chains[i] + v * (SG_LANES / 2));
            for (int64_t c = 0; c < full + (rest > 0); c++)
                x[v] = vd_add(x[v], vd_from(lane[c][i] + v * (SG_LANES / 2)));
            if (!t->last)
                vd_store(chains[i] + v * (SG_LANES / 2), x[v]);
        }
        if (t->last)
            tail_round(height, x, t, t->sum + i);
    }
}

/* One block; t->sum points at its first output. */
static void absorb_block(int64_t n_out, int64_t width, int64_t n_tail, const float *g, int64_t ldg, const double *w,
                         struct absorb_scratch *s, struct absorb_tile *t)
{
    int64_t *sum = t->sum, first[ABSORB_TILES + 1] = {0};
    int n_tiles = 0;
    bool only = t->first && t->last; /* then sums of chains live no longer than a tile */
    for (; first[n_tiles] < n_out; n_tiles++)
        first[n_tiles + 1] = first[n_tiles] + tile_height(n_out - first[n_tiles]);
    const float *short_w = absorb_short_weights(t->n_rows, w, s->w) ? s->w : NULL;
    absorb_weigh(t->n_rows, n_tiles, first, g, ldg, w, short_w, s->g);
    t->chains = s->chains;
    t->tile = s->tile;
    for (int tile = 0; tile < n_tiles; tile++) {
        int height = (int)(first[tile + 1] - first[tile]);
        t->g = s->g[tile];
        t->a = s->a;
        for (int64_t j = 0; j < width;) {
            int64_t strip = strip_width(width, j);
            t->n_cols = width - j < strip ? width - j : strip;
            t->sum = sum + first[tile] * t->ld_sum + j;
            absorb_tile_any(height, strip == STRIP, t);
            t->chains += only ? 0 : height * STRIP;
            t->a += strip * t->n_rows;
            j += strip;
        }
        t->sum = sum + first[tile] * t->ld_sum + width;
        if (n_tail)
            absorb_tail(height, n_tail, t->a, s->tail[tile], t);
    }
}

static void absorb_outputs(int64_t n_rows, int64_t n_out, int64_t width, int64_t n_tail, const float *a, int64_t lda,
                           const float *g, int64_t ldg, const double *w, int64_t *sum, struct absorb_scratch *s,
                           struct absorb_tile *t)
{
    bool only = n_rows <= ABSORB_ROWS;
    if (only)
        absorb_strips(n_rows, width, n_tail, a, lda, s->a);
    for (int64_t o = 0; o < n_out; o += ABSORB_OUTS)
        for (int64_t r = 0; r < n_rows; r += ABSORB_ROWS) {
            t->n_rows = n_rows - r < ABSORB_ROWS ? n_rows - r : ABSORB_ROWS;
            t->first = r == 0;
            t->last = r + t->n_rows == n_rows;
            t->sum = sum + o * t->ld_sum;
            if (!only)
                absorb_strips(t->n_rows, width, n_tail, a + r * lda, lda, s->a);
            absorb_block(n_out - o < ABSORB_OUTS ? n_out - o : ABSORB_OUTS, width, n_tail, g + r * ldg + o, ldg, w + r,
                         s, t);
        }
}

static void absorb(int64_t n_rows, int64_t n_in, int64_t n_out, const float *a, int64_t lda, const float *g,
                   int64_t ldg, const double *w, double grid, double limit, int64_t *sum, bool *overflow, void *scratch)
{
    assert(n_rows >= 0 && n_in > 0 && n_out > 0 && lda >= n_in && ldg >= n_out);
    struct absorb_tile t = {.inverse = 1 / grid, .limit = limit, .ld_sum = n_in};
    assert(grid > 0 && limit * t.inverse <= 0x1p62); /* or the integer could overflow unseen */
    t.safe = fmin(limit * t.inverse * (1 - 0x1p-40), SG_ROUND_MAX);
    for (int64_t i = 0; i < n_in; i += ABSORB_COLS) {
        int64_t width = n_in - i < ABSORB_COLS ? n_in - i : ABSORB_COLS;
        int64_t n_tail = width % SG_LANES <= ABSORB_TAIL ? width % SG_LANES : 0;
        absorb_outputs(n_rows, n_out, width - n_tail, n_tail, a + i, lda, g, ldg, w, sum + i, scratch, &t);
    }
    if (t.overflow)
        *overflow = true;
}

#endif
