#include "audit/verify.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "schema.h"
#include "snapshot.h"

void sg_check_problem(struct sg_check *check, enum sg_status status, const char *place, const char *format, ...)
{
    struct sg_verdict *verdict = check->verdict;
    verdict->n_problems++;
    verdict->n_broken += status == SG_BROKEN;
    if (verdict->n_listed == SG_PROBLEMS_MAX)
        return;
    struct sg_problem *problem = &verdict->problems[verdict->n_listed++];
    va_list arguments;
    va_start(arguments, format);
    problem->status = status;
    snprintf(problem->place, sizeof problem->place, "%.63s", place);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    for (char *p = problem->text; *p; p++) /* the file's own text must not reach a terminal as commands */
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    for (char *p = problem->place; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
}

void sg_check_error(struct sg_check *check, const char *place)
{
    char *text = sg_strdup(sg_error_text());
    sg_check_problem(check, SG_BROKEN, place, "%s", text);
    free(text);
}

/* SQLite's own check of pages, cells and indexes. Only after the schema was found to be ours: it runs its constraints.
 */
static void check_pages(struct sg_check *check)
{
    sqlite3_stmt *rows = NULL;
    if (sg_db_prepare(check->db, "PRAGMA integrity_check(20)", &rows) != SG_OK)
        return sg_check_error(check, "file");
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(rows, 0);
        if (!text || strcmp(text, "ok") != 0)
            sg_check_problem(check, SG_BROKEN, "file", "SQLite finds it damaged: %.180s", text ? text : "");
    }
    if (code != SQLITE_DONE)
        sg_check_problem(check, SG_BROKEN, "file", "SQLite cannot read it: %s", sqlite3_errmsg(check->db));
    sqlite3_finalize(rows);
}

static enum sg_status check_identity(struct sg_check *check)
{
    int64_t id = 0, version = 0;
    SG_TRY(sg_db_number(check->db, "PRAGMA application_id", &id));
    SG_TRY(sg_db_number(check->db, "PRAGMA user_version", &version));
    if (id != SG_LEDGER_APPLICATION_ID)
        return sg_fail(SG_BROKEN, "it does not carry the mark of a ledger (application_id)");
    if (version != SG_LEDGER_VERSION)
        return sg_fail(SG_BROKEN, "it has format version %lld, this program knows %d", (long long)version,
                       SG_LEDGER_VERSION);
    return sg_schema_compare(check->db, check->expected);
}

/* The kept checkpoint must be this ledger's: by its origin and, once keys are known, by its signature. */
static void check_since(struct sg_check *check)
{
    struct sg_vkey keys[SG_CHECK_KEYS_MAX];
    struct sg_note_check result;
    const char *note = check->options->since;
    for (size_t i = 0; i < check->n_keys; i++)
        keys[i] = check->keys[i].key;
    if (sg_note_verify(note, strlen(note), keys, check->n_keys, &result) != SG_OK || !result.verified)
        sg_check_problem(check, SG_BROKEN, "kept checkpoint", "it is not signed by a key of this ledger");
    else if (strcmp(check->since.origin, check->verdict->origin) != 0)
        sg_check_problem(check, SG_BROKEN, "kept checkpoint", "it belongs to another ledger");
    if (check->since.size > check->verdict->size)
        sg_check_problem(check, SG_BROKEN, "kept checkpoint",
                         "it has %lld events, this file only %lld: this is an older copy, or its end was cut off",
                         (long long)check->since.size, (long long)check->verdict->size);
}

static void run_checks(struct sg_check *check)
{
    if (check_identity(check) != SG_OK)
        return sg_check_error(check, "file"); /* whatever it holds, it is not what our statements expect */
    if (!check->options->quick)
        check_pages(check);
    sg_check_leaves(check);
    if (!check->options->quick)
        sg_check_derived_tables(check);
    sg_check_cosignatures(check);
    sg_check_timestamps(check);
    sg_check_open_runs(check);
    if (check->options->since)
        check_since(check);
}

/* ---- The verdict in words. */
static void print_time(int64_t time_s, char out[32])
{
    struct tm utc = {0};
    time_t seconds = (time_t)time_s;
    gmtime_r(&seconds, &utc);
    strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &utc);
}

static void say_trust(const struct sg_check *check, struct sg_buffer *out)
{
    const struct sg_verdict *v = check->verdict;
    char time[32];
    sg_buffer_printf(out,
                     v->is_trusted ? ", signed by the trusted key of %s"
                                   : ", signed by a key that this ledger itself names (%s)",
                     v->origin);
    if (v->witnessed_size > 0) {
        print_time(v->witness_time_s, time);
        sg_buffer_printf(out, ", witnessed up to event %lld at %s", (long long)v->witnessed_size, time);
    }
    if (v->stamped_size > 0) {
        print_time(v->stamp_time_s, time);
        sg_buffer_printf(out, ", time stamped up to event %lld at %s", (long long)v->stamped_size, time);
    }
    if (v->witnessed_size < v->size)
        sg_buffer_text(out, v->witnessed_size ? "; what came later has no witness"
                                              : "; no witness: an older copy cannot be ruled out");
}

