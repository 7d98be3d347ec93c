/* Would catch: a verification that saves signatures and thereby misses an event that one key's holder left in another
 * one's name, a change of keys that the root did not sign, a damaged checkpoint that a witness vouched for; a verdict
 * that does not say what was left out; a writer that builds upon an event whose signature is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/verify.h"
#include "fixture.h"
#include "signer.h"
#include "store.h"

#define assert_ok(expr) assert_int_equal(expr, SG_OK)

struct stage {
    char *folder, *path;
    struct sg_signer *root, *writer;
    struct sg_trust trust; /* with the witness */
    struct sg_plan_memo *memo;
};
static struct sg_verdict verdict;

static int setup(void **state)
{
    struct stage *stage = sg_alloc(1, sizeof *stage);
    stage->folder = fixture_folder();
    stage->root = fixture_signer(1);
    stage->writer = fixture_signer(2);
    stage->path = fixture_twenty(stage->folder, stage->root);
    stage->memo = sg_plan_memo_new();
    fixture_witness(stage->folder, stage->path, stage->root, &stage->trust); /* of size 20 */
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    sg_signer_close(&stage->root);
    sg_signer_close(&stage->writer);
    sg_plan_memo_free(&stage->memo);
    free(stage->path);
    fixture_remove(stage->folder);
    free(stage);
    return 0;
}

enum depth { QUICK, NEWEST, ALL }; /* NEWEST: of the newest event only, besides those that decide */

static enum sg_status verify(struct stage *stage, enum depth depth)
{
    struct sg_verify_options options = {.trust = &stage->trust,
                                        .allow_unwitnessed = true,
                                        .memo = stage->memo,
                                        .quick = depth == QUICK,
                                        .all_signatures = depth == ALL,
                                        .newest_signatures = 1};
    assert_ok(sg_verify_file(stage->path, &options, &verdict));
    return verdict.status;
}

/* ---- What a holder of `hand` can append in the name of `name`: no check of the writer stands in the way. */
static void append_as(struct sg_ledger *ledger, const struct sg_signer *hand, const struct sg_signer *name,
                      const char *type, json_t *facts)
{
    struct sg_signer forger = *hand;
    char event_id[33] = "";
    uint8_t digest[SG_DIGEST_BYTES] = {0};
    json_t *subjects = sg_store_subject("x", "sha256", digest);
    const struct sg_signer *own = ledger->signer;
    forger.key = name->key;
    assert_ok(sg_store_begin(ledger));
    ledger->signer = &forger;
    assert_ok(sg_vkey_rename(&hand->key, ledger->origin, &ledger->note_key)); /* checkpoints in its own name */
    assert_ok(sg_store_append(ledger, type, subjects, facts, event_id));
    ledger->signer = own;
    assert_ok(sg_store_commit(ledger, event_id));
    json_decref(subjects);
    json_decref(facts);
}

static json_t *approval(void)
{
    char digest[65];
    memset(digest, 'a', 64), digest[64] = 0;
    return json_pack("{s:s,s:s,s:s,s:n}", "model", digest, "role", "r", "reason", "", "expires_ms");
}

static void approve(struct sg_ledger *ledger)
{
    struct sg_decision decision = {.kind = "model.approve", .model = "1", .role = "r", .reason = ""};
    assert_ok(sg_ledger_decide(ledger, &decision));
}

static struct sg_ledger *open_as(struct stage *stage, const struct sg_signer *signer)
{
    struct sg_ledger *ledger = NULL;
    assert_ok(sg_ledger_open(stage->path, signer, &ledger));
    return ledger;
}

/* Root adds the writer's key: event 20. */
static void add_writer(struct stage *stage)
{
    struct sg_ledger *ledger = open_as(stage, stage->root);
    assert_ok(sg_ledger_change_keys(ledger, sg_signer_vkey(stage->writer), NULL, 0));
    sg_ledger_close(&ledger);
}

