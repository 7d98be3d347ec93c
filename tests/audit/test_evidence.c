/* Would catch: a witness that signs two histories or forgets what it has seen, a cosignature that counts without
 * belonging, a proof file that can be altered, a policy that is met by fewer witnesses than it asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/evidence.h"
#include "audit/query.h"
#include "audit/report.h"
#include "audit/verify.h"
#include "base/file.h"
#include "fixture.h"

#define assert_ok(expr) assert_int_equal(expr, SG_OK)

struct stage {
    char *folder, *path;
    struct sg_signer *signer;
    struct sg_trust policy;
    struct sg_buffer original; /* witnessed, 20 events */
};
static struct sg_verdict verdict;

static int setup(void **state)
{
    struct stage *stage = sg_alloc(1, sizeof *stage);
    stage->folder = fixture_folder();
    stage->signer = fixture_signer(1);
    stage->path = fixture_twenty(stage->folder, stage->signer);
    fixture_witness(stage->folder, stage->path, stage->signer, &stage->policy);
    *state = stage;
    return sg_file_read(stage->path, "ledger", 1 << 26, &stage->original);
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    sg_signer_close(&stage->signer);
    sg_buffer_free(&stage->original);
    free(stage->path);
    fixture_remove(stage->folder);
    free(stage);
    return 0;
}

static void verify(struct stage *stage, bool allow_unwitnessed)
{
    struct sg_verify_options options = {.trust = &stage->policy, .allow_unwitnessed = allow_unwitnessed};
    assert_ok(sg_verify_file(stage->path, &options, &verdict));
}

static void append_one(struct stage *stage, const char *name)
{
    struct sg_ledger *ledger = NULL;
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, name, "customers", 0, 0));
    sg_ledger_close(&ledger);
}

static void test_witnessed(void **state)
{
    struct stage *stage = *state;
    verify(stage, false);
    assert_int_equal(verdict.status, SG_OK);
    assert_int_equal(verdict.witnessed_size, 20);
    assert_int_equal(strncmp(verdict.sentence, "INTACT: ", 8), 0);
    append_one(stage, "later");
    verify(stage, false);
    assert_int_equal(verdict.status, SG_INCOMPLETE);
    assert_non_null(strstr(verdict.sentence, "what came later has no witness"));
    fixture_witness(stage->folder, stage->path, stage->signer, &stage->policy);
    verify(stage, false);
    assert_int_equal(verdict.status, SG_OK);
    assert_int_equal(verdict.witnessed_size, 21);
}

static enum sg_status witness_again(struct stage *stage)
{
    struct sg_signer *witness = fixture_witness_signer();
    struct sg_ledger *ledger = NULL;
    int64_t size;
    assert_ok(sg_ledger_open(stage->path, NULL, &ledger));
    enum sg_status status = sg_witness_ledger(ledger, stage->folder, witness, &stage->policy, &size);
    sg_ledger_close(&ledger);
    sg_signer_close(&witness);
    return status;
}

static void test_rollback_and_fork(void **state)
{
    struct stage *stage = *state;
    append_one(stage, "later");
    assert_ok(witness_again(stage));
    fixture_restore(stage->path, &stage->original);
    assert_int_equal(witness_again(stage), SG_BROKEN); /* an older copy */
    append_one(stage, "otherwise");
    assert_int_equal(witness_again(stage), SG_BROKEN); /* same size, another history */
    append_one(stage, "and-more");
    assert_int_equal(witness_again(stage), SG_BROKEN); /* longer, another history */
    assert_non_null(strstr(sg_error_text(), "two ledgers"));
}

