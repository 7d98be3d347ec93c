/* ECDSA over P-256 with SHA-256, through OpenSSL. A public key is its DER SubjectPublicKeyInfo: 26 fixed bytes, then
 * the uncompressed point. A signature is the DER of (r, s), at most 72 bytes. */
#ifndef SG_AUDIT_P256_H
#define SG_AUDIT_P256_H

#include "audit/key.h"

enum { SG_P256_POINT_BYTES = 65, SG_P256_RAW_BYTES = 64 };

/* The point behind the fixed bytes. */
void sg_p256_public_from_point(const uint8_t point[SG_P256_POINT_BYTES], uint8_t out[SG_P256_KEY_BYTES]);
/* Exactly those bytes, and a point of the curve. */
bool sg_p256_public_valid(const uint8_t public_key[SG_P256_KEY_BYTES]);
bool sg_p256_verify(const uint8_t public_key[SG_P256_KEY_BYTES], const void *bytes, size_t n, const uint8_t *signature,
                    size_t signature_len);
/* r and s, 32 bytes each, as PKCS#11 and the DSSE example have them, to DER. False when one of them is zero or not
 * below the group's order. */
bool sg_p256_signature_from_raw(const uint8_t raw[SG_P256_RAW_BYTES], uint8_t out[SG_SIGNATURE_MAX], size_t *len);

/* 1 to order - 1, big-endian. */
bool sg_p256_scalar_valid(const uint8_t scalar[SG_KEY_BYTES]);
/* OpenSSL's copy of the scalar lies in its secure heap: locked, kept out of core files, wiped by sg_p256_close. */
struct sg_p256;
SG_MUST_USE enum sg_status sg_p256_open(const uint8_t scalar[SG_KEY_BYTES], struct sg_p256 **out,
                                        uint8_t public_key[SG_P256_KEY_BYTES]);
SG_MUST_USE enum sg_status sg_p256_sign(const struct sg_p256 *key, const void *bytes, size_t n,
                                        uint8_t out[SG_SIGNATURE_MAX], size_t *len);
void sg_p256_close(struct sg_p256 **key);

#endif
