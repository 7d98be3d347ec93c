#include "data/tokenizer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer_vocabulary.h"

#define VOCABULARY_BYTES_MAX (64u << 20)
#define SETTINGS_BYTES_MAX (16u << 20)

struct special {
    const char *key, *text;
};

static const struct special specials[SG_N_SPECIAL_TOKENS] = {
    [SG_TOKEN_PAD] = {"pad_token", "[PAD]"},    [SG_TOKEN_UNK] = {"unk_token", "[UNK]"},
    [SG_TOKEN_CLS] = {"cls_token", "[CLS]"},    [SG_TOKEN_SEP] = {"sep_token", "[SEP]"},
    [SG_TOKEN_MASK] = {"mask_token", "[MASK]"},
};

struct sg_tokenizer {
    struct word_rules rules;
    struct vocabulary vocabulary;
    int32_t special[SG_N_SPECIAL_TOKENS];
    uint8_t digest[SG_DIGEST_BYTES];
};

/* ---- settings ---- */

static enum sg_status read_bool(const json_t *object, const char *key, const char *path, bool *out)
{
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_null(value) && !json_is_boolean(value))
        return sg_fail(SG_USAGE, "%s: %s must be true, false or null", path, key);
    if (json_is_boolean(value))
        *out = json_is_true(value);
    return SG_OK;
}

/* A special token is given as text or as an object with its text in "content". */
static enum sg_status check_special(const json_t *object, const struct special *special, const char *path)
{
    const json_t *value = json_object_get(object, special->key);
    if (json_is_object(value))
        value = json_object_get(value, "content");
    if (value && !json_is_null(value) &&
        (!json_is_string(value) || strcmp(json_string_value(value), special->text) != 0))
        return sg_fail(SG_USAGE, "%s: %s is not %s; only vocabularies with BERT's special tokens are supported", path,
                       special->key, special->text);
    return SG_OK;
}

/* tokenizer_config.json */
static enum sg_status read_config(const json_t *root, const char *path, struct sg_tokenizer_settings *out)
{
    bool basic = true;
    for (int i = 0; i < SG_N_SPECIAL_TOKENS; i++)
        SG_TRY(check_special(root, &specials[i], path));
    SG_TRY(read_bool(root, "do_basic_tokenize", path, &basic));
    if (!basic)
        return sg_fail(SG_USAGE, "%s: do_basic_tokenize: false is not supported", path);
    const json_t *never = json_object_get(root, "never_split");
    if (never && !json_is_null(never) && json_array_size(never) > 0)
        return sg_fail(SG_USAGE, "%s: never_split is not supported", path);
    SG_TRY(read_bool(root, "do_lower_case", path, &out->lower_case));
    out->strip_accents = out->lower_case;
    SG_TRY(read_bool(root, "strip_accents", path, &out->strip_accents));
    return read_bool(root, "tokenize_chinese_chars", path, &out->spaced_cjk);
}

/* tokenizer.json, whose normalizer holds the same settings */
static enum sg_status read_fast_config(const json_t *root, const char *path, struct sg_tokenizer_settings *out)
{
    const json_t *normalizer = json_object_get(root, "normalizer");
    const char *type = json_string_value(json_object_get(normalizer, "type"));
    bool clean = true;
    if (!type || strcmp(type, "BertNormalizer") != 0)
        return sg_fail(SG_USAGE, "%s: its normalizer is no BertNormalizer; only BERT's WordPiece is supported", path);
    SG_TRY(read_bool(normalizer, "clean_text", path, &clean));
    if (!clean)
        return sg_fail(SG_USAGE, "%s: clean_text: false is not supported", path);
    SG_TRY(read_bool(normalizer, "lowercase", path, &out->lower_case));
    out->strip_accents = out->lower_case;
    SG_TRY(read_bool(normalizer, "strip_accents", path, &out->strip_accents));
    return read_bool(normalizer, "handle_chinese_chars", path, &out->spaced_cjk);
}

typedef enum sg_status settings_reader(const json_t *root, const char *path, struct sg_tokenizer_settings *out);

