/* The evidence: every leaf's bytes, hashes and signature, the tree, and the checkpoint that each append left. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "schema.h"
#include "store.h"

static bool is_blob(sqlite3_stmt *row, int column, const uint8_t expected[SG_DIGEST_BYTES])
{
    return sqlite3_column_type(row, column) == SQLITE_BLOB && sqlite3_column_bytes(row, column) == SG_DIGEST_BYTES &&
           memcmp(sqlite3_column_blob(row, column), expected, SG_DIGEST_BYTES) == 0;
}

static bool is_text(sqlite3_stmt *row, int column, const char *expected)
{
    return sqlite3_column_type(row, column) == SQLITE_TEXT &&
           (size_t)sqlite3_column_bytes(row, column) == strlen(expected) &&
           memcmp(sqlite3_column_text(row, column), expected, strlen(expected)) == 0;
}

static bool is_whole(sqlite3_stmt *row, int column, int64_t expected)
{
    return sqlite3_column_type(row, column) == SQLITE_INTEGER && sqlite3_column_int64(row, column) == expected;
}

/* The first event names the key that signs it; whether that key deserves trust is said in the verdict. */
static enum sg_status read_genesis(struct sg_check *check, const struct sg_event *event)
{
    const char *text;
    struct sg_check_key *key = &check->keys[0];
    if (strcmp(event->type, "ledger.genesis") != 0)
        return sg_fail(SG_BROKEN, "the first event is not ledger.genesis");
    SG_TRY(sg_json_string(event->facts, "key", "ledger.genesis", SG_BROKEN, &text));
    SG_TRY(sg_vkey_parse(text, strlen(text), SG_BROKEN, &key->key));
    if (key->key.type == SG_KEY_COSIGNATURE || strcmp(key->key.name, event->origin) != 0)
        return sg_fail(SG_BROKEN, "ledger.genesis: its key is not a ledger's key under the ledger's origin");
    sg_key_label(&key->key, key->label);
    key->is_root = true;
    check->n_keys = 1;
    snprintf(check->verdict->origin, sizeof check->verdict->origin, "%s", event->origin);
    snprintf(check->verdict->key, sizeof check->verdict->key, "%s", text);
    check->verdict->first_ms = event->time_ms;
    return SG_OK;
}

static void check_columns(struct sg_check *check, sqlite3_stmt *row, const struct sg_event *event, const char *place)
{
    if (!is_text(row, 1, event->event_id) || !is_whole(row, 2, event->time_ms) || !is_text(row, 3, event->type))
        sg_check_problem(check, SG_BROKEN, place,
                         "its columns event_id, ts_ms or type do not repeat what its bytes say");
    if (event->seq != (int64_t)check->tree.size)
        sg_check_problem(check, SG_BROKEN, place, "its bytes say that it is event %lld: moved, or taken from elsewhere",
                         (long long)event->seq);
    if (memcmp(event->prev, check->previous, SG_DIGEST_BYTES) != 0)
        sg_check_problem(check, SG_BROKEN, place, "its bytes name another event as the one before it");
    if (strcmp(event->origin, check->verdict->origin) != 0)
        sg_check_problem(check, SG_BROKEN, place, "it belongs to another ledger, \"%.64s\"", event->origin);
    if (event->time_ms < check->verdict->last_ms)
        sg_check_problem(check, SG_BROKEN, place, "its time lies before that of the event before it");
    else
        check->verdict->last_ms = event->time_ms;
}

static void check_event(struct sg_check *check, sqlite3_stmt *row, struct sg_envelope *envelope, const char *place)
{
    struct sg_event event;
    if (sg_event_parse(envelope->payload.data ? envelope->payload.data : "", envelope->payload.len, &event) != SG_OK) {
        sg_check_error(check, place);
        check->derive_stopped = true;
        return;
    }
    if (check->tree.size == 0 && read_genesis(check, &event) != SG_OK)
        sg_check_error(check, place);
    const struct sg_check_key *signer = sg_check_signer(check, envelope, strncmp(event.type, "key.", 4) == 0);
    if (!signer)
        sg_check_problem(check, SG_BROKEN, place, "its signature is not by a key that was in force");
    uint8_t index = signer ? (uint8_t)(signer - check->keys) : UINT8_MAX;
    sg_buffer_append(&check->signer_of, &index, 1);
    check_columns(check, row, &event, place);
    sg_check_facts(check, &event, place);
    sg_check_semantics(check, &event, signer);
    if (!check->derive_stopped && sg_derive_event(check->derive, &event) != SG_OK) {
        sg_check_error(check, place);
        check->derive_stopped = true;
    }
    json_decref(event.statement);
}

