#include "mask.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/digest.h"

int64_t sg_mask_count(int64_t n_tokens)
{
    int64_t n_words = n_tokens - 2;
    return n_words < 1 ? 0 : n_words < 7 ? 1 : n_words * 15 / 100;
}

int64_t sg_mask_rows_max(int64_t units_max, int64_t rows_max)
{
    return rows_max * 15 / 100 + units_max;
}

/* One 32-bit word for each place, named by the unit and not by its place in a batch. */
static void draw(const struct sg_masking *m, const uint8_t digest[16], int64_t step, uint64_t stream, int64_t n,
                 uint32_t *words)
{
    static const char label[] = "sealgrad masked words 1";
    uint8_t text[sizeof label + 24], key[SG_DIGEST_BYTES], nonce[crypto_stream_xchacha20_NONCEBYTES] = {0};
    memcpy(text, label, sizeof label);
    sg_store_u64be(text + sizeof label, m->seed);
    sg_store_u64be(text + sizeof label + 8, (uint64_t)step);
    sg_store_u64be(text + sizeof label + 16, stream);
    sg_sha256(text, sizeof text, key);
    memcpy(nonce, digest, 16);
    crypto_stream_xchacha20((uint8_t *)words, (unsigned long long)n * 4, nonce, key);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *q = (const uint8_t *)&words[i];
        words[i] = q[0] | (uint32_t)q[1] << 8 | (uint32_t)q[2] << 16 | (uint32_t)q[3] << 24;
    }
}

/* The `count` places with the smallest words; earlier ones among equals. */
static void choose(const uint32_t *words, int64_t n, int64_t count, uint8_t *chosen)
{
    memset(chosen, 0, (size_t)n);
    for (int64_t k = 0; k < count; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (!chosen[i] && (best < 0 || words[i] < words[best]))
                best = i;
        chosen[best] = 1;
    }
}

static int32_t replaced(const struct sg_masking *m, int32_t token, uint32_t what, uint32_t which)
{
    if (what < 0xcccccccdu) /* 8 in 10 */
        return m->mask_token;
    return what < 0xe6666666u ? (int32_t)((uint64_t)which * (uint64_t)m->vocabulary >> 32) : token;
}

int64_t sg_mask_unit(const struct sg_masking *m, const uint8_t digest[16], int64_t step, int32_t first_row,
                     int64_t n_tokens, int32_t *token, int32_t *row, int32_t *target)
{
    int64_t count = sg_mask_count(n_tokens), n = n_tokens - 2, found = 0;
    if (count == 0)
        return 0;
    uint32_t *words = sg_alloc((size_t)n * 3, sizeof *words);
    uint8_t *chosen = sg_alloc((size_t)n, 1);
    for (uint64_t stream = 0; stream < 3; stream++)
        draw(m, digest, step, stream, n, words + stream * (uint64_t)n);
    choose(words, n, count, chosen);
    for (int64_t i = 0; i < n; i++) {
        if (!chosen[i])
            continue;
        row[found] = first_row + 1 + (int32_t)i;
        target[found++] = token[1 + i];
        token[1 + i] = replaced(m, token[1 + i], words[n + i], words[2 * n + i]);
    }
    free(words);
    free(chosen);
    return found;
}
