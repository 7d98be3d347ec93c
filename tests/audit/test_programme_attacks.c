/* Would catch: budget of a programme gained by editing tables, and a forged programme, or a forged run of one, that
 * verify believes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "audit/query.h"
#include "base/file.h"
#include "fixture.h"

#define assert_ok(expr) assert_int_equal(expr, SG_OK)

static struct sg_verdict verdict;

/* Leaf 1 is the dataset, leaf 2 a programme, leaf 3 the run drawn from it, leaf 4 its end. */
static struct sg_programme one_drawn(struct fixture *stage, const struct sg_plan *plan, double limit, int64_t runs)
{
    struct sg_programme programme;
    struct sg_run run;
    assert_ok(fixture_register(stage->ledger, "book", NULL, limit, 1e-5));
    assert_ok(sg_ledger_register_programme(stage->ledger, "book", plan, runs, &programme));
    assert_ok(fixture_draw(stage->ledger, "book", plan, programme.programme_id, &run));
    assert_ok(fixture_end(stage->ledger, &run, SG_RUN_COMPLETE));
    return programme;
}

static void test_edited_tables(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_run run;
    static const struct {
        const char *sql, *table, *text;
    } cases[] = {
        {"UPDATE programme SET runs = 100", "table programme", "runs"},
        {"UPDATE programme SET rho = 0, epsilon = 0", "table programme", "epsilon"},
        {"UPDATE programme SET population = 'elsewhere'", "table programme", "population"},
        {"UPDATE run SET programme = NULL", "table run", "programme"},
        {"DELETE FROM run", "table run", "fewer"},
        {"DELETE FROM programme", "table programme", "fewer"},
        {"INSERT INTO population SELECT 'fresh', unit, is_limited, epsilon_limit, delta_limit, filter_order, leaf FROM "
         "population; UPDATE dataset SET population = 'fresh'",
         "table dataset", "population"},
    };
    struct sg_buffer original = {0};
    struct sg_programme programme = one_drawn(stage, &plan, 2, 1);
    sg_ledger_close(&stage->ledger);
    assert_ok(sg_file_read(stage->path, "ledger", 1 << 26, &original));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(sg_file_write(stage->path, original.data, original.len, 0644));
        fixture_sql(stage->path, cases[i].sql);
        fixture_verify(stage, &verdict);
        assert_int_equal(verdict.status, SG_BROKEN);
        assert_true(fixture_found(&verdict, cases[i].table, cases[i].text));
        /* And nothing is gained: the writer reads the signed events. */
        assert_ok(sg_ledger_open(stage->path, stage->signer, &stage->ledger));
        enum sg_status expected = strstr(cases[i].sql, "fresh") ? SG_BROKEN : SG_REFUSED; /* other people than signed */
        assert_int_equal(fixture_draw(stage->ledger, "book", &plan, programme.programme_id, &run), expected);
        struct sg_plan again = fixture_plan(1.9, 1e-5);
        assert_int_equal(fixture_start(stage->ledger, "book", &again, &run), expected);
        sg_ledger_close(&stage->ledger);
    }
    sg_buffer_free(&original);
}

static void forge(struct fixture *stage, const char *type, json_t *facts, const char *text)
{
    struct sg_buffer original = {0};
    char place[40];
    assert_ok(sg_file_read(stage->path, "ledger", 1 << 26, &original));
    assert_ok(sg_ledger_open(stage->path, stage->signer, &stage->ledger));
    snprintf(place, sizeof place, "leaf %lld", (long long)fixture_n_events(stage->ledger));
    (void)fixture_append(stage->ledger, type, facts);
    sg_ledger_close(&stage->ledger);
    fixture_verify(stage, &verdict);
    assert_int_equal(verdict.status, SG_BROKEN);
    if (!fixture_found(&verdict, place, text))
        fail_msg("not said: %s", text);
    fixture_restore(stage->path, &original); /* and no anchor that has seen the forged event */
    sg_buffer_free(&original);
}

static json_t *facts_of(struct fixture *stage, int64_t leaf)
{
    struct sg_ledger *ledger = NULL;
    json_t *statement = NULL;
    assert_ok(sg_ledger_open_read(stage->path, &ledger));
    assert_ok(sg_query_leaf(ledger, leaf, &statement));
    json_t *copy = json_deep_copy(json_object_get(json_object_get(statement, "predicate"), "facts"));
    json_decref(statement);
    sg_ledger_close(&ledger);
    return copy;
}