static void test_moved_cosignatures(void **state)
{
    struct stage *stage = *state;
    static const char *const attacks[] = {"UPDATE cosignature SET size = 19",
                                          "UPDATE cosignature SET witness = 'other'",
                                          "UPDATE cosignature SET line = replace(line, 'compliance', 'complience')",
                                          "UPDATE cosignature SET line = substr(line, 1, 40) || CASE substr(line, 41, "
                                          "1) WHEN 'A' THEN 'B' ELSE 'A' END || substr(line, 42)",
                                          "UPDATE cosignature SET line = line || line",
                                          "UPDATE cosignature SET line = ''"};
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        fixture_restore(stage->path, &stage->original);
        fixture_sql(stage->path, attacks[i]);
        verify(stage, true);
        if (verdict.status != SG_BROKEN)
            fail_msg("not noticed: %s", attacks[i]);
    }
    fixture_restore(stage->path, &stage->original);
    fixture_sql(stage->path, "DELETE FROM cosignature"); /* removed altogether: incomplete, never ok */
    verify(stage, false);
    assert_int_equal(verdict.status, SG_INCOMPLETE);
}

static void test_requests(void **state)
{
    struct stage *stage = *state;
    struct sg_ledger *ledger = NULL;
    struct sg_buffer request = {0}, line = {0};
    int64_t old_size;
    char *fresh = sg_format("%s/w2", stage->folder);
    assert_ok(sg_ledger_open_read(stage->path, &ledger));
    assert_ok(sg_evidence_witness_request(ledger, 7, &request));
    assert_int_equal(strncmp(request.data, "old 7\n", 6), 0);
    /* A witness that has seen nothing does not take the middle of a history for its beginning. */
    assert_int_equal(
        sg_witness_cosign(fresh, stage->signer, &stage->policy, request.data, request.len, 1, &old_size, &line),
        SG_USAGE);
    assert_int_equal(old_size, 0);
    assert_int_equal(sg_evidence_witness_request(ledger, 21, &line), SG_BROKEN);
    request.len = 0;
    assert_ok(sg_evidence_witness_request(ledger, 0, &request));
    struct sg_trust other = stage->policy;
    other.logs[0].public_key[0] ^= 1; /* a log it was not told of */
    assert_int_equal(sg_witness_cosign(fresh, stage->signer, &other, request.data, request.len, 1, &old_size, &line),
                     SG_BROKEN);
    for (size_t n = 0; n + 1 < request.len; n += 3)
        assert_int_not_equal(
            sg_witness_cosign(fresh, stage->signer, &stage->policy, request.data, n, 1, &old_size, &line), SG_OK);
    line.len = 0;
    assert_ok(sg_witness_cosign(fresh, stage->signer, &stage->policy, request.data, request.len, 1, &old_size, &line));
    assert_true(line.len > 0);
    sg_ledger_close(&ledger);
    sg_buffer_free(&request);
    sg_buffer_free(&line);
    char *command = sg_format("rm -r '%s'", fresh);
    assert_int_equal(system(command), 0);
    free(command);
    free(fresh);
}

static void test_proofs(void **state)
{
    struct stage *stage = *state;
    struct sg_ledger *ledger = NULL;
    assert_ok(sg_ledger_open_read(stage->path, &ledger));
    for (int64_t seq = 0; seq < 20; seq++) {
        struct sg_buffer text = {0};
        struct sg_proof_facts facts;
        assert_ok(sg_evidence_proof(ledger, seq, &text));
        assert_ok(sg_evidence_check_proof(text.data, text.len, &stage->policy, &facts));
        assert_true(facts.is_trusted && facts.is_witnessed && facts.seq == seq && facts.checkpoint.size == 20);
        sg_buffer_free(&facts.payload);
        for (size_t i = 0; i < text.len; i += seq == 7 ? 1 : 97) { /* every byte of one, some of the others */
            struct sg_proof_facts changed;
            text.data[i] ^= 1 + (char)(i % 30);
            enum sg_status status = sg_evidence_check_proof(text.data, text.len, &stage->policy, &changed);
            if (status == SG_OK) /* only a witness nobody asked for may be altered: never the event or its place */
                assert_true(changed.seq == seq && !changed.is_witnessed);
            if (status == SG_OK)
                sg_buffer_free(&changed.payload);
            text.data[i] ^= 1 + (char)(i % 30);
        }
        sg_buffer_free(&text);
    }
    struct sg_buffer text = {0};
    assert_int_equal(sg_evidence_proof(ledger, 20, &text), SG_USAGE);
    sg_ledger_close(&ledger);
    sg_buffer_free(&text);
}

