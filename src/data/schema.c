#include "data/schema.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "schema_internal.h"

#define SCHEMA_BYTES_MAX (4u << 20)
#define ROWS_PER_UNIT_MAX 100000

struct top {
    const char *separator, *unit;
    bool header;
    int other_columns, layout, if_more_rows, row_order, absent_steps;
    int64_t rows_per_unit_max;
    const struct sg_yaml_node *missing_values, *columns, *steps, *split, *column_order;
};

static enum sg_status read_top(const struct sg_yaml_node *root, struct top *out)
{
    static const char *const layouts[] = {"wide", "long", NULL};
    static const char *const others[] = {"error", "ignore", NULL};
    static const char *const more[] = {"error", "keep_newest", NULL};
    static const char *const absent[] = {"keep", "drop", NULL};
    static const char *const orders[] = {"ascending", "any", NULL};
#define AT(member) offsetof(struct top, member)
    static const struct sg_yaml_field fields[] = {
        {.key = "separator", .type = SG_YAML_TEXT, .offset = AT(separator)},
        {.key = "header", .type = SG_YAML_BOOL, .offset = AT(header)},
        {.key = "other_columns", .type = SG_YAML_CHOICE, .offset = AT(other_columns), .choices = others},
        {.key = "missing_values", .type = SG_YAML_NODE, .offset = AT(missing_values)},
        {.key = "layout", .type = SG_YAML_CHOICE, .offset = AT(layout), .required = true, .choices = layouts},
        {.key = "unit", .type = SG_YAML_TEXT, .offset = AT(unit), .required = true},
        {.key = "rows_per_unit_max",
         .type = SG_YAML_INT,
         .offset = AT(rows_per_unit_max),
         .min = 1,
         .max = ROWS_PER_UNIT_MAX},
        {.key = "if_more_rows", .type = SG_YAML_CHOICE, .offset = AT(if_more_rows), .choices = more},
        {.key = "row_order", .type = SG_YAML_CHOICE, .offset = AT(row_order), .choices = orders},
        {.key = "columns", .type = SG_YAML_NODE, .offset = AT(columns), .required = true},
        {.key = "column_order", .type = SG_YAML_NODE, .offset = AT(column_order)},
        {.key = "steps", .type = SG_YAML_NODE, .offset = AT(steps)},
        {.key = "absent_steps", .type = SG_YAML_CHOICE, .offset = AT(absent_steps), .choices = absent},
        {.key = "split", .type = SG_YAML_NODE, .offset = AT(split)},
    };
#undef AT
    *out = (struct top){.separator = ",", .header = true, .if_more_rows = -1, .row_order = -1, .absent_steps = -1};
    return sg_yaml_table(root, "a schema", fields, sizeof fields / sizeof *fields, out);
}

static enum sg_status check_unit(const struct sg_schema *schema, const struct sg_yaml_node *root)
{
    const struct sg_yaml_node *unit = sg_yaml_get(root, "unit");
    bool row = strcmp(schema->unit, "row") == 0;
    bool is_id = schema->id_column >= 0 && strcmp(schema->unit, schema->column[schema->id_column].name) == 0;
    if (!row && !is_id)
        return sg_yaml_fail(unit,
                            "unit must be row, or the name of the column with role: id (all rows of one customer)");
    if (schema->layout == LAYOUT_LONG && !is_id)
        return sg_yaml_fail(unit,
                            "in layout: long the unit is a customer: declare a column with role: id and name it here");
    return SG_OK;
}

static enum sg_status check_long(const struct sg_schema *schema, const struct top *top, const struct sg_yaml_node *root)
{
    if (schema->layout == LAYOUT_WIDE) {
        if (top->rows_per_unit_max || top->if_more_rows >= 0 || top->row_order >= 0 || schema->time_column >= 0)
            return sg_yaml_fail(root,
                                "rows_per_unit_max, if_more_rows, row_order and a time column belong to layout: long");
        return SG_OK;
    }
    if (schema->time_column < 0)
        return sg_yaml_fail(root, "layout: long needs a column with role: time");
    if (!top->rows_per_unit_max)
        return sg_yaml_fail(root, "layout: long needs rows_per_unit_max, the public limit of rows of one customer");
    return SG_OK;
}

