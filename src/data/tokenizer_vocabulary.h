/* The second half of the tokenizer: from a word to the longest pieces of the vocabulary. */
#ifndef SG_DATA_TOKENIZER_VOCABULARY_H
#define SG_DATA_TOKENIZER_VOCABULARY_H

#include "base/bytes.h"
#include "tokenizer_words.h"

#define VOCABULARY_TOKENS_MAX (1 << 22)

/* A hash table of tokens. The hash of a piece of a word comes from two prefix sums, so that every length is tried at
 * the price of one probe. */
struct vocabulary {
    struct sg_buffer bytes; /* of the file */
    int64_t n_tokens;
    size_t piece_bytes_max; /* of the longest token that a word can match */
    uint64_t n_slots;       /* a power of two */
    struct slot {
        uint64_t hash; /* 0 for empty */
        const char *text;
        uint32_t len;
        int32_t id;
    } * slot;
    uint64_t power[WORD_BYTES_MAX + 1]; /* of the hash's factor */
};

/* Takes the bytes. One token a line, LF or CRLF; a later line wins over an equal one. */
enum sg_status vocabulary_read(const char *path, struct sg_buffer *bytes, struct vocabulary *out);
void vocabulary_free(struct vocabulary *vocabulary);
/* Id of a whole token, or -1. */
int32_t vocabulary_find(const struct vocabulary *vocabulary, const char *text, size_t n);
/* Ids of the word's pieces; their number, or 0 when some part matches nothing. A piece has at least a byte, so that
 * `ids` takes WORD_BYTES_MAX. */
size_t vocabulary_pieces(const struct vocabulary *vocabulary, const char *word, size_t n, int32_t *ids);

#endif
