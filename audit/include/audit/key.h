/* Public keys as C2SP writes them, and what the ledger's own code sees of a signer.
 *
 * A vkey is "name+hex(key id)+base64(type || public key)", key id = SHA-256(name || 0x0A || type || public key)[:4]
 * (c2sp.org/signed-note). Type 0x01 is Ed25519, 0x04 the Ed25519 cosignature of a witness; 0x06 (ML-DSA-44) is known
 * by its number only. Type 0x02 is ECDSA P-256 with SHA-256: its public key is the DER SubjectPublicKeyInfo, its key id
 * SHA-256(DER)[:4], and its signature the DER of (r, s). The same pair of keys may appear under several names:
 * comparisons of trust are by public key. */
#ifndef SG_AUDIT_KEY_H
#define SG_AUDIT_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/ledger.h"
#include "base/bytes.h"

enum {
    SG_KEY_ED25519 = 1,
    SG_KEY_P256 = 2,
    SG_KEY_COSIGNATURE = 4,
    SG_ED25519_KEY_BYTES = 32,
    SG_ED25519_SIGNATURE_BYTES = 64,
    SG_P256_KEY_BYTES = 91, /* uncompressed point behind 26 fixed bytes */
    SG_PUBLIC_KEY_MAX = SG_P256_KEY_BYTES,
    SG_SIGNATURE_MAX = 72, /* DER of two numbers of 256 bits; Ed25519 takes 64 */
    SG_NAME_MAX = 128
};

struct sg_vkey {
    char name[SG_NAME_MAX];
    uint8_t type;
    uint8_t public_key[SG_PUBLIC_KEY_MAX]; /* as many bytes as its type has */
    uint8_t key_id[4];
};

/* A key name: 1 to 127 bytes of UTF-8 without blanks, control characters and '+'. */
bool sg_key_name_valid(const char *name);
size_t sg_public_key_bytes(uint8_t type);
/* SG_USAGE when the name cannot be a key's name. */
SG_MUST_USE enum sg_status sg_vkey_make(const char *name, uint8_t type, const uint8_t *public_key, struct sg_vkey *out);
/* The same key under another name, as a ledger's key: type 1 or 2. */
SG_MUST_USE enum sg_status sg_vkey_rename(const struct sg_vkey *key, const char *name, struct sg_vkey *out);
/* The same key as a witness's, type 4. SG_USAGE for an ECDSA key. */
SG_MUST_USE enum sg_status sg_vkey_cosigner(const struct sg_vkey *key, struct sg_vkey *out);
/* By public key alone. */
bool sg_vkey_same(const struct sg_vkey *a, const struct sg_vkey *b);
/* One vkey, no line feed. `status` is what a fault is called. */
SG_MUST_USE enum sg_status sg_vkey_parse(const char *text, size_t len, enum sg_status status, struct sg_vkey *out);
void sg_vkey_print(const struct sg_vkey *key, struct sg_buffer *out);

/* The ledger's own short name of a public key: the first 16 bytes of SHA-256(public key), in hexadecimal. */
void sg_key_label(const struct sg_vkey *key, char out[33]);

/* False for every Ed25519 signature libsodium refuses (S not reduced, small-order keys, non-canonical points), and for
 * an ECDSA signature that is not canonical DER. */
bool sg_key_verify(const struct sg_vkey *key, const void *bytes, size_t n, const uint8_t *signature,
                   size_t signature_len);

/* The public half of a signer under its own name, type 0x01 or 0x02. */
const struct sg_vkey *sg_signer_vkey(const struct sg_signer *signer);
/* SG_FAILED when the module that holds the key does not sign. */
SG_MUST_USE enum sg_status sg_signer_sign(const struct sg_signer *signer, const void *bytes, size_t n,
                                          uint8_t out[SG_SIGNATURE_MAX], size_t *len);
/* A signer from a seed that the caller wipes. Tests use it; key files go through sg_signer_open. */
SG_MUST_USE enum sg_status sg_signer_from_seed(const char *name, const uint8_t seed[SG_KEY_BYTES],
                                               struct sg_signer **out);

/* Writes the public half of an opened key as `folder`/NAME.pub; for keys that were made elsewhere, in an HSM. */
SG_MUST_USE enum sg_status sg_key_export(const char *folder, const struct sg_signer *signer);

/* key.add, key.revoke, or both in one transaction (a rotation); either may be NULL. The ledger must be opened with the
 * key it was made with. `compromised_since_ms` 0: not compromised, only retired. */
SG_MUST_USE enum sg_status sg_ledger_change_keys(struct sg_ledger *ledger, const struct sg_vkey *add,
                                                 const struct sg_vkey *revoke, int64_t compromised_since_ms);

#endif
