/* The reference backend: plain loops, written to be read. GEMM and absorb are the specified chains of fused
 * multiply-adds, so that every other backend can be compared with them bit for bit. Transcendental functions and the
 * sums of pooling and norms are taken in double and rounded to float once; the optimizers are float formulas in one
 * written-down order. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "ops_ref.h"

static int64_t row_of(const int32_t *list, int64_t i)
{
    return list ? list[i] : i;
}

static size_t scratch_bytes(int64_t widest, int64_t rows_max)
{
    assert(widest > 0 && rows_max >= 0);
    return 64; /* nothing is needed; a place of its own keeps callers free of a special case */
}

/* ---- GEMM: packed is b (n_k, n_cols) as it stands ---- */

static size_t packed_bytes(int64_t n_k, int64_t n_cols)
{
    return ((size_t)(n_k * n_cols) * sizeof(float) + 63) / 64 * 64;
}

static void pack_forward(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed)
{
    float *b = packed; /* (n_in, n_out) */
    for (int64_t o = 0; o < n_out; o++)
        for (int64_t i = 0; i < n_in; i++)
            b[i * n_out + o] = w[o * ldw + i];
}

static void pack_backward(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed)
{
    float *b = packed; /* (n_out, n_in) */
    for (int64_t o = 0; o < n_out; o++)
        memcpy(b + o * n_in, w + o * ldw, (size_t)n_in * sizeof *b);
}

static void gemm(int64_t n_rows, int64_t n_k, int64_t n_cols, const float *a, int64_t lda, const int32_t *a_rows,
                 const void *packed, float *c, int64_t ldc, const int32_t *c_rows, bool accumulate, void *scratch)
{
    (void)scratch;
    const float *b = packed;
    for (int64_t r = 0; r < n_rows; r++) {
        const float *ar = a + row_of(a_rows, r) * lda;
        float *cr = c + row_of(c_rows, r) * ldc;
        if (!accumulate)
            memset(cr, 0, (size_t)n_cols * sizeof *cr);
        for (int64_t k = 0; k < n_k; k++)
            for (int64_t j = 0; j < n_cols; j++)
                cr[j] = fmaf(ar[k], b[k * n_cols + j], cr[j]);
    }
}

/* ---- Rows ---- */

static void copy_rows(int64_t n_rows, int64_t width, const float *src, int64_t lds, const int32_t *src_rows, float *dst,
                      int64_t ldd, const int32_t *dst_rows)
{
    for (int64_t r = 0; r < n_rows; r++)
        memcpy(dst + row_of(dst_rows, r) * ldd, src + row_of(src_rows, r) * lds, (size_t)width * sizeof *dst);
}

static void add_rows(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t j = 0; j < width; j++)
            x[r * ldx + j] += y[r * ldy + j];
}

static void multiply_rows(int64_t n_rows, int64_t width, float *x, int64_t ldx, const float *y, int64_t ldy)
{
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t j = 0; j < width; j++)
            x[r * ldx + j] *= y[r * ldy + j];
}

/* A NaN passes through ReLU: it must reach the finiteness check of the norms. */
static void activate(enum sg_activation f, int64_t n_rows, int64_t width, float *x, int64_t ldx)
{
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t j = 0; j < width; j++) {
            float *p = &x[r * ldx + j];
            *p = f == SG_TANH ? (float)tanh(*p) : *p < 0 ? 0 : *p;
        }
}

static void activate_backward(enum sg_activation f, int64_t n_rows, int64_t width, const float *y, int64_t ldy,
                              float *g, int64_t ldg)
{
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t j = 0; j < width; j++) {
            float *p = &g[r * ldg + j];
            double out = y[r * ldy + j];
            *p = f == SG_TANH ? (float)(*p * (1 - out * out)) : out <= 0 ? 0 : *p;
        }
}

/* ---- LSTM ---- */

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static void lstm_forward(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                         float *gates, int64_t ldgates, float *c, int64_t ldc, float *y, int64_t ldy, float *h_next,
                         int64_t ldh)
{
    for (int64_t u = 0; u < n; u++) {
        float *gate = gates + rows[u] * ldgates; /* i (H), f (H), g (H), o (H) */
        const float *before = prev[u] < 0 ? NULL : c + prev[u] * ldc;
        for (int64_t j = 0; j < hidden; j++) {
            float *i = &gate[j], *f = &gate[hidden + j], *g = &gate[2 * hidden + j], *o = &gate[3 * hidden + j];
            *i = (float)sigmoid(*i);
            *f = (float)sigmoid(*f);
            *g = (float)tanh(*g);
            *o = (float)sigmoid(*o);
            float cell = (float)((double)*i * *g + (before ? (double)*f * before[j] : 0));
            float h = (float)(*o * tanh(cell));
            c[rows[u] * ldc + j] = cell;
            y[rows[u] * ldy + j] = h;
            if (next[u] >= 0)
                h_next[next[u] * ldh + j] = h;
        }
    }
}

