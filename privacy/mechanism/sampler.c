#include "mechanism/sampler.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

typedef unsigned __int128 u128;

/* Units whose ciphertext is looked at in one go: 64 KiB, which stays in the second-level cache. */
enum { BLOCK_UNITS = 4096 };

struct joined {
    uint64_t x;
    int32_t unit;
};

struct sg_unit_sampler {
    uint8_t key[SG_KEY_BYTES];
    EVP_CIPHER_CTX *cipher;
    struct joined *joined, *sorted; /* (capacity) in file order, and by (x, digest) */
    int32_t *bucket;                /* (capacity + 1) */
    int64_t capacity;
    uint8_t block[BLOCK_UNITS][SG_ID_DIGEST_BYTES];
};

enum sg_status sg_sampler_open(const uint8_t sampling_key[SG_KEY_BYTES], struct sg_unit_sampler **out)
{
    struct sg_unit_sampler *sampler = sg_alloc(1, sizeof *sampler);
    memcpy(sampler->key, sampling_key, SG_KEY_BYTES);
    sampler->cipher = EVP_CIPHER_CTX_new();
    *out = sampler;
    if (sampler->cipher)
        return SG_OK;
    sg_sampler_close(out);
    return sg_fail(SG_FAILED, "OpenSSL gave no cipher context for sampling");
}

static void forget(void *bytes, size_t n)
{
    if (bytes)
        sg_wipe(bytes, n);
    free(bytes);
}

static void free_scratch(struct sg_unit_sampler *sampler)
{
    size_t n = (size_t)sampler->capacity;
    forget(sampler->joined, n * sizeof *sampler->joined);
    forget(sampler->sorted, n * sizeof *sampler->sorted);
    forget(sampler->bucket, (n + 1) * sizeof *sampler->bucket);
}

void sg_sampler_close(struct sg_unit_sampler **sampler)
{
    if (!*sampler)
        return;
    EVP_CIPHER_CTX_free((*sampler)->cipher); /* wipes its key schedule */
    free_scratch(*sampler);
    forget(*sampler, sizeof **sampler);
    *sampler = NULL;
}

/* What is in the scratch arrays is kept while the first pass grows them: only `joined` is live by then. */
static void grow_scratch(struct sg_unit_sampler *sampler, int64_t need)
{
    if (need <= sampler->capacity)
        return;
    int64_t capacity = need > 2 * sampler->capacity ? need : 2 * sampler->capacity;
    struct joined *joined = sg_alloc((size_t)capacity, sizeof *joined);
    if (sampler->joined)
        memcpy(joined, sampler->joined, (size_t)sampler->capacity * sizeof *joined);
    free_scratch(sampler);
    sampler->joined = joined;
    sampler->sorted = sg_alloc((size_t)capacity, sizeof *sampler->sorted);
    sampler->bucket = sg_alloc((size_t)capacity + 1, sizeof *sampler->bucket);
    sampler->capacity = capacity;
}

static enum sg_status key_step(struct sg_unit_sampler *sampler, uint64_t step)
{
    uint8_t message[12] = {'s', 't', 'e', 'p'}, step_key[SG_DIGEST_BYTES];
    sg_store_u64be(message + 4, step);
    sg_hmac_sha256(sampler->key, sizeof sampler->key, message, sizeof message, step_key);
    bool ready = EVP_EncryptInit_ex(sampler->cipher, EVP_aes_256_ecb(), NULL, step_key, NULL) == 1 &&
                 EVP_CIPHER_CTX_set_padding(sampler->cipher, 0) == 1;
    sg_wipe(step_key, sizeof step_key);
    return ready ? SG_OK
                 : sg_fail(SG_FAILED, "OpenSSL offers no AES-256 for sampling (is its default provider loaded?)");
}

/* First pass: everybody draws x; who joins is listed in file order. */
static enum sg_status draw_units(struct sg_unit_sampler *sampler, uint64_t threshold,
                                 const uint8_t (*id_digest)[SG_ID_DIGEST_BYTES], int64_t n, int64_t *n_joined)
{
    int64_t joined = 0;
    for (int64_t first = 0; first < n; first += BLOCK_UNITS) {
        int count = n - first < BLOCK_UNITS ? (int)(n - first) : BLOCK_UNITS, written = 0;
        if (EVP_EncryptUpdate(sampler->cipher, sampler->block[0], &written, id_digest[first],
                              count * SG_ID_DIGEST_BYTES) != 1 ||
            written != count * SG_ID_DIGEST_BYTES)
            return sg_fail(SG_FAILED, "OpenSSL failed to encrypt the draws of a step");
        grow_scratch(sampler, joined + count);
        struct joined *list = sampler->joined;
        for (int i = 0; i < count; i++) {
            uint64_t x = sg_load_u64be(sampler->block[i]);
            list[joined] = (struct joined){x, (int32_t)(first + i)};
            joined += threshold == 0 || x < threshold;
        }
    }
    *n_joined = joined;
    return SG_OK;
}

/* floor(x n / t), t = 0 standing for 2^64; below n because x < t. */
static int64_t share(uint64_t x, int64_t n, uint64_t t)
{
    u128 product = (u128)x * (uint64_t)n;
    return (int64_t)(t ? product / t : product >> 64);
}

