/* Every derived table against the one rebuilt from the leaves, cell by cell; and the cosignatures of witnesses. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "schema.h"

static bool same_cell(sqlite3_stmt *a, sqlite3_stmt *b, int column)
{
    int type = sqlite3_column_type(a, column);
    if (type != sqlite3_column_type(b, column))
        return false;
    if (type == SQLITE_NULL)
        return true;
    if (type == SQLITE_INTEGER)
        return sqlite3_column_int64(a, column) == sqlite3_column_int64(b, column);
    if (type == SQLITE_FLOAT) {
        double x = sqlite3_column_double(a, column), y = sqlite3_column_double(b, column);
        return memcmp(&x, &y, sizeof x) == 0;
    }
    int n = sqlite3_column_bytes(a, column);
    const void *x = sqlite3_column_blob(a, column), *y = sqlite3_column_blob(b, column);
    return n == sqlite3_column_bytes(b, column) && (n == 0 || memcmp(x, y, (size_t)n) == 0);
}

/* A cell as the message shows it: short, and never raw bytes. */
static void show_cell(sqlite3_stmt *row, int column, char out[48])
{
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL:
        snprintf(out, 48, "nothing");
        break;
    case SQLITE_BLOB:
        snprintf(out, 48, "%d bytes", sqlite3_column_bytes(row, column));
        break;
    default:
        snprintf(out, 48, "\"%.40s\"", (const char *)sqlite3_column_text(row, column));
    }
}

/* False when the rows are not the same row at all, so that going on side by side makes no sense. */
static bool compare_row(struct sg_check *check, const char *place, sqlite3_stmt *have, sqlite3_stmt *want)
{
    char key[48], found[48], expected[48];
    show_cell(want, 0, key);
    for (int column = 0; column < sqlite3_column_count(want); column++) {
        if (same_cell(have, want, column))
            continue;
        show_cell(have, column, found);
        show_cell(want, column, expected);
        sg_check_problem(check, SG_BROKEN, place, "row %s, column %s: the table has %s, the signed events say %s", key,
                         sqlite3_column_name(want, column), found, expected);
        if (column == 0)
            return false;
    }
    return true;
}

static void compare_rows(struct sg_check *check, const char *place, sqlite3_stmt *have, sqlite3_stmt *want)
{
    for (;;) {
        int found = sqlite3_step(have), expected = sqlite3_step(want);
        if (found != SQLITE_ROW && found != SQLITE_DONE) {
            sg_check_problem(check, SG_BROKEN, place, "it cannot be read: %s", sqlite3_errmsg(check->db));
            return;
        }
        if (found == SQLITE_ROW && expected == SQLITE_ROW) {
            if (!compare_row(check, place, have, want))
                return;
            continue;
        }
        if (found != expected)
            sg_check_problem(check, SG_BROKEN, place, "it has %s rows than the signed events make",
                             found == SQLITE_ROW ? "more" : "fewer");
        return;
    }
}

static void compare_table(struct sg_check *check, const struct sg_schema_table *table)
{
    char place[64];
    sqlite3_stmt *have = NULL, *want = NULL;
    char *sql = sg_format("SELECT * FROM %s ORDER BY %s", table->name, table->order);
    snprintf(place, sizeof place, "table %s", table->name);
    if (sg_db_prepare(check->db, sql, &have) != SG_OK || sg_db_prepare(check->expected, sql, &want) != SG_OK)
        sg_check_error(check, place);
    else
        compare_rows(check, place, have, want);
    sqlite3_finalize(have);
    sqlite3_finalize(want);
    free(sql);
}

void sg_check_derived_tables(struct sg_check *check)
{
    if (check->derive_stopped) {
        sg_check_problem(check, SG_BROKEN, "tables", "they were not compared, since not every event could be read");
        return;
    }
    for (size_t i = 0; i < sg_schema_n_tables; i++)
        if (sg_schema_tables[i].is_derived)
            compare_table(check, &sg_schema_tables[i]);
}

/* ---- Cosignatures. */

