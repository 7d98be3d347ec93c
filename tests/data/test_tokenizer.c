/* Would catch: an id that differs from the `tokenizers` library's (golden values from tools/tokenizer_golden.py, every
 * character's words by their digest, so that another version of utf8proc shows); a hostile vocabulary or settings that
 * are taken; text cut at the wrong token; bytes that are no UTF-8. */
#include "data_test.h"

#include "base/digest.h"
#include "base/file.h"
#include "data/tokenizer.h"
#include "tokenizer_words.h"

static const struct sg_tokenizer_settings uncased = {true, true, true}, cased = {false, false, true},
                                          lower_only = {true, false, true};

static const struct sg_tokenizer_settings *named(const char *name)
{
    return strcmp(name, "uncased") == 0 ? &uncased : strcmp(name, "cased") == 0 ? &cased : &lower_only;
}

static char *golden_path(const char *name)
{
    const char *source = getenv("SEALGRAD_SOURCE");
    assert_non_null(source);
    return sg_format("%s/tests/data/tokenizer/%s", source, name);
}

static struct sg_tokenizer *open_small(const struct sg_tokenizer_settings *settings)
{
    char *path = golden_path("vocab.txt");
    struct sg_tokenizer *tokenizer;
    if (sg_tokenizer_read(path, settings, &tokenizer) != SG_OK)
        fail_msg("%s", sg_error_text());
    free(path);
    return tokenizer;
}

/* ---- golden values ---- */

static void check_ids(char *line, struct sg_tokenizer *const *tokenizers)
{
    char *save, *name = strtok_r(line, " ", &save), *hex = strtok_r(NULL, " ", &save), *id;
    const struct sg_tokenizer *tokenizer = tokenizers[*name == 'u' ? 0 : *name == 'c' ? 1 : 2];
    size_t n = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
    char *text = sg_alloc(n + 1, 1);
    assert_true(sg_hex_decode(hex, 2 * n, text, n));
    int32_t ids[1024];
    int64_t n_ids = sg_tokenizer_encode(tokenizer, text, n, 1024, ids, NULL), i = 0;
    for (; (id = strtok_r(NULL, " \n", &save)); i++)
        if (i >= n_ids || ids[i] != atoi(id))
            fail_msg("%s, text %s: id %lld is %d, not %s", name, hex, (long long)i, i < n_ids ? ids[i] : -1, id);
    assert_int_equal(i, n_ids);
    free(text);
}

static void test_golden_ids(void **state)
{
    (void)state;
    struct sg_tokenizer *tokenizers[3] = {open_small(&uncased), open_small(&cased), open_small(&lower_only)};
    char *path = golden_path("golden.txt"), *line = NULL;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t capacity = 0;
    int n_lines = 0;
    while (getline(&line, &capacity, file) > 0)
        if (strncmp(line, "ids ", 4) == 0) {
            check_ids(line + 4, tokenizers);
            n_lines++;
        }
    assert_true(n_lines > 1000);
    fclose(file);
    free(line);
    free(path);
    for (int i = 0; i < 3; i++)
        sg_tokenizer_close(&tokenizers[i]);
}

static bool add_word(void *context, const char *text, size_t n)
{
    assert_non_null(text);
    sg_buffer_append(context, text, n);
    sg_buffer_text(context, "\n");
    return true;
}

static size_t put_utf8(uint32_t c, char *out)
{
    if (c < 0x80)
        return (void)(out[0] = (char)c), 1;
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[more] | c >> 6 * more);
    for (int i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (c >> 6 * (more - i) & 0x3f));
    return (size_t)more + 1;
}

static void hash_words(const struct word_rules *rules, const struct sg_buffer *text, struct sg_buffer *words,
                       struct sg_sha256_state *sha)
{
    words->len = 0;
    assert_true(words_split(rules, text->data, text->len, add_word, words));
    sg_buffer_text(words, "\n");
    sg_sha256_update(sha, words->data, words->len);
}

