#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/bytes.h"

/* OpenSSL's digests fail only when memory or the library itself is broken: nothing to go on with. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

void sg_sha256(const void *bytes, size_t n, uint8_t out[SG_DIGEST_BYTES])
{
    SHA256(bytes, n, out);
}

struct sg_sha256_state {
    EVP_MD_CTX *context;
};

struct sg_sha256_state *sg_sha256_begin(void)
{
    struct sg_sha256_state *state = sg_alloc(1, sizeof *state);
    state->context = EVP_MD_CTX_new();
    must(state->context && EVP_DigestInit_ex(state->context, EVP_sha256(), NULL));
    return state;
}

void sg_sha256_update(struct sg_sha256_state *state, const void *bytes, size_t n)
{
    must(EVP_DigestUpdate(state->context, bytes, n));
}

void sg_sha256_end(struct sg_sha256_state *state, uint8_t out[SG_DIGEST_BYTES])
{
    must(EVP_DigestFinal_ex(state->context, out, NULL));
    EVP_MD_CTX_free(state->context);
    free(state);
}

void sg_hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t n, uint8_t out[SG_DIGEST_BYTES])
{
    must(HMAC(EVP_sha256(), key, (int)key_bytes, bytes, n, out, NULL) != NULL);
}

enum sg_status sg_sha256_file(const char *path, uint8_t out[SG_DIGEST_BYTES])
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return sg_fail(SG_USAGE, "%s: cannot open: %s", path, strerror(errno));
    struct sg_sha256_state *state = sg_sha256_begin();
    size_t block = 1 << 16;
    uint8_t *bytes = sg_alloc(block, 1);
    ssize_t n;
    while ((n = read(file, bytes, block)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            sg_sha256_update(state, bytes, (size_t)n);
    int fault = n < 0 ? errno : 0;
    sg_sha256_end(state, out);
    free(bytes);
    close(file);
    return fault ? sg_fail(SG_USAGE, "%s: cannot read: %s", path, strerror(fault)) : SG_OK;
}

enum sg_status sg_random_bytes(void *out, size_t n)
{
    uint8_t *p = out;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return sg_fail(SG_FAILED, "the operating system gave no random bytes: %s", strerror(errno));
        p += got;
        n -= (size_t)got;
    }
    return SG_OK;
}
