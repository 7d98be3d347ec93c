/* SHA-256 and HMAC-SHA-256 (FIPS 180-4, RFC 2104) through OpenSSL, and randomness from the operating system. */
#ifndef SG_BASE_DIGEST_H
#define SG_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define SG_DIGEST_BYTES 32
#define SG_KEY_BYTES 32

void sg_sha256(const void *bytes, size_t n, uint8_t out[SG_DIGEST_BYTES]);

/* A running SHA-256. sg_sha256_end also frees it; calling end twice is a programming error. */
struct sg_sha256_state;
struct sg_sha256_state *sg_sha256_begin(void);
void sg_sha256_update(struct sg_sha256_state *state, const void *bytes, size_t n);
void sg_sha256_end(struct sg_sha256_state *state, uint8_t out[SG_DIGEST_BYTES]);

void sg_hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t n, uint8_t out[SG_DIGEST_BYTES]);

/* SHA-256 of a file's bytes, read in blocks. SG_USAGE with the reason when it cannot be read. */
SG_MUST_USE enum sg_status sg_sha256_file(const char *path, uint8_t out[SG_DIGEST_BYTES]);

/* Fills from getrandom(2). SG_FAILED when the system has no entropy to give: never a weaker source. */
SG_MUST_USE enum sg_status sg_random_bytes(void *out, size_t n);

#endif
