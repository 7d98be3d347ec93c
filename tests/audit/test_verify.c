/* Would catch: an attack on the tables, with SQL or with the signing key, that verify does not notice or places
 * wrongly; a verdict that is too kind about trust, witnesses or unfinished runs. The attacks with SQL first drop the
 * triggers, as an attacker would. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/query.h"
#include "audit/verify.h"
#include "base/file.h"
#include "fixture.h"
#include "store.h"

#define assert_ok(expr) assert_int_equal(expr, SG_OK)

struct stage {
    char *folder, *path;
    struct sg_signer *signer;
    struct sg_trust trust;
    struct sg_plan_memo *memo;
    struct sg_buffer original;
};
static struct sg_verdict verdict;

static int setup(void **state)
{
    struct stage *stage = sg_alloc(1, sizeof *stage);
    stage->folder = fixture_folder();
    stage->signer = fixture_signer(1);
    stage->path = fixture_twenty(stage->folder, stage->signer);
    stage->memo = sg_plan_memo_new();
    fixture_trust(stage->signer, &stage->trust);
    *state = stage;
    return sg_file_read(stage->path, "ledger", 1 << 26, &stage->original);
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    sg_signer_close(&stage->signer);
    sg_plan_memo_free(&stage->memo);
    sg_buffer_free(&stage->original);
    free(stage->path);
    fixture_remove(stage->folder);
    free(stage);
    return 0;
}

static struct sg_verify_options trusting(struct stage *stage)
{
    return (struct sg_verify_options){.trust = &stage->trust, .allow_unwitnessed = true, .memo = stage->memo};
}

static void verify(struct stage *stage, const struct sg_verify_options *options)
{
    assert_ok(sg_verify_file(stage->path, options, &verdict));
}

static void test_verdicts(void **state)
{
    struct stage *stage = *state;
    struct sg_verify_options options = trusting(stage);
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_OK);
    assert_true(verdict.is_trusted && verdict.size == 20 && verdict.n_runs == 7 && verdict.n_datasets == 3);
    assert_non_null(strstr(verdict.sentence, "an older copy cannot be ruled out"));
    options.allow_unwitnessed = false;
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_INCOMPLETE);
    options = trusting(stage), options.trust = NULL;
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_INCOMPLETE);
    assert_non_null(strstr(verdict.sentence, "a key that this ledger itself names"));
    options.allow_self_trust = true;
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_OK);
    options = trusting(stage), options.quick = true;
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_OK);
    struct sg_signer *other = fixture_signer(2);
    struct sg_trust wrong;
    fixture_trust(other, &wrong);
    options = trusting(stage), options.trust = &wrong;
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_BROKEN);
    assert_true(fixture_found(&verdict, "leaf 0", "another key than the one you trust"));
    sg_signer_close(&other);
}

static void test_open_run_is_named(void **state)
{
    struct stage *stage = *state;
    struct sg_verify_options options = trusting(stage);
    struct sg_ledger *ledger = NULL;
    struct sg_run run;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_start(ledger, "book", &plan, &run));
    sg_ledger_close(&ledger);
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_INCOMPLETE);
    assert_true(fixture_found(&verdict, run.run_id, "never ended"));
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_end(ledger, &run, SG_RUN_ABORT));
    sg_ledger_close(&ledger);
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_OK);
}

/* ---- Attacks by SQL, without the key. */
static const char drop_triggers[] =
    "DROP TRIGGER leaf_no_update; DROP TRIGGER leaf_no_delete; DROP TRIGGER leaf_no_replace; DROP TRIGGER "
    "node_no_update; "
    "DROP TRIGGER node_no_delete; DROP TRIGGER node_no_replace; DROP TRIGGER checkpoint_no_update; DROP TRIGGER "
    "checkpoint_no_delete; DROP TRIGGER checkpoint_no_replace;";

/* What the attacker puts back, so that only the rows differ: the schema's own text. */
static char *trigger_texts(sqlite3 *db)
{
    struct sg_buffer text = {0};
    sqlite3_stmt *rows = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT sql FROM sqlite_schema WHERE type = 'trigger'", -1, &rows, NULL),
                     SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW)
        sg_buffer_printf(&text, "%s;", (const char *)sqlite3_column_text(rows, 0));
    sqlite3_finalize(rows);
    return text.data;
}

