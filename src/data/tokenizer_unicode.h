/* What the tokenizer needs to know of a character. The tables are those of the `tokenizers` library and not of
 * utf8proc: a published encoder was trained with them, and the installed version of a library shall not change a
 * model's input. utf8proc gives decompositions, combining classes and lower case; where it knows a character that the
 * library's older tables do not, or the other way round, the tables say so. tools/tokenizer_tables.py makes
 * tokenizer_unicode.c. */
#ifndef SG_DATA_TOKENIZER_UNICODE_H
#define SG_DATA_TOKENIZER_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum character_class {
    CLASS_DROPPED = 1, /* control and format characters, private use */
    CLASS_SPACE = 2,
    CLASS_PUNCTUATION = 4, /* a word of its own */
    CLASS_MARK = 8,        /* dropped with the accents */
    CLASS_IDEOGRAPH = 16,  /* set apart by blanks */
    CLASS_INERT = 32,      /* newer than the library's normalization: never decomposed, never reordered */
};

struct character_range {
    int32_t first, last;
    uint8_t classes;
};

struct lower_range { /* lower case that utf8proc 2.8 does not know */
    int32_t first, last, difference;
};

extern const struct character_range character_ranges[]; /* ascending */
extern const size_t n_character_ranges;
extern const struct lower_range lower_ranges[];
extern const size_t n_lower_ranges;

#endif