static void test_run_proof(void **state)
{
    struct stage *stage = *state;
    struct sg_ledger *ledger = NULL;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_run run, never = {.run_id = "run-000099-00000000"};
    struct sg_buffer text = {0};
    struct sg_proof_facts facts;
    char *path = sg_format("%s/run.proof", stage->folder);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_start(ledger, "book", &plan, &run));
    assert_ok(fixture_end(ledger, &run, SG_RUN_COMPLETE));
    assert_ok(sg_evidence_run_proof(ledger, &run, path)); /* through the writer's own connection */
    assert_int_equal(sg_evidence_run_proof(ledger, &never, path), SG_USAGE);
    sg_ledger_close(&ledger);
    assert_ok(sg_file_read(path, "proof", 1 << 20, &text));
    assert_ok(sg_evidence_check_proof(text.data, text.len, &stage->policy, &facts));
    assert_string_equal(facts.type, "run.complete");
    assert_true(facts.is_trusted && facts.seq == 21 && facts.checkpoint.size == 22);
    sg_buffer_free(&facts.payload);
    sg_buffer_free(&text);
    free(path);
}

static void test_since_and_backup(void **state)
{
    struct stage *stage = *state;
    struct sg_ledger *ledger = NULL;
    struct sg_buffer note = {0};
    json_t *rows = NULL;
    char *copy = sg_format("%s/copy.db", stage->folder), *path = stage->path;
    assert_ok(sg_ledger_open_read(stage->path, &ledger));
    assert_ok(sg_evidence_checkpoint(ledger, 15, &note));
    assert_ok(sg_evidence_since(ledger, note.data, note.len, &rows));
    assert_int_equal(json_array_size(rows), 5);
    json_decref(rows);
    assert_int_equal(sg_evidence_since(ledger, "nonsense", 8, &rows), SG_USAGE);
    assert_ok(sg_evidence_backup(ledger, copy));
    assert_int_equal(sg_evidence_backup(ledger, copy), SG_USAGE);
    sg_ledger_close(&ledger);
    stage->path = copy;
    verify(stage, false);
    assert_int_equal(verdict.status, SG_OK);
    stage->path = path;
    free(copy);
    sg_buffer_free(&note);
}