static void attack(struct stage *stage, const char *sql, bool restore_triggers)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(stage->path, &db), SQLITE_OK);
    char *texts = trigger_texts(db);
    assert_int_equal(sqlite3_exec(db, drop_triggers, NULL, NULL, NULL), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    if (restore_triggers)
        assert_int_equal(sqlite3_exec(db, texts, NULL, NULL, NULL), SQLITE_OK);
    free(texts);
    sqlite3_close(db);
}

static void test_sql_attacks(void **state)
{
    struct stage *stage = *state;
    static const struct {
        const char *sql, *place, *text;
    } cases[] = {
        {"UPDATE leaf SET body = CAST(replace(CAST(body AS TEXT), 'a', 'b') AS BLOB) WHERE seq = 5", "leaf 5",
         "do not have the stored hash"},
        {"UPDATE leaf SET body = x'' WHERE seq = 5", "leaf 5", "do not have the stored hash"},
        {"UPDATE leaf SET body = (SELECT body FROM leaf WHERE seq = 4) WHERE seq = 6", "leaf 6",
         "do not have the stored hash"},
        {"UPDATE leaf SET body = (SELECT body FROM leaf WHERE seq = 4), leaf_hash = (SELECT leaf_hash FROM leaf WHERE "
         "seq = 4) WHERE seq "
         "= 6",
         "leaf 6", "moved, or taken from elsewhere"},
        {"UPDATE leaf SET ts_ms = ts_ms + 1 WHERE seq = 3", "leaf 3", "do not repeat what its bytes say"},
        {"UPDATE leaf SET type = 'run.fail' WHERE seq = 5", "leaf 5", "do not repeat what its bytes say"},
        {"UPDATE leaf SET event_id = 'x' WHERE seq = 5", "leaf 5", "do not repeat what its bytes say"},
        {"UPDATE leaf SET prev_hash = leaf_hash WHERE seq = 5", "leaf 5", "prev_hash"},
        {"UPDATE leaf SET leaf_hash = prev_hash WHERE seq = 5", "leaf 5", "do not have the stored hash"},
        {"DELETE FROM leaf WHERE seq = 7", "table leaf", "events are missing or were added"},
        {"DELETE FROM leaf WHERE seq = 19", "table checkpoint", "events were cut off"},
        {"DELETE FROM leaf WHERE seq >= 18; DELETE FROM checkpoint WHERE size > 18", "table node", "rows"},
        {"DELETE FROM leaf", "table leaf", "no event"},
        {"INSERT INTO leaf SELECT 20, 'new', ts_ms, type, body, leaf_hash, prev_hash FROM leaf WHERE seq = 19",
         "leaf 20", "moved, or taken from elsewhere"},
        {"UPDATE leaf SET seq = seq + 1000 WHERE seq = 19", "table leaf", "events are missing or were added"},
        {"UPDATE leaf SET seq = -1 WHERE seq = 9; UPDATE leaf SET seq = 9 WHERE seq = 11; UPDATE leaf SET seq = 11 "
         "WHERE seq = -1",
         "leaf 9", "moved, or taken from elsewhere"},
        {"UPDATE node SET hash = zeroblob(32) WHERE level = 2 AND idx = 1", "node 2/1", "not the hash that follows"},
        {"DELETE FROM node WHERE level = 3 AND idx = 0", "node 3/0", "missing"},
        {"INSERT INTO node VALUES(7, 7, zeroblob(32))", "table node", "rows"},
        {"UPDATE checkpoint SET root = zeroblob(32) WHERE size = 10", "checkpoint 10", "its root"},
        {"UPDATE checkpoint SET note = replace(note, 'bank', 'tank') WHERE size = 10", "checkpoint 10", "its text"},
        {"UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 9) WHERE size = 10", "checkpoint 10",
         "its text"},
        {"UPDATE checkpoint SET note = note || char(8212) || ' other AAAAAAAA' || char(10) WHERE size = 10",
         "checkpoint 10", "exactly one key"},
        {"UPDATE checkpoint SET note = substr(note, 1, length(note) - 8) || 'AAAAAA=' || char(10) WHERE size = 10",
         "checkpoint 10", "does not verify"},
        {"DELETE FROM checkpoint WHERE size = 10", "checkpoint 10", "missing"},
        {"INSERT INTO checkpoint SELECT 21, root, note FROM checkpoint WHERE size = 20", "table checkpoint", "cut off"},
        {"UPDATE run SET epsilon = 0.5 WHERE run_no = 1", "table run", "epsilon"},
        {"UPDATE run SET epsilon = NULL WHERE run_no = 1", "table run", "nothing"},
        {"UPDATE run SET status = 'complete', reason = NULL WHERE run_no = 6", "table run", "status"},
        {"UPDATE run SET actor = 'somebody else' WHERE run_no = 2", "table run", "somebody else"},
        {"UPDATE run SET rho = rho / 2 WHERE run_no = 2", "table run", "rho"},
        {"DELETE FROM run WHERE run_no = 2", "table run", "run_no"},
        {"DELETE FROM run WHERE run_no = 7", "table run", "fewer"},
        {"INSERT INTO run SELECT 8, 'run-8', dataset, population, status, reason, is_private, epsilon, delta, "
         "relation, rho, delta_slack, "
         "steps, steps_done, actor, host, started_ms, ended_ms, code_digest, base_model, secret_supplied, start_leaf, "
         "end_leaf, programme FROM run "
         "WHERE run_no = 7",
         "table run", "more"},
        {"UPDATE metric SET value = value + 1e-15 WHERE run_no = 1", "table metric", "value"},
        {"UPDATE metric SET released = 'exact' WHERE run_no = 1", "table metric", "released"},
        {"UPDATE artifact SET sha256 = replace(sha256, 'a', 'b') WHERE run_no = 1", "table artifact", "sha256"},
        {"DELETE FROM artifact WHERE run_no = 1", "table artifact", "run_no"},
        {"UPDATE param SET value = '1' WHERE name = 'configuration.model.type' AND run_no = 1", "table param", "value"},
        {"UPDATE decision SET person = 'somebody else'", "table decision", "person"},
        {"UPDATE decision SET kind = 'model.deploy'", "table decision", "kind"},
        {"UPDATE decision SET expires_ms = NULL", "table decision", "expires_ms"},
        {"INSERT INTO decision SELECT 3, kind, model, run_no, 'the board', developer, role, reason, expires_ms, "
         "decided_ms FROM decision",
         "table decision", "leaf"},
        {"DELETE FROM erasure", "table erasure", "fewer"},
        {"UPDATE population SET epsilon_limit = 1000", "table population", "epsilon_limit"},
        {"UPDATE population SET is_limited = 0 WHERE name = 'customers'", "table population", "is_limited"},
        {"UPDATE dataset SET commitment = zeroblob(32) WHERE name = 'book'", "table dataset", "commitment"},
        {"UPDATE dataset SET is_public = 1", "table dataset", "is_public"},
        {"UPDATE signing_key SET role = 'writer'", "table signing_key", "role"},
        {"INSERT INTO signing_key VALUES('x', 'writer', 'y', 3, NULL, NULL)", "table signing_key", "more"},
        {"INSERT INTO cosignature VALUES(20, 'nobody', 'nonsense')", "cosignature 20", "does not belong"},
        {"INSERT INTO cosignature VALUES(77, 'nobody', 'nonsense')", "cosignature 77", "does not belong"},
        {"PRAGMA user_version = 1", "file", "format version"},
        {"PRAGMA application_id = 7", "file", "mark of a ledger"},
    };
    struct sg_verify_options options = trusting(stage);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(sg_file_write(stage->path, stage->original.data, stage->original.len, 0644));
        attack(stage, cases[i].sql, true);
        verify(stage, &options);
        if (verdict.status != SG_BROKEN)
            fail_msg("not noticed: %s", cases[i].sql);
        if (!fixture_found(&verdict, cases[i].place, cases[i].text))
            fail_msg("noticed in another place: %s", cases[i].sql);
    }
}

