/* Would catch: a tokenizer.json whose words get other ids than from vocab.txt, or whose settings are lost; a part of it
 * that changes ids and is ignored (another model, normalizer, frame or added token); two vocabularies in a folder that
 * differ; hostile JSON that is taken; a saved folder without what others read. */
#include "data_test.h"

#include "base/file.h"
#include "data/tokenizer.h"

#define SPECIALS "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
#define FLAGS                                                                                                          \
    ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}"
#define SINGLE                                                                                                         \
    "\"single\": [{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\"}}, "          \
    "{\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 0}}]"

/* As the library writes it. */
static const char whole[] =
    "{\"version\": \"1.0\", \"truncation\": {\"max_length\": 128}, \"padding\": null, \"added_tokens\": ["
    "{\"id\": 0, \"content\": \"[PAD]\"" FLAGS ", {\"id\": 1, \"content\": \"[UNK]\"" FLAGS
    ", {\"id\": 2, \"content\": \"[CLS]\"" FLAGS ", {\"id\": 3, \"content\": \"[SEP]\"" FLAGS
    ", {\"id\": 4, \"content\": \"[MASK]\"" FLAGS "], \"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": "
    "true, \"handle_chinese_chars\": true, \"strip_accents\": null, \"lowercase\": false}, \"pre_tokenizer\": "
    "{\"type\": \"BertPreTokenizer\"}, \"post_processor\": {\"type\": \"TemplateProcessing\", " SINGLE
    "}, \"decoder\": null, \"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", "
    "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 100, \"vocab\": {\"Caf\": 5, \"[SEP]\": 3, "
    "\"[PAD]\": 0, \"[MASK]\": 4, \"##\\u00e9\": 6, \"[UNK]\": 1, \"cafe\": 7, \"[CLS]\": 2}}}";
static const char same_words[] = SPECIALS "Caf\n##é\ncafe\n";

