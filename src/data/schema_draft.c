/* A first schema for a person to finish. Types are guessed from the first thousand records; bounds and categories are
 * left empty on purpose: taken from the rows they would be statistics of private data. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/number.h"
#include "data/schema.h"
#include "format/csv.h"

enum { RECORDS_MAX = 1000 };

struct draft {
    const char *path;
    size_t n;
    char **name;
    bool *is_word, *has_number;
    int64_t *n_messages; /* values of three or more words */
    int64_t n_records;
};

static bool is_usual_missing(const struct sg_csv_field *field)
{
    static const char *const words[] = {"", "?", "NA"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == field->len && memcmp(words[i], field->text, field->len) == 0)
            return true;
    return false;
}

/* Whether a value reads like a message: two blanks or more within it. */
static bool is_message(const struct sg_csv_field *field)
{
    int blanks = 0;
    for (size_t i = 0; i < field->len && blanks < 2; i++)
        blanks += field->text[i] == ' ';
    return blanks == 2;
}

static enum sg_status on_record(void *context, int64_t line, const struct sg_csv_field *fields, size_t n)
{
    struct draft *d = context;
    if (!d->name) {
        d->n = n;
        d->name = sg_alloc(n, sizeof *d->name);
        d->is_word = sg_alloc(n, sizeof *d->is_word);
        d->n_messages = sg_alloc(n, sizeof *d->n_messages);
        d->has_number = sg_alloc(n, sizeof *d->has_number);
        for (size_t i = 0; i < n; i++)
            d->name[i] = sg_format("%.*s", (int)fields[i].len, fields[i].text);
        return SG_OK;
    }
    if (n != d->n)
        return sg_fail(SG_USAGE,
                       "%s:%lld: %zu fields where the header has %zu; check the separator and quotation marks", d->path,
                       (long long)line, n, d->n);
    for (size_t i = 0; i < n; i++) {
        double number;
        bool is_number = sg_number_double(fields[i].text, fields[i].len, &number);
        d->has_number[i] |= is_number;
        d->is_word[i] |= !is_number && !is_usual_missing(&fields[i]);
        d->n_messages[i] += is_message(&fields[i]);
    }
    return ++d->n_records < RECORDS_MAX ? SG_OK : SG_STOPPED; /* enough seen */
}

/* As a double-quoted YAML scalar. */
static void put_name(struct sg_buffer *out, const char *name)
{
    sg_buffer_text(out, "\"");
    for (const char *p = name; *p; p++) {
        if (*p == '"' || *p == '\\')
            sg_buffer_printf(out, "\\%c", *p);
        else if ((unsigned char)*p < 0x20 || *p == 0x7f)
            sg_buffer_printf(out, "\\x%02x", (unsigned char)*p);
        else
            sg_buffer_append(out, p, 1);
    }
    sg_buffer_text(out, "\"");
}

static void put_separator(struct sg_buffer *out, char separator)
{
    if (separator == '\t')
        sg_buffer_text(out, "separator: tab\n");
    else if (separator != ',')
        sg_buffer_printf(out, "separator: \"%c\"\n", separator);
}

/* The column that holds most messages, if more than half of its values are some; else n. */
static size_t text_column(const struct draft *d)
{
    size_t best = d->n;
    for (size_t i = 0; i < d->n; i++)
        if (2 * d->n_messages[i] > d->n_records && (best == d->n || d->n_messages[i] > d->n_messages[best]))
            best = i;
    return best;
}

/* A text, and beside it the first other column of words as its label. */
static void put_text_columns(const struct draft *d, size_t text, struct sg_buffer *out)
{
    bool labelled = false;
    for (size_t i = 0; i < d->n; i++) {
        bool is_label = !labelled && i != text && (d->is_word[i] || !d->has_number[i]);
        labelled |= is_label;
        sg_buffer_text(out, "  - {name: ");
        put_name(out, d->name[i]);
        sg_buffer_text(out, i == text  ? ", role: text, max_tokens: 128}\n"
                            : is_label ? ", role: label, categories: []}\n"
                                       : ", role: ignore}\n");
    }
}

static void put_columns(const struct draft *d, struct sg_buffer *out)
{
    for (size_t i = 0; i < d->n; i++) {
        sg_buffer_text(out, "  - {name: ");
        put_name(out, d->name[i]);
        sg_buffer_text(out, d->is_word[i] || !d->has_number[i] ? ", role: feature, type: category, categories: []}\n"
                                                               : ", role: feature, type: number, bounds: []}\n");
    }
}

static void put_draft(const struct draft *d, char separator, struct sg_buffer *out)
{
    sg_buffer_text(out, "# Draft of a schema: names and types only. Finish it from public knowledge (code book, "
                        "product rules), never from the\n"
                        "# rows: fill every bounds: [lowest, highest] and categories: [...], and choose roles: id, "
                        "time, label, feature, text,\n"
                        "# split, ignore. docs/schema.md describes everything that can stand here.\n"
                        "layout: wide        # or long: one row per customer and time (not for texts)\n"
                        "unit: row           # the unit of privacy: row, or the name of the id column\n");
    put_separator(out, separator);
    size_t text = text_column(d);
    sg_buffer_text(out, text < d->n ? "columns:\n" : "missing_values: [\"\", \"?\", \"NA\"]\ncolumns:\n");
    if (text < d->n)
        put_text_columns(d, text, out);
    else
        put_columns(d, out);
}

enum sg_status sg_schema_draft(const char *data_path, char separator, struct sg_buffer *out)
{
    struct draft draft = {.path = data_path};
    *out = (struct sg_buffer){0};
    enum sg_status status = sg_csv_read(data_path, separator, on_record, NULL, &draft);
    if (status == SG_STOPPED)
        status = SG_OK;
    if (status == SG_OK && !draft.name)
        status = sg_fail(SG_USAGE, "%s: empty: there is no header to draft a schema from", data_path);
    if (status == SG_OK)
        put_draft(&draft, separator, out);
    for (size_t i = 0; i < draft.n; i++)
        free(draft.name[i]);
    free(draft.name);
    free(draft.is_word);
    free(draft.n_messages);
    free(draft.has_number);
    return status;
}
