/* Would catch: a programme that costs less than its composition or is charged again run by run, one run too many drawn
 * from it (by one process or by sixteen), a run of another plan or of other people drawn from it, and a killed run
 * that gives its place back. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/query.h"
#include "audit/report.h"
#include "audit/verify.h"
#include "account/filter.h"
#include "budget.h"
#include "fixture.h"
#include "store.h"

#define assert_ok(expr) assert_int_equal(expr, SG_OK)

static struct sg_verdict verdict;

static void expect_intact(struct fixture *stage)
{
    fixture_verify(stage, &verdict);
    if (verdict.status != SG_OK)
        fixture_tell(&verdict);
    assert_int_equal(verdict.status, SG_OK);
}

static double spent(struct fixture *stage)
{
    struct sg_budget budget;
    assert_ok(sg_ledger_budget(stage->ledger, "book", &budget));
    return budget.epsilon_spent;
}

/* ---- What a programme costs. */

/* A month of nightly retraining on the credit book, one night at epsilon 1. */
static struct sg_plan nightly(void)
{
    struct sg_plan_request request = fixture_request(1, 1e-5);
    request.expected_batch_size = 4096;
    request.population_size = 24000;
    request.steps = 300;
    request.n_weights = 2000;
    struct sg_plan plan;
    assert_ok(sg_plan_resolve(&request, &plan));
    return plan;
}

static void test_cost(void **state)
{
    (void)state;
    struct sg_plan plan = nightly(), whole;
    char text[160];
    assert_ok(sg_plan_programme(&plan, 1, &whole));
    assert_false(sg_plan_differs(&whole, &plan, text)); /* a programme of one is the plan, bit for bit */
    assert_ok(sg_plan_programme(&plan, 30, &whole));
    assert_true(whole.epsilon > 6.75 && whole.epsilon < 6.85);
    assert_true(whole.delta == plan.delta && whole.steps == 9000);
    /* Caps and noise: 30 times as many steps, each share stated at the higher epsilon. */
    double factor = 30 * (1 + exp(whole.epsilon)) / (1 + exp(plan.epsilon));
    assert_true(fabs(whole.delta_caps / plan.delta_caps / factor - 1) < 0.01);
    assert_true(fabs(whole.delta_noise / plan.delta_noise / factor - 1) < 0.01);
    assert_true(whole.delta_accountant < plan.delta_accountant);
    double previous = 0;
    for (int64_t runs = 1; runs <= 32; runs *= 2) {
        assert_ok(sg_plan_programme(&plan, runs, &whole));
        assert_true(whole.epsilon > previous && whole.epsilon <= (double)runs * plan.epsilon * (1 + 1e-9));
        previous = whole.epsilon;
    }
    struct sg_filter filter = {.is_limited = true, .epsilon_limit = 10, .delta_limit = 1e-5};
    struct sg_charge one, all;
    filter.order = sg_renyi_order(10, 1e-5);
    assert_ok(sg_filter_charge(&filter, &plan, &one));
    assert_ok(sg_plan_programme(&plan, 30, &whole));
    assert_ok(sg_filter_charge(&filter, &whole, &all));
    assert_true(fabs(all.rho / (30 * one.rho) - 1) < 1e-9);
    assert_true(fabs(all.slack / (30 * one.slack) - 1) < 0.01);
}

static void test_as_if_fixed(void **state)
{
    (void)state;
    enum { NIGHTS = 30 };
    static struct sg_plan_runs list[NIGHTS + 1];
    struct sg_plan plan = nightly(), whole;
    for (int i = 0; i < NIGHTS; i++)
        list[i] = (struct sg_plan_runs){plan, 1};
    assert_true(sg_plans_as_fixed(list, 0, 1e-5) == 0);
    assert_true(fabs(sg_plans_as_fixed(list, 1, 1e-5) / plan.epsilon - 1) < 1e-6);
    double thirty = sg_plans_as_fixed(list, NIGHTS, 1e-5);
    assert_ok(sg_plan_programme(&plan, NIGHTS, &whole));
    assert_true(fabs(thirty / whole.epsilon - 1) < 1e-6);
    list[0].runs = NIGHTS; /* the same as one programme */
    assert_true(fabs(sg_plans_as_fixed(list, 1, 1e-5) / thirty - 1) < 1e-12);
    list[0].runs = 1;
    list[NIGHTS] = (struct sg_plan_runs){fixture_plan(1, 1e-6), 2}; /* other plans in between only add */
    double more = sg_plans_as_fixed(list, NIGHTS + 1, 1e-5);
    assert_true(more > thirty && more < thirty + 2);
    list[NIGHTS].plan.relation = SG_REPLACE_ONE;
    assert_true(isinf(sg_plans_as_fixed(list, NIGHTS + 1, 1e-5)));
    list[NIGHTS] = (struct sg_plan_runs){fixture_plan(0, 0), 1};
    assert_true(isinf(sg_plans_as_fixed(list, NIGHTS + 1, 1e-5)));
    list[NIGHTS] = (struct sg_plan_runs){plan, 100}; /* caps would take more than 2 % of delta */
    assert_true(isinf(sg_plans_as_fixed(list, NIGHTS + 1, 1e-5)));
}

