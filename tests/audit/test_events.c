/* Would catch: a heartbeat, gap or clock event that says what cannot be and is believed; a person's approval that was
 * changed, used twice, or counted twice; a run that died without a word of its last sign of life; a writer that keeps
 * its observations to itself, or makes them up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/query.h"
#include "audit/sshsig.h"
#include "audit/verify.h"
#include "base/file.h"
#include "fixture_events.h"
#include "schema.h"

#define assert_ok(expr)                                                                                                \
    do {                                                                                                               \
        if ((expr) != SG_OK)                                                                                           \
            fail_msg("%s", sg_error_text());                                                                           \
    } while (0)

/* The clocks as this program sees them: every clock_gettime of the libraries under test comes here. */
static int64_t wall_shift_s;
__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *out)
{
    int code = (int)syscall(SYS_clock_gettime, clock, out);
    if (clock == CLOCK_REALTIME)
        out->tv_sec += wall_shift_s;
    return code;
}

static struct sg_verdict verdict;

static int setup(void **state)
{
    struct fixture *stage = sg_alloc(1, sizeof *stage);
    wall_shift_s = 0;
    stage->folder = fixture_folder();
    stage->signer = fixture_signer(1);
    *state = stage;
    return 0;
}

static void verify_with(struct fixture *stage, struct sg_verify_options options)
{
    options.allow_self_trust = options.allow_unwitnessed = true;
    assert_ok(sg_verify_file(stage->path, &options, &verdict));
}

static void verify(struct fixture *stage)
{
    verify_with(stage, (struct sg_verify_options){0});
}

static bool found(const char *text)
{
    for (size_t i = 0; i < verdict.n_listed; i++)
        if (strstr(verdict.problems[i].text, text))
            return true;
    return false;
}

static size_t count(struct fixture *stage, const char *type, json_t **out)
{
    struct sg_ledger *ledger = NULL;
    json_t *rows = NULL;
    assert_ok(sg_ledger_open_read(stage->path, &ledger));
    assert_ok(sg_query_view(ledger, "events", type, &rows));
    size_t n = json_array_size(rows);
    if (out && n > 0)
        assert_ok(sg_query_leaf(ledger, json_integer_value(json_object_get(json_array_get(rows, n - 1), "leaf")), out));
    json_decref(rows);
    sg_ledger_close(&ledger);
    return n;
}

static void test_good(void **state)
{
    struct fixture *stage = *state;
    stage->path = fixture_events(stage->folder, stage->signer);
    verify(stage);
    if (verdict.status != SG_OK)
        fail_msg("%s: %s", verdict.problems[0].place, verdict.problems[0].text);
    assert_int_equal(count(stage, "run.heartbeat", NULL), 4);
    assert_int_equal(count(stage, "clock.anomaly", NULL), 1);
    assert_int_equal(count(stage, "ledger.gap", NULL), 2);
}

static void test_forged_by_the_key_holder(void **state)
{
    struct fixture *stage = *state;
    struct sg_buffer original = {0}, side = {0};
    stage->path = fixture_events(stage->folder, stage->signer);
    char *side_path = sg_format("%s.side.db", stage->path);
    assert_ok(sg_file_read(stage->path, "ledger", 1 << 26, &original));
    assert_ok(sg_file_read(side_path, "side", 1 << 26, &side));
    size_t n = 0;
    for (const char *text; (text = fixture_forge(stage->path, stage->signer, n)); n++) {
        verify(stage);
        if (verdict.status != SG_BROKEN || !found(text))
            fail_msg("forgery %zu: wanted \"%s\", got %s: %s", n, text, verdict.sentence, verdict.problems[0].text);
        assert_ok(sg_file_write(stage->path, original.data, original.len, 0644));
        assert_ok(sg_file_write(side_path, side.data, side.len, 0600));
    }
    assert_int_equal(n, 41);
    sg_buffer_free(&original);
    sg_buffer_free(&side);
    free(side_path);
}

