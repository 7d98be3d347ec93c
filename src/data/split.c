#include "split.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/number.h"
#include "format/csv.h"

/* ---- the hash: a uniform 64-bit word per (purpose, seed, unit), so that no unit moves when another one leaves ---- */

static uint64_t draw(const char *purpose, uint64_t seed, const uint8_t digest[SG_UNIT_DIGEST_BYTES])
{
    uint8_t bytes[64] = {0}, hash[SG_DIGEST_BYTES];
    size_t n = strlen(purpose);
    memcpy(bytes, purpose, n);
    sg_store_u64be(bytes + n, seed);
    memcpy(bytes + n + 8, digest, SG_UNIT_DIGEST_BYTES);
    sg_sha256(bytes, n + 8 + SG_UNIT_DIGEST_BYTES, hash);
    return sg_load_u64be(hash);
}

/* Whether the word lies in the first `fraction` of all words. */
static bool below(uint64_t word, double fraction)
{
    return fraction >= 1 || word < (uint64_t)(fraction * 0x1p64);
}

uint8_t split_carve(const struct split *split, const uint8_t digest[SG_UNIT_DIGEST_BYTES], uint8_t given)
{
    const struct split_spec *spec = &split->schema->split;
    if (given != SG_SPLIT_TRAIN || spec->validation_fraction == 0)
        return given;
    return below(draw("sealgrad validation", spec->seed, digest), spec->validation_fraction) ? SG_SPLIT_VALIDATION
                                                                                             : given;
}

double sg_schema_train_share(const struct sg_schema *schema)
{
    const struct split_spec *spec = &schema->split;
    if (spec->kind == SPLIT_NONE)
        return 1;
    double given = spec->kind == SPLIT_FRACTIONS ? spec->fraction[SG_SPLIT_TRAIN] : 0.5;
    return given * (1 - spec->validation_fraction);
}

static uint8_t by_fraction(const struct split_spec *spec, const uint8_t digest[SG_UNIT_DIGEST_BYTES])
{
    uint64_t word = draw("sealgrad split", spec->seed, digest);
    if (below(word, spec->fraction[SG_SPLIT_TRAIN]))
        return SG_SPLIT_TRAIN;
    bool test = !below(word, spec->fraction[SG_SPLIT_TRAIN] + spec->fraction[SG_SPLIT_VALIDATION]);
    return test && spec->fraction[SG_SPLIT_TEST] > 0 ? SG_SPLIT_TEST : SG_SPLIT_VALIDATION;
}

/* The part that a word means, or SG_N_SPLITS. */
static uint8_t by_word(const struct split_spec *spec, const char *text, size_t len)
{
    for (uint8_t i = 0; i < SG_N_SPLITS; i++)
        if (words_find(&spec->words[i], text, len) >= 0)
            return i;
    return SG_N_SPLITS;
}

bool split_given(const struct split *split, const uint8_t digest[SG_UNIT_DIGEST_BYTES], int64_t row_number,
                 const char *word, size_t word_len, uint8_t *out, const char **problem)
{
    const struct split_spec *spec = &split->schema->split;
    int64_t i;
    *out = SG_N_SPLITS;
    switch (spec->kind) {
    case SPLIT_FRACTIONS:
        *out = by_fraction(spec, digest);
        break;
    case SPLIT_COLUMN:
        *out = by_word(spec, word, word_len);
        *problem = "not one of the values that the schema's split gives for train, validation and test";
        break;
    case SPLIT_FILE:
        i = split->by_row ? row_number - 1 : units_find(&split->keys, digest);
        if (i >= 0 && i < (split->by_row ? split->n_by_row : split->n_by_key))
            *out = split->by_row ? split->by_row[i] : split->by_key[i];
        *problem = "the split file has no line for this unit";
        break;
    case SPLIT_NONE:
        *problem = "the schema has no split";
    }
    return *out != SG_N_SPLITS;
}

/* ---- the split file ---- */

struct file_reader {
    struct split *split;
    int64_t key, column; /* fields; -1 before the header */
    size_t n_fields;
    int64_t row_capacity;
};

static enum sg_status read_header(struct file_reader *r, int64_t line, const struct sg_csv_field *fields, size_t n)
{
    const struct split_spec *spec = &r->split->schema->split;
    /* For key: row_number the file's own column of record numbers is called row_number or row. */
    bool by_row = strcmp(spec->key, "row_number") == 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(fields[i].text, spec->key) == 0 || (by_row && strcmp(fields[i].text, "row") == 0))
            r->key = (int64_t)i;
        if (strcmp(fields[i].text, spec->column) == 0)
            r->column = (int64_t)i;
    }
    r->n_fields = n;
    if (r->key < 0 || r->column < 0)
        return sg_fail(SG_USAGE, "%s:%lld: column %s: not in the header of the split file", r->split->file_path,
                       (long long)line, r->key < 0 ? spec->key : spec->column);
    return SG_OK;
}

