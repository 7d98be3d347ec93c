/* RFC 3161 time stamps of checkpoints: somebody else's clock, so that "this existed by then" does not rest on ours.
 *
 * Stamped is the SHA-256 of a checkpoint's signed text, the three lines origin, size and root. The root commits to
 * every event, so the stamp dates all of them. What is stored is the token (DER, a CMS SignedData), as `openssl ts
 * -verify -token_in` takes it. */
#ifndef SG_AUDIT_TIMESTAMP_H
#define SG_AUDIT_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/ledger.h"
#include "base/bytes.h"

enum { SG_TOKEN_BYTES_MAX = 1 << 16 };

/* The authorities that a verifier believes: a file of PEM certificates. */
struct sg_tsa;
SG_MUST_USE enum sg_status sg_tsa_open(const char *pem_path, struct sg_tsa **out);
void sg_tsa_close(struct sg_tsa **tsa);

/* A TimeStampReq in DER: SHA-256, certificate asked for, no nonce (an old answer for the same root is no worse). */
SG_MUST_USE enum sg_status sg_timestamp_request(const uint8_t digest[SG_DIGEST_BYTES], struct sg_buffer *out);
/* Takes the token out of a TimeStampResp. SG_USAGE when the authority refused, or these bytes are none. */
SG_MUST_USE enum sg_status sg_timestamp_from_response(const char *response, size_t n, struct sg_buffer *token);
/* Digest and time that a token names; nothing of it is verified. SG_BROKEN when it is no token over a SHA-256. */
SG_MUST_USE enum sg_status sg_timestamp_read(const uint8_t *token, size_t n, uint8_t digest[SG_DIGEST_BYTES],
                                             int64_t *time_s);
/* The authority's signature, its certificate's purpose and chain as they were at the token's time, and the digest.
 * SG_BROKEN otherwise. */
SG_MUST_USE enum sg_status sg_timestamp_check(const struct sg_tsa *tsa, const uint8_t *token, size_t n,
                                              const uint8_t digest[SG_DIGEST_BYTES], int64_t *time_s);

/* The request for the checkpoint of `size` events (0: the newest). */
SG_MUST_USE enum sg_status sg_evidence_timestamp_request(struct sg_ledger *ledger, int64_t size, struct sg_buffer *out);
/* Checks a TimeStampResp and stores its token for the checkpoint whose text it stamps. */
SG_MUST_USE enum sg_status sg_evidence_add_timestamp(struct sg_ledger *ledger, const struct sg_tsa *tsa,
                                                     const char *response, size_t n, int64_t *size, int64_t *time_s);
/* The first stamped checkpoint that covers a leaf, and the time that its token names, unverified; *size 0: none. */
SG_MUST_USE enum sg_status sg_evidence_stamp_of(struct sg_ledger *ledger, int64_t seq, int64_t *size, int64_t *time_s);
/* The stored token of that size (0: the newest stamped). SG_USAGE when there is none. */
SG_MUST_USE enum sg_status sg_evidence_timestamp(struct sg_ledger *ledger, int64_t size, struct sg_buffer *out);

#endif
