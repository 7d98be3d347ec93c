/* libcsv is fed one physical line at a time. That costs little (a call per line) and gives every record and every fault
 * its exact line, without guessing positions back from callbacks. A quoted field may span lines; libcsv carries the
 * state.
 *
 * Most lines of a large table hold no quotation mark at all. Such a line, where it is a record of its own, is split in
 * place by `split_plain`, to the very fields that libcsv would give (tests compare the two): a call and a copy per
 * field saved make reading three times as fast. */
#include "format/csv.h"

#include <csv.h>
#include <emmintrin.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

enum {
    BLOCK_BYTES = 1 << 20,
    FIELD_BYTES_MAX = 1 << 16,
    RECORD_BYTES_MAX = 4 << 20,
};

struct reader {
    const char *path;
    sg_csv_record *record;
    void *context;
    char separator;
    bool blanks; /* the separator is a run of blanks: empty unquoted fields are dropped */

    struct csv_parser parser;
    struct sg_utf8 {
        int more;                /* continuation bytes still to come */
        unsigned char low, high; /* range of the next one */
    } utf8;
    int64_t line;        /* of the bytes being fed */
    int64_t record_line; /* on which the record in progress began */
    size_t record_bytes; /* fed since it began */
    bool ended;          /* the bytes fed last ended a record (or an empty line) */
    bool after_cr;       /* the last row end was a CR: only LF may follow */
    enum sg_status status;

    char *text; /* the record's fields, one after another, each followed by NUL */
    size_t text_bytes, text_capacity;
    size_t *start; /* (n_fields) into text */
    struct sg_csv_field *fields;
    size_t n_fields, fields_capacity;
};

/* ---- UTF-8, as RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF ---- */

static bool utf8_byte(struct sg_utf8 *state, unsigned char c)
{
    if (state->more) {
        if (c < state->low || c > state->high)
            return false;
        state->low = 0x80;
        state->high = 0xbf;
        state->more--;
        return true;
    }
    state->low = 0x80;
    state->high = 0xbf;
    if (c < 0x80)
        return c != 0;
    if (c < 0xc2 || c > 0xf4)
        return false;
    state->more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (c == 0xe0)
        state->low = 0xa0;
    else if (c == 0xed)
        state->high = 0x9f;
    else if (c == 0xf0)
        state->low = 0x90;
    else if (c == 0xf4)
        state->high = 0x8f;
    return true;
}

/* Eight bytes are plain when all are ASCII and none is NUL. */
static bool plain_word(const char *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
    uint64_t high = word & 0x8080808080808080u;
    uint64_t zero = (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
    return !(high | zero);
}

static enum sg_status check_text(struct reader *r, const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if (!r->utf8.more && n - i >= 8 && plain_word(p + i)) {
            i += 8;
            continue;
        }
        unsigned char c = (unsigned char)p[i++];
        if (utf8_byte(&r->utf8, c))
            continue;
        if (c == 0)
            return sg_fail(SG_USAGE,
                           "%s:%lld: a NUL byte: this is not a text file, or it is UTF-16; convert it to UTF-8",
                           r->path, (long long)r->line);
        return sg_fail(SG_USAGE,
                       "%s:%lld: not valid UTF-8; convert the file, for example with: iconv -f LATIN1 -t UTF-8",
                       r->path, (long long)r->line);
    }
    return SG_OK;
}

/* ---- callbacks of libcsv; it cannot be stopped from inside, so after a fault they do nothing ---- */

static void bare_cr(struct reader *r)
{
    r->status =
        sg_fail(SG_USAGE,
                "%s:%lld: a carriage return without a line feed outside quotes; convert the line ends, for example "
                "with: tr '\\r' '\\n'",
                r->path, (long long)r->line);
}

static void more_fields(struct reader *r)
{
    r->fields_capacity = r->fields_capacity ? 2 * r->fields_capacity : 64;
    r->start = sg_realloc(r->start, r->fields_capacity, sizeof *r->start);
    r->fields = sg_realloc(r->fields, r->fields_capacity, sizeof *r->fields);
}

