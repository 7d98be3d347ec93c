/* The lists `columns` and `steps` of a schema file. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "schema_internal.h"

#define COLUMNS_MAX 65536
#define STEPS_MAX 4096
#define MAX_TOKENS_MAX 65536

static const char *const role_names[] = {"id", "time", "label", "feature", "split", "ignore", "text", NULL};
static const char *const type_names[] = {"number", "category", "date", NULL};
static const char *const static_names[] = {"no", "constant", "last", NULL};
static const char *const unknown_names[] = {"error", "zero", "other", NULL};

#define AT(member) offsetof(struct column_spec, member)
#define COMMON_FIELDS                                                                                                  \
    {.key = "name", .type = SG_YAML_TEXT, .offset = AT(name)},                                                         \
        {.key = "type", .type = SG_YAML_CHOICE, .offset = AT(type), .choices = type_names},                            \
        {.key = "bounds", .type = SG_YAML_NODE, .offset = AT(bounds)},                                                 \
        {.key = "categories", .type = SG_YAML_NODE, .offset = AT(categories)},                                         \
        {.key = "encode", .type = SG_YAML_NODE, .offset = AT(encode)},                                                 \
        {.key = "missing_values", .type = SG_YAML_NODE, .offset = AT(missing_values)},                                 \
        {.key = "if_missing", .type = SG_YAML_NODE, .offset = AT(if_missing)},                                         \
        {.key = "missing_flag", .type = SG_YAML_BOOL, .offset = AT(missing_flag)},                                     \
    {                                                                                                                  \
        .key = "if_unknown", .type = SG_YAML_CHOICE, .offset = AT(if_unknown), .choices = unknown_names                \
    }

static const struct sg_yaml_field column_fields[] = {
    COMMON_FIELDS,
    {.key = "names", .type = SG_YAML_NODE, .offset = AT(names)},
    {.key = "max_tokens", .type = SG_YAML_INT, .offset = AT(max_tokens), .min = 3, .max = MAX_TOKENS_MAX},
    {.key = "role", .type = SG_YAML_CHOICE, .offset = AT(role), .required = true, .choices = role_names},
    {.key = "static", .type = SG_YAML_CHOICE, .offset = AT(policy), .choices = static_names},
    {.key = "positive", .type = SG_YAML_NODE, .offset = AT(positive)},
    {.key = "negative", .type = SG_YAML_NODE, .offset = AT(negative)},
};

static const struct sg_yaml_field step_fields[] = {
    COMMON_FIELDS,
    {.key = "columns", .type = SG_YAML_NODE, .offset = AT(columns), .required = true},
};

static enum sg_status add_column(struct sg_schema *schema, const struct sg_yaml_node *node, const char *name,
                                 enum column_role role, int32_t *out)
{
    if (!*name)
        return sg_yaml_fail(node, "a column needs a name");
    if (schema->n_columns == COLUMNS_MAX)
        return sg_yaml_fail(node, "more than %d columns", COLUMNS_MAX);
    if (schema->n_columns == schema->columns_capacity) {
        schema->columns_capacity = schema->columns_capacity ? 2 * schema->columns_capacity : 64;
        schema->column = sg_realloc(schema->column, schema->columns_capacity, sizeof *schema->column);
    }
    *out = (int32_t)schema->n_columns;
    schema->column[schema->n_columns++] = (struct column){.name = name, .role = role, .feature = -1, .node = node};
    return SG_OK;
}

static int32_t add_feature(struct sg_schema *schema, const struct feature *feature)
{
    if (schema->n_features == schema->features_capacity) {
        schema->features_capacity = schema->features_capacity ? 2 * schema->features_capacity : 64;
        schema->feature = sg_realloc(schema->feature, schema->features_capacity, sizeof *schema->feature);
    }
    schema->feature[schema->n_features] = *feature;
    return (int32_t)schema->n_features++;
}

static enum sg_status add_feature_column(struct sg_schema *schema, const struct column_spec *spec,
                                         const struct sg_yaml_node *node, const char *name)
{
    struct feature feature;
    enum sg_status status = schema_read_feature(schema, spec, name, node, &feature);
    int32_t column = -1;
    if (status == SG_OK)
        status = add_column(schema, node, name, ROLE_FEATURE, &column);
    if (status != SG_OK) {
        schema_free_feature(&feature);
        return status;
    }
    feature.n_columns = 1;
    feature.column = sg_alloc(1, sizeof *feature.column);
    feature.column[0] = column;
    schema->column[column].feature = add_feature(schema, &feature);
    return SG_OK;
}

/* At most one column may have such a role. */
static enum sg_status set_once(const struct sg_yaml_node *node, int32_t *place, int32_t column, const char *role)
{
    if (*place >= 0)
        return sg_yaml_fail(node, "a second column with role %s; there can be one", role);
    *place = column;
    return SG_OK;
}

