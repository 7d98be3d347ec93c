#include "base/yaml.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/number.h"
#include "yaml_node.h"

#define KEY_CHARS_MAX 63 /* longer words get no suggestion */

/* What was found, for "expected ..., found ...". */
static const char *found(const struct sg_yaml_node *node, char text[96])
{
    if (node->kind == SG_YAML_LIST)
        return "a list";
    if (node->kind == SG_YAML_MAP)
        return "a map";
    if (yaml_is_null(node))
        return "nothing";
    if (node->quoted && node->text_len == 0)
        return "empty text";
    /* A cut must not end inside a UTF-8 character. */
    size_t shown = node->text_len;
    if (shown > 40)
        for (shown = 40; shown > 0 && (node->text[shown] & 0xc0) == 0x80; shown--)
            ;
    snprintf(text, 96, "%s\"%.*s%s\"", node->quoted ? "the text " : "", (int)shown, node->text,
             shown < node->text_len ? "..." : "");
    return text;
}

static bool plain(const struct sg_yaml_node *node)
{
    return node->kind == SG_YAML_SCALAR && !node->quoted;
}

enum sg_status sg_yaml_text(const struct sg_yaml_node *node, const char *name, const char **out)
{
    char text[96];
    if (node->kind != SG_YAML_SCALAR || yaml_is_null(node))
        return sg_yaml_fail(node, "%s must be text, found %s", name, found(node, text));
    *out = node->text;
    return SG_OK;
}

enum sg_status sg_yaml_int(const struct sg_yaml_node *node, const char *name, int64_t min, int64_t max, int64_t *out)
{
    char text[96], range[64] = "";
    int64_t value = 0;
    bool read = plain(node) && sg_number_int64(node->text, node->text_len, &value);
    if (read && value >= min && value <= max) {
        *out = value;
        return SG_OK;
    }
    if (min > INT64_MIN && max < INT64_MAX)
        snprintf(range, sizeof range, " from %lld to %lld", (long long)min, (long long)max);
    else if (min > INT64_MIN)
        snprintf(range, sizeof range, " of at least %lld", (long long)min);
    else if (max < INT64_MAX)
        snprintf(range, sizeof range, " of at most %lld", (long long)max);
    return sg_yaml_fail(node, "%s must be an integer%s, found %s", name, range, found(node, text));
}

enum sg_status sg_yaml_number(const struct sg_yaml_node *node, const char *name, double min, double max, double *out)
{
    char text[96], range[96] = "", low[32], high[32];
    double value = 0;
    bool read = plain(node) && yaml_is_number(node, &value);
    if (read && value >= min && value <= max) {
        *out = value;
        return SG_OK;
    }
    bool bounded_low = isfinite(min), bounded_high = isfinite(max);
    if (bounded_low)
        sg_number_print(min, low);
    if (bounded_high)
        sg_number_print(max, high);
    if (bounded_low && bounded_high)
        snprintf(range, sizeof range, " from %s to %s", low, high);
    else if (bounded_low)
        snprintf(range, sizeof range, " of at least %s", low);
    else if (bounded_high)
        snprintf(range, sizeof range, " of at most %s", high);
    return sg_yaml_fail(node, "%s must be a number%s, found %s", name, range, found(node, text));
}

enum sg_status sg_yaml_bool(const struct sg_yaml_node *node, const char *name, bool *out)
{
    char text[96];
    bool yes = plain(node) && strcmp(node->text, "true") == 0;
    if (!yes && !(plain(node) && strcmp(node->text, "false") == 0))
        return sg_yaml_fail(node, "%s must be true or false, found %s", name, found(node, text));
    *out = yes;
    return SG_OK;
}

/* Damerau-Levenshtein distance with adjacent swaps; words of at most KEY_CHARS_MAX bytes. */
static int edit_distance(const char *a, const char *b)
{
    int row[3][KEY_CHARS_MAX + 2];
    int n = (int)strlen(a), m = (int)strlen(b);
    int *two_up = row[0], *up = row[1], *here = row[2];
    for (int j = 0; j <= m; j++)
        up[j] = j;
    for (int i = 1; i <= n; i++) {
        here[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = up[j - 1] + (a[i - 1] != b[j - 1]);
            best = up[j] + 1 < best ? up[j] + 1 : best;
            best = here[j - 1] + 1 < best ? here[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_up[j - 2] + 1 < best)
                best = two_up[j - 2] + 1;
            here[j] = best;
        }
        int *spare = two_up;
        two_up = up;
        up = here;
        here = spare;
    }
    return up[m];
}

