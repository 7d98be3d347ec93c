/* Element-wise work on rows: copies, sums, masks, activations, the loss. */
#ifndef SG_OPS_CPU_ROWS_H
#define SG_OPS_CPU_ROWS_H

#include <assert.h>

#include "cpu/gemm.h"
#include "cpu/transcend.h"
#include "ops/ops.h"

static void copy_rows(int64_t n_rows, int64_t width, const float *src, int64_t lds, const int32_t *src_rows, float *dst,
                      int64_t ldd, const int32_t *dst_rows)
{
    for (int64_t i = 0; i < n_rows; i++)
        copy_floats(width, src + (src_rows ? src_rows[i] : i) * lds, dst + (dst_rows ? dst_rows[i] : i) * ldd);
}

static void add_rows(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    for (int64_t i = 0; i < n_rows; i++, x += ldx, y += ldy)
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            store_left(x + j, vf_add(load_left(x + j, n), load_left(y + j, n)), n);
        }
}

static void multiply_rows(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    for (int64_t i = 0; i < n_rows; i++, x += ldx, y += ldy)
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            store_left(x + j, vf_mul(load_left(x + j, n), load_left(y + j, n)), n);
        }
}

static void activate(enum sg_activation f, int64_t n_rows, int64_t width, float *x, int64_t ldx)
{
    for (int64_t i = 0; i < n_rows; i++, x += ldx)
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            vf v = load_left(x + j, n);
            store_left(x + j, f == SG_TANH ? vf_tanh(v) : vf_if_negative(v, vf_zero(), v), n);
        }
}

static void activate_backward(enum sg_activation f, int64_t n_rows, int64_t width, const float *y, int64_t ldy,
                              float *g, int64_t ldg)
{
    for (int64_t i = 0; i < n_rows; i++, y += ldy, g += ldg)
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            vf v = load_left(y + j, n), d = load_left(g + j, n);
            d = f == SG_TANH ? vf_mul(d, vf_fnma(v, v, vf_set(1.0f))) : vf_if_at_most_zero(v, vf_zero(), d);
            store_left(g + j, d, n);
        }
}

/* loss = max(z, 0) - z y + log(1 + exp(-|z|)) */
static void bce(int64_t n_units, const float *logit, const float *label, float scale, float *loss, float *dlogit)
{
    for (int64_t i = 0; i < n_units; i += SG_LANES) {
        int64_t n = lanes_left(n_units, i);
        vf z = load_left(logit + i, n), y = load_left(label + i, n);
        if (loss) {
            vf rest = log_one_plus(exp_negative(vf_sub(vf_zero(), vf_abs(z))));
            vf kink = vf_fnma(z, y, vf_if_negative(z, vf_zero(), z));
            store_left(loss + i, vf_add(kink, rest), n);
        }
        store_left(dlogit + i, vf_mul(vf_sub(vf_sigmoid(z), y), vf_set(scale)), n);
    }
}

#endif
