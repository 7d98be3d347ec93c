#include "tokenizer_vocabulary.h"

#include <stdlib.h>
#include <string.h>

#define FACTOR 0x9e3779b97f4a7c15u /* odd, so that no byte is lost */

enum { FIRST, CONTINUED }; /* a token that begins with ## continues a word */

static uint64_t finish_hash(uint64_t sum, size_t n, int kind)
{
    uint64_t h = sum + n * 0xff51afd7ed558ccdu + (uint64_t)kind * 0xc4ceb9fe1a85ec53u;
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    return h ? h : 1;
}

static uint64_t sum_of(const char *text, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = sum * FACTOR + (uint8_t)text[i] + 1;
    return sum;
}

/* The slot of that piece, or the empty one where it would stand. */
static struct slot *seek(const struct vocabulary *v, uint64_t hash, const char *text, size_t n)
{
    for (uint64_t i = hash & (v->n_slots - 1);; i = (i + 1) & (v->n_slots - 1)) {
        struct slot *slot = &v->slot[i];
        if (slot->hash == 0 || (slot->hash == hash && slot->len == n && memcmp(slot->text, text, n) == 0))
            return slot;
    }
}

static void add_token(struct vocabulary *v, const char *text, size_t n, int32_t id)
{
    int kind = n > 2 && memcmp(text, "##", 2) == 0 ? CONTINUED : FIRST;
    if (kind == CONTINUED) {
        text += 2;
        n -= 2;
    }
    if (n == 0 || n > WORD_BYTES_MAX) /* no word can match it */
        return;
    uint64_t hash = finish_hash(sum_of(text, n), n, kind);
    *seek(v, hash, text, n) = (struct slot){hash, text, (uint32_t)n, id};
    v->piece_bytes_max = n > v->piece_bytes_max ? n : v->piece_bytes_max;
}

static int64_t count_lines(const struct sg_buffer *bytes)
{
    int64_t n = 0;
    for (size_t i = 0; i < bytes->len; i++)
        n += bytes->data[i] == '\n';
    return n + (bytes->len > 0 && bytes->data[bytes->len - 1] != '\n');
}

static enum sg_status check_bytes(const char *path, const struct sg_buffer *bytes)
{
    if (bytes->len == 0)
        return sg_fail(SG_USAGE, "%s: the vocabulary is empty; it has one token a line", path);
    if (memchr(bytes->data, 0, bytes->len) || !utf8_valid(bytes->data, bytes->len))
        return sg_fail(SG_USAGE, "%s: not a vocabulary: it is no UTF-8 text", path);
    return SG_OK;
}

enum sg_status vocabulary_read(const char *path, struct sg_buffer *bytes, struct vocabulary *out)
{
    struct vocabulary *v = out;
    *v = (struct vocabulary){.bytes = *bytes};
    *bytes = (struct sg_buffer){0};
    SG_TRY(check_bytes(path, &v->bytes));
    v->n_tokens = count_lines(&v->bytes);
    if (v->n_tokens > VOCABULARY_TOKENS_MAX)
        return sg_fail(SG_USAGE, "%s: more than %d lines; this is no vocabulary", path, VOCABULARY_TOKENS_MAX);
    v->n_slots = 64;
    while (v->n_slots < 2 * (uint64_t)v->n_tokens)
        v->n_slots *= 2;
    v->slot = sg_alloc(v->n_slots, sizeof *v->slot);
    v->power[0] = 1;
    for (size_t i = 1; i <= WORD_BYTES_MAX; i++)
        v->power[i] = v->power[i - 1] * FACTOR;
    const char *p = v->bytes.data, *end = p + v->bytes.len;
    for (int32_t id = 0; p < end; id++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        size_t n = (size_t)(stop - p);
        add_token(v, p, n && p[n - 1] == '\r' ? n - 1 : n, id);
        p = stop + 1;
    }
    return SG_OK;
}

void vocabulary_free(struct vocabulary *v)
{
    free(v->slot);
    sg_buffer_free(&v->bytes);
    *v = (struct vocabulary){0};
}

int32_t vocabulary_find(const struct vocabulary *v, const char *text, size_t n)
{
    const struct slot *slot = seek(v, finish_hash(sum_of(text, n), n, FIRST), text, n);
    return slot->hash ? slot->id : -1;
}

/* Length of the longest token at the beginning of word[from ..], 0 for none. sum: of the first i bytes of the word.
 * Tokens are whole characters, so a length that ends inside of one cannot match. */
static size_t longest(const struct vocabulary *v, const char *word, size_t n, size_t from, const uint64_t *sum,
                      int32_t *id)
{
    int kind = from ? CONTINUED : FIRST;
    size_t left = n - from;
    for (size_t k = left < v->piece_bytes_max ? left : v->piece_bytes_max; k > 0; k--) {
        uint64_t hash = finish_hash(sum[from + k] - sum[from] * v->power[k], k, kind);
        const struct slot *slot = seek(v, hash, word + from, k);
        if (slot->hash) {
            *id = slot->id;
            return k;
        }
    }
    return 0;
}

size_t vocabulary_pieces(const struct vocabulary *v, const char *word, size_t n, int32_t *ids)
{
    uint64_t sum[WORD_BYTES_MAX + 1];
    sum[0] = 0;
    for (size_t i = 0; i < n; i++)
        sum[i + 1] = sum[i] * FACTOR + (uint8_t)word[i] + 1;
    size_t n_ids = 0;
    for (size_t from = 0; from < n;) {
        size_t k = longest(v, word, n, from, sum, &ids[n_ids]);
        if (k == 0)
            return 0;
        from += k;
        n_ids++;
    }
    return n_ids;
}