/* The closest word, or NULL when none is close enough to be what was meant. `words` are `n` strings `stride` apart. */
static const char *nearest(const char *word, const void *words, size_t stride, size_t n)
{
    const char *best = NULL;
    int limit = (int)strlen(word) / 3, best_distance = (limit > 2 ? limit : 2) + 1;
    if (strlen(word) > KEY_CHARS_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const char *candidate = *(const char *const *)((const char *)words + i * stride);
        if (strlen(candidate) > KEY_CHARS_MAX)
            continue;
        int distance = edit_distance(word, candidate);
        if (distance < best_distance && distance < (int)strlen(candidate)) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

static enum sg_status unknown_key(const struct sg_yaml_node *map, const struct sg_yaml_entry *entry, const char *what,
                                  const struct sg_yaml_field *fields, size_t n_fields)
{
    const char *hint = nearest(entry->key, &fields->key, sizeof *fields, n_fields);
    struct sg_buffer text = {0};
    sg_buffer_printf(&text, "unknown key \"%.80s\" in %s", entry->key, what);
    if (hint) {
        sg_buffer_printf(&text, "; did you mean \"%s\"?", hint);
    } else {
        sg_buffer_text(&text, "; known keys are");
        for (size_t i = 0; i < n_fields; i++)
            sg_buffer_printf(&text, "%s %s", i ? "," : "", fields[i].key);
    }
    enum sg_status status = sg_fail(SG_USAGE, "%s:%lld:%lld: %s", map->path, (long long)entry->key_line,
                                    (long long)entry->key_column, text.data);
    sg_buffer_free(&text);
    return status;
}

static enum sg_status read_choice(const struct sg_yaml_node *node, const char *name, const char *const *choices,
                                  int *out)
{
    int n = 0;
    for (; choices[n]; n++) {
        if (node->kind == SG_YAML_SCALAR && strcmp(node->text, choices[n]) == 0) {
            *out = n;
            return SG_OK;
        }
    }
    char text[96];
    struct sg_buffer list = {0};
    for (int i = 0; i < n; i++)
        sg_buffer_printf(&list, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", choices[i]);
    const char *hint = NULL;
    if (node->kind == SG_YAML_SCALAR)
        hint = nearest(node->text, choices, sizeof *choices, (size_t)n);
    enum sg_status status = sg_yaml_fail(node, "%s must be %s, found %s%s%s%s", name, list.data, found(node, text),
                                         hint ? "; did you mean \"" : "", hint ? hint : "", hint ? "\"?" : "");
    sg_buffer_free(&list);
    return status;
}

static int64_t limit_int(double limit)
{
    if (limit >= 0x1p63)
        return INT64_MAX;
    return limit <= -0x1p63 ? INT64_MIN : (int64_t)limit;
}

static enum sg_status read_field(const struct sg_yaml_node *node, const char *name, const struct sg_yaml_field *field,
                                 void *out)
{
    bool unlimited = field->min == 0 && field->max == 0;
    switch (field->type) {
    case SG_YAML_TEXT:
        return sg_yaml_text(node, name, out);
    case SG_YAML_INT:
        return sg_yaml_int(node, name, unlimited ? INT64_MIN : limit_int(field->min),
                           unlimited ? INT64_MAX : limit_int(field->max), out);
    case SG_YAML_NUMBER:
        return sg_yaml_number(node, name, unlimited ? -INFINITY : field->min, unlimited ? INFINITY : field->max, out);
    case SG_YAML_BOOL:
        return sg_yaml_bool(node, name, out);
    case SG_YAML_CHOICE:
        return read_choice(node, name, field->choices, out);
    case SG_YAML_NODE:
        *(const struct sg_yaml_node **)out = node;
        return SG_OK;
    }
    abort();
}

static const struct sg_yaml_field *find_field(const char *key, const struct sg_yaml_field *fields, size_t n_fields)
{
    for (size_t i = 0; i < n_fields; i++)
        if (strcmp(fields[i].key, key) == 0)
            return &fields[i];
    return NULL;
}

enum sg_status sg_yaml_table(const struct sg_yaml_node *map, const char *what, const struct sg_yaml_field *fields,
                             size_t n_fields, void *out)
{
    char text[96];
    if (map->kind != SG_YAML_MAP)
        return sg_yaml_fail(map, "%s must be a map of keys and values, found %s", what, found(map, text));
    for (size_t i = 0; i < map->n; i++) {
        const struct sg_yaml_entry *entry = &map->entries[i];
        const struct sg_yaml_field *field = find_field(entry->key, fields, n_fields);
        if (!field)
            return unknown_key(map, entry, what, fields, n_fields);
        SG_TRY(read_field(entry->value, field->key, field, (char *)out + field->offset));
    }
    for (size_t i = 0; i < n_fields; i++)
        if (fields[i].required && !sg_yaml_get(map, fields[i].key))
            return sg_yaml_fail(map, "%s needs the key \"%s\"", what, fields[i].key);
    return SG_OK;
}