static void test_policies(void **state)
{
    struct stage *stage = *state;
    struct sg_buffer vkey = {0};
    struct sg_trust trust;
    sg_vkey_print(&stage->policy.logs[0], &vkey);
    static const struct {
        const char *text; /* %s: the vkey */
        bool good;
    } cases[] = {
        {"log %s\n", true},
        {"log %s\nquorum none\n", true},
        {"# c\n\nlog %s https://x\nwitness a %s\nquorum a\n", true},
        {"log %s\nwitness a %s\nwitness b %s\ngroup g 2 a b\nquorum g\n", true},
        {"log %s\nwitness a %s\ngroup g 2 a\nquorum g\n", false},
        {"log %s\nwitness a %s\nwitness a %s\n", false},
        {"log %s\nquorum b\n", false},
        {"log %s\ngroup g 1 x\n", false},
        {"quorum none\n", false},
        {"log nonsense\n", false},
        {"log %s\nquorum none\nquorum none\n", false},
        {"hello\n", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_buffer text = {0};
        for (const char *p = cases[i].text; *p; p++) {
            if (p[0] == '%')
                sg_buffer_text(&text, vkey.data), p++;
            else
                sg_buffer_append(&text, p, 1);
        }
        if ((sg_trust_parse("policy", text.data ? text.data : "", text.len, &trust) == SG_OK) != cases[i].good)
            fail_msg("policy %zu: %s", i, cases[i].text);
        sg_buffer_free(&text);
    }
    sg_buffer_free(&vkey);
    trust =
        (struct sg_trust){.n_groups = 2,
                          .quorum_group = 1,
                          .quorum_witness = -1,
                          .groups = {{.threshold = 2, .witnesses = 7}, {.threshold = 2, .witnesses = 8, .groups = 1}}};
    assert_false(sg_trust_quorum(&trust, 0));
    assert_false(sg_trust_quorum(&trust, 1 | 8));
    assert_true(sg_trust_quorum(&trust, 1 | 4 | 8));
    assert_false(sg_trust_quorum(&trust, 7));
}

static void test_queries(void **state)
{
    struct stage *stage = *state;
    struct sg_ledger *ledger = NULL;
    json_t *rows = NULL;
    struct sg_run_filter filter = {.dataset = "book-2"};
    assert_ok(sg_ledger_open_read(stage->path, &ledger));
    for (size_t i = 0; i < sg_n_views; i++) { /* every statement is valid and answers */
        const char *subject = sg_views[i].subject && sg_views[i].subject[0] != '[' ? "1" : NULL;
        assert_ok(sg_query_view(ledger, sg_views[i].name, subject, &rows));
        json_decref(rows);
    }
    assert_int_equal(sg_query_view(ledger, "nothing", NULL, &rows), SG_USAGE);
    assert_int_equal(sg_query_view(ledger, "trace", NULL, &rows), SG_USAGE);
    assert_ok(sg_query_runs(ledger, &filter, &rows));
    assert_int_equal(json_array_size(rows), 2);
    json_decref(rows);
    filter = (struct sg_run_filter){.violates = true}; /* the public one, the failed one, the aborted one */
    assert_ok(sg_query_runs(ledger, &filter, &rows));
    assert_int_equal(json_array_size(rows), 3);
    json_decref(rows);
    assert_ok(sg_query_view(ledger, "approvals", NULL, &rows));
    const json_t *approval = json_array_get(rows, 0);
    assert_string_equal(json_string_value(json_object_get(approval, "role")), "validator");
    assert_true(json_is_false(json_object_get(approval, "four_eyes"))); /* the tester made and approved it */
    json_decref(rows);
    assert_ok(sg_query_show(ledger, "3", &rows));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(rows, "run"), "run_no")), 3);
    assert_true(json_is_object(json_object_get(rows, "end")));
    json_decref(rows);
    assert_int_equal(sg_query_show(ledger, "99", &rows), SG_USAGE);
    assert_ok(sg_query_budget(ledger, "customers", &rows));
    assert_int_equal(json_integer_value(json_object_get(rows, "runs")), 6);
    json_decref(rows);
    assert_int_equal(sg_query_budget(ledger, "nobody", &rows), SG_USAGE);
    sg_ledger_close(&ledger);
}

/* A page for every kind of subject: the verdict on it, nothing that runs or calls out, and names from the ledger only
 * as text. */
static void test_reports(void **state)
{
    struct stage *stage = *state;
    static const char *const subjects[] = {NULL,
                                           "1",
                                           "4",
                                           "book",
                                           "customers",
                                           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                           "<script>alert(1)</script>"};
    struct sg_ledger *ledger = NULL;
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "<script>alert(1)</script>", "customers", 0, 0));
    sg_ledger_close(&ledger);
    verify(stage, true);
    assert_ok(sg_ledger_open_read(stage->path, &ledger));
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        struct sg_buffer page = {0};
        assert_ok(sg_report_html(ledger, &verdict, subjects[i], &page));
        assert_non_null(strstr(page.data, "INTACT AS FAR AS IT GOES"));
        assert_null(strstr(page.data, "<script"));
        assert_null(strstr(page.data, "http"));
        assert_non_null(strstr(page.data, "</html>"));
        sg_buffer_free(&page);
    }
    struct sg_buffer page = {0};
    assert_int_equal(sg_report_html(ledger, &verdict, "nobody", &page), SG_USAGE);
    sg_buffer_free(&page);
    sg_ledger_close(&ledger);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_witnessed), TEST(test_rollback_and_fork), TEST(test_moved_cosignatures), TEST(test_requests),
        TEST(test_proofs),    TEST(test_run_proof),         TEST(test_since_and_backup),   TEST(test_policies),
        TEST(test_queries),   TEST(test_reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