/* ---- */
static void test_what_is_counted(void **state)
{
    struct stage *stage = *state;
    assert_int_equal(verify(stage, NEWEST), SG_OK);
    assert_int_equal(verdict.n_signatures, 3); /* genesis, the newest event, the newest checkpoint */
    assert_int_equal(verdict.n_signatures_left, 37);
    assert_non_null(strstr(verdict.sentence, "3 signatures were checked, 37 not one by one"));
    assert_int_equal(verify(stage, ALL), SG_OK);
    assert_true(verdict.n_signatures == 40 && verdict.n_signatures_left == 0);
    assert_null(strstr(verdict.sentence, "signatures"));
    assert_int_equal(verify(stage, QUICK), SG_OK);
    assert_non_null(strstr(verdict.sentence, "no other signature, no rule, no table"));
    struct sg_verify_options usual = {.trust = &stage->trust, .allow_unwitnessed = true, .memo = stage->memo};
    assert_ok(sg_verify_file(stage->path, &usual, &verdict)); /* 20 events are among the newest 10,000 */
    assert_true(verdict.status == SG_OK && verdict.n_signatures_left == 0);
}

static void test_stretches(void **state)
{
    struct stage *stage = *state;
    add_writer(stage);
    struct sg_ledger *ledger = open_as(stage, stage->writer);
    approve(ledger), approve(ledger), approve(ledger);
    sg_ledger_close(&ledger);
    ledger = open_as(stage, stage->root);
    approve(ledger), approve(ledger);
    sg_ledger_close(&ledger);
    assert_int_equal(verify(stage, NEWEST), SG_OK);
    /* genesis, key.add (which ends the first stretch), the last of the writer's, the newest; checkpoints 20 and 26 */
    assert_int_equal(verdict.n_signatures, 6);
    assert_int_equal(verdict.n_signatures + verdict.n_signatures_left, 2 * 26);
}

static void test_in_another_name(void **state)
{
    struct stage *stage = *state;
    add_writer(stage);
    struct sg_ledger *ledger = open_as(stage, stage->writer), *other = NULL;
    append_as(ledger, stage->writer, stage->root, "model.approve", approval()); /* event 21 */
    assert_int_equal(verify(stage, NEWEST), SG_BROKEN);
    assert_true(fixture_found(&verdict, "leaf 21", "its signature"));
    assert_int_equal(sg_ledger_open(stage->path, stage->root, &other), SG_BROKEN); /* nobody builds upon it */
    assert_non_null(strstr(sg_error_text(), "last event is not signed"));
    approve(ledger); /* but the forger */
    sg_ledger_close(&ledger);
    assert_int_equal(verify(stage, NEWEST), SG_BROKEN);
    assert_true(fixture_found(&verdict, "leaf 21", "its signature"));
}

/* What is left out, and said: a key's holder who left a wrong signature among its own events. */
static void test_in_its_own_name(void **state)
{
    struct stage *stage = *state;
    struct sg_ledger *ledger = open_as(stage, stage->root);
    append_as(ledger, stage->root, stage->root, "model.approve", approval());
    sg_ledger_close(&ledger);
    assert_int_equal(verify(stage, ALL), SG_OK);
    struct sg_signer *nobody = fixture_signer(9);
    struct sg_signer broken = *stage->root;
    ledger = open_as(stage, stage->root);
    char event_id[33] = "";
    uint8_t digest[SG_DIGEST_BYTES] = {0};
    json_t *subjects = sg_store_subject("x", "sha256", digest), *facts = approval();
    broken.secret = nobody->secret;
    assert_ok(sg_store_begin(ledger));
    ledger->signer = &broken; /* event 21 and checkpoint 22 bear another key's signature */
    assert_ok(sg_store_append(ledger, "model.approve", subjects, facts, event_id));
    ledger->signer = stage->root;
    assert_ok(sg_store_commit(ledger, event_id));
    approve(ledger);
    sg_ledger_close(&ledger);
    assert_int_equal(verify(stage, NEWEST), SG_OK);
    assert_non_null(strstr(verdict.sentence, "not one by one"));
    assert_int_equal(verify(stage, ALL), SG_BROKEN);
    assert_true(fixture_found(&verdict, "leaf 21", "its signature") &&
                fixture_found(&verdict, "checkpoint 22", "does not verify"));
    json_decref(subjects);
    json_decref(facts);
    sg_signer_close(&nobody);
}

