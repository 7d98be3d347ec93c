/* Formats csv and json: the derived tables, and the events themselves.
 *
 * CSV is RFC 4180: text is quoted, a null is an empty field and empty text "", blobs are hexadecimal, reals have all
 * their digits. Text that a spreadsheet would run as a formula gets a quote mark in front of it, unless it is a number.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/query.h"
#include "base/number.h"
#include "export.h"
#include "query_events.h"
#include "schema.h"

static void csv_text(struct sg_buffer *out, const char *text, size_t n)
{
    double number;
    sg_buffer_text(out, "\"");
    if (n && memchr("=+-@\t\r", *text, 6) && !sg_number_double(text, n, &number))
        sg_buffer_text(out, "'");
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"')
            sg_buffer_text(out, "\"");
        sg_buffer_append(out, text + i, 1);
    }
    sg_buffer_text(out, "\"");
}

static void csv_cell(struct sg_buffer *out, sqlite3_stmt *row, int column)
{
    size_t n = (size_t)sqlite3_column_bytes(row, column);
    char number[32], *hex;
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_INTEGER:
        sg_buffer_printf(out, "%lld", (long long)sqlite3_column_int64(row, column));
        break;
    case SQLITE_FLOAT:
        sg_number_print(sqlite3_column_double(row, column), number);
        sg_buffer_text(out, number);
        break;
    case SQLITE_BLOB:
        hex = sg_alloc(2 * n + 1, 1);
        sg_hex_encode(sqlite3_column_blob(row, column), n, hex);
        sg_buffer_text(out, hex);
        free(hex);
        break;
    case SQLITE_TEXT:
        csv_text(out, (const char *)sqlite3_column_text(row, column), n);
        break;
    default:
        break; /* null: an empty field */
    }
}

static enum sg_status csv_rows(struct sg_export *into, const char *path, sqlite3_stmt *rows)
{
    struct sg_buffer text = {0};
    int n = sqlite3_column_count(rows), code;
    enum sg_status status = SG_OK;
    for (int i = 0; i < n; i++)
        sg_buffer_printf(&text, "%s%s", i ? "," : "", sqlite3_column_name(rows, i));
    sg_buffer_text(&text, "\r\n");
    while (status == SG_OK && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        for (int i = 0; i < n; i++) {
            if (i)
                sg_buffer_text(&text, ",");
            csv_cell(&text, rows, i);
        }
        sg_buffer_text(&text, "\r\n");
        if (text.len > 1 << 20) { /* a table may be larger than memory */
            status = sg_export_text(into, path, &text);
            sg_buffer_free(&text);
        }
    }
    if (status == SG_OK && code != SQLITE_DONE)
        status = sg_db_fail(into->ledger->db, "reading");
    if (status == SG_OK)
        status = sg_export_text(into, path, &text);
    sg_buffer_free(&text);
    return status;
}

/* Which rows of a table belong to one run; tables that are not here are about the whole ledger. */
#define THE_RUN "(SELECT run_no FROM run WHERE run_id = ?1 OR run_no = ?1)"
static const struct {
    const char *table, *where;
} of_run[] = {
    {"population", "name = (SELECT population FROM run WHERE run_no = " THE_RUN ")"},
    {"dataset", "name = (SELECT dataset FROM run WHERE run_no = " THE_RUN ")"},
    {"erasure", "dataset = (SELECT dataset FROM run WHERE run_no = " THE_RUN ")"},
    {"programme", "programme_id = (SELECT programme FROM run WHERE run_no = " THE_RUN ")"},
    {"run", "run_no = " THE_RUN},
    {"param", "run_no = " THE_RUN},
    {"metric", "run_no = " THE_RUN},
    {"artifact", "run_no = " THE_RUN},
    {"decision", "model IN (SELECT sha256 FROM artifact WHERE run_no = " THE_RUN ")"},
};

static const char *where_of(const char *table)
{
    for (size_t i = 0; i < sizeof of_run / sizeof *of_run; i++)
        if (strcmp(of_run[i].table, table) == 0)
            return of_run[i].where;
    return "1";
}

enum sg_status sg_export_csv(struct sg_export *into, const char *run)
{
    enum sg_status status = SG_OK;
    for (size_t i = 0; i < sg_schema_n_tables && status == SG_OK; i++) {
        const struct sg_schema_table *table = &sg_schema_tables[i];
        if (!table->is_derived)
            continue;
        sqlite3_stmt *rows = NULL;
        char *sql = sg_format("SELECT * FROM %s WHERE %s ORDER BY %s", table->name, run ? where_of(table->name) : "1",
                              table->order);
        char *path = sg_format("%s.csv", table->name);
        status = sg_db_prepare(into->ledger->db, sql, &rows);
        if (status == SG_OK && sqlite3_bind_parameter_count(rows) > 0)
            sg_db_bind(rows, "t", run);
        if (status == SG_OK)
            status = csv_rows(into, path, rows);
        sqlite3_finalize(rows);
        free(sql);
        free(path);
    }
    return status;
}

