/* Would catch: a compaction or backup that changes a row, that replaces a ledger which does not verify, that leaves a
 * broken ledger, a half backup under the backup's name or a stray file when it is killed or the disk fails, that
 * separates a program which has the ledger open from the file, or that leaves erased keys and deleted rows in the file.
 */
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/evidence.h"
#include "audit/verify.h"
#include "base/file.h"
#include "copy.h"
#include "fault_vfs.h"
#include "fixture.h"
#include "schema.h"
#include "side.h"

#define assert_ok(expr) assert_int_equal(expr, SG_OK)

struct stage {
    char *folder, *path, *side, *beside, *copy;
    struct sg_signer *signer;
    struct sg_plan_memo *memo;
    struct sg_buffer file, side_file;
    uint8_t digest[SG_DIGEST_BYTES];
};
static struct sg_compaction done;
static struct sg_verdict verdict;
static const char erased[] = "0123456789abcdefERASED0123456789", deleted[] = "a row that somebody deleted long ago";

static bool holds(const char *path, const char *text)
{
    struct sg_buffer bytes = {0};
    assert_ok(sg_file_read(path, "file", 1 << 26, &bytes));
    bool found = memmem(bytes.data, bytes.len, text, strlen(text)) != NULL;
    sg_buffer_free(&bytes);
    return found;
}

static void digest_of(const char *path, uint8_t out[SG_DIGEST_BYTES])
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_ok(sg_copy_digest(db, out));
    sqlite3_close(db);
}

/* A ledger with free pages, and side storage in which another program deleted a key without wiping it. */
static int setup(void **state)
{
    struct stage *stage = sg_alloc(1, sizeof *stage);
    sqlite3 *side = NULL;
    stage->folder = fixture_folder();
    stage->signer = fixture_signer(1);
    stage->path = fixture_twenty(stage->folder, stage->signer);
    stage->side = sg_format("%s.side.db", stage->path);
    stage->beside = sg_format("%s.compact", stage->path);
    stage->copy = sg_format("%s/copy.db", stage->folder);
    stage->memo = sg_plan_memo_new();
    char *bloat = sg_format("PRAGMA secure_delete=OFF; CREATE TABLE bloat(x); INSERT INTO bloat VALUES('%s'); WITH "
                            "RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) INSERT INTO bloat "
                            "SELECT zeroblob(9000) FROM n; DROP TABLE bloat;",
                            deleted);
    fixture_sql(stage->path, bloat);
    free(bloat);
    assert_ok(sg_side_open(stage->path, &side));
    assert_ok(sg_side_put_key(side, "gone", (const uint8_t *)erased));
    sqlite3_close(side);
    fixture_sql(stage->side, "PRAGMA secure_delete=OFF; DELETE FROM dataset_key WHERE dataset = 'gone'");
    digest_of(stage->path, stage->digest);
    assert_ok(sg_file_read(stage->path, "ledger", 1 << 26, &stage->file));
    assert_ok(sg_file_read(stage->side, "side", 1 << 26, &stage->side_file));
    assert_true(holds(stage->path, deleted) && holds(stage->side, erased)); /* or there is nothing to wipe */
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    sg_signer_close(&stage->signer);
    sg_plan_memo_free(&stage->memo);
    sg_buffer_free(&stage->file);
    sg_buffer_free(&stage->side_file);
    free(stage->path), free(stage->side), free(stage->beside), free(stage->copy);
    fixture_remove(stage->folder);
    free(stage);
    return 0;
}

static void restore(struct stage *stage)
{
    char *journal = sg_format("%s-journal", stage->path), *side_journal = sg_format("%s-journal", stage->side);
    unlink(journal), unlink(side_journal);
    assert_ok(sg_file_write(stage->path, stage->file.data, stage->file.len, 0644));
    assert_ok(sg_file_write(stage->side, stage->side_file.data, stage->side_file.len, 0600));
    free(journal);
    free(side_journal);
}

/* Whole, with the very rows, and writable. */
static void assert_whole(struct stage *stage, const char *path, const char *when)
{
    struct sg_verify_options how = {.allow_self_trust = true, .allow_unwitnessed = true, .memo = stage->memo};
    uint8_t digest[SG_DIGEST_BYTES];
    assert_ok(sg_verify_file(path, &how, &verdict));
    if (verdict.status != SG_OK)
        fail_msg("%s: %s", when, verdict.sentence);
    digest_of(path, digest);
    assert_memory_equal(digest, stage->digest, sizeof digest);
}

static void append(struct stage *stage, struct sg_ledger *ledger)
{
    struct sg_decision decision = {.kind = "model.approve", .model = "1", .role = "r", .reason = ""};
    (void)stage;
    assert_ok(sg_ledger_decide(ledger, &decision));
}

static void test_the_same_rows_in_fewer_pages(void **state)
{
    struct stage *stage = *state;
    assert_ok(sg_evidence_compact(stage->path, NULL, &done));
    assert_true(done.bytes_after + 20 * 9000 < done.bytes_before);
    assert_non_null(strstr(done.sentence, "20 events"));
    assert_whole(stage, stage->path, "compacted");
    assert_false(holds(stage->path, deleted));
    assert_false(holds(stage->side, erased));
    assert_false(sg_file_exists(stage->beside));
    assert_ok(sg_evidence_compact(stage->path, NULL, &done)); /* again: nothing to do, nothing changed */
    assert_int_equal(done.bytes_before, done.bytes_after);
    assert_whole(stage, stage->path, "twice");
}

