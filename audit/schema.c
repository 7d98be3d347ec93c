#include "schema.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* Evidence. leaf.body is the DSSE envelope as signed; every other column of leaf repeats what the body says.
 * node holds the roots of perfect subtrees of two leaves and more, so that appends and proofs take O(log n). */
static const char evidence[] =
    "CREATE TABLE leaf(seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, ts_ms INTEGER NOT NULL, type TEXT NOT "
    "NULL, "
    "body BLOB NOT NULL, leaf_hash BLOB NOT NULL, prev_hash BLOB NOT NULL) STRICT;"
    "CREATE TABLE node(level INTEGER NOT NULL, idx INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY(level, idx)) "
    "STRICT, WITHOUT ROWID;"
    "CREATE TABLE checkpoint(size INTEGER PRIMARY KEY, root BLOB NOT NULL, note TEXT NOT NULL) STRICT;"
    "CREATE TABLE cosignature(size INTEGER NOT NULL, witness TEXT NOT NULL, line TEXT NOT NULL, "
    "PRIMARY KEY(size, witness)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE tsa(size INTEGER NOT NULL, token BLOB NOT NULL, PRIMARY KEY(size, token)) STRICT, WITHOUT ROWID;";

/* Derived: rebuilt from the leaves by derive.c. */
static const char derived[] =
    "CREATE TABLE signing_key(key_id TEXT PRIMARY KEY, role TEXT NOT NULL, vkey TEXT NOT NULL, added_leaf INTEGER NOT "
    "NULL, "
    "ended_leaf INTEGER, compromised_since_ms INTEGER) STRICT, WITHOUT ROWID;"
    "CREATE TABLE population(name TEXT PRIMARY KEY, unit TEXT NOT NULL, is_limited INTEGER NOT NULL, epsilon_limit "
    "REAL, "
    "delta_limit REAL, filter_order REAL, leaf INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE dataset(name TEXT PRIMARY KEY, population TEXT NOT NULL, unit TEXT NOT NULL, population_size INTEGER "
    "NOT NULL, "
    "is_public INTEGER NOT NULL, row_bucket TEXT NOT NULL, commitment BLOB NOT NULL, schema_digest BLOB NOT NULL, "
    "leaf INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE run(run_no INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, dataset TEXT NOT NULL, population TEXT "
    "NOT NULL, "
    "status TEXT NOT NULL, reason TEXT, is_private INTEGER NOT NULL, epsilon REAL, delta REAL, relation TEXT, rho "
    "REAL, "
    "delta_slack REAL, steps INTEGER NOT NULL, steps_done INTEGER, actor TEXT NOT NULL, host TEXT NOT NULL, "
    "started_ms INTEGER NOT NULL, ended_ms INTEGER, code_digest TEXT NOT NULL, base_model TEXT, secret_supplied "
    "INTEGER NOT NULL, "
    "start_leaf INTEGER NOT NULL, end_leaf INTEGER, programme TEXT) STRICT;"
    "CREATE TABLE programme(programme_id TEXT PRIMARY KEY, dataset TEXT NOT NULL, population TEXT NOT NULL, runs "
    "INTEGER "
    "NOT NULL, run_epsilon REAL NOT NULL, epsilon REAL NOT NULL, delta REAL NOT NULL, relation TEXT NOT NULL, rho "
    "REAL, "
    "delta_slack REAL, actor TEXT NOT NULL, registered_ms INTEGER NOT NULL, leaf INTEGER NOT NULL) STRICT, WITHOUT "
    "ROWID;"
    "CREATE TABLE param(run_no INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, leaf INTEGER NOT NULL, "
    "PRIMARY KEY(run_no, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE metric(run_no INTEGER NOT NULL, ordinal INTEGER NOT NULL, name TEXT NOT NULL, value REAL, split TEXT "
    "NOT NULL, "
    "released TEXT NOT NULL, leaf INTEGER NOT NULL, PRIMARY KEY(run_no, ordinal)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE artifact(run_no INTEGER NOT NULL, ordinal INTEGER NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT "
    "NULL, "
    "bytes INTEGER NOT NULL, leaf INTEGER NOT NULL, PRIMARY KEY(run_no, ordinal)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE decision(leaf INTEGER PRIMARY KEY, kind TEXT NOT NULL, model TEXT NOT NULL, run_no INTEGER NOT NULL, "
    "person TEXT "
    "NOT NULL, developer TEXT NOT NULL, role TEXT NOT NULL, reason TEXT NOT NULL, expires_ms INTEGER, decided_ms "
    "INTEGER NOT NULL) "
    "STRICT;"
    "CREATE TABLE erasure(dataset TEXT PRIMARY KEY, basis TEXT NOT NULL, person TEXT NOT NULL, erased_ms INTEGER NOT "
    "NULL, leaf "
    "INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX run_population ON run(population);"
    "CREATE INDEX artifact_sha256 ON artifact(sha256);";

