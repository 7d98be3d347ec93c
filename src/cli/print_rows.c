#include "print_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/number.h"

void sg_print_json(const json_t *value)
{
    struct sg_buffer text = {0};
    sg_json_dump(value, &text);
    puts(text.data);
    sg_buffer_free(&text);
}

char *sg_print_cell(const json_t *value)
{
    char *text;
    struct sg_buffer json = {0};
    switch (json_typeof(value)) {
    case JSON_NULL:
        return sg_strdup("not recorded");
    case JSON_TRUE:
        return sg_strdup("yes");
    case JSON_FALSE:
        return sg_strdup("no");
    case JSON_REAL:
        return sg_format("%.6g", json_real_value(value));
    case JSON_INTEGER:
        return sg_format("%lld", (long long)json_integer_value(value));
    case JSON_STRING:
        text = sg_strdup(json_string_value(value));
        break;
    default:
        sg_json_dump(value, &json);
        text = sg_strdup(json.data);
        sg_buffer_free(&json);
    }
    for (char *p = text; *p; p++) /* a terminal must not obey what a file says */
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    return text;
}

/* Characters, not bytes, so that columns stay straight. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static bool is_number(const json_t *value)
{
    return json_is_integer(value) || json_is_real(value);
}

static void print_padded(const char *text, size_t width, bool right, bool last)
{
    size_t pad = width - width_of(text);
    if (right)
        printf("%*s", (int)pad, "");
    fputs(text, stdout);
    if (!right && !last)
        printf("%*s", (int)pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

static void print_table(const json_t *rows)
{
    const json_t *first = json_array_get(rows, 0), *row, *value;
    size_t n = json_object_size(first), *width = sg_alloc(n, sizeof *width), i, c = 0;
    const char *key;
    json_object_foreach((json_t *)first, key, value) width[c++] = width_of(key);
    json_array_foreach(rows, i, row)
    {
        c = 0;
        json_object_foreach((json_t *)row, key, value)
        {
            char *text = sg_print_cell(value);
            size_t w = width_of(text);
            if (c < n && w > width[c])
                width[c] = w;
            c++;
            free(text);
        }
    }
    c = 0;
    json_object_foreach((json_t *)first, key, value)
    {
        print_padded(key, width[c], is_number(value), c + 1 == n);
        c++;
    }
    json_array_foreach(rows, i, row)
    {
        c = 0;
        json_object_foreach((json_t *)row, key, value)
        {
            char *text = sg_print_cell(value);
            print_padded(text, width[c], is_number(value), c + 1 == n);
            c++;
            free(text);
        }
    }
    free(width);
}

/* RFC 4180; null is an empty field, empty text is "". A formula's first character gets a quote mark in front of it. */
static void print_csv_cell(const json_t *value)
{
    char number[32];
    if (json_is_null(value))
        return;
    if (json_is_real(value)) {
        sg_number_print(json_real_value(value), number);
        fputs(number, stdout);
        return;
    }
    char *text = sg_print_cell(value);
    if (!json_is_string(value)) {
        fputs(text, stdout);
        free(text);
        return;
    }
    putchar('"');
    if (*text && strchr("=+-@", *text))
        putchar('\'');
    for (const char *p = text; *p; p++) {
        if (*p == '"')
            putchar('"');
        putchar(*p);
    }
    putchar('"');
    free(text);
}

/* Without rows the columns are still named: a program that reads the file finds what it looks for. */
static void print_csv(const json_t *rows, const json_t *columns)
{
    const json_t *row, *value;
    const char *key;
    size_t i, c = 0;
    if (json_array_size(rows) == 0) {
        json_array_foreach(columns, i, value) printf("%s%s", i ? "," : "", json_string_value(value));
        puts("");
        return;
    }
    json_object_foreach((json_t *)json_array_get(rows, 0), key, value) printf("%s%s", c++ ? "," : "", key);
    puts("");
    json_array_foreach(rows, i, row)
    {
        c = 0;
        json_object_foreach((json_t *)row, key, value)
        {
            if (c++)
                putchar(',');
            print_csv_cell(value);
        }
        puts("");
    }
}

static void print_escaped(const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", stdout);
            break;
        case '>':
            fputs("&gt;", stdout);
            break;
        case '&':
            fputs("&amp;", stdout);
            break;
        case '"':
            fputs("&quot;", stdout);
            break;
        default:
            putchar(*text);
        }
    }
}

static void print_html(const json_t *rows, const char *title)
{
    const json_t *row, *value;
    const char *key;
    size_t i;
    printf("<!doctype html><meta charset=\"utf-8\"><title>");
    print_escaped(title);
    printf("</title><style>:root{color-scheme:light dark}body{font:14px "
           "system-ui,sans-serif;margin:2em}table{border-collapse:collapse}"
           "td,th{padding:.2em .8em;border-bottom:1px solid #8884;text-align:left}</style><h1>");
    print_escaped(title);
    if (json_array_size(rows) == 0) {
        puts("</h1><p>nothing found");
        return;
    }
    printf("</h1><table><tr>");
    json_object_foreach((json_t *)json_array_get(rows, 0), key, value)
    {
        printf("<th>");
        print_escaped(key);
    }
    json_array_foreach(rows, i, row)
    {
        printf("\n<tr>");
        json_object_foreach((json_t *)row, key, value)
        {
            char *text = sg_print_cell(value);
            printf("<td>");
            print_escaped(text);
            free(text);
        }
    }
    puts("</table>");
}

enum sg_status sg_print_rows(const json_t *rows, const char *format, const char *title)
{
    return sg_print_rows_of(rows, NULL, format, title);
}

enum sg_status sg_print_rows_of(const json_t *rows, const json_t *columns, const char *format, const char *title)
{
    const json_t *row;
    size_t i;
    if (!format || strcmp(format, "table") == 0) {
        if (json_array_size(rows) == 0)
            puts("nothing found");
        else
            print_table(rows);
    } else if (strcmp(format, "json") == 0) {
        json_array_foreach(rows, i, row) sg_print_json(row);
    } else if (strcmp(format, "csv") == 0) {
        if (json_array_size(rows) || columns)
            print_csv(rows, columns);
    } else if (strcmp(format, "html") == 0) {
        print_html(rows, title);
    } else {
        return sg_fail(SG_USAGE, "--format must be table, csv, json or html");
    }
    return SG_OK;
}
