/* Would catch: a record or fault reported on the wrong line; fields that differ from libcsv's on lines split without
 * it; text that changes when it falls on the border of two blocks; broken quoting, NUL bytes, bad UTF-8 or bare
 * carriage returns let through. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <csv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "format/csv.h"

/* A file in memory: thousands of small files on a disk would take longer than everything else. */
static char path[64];
static int memory;

static int make_file(void **state)
{
    (void)state;
    memory = memfd_create("test.csv", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    return memory < 0 ? -1 : 0;
}

static int remove_file(void **state)
{
    (void)state;
    return close(memory);
}

static void write_file(const char *bytes, size_t n)
{
    assert_int_equal(ftruncate(memory, 0), 0);
    assert_int_equal(pwrite(memory, bytes, n, 0), n);
}

static uint64_t seed = 7;

static uint64_t random64(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

struct seen {
    struct sg_buffer text; /* "line:[a][b];" for each record */
    struct sg_buffer bytes;
    int64_t total, n_records, stop_after;
};

static enum sg_status on_record(void *context, int64_t line, const struct sg_csv_field *fields, size_t n)
{
    struct seen *seen = context;
    sg_buffer_printf(&seen->text, "%lld:", (long long)line);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(fields[i].text[fields[i].len], 0);
        sg_buffer_text(&seen->text, "[");
        sg_buffer_append(&seen->text, fields[i].text, fields[i].len);
        sg_buffer_text(&seen->text, "]");
    }
    sg_buffer_text(&seen->text, ";");
    return ++seen->n_records == seen->stop_after ? SG_STOPPED : SG_OK;
}

static void on_bytes(void *context, const char *bytes, size_t n, int64_t total)
{
    struct seen *seen = context;
    sg_buffer_append(&seen->bytes, bytes, n);
    seen->total = total;
}

static enum sg_status read_text(const char *bytes, size_t n, char separator, struct seen *seen)
{
    write_file(bytes, n);
    sg_error_clear();
    enum sg_status status = sg_csv_read(path, separator, on_record, on_bytes, seen);
    if (status == SG_OK) { /* the digest must see every raw byte */
        assert_int_equal(seen->total, n);
        assert_int_equal(seen->bytes.len, n);
        if (n)
            assert_memory_equal(seen->bytes.data, bytes, n);
    }
    return status;
}

static void free_seen(struct seen *seen)
{
    sg_buffer_free(&seen->text);
    sg_buffer_free(&seen->bytes);
}

#define BYTES(text) text, sizeof(text) - 1

static void records_and_lines(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        char separator;
        const char *want;
    } cases[] = {
        {BYTES(""), ',', ""},
        {BYTES("\n\n  \n"), ',', ""},
        {BYTES("a,b\n1,2\n"), ',', "1:[a][b];2:[1][2];"},
        {BYTES("a,b\n1,2"), ',', "1:[a][b];2:[1][2];"},
        {BYTES("a,b\r\n1,2\r\n"), ',', "1:[a][b];2:[1][2];"},
        {BYTES("a,b\r\n1,2\r"), ',', "1:[a][b];2:[1][2];"},
        {BYTES("\xef\xbb\xbf"
               "a,b\n"),
         ',', "1:[a][b];"},
        {BYTES("\xef\xbb\xbf\"a\",b\n"), ',', "1:[a][b];"},
        {BYTES("a,,c\n,,\n"), ',', "1:[a][][c];2:[][][];"},
        {BYTES(" a , b\t\n"), ',', "1:[a][b];"},
        {BYTES("\" a \",\"b\"\n"), ',', "1:[ a ][b];"},
        {BYTES("\"a,b\",c\n"), ',', "1:[a,b][c];"},
        {BYTES("\"say \"\"hi\"\"\",c\n"), ',', "1:[say \"hi\"][c];"},
        {BYTES("x\n\"a\nb\",c\nd,e\n"), ',', "1:[x];2:[a\nb][c];4:[d][e];"},
        {BYTES("x\r\n\"a\r\nb\r\n\",c\r\nd,e\r\n"), ',', "1:[x];2:[a\r\nb\r\n][c];5:[d][e];"},
        {BYTES("a\n\n\nb\n"), ',', "1:[a];4:[b];"},
        {BYTES("\"\"\n"), ',', "1:[];"},
        {BYTES("a;b,c\n"), ';', "1:[a][b,c];"},
        {BYTES("a\tb c\t\n"), '\t', "1:[a][b c][];"},
        {BYTES("a|b\n"), '|', "1:[a][b];"},
        {BYTES("A11  6 A34\n   1 2   3  \n"), ' ', "1:[A11][6][A34];2:[1][2][3];"},
        {BYTES("a \"\" \"b c\"\n"), ' ', "1:[a][][b c];"},
        {BYTES("gr\xc3\xbc\xc3\x9f"
               "e,\xe2\x82\xac,\xf0\x9f\x98\x80\n"),
         ',',
         "1:[gr\xc3\xbc\xc3\x9f"
         "e][\xe2\x82\xac][\xf0\x9f\x98\x80];"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen seen = {0};
        if (read_text(cases[i].bytes, cases[i].n, cases[i].separator, &seen) != SG_OK)
            fail_msg("case %zu: %s", i, sg_error_text());
        if (strcmp(seen.text.data ? seen.text.data : "", cases[i].want) != 0)
            fail_msg("case %zu: got %s, want %s", i, seen.text.data, cases[i].want);
        free_seen(&seen);
    }
}

static void faults_name_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        int64_t line;
        const char *want;
    } cases[] = {
        {BYTES("a,b\n1,x\"y\n"), 2, "a quotation mark inside a field"},
        {BYTES("a,b\n\"1\"x,2\n"), 2, "a quotation mark inside a field"},
        {BYTES("a,b\n1,2\n\"3,4\n5,6\n"), 3, "never closed"},
        {BYTES("\"a"), 1, "never closed"},
        {BYTES("a,b\n1,2\n\"3,4"), 3, "never closed"},
        {BYTES("a,b\n1,\0002\n"), 2, "a NUL byte"},
        {BYTES("\xff\xfe"
               "a\0,\0"),
         1, "not valid UTF-8"},
        {BYTES("a\nb\nM\xfcller\n"), 3, "not valid UTF-8"},
        {BYTES("a\n\xc0\xaf\n"), 2, "not valid UTF-8"},         /* overlong */
        {BYTES("a\n\xe0\x80\xaf\n"), 2, "not valid UTF-8"},     /* overlong */
        {BYTES("a\n\xed\xa0\x80\n"), 2, "not valid UTF-8"},     /* surrogate */
        {BYTES("a\n\xf4\x90\x80\x80\n"), 2, "not valid UTF-8"}, /* above U+10FFFF */
        {BYTES("a\n\xe2\x82\n"), 2, "not valid UTF-8"},         /* cut short */
        {BYTES("a\n\"\n\xff\"\n"), 3, "not valid UTF-8"},
        {BYTES("a\nb\xe2\x82"), 2, "ends inside a UTF-8 character"},
        {BYTES("a,b\r1,2\r"), 1, "a carriage return without a line feed"},
        {BYTES("x\na,b\r1,2\n"), 2, "a carriage return without a line feed"},
        {BYTES("x\na,b\r\r\n"), 2, "a carriage return without a line feed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen seen = {0};
        char *place = sg_format("%s:%lld: ", path, (long long)cases[i].line);
        if (read_text(cases[i].bytes, cases[i].n, ',', &seen) != SG_USAGE)
            fail_msg("case %zu was accepted: %s", i, seen.text.data);
        if (strncmp(sg_error_text(), place, strlen(place)) != 0 || !strstr(sg_error_text(), cases[i].want))
            fail_msg("case %zu: %s; want %s%s", i, sg_error_text(), place, cases[i].want);
        free(place);
        free_seen(&seen);
    }
    struct seen seen = {0};
    assert_int_equal(sg_csv_read("/nonexistent/x.csv", ',', on_record, NULL, &seen), SG_USAGE);
    assert_int_equal(sg_csv_read("/", ',', on_record, NULL, &seen), SG_USAGE);
}

