/* Format evidence: one run without the others, for somebody who has neither the ledger nor a reason to trust its owner.
 *
 *   README.txt              what this is, and the commands that check it
 *   leaf-N-TYPE.proof       the leaf's bytes, its inclusion proof and a signed checkpoint (c2sp.org/tlog-proof)
 *   leaf-N-TYPE.json        the same leaf's statement, for reading only
 *   checkpoint              the newest checkpoint with its cosignatures
 *   ledger.pub              the key that the ledger names for itself, to be compared with the one given by other means
 *   timestamp-N.tst         where there is one: the token over the first stamped checkpoint that covers a leaf, of N
 * events leaf-N.stamped.proof    the leaf's proof with that checkpoint SHA256SUMS              for sha256sum -c */
#include <stdlib.h>
#include <string.h>

#include "audit/evidence.h"
#include "audit/query.h"
#include "audit/timestamp.h"
#include "export.h"
#include "schema.h"

struct bundle {
    struct sg_export *into;
    struct sg_buffer sums, list, stamps;
    int64_t stamped; /* the size whose token was written last: leaves come in order */
};

static enum sg_status add(struct bundle *bundle, const char *path, const struct sg_buffer *text)
{
    uint8_t digest[SG_DIGEST_BYTES];
    char hex[65];
    sg_sha256(text->data ? text->data : "", text->len, digest);
    sg_hex_encode(digest, sizeof digest, hex);
    sg_buffer_printf(&bundle->sums, "%s  %s\n", hex, path);
    return sg_export_text(bundle->into, path, text);
}

static enum sg_status add_statement(struct bundle *bundle, const char *stem, int64_t seq)
{
    struct sg_buffer body = {0}, text = {0};
    struct sg_envelope envelope = {0};
    char *path = sg_format("%s.json", stem);
    enum sg_status status = sg_export_leaf(bundle->into->ledger, seq, &body);
    if (status == SG_OK)
        status = sg_envelope_parse(body.data ? body.data : "", body.len, &envelope);
    if (status == SG_OK) {
        sg_buffer_append(&text, envelope.payload.data, envelope.payload.len); /* as signed, byte for byte */
        status = add(bundle, path, &text);
    }
    sg_envelope_free(&envelope);
    sg_buffer_free(&text);
    sg_buffer_free(&body);
    free(path);
    return status;
}

static enum sg_status add_leaf(struct bundle *bundle, int64_t seq)
{
    json_t *statement = NULL;
    struct sg_buffer proof = {0};
    SG_TRY(sg_query_leaf(bundle->into->ledger, seq, &statement));
    static const char prefix[] = "urn:sealgrad:event:";
    const char *uri = sg_export_member(statement, "predicateType");
    const char *from = strncmp(uri, prefix, sizeof prefix - 1) == 0 ? uri + sizeof prefix - 1 : "event";
    char *type = sg_format("%.*s", (int)strcspn(from, ":"), from), *safe = sg_export_name(type);
    char *stem = sg_format("leaf-%06lld-%s", (long long)seq, safe), *path = sg_format("%s.proof", stem);
    enum sg_status status = sg_evidence_proof(bundle->into->ledger, seq, &proof);
    if (status == SG_OK)
        status = add(bundle, path, &proof);
    if (status == SG_OK)
        status = add_statement(bundle, stem, seq);
    sg_buffer_printf(&bundle->list, "  leaf %-6lld %-17s %s\n", (long long)seq, type, path);
    sg_buffer_free(&proof);
    free(path);
    free(stem);
    free(safe);
    free(type);
    json_decref(statement);
    return status;
}

static enum sg_status add_token(struct bundle *bundle, int64_t size)
{
    struct sg_buffer token = {0};
    char *path = sg_format("timestamp-%lld.tst", (long long)size);
    enum sg_status status = sg_evidence_timestamp(bundle->into->ledger, size, &token);
    if (status == SG_OK)
        status = add(bundle, path, &token);
    bundle->stamped = size;
    sg_buffer_free(&token);
    free(path);
    return status;
}

/* The leaf's earliest date by somebody else's clock, if any. */
static enum sg_status add_stamp(struct bundle *bundle, int64_t seq)
{
    int64_t size, time_s;
    struct sg_buffer proof = {0};
    char time[40];
    SG_TRY(sg_evidence_stamp_of(bundle->into->ledger, seq, &size, &time_s));
    if (size == 0)
        return SG_OK;
    char *path = sg_format("leaf-%06lld.stamped.proof", (long long)seq);
    enum sg_status status = size == bundle->stamped ? SG_OK : add_token(bundle, size);
    if (status == SG_OK)
        status = sg_evidence_proof_at(bundle->into->ledger, seq, size, &proof);
    if (status == SG_OK)
        status = add(bundle, path, &proof);
    sg_query_time(time_s * 1000, time);
    sg_buffer_printf(&bundle->stamps, "  leaf %-6lld by %s   %s, timestamp-%lld.tst\n", (long long)seq, time, path,
                     (long long)size);
    sg_buffer_free(&proof);
    free(path);
    return status;
}

