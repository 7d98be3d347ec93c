#include "store.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "schema.h"
#include "side.h"

enum sg_status sg_store_node(void *context, int level, uint64_t index, uint8_t out[SG_DIGEST_BYTES])
{
    sqlite3_stmt *statement = NULL;
    SG_TRY(sg_db_prepare(context,
                         level ? "SELECT hash FROM node WHERE level = ?2 AND idx = ?1"
                               : "SELECT leaf_hash FROM leaf WHERE seq = ?1",
                         &statement));
    sqlite3_bind_int64(statement, 1, (int64_t)index);
    if (level)
        sqlite3_bind_int64(statement, 2, level);
    bool found = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_bytes(statement, 0) == SG_DIGEST_BYTES;
    if (found)
        memcpy(out, sqlite3_column_blob(statement, 0), SG_DIGEST_BYTES);
    sqlite3_finalize(statement);
    return found ? SG_OK
                 : sg_fail(SG_BROKEN, "ledger: node %d/%llu of its tree is missing: run sealgrad ledger verify", level,
                           (unsigned long long)index);
}

enum sg_status sg_store_edge(sqlite3 *db, struct sg_merkle *tree)
{
    for (int bit = 0; bit < 63; bit++)
        if (tree->size >> bit & 1)
            SG_TRY(sg_store_node(db, bit, (tree->size >> bit) - 1, tree->subtree[bit]));
    return SG_OK;
}

enum sg_status sg_store_note_keys(sqlite3 *db, struct sg_vkey keys[64], size_t *n)
{
    sqlite3_stmt *rows = NULL;
    SG_TRY(sg_db_prepare(db, "SELECT vkey FROM signing_key ORDER BY added_leaf DESC LIMIT 64", &rows));
    enum sg_status status = SG_OK;
    *n = 0;
    while (status == SG_OK && sqlite3_step(rows) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(rows, 0);
        status = sg_vkey_parse(text, (size_t)sqlite3_column_bytes(rows, 0), SG_BROKEN, &keys[*n]);
        *n += status == SG_OK;
    }
    sqlite3_finalize(rows);
    return status;
}

static bool has_any(const struct sg_buffer *payload, const char *const *words)
{
    for (; words && *words && payload->data; words++)
        if (strstr(payload->data, *words))
            return true;
    return !words;
}

enum sg_status sg_store_events(sqlite3_stmt *rows, sg_store_visit *visit, void *context)
{
    return sg_store_events_with(rows, NULL, visit, context);
}

enum sg_status sg_store_events_with(sqlite3_stmt *rows, const char *const *words, sg_store_visit *visit, void *context)
{
    struct sg_buffer payload = {0};
    enum sg_status status = SG_OK;
    int step = SQLITE_DONE;
    while (status == SG_OK && (step = sqlite3_step(rows)) == SQLITE_ROW) {
        struct sg_event event = {0};
        status = sg_leaf_payload(sqlite3_column_blob(rows, 0), (size_t)sqlite3_column_bytes(rows, 0), &payload);
        if (status == SG_OK && !has_any(&payload, words))
            continue;
        if (status == SG_OK)
            status = sg_event_parse(payload.data ? payload.data : "", payload.len, &event);
        if (status == SG_OK)
            status = visit(context, &event);
        json_decref(event.statement);
    }
    if (status == SG_OK && step != SQLITE_DONE) /* a shorter past must not pass for the whole one */
        status =
            sg_fail(SG_FAILED, "the ledger's events could not be read: %s", sqlite3_errmsg(sqlite3_db_handle(rows)));
    sqlite3_finalize(rows);
    sg_buffer_free(&payload);
    return status;
}

