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

/* The key that signed, or NULL. The label in the envelope is a hint only. */
static const struct sg_check_key *find_signer(struct sg_check *check, const struct sg_envelope *envelope)
{
    for (size_t i = 0; i < check->n_keys; i++)
        if (!check->keys[i].has_ended && strcmp(check->keys[i].label, envelope->key_label) == 0 &&
            (check->options->quick || sg_envelope_verify(envelope, check->keys[i].key.public_key)))
            return &check->keys[i];
    return NULL;
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
    if (key->key.type != SG_KEY_ED25519 || strcmp(key->key.name, event->origin) != 0)
        return sg_fail(SG_BROKEN, "ledger.genesis: its key is not an Ed25519 key under the ledger's origin");
    sg_key_label(key->key.public_key, key->label);
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

static void check_event(struct sg_check *check, sqlite3_stmt *row, const struct sg_envelope *envelope,
                        const char *place)
{
    struct sg_event event;
    if (sg_event_parse(envelope->payload.data ? envelope->payload.data : "", envelope->payload.len, &event) != SG_OK) {
        sg_check_error(check, place);
        check->derive_stopped = true;
        return;
    }
    if (check->tree.size == 0 && read_genesis(check, &event) != SG_OK)
        sg_check_error(check, place);
    const struct sg_check_key *signer = find_signer(check, envelope);
    if (!signer)
        sg_check_problem(check, SG_BROKEN, place, "its signature is not by a key that was in force");
    uint8_t index = signer ? (uint8_t)(signer - check->keys) : UINT8_MAX;
    sg_buffer_append(&check->signer_of, &index, 1);
    check_columns(check, row, &event, place);
    sg_check_semantics(check, &event, signer);
    if (!check->derive_stopped && sg_derive_event(check->derive, &event) != SG_OK) {
        sg_check_error(check, place);
        check->derive_stopped = true;
    }
    json_decref(event.statement);
}

/* The subtrees that this leaf completes, against the stored ones. Called before the leaf joins the tree. */
static void check_nodes(struct sg_check *check, sqlite3_stmt *node, const uint8_t leaf_hash[SG_DIGEST_BYTES])
{
    uint8_t hash[SG_DIGEST_BYTES];
    memcpy(hash, leaf_hash, sizeof hash);
    for (int level = 0; check->tree.size >> level & 1; level++) {
        int64_t index = (int64_t)(check->tree.size >> (level + 1));
        sg_merkle_node(check->tree.subtree[level], hash, hash);
        sg_db_bind(node, "ii", (int64_t)level + 1, index);
        if (sqlite3_step(node) != SQLITE_ROW || !is_blob(node, 0, hash)) {
            char place[64];
            snprintf(place, sizeof place, "node %d/%lld", level + 1, (long long)index);
            sg_check_problem(check, SG_BROKEN, place, "it is missing, or is not the hash that follows from the leaves");
        }
        sqlite3_reset(node);
    }
}

static void check_note(struct sg_check *check, const char *note, size_t n, const struct sg_buffer *text,
                       const char *place)
{
    struct sg_vkey keys[SG_CHECK_KEYS_MAX];
    struct sg_note_check result;
    size_t n_keys = 0;
    for (size_t i = 0; i < check->n_keys; i++)
        if (!check->keys[i].has_ended)
            keys[n_keys++] = check->keys[i].key;
    if (n <= text->len || memcmp(note, text->data, text->len) != 0)
        sg_check_problem(check, SG_BROKEN, place,
                         "its text is not the origin, size and root that follow from the leaves");
    else if (sg_note_verify(note, n, keys, n_keys, &result) != SG_OK)
        sg_check_error(check, place);
    else if (result.text_len != text->len || result.n_signatures != 1 || !result.verified)
        sg_check_problem(check, SG_BROKEN, place, "it is not signed by exactly one key that was in force");
}

/* The checkpoint after this append; `row` stands before it. */
static void check_checkpoint(struct sg_check *check, sqlite3_stmt *row, int64_t last)
{
    struct sg_checkpoint expected = {.size = (int64_t)check->tree.size};
    struct sg_buffer text = {0};
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
        sg_checkpoint_print(&expected, &text);
        bool wanted = !check->options->quick || expected.size == last;
        if (sqlite3_column_type(row, 2) != SQLITE_TEXT)
            sg_check_problem(check, SG_BROKEN, place, "its note is not text");
        else if (wanted)
            check_note(check, (const char *)sqlite3_column_text(row, 2), (size_t)sqlite3_column_bytes(row, 2), &text,
                       place);
    }
    if (check->options->since && expected.size == check->since.size &&
        memcmp(expected.root, check->since.root, SG_DIGEST_BYTES) != 0)
        sg_check_problem(
            check, SG_BROKEN, place,
            "its root is not that of the checkpoint kept by the verifier: two different ledgers carry this origin");
    memcpy(check->verdict->root, expected.root, SG_DIGEST_BYTES);
    sg_buffer_free(&text);
}

/* A quick check reads the first event and those that change keys, for the newest checkpoint's signature. */
static bool is_about_keys(sqlite3_stmt *row)
{
    const char *type = (const char *)sqlite3_column_text(row, 3);
    return type && strncmp(type, "key.", 4) == 0;
}

static void check_leaf(struct sg_check *check, sqlite3_stmt *row, sqlite3_stmt *node)
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
    if (check->options->quick && check->tree.size > 0 && !is_about_keys(row)) {
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
    check_nodes(check, node, hash);
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

static void walk(struct sg_check *check, sqlite3_stmt *leaf, sqlite3_stmt *node, sqlite3_stmt *checkpoint, int64_t last)
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
        check_leaf(check, leaf, node);
        check_checkpoint(check, checkpoint, last);
    }
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
    sqlite3_stmt *leaf = NULL, *node = NULL, *checkpoint = NULL;
    int64_t last = 0;
    enum sg_status status = sg_db_number(check->db, "SELECT max(seq) + 1 FROM leaf", &last);
    if (status == SG_OK)
        status = sg_db_prepare(
            check->db, "SELECT seq, event_id, ts_ms, type, body, leaf_hash, prev_hash FROM leaf ORDER BY seq", &leaf);
    if (status == SG_OK)
        status = sg_db_prepare(check->db, "SELECT hash FROM node WHERE level = ? AND idx = ?", &node);
    if (status == SG_OK)
        status = sg_db_prepare(check->db, "SELECT size, root, note FROM checkpoint ORDER BY size", &checkpoint);
    if (status == SG_OK)
        walk(check, leaf, node, checkpoint, last);
    else
        sg_check_error(check, "table leaf");
    if (status == SG_OK && check->tree.size == 0)
        sg_check_problem(check, SG_BROKEN, "table leaf", "it holds no event");
    sqlite3_finalize(leaf);
    sqlite3_finalize(node);
    sqlite3_finalize(checkpoint);
}
