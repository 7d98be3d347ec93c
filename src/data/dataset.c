#include "data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/number.h"
#include "loader.h"

/* ---- growing arrays ---- */

static void *grown(void *array, int64_t n, size_t size)
{
    return size ? sg_realloc(array, (size_t)n, size) : array;
}

void loader_room_for_unit(struct loader *l, int64_t unit)
{
    if (unit < l->units_capacity)
        return;
    struct sg_dataset *d = l->out;
    bool is_long = l->schema->layout == LAYOUT_LONG;
    int64_t n = l->units_capacity = l->units_capacity + l->units_capacity / 2 + 1024;
    if (is_long || !l->options->check_only) {
        d->statics = grown(d->statics, n, (size_t)d->n_static * sizeof *d->statics);
        if (l->has_label)
            d->label = grown(d->label, n, sizeof *d->label);
        d->split = grown(d->split, n, sizeof *d->split);
    }
    if (!is_long && !l->options->check_only) {
        d->offset = grown(d->offset, n + 1, sizeof *d->offset);
        d->offset[0] = 0;
    }
    if (l->options->keep_ids && !l->options->check_only)
        d->id = grown(d->id, n, sizeof *d->id);
    if (is_long) {
        l->newest = grown(l->newest, n, sizeof *l->newest);
        l->rows_of_unit = grown(l->rows_of_unit, n, sizeof *l->rows_of_unit);
    }
}

void loader_room_for_rows(struct loader *l, int64_t n)
{
    struct sg_dataset *d = l->out;
    if (d->n_rows + n <= l->rows_capacity)
        return;
    l->rows_capacity = d->n_rows + n + l->rows_capacity / 2 + 1024;
    if (!l->options->check_only)
        d->x = grown(d->x, l->rows_capacity, (size_t)d->n_features * sizeof *d->x);
    if (l->schema->max_tokens && !l->options->check_only)
        d->token = grown(d->token, l->rows_capacity, sizeof *d->token);
    if (l->schema->layout == LAYOUT_LONG && (!l->options->check_only || l->schema->row_order == ORDER_ANY))
        l->row_unit = grown(l->row_unit, l->rows_capacity, sizeof *l->row_unit);
    if (l->schema->layout == LAYOUT_LONG && l->schema->row_order == ORDER_ANY)
        l->row_time = grown(l->row_time, l->rows_capacity, sizeof *l->row_time);
}

/* ---- label, split, identity ---- */

static enum sg_status label_class(struct loader *l, int64_t line, const struct sg_csv_field *field, float *out)
{
    int32_t class = words_find(&l->schema->classes, field->text, field->len);
    if (class < 0)
        return encoder_fail(l->encoder, line, l->schema->label_column,
                            "not one of the label's categories; every unit needs one that the schema lists");
    *out = (float)class;
    return SG_OK;
}

static enum sg_status label_number(struct loader *l, int64_t line, const struct sg_csv_field *field, float *out)
{
    const double *bounds = l->schema->label_bounds;
    double number;
    if (!sg_number_double(field->text, field->len, &number))
        return encoder_fail(
            l->encoder, line, l->schema->label_column,
            "not a plain number (a decimal point, no blanks, no thousands separators); every unit needs "
            "a label");
    l->encoder->n_clipped += number < bounds[0] || number > bounds[1];
    *out = (float)(number < bounds[0] ? bounds[0] : number > bounds[1] ? bounds[1] : number);
    return SG_OK;
}

enum sg_status loader_label(struct loader *l, int64_t line, const struct sg_csv_field *fields, float *out)
{
    const struct sg_csv_field *field = encoder_field(l->encoder, fields, l->schema->label_column);
    if (l->schema->label_kind == SG_LABEL_CLASSES)
        return label_class(l, line, field, out);
    if (l->schema->label_kind == SG_LABEL_NUMBER)
        return label_number(l, line, field, out);
    if (words_find(&l->schema->positive, field->text, field->len) >= 0)
        *out = 1;
    else if (words_find(&l->schema->negative, field->text, field->len) >= 0)
        *out = 0;
    else
        return encoder_fail(l->encoder, line, l->schema->label_column,
                            "neither a positive nor a negative value of the label; every "
                            "unit needs one that the schema lists");
    return SG_OK;
}