/* A schema that would run code, or that a reader would mistake for the ledger's. */
static void test_hostile_schemas(void **state)
{
    struct stage *stage = *state;
    static const char *const cases[] = {
        "SELECT 1", /* the triggers are gone */
        "CREATE VIEW extra AS SELECT * FROM leaf",
        "CREATE TABLE extra(x)",
        "CREATE INDEX extra ON leaf(ts_ms)",
        "CREATE TRIGGER extra AFTER INSERT ON run BEGIN DELETE FROM leaf; END",
        "DROP TABLE metric",
        "DROP TABLE metric; CREATE VIEW metric AS SELECT 1 AS run_no, randomblob(1000000000) AS ordinal",
        "ALTER TABLE run RENAME COLUMN epsilon TO epsilon_",
        "ALTER TABLE run ADD COLUMN more TEXT",
        "DROP INDEX run_population",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'leaf'",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE "
        "name = 'node') WHERE "
        "name = 'leaf'",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE leaf(seq INTEGER PRIMARY KEY, body "
        "AS (randomblob("
        "1000000000)))' WHERE name = 'leaf'",
    };
    struct sg_verify_options options = trusting(stage);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(sg_file_write(stage->path, stage->original.data, stage->original.len, 0644));
        attack(stage, cases[i], i >= 1 && i < 5);
        verify(stage, &options);
        if (verdict.status != SG_BROKEN)
            fail_msg("not noticed: %s", cases[i]);
        struct sg_ledger *ledger = NULL;
        if (sg_ledger_open(stage->path, stage->signer, &ledger) == SG_OK)
            fail_msg("opened for writing: %s", cases[i]);
        assert_null(ledger);
    }
}

