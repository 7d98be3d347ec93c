#include "table.h"

const struct sg_ops *sg_ops_cuda(void)
{
    static struct sg_ops table;
    if (!table.name) {
        sg_cuda_fill_rows(&table);
        table.arithmetic = "cpu-2"; /* the same bits, op by op: tests/cuda holds them together */
        table.name = "cuda";
    }
    return &table;
}
