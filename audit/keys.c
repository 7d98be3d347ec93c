/* Key epochs: the genesis key adds and revokes the keys that write. */
#include <string.h>

#include "audit/key.h"
#include "schema.h"
#include "store.h"

static enum sg_status check_root(struct sg_ledger *ledger)
{
    char label[33];
    sqlite3_stmt *row = NULL;
    sg_key_label(sg_signer_vkey(ledger->signer), label);
    SG_TRY(sg_db_prepare(ledger->db, "SELECT role = 'root' FROM signing_key WHERE key_id = ? AND ended_leaf IS NULL",
                         &row));
    sg_db_bind(row, "t", label);
    bool is_root = sqlite3_step(row) == SQLITE_ROW && sqlite3_column_int(row, 0);
    sqlite3_finalize(row);
    return is_root ? SG_OK
                   : sg_fail(SG_USAGE,
                             "only the key that the ledger was made with may change its keys: give it as --root-key");
}

/* Whether the key is known, and still in force. */
static enum sg_status find_key(struct sg_ledger *ledger, const char *label, bool *is_known, bool *in_force,
                               bool *is_root)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(
        sg_db_prepare(ledger->db, "SELECT ended_leaf IS NULL, role = 'root' FROM signing_key WHERE key_id = ?", &row));
    sg_db_bind(row, "t", label);
    *is_known = sqlite3_step(row) == SQLITE_ROW;
    *in_force = *is_known && sqlite3_column_int(row, 0);
    *is_root = *is_known && sqlite3_column_int(row, 1);
    sqlite3_finalize(row);
    return SG_OK;
}

static enum sg_status append_add(struct sg_ledger *ledger, const struct sg_vkey *key, char event_id[33])
{
    struct sg_vkey named;
    struct sg_buffer vkey = {0};
    char label[33];
    uint8_t digest[SG_DIGEST_BYTES];
    bool is_known, in_force, is_root;
    sg_key_label(key, label);
    SG_TRY(find_key(ledger, label, &is_known, &in_force, &is_root));
    if (is_known)
        return sg_fail(SG_USAGE, "the key %s is or was a key of this ledger already: make a new one", key->name);
    SG_TRY(sg_vkey_rename(key, ledger->origin, &named));
    sg_vkey_print(&named, &vkey);
    sg_sha256(vkey.data, vkey.len, digest);
    json_t *facts = json_object(), *subjects = sg_store_subject(key->name, "sha256", digest);
    json_object_set_new(facts, "key", json_string(vkey.data));
    json_object_set_new(facts, "role", json_string("writer"));
    enum sg_status status = sg_store_append(ledger, "key.add", subjects, facts, event_id);
    json_decref(facts);
    json_decref(subjects);
    sg_buffer_free(&vkey);
    return status;
}

static enum sg_status append_revoke(struct sg_ledger *ledger, const struct sg_vkey *key, int64_t since_ms,
                                    char event_id[33])
{
    char label[33];
    uint8_t digest[SG_DIGEST_BYTES];
    bool is_known, in_force, is_root;
    sg_key_label(key, label);
    SG_TRY(find_key(ledger, label, &is_known, &in_force, &is_root));
    if (!in_force || is_root)
        return sg_fail(SG_USAGE,
                       is_root ? "the key %s made this ledger and cannot be revoked in it: begin a new ledger"
                               : "the key %s is not in force in this ledger",
                       key->name);
    sg_sha256(key->public_key, sg_public_key_bytes(key->type), digest);
    json_t *facts = json_object(), *subjects = sg_store_subject(key->name, "sha256", digest);
    json_object_set_new(facts, "key_id", json_string(label));
    json_object_set_new(facts, "compromised_since_ms", since_ms > 0 ? json_integer(since_ms) : json_null());
    enum sg_status status = sg_store_append(ledger, "key.revoke", subjects, facts, event_id);
    json_decref(facts);
    json_decref(subjects);
    return status;
}

enum sg_status sg_ledger_change_keys(struct sg_ledger *ledger, const struct sg_vkey *add, const struct sg_vkey *revoke,
                                     int64_t compromised_since_ms)
{
    char add_id[33] = "", revoke_id[33] = "";
    SG_TRY(sg_store_begin(ledger));
    enum sg_status status = check_root(ledger);
    if (status == SG_OK && add)
        status = append_add(ledger, add, add_id);
    if (status == SG_OK && revoke)
        status = append_revoke(ledger, revoke, compromised_since_ms, revoke_id);
    return sg_store_end(ledger, status, revoke ? revoke_id : add_id);
}