/* The text with the first `from` replaced, in new memory. */
static char *edited(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (!at)
        fail_msg("no \"%s\" in the text", from);
    return sg_format("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void remove_all(void)
{
    static const char *const names[] = {"vocab.txt", "tokenizer.json", "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = sg_format("%s/%s", folder, names[i]);
        unlink(path);
        free(path);
    }
}

static struct sg_tokenizer *opened(void)
{
    struct sg_tokenizer *tokenizer;
    if (sg_tokenizer_read(folder, NULL, &tokenizer) != SG_OK)
        fail_msg("%s", sg_error_text());
    return tokenizer;
}

static void expect_refusal(const char *words)
{
    struct sg_tokenizer *tokenizer;
    assert_int_equal(sg_tokenizer_read(folder, NULL, &tokenizer), SG_USAGE);
    assert_null(tokenizer);
    if (!strstr(sg_error_text(), words) || strchr(sg_error_text(), '\n'))
        fail_msg("\"%s\" is not one line that holds \"%s\"", sg_error_text(), words);
}

static void expect_ids(const struct sg_tokenizer *tokenizer, const char *text, const int32_t *wanted, int64_t n)
{
    int32_t ids[16];
    assert_int_equal(sg_tokenizer_encode(tokenizer, text, strlen(text), 16, ids, NULL), n);
    assert_memory_equal(ids, wanted, (size_t)n * sizeof *ids);
}

static void test_json_alone(void **state)
{
    (void)state;
    static const int32_t wanted[] = {2, 5, 6, 1, 4, 3};
    remove_all();
    free(write_text("vocab.txt", same_words));
    struct sg_tokenizer *by_text = opened();
    remove_all();
    free(write_text("tokenizer.json", whole));
    struct sg_tokenizer *by_json = opened();
    assert_int_equal(sg_tokenizer_n_vocab(by_json), 8);
    expect_ids(by_json, "Café CAFÉ [MASK]", wanted, 6);
    assert_memory_equal(sg_tokenizer_digest(by_json), sg_tokenizer_digest(by_text), 32);
    sg_tokenizer_close(&by_text);

    /* What we save has both files that others need, and is the same tokenizer. */
    char *saved = sg_format("%s/saved", folder), *file = sg_path_join(saved, "vocab.txt");
    struct sg_buffer bytes;
    struct sg_tokenizer *again;
    assert_int_equal(sg_folder_make(saved), SG_OK);
    assert_int_equal(sg_tokenizer_write(by_json, saved, 64), SG_OK);
    assert_int_equal(sg_file_read(file, "vocabulary", 1000, &bytes), SG_OK);
    assert_int_equal(bytes.len, sizeof same_words - 1);
    assert_memory_equal(bytes.data, same_words, bytes.len);
    assert_int_equal(sg_tokenizer_read(saved, NULL, &again), SG_OK);
    expect_ids(again, "Café CAFÉ [MASK]", wanted, 6);
    sg_tokenizer_close(&again);
    sg_tokenizer_close(&by_json);
    sg_buffer_free(&bytes);
    free(file);
    free(saved);
}

/* tokenizer_config.json counts before tokenizer.json, as in the usual library: with its defaults. */
static void test_settings(void **state)
{
    (void)state;
    static const int32_t wanted[] = {2, 7, 3};
    remove_all();
    free(write_text("tokenizer.json", whole));
    free(write_text("tokenizer_config.json", "{\"tokenizer_class\": \"BertTokenizer\"}"));
    struct sg_tokenizer *tokenizer = opened();
    expect_ids(tokenizer, "CAFÉ", wanted, 3);
    sg_tokenizer_close(&tokenizer);
    char *text = edited(whole, "\"handle_chinese_chars\": true, \"strip_accents\": null, \"lowercase\": false",
                        "\"handle_chinese_chars\": false, \"strip_accents\": false, \"lowercase\": true");
    remove_all();
    free(write_text("tokenizer.json", text));
    tokenizer = opened();
    struct sg_tokenizer_settings s = sg_tokenizer_settings_of(tokenizer);
    assert_true(s.lower_case && !s.strip_accents && !s.spaced_cjk);
    sg_tokenizer_close(&tokenizer);
    free(text);
}

static void test_frames(void **state)
{
    (void)state;
    char *text = edited(whole, "\"type\": \"TemplateProcessing\", " SINGLE,
                        "\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 3], \"cls\": [\"[CLS]\", 2]");
    remove_all();
    free(write_text("tokenizer.json", text));
    struct sg_tokenizer *tokenizer = opened();
    sg_tokenizer_close(&tokenizer);
    free(text);
}

static void test_both(void **state)
{
    (void)state;
    static const char *const agree[] = {same_words, SPECIALS "Caf\r\n##é\r\ncafe", SPECIALS "Caf\n##é\ncafe"};
    static const char *const differ[] = {SPECIALS "##é\nCaf\ncafe\n",    SPECIALS "Caf\n##é\n",
                                         SPECIALS "Caf\n##é\ncafe\nx\n", SPECIALS "Caf\n##é\ncafes\n",
                                         SPECIALS "Caf\n##é\n\n",        SPECIALS "Caf\n##e\ncafe\n"};
    remove_all();
    free(write_text("tokenizer.json", whole));
    for (size_t i = 0; i < sizeof agree / sizeof *agree; i++) {
        free(write_text("vocab.txt", agree[i]));
        struct sg_tokenizer *tokenizer = opened();
        sg_tokenizer_close(&tokenizer);
    }
    for (size_t i = 0; i < sizeof differ / sizeof *differ; i++) {
        free(write_text("vocab.txt", differ[i]));
        expect_refusal("one of the two is of another model");
    }
    /* A word twice in vocab.txt has the later id, and the first has none in tokenizer.json. */
    static const int32_t wanted[] = {2, 8, 3};
    char *text = edited(whole, "\"cafe\": 7", "\"cafe\": 8");
    free(write_text("tokenizer.json", text));
    free(write_text("vocab.txt", SPECIALS "Caf\n##é\ncafe\ncafe\n"));
    struct sg_tokenizer *tokenizer = opened();
    expect_ids(tokenizer, "cafe", wanted, 3);
    sg_tokenizer_close(&tokenizer);
    free(text);
}

static void test_neither(void **state)
{
    (void)state;
    remove_all();
    expect_refusal("vocab.txt: cannot open the vocabulary: there is neither this file nor a tokenizer.json");
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
    } cases[] = {
        {"\"WordPiece\"", "\"BPE\"", "its model is no WordPiece"},
        {"\"WordPiece\"", "\"Unigram\"", "its model is no WordPiece"},
        {"\"model\": {\"type\"", "\"model\": {\"kind\"", "its model is no WordPiece"},
        {"\"unk_token\": \"[UNK]\"", "\"unk_token\": \"<unk>\"", "unk_token"},
        {"\"##\"", "\"@@\"", "continuing_subword_prefix"},
        {": 100", ": 50", "max_input_chars_per_word"},
        {"\"vocab\": {", "\"vocab\": [], \"other\": {", "vocab must be an object"},
        {"\"Caf\": 5", "\"Caf\": -1", "an id is no integer below"},
        {"\"Caf\": 5", "\"Caf\": 5.0", "an id is no integer below"},
        {"\"Caf\": 5", "\"Caf\": \"5\"", "an id is no integer below"},
        {"\"Caf\": 5", "\"Caf\": 4194304", "an id is no integer below"},
        {"\"Caf\": 5", "\"Caf\": 99999999999999999999", "number out of range"},
        {"\"Caf\": 5", "\"Caf\": 7", "two words have the id 7"},
        {"\"Caf\": 5", "\"Caf\": 5, \"Caf\": 8", "duplicate key"},
        {"\"Caf\": 5", "\"Caf\\n\": 5", "breaks its line"},
        {"\"Caf\": 5", "\"Caf\\r\": 5", "breaks its line"},
        {"\"Caf\": 5", "\"Caf\\u0000\": 5", "NUL"},
        {"\"Caf\": 5", "\"Caf\\ud800\": 5", "tokenizer.json"},
        {"\"[PAD]\": 0", "\"[pad]\": 0", "added_tokens: [PAD] has another id"},
        {"\"id\": 4,", "\"id\": 5,", "added_tokens: [MASK] has another id"},
        {"\"content\": \"[MASK]\"", "\"content\": \"<new>\"", "added_tokens: number 5"},
        {"\"lstrip\": false", "\"lstrip\": true", "[PAD]: lstrip"},
        {"\"normalized\": false", "\"normalized\": true", "[PAD]: normalized"},
        {"BertNormalizer", "Lowercase", "its normalizer is no BertNormalizer"},
        {"\"clean_text\": true", "\"clean_text\": false", "clean_text"},
        {"\"lowercase\": false", "\"lowercase\": 1", "lowercase must be true, false or null"},
        {"BertPreTokenizer", "Whitespace", "its pre_tokenizer is no BertPreTokenizer"},
        {"TemplateProcessing", "RobertaProcessing", "post_processor"},
        {"{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": 0}}, ", "", "post_processor"},
        {"{\"id\": \"[SEP]\", \"type_id\"", "{\"id\": \"[CLS]\", \"type_id\"", "post_processor"},
        {"\"decoder\": null", "\"decoder\": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0",
         "deeper"},
        {"{\"version\"", "[\"version\"", "tokenizer.json"},
        {"}}}", "}}", "ends too early"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = edited(whole, cases[i].from, cases[i].to);
        remove_all();
        free(write_text("tokenizer.json", text));
        expect_refusal(cases[i].words);
        free(write_text("vocab.txt", same_words)); /* a vocabulary beside it does not excuse it */
        expect_refusal(cases[i].words);
        free(text);
    }
    remove_all();
    free(write_text("tokenizer.json", "[]"));
    expect_refusal("not a JSON object");
    char *path = write_text("tokenizer.json", "");
    expect_refusal(path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_alone), cmocka_unit_test(test_settings), cmocka_unit_test(test_frames),
        cmocka_unit_test(test_both),       cmocka_unit_test(test_neither),  cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