static enum sg_status read_text(struct sg_schema *schema, const struct column_spec *spec,
                                const struct sg_yaml_node *node)
{
    if (!spec->max_tokens)
        return sg_yaml_fail(node,
                            "column %s: a text needs max_tokens, the public limit of a message's tokens ([CLS] and "
                            "[SEP] count), for example max_tokens: 128",
                            spec->name);
    schema->max_tokens = spec->max_tokens;
    return SG_OK;
}

static enum sg_status read_special(struct sg_schema *schema, struct column_spec *spec, const struct sg_yaml_node *node)
{
    if (spec->names)
        return sg_yaml_fail(node,
                            "names: is for features and ignored columns; this role belongs to one column, use name:");
    bool label = spec->role == ROLE_LABEL;
    if ((!label && (spec->bounds || spec->categories)) || spec->encode || spec->missing_values || spec->if_missing ||
        spec->missing_flag || spec->if_unknown >= 0)
        return sg_yaml_fail(node, "column %s: bounds, categories, encode and missing values belong to features",
                            spec->name);
    if (spec->role != ROLE_TEXT && spec->max_tokens)
        return sg_yaml_fail(node, "column %s: max_tokens belongs to a text", spec->name);
    if (!label && (spec->positive || spec->negative || spec->policy >= 0))
        return sg_yaml_fail(node, "column %s: positive, negative and static belong to a label or a feature",
                            spec->name);
    if (spec->type >= 0 && spec->role != ROLE_TIME && !(label && spec->type == TYPE_NUMBER))
        return sg_yaml_fail(node, "column %s: a column of this role has no type", spec->name);
    if (spec->type == TYPE_CATEGORY || spec->policy == STATIC_NO)
        return sg_yaml_fail(node, "column %s: a time column is a number or a date; a label is static: constant or last",
                            spec->name);
    int32_t column;
    SG_TRY(add_column(schema, node, spec->name, (enum column_role)spec->role, &column));
    schema->column[column].type = spec->type < 0 ? TYPE_NUMBER : (enum value_type)spec->type;
    schema->column[column].policy = spec->policy < 0 ? STATIC_CONSTANT : (enum static_policy)spec->policy;
    switch (spec->role) {
    case ROLE_ID:
        return set_once(node, &schema->id_column, column, "id");
    case ROLE_TIME:
        return set_once(node, &schema->time_column, column, "time");
    case ROLE_SPLIT:
        return set_once(node, &schema->split_column, column, "split");
    case ROLE_TEXT:
        SG_TRY(set_once(node, &schema->text_column, column, "text"));
        return read_text(schema, spec, node);
    default:
        SG_TRY(set_once(node, &schema->label_column, column, "label"));
        return schema_read_label(schema, spec, node);
    }
}

static enum sg_status read_named(struct sg_schema *schema, struct column_spec *spec, const struct sg_yaml_node *node,
                                 const char *name)
{
    int32_t column;
    if (spec->role == ROLE_IGNORE)
        return add_column(schema, node, name, ROLE_IGNORE, &column);
    return add_feature_column(schema, spec, node, name);
}

static enum sg_status read_column(struct sg_schema *schema, const struct sg_yaml_node *node)
{
    struct column_spec spec = {.type = -1, .if_unknown = -1, .policy = -1};
    SG_TRY(sg_yaml_table(node, "a column", column_fields, sizeof column_fields / sizeof *column_fields, &spec));
    if (!spec.name == !spec.names)
        return sg_yaml_fail(node, "a column needs either name: or names: [...]");
    if (spec.role != ROLE_FEATURE && spec.role != ROLE_IGNORE)
        return read_special(schema, &spec, node);
    if (spec.max_tokens)
        return sg_yaml_fail(node, "max_tokens belongs to a column with role: text");
    if (spec.policy > STATIC_NO && (schema->layout == LAYOUT_WIDE || spec.role == ROLE_IGNORE))
        return sg_yaml_fail(
            node, "static: constant or last belongs to features of layout: long; in a wide file every feature "
                  "outside of steps is one");
    if (spec.policy < 0)
        spec.policy = STATIC_NO;
    if (spec.name)
        return read_named(schema, &spec, node, spec.name);
    if (sg_yaml_kind_of(spec.names) != SG_YAML_LIST || sg_yaml_count(spec.names) == 0)
        return sg_yaml_fail(spec.names, "names must be a list of column names");
    for (size_t i = 0; i < sg_yaml_count(spec.names); i++) {
        const char *name;
        SG_TRY(sg_yaml_text(sg_yaml_item(spec.names, i, NULL), "names", &name));
        SG_TRY(read_named(schema, &spec, sg_yaml_item(spec.names, i, NULL), name));
    }
    return SG_OK;
}

