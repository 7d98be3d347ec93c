/* What the usual Python libraries save of a BERT tokenizer: tokenizer_config.json, its settings, and tokenizer.json,
 * the settings once more with the whole vocabulary. */
#ifndef SG_DATA_TOKENIZER_FILES_H
#define SG_DATA_TOKENIZER_FILES_H

#include "base/bytes.h"
#include "data/tokenizer.h"

/* By enum sg_special_token: the key in tokenizer_config.json, and the word. */
extern const struct special_token {
    const char *key, *text;
} special_tokens[SG_N_SPECIAL_TOKENS];

struct tokenizer_json {
    bool present;
    struct sg_tokenizer_settings settings;
    struct sg_buffer
        vocabulary; /* as vocab.txt has it: a word a line, in the order of ids; empty where an id has none */
};

/* Over *out, which holds what counts where a key is absent. SG_USAGE for settings that are no WordPiece of BERT. */
SG_MUST_USE enum sg_status tokenizer_config_read(const char *path, struct sg_tokenizer_settings *out);

/* Everything in the file that would change an id must be as the tokenizer does it; SG_USAGE names what is not. The
 * caller frees *out, also after a fault. */
SG_MUST_USE enum sg_status tokenizer_json_read(const char *path, struct tokenizer_json *out);
SG_MUST_USE enum sg_status tokenizer_json_parse(const char *path, const char *bytes, size_t n,
                                                struct tokenizer_json *out);
void tokenizer_json_free(struct tokenizer_json *json);
/* SG_USAGE unless vocab.txt (its path and bytes) gives every word the same id. An id without a word is that of a line
 * which occurs again later. */
SG_MUST_USE enum sg_status tokenizer_json_agrees(const struct tokenizer_json *json, const char *json_path,
                                                 const char *vocabulary_path, const struct sg_buffer *vocabulary);

#endif
