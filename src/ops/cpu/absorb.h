/* The weighted gradient sum of a panel: chains of SG_CHAIN_ROWS rows in registers, chains added in double, rounded once
 * to the grid and added as integers while the tile is still in cache.
 *
 * Loops, outermost first: blocks of ABSORB_COLS inputs, spans of ABSORB_SPAN outputs, blocks of ABSORB_ROWS rows (a
 * few chains), blocks of ABSORB_OUTS outputs, tiles of TILE_ROWS outputs, strips of inputs, chains. a is copied into
 * strips like a packed weight, g is weighted into one narrow (rows, TILE_ROWS) piece per tile, which stays in the
 * first-level cache for all strips. Up to three last columns that would waste a vector of their own (a bias is one) are
 * taken with lanes over outputs instead.
 */
#ifndef SG_OPS_CPU_ABSORB_H
#define SG_OPS_CPU_ABSORB_H

#include "cpu/absorb_tail.h"
#include "cpu/columns.h"

#define ABSORB_COLS 192
#define ABSORB_OUTS 96
#define ABSORB_SPAN (6 * ABSORB_OUTS) /* outputs whose sums wait for the next block of rows */
#define ABSORB_TILES (ABSORB_OUTS / TILE_ROWS)
#define ABSORB_G_TILE (ABSORB_ROWS * ABSORB_G + 32) /* pieces of tiles must not all begin in the same cache set */
#define ABSORB_G_ROWS 8                             /* rows weighted for one tile before the next */

struct absorb_scratch {
    float g[ABSORB_TILES][ABSORB_G_TILE];          /* for each tile (rows, ABSORB_G), weighted */
    float w[ABSORB_ROWS];                          /* weights as floats, where they all are floats */
    float a[ABSORB_ROWS * ABSORB_COLS];            /* strips, then the tail as (rows, n_tail) */
    float tile[ABSORB_CHAINS * TILE_ROWS * STRIP]; /* the chains of one tile */
    double chains[ABSORB_SPAN * ABSORB_COLS];      /* sums over the chains of earlier blocks, by tile and strip */
    double tail[ABSORB_SPAN / ABSORB_OUTS][ABSORB_TILES][ABSORB_TAIL][SG_LANES];
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

/* a into strips, and after them the tail. */
static void absorb_strips(int64_t n_rows, int64_t width, int64_t n_tail, const float *a, int64_t lda, float *to)
{
    copy_strips(n_rows, width, a, lda, to);
    to += strips_width(width) * n_rows;
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t i = 0; i < n_tail; i++)
            *to++ = a[r * lda + width + i];
}

/* One block; t->sum points at its first output, part is its place in the span. */
static void absorb_block(int64_t part, int64_t n_out, int64_t width, int64_t n_tail, const float *g, int64_t ldg,
                         const double *w, struct absorb_scratch *s, struct absorb_tile *t)
{
    int64_t *sum = t->sum, first[ABSORB_TILES + 1] = {0};
    int n_tiles = 0;
    bool only = t->first && t->last; /* then sums of chains live no longer than a tile */
    for (; first[n_tiles] < n_out; n_tiles++)
        first[n_tiles + 1] = first[n_tiles] + tile_height(n_out - first[n_tiles]);
    const float *short_w = absorb_short_weights(t->n_rows, w, s->w) ? s->w : NULL;
    absorb_weigh(t->n_rows, n_tiles, first, g, ldg, w, short_w, s->g);
    t->chains = s->chains + part * ABSORB_OUTS * ABSORB_COLS;
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
            absorb_tail(height, n_tail, t->a, s->tail[part][tile], t);
    }
}

static void absorb_outputs(int64_t n_rows, int64_t n_out, int64_t width, int64_t n_tail, const float *a, int64_t lda,
                           const float *g, int64_t ldg, const double *w, int64_t *sum, struct absorb_scratch *s,
                           struct absorb_tile *t)
{
    bool only = n_rows <= ABSORB_ROWS;
    if (only)
        absorb_strips(n_rows, width, n_tail, a, lda, s->a);
    for (int64_t o = 0; o < n_out; o += ABSORB_SPAN)
        for (int64_t r = 0; r < n_rows; r += ABSORB_ROWS) {
            int64_t end = o + ABSORB_SPAN < n_out ? o + ABSORB_SPAN : n_out;
            t->n_rows = n_rows - r < ABSORB_ROWS ? n_rows - r : ABSORB_ROWS;
            t->first = r == 0;
            t->last = r + t->n_rows == n_rows;
            if (!only)
                absorb_strips(t->n_rows, width, n_tail, a + r * lda, lda, s->a);
            for (int64_t p = o; p < end; p += ABSORB_OUTS) {
                t->sum = sum + p * t->ld_sum;
                absorb_block((p - o) / ABSORB_OUTS, end - p < ABSORB_OUTS ? end - p : ABSORB_OUTS, width, n_tail,
                             g + r * ldg + p, ldg, w + r, s, t);
            }
        }
}

static void absorb_panel(int64_t n_rows, int64_t n_in, int64_t n_out, const float *a, int64_t lda, const float *g,
                         int64_t ldg, const double *w, int64_t *sum, struct absorb_scratch *s, struct absorb_tile *t)
{
    t->ld_sum = n_in;
    for (int64_t i = 0; i < n_in; i += ABSORB_COLS) {
        int64_t width = n_in - i < ABSORB_COLS ? n_in - i : ABSORB_COLS;
        int64_t n_tail = width % SG_LANES <= ABSORB_TAIL ? width % SG_LANES : 0;
        absorb_outputs(n_rows, n_out, width - n_tail, n_tail, a + i, lda, g, ldg, w, sum + i, s, t);
    }
}

static void absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_in, int64_t n_out,
                   const float *a, int64_t lda, const float *g, int64_t ldg, const double *w, double grid, double limit,
                   int64_t *sum, bool *overflow, void *scratch)
{
    assert(n_in > 0 && n_out > 0 && (lda >= n_in || lda == 0) && ldg >= n_out);
    assert(panel_row[0] == 0 && panel_row[n_panels] == n_rows);
    struct absorb_tile t = columns_target(grid, limit);
    for (int64_t p = 0; p < n_panels; p++) {
        int64_t r = panel_row[p], n = panel_row[p + 1] - r;
        if (n_in == 1)
            bias_absorb(n, n_out, a + r * lda, lda, g + r * ldg, ldg, w + r, sum, scratch, &t);
        else
            absorb_panel(n, n_in, n_out, a + r * lda, lda, g + r * ldg, ldg, w + r, sum, scratch, &t);
    }
    if (t.overflow)
        *overflow = true;
}

#endif