static void decide(struct sg_check *check)
{
    struct sg_verdict *v = check->verdict;
    const struct sg_verify_options *options = check->options;
    struct sg_buffer text = {0};
    bool lacks_trust = !v->is_trusted && !options->allow_self_trust;
    bool lacks_witness = v->witnessed_size < v->size && !options->allow_unwitnessed;
    bool lacks = v->n_open || v->n_suspect || v->n_clock || v->n_unapproved || lacks_trust || lacks_witness;
    v->status = v->n_broken ? SG_BROKEN : lacks ? SG_INCOMPLETE : SG_OK;
    if (v->n_broken) {
        sg_buffer_printf(&text, "BROKEN: %zu problem%s found; do not rely on this ledger", v->n_broken,
                         v->n_broken == 1 ? "" : "s");
    } else {
        const char *word = v->status == SG_OK
                               ? (v->witnessed_size == v->size && v->is_trusted ? "INTACT" : "INTACT AS FAR AS IT GOES")
                               : "INCOMPLETE";
        sg_buffer_printf(&text, "%s: %lld event%s", word, (long long)v->size, v->size == 1 ? "" : "s");
        say_trust(check, &text);
        if (v->n_open)
            sg_buffer_printf(&text, "; %lld run%s began and never ended", (long long)v->n_open,
                             v->n_open == 1 ? "" : "s");
        if (v->n_suspect)
            sg_buffer_printf(&text, "; %lld event%s signed by a key while it was compromised", (long long)v->n_suspect,
                             v->n_suspect == 1 ? " was" : "s were");
        if (v->n_clock)
            sg_buffer_printf(&text, "; %lld event%s a time after the time stamp that covers it", (long long)v->n_clock,
                             v->n_clock == 1 ? " claims" : "s claim");
        if (v->n_unapproved)
            sg_buffer_printf(&text, "; %lld decision%s not as your policy asks", (long long)v->n_unapproved,
                             v->n_unapproved == 1 ? " is" : "s are");
        if (v->quick)
            sg_buffer_text(&text,
                           "; quick: only hashes, roots, the newest checkpoint's signature and those of changes of "
                           "keys were checked; no other signature, no rule, no table");
        else if (v->n_signatures_left)
            sg_buffer_printf(&text,
                             "; %lld signatures were checked, %lld not one by one: they rest on the newest "
                             "checkpoint's (--all-signatures)",
                             (long long)v->n_signatures, (long long)v->n_signatures_left);
    }
    snprintf(v->sentence, sizeof v->sentence, "%s", text.data);
    sg_buffer_free(&text);
}

static void check_trust(struct sg_check *check)
{
    struct sg_verdict *v = check->verdict;
    if (!check->options->trust || check->n_keys == 0)
        return;
    v->is_trusted = sg_trust_has_log(check->options->trust, v->origin, &check->keys[0].key);
    if (!v->is_trusted)
        sg_check_problem(check, SG_BROKEN, "leaf 0", "the ledger was made with another key than the one you trust");
}

static enum sg_status open_expected(struct sg_check *check)
{
    if (sqlite3_open_v2(":memory:", &check->expected, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return sg_fail(SG_FAILED, "SQLite did not open a database in memory");
    SG_TRY(sg_schema_create(check->expected));
    SG_TRY(sg_db_run(check->expected, "BEGIN"));
    return sg_derive_open(check->expected, &check->derive);
}

static enum sg_status verify_db(sqlite3 *db, const struct sg_verify_options *options, struct sg_verdict *out)
{
    struct sg_check check = {.options = options, .verdict = out, .db = db, .memo = options->memo};
    struct sg_plan_memo *own = options->memo ? NULL : sg_plan_memo_new();
    if (own)
        check.memo = own;
    out->quick = options->quick;
    if (options->since) { /* parsed once before: cannot fail now */
        struct sg_note_check note;
        (void)!sg_note_verify(options->since, strlen(options->since), NULL, 0, &note);
        (void)!sg_checkpoint_parse(options->since, note.text_len, &check.since);
    }
    enum sg_status status = open_expected(&check);
    if (status == SG_OK) {
        run_checks(&check);
        check_trust(&check);
        decide(&check);
    }
    sg_derive_close(&check.derive);
    sqlite3_close(check.expected);
    sg_plan_memo_free(&own);
    free(check.populations);
    sg_check_programmes_free(&check);
    sg_buffer_free(&check.signer_of);
    return status;
}

/* A file that cannot even be opened as a database is evidence that is broken, and that is a verdict. */
static enum sg_status verdict_of(enum sg_status status, struct sg_snapshot *snapshot,
                                 const struct sg_verify_options *options, struct sg_verdict *out)
{
    if (status == SG_OK) {
        status = verify_db(snapshot->db, options, out);
        out->has_journal = snapshot->folder != NULL;
        sg_snapshot_close(snapshot);
        return status;
    }
    if (status != SG_BROKEN)
        return status;
    struct sg_check check = {.options = options, .verdict = out};
    sg_check_error(&check, "file");
    decide(&check);
    return SG_OK;
}

static enum sg_status begin(const struct sg_verify_options *options, struct sg_verdict *out)
{
    struct sg_note_check note;
    struct sg_checkpoint since;
    *out = (struct sg_verdict){0};
    if (!options->since)
        return SG_OK;
    if (sg_note_verify(options->since, strlen(options->since), NULL, 0, &note) != SG_OK ||
        sg_checkpoint_parse(options->since, note.text_len, &since) != SG_OK)
        return sg_fail(SG_USAGE, "--since: the file is not a checkpoint (sealgrad ledger checkpoint writes one)");
    return SG_OK;
}

enum sg_status sg_verify_file(const char *path, const struct sg_verify_options *options, struct sg_verdict *out)
{
    struct sg_snapshot snapshot;
    SG_TRY(begin(options, out));
    return verdict_of(sg_snapshot_open(path, &snapshot), &snapshot, options, out);
}

enum sg_status sg_verify_bytes(const uint8_t *bytes, size_t n, const struct sg_verify_options *options,
                               struct sg_verdict *out)
{
    struct sg_snapshot snapshot;
    SG_TRY(begin(options, out));
    return verdict_of(sg_snapshot_from_bytes(bytes, n, &snapshot), &snapshot, options, out);
}
