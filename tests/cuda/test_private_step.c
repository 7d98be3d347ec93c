/* Would catch: a private step whose parts each give the CPU's bits but which does not as a whole: norms, weights,
 * cleared rows and sums of every kind of tap, and of a model's forward and backward pass, must end in the CPU's
 * integers; and one unit who leaves may move them by no more than C (2 C where clip groups are microbatches), hostile
 * neighbours or not. */
#include "../mechanism/support.h"

#include <math.h>

#include "on_device.h"

static const struct test_shape dense[] = {
    {.n_in = 7, .n_out = 5, .per_step = true}, {.n_in = 20, .n_out = 9, .per_step = true}, {.n_in = 3, .n_out = 1}};
/* What an encoder has besides: embeddings, the gain of a layer norm, a bias. */
static const struct test_shape encoder[] = {{.n_in = 1, .n_out = 18, .per_step = true, .kind = SG_TAP_SCALE},
                                            {.n_in = 5, .n_out = 6, .per_step = true},
                                            {.n_in = 1, .n_out = 6, .per_step = true, .shared = true},
                                            {.n_in = 17, .n_out = 4, .per_step = true, .kind = SG_TAP_EMBED}};

static int64_t *sum_of(struct test_step *step, const struct sg_ops *ops, int64_t left_out)
{
    step->ops = ops;
    return test_step_sum(step, left_out, NULL);
}

static void check_same(const char *what, struct test_step *step)
{
    int64_t *want = sum_of(step, sg_ops_cpu(), -1), *got = sum_of(step, sg_ops_on_device(), -1), n = 0;
    for (int64_t i = 0; i < step->plan->n_weights; i++) {
        if (got[i] != want[i])
            fail_msg("%s: weight %ld is %ld, should be %ld", what, (long)i, (long)got[i], (long)want[i]);
        n += want[i] != 0;
    }
    assert_true(n * 2 > step->plan->n_weights); /* or this compares nothing */
    free(want);
    free(got);
}

static void check_taps(const char *what, const struct test_shape *shape, int64_t n_taps, int64_t microbatch,
                       double clip)
{
    enum { UNITS = 48 };
    struct test_units units;
    test_units_make(UNITS, shape, n_taps, 6, TEST_SEED + (uint64_t)microbatch, &units);
    for (int64_t i = 0; i < units.n; i++) {
        if (i % 3 == 0)
            test_make_hostile(&units, i, (int)(i / 3 % TEST_N_HOSTILE));
        else
            test_scale_unit(&units, i, 1, (float)exp2((double)(i % 9) - 3));
    }
    struct test_plan wanted = {.population = UNITS,
                               .n_panels = 3,
                               .microbatch = microbatch,
                               .rows_max = 6,
                               .n_weights = units.n_weights,
                               .q = 1,
                               .clip = clip};
    struct sg_plan plan = test_plan_make(&wanted);
    struct test_taps taps = {.units = &units};
    struct test_step step = test_step_of_taps(&plan, sg_ops_cpu(), &taps);
    step.step = 1;
    check_same(what, &step);
    double most = 0;
    int64_t *all = sum_of(&step, sg_ops_on_device(), -1);
    for (int64_t i = 0; i < units.n; i += 3 + i % 2) {
        int64_t *rest = sum_of(&step, sg_ops_on_device(), i);
        most = fmax(most, test_distance(all, rest, plan.n_weights, plan.grid) / plan.max_grad_norm);
        free(rest);
    }
    print_message("%s, groups of %ld, C %g: one unit moves the sum by %.6f C\n", what, (long)microbatch, clip, most);
    assert_true(most > 0.9); /* some unit reaches the bound, or this tests nothing */
    if (!(most <= (microbatch > 1 ? 2 : 1)))
        fail_msg("%s: one unit moves the sum by %.9g C", what, most);
    free(all);
    test_taps_free(&taps);
    test_units_free(&units);
}

static void test_taps(void **unused)
{
    (void)unused;
    check_taps("dense", dense, 3, 1, 1);
    check_taps("dense", dense, 3, 4, 1);
    check_taps("encoder", encoder, 4, 1, 1e-6);
    check_taps("encoder", encoder, 4, 4, 1e6);
}

/* Forward, backward, norms, sums of a BiLSTM with attention and dropout; some units are hostile. */
static void test_model(void **unused)
{
    (void)unused;
    const struct sg_model_spec spec = {.kind = SG_MODEL_BILSTM_ATTENTION,
                                       .n_features = 5,
                                       .n_static = 3,
                                       .hidden = 4,
                                       .layers = 2,
                                       .attention = 6,
                                       .mlp = 7,
                                       .mlp_activation = SG_RELU,
                                       .linear_steps = 4,
                                       .dropout = .2};
    static const float hostile[] = {1e30f, -1e30f, 1e-30f, 0, 1e38f, 1e-45f, NAN, INFINITY};
    struct test_model_units units[2];
    int64_t *sum[2];
    struct sg_plan plan = {0};
    for (int k = 0; k < 2; k++) {
        test_model_units_make(&spec, k ? sg_ops_on_device() : sg_ops_cpu(), 24, 4, 1, TEST_SEED, &units[k]);
        for (int64_t i = 0; i < units[k].n; i += 3)
            for (int64_t j = units[k].first[i] * 5; j < units[k].first[i + 1] * 5; j++)
                units[k].x[j] *= hostile[i / 3 % 8];
        struct test_plan wanted = {.population = 24,
                                   .n_panels = 3,
                                   .microbatch = 1,
                                   .rows_max = 4,
                                   .clip = .25,
                                   .n_weights = sg_model_n_trainable(units[k].model),
                                   .q = 1};
        plan = test_plan_make(&wanted);
        struct test_step step = test_step_of_model(&plan, &units[k]);
        step.step = 1;
        sum[k] = test_step_sum(&step, -1, NULL);
    }
    int64_t n = 0;
    for (int64_t i = 0; i < plan.n_weights; i++) {
        assert_int_equal(sum[0][i], sum[1][i]);
        n += sum[0][i] != 0;
    }
    assert_true(n * 2 > plan.n_weights);
    for (int k = 0; k < 2; k++) {
        free(sum[k]);
        test_model_units_free(&units[k]);
    }
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)TEST_SEED);
    if (!sg_ops_cpu()) {
        print_message("SKIPPED: there is no CPU backend on this machine to compare with\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_taps), cmocka_unit_test(test_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