static void test_what_cannot_be_a_programme(void **state)
{
    (void)state;
    struct sg_plan plan = nightly(), open = fixture_plan(0, 0), whole;
    assert_int_equal(sg_plan_programme(&open, 3, &whole), SG_USAGE);
    assert_int_equal(sg_plan_programme(&plan, 0, &whole), SG_USAGE);
    assert_int_equal(sg_plan_programme(&plan, -1, &whole), SG_USAGE);
    assert_int_equal(sg_plan_programme(&plan, INT64_MAX / 2, &whole), SG_USAGE);
    assert_int_not_equal(sg_plan_programme(&plan, INT64_C(1) << 40, &whole), SG_OK);
    plan.delta_noise = 0;
    plan.noise_tau_log2 = -55; /* too coarse for that many values at that epsilon, not for one night */
    assert_ok(sg_plan_programme(&plan, 1, &whole));
    assert_int_equal(sg_plan_programme(&plan, 30, &whole), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "statistical distance"));
}

static void test_first_field_that_differs(void **state)
{
    (void)state;
    struct sg_plan plan = nightly(), other = plan;
    char text[160];
    assert_false(sg_plan_differs(&plan, &other, text));
    other.steps = 299;
    other.epsilon = 0.5; /* follows from the steps: named after them */
    assert_true(sg_plan_differs(&other, &plan, text));
    assert_string_equal(text, "steps is 299 instead of 300");
    other = plan;
    other.epsilon = nextafter(plan.epsilon, 0);
    assert_true(sg_plan_differs(&other, &plan, text));
    assert_non_null(strstr(text, "epsilon is"));
}

/* ---- Registering and drawing. */
static void test_exactly_n_runs(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_programme programme;
    struct sg_run run;
    assert_ok(fixture_register(stage->ledger, "book", NULL, 6, 1e-5));
    assert_ok(fixture_register(stage->ledger, "tonight", "book", 0, 0));
    assert_ok(sg_ledger_register_programme(stage->ledger, "book", &plan, 3, &programme));
    assert_int_equal(strncmp(programme.programme_id, "prog-000001-", 12), 0);
    assert_int_equal(strlen(programme.programme_id), 20);
    assert_true(programme.epsilon > plan.epsilon && programme.epsilon < 3 * plan.epsilon);
    assert_true(programme.delta == plan.delta);
    double after = spent(stage);
    assert_true(after == programme.epsilon); /* alone: its certified epsilon */
    for (int i = 0; i < 3; i++) {            /* the second is killed, the third fails: both keep their place */
        assert_ok(fixture_draw(stage->ledger, i ? "tonight" : "book", &plan, programme.programme_id, &run));
        assert_true(run.drawn == i + 1 && run.programme_runs == 3);
        if (i != 1)
            assert_ok(fixture_end(stage->ledger, &run, i ? SG_RUN_FAIL : SG_RUN_COMPLETE));
    }
    int64_t size = fixture_n_events(stage->ledger);
    assert_int_equal(fixture_draw(stage->ledger, "book", &plan, programme.programme_id, &run), SG_REFUSED);
    assert_non_null(strstr(sg_error_text(), "all its 3 runs are drawn"));
    assert_int_equal(fixture_n_events(stage->ledger), size);
    assert_true(spent(stage) == after); /* runs drawn are charged nothing more */
    fixture_verify(stage, &verdict);
    assert_int_equal(verdict.status, SG_INCOMPLETE); /* the killed run is named, nothing is broken */
    assert_int_equal(verdict.n_broken, 0);
    json_t *budget;
    assert_ok(sg_query_budget(stage->ledger, "book", &budget));
    json_t *row = json_array_get(json_object_get(budget, "programmes"), 0);
    assert_int_equal(json_integer_value(json_object_get(row, "drawn")), 3);
    assert_int_equal(json_integer_value(json_object_get(row, "runs")), 3);
    assert_int_equal(json_integer_value(json_object_get(budget, "runs")), 3);
    assert_int_equal(json_integer_value(json_object_get(budget, "open_runs")), 1);
    assert_int_equal(json_array_size(json_object_get(budget, "by")), 1);
    json_decref(budget);
    struct sg_buffer page = {0};
    assert_ok(sg_report_html(stage->ledger, &verdict, "1", &page));
    char *drawn = sg_format("drawn from programme %s", programme.programme_id);
    assert_non_null(strstr(page.data, drawn));
    free(drawn);
    sg_buffer_free(&page);
}

