/* SSH signatures of files (OpenSSH's PROTOCOL.sshsig), as `ssh-keygen -Y sign -n sealgrad` makes them: what people sign
 * with the keys that they own already. Ed25519, ECDSA on the three NIST curves, RSA of 2048 to 8192 bits with SHA-2;
 * neither keys on security tokens (sk-...) nor certificates. */
#ifndef SG_AUDIT_SSHSIG_H
#define SG_AUDIT_SSHSIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define SG_SSHSIG_NAMESPACE "sealgrad"
enum { SG_SSHSIG_BYTES_MAX = 8192, SG_SSH_FINGERPRINT_CHARS = 51 };

struct sg_ssh_bytes {
    const uint8_t *at; /* borrowed */
    size_t n;
};

struct sg_sshsig {
    struct sg_ssh_bytes key, namespace, hash, algorithm, signature;
    char fingerprint[SG_SSH_FINGERPRINT_CHARS]; /* "SHA256:..." as ssh-keygen -l prints it */
};

/* From the armoured text to the bytes. SG_USAGE when it is not one. */
SG_MUST_USE enum sg_status sg_sshsig_dearmor(const char *text, size_t n, struct sg_buffer *out);
/* Strict: version 1, the namespace "sealgrad", nothing reserved, no bytes behind. `out` borrows from `bytes`. `status`
 * is what a fault is called. */
SG_MUST_USE enum sg_status sg_sshsig_parse(const uint8_t *bytes, size_t n, enum sg_status status,
                                           struct sg_sshsig *out);
/* Whether it is this key's signature of this message. Whose key that is, is another question. */
bool sg_sshsig_verify(const struct sg_sshsig *signature, const void *message, size_t n);

/* "SHA256:..." of a public key's wire bytes. */
void sg_ssh_fingerprint(const uint8_t *key, size_t n, char out[SG_SSH_FINGERPRINT_CHARS]);

/* ---- Who owns which key: an allowed_signers file as ssh-keygen(1) has it. Lines of certificate authorities are
 * skipped; times without Z are taken as UTC. */
struct sg_signer_line {
    char name[128]; /* the first principal */
    char fingerprint[SG_SSH_FINGERPRINT_CHARS];
    int64_t after_ms, before_ms; /* 0: any */
    bool for_us;                 /* the namespace is allowed */
};
struct sg_signers {
    struct sg_signer_line *line;
    size_t n;
};
/* SG_USAGE with the line at fault. */
SG_MUST_USE enum sg_status sg_signers_read(const char *path, struct sg_signers *out);
SG_MUST_USE enum sg_status sg_signers_parse(const char *path, const char *text, size_t n, struct sg_signers *out);
void sg_signers_free(struct sg_signers *signers);
/* The owner's name at that time; NULL when nobody is allowed to sign with that key then. */
const char *sg_signers_name(const struct sg_signers *signers, const char *fingerprint, int64_t time_ms);

#endif
