/* Would catch: a lost, doubled or reordered event, a run that starts over budget or ends twice, a budget that forgets a
 * failed run, a limit that changes, a key that may not write and does, an older copy that is written to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/verify.h"
#include "fixture.h"
#include "schema.h"
#include "store.h"

#define assert_ok(expr) assert_int_equal(expr, SG_OK)

static void test_first_events(void **state)
{
    struct fixture *stage = *state;
    int64_t size;
    uint8_t root[SG_DIGEST_BYTES], again[SG_DIGEST_BYTES];
    struct sg_run run, second;
    struct sg_dataset_entry entry;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    assert_ok(fixture_register(stage->ledger, "book", "customers", 6, 1e-5));
    assert_ok(sg_ledger_find_dataset(stage->ledger, "book", &entry));
    assert_string_equal(entry.population, "customers");
    assert_int_equal(entry.population_size, 10000);
    assert_int_equal(entry.dataset_key[0], 'b');
    assert_true(entry.epsilon_limit == 6 && entry.delta_limit == 1e-5 && !entry.is_public);
    assert_int_equal(sg_ledger_find_dataset(stage->ledger, "nothing", &entry), SG_USAGE);
    assert_ok(fixture_start(stage->ledger, "book", &plan, &run));
    assert_int_equal(run.run_no, 1);
    assert_int_equal(run.leaf, 2);
    assert_ok(fixture_end(stage->ledger, &run, SG_RUN_COMPLETE));
    assert_int_equal(fixture_end(stage->ledger, &run, SG_RUN_FAIL), SG_USAGE); /* a run ends once */
    assert_ok(fixture_start(stage->ledger, "book", &plan, &second));
    assert_int_equal(second.run_no, 2);
    strcpy(run.run_id, "run-000009-00000000");
    assert_int_equal(fixture_end(stage->ledger, &run, SG_RUN_FAIL), SG_USAGE); /* never started */
    sg_ledger_head(stage->ledger, &size, root);
    assert_int_equal(size, 5);
    sg_ledger_close(&stage->ledger);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &stage->ledger));
    sg_ledger_head(stage->ledger, &size, again);
    assert_int_equal(size, 5);
    assert_memory_equal(root, again, sizeof root);
}

/* The digest by which a file is recognised is that of the tables which are made; else every opening takes the long way.
 */
static void test_known_schema(void **state)
{
    struct fixture *stage = *state;
    uint8_t digest[SG_DIGEST_BYTES];
    char hex[2 * SG_DIGEST_BYTES + 1];
    assert_ok(sg_schema_objects_digest(stage->ledger->db, digest));
    sg_hex_encode(digest, sizeof digest, hex);
    assert_string_equal(hex, sg_schema_known);
}

static enum sg_status count_event(void *context, const struct sg_event *event)
{
    (void)event;
    ++*(int *)context;
    return SG_OK;
}

/* A read that breaks off is a failure: who asks for approvals or heartbeats must not take a part for all there were. */
static void test_events_that_cannot_be_read(void **state)
{
    struct fixture *stage = *state;
    sqlite3_stmt *rows = NULL;
    int n = 0;
    assert_ok(fixture_register(stage->ledger, "book", "customers", 6, 1e-5));
    assert_ok(sg_db_prepare(stage->ledger->db, "SELECT body FROM leaf ORDER BY seq", &rows));
    assert_ok(sg_store_events(rows, count_event, &n));
    assert_int_equal(n, 2);
    n = 0;
    assert_ok(sg_db_prepare(
        stage->ledger->db, "SELECT iif(seq = 0, body, abs(-9223372036854775807 - seq)) FROM leaf ORDER BY seq", &rows));
    assert_int_equal(sg_store_events(rows, count_event, &n), SG_FAILED);
    assert_int_equal(n, 1);
}

