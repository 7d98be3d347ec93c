/* The last one to three columns of the weighted gradient sum, for one tile of outputs: with lanes over outputs, since
 * they would fill a small part of a vector of their own. */
#ifndef SG_OPS_CPU_ABSORB_TAIL_H
#define SG_OPS_CPU_ABSORB_TAIL_H

#include "cpu/absorb_tile.h"

#define ABSORB_TAIL 3 /* columns */

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

#endif