static json_t *another_draw(struct fixture *stage)
{
    json_t *f = facts_of(stage, 3);
    json_object_set_new(f, "run_id", json_string("run-forged"));
    json_object_set_new(f, "run_no", json_integer(2));
    return f;
}

static json_t *another_programme(struct fixture *stage)
{
    json_t *f = facts_of(stage, 2), *budget = json_object_get(f, "budget");
    json_object_set_new(f, "programme_id", json_string("prog-forged"));
    json_object_set_new(budget, "charges_before", json_integer(1));
    json_object_set_new(budget, "epsilon_after", json_real(5)); /* more than follows */
    return f;
}

static void test_forged_by_the_key_holder(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(1, 1e-6), other = fixture_plan(0.9, 1e-6);
    struct sg_programme programme = one_drawn(stage, &plan, 5, 2);
    assert_ok(fixture_register(stage->ledger, "elsewhere", NULL, 5, 1e-5));
    sg_ledger_close(&stage->ledger);
    json_t *f = another_programme(stage);
    json_object_set_new(f, "epsilon", json_real(1.01));
    forge(stage, "programme.register", f, "lies below");
    f = another_programme(stage);
    json_object_set_new(f, "runs", json_integer(3)); /* charged as two */
    forge(stage, "programme.register", f, "smaller than what its plan costs");
    f = another_programme(stage);
    json_object_set_new(json_object_get(f, "budget"), "rho", json_real(1e-9));
    forge(stage, "programme.register", f, "smaller than what its plan costs");
    f = another_programme(stage);
    json_object_set_new(f, "budget", json_null());
    forge(stage, "programme.register", f, "smaller than what its plan costs");
    f = another_programme(stage);
    json_object_set_new(json_object_get(f, "budget"), "charges_before", json_integer(0));
    forge(stage, "programme.register", f, "another number of charges");
    f = another_programme(stage);
    json_object_set_new(json_object_get(f, "plan"), "noise_multiplier", json_real(100));
    forge(stage, "programme.register", f, "noise_std");
    f = another_programme(stage);
    json_object_set_new(f, "runs", json_integer(0));
    forge(stage, "programme.register", f, "it has no runs");
    f = another_programme(stage);
    json_object_set_new(f, "programme_id", json_string(programme.programme_id));
    forge(stage, "programme.register", f, "already taken");
    f = another_programme(stage);
    json_object_set_new(f, "dataset", json_string("elsewhere"));
    forge(stage, "programme.register", f, "not registered under its population");
    f = another_draw(stage);
    json_object_set_new(f, "plan", sg_plan_to_json(&other));
    forge(stage, "run.start", f, "not the one that its programme fixed");
    f = another_draw(stage);
    json_object_set_new(f, "programme", json_string("prog-unheard-of"));
    forge(stage, "run.start", f, "not registered for its population");
    f = another_draw(stage);
    json_object_set_new(f, "dataset", json_string("elsewhere"));
    json_object_set_new(f, "population", json_string("elsewhere"));
    forge(stage, "run.start", f, "not registered for its population");
    f = another_draw(stage);
    json_object_set_new(f, "programme", json_null()); /* alone, and charged nothing */
    forge(stage, "run.start", f, "smaller than what its plan costs");
    f = another_draw(stage);
    json_object_set_new(f, "budget", json_object());
    json_object_set_new(json_object_get(f, "budget"), "rho", json_real(1));
    json_object_set_new(json_object_get(f, "budget"), "delta_slack", json_real(0));
    forge(stage, "run.start", f, "a reservation of its own");
}

static void test_one_draw_too_many(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    one_drawn(stage, &plan, 5, 1);
    sg_ledger_close(&stage->ledger);
    fixture_verify(stage, &verdict);
    assert_int_equal(verdict.status, SG_OK);
    forge(stage, "run.start", another_draw(stage), "all runs of its programme were drawn");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_edited_tables), TEST(test_forged_by_the_key_holder),
                                       TEST(test_one_draw_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