enum sg_status sg_store_developer(sqlite3 *db, const char *model, char out[128])
{
    sqlite3_stmt *row = NULL;
    out[0] = 0;
    SG_TRY(sg_db_prepare(db,
                         "SELECT r.actor FROM artifact a JOIN run r ON r.run_no = a.run_no WHERE a.sha256 = ? ORDER BY "
                         "a.run_no LIMIT 1",
                         &row));
    sg_db_bind(row, "t", model);
    if (sqlite3_step(row) == SQLITE_ROW)
        snprintf(out, 128, "%s", (const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    return SG_OK;
}

/* ---- Transactions. */
enum sg_status sg_store_begin(struct sg_ledger *ledger)
{
    if (!ledger->signer)
        return sg_fail(SG_FAILED, "ledger: it was opened without a signing key");
    SG_TRY(sg_db_run(ledger->db, "BEGIN IMMEDIATE"));
    int64_t size = 0;
    enum sg_status status = sg_db_number(ledger->db, "SELECT max(seq) + 1 FROM leaf", &size);
    if (status == SG_OK && (!ledger->is_current || size != (int64_t)ledger->tree.size))
        status = sg_store_load_head(ledger);
    if (status == SG_OK)
        status = sg_store_check_signer(ledger); /* another writer may have revoked it since */
    if (status == SG_OK)
        status = sg_watch_begin(ledger);
    if (status != SG_OK)
        sg_store_rollback(ledger);
    return status;
}

void sg_store_rollback(struct sg_ledger *ledger)
{
    if (ledger->db && !sqlite3_get_autocommit(ledger->db))
        sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
    ledger->is_current = false;
}

static enum sg_status reopen(struct sg_ledger *ledger)
{
    struct sg_ledger *again = NULL;
    SG_TRY(sg_ledger_open(ledger->path, ledger->signer, &again));
    struct sg_ledger old = *ledger;
    *ledger = *again;
    *again = old;
    sg_ledger_close(&again);
    return SG_OK;
}

static enum sg_status has_event(struct sg_ledger *ledger, const char *event_id, bool *out)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT 1 FROM leaf WHERE event_id = ?", &row));
    sg_db_bind(row, "t", event_id);
    int code = sqlite3_step(row);
    *out = code == SQLITE_ROW;
    enum sg_status status = code == SQLITE_ROW || code == SQLITE_DONE ? SG_OK : sg_db_fail(ledger->db, "reading");
    sqlite3_finalize(row);
    return status;
}

/* In side storage, in one transaction: lower bounds only. That they may lag behind is harmless, and so is a failure to
 * write them. */
static void remember(struct sg_ledger *ledger)
{
    char label[33];
    if (!ledger->side || sg_db_run(ledger->side, "BEGIN") != SG_OK)
        return;
    sg_watch_forget(ledger);
    enum sg_status status = sg_side_put_anchor(ledger->side, (int64_t)ledger->tree.size, ledger->root);
    if (status == SG_OK && ledger->spend_text.len) {
        sg_key_label(sg_signer_vkey(ledger->signer), label);
        status = sg_side_put_spend(ledger->side, label, &ledger->spend_text, &ledger->spend_signature);
        ledger->spend_text.len = 0;
    }
    if (sqlite3_exec(ledger->side, status == SG_OK ? "COMMIT" : "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
        sqlite3_exec(ledger->side, "ROLLBACK", NULL, NULL, NULL);
}

enum sg_status sg_store_commit(struct sg_ledger *ledger, const char *event_id)
{
    if (sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK) {
        remember(ledger);
        sg_watch_commit(ledger);
        return SG_OK;
    }
    char *why = sg_strdup(sqlite3_errmsg(ledger->db));
    bool happened = false;
    sg_store_rollback(ledger);
    enum sg_status status = reopen(ledger);
    if (status == SG_OK)
        status = has_event(ledger, event_id, &happened);
    if (status != SG_OK)
        status = sg_fail(SG_FAILED,
                         "ledger: the commit failed (%s), and whether it happened cannot be read: run sealgrad ledger "
                         "verify before anything else",
                         why);
    else if (!happened)
        status = sg_fail(SG_FAILED, "ledger: nothing was recorded: %s", why);
    free(why);
    return status;
}

enum sg_status sg_store_end(struct sg_ledger *ledger, enum sg_status status, const char *event_id)
{
    if (status == SG_OK)
        return sg_store_commit(ledger, event_id);
    sg_store_rollback(ledger);
    return status;
}

/* ---- Append. */
static const char *utf8_or(const char *text, const char *otherwise)
{
    json_t *probe = json_string(text);
    json_decref(probe);
    return probe ? text : otherwise;
}

/* User and host by name, as they are now: a later change of the machine's tables does not rewrite the record. */
void sg_store_who(char user[128], char host[128])
{
    struct passwd entry, *found = NULL;
    char text[4096];
    snprintf(user, 128, "uid %u", (unsigned)getuid());
    if (getpwuid_r(getuid(), &entry, text, sizeof text, &found) == 0 && found)
        snprintf(user, 128, "%.127s", utf8_or(found->pw_name, user));
    memset(host, 0, 128);
    if (gethostname(host, 127) || !*host || !*utf8_or(host, ""))
        snprintf(host, 128, "unknown");
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static enum sg_status insert_leaf(struct sg_ledger *ledger, const struct sg_event *event, const struct sg_buffer *leaf,
                                  const uint8_t hash[SG_DIGEST_BYTES])
{
    return sg_db_write(ledger->db, "appending", "INSERT INTO leaf VALUES(?,?,?,?,?,?,?)", "ititmbb", event->seq,
                       event->event_id, event->time_ms, event->type, leaf->data, leaf->len, hash, event->prev);
}

/* Appends to the tree and stores the subtrees that this leaf completes. */
static enum sg_status insert_nodes(struct sg_ledger *ledger, const uint8_t leaf_hash[SG_DIGEST_BYTES])
{
    sqlite3_stmt *insert = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "INSERT INTO node VALUES(?,?,?)", &insert));
    uint8_t hash[SG_DIGEST_BYTES];
    memcpy(hash, leaf_hash, sizeof hash);
    enum sg_status status = SG_OK;
    for (int level = 0; status == SG_OK && ledger->tree.size >> level & 1; level++) {
        sg_merkle_node(ledger->tree.subtree[level], hash, hash);
        sg_db_bind(insert, "iib", (int64_t)level + 1, (int64_t)(ledger->tree.size >> (level + 1)), hash);
        status = sg_db_done(ledger->db, insert, "appending");
    }
    sqlite3_finalize(insert);
    sg_merkle_append(&ledger->tree, leaf_hash);
    sg_merkle_root(&ledger->tree, ledger->root);
    return status;
}

static enum sg_status insert_checkpoint(struct sg_ledger *ledger)
{
    struct sg_checkpoint checkpoint = {.size = (int64_t)ledger->tree.size};
    struct sg_buffer note = {0};
    memcpy(checkpoint.origin, ledger->origin, sizeof checkpoint.origin);
    memcpy(checkpoint.root, ledger->root, SG_DIGEST_BYTES);
    sg_checkpoint_print(&checkpoint, &note);
    size_t text_len = note.len;
    sg_buffer_text(&note, "\n");
    char *text = sg_strdup(note.data); /* signing appends to the same buffer */
    enum sg_status status = sg_note_sign(ledger->signer, &ledger->note_key, text, text_len, 0, &note);
    free(text);
    if (status == SG_OK)
        status = sg_db_write(ledger->db, "appending", "INSERT INTO checkpoint VALUES(?,?,?)", "ibt", checkpoint.size,
                             ledger->root, note.data);
    sg_buffer_free(&note);
    return status;
}

static enum sg_status insert_all(struct sg_ledger *ledger, struct sg_event *event, json_t *subjects)
{
    struct sg_buffer payload = {0}, leaf = {0};
    uint8_t hash[SG_DIGEST_BYTES];
    sg_event_print(event, getuid(), subjects, &payload);
    enum sg_status status = sg_leaf_sign(ledger->signer, payload.data, payload.len, &leaf);
    sg_merkle_leaf(leaf.data, leaf.len, hash);
    struct sg_event written = {0};
    if (status == SG_OK && leaf.len > SG_LEAF_BYTES_MAX)
        status = sg_fail(SG_USAGE, "%s: the record would take %zu bytes, %d is the most: shorten the configuration",
                         event->type, leaf.len, SG_LEAF_BYTES_MAX);
    if (status == SG_OK)
        status = insert_leaf(ledger, event, &leaf, hash);
    if (status == SG_OK)
        status = insert_nodes(ledger, hash);
    if (status == SG_OK)
        status = insert_checkpoint(ledger);
    if (status == SG_OK) /* what is derived comes from the bytes as signed, as it will for verify */
        status = sg_event_parse(payload.data, payload.len, &written);
    if (status == SG_OK)
        status = sg_derive_event(ledger->derive, &written);
    json_decref(written.statement);
    sg_buffer_free(&payload);
    sg_buffer_free(&leaf);
    memcpy(ledger->last_hash, hash, sizeof hash);
    ledger->last_ms = event->time_ms;
    return status;
}

enum sg_status sg_store_append(struct sg_ledger *ledger, const char *type, json_t *subjects, json_t *facts,
                               char event_id[33])
{
    char user[128], host[128];
    uint8_t random[16];
    int64_t now = now_ms();
    if (!event_id[0]) {
        SG_TRY(sg_random_bytes(random, sizeof random));
        sg_hex_encode(random, sizeof random, event_id);
    }
    sg_store_who(user, host);
    struct sg_event event = {
        .type = type,
        .origin = ledger->origin,
        .event_id = event_id,
        .user = user,
        .host = host,
        .seq = (int64_t)ledger->tree.size,
        .time_ms = now > ledger->last_ms ? now : ledger->last_ms, /* time in the ledger never runs back */
        .facts = facts,
    };
    if (ledger->tree.size)
        memcpy(event.prev, ledger->last_hash, sizeof event.prev);
    return insert_all(ledger, &event, subjects);
}

json_t *sg_store_subject(const char *name, const char *kind, const uint8_t digest[SG_DIGEST_BYTES])
{
    char hex[2 * SG_DIGEST_BYTES + 1];
    sg_hex_encode(digest, SG_DIGEST_BYTES, hex);
    json_t *subject = json_object(), *value = json_object(), *list = json_array();
    json_object_set_new(value, kind, json_string(hex));
    json_object_set_new(subject, "name", json_string(name));
    json_object_set_new(subject, "digest", value);
    json_array_append_new(list, subject);
    return list;
}
