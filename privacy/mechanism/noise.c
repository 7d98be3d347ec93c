#include "mechanism/noise.h"

#include <assert.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "noise_core.h"
#include "noise_source.h"

struct sg_noise {
    enum sg_noise_source source;
    uint8_t key[SG_KEY_BYTES];
    bool keyed; /* for `step` */
    uint64_t step;
    struct sg_noise_words *words;
    struct sg_noise_more more;
    sg_noise_add_fn *add;
    uint64_t *word; /* (words->n_max + 8) */
    struct sg_noise_table table;
};

static const char first_words[] = "noise first words of step", further_words[] = "noise further words of step";
static const char *const names[] = {[SG_NOISE_CHACHA20] = "chacha20", [SG_NOISE_CURAND] = "curand"};
enum { N_SOURCES = sizeof names / sizeof names[0] };

const char *sg_noise_source_name(enum sg_noise_source source)
{
    assert((unsigned)source < N_SOURCES);
    return names[source];
}

int sg_noise_source_parse(const char *name)
{
    for (int i = 0; i < N_SOURCES; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* In use, `fine` has 63 random bits and `accept` 128. Rounded up to a whole power of two. */
double sg_noise_tau_log2(void)
{
    double bound = sg_noise_tau_bound_log2(&sg_noise_shape, 63, 128);
    return (double)((int64_t)bound); /* negative: towards zero is up */
}

/* Block `attempt` of ChaCha20 with the index as nonce, whatever the source of the first words. */
static void more_block(struct sg_noise_more *more, uint64_t index, uint32_t attempt, uint64_t word[8])
{
    uint8_t nonce[8];
    memset(word, 0, 64);
    memcpy(nonce, &index, sizeof nonce);
    crypto_stream_chacha20_xor_ic((uint8_t *)word, (const uint8_t *)word, 64, nonce, attempt, more->key);
}

static void derive(const struct sg_noise *noise, const char *purpose, uint64_t step, uint8_t out[SG_KEY_BYTES])
{
    struct sg_buffer message = {0};
    sg_buffer_text(&message, purpose);
    sg_buffer_u64be(&message, step);
    sg_hmac_sha256(noise->key, sizeof noise->key, message.data, message.len, out);
    sg_buffer_free(&message);
}

enum sg_status sg_noise_open(enum sg_noise_source source, const uint8_t key[SG_KEY_BYTES], struct sg_noise **out)
{
    *out = NULL;
    struct sg_noise_words *words = NULL;
    SG_TRY(source == SG_NOISE_CURAND ? sg_noise_words_curand(&words) : sg_noise_words_chacha20(&words));
    struct sg_noise *noise = sg_alloc_aligned(sizeof *noise);
    memcpy(noise->key, key, sizeof noise->key);
    noise->source = source;
    noise->words = words;
    noise->more.block = more_block;
    noise->add = sg_noise_add_best();
    noise->word = sg_alloc_aligned(((size_t)words->n_max + 8) * sizeof *noise->word);
    sg_noise_table_build(&sg_noise_shape, &noise->table);
    *out = noise;
    return SG_OK;
}

void sg_noise_close(struct sg_noise **noise)
{
    if (!*noise)
        return;
    struct sg_noise *self = *noise;
    sg_wipe(self->word, ((size_t)self->words->n_max + 8) * sizeof *self->word);
    free(self->word);
    self->words->close(self->words);
    sg_wipe(self, sizeof *self);
    free(self);
    *noise = NULL;
}

const struct sg_noise_counts *sg_noise_counts(const struct sg_noise *noise)
{
    return &noise->more.counts;
}

static enum sg_status key_step(struct sg_noise *noise, uint64_t step)
{
    if (noise->keyed && noise->step == step)
        return SG_OK;
    uint8_t step_key[SG_KEY_BYTES];
    noise->keyed = false;
    derive(noise, first_words, step, step_key);
    enum sg_status status = noise->words->key_step(noise->words, step_key);
    derive(noise, further_words, step, noise->more.key);
    sg_wipe(step_key, sizeof step_key);
    noise->keyed = status == SG_OK;
    noise->step = step;
    return status;
}

const void *sg_noise_table(const struct sg_noise *noise, size_t *bytes)
{
    *bytes = sizeof noise->table;
    return &noise->table;
}

void sg_noise_add_device(struct sg_noise *noise, const struct sg_device_noise *device, const void *table, uint64_t step,
                         uint64_t first, int64_t n, int64_t *sum)
{
    struct sg_noise_keys keys;
    assert(n >= 0 && first < (uint64_t)1 << 62 && device->table_bytes == sizeof noise->table);
    derive(noise, first_words, step, keys.first);
    derive(noise, further_words, step, keys.further);
    device->add(noise->source == SG_NOISE_CURAND ? SG_NOISE_WORDS_PHILOX : SG_NOISE_WORDS_CHACHA20, &keys, table, first,
                n, sum);
    sg_wipe(&keys, sizeof keys);
}

enum sg_status sg_noise_add(struct sg_noise *noise, uint64_t step, uint64_t first, int64_t n, int64_t *sum)
{
    assert(n >= 0 && first < (uint64_t)1 << 62);
    SG_TRY(key_step(noise, step));
    for (int64_t done = 0, part; done < n; done += part) {
        uint64_t index = first + (uint64_t)done;
        const uint64_t *word;
        part = noise->words->n_max - (int64_t)(index % 8); /* the next part begins with a block of ChaCha20 */
        part = part < n - done ? part : n - done;
        SG_TRY(noise->words->read(noise->words, index, part, noise->word, &word));
        noise->add(&noise->table, &noise->more, word, index, part, sum + done);
    }
    return SG_OK;
}
