/* The proof file of one event.
 *
 *   c2sp.org/tlog-proof@v1
 *   extra BASE64(leaf bytes)
 *   index SEQ
 *   BASE64(hash)            inclusion proof, from the leaf up
 *   ...
 *                           blank line
 *   checkpoint, as signed, with its cosignatures */
#include <stdlib.h>
#include <string.h>

#include "audit/evidence.h"
#include "audit/leaf.h"
#include "base/file.h"
#include "base/number.h"
#include "schema.h"
#include "store.h"

static const char header[] = "c2sp.org/tlog-proof@v1\n";

static enum sg_status append_leaf(struct sg_ledger *ledger, int64_t seq, struct sg_buffer *out)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT body FROM leaf WHERE seq = ?", &row));
    sg_db_bind(row, "i", seq);
    bool found = sqlite3_step(row) == SQLITE_ROW && sqlite3_column_type(row, 0) == SQLITE_BLOB;
    if (found)
        sg_base64_append(out, sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0));
    sqlite3_finalize(row);
    return found ? SG_OK : sg_fail(SG_USAGE, "the ledger has no leaf %lld", (long long)seq);
}

/* The newest size that a witness cosigned and that holds the leaf; else the newest. */
static enum sg_status choose_size(struct sg_ledger *ledger, int64_t seq, int64_t *size)
{
    SG_TRY(sg_db_number(ledger->db, "SELECT max(size) FROM cosignature", size));
    if (*size <= seq || *size > (int64_t)ledger->tree.size)
        *size = (int64_t)ledger->tree.size;
    return SG_OK;
}

enum sg_status sg_evidence_proof_at(struct sg_ledger *ledger, int64_t seq, int64_t size, struct sg_buffer *out)
{
    struct sg_proof proof;
    if (seq < 0 || seq >= size || size > (int64_t)ledger->tree.size)
        return sg_fail(SG_USAGE, "the ledger has no leaf %lld", (long long)seq);
    SG_TRY(sg_proof_inclusion(sg_store_node, ledger->db, (uint64_t)seq, (uint64_t)size, &proof));
    sg_buffer_text(out, header);
    sg_buffer_text(out, "extra ");
    SG_TRY(append_leaf(ledger, seq, out));
    sg_buffer_printf(out, "\nindex %lld\n", (long long)seq);
    for (size_t i = 0; i < proof.n; i++) {
        sg_base64_append(out, proof.hash[i], SG_DIGEST_BYTES);
        sg_buffer_text(out, "\n");
    }
    sg_buffer_text(out, "\n");
    return sg_evidence_checkpoint(ledger, size, out);
}

enum sg_status sg_evidence_proof(struct sg_ledger *ledger, int64_t seq, struct sg_buffer *out)
{
    int64_t size = 0;
    if (seq < 0 || seq >= (int64_t)ledger->tree.size)
        return sg_fail(SG_USAGE, "the ledger has no leaf %lld", (long long)seq);
    SG_TRY(choose_size(ledger, seq, &size));
    return sg_evidence_proof_at(ledger, seq, size, out);
}

enum sg_status sg_evidence_run_proof(struct sg_ledger *ledger, const struct sg_run *run, const char *path)
{
    struct sg_buffer text = {0};
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT coalesce(end_leaf, start_leaf) FROM run WHERE run_id = ?", &row));
    sg_db_bind(row, "t", run->run_id);
    int64_t seq = sqlite3_step(row) == SQLITE_ROW ? sqlite3_column_int64(row, 0) : -1;
    sqlite3_finalize(row);
    enum sg_status status = sg_evidence_proof(ledger, seq, &text);
    if (status == SG_OK)
        status = sg_file_write(path, text.data, text.len, 0644);
    sg_buffer_free(&text);
    return status;
}

struct parts {
    uint8_t *leaf;
    size_t leaf_len;
    int64_t seq;
    struct sg_proof proof;
    const char *note;
    size_t note_len;
};

static bool take(const char **at, const char *end, const char *label, const char **value, size_t *len)
{
    const char *feed = memchr(*at, '\n', (size_t)(end - *at));
    size_t n = strlen(label);
    if (!feed || (size_t)(feed - *at) < n || memcmp(*at, label, n) != 0)
        return false;
    *value = *at + n;
    *len = (size_t)(feed - *value);
    *at = feed + 1;
    return true;
}

