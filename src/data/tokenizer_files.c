#include "tokenizer_files.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "tokenizer_vocabulary.h"

#define FILE_BYTES_MAX (16u << 20)

const struct special_token special_tokens[SG_N_SPECIAL_TOKENS] = {
    [SG_TOKEN_PAD] = {"pad_token", "[PAD]"},    [SG_TOKEN_UNK] = {"unk_token", "[UNK]"},
    [SG_TOKEN_CLS] = {"cls_token", "[CLS]"},    [SG_TOKEN_SEP] = {"sep_token", "[SEP]"},
    [SG_TOKEN_MASK] = {"mask_token", "[MASK]"},
};

static enum sg_status parse_object(const char *path, const char *bytes, size_t n, json_t **out)
{
    SG_TRY(sg_json_parse(bytes ? bytes : "", n, path, SG_USAGE, out));
    return json_is_object(*out) ? SG_OK : sg_fail(SG_USAGE, "%s: not a JSON object", path);
}

static enum sg_status read_bool(const json_t *object, const char *key, const char *path, bool *out)
{
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_null(value) && !json_is_boolean(value))
        return sg_fail(SG_USAGE, "%s: %s must be true, false or null", path, key);
    if (json_is_boolean(value))
        *out = json_is_true(value);
    return SG_OK;
}

/* ---- tokenizer_config.json ---- */

/* A special token is given as text or as an object with its text in "content". */
static enum sg_status check_special(const json_t *object, const struct special_token *special, const char *path)
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

static enum sg_status read_config(const json_t *root, const char *path, struct sg_tokenizer_settings *out)
{
    bool basic = true;
    for (int i = 0; i < SG_N_SPECIAL_TOKENS; i++)
        SG_TRY(check_special(root, &special_tokens[i], path));
    SG_TRY(read_bool(root, "do_basic_tokenize", path, &basic));
    if (!basic)
        return sg_fail(SG_USAGE, "%s: do_basic_tokenize: false is not supported", path);
    const json_t *never = json_object_get(root, "never_split");
    if (never && !json_is_null(never) && json_array_size(never) > 0)
        return sg_fail(SG_USAGE, "%s: never_split is not supported", path);
    /* The usual library takes all three from here, and its own defaults where they are not; never from the other file.
     */
    *out = (struct sg_tokenizer_settings){.lower_case = true, .spaced_cjk = true};
    SG_TRY(read_bool(root, "do_lower_case", path, &out->lower_case));
    out->strip_accents = out->lower_case;
    SG_TRY(read_bool(root, "strip_accents", path, &out->strip_accents));
    return read_bool(root, "tokenize_chinese_chars", path, &out->spaced_cjk);
}

enum sg_status tokenizer_config_read(const char *path, struct sg_tokenizer_settings *out)
{
    struct sg_buffer bytes;
    json_t *root = NULL;
    SG_TRY(sg_file_read(path, "tokenizer settings", FILE_BYTES_MAX, &bytes));
    enum sg_status status = parse_object(path, bytes.data, bytes.len, &root);
    if (status == SG_OK)
        status = read_config(root, path, out);
    sg_buffer_free(&bytes);
    json_decref(root);
    return status;
}

/* ---- tokenizer.json ---- */

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* The member of that name must be an object whose "type" is the one we build. */
static enum sg_status take_part(const json_t *root, const char *name, const char *type, const char *path,
                                const json_t **out)
{
    *out = json_object_get(root, name);
    if (is_text(json_object_get(*out, "type"), type))
        return SG_OK;
    return sg_fail(SG_USAGE, "%s: its %s is no %s; only BERT's WordPiece is supported", path, name, type);
}

static enum sg_status read_normalizer(const json_t *root, const char *path, struct sg_tokenizer_settings *out)
{
    const json_t *normalizer;
    bool clean = true;
    SG_TRY(take_part(root, "normalizer", "BertNormalizer", path, &normalizer));
    SG_TRY(read_bool(normalizer, "clean_text", path, &clean));
    if (!clean)
        return sg_fail(SG_USAGE, "%s: clean_text: false is not supported", path);
    *out = (struct sg_tokenizer_settings){.lower_case = true, .spaced_cjk = true};
    SG_TRY(read_bool(normalizer, "lowercase", path, &out->lower_case));
    out->strip_accents = out->lower_case;
    SG_TRY(read_bool(normalizer, "strip_accents", path, &out->strip_accents));
    return read_bool(normalizer, "handle_chinese_chars", path, &out->spaced_cjk);
}

