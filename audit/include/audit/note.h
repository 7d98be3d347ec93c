/* Signed notes, checkpoints and cosignatures exactly as C2SP has them (signed-note, tlog-checkpoint, tlog-cosignature).
 *
 * note       = text, blank line, one or more lines "— name base64(key id || signature)"
 * checkpoint = note whose text is "origin\nsize\nbase64(root)\n" and perhaps extension lines
 * cosignature= note line of type 0x04: key id || u64be seconds || signature over "cosignature/v1\ntime S\n" || text */
#ifndef SG_AUDIT_NOTE_H
#define SG_AUDIT_NOTE_H

#include "audit/key.h"

enum { SG_NOTE_SIGNATURES_MAX = 64, SG_NOTE_BYTES_MAX = 1 << 16 };

/* Appends the signature line of `signer` under the name and type of `key` (its public key must be the signer's).
 * `time_s` counts for type 0x04 only. `text` ends with a line feed. SG_FAILED when the signer does not sign. */
SG_MUST_USE enum sg_status sg_note_sign(const struct sg_signer *signer, const struct sg_vkey *key, const char *text,
                                        size_t text_len, uint64_t time_s, struct sg_buffer *out);

struct sg_note_check {
    size_t text_len;     /* of the signed text, with its last line feed */
    size_t n_signatures; /* lines */
    uint64_t verified;   /* bit i: keys[i] signed this text */
    uint64_t time_s[64]; /* of a cosignature by keys[i] */
};
/* SG_BROKEN when the note is malformed, or when a line carries the name and id of one of `keys` (at most 64) and does
 * not verify. Lines of unknown keys are skipped. That nobody known signed is not an error: look at `verified`. */
SG_MUST_USE enum sg_status sg_note_verify(const char *note, size_t n, const struct sg_vkey *keys, size_t n_keys,
                                          struct sg_note_check *out);

/* Digest of the signed text: what a time stamp stamps. SG_BROKEN when the note is malformed. */
SG_MUST_USE enum sg_status sg_note_digest(const char *note, size_t n, uint8_t out[SG_DIGEST_BYTES]);

struct sg_checkpoint {
    char origin[SG_NAME_MAX];
    int64_t size;
    uint8_t root[SG_DIGEST_BYTES];
};
void sg_checkpoint_print(const struct sg_checkpoint *checkpoint, struct sg_buffer *out);
/* The text of a note (not its signatures). SG_BROKEN when it is not a checkpoint. */
SG_MUST_USE enum sg_status sg_checkpoint_parse(const char *text, size_t n, struct sg_checkpoint *out);

#endif
