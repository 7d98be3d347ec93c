/* Would catch: a filter that admits more than its limit converts to, a charge that rounds down or ignores the number of
 * runs, an order that wastes the limit, a calibration that misses its target or leaves noise on the table. */
#include "support.h"

#include "account/filter.h"

static const struct sg_phase nightly_phase = {4096.0 / 24000, 0, 300};

/* q 4096/24000, 300 steps, epsilon 1 a night at delta 1e-5: about 6.8 after 30 nights, fixed in advance. */
static void nightly_retraining(void **state)
{
    (void)state;
    struct sg_phase phase = nightly_phase;
    struct sg_history history = {.sensitivity = 1, .phases = &phase, .n_phases = 1};
    struct sg_epsilon one, month;
    assert_int_equal(sg_account_calibrate(&history, 1, 1e-5, &phase.noise_multiplier, &one), SG_OK);
    assert_true(one.epsilon <= 1 && one.epsilon > 1 - 1e-6);
    phase.steps *= 30;
    assert_int_equal(sg_account_epsilon(&history, 1e-5, &month), SG_OK);
    assert_close(month.epsilon, 6.8, 0.01);
}

static void filter_matches_conversion(void **state)
{
    (void)state;
    for (int n = 1; n <= SG_RENYI_ORDERS_MAX; n++) {
        struct sg_renyi_limit limit;
        assert_int_equal(sg_renyi_limit_make_several(6, 1e-5, n, &limit), SG_OK);
        struct sg_phase phase = {4096.0 / 24000, 4, 300};
        struct sg_history history = {.sensitivity = 1, .phases = &phase, .n_phases = 1};
        struct sg_renyi_spend spend = {{0}}, charge, many;
        assert_int_equal(sg_renyi_charge(&limit, &history, 1, &charge), SG_OK);
        int64_t fit = sg_renyi_runs_left(&limit, &spend, &charge);
        assert_true(fit >= 1 && fit < 1000);
        for (int64_t i = 0; i < fit; i++) {
            sg_renyi_add(&spend, &charge);
            assert_true(sg_renyi_admits(&limit, &spend));
            assert_true(sg_renyi_epsilon(&limit, &spend) <= 6);
        }
        sg_renyi_add(&spend, &charge);
        assert_false(sg_renyi_admits(&limit, &spend));
        assert_true(sg_renyi_epsilon(&limit, &spend) > 6 * (1 - 1e-12));
        /* what the filter admits is truly within the limit, by the certified figure */
        struct sg_epsilon all;
        phase.steps *= fit;
        assert_int_equal(sg_account_epsilon(&history, 1e-5, &all), SG_OK);
        assert_true(all.epsilon <= 6);
        phase.steps = 300;
        assert_int_equal(sg_renyi_charge(&limit, &history, fit, &many), SG_OK);
        assert_close(many.rho[0], spend.rho[0] - charge.rho[0], 1e-9);
    }
}

/* The order chosen leaves at least as many runs of a subsampled Gaussian as its neighbours, within a few per cent. */
static void order_is_near_the_best(void **state)
{
    (void)state;
    struct sg_renyi_limit limit, several;
    assert_int_equal(sg_renyi_limit_make(3, 1e-5, &limit), SG_OK);
    assert_int_equal(sg_renyi_limit_make_several(3, 1e-5, 4, &several), SG_OK);
    assert_true(limit.order[0] > 2 && limit.order[0] < 30);
    double share = limit.rho_max[0] / limit.order[0];
    for (double order = 1.5; order < 60; order *= 1.1) {
        double rho = 3 - log1p(-1 / order) + (log(1e-5) + log(order)) / (order - 1);
        assert_true(rho / order <= share * (1 + 1e-4));
    }
    for (int i = 0; i < 4; i++)
        assert_true(several.rho_max[i] <
                    3 - log1p(-1 / several.order[i]) + (log(1e-5) + log(several.order[i])) / (several.order[i] - 1));
}

/* A recorded order gives the same limit as choosing it, also far from the usual; and runs_left counts what repeated
 * additions, each rounded up, really leave. */
