/* The CPU backend's kernels for one vector width. The build compiles this file once with the flags of AVX2 and once
 * with those of AVX-512; SG_CPU_TABLE names the function that returns the table. Both give the same bits. */
#include "cpu/absorb.h"
#include "cpu/attention.h"
#include "cpu/cell.h"
#include "cpu/gelu.h"
#include "cpu/gemm.h"
#include "cpu/layer_norm.h"
#include "cpu/loss.h"
#include "cpu/norm.h"
#include "cpu/optimizer.h"
#include "cpu/pool.h"
#include "cpu/rows.h"
#include "ops_cpu.h"
#include "ops_ref.h"

static size_t larger(size_t x, size_t y)
{
    return x > y ? x : y;
}

static size_t scratch_bytes(int64_t widest, int64_t rows_max)
{
    size_t strip = (size_t)rows_max * SG_SUM_LANES * sizeof(float), columns = columns_scratch(widest, rows_max);
    return (larger(larger(GEMM_SCRATCH, sizeof(struct absorb_scratch)), larger(strip, columns)) + 63) / 64 * 64;
}

const struct sg_ops *SG_CPU_TABLE(void)
{
    static const struct sg_ops ops = {
        .name = "cpu",
        .arithmetic = "cpu-2",
        .scratch_bytes = scratch_bytes,
        .packed_bytes = packed_bytes,
        .pack_forward = pack_forward,
        .pack_backward = pack_backward,
        .gemm = gemm,
        .copy_rows = copy_rows,
        .add_rows = add_rows,
        .multiply_rows = multiply_rows,
        .activate = activate,
        .activate_backward = activate_backward,
        .lstm_forward = lstm_forward,
        .lstm_backward = lstm_backward,
        .pool_forward = pool_forward,
        .pool_backward = pool_backward,
        .gelu = gelu,
        .gelu_backward = gelu_backward,
        .layer_norm = layer_norm,
        .layer_norm_backward = layer_norm_backward,
        .attention_scratch_bytes = attention_scratch_bytes,
        .attention = attention,
        .attention_backward = attention_backward,
        .mean_forward = mean_forward,
        .mean_backward = mean_backward,
        .unit_length = unit_length,
        .unit_length_backward = unit_length_backward,
        .cross_entropy = cross_entropy,
        .squared_error = squared_error,
        .bce = bce,
        .group_norm = group_norm,
        .embed_norm = embed_norm,
        .scale_norm = scale_norm,
        .clip_weight = clip_weight,
        .count_groups = sg_ref_count_groups,
        .clear_rows = sg_ref_clear_rows,
        .spread_weights = sg_ref_spread_weights,
        .absorb = absorb,
        .embed_absorb = embed_absorb,
        .scale_absorb = scale_absorb,
        .scale_sum = scale_sum,
        .sgd = sgd,
        .adam = adam,
        .average = average,
    };
    return &ops;
}