/* Seat belts against an honest mistake in the sqlite3 shell; an attacker drops them, and verify does not rely on them.
 */
#define SEAT_BELT(table, key)                                                                                          \
    "CREATE TRIGGER " table "_no_update BEFORE UPDATE ON " table                                                       \
    " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;"                                                    \
    "CREATE TRIGGER " table "_no_delete BEFORE DELETE ON " table                                                       \
    " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;"                                                    \
    "CREATE TRIGGER " table "_no_replace BEFORE INSERT ON " table " WHEN EXISTS(SELECT 1 FROM " table " WHERE " key    \
    ") BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;"
static const char seat_belts[] = SEAT_BELT("leaf", "seq = NEW.seq OR event_id = NEW.event_id")
    SEAT_BELT("node", "level = NEW.level AND idx = NEW.idx") SEAT_BELT("checkpoint", "size = NEW.size");

const struct sg_schema_table sg_schema_tables[] = {
    {"leaf", "seq", false},
    {"node", "level, idx", false},
    {"checkpoint", "size", false},
    {"cosignature", "size, witness", false},
    {"tsa", "size, token", false},
    {"signing_key", "key_id", true},
    {"population", "name", true},
    {"dataset", "name", true},
    {"run", "run_no", true},
    {"programme", "programme_id", true},
    {"param", "run_no, name", true},
    {"metric", "run_no, ordinal", true},
    {"artifact", "run_no, ordinal", true},
    {"decision", "leaf", true},
    {"erasure", "dataset", true},
};
const size_t sg_schema_n_tables = sizeof sg_schema_tables / sizeof *sg_schema_tables;

enum sg_status sg_db_fail(sqlite3 *db, const char *doing)
{
    int code = sqlite3_errcode(db);
    bool is_broken = code == SQLITE_CORRUPT || code == SQLITE_TOOBIG;
    const char *file = sqlite3_db_filename(db, "main"); /* "" for a database in memory */
    if (!file || !*file)
        file = "ledger";
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        return sg_fail(SG_FAILED, "%s: %s: another program holds the file; try again when it has ended", file, doing);
    if (code == SQLITE_NOTADB)
        return sg_fail(SG_BROKEN, "this is not a ledger: the file is not an SQLite database");
    if (is_broken)
        return sg_fail(SG_BROKEN, "ledger: %s: %s; run sealgrad ledger verify, and restore a copy", doing,
                       sqlite3_errmsg(db));
    return sg_fail(SG_FAILED, "%s: %s: %s", file, doing, sqlite3_errmsg(db));
}

enum sg_status sg_db_run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sg_db_fail(db, "writing");
    return SG_OK;
}

enum sg_status sg_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
    if (sqlite3_prepare_v2(db, sql, -1, out, NULL) != SQLITE_OK)
        return sg_db_fail(db, "reading its tables");
    return SG_OK;
}

enum sg_status sg_db_number(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    SG_TRY(sg_db_prepare(db, sql, &statement));
    int code = sqlite3_step(statement);
    *out = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    enum sg_status status = code == SQLITE_ROW || code == SQLITE_DONE ? SG_OK : sg_db_fail(db, "reading");
    sqlite3_finalize(statement);
    return status;
}

static void bind_all(sqlite3_stmt *statement, const char *format, va_list arguments)
{
    for (int i = 1; format[i - 1]; i++) {
        const void *bytes;
        double real;
        switch (format[i - 1]) {
        case 'i':
            sqlite3_bind_int64(statement, i, va_arg(arguments, int64_t));
            break;
        case 't':
            sqlite3_bind_text(statement, i, va_arg(arguments, const char *), -1, SQLITE_TRANSIENT);
            break;
        case 'b':
            bytes = va_arg(arguments, const void *);
            sqlite3_bind_blob(statement, i, bytes, bytes ? 32 : 0, SQLITE_TRANSIENT);
            break;
        case 'm':
            bytes = va_arg(arguments, const void *);
            sqlite3_bind_blob64(statement, i, bytes, va_arg(arguments, size_t), SQLITE_TRANSIENT);
            break;
        case 'r':
            real = va_arg(arguments, double);
            if (isfinite(real))
                sqlite3_bind_double(statement, i, real);
            else
                sqlite3_bind_null(statement, i);
            break;
        }
    }
}

void sg_db_bind(sqlite3_stmt *statement, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    bind_all(statement, format, arguments);
    va_end(arguments);
}

