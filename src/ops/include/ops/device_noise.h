/* The noise of a release where its integers are: what a backend offers whose memory is not the host's. The sampler, its
 * table and its keys are privacy/mechanism's; the values are sg_noise_add's, bit for bit. Valid C17 and C++. */
#ifndef SG_OPS_DEVICE_NOISE_H
#define SG_OPS_DEVICE_NOISE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the first word of every value comes from (docs/privacy-noise.md, section 4): ChaCha20, or Philox4x32-10 in the
 * default order of cuRAND. */
enum sg_noise_words_kind { SG_NOISE_WORDS_CHACHA20, SG_NOISE_WORDS_PHILOX };

/* Of one step: of the first words, and of the further words of those values that need them. */
struct sg_noise_keys {
    uint8_t first[32], further[32];
};

struct sg_device_noise {
    size_t table_bytes; /* of the sampler's table, which the caller copies to the device once */
    /* sum[i] += value(keys, first + i) for i in 0 .. n-1, in the order of the backend's other work; first + n <= 2^62.
     * table and sum are device memory; keys are copied before it returns. */
    void (*add)(enum sg_noise_words_kind words, const struct sg_noise_keys *keys, const void *table, uint64_t first,
                int64_t n, int64_t *sum);
};

#ifdef __cplusplus
}
#endif
#endif
