/* layout: long: one row per customer and time. Rows of a customer need not be adjacent; they are brought together at
 * the end, in place. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "loader.h"

/* ---- one record ---- */

static bool same_id(struct loader *l, const struct sg_csv_field *id)
{
    return l->last_unit >= 0 && l->last_id_len == id->len && memcmp(l->last_id, id->text, id->len) == 0;
}

static void remember_id(struct loader *l, const struct sg_csv_field *id, int64_t unit)
{
    if (l->last_id_capacity < id->len) {
        l->last_id_capacity = 2 * id->len;
        l->last_id = sg_realloc(l->last_id, l->last_id_capacity, 1);
    }
    memcpy(l->last_id, id->text, id->len);
    l->last_id_len = id->len;
    l->last_unit = unit;
}

static enum sg_status find_unit(struct loader *l, int64_t line, const struct sg_csv_field *fields, int64_t *unit,
                                bool *added)
{
    const struct sg_csv_field *id = encoder_field(l->encoder, fields, l->schema->id_column);
    *added = false;
    *unit = l->last_unit;
    if (same_id(l, id))
        return SG_OK;
    if (id->len == 0)
        return encoder_fail(l->encoder, line, l->schema->id_column, "an empty unit id");
    uint8_t digest[SG_UNIT_DIGEST_BYTES];
    unit_digest(id->text, id->len, digest);
    *unit = units_add(&l->units, digest, added);
    loader_room_for_unit(l, *unit);
    if (*added && l->out->id)
        l->out->id[*unit] = sg_format("%.*s", (int)id->len, id->text);
    remember_id(l, id, *unit);
    return SG_OK;
}

static bool floats_differ(const struct feature *f, const float *a, const float *b)
{
    for (size_t i = 0; i < f->n_encodings; i++) {
        const struct encoding *e = &f->encoding[i];
        if (memcmp(a + e->first, b + e->first, (size_t)e->n_floats * sizeof *a) != 0)
            return true;
    }
    return (f->other_float >= 0 && a[f->other_float] != b[f->other_float]) ||
           (f->missing_float >= 0 && a[f->missing_float] != b[f->missing_float]);
}

static void copy_floats(const struct feature *f, const float *from, float *to)
{
    for (size_t i = 0; i < f->n_encodings; i++)
        memcpy(to + f->encoding[i].first, from + f->encoding[i].first, (size_t)f->encoding[i].n_floats * sizeof *to);
    if (f->other_float >= 0)
        to[f->other_float] = from[f->other_float];
    if (f->missing_float >= 0)
        to[f->missing_float] = from[f->missing_float];
}

static enum sg_status merge_statics(struct loader *l, int64_t line, int64_t unit, bool added, bool newest)
{
    struct sg_dataset *d = l->out;
    if (d->n_static == 0)
        return SG_OK;
    float *known = d->statics + unit * d->n_static;
    size_t bytes = (size_t)d->n_static * sizeof *known;
    encoder_statics(l->encoder, l->statics);
    if (added)
        memcpy(known, l->statics, bytes);
    if (memcmp(known, l->statics, bytes) == 0)
        return SG_OK;
    for (size_t i = 0; i < l->schema->n_features; i++) {
        const struct feature *f = &l->schema->feature[i];
        if (!f->is_static || !floats_differ(f, known, l->statics))
            continue;
        if (f->policy == STATIC_CONSTANT)
            return encoder_fail(l->encoder, line, f->column[0],
                                "differs between rows of one customer; declare static: last (the newest "
                                "row counts) or leave static out");
        if (newest)
            copy_floats(f, l->statics, known);
    }
    return SG_OK;
}