/* The seat belts hold where nobody removed them. */
static void test_seat_belts(void **state)
{
    struct stage *stage = *state;
    static const char *const cases[] = {"UPDATE leaf SET ts_ms = 0",
                                        "DELETE FROM leaf",
                                        "DELETE FROM checkpoint",
                                        "UPDATE node SET level = 9",
                                        "INSERT OR REPLACE INTO leaf SELECT * FROM leaf WHERE seq = 3",
                                        "INSERT OR REPLACE INTO leaf SELECT 20, event_id, ts_ms, type, body, "
                                        "leaf_hash, prev_hash FROM leaf WHERE seq = 3"};
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(stage->path, &db), SQLITE_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(sqlite3_exec(db, cases[i], NULL, NULL, NULL), SQLITE_CONSTRAINT);
    sqlite3_close(db);
}

/* Whoever edits the tables without the key must not gain budget: the writer reads the signed events. */
static void test_no_budget_by_editing(void **state)
{
    struct stage *stage = *state;
    struct sg_ledger *ledger = NULL;
    struct sg_run run;
    struct sg_plan plan = fixture_plan(3, 1e-5), open = fixture_plan(0, 0);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "tight", NULL, 3, 1e-5));
    assert_ok(fixture_start(ledger, "tight", &plan, &run));
    assert_ok(fixture_end(ledger, &run, SG_RUN_COMPLETE));
    sg_ledger_close(&ledger);
    attack(stage,
           "UPDATE run SET rho = 0, epsilon = 0 WHERE population = 'tight'; UPDATE population SET epsilon_limit = 99, "
           "delta_limit = .1",
           true);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_int_equal(fixture_start(ledger, "tight", &plan, &run), SG_REFUSED);
    sg_ledger_close(&ledger);
    attack(stage, "DELETE FROM run WHERE population = 'tight'", true);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_int_equal(fixture_start(ledger, "tight", &plan, &run), SG_REFUSED);
    sg_ledger_close(&ledger);
    attack(stage, "UPDATE dataset SET is_public = 1", true);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_int_equal(fixture_start(ledger, "tight", &open, &run), SG_BROKEN);
    sg_ledger_close(&ledger);
    attack(stage, "UPDATE leaf SET body = CAST(replace(CAST(body AS TEXT), 'e', 'f') AS BLOB) WHERE type = 'run.start'",
           true);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_int_equal(fixture_start(ledger, "open-data", &open, &run), SG_BROKEN);
    sg_ledger_close(&ledger);
}

