/* Compacting: the same rows in fewer pages, and nothing of what was deleted left in free ones.
 *
 * The ledger stays the same file, since other programs may have it open: a renamed file would take their next event
 * with the old one. Under one exclusive lock, SQLite's own VACUUM INTO writes the rows into a file beside it; that file
 * is verified and compared with the ledger row by row; then SQLite's own backup writes its pages back in one
 * transaction. A kill leaves either the ledger as it was, or a journal that the next program to open it rolls back, and
 * the file beside it, which the next compaction removes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/evidence.h"
#include "audit/verify.h"
#include "copy.h"
#include "schema.h"
#include "side.h"
#include "store.h"

static int64_t file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) ? 0 : info.st_size;
}

/* ---- What must stay the same: every value of every row of every table, in order. */
static void digest_row(sqlite3_stmt *row, struct sg_sha256_state *state)
{
    for (int i = 0; i < sqlite3_column_count(row); i++) {
        int type = sqlite3_column_type(row, i);
        double real = type == SQLITE_FLOAT ? sqlite3_column_double(row, i) : 0;
        const void *bytes = type == SQLITE_FLOAT ? &real : sqlite3_column_blob(row, i);
        int64_t head[2] = {type, type == SQLITE_FLOAT ? (int)sizeof real : sqlite3_column_bytes(row, i)};
        sg_sha256_update(state, head, sizeof head);
        if (head[1])
            sg_sha256_update(state, bytes, (size_t)head[1]);
    }
}

static enum sg_status digest_table(sqlite3 *db, const struct sg_schema_table *table, struct sg_sha256_state *state)
{
    sqlite3_stmt *rows = NULL;
    char *sql = sg_format("SELECT * FROM %s ORDER BY %s", table->name, table->order);
    enum sg_status status = sg_db_prepare(db, sql, &rows);
    free(sql);
    SG_TRY(status);
    int code;
    int64_t n = 0;
    for (; (code = sqlite3_step(rows)) == SQLITE_ROW; n++)
        digest_row(rows, state);
    sg_sha256_update(state, &n, sizeof n);
    if (code != SQLITE_DONE)
        status = sg_db_fail(db, "reading its rows");
    sqlite3_finalize(rows);
    return status;
}

enum sg_status sg_copy_digest(sqlite3 *db, uint8_t out[SG_DIGEST_BYTES])
{
    struct sg_sha256_state *state = sg_sha256_begin();
    enum sg_status status = SG_OK;
    for (size_t i = 0; i < sg_schema_n_tables && status == SG_OK; i++)
        status = digest_table(db, &sg_schema_tables[i], state);
    sg_sha256_end(state, out);
    return status;
}

static enum sg_status expect_digest(sqlite3 *db, const uint8_t expected[SG_DIGEST_BYTES], const char *what)
{
    uint8_t digest[SG_DIGEST_BYTES];
    SG_TRY(sg_copy_digest(db, digest));
    if (memcmp(digest, expected, sizeof digest) != 0)
        return sg_fail(SG_FAILED, "compact: %s does not hold the rows of the ledger", what);
    return SG_OK;
}

/* ---- The steps. */

/* One connection that holds the exclusive lock until it is closed. */
static enum sg_status lock(const char *path, sqlite3 **db)
{
    if (sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return sg_fail(SG_FAILED, "%s: cannot open the ledger for writing: %s", path, sqlite3_errmsg(*db));
    sqlite3_busy_timeout(*db, 120000);
    SG_TRY(sg_db_harden(*db));
    sqlite3_limit(*db, SQLITE_LIMIT_ATTACHED, 1); /* VACUUM INTO attaches the file that it writes */
    return sg_db_run(*db, "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA; PRAGMA fullfsync=ON; PRAGMA "
                          "secure_delete=ON; PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;");
}

/* Also what a compaction left behind that was killed: nobody else makes this file while we hold the lock. */
static enum sg_status make_beside(sqlite3 *db, const char *beside)
{
    unlink(beside);
    int file = open(beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return sg_fail(SG_FAILED, "%s: cannot make the compacted copy: %s", beside, strerror(errno));
    close(file); /* VACUUM INTO takes an empty file */
    return sg_db_write(db, "compacting", "VACUUM INTO ?", "t", beside);
}

static enum sg_status check_beside(const char *beside, const struct sg_trust *trust,
                                   const uint8_t digest[SG_DIGEST_BYTES], struct sg_verdict *verdict, sqlite3 **db)
{
    struct sg_verify_options how = {.trust = trust, .allow_self_trust = !trust, .allow_unwitnessed = true};
    SG_TRY(sg_verify_file(beside, &how, verdict));
    if (verdict->status == SG_BROKEN)
        return sg_fail(SG_BROKEN, "compact: the ledger does not verify, and stays as it is: %s: %s",
                       verdict->problems[0].place, verdict->problems[0].text);
    if (sqlite3_open_v2(beside, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return sg_fail(SG_FAILED, "%s: %s", beside, sqlite3_errmsg(*db));
    return expect_digest(*db, digest, "the compacted copy");
}

static enum sg_status compact_ledger(const char *path, const struct sg_trust *trust, struct sg_verdict *verdict)
{
    sqlite3 *db = NULL, *from = NULL;
    uint8_t digest[SG_DIGEST_BYTES];
    char *beside = sg_format("%s.compact", path);
    enum sg_status status = lock(path, &db);
    if (status == SG_OK)
        status = sg_copy_digest(db, digest);
    bool is_made = status == SG_OK;
    if (status == SG_OK)
        status = make_beside(db, beside);
    if (status == SG_OK)
        status = check_beside(beside, trust, digest, verdict, &from);
    if (status == SG_OK)
        status = sg_copy_pages(from, db);
    if (status == SG_OK)
        status = expect_digest(db, digest, "the file");
    sqlite3_close(from);
    sqlite3_close(db);
    if (is_made)
        unlink(beside);
    free(beside);
    return status;
}

/* Small, and secret: in place, with what SQLite sets aside kept in memory. */
static enum sg_status compact_side(const char *path)
{
    sqlite3 *side = NULL;
    SG_TRY(sg_side_open(path, &side));
    enum sg_status status = sg_db_run(side, "PRAGMA synchronous=EXTRA; PRAGMA temp_store=MEMORY; VACUUM;");
    sqlite3_close(side);
    return status;
}

enum sg_status sg_evidence_compact(const char *path, const struct sg_trust *trust, struct sg_compaction *out)
{
    struct sg_ledger *ledger = NULL;
    *out = (struct sg_compaction){.bytes_before = file_bytes(path)};
    SG_TRY(sg_ledger_open(path, NULL, &ledger)); /* a ledger, not older than this machine has seen */
    sg_ledger_close(&ledger);
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    enum sg_status status = compact_ledger(path, trust, verdict);
    snprintf(out->sentence, sizeof out->sentence, "%s", verdict->sentence);
    free(verdict);
    if (status == SG_OK)
        status = compact_side(path);
    out->bytes_after = file_bytes(path);
    return status;
}
