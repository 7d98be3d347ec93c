/* Vectors of weights: the release's scale, the optimizers, the moving average. Plain formulas, no fused operation, so
 * that the reference's loops give the same bits. */
#ifndef SG_OPS_CPU_OPTIMIZER_H
#define SG_OPS_CPU_OPTIMIZER_H

#include "cpu/rows.h"

static void scale_sum(int64_t n, const int64_t *sum, double scale, float *gradient)
{
    int64_t i = 0;
    for (; i + SG_LANES <= n; i += SG_LANES) {
        vd low = vd_mul(vd_from_int64(sum + i), vd_set(scale));
        vd high = vd_mul(vd_from_int64(sum + i + SG_LANES / 2), vd_set(scale));
        vf_store(gradient + i, vf_from(low, high));
    }
    for (; i < n; i++)
        gradient[i] = (float)((double)sum[i] * scale);
}

static void sgd(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *velocity, float *p)
{
    const vf momentum = vf_set(step->momentum), rate = vf_set(step->learning_rate);
    for (int64_t i = 0; i < n; i += SG_LANES) {
        int64_t m = lanes_left(n, i);
        vf v = vf_add(vf_mul(momentum, load_left(velocity + i, m)), load_left(gradient + i, m));
        store_left(velocity + i, v, m);
        store_left(p + i, vf_sub(load_left(p + i, m), vf_mul(rate, v)), m);
    }
}

static void adam(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *m, float *v, float *p)
{
    const vf beta1 = vf_set(step->beta1), rest1 = vf_set(1 - step->beta1);
    const vf beta2 = vf_set(step->beta2), rest2 = vf_set(1 - step->beta2);
    const vf correction1 = vf_set((float)step->correction1), correction2 = vf_set((float)step->correction2);
    const vf rate = vf_set(step->learning_rate), epsilon = vf_set(step->epsilon);
    for (int64_t i = 0; i < n; i += SG_LANES) {
        int64_t k = lanes_left(n, i);
        vf g = load_left(gradient + i, k);
        vf mean = vf_add(vf_mul(beta1, load_left(m + i, k)), vf_mul(rest1, g));
        vf square = vf_add(vf_mul(beta2, load_left(v + i, k)), vf_mul(rest2, vf_mul(g, g)));
        vf scale = vf_add(vf_sqrt(vf_div(square, correction2)), epsilon);
        vf update = vf_div(vf_mul(rate, vf_div(mean, correction1)), scale);
        store_left(m + i, mean, k);
        store_left(v + i, square, k);
        store_left(p + i, vf_sub(load_left(p + i, k), update), k);
    }
}

static void average(int64_t n, float decay, const float *p, float *average_to)
{
    const vf keep = vf_set(decay), take = vf_set(1 - decay);
    for (int64_t i = 0; i < n; i += SG_LANES) {
        int64_t m = lanes_left(n, i);
        vf x = vf_add(vf_mul(keep, load_left(average_to + i, m)), vf_mul(take, load_left(p + i, m)));
        store_left(average_to + i, x, m);
    }
}

#endif
