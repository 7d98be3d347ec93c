/* Would catch: an append that is acknowledged and lost, recorded twice after a retry, or that leaves a ledger which
 * does not verify, when any write, sync, open, unlink or truncate fails, when the disk is full, when the process dies,
 * and when the power goes and the disk has kept any part of what was not yet synced. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/verify.h"
#include "base/file.h"
#include "fault_vfs.h"
#include "fixture.h"

#define assert_ok(expr) assert_int_equal(expr, SG_OK)

/* The files of a ledger at rest. */
static const char *const names[] = {"ledger.db", "ledger.db-journal", "ledger.db.side.db", "ledger.db.side.db-journal"};
enum { N_FILES = 4 };
struct image {
    bool exists[N_FILES];
    struct sg_buffer bytes[N_FILES];
};

static char *folder, *path;
static struct sg_signer *signer;
static struct sg_plan plan;
static struct sg_verify_options options = {.allow_unwitnessed = true, .allow_self_trust = true};
static struct sg_verdict verdict;
static struct image start;

static void read_image(struct image *out)
{
    for (int i = 0; i < N_FILES; i++) {
        char *file = sg_format("%s/%s", folder, names[i]);
        out->exists[i] = sg_file_exists(file);
        if (out->exists[i])
            assert_ok(sg_file_read(file, "image", 1 << 26, &out->bytes[i]));
        free(file);
    }
}

static void write_image(const struct image *image)
{
    for (int i = 0; i < N_FILES; i++) {
        char *file = sg_format("%s/%s", folder, names[i]);
        unlink(file);
        if (image->exists[i]) {
            int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
            assert_int_equal(write(fd, image->bytes[i].data ? image->bytes[i].data : "", image->bytes[i].len),
                             image->bytes[i].len);
            close(fd);
        }
        free(file);
    }
}

static int group_setup(void **state)
{
    (void)state;
    struct sg_ledger *ledger = NULL;
    fault_install();
    folder = fixture_folder();
    signer = fixture_signer(1);
    plan = fixture_plan(1, 1e-6);
    path = fixture_init(folder, signer);
    options.memo = sg_plan_memo_new();
    assert_ok(sg_ledger_open(path, signer, &ledger));
    assert_ok(fixture_register(ledger, "book", "customers", 20, 1e-4));
    sg_ledger_close(&ledger);
    read_image(&start);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    for (int i = 0; i < N_FILES; i++)
        sg_buffer_free(&start.bytes[i]);
    sg_plan_memo_free(&options.memo);
    sg_signer_close(&signer);
    free(path);
    fixture_remove(folder);
    return 0;
}

/* The number of runs, after checking that the ledger is whole. */
static int64_t runs_now(const char *when)
{
    assert_ok(sg_verify_file(path, &options, &verdict));
    if (verdict.n_broken)
        fail_msg("%s: %s: %s", when, verdict.problems[0].place, verdict.problems[0].text);
    return verdict.n_runs;
}

static enum sg_status append_once(void)
{
    struct sg_ledger *ledger = NULL;
    struct sg_run run;
    SG_TRY(sg_ledger_open(path, signer, &ledger));
    enum sg_status status = fixture_start(ledger, "book", &plan, &run);
    sg_ledger_close(&ledger);
    return status;
}

/* 1: recorded, 0: not. Dies in a child of its own. */
static bool append_and_die(enum fault_op op, int nth)
{
    pid_t child = fork();
    if (child == 0) {
        fault_arm(op, FAULT_KILLED, nth);
        (void)!append_once();
        _exit(0);
    }
    int code = 0;
    assert_int_equal(waitpid(child, &code, 0), child);
    return WIFSIGNALED(code);
}

struct cell {
    int fired, recorded, refused;
};

/* One fault; false when there was no n-th call. */
static bool try_fault(enum fault_op op, enum fault_kind kind, int nth, struct cell *cell)
{
    char when[64];
    snprintf(when, sizeof when, "op %d, kind %d, call %d", (int)op, (int)kind, nth);
    write_image(&start);
    enum sg_status status = SG_FAILED;
    bool fired;
    if (kind == FAULT_KILLED) {
        fired = append_and_die(op, nth);
    } else {
        fault_arm(op, kind, nth);
        status = append_once();
        fired = fault_disarm();
    }
    if (!fired)
        return false;
    int64_t n = runs_now(when);
    if (kind != FAULT_KILLED && n != (status == SG_OK))
        fail_msg("%s: said %d and %lld runs are recorded", when, (int)status, (long long)n);
    cell->fired++;
    cell->recorded += n == 1;
    cell->refused += status != SG_OK;
    assert_ok(append_once()); /* the next one works, and nothing is doubled */
    assert_int_equal(runs_now(when), n + 1);
    return true;
}