/* A training run that began before the compaction ends after it, in the same file. */
static void test_a_writer_stays_connected(void **state)
{
    struct stage *stage = *state;
    struct sg_ledger *ledger = NULL;
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    append(stage, ledger);
    int status = 0;
    pid_t child = fork(); /* another process: locks of one process do not exclude each other */
    if (child == 0)
        _exit(sg_evidence_compact(stage->path, NULL, &done) == SG_OK ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    append(stage, ledger);
    sg_ledger_close(&ledger);
    struct sg_verify_options how = {.allow_self_trust = true, .allow_unwitnessed = true, .memo = stage->memo};
    assert_ok(sg_verify_file(stage->path, &how, &verdict));
    assert_true(verdict.status == SG_OK && verdict.size == 22);
}

static void test_a_broken_ledger_stays(void **state)
{
    struct stage *stage = *state;
    struct sg_buffer before = {0}, after = {0};
    struct sg_trust trust;
    struct sg_signer *other = fixture_signer(2);
    fixture_trust(other, &trust);
    assert_int_equal(sg_evidence_compact(stage->path, &trust, &done), SG_BROKEN); /* somebody else's */
    fixture_sql(stage->path, "UPDATE run SET actor = 'somebody else' WHERE run_no = 2");
    assert_ok(sg_file_read(stage->path, "ledger", 1 << 26, &before));
    assert_int_equal(sg_evidence_compact(stage->path, NULL, &done), SG_BROKEN);
    assert_non_null(strstr(sg_error_text(), "stays as it is"));
    assert_ok(sg_file_read(stage->path, "ledger", 1 << 26, &after));
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, after.len);
    assert_false(sg_file_exists(stage->beside));
    sg_buffer_free(&before), sg_buffer_free(&after);
    sg_signer_close(&other);
}

/* ---- Killed, and failing disks. */
static enum sg_status backup(struct stage *stage)
{
    struct sg_ledger *ledger = NULL;
    SG_TRY(sg_ledger_open_read(stage->path, &ledger));
    enum sg_status status = sg_evidence_backup(ledger, stage->copy);
    sg_ledger_close(&ledger);
    return status;
}

static enum sg_status compact(struct stage *stage)
{
    return sg_evidence_compact(stage->path, NULL, &done);
}

/* False when there was no n-th call of that kind. */
static bool try_fault(struct stage *stage, enum sg_status (*job)(struct stage *), enum fault_op op,
                      enum fault_kind kind, int nth)
{
    enum sg_status status = SG_FAILED;
    bool fired;
    if (kind == FAULT_KILLED) {
        int code = 0;
        pid_t child = fork();
        if (child == 0) {
            fault_arm(op, kind, nth);
            (void)!job(stage);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &code, 0), child);
        fired = WIFSIGNALED(code);
    } else {
        fault_arm(op, kind, nth);
        status = job(stage);
        fired = fault_disarm();
    }
    char when[80];
    snprintf(when, sizeof when, "op %d, kind %d, call %d, said %d", (int)op, (int)kind, nth, (int)status);
    if (fired) {
        assert_whole(stage, stage->path, when);
        if (sg_file_exists(stage->copy)) /* under its name only when it is whole */
            assert_whole(stage, stage->copy, when);
    }
    return fired;
}

static void test_killed_and_failing(void **state)
{
    struct stage *stage = *state;
    static const int step[N_FAULT_OPS] = {[FAULT_WRITE] = 23, 1, 1, 1, 1}; /* of many writes, a sample */
    int n_killed = 0, n_failed = 0;
    for (int job = 0; job < 2; job++)
        for (int op = 0; op < N_FAULT_OPS; op++)
            for (int kind = 0; kind < N_FAULT_KINDS; kind += FAULT_KILLED) /* EIO, killed */
                for (int nth = 1;
                     try_fault(stage, job ? backup : compact, (enum fault_op)op, (enum fault_kind)kind, nth);
                     nth += step[op]) {
                    n_killed += kind == FAULT_KILLED;
                    n_failed += kind != FAULT_KILLED;
                    char *part = sg_format("%s.part", stage->copy);
                    unlink(part), unlink(stage->copy);
                    free(part);
                    if (!job) { /* and the next one, over what was left behind, finishes */
                        assert_ok(compact(stage));
                        assert_false(sg_file_exists(stage->beside));
                        assert_false(holds(stage->side, erased));
                    }
                    restore(stage);
                }
    print_message("%d kills, %d failing calls\n", n_killed, n_failed);
    assert_true(n_killed > 30 && n_failed > 30);
}

static int group_setup(void **state)
{
    (void)state;
    fault_install();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_same_rows_in_fewer_pages),
        TEST(test_a_writer_stays_connected),
        TEST(test_a_broken_ledger_stays),
        TEST(test_killed_and_failing),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
