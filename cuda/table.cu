#include "table.h"

#include <assert.h>
#include <stdio.h>

#include "device.h"

/* The widest need of any family. */
static size_t scratch_bytes(int64_t widest, int64_t rows_max)
{
    assert(widest > 0 && rows_max >= 0);
    return 256;
}

const struct sg_ops *sg_ops_cuda(void)
{
    static struct sg_ops table;
    static char arithmetic[640];
    /* The bits are cpu-2's, op by op (tests/cuda holds them together), as long as the card rounds as IEEE 754 says. */
    snprintf(arithmetic, sizeof arithmetic, "cuda-1 (as cpu-2), %s", sg_cuda_environment());
    table.name = "cuda";
    table.arithmetic = arithmetic;
    table.scratch_bytes = scratch_bytes;
    sg_cuda_fill_absorb(&table);
    sg_cuda_fill_attention(&table);
    sg_cuda_fill_attention_backward(&table);
    sg_cuda_fill_clip(&table);
    sg_cuda_fill_column_absorb(&table);
    sg_cuda_fill_column_norms(&table);
    sg_cuda_fill_elements(&table);
    sg_cuda_fill_gemm(&table);
    sg_cuda_fill_group_norm(&table);
    sg_cuda_fill_losses(&table);
    sg_cuda_fill_optimizer(&table);
    sg_cuda_fill_pool(&table);
    sg_cuda_fill_recurrent(&table);
    sg_cuda_fill_rows(&table);
    sg_cuda_fill_rows_norm(&table);
    return &table;
}
