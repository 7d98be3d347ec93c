#include "encode.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/number.h"
#include "log_batch.h"

struct encoder *encoder_open(const struct sg_schema *schema, const char *path)
{
    struct encoder *encoder = sg_alloc(1, sizeof *encoder);
    encoder->schema = schema;
    encoder->path = path;
    encoder->logs = sg_alloc(1, sizeof *encoder->logs);
    encoder->bound = sg_alloc(schema->n_columns, sizeof *encoder->bound);
    encoder->field_of_column = sg_alloc(schema->n_columns, sizeof *encoder->field_of_column);
    encoder->value = sg_alloc(schema->n_columns, sizeof *encoder->value);
    for (size_t i = 0; i < schema->n_columns; i++)
        encoder->field_of_column[i] = -1;
    return encoder;
}

void encoder_close(struct encoder *encoder)
{
    if (!encoder)
        return;
    free(encoder->bound);
    free(encoder->field_of_column);
    free(encoder->value);
    free(encoder->logs);
    free(encoder);
}

enum sg_status encoder_fail(const struct encoder *encoder, int64_t line, int32_t column, const char *problem)
{
    return sg_fail(SG_USAGE, "%s:%lld: column %s: %s", encoder->path, (long long)line,
                   encoder->schema->column[column].name, problem);
}

const struct sg_csv_field *encoder_field(const struct encoder *encoder, const struct sg_csv_field *fields,
                                         int32_t column)
{
    if (column < 0 || encoder->field_of_column[column] < 0)
        return NULL;
    return &fields[encoder->field_of_column[column]];
}

/* ---- binding columns to fields ---- */

static enum sg_status bind_field(struct encoder *encoder, int64_t line, size_t field, int32_t column)
{
    const struct sg_schema *schema = encoder->schema;
    if (encoder->field_of_column[column] >= 0)
        return encoder_fail(encoder, line, column, "stands twice in the header");
    encoder->field_of_column[column] = (int64_t)field;
    int32_t feature = schema->column[column].feature;
    if (feature >= 0)
        encoder->bound[encoder->n_bound++] = (struct bound_field){field, column, &schema->feature[feature]};
    return SG_OK;
}

static enum sg_status check_bound(const struct encoder *encoder, int64_t line, bool need_label, bool need_split)
{
    const struct sg_schema *schema = encoder->schema;
    for (size_t i = 0; i < schema->n_columns; i++) {
        enum column_role role = schema->column[i].role;
        bool needed = role == ROLE_ID || role == ROLE_TIME || role == ROLE_FEATURE || role == ROLE_TEXT ||
                      (role == ROLE_LABEL && need_label) ||
                      (role == ROLE_SPLIT && need_split && schema->split.kind == SPLIT_COLUMN);
        if (needed && encoder->field_of_column[i] < 0)
            return encoder_fail(encoder, line, (int32_t)i,
                                "declared in the schema but not in the header; check the separator and "
                                "the spelling");
    }
    return SG_OK;
}

enum sg_status encoder_bind(struct encoder *encoder, int64_t line, const struct sg_csv_field *fields, size_t n,
                            bool need_label, bool need_split)
{
    const struct sg_schema *schema = encoder->schema;
    if (!fields) {
        encoder->n_fields = schema->n_columns;
        for (size_t i = 0; i < schema->n_columns; i++)
            SG_TRY(bind_field(encoder, line, i, schema->file_order[i]));
        return check_bound(encoder, line, need_label, need_split);
    }
    encoder->n_fields = n;
    for (size_t i = 0; i < n; i++) {
        int32_t column = schema_find_column(schema, fields[i].text, fields[i].len);
        if (column >= 0)
            SG_TRY(bind_field(encoder, line, i, column));
        else if (!schema->other_columns_ignored) /* its text is not shown: the line may be a data record after all */
            return sg_fail(
                SG_USAGE,
                "%s:%lld: field %zu of the header is no column of the schema; declare it (role: ignore will do), or "
                "check the separator, or say header: false",
                encoder->path, (long long)line, i + 1);
    }
    return check_bound(encoder, line, need_label, need_split);
}

void encoder_bind_text(struct encoder *encoder, bool with_id)
{
    encoder->n_fields = with_id ? 2 : 1;
    encoder->field_of_column[encoder->schema->text_column] = 0;
    if (with_id)
        encoder->field_of_column[encoder->schema->id_column] = 1;
}

