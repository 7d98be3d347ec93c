/* Rows moved, added and multiplied. One thread a float: neighbours in a row are neighbours in a warp. */
#include "launch.h"
#include "primitives.h"
#include "table.h"

static const int THREADS = 256;

SG_KERNEL(sg_k_copy_rows)
(int64_t n_rows, int64_t width, const float *src, int64_t lds, const int32_t *src_rows, float *dst, int64_t ldd,
 const int32_t *dst_rows)
{
    for (int64_t i = sg_grid_first(); i < n_rows * width; i += sg_grid_step()) {
        int64_t r = i / width, j = i % width;
        dst[sg_row_of(dst_rows, r) * ldd + j] = src[sg_row_of(src_rows, r) * lds + j];
    }
}

SG_KERNEL(sg_k_add_rows)(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    for (int64_t i = sg_grid_first(); i < n_rows * width; i += sg_grid_step()) {
        int64_t r = i / width, j = i % width;
        x[r * ldx + j] += y[r * ldy + j];
    }
}

SG_KERNEL(sg_k_multiply_rows)(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    for (int64_t i = sg_grid_first(); i < n_rows * width; i += sg_grid_step()) {
        int64_t r = i / width, j = i % width;
        x[r * ldx + j] *= y[r * ldy + j];
    }
}

static void copy_rows(int64_t n_rows, int64_t width, const float *src, int64_t lds, const int32_t *src_rows, float *dst,
                      int64_t ldd, const int32_t *dst_rows)
{
    assert(n_rows >= 0 && width >= 0);
    if (n_rows * width > 0)
        SG_LAUNCH(sg_k_copy_rows, sg_blocks(n_rows * width, THREADS), THREADS, 0, n_rows, width, src, lds, src_rows,
                  dst, ldd, dst_rows);
}

static void add_rows(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    assert(n_rows >= 0 && width >= 0);
    if (n_rows * width > 0)
        SG_LAUNCH(sg_k_add_rows, sg_blocks(n_rows * width, THREADS), THREADS, 0, n_rows, width, x, ldx, y, ldy);
}

static void multiply_rows(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    assert(n_rows >= 0 && width >= 0);
    if (n_rows * width > 0)
        SG_LAUNCH(sg_k_multiply_rows, sg_blocks(n_rows * width, THREADS), THREADS, 0, n_rows, width, x, ldx, y, ldy);
}

void sg_cuda_fill_rows(struct sg_ops *ops)
{
    ops->copy_rows = copy_rows;
    ops->add_rows = add_rows;
    ops->multiply_rows = multiply_rows;
}
