/* Finding the rows of one id among those of a group or a panel, in ascending order, by a block of ROWS_OF_ID threads.
 * Neither time nor memory depends on the number of ids. Called by all threads of the block. */
#ifndef SG_CUDA_ROWS_OF_ID_H
#define SG_CUDA_ROWS_OF_ID_H

#include "sums.h"

#define ROWS_OF_ID 256

struct id_rows {
    int n[ROWS_OF_ID / 32];
    int best;
    int row[ROWS_OF_ID];
};

/* Rows begin .. begin + ROWS_OF_ID, below end, whose id is `wanted`, into rows->row; returns their number. */
SG_DEVICE int rows_of_id(int64_t begin, int64_t end, const int32_t *id, int32_t wanted, struct id_rows *rows)
{
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int64_t r = begin + threadIdx.x;
    const bool match = r < end && id[r] == wanted;
    const unsigned votes = __ballot_sync(SG_ALL_LANES, match);
    int before = 0, all = 0;
    __syncthreads(); /* the last rows have been read */
    if (lane == 0)
        rows->n[warp] = __popc(votes);
    __syncthreads();
    for (int w = 0; w < ROWS_OF_ID / 32; w++) {
        before += w < warp ? rows->n[w] : 0;
        all += rows->n[w];
    }
    if (match)
        rows->row[before + __popc(votes & ((1u << lane) - 1))] = (int)r;
    __syncthreads();
    return all;
}

/* Is one of the rows begin .. end of the id `wanted`? */
SG_DEVICE bool rows_have_id(int64_t begin, int64_t end, const int32_t *id, int32_t wanted, struct id_rows *rows)
{
    bool found = false;
    for (int64_t at = begin; at < end && !found; at += ROWS_OF_ID)
        found = rows_of_id(at, end, id, wanted, rows) > 0;
    return found;
}

/* The lowest id above `last` in rows 0 .. n_rows, or -1. */
SG_DEVICE int32_t id_after(int32_t last, int64_t n_rows, const int32_t *id, struct id_rows *rows)
{
    int best = -1; /* INT32_MAX - id: the highest is the lowest id */
    for (int64_t r = threadIdx.x; r < n_rows; r += ROWS_OF_ID)
        if (id[r] > last && INT32_MAX - id[r] > best)
            best = INT32_MAX - id[r];
    __syncthreads();
    if (threadIdx.x == 0)
        rows->best = -1;
    __syncthreads();
    if (best >= 0)
        atomicMax(&rows->best, best);
    __syncthreads();
    return rows->best < 0 ? -1 : INT32_MAX - rows->best;
}

#endif
