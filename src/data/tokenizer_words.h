/* The first half of the tokenizer: from text to words, cleaned, without accents, in lower case. */
#ifndef SG_DATA_TOKENIZER_WORDS_H
#define SG_DATA_TOKENIZER_WORDS_H

#include "data/tokenizer.h"

enum { WORD_CHARACTERS_MAX = 100, WORD_BYTES_MAX = 4 * WORD_CHARACTERS_MAX };

struct word_rules {
    struct sg_tokenizer_settings settings;
    uint8_t ascii[128];     /* enum character_class */
    uint8_t classes[65536]; /* the same of the first plane; the others are sought in the ranges */
};

/* A word of at most WORD_BYTES_MAX bytes, valid during the call; text = NULL for one of more than WORD_CHARACTERS_MAX
 * characters. False stops. */
typedef bool word_sink(void *context, const char *text, size_t n);

void word_rules_set(struct word_rules *rules, const struct sg_tokenizer_settings *settings);
/* `text` must be UTF-8. False when the sink stopped. */
bool words_split(const struct word_rules *rules, const char *text, size_t n, word_sink *sink, void *context);
/* UTF-8 as RFC 3629. */
bool utf8_valid(const char *text, size_t n);

#endif
