/* What is to be predicted, and what a text column asks of the rest of a schema. */
#include "base/bytes.h"
#include "schema_internal.h"

#define CLASSES_MAX 65536

static enum sg_status read_binary(struct sg_schema *schema, const struct column_spec *spec)
{
    SG_TRY(words_read(spec->positive, "positive", false, &schema->positive));
    SG_TRY(words_read(spec->negative, "negative", false, &schema->negative));
    for (size_t i = 0; i < schema->negative.n; i++)
        if (words_find(&schema->positive, schema->negative.word[i].text, schema->negative.word[i].len) >= 0)
            return sg_yaml_fail(spec->negative, "negative: \"%s\" is also positive", schema->negative.word[i].text);
    return SG_OK;
}

static enum sg_status read_classes(struct sg_schema *schema, const struct column_spec *spec)
{
    schema->label_kind = SG_LABEL_CLASSES;
    SG_TRY(words_read(spec->categories, "categories", false, &schema->classes));
    if (schema->classes.n < 2 || schema->classes.n > CLASSES_MAX)
        return sg_yaml_fail(spec->categories, "categories: a label needs 2 to %d classes", CLASSES_MAX);
    return SG_OK;
}

static enum sg_status read_number(struct sg_schema *schema, const struct column_spec *spec,
                                  const struct sg_yaml_node *node)
{
    schema->label_kind = SG_LABEL_NUMBER;
    if (!spec->bounds)
        return sg_yaml_fail(node,
                            "column %s: a label of type number needs bounds: [lowest, highest] from public knowledge, "
                            "never from the rows",
                            spec->name);
    SG_TRY(pair_read(spec->bounds, "bounds", "", schema->label_bounds));
    if (!(schema->label_bounds[0] < schema->label_bounds[1]))
        return sg_yaml_fail(spec->bounds, "bounds: the first must be below the second");
    return SG_OK;
}

enum sg_status schema_read_label(struct sg_schema *schema, const struct column_spec *spec,
                                 const struct sg_yaml_node *node)
{
    bool number = spec->type == TYPE_NUMBER || spec->bounds, words = spec->positive || spec->negative;
    if (number + words + (spec->categories != NULL) > 1)
        return sg_yaml_fail(node,
                            "column %s: a label is either positive: [...] and negative: [...], or categories: [...], "
                            "or type: number with bounds",
                            spec->name);
    if (number)
        return read_number(schema, spec, node);
    if (spec->categories)
        return read_classes(schema, spec);
    if (!spec->positive || !spec->negative)
        return sg_yaml_fail(
            node, "column %s: a label needs positive: [...] and negative: [...], the values that mean 1 and 0",
            spec->name);
    return read_binary(schema, spec);
}

enum sg_status schema_check_text(const struct sg_schema *schema, const struct sg_yaml_node *root)
{
    if (schema->text_column < 0) {
        if (schema->label_kind != SG_LABEL_BINARY)
            return sg_yaml_fail(schema->column[schema->label_column].node,
                                "a label with categories or of type number needs a column with role: text; models of "
                                "tables predict positive against negative");
        return SG_OK;
    }
    const struct sg_yaml_node *node = schema->column[schema->text_column].node;
    if (schema->layout != LAYOUT_WIDE)
        return sg_yaml_fail(node,
                            "a text belongs to layout: wide, one message a unit; several messages of one customer "
                            "must be joined into one text, or each be a unit of its own");
    if (schema->n_features)
        return sg_yaml_fail(node, "a text stands alone: beside it features and steps are not supported; give those "
                                  "columns role: ignore");
    if (sg_yaml_get(root, "missing_values"))
        return sg_yaml_fail(sg_yaml_get(root, "missing_values"),
                            "missing_values has no meaning for a text: an empty one is a message without words");
    return SG_OK;
}

enum sg_label_kind sg_schema_label_kind(const struct sg_schema *schema)
{
    return schema->label_kind;
}

int64_t sg_schema_n_classes(const struct sg_schema *schema)
{
    return schema->label_kind == SG_LABEL_BINARY ? 2 : (int64_t)schema->classes.n;
}

const char *sg_schema_class_name(const struct sg_schema *schema, int64_t i)
{
    for (size_t k = 0; k < schema->classes.n; k++)
        if (schema->classes.word[k].position == i)
            return schema->classes.word[k].text;
    return NULL;
}

int64_t sg_schema_max_tokens(const struct sg_schema *schema)
{
    return schema->max_tokens;
}
