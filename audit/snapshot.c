#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "schema.h"

enum { HEADER_BYTES = 100 };

static enum sg_status check_header(const uint8_t *header, size_t n)
{
    if (n < HEADER_BYTES || memcmp(header, "SQLite format 3", 16) != 0)
        return sg_fail(SG_BROKEN, "this is not a ledger: the file is not an SQLite database");
    if (header[18] != 1 || header[19] != 1)
        return sg_fail(SG_BROKEN, "the file is set to a write-ahead log, which a ledger never uses");
    return SG_OK;
}

/* No descriptor of our own: closing one would drop the locks of any other connection of this process. */
static enum sg_status check_file(const char *path)
{
    struct stat info;
    if (stat(path, &info))
        return sg_fail(SG_USAGE, "%s: cannot open the ledger: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return sg_fail(SG_USAGE, "%s: not a file: name the ledger's database", path);
    if (info.st_size < HEADER_BYTES)
        return sg_fail(SG_BROKEN, "%s: this is not a ledger: the file is too short", path);
    return SG_OK;
}

static enum sg_status check_open_file(sqlite3 *db)
{
    sqlite3_file *file = NULL;
    uint8_t header[HEADER_BYTES];
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || !file || !file->pMethods ||
        file->pMethods->xRead(file, header, sizeof header, 0) != SQLITE_OK)
        return sg_fail(SG_USAGE, "cannot read the ledger: check that you may read the file");
    return check_header(header, sizeof header);
}

/* The first read takes the shared lock, and finds a journal that waits. */
static int begin(sqlite3 *db)
{
    int code = sqlite3_exec(db, "BEGIN; SELECT count(*) FROM sqlite_schema;", NULL, NULL, NULL);
    return code & 0xff;
}

/* Everything but the machine's own troubles is the file's fault. */
static enum sg_status first_read_fault(sqlite3 *db, int code)
{
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED || code == SQLITE_IOERR || code == SQLITE_NOMEM ||
        code == SQLITE_FULL || code == SQLITE_PERM || code == SQLITE_CANTOPEN)
        return sg_db_fail(db, "reading");
    return sg_fail(SG_BROKEN, "SQLite cannot read it: %s", sqlite3_errmsg(db));
}

static enum sg_status open_at(const char *path, int flags, struct sg_snapshot *out)
{
    if (sqlite3_open_v2(path, &out->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return sg_fail(SG_FAILED, "%s: cannot open the ledger: %s", path, sqlite3_errmsg(out->db));
    sqlite3_busy_timeout(out->db, 120000);
    sqlite3_db_config(out->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    SG_TRY(sg_db_harden(out->db));
    return flags & SQLITE_OPEN_MEMORY ? SG_OK : check_open_file(out->db);
}

static enum sg_status copy_file(const char *from, const char *to, bool may_miss)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
    if (in < 0)
        return may_miss ? SG_OK : sg_fail(SG_FAILED, "%s: cannot read: %s", from, strerror(errno));
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = out >= 0;
    char *block = sg_alloc(1, 1 << 16);
    ssize_t n = 0;
    while (good && (n = read(in, block, 1 << 16)) > 0)
        good = write(out, block, (size_t)n) == n;
    free(block);
    close(in);
    if (out >= 0)
        close(out);
    return good && n == 0
               ? SG_OK
               : sg_fail(SG_FAILED, "%s: cannot copy the ledger to a temporary folder: %s", to, strerror(errno));
}

/* A journal may name a "super-journal", a file that SQLite would then look into and delete: no ledger ever has one. */
static enum sg_status check_journal(const char *path)
{
    static const uint8_t magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
    uint8_t tail[8];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = file < 0 ? 0 : lseek(file, 0, SEEK_END);
    bool named = end >= 8 && pread(file, tail, 8, end - 8) == 8 && memcmp(tail, magic, 8) == 0;
    if (file >= 0)
        close(file);
    return named ? sg_fail(SG_BROKEN,
                           "the journal beside the ledger names another file, which a ledger's journal never does")
                 : SG_OK;
}

static void remove_copy(struct sg_snapshot *snapshot)
{
    static const char *const names[] = {"ledger.db", "ledger.db-journal"};
    for (size_t i = 0; i < 2; i++) {
        char *path = sg_format("%s/%s", snapshot->folder, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(snapshot->folder);
    free(snapshot->folder);
    snapshot->folder = NULL;
}

static enum sg_status open_copy(const char *path, struct sg_snapshot *out)
{
    const char *base = getenv("TMPDIR");
    out->folder = sg_format("%s/sealgrad-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(out->folder)) {
        free(out->folder);
        out->folder = NULL;
        return sg_fail(SG_FAILED, "no temporary folder for a copy of the ledger: %s", strerror(errno));
    }
    char *journal = sg_format("%s-journal", path), *copy = sg_format("%s/ledger.db", out->folder);
    char *journal_copy = sg_format("%s/ledger.db-journal", out->folder);
    enum sg_status status = copy_file(path, copy, false);
    if (status == SG_OK)
        status = copy_file(journal, journal_copy, true);
    if (status == SG_OK)
        status = check_journal(journal_copy);
    if (status == SG_OK)
        status = open_at(copy, SQLITE_OPEN_READWRITE, out);
    free(journal);
    free(copy);
    free(journal_copy);
    return status;
}

enum sg_status sg_snapshot_open(const char *path, struct sg_snapshot *out)
{
    *out = (struct sg_snapshot){0};
    SG_TRY(check_file(path));
    enum sg_status status = open_at(path, SQLITE_OPEN_READONLY, out);
    int code = status == SG_OK ? begin(out->db) : 0;
    if (code == SQLITE_READONLY || code == SQLITE_CANTOPEN) {
        sqlite3_close(out->db);
        out->db = NULL;
        status = open_copy(path, out);
        code = status == SG_OK ? begin(out->db) : 0;
    }
    if (status == SG_OK && code != SQLITE_OK)
        status = first_read_fault(out->db, code);
    if (status != SG_OK)
        sg_snapshot_close(out);
    return status;
}

enum sg_status sg_snapshot_from_bytes(const uint8_t *bytes, size_t n, struct sg_snapshot *out)
{
    *out = (struct sg_snapshot){0};
    SG_TRY(check_header(bytes, n));
    enum sg_status status = open_at(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, out);
    unsigned char *copy = status == SG_OK ? sqlite3_malloc64(n) : NULL;
    if (status == SG_OK && !copy)
        status = sg_fail(SG_FAILED, "out of memory");
    if (copy)
        memcpy(copy, bytes, n);
    if (status == SG_OK &&
        sqlite3_deserialize(out->db, "main", copy, (sqlite3_int64)n, (sqlite3_int64)n,
                            SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_READONLY) != SQLITE_OK)
        status = sg_fail(SG_BROKEN, "the bytes are not an SQLite database");
    int code = status == SG_OK ? begin(out->db) : SQLITE_OK;
    if (code != SQLITE_OK)
        status = first_read_fault(out->db, code);
    if (status != SG_OK)
        sg_snapshot_close(out);
    return status;
}

void sg_snapshot_close(struct sg_snapshot *snapshot)
{
    sqlite3_close(snapshot->db);
    snapshot->db = NULL;
    if (snapshot->folder)
        remove_copy(snapshot);
}