static void test_every_call_fails(void **state)
{
    (void)state;
    static const char *const ops[N_FAULT_OPS] = {"write", "sync", "open", "unlink", "truncate"};
    static const char *const kinds[N_FAULT_KINDS] = {"EIO", "ENOSPC", "EIO after", "killed"};
    int total = 0;
    for (int op = 0; op < N_FAULT_OPS; op++) {
        for (int kind = 0; kind < N_FAULT_KINDS; kind++) {
            struct cell cell = {0};
            for (int nth = 1; nth < 200 && try_fault(op, kind, nth, &cell); nth++)
                ;
            print_message("%-8s x %-9s: %3d fired, %3d recorded all the same, %3d reported\n", ops[op], kinds[kind],
                          cell.fired, cell.recorded, cell.refused);
            total += cell.fired;
        }
    }
    assert_true(total > 60); /* else the faults did not reach the append */
}

/* ---- Power loss. */
static uint64_t random_state = 12345;
static uint64_t next_random(void)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ z >> 27;
}

static void copy_image(const struct image *from, struct image *to)
{
    for (int i = 0; i < N_FILES; i++) {
        to->exists[i] = from->exists[i];
        to->bytes[i] = (struct sg_buffer){0};
        sg_buffer_append(&to->bytes[i], from->bytes[i].data ? from->bytes[i].data : "", from->bytes[i].len);
    }
}

static void free_image(struct image *image)
{
    for (int i = 0; i < N_FILES; i++)
        sg_buffer_free(&image->bytes[i]);
}

static int index_of(const char *name)
{
    for (int i = 0; i < N_FILES; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

static void put(struct sg_buffer *file, int64_t offset, const uint8_t *bytes, size_t n)
{
    static const uint8_t zeros[4096];
    while (file->len < (size_t)offset + n)
        sg_buffer_append(file, zeros, (size_t)offset + n - file->len < 4096 ? (size_t)offset + n - file->len : 4096);
    memcpy(file->data + offset, bytes, n);
}

/* A disk keeps sectors: of a write that was not synced, any of them; `all` of one that was. A journal's first sync
 * syncs the folder as well, and with it that the one before it is gone. */
static void apply(struct image *image, const struct fault_event *event, bool all)
{
    int i = index_of(event->name);
    if (i < 0)
        return;
    if (event->what == LOG_WRITE) {
        for (size_t at = 0; at < event->n; at += 512) {
            size_t n = event->n - at < 512 ? event->n - at : 512;
            if (all || next_random() & 1)
                put(&image->bytes[i], event->offset + (int64_t)at, event->bytes + at, n), image->exists[i] = true;
        }
    } else if (event->what == LOG_TRUNCATE && (all || next_random() & 1) &&
               (size_t)event->offset < image->bytes[i].len) {
        image->bytes[i].len = (size_t)event->offset;
    } else if (event->what == LOG_UNLINK_SYNCED || (event->what == LOG_UNLINK && (all || next_random() & 1))) {
        image->exists[i] = false;
        image->bytes[i].len = 0;
    }
}

/* The disk after a power cut behind the first n calls: all that was synced, some of the rest. */
static void cut(const struct fault_event *log, size_t n, struct image *out)
{
    copy_image(&start, out);
    for (size_t k = 0; k < n; k++) {
        bool synced = false, gone = false;
        for (size_t later = k + 1; later < n && !gone; later++) {
            bool same = strcmp(log[later].name, log[k].name) == 0;
            synced |= same && log[later].what == LOG_SYNC;
            gone = same && log[later].what == LOG_UNLINK_SYNCED;
        }
        if (!gone)
            apply(out, &log[k], synced);
    }
}

static void test_power_cuts(void **state)
{
    (void)state;
    const struct fault_event *log;
    int n_images = 0, n_recorded = 0;
    write_image(&start);
    fault_record(true);
    assert_ok(append_once());
    fault_record(false);
    size_t n_log = fault_log(&log);
    assert_true(n_log > 10);
    for (size_t n = 0; n <= n_log; n++) {
        for (int trial = 0; trial < 25; trial++) {
            struct image image;
            char when[64];
            snprintf(when, sizeof when, "power cut after call %zu of %zu, trial %d", n, n_log, trial);
            cut(log, n, &image);
            write_image(&image);
            free_image(&image);
            int64_t runs = runs_now(when);
            if (n == n_log && runs != 1)
                fail_msg("%s: acknowledged and lost", when);
            if (trial == 0) { /* the writer recovers too, and its anchor does not know more than the ledger */
                enum sg_status status = append_once();
                if (status != SG_OK)
                    fail_msg("%s: %s", when, sg_error_text());
                assert_int_equal(runs_now(when), runs + 1);
            }
            n_images++;
            n_recorded += runs == 1;
        }
    }
    print_message("%d power cuts over %zu calls: 0 broken, 0 acknowledged and lost; recorded in %d\n", n_images, n_log,
                  n_recorded);
    fault_record(true), fault_record(false); /* frees the log's bytes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_call_fails), cmocka_unit_test(test_power_cuts)};
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