static void test_what_cannot_be_drawn(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(1, 1e-6), other = fixture_plan(1.5, 1e-6), open = fixture_plan(0, 0);
    struct sg_programme programme;
    struct sg_run run;
    assert_ok(fixture_register(stage->ledger, "book", NULL, 6, 1e-5));
    assert_ok(fixture_register(stage->ledger, "others", NULL, 6, 1e-5));
    assert_ok(sg_ledger_register_programme(stage->ledger, "book", &plan, 3, &programme));
    const char *id = programme.programme_id;
    int64_t size = fixture_n_events(stage->ledger);
    assert_int_equal(fixture_draw(stage->ledger, "book", &plan, "prog-000001-00000000", &run), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "not registered"));
    assert_int_equal(fixture_draw(stage->ledger, "others", &plan, id, &run), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "population others"));
    assert_int_equal(fixture_draw(stage->ledger, "book", &other, id, &run), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "noise_multiplier is "));
    assert_int_equal(fixture_draw(stage->ledger, "book", &open, id, &run), SG_REFUSED);
    assert_int_equal(sg_ledger_register_programme(stage->ledger, "book", &open, 3, &programme), SG_USAGE);
    assert_int_equal(fixture_n_events(stage->ledger), size);
    expect_intact(stage);
}

static void test_over_the_limit(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(1, 1e-6), whole;
    struct sg_programme programme;
    struct sg_run run;
    assert_ok(sg_plan_programme(&plan, 10, &whole));
    /* The limit admits ten and not eleven: a programme that is alone may fill it by its certified epsilon. */
    assert_ok(fixture_register(stage->ledger, "book", NULL, whole.epsilon, 1e-6));
    int64_t size = fixture_n_events(stage->ledger);
    assert_int_equal(sg_ledger_register_programme(stage->ledger, "book", &plan, 11, &programme), SG_REFUSED);
    assert_non_null(strstr(sg_error_text(), "this programme of 11 runs"));
    assert_non_null(strstr(sg_error_text(), "10 runs of it would fit"));
    assert_int_equal(fixture_n_events(stage->ledger), size);
    assert_true(spent(stage) == 0);
    assert_ok(sg_ledger_register_programme(stage->ledger, "book", &plan, 10, &programme));
    assert_int_equal(fixture_start(stage->ledger, "book", &plan, &run), SG_REFUSED);
    assert_int_equal(sg_ledger_register_programme(stage->ledger, "book", &plan, 1, &programme), SG_REFUSED);
    expect_intact(stage);
}

/* Programmes and runs alone, chosen one after another: the filter's composition, the same in the writer's two readings
 * (leaves, tables) and in verify. */
