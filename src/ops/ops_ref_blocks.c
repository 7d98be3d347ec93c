/* The reference backend's transformer blocks and losses: everything is taken in double and rounded to float once. */
#include <assert.h>
#include <math.h>

#include "ops_ref.h"

#define SQRT_HALF 0.70710678118654752440
#define ONE_OVER_SQRT_TWO_PI 0.39894228040143267794
#define SQRT_TWO_OVER_PI 0.79788456080286535588
#define GELU_CUBE 0.044715
#define LENGTH_MIN 1e-12f

/* ---- GELU ---- */

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* Where neither form is more than 1e-300 from its limit, minus infinity included. */
static bool is_far(double x)
{
    return fabs(x) > 40;
}

/* By tanh: (1 + tanh u) / 2 = sigmoid(2 u), u = sqrt(2 / pi) (x + .044715 x^3). */
static double gate(enum sg_gelu f, double x)
{
    if (is_far(x))
        return x > 0;
    return f == SG_GELU_ERF ? 0.5 * erfc(-x * SQRT_HALF) : sigmoid(2 * SQRT_TWO_OVER_PI * (x + GELU_CUBE * x * x * x));
}

static double gelu_slope(enum sg_gelu f, double x)
{
    double p = gate(f, x);
    if (is_far(x))
        return p;
    if (f == SG_GELU_ERF)
        return p + x * ONE_OVER_SQRT_TWO_PI * exp(-x * x / 2);
    return p + x * p * (1 - p) * 2 * SQRT_TWO_OVER_PI * (1 + 3 * GELU_CUBE * x * x);
}

void sg_ref_gelu(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *y, int64_t ldy)
{
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t j = 0; j < width; j++) {
            double v = x[r * ldx + j], p = gate(f, v);
            y[r * ldy + j] = p == 0 ? 0 : (float)(v * p);
        }
}

void sg_ref_gelu_backward(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *g,
                          int64_t ldg)
{
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t j = 0; j < width; j++)
            g[r * ldg + j] = (float)(g[r * ldg + j] * gelu_slope(f, x[r * ldx + j]));
}

/* ---- Layer norm ---- */

void sg_ref_layer_norm(int64_t n_rows, int64_t width, float epsilon, const float *x, int64_t ldx, const float *gain,
                       const float *bias, float *xhat, int64_t ldxhat, float *rstd, float *y, int64_t ldy)
{
    for (int64_t r = 0; r < n_rows; r++) {
        const float *xr = x + r * ldx;
        double mean = 0, variance = 0;
        for (int64_t j = 0; j < width; j++)
            mean += xr[j];
        mean /= (double)width;
        for (int64_t j = 0; j < width; j++)
            variance += (xr[j] - mean) * (xr[j] - mean);
        double scale = 1 / sqrt(variance / (double)width + epsilon);
        rstd[r] = (float)scale;
        for (int64_t j = 0; j < width; j++) {
            float normal = (float)((xr[j] - mean) * scale);
            xhat[r * ldxhat + j] = normal;
            y[r * ldy + j] = (float)((double)normal * gain[j] + bias[j]);
        }
    }
}

void sg_ref_layer_norm_backward(int64_t n_rows, int64_t width, const float *xhat, int64_t ldxhat, const float *rstd,
                                const float *gain, const float *dy, int64_t lddy, float *dx, int64_t lddx)
{
    for (int64_t r = 0; r < n_rows; r++) {
        const float *normal = xhat + r * ldxhat, *d = dy + r * lddy;
        double mean = 0, along = 0;
        for (int64_t j = 0; j < width; j++) {
            mean += (double)d[j] * gain[j] / (double)width;
            along += (double)d[j] * gain[j] * normal[j] / (double)width;
        }
        for (int64_t j = 0; j < width; j++)
            dx[r * lddx + j] = (float)(rstd[r] * ((double)d[j] * gain[j] - mean - normal[j] * along));
    }
}

/* ---- Pooling by the mean, unit length ---- */

void sg_ref_mean_forward(int64_t n_units, const int32_t *offset, int64_t width, const float *h, int64_t ldh,
                         float *pooled, int64_t ldp)
{
    for (int64_t b = 0; b < n_units; b++) {
        assert(offset[b] < offset[b + 1]);
        for (int64_t j = 0; j < width; j++) {
            double sum = 0;
            for (int32_t r = offset[b]; r < offset[b + 1]; r++)
                sum += h[r * ldh + j];
            pooled[b * ldp + j] = (float)(sum / (offset[b + 1] - offset[b]));
        }
    }
}

void sg_ref_mean_backward(int64_t n_units, const int32_t *offset, int64_t width, const float *dpooled, int64_t lddp,
                          float *dh, int64_t lddh)
{
    for (int64_t b = 0; b < n_units; b++)
        for (int32_t r = offset[b]; r < offset[b + 1]; r++)
            for (int64_t j = 0; j < width; j++)
                dh[r * lddh + j] = dpooled[b * lddp + j] / (float)(offset[b + 1] - offset[b]);
}

void sg_ref_unit_length(int64_t n_rows, int64_t width, float *x, int64_t ldx, float *length)
{
    for (int64_t r = 0; r < n_rows; r++) {
        float norm = (float)sqrt(ref_dot(width, x + r * ldx, x + r * ldx));
        length[r] = norm < LENGTH_MIN ? LENGTH_MIN : norm;
        for (int64_t j = 0; j < width; j++)
            x[r * ldx + j] /= length[r];
    }
}

/* A row shorter than the least length was only scaled: no direction of it is lost. */
void sg_ref_unit_length_backward(int64_t n_rows, int64_t width, const float *y, int64_t ldy, const float *length,
                                 float *g, int64_t ldg)
{
    for (int64_t r = 0; r < n_rows; r++) {
        double along = length[r] == LENGTH_MIN ? 0 : ref_dot(width, y + r * ldy, g + r * ldg);
        for (int64_t j = 0; j < width; j++)
            g[r * ldg + j] = (float)((g[r * ldg + j] - y[r * ldy + j] * along) / length[r]);
    }
}

/* ---- Losses ---- */

void sg_ref_cross_entropy(int64_t n_rows, int64_t n_classes, const float *logit, int64_t ld, const int32_t *target,
                          float scale, float *loss, float *dlogit, int64_t ldd)
{
    for (int64_t r = 0; r < n_rows; r++) {
        const float *z = logit + r * ld;
        assert(target[r] >= 0 && target[r] < n_classes);
        double top = z[0], total = 0;
        for (int64_t c = 1; c < n_classes; c++)
            top = fmax(top, z[c]);
        for (int64_t c = 0; c < n_classes; c++)
            total += exp(z[c] - top);
        if (loss)
            loss[r] = (float)(log(total) + (top - z[target[r]]));
        for (int64_t c = 0; c < n_classes; c++)
            dlogit[r * ldd + c] = (float)((exp(z[c] - top) / total - (c == target[r])) * scale);
    }
}

void sg_ref_squared_error(int64_t n_units, const float *logit, const float *label, float scale, float *loss,
                          float *dlogit)
{
    for (int64_t b = 0; b < n_units; b++) {
        float difference = logit[b] - label[b];
        if (loss)
            loss[b] = difference * difference / 2;
        dlogit[b] = difference * scale;
    }
}
