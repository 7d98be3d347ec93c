#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "noise_source.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read from the key stream in little-endian order"
#endif

struct chacha20 {
    struct sg_noise_words words;
    EVP_CIPHER_CTX *cipher;
};

static enum sg_status key_step(struct sg_noise_words *words, const uint8_t step_key[SG_KEY_BYTES])
{
    struct chacha20 *self = (struct chacha20 *)words;
    const uint8_t counter_and_nonce[16] = {0};
    if (EVP_EncryptInit_ex(self->cipher, EVP_chacha20(), NULL, step_key, counter_and_nonce) != 1)
        return sg_fail(SG_FAILED, "OpenSSL offers no ChaCha20 for the noise (is its default provider loaded?)");
    return SG_OK;
}

/* OpenSSL's ChaCha20 takes 64 bits of counter and 64 of nonce, little-endian, and encrypts in place: its key stream is
 * what it makes of zeros. It is twice as fast as libsodium's where there is AVX-512. */
static enum sg_status read_words(struct sg_noise_words *words, uint64_t first, int64_t n, uint64_t *word,
                                 const uint64_t **at)
{
    struct chacha20 *self = (struct chacha20 *)words;
    uint64_t counter_and_nonce[2] = {first / 8, 0};
    int skipped = (int)(first % 8), bytes = (int)(n + skipped) * 8, written = 0;
    memset(word, 0, (size_t)bytes);
    if (EVP_EncryptInit_ex(self->cipher, NULL, NULL, NULL, (const uint8_t *)counter_and_nonce) != 1 ||
        EVP_EncryptUpdate(self->cipher, (uint8_t *)word, &written, (const uint8_t *)word, bytes) != 1 ||
        written != bytes)
        return sg_fail(SG_FAILED, "OpenSSL failed to make the ChaCha20 words of the noise");
    *at = word + skipped;
    return SG_OK;
}

static void close_words(struct sg_noise_words *words)
{
    struct chacha20 *self = (struct chacha20 *)words;
    EVP_CIPHER_CTX_free(self->cipher); /* wipes its key */
    free(self);
}

enum sg_status sg_noise_words_chacha20(struct sg_noise_words **out)
{
    struct chacha20 *self = sg_alloc(1, sizeof *self);
    /* 8 KiB of words: with the table's 16 KiB they stay in the first-level cache. */
    self->words = (struct sg_noise_words){1024, key_step, read_words, close_words};
    self->cipher = EVP_CIPHER_CTX_new();
    if (!self->cipher) {
        free(self);
        return sg_fail(SG_FAILED, "OpenSSL gave no cipher context for the noise");
    }
    *out = &self->words;
    return SG_OK;
}