static void limits_hold(void **state)
{
    (void)state;
    size_t n = 5u << 20;
    char *bytes = sg_alloc(n, 1);
    for (int quoted = 0; quoted < 2; quoted++) { /* 64 KiB pass, one byte more does not */
        for (size_t over = 0; over < 2; over++) {
            struct seen seen = {0};
            size_t len = 0;
            memcpy(bytes, "a,b\nx,", 6);
            len = 6;
            bytes[len] = '"';
            len += (size_t)quoted;
            memset(bytes + len, 'y', 65536 + over);
            len += 65536 + over;
            bytes[len] = '"';
            len += (size_t)quoted;
            bytes[len++] = '\n';
            assert_int_equal(read_text(bytes, len, ',', &seen), over ? SG_USAGE : SG_OK);
            if (over)
                assert_non_null(strstr(sg_error_text(), ":2: field 2 is longer than 64 KiB"));
            free_seen(&seen);
        }
    }
    for (int kind = 0; kind < 2;
         kind++) { /* an open quotation mark must not swallow the file, with or without line feeds */
        struct seen seen = {0};
        memset(bytes, kind ? '\n' : ',', n);
        memcpy(bytes, "a\n\"", 3);
        assert_int_equal(read_text(bytes, n, ',', &seen), SG_USAGE);
        assert_non_null(strstr(sg_error_text(), ":2: the record that begins here is longer than 4 MiB"));
        free_seen(&seen);
    }
    free(bytes);
}

static void a_callback_can_stop(void **state)
{
    (void)state;
    struct seen seen = {.stop_after = 2};
    assert_int_equal(read_text(BYTES("a\nb\nc\n"), ',', &seen), SG_STOPPED);
    assert_string_equal(seen.text.data, "1:[a];2:[b];");
    free_seen(&seen);
    struct seen quoted = {.stop_after = 1}; /* two records may end in what libcsv is fed at once */
    assert_int_equal(read_text(BYTES("\"a\"\n\"b\"\n"), ',', &quoted), SG_STOPPED);
    assert_string_equal(quoted.text.data, "1:[a];");
    free_seen(&quoted);
}