enum sg_status loader_split(struct loader *l, int64_t line, const struct sg_csv_field *fields,
                            const uint8_t digest[SG_UNIT_DIGEST_BYTES], uint8_t *out)
{
    *out = SG_SPLIT_TEST;
    if (!l->options->need_split)
        return SG_OK;
    const struct split_spec *spec = &l->schema->split;
    const struct sg_csv_field *field = encoder_field(l->encoder, fields, l->schema->split_column);
    const char *problem = "";
    uint8_t given;
    if (split_given(&l->split, digest, l->n_records, field ? field->text : "", field ? field->len : 0, &given,
                    &problem)) {
        *out = split_carve(&l->split, digest, given);
        return SG_OK;
    }
    int32_t column = spec->kind == SPLIT_COLUMN ? l->schema->split_column : l->schema->id_column;
    if (column >= 0)
        return encoder_fail(l->encoder, line, column, problem);
    return sg_fail(SG_USAGE, "%s:%lld: %s", l->path, (long long)line, problem);
}

/* The id of a row without an id column: the digest of (the record, how many equal ones came before), in hexadecimal. So
 * no row's id depends on where it stands, and removing one of several equal rows removes the last of their ids. */
static void content_id(struct loader *l, const struct sg_csv_field *fields, size_t n, char out[2 * SG_DIGEST_BYTES + 1])
{
    uint8_t bytes[SG_DIGEST_BYTES + 8];
    bool added;
    record_digest(&l->scratch, fields, n, bytes);
    int64_t i = units_add(&l->contents, bytes, &added);
    if (i >= l->seen_capacity) {
        l->seen_capacity = l->seen_capacity + l->seen_capacity / 2 + 1024;
        l->seen = grown(l->seen, l->seen_capacity, sizeof *l->seen);
    }
    l->seen[i] = added ? 0 : l->seen[i] + 1;
    sg_store_u64be(bytes + SG_DIGEST_BYTES, (uint64_t)l->seen[i]);
    sg_sha256(bytes, sizeof bytes, bytes);
    sg_hex_encode(bytes, SG_DIGEST_BYTES, out);
}

/* ---- a file with one row per unit ---- */

static enum sg_status new_unit(struct loader *l, int64_t line, const struct sg_csv_field *fields, size_t n,
                               int64_t *unit)
{
    char hex[2 * SG_DIGEST_BYTES + 1];
    struct sg_csv_field id = {hex, sizeof hex - 1};
    const struct sg_csv_field *field = encoder_field(l->encoder, fields, l->schema->id_column);
    if (l->options->is_text_lines)
        id.len = (size_t)snprintf(hex, sizeof hex, "%lld", (long long)line);
    else if (field)
        id = *field;
    else
        content_id(l, fields, n, hex);
    if (id.len == 0)
        return encoder_fail(l->encoder, line, l->schema->id_column, "an empty unit id");
    uint8_t digest[SG_UNIT_DIGEST_BYTES];
    bool added;
    unit_digest(id.text, id.len, digest);
    *unit = units_add(&l->units, digest, &added);
    if (!added)
        return encoder_fail(l->encoder, line, l->schema->id_column,
                            l->schema->max_tokens ? "a unit id that an earlier line has; a text is one message a unit: "
                                                    "join the messages of one customer"
                                                  : "a unit id that an earlier line has; where a customer may have "
                                                    "several rows use layout: long");
    loader_room_for_unit(l, *unit);
    if (l->out->id)
        l->out->id[*unit] = sg_format("%.*s", (int)id.len, id.text);
    return SG_OK;
}

