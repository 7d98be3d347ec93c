#include "export.h"

#include <stdlib.h>
#include <string.h>

#include "audit/query.h"
#include "schema.h"

const struct sg_export_format sg_export_formats[] = {
    {"csv", "every derived table, one file each", true, false},
    {"json", "every event decoded, one a line", true, false},
    {"mlflow", "a folder mlruns as MLflow's file store has it", true, false},
    {"openlineage", "run events, one a line", true, false},
    {"slsa", "SLSA provenance v1 of every finished run's files, unsigned, naming the signed leaves", true, false},
    {"tiles", "the whole log as c2sp.org/tlog-tiles serves it", false, false},
    {"datasette", "metadata with the canned queries, for serving the ledger file itself", false, false},
    {"evidence", "proofs for one run without the others (--evidence --run R)", true, true},
};
const size_t sg_n_export_formats = sizeof sg_export_formats / sizeof *sg_export_formats;

static enum sg_status (*const writers[])(struct sg_export *, const char *) = {
    sg_export_csv,  sg_export_json,  sg_export_mlflow,    sg_export_openlineage,
    sg_export_slsa, sg_export_tiles, sg_export_datasette, sg_export_evidence,
};

static enum sg_status find_format(const char *format, const char *run, size_t *which)
{
    for (size_t i = 0; i < sg_n_export_formats; i++) {
        const struct sg_export_format *f = &sg_export_formats[i];
        if (strcmp(f->name, format) != 0)
            continue;
        if (run && !f->takes_run)
            return sg_fail(
                SG_USAGE, "ledger export: %s is about the whole ledger; one run without the others: --evidence --run R",
                format);
        if (!run && f->needs_run)
            return sg_fail(SG_USAGE, "ledger export: evidence is about one run: name it with --run R");
        *which = i;
        return SG_OK;
    }
    return sg_fail(SG_USAGE,
                   "ledger export: --format must be csv, json, mlflow, openlineage, slsa, tiles or datasette");
}

/* An id or number that exists, or a clear refusal before anything is written. */
static enum sg_status check_run(struct sg_ledger *ledger, const char *run)
{
    json_t *object = NULL;
    if (run)
        SG_TRY(sg_query_show(ledger, run, &object));
    json_decref(object);
    return SG_OK;
}

enum sg_status sg_export_write(struct sg_ledger *ledger, const char *format, const char *run, const char *database,
                               const char *out, struct sg_export_result *result)
{
    struct sg_export into;
    size_t which = 0;
    SG_TRY(find_format(format, run, &which));
    SG_TRY(check_run(ledger, run));
    SG_TRY(sg_export_begin(ledger, out, &into));
    into.database = database ? database : "ledger";
    enum sg_status status = writers[which](&into, run);
    if (status == SG_OK)
        status = sg_export_commit(&into);
    result->n_files = into.n_files;
    sg_export_abandon(&into);
    return status;
}

/* ---- What the formats share. */
enum sg_status sg_export_leaf(struct sg_ledger *ledger, int64_t seq, struct sg_buffer *out)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT body FROM leaf WHERE seq = ?", &row));
    sg_db_bind(row, "i", seq);
    bool found = sqlite3_step(row) == SQLITE_ROW && sqlite3_column_type(row, 0) == SQLITE_BLOB;
    if (found)
        sg_buffer_append(out, sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0));
    sqlite3_finalize(row);
    return found ? SG_OK : sg_fail(SG_BROKEN, "leaf %lld is missing", (long long)seq);
}

enum sg_status sg_export_leaf_hash(struct sg_ledger *ledger, int64_t seq, char out[65])
{
    uint8_t hash[SG_DIGEST_BYTES];
    SG_TRY(sg_store_node(ledger->db, 0, (uint64_t)seq, hash));
    sg_hex_encode(hash, sizeof hash, out);
    return SG_OK;
}

const char *sg_export_member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