static bool before(struct joined a, struct joined b, const uint8_t (*id_digest)[SG_ID_DIGEST_BYTES])
{
    return a.x != b.x ? a.x < b.x : memcmp(id_digest[a.unit], id_digest[b.unit], SG_ID_DIGEST_BYTES) < 0;
}

/* Sorts by (x, digest): x is uniform below t, and nobody without the key can make it otherwise, so one bucket per unit
 * and insertion inside the bucket takes linear time. */
static void sort_units(struct sg_unit_sampler *sampler, uint64_t threshold,
                       const uint8_t (*id_digest)[SG_ID_DIGEST_BYTES], int64_t n)
{
    int32_t *end = sampler->bucket; /* first where each bucket begins, after the scatter where it ends */
    if (n == 0)
        return;
    memset(end, 0, (size_t)(n + 1) * sizeof *end);
    for (int64_t i = 0; i < n; i++)
        end[share(sampler->joined[i].x, n, threshold) + 1]++;
    for (int64_t i = 0; i < n; i++)
        end[i + 1] += end[i];
    for (int64_t i = 0; i < n; i++)
        sampler->sorted[end[share(sampler->joined[i].x, n, threshold)]++] = sampler->joined[i];
    for (int64_t i = 1; i < n; i++) { /* buckets ascend already: nothing moves out of its own */
        struct joined unit = sampler->sorted[i];
        int64_t at = i;
        for (; at > 0 && before(unit, sampler->sorted[at - 1], id_digest); at--)
            sampler->sorted[at] = sampler->sorted[at - 1];
        sampler->sorted[at] = unit;
    }
}

static void grow_sample(struct sg_sample *sample, int64_t n_units, int64_t n_panels)
{
    if (sample->unit_capacity >= n_units && sample->panel_capacity >= n_panels && sample->unit)
        return;
    int64_t units = n_units > 2 * sample->unit_capacity ? n_units : 2 * sample->unit_capacity;
    int64_t panels = n_panels > sample->panel_capacity ? n_panels : sample->panel_capacity;
    sg_sample_free(sample);
    sample->unit = sg_alloc((size_t)units + 1, sizeof *sample->unit);
    sample->group_unit = sg_alloc((size_t)units + 1, sizeof *sample->group_unit);
    sample->panel_unit = sg_alloc((size_t)panels + 1, sizeof *sample->panel_unit);
    sample->panel_group = sg_alloc((size_t)panels + 1, sizeof *sample->panel_group);
    sample->unit_capacity = units;
    sample->panel_capacity = panels;
}

/* Walks the sorted units once: panels and groups are intervals of x, so both begin where their number changes. */
static void deal(const struct sg_unit_sampler *sampler, const struct sg_sampler_rule *rule, int64_t n,
                 struct sg_sample *sample)
{
    int64_t panel = -1, group = -1, n_units = 0, n_groups = 0, n_over = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t x = sampler->sorted[i].x;
        for (int64_t mine = share(x, rule->n_panels, rule->threshold); panel < mine;) {
            panel++;
            sample->panel_unit[panel] = (int32_t)n_units;
            sample->panel_group[panel] = (int32_t)n_groups;
        }
        if (n_units - sample->panel_unit[panel] == rule->units_per_panel_max) {
            n_over++;
            continue;
        }
        int64_t own = rule->n_groups ? share(x, rule->n_groups, rule->threshold) : i;
        if (own != group)
            sample->group_unit[n_groups++] = (int32_t)n_units;
        group = own;
        sample->unit[n_units++] = sampler->sorted[i].unit;
    }
    while (panel < rule->n_panels) {
        panel++;
        sample->panel_unit[panel] = (int32_t)n_units;
        sample->panel_group[panel] = (int32_t)n_groups;
    }
    sample->group_unit[n_groups] = (int32_t)n_units;
    sample->n_units = n_units;
    sample->n_panels = rule->n_panels;
    sample->n_groups = n_groups;
    sample->n_over = n_over;
}

enum sg_status sg_sampler_draw(struct sg_unit_sampler *sampler, uint64_t step, const struct sg_sampler_rule *rule,
                               const uint8_t (*id_digest)[SG_ID_DIGEST_BYTES], int64_t n_units_total,
                               struct sg_sample *sample)
{
    assert(n_units_total >= 0 && n_units_total < INT32_MAX);
    assert(rule->n_panels >= 1 && rule->n_panels < INT32_MAX && rule->units_per_panel_max >= 1);
    assert(rule->n_groups >= 0 && rule->n_groups % rule->n_panels == 0);
    int64_t n_joined = 0;
    SG_TRY(key_step(sampler, step));
    SG_TRY(draw_units(sampler, rule->threshold, id_digest, n_units_total, &n_joined));
    sort_units(sampler, rule->threshold, id_digest, n_joined);
    grow_sample(sample, n_joined, rule->n_panels);
    deal(sampler, rule, n_joined, sample);
    return SG_OK;
}

void sg_sample_free(struct sg_sample *sample)
{
    size_t units = (size_t)sample->unit_capacity + 1, panels = (size_t)sample->panel_capacity + 1;
    forget(sample->unit, units * sizeof *sample->unit);
    forget(sample->group_unit, units * sizeof *sample->group_unit);
    forget(sample->panel_unit, panels * sizeof *sample->panel_unit);
    forget(sample->panel_group, panels * sizeof *sample->panel_group);
    *sample = (struct sg_sample){0};
}