/* The unit's time steps behind those of the units before it. A history that began later is shorter where the schema
 * says so. */
static void add_steps(struct loader *l, int64_t unit)
{
    struct sg_dataset *d = l->out;
    int64_t n = l->schema->n_steps, absent = l->schema->absent_steps_dropped ? encoder_absent_steps(l->encoder) : 0;
    if (!l->options->check_only) {
        loader_room_for_rows(l, n);
        float *x = d->x + d->n_rows * d->n_features;
        encoder_rows(l->encoder, x);
        if (absent)
            memmove(x, x + absent * d->n_features, (size_t)((n - absent) * d->n_features) * sizeof *x);
        d->offset[unit + 1] = d->n_rows + n - absent;
    }
    d->n_rows += n - absent;
}

static enum sg_status wide_record(struct loader *l, int64_t line, const struct sg_csv_field *fields, size_t n)
{
    struct sg_dataset *d = l->out;
    int64_t unit = 0;
    float label = 0;
    uint8_t part;
    SG_TRY(new_unit(l, line, fields, n, &unit));
    if (l->has_label)
        SG_TRY(loader_label(l, line, fields, &label));
    SG_TRY(loader_split(l, line, fields, l->units.digest[unit], &part));
    d->n_split[part]++;
    if (l->schema->max_tokens)
        SG_TRY(loader_add_text(l, line, fields, unit));
    else
        add_steps(l, unit);
    if (l->options->check_only)
        return SG_OK;
    if (d->n_static)
        encoder_statics(l->encoder, d->statics + unit * d->n_static);
    if (l->has_label)
        d->label[unit] = label;
    d->split[unit] = part;
    return SG_OK;
}

/* ---- the file ---- */

static enum sg_status bind(struct loader *l, int64_t line, const struct sg_csv_field *fields, size_t n)
{
    const struct sg_dataset_options *o = l->options;
    if (o->is_text_lines)
        encoder_bind_text(l->encoder);
    else
        SG_TRY(encoder_bind(l->encoder, line, fields, n, o->need_label, o->need_split));
    l->has_label = o->need_label && l->schema->label_column >= 0 && l->encoder->field_of_column[l->schema->label_column] >= 0;
    l->header_done = true;
    return SG_OK;
}

static enum sg_status on_record(void *context, int64_t line, const struct sg_csv_field *fields, size_t n)
{
    struct loader *l = context;
    commitment_add(&l->commitment, fields, n);
    if (!l->header_done) {
        bool is_header = l->schema->header && !l->options->is_text_lines;
        SG_TRY(bind(l, line, is_header ? fields : NULL, n));
        if (is_header)
            return SG_OK;
    }
    l->n_records++;
    SG_TRY(encoder_parse(l->encoder, line, fields, n));
    return l->schema->layout == LAYOUT_LONG ? loader_long_record(l, line, fields) : wide_record(l, line, fields, n);
}

static void on_bytes(void *context, const char *bytes, size_t n, int64_t total)
{
    struct loader *l = context;
    sg_sha256_update(l->sha, bytes, n);
    if (l->options->progress)
        sg_progress_update(&l->progress, total, NULL);
}

static enum sg_status check_options(const struct loader *l)
{
    if (l->options->need_label && l->schema->label_column < 0)
        return sg_fail(SG_USAGE, "%s: no column has role: label; training and evaluation need one", l->schema->path);
    if (l->options->need_split && l->schema->split.kind == SPLIT_NONE)
        return sg_fail(
            SG_USAGE,
            "%s: no split; say which units train, validate and test, for example split: {fractions: {train: 0.8, "
            "test: 0.2}, seed: 1}",
            l->schema->path);
    if (l->options->is_text_lines && (!l->schema->max_tokens || l->options->need_label || l->options->need_split))
        return sg_fail(
            SG_USAGE,
            "%s: lines of plain text can be scored by a schema with a text column; they have no label and no "
            "split",
            l->path);
    if (l->schema->max_tokens && !l->options->tokenizer && !l->options->check_only)
        return sg_fail(SG_USAGE, "%s: a text column needs a tokenizer: name a base model or a vocabulary",
                       l->schema->path);
    return SG_OK;
}

