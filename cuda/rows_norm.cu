/* Layer norm and rows of unit length: half a warp for each row, sums in double in the CPU's order. A row is read again
 * from the cache rather than kept: it may be longer than registers. */
#include "layout.h"
#include "sums.h"
#include "table.h"

#define LENGTH_MIN 1e-12f

SG_DEVICE double row_sum(int lane, int64_t n, const float *x)
{
    double sum = 0;
    for (int64_t j = lane; j < n; j += SUM_LANES)
        sum += (double)x[j];
    return lanes_sum(sum);
}

/* Sum of (x - centre)^2. */
SG_DEVICE double row_spread(int lane, int64_t n, const float *x, float centre)
{
    double sum = 0;
    for (int64_t j = lane; j < n; j += SUM_LANES) {
        double d = (double)x[j] - (double)centre;
        sum = fma(d, d, sum);
    }
    return lanes_sum(sum);
}

/* The mean in two floats, so that x - mean is rounded as if it were known exactly; the spread is taken about the first.
 */
SG_KERNEL_BOUNDS(SG_ROWS_THREADS, 4)
SG_KERNEL(sg_k_layer_norm)
(int64_t n_rows, int64_t width, float epsilon, const float *x, int64_t ldx, const float *gain, const float *bias,
 float *xhat, int64_t ldxhat, float *rstd, float *y, int64_t ldy)
{
    int lane = threadIdx.x % SUM_LANES;
    for (int64_t r = halves_first(); r < n_rows + r % 2; r += halves_step()) {
        int64_t n = r < n_rows ? width : 0;
        const float *from = x + r * ldx;
        double mean = row_sum(lane, n, from) / (double)width;
        float high = (float)mean, low = (float)(mean - (double)high);
        double off = mean - (double)high;
        double variance = row_spread(lane, n, from, high) / (double)width - off * off;
        float scale = (float)(1 / sqrt((variance < 0 ? 0 : variance) + (double)epsilon));
        if (n > 0 && lane == 0)
            rstd[r] = scale;
        for (int64_t j = lane; j < n; j += SUM_LANES) {
            float normal = (from[j] - high - low) * scale;
            xhat[r * ldxhat + j] = normal;
            y[r * ldy + j] = fmaf(normal, gain[j], bias[j]);
        }
    }
}

SG_KERNEL_BOUNDS(SG_ROWS_THREADS, 4)
SG_KERNEL(sg_k_layer_norm_backward)
(int64_t n_rows, int64_t width, const float *xhat, int64_t ldxhat, const float *rstd, const float *gain,
 const float *dy, int64_t lddy, float *dx, int64_t lddx)
{
    int lane = threadIdx.x % SUM_LANES;
    for (int64_t r = halves_first(); r < n_rows + r % 2; r += halves_step()) {
        int64_t n = r < n_rows ? width : 0;
        const float *normal = xhat + r * ldxhat, *from = dy + r * lddy;
        double total = 0, along_total = 0;
        for (int64_t j = lane; j < n; j += SUM_LANES) {
            float d = from[j] * gain[j];
            total += (double)d;
            along_total = fma((double)d, (double)normal[j], along_total);
        }
        float mean = (float)(lanes_sum(total) / (double)width), along = (float)(lanes_sum(along_total) / (double)width);
        for (int64_t j = lane; j < n; j += SUM_LANES)
            dx[r * lddx + j] = rstd[r] * fmaf(-normal[j], along, from[j] * gain[j] - mean);
    }
}

SG_KERNEL_BOUNDS(SG_ROWS_THREADS, 4)
SG_KERNEL(sg_k_unit_length)(int64_t n_rows, int64_t width, float *x, int64_t ldx, float *length)
{
    int lane = threadIdx.x % SUM_LANES;
    for (int64_t r = halves_first(); r < n_rows + r % 2; r += halves_step()) {
        int64_t n = r < n_rows ? width : 0;
        float *row = x + r * ldx;
        float norm = (float)sqrt(lanes_sum(dot_lane(n, row, row)));
        norm = norm < LENGTH_MIN ? LENGTH_MIN : norm;
        if (n > 0 && lane == 0)
            length[r] = norm;
        for (int64_t j = lane; j < n; j += SUM_LANES)
            row[j] /= norm;
    }
}

/* A row shorter than the least length was only scaled: no direction of it is lost. */
SG_KERNEL_BOUNDS(SG_ROWS_THREADS, 4)
SG_KERNEL(sg_k_unit_length_backward)
(int64_t n_rows, int64_t width, const float *y, int64_t ldy, const float *length, float *g, int64_t ldg)
{
    int lane = threadIdx.x % SUM_LANES;
    for (int64_t r = halves_first(); r < n_rows + r % 2; r += halves_step()) {
        int64_t n = r < n_rows ? width : 0;
        const float *from = y + r * ldy;
        float *row = g + r * ldg, norm = n > 0 ? length[r] : 1;
        float along = (float)lanes_sum(dot_lane(n, from, row));
        along = norm == LENGTH_MIN ? 0 : along;
        for (int64_t j = lane; j < n; j += SUM_LANES)
            row[j] = fmaf(-from[j], along, row[j]) / norm;
    }
}

static void layer_norm(int64_t n_rows, int64_t width, float epsilon, const float *x, int64_t ldx, const float *gain,
                       const float *bias, float *xhat, int64_t ldxhat, float *rstd, float *y, int64_t ldy)
{
    if (n_rows > 0)
        SG_LAUNCH(sg_k_layer_norm, halves_blocks(n_rows), SG_ROWS_THREADS, 0, n_rows, width, epsilon, x, ldx, gain,
                  bias, xhat, ldxhat, rstd, y, ldy);
}

static void layer_norm_backward(int64_t n_rows, int64_t width, const float *xhat, int64_t ldxhat, const float *rstd,
                                const float *gain, const float *dy, int64_t lddy, float *dx, int64_t lddx)
{
    if (n_rows > 0)
        SG_LAUNCH(sg_k_layer_norm_backward, halves_blocks(n_rows), SG_ROWS_THREADS, 0, n_rows, width, xhat, ldxhat,
                  rstd, gain, dy, lddy, dx, lddx);
}

static void unit_length(int64_t n_rows, int64_t width, float *x, int64_t ldx, float *length)
{
    if (n_rows > 0)
        SG_LAUNCH(sg_k_unit_length, halves_blocks(n_rows), SG_ROWS_THREADS, 0, n_rows, width, x, ldx, length);
}

static void unit_length_backward(int64_t n_rows, int64_t width, const float *y, int64_t ldy, const float *length,
                                 float *g, int64_t ldg)
{
    if (n_rows > 0)
        SG_LAUNCH(sg_k_unit_length_backward, halves_blocks(n_rows), SG_ROWS_THREADS, 0, n_rows, width, y, ldy, length,
                  g, ldg);
}

void sg_cuda_fill_rows_norm(struct sg_ops *ops)
{
    ops->layer_norm = layer_norm;
    ops->layer_norm_backward = layer_norm_backward;
    ops->unit_length = unit_length;
    ops->unit_length_backward = unit_length_backward;
}