/* ---- the same fields as libcsv alone ---- */

static void plain_field(void *bytes, size_t n, void *context)
{
    struct seen *seen = context;
    if (!bytes && seen->stop_after) /* blanks: empty unquoted fields are dropped */
        return;
    sg_buffer_text(&seen->bytes, "[");
    if (n)
        sg_buffer_append(&seen->bytes, bytes, n);
    sg_buffer_text(&seen->bytes, "]");
}

static void plain_row(int c, void *context)
{
    (void)c;
    struct seen *seen = context;
    if (seen->bytes.len)
        sg_buffer_printf(&seen->text, "%s;", seen->bytes.data);
    seen->bytes.len = 0;
}

static void drop_line_numbers(struct sg_buffer *text)
{
    char *to = text->data;
    for (char *p = text->data; p && *p;) {
        p = strchr(p, ':') + 1;
        char *end = strchr(p, ';') + 1;
        memmove(to, p, (size_t)(end - p));
        to += end - p;
        p = end;
    }
    if (text->data)
        *to = 0;
}

/* Random letters without quotation marks, or well-formed fields of which many are quoted. */
static size_t random_text(char *out, bool quoted, char separator)
{
    static const char letters[] = "abc,,,|  \t\n\n12-.x";
    static const char *const fields[] = {"\"a b\"", "\"x\ny\"", "\"\"", "\" \"\"q\"\"\"", "ab", "1", " ", "", " c\t"};
    size_t n = 0;
    if (!quoted) {
        size_t len = random64() % 200;
        while (n < len)
            out[n++] = letters[random64() % (sizeof letters - 1)];
        return n;
    }
    for (size_t count = random64() % 20; count; count--) {
        const char *field = fields[random64() % (sizeof fields / sizeof *fields)];
        memcpy(out + n, field, strlen(field));
        n += strlen(field);
        out[n++] = random64() % 4 ? separator : '\n';
    }
    return n;
}

static void the_same_as_libcsv_alone(void **state)
{
    (void)state;
    static const char separators[] = {',', '|', '\t', ' '};
    int n_compared = 0, n_quoted = 0;
    for (int round = 0; round < 8000; round++) {
        char bytes[256];
        char separator = separators[round & 3];
        size_t n = random_text(bytes, round & 4, separator);
        struct seen ours = {0}, theirs = {.stop_after = separator == ' '};
        struct csv_parser parser;
        csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_EMPTY_IS_NULL);
        csv_set_delim(&parser, (unsigned char)separator);
        bool good = csv_parse(&parser, bytes, n, plain_field, plain_row, &theirs) == n &&
                    csv_fini(&parser, plain_field, plain_row, &theirs) == 0;
        csv_free(&parser);
        enum sg_status status = read_text(bytes, n, separator, &ours);
        assert_int_equal(status, good ? SG_OK : SG_USAGE);
        drop_line_numbers(&ours.text);
        if (good && strcmp(ours.text.data ? ours.text.data : "", theirs.text.data ? theirs.text.data : "") != 0)
            fail_msg("round %d, separator '%c': \"%.*s\" gives %s, libcsv %s", round, separator, (int)n, bytes,
                     ours.text.data, theirs.text.data);
        n_compared += good;
        n_quoted += good && memchr(bytes, '"', n) != NULL;
        free_seen(&ours);
        free_seen(&theirs);
    }
    assert_true(n_compared > 7000 && n_quoted > 3000);
}

/* A record is moved, byte by byte, over the border of two blocks. */
static void block_borders_do_not_matter(void **state)
{
    (void)state;
    static const char record[] = "\"q\r\nu\"\"o\",\xe2\x82\xac,1.5\r\nplain,\xc3\xbc,2\r\n";
    static const char want[] = "[q\r\nu\"o][\xe2\x82\xac][1.5];4:[plain][\xc3\xbc][2];5:[end];";
    size_t border = 1 << 20, n_record = sizeof record - 1;
    char *bytes = sg_alloc(border + 100, 1);
    for (size_t shift = 0; shift <= n_record; shift++) {
        size_t before = border - shift - 1;
        memset(bytes, ',', before);
        bytes[before - 1] = '\n'; /* one line of separators */
        memcpy(bytes + before, record, n_record);
        memcpy(bytes + before + n_record, "end", 3);
        struct seen seen = {0};
        if (read_text(bytes, before + n_record + 3, ',', &seen) != SG_OK)
            fail_msg("shift %zu: %s", shift, sg_error_text());
        assert_int_equal(seen.n_records, 4);
        char *second = strstr(seen.text.data, ";2:") + 3;
        assert_string_equal(second, want); /* the quoted record takes lines 2 and 3 */
        free_seen(&seen);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_and_lines),
        cmocka_unit_test(faults_name_their_line),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(a_callback_can_stop),
        cmocka_unit_test(the_same_as_libcsv_alone),
        cmocka_unit_test(block_borders_do_not_matter),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
