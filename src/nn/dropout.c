/* Dropout masks from a keyed stream: XChaCha20 under SHA-256(label, seed, step, layer), with the unit's digest as
 * nonce.
 *
 * The stream is named by the unit, never by its place in a batch: were a mask to depend on the place, removing one
 * person would change everybody else's gradient and the stated epsilon would be wrong. The seed is public; masks need
 * no secrecy. */
#include <endian.h>
#include <math.h>
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "internal.h"

static void stream_key(const struct pass *pass, uint64_t layer, uint8_t key[SG_DIGEST_BYTES])
{
    static const char label[] = "sealgrad dropout 1";
    uint8_t text[sizeof label + 24];
    memcpy(text, label, sizeof label);
    sg_store_u64be(text + sizeof label, pass->model->seed);
    sg_store_u64be(text + sizeof label + 8, (uint64_t)pass->batch->step);
    sg_store_u64be(text + sizeof label + 16, layer);
    sg_sha256(text, sizeof text, key);
}

void sg_nn_dropout_masks(const struct pass *pass, uint64_t layer, const int32_t *offset, int64_t width, float *mask)
{
    uint8_t key[SG_DIGEST_BYTES], nonce[crypto_stream_xchacha20_NONCEBYTES] = {0}; /* digest, zeros */
    stream_key(pass, layer, key);
    double rate = pass->model->spec.dropout;
    uint32_t drop_below = (uint32_t)llrint(rate * 0x1p32);
    float kept = (float)(1 / (1 - rate));
    for (int64_t b = 0; b < pass->batch->n_units; b++) {
        float *own = mask + offset[b] * width;
        int64_t n = (int64_t)(offset[b + 1] - offset[b]) * width;
        uint8_t *words = (uint8_t *)own; /* the stream is written where the mask goes, one word for each float */
        memcpy(nonce, pass->batch->digest[b], 16);
        crypto_stream_xchacha20(words, (unsigned long long)n * 4, nonce, key);
        for (int64_t i = 0; i < n; i++) {
            uint32_t word;
            memcpy(&word, words + 4 * i, sizeof word);
            own[i] = le32toh(word) < drop_below ? 0 : kept;
        }
    }
    sg_list_upload(pass->model->ops, mask, (size_t)(offset[pass->batch->n_units] * width) * sizeof *mask,
                   pass->w->shift);
}

void sg_nn_multiply_mask(const struct pass *pass, int64_t n_rows, int64_t width, float *x, int64_t ldx,
                         const float *mask, int64_t ld)
{
    pass->model->ops->multiply_rows(n_rows, width, x, ldx, sg_far(mask, pass->w->shift), ld);
}
