#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "audit/evidence.h"
#include "base/file.h"
#include "base/number.h"
#include "schema.h"
#include "store.h"

/* ---- From the ledger. */
static enum sg_status append_cosignatures(struct sg_ledger *ledger, int64_t size, struct sg_buffer *out)
{
    sqlite3_stmt *rows = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT line FROM cosignature WHERE size = ? ORDER BY witness", &rows));
    sg_db_bind(rows, "i", size);
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW)
        sg_buffer_text(out, (const char *)sqlite3_column_text(rows, 0));
    sqlite3_finalize(rows);
    return code == SQLITE_DONE ? SG_OK : sg_db_fail(ledger->db, "reading");
}

enum sg_status sg_evidence_checkpoint(struct sg_ledger *ledger, int64_t size, struct sg_buffer *out)
{
    sqlite3_stmt *row = NULL;
    if (size == 0)
        size = (int64_t)ledger->tree.size;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT note FROM checkpoint WHERE size = ?", &row));
    sg_db_bind(row, "i", size);
    bool found = sqlite3_step(row) == SQLITE_ROW && sqlite3_column_type(row, 0) == SQLITE_TEXT;
    if (found)
        sg_buffer_text(out, (const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    if (!found)
        return sg_fail(SG_USAGE, "the ledger has no checkpoint of %lld events", (long long)size);
    return append_cosignatures(ledger, size, out);
}

static void append_hashes(const struct sg_proof *proof, struct sg_buffer *out)
{
    for (size_t i = 0; i < proof->n; i++) {
        sg_base64_append(out, proof->hash[i], SG_DIGEST_BYTES);
        sg_buffer_text(out, "\n");
    }
}

enum sg_status sg_evidence_witness_request(struct sg_ledger *ledger, int64_t old_size, struct sg_buffer *out)
{
    struct sg_proof proof = {0};
    int64_t size = (int64_t)ledger->tree.size;
    if (old_size < 0 || old_size > size)
        return sg_fail(
            SG_BROKEN,
            "the witness has seen %lld events, this ledger has %lld: it is an older copy, or its end was cut off",
            (long long)old_size, (long long)size);
    if (old_size > 0)
        SG_TRY(sg_proof_consistency(sg_store_node, ledger->db, (uint64_t)old_size, (uint64_t)size, &proof));
    sg_buffer_printf(out, "old %lld\n", (long long)old_size);
    append_hashes(&proof, out);
    sg_buffer_text(out, "\n");
    return sg_evidence_checkpoint(ledger, size, out);
}

enum sg_status sg_evidence_add_cosignature(struct sg_ledger *ledger, int64_t size, const char *line)
{
    static const char dash[] = "\xe2\x80\x94 ";
    size_t len = strlen(line), skip = sizeof dash - 1;
    const char *blank = len > skip ? strchr(line + skip, ' ') : NULL;
    if (!blank || strncmp(line, dash, skip) != 0 || line[len - 1] != '\n' || strchr(line, '\n') != line + len - 1 ||
        blank == line + skip || len > 1024)
        return sg_fail(SG_USAGE, "not a cosignature: expected one signature line of a signed note");
    char *witness = sg_format("%.*s", (int)(blank - line - (ptrdiff_t)skip), line + skip);
    enum sg_status status =
        sg_db_write(ledger->db, "storing a cosignature", "INSERT INTO cosignature VALUES(?,?,?) ON CONFLICT DO NOTHING",
                    "itt", size, witness, line);
    free(witness);
    return status;
}

/* ---- The witness. */
static char *memory_path(const char *folder, const char *origin, const char *kind)
{
    uint8_t digest[SG_DIGEST_BYTES];
    char hex[2 * SG_DIGEST_BYTES + 1];
    sg_sha256(origin, strlen(origin), digest);
    sg_hex_encode(digest, SG_DIGEST_BYTES, hex);
    return sg_format("%s/%s.%s", folder, hex, kind);
}

/* *out has size 0 when nothing is remembered. */
static enum sg_status read_memory(const char *folder, const char *origin, struct sg_checkpoint *out)
{
    char *path = memory_path(folder, origin, "checkpoint");
    struct sg_buffer text = {0};
    struct sg_note_check note;
    enum sg_status status = SG_OK;
    *out = (struct sg_checkpoint){0};
    if (sg_file_exists(path)) {
        status = sg_file_read(path, "witness's memory", SG_NOTE_BYTES_MAX, &text);
        if (status == SG_OK &&
            (sg_note_verify(text.data ? text.data : "", text.len, NULL, 0, &note) != SG_OK ||
             sg_checkpoint_parse(text.data, note.text_len, out) != SG_OK || strcmp(out->origin, origin) != 0))
            status = sg_fail(SG_FAILED,
                             "%s: the witness's memory is damaged; it must not cosign until a person has looked", path);
    }
    sg_buffer_free(&text);
    free(path);
    return status;
}

enum sg_status sg_witness_size(const char *folder, const char *origin, int64_t *size)
{
    struct sg_checkpoint memory;
    SG_TRY(read_memory(folder, origin, &memory));
    *size = memory.size;
    return SG_OK;
}

struct request {
    enum sg_witness_fault fault; /* set before the functions below fail */
    const char *bytes;           /* the whole of it */
    size_t n;
    int64_t old_size;
    struct sg_proof proof;
    const char *note;
    size_t note_len, text_len;
    struct sg_checkpoint checkpoint;
};

static bool take_hash(const char *line, size_t len, struct sg_proof *proof)
{
    uint8_t *hash = NULL;
    size_t n = 0;
    bool good = proof->n < 63 && sg_base64_decode(line, len, &hash, &n) && n == SG_DIGEST_BYTES;
    if (good)
        memcpy(proof->hash[proof->n++], hash, SG_DIGEST_BYTES);
    free(hash);
    return good;
}

static bool parse_request(const char *text, size_t n, struct request *out)
{
    const char *end = text + n, *feed = n ? memchr(text, '\n', n) : NULL;
    *out = (struct request){.bytes = text, .n = n};
    if (!feed || strncmp(text, "old ", 4) != 0 || text[4] == '-' ||
        !sg_number_int64(text + 4, (size_t)(feed - text - 4), &out->old_size))
        return false;
    for (const char *line = feed + 1; line < end; line = feed + 1) {
        feed = memchr(line, '\n', (size_t)(end - line));
        if (!feed)
            return false;
        if (feed == line) {
            out->note = feed + 1;
            out->note_len = (size_t)(end - out->note);
            return out->note_len > 0;
        }
        if (!take_hash(line, (size_t)(feed - line), &out->proof))
            return false;
    }
    return false;
}

/* The checkpoint must be signed by a log that the witness was told of. */
static enum sg_status check_request(const char *text, size_t n, const struct sg_trust *log, struct request *out)
{
    struct sg_vkey keys[SG_TRUST_LOGS_MAX];
    struct sg_note_check check;
    bool parsed = parse_request(text, n, out);
    out->fault = SG_WITNESS_MALFORMED;
    if (!parsed)
        return sg_fail(SG_USAGE,
                       "not a witness request: expected \"old N\", a consistency proof, a blank line and a checkpoint");
    SG_TRY(sg_note_verify(out->note, out->note_len, NULL, 0, &check));
    SG_TRY(sg_checkpoint_parse(out->note, check.text_len, &out->checkpoint));
    bool known = !log->is_policy; /* a .pub file does not say which origin */
    for (size_t i = 0; i < log->n_logs; i++)
        known |= strcmp(log->logs[i].name, out->checkpoint.origin) == 0;
    out->fault = known ? SG_WITNESS_UNSIGNED : SG_WITNESS_UNKNOWN;
    for (size_t i = 0; i < log->n_logs; i++) /* a .pub file bears the key's own name: what signs is the origin's */
        SG_TRY(sg_vkey_rename(&log->logs[i], log->is_policy ? log->logs[i].name : out->checkpoint.origin, &keys[i]));
    SG_TRY(sg_note_verify(out->note, out->note_len, keys, log->n_logs, &check));
    known = false;
    for (size_t i = 0; i < log->n_logs; i++)
        known |= check.verified >> i & 1 && strcmp(keys[i].name, out->checkpoint.origin) == 0;
    out->text_len = check.text_len;
    if (!known)
        return sg_fail(SG_BROKEN, "the checkpoint is not signed by a ledger key that this witness was told of");
    out->fault = SG_WITNESS_MALFORMED;
    return out->old_size <= out->checkpoint.size
               ? SG_OK
               : sg_fail(SG_USAGE, "the request starts from more events than its checkpoint has");
}

static enum sg_status check_continues(struct request *request, const struct sg_checkpoint *memory)
{
    request->fault = SG_WITNESS_UNPROVEN;
    if (memory->size == 0)
        return request->proof.n == 0 ? SG_OK : sg_fail(SG_USAGE, "the first request to a witness has no proof");
    if (request->checkpoint.size <= memory->size)
        request->fault = SG_WITNESS_CONFLICT;
    if (request->checkpoint.size < memory->size)
        return sg_fail(
            SG_BROKEN,
            "the witness has seen %lld events, this checkpoint has %lld: it is an older copy, or its end was cut off",
            (long long)memory->size, (long long)request->checkpoint.size);
    if (sg_proof_check_consistency((uint64_t)memory->size, memory->root, (uint64_t)request->checkpoint.size,
                                   request->checkpoint.root, &request->proof))
        return SG_OK;
    return sg_fail(
        SG_BROKEN,
        "this checkpoint does not continue the %lld events that the witness has cosigned: two ledgers carry the origin "
        "%s; the request is kept beside the witness's file, together they prove it",
        (long long)memory->size, memory->origin);
}

/* One request at a time: two that start from the same size could be cosigned for two different ledgers. */
static enum sg_status lock_memory(const char *folder, int *lock)
{
    char *path = sg_format("%s/lock", folder);
    SG_TRY(sg_folder_make(folder));
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    enum sg_status status = SG_OK;
    if (*lock < 0 || flock(*lock, LOCK_EX))
        status = sg_fail(SG_FAILED, "%s: the witness's memory cannot be locked: %s", path, strerror(errno));
    if (status != SG_OK && *lock >= 0)
        close(*lock);
    free(path);
    return status;
}

/* What the ledger's key signed and the memory contradicts is evidence. Only the last one is kept: a witness's disk
 * cannot be filled from outside. */
static enum sg_status keep_refused(const char *folder, const struct request *request, enum sg_status refusal)
{
    char *text = sg_strdup(sg_error_text()), *path = memory_path(folder, request->checkpoint.origin, "refused");
    enum sg_status status = sg_file_write(path, request->bytes, request->n, 0644);
    if (status == SG_OK)
        status = sg_fail(refusal, "%s", text);
    free(text);
    free(path);
    return status;
}

static enum sg_status cosign_locked(const char *folder, const struct sg_signer *witness, struct request *request,
                                    int64_t time_s, int64_t *old_size, struct sg_buffer *line)
{
    struct sg_checkpoint memory;
    struct sg_vkey key;
    request->fault = SG_WITNESS_FAILED;
    SG_TRY(read_memory(folder, request->checkpoint.origin, &memory));
    *old_size = memory.size;
    request->fault = SG_WITNESS_CONFLICT;
    if (request->old_size != memory.size && request->checkpoint.size >= memory.size)
        return sg_fail(SG_USAGE,
                       "the witness has seen %lld events of this ledger, the request starts from %lld: make it anew",
                       (long long)memory.size, (long long)request->old_size);
    enum sg_status status = check_continues(request, &memory);
    if (status == SG_BROKEN)
        status = keep_refused(folder, request, status);
    SG_TRY(status);
    request->fault = SG_WITNESS_FAILED;
    SG_TRY(sg_vkey_cosigner(sg_signer_vkey(witness), &key));
    char *path = memory_path(folder, request->checkpoint.origin, "checkpoint");
    status = sg_file_write(path, request->note, request->note_len, 0644); /* before the signature leaves */
    free(path);
    if (status == SG_OK)
        status = sg_note_sign(witness, &key, request->note, request->text_len, (uint64_t)time_s, line);
    return status;
}

static enum sg_status cosign(const char *folder, const struct sg_signer *witness, int64_t time_s,
                             struct request *request, int64_t *old_size, struct sg_buffer *line)
{
    int lock;
    request->fault = SG_WITNESS_FAILED;
    SG_TRY(lock_memory(folder, &lock));
    enum sg_status status = cosign_locked(folder, witness, request, time_s, old_size, line);
    close(lock); /* which releases it */
    return status;
}

enum sg_status sg_witness_answer(const char *folder, const struct sg_signer *witness, const struct sg_trust *log,
                                 const char *request, size_t n, int64_t time_s, int64_t *old_size,
                                 enum sg_witness_fault *fault, struct sg_buffer *line)
{
    struct request parsed;
    enum sg_status status = check_request(request, n, log, &parsed);
    if (status == SG_OK)
        status = cosign(folder, witness, time_s, &parsed, old_size, line);
    *fault = status == SG_OK ? SG_WITNESS_NO_FAULT : parsed.fault;
    return status;
}

enum sg_status sg_witness_cosign(const char *folder, const struct sg_signer *witness, const struct sg_trust *log,
                                 const char *request, size_t n, int64_t time_s, int64_t *old_size,
                                 struct sg_buffer *line)
{
    enum sg_witness_fault fault;
    return sg_witness_answer(folder, witness, log, request, n, time_s, old_size, &fault, line);
}

enum sg_status sg_witness_ledger(struct sg_ledger *ledger, const char *folder, const struct sg_signer *witness,
                                 const struct sg_trust *log, int64_t *size)
{
    struct sg_buffer request = {0}, line = {0};
    int64_t old_size = 0;
    *size = (int64_t)ledger->tree.size;
    enum sg_status status = sg_witness_size(folder, ledger->origin, &old_size);
    if (status == SG_OK)
        status = sg_evidence_witness_request(ledger, old_size, &request);
    if (status == SG_OK)
        status =
            sg_witness_cosign(folder, witness, log, request.data, request.len, (int64_t)time(NULL), &old_size, &line);
    if (status == SG_OK)
        status = sg_evidence_add_cosignature(ledger, *size, line.data);
    sg_buffer_free(&request);
    sg_buffer_free(&line);
    return status;
}