static void recorded_order(void **state)
{
    (void)state;
    const double epsilons[] = {1e-3, 0.1, 3, 1000};
    for (size_t i = 0; i < sizeof epsilons / sizeof *epsilons; i++) {
        struct sg_renyi_limit made;
        assert_int_equal(sg_renyi_limit_make(epsilons[i], 1e-6, &made), SG_OK);
        struct sg_renyi_limit at = sg_renyi_limit_at(epsilons[i], 1e-6, sg_renyi_order(epsilons[i], 1e-6));
        assert_true(made.n == 1 && at.n == 1 && made.order[0] == at.order[0] && made.rho_max[0] == at.rho_max[0]);
        assert_true(at.rho_max[0] > 0 && at.order[0] > 1);
        struct sg_renyi_spend spend = {{0}}, charge = {{at.rho_max[0] / 20000.5}};
        int64_t fit = sg_renyi_runs_left(&at, &spend, &charge);
        assert_int_equal(fit, 20000);
        for (int64_t run = 0; run < fit; run++)
            sg_renyi_add(&spend, &charge);
        assert_true(sg_renyi_admits(&at, &spend) && sg_renyi_runs_left(&at, &spend, &charge) == 0);
    }
}

static void bad_limits(void **state)
{
    (void)state;
    struct sg_renyi_limit limit;
    const double epsilons[] = {0, -1, NAN, INFINITY, 0x1p-1070};
    for (size_t i = 0; i < sizeof epsilons / sizeof *epsilons; i++)
        assert_int_equal(sg_renyi_limit_make(epsilons[i], 1e-5, &limit), SG_USAGE);
    assert_int_equal(sg_renyi_limit_make(1, 0, &limit), SG_USAGE);
    assert_int_equal(sg_renyi_limit_make(1, NAN, &limit), SG_USAGE);
    assert_int_equal(sg_renyi_limit_make_several(1, 1e-5, 5, &limit), SG_USAGE);
    assert_int_equal(sg_renyi_limit_make(1, 1e-5, &limit), SG_OK);
    struct sg_renyi_spend nan = {{NAN, NAN, NAN, NAN}};
    assert_false(sg_renyi_admits(&limit, &nan));
    assert_true(sg_renyi_epsilon(&limit, &nan) == INFINITY);
}

static void calibration(void **state)
{
    (void)state;
    static const struct setting cases[] = {
        {0.01, 0, 1e-5, 1000}, {0.17, 0, 1e-5, 300}, {1, 0, 1e-6, 10}, {0.001, 0, 1e-7, 30000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (double target = 0.5; target < 9; target *= 4) {
            struct sg_phase phase = {cases[i].rate, 1, cases[i].steps};
            struct sg_history history = {.sensitivity = 1, .phases = &phase, .n_phases = 1};
            struct sg_epsilon e;
            double noise, rate;
            int64_t steps;
            assert_int_equal(sg_account_calibrate(&history, target, cases[i].delta, &noise, &e), SG_OK);
            phase.noise_multiplier = noise;
            struct sg_epsilon again = poisson(phase.sample_rate, noise, phase.steps, cases[i].delta);
            assert_true(again.epsilon == e.epsilon && e.epsilon <= target);
            assert_true(poisson(phase.sample_rate, noise * (1 - 1e-6), phase.steps, cases[i].delta).epsilon > target);
            assert_int_equal(sg_account_calibrate_steps(&history, target, cases[i].delta, &steps, &e), SG_OK);
            assert_true(steps >= phase.steps && e.epsilon <= target);
            assert_true(poisson(phase.sample_rate, noise, steps + 1, cases[i].delta).epsilon > target);
            if (phase.sample_rate == 1)
                continue;
            assert_int_equal(sg_account_calibrate_rate(&history, target, cases[i].delta, &rate, &e), SG_OK);
            assert_close(rate, phase.sample_rate, 3e-6);
            assert_true(e.epsilon <= target);
        }
    /* what cannot be met says so: the query alone costs more */
    struct sg_query query = {SG_QUERY_LAPLACE, 0.5, 1};
    struct sg_phase phase = {0.01, 1, 100};
    struct sg_history history = {.sensitivity = 1, .phases = &phase, .n_phases = 1, .queries = &query, .n_queries = 1};
    struct sg_epsilon e;
    double noise;
    assert_int_equal(sg_account_calibrate(&history, 1, 1e-5, &noise, &e), SG_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nightly_retraining),
                                       cmocka_unit_test(filter_matches_conversion),
                                       cmocka_unit_test(order_is_near_the_best),
                                       cmocka_unit_test(recorded_order),
                                       cmocka_unit_test(bad_limits),
                                       cmocka_unit_test(calibration)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