static enum sg_status too_long(const struct reader *r, size_t field)
{
    return sg_fail(SG_USAGE, "%s:%lld: field %zu is longer than 64 KiB; a quotation mark may be missing", r->path,
                   (long long)r->record_line, field);
}

static void on_field(void *bytes, size_t n, void *context)
{
    struct reader *r = context;
    if (r->status != SG_OK)
        return;
    if (r->after_cr) {
        bare_cr(r);
        return;
    }
    if (!bytes && r->blanks) /* an empty unquoted field between two blanks */
        return;
    if (n > FIELD_BYTES_MAX) {
        r->status = too_long(r, r->n_fields + 1);
        return;
    }
    if (r->text_bytes + n + 1 > r->text_capacity) {
        r->text_capacity = 2 * (r->text_bytes + n + 1);
        r->text = sg_realloc(r->text, r->text_capacity, 1);
    }
    if (r->n_fields == r->fields_capacity)
        more_fields(r);
    if (n)
        memcpy(r->text + r->text_bytes, bytes, n);
    r->text[r->text_bytes + n] = 0;
    r->start[r->n_fields] = r->text_bytes;
    r->fields[r->n_fields++].len = n;
    r->text_bytes += n + 1;
}

static void on_row(int c, void *context)
{
    struct reader *r = context;
    if (r->status != SG_OK)
        return;
    if (r->after_cr && c != '\n') {
        if (c == '\r')
            bare_cr(r);
        return;
    }
    r->after_cr = c == '\r';
    r->ended = true;
    if (!r->n_fields)
        return;
    for (size_t i = 0; i < r->n_fields; i++) /* text may have moved while it grew */
        r->fields[i].text = r->text + r->start[i];
    size_t n = r->n_fields;
    r->n_fields = 0;
    r->text_bytes = 0;
    r->status = r->record(r->context, r->record_line, r->fields, n);
}

/* ---- a line without quotation marks ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Adds the field between `p` and `end` without the blanks around it, and puts a NUL behind it. A blank that separates
 * is not trimmed by libcsv either; it cannot stand inside a field. */
static enum sg_status add_plain(struct reader *r, char *p, char *end)
{
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    size_t n = (size_t)(end - p);
    if (n == 0 && r->blanks)
        return SG_OK;
    if (n > FIELD_BYTES_MAX)
        return too_long(r, r->n_fields + 1);
    if (r->n_fields == r->fields_capacity)
        more_fields(r);
    *end = 0;
    r->fields[r->n_fields++] = (struct sg_csv_field){p, n};
    return SG_OK;
}

/* One whole record: `n` bytes at `p`, the last a line feed. */
static enum sg_status split_plain(struct reader *r, char *p, size_t n)
{
    char *end = p + n - 1, separator = r->separator;
    if (end > p && end[-1] == '\r')
        end--;
    r->record_line = r->line++;
    const __m128i wanted = _mm_set1_epi8(separator);
    for (char *q = p; q < end; q += 16) { /* may read up to 15 bytes behind: the block has room for that */
        unsigned hits = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)q), wanted));
        if (end - q < 16)
            hits &= (1u << (end - q)) - 1;
        for (; hits; hits &= hits - 1) {
            char *here = q + __builtin_ctz(hits);
            SG_TRY(add_plain(r, p, here));
            p = here + 1;
        }
    }
    SG_TRY(add_plain(r, p, end));
    size_t n_fields = r->n_fields;
    r->n_fields = 0;
    if (n_fields == 0 || (n_fields == 1 && r->fields[0].len == 0)) /* an empty line */
        return SG_OK;
    return r->record(r->context, r->record_line, r->fields, n_fields);
}

static bool is_plain(const struct reader *r, const char *p, size_t n)
{
    if (!r->ended || r->after_cr || p[n - 1] != '\n' || memchr(p, '"', n))
        return false;
    const char *cr = memchr(p, '\r', n); /* only before the line feed; else libcsv's callbacks explain the fault */
    return !cr || cr == p + n - 2;
}

/* ---- lines ---- */