static void test_damaged_checkpoints(void **state)
{
    static const char damage[] = "DROP TRIGGER checkpoint_no_update; UPDATE checkpoint SET note = substr(note, 1, "
                                 "length(note) - 8) || 'AAAAAA=' || char(10) WHERE size = %d; CREATE TRIGGER "
                                 "checkpoint_no_update BEFORE UPDATE ON checkpoint BEGIN SELECT RAISE(ABORT, 'the "
                                 "ledger is append-only'); END;";
    struct stage *stage = *state;
    struct sg_ledger *ledger = open_as(stage, stage->root);
    approve(ledger), approve(ledger);
    sg_ledger_close(&ledger);
    char *old = sg_format(damage, 10), *witnessed = sg_format(damage, 20);
    fixture_sql(stage->path, old);
    assert_int_equal(verify(stage, NEWEST), SG_OK);
    assert_int_equal(verify(stage, ALL), SG_BROKEN);
    assert_true(fixture_found(&verdict, "checkpoint 10", "does not verify"));
    fixture_sql(stage->path, witnessed); /* a witness vouched for it, and proofs are made with it */
    assert_int_equal(verify(stage, NEWEST), SG_BROKEN);
    assert_true(fixture_found(&verdict, "checkpoint 20", "does not verify"));
    free(old);
    free(witnessed);
}

static void test_texts_are_always_compared(void **state)
{
    static const char *const changes[] = {"replace(note, 'bank', 'tank')", "note || note", "note || 'x'",
                                          "replace(note, char(10) || char(10), char(10))"};
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct sg_buffer sql = {0};
        sg_buffer_printf(&sql,
                         "DROP TRIGGER checkpoint_no_update; UPDATE checkpoint SET note = %s WHERE size = 7; CREATE "
                         "TRIGGER checkpoint_no_update BEFORE UPDATE ON checkpoint BEGIN SELECT RAISE(ABORT, 'the "
                         "ledger is append-only'); END;",
                         changes[i]);
        fixture_sql(stage->path, sql.data);
        for (enum depth depth = QUICK; depth <= ALL; depth++) {
            assert_int_equal(verify(stage, depth), SG_BROKEN);
            assert_true(fixture_found(&verdict, "checkpoint 7", ""));
        }
        sg_buffer_free(&sql);
        teardown(state);
        setup(state);
        stage = *state;
    }
}

/* A stranger cannot sign what changes the keys, at no depth. */
static void test_keys_by_a_stranger(void **state)
{
    struct stage *stage = *state;
    struct sg_signer *stranger = fixture_signer(3);
    struct sg_ledger *ledger = open_as(stage, stage->root);
    struct sg_vkey key;
    struct sg_buffer text = {0};
    assert_ok(sg_vkey_rename(sg_signer_vkey(stranger), "bank.example/credit", &key));
    sg_vkey_print(&key, &text);
    append_as(ledger, stranger, stage->root, "key.add", json_pack("{s:s,s:s}", "key", text.data, "role", "writer"));
    append_as(ledger, stranger, stranger, "model.approve", approval());
    sg_ledger_close(&ledger);
    for (enum depth depth = QUICK; depth <= ALL; depth++) {
        assert_int_equal(verify(stage, depth), SG_BROKEN);
        assert_true(fixture_found(&verdict, "leaf 20", "its signature"));
    }
    sg_buffer_free(&text);
    sg_signer_close(&stranger);
}

/* A revoked key's holder who hides the revocation from whoever reads the column only. */
static void test_hidden_revocation(void **state)
{
    struct stage *stage = *state;
    add_writer(stage);
    struct sg_ledger *ledger = open_as(stage, stage->writer), *root = open_as(stage, stage->root);
    assert_ok(sg_ledger_change_keys(root, NULL, sg_signer_vkey(stage->writer), 0));
    sg_ledger_close(&root);
    fixture_sql(stage->path, "UPDATE signing_key SET ended_leaf = NULL"); /* so that the program itself lets it write */
    append_as(ledger, stage->writer, stage->writer, "model.approve", approval());
    sg_ledger_close(&ledger);
    fixture_sql(stage->path,
                "DROP TRIGGER leaf_no_update; UPDATE leaf SET type = 'model.retire' WHERE type = 'key.revoke'; CREATE "
                "TRIGGER leaf_no_update BEFORE UPDATE ON leaf BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); "
                "END;");
    for (enum depth depth = QUICK; depth <= ALL; depth++) {
        assert_int_equal(verify(stage, depth), SG_BROKEN);
        assert_true(fixture_found(&verdict, "checkpoint 23", ""));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_counted),    TEST(test_stretches),           TEST(test_in_another_name),
        TEST(test_in_its_own_name),    TEST(test_damaged_checkpoints), TEST(test_texts_are_always_compared),
        TEST(test_keys_by_a_stranger), TEST(test_hidden_revocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
