/* One tile of the weighted gradient sum: its chains in registers, their sums in double, the grid. */
#ifndef SG_OPS_CPU_ABSORB_TILE_H
#define SG_OPS_CPU_ABSORB_TILE_H

#include <assert.h>
#include <math.h>

#include "cpu/tile.h"
#include "ops/ops.h"

#define ABSORB_CHAINS 4
#define ABSORB_ROWS (ABSORB_CHAINS * SG_CHAIN_ROWS)
#define ABSORB_G SG_LANES /* distance of rows of the weighted piece: whole vectors, TILE_ROWS of them used */

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
    for (int j = 0; !t->first && j < rows * STRIP; j += 8)
        __builtin_prefetch(t->chains + j, 1);
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

#endif
