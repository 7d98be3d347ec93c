#include "side.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "schema.h"

static const char writing[] = "writing the side storage";

/* What a power cut may take back: nothing of a key, which an event relies on; of everything else the last transaction.
 * A journal that comes back undoes it whole, and all of it are lower bounds. */
#define DURABLE "PRAGMA synchronous=EXTRA;"
#define CONSISTENT "PRAGMA synchronous=NORMAL;"

static enum sg_status setup(sqlite3 *db)
{
    sqlite3_busy_timeout(db, 120000);
    return sg_db_run(
        db, DURABLE
        "PRAGMA journal_mode=DELETE; PRAGMA secure_delete=ON; PRAGMA trusted_schema=OFF;"
        "CREATE TABLE IF NOT EXISTS dataset_key(dataset TEXT PRIMARY KEY, key BLOB NOT NULL) STRICT;"
        "CREATE TABLE IF NOT EXISTS anchor(one INTEGER PRIMARY KEY CHECK(one = 1), size INTEGER NOT NULL, "
        "root BLOB NOT NULL) STRICT;"
        "CREATE TABLE IF NOT EXISTS spend(key_id TEXT PRIMARY KEY, record BLOB NOT NULL, signature BLOB NOT NULL) "
        "STRICT;"
        "CREATE TABLE IF NOT EXISTS process(run_no INTEGER PRIMARY KEY, pid INTEGER NOT NULL, start_ticks INTEGER NOT "
        "NULL, space INTEGER NOT NULL, boot_id TEXT NOT NULL) STRICT;" CONSISTENT);
}

enum sg_status sg_side_open(const char *ledger_path, sqlite3 **out)
{
    *out = NULL;
    char *path = sg_format("%s.side.db", ledger_path);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600); /* SQLite would create it by the umask */
    enum sg_status status = SG_OK;
    if (file < 0)
        status = sg_fail(SG_FAILED, "%s: cannot open the side storage: %s", path, strerror(errno));
    else
        close(file);
    if (status == SG_OK && sqlite3_open_v2(path, out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL) != SQLITE_OK)
        status = sg_fail(SG_FAILED, "%s: cannot open the side storage: %s", path, sqlite3_errmsg(*out));
    if (status == SG_OK)
        status = setup(*out);
    if (status != SG_OK) {
        sqlite3_close(*out);
        *out = NULL;
    }
    free(path);
    return status;
}

enum sg_status sg_side_put_key(sqlite3 *side, const char *dataset, const uint8_t key[SG_KEY_BYTES])
{
    SG_TRY(sg_db_run(side, DURABLE));
    SG_TRY(sg_db_write(side, writing, "INSERT OR REPLACE INTO dataset_key VALUES(?,?)", "tb", dataset, key));
    return sg_db_run(side, CONSISTENT);
}

enum sg_status sg_side_get_key(sqlite3 *side, const char *dataset, uint8_t key[SG_KEY_BYTES])
{
    sqlite3_stmt *statement = NULL;
    SG_TRY(sg_db_prepare(side, "SELECT key FROM dataset_key WHERE dataset = ?", &statement));
    sg_db_bind(statement, "t", dataset);
    bool found = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_bytes(statement, 0) == SG_KEY_BYTES;
    if (found)
        memcpy(key, sqlite3_column_blob(statement, 0), SG_KEY_BYTES);
    sqlite3_finalize(statement);
    return found ? SG_OK
                 : sg_fail(SG_FAILED,
                           "dataset %s: its key is not in the side storage beside the ledger (.side.db); the data "
                           "cannot be recognised without it",
                           dataset);
}

enum sg_status sg_side_destroy_key(sqlite3 *side, const char *dataset)
{
    SG_TRY(sg_db_run(side, DURABLE));
    SG_TRY(sg_db_write(side, writing, "DELETE FROM dataset_key WHERE dataset = ?", "t", dataset));
    return sg_db_run(side, CONSISTENT);
}

enum sg_status sg_side_put_anchor(sqlite3 *side, int64_t size, const uint8_t root[SG_DIGEST_BYTES])
{
    return sg_db_write(
        side, writing,
        "INSERT INTO anchor VALUES(1, ?, ?) ON CONFLICT(one) DO UPDATE SET size = excluded.size, root = excluded.root "
        "WHERE excluded.size > size",
        "ib", size, root);
}

enum sg_status sg_side_get_anchor(sqlite3 *side, int64_t *size, uint8_t root[SG_DIGEST_BYTES])
{
    sqlite3_stmt *statement = NULL;
    *size = 0;
    SG_TRY(sg_db_prepare(side, "SELECT size, root FROM anchor", &statement));
    if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_bytes(statement, 1) == SG_DIGEST_BYTES) {
        *size = sqlite3_column_int64(statement, 0);
        memcpy(root, sqlite3_column_blob(statement, 1), SG_DIGEST_BYTES);
    }
    sqlite3_finalize(statement);
    return SG_OK;
}

enum sg_status sg_side_put_spend(sqlite3 *side, const char *label, const struct sg_buffer *text,
                                 const struct sg_buffer *signature)
{
    return sg_db_write(side, writing, "INSERT OR REPLACE INTO spend VALUES(?,?,?)", "tmm", label, text->data, text->len,
                       signature->data, signature->len);
}

enum sg_status sg_side_put_process(sqlite3 *side, const struct sg_side_process *process)
{
    return sg_db_write(side, writing, "INSERT OR REPLACE INTO process VALUES(?,?,?,?,?)", "iiiit", process->run_no,
                       process->pid, process->start_ticks, process->space, process->boot_id);
}

bool sg_side_get_spend(sqlite3 *side, const char *label, struct sg_buffer *text, struct sg_buffer *signature)
{
    sqlite3_stmt *statement = NULL;
    if (sg_db_prepare(side, "SELECT record, signature FROM spend WHERE key_id = ?", &statement) != SG_OK)
        return false;
    sg_db_bind(statement, "t", label);
    bool found = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_bytes(statement, 0) > 0 &&
                 sqlite3_column_bytes(statement, 1) > 0;
    if (found) {
        sg_buffer_append(text, sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
        sg_buffer_append(signature, sqlite3_column_blob(statement, 1), (size_t)sqlite3_column_bytes(statement, 1));
    }
    sqlite3_finalize(statement);
    return found;
}

enum sg_status sg_side_remove_process(sqlite3 *side, int64_t run_no)
{
    return sg_db_write(side, writing, "DELETE FROM process WHERE run_no = ?", "i", run_no);
}

enum sg_status sg_side_processes(sqlite3 *side, struct sg_side_process **out, size_t *n)
{
    sqlite3_stmt *rows = NULL;
    *out = NULL;
    *n = 0;
    SG_TRY(sg_db_prepare(side, "SELECT run_no, pid, start_ticks, space, boot_id FROM process ORDER BY run_no", &rows));
    while (sqlite3_step(rows) == SQLITE_ROW) {
        *out = sg_realloc(*out, *n + 1, sizeof **out);
        struct sg_side_process *p = &(*out)[(*n)++];
        *p = (struct sg_side_process){sqlite3_column_int64(rows, 0), sqlite3_column_int64(rows, 1),
                                      sqlite3_column_int64(rows, 2), sqlite3_column_int64(rows, 3), ""};
        snprintf(p->boot_id, sizeof p->boot_id, "%s", (const char *)sqlite3_column_text(rows, 4));
    }
    sqlite3_finalize(rows);
    return SG_OK;
}