static enum sg_status read_json(const char *path, settings_reader *reader, struct sg_tokenizer_settings *out)
{
    struct sg_buffer bytes;
    json_t *root = NULL;
    SG_TRY(sg_file_read(path, "tokenizer settings", SETTINGS_BYTES_MAX, &bytes));
    enum sg_status status = sg_json_parse(bytes.data ? bytes.data : "", bytes.len, path, SG_USAGE, &root);
    sg_buffer_free(&bytes);
    if (status == SG_OK && !json_is_object(root))
        status = sg_fail(SG_USAGE, "%s: not a JSON object", path);
    if (status == SG_OK)
        status = reader(root, path, out);
    json_decref(root);
    return status;
}

static enum sg_status settings_beside(const char *folder, struct sg_tokenizer_settings *out)
{
    char *config = sg_path_join(folder, "tokenizer_config.json"), *fast = sg_path_join(folder, "tokenizer.json");
    enum sg_status status = SG_OK;
    if (sg_file_exists(config))
        status = read_json(config, read_config, out);
    else if (sg_file_exists(fast))
        status = read_json(fast, read_fast_config, out);
    free(config);
    free(fast);
    return status;
}

/* ---- opening ---- */

static enum sg_status read_vocabulary(const char *path, struct sg_tokenizer *t)
{
    struct sg_buffer bytes;
    SG_TRY(sg_file_read(path, "vocabulary", VOCABULARY_BYTES_MAX, &bytes));
    sg_sha256(bytes.data ? bytes.data : "", bytes.len, t->digest);
    SG_TRY(vocabulary_read(path, &bytes, &t->vocabulary));
    for (int i = 0; i < SG_N_SPECIAL_TOKENS; i++) {
        t->special[i] = vocabulary_find(&t->vocabulary, specials[i].text, strlen(specials[i].text));
        if (t->special[i] < 0)
            return sg_fail(SG_USAGE, "%s: no line %s; this is not the vocabulary of a BERT model", path,
                           specials[i].text);
    }
    return SG_OK;
}

/* The folder of a path, and the vocabulary in it. */
static void resolve(const char *path, char **folder, char **file)
{
    *file = sg_path_join(path, "vocab.txt");
    *folder = sg_strdup(path);
    if (sg_file_exists(*file) || !sg_file_exists(path))
        return;
    char *probe = sg_path_join(path, ".");
    bool is_folder = sg_file_exists(probe);
    free(probe);
    if (is_folder)
        return; /* without a vocabulary: the message names what is missing */
    const char *slash = strrchr(path, '/');
    free(*file);
    free(*folder);
    *file = sg_strdup(path);
    *folder = slash ? sg_format("%.*s", (int)(slash - path + 1), path) : sg_strdup(".");
}

enum sg_status sg_tokenizer_read(const char *path, const struct sg_tokenizer_settings *settings,
                                 struct sg_tokenizer **out)
{
    struct sg_tokenizer_settings found = {.lower_case = true, .strip_accents = true, .spaced_cjk = true};
    char *folder, *file;
    struct sg_tokenizer *t = *out = sg_alloc(1, sizeof *t);
    resolve(path, &folder, &file);
    enum sg_status status = read_vocabulary(file, t);
    if (status == SG_OK && !settings)
        status = settings_beside(folder, &found);
    if (status == SG_OK)
        word_rules_set(&t->rules, settings ? settings : &found);
    else
        sg_tokenizer_close(out);
    free(folder);
    free(file);
    return status;
}

void sg_tokenizer_close(struct sg_tokenizer **tokenizer)
{
    if (!*tokenizer)
        return;
    vocabulary_free(&(*tokenizer)->vocabulary);
    free(*tokenizer);
    *tokenizer = NULL;
}

/* ---- encoding ---- */

struct encoding {
    const struct sg_tokenizer *tokenizer;
    int32_t *ids;
    int64_t n, n_max; /* room for [SEP] is kept */
};

static bool add_ids(struct encoding *e, const int32_t *ids, size_t n)
{
    size_t room = (size_t)(e->n_max - e->n);
    size_t taken = n < room ? n : room;
    memcpy(e->ids + e->n, ids, taken * sizeof *ids);
    e->n += (int64_t)taken;
    return taken == n;
}