enum sg_status sg_export_leaves_of(struct sg_ledger *ledger, int64_t run_no, int64_t **seqs, size_t *n)
{
    sqlite3_stmt *rows = NULL;
    int code;
    *seqs = NULL;
    *n = 0;
    SG_TRY(sg_db_prepare(
        ledger->db,
        "SELECT seq FROM leaf WHERE type IN ('ledger.genesis', 'key.add', 'key.revoke') "
        "UNION SELECT leaf FROM dataset WHERE name = (SELECT dataset FROM run WHERE run_no = ?1) "
        "UNION SELECT leaf FROM erasure WHERE dataset = (SELECT dataset FROM run WHERE run_no = ?1) "
        "UNION SELECT leaf FROM programme WHERE programme_id = (SELECT programme FROM run WHERE run_no = ?1) "
        "UNION SELECT start_leaf FROM run WHERE run_no = ?1 "
        "UNION SELECT end_leaf FROM run WHERE run_no = ?1 AND end_leaf IS NOT NULL "
        "UNION SELECT leaf FROM decision WHERE model IN (SELECT sha256 FROM artifact WHERE run_no = ?1) ORDER BY 1",
        &rows));
    sg_db_bind(rows, "i", run_no);
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        *seqs = sg_realloc(*seqs, *n + 1, sizeof **seqs);
        (*seqs)[(*n)++] = sqlite3_column_int64(rows, 0);
    }
    enum sg_status status = code == SQLITE_DONE ? SG_OK : sg_db_fail(ledger->db, "reading");
    sqlite3_finalize(rows);
    return status;
}

static int64_t time_of(const json_t *statement)
{
    const json_t *predicate = json_object_get(statement, "predicate");
    return json_is_object(statement) ? json_integer_value(json_object_get(predicate, "time_ms")) : -1;
}

enum sg_status sg_export_run_read(struct sg_ledger *ledger, const char *run, struct sg_export_run *out)
{
    *out = (struct sg_export_run){.start_leaf = -1, .end_leaf = -1, .ended_ms = -1};
    SG_TRY(sg_query_show(ledger, run, &out->show));
    const json_t *start = json_object_get(out->show, "start"), *end = json_object_get(out->show, "end");
    out->row = json_object_get(out->show, "run");
    out->facts = json_object_get(json_object_get(start, "predicate"), "facts");
    out->end_facts = json_object_get(json_object_get(end, "predicate"), "facts");
    out->run_id = sg_export_member(out->row, "run_id");
    out->status = sg_export_member(out->row, "status");
    out->start_leaf = json_integer_value(json_object_get(out->row, "start_leaf"));
    out->started_ms = time_of(start);
    out->ended_ms = time_of(end);
    enum sg_status status = sg_export_leaf_hash(ledger, out->start_leaf, out->start_hash);
    if (status == SG_OK && out->end_facts) {
        out->end_leaf = json_integer_value(json_object_get(out->row, "end_leaf"));
        status = sg_export_leaf_hash(ledger, out->end_leaf, out->end_hash);
    }
    const char *model = json_string_value(json_object_get(out->row, "model"));
    if (status == SG_OK)
        status = sg_query_view(ledger, "approvals", model ? model : "", &out->decisions);
    if (status != SG_OK)
        sg_export_run_free(out);
    return status;
}

void sg_export_run_free(struct sg_export_run *run)
{
    json_decref(run->show);
    json_decref(run->decisions);
    *run = (struct sg_export_run){0};
}

static enum sg_status one_run(struct sg_export *into, const char *id, sg_export_each *one, void *context)
{
    struct sg_export_run run;
    SG_TRY(sg_export_run_read(into->ledger, id, &run));
    enum sg_status status = one(into, &run, context);
    sg_export_run_free(&run);
    return status;
}

enum sg_status sg_export_runs(struct sg_export *into, const char *run, sg_export_each *one, void *context)
{
    sqlite3_stmt *rows = NULL;
    int code = SQLITE_DONE;
    enum sg_status status = SG_OK;
    if (run)
        return one_run(into, run, one, context);
    SG_TRY(sg_db_prepare(into->ledger->db, "SELECT run_no FROM run ORDER BY run_no", &rows));
    while (status == SG_OK && (code = sqlite3_step(rows)) == SQLITE_ROW)
        status = one_run(into, (const char *)sqlite3_column_text(rows, 0), one, context);
    if (status == SG_OK && code != SQLITE_DONE)
        status = sg_db_fail(into->ledger->db, "reading");
    sqlite3_finalize(rows);
    return status;
}
