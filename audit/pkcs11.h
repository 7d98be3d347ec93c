/* A signing key inside a PKCS#11 module (an HSM, a smart card): the module is loaded with dlopen, the key never leaves
 * it. Ed25519 by CKM_EDDSA, P-256 by CKM_ECDSA over a SHA-256 made here.
 *
 *   pkcs11:module=/PATH/TO/MODULE.so;token=LABEL;object=LABEL;pin-file=FILE
 *
 * as RFC 7512 writes it; its names module-path and pin-source, "?" and "&" between the parts, and %XX are understood.
 * The private and the public object bear the same label. `token` may be left out when there is one token. The PIN is
 * the first line of pin-file, or of the caller's unlock file; a PIN in the URI is refused, for arguments can be read by
 * everyone on the machine. */
#ifndef SG_AUDIT_PKCS11_H
#define SG_AUDIT_PKCS11_H

#include "audit/key.h"

/* The parts of a URI, decoded. */
struct sg_pkcs11_uri {
    char module[1024], token[33], object[SG_NAME_MAX], pin_file[1024];
};
SG_MUST_USE enum sg_status sg_pkcs11_uri_parse(const char *text, struct sg_pkcs11_uri *out);

struct sg_pkcs11;
/* A signer named after the object. Several signers of one module are closed in reverse order, since the first one
 * opened starts and ends the module. SG_USAGE when module, token, object or PIN is at fault. */
SG_MUST_USE enum sg_status sg_pkcs11_open(const char *uri, const char *unlock_file, struct sg_signer **out);
SG_MUST_USE enum sg_status sg_pkcs11_sign(const struct sg_pkcs11 *module, const void *bytes, size_t n,
                                          uint8_t out[SG_SIGNATURE_MAX], size_t *len);
void sg_pkcs11_close(struct sg_pkcs11 **module);

#endif