/* ---- json */
static enum sg_status append_line(struct sg_ledger *ledger, int64_t seq, struct sg_buffer *out)
{
    struct sg_buffer body = {0};
    struct sg_envelope envelope = {0};
    json_t *statement = NULL;
    char hash[65];
    enum sg_status status = sg_export_leaf_hash(ledger, seq, hash);
    if (status == SG_OK)
        status = sg_export_leaf(ledger, seq, &body);
    if (status == SG_OK)
        status = sg_envelope_parse(body.data ? body.data : "", body.len, &envelope);
    if (status == SG_OK)
        status = sg_json_parse(envelope.payload.data, envelope.payload.len, "statement", SG_BROKEN, &statement);
    if (status == SG_OK) {
        json_t *object = json_pack("{s:I, s:s, s:s, s:O}", "seq", (json_int_t)seq, "leaf_hash", hash, "keyid",
                                   envelope.key_label, "statement", statement);
        sg_json_dump(object, out);
        sg_buffer_text(out, "\n");
        json_decref(object);
    }
    json_decref(statement);
    sg_envelope_free(&envelope);
    sg_buffer_free(&body);
    return status;
}

/* `seqs` NULL: all leaves. Written by the megabyte, since a ledger may be larger than memory. */
static enum sg_status write_lines(struct sg_export *into, const int64_t *seqs, size_t n)
{
    struct sg_buffer lines = {0};
    enum sg_status status = SG_OK;
    for (size_t i = 0; i < n && status == SG_OK; i++) {
        status = append_line(into->ledger, seqs ? seqs[i] : (int64_t)i, &lines);
        if (status == SG_OK && (lines.len > 1 << 20 || i + 1 == n)) {
            status = sg_export_text(into, "leaves.jsonl", &lines);
            sg_buffer_free(&lines);
        }
    }
    sg_buffer_free(&lines);
    return status;
}

static enum sg_status json_of_run(struct sg_export *into, const struct sg_export_run *run, void *context)
{
    (void)context;
    int64_t *seqs, run_no = json_integer_value(json_object_get(run->row, "run_no"));
    size_t n;
    enum sg_status status = sg_export_leaves_of(into->ledger, run_no, &seqs, &n);
    if (status == SG_OK)
        status = write_lines(into, seqs, n);
    free(seqs);
    return status;
}

enum sg_status sg_export_json(struct sg_export *into, const char *run)
{
    return run ? sg_export_runs(into, run, json_of_run, NULL) : write_lines(into, NULL, into->ledger->tree.size);
}

/* ---- datasette: the canned queries are the ledger's own views. ?1 becomes a named parameter, where an empty field of
 * the page's form stands for no subject. */
static json_t *canned(const struct sg_view *view)
{
    struct sg_buffer sql = {0}, whole = {0};
    sg_query_events_in_sql(view->sql, &whole);
    for (const char *p = whole.data, *at; *p; p = at ? at + 2 : p + strlen(p)) {
        at = strstr(p, "?1");
        sg_buffer_append(&sql, p, at ? (size_t)(at - p) : strlen(p));
        if (at)
            sg_buffer_text(&sql, "nullif(:subject, '')");
    }
    char *title =
        sg_format("%s%s%s", view->question, view->subject ? "; subject: " : "", view->subject ? view->subject : "");
    json_t *query = json_pack("{s:s, s:s, s:s}", "title", view->name, "description", title, "sql", sql.data);
    free(title);
    sg_buffer_free(&whole);
    sg_buffer_free(&sql);
    return query;
}

enum sg_status sg_export_datasette(struct sg_export *into, const char *run)
{
    (void)run;
    struct sg_buffer text = {0};
    json_t *queries = json_object(), *tables = json_object();
    for (size_t i = 0; i < sg_n_views; i++)
        json_object_set_new(queries, sg_views[i].name, canned(&sg_views[i]));
    for (size_t i = 0; i < sg_schema_n_tables; i++)
        json_object_set_new(tables, sg_schema_tables[i].name,
                            json_pack("{s:s}", "description",
                                      sg_schema_tables[i].is_derived
                                          ? "derived from the signed leaves; proves nothing by itself"
                                          : "evidence: sealgrad ledger verify checks it"));
    json_t *root = json_pack("{s:s, s:s, s:{s:{s:o, s:o}}}", "title", into->ledger->origin, "description",
                             "A ledger of private fine-tuning. Reading it here checks nothing: run sealgrad ledger "
                             "verify on the file first.",
                             "databases", into->database, "queries", queries, "tables", tables);
    sg_json_dump(root, &text);
    sg_buffer_text(&text, "\n");
    json_decref(root);
    enum sg_status status = sg_export_text(into, "metadata.json", &text);
    sg_buffer_free(&text);
    return status;
}
