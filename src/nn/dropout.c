/* Dropout masks from a keyed stream: ChaCha20 under SHA-256(label, seed, unit, step, layer).
 *
 * The key names the unit, never its place in a batch: were a mask to depend on the place, removing one person would
 * change everybody else's gradient and the stated epsilon would be wrong. The seed is public; masks need no secrecy. */
#include <math.h>
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "internal.h"

static const char LABEL[] = "sealgrad dropout 1";

static void mask_key(const struct pass *pass, uint64_t layer, int64_t unit, uint8_t key[SG_DIGEST_BYTES])
{
    uint8_t text[sizeof LABEL + 8 + 16 + 8 + 8], *p = text;
    memcpy(p, LABEL, sizeof LABEL);
    p += sizeof LABEL;
    sg_store_u64be(p, pass->model->seed);
    memcpy(p + 8, pass->batch->digest[unit], 16);
    sg_store_u64be(p + 24, (uint64_t)pass->batch->step);
    sg_store_u64be(p + 32, layer);
    sg_sha256(text, sizeof text, key);
}

void sg_nn_dropout_masks(const struct pass *pass, uint64_t layer, const int32_t *offset, int64_t width, float *mask)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    double rate = pass->model->spec.dropout;
    uint64_t drop_below = (uint64_t)llrint(rate * 0x1p32);
    float kept = (float)(1 / (1 - rate));
    for (int64_t b = 0; b < pass->batch->n_units; b++) {
        uint8_t key[SG_DIGEST_BYTES];
        mask_key(pass, layer, b, key);
        float *own = mask + offset[b] * width;
        int64_t n = (int64_t)(offset[b + 1] - offset[b]) * width;
        uint8_t *words = (uint8_t *)own; /* the stream is written where the mask goes, one word for each float */
        crypto_stream_chacha20(words, (unsigned long long)n * 4, nonce, key);
        for (int64_t i = 0; i < n; i++) {
            const uint8_t *p = words + 4 * i;
            uint64_t word = p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
            own[i] = word < drop_below ? 0 : kept;
        }
    }
}