/* [CLS] text [SEP], in either of the two ways to say it. */
static enum sg_status check_frame(const json_t *root, const char *path)
{
    const json_t *frame = json_object_get(root, "post_processor"), *single = json_object_get(frame, "single");
    if (is_text(json_object_get(frame, "type"), "BertProcessing") &&
        is_text(json_array_get(json_object_get(frame, "cls"), 0), "[CLS]") &&
        is_text(json_array_get(json_object_get(frame, "sep"), 0), "[SEP]"))
        return SG_OK;
    const json_t *first = json_object_get(json_array_get(single, 0), "SpecialToken"),
                 *last = json_object_get(json_array_get(single, 2), "SpecialToken");
    if (is_text(json_object_get(frame, "type"), "TemplateProcessing") && json_array_size(single) == 3 &&
        is_text(json_object_get(first, "id"), "[CLS]") && is_text(json_object_get(last, "id"), "[SEP]") &&
        json_object_get(json_array_get(single, 1), "Sequence"))
        return SG_OK;
    return sg_fail(SG_USAGE, "%s: its post_processor does not put a text between [CLS] and [SEP]", path);
}

/* Every other word that is found before the text is split would change ids. */
static enum sg_status check_added(const json_t *root, const char *path, const json_t *words)
{
    size_t i;
    const json_t *token;
    json_array_foreach(json_object_get(root, "added_tokens"), i, token)
    {
        static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized"};
        const char *content = json_string_value(json_object_get(token, "content"));
        int k = 0;
        while (content && k < SG_N_SPECIAL_TOKENS && strcmp(content, special_tokens[k].text) != 0)
            k++;
        if (!content || k == SG_N_SPECIAL_TOKENS)
            return sg_fail(SG_USAGE,
                           "%s: added_tokens: number %zu is none of [PAD] [UNK] [CLS] [SEP] [MASK]; others "
                           "are not supported",
                           path, i + 1);
        for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
            if (json_is_true(json_object_get(token, flags[f])))
                return sg_fail(SG_USAGE, "%s: added_tokens: %s: %s is not supported", path, content, flags[f]);
        if (!json_equal(json_object_get(token, "id"), json_object_get(words, content)))
            return sg_fail(SG_USAGE, "%s: added_tokens: %s has another id than in the vocabulary", path, content);
    }
    return SG_OK;
}

/* What a line can hold. Lines end in LF or CRLF, and no word with either character can be found in a text. */
static enum sg_status check_word(const char *path, const char *word, const json_t *id)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= VOCABULARY_TOKENS_MAX)
        return sg_fail(SG_USAGE, "%s: model: vocab: an id is no integer below %d", path, VOCABULARY_TOKENS_MAX);
    if (strpbrk(word, "\r\n"))
        return sg_fail(SG_USAGE, "%s: model: vocab: the word with id %lld breaks its line", path,
                       (long long)json_integer_value(id));
    return SG_OK;
}

/* Of the words, how many ids there are: the highest and one. */
static enum sg_status count_ids(const json_t *words, const char *path, size_t *n)
{
    const char *word;
    json_t *id;
    *n = 0;
    json_object_foreach((json_t *)words, word, id)
    {
        SG_TRY(check_word(path, word, id));
        size_t next = (size_t)json_integer_value(id) + 1;
        *n = next > *n ? next : *n;
    }
    return *n ? SG_OK : sg_fail(SG_USAGE, "%s: model: vocab: no word in it", path);
}