/* ---- reading values ---- */

static enum sg_status missing_value(const struct encoder *encoder, int64_t line, const struct bound_field *b,
                                    struct value *v)
{
    const struct feature *f = b->feature;
    if (f->if_missing == MISSING_ERROR)
        return encoder_fail(encoder, line, b->column,
                            "a missing value; say in the schema what it means: if_missing: zero, or a value");
    v->missing = true;
    v->absent = f->if_missing == MISSING_ZERO;
    v->number = f->missing_number;
    v->category = f->missing_category;
    return SG_OK;
}

static bool is_missing(const struct feature *f, const struct sg_csv_field *field)
{
    return words_find(f->missing_words, field->text, field->len) >= 0;
}

static enum sg_status parse_number(struct encoder *encoder, int64_t line, const struct bound_field *b,
                                   const struct sg_csv_field *field, struct value *v)
{
    const struct feature *f = b->feature;
    double number;
    if ((f->missing_is_number && is_missing(f, field)) || !sg_number_double(field->text, field->len, &number)) {
        if (is_missing(f, field))
            return missing_value(encoder, line, b, v);
        return encoder_fail(encoder, line, b->column,
                            "not a plain number (a decimal point, no blanks, no thousands separators) and "
                            "not among missing_values");
    }
    if (number < f->low || number > f->high) {
        encoder->n_clipped++;
        number = number < f->low ? f->low : f->high;
    }
    v->number = number;
    return SG_OK;
}

static enum sg_status parse_category(struct encoder *encoder, int64_t line, const struct bound_field *b,
                                     const struct sg_csv_field *field, struct value *v)
{
    const struct feature *f = b->feature;
    v->category = words_find(&f->categories, field->text, field->len);
    if (v->category >= 0)
        return SG_OK;
    if (is_missing(f, field))
        return missing_value(encoder, line, b, v);
    if (f->if_unknown == UNKNOWN_ERROR)
        return encoder_fail(encoder, line, b->column,
                            "not one of the declared categories; add it to the schema or say if_unknown: "
                            "zero or other");
    v->absent = true;
    v->other = f->if_unknown == UNKNOWN_OTHER;
    return SG_OK;
}

enum sg_status encoder_parse(struct encoder *encoder, int64_t line, const struct sg_csv_field *fields, size_t n)
{
    if (n != encoder->n_fields)
        return sg_fail(SG_USAGE, "%s:%lld: %zu fields where %s %zu; check the separator and quotation marks",
                       encoder->path, (long long)line, n,
                       encoder->schema->header ? "the header has" : "the schema declares", encoder->n_fields);
    for (size_t i = 0; i < encoder->n_bound; i++) {
        const struct bound_field *b = &encoder->bound[i];
        struct value *v = &encoder->value[b->column];
        v->absent = v->missing = v->other = false;
        SG_TRY(b->feature->type == TYPE_NUMBER ? parse_number(encoder, line, b, &fields[b->field], v)
                                               : parse_category(encoder, line, b, &fields[b->field], v));
    }
    return SG_OK;
}

/* n decimal digits at p, or -1. */
static int digits(const char *p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -1;
        v = v * 10 + (p[i] - '0');
    }
    return v;
}

static bool read_date(const char *text, size_t len, double *out)
{
    static const int days[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if ((len != 7 && len != 10) || text[4] != '-' || (len == 10 && text[7] != '-'))
        return false;
    int year = digits(text, 4), month = digits(text + 5, 2), day = len == 10 ? digits(text + 8, 2) : 1;
    if (year < 0 || month < 1 || month > 12 || day < 1 || day > days[month - 1])
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month == 2 && day == 29 && !leap)
        return false;
    *out = (year * 12 + month) * 32 + day;
    return true;
}

enum sg_status encoder_time(const struct encoder *encoder, int64_t line, const struct sg_csv_field *fields, double *out)
{
    int32_t column = encoder->schema->time_column;
    const struct sg_csv_field *field = encoder_field(encoder, fields, column);
    if (encoder->schema->column[column].type == TYPE_DATE)
        return read_date(field->text, field->len, out)
                   ? SG_OK
                   : encoder_fail(encoder, line, column, "not a date: YYYY-MM or YYYY-MM-DD");
    return sg_number_double(field->text, field->len, out) ? SG_OK
                                                          : encoder_fail(encoder, line, column,
                                                                         "not a plain number; for dates declare "
                                                                         "type: date");
}

