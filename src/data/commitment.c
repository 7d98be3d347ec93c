#include "commitment.h"

#include <sodium.h>
#include <string.h>

static const char salt_purpose[] = "sealgrad record salt", commitment_purpose[] = "sealgrad data commitment";

/* Writes the fields, each with the NUL that follows it, behind the first `at` bytes of the buffer. Fields that follow
 * one another in memory, as they mostly do, are copied at once. */
static void put_fields(struct sg_buffer *buffer, size_t at, const struct sg_csv_field *fields, size_t n)
{
    size_t bytes = at;
    for (size_t i = 0; i < n; i++)
        bytes += fields[i].len + 1;
    if (buffer->capacity < bytes) {
        buffer->capacity = 2 * bytes;
        buffer->data = sg_realloc(buffer->data, buffer->capacity, 1);
    }
    buffer->len = bytes;
    char *to = buffer->data + at;
    for (size_t i = 0; i < n;) {
        const char *from = fields[i].text, *end = from;
        for (; i < n && fields[i].text == end; i++)
            end += fields[i].len + 1;
        memcpy(to, from, (size_t)(end - from));
        to += end - from;
    }
}

void commitment_begin(struct commitment *c, const uint8_t *key)
{
    *c = (struct commitment){.keyed = key != NULL};
    if (!key)
        return;
    memcpy(c->dataset_key, key, SG_KEY_BYTES);
    sg_hmac_sha256(key, SG_KEY_BYTES, salt_purpose, sizeof salt_purpose - 1, c->salt_key);
}

static void more_salts(struct commitment *c)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    memset(c->salts, 0, sizeof c->salts);
    crypto_stream_chacha20_xor_ic(c->salts, c->salts, sizeof c->salts, nonce, c->tree.size * SALT_BYTES / 64,
                                  c->salt_key);
}

void commitment_add(struct commitment *c, const struct sg_csv_field *fields, size_t n)
{
    if (!c->keyed)
        return;
    uint64_t i = c->tree.size;
    if (i % SALTS_AT_ONCE == 0)
        more_salts(c);
    put_fields(&c->leaf, 1 + SALT_BYTES, fields, n);
    c->leaf.data[0] = 0;
    memcpy(c->leaf.data + 1, c->salts + i % SALTS_AT_ONCE * SALT_BYTES, SALT_BYTES);
    uint8_t hash[SG_DIGEST_BYTES];
    sg_sha256(c->leaf.data, c->leaf.len, hash);
    sg_merkle_append(&c->tree, hash);
}

void commitment_end(struct commitment *c, const uint8_t *schema_digest, const uint8_t *split_digest,
                    uint8_t out[SG_DIGEST_BYTES])
{
    memset(out, 0, SG_DIGEST_BYTES);
    if (c->keyed) {
        struct sg_buffer text = {0};
        uint8_t root[SG_DIGEST_BYTES];
        sg_merkle_root(&c->tree, root);
        sg_buffer_append(&text, commitment_purpose, sizeof commitment_purpose - 1);
        sg_buffer_append(&text, root, sizeof root);
        sg_buffer_append(&text, schema_digest, SG_DIGEST_BYTES);
        sg_buffer_append(&text, split_digest, SG_DIGEST_BYTES);
        sg_hmac_sha256(c->dataset_key, SG_KEY_BYTES, text.data, text.len, out);
        sg_buffer_free(&text);
    }
    sg_buffer_free(&c->leaf);
    sg_wipe(c, sizeof *c);
}

void record_digest(struct sg_buffer *scratch, const struct sg_csv_field *fields, size_t n, uint8_t out[SG_DIGEST_BYTES])
{
    put_fields(scratch, 0, fields, n);
    sg_sha256(scratch->data, scratch->len, out);
}