static void test_limit_three_admits_one_run_of_three(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(3, 1e-5);
    struct sg_run run;
    struct sg_budget budget;
    assert_ok(fixture_register(stage->ledger, "book", "customers", 3, 1e-5));
    assert_ok(fixture_start(stage->ledger, "book", &plan, &run));
    assert_ok(sg_ledger_budget(stage->ledger, "customers", &budget));
    assert_true(budget.is_limited && budget.n_runs == 1 && budget.n_open == 1);
    assert_true(budget.epsilon_spent == plan.epsilon && budget.delta_spent == plan.delta);
    assert_int_equal(fixture_start(stage->ledger, "book", &plan, &run), SG_REFUSED);
    assert_non_null(strstr(sg_error_text(), "of 3.000"));
}

static void test_limit_six_composes(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(3, 1e-5);
    struct sg_run run;
    struct sg_budget budget;
    assert_ok(fixture_register(stage->ledger, "book", "customers", 6, 1e-5));
    double before = 0;
    int n = 0;
    for (;; n++) {
        enum sg_status status = fixture_start(stage->ledger, "book", &plan, &run);
        if (status == SG_REFUSED)
            break;
        assert_ok(status);
        assert_ok(
            fixture_end(stage->ledger, &run, n % 2 ? SG_RUN_FAIL : SG_RUN_COMPLETE)); /* failed runs keep theirs */
        assert_ok(sg_ledger_budget(stage->ledger, "customers", &budget));
        assert_true(budget.epsilon_spent > before && budget.epsilon_spent <= 6 && budget.n_runs == n + 1);
        before = budget.epsilon_spent;
    }
    print_message("limit 6 admits %d runs of epsilon 3, spent %.4f\n", n, before);
    assert_in_range(n, 2, 4); /* more than by adding up; never more than composition allows */
}

static void test_delta_is_a_limit_too(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(1, 1e-4);
    struct sg_run run;
    assert_ok(fixture_register(stage->ledger, "book", "customers", 6, 1e-6));
    assert_int_equal(fixture_start(stage->ledger, "book", &plan, &run),
                     SG_OK); /* by composition at the limit's delta */
    struct sg_budget budget;
    assert_ok(sg_ledger_budget(stage->ledger, "customers", &budget));
    assert_true(budget.delta_spent <= 1e-6);
}

static void test_refusals(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan open = fixture_plan(0, 0), plan = fixture_plan(1, 1e-6), small = plan;
    struct sg_run run;
    assert_ok(fixture_register(stage->ledger, "book", "customers", 6, 1e-5));
    assert_ok(fixture_register(stage->ledger, "open", NULL, -1, 0));
    int64_t size = fixture_n_events(stage->ledger);
    assert_int_equal(fixture_start(stage->ledger, "book", &open, &run), SG_REFUSED);
    assert_int_equal(fixture_start(stage->ledger, "nothing", &plan, &run), SG_USAGE);
    small.epsilon *= 0.9; /* a plan that understates itself */
    assert_int_equal(fixture_start(stage->ledger, "book", &small, &run), SG_FAILED);
    assert_int_equal(fixture_register(stage->ledger, "book", "customers", 6, 1e-5), SG_USAGE);   /* taken */
    assert_int_equal(fixture_register(stage->ledger, "book-2", "customers", 9, 1e-5), SG_USAGE); /* another limit */
    assert_int_equal(fixture_register(stage->ledger, "book-2", "customers", -1, 0),
                     SG_USAGE); /* public of private people */
    assert_int_equal(fixture_register(stage->ledger, "book-2", "others", 0, 0), SG_USAGE); /* no limit */
    assert_int_equal(fixture_register(stage->ledger, "a b", "others", 1, 1e-5), SG_USAGE);
    assert_int_equal(fixture_n_events(stage->ledger), size); /* nothing was written */
    assert_ok(fixture_register(stage->ledger, "book-2", "customers", 6, 1e-5));
    assert_ok(fixture_start(stage->ledger, "open", &open, &run));
}