static void digest_of_characters(const struct sg_tokenizer_settings *settings, char hex[65])
{
    struct word_rules *rules = sg_alloc(1, sizeof *rules);
    struct sg_sha256_state *sha = sg_sha256_begin();
    struct sg_buffer texts = {0}, words = {0};
    uint8_t digest[SG_DIGEST_BYTES];
    word_rules_set(rules, settings);
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xd800 && c < 0xe000)
            continue;
        char character[4];
        size_t n = put_utf8(c, character);
        texts.len = 0;
        sg_buffer_text(&texts, "a");
        sg_buffer_append(&texts, character, n);
        sg_buffer_text(&texts, "b");
        hash_words(rules, &texts, &words, sha);
        texts.len = 0;
        sg_buffer_text(&texts, "e\u302e");
        sg_buffer_append(&texts, character, n);
        sg_buffer_text(&texts, "\U0001d165\u1b44"); /* these stay when accents go, and change places */
        sg_buffer_append(&texts, character, n);
        sg_buffer_text(&texts, "x");
        hash_words(rules, &texts, &words, sha);
    }
    sg_sha256_end(sha, digest);
    sg_hex_encode(digest, sizeof digest, hex);
    sg_buffer_free(&texts);
    sg_buffer_free(&words);
    free(rules);
}

static void test_every_character(void **state)
{
    (void)state;
    char *path = golden_path("golden.txt"), *line = NULL, name[32], wanted[65], hex[65];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t capacity = 0;
    int n_lines = 0;
    while (getline(&line, &capacity, file) > 0)
        if (sscanf(line, "words %31s %64s", name, wanted) == 2) {
            digest_of_characters(named(name), hex);
            assert_string_equal(hex, wanted);
            n_lines++;
        }
    assert_int_equal(n_lines, 3);
    fclose(file);
    free(line);
    free(path);
}

/* ---- the published vocabulary ---- */

static void test_published(void **state)
{
    (void)state;
    const char *shared = getenv("SEALGRAD_SHARED");
    char *path = sg_format("%s/data/bert-vocab", shared ? shared : "../shared");
    if (!sg_file_exists(path)) {
        print_message("skipped: no %s\n", path);
        free(path);
        skip();
    }
    static const int32_t wanted[] = {101, 2026, 4003, 2145, 2038, 2025, 3369, 1999, 1996, 2695, 1012, 102};
    static const char text[] = "My card still has not arrived in the post.";
    struct sg_tokenizer *tokenizer;
    int32_t ids[32];
    assert_int_equal(sg_tokenizer_read(path, NULL, &tokenizer), SG_OK);
    assert_int_equal(sg_tokenizer_n_vocab(tokenizer), 30522);
    assert_int_equal(sg_tokenizer_special(tokenizer, SG_TOKEN_MASK), 103);
    assert_int_equal(sg_tokenizer_encode(tokenizer, text, strlen(text), 32, ids, NULL), 12);
    assert_memory_equal(ids, wanted, sizeof wanted);
    char hex[65];
    sg_hex_encode(sg_tokenizer_digest(tokenizer), SG_DIGEST_BYTES, hex);
    assert_string_equal(hex, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3");
    sg_tokenizer_close(&tokenizer);
    free(path);
}

/* ---- truncation, bytes ---- */

static void test_truncation(void **state)
{
    (void)state;
    struct sg_tokenizer *tokenizer = open_small(&uncased);
    static const char text[] = "my card is lost [MASK] cards";
    int32_t whole[64], ids[65];
    bool truncated = true;
    int64_t n = sg_tokenizer_encode(tokenizer, text, strlen(text), 64, whole, &truncated);
    assert_int_equal(n, 9); /* [CLS] my card is lost [MASK] card ##s [SEP] */
    assert_false(truncated);
    for (int64_t most = 2; most <= 10; most++) {
        ids[most] = -7; /* must stay */
        int64_t got = sg_tokenizer_encode(tokenizer, text, strlen(text), most, ids, &truncated);
        assert_int_equal(got, most < n ? most : n);
        assert_int_equal(truncated, most < n);
        assert_memory_equal(ids, whole, (size_t)(got - 1) * sizeof *ids);
        assert_int_equal(ids[got - 1], whole[n - 1]);
        assert_int_equal(ids[most], -7);
    }
    assert_int_equal(sg_tokenizer_encode(tokenizer, text, 0, 2, ids, &truncated), 2);
    assert_false(truncated);
    sg_tokenizer_close(&tokenizer);
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    struct sg_tokenizer *tokenizer = open_small(&uncased);
    static const char *const bad[] = {
        "\x80",        "a\xff", "\xc0\x80", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "card card card \xc3(",
        "\xf0\x9f\x98"};
    int32_t ids[4];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sg_tokenizer_encode(tokenizer, bad[i], strlen(bad[i]), 4, ids, NULL), -1);
    sg_tokenizer_close(&tokenizer);
}

