/* The two streams of random words on the device: ChaCha20 (Bernstein 2008; 64 bits of counter and of nonce) and
 * Philox4x32-10 (Salmon et al. 2011) in the default order of cuRAND's generators. */
#ifndef SG_CUDA_NOISE_WORDS_H
#define SG_CUDA_NOISE_WORDS_H

#include "launch.h"

struct noise_key {
    uint32_t word[8]; /* little-endian */
};

SG_DEVICE void chacha_quarter(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
    *a += *b, *d ^= *a, *d = *d << 16 | *d >> 16;
    *c += *d, *b ^= *c, *b = *b << 12 | *b >> 20;
    *a += *b, *d ^= *a, *d = *d << 8 | *d >> 24;
    *c += *d, *b ^= *c, *b = *b << 7 | *b >> 25;
}

/* A block of the key stream, as little-endian words. */
SG_DEVICE void chacha_block(const struct noise_key *key, uint64_t counter, uint64_t nonce, uint64_t word[8])
{
    uint32_t start[16], x[16];
    start[0] = 0x61707865, start[1] = 0x3320646e, start[2] = 0x79622d32, start[3] = 0x6b206574;
    SG_UNROLL
    for (int i = 0; i < 8; i++)
        start[4 + i] = key->word[i];
    start[12] = (uint32_t)counter, start[13] = (uint32_t)(counter >> 32);
    start[14] = (uint32_t)nonce, start[15] = (uint32_t)(nonce >> 32);
    SG_UNROLL
    for (int i = 0; i < 16; i++)
        x[i] = start[i];
    for (int round = 0; round < 20; round += 2) {
        chacha_quarter(&x[0], &x[4], &x[8], &x[12]);
        chacha_quarter(&x[1], &x[5], &x[9], &x[13]);
        chacha_quarter(&x[2], &x[6], &x[10], &x[14]);
        chacha_quarter(&x[3], &x[7], &x[11], &x[15]);
        chacha_quarter(&x[0], &x[5], &x[10], &x[15]);
        chacha_quarter(&x[1], &x[6], &x[11], &x[12]);
        chacha_quarter(&x[2], &x[7], &x[8], &x[13]);
        chacha_quarter(&x[3], &x[4], &x[9], &x[14]);
    }
    SG_UNROLL
    for (int i = 0; i < 8; i++)
        word[i] = (uint64_t)(x[2 * i] + start[2 * i]) | (uint64_t)(x[2 * i + 1] + start[2 * i + 1]) << 32;
}

/* Philox of the counter words {q / 2^16 (64 bits), q mod 2^16 (64 bits)}: words 4 q .. 4 q + 3 of cuRAND's stream. */
SG_DEVICE void philox_block(uint64_t seed, uint64_t q, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)(q >> 16), c1 = (uint32_t)(q >> 48), c2 = (uint32_t)q & 0xffff, c3 = 0;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    SG_UNROLL
    for (int round = 0; round < 10; round++, k0 += 0x9e3779b9, k1 += 0xbb67ae85) {
        const uint64_t p = (uint64_t)0xd2511f53 * c0, r = (uint64_t)0xcd9e8d57 * c2;
        c0 = (uint32_t)(r >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)r;
        c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* The words of the values 8 block .. 8 block + 7: words 2 i (low half) and 2 i + 1 of the stream are value i's. */
SG_DEVICE void philox_words(uint64_t seed, uint64_t block, uint64_t word[8])
{
    SG_UNROLL
    for (int i = 0; i < 4; i++) {
        uint32_t four[4];
        philox_block(seed, 4 * block + i, four);
        word[2 * i] = (uint64_t)four[0] | (uint64_t)four[1] << 32;
        word[2 * i + 1] = (uint64_t)four[2] | (uint64_t)four[3] << 32;
    }
}

#endif