/* Advances to the row of that index; rows before it are none of a ledger's, and are counted at the end. */
static bool seek_node(struct sg_check *check, int level, int64_t index)
{
    struct sg_check_level *l = &check->level[level];
    if (!l->rows) {
        if (sg_db_prepare(check->db, "SELECT idx, hash FROM node WHERE level = ? ORDER BY idx", &l->rows) != SG_OK)
            return false;
        sg_db_bind(l->rows, "i", (int64_t)level);
        l->has_row = sqlite3_step(l->rows) == SQLITE_ROW;
    }
    while (l->has_row && sqlite3_column_int64(l->rows, 0) < index)
        l->has_row = sqlite3_step(l->rows) == SQLITE_ROW;
    return l->has_row && is_whole(l->rows, 0, index);
}

/* The subtrees that this leaf completes, against the stored ones. Called before the leaf joins the tree. */
static void check_nodes(struct sg_check *check, const uint8_t leaf_hash[SG_DIGEST_BYTES])
{
    uint8_t hash[SG_DIGEST_BYTES];
    memcpy(hash, leaf_hash, sizeof hash);
    for (int level = 0; check->tree.size >> level & 1; level++) {
        int64_t index = (int64_t)(check->tree.size >> (level + 1));
        sg_merkle_node(check->tree.subtree[level], hash, hash);
        if (!seek_node(check, level + 1, index) || !is_blob(check->level[level + 1].rows, 1, hash)) {
            char place[64];
            snprintf(place, sizeof place, "node %d/%lld", level + 1, (long long)index);
            sg_check_problem(check, SG_BROKEN, place, "it is missing, or is not the hash that follows from the leaves");
        }
    }
}

/* The checkpoint after this append; `row` stands before it. */
static void check_checkpoint(struct sg_check *check, sqlite3_stmt *row)
{
    struct sg_checkpoint expected = {.size = (int64_t)check->tree.size};
    char place[64];
    snprintf(place, sizeof place, "checkpoint %lld", (long long)expected.size);
    memcpy(expected.origin, check->verdict->origin, sizeof expected.origin);
    sg_merkle_root(&check->tree, expected.root);
    int code = sqlite3_step(row);
    if (code != SQLITE_ROW || !is_whole(row, 0, expected.size)) {
        sg_check_problem(check, SG_BROKEN, place, "it is missing or out of order");
    } else {
        if (!is_blob(row, 1, expected.root))
            sg_check_problem(check, SG_BROKEN, place, "its root is not the one that follows from the leaves");
        if (sqlite3_column_type(row, 2) != SQLITE_TEXT)
            sg_check_problem(check, SG_BROKEN, place, "its note is not text");
        else
            sg_check_note(check, &expected, (const char *)sqlite3_column_text(row, 2),
                          (size_t)sqlite3_column_bytes(row, 2), place);
    }
    if (check->options->since && expected.size == check->since.size &&
        memcmp(expected.root, check->since.root, SG_DIGEST_BYTES) != 0)
        sg_check_problem(
            check, SG_BROKEN, place,
            "its root is not that of the checkpoint kept by the verifier: two different ledgers carry this origin");
    memcpy(check->verdict->root, expected.root, SG_DIGEST_BYTES);
}

/* A quick check reads the first event and those that change keys, for the newest checkpoint's signature. Which those
 * are is read from the bytes as signed: the column could hide a revocation. */
static bool is_about_keys(struct sg_check *check, const char *body, size_t n)
{
    static const char mark[] = "urn:sealgrad:event:key.";
    return body && sg_leaf_payload(body, n, &check->payload) == SG_OK && check->payload.data &&
           memmem(check->payload.data, check->payload.len, mark, sizeof mark - 1);
}

