/* A secret key in use: in locked memory, or inside a PKCS#11 module that signs for us. */
#ifndef SG_AUDIT_SIGNER_H
#define SG_AUDIT_SIGNER_H

#include "audit/key.h"

struct sg_p256;
struct sg_pkcs11;

struct sg_signer {
    struct sg_vkey key;
    uint8_t *secret; /* Ed25519: seed, then public key (64 bytes); P-256: scalar (32). Locked, kept out of core files
                        and wiped on release by libsodium. NULL: inside the module */
    struct sg_p256 *p256;
    struct sg_pkcs11 *module;
};

/* An empty signer; from now until the last one is closed this process leaves no core file and cannot be traced by its
 * own user's other programs. sg_signer_close takes it in any state. */
struct sg_signer *sg_signer_new(void);
/* The first 32 bytes of `secret` as a key file stores them: seed or scalar. */
SG_MUST_USE enum sg_status sg_signer_from_secret(const char *name, uint8_t type, const uint8_t secret[SG_KEY_BYTES],
                                                 struct sg_signer **out);

#endif
