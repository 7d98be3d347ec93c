#include "signer.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "p256.h"
#include "pkcs11.h"

/* ---- No core file, no ptrace, while any secret is open. */
static pthread_mutex_t dump_lock = PTHREAD_MUTEX_INITIALIZER;
static int n_open, dumpable_before;

static void dump_off(void)
{
    pthread_mutex_lock(&dump_lock);
    if (n_open++ == 0) {
        dumpable_before = prctl(PR_GET_DUMPABLE);
        prctl(PR_SET_DUMPABLE, 0);
    }
    pthread_mutex_unlock(&dump_lock);
}

static void dump_back(void)
{
    pthread_mutex_lock(&dump_lock);
    if (--n_open == 0 && dumpable_before == 1) /* 2 cannot be set from here, and 0 it is */
        prctl(PR_SET_DUMPABLE, 1);
    pthread_mutex_unlock(&dump_lock);
}

/* ---- Signers. */
struct sg_signer *sg_signer_new(void)
{
    dump_off();
    return sg_alloc(1, sizeof(struct sg_signer));
}

void sg_signer_close(struct sg_signer **signer)
{
    if (!*signer)
        return;
    sg_p256_close(&(*signer)->p256);
    sg_pkcs11_close(&(*signer)->module);
    sodium_free((*signer)->secret);
    free(*signer);
    *signer = NULL;
    dump_back();
}

const struct sg_vkey *sg_signer_vkey(const struct sg_signer *signer)
{
    return &signer->key;
}

enum sg_status sg_signer_sign(const struct sg_signer *signer, const void *bytes, size_t n,
                              uint8_t out[SG_SIGNATURE_MAX], size_t *len)
{
    if (signer->module)
        return sg_pkcs11_sign(signer->module, bytes, n, out, len);
    if (signer->key.type == SG_KEY_P256)
        return sg_p256_sign(signer->p256, bytes, n, out, len);
    crypto_sign_ed25519_detached(out, NULL, bytes, n, signer->secret);
    *len = SG_ED25519_SIGNATURE_BYTES;
    return SG_OK;
}

static enum sg_status fill(struct sg_signer *signer, const char *name, uint8_t type, const uint8_t *secret)
{
    uint8_t public_key[SG_PUBLIC_KEY_MAX];
    signer->secret = sodium_malloc(crypto_sign_ed25519_SECRETKEYBYTES);
    if (!signer->secret)
        return sg_fail(SG_FAILED, "no locked memory for the signing key");
    if (type == SG_KEY_P256) {
        memcpy(signer->secret, secret, SG_KEY_BYTES);
        SG_TRY(sg_p256_open(signer->secret, &signer->p256, public_key));
    } else {
        crypto_sign_ed25519_seed_keypair(public_key, signer->secret, secret);
    }
    return sg_vkey_make(name, type, public_key, &signer->key);
}

enum sg_status sg_signer_from_secret(const char *name, uint8_t type, const uint8_t secret[SG_KEY_BYTES],
                                     struct sg_signer **out)
{
    *out = NULL;
    if (sodium_init() < 0)
        return sg_fail(SG_FAILED, "libsodium did not start: no randomness on this machine");
    struct sg_signer *signer = sg_signer_new();
    enum sg_status status = fill(signer, name, type, secret);
    if (status != SG_OK)
        sg_signer_close(&signer);
    *out = signer;
    return status;
}

enum sg_status sg_signer_from_seed(const char *name, const uint8_t seed[SG_KEY_BYTES], struct sg_signer **out)
{
    return sg_signer_from_secret(name, SG_KEY_ED25519, seed, out);
}
