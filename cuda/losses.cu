/* Softmax cross entropy, squared error, binary cross entropy: the formulas of the CPU's loss.h and rows.h. */
#include "layout.h"
#include "sums.h"
#include "table.h"
#include "transcend.h"

#define CLASSES_FEW 128 /* up to here half a warp has a row, beyond it a block */

/* From a class's exponential e and share = 1 / their sum. */
SG_DEVICE float class_gradient(bool is_target, float e, float share, float scale)
{
    return is_target ? (e * share - 1) * scale : e * share * scale;
}

/* In the narrow kernel a lane's classes are its own from first to last, so dlogit may be logit. */
SG_KERNEL_BOUNDS(SG_ROWS_THREADS, 4)
SG_KERNEL(sg_k_cross_entropy)
(int64_t n_rows, int64_t n_classes, const float *logit, int64_t ld, const int32_t *target, float scale, float *loss,
 float *dlogit, int64_t ldd)
{
    int lane = threadIdx.x % SUM_LANES;
    for (int64_t r = halves_first(); r < n_rows + r % 2; r += halves_step()) {
        int64_t n = r < n_rows ? n_classes : 0;
        const float *z = logit + r * ld;
        int64_t right = n > 0 ? target[r] : -1;
        float top = -INFINITY, right_z = -INFINITY;
        for (int64_t j = lane; j < n; j += SUM_LANES) {
            top = z[j] > top ? z[j] : top;
            right_z = j == right ? z[j] : right_z;
        }
        top = lanes_top(top);
        double total = 0;
        for (int64_t j = lane; j < n; j += SUM_LANES)
            total += (double)exp_negative(z[j] - top);
        total = lanes_sum(total);
        if (loss && right >= 0 && lane == right % SUM_LANES)
            loss[r] = log_from_one((float)total) + (top - right_z);
        float share = (float)(1 / total);
        for (int64_t j = lane; j < n; j += SUM_LANES)
            dlogit[r * ldd + j] = class_gradient(j == right, exp_negative(z[j] - top), share, scale);
    }
}

/* Many classes: the block shares the exponentials, which wait in dlogit, and half a warp adds them up in order. */
SG_KERNEL_BOUNDS(SG_ROWS_THREADS, 4)
SG_KERNEL(sg_k_cross_entropy_wide)
(int64_t n_rows, int64_t n, const float *logit, int64_t ld, const int32_t *target, float scale, float *loss,
 float *dlogit, int64_t ldd)
{
    SG_SHARED(float, tops, SG_ROWS_THREADS / SUM_LANES);
    SG_SHARED(double, total, 1);
    int half = threadIdx.x / SUM_LANES, lane = threadIdx.x % SUM_LANES;
    for (int64_t r = blockIdx.x; r < n_rows; r += gridDim.x) {
        const float *z = logit + r * ld;
        float *d = dlogit + r * ldd, top = -INFINITY;
        int64_t right = target[r];
        for (int64_t j = threadIdx.x; j < n; j += SG_ROWS_THREADS)
            top = z[j] > top ? z[j] : top;
        top = lanes_top(top);
        if (lane == 0)
            tops[half] = top;
        float below = z[right]; /* before dlogit, which may be logit, is written */
        __syncthreads();
        top = lanes_top(tops[lane]);
        below = top - below;
        for (int64_t j = threadIdx.x; j < n; j += SG_ROWS_THREADS)
            d[j] = exp_negative(z[j] - top);
        __syncthreads();
        if (threadIdx.x < SG_WARP) { /* both halves find the same */
            double sum = 0;
            for (int64_t j = lane; j < n; j += SUM_LANES)
                sum += (double)d[j];
            sum = lanes_sum(sum);
            if (threadIdx.x == 0) {
                *total = sum;
                if (loss)
                    loss[r] = log_from_one((float)sum) + below;
            }
        }
        __syncthreads();
        float share = (float)(1 / *total);
        for (int64_t j = threadIdx.x; j < n; j += SG_ROWS_THREADS)
            d[j] = class_gradient(j == right, d[j], share, scale);
    }
}

SG_KERNEL(sg_k_squared_error)
(int64_t n_units, const float *logit, const float *label, float scale, float *loss, float *dlogit)
{
    for (int64_t i = sg_grid_first(); i < n_units; i += sg_grid_step()) {
        float d = logit[i] - label[i];
        if (loss)
            loss[i] = d * d * 0.5f;
        dlogit[i] = d * scale;
    }
}

/* loss = max(z, 0) - z y + log(1 + exp(-|z|)) */
SG_KERNEL(sg_k_bce)
(int64_t n_units, const float *logit, const float *label, float scale, float *loss, float *dlogit)
{
    for (int64_t i = sg_grid_first(); i < n_units; i += sg_grid_step()) {
        float z = logit[i], y = label[i];
        if (loss) {
            float rest = log_one_plus(exp_negative(0.0f - fabsf(z)));
            loss[i] = fmaf(-z, y, z < 0 ? 0.0f : z) + rest;
        }
        dlogit[i] = (sigmoid(z) - y) * scale;
    }
}

static void cross_entropy(int64_t n_rows, int64_t n_classes, const float *logit, int64_t ld, const int32_t *target,
                          float scale, float *loss, float *dlogit, int64_t ldd)
{
    if (n_rows <= 0)
        return;
    if (n_classes <= CLASSES_FEW)
        SG_LAUNCH(sg_k_cross_entropy, halves_blocks(n_rows), SG_ROWS_THREADS, 0, n_rows, n_classes, logit, ld, target,
                  scale, loss, dlogit, ldd);
    else
        SG_LAUNCH(sg_k_cross_entropy_wide, sg_blocks(n_rows, 1), SG_ROWS_THREADS, 0, n_rows, n_classes, logit, ld,
                  target, scale, loss, dlogit, ldd);
}

static void squared_error(int64_t n_units, const float *logit, const float *label, float scale, float *loss,
                          float *dlogit)
{
    if (n_units > 0)
        SG_LAUNCH(sg_k_squared_error, sg_blocks(n_units, SG_ROWS_THREADS), SG_ROWS_THREADS, 0, n_units, logit, label,
                  scale, loss, dlogit);
}

static void bce(int64_t n_units, const float *logit, const float *label, float scale, float *loss, float *dlogit)
{
    if (n_units > 0)
        SG_LAUNCH(sg_k_bce, sg_blocks(n_units, SG_ROWS_THREADS), SG_ROWS_THREADS, 0, n_units, logit, label, scale, loss,
                  dlogit);
}

void sg_cuda_fill_losses(struct sg_ops *ops)
{
    ops->cross_entropy = cross_entropy;
    ops->squared_error = squared_error;
    ops->bce = bce;
}
