/* How kernels that work row by row are laid over the card. */
#ifndef SG_CUDA_LAYOUT_H
#define SG_CUDA_LAYOUT_H

#include "primitives.h"

#define SG_ROWS_THREADS 256

/* Element by element over (n_rows, width): x of a block runs along a row, y over rows; the grid is cut off at what a
 * card takes and kernels loop beyond it. Not for empty matrices. */
struct rows_launch {
    dim3 grid, block;
};

static inline struct rows_launch rows_over(int64_t n_rows, int64_t width)
{
    struct rows_launch launch;
    unsigned across = SG_WARP;
    while (across < SG_ROWS_THREADS && across < width)
        across *= 2;
    unsigned down = SG_ROWS_THREADS / across;
    int64_t blocks = (n_rows + down - 1) / down;
    launch.block = dim3(across, down);
    launch.grid = dim3((unsigned)sg_blocks(width, across), (unsigned)(blocks < 65535 ? blocks : 65535));
    return launch;
}

SG_DEVICE int64_t rows_first()
{
    return (int64_t)blockIdx.y * blockDim.y + threadIdx.y;
}

SG_DEVICE int64_t rows_step()
{
    return (int64_t)gridDim.y * blockDim.y;
}

/* Rows by half warps in blocks of SG_ROWS_THREADS: each half takes every halves_step()-th row. Loops run as often in
 * both halves of a warp (row < n + row % 2): what a half without a row does must be harmless. */
#define SG_HALVES (SG_ROWS_THREADS / 16)

SG_DEVICE int64_t halves_first()
{
    return (int64_t)blockIdx.x * SG_HALVES + threadIdx.x / 16;
}

SG_DEVICE int64_t halves_step()
{
    return (int64_t)gridDim.x * SG_HALVES;
}

static inline int halves_blocks(int64_t n_rows)
{
    int64_t blocks = (n_rows + SG_HALVES - 1) / SG_HALVES;
    return (int)(blocks < 65535 ? blocks : 65535);
}

#endif
