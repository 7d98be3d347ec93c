#include "data/tokenizer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer_files.h"
#include "tokenizer_vocabulary.h"

#define VOCABULARY_BYTES_MAX (64u << 20)

struct sg_tokenizer {
    struct word_rules rules;
    struct vocabulary vocabulary;
    int32_t special[SG_N_SPECIAL_TOKENS];
    uint8_t digest[SG_DIGEST_BYTES];
};

/* ---- opening ---- */

/* Where a tokenizer's files are. */
struct place {
    char *vocabulary, *config, *fast; /* vocab.txt or another name, tokenizer_config.json, tokenizer.json */
};

/* `path` is a folder, or a vocabulary with the others beside it. */
static struct place find_place(const char *path)
{
    char *probe = sg_path_join(path, "."), *folder = sg_strdup(path), *file = sg_path_join(path, "vocab.txt");
    if (sg_file_exists(path) && !sg_file_exists(probe)) {
        const char *slash = strrchr(path, '/');
        free(folder);
        free(file);
        folder = slash ? sg_format("%.*s", (int)(slash - path + 1), path) : sg_strdup(".");
        file = sg_strdup(path);
    }
    struct place place = {file, sg_path_join(folder, "tokenizer_config.json"), sg_path_join(folder, "tokenizer.json")};
    free(probe);
    free(folder);
    return place;
}

static void free_place(struct place *place)
{
    free(place->vocabulary);
    free(place->config);
    free(place->fast);
}

/* The bytes of vocab.txt. Without the file they are what it would hold by tokenizer.json; with both, they agree. */
static enum sg_status read_words(const struct place *place, const struct tokenizer_json *fast, struct sg_buffer *bytes)
{
    if (sg_file_exists(place->vocabulary)) {
        SG_TRY(sg_file_read(place->vocabulary, "vocabulary", VOCABULARY_BYTES_MAX, bytes));
        return fast->present ? tokenizer_json_agrees(fast, place->fast, place->vocabulary, bytes) : SG_OK;
    }
    if (!fast->present)
        return sg_fail(SG_USAGE, "%s: cannot open the vocabulary: there is neither this file nor a tokenizer.json",
                       place->vocabulary);
    sg_buffer_append(bytes, fast->vocabulary.data, fast->vocabulary.len);
    return SG_OK;
}

static enum sg_status index_words(const char *path, struct sg_buffer *bytes, struct sg_tokenizer *t)
{
    sg_sha256(bytes->data ? bytes->data : "", bytes->len, t->digest);
    SG_TRY(vocabulary_read(path, bytes, &t->vocabulary));
    for (int i = 0; i < SG_N_SPECIAL_TOKENS; i++) {
        t->special[i] = vocabulary_find(&t->vocabulary, special_tokens[i].text, strlen(special_tokens[i].text));
        if (t->special[i] < 0)
            return sg_fail(SG_USAGE, "%s: no line %s; this is not the vocabulary of a BERT model", path,
                           special_tokens[i].text);
    }
    return SG_OK;
}

/* Settings that are given come alone: then nothing but the vocabulary is read. */
static enum sg_status read_files(const struct place *place, const struct sg_tokenizer_settings *given,
                                 struct sg_tokenizer *t)
{
    struct tokenizer_json fast = {0};
    struct sg_tokenizer_settings found = {.lower_case = true, .strip_accents = true, .spaced_cjk = true};
    struct sg_buffer bytes = {0};
    enum sg_status status = SG_OK;
    if (sg_file_exists(place->fast) && (!given || !sg_file_exists(place->vocabulary)))
        status = tokenizer_json_read(place->fast, &fast);
    if (status == SG_OK && !given && fast.present)
        found = fast.settings;
    if (status == SG_OK && !given && sg_file_exists(place->config))
        status = tokenizer_config_read(place->config, &found);
    if (status == SG_OK)
        status = read_words(place, &fast, &bytes);
    if (status == SG_OK)
        status = index_words(sg_file_exists(place->vocabulary) ? place->vocabulary : place->fast, &bytes, t);
    if (status == SG_OK)
        word_rules_set(&t->rules, given ? given : &found);
    sg_buffer_free(&bytes);
    tokenizer_json_free(&fast);
    return status;
}

enum sg_status sg_tokenizer_read(const char *path, const struct sg_tokenizer_settings *settings,
                                 struct sg_tokenizer **out)
{
    struct place place = find_place(path);
    *out = sg_alloc(1, sizeof **out);
    enum sg_status status = read_files(&place, settings, *out);
    if (status != SG_OK)
        sg_tokenizer_close(out);
    free_place(&place);
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
        size_t length = strlen(special_tokens[i].text);
        if (length <= n && memcmp(text, special_tokens[i].text, length) == 0)
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
        at += length + (which >= 0 ? strlen(special_tokens[which].text) : 0);
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
        json_object_set_new(config, special_tokens[i].key, json_string(special_tokens[i].text));
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