static bool on_word(void *context, const char *text, size_t n)
{
    struct encoding *e = context;
    int32_t ids[WORD_BYTES_MAX];
    size_t n_ids = text ? vocabulary_pieces(&e->tokenizer->vocabulary, text, n, ids) : 0;
    if (n_ids == 0)
        return add_ids(e, &e->tokenizer->special[SG_TOKEN_UNK], 1);
    return add_ids(e, ids, n_ids);
}

/* The special token that the text begins with, or -1. */
static int special_at(const char *text, size_t n)
{
    for (int i = 0; i < SG_N_SPECIAL_TOKENS; i++) {
        size_t length = strlen(specials[i].text);
        if (length <= n && memcmp(text, specials[i].text, length) == 0)
            return i;
    }
    return -1;
}

/* Where the next spelt special token begins, or n. */
static size_t next_special(const char *text, size_t n, int *which)
{
    size_t i = 0;
    *which = -1;
    while (i < n) {
        const char *bracket = memchr(text + i, '[', n - i);
        if (!bracket)
            return n;
        i = (size_t)(bracket - text);
        if ((*which = special_at(bracket, n - i)) >= 0)
            return i;
        i++;
    }
    return n;
}

/* False when it did not fit. */
static bool encode(struct encoding *e, const char *text, size_t n)
{
    int which = 0;
    for (size_t at = 0; which >= 0;) {
        size_t length = next_special(text + at, n - at, &which);
        if (!words_split(&e->tokenizer->rules, text + at, length, on_word, e))
            return false;
        if (which >= 0 && !add_ids(e, &e->tokenizer->special[which], 1))
            return false;
        at += length + (which >= 0 ? strlen(specials[which].text) : 0);
    }
    return true;
}

int64_t sg_tokenizer_encode(const struct sg_tokenizer *tokenizer, const char *text, size_t n, int64_t max_tokens,
                            int32_t *ids, bool *truncated)
{
    assert(max_tokens >= 2);
    if (!utf8_valid(text, n))
        return -1;
    struct encoding e = {.tokenizer = tokenizer, .ids = ids, .n_max = max_tokens - 1};
    ids[e.n++] = tokenizer->special[SG_TOKEN_CLS];
    bool whole = encode(&e, text, n);
    if (truncated)
        *truncated = !whole;
    ids[e.n++] = tokenizer->special[SG_TOKEN_SEP];
    return e.n;
}

/* ---- what it is ---- */

int64_t sg_tokenizer_n_vocab(const struct sg_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.n_tokens;
}

int32_t sg_tokenizer_special(const struct sg_tokenizer *tokenizer, enum sg_special_token which)
{
    return tokenizer->special[which];
}

struct sg_tokenizer_settings sg_tokenizer_settings_of(const struct sg_tokenizer *tokenizer)
{
    return tokenizer->rules.settings;
}

const uint8_t *sg_tokenizer_digest(const struct sg_tokenizer *tokenizer)
{
    return tokenizer->digest;
}

enum sg_status sg_tokenizer_write(const struct sg_tokenizer *tokenizer, const char *folder, int64_t max_tokens)
{
    const struct sg_tokenizer_settings *s = &tokenizer->rules.settings;
    json_t *config = json_pack("{s:s, s:b, s:b, s:b, s:I}", "tokenizer_class", "BertTokenizer", "do_lower_case",
                               s->lower_case, "strip_accents", s->strip_accents, "tokenize_chinese_chars",
                               s->spaced_cjk, "model_max_length", (json_int_t)max_tokens);
    for (int i = 0; i < SG_N_SPECIAL_TOKENS; i++)
        json_object_set_new(config, specials[i].key, json_string(specials[i].text));
    struct sg_buffer text = {0};
    sg_json_dump(config, &text);
    sg_buffer_text(&text, "\n");
    json_decref(config);
    char *path = sg_path_join(folder, "tokenizer_config.json");
    enum sg_status status = sg_file_write(path, text.data, text.len, 0644);
    free(path);
    sg_buffer_free(&text);
    SG_TRY(status);
    path = sg_path_join(folder, "vocab.txt");
    status = sg_file_write(path, tokenizer->vocabulary.bytes.data, tokenizer->vocabulary.bytes.len, 0644);
    free(path);
    return status;
}