/* ---- floats ---- */

static double clip(double v, const double range[2])
{
    return v < range[0] ? range[0] : v > range[1] ? range[1] : v;
}

static void encode(const struct encoder *encoder, const struct encoding *e, const struct feature *f,
                   const struct value *v, int64_t step, float *out)
{
    out += e->first;
    switch (e->kind) {
    case ENCODE_LINEAR:
        *out = (float)(e->to[0] + (clip(v->number, e->from) - e->from[0]) * e->slope);
        return;
    case ENCODE_LOG:
        log_batch_add(encoder->logs, v->number / e->unit, e->divide, out);
        return;
    case ENCODE_SIGNED_LOG: /* sign(v) log(1 + |v| / unit): 1 + a rounded sum is exact enough for a float */
        if (v->number < 0)
            log_batch_add(encoder->logs, 1 - v->number / e->unit, -e->divide, out);
        else
            log_batch_add(encoder->logs, 1 + v->number / e->unit, e->divide, out);
        return;
    case ENCODE_ONE_HOT:
        if (f->type == TYPE_CATEGORY) {
            int32_t place = v->category < 0 ? -1 : e->of_category[v->category];
            if (place >= 0)
                out[place] = 1;
            return;
        }
        for (size_t i = 0; i < e->n_values; i++)
            out[i] = v->number == e->value[i];
        return;
    case ENCODE_AT_LEAST:
        for (size_t i = 0; i < e->n_values; i++)
            out[i] = v->number >= e->value[i];
        return;
    case ENCODE_RATIO: {
        const struct feature *over = &encoder->schema->feature[e->over];
        const struct value *below = &encoder->value[over->column[over->n_columns == 1 ? 0 : step]];
        double number = below->number > e->over_min ? below->number : e->over_min;
        if (below->absent) /* a ratio with a missing part is 0 */
            return;
        *out = (float)(e->to[0] + (clip(v->number / number, e->from) - e->from[0]) * e->slope);
        return;
    }
    }
}

static void encode_feature(const struct encoder *encoder, const struct feature *f, int64_t step, float *out)
{
    const struct value *v = &encoder->value[f->column[step]];
    if (!v->absent)
        for (size_t k = 0; k < f->n_encodings; k++)
            encode(encoder, &f->encoding[k], f, v, step, out);
    if (v->other)
        out[f->other_float] = 1;
    if (v->missing && f->missing_float >= 0)
        out[f->missing_float] = 1;
}

void encoder_rows(const struct encoder *encoder, float *x)
{
    const struct sg_schema *schema = encoder->schema;
    memset(x, 0, (size_t)(schema->n_steps * schema->n_row_floats) * sizeof *x);
    for (size_t i = 0; i < schema->n_features; i++) {
        const struct feature *f = &schema->feature[i];
        for (int64_t t = 0; t < f->n_columns && !f->is_static; t++)
            encode_feature(encoder, f, t, x + t * schema->n_row_floats);
    }
    log_batch_flush(encoder->logs);
}

static bool step_is_absent(const struct encoder *encoder, int64_t step)
{
    const struct sg_schema *schema = encoder->schema;
    for (size_t i = 0; i < schema->n_features; i++) {
        const struct feature *f = &schema->feature[i];
        if (f->is_step && !encoder->value[f->column[step]].missing)
            return false;
    }
    return true;
}

int64_t encoder_absent_steps(const struct encoder *encoder)
{
    int64_t n = 0;
    while (n < encoder->schema->n_steps - 1 && step_is_absent(encoder, n))
        n++;
    return n;
}

void encoder_statics(const struct encoder *encoder, float *statics)
{
    const struct sg_schema *schema = encoder->schema;
    memset(statics, 0, (size_t)schema->n_static_floats * sizeof *statics);
    for (size_t i = 0; i < schema->n_features; i++)
        if (schema->feature[i].is_static)
            encode_feature(encoder, &schema->feature[i], 0, statics);
    log_batch_flush(encoder->logs);
}
