/* Data sets of text: tokens instead of numbers, from CSV or from the lines of a plain text file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
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
    return record(l, line, &field, 1);
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
