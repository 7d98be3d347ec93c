/* How a schema divides units into train, validation and test. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "schema_internal.h"

static const char *const split_names[3] = {"train", "validation", "test"};

struct split_fields {
    const char *file, *key, *column, *separator;
    const struct sg_yaml_node *words[3], *fractions;
    double validation_fraction;
    int64_t seed;
};

static enum sg_status read_fractions(const struct sg_yaml_node *node, struct split_spec *split)
{
    if (sg_yaml_kind_of(node) != SG_YAML_MAP)
        return sg_yaml_fail(node, "fractions must be a map, for example {train: 0.7, validation: 0.1, test: 0.2}");
    double sum = 0;
    for (size_t i = 0; i < sg_yaml_count(node); i++) {
        const char *key;
        const struct sg_yaml_node *value = sg_yaml_item(node, i, &key);
        int k = 0;
        while (k < 3 && strcmp(key, split_names[k]) != 0)
            k++;
        if (k == 3)
            return sg_yaml_fail(value, "fractions: unknown part \"%s\"; known are train, validation and test", key);
        SG_TRY(sg_yaml_number(value, key, 0, 1, &split->fraction[k]));
        sum += split->fraction[k];
    }
    if (!(split->fraction[0] > 0) || fabs(sum - 1) > 1e-9)
        return sg_yaml_fail(node, "fractions must add up to 1 and train must have some");
    return SG_OK;
}

static enum sg_status read_words(const struct split_fields *s, struct split_spec *split)
{
    for (int i = 0; i < 3; i++) {
        if (!s->words[i])
            words_set(&split->words[i], &split_names[i], 1);
        else
            SG_TRY(words_read(s->words[i], split_names[i], true, &split->words[i]));
        for (int k = 0; k < i; k++)
            for (size_t w = 0; w < split->words[i].n; w++)
                if (words_find(&split->words[k], split->words[i].word[w].text, split->words[i].word[w].len) >= 0)
                    return sg_yaml_fail(split->node, "\"%s\" means both %s and %s", split->words[i].word[w].text,
                                        split_names[k], split_names[i]);
    }
    return SG_OK;
}

static enum sg_status choose_kind(const struct sg_schema *schema, const struct split_fields *s,
                                  struct split_spec *split)
{
    const struct sg_yaml_node *node = split->node;
    if (s->fractions) {
        if (s->file || s->column || s->key || s->words[0] || s->words[1] || s->words[2])
            return sg_yaml_fail(node, "a split is either by fractions, by a column, or by a file with key and column");
        split->kind = SPLIT_FRACTIONS;
        return read_fractions(s->fractions, split);
    }
    if (s->file) {
        if (!s->key || !s->column)
            return sg_yaml_fail(
                node, "a split by file needs key: (the column of unit ids in that file, or row_number) and column:");
        split->kind = SPLIT_FILE;
        bool by_row = strcmp(s->key, "row_number") == 0;
        if (by_row && schema->layout == LAYOUT_LONG)
            return sg_yaml_fail(node, "key: row_number is for files with one row per unit");
        if (!by_row && schema->id_column < 0)
            return sg_yaml_fail(
                node, "a split by unit id needs a column with role: id; without one use key: row_number or fractions");
        return read_words(s, split);
    }
    if (schema->split_column < 0)
        return sg_yaml_fail(node, "split needs fractions:, or file:, or a column with role: split");
    if (s->key || (s->column && strcmp(s->column, schema->column[schema->split_column].name) != 0))
        return sg_yaml_fail(node,
                            "split: column must be the column with role: split, and key belongs to a split by file");
    split->kind = SPLIT_COLUMN;
    return read_words(s, split);
}

enum sg_status schema_read_split(struct sg_schema *schema, const struct sg_yaml_node *node)
{
#define AT(member) offsetof(struct split_fields, member)
    static const struct sg_yaml_field fields[] = {
        {.key = "file", .type = SG_YAML_TEXT, .offset = AT(file)},
        {.key = "separator", .type = SG_YAML_TEXT, .offset = AT(separator)},
        {.key = "key", .type = SG_YAML_TEXT, .offset = AT(key)},
        {.key = "column", .type = SG_YAML_TEXT, .offset = AT(column)},
        {.key = "train", .type = SG_YAML_NODE, .offset = AT(words[0])},
        {.key = "validation", .type = SG_YAML_NODE, .offset = AT(words[1])},
        {.key = "test", .type = SG_YAML_NODE, .offset = AT(words[2])},
        {.key = "fractions", .type = SG_YAML_NODE, .offset = AT(fractions)},
        {.key = "validation_fraction", .type = SG_YAML_NUMBER, .offset = AT(validation_fraction), .min = 0, .max = 0.9},
        {.key = "seed", .type = SG_YAML_INT, .offset = AT(seed), .min = 0, .max = 0x1p63},
    };
#undef AT
    struct split_spec *split = &schema->split;
    split->node = node;
    if (!node && schema->split_column < 0)
        return SG_OK;
    struct split_fields s = {.seed = -1, .separator = ","};
    if (node)
        SG_TRY(sg_yaml_table(node, "split", fields, sizeof fields / sizeof *fields, &s));
    else
        split->node = schema->column[schema->split_column].node;
    SG_TRY(choose_kind(schema, &s, split));
    if (s.validation_fraction > 0 && split->kind == SPLIT_FRACTIONS)
        return sg_yaml_fail(
            node, "validation_fraction belongs to a split by column or file; with fractions give validation: there");
    if ((s.validation_fraction > 0 || s.fractions) && s.seed < 0)
        return sg_yaml_fail(node, "a split by hash of the unit id needs a public seed:, any whole number");
    SG_TRY(separator_read(split->node, s.separator, &split->separator));
    split->file = s.file;
    split->key = s.key;
    split->column = s.column;
    split->validation_fraction = s.validation_fraction;
    split->seed = s.seed < 0 ? 0 : (uint64_t)s.seed;
    return SG_OK;
}