static void test_last_heartbeat_of_an_open_run(void **state)
{
    struct fixture *stage = *state;
    struct sg_ledger *ledger = NULL;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_heartbeat beat = {.step = 30, .interval_s = 600};
    struct sg_run run, silent;
    bool written;
    stage->path = fixture_init(stage->folder, stage->signer);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "book", NULL, 20, 1e-4));
    assert_ok(fixture_start(ledger, "book", &plan, &run));
    assert_ok(fixture_start(ledger, "book", &plan, &silent));
    assert_ok(sg_ledger_heartbeat(ledger, &run, &beat, &written));
    assert_true(written);
    beat.step = 29;
    assert_int_equal(sg_ledger_heartbeat(ledger, &run, &beat, &written), SG_USAGE); /* back */
    beat.step = 101;
    assert_int_equal(sg_ledger_heartbeat(ledger, &run, &beat, &written), SG_USAGE); /* beyond the plan */
    beat = (struct sg_heartbeat){.step = 40};
    assert_int_equal(sg_ledger_heartbeat(ledger, &run, &beat, &written), SG_USAGE); /* no interval */
    sg_ledger_close(&ledger);
    verify(stage);
    assert_int_equal(verdict.status, SG_INCOMPLETE);
    assert_int_equal(verdict.n_open, 2);
    assert_true(found("last heartbeat after step 30 at 20"));
    assert_true(found("no heartbeat"));
}

/* A heartbeat gives way to a reader instead of holding the training up, and is taken up again after it. */
static void test_heartbeat_gives_way(void **state)
{
    struct fixture *stage = *state;
    struct sg_ledger *ledger = NULL;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_heartbeat beat = {.step = 30, .interval_s = 600};
    struct sg_run run;
    bool written;
    stage->path = fixture_init(stage->folder, stage->signer);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "book", NULL, 20, 1e-4));
    assert_ok(fixture_start(ledger, "book", &plan, &run));
    pid_t reader = fork();
    if (reader == 0) { /* holds a reader's lock until it is told to go */
        sqlite3 *db = NULL;
        sqlite3_open(stage->path, &db);
        sqlite3_exec(db, "BEGIN; SELECT count(*) FROM leaf", NULL, NULL, NULL);
        char *ready = sg_format("%s/ready", stage->folder);
        (void)!sg_file_write(ready, "", 0, 0600);
        pause();
        _exit(0);
    }
    char *ready = sg_format("%s/ready", stage->folder);
    while (!sg_file_exists(ready))
        usleep(1000);
    assert_ok(sg_ledger_heartbeat(ledger, &run, &beat, &written));
    assert_false(written);
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    assert_ok(sg_ledger_heartbeat(ledger, &run, &beat, &written));
    assert_true(written);
    assert_ok(fixture_end(ledger, &run, SG_RUN_COMPLETE));
    sg_ledger_close(&ledger);
    verify(stage);
    assert_int_equal(verdict.status, SG_OK);
    free(ready);
}

static const char *fact(const json_t *statement, const char *key)
{
    const json_t *facts = json_object_get(json_object_get(statement, "predicate"), "facts");
    return json_string_value(json_object_get(facts, key));
}

static void test_clocks(void **state)
{
    static const struct {
        int64_t shift_s;
        bool reopen; /* the jump happens between two programs: then only a clock that fell behind shows */
        const char *kind;
    } cases[] = {{-3600, false, "jump"}, {0, false, "jump"},    {3600, false, "jump"}, {3601, false, NULL},
                 {0, true, "behind"},    {3600, false, "jump"}, {7200, true, NULL}};
    struct fixture *stage = *state;
    struct sg_ledger *ledger = NULL;
    char name[32];
    size_t n = 0;
    stage->path = fixture_init(stage->folder, stage->signer);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "book", NULL, 20, 1e-4));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].reopen)
            sg_ledger_close(&ledger);
        wall_shift_s = cases[i].shift_s;
        if (cases[i].reopen)
            assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
        snprintf(name, sizeof name, "book-%zu", i);
        assert_ok(fixture_register(ledger, name, NULL, 20, 1e-4));
        json_t *statement = NULL;
        n += cases[i].kind != NULL;
        assert_int_equal(count(stage, "clock.anomaly", &statement), n);
        if (cases[i].kind)
            assert_string_equal(fact(statement, "kind"), cases[i].kind);
        json_decref(statement);
    }
    sg_ledger_close(&ledger);
    verify(stage);
    assert_int_equal(verdict.status, SG_OK);
}

static void test_moved_to_another_machine(void **state)
{
    struct fixture *stage = *state;
    struct sg_ledger *ledger = NULL;
    json_t *statement = NULL;
    stage->path = fixture_init(stage->folder, stage->signer);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    strcpy(ledger->watch.seen.boot_id, "00000000-0000-0000-0000-000000000000");
    assert_ok(fixture_register(ledger, "book", NULL, 20, 1e-4));
    sg_ledger_close(&ledger);
    assert_int_equal(count(stage, "clock.anomaly", &statement), 1);
    assert_string_equal(fact(statement, "kind"), "boot");
    json_decref(statement);
    verify(stage);
    assert_int_equal(verdict.status, SG_OK);
}

