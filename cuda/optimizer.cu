/* Vectors of weights: the release's scale, the optimizers, the moving average. The CPU's formulas, operation by
 * operation (src/ops/cpu/optimizer.h), without contraction. */
#include "launch.h"
#include "table.h"

#define THREADS 256
#define BLOCKS_MAX 4096

static int blocks_for(int64_t n)
{
    int64_t blocks = (n + THREADS - 1) / THREADS;
    return (int)(blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX);
}

SG_DEVICE int64_t index_first()
{
    return (int64_t)blockIdx.x * THREADS + threadIdx.x;
}

SG_DEVICE int64_t index_stride()
{
    return (int64_t)gridDim.x * THREADS;
}

SG_KERNEL(sg_k_scale_sum)(int64_t n, const int64_t *sum, double scale, float *gradient)
{
    for (int64_t i = index_first(); i < n; i += index_stride())
        gradient[i] = (float)((double)sum[i] * scale);
}

SG_KERNEL(sg_k_sgd)(int64_t n, float rate, float momentum, const float *gradient, float *velocity, float *p)
{
    for (int64_t i = index_first(); i < n; i += index_stride()) {
        const float v = momentum * velocity[i] + gradient[i];
        velocity[i] = v;
        p[i] = p[i] - rate * v;
    }
}

SG_KERNEL(sg_k_adam)(int64_t n, struct sg_optimizer_step step, const float *gradient, float *m, float *v, float *p)
{
    const float correction1 = (float)step.correction1, correction2 = (float)step.correction2;
    for (int64_t i = index_first(); i < n; i += index_stride()) {
        const float g = gradient[i];
        const float mean = step.beta1 * m[i] + (1 - step.beta1) * g;
        const float square = step.beta2 * v[i] + (1 - step.beta2) * (g * g);
        const float scale = sqrtf(square / correction2) + step.epsilon;
        m[i] = mean;
        v[i] = square;
        p[i] = p[i] - step.learning_rate * (mean / correction1) / scale;
    }
}

SG_KERNEL(sg_k_average)(int64_t n, float decay, const float *p, float *average)
{
    for (int64_t i = index_first(); i < n; i += index_stride())
        average[i] = decay * average[i] + (1 - decay) * p[i];
}

static void scale_sum(int64_t n, const int64_t *sum, double scale, float *gradient)
{
    if (n > 0)
        SG_LAUNCH(sg_k_scale_sum, blocks_for(n), THREADS, 0, n, sum, scale, gradient);
}

static void sgd(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *velocity, float *p)
{
    if (n > 0)
        SG_LAUNCH(sg_k_sgd, blocks_for(n), THREADS, 0, n, step->learning_rate, step->momentum, gradient, velocity, p);
}

static void adam(int64_t n, const struct sg_optimizer_step *step, const float *gradient, float *m, float *v, float *p)
{
    if (n > 0)
        SG_LAUNCH(sg_k_adam, blocks_for(n), THREADS, 0, n, *step, gradient, m, v, p);
}

static void average(int64_t n, float decay, const float *p, float *average)
{
    if (n > 0)
        SG_LAUNCH(sg_k_average, blocks_for(n), THREADS, 0, n, decay, p, average);
}

void sg_cuda_fill_optimizer(struct sg_ops *ops)
{
    ops->scale_sum = scale_sum;
    ops->sgd = sgd;
    ops->adam = adam;
    ops->average = average;
}
