/* What a person signs under a decision, and how it stands in the event. */
#ifndef SG_AUDIT_HUMAN_H
#define SG_AUDIT_HUMAN_H

#include "audit/sshsig.h"
#include "base/json.h"

struct sg_human {
    struct sg_sshsig signature; /* borrows from `bytes` */
    struct sg_buffer bytes;     /* sg_human_free */
    char nonce[33];
    char name[128]; /* as it was resolved when written; "" */
};

/* The document: what `ledger approve --draft` writes, rebuilt from the event. `type` is the event's. SG_BROKEN when a
 * text would not stand on one line. */
SG_MUST_USE enum sg_status sg_human_document(const char *origin, const char *type, const json_t *facts,
                                             const char *nonce, struct sg_buffer *out);
/* Reads and verifies the signature that a decision's facts carry; *is_signed is false when they carry none. SG_BROKEN
 * when it does not verify. On SG_OK with a signature the caller sg_human_frees. */
SG_MUST_USE enum sg_status sg_human_read(const char *origin, const char *type, const json_t *facts,
                                         struct sg_human *out, bool *is_signed);
void sg_human_free(struct sg_human *human);

/* The document taken apart; strings are the caller's to free with sg_human_text_free. SG_USAGE when it is not one, to
 * the byte. */
struct sg_human_text {
    char *origin, *decision, *model, *role, *reason, *expires, *nonce;
    int64_t expires_ms; /* 0: never */
};
SG_MUST_USE enum sg_status sg_human_parse(const char *text, size_t n, struct sg_human_text *out);
void sg_human_text_free(struct sg_human_text *text);

/* Whether a signer's name is that of an account: equal, or equal before its "@". */
bool sg_human_is_account(const char *name, const char *account);

#endif
