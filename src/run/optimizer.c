#include "optimizer.h"

#include "ops/zones.h"

size_t sg_optimizer_place(const struct sg_training *training, const struct sg_ops *ops, int64_t n_weights, int64_t n_steps,
                          void *memory, struct sg_optimizer *out)
{
    size_t one = ((size_t)n_weights * sizeof(float) + 63) / 64 * 64;
    bool second = training->optimizer == SG_OPTIMIZER_ADAM, average = training->average_decay > 0;
    size_t bytes = one * (2 + second + average);
    if (!memory)
        return bytes;
    char *base = memory;
    sg_ops_zero(ops, base, bytes);
    *out = (struct sg_optimizer){.training = training, .ops = ops, .n_weights = n_weights, .n_steps = n_steps};
    out->weights = (float *)base;
    out->first = (float *)(base + one);
    out->second = second ? (float *)(base + 2 * one) : NULL;
    out->average = average ? (float *)(base + (2 + second) * one) : NULL;
    return bytes;
}

void sg_optimizer_begin(struct sg_optimizer *optimizer)
{
    optimizer->beta1_power = optimizer->beta2_power = 1;
    if (optimizer->average)
        sg_ops_copy(optimizer->ops, optimizer->average, optimizer->weights, (size_t)optimizer->n_weights * sizeof(float));
}

double sg_learning_rate(const struct sg_training *training, int64_t step, int64_t n_steps)
{
    double rate = training->learning_rate;
    if (step < training->warmup_steps)
        return rate * (double)(step + 1) / (double)training->warmup_steps;
    double start = training->decay_start * (double)n_steps;
    if (training->schedule == SG_SCHEDULE_CONSTANT || (double)step < start)
        return rate;
    double left = ((double)(n_steps - step)) / ((double)n_steps - start + 1); /* never quite zero, so that no step is idle */
    return rate * left;
}

void sg_optimizer_step(struct sg_optimizer *optimizer, int64_t step, const float *gradient)
{
    const struct sg_training *t = optimizer->training;
    /* Running products and not pow, whose last bit differs between C libraries. */
    optimizer->beta1_power *= t->beta1;
    optimizer->beta2_power *= t->beta2;
    const struct sg_optimizer_step s = {
        .learning_rate = (float)sg_learning_rate(t, step, optimizer->n_steps),
        .momentum = (float)t->momentum,
        .beta1 = (float)t->beta1,
        .beta2 = (float)t->beta2,
        .epsilon = (float)t->adam_epsilon,
        .correction1 = 1 - optimizer->beta1_power,
        .correction2 = 1 - optimizer->beta2_power,
    };
    if (t->optimizer == SG_OPTIMIZER_ADAM)
        optimizer->ops->adam(optimizer->n_weights, &s, gradient, optimizer->first, optimizer->second, optimizer->weights);
    else
        optimizer->ops->sgd(optimizer->n_weights, &s, gradient, optimizer->first, optimizer->weights);
    if (!optimizer->average)
        return;
    /* A short memory at first, so that the start is forgotten: Polyak averaging with a growing window. */
    double young = (1 + (double)step) / (10 + (double)step);
    optimizer->ops->average(optimizer->n_weights, (float)(young < t->average_decay ? young : t->average_decay), optimizer->weights, optimizer->average);
}

const float *sg_optimizer_result(const struct sg_optimizer *optimizer)
{
    return optimizer->average ? optimizer->average : optimizer->weights;
}
