/* Time stamps in and out of the ledger. */
#include <string.h>

#include "audit/evidence.h"
#include "audit/timestamp.h"
#include "schema.h"
#include "store.h"

enum sg_status sg_evidence_timestamp_request(struct sg_ledger *ledger, int64_t size, struct sg_buffer *out)
{
    struct sg_buffer note = {0};
    uint8_t digest[SG_DIGEST_BYTES];
    enum sg_status status = sg_evidence_checkpoint(ledger, size, &note);
    if (status == SG_OK)
        status = sg_note_digest(note.data, note.len, digest);
    if (status == SG_OK)
        status = sg_timestamp_request(digest, out);
    sg_buffer_free(&note);
    return status;
}

/* The ledger may have grown since the request: the newest checkpoint with that digest. */
static enum sg_status find_size(struct sg_ledger *ledger, const uint8_t digest[SG_DIGEST_BYTES], int64_t *size)
{
    sqlite3_stmt *rows = NULL;
    uint8_t have[SG_DIGEST_BYTES];
    *size = 0;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT size, note FROM checkpoint ORDER BY size DESC", &rows));
    int code = SQLITE_DONE;
    while (*size == 0 && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *note = (const char *)sqlite3_column_text(rows, 1);
        if (!note || sg_note_digest(note, (size_t)sqlite3_column_bytes(rows, 1), have) != SG_OK)
            continue; /* verify says so */
        if (memcmp(have, digest, sizeof have) == 0)
            *size = sqlite3_column_int64(rows, 0);
    }
    sqlite3_finalize(rows);
    if (*size == 0 && code != SQLITE_DONE)
        return sg_db_fail(ledger->db, "reading");
    return *size ? SG_OK : sg_fail(SG_BROKEN, "time stamp: it stamps no checkpoint of this ledger");
}

enum sg_status sg_evidence_add_timestamp(struct sg_ledger *ledger, const struct sg_tsa *tsa, const char *response,
                                         size_t n, int64_t *size, int64_t *time_s)
{
    struct sg_buffer token = {0};
    uint8_t digest[SG_DIGEST_BYTES];
    enum sg_status status = sg_timestamp_from_response(response, n, &token);
    const uint8_t *bytes = (const uint8_t *)token.data;
    if (status == SG_OK)
        status = sg_timestamp_read(bytes, token.len, digest, time_s);
    if (status == SG_OK)
        status = find_size(ledger, digest, size);
    if (status == SG_OK)
        status = sg_timestamp_check(tsa, bytes, token.len, digest, time_s);
    if (status == SG_OK)
        status = sg_db_write(ledger->db, "storing a time stamp", "INSERT INTO tsa VALUES(?,?) ON CONFLICT DO NOTHING",
                             "im", *size, token.data, token.len);
    sg_buffer_free(&token);
    return status;
}

enum sg_status sg_evidence_stamp_of(struct sg_ledger *ledger, int64_t seq, int64_t *size, int64_t *time_s)
{
    sqlite3_stmt *row = NULL;
    uint8_t digest[SG_DIGEST_BYTES];
    *size = *time_s = 0;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT size, token FROM tsa WHERE size > ?1 AND size <= ?2 ORDER BY size LIMIT 1",
                         &row));
    sg_db_bind(row, "ii", seq, (int64_t)ledger->tree.size);
    enum sg_status status = SG_OK;
    if (sqlite3_step(row) == SQLITE_ROW && sqlite3_column_type(row, 1) == SQLITE_BLOB) {
        *size = sqlite3_column_int64(row, 0);
        status = sg_timestamp_read(sqlite3_column_blob(row, 1), (size_t)sqlite3_column_bytes(row, 1), digest, time_s);
    }
    sqlite3_finalize(row);
    return status;
}

enum sg_status sg_evidence_timestamp(struct sg_ledger *ledger, int64_t size, struct sg_buffer *out)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT token FROM tsa WHERE ?1 IN (0, size) ORDER BY size DESC", &row));
    sg_db_bind(row, "i", size);
    bool found = sqlite3_step(row) == SQLITE_ROW && sqlite3_column_type(row, 0) == SQLITE_BLOB;
    if (found)
        sg_buffer_append(out, sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0));
    sqlite3_finalize(row);
    return found ? SG_OK : sg_fail(SG_USAGE, "the ledger has no time stamp of that checkpoint");
}
