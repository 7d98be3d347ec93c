/* Data sets of text: tokens instead of numbers, from CSV, from the lines of a plain text file, or from JSON lines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "loader.h"
#include "tokenizer_words.h"

enum sg_status loader_add_text(struct loader *l, int64_t line, const struct sg_csv_field *fields, int64_t unit)
{
    struct sg_dataset *d = l->out;
    const struct sg_csv_field *field = encoder_field(l->encoder, fields, l->schema->text_column);
    int64_t max_tokens = l->schema->max_tokens, n = 0;
    bool truncated = false;
    if (!l->options->check_only)
        loader_room_for_rows(l, max_tokens);
    else if (!l->ids)
        l->ids = sg_alloc((size_t)max_tokens, sizeof *l->ids);
    int32_t *ids = l->options->check_only ? l->ids : d->token + d->n_rows;
    if (l->options->tokenizer)
        n = sg_tokenizer_encode(l->options->tokenizer, field->text, field->len, max_tokens, ids, &truncated);
    if (n < 0)
        return encoder_fail(l->encoder, line, l->schema->text_column, "not valid UTF-8");
    d->n_rows += n;
    d->n_truncated += truncated;
    if (!l->options->check_only)
        d->offset[unit + 1] = d->n_rows;
    return SG_OK;
}

/* ---- plain text ---- */

/* A member as text: a string, or a whole number, which ids often are. */
static bool member_text(const json_t *object, const char *key, char number[24], struct sg_csv_field *out)
{
    const json_t *member = json_object_get(object, key);
    if (json_is_integer(member)) {
        snprintf(number, 24, "%lld", (long long)json_integer_value(member));
        *out = (struct sg_csv_field){number, strlen(number)};
        return true;
    }
    *out = (struct sg_csv_field){json_string_value(member), json_string_length(member)};
    return json_is_string(member);
}

static enum sg_status add_json(struct loader *l, int64_t line, const char *text, size_t n, sg_csv_record *record)
{
    const struct sg_schema *schema = l->schema;
    struct sg_csv_field fields[2];
    char numbers[2][24];
    json_t *object = NULL;
    char *what = sg_format("%s:%lld", l->path, (long long)line);
    enum sg_status status = sg_json_parse(text, n, what, SG_USAGE, &object);
    free(what);
    const int32_t columns[] = {schema->text_column, schema->id_column};
    size_t n_fields = schema->id_column >= 0 ? 2 : 1;
    for (size_t i = 0; i < n_fields && status == SG_OK; i++)
        if (!member_text(object, schema->column[columns[i]].name, numbers[i], &fields[i]))
            status = sg_fail(SG_USAGE, "%s:%lld: no object with a text under \"%s\"", l->path, (long long)line,
                             schema->column[columns[i]].name);
    if (status == SG_OK)
        status = record(l, line, fields, n_fields);
    json_decref(object);
    return status;
}

static enum sg_status add_line(struct loader *l, int64_t line, char *text, size_t n, sg_csv_record *record)
{
    if (n && text[n - 1] == '\n')
        n--;
    if (n && text[n - 1] == '\r')
        n--;
    text[n] = 0;
    if (line == 1 && n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    if (memchr(text, 0, n) || !utf8_valid(text, n))
        return sg_fail(SG_USAGE,
                       "%s:%lld: not valid UTF-8; convert the file, for example with: iconv -f LATIN1 -t UTF-8",
                       l->path, (long long)line);
    const struct sg_csv_field field = {text, n};
    return l->options->is_json_lines ? add_json(l, line, text, n, record) : record(l, line, &field, 1);
}

enum sg_status loader_read_lines(struct loader *l, sg_csv_record *record, sg_csv_bytes *bytes)
{
    FILE *file = fopen(l->path, "re");
    if (!file)
        return sg_fail(SG_USAGE, "%s: cannot open: %s", l->path, strerror(errno));
    char *text = NULL;
    size_t capacity = 0;
    int64_t total = 0;
    ssize_t n;
    enum sg_status status = SG_OK;
    for (int64_t line = 1; status == SG_OK && (n = getline(&text, &capacity, file)) >= 0; line++) {
        total += n;
        bytes(l, text, (size_t)n, total);
        status = add_line(l, line, text, (size_t)n, record);
    }
    if (status == SG_OK && ferror(file))
        status = sg_fail(SG_USAGE, "%s: cannot read: %s", l->path, strerror(errno));
    free(text);
    fclose(file);
    return status;
}