static enum sg_status add_row(struct file_reader *r, int64_t line, int64_t number, uint8_t part)
{
    struct split *s = r->split;
    if (number < 1 || number > INT32_MAX)
        return sg_fail(SG_USAGE, "%s:%lld: not a record number (1, 2, ...)", s->file_path, (long long)line);
    if (number > r->row_capacity) {
        int64_t capacity = number + number / 2 + 1024;
        s->by_row = sg_realloc(s->by_row, (size_t)capacity, 1);
        memset(s->by_row + r->row_capacity, SG_N_SPLITS, (size_t)(capacity - r->row_capacity));
        r->row_capacity = capacity;
    }
    if (s->by_row[number - 1] != SG_N_SPLITS)
        return sg_fail(SG_USAGE, "%s:%lld: a second line for the same record", s->file_path, (long long)line);
    s->by_row[number - 1] = part;
    s->n_by_row = number > s->n_by_row ? number : s->n_by_row;
    return SG_OK;
}

static enum sg_status add_key(struct file_reader *r, int64_t line, const struct sg_csv_field *key, uint8_t part)
{
    struct split *s = r->split;
    uint8_t digest[SG_UNIT_DIGEST_BYTES];
    bool added;
    unit_digest(key->text, key->len, digest);
    int64_t i = units_add(&s->keys, digest, &added);
    if (!added)
        return sg_fail(SG_USAGE, "%s:%lld: a second line for the same unit", s->file_path, (long long)line);
    if (i == r->row_capacity) {
        r->row_capacity += r->row_capacity / 2 + 1024;
        s->by_key = sg_realloc(s->by_key, (size_t)r->row_capacity, 1);
    }
    s->by_key[i] = part;
    s->n_by_key = i + 1;
    return SG_OK;
}

static enum sg_status on_record(void *context, int64_t line, const struct sg_csv_field *fields, size_t n)
{
    struct file_reader *r = context;
    const struct split_spec *spec = &r->split->schema->split;
    if (r->key < 0)
        return read_header(r, line, fields, n);
    if (n != r->n_fields)
        return sg_fail(SG_USAGE, "%s:%lld: %zu fields where the header has %zu", r->split->file_path, (long long)line,
                       n, r->n_fields);
    uint8_t part = by_word(spec, fields[r->column].text, fields[r->column].len);
    if (part == SG_N_SPLITS)
        return sg_fail(
            SG_USAGE,
            "%s:%lld: column %s: not one of the values that the schema's split gives for train, validation and "
            "test",
            r->split->file_path, (long long)line, spec->column);
    if (strcmp(spec->key, "row_number") != 0)
        return add_key(r, line, &fields[r->key], part);
    int64_t number = 0;
    if (!sg_number_int64(fields[r->key].text, fields[r->key].len, &number))
        number = 0;
    return add_row(r, line, number, part);
}

/* "folder of path" + "/" + name, or NULL when there is no such file. */
static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? sg_format("%.*s", (int)(slash - path), path) : sg_strdup(".");
    char *full = sg_path_join(folder, name);
    free(folder);
    if (sg_file_exists(full))
        return full;
    free(full);
    return NULL;
}

enum sg_status split_open(const struct sg_schema *schema, const char *data_path, struct split *out)
{
    const struct split_spec *spec = &schema->split;
    *out = (struct split){.schema = schema};
    if (spec->kind != SPLIT_FILE)
        return SG_OK;
    if (spec->file[0] == '/')
        out->file_path = sg_strdup(spec->file);
    else if (!(out->file_path = beside(data_path, spec->file)))
        out->file_path = beside(schema->path, spec->file);
    if (!out->file_path)
        return sg_fail(SG_USAGE, "%s: the split file named in %s is neither beside the data nor beside the schema",
                       spec->file, schema->path);
    struct file_reader reader = {.split = out, .key = -1, .column = -1};
    SG_TRY(sg_sha256_file(out->file_path, out->file_digest));
    SG_TRY(sg_csv_read(out->file_path, spec->separator, on_record, NULL, &reader));
    if (reader.key < 0)
        return sg_fail(SG_USAGE, "%s: the split file is empty", out->file_path);
    return SG_OK;
}

void split_close(struct split *split)
{
    units_free(&split->keys);
    free(split->by_key);
    free(split->by_row);
    free(split->file_path);
    *split = (struct split){0};
}