enum sg_status sg_db_done(sqlite3 *db, sqlite3_stmt *statement, const char *doing)
{
    int code = sqlite3_step(statement);
    enum sg_status status = code == SQLITE_DONE || code == SQLITE_ROW ? SG_OK : sg_db_fail(db, doing);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

enum sg_status sg_db_write(sqlite3 *db, const char *doing, const char *sql, const char *format, ...)
{
    sqlite3_stmt *statement = NULL;
    va_list arguments;
    SG_TRY(sg_db_prepare(db, sql, &statement));
    va_start(arguments, format);
    bind_all(statement, format, arguments);
    va_end(arguments);
    enum sg_status status = sg_db_done(db, statement, doing);
    sqlite3_finalize(statement);
    return status;
}

enum sg_status sg_schema_create(sqlite3 *db)
{
    SG_TRY(sg_db_run(db, evidence));
    SG_TRY(sg_db_run(db, derived));
    return sg_db_run(db, seat_belts);
}

enum sg_status sg_db_harden(sqlite3 *db)
{
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 1 << 24);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, 1 << 16);
    sqlite3_limit(db, SQLITE_LIMIT_EXPR_DEPTH, 64);
    sqlite3_limit(db, SQLITE_LIMIT_COLUMN, 64);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db, SQLITE_LIMIT_TRIGGER_DEPTH, 4);
    sqlite3_extended_result_codes(db, 0);
    return sg_db_run(
        db, "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;");
}

static bool same_text(sqlite3_stmt *a, sqlite3_stmt *b, int column)
{
    int n = sqlite3_column_bytes(a, column);
    const void *x = sqlite3_column_blob(a, column), *y = sqlite3_column_blob(b, column);
    return sqlite3_column_type(a, column) == sqlite3_column_type(b, column) && n == sqlite3_column_bytes(b, column) &&
           (n == 0 || memcmp(x, y, (size_t)n) == 0);
}

static enum sg_status compare_objects(sqlite3 *db, sqlite3_stmt *have, sqlite3_stmt *want)
{
    for (;;) {
        int code = sqlite3_step(have), expected = sqlite3_step(want);
        if (code != SQLITE_ROW && code != SQLITE_DONE)
            return sg_db_fail(db, "reading its schema");
        if (code == SQLITE_DONE && expected == SQLITE_DONE)
            return SG_OK;
        if (code != expected)
            return sg_fail(SG_BROKEN, "schema: the file has %s tables, indexes, triggers or views than a ledger",
                           code == SQLITE_ROW ? "more" : "fewer");
        for (int column = 0; column < 4; column++)
            if (!same_text(have, want, column))
                return sg_fail(SG_BROKEN,
                               "schema: near %.64s the file does not have the ledger's own tables and triggers",
                               (const char *)sqlite3_column_text(want, 1));
    }
}

static const char objects[] = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name";

enum sg_status sg_schema_compare(sqlite3 *db, sqlite3 *expected)
{
    sqlite3_stmt *have = NULL, *want = NULL;
    enum sg_status status = sg_db_prepare(db, objects, &have);
    if (status == SG_OK)
        status = sg_db_prepare(expected, objects, &want);
    if (status == SG_OK)
        status = compare_objects(db, have, want);
    sqlite3_finalize(have);
    sqlite3_finalize(want);
    return status;
}

/* Each field as type, length and bytes, so that no two lists of objects look alike. */
enum sg_status sg_schema_objects_digest(sqlite3 *db, uint8_t out[SG_DIGEST_BYTES])
{
    sqlite3_stmt *rows = NULL;
    struct sg_buffer text = {0};
    int code;
    SG_TRY(sg_db_prepare(db, objects, &rows));
    while ((code = sqlite3_step(rows)) == SQLITE_ROW)
        for (int column = 0; column < 4; column++) {
            uint8_t type = (uint8_t)sqlite3_column_type(rows, column);
            const void *bytes = sqlite3_column_blob(rows, column);
            sg_buffer_append(&text, &type, 1);
            sg_buffer_field(&text, bytes ? bytes : "", (size_t)sqlite3_column_bytes(rows, column));
        }
    sg_sha256(text.data ? text.data : "", text.len, out);
    sg_buffer_free(&text);
    enum sg_status status = code == SQLITE_DONE ? SG_OK : sg_db_fail(db, "reading its schema");
    sqlite3_finalize(rows);
    return status;
}

const char sg_schema_known[] = "074fce19db5041828d6c5048b66db2ee61ec89c1c1178b2d179a8d0e3b7e360d";

enum sg_status sg_schema_check(sqlite3 *db)
{
    uint8_t digest[SG_DIGEST_BYTES];
    char hex[2 * SG_DIGEST_BYTES + 1];
    sqlite3 *expected = NULL;
    SG_TRY(sg_schema_objects_digest(db, digest));
    sg_hex_encode(digest, sizeof digest, hex);
    if (strcmp(hex, sg_schema_known) == 0)
        return SG_OK;
    enum sg_status status = SG_OK;
    if (sqlite3_open(":memory:", &expected) != SQLITE_OK)
        status = sg_fail(SG_FAILED, "SQLite did not open a database in memory");
    if (status == SG_OK)
        status = sg_schema_create(expected);
    if (status == SG_OK)
        status = sg_schema_compare(db, expected);
    sqlite3_close(expected);
    return status;
}
