/* Text to token ids as BERT's WordPiece does it: clean, space out CJK, strip accents, lower case, split at blanks and
 * punctuation, then the longest pieces of the vocabulary. Vocabulary and settings are public.
 *
 * The ids are those of the `tokenizers` library (0.23) on every text. That includes its tables: characters that Unicode
 * gained later than its tables are letters there and here (src/data/tokenizer_unicode.h), and the words [CLS], [SEP],
 * [PAD], [UNK] and [MASK] are special tokens also where a text spells them. */
#ifndef SG_DATA_TOKENIZER_H
#define SG_DATA_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct sg_tokenizer;

enum sg_special_token { SG_TOKEN_PAD, SG_TOKEN_UNK, SG_TOKEN_CLS, SG_TOKEN_SEP, SG_TOKEN_MASK, SG_N_SPECIAL_TOKENS };

struct sg_tokenizer_settings {
    bool lower_case;    /* do_lower_case: the uncased models */
    bool strip_accents; /* by default as lower_case */
    bool spaced_cjk;    /* tokenize_chinese_chars: every CJK ideograph is a word */
};

/* `path` is a folder with vocab.txt, or a vocabulary itself: one token a line, its number - 1 the id. A folder without
 * vocab.txt has its vocabulary in tokenizer.json; with both, they must agree. With settings = NULL they come from
 * tokenizer_config.json beside it, else from tokenizer.json, else they are those of the uncased models. SG_USAGE for a
 * missing or hostile file, a lacking special token, or anything that is no WordPiece as above. */
SG_MUST_USE enum sg_status sg_tokenizer_read(const char *path, const struct sg_tokenizer_settings *settings,
                                             struct sg_tokenizer **out);
void sg_tokenizer_close(struct sg_tokenizer **tokenizer);

/* Writes [CLS] pieces [SEP], at most max_tokens (>= 2) ids, and returns how many; what does not fit is cut off before
 * [SEP] and *truncated says so (it may be NULL). -1 when the text is not UTF-8: the caller knows which record that was.
 * Deterministic, allocates nothing, and may be called from several threads. */
int64_t sg_tokenizer_encode(const struct sg_tokenizer *tokenizer, const char *text, size_t n, int64_t max_tokens,
                            int32_t *ids, bool *truncated);

int64_t sg_tokenizer_n_vocab(const struct sg_tokenizer *tokenizer);
int32_t sg_tokenizer_special(const struct sg_tokenizer *tokenizer, enum sg_special_token which);
struct sg_tokenizer_settings sg_tokenizer_settings_of(const struct sg_tokenizer *tokenizer);
/* SHA-256 of the bytes of vocab.txt, for the record; where there is none, of those it would have. */
const uint8_t *sg_tokenizer_digest(const struct sg_tokenizer *tokenizer);
/* vocab.txt, byte for byte where there was one, and tokenizer_config.json into a model folder, as the usual Python
 * library reads them. */
SG_MUST_USE enum sg_status sg_tokenizer_write(const struct sg_tokenizer *tokenizer, const char *folder,
                                              int64_t max_tokens);

#endif