/* The key that signs the checkpoints in this bundle, under the ledger's origin. */
static enum sg_status add_key(struct bundle *bundle, const struct sg_buffer *note)
{
    struct sg_vkey keys[64];
    struct sg_note_check check;
    struct sg_buffer text = {0};
    size_t n = 0, i = 0;
    SG_TRY(sg_store_note_keys(bundle->into->ledger->db, keys, &n));
    SG_TRY(sg_note_verify(note->data, note->len, keys, n, &check));
    while (i < n && !(check.verified >> i & 1))
        i++;
    if (i == n)
        return sg_fail(SG_BROKEN, "the newest checkpoint is signed by no key of this ledger");
    sg_vkey_print(&keys[i], &text);
    sg_buffer_text(&text, "\n");
    enum sg_status status = add(bundle, "ledger.pub", &text);
    sg_buffer_free(&text);
    return status;
}

static enum sg_status add_checkpoint(struct bundle *bundle)
{
    struct sg_buffer note = {0};
    int64_t size = 0;
    SG_TRY(sg_db_number(bundle->into->ledger->db, "SELECT max(size) FROM cosignature", &size));
    if (size > (int64_t)bundle->into->ledger->tree.size)
        size = 0;
    enum sg_status status = sg_evidence_checkpoint(bundle->into->ledger, size, &note);
    if (status == SG_OK)
        status = add(bundle, "checkpoint", &note);
    if (status == SG_OK)
        status = add_key(bundle, &note);
    sg_buffer_free(&note);
    return status;
}

static enum sg_status add_readme(struct bundle *bundle, const struct sg_export_run *run)
{
    struct sg_buffer text = {0};
    sg_buffer_printf(
        &text,
        "Evidence for run %s (%s) of the ledger %s, without its other runs.\n\n"
        "Check every leaf, with the ledger's public key as you were given it by other means (ledger.pub is only what "
        "the\n"
        "ledger says of itself: compare). Use the policy file instead of the key where there are witnesses.\n\n"
        "  for p in leaf-*.proof; do sealgrad ledger verify \"$p\" --trust KEY_YOU_WERE_GIVEN.pub || echo \"NOT "
        "PROVEN: $p\"; done\n\n"
        "Each must say PROVEN (exit status 0). Without a witness the status is 4 and the line says so; "
        "--allow-unwitnessed\n"
        "accepts that. The proofs are c2sp.org/tlog-proof files: any other program that reads them will do. The .json "
        "files\n"
        "repeat the statements for reading and prove nothing by themselves. Whether this folder arrived whole:\n\n"
        "  sha256sum -c SHA256SUMS\n\n"
        "What is here:\n\n%s\n"
        "What this shows: that these events are in the ledger, as signed, in this order. What it does not show: that "
        "the\n"
        "ledger has no other events about this run's data (ask for sealgrad ledger verify on the whole ledger, and for "
        "the\n"
        "budget of the population), nor anything that the ledger does not record.\n",
        run->run_id, run->status, bundle->into->ledger->origin, bundle->list.data ? bundle->list.data : "");
    if (bundle->stamps.len)
        sg_buffer_printf(&text,
                         "\nWhen a time stamp authority had seen it (RFC 3161). A token stamps the three lines of the "
                         "checkpoint that stands in\n"
                         "the .stamped.proof; ca.pem has the authority's certificates, as you were given them by other "
                         "means:\n\n"
                         "  sed '1,/^$/d' LEAF.stamped.proof | head -3 > text\n"
                         "  openssl ts -verify -data text -in TOKEN.tst -token_in -CAfile ca.pem\n\n%s",
                         bundle->stamps.data);
    enum sg_status status = add(bundle, "README.txt", &text);
    sg_buffer_free(&text);
    return status;
}

static enum sg_status add_run(struct sg_export *into, const struct sg_export_run *run, void *context)
{
    struct bundle *bundle = context;
    int64_t *seqs, run_no = json_integer_value(json_object_get(run->row, "run_no"));
    size_t n;
    SG_TRY(sg_export_leaves_of(into->ledger, run_no, &seqs, &n));
    enum sg_status status = SG_OK;
    for (size_t i = 0; i < n && status == SG_OK; i++)
        status = add_leaf(bundle, seqs[i]);
    for (size_t i = 0; i < n && status == SG_OK; i++)
        status = add_stamp(bundle, seqs[i]);
    free(seqs);
    SG_TRY(status);
    SG_TRY(add_checkpoint(bundle));
    SG_TRY(add_readme(bundle, run));
    return sg_export_text(into, "SHA256SUMS", &bundle->sums);
}

enum sg_status sg_export_evidence(struct sg_export *into, const char *run)
{
    struct bundle bundle = {.into = into};
    enum sg_status status = sg_export_runs(into, run, add_run, &bundle);
    sg_buffer_free(&bundle.sums);
    sg_buffer_free(&bundle.list);
    sg_buffer_free(&bundle.stamps);
    return status;
}