static void test_wrong_key(void **state)
{
    struct fixture *stage = *state;
    struct sg_signer *other = fixture_signer(2);
    struct sg_ledger *ledger = NULL;
    assert_int_equal(sg_ledger_open(stage->path, other, &ledger), SG_USAGE);
    assert_null(ledger);
    assert_int_equal(sg_ledger_init(stage->path, "x", other), SG_USAGE); /* never overwritten */
    sg_signer_close(&other);
}

static void copy(const char *from, const char *to)
{
    char *command = sg_format("cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
    free(command);
}

/* An older copy in the ledger's place: the anchor in side storage has seen more. */
static void test_older_copy(void **state)
{
    struct fixture *stage = *state;
    char *old = sg_format("%s/old.db", stage->folder);
    sg_ledger_close(&stage->ledger);
    copy(stage->path, old);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &stage->ledger));
    assert_ok(fixture_register(stage->ledger, "book", "customers", 6, 1e-5));
    sg_ledger_close(&stage->ledger);
    copy(old, stage->path);
    assert_int_equal(sg_ledger_open(stage->path, stage->signer, &stage->ledger), SG_BROKEN);
    assert_non_null(strstr(sg_error_text(), "older copy"));
    free(old);
}

static void test_two_writers(void **state)
{
    struct fixture *stage = *state;
    struct sg_ledger *other = NULL;
    assert_ok(sg_ledger_open(stage->path, stage->signer, &other));
    for (int i = 0; i < 10; i++) {
        char *name = sg_format("book-%d", i);
        assert_ok(fixture_register(i % 2 ? other : stage->ledger, name, "customers", 6, 1e-5));
        free(name);
    }
    assert_int_equal(fixture_n_events(other), 11);
    sg_ledger_close(&other);
}

