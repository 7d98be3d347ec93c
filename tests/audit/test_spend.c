/* Would catch: budget gained by editing, deleting, replaying or transplanting the record of what was spent that stands
 * in side storage; sums that differ when they start from a record; a record that nobody uses, so that each run reads
 * the whole ledger again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/query.h"
#include "base/file.h"
#include "fixture.h"
#include "schema.h"
#include "side.h"
#include "spend.h"
#include "spend_state.h"

#define assert_ok(expr) assert_int_equal(expr, SG_OK)

struct stage {
    char *folder, *path, *side;
    struct sg_signer *signer;
    struct sg_ledger *ledger;
    struct sg_plan plan;
};

static void fill(struct stage *stage, int n)
{
    struct sg_run run;
    for (int i = 0; i < n; i++) {
        assert_ok(fixture_start(stage->ledger, "book", &stage->plan, &run));
        assert_ok(fixture_end(stage->ledger, &run, SG_RUN_ABORT));
    }
}

/* 42 events: genesis, dataset, twenty runs. The record is of the 32 events before the sixteenth. */
static int setup(void **state)
{
    struct stage *stage = sg_alloc(1, sizeof *stage);
    stage->folder = fixture_folder();
    stage->signer = fixture_signer(1);
    stage->path = fixture_init(stage->folder, stage->signer);
    stage->side = sg_format("%s.side.db", stage->path);
    stage->plan = fixture_plan(1, 1e-6);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &stage->ledger));
    assert_ok(fixture_register(stage->ledger, "book", NULL, 9, 1e-4));
    fill(stage, 20);
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    sg_ledger_close(&stage->ledger);
    sg_signer_close(&stage->signer);
    free(stage->path);
    free(stage->side);
    fixture_remove(stage->folder);
    free(stage);
    return 0;
}

static void reopen(struct stage *stage)
{
    sg_ledger_close(&stage->ledger);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &stage->ledger));
}

/* What a run would find now; nothing is written. */
static enum sg_status spent(struct stage *stage, struct sg_spend *out)
{
    reopen(stage);
    assert_ok(sg_store_begin(stage->ledger));
    enum sg_status status = sg_spend_read(stage->ledger, "book", "book", NULL, out);
    sg_store_rollback(stage->ledger);
    return status;
}

static int64_t record_size(struct stage *stage)
{
    struct sg_buffer text = {0}, signature = {0};
    struct sg_spend_state state = {0};
    char label[33];
    uint8_t root[SG_DIGEST_BYTES];
    sg_key_label(sg_signer_vkey(stage->signer), label);
    bool found = sg_side_get_spend(stage->ledger->side, label, &text, &signature) &&
                 sg_spend_record_read(stage->ledger, &text, &signature, &state, root);
    int64_t size = found ? (int64_t)state.tree.size : 0;
    sg_spend_state_free(&state);
    sg_buffer_free(&text);
    sg_buffer_free(&signature);
    return size;
}

static void assert_same(const struct sg_filter *a, const struct sg_filter *b)
{
    assert_int_equal(a->n_charges, b->n_charges);
    assert_memory_equal(&a->rho, &b->rho, sizeof a->rho);
    assert_memory_equal(&a->slack, &b->slack, sizeof a->slack);
    assert_true(a->first_epsilon == b->first_epsilon && a->first_delta == b->first_delta && a->order == b->order);
    assert_string_equal(a->relation, b->relation);
}

static void test_the_same_sums(void **state)
{
    struct stage *stage = *state;
    struct sg_spend with, without;
    assert_int_equal(record_size(stage), 32);
    assert_ok(spent(stage, &with));
    assert_int_equal(with.filter.n_charges, 20);
    fixture_sql(stage->side, "DELETE FROM spend");
    assert_ok(spent(stage, &without));
    assert_same(&with.filter, &without.filter);
    assert_true(with.is_found && without.is_found && with.filter.is_limited);
}

/* An event that the record covers is not read again: verify sees the damage, the next run does not. */
static void test_old_events_are_not_read(void **state)
{
    static const char damage[] = "DROP TRIGGER leaf_no_update; UPDATE leaf SET body = x'00' WHERE seq = %d; CREATE "
                                 "TRIGGER leaf_no_update BEFORE "
                                 "UPDATE ON leaf BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;";
    struct stage *stage = *state;
    struct sg_spend before, after;
    char *old = sg_format(damage, 5), *new = sg_format(damage, 37);
    assert_ok(spent(stage, &before));
    fixture_sql(stage->path, old);
    assert_ok(spent(stage, &after));
    assert_same(&before.filter, &after.filter);
    fixture_sql(stage->path, new);
    assert_int_equal(spent(stage, &after), SG_BROKEN);
    free(old);
    free(new);
}

static void test_edited_records(void **state)
{
    static const char *const edits[] = {
        "UPDATE spend SET record = CAST(replace(CAST(record AS TEXT), '\"charges\":15', '\"charges\":0') AS BLOB)",
        "UPDATE spend SET record = CAST(replace(CAST(record AS TEXT), '\"size\":32', '\"size\":42') AS BLOB)",
        "UPDATE spend SET signature = zeroblob(64)",
        "UPDATE spend SET signature = x''",
        "UPDATE spend SET record = x''",
        "UPDATE spend SET key_id = 'x'",
        "DROP TABLE spend",
    };
    struct stage *stage = *state;
    struct sg_spend before, after;
    struct sg_buffer side = {0};
    assert_ok(spent(stage, &before));
    assert_ok(sg_file_read(stage->side, "side", 1 << 26, &side));
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        assert_int_equal(record_size(stage), 32);
        fixture_sql(stage->side, edits[i]);
        reopen(stage);
        assert_int_equal(record_size(stage), 0); /* not believed */
        assert_ok(spent(stage, &after));
        assert_same(&before.filter, &after.filter);
        sg_ledger_close(&stage->ledger);
        assert_ok(sg_file_write(stage->side, side.data, side.len, 0600));
        assert_ok(sg_ledger_open(stage->path, stage->signer, &stage->ledger));
    }
    sg_buffer_free(&side);
}