/* ---- files ---- */

#define SPECIALS "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

static void expect_refusal(const char *vocabulary, const char *config, const char *words)
{
    struct sg_tokenizer *tokenizer;
    free(write_text("vocab.txt", vocabulary));
    char *path = write_text("tokenizer_config.json", config);
    assert_int_equal(sg_tokenizer_read(folder, NULL, &tokenizer), SG_USAGE);
    assert_null(tokenizer);
    if (!strstr(sg_error_text(), words))
        fail_msg("\"%s\" does not hold \"%s\"", sg_error_text(), words);
    remove(path);
    free(path);
}

static void test_refusals(void **state)
{
    (void)state;
    expect_refusal("", "{}", "empty");
    expect_refusal("a\n\xff\n", "{}", "UTF-8");
    expect_refusal("a\nb\n", "{}", "[PAD]");
    expect_refusal(SPECIALS, "{\"do_lower_case\": 1}", "do_lower_case");
    expect_refusal(SPECIALS, "{\"cls_token\": \"<s>\"}", "cls_token");
    expect_refusal(SPECIALS, "{\"cls_token\": {\"content\": \"<s>\"}}", "cls_token");
    expect_refusal(SPECIALS, "{\"do_basic_tokenize\": false}", "do_basic_tokenize");
    expect_refusal(SPECIALS, "{\"never_split\": [\"a\"]}", "never_split");
    expect_refusal(SPECIALS, "[]", "object");
    expect_refusal(SPECIALS, "{", "tokenizer_config.json");
    struct sg_tokenizer *tokenizer;
    assert_int_equal(sg_tokenizer_read("/nowhere", NULL, &tokenizer), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "/nowhere"));
}

static void test_settings(void **state)
{
    (void)state;
    struct sg_tokenizer *tokenizer, *again;
    free(write_text("vocab.txt", SPECIALS "Caf\r\n##é\r\ncafe\r\n"));
    char *config = write_text("tokenizer_config.json", "{\"do_lower_case\": false, \"strip_accents\": null, "
                                                       "\"tokenize_chinese_chars\": false}");
    assert_int_equal(sg_tokenizer_read(folder, NULL, &tokenizer), SG_OK);
    struct sg_tokenizer_settings s = sg_tokenizer_settings_of(tokenizer);
    assert_true(!s.lower_case && !s.strip_accents && !s.spaced_cjk);
    int32_t ids[8];
    assert_int_equal(sg_tokenizer_encode(tokenizer, "Café", 5, 8, ids, NULL), 4);
    assert_int_equal(ids[1], 5);
    assert_int_equal(ids[2], 6);

    char *written = sg_format("%s/written", folder);
    assert_int_equal(sg_folder_make(written), SG_OK);
    assert_int_equal(sg_tokenizer_write(tokenizer, written, 128), SG_OK);
    assert_int_equal(sg_tokenizer_read(written, NULL, &again), SG_OK);
    assert_memory_equal(sg_tokenizer_digest(tokenizer), sg_tokenizer_digest(again), SG_DIGEST_BYTES);
    struct sg_tokenizer_settings t = sg_tokenizer_settings_of(again);
    assert_true(!t.lower_case && !t.strip_accents && !t.spaced_cjk);
    sg_tokenizer_close(&again);
    sg_tokenizer_close(&tokenizer);

    free(config);
    config = write_text("tokenizer_config.json", "{\"do_lower_case\": true, \"strip_accents\": null}");
    char *file = sg_format("%s/vocab.txt", folder); /* what stands beside the file counts */
    assert_int_equal(sg_tokenizer_read(file, NULL, &tokenizer), SG_OK);
    assert_int_equal(sg_tokenizer_encode(tokenizer, "CAFÉ", 5, 8, ids, NULL), 3);
    assert_int_equal(ids[1], 7);
    sg_tokenizer_close(&tokenizer);
    remove(config);
    free(config);
    free(file);
    free(written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_ids), cmocka_unit_test(test_every_character), cmocka_unit_test(test_published),
        cmocka_unit_test(test_truncation), cmocka_unit_test(test_invalid_utf8),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