/* ---- Attacks with the signing key: what only meaning can reveal. */
static void append_raw(struct stage *stage, const char *type, json_t *facts)
{
    struct sg_ledger *ledger = NULL;
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    (void)fixture_append(ledger, type, facts);
    sg_ledger_close(&ledger);
}

static json_t *start_of(struct stage *stage, const char *run)
{
    struct sg_ledger *ledger = NULL;
    json_t *object = NULL;
    assert_ok(sg_ledger_open_read(stage->path, &ledger));
    assert_ok(sg_query_show(ledger, run, &object));
    json_t *facts = json_object_get(json_object_get(json_object_get(object, "start"), "predicate"), "facts");
    json_t *copy = json_deep_copy(facts);
    json_decref(object);
    sg_ledger_close(&ledger);
    json_object_set_new(copy, "run_id", json_string("run-forged"));
    json_object_set_new(copy, "run_no", json_integer(8));
    json_object_set_new(json_object_get(copy, "budget"), "charges_before", json_integer(6));
    return copy;
}

static void expect_forgery(struct stage *stage, json_t *facts, const char *text)
{
    struct sg_verify_options options = trusting(stage);
    append_raw(stage, "run.start", facts);
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_BROKEN);
    if (!fixture_found(&verdict, "leaf 20", text))
        fail_msg("not said: %s", text);
    fixture_restore(stage->path, &stage->original); /* and no anchor that has seen the forged event */
}

static void test_forged_by_the_key_holder(void **state)
{
    struct stage *stage = *state;
    json_t *f = start_of(stage, "1"), *plan = json_object_get(f, "plan");
    json_object_set_new(plan, "epsilon", json_real(0.01));
    expect_forgery(stage, f, "the recorded epsilon");
    f = start_of(stage, "1"), plan = json_object_get(f, "plan");
    json_object_set_new(plan, "n_panels", json_integer(0));
    expect_forgery(stage, f, "no panels");
    f = start_of(stage, "1");
    json_object_set_new(json_object_get(f, "budget"), "rho", json_real(1e-9));
    expect_forgery(stage, f, "smaller than what its plan costs");
    f = start_of(stage, "1");
    json_object_set_new(json_object_get(f, "budget"), "epsilon_after", json_real(0.1));
    expect_forgery(stage, f, "the spend it records lies below");
    f = start_of(stage, "1");
    json_object_set_new(json_object_get(f, "budget"), "epsilon_limit", json_real(100));
    expect_forgery(stage, f, "other limits");
    f = start_of(stage, "1");
    json_object_set_new(f, "run_no", json_integer(7));
    expect_forgery(stage, f, "already taken");
    f = start_of(stage, "1");
    json_object_set_new(f, "dataset", json_string("unheard of"));
    expect_forgery(stage, f, "not registered");
    f = start_of(stage, "4"); /* the public run, moved to private people */
    json_object_set_new(f, "dataset", json_string("book"));
    json_object_set_new(f, "population", json_string("customers"));
    expect_forgery(stage, f, "a run without privacy");
    f = start_of(stage, "1"), plan = json_object_get(f, "plan");
    json_object_set_new(plan, "epsilon", json_null());
    expect_forgery(stage, f, "has no epsilon");
    f = start_of(stage, "1");
    json_object_set_new(f, "data_commitment",
                        json_string("0707070707070707070707070707070707070707070707070707070707070700"));
    expect_forgery(stage, f, "data commitment");
}

static void test_second_end_and_unknown_type(void **state)
{
    struct stage *stage = *state;
    struct sg_verify_options options = trusting(stage);
    append_raw(stage, "run.complete",
               json_pack("{s:s, s:i, s:i, s:n, s:[], s:[]}", "run_id", "run-none", "run_no", 3, "steps_done", 5,
                         "reason", "metrics", "artifacts"));
    append_raw(stage, "party", json_object());
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_BROKEN);
    assert_true(fixture_found(&verdict, "leaf 20", "waiting for its end"));
}

