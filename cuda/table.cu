#include "table.h"

#include <assert.h>
#include <stdio.h>

#include "device.h"
#include "noise.h"

/* The widest need of any family. */
static size_t scratch_bytes(int64_t widest, int64_t rows_max)
{
    assert(widest > 0 && rows_max >= 0);
    return 256;
}

static const char *sync_card(void)
{
    return sg_cuda_sync() == SG_OK ? NULL : sg_error_text();
}

/* About what fills the multiprocessors of a large card: panels of some 24 units of some 16 rows. Unmeasured. */
#define PANELS_WANTED 64

const struct sg_ops *sg_ops_cuda(void)
{
    static struct sg_far_memory memory;
    memory.alloc = sg_cuda_alloc;
    memory.release = sg_cuda_free;
    memory.upload = sg_cuda_upload;
    memory.download = sg_cuda_download;
    memory.copy = sg_cuda_copy;
    memory.zero = sg_cuda_zero;
    memory.sync = sync_card;
    memory.room = sg_cuda_memory;
    memory.panels_wanted = PANELS_WANTED;
    memory.noise = sg_cuda_noise();
    static struct sg_ops table;
    static char arithmetic[640];
    /* The bits are cpu-2's, op by op (tests/cuda holds them together), as long as the card rounds as IEEE 754 says. */
    snprintf(arithmetic, sizeof arithmetic, "cuda-1 (as cpu-2), %s", sg_cuda_environment());
    table.far = &memory;
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
