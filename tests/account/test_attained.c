/* Would catch: a lower bound that no data set attains, one that is trivially 0, one above the upper bound; a cap, an
 * epoch or a clip group counted wrongly. The truth is computed here for a data set in which everybody's gradient but
 * one record's is zero: by counting for a capped batch, on the plane for two shuffled batches. */
#include "support.h"

#include <stdbool.h>

#include "closed.h"

static struct sg_epsilon account(const struct sg_history *history, double delta)
{
    struct sg_epsilon e = {0};
    if (sg_account_epsilon(history, delta, &e) != SG_OK)
        fail_msg("%s", sg_error_text());
    assert_true(e.epsilon_lower <= e.epsilon);
    return e;
}

static struct sg_epsilon capped(double rate, double noise, int64_t steps, int64_t n, int64_t cap, double delta)
{
    struct sg_phase phase = {rate, noise, steps};
    const struct sg_history history = {.sampler = SG_SAMPLER_TRUNCATED_POISSON,
                                       .sensitivity = 1,
                                       .phases = &phase,
                                       .n_phases = 1,
                                       .population_size = n,
                                       .batch_max = cap};
    return account(&history, delta);
}

/* Chance of a unit to be in the batch of at most `cap`: over the number of the others that were drawn. */
static double rate_by_counting(double rate, int n, int cap)
{
    double sum = 0, chance = pow(1 - rate, n - 1);
    for (int others = 0; others < n; others++) {
        sum += chance * rate * fmin(1, (double)cap / (others + 1));
        chance *= (double)(n - 1 - others) / (others + 1) * rate / (1 - rate);
    }
    return sum;
}

static void capped_batches(void **state)
{
    (void)state;
    static const struct {
        double rate, noise, delta;
        int64_t steps;
        int n, cap;
    } cases[] = {{0.2, 1, 1e-5, 1, 20, 3},       {0.2, 1, 1e-5, 60, 20, 3},     {0.5, 0.8, 1e-3, 7, 10, 1},
                 {0.01, 1, 1e-6, 900, 3000, 30}, {0.01, 1, 1e-6, 900, 3000, 9}, {0.3, 2, 1e-6, 50, 40, 39}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double rate = rate_by_counting(cases[i].rate, cases[i].n, cases[i].cap);
        struct sg_epsilon e =
            capped(cases[i].rate, cases[i].noise, cases[i].steps, cases[i].n, cases[i].cap, cases[i].delta);
        struct sg_epsilon truth = poisson(rate, cases[i].noise, cases[i].steps, cases[i].delta);
        assert_true(rate < cases[i].rate);
        assert_true(e.epsilon_lower > 0 && e.epsilon_lower <= truth.epsilon);
        assert_close(e.epsilon_lower, truth.epsilon_lower, 1e-5);
    }
    /* a cap that is never met: no gap is left */
    struct sg_epsilon e = capped(0.001, 1, 1000, 1000000, 1500, 1e-6);
    assert_close(e.epsilon_lower, e.epsilon, 1e-5);
}

/* The sampler may draw the record that was replaced, and nothing else is known of the batch. One step on a line. */
static void fixed_size(void **state)
{
    (void)state;
    const double q = 0.05, sigma = 0.9, delta = 1e-4, h = 1e-4;
    struct sg_epsilon e = account_once(SG_SAMPLER_FIXED_SIZE, SG_REPLACE_ONE, (struct setting){q, sigma, delta, 1});
    double sum = 0;
    for (double x = -12; x < 14; x += h) {
        double zero = exp(-x * x / (2 * sigma * sigma)), one = exp(-(x - 1) * (x - 1) / (2 * sigma * sigma));
        double other = exp(-(x + 1) * (x + 1) / (2 * sigma * sigma));
        sum += fmax((1 - q) * zero + q * one - exp(e.epsilon_lower) * ((1 - q) * zero + q * other), 0);
    }
    assert_true(e.epsilon_lower > 0.5);
    assert_close(sum * h / (sigma * sqrt(2 * M_PI)), delta, 1e-5);
    e = account_once(SG_SAMPLER_FIXED_SIZE, SG_REPLACE_ONE, (struct setting){0.01, 1, 1e-6, 1000});
    assert_true(e.epsilon_lower > 3.2 && e.epsilon > e.epsilon_lower);
    e = account_once(SG_SAMPLER_FIXED_SIZE, SG_REPLACE_ONE, (struct setting){1, 3, 1e-6, 5});
    assert_close(e.epsilon_lower, e.epsilon, 1e-9); /* everybody: no sampling is left to bound */
}

/* Two batches an epoch, one epoch: the record is in either with probability 1/2. With u and v the sum and the
 * difference of the outputs over sigma sqrt 2 and a = 1 / (sigma sqrt 2), the densities over the noise's own are e^{a u
 * - a^2} cosh(a v) with the record and, where it is replaced by its opposite, e^{-a u - a^2} cosh(a v). */
static double shuffled_delta(double sigma, double epsilon, bool is_replaced)
{
    double a = M_SQRT1_2 / sigma, h = 1.0 / 64, sum = 0;
    if (is_replaced)
        return sg_normal_tail(epsilon / (2 * a) - a) - exp(epsilon) * sg_normal_tail(epsilon / (2 * a) + a);
    for (double v = -12; v <= 12; v += h) {
        double turn = cosh(a * v), from = (epsilon + a * a - log(turn)) / a;
        sum +=
            exp(-v * v / 2) * (turn * exp(-a * a / 2) * sg_normal_tail(from - a) - exp(epsilon) * sg_normal_tail(from));
    }
    return sum * h / sqrt(2 * M_PI);
}

