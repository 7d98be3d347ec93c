/* Where the first word of every value comes from. A source is keyed for one step at a time; the words are a function of
 * (step key, index) alone. */
#ifndef SG_NOISE_SOURCE_H
#define SG_NOISE_SOURCE_H

#include <stdint.h>

#include "base/digest.h"
#include "base/status.h"

struct sg_noise_words {
    int64_t n_max; /* values asked for at once, at most; a multiple of 8 */
    SG_MUST_USE enum sg_status (*key_step)(struct sg_noise_words *words, const uint8_t step_key[SG_KEY_BYTES]);
    /* Words of the values first .. first + n - 1 into `word` (n_max + 8); *at is where the first one lies. */
    SG_MUST_USE enum sg_status (*read)(struct sg_noise_words *words, uint64_t first, int64_t n, uint64_t *word,
                                       const uint64_t **at);
    void (*close)(struct sg_noise_words *words); /* wipes and frees */
};

/* ChaCha20 under the step key, nonce 0, block counter = index / 8: the value's word is little-endian word index % 8. */
SG_MUST_USE enum sg_status sg_noise_words_chacha20(struct sg_noise_words **out);

/* cuRAND's host generator CURAND_RNG_PSEUDO_PHILOX4_32_10, default order, seed = the first 8 bytes of the step key,
 * big-endian: low half = word 2 index of that stream, high half = word 2 index + 1. */
SG_MUST_USE enum sg_status sg_noise_words_curand(struct sg_noise_words **out);

#endif