enum sg_status schema_read_columns(struct sg_schema *schema, const struct sg_yaml_node *list)
{
    if (sg_yaml_kind_of(list) != SG_YAML_LIST || sg_yaml_count(list) == 0)
        return sg_yaml_fail(list,
                            "columns must be a list of columns, for example - {name: AGE, role: feature, type: number, "
                            "bounds: [18, 110]}");
    for (size_t i = 0; i < sg_yaml_count(list); i++)
        SG_TRY(read_column(schema, sg_yaml_item(list, i, NULL)));
    return SG_OK;
}

/* One step feature: its columns, oldest first, mean the same thing at successive times. */
static enum sg_status read_step_columns(struct sg_schema *schema, const struct sg_yaml_node *list,
                                        struct feature *feature)
{
    if (sg_yaml_kind_of(list) != SG_YAML_LIST || sg_yaml_count(list) == 0 || sg_yaml_count(list) > STEPS_MAX)
        return sg_yaml_fail(list, "columns must list the columns of the time steps, oldest first, at most %d",
                            STEPS_MAX);
    int64_t n = (int64_t)sg_yaml_count(list);
    if (schema->n_steps && n != schema->n_steps)
        return sg_yaml_fail(list,
                            "%lld columns here but %lld in the step feature above; every one needs the same time steps",
                            (long long)n, (long long)schema->n_steps);
    schema->n_steps = n;
    feature->n_columns = n;
    feature->column = sg_alloc((size_t)n, sizeof *feature->column);
    for (int64_t i = 0; i < n; i++) {
        const struct sg_yaml_node *item = sg_yaml_item(list, (size_t)i, NULL);
        const char *name;
        SG_TRY(sg_yaml_text(item, "columns", &name));
        SG_TRY(add_column(schema, item, name, ROLE_FEATURE, &feature->column[i]));
        schema->column[feature->column[i]].feature = (int32_t)schema->n_features; /* where the feature will stand */
    }
    return SG_OK;
}

static enum sg_status read_step(struct sg_schema *schema, const struct sg_yaml_node *node)
{
    struct column_spec spec = {.type = -1, .if_unknown = -1, .policy = STATIC_NO, .role = ROLE_FEATURE};
    SG_TRY(sg_yaml_table(node, "a step feature", step_fields, sizeof step_fields / sizeof *step_fields, &spec));
    if (!spec.name)
        return sg_yaml_fail(node, "a step feature needs a name");
    for (size_t i = 0; i < schema->n_features; i++)
        if (strcmp(schema->feature[i].name, spec.name) == 0)
            return sg_yaml_fail(node, "step feature %s: the name is taken by a column", spec.name);
    struct feature feature;
    enum sg_status status = schema_read_feature(schema, &spec, spec.name, node, &feature);
    if (status == SG_OK)
        status = read_step_columns(schema, spec.columns, &feature);
    if (status != SG_OK) {
        schema_free_feature(&feature);
        return status;
    }
    feature.is_step = true;
    add_feature(schema, &feature);
    return SG_OK;
}

enum sg_status schema_read_steps(struct sg_schema *schema, const struct sg_yaml_node *list)
{
    if (schema->layout != LAYOUT_WIDE)
        return sg_yaml_fail(list, "steps belongs to layout: wide; in layout: long every row is a time step");
    if (sg_yaml_kind_of(list) != SG_YAML_LIST || sg_yaml_count(list) == 0)
        return sg_yaml_fail(list,
                            "steps must be a list of step features, for example - {name: PAY, columns: [PAY_2, PAY_1], "
                            "type: number, bounds: [-2, 9]}");
    for (size_t i = 0; i < sg_yaml_count(list); i++)
        SG_TRY(read_step(schema, sg_yaml_item(list, i, NULL)));
    return SG_OK;
}
