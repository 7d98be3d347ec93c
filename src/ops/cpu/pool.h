/* Attention pooling: softmax of the scores over a unit's rows, and the weighted mean of its hidden states. */
#ifndef SG_OPS_CPU_POOL_H
#define SG_OPS_CPU_POOL_H

#include "cpu/rows.h"
#include "cpu/sum.h"

/* alpha = softmax(score) over n rows; the sum runs over ascending rows. */
static void softmax(int64_t n, const float *score, float *alpha)
{
    float top = score[0];
    for (int64_t r = 1; r < n; r++)
        top = score[r] > top ? score[r] : top;
    for (int64_t r = 0; r < n; r += SG_LANES) {
        int64_t m = lanes_left(n, r);
        store_left(alpha + r, exp_negative(vf_sub(load_left(score + r, m), vf_set(top))), m);
    }
    float total = 0;
    for (int64_t r = 0; r < n; r++)
        total += alpha[r];
    for (int64_t r = 0; r < n; r++)
        alpha[r] /= total;
}

static void pool_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *score, const float *h,
                         int64_t ldh, float *alpha, float *pooled, int64_t ldp)
{
    for (int64_t b = 0; b < n_units; b++, pooled += ldp) {
        int64_t first = offset[b], n = offset[b + 1] - first;
        assert(n > 0);
        softmax(n, score + first, alpha + first);
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t m = lanes_left(width, j);
            vf sum = vf_zero();
            for (int64_t r = first; r < first + n; r++)
                sum = vf_fma(vf_set(alpha[r]), load_left(h + r * ldh + j, m), sum);
            store_left(pooled + j, sum, m);
        }
    }
}

static void pool_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *alpha, const float *h,
                          int64_t ldh, const float *dpooled, int64_t lddp, float *dscore, float *dh, int64_t lddh)
{
    for (int64_t b = 0; b < n_units; b++, dpooled += lddp) {
        float mean = 0;
        for (int64_t r = offset[b]; r < offset[b + 1]; r++) {
            dscore[r] = dot(width, dpooled, h + r * ldh);
            mean += alpha[r] * dscore[r];
            for (int64_t j = 0; j < width; j += SG_LANES) {
                int64_t m = lanes_left(width, j);
                store_left(dh + r * lddh + j, vf_mul(vf_set(alpha[r]), load_left(dpooled + j, m)), m);
            }
        }
        for (int64_t r = offset[b]; r < offset[b + 1]; r++)
            dscore[r] = alpha[r] * (dscore[r] - mean);
    }
}

#endif