static enum sg_status read_file(struct loader *l)
{
    SG_TRY(check_options(l));
    if (l->options->need_split)
        SG_TRY(split_open(l->schema, l->path, &l->split));
    struct stat facts;
    if (l->options->progress)
        sg_progress_begin(&l->progress, l->options->progress, stat(l->path, &facts) == 0 ? (int64_t)facts.st_size : 0);
    SG_TRY(l->options->is_text_lines ? loader_read_lines(l, on_record, on_bytes)
                                     : sg_csv_read(l->path, l->schema->separator, on_record, on_bytes, l));
    if (l->n_records == 0)
        return sg_fail(SG_USAGE, "%s: no data records; it is empty, or holds a header alone", l->path);
    return SG_OK;
}

static enum sg_status finish(struct loader *l)
{
    struct sg_dataset *d = l->out;
    d->n_units = l->units.n;
    d->n_clipped = l->encoder->n_clipped;
    if (l->schema->layout == LAYOUT_LONG)
        SG_TRY(loader_long_finish(l));
    d->digest = l->units.digest;
    l->units.digest = NULL;
    if (d->x && d->n_rows < l->rows_capacity)
        d->x = grown(d->x, d->n_rows, (size_t)d->n_features * sizeof *d->x);
    if (d->token && d->n_rows < l->rows_capacity)
        d->token = grown(d->token, d->n_rows, sizeof *d->token);
    return SG_OK;
}

static void close_loader(struct loader *l)
{
    encoder_close(l->encoder);
    split_close(&l->split);
    units_free(&l->units);
    units_free(&l->contents);
    sg_buffer_free(&l->scratch);
    free(l->seen);
    free(l->last_id);
    free(l->newest);
    free(l->rows_of_unit);
    free(l->row_unit);
    free(l->row_time);
    free(l->statics);
    free(l->ids);
}

enum sg_status sg_dataset_read(const char *path, const struct sg_schema *schema,
                               const struct sg_dataset_options *options, struct sg_dataset **out)
{
    struct sg_dataset *d = sg_alloc(1, sizeof *d);
    struct loader l = {.path = path, .schema = schema, .options = options, .out = d, .last_unit = -1};
    *out = d;
    d->n_features = schema->n_row_floats;
    d->n_static = schema->n_static_floats;
    l.encoder = encoder_open(schema, path);
    l.statics = sg_alloc((size_t)d->n_static + 1, sizeof *l.statics);
    l.sha = sg_sha256_begin();
    commitment_begin(&l.commitment, options->dataset_key);
    enum sg_status status = read_file(&l);
    if (status == SG_OK)
        status = finish(&l);
    if (l.progress.label && status == SG_OK)
        sg_progress_end(&l.progress, l.progress.total, NULL);
    else if (l.progress.label)
        sg_progress_abandon(&l.progress);
    sg_sha256_end(l.sha, d->plain_sha256);
    commitment_end(&l.commitment, schema->digest, l.split.file_digest, d->commitment);
    if (status != SG_OK) {
        d->n_units = l.units.n; /* how many ids there are to free */
        sg_dataset_close(out);
    }
    close_loader(&l);
    return status;
}

void sg_dataset_close(struct sg_dataset **out)
{
    struct sg_dataset *d = *out;
    if (!d)
        return;
    for (int64_t i = 0; d->id && i < d->n_units; i++)
        free(d->id[i]);
    free(d->id);
    free(d->offset);
    free(d->x);
    free(d->token);
    free(d->statics);
    free(d->label);
    free(d->digest);
    free(d->split);
    free(d);
    *out = NULL;
}