static enum sg_status write_lines(const json_t *words, const char *path, struct sg_buffer *out)
{
    size_t n;
    SG_TRY(count_ids(words, path, &n));
    const char **line = sg_alloc(n, sizeof *line), *word;
    json_t *id;
    enum sg_status status = SG_OK;
    json_object_foreach((json_t *)words, word, id)
    {
        const char **place = &line[json_integer_value(id)];
        if (*place)
            status = sg_fail(SG_USAGE, "%s: model: vocab: two words have the id %lld", path,
                             (long long)json_integer_value(id));
        *place = word;
    }
    for (size_t i = 0; i < n && status == SG_OK; i++) {
        sg_buffer_text(out, line[i] ? line[i] : "");
        sg_buffer_text(out, "\n");
    }
    free(line);
    return status;
}

static enum sg_status read_model(const json_t *root, const char *path, struct sg_buffer *out)
{
    const json_t *model;
    SG_TRY(take_part(root, "model", "WordPiece", path, &model));
    const json_t *longest = json_object_get(model, "max_input_chars_per_word"),
                 *words = json_object_get(model, "vocab");
    if (!is_text(json_object_get(model, "unk_token"), "[UNK]"))
        return sg_fail(SG_USAGE, "%s: model: unk_token must be [UNK]", path);
    if (!is_text(json_object_get(model, "continuing_subword_prefix"), "##"))
        return sg_fail(SG_USAGE, "%s: model: continuing_subword_prefix must be ##", path);
    if (!json_is_integer(longest) || json_integer_value(longest) != WORD_CHARACTERS_MAX)
        return sg_fail(SG_USAGE, "%s: model: max_input_chars_per_word must be %d", path, WORD_CHARACTERS_MAX);
    if (!json_is_object(words))
        return sg_fail(SG_USAGE, "%s: model: vocab must be an object: word: id", path);
    SG_TRY(check_added(root, path, words));
    return write_lines(words, path, out);
}

enum sg_status tokenizer_json_parse(const char *path, const char *bytes, size_t n, struct tokenizer_json *out)
{
    const json_t *part;
    json_t *root = NULL;
    *out = (struct tokenizer_json){0};
    enum sg_status status = parse_object(path, bytes, n, &root);
    if (status == SG_OK)
        status = read_model(root, path, &out->vocabulary);
    if (status == SG_OK)
        status = read_normalizer(root, path, &out->settings);
    if (status == SG_OK)
        status = take_part(root, "pre_tokenizer", "BertPreTokenizer", path, &part);
    if (status == SG_OK)
        status = check_frame(root, path);
    out->present = status == SG_OK;
    json_decref(root);
    return status;
}

enum sg_status tokenizer_json_read(const char *path, struct tokenizer_json *out)
{
    struct sg_buffer bytes;
    *out = (struct tokenizer_json){0};
    SG_TRY(sg_file_read(path, "tokenizer", FILE_BYTES_MAX, &bytes));
    enum sg_status status = tokenizer_json_parse(path, bytes.data, bytes.len, out);
    sg_buffer_free(&bytes);
    return status;
}

void tokenizer_json_free(struct tokenizer_json *json)
{
    sg_buffer_free(&json->vocabulary);
    *json = (struct tokenizer_json){0};
}

/* ---- both vocabularies ---- */

/* The line at *at, without its end; moves on. False behind the last. */
static bool next_line(const char **at, const char *end, const char **line, size_t *n)
{
    if (*at >= end)
        return false;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    *line = *at;
    *n = (size_t)((stop ? stop : end) - *at);
    if (*n && (*line)[*n - 1] == '\r')
        (*n)--;
    *at = stop ? stop + 1 : end;
    return true;
}

enum sg_status tokenizer_json_agrees(const struct tokenizer_json *json, const char *json_path,
                                     const char *vocabulary_path, const struct sg_buffer *vocabulary)
{
    const char *a = vocabulary->data, *a_end = a + vocabulary->len, *b = json->vocabulary.data,
               *b_end = b + json->vocabulary.len, *x, *y;
    size_t n_x, n_y;
    for (long long i = 1;; i++) {
        bool more = next_line(&a, a_end, &x, &n_x), more_b = next_line(&b, b_end, &y, &n_y);
        if (!more && !more_b)
            return SG_OK;
        if (more != more_b || (n_y && (n_x != n_y || memcmp(x, y, n_x) != 0)))
            return sg_fail(SG_USAGE, "%s:%lld: not the word with this id in %s; one of the two is of another model",
                           vocabulary_path, i, json_path);
    }
}