static void test_key_files(void **state)
{
    struct fixture *stage = *state;
    struct sg_signer *signer = NULL;
    char *key = sg_format("%s/plain.key", stage->folder), *sealed = sg_format("%s/sealed.key", stage->folder);
    char *unlock = sg_format("%s/unlock", stage->folder);
    assert_ok(sg_key_generate(stage->folder, "plain", SG_ALGORITHM_ED25519, NULL));
    assert_int_equal(sg_key_generate(stage->folder, "plain", SG_ALGORITHM_ED25519, NULL), SG_USAGE);
    assert_int_equal(sg_key_generate(stage->folder, "../x", SG_ALGORITHM_ED25519, NULL), SG_USAGE);
    assert_int_equal(sg_key_generate(stage->folder, "empty", SG_ALGORITHM_ED25519, ""), SG_USAGE);
    struct stat info;
    assert_int_equal(stat(key, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_ok(sg_signer_open(key, NULL, &signer));
    sg_signer_close(&signer);
    assert_int_equal(chmod(key, 0644), 0);
    assert_int_equal(sg_signer_open(key, NULL, &signer), SG_USAGE);
    assert_ok(sg_key_generate(stage->folder, "sealed", SG_ALGORITHM_ED25519, "correct horse"));
    assert_int_equal(sg_signer_open(sealed, NULL, &signer), SG_USAGE);
    FILE *file = fopen(unlock, "w");
    assert_non_null(file);
    fputs("correct horse\n", file);
    fclose(file);
    assert_ok(sg_signer_open(sealed, unlock, &signer));
    sg_signer_close(&signer);
    file = fopen(unlock, "w");
    fputs("wrong horse\n", file);
    fclose(file);
    assert_int_equal(sg_signer_open(sealed, unlock, &signer), SG_USAGE);
    free(key), free(sealed), free(unlock);
}

static void test_decisions_and_erasure(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_run run;
    struct sg_dataset_entry entry;
    struct sg_decision decision = {.kind = "model.deploy", .model = "1", .reason = "champion"};
    assert_ok(fixture_register(stage->ledger, "book", "customers", 6, 1e-5));
    assert_int_equal(sg_ledger_decide(stage->ledger, &decision), SG_USAGE); /* no model yet */
    assert_ok(fixture_start(stage->ledger, "book", &plan, &run));
    assert_int_equal(sg_ledger_decide(stage->ledger, &decision), SG_USAGE);
    assert_ok(fixture_end(stage->ledger, &run, SG_RUN_COMPLETE));
    assert_ok(sg_ledger_decide(stage->ledger, &decision));
    assert_int_equal(sg_ledger_erase_dataset(stage->ledger, "nothing", "x"), SG_USAGE);
    assert_ok(sg_ledger_erase_dataset(stage->ledger, "book", "request of the person"));
    assert_ok(sg_ledger_erase_dataset(stage->ledger, "book", "again")); /* one event, and the key stays gone */
    assert_int_equal(sg_ledger_find_dataset(stage->ledger, "book", &entry), SG_FAILED);
    assert_int_equal(fixture_start(stage->ledger, "book", &plan, &run), SG_FAILED);
    assert_int_equal(fixture_n_events(stage->ledger), 6);
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    struct sg_verify_options options = {.allow_unwitnessed = true, .allow_self_trust = true};
    assert_ok(sg_verify_file(stage->path, &options, verdict));
    assert_int_equal(verdict->status, SG_OK);
    free(verdict);
}

static void test_key_epochs(void **state)
{
    struct fixture *stage = *state;
    struct sg_signer *writer = fixture_signer(2), *third = fixture_signer(3);
    struct sg_ledger *ledger = NULL;
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    struct sg_verify_options options = {.allow_unwitnessed = true, .allow_self_trust = true};
    assert_ok(sg_ledger_change_keys(stage->ledger, sg_signer_vkey(writer), NULL, 0));
    assert_int_equal(sg_ledger_change_keys(stage->ledger, sg_signer_vkey(writer), NULL, 0), SG_USAGE); /* already one */
    assert_int_equal(sg_ledger_change_keys(stage->ledger, NULL, sg_signer_vkey(third), 0), SG_USAGE);  /* never one */
    assert_int_equal(sg_ledger_change_keys(stage->ledger, NULL, sg_signer_vkey(stage->signer), 0),
                     SG_USAGE); /* the root */
    assert_ok(sg_ledger_open(stage->path, writer, &ledger));
    assert_ok(fixture_register(ledger, "book", "customers", 6, 1e-5));
    assert_int_equal(sg_ledger_change_keys(ledger, sg_signer_vkey(third), NULL, 0), SG_USAGE); /* a writer is no root */
    assert_ok(sg_verify_file(stage->path, &options, verdict));
    assert_int_equal(verdict->status, SG_OK);
    assert_ok(sg_ledger_change_keys(stage->ledger, sg_signer_vkey(third), sg_signer_vkey(writer),
                                    1000));                                               /* rotated, compromised */
    assert_int_equal(fixture_register(ledger, "book-2", "customers", 6, 1e-5), SG_USAGE); /* the old key, still open */
    sg_ledger_close(&ledger);
    assert_int_equal(sg_ledger_open(stage->path, writer, &ledger), SG_USAGE);
    assert_ok(sg_ledger_open(stage->path, third, &ledger));
    assert_ok(fixture_register(ledger, "book-2", "customers", 6, 1e-5));
    sg_ledger_close(&ledger);
    assert_ok(sg_verify_file(stage->path, &options, verdict));
    assert_int_equal(verdict->status, SG_INCOMPLETE);
    assert_int_equal(verdict->n_suspect, 1);
    free(verdict);
    sg_signer_close(&writer);
    sg_signer_close(&third);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_events),
        TEST(test_known_schema),
        TEST(test_events_that_cannot_be_read),
        TEST(test_limit_three_admits_one_run_of_three),
        TEST(test_limit_six_composes),
        TEST(test_delta_is_a_limit_too),
        TEST(test_refusals),
        TEST(test_wrong_key),
        TEST(test_older_copy),
        TEST(test_two_writers),
        TEST(test_key_files),
        TEST(test_key_epochs),
        TEST(test_decisions_and_erasure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