/* Feeds the rest of one line, or a piece of one that is longer than a block. */
static enum sg_status feed(struct reader *r, char *p, size_t n)
{
    SG_TRY(check_text(r, p, n));
    if (is_plain(r, p, n))
        return split_plain(r, p, n);
    if (r->ended) {
        r->record_line = r->line;
        r->record_bytes = 0;
    }
    r->record_bytes += n;
    r->ended = false;
    size_t done = csv_parse(&r->parser, p, n, on_field, on_row, r);
    if (r->status != SG_OK)
        return r->status;
    if (done != n && csv_error(&r->parser) == CSV_EPARSE)
        return sg_fail(
            SG_USAGE,
            "%s:%lld: a quotation mark inside a field; put the whole field in quotation marks and double those inside",
            r->path, (long long)r->line);
    if (done != n)
        return sg_fail(SG_FAILED, "%s:%lld: the CSV reader ran out of memory", r->path, (long long)r->line);
    if (!r->ended && r->record_bytes > RECORD_BYTES_MAX)
        return sg_fail(SG_USAGE,
                       "%s:%lld: the record that begins here is longer than 4 MiB; a quotation mark may be missing",
                       r->path, (long long)r->record_line);
    if (p[n - 1] == '\n') {
        r->line++;
        r->after_cr = false;
    }
    return SG_OK;
}

static enum sg_status feed_block(struct reader *r, char *p, size_t n)
{
    while (n) {
        char *end = memchr(p, '\n', n);
        size_t part = end ? (size_t)(end - p) + 1 : n;
        SG_TRY(feed(r, p, part));
        p += part;
        n -= part;
    }
    return SG_OK;
}

static enum sg_status finish(struct reader *r)
{
    if (r->utf8.more)
        return sg_fail(SG_USAGE, "%s:%lld: the file ends inside a UTF-8 character", r->path, (long long)r->line);
    if (csv_fini(&r->parser, on_field, on_row, r) != 0)
        return sg_fail(SG_USAGE, "%s:%lld: the record that begins here has a quoted field that is never closed",
                       r->path, (long long)r->record_line);
    return r->status;
}

static enum sg_status read_block(const char *path, int file, char *block, size_t *n)
{
    *n = 0;
    while (*n < BLOCK_BYTES) { /* full blocks, so that a pipe behaves like a file */
        ssize_t got = read(file, block + *n, BLOCK_BYTES - *n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sg_fail(SG_USAGE, "%s: cannot read: %s", path, strerror(errno));
        if (got == 0)
            break;
        *n += (size_t)got;
    }
    return SG_OK;
}

static enum sg_status read_all(struct reader *r, int file, char *block, sg_csv_bytes *bytes)
{
    int64_t total = 0;
    size_t n = 0;
    do {
        SG_TRY(read_block(r->path, file, block, &n));
        size_t mark = total == 0 && n >= 3 && memcmp(block, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        total += (int64_t)n;
        if (bytes && n)
            bytes(r->context, block, n, total);
        SG_TRY(feed_block(r, block + mark, n - mark));
    } while (n == BLOCK_BYTES);
    return finish(r);
}

enum sg_status sg_csv_read(const char *path, char separator, sg_csv_record *record, sg_csv_bytes *bytes, void *context)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return sg_fail(SG_USAGE, "%s: cannot open: %s", path, strerror(errno));
    struct reader r = {.path = path,
                       .record = record,
                       .context = context,
                       .separator = separator,
                       .blanks = separator == ' ',
                       .line = 1,
                       .record_line = 1,
                       .ended = true};
    unsigned char options = CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL | CSV_EMPTY_IS_NULL;
    if (csv_init(&r.parser, options) != 0) {
        close(file);
        return sg_fail(SG_FAILED, "%s: the CSV reader did not start", path);
    }
    csv_set_delim(&r.parser, (unsigned char)separator);
    csv_set_blk_size(&r.parser, FIELD_BYTES_MAX);
    char *block = sg_alloc(BLOCK_BYTES + 16, 1); /* split_plain reads in steps of 16 */
    enum sg_status status = read_all(&r, file, block, bytes);
    free(block);
    free(r.text);
    free(r.start);
    free(r.fields);
    csv_free(&r.parser);
    close(file);
    return status;
}