static void shuffled(void **state)
{
    (void)state;
    for (int relation = 0; relation < 2; relation++)
        for (double sigma = 0.5; sigma < 5; sigma *= 2.5) {
            struct sg_epsilon e = account_once(SG_SAMPLER_SHUFFLE, relation ? SG_REPLACE_ONE : SG_ADD_OR_REMOVE_ONE,
                                               (struct setting){0.5, sigma, 1e-3, 2});
            assert_true(e.epsilon_lower > 0);
            assert_true(shuffled_delta(sigma, e.epsilon_lower, relation) >= 1e-3 * (1 - 1e-9));
            assert_true(shuffled_delta(sigma, e.epsilon, relation) <= 1e-3 * (1 + 1e-9));
        }
    /* ten whole epochs summed: a Gaussian of size sqrt(10 / 100) / sigma; the eleventh, begun, adds none to that */
    for (int64_t steps = 1000; steps <= 1001; steps++) {
        struct sg_epsilon e =
            account_once(SG_SAMPLER_SHUFFLE, SG_ADD_OR_REMOVE_ONE, (struct setting){0.01, 5, 1e-5, steps});
        assert_close(e.epsilon_lower, sg_gdp_epsilon(sqrt(10.0 / 100) / 5, 1e-5), 1e-9);
    }
    /* at little noise the first batch of each epoch tells more */
    struct sg_epsilon e =
        account_once(SG_SAMPLER_SHUFFLE, SG_ADD_OR_REMOVE_ONE, (struct setting){0.01, 0.5, 1e-6, 1000});
    assert_close(e.epsilon_lower, poisson(0.01, 0.5, 10, 1e-6).epsilon, 1e-6);
    /* rates that do not divide an epoch, and less than one epoch */
    e = account_once(SG_SAMPLER_SHUFFLE, SG_ADD_OR_REMOVE_ONE, (struct setting){0.4, 1, 1e-5, 30});
    assert_true(e.epsilon_lower > 0.5);
    e = account_once(SG_SAMPLER_SHUFFLE, SG_ADD_OR_REMOVE_ONE, (struct setting){0.01, 0.5, 1e-6, 3});
    assert_close(e.epsilon_lower, poisson(0.01, 0.5, 1, 1e-6).epsilon, 1e-6);
}

/* Only the first phase is known to begin with an epoch: two steps may fall into two epochs. And a sweep of ten runs of
 * one step is ten releases, not one epoch. */
static void epochs_touched(void **state)
{
    (void)state;
    struct sg_phase phases[2] = {{0.1, 4, 9}, {0.1, 1, 2}};
    struct sg_history history = {.sampler = SG_SAMPLER_SHUFFLE, .sensitivity = 1, .phases = phases, .n_phases = 2};
    assert_close(account(&history, 1e-5).epsilon, sg_gdp_epsilon(sqrt(1.0 / 16 + 2), 1e-5), 1e-12);
    history.phases = phases + 1, history.n_phases = 1;
    assert_close(account(&history, 1e-5).epsilon, sg_gdp_epsilon(1, 1e-5), 1e-12);
    const struct sg_tuning sweep = {.kind = SG_TUNING_SWEEP, .trials_expected = 10};
    double epsilon;
    assert_int_equal(sg_account_tuning(&history, &sweep, 1e-5, &epsilon), SG_OK);
    assert_close(epsilon, sg_gdp_epsilon(sqrt(10), 1e-5), 1e-12);
}

/* A clip group may hold nobody but the record: then it is at sensitivity 1, whatever the upper bound must assume. */
static void alone_in_its_group(void **state)
{
    (void)state;
    struct sg_phase phase = {0.01, 2, 1000};
    struct sg_history history = {.sensitivity = 2, .phases = &phase, .n_phases = 1};
    struct sg_epsilon e = account(&history, 1e-6), single = poisson(0.01, 2, 1000, 1e-6);
    assert_true(e.epsilon_lower == single.epsilon_lower && single.epsilon_lower > 0.4);
    assert_true(e.epsilon > 2 * single.epsilon);
}

/* The attained pairs compose with what else is released. */
static void with_queries(void **state)
{
    (void)state;
    struct sg_phase phase = {0.01, 1, 500};
    struct sg_query query = {SG_QUERY_GAUSSIAN, 4, 3};
    for (int sampler = 0; sampler < SG_N_SAMPLERS; sampler++) {
        bool is_fixed = sampler == SG_SAMPLER_FIXED_SIZE, is_full = sampler == SG_SAMPLER_FULL_BATCH;
        phase.sample_rate = is_full ? 1 : 0.01;
        struct sg_history history = {.sampler = (enum sg_sampler)sampler,
                                     .relation = is_fixed ? SG_REPLACE_ONE : SG_ADD_OR_REMOVE_ONE,
                                     .sensitivity = 1,
                                     .phases = &phase,
                                     .n_phases = 1,
                                     .population_size = 1000,
                                     .batch_max = 12};
        double without = account(&history, 1e-6).epsilon_lower;
        history.queries = &query, history.n_queries = 1;
        assert_true(without > 0 && account(&history, 1e-6).epsilon_lower > without * (is_full ? 1.0001 : 1.02));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capped_batches), cmocka_unit_test(fixed_size),   cmocka_unit_test(shuffled),
        cmocka_unit_test(epochs_touched), cmocka_unit_test(with_queries), cmocka_unit_test(alone_in_its_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
