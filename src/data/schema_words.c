/* Small readers shared by the schema's files: lists of words and of numbers, the separator. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "schema_internal.h"

static int compare_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return memcmp(a, b, a_len);
}

static int compare_words(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    return compare_text(x->text, x->len, y->text, y->len);
}

void words_set(struct word_list *words, const char *const *text, size_t n)
{
    words->n = n;
    words->word = sg_alloc(n ? n : 1, sizeof *words->word);
    for (size_t i = 0; i < n; i++)
        words->word[i] = (struct word){text[i], strlen(text[i]), (int32_t)i};
    qsort(words->word, n, sizeof *words->word, compare_words);
}

enum sg_status words_read(const struct sg_yaml_node *node, const char *name, bool empty_allowed, struct word_list *out)
{
    if (sg_yaml_kind_of(node) != SG_YAML_LIST)
        return sg_yaml_fail(node, "%s must be a list of words, for example [\"A\", \"B\"]", name);
    size_t n = sg_yaml_count(node);
    if (n == 0 && !empty_allowed)
        return sg_yaml_fail(node, "%s is empty: list the values that are publicly known to occur", name);
    const char **text = sg_alloc(n ? n : 1, sizeof *text);
    enum sg_status status = SG_OK;
    for (size_t i = 0; i < n && status == SG_OK; i++)
        status = sg_yaml_text(sg_yaml_item(node, i, NULL), name, &text[i]);
    if (status == SG_OK)
        words_set(out, text, n);
    free(text);
    SG_TRY(status);
    for (size_t i = 1; i < n; i++)
        if (compare_words(&out->word[i - 1], &out->word[i]) == 0)
            return sg_yaml_fail(sg_yaml_item(node, (size_t)out->word[i].position, NULL), "%s: \"%s\" is listed twice",
                                name, out->word[i].text);
    return SG_OK;
}

int32_t words_find(const struct word_list *words, const char *text, size_t len)
{
    size_t low = 0, high = words->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct word *w = &words->word[middle];
        int order = compare_text(text, len, w->text, w->len);
        if (order == 0)
            return w->position;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

void words_free(struct word_list *words)
{
    free(words->word);
    *words = (struct word_list){0};
}

enum sg_status numbers_read(const struct sg_yaml_node *node, const char *name, size_t n_wanted, double **out, size_t *n)
{
    if (sg_yaml_kind_of(node) != SG_YAML_LIST || sg_yaml_count(node) == 0 ||
        (n_wanted && sg_yaml_count(node) != n_wanted))
        return sg_yaml_fail(node, n_wanted == 2 ? "%s must be a list of two numbers" : "%s must be a list of numbers",
                            name);
    *n = sg_yaml_count(node);
    *out = sg_alloc(*n, sizeof **out);
    for (size_t i = 0; i < *n; i++)
        SG_TRY(sg_yaml_number(sg_yaml_item(node, i, NULL), name, -INFINITY, INFINITY, &(*out)[i]));
    return SG_OK;
}

enum sg_status pair_read(const struct sg_yaml_node *node, const char *name, const char *hint, double out[2])
{
    if (sg_yaml_kind_of(node) != SG_YAML_LIST || sg_yaml_count(node) != 2)
        return sg_yaml_fail(node, "%s must be two numbers, [lowest, highest]%s", name, hint);
    for (size_t i = 0; i < 2; i++)
        SG_TRY(sg_yaml_number(sg_yaml_item(node, i, NULL), name, -1e15, 1e15, &out[i]));
    return SG_OK;
}

enum sg_status separator_read(const struct sg_yaml_node *node, const char *text, char *out)
{
    if (strcmp(text, "tab") == 0 || strcmp(text, "\t") == 0 || strcmp(text, "\\t") == 0) {
        *out = '\t';
        return SG_OK;
    }
    if (strlen(text) != 1 || strchr("\"\r\n", text[0]) || (text[0] & 0x80))
        return sg_yaml_fail(
            node, "separator must be one character (\",\", \";\", \"|\"), \"tab\", or \" \" for runs of blanks");
    *out = text[0];
    return SG_OK;
}