static void lstm_backward(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                          float *gates, int64_t ldgates, const float *c, int64_t ldc, const float *dy, int64_t lddy,
                          float *dc, int64_t lddc)
{
    for (int64_t u = 0; u < n; u++) {
        float *gate = gates + rows[u] * ldgates;
        const float *before = prev[u] < 0 ? NULL : c + prev[u] * ldc;
        for (int64_t j = 0; j < hidden; j++) {
            double i = gate[j], f = gate[hidden + j], g = gate[2 * hidden + j], o = gate[3 * hidden + j];
            double t = tanh(c[rows[u] * ldc + j]), dh = dy[rows[u] * lddy + j];
            double dcell = dh * o * (1 - t * t) + (next[u] < 0 ? 0 : dc[rows[u] * lddc + j]);
            gate[j] = (float)(dcell * g * i * (1 - i));
            gate[hidden + j] = (float)(before ? dcell * before[j] * f * (1 - f) : 0);
            gate[2 * hidden + j] = (float)(dcell * i * (1 - g * g));
            gate[3 * hidden + j] = (float)(dh * t * o * (1 - o));
            if (before)
                dc[prev[u] * lddc + j] = (float)(dcell * f);
        }
    }
}

/* ---- Attention pooling ---- */

static void pool_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *score, const float *h,
                         int64_t ldh, float *alpha, float *pooled, int64_t ldp)
{
    for (int64_t b = 0; b < n_units; b++) {
        int32_t begin = offset[b], end = offset[b + 1];
        assert(begin < end);
        double top = score[begin], total = 0;
        for (int32_t r = begin; r < end; r++)
            top = fmax(top, score[r]);
        for (int32_t r = begin; r < end; r++)
            total += exp(score[r] - top);
        for (int32_t r = begin; r < end; r++)
            alpha[r] = (float)(exp(score[r] - top) / total);
        for (int64_t j = 0; j < width; j++) {
            double sum = 0;
            for (int32_t r = begin; r < end; r++)
                sum += (double)alpha[r] * h[r * ldh + j];
            pooled[b * ldp + j] = (float)sum;
        }
    }
}

static void pool_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *alpha, const float *h,
                          int64_t ldh, const float *dpooled, int64_t lddp, float *dscore, float *dh, int64_t lddh)
{
    for (int64_t b = 0; b < n_units; b++) {
        const float *dp = dpooled + b * lddp;
        double mean = 0; /* sum over rows of alpha_r (dpooled . h_r) */
        for (int32_t r = offset[b]; r < offset[b + 1]; r++)
            mean += alpha[r] * ref_dot(width, dp, h + r * ldh);
        for (int32_t r = offset[b]; r < offset[b + 1]; r++) {
            dscore[r] = (float)(alpha[r] * (ref_dot(width, dp, h + r * ldh) - mean));
            for (int64_t j = 0; j < width; j++)
                dh[r * lddh + j] = alpha[r] * dp[j];
        }
    }
}

/* ---- Loss ---- */

static void bce(int64_t n_units, const float *logit, const float *label, float scale, float *loss, float *dlogit)
{
    for (int64_t b = 0; b < n_units; b++) {
        double z = logit[b], y = label[b];
        if (loss)
            loss[b] = (float)(fmax(z, 0) + log1p(exp(-fabs(z))) - y * z);
        dlogit[b] = (float)((sigmoid(z) - y) * scale);
    }
}

/* ---- Optimizer ---- */

static void scale_sum(int64_t n, const int64_t *sum, double scale, float *gradient)
{
    for (int64_t i = 0; i < n; i++)
        gradient[i] = (float)((double)sum[i] * scale);
}

static void sgd(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *velocity, float *p)
{
    for (int64_t i = 0; i < n; i++) {
        velocity[i] = step->momentum * velocity[i] + gradient[i];
        p[i] -= step->learning_rate * velocity[i];
    }
}

static void adam(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *m, float *v, float *p)
{
    float correction1 = (float)step->correction1, correction2 = (float)step->correction2;
    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i];
        m[i] = step->beta1 * m[i] + (1 - step->beta1) * g;
        v[i] = step->beta2 * v[i] + (1 - step->beta2) * (g * g);
        float mean = m[i] / correction1, variance = v[i] / correction2;
        p[i] -= step->learning_rate * mean / (sqrtf(variance) + step->epsilon);
    }
}

static void average(int64_t n, float decay, const float *p, float *averaged)
{
    for (int64_t i = 0; i < n; i++)
        averaged[i] = decay * averaged[i] + (1 - decay) * p[i];
}

const struct sg_ops *sg_ops_reference(void)
{
    static const struct sg_ops ops = {
        .name = "reference",
        .arithmetic = "reference-1",
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
        .gelu = sg_ref_gelu,
        .gelu_backward = sg_ref_gelu_backward,
        .layer_norm = sg_ref_layer_norm,
        .layer_norm_backward = sg_ref_layer_norm_backward,
        .attention_scratch_bytes = sg_ref_attention_scratch_bytes,
        .attention = sg_ref_attention,
        .attention_backward = sg_ref_attention_backward,
        .mean_forward = sg_ref_mean_forward,
        .mean_backward = sg_ref_mean_backward,
        .unit_length = sg_ref_unit_length,
        .unit_length_backward = sg_ref_unit_length_backward,
        .cross_entropy = sg_ref_cross_entropy,
        .squared_error = sg_ref_squared_error,
        .bce = bce,
        .group_norm = sg_ref_group_norm,
        .embed_norm = sg_ref_embed_norm,
        .scale_norm = sg_ref_scale_norm,
        .clip_weight = sg_ref_clip_weight,
        .count_groups = sg_ref_count_groups,
        .clear_rows = sg_ref_clear_rows,
        .spread_weights = sg_ref_spread_weights,
        .absorb = sg_ref_absorb,
        .embed_absorb = sg_ref_embed_absorb,
        .scale_absorb = sg_ref_scale_absorb,
        .scale_sum = scale_sum,
        .sgd = sgd,
        .adam = adam,
        .average = average,
    };
    return &ops;
}
