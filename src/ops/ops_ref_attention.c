/* The reference backend's self-attention: one query at a time, in double. Scratch: two rows of T, and the gradients of
 * keys and values of one head in double. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "ops_ref.h"

size_t sg_ref_attention_scratch_bytes(int64_t rows_per_unit_max, int64_t width)
{
    assert(rows_per_unit_max > 0 && width > 0);
    return ((size_t)(2 * rows_per_unit_max * (1 + width)) * sizeof(double) + 63) / 64 * 64;
}

/* p = softmax of scale q . k over n keys; returns the log of the sum. */
static double probabilities(int64_t n, int64_t width, float scale, const float *q, const float *k, int64_t ld,
                            double *p)
{
    double top = -INFINITY, total = 0;
    for (int64_t s = 0; s < n; s++) {
        p[s] = scale * ref_dot(width, q, k + s * ld);
        top = fmax(top, p[s]);
    }
    for (int64_t s = 0; s < n; s++)
        total += p[s] = exp(p[s] - top);
    for (int64_t s = 0; s < n; s++)
        p[s] /= total;
    return top + log(total);
}

void sg_ref_attention(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                      const float *q, const float *k, const float *v, int64_t ld, float *lse, float *out, int64_t ldout,
                      void *scratch)
{
    double *p = scratch;
    for (int64_t b = 0; b < n_units; b++)
        for (int64_t head = 0; head < n_heads; head++)
            for (int64_t first = offset[b], t = first; t < offset[b + 1]; t++) {
                int64_t n = offset[b + 1] - first, at = head * width;
                lse[t * n_heads + head] =
                    (float)probabilities(n, width, scale, q + t * ld + at, k + first * ld + at, ld, p);
                for (int64_t j = 0; j < width; j++) {
                    double sum = 0;
                    for (int64_t s = 0; s < n; s++)
                        sum += p[s] * v[(first + s) * ld + at + j];
                    out[t * ldout + at + j] = (float)sum;
                }
            }
}

/* One head of one unit of n rows. */
struct head {
    int64_t n, width, ld, lddout, ldd;
    float scale;
    const float *q, *k, *v, *dout;
    float *dq;
    double *p, *dp, *dk, *dv; /* (n), (n), (n, width), (n, width) */
};

/* What query t adds: dv_s += p_s dout, dscore_s = p_s (dp_s - sum p dp), dk_s += scale dscore_s q, dq = scale sum
 * dscore_s k_s. */
static void query_backward(const struct head *h, int64_t t)
{
    const float *q = h->q + t * h->ld, *dout = h->dout + t * h->lddout;
    double mean = 0;
    probabilities(h->n, h->width, h->scale, q, h->k, h->ld, h->p);
    for (int64_t s = 0; s < h->n; s++) {
        h->dp[s] = ref_dot(h->width, dout, h->v + s * h->ld);
        mean += h->p[s] * h->dp[s];
    }
    for (int64_t s = 0; s < h->n; s++)
        h->dp[s] = h->scale * h->p[s] * (h->dp[s] - mean);
    for (int64_t j = 0; j < h->width; j++) {
        double sum = 0;
        for (int64_t s = 0; s < h->n; s++) {
            sum += h->dp[s] * h->k[s * h->ld + j];
            h->dk[s * h->width + j] += h->dp[s] * q[j];
            h->dv[s * h->width + j] += h->p[s] * dout[j];
        }
        h->dq[t * h->ldd + j] = (float)sum;
    }
}

void sg_ref_attention_backward(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                               const float *q, const float *k, const float *v, int64_t ld, const float *lse,
                               const float *out, int64_t ldout, const float *dout, int64_t lddout, float *dq, float *dk,
                               float *dv, int64_t ldd, void *scratch)
{
    (void)lse, (void)out, (void)ldout; /* the truth finds its probabilities again in double */
    for (int64_t b = 0; b < n_units; b++)
        for (int64_t head = 0; head < n_heads; head++) {
            int64_t n = offset[b + 1] - offset[b], at = offset[b] * ld + head * width;
            int64_t to = offset[b] * ldd + head * width;
            double *p = scratch;
            const struct head h = {
                .n = n,
                .width = width,
                .ld = ld,
                .lddout = lddout,
                .ldd = ldd,
                .scale = scale,
                .q = q + at,
                .k = k + at,
                .v = v + at,
                .dout = dout + offset[b] * lddout + head * width,
                .dq = dq + to,
                .p = p,
                .dp = p + n,
                .dk = p + 2 * n,
                .dv = p + (2 + width) * n,
            };
            memset(h.dk, 0, (size_t)(2 * n * width) * sizeof *h.dk);
            for (int64_t t = 0; t < n; t++)
                query_backward(&h, t);
            for (int64_t s = 0; s < n; s++)
                for (int64_t j = 0; j < width; j++) {
                    dk[to + s * ldd + j] = (float)h.dk[s * width + j];
                    dv[to + s * ldd + j] = (float)h.dv[s * width + j];
                }
        }
}