static void test_mixed_charges(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(1, 1e-6), big = fixture_plan(3, 1e-6);
    struct sg_programme first, second;
    struct sg_run run;
    assert_ok(fixture_register(stage->ledger, "book", NULL, 12, 1e-5));
    assert_ok(fixture_start(stage->ledger, "book", &big, &run));
    assert_ok(fixture_end(stage->ledger, &run, SG_RUN_COMPLETE));
    assert_ok(sg_ledger_register_programme(stage->ledger, "book", &plan, 5, &first));
    assert_ok(fixture_draw(stage->ledger, "book", &plan, first.programme_id, &run));
    assert_ok(fixture_end(stage->ledger, &run, SG_RUN_COMPLETE));
    assert_ok(fixture_start(stage->ledger, "book", &plan, &run));
    assert_ok(fixture_end(stage->ledger, &run, SG_RUN_COMPLETE));
    assert_ok(sg_ledger_register_programme(stage->ledger, "book", &plan, 2, &second));
    struct sg_filter filter;
    struct sg_charge one, large;
    assert_ok(sg_filter_read(stage->ledger->db, "book", &filter));
    assert_ok(sg_filter_charge(&filter, &plan, &one));
    assert_ok(sg_filter_charge(&filter, &big, &large));
    assert_int_equal(filter.n_charges, 4);
    assert_int_equal(filter.n_runs, 3);
    assert_true(fabs(filter.rho / (large.rho + 8 * one.rho) - 1) < 1e-9);
    json_t *budget;
    assert_ok(sg_query_budget(stage->ledger, "book", &budget));
    int64_t more = json_integer_value(json_object_get(budget, "more_runs_like_last"));
    double as_fixed = json_real_value(json_object_get(budget, "epsilon_as_if_fixed"));
    assert_true(as_fixed > 3 && as_fixed < spent(stage)); /* the freedom to choose has a price */
    json_decref(budget);
    assert_true(more > 0);
    for (int64_t i = 0; i <= more; i++) /* as many more runs as were promised, and no other */
        assert_int_equal(fixture_start(stage->ledger, "book", &plan, &run), i < more ? SG_OK : SG_REFUSED);
    fixture_verify(stage, &verdict);
    assert_int_equal(verdict.n_broken, 0);
}

static void test_room_for_runs(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(3, 1e-5);
    struct sg_run run;
    int64_t ones, threes;
    assert_ok(fixture_register(stage->ledger, "book", NULL, 3, 1e-5));
    assert_ok(fixture_register(stage->ledger, "open", NULL, -1, 0));
    assert_ok(sg_ledger_runs_of(stage->ledger, "book", 3, &threes));
    assert_int_equal(threes, 1); /* a limit of 3 admits the one run calibrated to 3 */
    assert_ok(sg_ledger_runs_of(stage->ledger, "book", 1, &ones));
    assert_true(ones >= 2 && ones < 9);
    assert_ok(sg_ledger_runs_of(stage->ledger, "open", 1, &threes));
    assert_int_equal(threes, 0);
    assert_ok(fixture_start(stage->ledger, "book", &plan, &run));
    assert_ok(sg_ledger_runs_of(stage->ledger, "book", 1, &ones));
    assert_int_equal(ones, 0);
}

static void test_programme_on_public_people(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_programme programme;
    struct sg_run run;
    assert_ok(fixture_register(stage->ledger, "book", NULL, -1, 0));
    assert_ok(sg_ledger_register_programme(stage->ledger, "book", &plan, 1, &programme));
    assert_ok(fixture_draw(stage->ledger, "book", &plan, programme.programme_id, &run));
    assert_ok(fixture_end(stage->ledger, &run, SG_RUN_COMPLETE));
    assert_int_equal(fixture_draw(stage->ledger, "book", &plan, programme.programme_id, &run), SG_REFUSED);
    expect_intact(stage);
}

static void test_sixteen_draw_from_five(void **state)
{
    struct fixture *stage = *state;
    enum { N = 16, RUNS = 5 };
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_programme programme;
    int started, refused;
    assert_ok(fixture_register(stage->ledger, "book", NULL, 6, 1e-5));
    assert_ok(sg_ledger_register_programme(stage->ledger, "book", &plan, RUNS, &programme));
    sg_ledger_close(&stage->ledger);
    fixture_race(stage, &plan, programme.programme_id, N, &started, &refused);
    assert_int_equal(started, RUNS);
    assert_int_equal(refused, N - RUNS);
    expect_intact(stage);
    assert_int_equal(verdict.n_runs, RUNS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_as_if_fixed),
        cmocka_unit_test(test_what_cannot_be_a_programme),
        cmocka_unit_test(test_first_field_that_differs),
        TEST(test_exactly_n_runs),
        TEST(test_what_cannot_be_drawn),
        TEST(test_over_the_limit),
        TEST(test_mixed_charges),
        TEST(test_room_for_runs),
        TEST(test_programme_on_public_people),
        TEST(test_sixteen_draw_from_five),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
