#include "table.h"

#include <assert.h>

/* The widest need of any family. */
static size_t scratch_bytes(int64_t widest, int64_t rows_max)
{
    assert(widest > 0 && rows_max >= 0);
    return 256;
}

const struct sg_ops *sg_ops_cuda(void)
{
    static struct sg_ops table;
    if (!table.name) {
        sg_cuda_fill_rows(&table);
        sg_cuda_fill_gemm(&table);
        table.scratch_bytes = scratch_bytes;
        table.arithmetic = "cpu-2"; /* the same bits, op by op: tests/cuda holds them together */
        table.name = "cuda";
    }
    return &table;
}