static void check_leaf(struct sg_check *check, sqlite3_stmt *row)
{
    char place[64];
    snprintf(place, sizeof place, "leaf %lld", (long long)check->tree.size);
    const char *body = sqlite3_column_type(row, 4) == SQLITE_BLOB ? sqlite3_column_blob(row, 4) : NULL;
    size_t n = (size_t)sqlite3_column_bytes(row, 4);
    uint8_t hash[SG_DIGEST_BYTES];
    struct sg_envelope envelope;
    sg_merkle_leaf(body ? body : "", body ? n : 0, hash);
    if (!is_blob(row, 5, hash))
        sg_check_problem(check, SG_BROKEN, place,
                         "its bytes do not have the stored hash: they were changed after signing");
    if (!is_blob(row, 6, check->previous))
        sg_check_problem(check, SG_BROKEN, place, "prev_hash is not the hash of the event before it");
    if (check->options->quick && check->tree.size > 0 && !is_about_keys(check, body, n)) {
        check->verdict->last_ms = sqlite3_column_int64(row, 2); /* as the column says: nothing rests on it */
    } else if (!body || sg_envelope_parse(body, n, &envelope) != SG_OK) {
        if (body)
            sg_check_error(check, place);
        else
            sg_check_problem(check, SG_BROKEN, place, "it has no bytes");
        check->derive_stopped = true;
    } else {
        check_event(check, row, &envelope, place);
        sg_envelope_free(&envelope);
    }
    check_nodes(check, hash);
    sg_merkle_append(&check->tree, hash);
    memcpy(check->previous, hash, sizeof hash);
}

static void check_counts(struct sg_check *check, sqlite3_stmt *checkpoint)
{
    int64_t n_nodes = 0, n = (int64_t)check->tree.size;
    int64_t expected = n - __builtin_popcountll((uint64_t)n);
    if (sqlite3_step(checkpoint) == SQLITE_ROW)
        sg_check_problem(check, SG_BROKEN, "table checkpoint",
                         "there are checkpoints beyond the last event: events were cut off");
    if (sg_db_number(check->db, "SELECT count(*) FROM node", &n_nodes) != SG_OK)
        sg_check_error(check, "table node");
    else if (n_nodes != expected)
        sg_check_problem(check, SG_BROKEN, "table node", "it has %lld rows, a tree of %lld events has %lld",
                         (long long)n_nodes, (long long)n, (long long)expected);
}

static void walk(struct sg_check *check, sqlite3_stmt *leaf, sqlite3_stmt *checkpoint)
{
    int code;
    while ((code = sqlite3_step(leaf)) == SQLITE_ROW) {
        if (!is_whole(leaf, 0, (int64_t)check->tree.size)) {
            sg_check_problem(check, SG_BROKEN, "table leaf",
                             "after event %lld comes number %lld: events are missing or were added",
                             (long long)check->tree.size - 1, (long long)sqlite3_column_int64(leaf, 0));
            check->derive_stopped = true;
            break;
        }
        check_leaf(check, leaf);
        check_checkpoint(check, checkpoint);
    }
    sg_check_stretch(check);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        sg_check_problem(check, SG_BROKEN, "table leaf", "after event %lld the file cannot be read: %s",
                         (long long)check->tree.size - 1, sqlite3_errmsg(check->db));
        check->derive_stopped = true;
    }
    check_counts(check, checkpoint);
    check->verdict->size = (int64_t)check->tree.size;
}

void sg_check_leaves(struct sg_check *check)
{
    sqlite3_stmt *leaf = NULL, *checkpoint = NULL;
    enum sg_status status = sg_check_signatures_begin(check);
    if (status == SG_OK)
        status = sg_db_prepare(
            check->db, "SELECT seq, event_id, ts_ms, type, body, leaf_hash, prev_hash FROM leaf ORDER BY seq", &leaf);
    if (status == SG_OK)
        status = sg_db_prepare(check->db, "SELECT size, root, note FROM checkpoint ORDER BY size", &checkpoint);
    if (status == SG_OK)
        walk(check, leaf, checkpoint);
    else
        sg_check_error(check, "table leaf");
    if (status == SG_OK && check->tree.size == 0)
        sg_check_problem(check, SG_BROKEN, "table leaf", "it holds no event");
    sqlite3_finalize(leaf);
    sqlite3_finalize(checkpoint);
    for (size_t i = 0; i < sizeof check->level / sizeof *check->level; i++)
        sqlite3_finalize(check->level[i].rows);
    sg_check_signatures_end(check);
    sg_buffer_free(&check->payload);
}
