/* What leaves the ledger: checkpoints, cosignatures of witnesses, and proofs about single events. All of it is text
 * that travels by any means; nothing here needs a network. */
#ifndef SG_AUDIT_EVIDENCE_H
#define SG_AUDIT_EVIDENCE_H

#include "audit/note.h"
#include "audit/proof.h"
#include "audit/trust.h"

/* The signed checkpoint of `size` events (0: the newest), with every cosignature that is stored for it. */
SG_MUST_USE enum sg_status sg_evidence_checkpoint(struct sg_ledger *ledger, int64_t size, struct sg_buffer *out);
/* The body of an add-checkpoint request (c2sp.org/tlog-witness): "old N", consistency proof, blank line, checkpoint. */
SG_MUST_USE enum sg_status sg_evidence_witness_request(struct sg_ledger *ledger, int64_t old_size,
                                                       struct sg_buffer *out);

/* A copy of the whole ledger by SQLite's own backup, never by copying the file; it is read back and compared, and gets
 * its name when it is whole. SG_USAGE when `path` exists. */
SG_MUST_USE enum sg_status sg_evidence_backup(struct sg_ledger *ledger, const char *path);
struct sg_compaction {
    int64_t bytes_before, bytes_after;
    char sentence[512]; /* the verdict on what the file now holds */
};
/* Packs ledger and side storage into as few pages as they need, so that nothing deleted stays in free ones; every row
 * of the ledger stays the same. Needs no key. SG_BROKEN when it does not verify, SG_FAILED when another program holds
 * it; the ledger is then as it was. */
SG_MUST_USE enum sg_status sg_evidence_compact(const char *path, const struct sg_trust *trust,
                                               struct sg_compaction *out);
/* Events after a checkpoint that the caller kept, as rows; SG_BROKEN when the ledger does not continue it. */
SG_MUST_USE enum sg_status sg_evidence_since(struct sg_ledger *ledger, const char *note, size_t n, json_t **rows);

/* A witness. Its whole memory of a ledger is one file in `folder`, named by the SHA-256 of the origin: the last
 * checkpoint it cosigned. The file is replaced atomically before the signature is given out. `log` is the ledger's key,
 * which the witness was told by other means. SG_BROKEN when the checkpoint does not continue the one remembered: the
 * request is kept as a file *.refused beside the remembered one, and the two together prove the fork. SG_USAGE, with
 * the size remembered in *old_size, when the request starts from another size. */
SG_MUST_USE enum sg_status sg_witness_cosign(const char *folder, const struct sg_signer *witness,
                                             const struct sg_trust *log, const char *request, size_t n, int64_t time_s,
                                             int64_t *old_size, struct sg_buffer *line);
/* The same, with the fault as the protocol over HTTP distinguishes it. */
enum sg_witness_fault {
    SG_WITNESS_NO_FAULT,
    SG_WITNESS_MALFORMED, /* 400 */
    SG_WITNESS_UNSIGNED,  /* 403: by no key that the witness was told of */
    SG_WITNESS_UNKNOWN,   /* 404: the origin */
    SG_WITNESS_CONFLICT,  /* 409: from another size than the one remembered, or another root at that size */
    SG_WITNESS_UNPROVEN,  /* 422: the consistency proof does not hold */
    SG_WITNESS_FAILED,    /* 500 */
};
SG_MUST_USE enum sg_status sg_witness_answer(const char *folder, const struct sg_signer *witness,
                                             const struct sg_trust *log, const char *request, size_t n, int64_t time_s,
                                             int64_t *old_size, enum sg_witness_fault *fault, struct sg_buffer *line);
/* The size remembered for an origin; 0: none. */
SG_MUST_USE enum sg_status sg_witness_size(const char *folder, const char *origin, int64_t *size);
/* The same through an opened ledger: request, cosign, store. What `sealgrad ledger witness FILE` does. */
SG_MUST_USE enum sg_status sg_witness_ledger(struct sg_ledger *ledger, const char *folder,
                                             const struct sg_signer *witness, const struct sg_trust *log,
                                             int64_t *size);
/* Stores a cosignature line for the checkpoint of `size` events. It is checked by whoever verifies with a policy. */
SG_MUST_USE enum sg_status sg_evidence_add_cosignature(struct sg_ledger *ledger, int64_t size, const char *line);

/* A proof file for one event (c2sp.org/tlog-proof@v1): header, extra data (the leaf's bytes), index, inclusion proof,
 * blank line, checkpoint. Anyone can check it without the ledger. */
SG_MUST_USE enum sg_status sg_evidence_proof(struct sg_ledger *ledger, int64_t seq, struct sg_buffer *out);
/* The same with the checkpoint of `size` events. */
SG_MUST_USE enum sg_status sg_evidence_proof_at(struct sg_ledger *ledger, int64_t seq, int64_t size,
                                                struct sg_buffer *out);

/* The same for a run's last event, written to `path`: what the trainer puts beside the model as run.proof after the
 * run's end. */
SG_MUST_USE enum sg_status sg_evidence_run_proof(struct sg_ledger *ledger, const struct sg_run *run, const char *path);

struct sg_proof_facts {
    struct sg_checkpoint checkpoint;
    int64_t seq;
    bool is_trusted, is_witnessed;
    int64_t time_ms;
    char type[64], event_id[64];
    struct sg_buffer payload; /* the statement's bytes; sg_buffer_free */
};
/* SG_BROKEN when anything does not hold; is_trusted and is_witnessed say what `trust` (may be NULL) adds. */
SG_MUST_USE enum sg_status sg_evidence_check_proof(const char *text, size_t n, const struct sg_trust *trust,
                                                   struct sg_proof_facts *out);

#endif
