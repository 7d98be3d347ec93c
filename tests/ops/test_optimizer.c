/* Would catch: an optimizer, average or scale that is not the written formula, operation for operation, in any lane of
 * a vector or its tail: every backend must give the bits of the plain loop here. */
#include "check.h"

static const uint64_t seed = 31337;

static const struct sg_optimizer_step step = {.learning_rate = 0.031f,
                                              .momentum = 0.9f,
                                              .beta1 = 0.9f,
                                              .beta2 = 0.999f,
                                              .epsilon = 1e-8f,
                                              .correction1 = 1 - 0.729,
                                              .correction2 = 0.002997001};

static float any_size(uint64_t *state)
{
    return check_uniform(state) * (float)ldexp(1, (int)check_below(state, 120) - 100);
}

static void test_scale_sum(void **unused)
{
    (void)unused;
    uint64_t state = seed;
    struct backend b[BACKENDS_MAX];
    size_t n_backends = check_backends(b);
    for (int64_t n = 1; n < 200; n += 1 + n / 9) {
        int64_t *sum = malloc((size_t)n * sizeof *sum);
        float *want = check_floats(n);
        assert_non_null(sum);
        for (int64_t i = 0; i < n; i++) {
            sum[i] = (int64_t)check_word(&state) >> check_below(&state, 63);
            want[i] = (float)((double)sum[i] * 1.7e-10);
        }
        for (size_t k = 0; k < n_backends; k++) {
            float *got = check_floats(n);
            b[k].ops->scale_sum(n, sum, 1.7e-10, got);
            check_same_bits("scale_sum", b[k].name, got, want, n, 1);
            check_free(got);
        }
        check_free(want);
        free(sum);
    }
}

static void expect(int64_t n, const float *g, float *velocity, float *p, float *m, float *v, float *q, float *mean)
{
    float c1 = (float)step.correction1, c2 = (float)step.correction2;
    for (int64_t i = 0; i < n; i++) {
        velocity[i] = step.momentum * velocity[i] + g[i];
        p[i] = p[i] - step.learning_rate * velocity[i];
        m[i] = step.beta1 * m[i] + (1 - step.beta1) * g[i];
        v[i] = step.beta2 * v[i] + (1 - step.beta2) * (g[i] * g[i]);
        q[i] = q[i] - step.learning_rate * (m[i] / c1) / (sqrtf(v[i] / c2) + step.epsilon);
        mean[i] = 0.99f * mean[i] + (1 - 0.99f) * q[i];
    }
}

static void test_updates(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    struct backend b[BACKENDS_MAX];
    size_t n_backends = check_backends(b);
    const char *what[] = {"sgd velocity", "sgd p", "adam m", "adam v", "adam p", "average"};
    for (int64_t n = 1; n < 300; n += 1 + n / 9) {
        float *g = check_floats(n), *start[6], *want[6];
        for (int64_t i = 0; i < n; i++)
            g[i] = any_size(&state);
        for (int j = 0; j < 6; j++) {
            start[j] = check_random(n, &state);
            for (int64_t i = 0; i < n; i++)
                start[j][i] = j == 3 ? fabsf(any_size(&state)) : any_size(&state);
            want[j] = check_copy(start[j], n);
        }
        expect(n, g, want[0], want[1], want[2], want[3], want[4], want[5]);
        for (size_t k = 0; k < n_backends; k++) {
            float *got[6];
            for (int j = 0; j < 6; j++)
                got[j] = check_copy(start[j], n);
            b[k].ops->sgd(n, &step, g, got[0], got[1]);
            b[k].ops->adam(n, &step, g, got[2], got[3], got[4]);
            b[k].ops->average(n, 0.99f, got[4], got[5]);
            for (int j = 0; j < 6; j++) {
                check_same_bits(what[j], b[k].name, got[j], want[j], n, 1);
                check_free(got[j]);
            }
        }
        for (int j = 0; j < 6; j++)
            check_free(start[j]), check_free(want[j]);
        check_free(g);
    }
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)seed);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scale_sum), cmocka_unit_test(test_updates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