static enum sg_status merge_label(struct loader *l, int64_t line, const struct sg_csv_field *fields, int64_t unit,
                                  bool added, bool newest)
{
    if (!l->has_label)
        return SG_OK;
    float label = 0;
    SG_TRY(loader_label(l, line, fields, &label));
    float *known = &l->out->label[unit];
    int32_t column = l->schema->label_column;
    if (!added && *known != label && l->schema->column[column].policy == STATIC_CONSTANT)
        return encoder_fail(l->encoder, line, column,
                            "differs between rows of one customer; declare static: last if the newest row "
                            "counts");
    if (added || newest)
        *known = label;
    return SG_OK;
}

/* Column, file and hash look at the customer alone, so that a customer is in one part as a whole. */
static enum sg_status merge_split(struct loader *l, int64_t line, const struct sg_csv_field *fields, int64_t unit,
                                  bool added)
{
    if (!added && l->schema->split.kind != SPLIT_COLUMN)
        return SG_OK;
    uint8_t part = 0;
    SG_TRY(loader_split(l, line, fields, l->units.digest[unit], &part));
    if (!added && l->out->split[unit] != part)
        return encoder_fail(l->encoder, line, l->schema->split_column,
                            "differs between rows of one customer; a customer is in one part "
                            "as a whole");
    if (added)
        l->out->n_split[part]++;
    l->out->split[unit] = part;
    return SG_OK;
}

static enum sg_status check_row(struct loader *l, int64_t line, int64_t unit, double time)
{
    const struct sg_schema *s = l->schema;
    if (s->row_order == ORDER_ASCENDING && time == l->newest[unit])
        return encoder_fail(l->encoder, line, s->time_column, "a second row of the same customer and time");
    if (s->row_order == ORDER_ASCENDING && time < l->newest[unit])
        return encoder_fail(l->encoder, line, s->time_column,
                            "earlier than the customer's row before it; sort the file, or declare "
                            "row_order: any");
    if (s->more_rows == MORE_ROWS_ERROR && l->rows_of_unit[unit] >= s->rows_per_unit_max)
        return encoder_fail(l->encoder, line, s->id_column,
                            "more rows of one customer than rows_per_unit_max; declare if_more_rows: "
                            "keep_newest, or raise the limit");
    return SG_OK;
}

enum sg_status loader_long_record(struct loader *l, int64_t line, const struct sg_csv_field *fields)
{
    struct sg_dataset *d = l->out;
    int64_t unit = 0;
    bool added = false;
    double time = 0;
    SG_TRY(find_unit(l, line, fields, &unit, &added));
    SG_TRY(encoder_time(l->encoder, line, fields, &time));
    if (added)
        l->rows_of_unit[unit] = 0;
    else
        SG_TRY(check_row(l, line, unit, time));
    bool newest = added || time > l->newest[unit];
    SG_TRY(merge_statics(l, line, unit, added, newest));
    SG_TRY(merge_label(l, line, fields, unit, added, newest));
    SG_TRY(merge_split(l, line, fields, unit, added));
    if (newest)
        l->newest[unit] = time;
    l->rows_of_unit[unit]++;
    loader_room_for_rows(l, 1);
    if (l->row_unit)
        l->row_unit[d->n_rows] = (int32_t)unit;
    if (l->row_time)
        l->row_time[d->n_rows] = time;
    if (!l->options->check_only)
        encoder_rows(l->encoder, d->x + d->n_rows * d->n_features);
    d->n_rows++;
    return SG_OK;
}

/* ---- the end ---- */

/* Row numbers of the file, grouped by unit, in file order within a unit. `start` (n_units + 1) is where each unit's
 * begin. */
static int64_t *group_rows(const struct loader *l, const int64_t *start)
{
    int64_t n_units = l->units.n, n_rows = l->out->n_rows;
    int64_t *next = sg_alloc((size_t)n_units, sizeof *next);
    int64_t *row = sg_alloc((size_t)n_rows, sizeof *row);
    memcpy(next, start, (size_t)n_units * sizeof *next);
    for (int64_t i = 0; i < n_rows; i++)
        row[next[l->row_unit[i]]++] = i;
    free(next);
    return row;
}

