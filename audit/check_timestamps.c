/* Stored time stamps: each must stamp the checkpoint it is stored for. With authorities to trust, each must verify, and
 * no event may claim a time after the stamp that covers it. */
#include <string.h>

#include "audit/timestamp.h"
#include "check.h"
#include "schema.h"

/* Clocks of ordinary machines differ by seconds; ten minutes are somebody's doing. */
enum { CLOCK_TOLERANCE_MS = 600000 };

/* Digest of the signed text of the checkpoint in column 2. */
static bool digest_of(sqlite3_stmt *row, uint8_t out[SG_DIGEST_BYTES])
{
    const char *text = (const char *)sqlite3_column_text(row, 2);
    return text && sg_note_digest(text, (size_t)sqlite3_column_bytes(row, 2), out) == SG_OK;
}

static void check_clock(struct sg_check *check, sqlite3_stmt *row, int64_t size, int64_t time_s)
{
    char place[64];
    int64_t ahead_ms = sqlite3_column_int64(row, 3) - time_s * 1000;
    if (ahead_ms <= CLOCK_TOLERANCE_MS)
        return;
    snprintf(place, sizeof place, "leaf %lld", (long long)size - 1);
    check->verdict->n_clock++;
    sg_check_problem(
        check, SG_INCOMPLETE, place,
        "it claims a time %lld s after the time stamp that covers it: the ledger's clock was wrong, or set",
        (long long)(ahead_ms / 1000));
}

static void check_row(struct sg_check *check, sqlite3_stmt *row)
{
    struct sg_verdict *v = check->verdict;
    int64_t size = sqlite3_column_int64(row, 0), time_s = 0;
    const uint8_t *token = sqlite3_column_blob(row, 1);
    size_t n = token ? (size_t)sqlite3_column_bytes(row, 1) : 0;
    uint8_t digest[SG_DIGEST_BYTES], stamped[SG_DIGEST_BYTES];
    char place[64];
    snprintf(place, sizeof place, "time stamp %lld", (long long)size);
    if (!token || !digest_of(row, digest)) {
        sg_check_problem(check, SG_BROKEN, place, "there is no checkpoint of that size, or no token");
    } else if (check->options->tsa) {
        if (sg_timestamp_check(check->options->tsa, token, n, digest, &time_s) != SG_OK)
            return sg_check_error(check, place);
        v->stamped_size = size; /* rows come in order */
        v->stamp_time_s = time_s;
        check_clock(check, row, size, time_s);
    } else if (sg_timestamp_read(token, n, stamped, &time_s) != SG_OK) {
        sg_check_error(check, place);
    } else if (memcmp(stamped, digest, sizeof digest) != 0) {
        sg_check_problem(check, SG_BROKEN, place, "it stamps something else than this checkpoint");
    } else {
        v->n_stamps_unchecked++;
    }
}

void sg_check_timestamps(struct sg_check *check)
{
    sqlite3_stmt *rows = NULL;
    if (sg_db_prepare(check->db,
                      "SELECT t.size, t.token, c.note, l.ts_ms FROM tsa t LEFT JOIN checkpoint c ON c.size = t.size "
                      "LEFT JOIN leaf l ON l.seq = t.size - 1 ORDER BY t.size",
                      &rows) != SG_OK)
        return sg_check_error(check, "table tsa");
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW)
        check_row(check, rows);
    if (code != SQLITE_DONE)
        sg_check_problem(check, SG_BROKEN, "table tsa", "it cannot be read: %s", sqlite3_errmsg(check->db));
    sqlite3_finalize(rows);
}
