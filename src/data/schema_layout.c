/* The last pass over a schema: columns by name, ratios, and the place and name of every float. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/number.h"
#include "schema_internal.h"

#define FLOATS_MAX 1000000

/* ---- columns by name ---- */

static int compare_by_name(const void *a, const void *b, void *context)
{
    const struct column *column = context;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    int order = strcmp(column[x].name, column[y].name);
    return order ? order : x < y ? -1 : x > y;
}

static enum sg_status index_columns(struct sg_schema *schema)
{
    size_t n = schema->n_columns;
    schema->by_name = sg_alloc(n, sizeof *schema->by_name);
    for (size_t i = 0; i < n; i++)
        schema->by_name[i] = (int32_t)i;
    qsort_r(schema->by_name, n, sizeof *schema->by_name, compare_by_name, schema->column);
    for (size_t i = 1; i < n; i++) {
        const struct column *column = &schema->column[schema->by_name[i]];
        if (strcmp(schema->column[schema->by_name[i - 1]].name, column->name) == 0)
            return sg_yaml_fail(column->node, "column %s is declared twice", column->name);
    }
    return SG_OK;
}

int32_t schema_find_column(const struct sg_schema *schema, const char *name, size_t len)
{
    size_t low = 0, high = schema->n_columns;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *other = schema->column[schema->by_name[middle]].name;
        int order = strncmp(name, other, len);
        if (order == 0 && other[len])
            order = -1;
        if (order == 0)
            return schema->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

/* In which order the fields of a file without a header stand. */
static enum sg_status read_file_order(struct sg_schema *schema, const struct sg_yaml_node *root)
{
    const struct sg_yaml_node *list = sg_yaml_get(root, "column_order");
    if (schema->header)
        return list ? sg_yaml_fail(list, "column_order is for files without a header (header: false)") : SG_OK;
    size_t n = schema->n_columns;
    schema->file_order = sg_alloc(n, sizeof *schema->file_order);
    for (size_t i = 0; i < n; i++)
        schema->file_order[i] = (int32_t)i;
    if (!list)
        return sg_yaml_get(root, "steps")
                   ? sg_yaml_fail(root, "a file without a header and with steps needs column_order: [...], "
                                        "the names of its columns in order")
                   : SG_OK;
    if (sg_yaml_kind_of(list) != SG_YAML_LIST || sg_yaml_count(list) != n)
        return sg_yaml_fail(list, "column_order must list all %zu declared columns", n);
    bool *seen = sg_alloc(n, sizeof *seen);
    enum sg_status status = SG_OK;
    for (size_t i = 0; i < n && status == SG_OK; i++) {
        const char *name = "";
        status = sg_yaml_text(sg_yaml_item(list, i, NULL), "column_order", &name);
        if (status != SG_OK)
            break;
        int32_t column = schema_find_column(schema, name, strlen(name));
        if (column < 0 || seen[column])
            status = sg_yaml_fail(sg_yaml_item(list, i, NULL), "column_order: %s is %s", name,
                                  column < 0 ? "not declared" : "listed twice");
        else
            seen[schema->file_order[i] = column] = true;
    }
    free(seen);
    return status;
}

/* ---- ratios ---- */

static int32_t find_feature(const struct sg_schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->n_features; i++)
        if (strcmp(schema->feature[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}

static enum sg_status resolve_ratio(const struct sg_schema *schema, const struct feature *feature, struct encoding *e)
{
    e->over = find_feature(schema, e->over_name);
    if (e->over < 0)
        return sg_yaml_fail(e->node,
                            "over: %s is not a feature; declare it (with encode: [] if it shall give no floats itself)",
                            e->over_name);
    const struct feature *over = &schema->feature[e->over];
    if (over == feature)
        return sg_yaml_fail(e->node, "over: a column over itself");
    if (over->type != TYPE_NUMBER || !(over->low > 0 || e->over_min > 0))
        return sg_yaml_fail(e->node,
                            "over: %s must be a number whose lower bound is above 0, or give over_min, to which it is "
                            "raised before dividing",
                            e->over_name);
    if (feature->is_static && !over->is_static)
        return sg_yaml_fail(e->node, "over: %s changes from step to step but %s does not", e->over_name, feature->name);
    return SG_OK;
}

/* ---- floats ---- */

static void add_name(struct sg_schema *schema, char *name)
{
    if (schema->n_names == schema->names_capacity) {
        schema->names_capacity = schema->names_capacity ? 2 * schema->names_capacity : 256;
        schema->float_name = sg_realloc(schema->float_name, schema->names_capacity, sizeof *schema->float_name);
    }
    schema->float_name[schema->n_names++] = name;
}

static void name_range(struct sg_schema *schema, const struct feature *f, const struct encoding *e)
{
    char low[32], high[32];
    if (e->kind == ENCODE_LINEAR && e->from[0] == f->low && e->from[1] == f->high) {
        add_name(schema, sg_strdup(f->name));
        return;
    }
    sg_number_print(e->from[0], low);
    sg_number_print(e->from[1], high);
    add_name(schema, sg_format("%s[%s%s in %s..%s]", f->name, e->kind == ENCODE_RATIO ? "/" : "",
                               e->kind == ENCODE_RATIO ? e->over_name : "clipped", low, high));
}

static void name_values(struct sg_schema *schema, const struct feature *f, const struct encoding *e)
{
    char text[32];
    for (size_t i = 0; i < e->n_values; i++) {
        sg_number_print(e->value[i], text);
        add_name(schema, sg_format("%s[%s%s]", f->name, e->kind == ENCODE_AT_LEAST ? ">=" : "=", text));
    }
}

static void name_categories(struct sg_schema *schema, const struct feature *f, const struct encoding *e)
{
    for (int64_t place = 0; place < e->n_floats; place++)
        for (size_t i = 0; i < f->categories.n; i++)
            if (e->of_category[f->categories.word[i].position] == place)
                add_name(schema, sg_format("%s[=%s]", f->name, f->categories.word[i].text));
}

static void name_encoding(struct sg_schema *schema, const struct feature *f, const struct encoding *e)
{
    if (e->kind == ENCODE_LINEAR || e->kind == ENCODE_RATIO)
        name_range(schema, f, e);
    else if (e->kind == ENCODE_LOG || e->kind == ENCODE_SIGNED_LOG)
        add_name(schema, sg_format("%s[%s]", f->name, e->kind == ENCODE_LOG ? "log" : "signed log"));
    else if (f->type == TYPE_NUMBER)
        name_values(schema, f, e);
    else
        name_categories(schema, f, e);
}

static enum sg_status place_floats(struct sg_schema *schema, bool of_unit, int64_t *n_floats)
{
    int64_t n = 0;
    for (size_t i = 0; i < schema->n_features; i++) {
        struct feature *f = &schema->feature[i];
        if (f->is_static != of_unit)
            continue;
        for (size_t k = 0; k < f->n_encodings; k++) {
            struct encoding *e = &f->encoding[k];
            if (e->kind == ENCODE_RATIO)
                SG_TRY(resolve_ratio(schema, f, e));
            e->first = n;
            n += e->n_floats;
            if (n > FLOATS_MAX)
                return sg_yaml_fail(e->node, "the schema makes more than a million floats");
            name_encoding(schema, f, e);
        }
        if (f->other_float >= 0) {
            f->other_float = n++;
            add_name(schema, sg_format("%s[other]", f->name));
        }
        if (f->missing_float >= 0) {
            f->missing_float = n++;
            add_name(schema, sg_format("%s[missing]", f->name));
        }
    }
    *n_floats = n;
    return SG_OK;
}

enum sg_status schema_lay_out(struct sg_schema *schema, const struct sg_yaml_node *root)
{
    SG_TRY(index_columns(schema));
    SG_TRY(read_file_order(schema, root));
    bool flat = schema->layout == LAYOUT_WIDE && schema->n_steps == 0; /* one time step holds all features */
    for (size_t i = 0; i < schema->n_features; i++) {
        struct feature *f = &schema->feature[i];
        f->is_static = schema->layout == LAYOUT_WIDE ? !flat && !f->is_step : f->policy != STATIC_NO;
        if (!f->missing_words)
            f->missing_words = &f->own_missing_words;
    }
    if (schema->n_steps == 0)
        schema->n_steps = 1;
    SG_TRY(place_floats(schema, false, &schema->n_row_floats));
    SG_TRY(place_floats(schema, true, &schema->n_static_floats));
    if (schema->n_row_floats == 0 && schema->text_column < 0)
        return sg_yaml_fail(sg_yaml_get(root, "columns"),
                            "no feature that belongs to a time step: at least one column must have "
                            "role: feature and not be static, or role: text");
    return SG_OK;
}
