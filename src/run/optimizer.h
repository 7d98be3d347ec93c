/* SGD with momentum and Adam on the released gradient, learning-rate schedules, and the moving average of the weights. All of
 * it is post-processing of released values: free. */
#ifndef SG_RUN_OPTIMIZER_H
#define SG_RUN_OPTIMIZER_H

#include "ops/ops.h"
#include "run/config.h"

struct sg_optimizer {
    const struct sg_training *training;
    const struct sg_ops *ops;
    int64_t n_weights, n_steps;
    float *weights;         /* (P) trainable */
    float *average;         /* (P), NULL when average_decay is 0 */
    float *first, *second;  /* (P) velocity, or Adam's moments */
    double beta1_power, beta2_power; /* beta^t */
};

/* Sizing and carving share this: memory NULL returns the bytes only. The caller fills weights (and calls sg_optimizer_begin). */
size_t sg_optimizer_place(const struct sg_training *training, const struct sg_ops *ops, int64_t n_weights, int64_t n_steps,
                          void *memory, struct sg_optimizer *out);
void sg_optimizer_begin(struct sg_optimizer *optimizer);
/* step counts from 0. */
void sg_optimizer_step(struct sg_optimizer *optimizer, int64_t step, const float *gradient);
/* The weights to release: the average where there is one. */
const float *sg_optimizer_result(const struct sg_optimizer *optimizer);
double sg_learning_rate(const struct sg_training *training, int64_t step, int64_t n_steps);

#endif