static bool parse(const char *text, size_t n, struct parts *out)
{
    const char *at = text, *end = text + n, *value;
    size_t len;
    *out = (struct parts){0};
    if (n == 0 || !take(&at, end, "c2sp.org/tlog-proof@v1", &value, &len) || len != 0)
        return false;
    if (!take(&at, end, "extra ", &value, &len) || !sg_base64_decode(value, len, &out->leaf, &out->leaf_len))
        return false;
    if (!take(&at, end, "index ", &value, &len) || !sg_number_int64(value, len, &out->seq) || out->seq < 0)
        return false;
    while (take(&at, end, "", &value, &len) && len > 0) {
        uint8_t *hash = NULL;
        size_t hash_len = 0;
        bool good = out->proof.n < 63 && sg_base64_decode(value, len, &hash, &hash_len) && hash_len == SG_DIGEST_BYTES;
        if (good)
            memcpy(out->proof.hash[out->proof.n++], hash, SG_DIGEST_BYTES);
        free(hash);
        if (!good)
            return false;
    }
    out->note = at;
    out->note_len = (size_t)(end - at);
    return at < end;
}

/* Who signed the checkpoint, among those that are trusted. */
static enum sg_status check_note(const struct parts *parts, const struct sg_trust *trust, struct sg_proof_facts *out)
{
    struct sg_note_check check;
    struct sg_vkey keys[SG_TRUST_LOGS_MAX];
    size_t n_logs = trust ? trust->n_logs : 0;
    SG_TRY(sg_note_verify(parts->note, parts->note_len, NULL, 0, &check));
    SG_TRY(sg_checkpoint_parse(parts->note, check.text_len, &out->checkpoint));
    for (size_t i = 0; i < n_logs; i++)
        SG_TRY(
            sg_vkey_rename(&trust->logs[i], trust->is_policy ? trust->logs[i].name : out->checkpoint.origin, &keys[i]));
    SG_TRY(sg_note_verify(parts->note, parts->note_len, keys, n_logs, &check));
    for (size_t i = 0; i < n_logs; i++)
        out->is_trusted |= check.verified >> i & 1 && strcmp(keys[i].name, out->checkpoint.origin) == 0;
    if (trust && !out->is_trusted)
        return sg_fail(SG_BROKEN, "proof: its checkpoint is not signed by the key you trust");
    if (!trust)
        return SG_OK;
    SG_TRY(sg_note_verify(parts->note, parts->note_len, trust->witnesses, trust->n_witnesses, &check));
    out->is_witnessed = sg_trust_quorum(trust, check.verified);
    return SG_OK;
}

/* The event inside: it must say itself that it stands in this place of this ledger. */
static enum sg_status check_event(const struct parts *parts, struct sg_proof_facts *out)
{
    struct sg_envelope envelope;
    struct sg_event event;
    SG_TRY(sg_envelope_parse((const char *)parts->leaf, parts->leaf_len, &envelope));
    enum sg_status status =
        sg_event_parse(envelope.payload.data ? envelope.payload.data : "", envelope.payload.len, &event);
    if (status == SG_OK && (event.seq != parts->seq || strcmp(event.origin, out->checkpoint.origin) != 0))
        status = sg_fail(SG_BROKEN, "proof: the event says that it stands elsewhere");
    if (status == SG_OK) {
        out->time_ms = event.time_ms;
        snprintf(out->type, sizeof out->type, "%s", event.type);
        snprintf(out->event_id, sizeof out->event_id, "%s", event.event_id);
        sg_buffer_append(&out->payload, envelope.payload.data, envelope.payload.len);
    }
    json_decref(event.statement);
    sg_envelope_free(&envelope);
    return status;
}

static enum sg_status check(const struct parts *parts, const struct sg_trust *trust, struct sg_proof_facts *out)
{
    uint8_t hash[SG_DIGEST_BYTES];
    SG_TRY(check_note(parts, trust, out));
    out->seq = parts->seq;
    sg_merkle_leaf(parts->leaf, parts->leaf_len, hash);
    if (!sg_proof_check_inclusion(hash, (uint64_t)parts->seq, (uint64_t)out->checkpoint.size, out->checkpoint.root,
                                  &parts->proof))
        return sg_fail(SG_BROKEN, "proof: the event is not in the tree that the checkpoint signs");
    return check_event(parts, out);
}

enum sg_status sg_evidence_check_proof(const char *text, size_t n, const struct sg_trust *trust,
                                       struct sg_proof_facts *out)
{
    struct parts parts;
    *out = (struct sg_proof_facts){0};
    enum sg_status status = parse(text, n, &parts) ? check(&parts, trust, out)
                                                   : sg_fail(SG_BROKEN, "proof: not a tlog-proof file of this program");
    free(parts.leaf);
    if (status != SG_OK)
        sg_buffer_free(&out->payload);
    return status;
}
