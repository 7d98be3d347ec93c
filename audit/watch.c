#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "schema.h"
#include "side.h"
#include "store.h"

static int64_t milliseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void read_clock(struct sg_watch_clock *out)
{
    *out =
        (struct sg_watch_clock){.boottime_ms = milliseconds(CLOCK_BOOTTIME), .wall_ms = milliseconds(CLOCK_REALTIME)};
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file && fread(out->boot_id, 1, 36, file) != 36)
        out->boot_id[0] = 0;
    if (file)
        fclose(file);
}

json_t *sg_watch_clock_facts(const struct sg_watch_clock *clock)
{
    json_t *object = json_object();
    json_object_set_new(object, "boot_id", *clock->boot_id ? json_string(clock->boot_id) : json_null());
    json_object_set_new(object, "boottime_ms", json_integer(clock->boottime_ms));
    return object;
}

/* A journal that no writer holds was left by one that died. SQLite rolls it back at the first read, so this is asked
 * before. A living writer holds the reserved lock from before its journal is made until after it is gone: the same
 * journal before and after a moment without that lock belongs to nobody. */
static bool journal_is_dead(struct sg_ledger *ledger)
{
    char *path = sg_format("%s-journal", ledger->path);
    struct stat before, after;
    sqlite3_file *file = NULL;
    int is_reserved = 1;
    bool is_dead = stat(path, &before) == 0 && before.st_size > 0 &&
                   sqlite3_file_control(ledger->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file &&
                   file->pMethods && file->pMethods->xCheckReservedLock(file, &is_reserved) == SQLITE_OK &&
                   !is_reserved && stat(path, &after) == 0 && before.st_ino == after.st_ino;
    free(path);
    return is_dead;
}

void sg_watch_open(struct sg_ledger *ledger)
{
    ledger->watch = (struct sg_watch){.has_dead_journal = journal_is_dead(ledger)};
    read_clock(&ledger->watch.seen);
}

enum { DEAD_JOURNAL = 0 }; /* no run has this number */

void sg_watch_keep(struct sg_ledger *ledger)
{
    struct sg_side_process *list = NULL, mark = {.run_no = DEAD_JOURNAL};
    size_t n = 0;
    enum sg_status status = SG_OK;
    if (ledger->watch.has_dead_journal)
        status = sg_side_put_process(ledger->side, &mark);
    else
        status = sg_side_processes(ledger->side, &list, &n);
    if (n > 0 && list[0].run_no == DEAD_JOURNAL)
        ledger->watch.has_dead_journal = true;
    free(list);
    if (status != SG_OK)
        sg_error_clear();
}

static enum sg_status append(struct sg_ledger *ledger, const char *type, json_t *facts)
{
    char event_id[33] = "";
    json_t *subjects = sg_store_subject(ledger->origin, "sha256", ledger->last_hash); /* of the event before it */
    enum sg_status status = sg_store_append(ledger, type, subjects, facts, event_id);
    json_decref(subjects);
    json_decref(facts);
    return status;
}

/* ---- Clocks. */
static enum sg_status append_anomaly(struct sg_ledger *ledger, const char *kind, int64_t expected_ms,
                                     const char *boot_id_before)
{
    const struct sg_watch_clock *now = &ledger->watch.now;
    json_t *facts = json_object();
    json_object_set_new(facts, "kind", json_string(kind));
    json_object_set_new(facts, "wall_ms", json_integer(now->wall_ms));
    json_object_set_new(facts, "expected_ms", boot_id_before ? json_null() : json_integer(expected_ms));
    json_object_set_new(facts, "offset_ms", boot_id_before ? json_null() : json_integer(now->wall_ms - expected_ms));
    json_object_set_new(facts, "boot_id_before", boot_id_before ? json_string(boot_id_before) : json_null());
    json_object_set_new(facts, "clock", sg_watch_clock_facts(now));
    return append(ledger, "clock.anomaly", facts);
}

static enum sg_status look_at_clock(struct sg_ledger *ledger)
{
    struct sg_watch *w = &ledger->watch;
    if (strcmp(w->now.boot_id, w->seen.boot_id) != 0) /* the program was moved to another machine, or thawed */
        return append_anomaly(ledger, "boot", 0, w->seen.boot_id);
    int64_t passed = w->now.boottime_ms - w->seen.boottime_ms, expected = w->seen.wall_ms + passed;
    if (llabs(w->now.wall_ms - expected) > SG_WATCH_JUMP_MS + passed / 1000)
        return append_anomaly(ledger, "jump", expected, NULL);
    if (w->now.wall_ms >= ledger->last_ms)
        w->said_behind = false;
    if (w->said_behind || w->now.wall_ms >= ledger->last_ms - SG_WATCH_BEHIND_MS)
        return SG_OK;
    w->said_behind = true;
    return append_anomaly(ledger, "behind", ledger->last_ms, NULL);
}

/* ---- Gaps. */
static enum sg_status append_gap(struct sg_ledger *ledger, const char *kind, const char *run_id, int64_t run_no,
                                 int64_t from_ms)
{
    int64_t now = ledger->watch.now.wall_ms;
    json_t *facts = json_object();
    json_object_set_new(facts, "kind", json_string(kind));
    json_object_set_new(facts, "run_id", run_id ? json_string(run_id) : json_null());
    json_object_set_new(facts, "run_no", run_id ? json_integer(run_no) : json_null());
    json_object_set_new(facts, "from_ms", json_integer(from_ms));
    json_object_set_new(facts, "to_ms", json_integer(now > ledger->last_ms ? now : ledger->last_ms));
    json_object_set_new(facts, "clock", sg_watch_clock_facts(&ledger->watch.now));
    return append(ledger, "ledger.gap", facts);
}

/* When the process began, in ticks since the machine did: numbers of processes are used again. 0: there is none. */
static int64_t start_ticks(int64_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[n] = 0;
    char *at = strrchr(text, ')'); /* behind the name, which may hold anything */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoll(at + 1, NULL, 10) : 0;
}

/* Processes are counted for each container: another one's cannot be asked after. */
static int64_t process_space(void)
{
    struct stat info;
    return stat("/proc/self/ns/pid", &info) == 0 ? (int64_t)info.st_ino : 0;
}

static bool process_is_gone(const struct sg_watch_clock *now, const struct sg_side_process *process)
{
    if (strcmp(process->boot_id, now->boot_id) != 0)
        return true; /* the machine was started anew since */
    return process->space == process_space() && start_ticks(process->pid) != process->start_ticks;
}

static enum sg_status look_at_run(struct sg_ledger *ledger, const struct sg_side_process *process)
{
    sqlite3_stmt *row = NULL;
    char run_id[40] = "";
    int64_t from_ms = 0;
    SG_TRY(
        sg_db_prepare(ledger->db, "SELECT run_id, started_ms FROM run WHERE run_no = ? AND status = 'running'", &row));
    sg_db_bind(row, "i", process->run_no);
    if (sqlite3_step(row) == SQLITE_ROW) {
        snprintf(run_id, sizeof run_id, "%s", (const char *)sqlite3_column_text(row, 0));
        from_ms = sqlite3_column_int64(row, 1);
    }
    sqlite3_finalize(row);
    return *run_id && process_is_gone(&ledger->watch.now, process)
               ? append_gap(ledger, "no_process", run_id, process->run_no, from_ms)
               : SG_OK;
}

/* Every run that this machine began, whose process is gone and which has no end. Said once: the row is forgotten with
 * the commit (sg_watch_commit). */
static enum sg_status look_at_runs(struct sg_ledger *ledger)
{
    struct sg_side_process *list = NULL;
    size_t n = 0;
    if (!ledger->side || sg_side_processes(ledger->side, &list, &n) != SG_OK) {
        sg_error_clear();
        return SG_OK;
    }
    enum sg_status status = SG_OK;
    for (size_t i = 0; status == SG_OK && i < n; i++)
        status = look_at_run(ledger, &list[i]);
    free(list);
    return status;
}

enum sg_status sg_watch_begin(struct sg_ledger *ledger)
{
    struct sg_watch *w = &ledger->watch;
    w->ended_run_no = 0;
    read_clock(&w->now);
    SG_TRY(look_at_clock(ledger));
    if (w->has_dead_journal)
        SG_TRY(append_gap(ledger, "journal", NULL, 0, ledger->last_ms));
    return w->has_looked ? SG_OK : look_at_runs(ledger);
}

static void forget(struct sg_ledger *ledger, int64_t run_no)
{
    if (sg_side_remove_process(ledger->side, run_no) != SG_OK)
        sg_error_clear();
}

static void forget_gone(struct sg_ledger *ledger)
{
    struct sg_side_process *list = NULL;
    size_t n = 0;
    if (sg_side_processes(ledger->side, &list, &n) != SG_OK)
        return sg_error_clear();
    for (size_t i = 0; i < n; i++)
        if (list[i].run_no != DEAD_JOURNAL && process_is_gone(&ledger->watch.now, &list[i]))
            forget(ledger, list[i].run_no);
    free(list);
}

void sg_watch_forget(struct sg_ledger *ledger)
{
    const struct sg_watch *w = &ledger->watch;
    if (w->has_dead_journal)
        forget(ledger, DEAD_JOURNAL);
    if (w->ended_run_no)
        forget(ledger, w->ended_run_no);
    if (!w->has_looked)
        forget_gone(ledger);
}

void sg_watch_commit(struct sg_ledger *ledger)
{
    struct sg_watch *w = &ledger->watch;
    w->seen = w->now;
    w->has_dead_journal = false;
    w->has_looked = true;
}

void sg_watch_run_begins(struct sg_ledger *ledger, int64_t run_no)
{
    struct sg_side_process process = {.run_no = run_no, .pid = getpid(), .space = process_space()};
    process.start_ticks = start_ticks(process.pid);
    memcpy(process.boot_id, ledger->watch.now.boot_id, sizeof process.boot_id);
    if (ledger->side && sg_side_put_process(ledger->side, &process) != SG_OK)
        sg_error_clear();
}

void sg_watch_run_ends(struct sg_ledger *ledger, int64_t run_no)
{
    ledger->watch.ended_run_no = run_no;
}