/* Signed by somebody else, and what it says is better. */
static void test_records_of_other_keys(void **state)
{
    struct stage *stage = *state;
    struct sg_spend before, after;
    struct sg_spend_state nothing = {0};
    struct sg_signer *other = fixture_signer(2);
    struct sg_buffer text = {0}, signature = {0};
    char label[33];
    assert_ok(spent(stage, &before));
    nothing.tree = stage->ledger->tree; /* nothing spent after all 42 events */
    stage->ledger->signer = other;
    assert_ok(sg_spend_record_make(stage->ledger, &nothing, &text, &signature));
    stage->ledger->signer = stage->signer;
    sg_key_label(sg_signer_vkey(stage->signer), label);
    assert_ok(sg_side_put_spend(stage->ledger->side, label, &text, &signature));
    assert_ok(spent(stage, &after));
    assert_same(&before.filter, &after.filter);
    sg_buffer_free(&text);
    sg_buffer_free(&signature);
    sg_signer_close(&other);
}

static void test_replayed_and_transplanted(void **state)
{
    struct stage *stage = *state;
    struct sg_spend before, after;
    struct sg_buffer old_side = {0}, old_file = {0};
    assert_ok(spent(stage, &before));
    sg_ledger_close(&stage->ledger);
    assert_ok(sg_file_read(stage->side, "side", 1 << 26, &old_side));
    assert_ok(sg_file_read(stage->path, "ledger", 1 << 26, &old_file));
    assert_ok(sg_ledger_open(stage->path, stage->signer, &stage->ledger));
    fill(stage, 20);
    assert_int_equal(record_size(stage), 64);
    assert_ok(spent(stage, &before));
    struct sg_buffer newer_side = {0};
    sg_ledger_close(&stage->ledger);
    assert_ok(sg_file_read(stage->side, "side", 1 << 26, &newer_side));
    /* An older record: more to add up, the same sum. */
    assert_ok(sg_file_write(stage->side, old_side.data, old_side.len, 0600));
    assert_ok(spent(stage, &after));
    assert_same(&before.filter, &after.filter);
    assert_int_equal(after.filter.n_charges, 40);
    /* An older ledger whose anchor somebody removed: the key remembers. */
    sg_ledger_close(&stage->ledger);
    assert_ok(sg_file_write(stage->side, newer_side.data, newer_side.len, 0600));
    assert_ok(sg_file_write(stage->path, old_file.data, old_file.len, 0644));
    fixture_sql(stage->side, "DELETE FROM anchor");
    assert_int_equal(spent(stage, &after), SG_BROKEN);
    assert_non_null(strstr(sg_error_text(), "older copy"));
    /* The same grown again to another history. */
    fixture_sql(stage->side, "DELETE FROM spend");
    reopen(stage);
    fill(stage, 20);
    sg_ledger_close(&stage->ledger);
    assert_ok(sg_file_write(stage->side, newer_side.data, newer_side.len, 0600));
    fixture_sql(stage->side, "DELETE FROM anchor");
    assert_int_equal(spent(stage, &after), SG_BROKEN);
    assert_non_null(strstr(sg_error_text(), "added up"));
    sg_buffer_free(&old_side), sg_buffer_free(&old_file), sg_buffer_free(&newer_side);
}

static void test_edited_tables_with_a_record(void **state)
{
    struct stage *stage = *state;
    struct sg_plan large = fixture_plan(8.5, 1e-5);
    struct sg_run run;
    reopen(stage);
    assert_int_equal(fixture_start(stage->ledger, "book", &large, &run), SG_REFUSED);
    sg_ledger_close(&stage->ledger);
    fixture_sql(stage->path, "DELETE FROM run; UPDATE population SET epsilon_limit = 99");
    assert_ok(sg_ledger_open(stage->path, stage->signer, &stage->ledger));
    assert_int_equal(fixture_start(stage->ledger, "book", &large, &run), SG_REFUSED);
    sg_ledger_close(&stage->ledger);
    fixture_sql(stage->path, "UPDATE dataset SET leaf = 7");
    assert_ok(sg_ledger_open(stage->path, stage->signer, &stage->ledger));
    assert_int_equal(fixture_start(stage->ledger, "book", &large, &run), SG_BROKEN);
}

static void test_drawn_runs_in_the_record(void **state)
{
    struct stage *stage = *state;
    struct sg_programme programme;
    struct sg_plan small = fixture_plan(.1, 1e-7);
    struct sg_run run;
    assert_ok(sg_ledger_register_programme(stage->ledger, "book", &small, 40, &programme));
    for (int i = 0; i < 40; i++) {
        assert_ok(fixture_draw(stage->ledger, "book", &small, programme.programme_id, &run));
        assert_int_equal(run.drawn, i + 1);
        assert_ok(fixture_end(stage->ledger, &run, SG_RUN_FAIL));
        if (i % 7 == 0)
            reopen(stage);
    }
    assert_int_equal(fixture_draw(stage->ledger, "book", &small, programme.programme_id, &run), SG_REFUSED);
    assert_true(record_size(stage) > 60);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_same_sums),
        TEST(test_old_events_are_not_read),
        TEST(test_edited_records),
        TEST(test_records_of_other_keys),
        TEST(test_replayed_and_transplanted),
        TEST(test_edited_tables_with_a_record),
        TEST(test_drawn_runs_in_the_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
