/* Softmax cross entropy and squared error. */
#ifndef SG_OPS_CPU_LOSS_H
#define SG_OPS_CPU_LOSS_H

#include "cpu/rows.h"
#include "cpu/sum.h"

/* The largest of n floats; with a NaN among them, any of them. */
static float row_top(int64_t n, const float *x)
{
    float lane[SG_LANES];
    vf top = vf_set(x[0]);
    int64_t j = 0;
    for (; j + SG_LANES <= n; j += SG_LANES)
        top = vf_max(top, vf_load(x + j));
    vf_store(lane, top);
    float most = lane[0];
    for (int l = 1; l < SG_LANES; l++)
        most = lane[l] > most ? lane[l] : most;
    for (; j < n; j++)
        most = x[j] > most ? x[j] : most;
    return most;
}

/* e = exp(x - top); returns the sum, over the lanes of sum.h in double. */
static double row_exponentials(int64_t n, const float *x, float top, float *e)
{
    vd acc[SUM_DOUBLES];
    for (int v = 0; v < SUM_DOUBLES; v++)
        acc[v] = vd_zero();
    for (int64_t j = 0; j < n; j += SG_SUM_LANES)
        for (int v = 0; v < SUM_VECTORS; v++) {
            int64_t at = j + v * SG_LANES, m = at < n ? lanes_left(n, at) : 0;
            if (!m)
                break;
            store_left(e + at, exp_negative(vf_sub(load_left(x + at, m), vf_set(top))), m);
            vf y = load_left(e + at, m);
            acc[2 * v] = vd_add(acc[2 * v], vd_low(y));
            acc[2 * v + 1] = vd_add(acc[2 * v + 1], vd_high(y));
        }
    return vd_lanes_sum(acc);
}

static void cross_entropy(int64_t n_rows, int64_t n_classes, const float *logit, int64_t ld, const int32_t *target,
                          float scale, float *loss, float *dlogit, int64_t ldd)
{
    for (int64_t r = 0; r < n_rows; r++, logit += ld, dlogit += ldd) {
        int32_t right = target[r];
        assert(right >= 0 && right < n_classes);
        float top = row_top(n_classes, logit), below = top - logit[right], lane[SG_LANES];
        double total = row_exponentials(n_classes, logit, top, dlogit);
        if (loss) {
            vf_store(lane, log_from_one(vf_set((float)total)));
            loss[r] = lane[0] + below;
        }
        float share = (float)(1 / total), e = dlogit[right];
        for (int64_t j = 0; j < n_classes; j += SG_LANES) {
            int64_t n = lanes_left(n_classes, j);
            vf p = vf_mul(load_left(dlogit + j, n), vf_set(share));
            store_left(dlogit + j, vf_mul(p, vf_set(scale)), n);
        }
        dlogit[right] = (e * share - 1) * scale;
    }
}

static void squared_error(int64_t n_units, const float *logit, const float *label, float scale, float *loss,
                          float *dlogit)
{
    for (int64_t i = 0; i < n_units; i += SG_LANES) {
        int64_t n = lanes_left(n_units, i);
        vf d = vf_sub(load_left(logit + i, n), load_left(label + i, n));
        if (loss)
            store_left(loss + i, vf_mul(vf_mul(d, d), vf_set(0.5f)), n);
        store_left(dlogit + i, vf_mul(d, vf_set(scale)), n);
    }
}

#endif