/* Over budget, with everything else in order: the writer was patched. */
static void test_over_budget_is_seen(void **state)
{
    struct stage *stage = *state;
    struct sg_ledger *ledger = NULL;
    struct sg_run run;
    struct sg_plan plan = fixture_plan(3, 1e-5);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "tight", NULL, 3, 1e-5));
    assert_ok(fixture_start(ledger, "tight", &plan, &run));
    assert_ok(fixture_end(ledger, &run, SG_RUN_COMPLETE));
    sg_ledger_close(&ledger);
    json_t *f = start_of(stage, run.run_id);
    json_object_set_new(f, "run_no", json_integer(9));
    json_object_set_new(json_object_get(f, "budget"), "charges_before", json_integer(1));
    append_raw(stage, "run.start", f);
    struct sg_verify_options options = trusting(stage);
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_BROKEN);
    assert_true(fixture_found(&verdict, "leaf 23", "limit does not admit it"));
}

/* A consistent but older or different ledger: only what the verifier kept can tell. */
static void test_kept_checkpoint(void **state)
{
    struct stage *stage = *state;
    struct sg_verify_options options = trusting(stage);
    struct sg_ledger *ledger = NULL;
    sqlite3_stmt *row = NULL;
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "later", "customers", 0, 0));
    assert_int_equal(sqlite3_prepare_v2(ledger->db, "SELECT note FROM checkpoint WHERE size = 21", -1, &row, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    char *kept = sg_strdup((const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    sg_ledger_close(&ledger);
    options.since = kept;
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_OK);
    assert_ok(sg_file_write(stage->path, stage->original.data, stage->original.len, 0644)); /* the older copy */
    verify(stage, &options);
    assert_int_equal(verdict.status, SG_BROKEN);
    assert_true(fixture_found(&verdict, "kept checkpoint", "older copy"));
    char *side = sg_format("%s.side.db", stage->path); /* a fork: another event in the same place */
    unlink(side), free(side);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "otherwise", "customers", 0, 0));
    sg_ledger_close(&ledger);
    verify(stage, &options);
    assert_true(fixture_found(&verdict, "checkpoint 21", "two different ledgers"));
    options.since = "nonsense";
    assert_int_equal(sg_verify_file(stage->path, &options, &verdict), SG_USAGE);
    free(kept);
}

static void test_files_that_are_no_ledger(void **state)
{
    struct stage *stage = *state;
    struct sg_verify_options options = trusting(stage);
    char *path = sg_format("%s/other", stage->folder);
    assert_int_equal(sg_verify_file(path, &options, &verdict), SG_USAGE);
    assert_int_equal(sg_verify_file(stage->folder, &options, &verdict), SG_USAGE);
    static const char *const texts[] = {"", "short", "SQLite format 3"};
    for (size_t i = 0; i < 3; i++) {
        struct sg_ledger *ledger = NULL;
        assert_ok(sg_file_write(path, texts[i], strlen(texts[i]), 0644));
        assert_ok(sg_verify_file(path, &options, &verdict));
        assert_int_equal(verdict.status, SG_BROKEN);
        assert_int_equal(sg_ledger_open(path, stage->signer, &ledger), SG_BROKEN);
    }
    for (size_t n = 100; n < stage->original.len; n += 5000) { /* cut anywhere */
        assert_ok(sg_file_write(path, stage->original.data, n, 0644));
        assert_ok(sg_verify_file(path, &options, &verdict));
        assert_int_equal(verdict.status, SG_BROKEN);
    }
    free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_verdicts),
        TEST(test_open_run_is_named),
        TEST(test_sql_attacks),
        TEST(test_hostile_schemas),
        TEST(test_seat_belts),
        TEST(test_no_budget_by_editing),
        TEST(test_forged_by_the_key_holder),
        TEST(test_second_end_and_unknown_type),
        TEST(test_over_budget_is_seen),
        TEST(test_kept_checkpoint),
        TEST(test_files_that_are_no_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