static enum sg_status compile(struct sg_schema *schema)
{
    const struct sg_yaml_node *root = sg_yaml_root(schema->document);
    static const char *const blank = "";
    struct top top;
    SG_TRY(read_top(root, &top));
    SG_TRY(separator_read(root, top.separator, &schema->separator));
    schema->header = top.header;
    schema->other_columns_ignored = top.other_columns == 1;
    schema->layout = (enum layout)top.layout;
    schema->unit = top.unit;
    schema->rows_per_unit_max = top.rows_per_unit_max;
    schema->more_rows = top.if_more_rows == 1 ? MORE_ROWS_KEEP_NEWEST : MORE_ROWS_ERROR;
    schema->row_order = top.row_order == 1 ? ORDER_ANY : ORDER_ASCENDING;
    if (top.missing_values)
        SG_TRY(words_read(top.missing_values, "missing_values", true, &schema->missing_words));
    else
        words_set(&schema->missing_words, &blank, 1);
    if (!schema->header && schema->other_columns_ignored)
        return sg_yaml_fail(
            root, "other_columns: ignore needs a header; without one declare every column, with role: ignore");
    SG_TRY(schema_read_columns(schema, top.columns));
    if (top.steps)
        SG_TRY(schema_read_steps(schema, top.steps));
    if (top.absent_steps >= 0 && !top.steps)
        return sg_yaml_fail(sg_yaml_get(root, "absent_steps"), "absent_steps belongs to a wide file with steps");
    schema->absent_steps_dropped = top.absent_steps == 1;
    SG_TRY(schema_check_text(schema, root));
    SG_TRY(check_unit(schema, root));
    SG_TRY(check_long(schema, &top, root));
    SG_TRY(schema_lay_out(schema, root));
    return schema_read_split(schema, top.split);
}

enum sg_status sg_schema_parse(const char *path, const char *bytes, size_t n, struct sg_schema **out)
{
    struct sg_schema *schema = sg_alloc(1, sizeof *schema);
    *out = schema;
    schema->id_column = schema->time_column = schema->label_column = schema->split_column = schema->text_column = -1;
    schema->path = sg_strdup(path);
    sg_buffer_append(&schema->bytes, bytes, n);
    sg_sha256(bytes, n, schema->digest);
    enum sg_status status = sg_yaml_parse(path, "schema", bytes, n, &schema->document);
    if (status == SG_OK)
        status = compile(schema);
    if (status != SG_OK)
        sg_schema_close(out);
    return status;
}

enum sg_status sg_schema_read(const char *path, struct sg_schema **out)
{
    struct sg_buffer bytes;
    *out = NULL;
    SG_TRY(sg_file_read(path, "schema", SCHEMA_BYTES_MAX, &bytes));
    enum sg_status status = sg_schema_parse(path, bytes.data ? bytes.data : "", bytes.len, out);
    sg_buffer_free(&bytes);
    return status;
}

void sg_schema_close(struct sg_schema **out)
{
    struct sg_schema *schema = *out;
    if (!schema)
        return;
    for (size_t i = 0; i < schema->n_features; i++)
        schema_free_feature(&schema->feature[i]);
    for (size_t i = 0; i < schema->n_names; i++)
        free(schema->float_name[i]);
    for (int i = 0; i < 3; i++)
        words_free(&schema->split.words[i]);
    words_free(&schema->missing_words);
    words_free(&schema->positive);
    words_free(&schema->negative);
    words_free(&schema->classes);
    free(schema->feature);
    free(schema->column);
    free(schema->by_name);
    free(schema->file_order);
    free(schema->float_name);
    free(schema->path);
    sg_yaml_close(&schema->document);
    sg_buffer_free(&schema->bytes);
    free(schema);
    *out = NULL;
}

const uint8_t *sg_schema_digest(const struct sg_schema *schema)
{
    return schema->digest;
}

const struct sg_buffer *sg_schema_bytes(const struct sg_schema *schema)
{
    return &schema->bytes;
}

int64_t sg_schema_n_features(const struct sg_schema *schema)
{
    return schema->n_row_floats;
}

int64_t sg_schema_n_static(const struct sg_schema *schema)
{
    return schema->n_static_floats;
}

void sg_schema_label_bounds(const struct sg_schema *schema, double *low, double *high)
{
    bool is_number = schema->label_kind == SG_LABEL_NUMBER;
    *low = is_number ? schema->label_bounds[0] : 0;
    *high = is_number ? schema->label_bounds[1] : 0;
}

int64_t sg_schema_static_widths(const struct sg_schema *schema, int64_t max, int32_t *width)
{
    int64_t n = 0;
    for (size_t i = 0; i < schema->n_features; i++) {
        const struct feature *f = &schema->feature[i];
        int64_t floats = (f->other_float >= 0) + (f->missing_float >= 0);
        for (size_t k = 0; k < f->n_encodings; k++)
            floats += f->encoding[k].n_floats;
        if (!f->is_static || floats == 0)
            continue;
        if (n < max)
            width[n] = (int32_t)floats;
        n++;
    }
    return n;
}

const char *sg_schema_float_name(const struct sg_schema *schema, int64_t i)
{
    return i >= 0 && (size_t)i < schema->n_names ? schema->float_name[i] : "";
}

int64_t sg_schema_steps_max(const struct sg_schema *schema)
{
    if (schema->max_tokens)
        return schema->max_tokens;
    return schema->layout == LAYOUT_LONG ? schema->rows_per_unit_max : schema->n_steps;
}

const char *sg_schema_unit(const struct sg_schema *schema)
{
    return schema->unit;
}
