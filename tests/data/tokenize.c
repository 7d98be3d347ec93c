/* What tests/peers_tokenizer.py compares with the `tokenizers` library. Texts come on stdin, one a line in hexadecimal;
 * each is answered by one line: its ids, or with "words" its words in hexadecimal ("-" for one that is too long).
 * usage: tokenize FOLDER_OR_VOCABULARY as-found|uncased|cased|lower-only ids|words */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tokenizer_words.h"

#define TOKENS_MAX (1 << 20)

static bool print_word(void *context, const char *text, size_t n)
{
    char hex[2 * WORD_BYTES_MAX + 1];
    (void)context;
    if (text)
        sg_hex_encode(text, n, hex);
    printf("%s ", text ? hex : "-");
    return true;
}

static void print_ids(const struct sg_tokenizer *tokenizer, const char *text, size_t n, int32_t *ids)
{
    int64_t n_ids = sg_tokenizer_encode(tokenizer, text, n, TOKENS_MAX, ids, NULL);
    for (int64_t i = 0; i < n_ids; i++)
        printf("%d ", ids[i]);
}

static const struct sg_tokenizer_settings *settings_named(const char *name)
{
    static const struct sg_tokenizer_settings uncased = {true, true, true}, cased = {false, false, true},
                                              lower_only = {true, false, true};
    if (strcmp(name, "uncased") == 0)
        return &uncased;
    if (strcmp(name, "cased") == 0)
        return &cased;
    return strcmp(name, "lower-only") == 0 ? &lower_only : NULL;
}

int main(int argc, char **argv)
{
    struct sg_tokenizer *tokenizer = NULL;
    if (argc != 4 || sg_tokenizer_read(argv[1], settings_named(argv[2]), &tokenizer) != SG_OK) {
        fprintf(stderr, "%s\n", argc == 4 ? sg_error_text() : "usage: tokenize PATH SETTINGS ids|words");
        return 2;
    }
    struct word_rules *rules = sg_alloc(1, sizeof *rules);
    struct sg_tokenizer_settings settings = sg_tokenizer_settings_of(tokenizer);
    word_rules_set(rules, &settings);
    int32_t *ids = sg_alloc(TOKENS_MAX, sizeof *ids);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t got;
    while ((got = getline(&line, &capacity, stdin)) >= 0) {
        size_t n = (size_t)(got - (line[got - 1] == '\n')) / 2;
        if (!sg_hex_decode(line, 2 * n, line, n) || !utf8_valid(line, n)) {
            fprintf(stderr, "not UTF-8 in hexadecimal\n");
            return 2;
        }
        if (strcmp(argv[3], "words") == 0)
            (void)words_split(rules, line, n, print_word, NULL);
        else
            print_ids(tokenizer, line, n, ids);
        putchar('\n');
    }
    free(line);
    free(ids);
    free(rules);
    sg_tokenizer_close(&tokenizer);
    return 0;
}
