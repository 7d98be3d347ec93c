/* Would catch: a plan whose bound on a row's mass (kappa) is below 1, beyond 1e6 or not a number and is taken all the
 * same, so that the clip norm rests on nothing; a rate that the sampler would round down to a zero threshold, or to one
 * of so few bits that the rate drawn is not the one accounted. */
#include "support.h"

#include "account/plan.h"

static struct sg_plan_request request(void)
{
    return (struct sg_plan_request){
        .is_private = true,
        .sampler = SG_SAMPLER_POISSON,
        .relation = SG_ADD_OR_REMOVE_ONE,
        .clip_group = SG_CLIP_EXAMPLE,
        .microbatch_size = 1,
        .expected_batch_size = 512,
        .population_size = 10000,
        .steps = 100,
        .noise_multiplier = 2,
        .target_delta = 1e-6,
        .max_grad_norm = 1,
        .rows_per_unit_max = 6,
        .n_weights = 1000,
        .noise_source = "chacha20",
        .noise_tau_log2 = -90,
    };
}

static void mass_ratio(void **state)
{
    (void)state;
    const double refused[] = {-1, 0x1p-1070, 0.5, 1 - 0x1p-53, 1e6 * (1 + 0x1p-52), 1e300, INFINITY, -INFINITY, NAN};
    struct sg_plan plan;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct sg_plan_request r = request();
        r.mass_ratio_max = refused[i];
        assert_int_equal(sg_plan_resolve(&r, &plan), SG_USAGE);
        assert_non_null(strstr(sg_error_text(), "mass_ratio_max must lie between 1 and 1e6"));
    }
    struct sg_plan_request r = request();
    assert_int_equal(sg_plan_resolve(&r, &plan), SG_OK);
    assert_true(plan.mass_ratio_max == 8);
    assert_int_equal(sg_plan_check(&plan), SG_OK);
    r.mass_ratio_max = 1;
    assert_int_equal(sg_plan_resolve(&r, &plan), SG_OK);
    assert_true(plan.mass_ratio_max == 1);
}

static void rate(void **state)
{
    (void)state;
    struct sg_plan_request r = request();
    struct sg_plan plan;
    r.expected_batch_size = 0, r.population_size = INT64_C(1) << 46; /* the sampler's least rate is 2^-40 */
    r.sample_rate = 0x1p-40 * (1 - 0x1p-53);
    assert_int_equal(sg_plan_resolve(&r, &plan), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "finer than the sampler draws"));
    r.sample_rate = 0x1p-70; /* its threshold would be 0 */
    assert_int_equal(sg_plan_resolve(&r, &plan), SG_USAGE);
    r.sample_rate = 1e-12; /* the accountant's least rate, a little above */
    assert_int_equal(sg_plan_resolve(&r, &plan), SG_OK);
    assert_true(plan.sample_threshold >= UINT64_C(1) << 24);
    double drawn = ldexp((double)plan.sample_threshold, -64);
    assert_true(drawn <= plan.sample_rate && drawn > plan.sample_rate * (1 - 0x1p-24));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mass_ratio), cmocka_unit_test(rate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
