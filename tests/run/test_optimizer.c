/* Would catch: a learning-rate schedule that is off by a step or reaches zero, Adam without its bias corrections,
 * momentum or averages that are off the formula (all against plain double), state that is not zero at the start. */
#include "support.h"

#include <math.h>

#include "optimizer.h"

enum { N = 37, STEPS = 60 };

static void test_schedule(void **unused)
{
    (void)unused;
    struct sg_training t = {.learning_rate = 2, .schedule = SG_SCHEDULE_LINEAR, .decay_start = .5, .warmup_steps = 4};
    const struct {
        int64_t step;
        double rate;
    } want[] = {{0, .5}, {1, 1}, {3, 2}, {4, 2}, {9, 2}, {10, 2. * 10 / 11}, {15, 2. * 5 / 11}, {19, 2. / 11}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_true(fabs(sg_learning_rate(&t, want[i].step, 20) - want[i].rate) < 1e-15);
    t.schedule = SG_SCHEDULE_CONSTANT;
    t.warmup_steps = 0;
    for (int64_t step = 0; step < 20; step++)
        assert_true(sg_learning_rate(&t, step, 20) == 2);
    t.schedule = SG_SCHEDULE_LINEAR;
    t.decay_start = 0;
    assert_true(sg_learning_rate(&t, 0, 1) > 0 && sg_learning_rate(&t, 19, 20) > 0);
    for (int64_t step = 1; step < 20; step++)
        assert_true(sg_learning_rate(&t, step, 20) < sg_learning_rate(&t, step - 1, 20));
}

struct truth {
    double p[N], m[N], v[N], average[N];
};

static void step_in_double(const struct sg_training *t, int64_t step, const float *gradient, struct truth *x)
{
    double rate = sg_learning_rate(t, step, STEPS),
           keep = fmin(t->average_decay, (1 + (double)step) / (10 + (double)step));
    for (int i = 0; i < N; i++) {
        double g = gradient[i];
        if (t->optimizer == SG_OPTIMIZER_ADAM) { /* Kingma & Ba 2015, algorithm 1 */
            x->m[i] = t->beta1 * x->m[i] + (1 - t->beta1) * g;
            x->v[i] = t->beta2 * x->v[i] + (1 - t->beta2) * g * g;
            double mean = x->m[i] / (1 - pow(t->beta1, (double)step + 1)),
                   square = x->v[i] / (1 - pow(t->beta2, (double)step + 1));
            x->p[i] -= rate * mean / (sqrt(square) + t->adam_epsilon);
        } else {
            x->m[i] = t->momentum * x->m[i] + g;
            x->p[i] -= rate * x->m[i];
        }
        x->average[i] = keep * x->average[i] + (1 - keep) * x->p[i];
    }
}

static void check_optimizer(const struct sg_ops *ops, int kind, double average_decay)
{
    const struct sg_training t = {.optimizer = kind,
                                  .learning_rate = .01,
                                  .momentum = .9,
                                  .beta1 = .9,
                                  .beta2 = .99,
                                  .adam_epsilon = 1e-8,
                                  .schedule = SG_SCHEDULE_LINEAR,
                                  .decay_start = .3,
                                  .warmup_steps = 5,
                                  .average_decay = average_decay};
    void *memory = aligned_alloc(64, sg_optimizer_place(&t, ops, N, STEPS, NULL, NULL));
    memset(memory, 0xff, sg_optimizer_place(&t, ops, N, STEPS, NULL, NULL));
    struct sg_optimizer optimizer;
    sg_optimizer_place(&t, ops, N, STEPS, memory, &optimizer);
    struct truth truth = {0};
    uint64_t seed = TEST_SEED;
    for (int i = 0; i < N; i++)
        truth.average[i] = truth.p[i] = optimizer.weights[i] = (float)test_uniform(&seed);
    sg_optimizer_begin(&optimizer);
    for (int64_t step = 0; step < STEPS; step++) {
        float gradient[N];
        for (int i = 0; i < N; i++)
            gradient[i] = (float)(test_uniform(&seed) + .2 * i / N);
        sg_optimizer_step(&optimizer, step, gradient);
        step_in_double(&t, step, gradient, &truth);
        for (int i = 0; i < N; i++)
            if (!(fabs(optimizer.weights[i] - truth.p[i]) < 5e-6))
                fail_msg("%s, optimizer %d, step %ld: weight %d is %.9g, should be %.9g", ops->name, kind, (long)step,
                         i, (double)optimizer.weights[i], truth.p[i]);
    }
    const float *result = sg_optimizer_result(&optimizer);
    assert_true((result == optimizer.weights) == (average_decay == 0));
    for (int i = 0; i < N; i++)
        assert_true(fabs(result[i] - (average_decay > 0 ? truth.average[i] : truth.p[i])) < 5e-6);
    free(memory);
}

static void test_against_double(void **unused)
{
    (void)unused;
    const struct sg_ops *backend[] = {sg_ops_reference(), sg_ops_cpu()};
    for (int i = 0; i < 2 && backend[i]; i++)
        for (int kind = SG_OPTIMIZER_SGD; kind <= SG_OPTIMIZER_ADAM; kind++) {
            check_optimizer(backend[i], kind, 0);
            check_optimizer(backend[i], kind, .9);
        }
}

int main(void)
{
    print_message("seed %u\n", TEST_SEED);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_schedule), cmocka_unit_test(test_against_double)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
