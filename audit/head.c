/* Where a ledger ends: its last event and checkpoint, read and checked before anything is built upon them. */
#include <string.h>

#include "audit/proof.h"
#include "schema.h"
#include "side.h"
#include "store.h"

static enum sg_status load_last_leaf(struct sg_ledger *ledger)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT seq, ts_ms, leaf_hash FROM leaf ORDER BY seq DESC LIMIT 1", &row));
    bool found = sqlite3_step(row) == SQLITE_ROW && sqlite3_column_bytes(row, 2) == SG_DIGEST_BYTES;
    if (found) {
        ledger->tree.size = (uint64_t)sqlite3_column_int64(row, 0) + 1;
        ledger->last_ms = sqlite3_column_int64(row, 1);
        memcpy(ledger->last_hash, sqlite3_column_blob(row, 2), SG_DIGEST_BYTES);
    }
    sqlite3_finalize(row);
    return found ? SG_OK : sg_fail(SG_BROKEN, "ledger: it has no genesis event");
}

/* Leaves the ledger's keys in `keys`. */
static enum sg_status check_note(struct sg_ledger *ledger, const char *note, size_t len, struct sg_vkey keys[64],
                                 size_t *n_keys)
{
    struct sg_note_check check;
    struct sg_checkpoint checkpoint;
    SG_TRY(sg_store_note_keys(ledger->db, keys, n_keys));
    SG_TRY(sg_note_verify(note, len, keys, *n_keys, &check));
    SG_TRY(sg_checkpoint_parse(note, check.text_len, &checkpoint));
    if (!check.verified || checkpoint.size != (int64_t)ledger->tree.size ||
        memcmp(checkpoint.root, ledger->root, SG_DIGEST_BYTES) != 0)
        return sg_fail(SG_BROKEN,
                       "ledger: its last checkpoint does not belong to its tree: run sealgrad ledger verify");
    memcpy(ledger->origin, checkpoint.origin, sizeof checkpoint.origin);
    return SG_OK;
}

/* A writer vouches for what it continues: without this, whoever holds one of several keys could leave an event in
 * another one's name for its owner to build upon. verify relies on it where it checks one signature a stretch. */
static enum sg_status check_last_signature(struct sg_ledger *ledger, const struct sg_vkey *keys, size_t n_keys)
{
    struct sg_envelope envelope = {0};
    sqlite3_stmt *row = NULL;
    char label[33];
    bool good = false;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT body FROM leaf WHERE seq = ?", &row));
    sg_db_bind(row, "i", (int64_t)ledger->tree.size - 1);
    if (sqlite3_step(row) == SQLITE_ROW && sqlite3_column_type(row, 0) == SQLITE_BLOB &&
        sg_envelope_parse(sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0), &envelope) == SG_OK)
        for (size_t i = 0; i < n_keys && !good; i++) {
            sg_key_label(&keys[i], label);
            good = strcmp(label, envelope.key_label) == 0 && sg_envelope_verify(&envelope, &keys[i]);
        }
    sqlite3_finalize(row);
    sg_envelope_free(&envelope);
    return good ? SG_OK
                : sg_fail(SG_BROKEN, "ledger: its last event is not signed by the key that it names: run sealgrad "
                                     "ledger verify");
}

static enum sg_status check_anchor(struct sg_ledger *ledger)
{
    int64_t size;
    uint8_t anchor[SG_DIGEST_BYTES], root[SG_DIGEST_BYTES];
    if (!ledger->side)
        return SG_OK;
    SG_TRY(sg_side_get_anchor(ledger->side, &size, anchor));
    if (size > (int64_t)ledger->tree.size)
        return sg_fail(SG_BROKEN, "ledger: this is an older copy: it has %lld events, this machine has seen %lld",
                       (long long)ledger->tree.size, (long long)size);
    SG_TRY(sg_proof_root(sg_store_node, ledger->db, (uint64_t)size, root));
    if (size > 0 && memcmp(root, anchor, sizeof root) != 0)
        return sg_fail(SG_BROKEN, "ledger: its first %lld events are not those that this machine has seen",
                       (long long)size);
    return SG_OK;
}

enum sg_status sg_store_load_head(struct sg_ledger *ledger)
{
    memset(&ledger->tree, 0, sizeof ledger->tree);
    ledger->is_current = false;
    SG_TRY(load_last_leaf(ledger));
    SG_TRY(sg_store_edge(ledger->db, &ledger->tree));
    sg_merkle_root(&ledger->tree, ledger->root);
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT note FROM checkpoint WHERE size = ?", &row));
    sg_db_bind(row, "i", (int64_t)ledger->tree.size);
    struct sg_vkey keys[64];
    size_t n_keys;
    enum sg_status status;
    if (sqlite3_step(row) == SQLITE_ROW)
        status = check_note(ledger, (const char *)sqlite3_column_text(row, 0), (size_t)sqlite3_column_bytes(row, 0),
                            keys, &n_keys);
    else
        status = sg_fail(SG_BROKEN, "ledger: its last event has no checkpoint: run sealgrad ledger verify");
    sqlite3_finalize(row);
    SG_TRY(status);
    if (ledger->signer)
        SG_TRY(check_last_signature(ledger, keys, n_keys));
    SG_TRY(check_anchor(ledger));
    ledger->is_current = true;
    return SG_OK;
}

enum sg_status sg_store_check_signer(struct sg_ledger *ledger)
{
    char label[33];
    sqlite3_stmt *row = NULL;
    if (!ledger->signer)
        return SG_OK;
    sg_key_label(sg_signer_vkey(ledger->signer), label);
    SG_TRY(sg_db_prepare(ledger->db, "SELECT 1 FROM signing_key WHERE key_id = ? AND ended_leaf IS NULL", &row));
    sg_db_bind(row, "t", label);
    bool in_force = sqlite3_step(row) == SQLITE_ROW;
    sqlite3_finalize(row);
    if (!in_force)
        return sg_fail(SG_USAGE,
                       "%s: the key %s may not write to this ledger: use the key it was made with, or one added later",
                       ledger->path, sg_signer_vkey(ledger->signer)->name);
    return sg_vkey_rename(sg_signer_vkey(ledger->signer), ledger->origin, &ledger->note_key);
}