static int compare_times(const void *a, const void *b, void *context)
{
    const double *time = context;
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return time[x] < time[y] ? -1 : time[x] > time[y] ? 1 : x < y ? -1 : x > y;
}

static enum sg_status sort_by_time(const struct loader *l, const int64_t *start, int64_t *row)
{
    for (int64_t u = 0; u < l->units.n; u++) {
        size_t n = (size_t)(start[u + 1] - start[u]);
        int64_t *own = row + start[u];
        qsort_r(own, n, sizeof *own, compare_times, l->row_time);
        for (size_t i = 1; i < n; i++)
            if (l->row_time[own[i - 1]] == l->row_time[own[i]])
                return sg_fail(SG_USAGE, "%s: column %s: data records %lld and %lld are of the same customer and time",
                               l->path, l->schema->column[l->schema->time_column].name, (long long)own[i - 1] + 1,
                               (long long)own[i] + 1);
    }
    return SG_OK;
}

/* Moves each unit's newest rows (at most `cap`) to the front of the list, and the rows over the cap behind all; returns
 * the rest. */
static int64_t apply_cap(const int64_t *start, int64_t n_units, int64_t cap, int64_t *row, int64_t *offset)
{
    int64_t n_rows = start[n_units], kept = 0, n_over = 0;
    int64_t *over = sg_alloc((size_t)n_rows + 1, sizeof *over);
    for (int64_t u = 0; u < n_units; u++) {
        offset[u] = kept;
        int64_t first = start[u + 1] - start[u] > cap ? start[u + 1] - cap : start[u];
        for (int64_t i = start[u]; i < first; i++)
            over[n_over++] = row[i];
        for (int64_t i = first; i < start[u + 1]; i++)
            row[kept++] = row[i];
    }
    offset[n_units] = kept;
    memcpy(row + kept, over, (size_t)n_over * sizeof *row);
    free(over);
    return kept;
}

/* x[i] = old x[from[i]] for a permutation, cycle by cycle, with room for one row. Uses `from` up. */
static void permute_rows(float *x, int64_t n_rows, int64_t n_floats, int64_t *from)
{
    size_t bytes = (size_t)n_floats * sizeof *x;
    float *spare = sg_alloc((size_t)n_floats, sizeof *x);
    for (int64_t i = 0; i < n_rows; i++) {
        if (from[i] == i)
            continue;
        memcpy(spare, x + i * n_floats, bytes);
        int64_t hole = i;
        while (from[hole] != i) {
            int64_t source = from[hole];
            memcpy(x + hole * n_floats, x + source * n_floats, bytes);
            from[hole] = hole;
            hole = source;
        }
        memcpy(x + hole * n_floats, spare, bytes);
        from[hole] = hole;
    }
    free(spare);
}

enum sg_status loader_long_finish(struct loader *l)
{
    struct sg_dataset *d = l->out;
    int64_t n_units = l->units.n, cap = l->schema->rows_per_unit_max;
    if (!l->row_unit) { /* only checked, in ascending order: nothing to bring into order */
        for (int64_t u = 0; u < n_units; u++)
            d->n_rows -= l->rows_of_unit[u] > cap ? l->rows_of_unit[u] - cap : 0;
        return SG_OK;
    }
    int64_t *start = sg_alloc((size_t)n_units + 1, sizeof *start);
    for (int64_t u = 0; u < n_units; u++)
        start[u + 1] = start[u] + l->rows_of_unit[u];
    int64_t *row = group_rows(l, start);
    enum sg_status status = l->row_time ? sort_by_time(l, start, row) : SG_OK;
    if (status == SG_OK) {
        d->offset = sg_alloc((size_t)n_units + 1, sizeof *d->offset);
        int64_t kept = apply_cap(start, n_units, cap, row, d->offset);
        if (d->x)
            permute_rows(d->x, d->n_rows, d->n_features, row);
        d->n_rows = kept;
    }
    free(start);
    free(row);
    return status;
}
