/* A leaf: the bytes of one event as signed. A DSSE envelope (payload type application/vnd.in-toto+json) over an in-toto
 * Statement v1. The bytes are stored and hashed as they are; nothing is ever serialised again.
 *
 * predicate = {origin, seq, event_id, time, time_ms, prev, by: {user, uid, host}, facts}
 * predicateType = "urn:sealgrad:event:TYPE:1". docs/ledger.md lists the facts of every type. */
#ifndef SG_AUDIT_LEAF_H
#define SG_AUDIT_LEAF_H

#include "audit/key.h"
#include "base/json.h"

#define SG_LEAF_PAYLOAD_TYPE "application/vnd.in-toto+json"
#define SG_LEAF_STATEMENT_TYPE "https://in-toto.io/Statement/v1"
enum { SG_LEAF_BYTES_MAX = 65535 }; /* the limit of a tlog-tiles entry */

/* DSSE v1 pre-authentication encoding. */
void sg_dsse_pae(const char *type, const void *body, size_t n, struct sg_buffer *out);
/* Appends the envelope's bytes. */
void sg_leaf_sign(const struct sg_signer *signer, const void *payload, size_t n, struct sg_buffer *out);

struct sg_envelope {
    struct sg_buffer payload;
    char key_label[65]; /* the hint, not authenticated */
    uint8_t signature[SG_SIGNATURE_BYTES];
};
/* Strict: exactly the members we write, one signature. SG_BROKEN otherwise. Free with sg_envelope_free. */
SG_MUST_USE enum sg_status sg_envelope_parse(const char *bytes, size_t n, struct sg_envelope *out);
/* The statement's bytes without reading the envelope as JSON, when it begins as we write it; else by sg_envelope_parse.
 * For bytes that are authenticated by the tree. `out` is emptied first. */
SG_MUST_USE enum sg_status sg_leaf_payload(const char *bytes, size_t n, struct sg_buffer *out);
void sg_envelope_free(struct sg_envelope *envelope);
bool sg_envelope_verify(const struct sg_envelope *envelope, const uint8_t public_key[SG_PUBLIC_KEY_BYTES]);

/* What a statement says about itself; strings are borrowed from `statement`. */
struct sg_event {
    json_t *statement; /* owned */
    const char *type, *origin, *event_id, *user, *host;
    int64_t seq, time_ms;
    uint8_t prev[SG_DIGEST_BYTES]; /* leaf hash of the event before; zeros for the first */
    json_t *facts;                 /* borrowed */
};
/* SG_BROKEN naming what is missing or malformed. json_decref(out->statement) when done. */
SG_MUST_USE enum sg_status sg_event_parse(const char *payload, size_t n, struct sg_event *out);
/* The payload of an event; `subjects` is the in-toto subject list (borrowed, at least one), `facts` borrowed. */
void sg_event_print(const struct sg_event *event, int64_t uid, json_t *subjects, struct sg_buffer *out);

#endif