/* A writer that is killed while its commit is half done, and a run whose process is gone with it. */
static void test_killed_in_mid_commit(void **state)
{
    struct fixture *stage = *state;
    struct sg_ledger *ledger = NULL;
    json_t *statement = NULL;
    stage->path = fixture_init(stage->folder, stage->signer);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "book", NULL, 20, 1e-4));
    sg_ledger_close(&ledger);
    pid_t writer = fork();
    if (writer == 0) {
        struct sg_plan plan = fixture_plan(1, 1e-6);
        struct sg_run run;
        if (sg_ledger_open(stage->path, stage->signer, &ledger) != SG_OK ||
            fixture_start(ledger, "book", &plan, &run) != SG_OK || sg_store_begin(ledger) != SG_OK ||
            sqlite3_exec(ledger->db, "PRAGMA cache_size=1; CREATE TABLE t(x); ", NULL, NULL, NULL) == SQLITE_OK)
            _exit(1); /* the writer's authorizer denies the table */
        sqlite3_set_authorizer(ledger->db, NULL, NULL);
        sqlite3_exec(ledger->db, "INSERT INTO cosignature SELECT seq, event_id, hex(randomblob(60000)) FROM leaf", NULL,
                     NULL, NULL);
        sqlite3_db_cacheflush(ledger->db); /* into the file, the journal beside it */
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    waitpid(writer, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "other", NULL, 20, 1e-4));
    assert_ok(fixture_register(ledger, "third", NULL, 20, 1e-4));
    sg_ledger_close(&ledger);
    assert_int_equal(count(stage, "ledger.gap", &statement), 2); /* said once */
    assert_string_equal(fact(statement, "kind"), "no_process");
    json_decref(statement);
    verify(stage);
    assert_int_equal(verdict.status, SG_INCOMPLETE);
    assert_true(found("its process gone"));
}

/* ---- People. */
static void test_people(void **state)
{
    struct fixture *stage = *state;
    struct sg_ledger *ledger = NULL;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_run run;
    stage->path = fixture_init(stage->folder, stage->signer);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "book", NULL, 20, 1e-4));
    assert_ok(fixture_start(ledger, "book", &plan, &run));
    assert_ok(fixture_end(ledger, &run, SG_RUN_COMPLETE));
    assert_ok(fixture_sign_decision(ledger, "model.approve", 1, 0));
    assert_int_equal(fixture_sign_decision(ledger, "model.approve", 1, 0), SG_USAGE); /* the same person twice */
    assert_int_equal(fixture_sign_decision(ledger, "model.deploy", 3, 2), SG_USAGE);  /* one of two */
    assert_ok(fixture_sign_decision(ledger, "model.approve", 2, 0));
    assert_ok(fixture_sign_decision(ledger, "model.deploy", 1, 2));
    assert_ok(fixture_sign_decision(ledger, "model.retire", 1, 0));
    assert_int_equal(fixture_sign_decision(ledger, "model.deploy", 1, 1), SG_USAGE); /* retirement ends approvals */
    assert_ok(fixture_sign_decision(ledger, "model.approve", 1, 0));
    sg_ledger_close(&ledger);
    verify(stage);
    assert_int_equal(verdict.status, SG_OK);

    struct sg_buffer list = {0};
    struct sg_signers signers;
    char account[128], host[128];
    sg_store_who(account, host);
    fixture_ssh_signer(1, account, &list);
    fixture_ssh_signer(2, "berta@bank.example", &list);
    assert_ok(sg_signers_parse("people", list.data, list.len, &signers));
    verify_with(stage, (struct sg_verify_options){.signers = &signers, .needs = 2});
    assert_int_equal(verdict.status, SG_OK);
    verify_with(stage, (struct sg_verify_options){.signers = &signers, .needs = 3});
    assert_int_equal(verdict.status, SG_INCOMPLETE);
    assert_true(found("too few people: 2 of 3"));
    verify_with(stage, (struct sg_verify_options){.signers = &signers, .needs = 2, .four_eyes = true});
    assert_true(found("whoever developed the model approved it"));
    assert_true(found("too few people: 1 of 2"));
    sg_signers_free(&signers);
    list.len = 0;
    fixture_ssh_signer(2, "berta", &list);
    assert_ok(sg_signers_parse("people", list.data, list.len, &signers));
    verify_with(stage, (struct sg_verify_options){.signers = &signers});
    assert_true(found("your list of signers does not allow"));
    sg_signers_free(&signers);
    list.len = 0; /* one person with two keys is one person */
    fixture_ssh_signer(1, "berta", &list);
    fixture_ssh_signer(2, "berta", &list);
    assert_ok(sg_signers_parse("people", list.data, list.len, &signers));
    verify_with(stage, (struct sg_verify_options){.signers = &signers, .needs = 2});
    assert_true(found("too few people: 1 of 2"));
    sg_signers_free(&signers);
    sg_buffer_free(&list);
}