/* The text of the stored checkpoint of that size, without its signatures. */
static bool checkpoint_text(struct sg_check *check, int64_t size, struct sg_buffer *out)
{
    sqlite3_stmt *row = NULL;
    out->len = 0;
    if (sg_db_prepare(check->db, "SELECT note FROM checkpoint WHERE size = ?", &row) != SG_OK)
        return false;
    sg_db_bind(row, "i", size);
    const char *note = sqlite3_step(row) == SQLITE_ROW ? (const char *)sqlite3_column_text(row, 0) : NULL;
    const char *end = note ? strstr(note, "\n\n") : NULL;
    if (end)
        sg_buffer_append(out, note, (size_t)(end - note) + 1);
    sqlite3_finalize(row);
    return end != NULL;
}

/* The bit of the witness whose line this is, 0 when it is unknown to the policy, -1 when it is known and wrong. */
static int64_t check_line(struct sg_check *check, const struct sg_buffer *text, const char *witness, const char *line,
                          int64_t *time_s)
{
    const struct sg_trust *trust = check->options->trust;
    struct sg_note_check result = {0};
    struct sg_buffer note = {0};
    bool is_known = false;
    for (size_t i = 0; trust && i < trust->n_witnesses; i++)
        is_known |= strcmp(trust->witnesses[i].name, witness) == 0;
    sg_buffer_printf(&note, "%s\n%s", text->data, line);
    bool good = sg_note_verify(note.data, note.len, trust ? trust->witnesses : NULL, trust ? trust->n_witnesses : 0,
                               &result) == SG_OK &&
                result.n_signatures == 1 && result.text_len == text->len;
    sg_buffer_free(&note);
    char *prefix = sg_format("\xe2\x80\x94 %s ", witness);
    good &= strncmp(line, prefix, strlen(prefix)) == 0;
    free(prefix);
    if (!good || (is_known && !result.verified))
        return -1;
    for (int i = 0; i < 64; i++)
        if (result.verified >> i & 1)
            *time_s = (int64_t)(result.time_s[i] & INT64_MAX);
    return (int64_t)result.verified;
}

struct gathered {
    int64_t size, time_s;
    uint64_t witnesses;
};

static void finish_size(struct sg_check *check, const struct gathered *g)
{
    if (!check->options->trust || !sg_trust_quorum(check->options->trust, g->witnesses))
        return;
    check->verdict->witnessed_size = g->size;
    check->verdict->witness_time_s = g->time_s;
}

static void check_cosignature(struct sg_check *check, sqlite3_stmt *row, struct gathered *g)
{
    char place[64];
    struct sg_buffer text = {0};
    int64_t size = sqlite3_column_int64(row, 0), time_s = 0, bits = -1;
    const char *witness = (const char *)sqlite3_column_text(row, 1), *line = (const char *)sqlite3_column_text(row, 2);
    snprintf(place, sizeof place, "cosignature %lld", (long long)size);
    if (size != g->size) {
        finish_size(check, g);
        *g = (struct gathered){.size = size};
    }
    bool is_whole = witness && line && strlen(witness) == (size_t)sqlite3_column_bytes(row, 1) &&
                    strlen(line) == (size_t)sqlite3_column_bytes(row, 2);
    if (is_whole && checkpoint_text(check, size, &text))
        bits = check_line(check, &text, witness, line, &time_s);
    sg_buffer_free(&text);
    if (bits < 0) {
        sg_check_problem(check, SG_BROKEN, place,
                         "the cosignature of %.64s does not belong to the checkpoint of this size",
                         witness ? witness : "nobody");
        return;
    }
    g->witnesses |= (uint64_t)bits;
    if (bits && (g->time_s == 0 || time_s < g->time_s))
        g->time_s = time_s; /* the earliest: since then the ledger had this size */
}

void sg_check_cosignatures(struct sg_check *check)
{
    sqlite3_stmt *rows = NULL;
    struct gathered g = {0};
    if (sg_db_prepare(check->db, "SELECT size, witness, line FROM cosignature ORDER BY size, witness", &rows) != SG_OK)
        return sg_check_error(check, "table cosignature");
    int code;
    int64_t n = 0;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW && n++ < (check->verdict->size + 1) * 64)
        check_cosignature(check, rows, &g);
    finish_size(check, &g);
    if (code != SQLITE_DONE)
        sg_check_problem(check, SG_BROKEN, "table cosignature", "it cannot be read: %s",
                         code == SQLITE_ROW ? "too many rows" : sqlite3_errmsg(check->db));
    sqlite3_finalize(rows);
}
