#include "table.h"

const struct sg_ops *sg_ops_cuda(void)
{
    static struct sg_ops table;
    if (!table.name) {
        sg_cuda_fill_rows(&table);
        sg_cuda_fill_elements(&table);
        sg_cuda_fill_recurrent(&table);
        sg_cuda_fill_rows_norm(&table);
        sg_cuda_fill_pool(&table);
        sg_cuda_fill_losses(&table);
        sg_cuda_fill_attention(&table);
        sg_cuda_fill_attention_backward(&table);
        table.arithmetic = "cpu-2"; /* the same bits, op by op: tests/cuda holds them together */
        table.name = "cuda";
    }
    return &table;
}
