#include "table.h"

const struct sg_ops *sg_ops_cuda(void)
{
    static struct sg_ops table;
    if (!table.name) {
        sg_cuda_fill_absorb(&table);
        sg_cuda_fill_clip(&table);
        sg_cuda_fill_column_absorb(&table);
        sg_cuda_fill_column_norms(&table);
        sg_cuda_fill_group_norm(&table);
        sg_cuda_fill_optimizer(&table);
        sg_cuda_fill_rows(&table);
        table.arithmetic = "cpu-2"; /* the same bits, op by op: tests/cuda holds them together */
        table.name = "cuda";
    }
    return &table;
}