static void test_allowed_signers(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
        int good; /* 1: named; 0: read, not named; -1: refused */
    } cases[] = {
        {"", "", 1},
        {"# a comment\n\n", "", 1},
        {"a,b ", "", 1},
        {"\"a b\" ", "", 1},
        {"a namespaces=\"git,sealgrad\" ", " comment more", 1},
        {"a namespaces=\"git\" ", "", 0},
        {"a namespaces=\"*\",valid-after=\"20200101\",valid-before=\"20400101Z\" ", "", 1},
        {"a valid-after=\"203001010000Z\" ", "", 0},
        {"a valid-before=\"20200101\" ", "", 0},
        {"a valid-before=\"2020\" ", "", -1},
        {"a valid-before=\"20201301\" ", "", -1},
        {"a namespaces=\"sealgrad\" x", "", -1},
        {"a cert-authority ", "", 0},
        {"a namespaces=\"git\"namespaces=\"sealgrad\" ", "", -1},
    };
    struct sg_buffer own = {0};
    fixture_ssh_signer(1, "a", &own);
    const char *key = strstr(own.data, "ssh-ed25519");
    uint8_t *wire = NULL;
    size_t n = 0;
    char fingerprint[SG_SSH_FINGERPRINT_CHARS];
    assert_true(sg_base64_decode(key + 12, strlen(key) - 13, &wire, &n));
    sg_ssh_fingerprint(wire, n, fingerprint);
    free(wire);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *begin = cases[i].before;
        char *text = sg_format("%s%s%.*s%s\n", begin, *begin && begin[strlen(begin) - 1] != '\n' ? "" : "a ",
                               (int)strcspn(key, "\n"), key, cases[i].after);
        struct sg_signers signers;
        enum sg_status status = sg_signers_parse("people", text, strlen(text), &signers);
        const char *name = status == SG_OK ? sg_signers_name(&signers, fingerprint, 1800000000000) : NULL;
        if ((status == SG_OK) != (cases[i].good >= 0) || (name != NULL) != (cases[i].good == 1))
            fail_msg("line %zu: %s (%s)", i, text, status == SG_OK ? "read" : sg_error_text());
        sg_signers_free(&signers);
        free(text);
    }
    sg_buffer_free(&own);
}

/* Every byte of a signature counts, and so does every byte of the document. */
static void test_changed_signatures(void **state)
{
    (void)state;
    static const char text[] = "what was said\n";
    struct sg_buffer armoured = {0}, blob = {0};
    struct sg_sshsig signature;
    fixture_ssh_sign(1, text, sizeof text - 1, &armoured);
    assert_ok(sg_sshsig_dearmor(armoured.data, armoured.len, &blob));
    uint8_t *bytes = (uint8_t *)blob.data;
    assert_ok(sg_sshsig_parse(bytes, blob.len, SG_USAGE, &signature));
    assert_true(sg_sshsig_verify(&signature, text, sizeof text - 1));
    assert_false(sg_sshsig_verify(&signature, text, sizeof text - 2));
    for (size_t i = 0; i < blob.len; i++)
        for (int bit = 0; bit < 8; bit += 7) {
            bytes[i] ^= (uint8_t)(1 << bit);
            if (sg_sshsig_parse(bytes, blob.len, SG_USAGE, &signature) == SG_OK &&
                sg_sshsig_verify(&signature, text, sizeof text - 1))
                fail_msg("byte %zu, bit %d: still good", i, bit);
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    for (size_t n = 0; n < blob.len; n++)
        assert_int_equal(sg_sshsig_parse(bytes, n, SG_USAGE, &signature), SG_USAGE);
    sg_buffer_free(&armoured);
    sg_buffer_free(&blob);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good),
        TEST(test_forged_by_the_key_holder),
        TEST(test_last_heartbeat_of_an_open_run),
        TEST(test_heartbeat_gives_way),
        TEST(test_clocks),
        TEST(test_moved_to_another_machine),
        TEST(test_killed_in_mid_commit),
        TEST(test_people),
        cmocka_unit_test(test_allowed_signers),
        cmocka_unit_test(test_changed_signatures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
