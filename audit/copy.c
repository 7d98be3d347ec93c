/* Backup, and what changed since a checkpoint that somebody kept. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/evidence.h"
#include "audit/query.h"
#include "copy.h"
#include "schema.h"
#include "store.h"

enum sg_status sg_copy_pages(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup)
        return sg_db_fail(to, "backing up");
    int code = sqlite3_backup_step(backup, -1);
    sqlite3_backup_finish(backup);
    return code == SQLITE_DONE ? SG_OK : sg_fail(SG_FAILED, "backup: %s", sqlite3_errstr(code));
}

/* The copy as a ledger: it opens, and holds the very rows. */
static enum sg_status check_copy(struct sg_ledger *ledger, const char *path)
{
    struct sg_ledger *copy = NULL;
    uint8_t ours[SG_DIGEST_BYTES], theirs[SG_DIGEST_BYTES];
    SG_TRY(sg_ledger_open_read(path, &copy));
    enum sg_status status = sg_copy_digest(ledger->db, ours);
    if (status == SG_OK)
        status = sg_copy_digest(copy->db, theirs);
    sg_ledger_close(&copy);
    SG_TRY(status);
    return memcmp(ours, theirs, sizeof ours) == 0
               ? SG_OK
               : sg_fail(SG_FAILED, "%s: the backup does not hold the rows of the ledger", path);
}

static enum sg_status copy_to(struct sg_ledger *ledger, const char *path)
{
    sqlite3 *to = NULL;
    enum sg_status status = SG_OK;
    if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        status = sg_fail(SG_FAILED, "%s: cannot make the backup: %s", path, sqlite3_errmsg(to));
    if (status == SG_OK)
        status = sg_db_run(to, "PRAGMA synchronous=EXTRA");
    if (status == SG_OK)
        status = sg_copy_pages(ledger->db, to);
    sqlite3_close(to);
    return status == SG_OK ? check_copy(ledger, path) : status;
}

/* Under its own name only when it is whole: a new name for the finished file, never over another file. */
static enum sg_status publish(const char *part, const char *path)
{
    if (link(part, path))
        return sg_fail(SG_USAGE, "%s: cannot make the backup: %s", path, strerror(errno));
    char *folder = sg_strdup(path), *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = 0;
    int handle = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    bool good = handle >= 0 && fsync(handle) == 0;
    if (handle >= 0)
        close(handle);
    return good ? SG_OK : sg_fail(SG_FAILED, "%s: its folder cannot be synced: %s", path, strerror(errno));
}

enum sg_status sg_evidence_backup(struct sg_ledger *ledger, const char *path)
{
    char *part = sg_format("%s.part", path);
    enum sg_status status = SG_OK;
    int file = -1;
    if (access(path, F_OK) == 0)
        status = sg_fail(SG_USAGE, "%s: cannot make the backup: %s", path, strerror(EEXIST));
    else if ((file = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) < 0)
        status = sg_fail(SG_USAGE, "%s: cannot make the backup: %s%s", part, strerror(errno),
                         errno == EEXIST ? " (of a backup that runs, or was killed: then remove it)" : "");
    if (file >= 0) {
        close(file);
        status = copy_to(ledger, part);
        if (status == SG_OK)
            status = publish(part, path);
        unlink(part);
    }
    free(part);
    return status;
}

enum sg_status sg_evidence_since(struct sg_ledger *ledger, const char *note, size_t n, json_t **rows)
{
    struct sg_vkey keys[64];
    struct sg_note_check check;
    struct sg_checkpoint kept;
    uint8_t root[SG_DIGEST_BYTES];
    size_t n_keys, i;
    *rows = NULL;
    if (sg_note_verify(note, n, NULL, 0, &check) != SG_OK || sg_checkpoint_parse(note, check.text_len, &kept) != SG_OK)
        return sg_fail(SG_USAGE, "the file is not a checkpoint (sealgrad ledger checkpoint writes one)");
    SG_TRY(sg_store_note_keys(ledger->db, keys, &n_keys));
    SG_TRY(sg_note_verify(note, n, keys, n_keys, &check));
    if (!check.verified || strcmp(kept.origin, ledger->origin) != 0)
        return sg_fail(SG_BROKEN, "the checkpoint is not signed by a key of this ledger");
    if (kept.size > (int64_t)ledger->tree.size)
        return sg_fail(
            SG_BROKEN,
            "the checkpoint has %lld events, this file only %lld: it is an older copy, or its end was cut off",
            (long long)kept.size, (long long)ledger->tree.size);
    SG_TRY(sg_proof_root(sg_store_node, ledger->db, (uint64_t)kept.size, root));
    if (memcmp(root, kept.root, sizeof root) != 0)
        return sg_fail(SG_BROKEN, "this ledger does not continue the checkpoint: two ledgers carry the origin %s",
                       kept.origin);
    json_t *all, *one;
    SG_TRY(sg_query_view(ledger, "events", NULL, &all));
    *rows = json_array();
    json_array_foreach(all, i, one) if (json_integer_value(json_object_get(one, "leaf")) >= kept.size)
        json_array_append(*rows, one);
    json_decref(all);
    return SG_OK;
}
