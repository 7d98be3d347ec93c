/* Backup, and what changed since a checkpoint that somebody kept. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "audit/evidence.h"
#include "audit/query.h"
#include "schema.h"
#include "store.h"

static enum sg_status copy_pages(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup)
        return sg_db_fail(to, "backing up");
    int code = sqlite3_backup_step(backup, -1);
    sqlite3_backup_finish(backup);
    return code == SQLITE_DONE ? SG_OK : sg_fail(SG_FAILED, "backup: %s", sqlite3_errstr(code));
}

enum sg_status sg_evidence_backup(struct sg_ledger *ledger, const char *path)
{
    sqlite3 *to = NULL;
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0)
        return sg_fail(SG_USAGE, "%s: cannot make the backup: %s", path, strerror(errno));
    close(file);
    enum sg_status status = SG_OK;
    if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        status = sg_fail(SG_FAILED, "%s: cannot make the backup: %s", path, sqlite3_errmsg(to));
    if (status == SG_OK)
        status = sg_db_run(to, "PRAGMA synchronous=EXTRA");
    if (status == SG_OK)
        status = copy_pages(ledger->db, to);
    sqlite3_close(to);
    if (status != SG_OK)
        unlink(path);
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
