#include "html.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--paper:#fff;--text:#1c1f23;--soft:#5c636b;--line:#d9dde2;--shade:#f4f6f8;"
    "--ink:#1a5fb4;--second:#b35900;--alarm:#c01c28;--good:#1f7a3d}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#16181b;--text:#e6e8ea;--soft:#a2a9b1;--line:#3a3f46;"
    "--shade:#1f2327;--ink:#78aeed;--second:#f0a860;--alarm:#ff7b72;--good:#6fce8a}}\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:66em;margin:2em auto;padding:0 1em;background:var(--paper);"
    "color:var(--text)}\n"
    "h1{font-size:1.55em}h1,h2,p{overflow-wrap:anywhere}h2{font-size:1.15em;margin-top:2.2em;border-bottom:1px solid "
    "var(--line);padding-bottom:.2em}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:.86em;margin:.6em 0;"
    "font-variant-numeric:tabular-nums}\n"
    "td,th{padding:.3em .9em .3em 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}\n"
    "th{font-weight:600;color:var(--soft)}thead th{white-space:nowrap;vertical-align:bottom}"
    ".members th{width:13em;white-space:nowrap}.number{text-align:right}.members .number{text-align:left}.members "
    ".text{max-width:46em}\n"
    "td.word{white-space:nowrap}.text{min-width:9em;max-width:32em;overflow-wrap:anywhere}\n"
    "code{font:.95em ui-monospace,monospace;white-space:nowrap}.members code,.full code{white-space:normal;"
    "overflow-wrap:anywhere}\n"
    ".leaf{color:var(--soft);white-space:nowrap}.verdict{font-size:1.1em;border-left:.4em solid var(--good);"
    "background:var(--shade);padding:.6em 1em}.doubt{border-color:var(--second)}.broken{border-color:var(--alarm)}\n"
    ".none,.missing{color:var(--soft);font-style:italic}.missing{border-left:.3em solid var(--line);padding-left:.8em}"
    "details{font-size:.86em;margin:.4em 0}summary{cursor:pointer;color:var(--soft)}\n"
    ".plots{margin:1em 0;display:flex;flex-wrap:wrap;gap:1em 1.5em}figure{margin:0;flex:1 1 26em;max-width:34em}"
    "svg{width:100%;height:auto;display:block}\n"
    "svg text{fill:var(--soft);font:12px system-ui,sans-serif}svg .title{fill:var(--text);font-weight:600;"
    "font-size:13px}.grid{stroke:var(--line)}.axis{stroke:var(--soft)}\n"
    ".guide{stroke:var(--soft);stroke-dasharray:2 4}.limit{stroke:var(--alarm);stroke-dasharray:6 4;stroke-width:1.5}"
    ".curve{fill:none;stroke-width:2}path.first{stroke:var(--ink)}path.second{stroke:var(--second);"
    "stroke-dasharray:7 3}\n"
    "circle.first{fill:var(--ink)}circle.second{fill:var(--second)}\n"
    "@media print{:root{color-scheme:light;--paper:#fff;--text:#000;--soft:#444;--line:#bbb;--shade:#fff;"
    "--ink:#1a5fb4;--second:#b35900;--alarm:#c01c28;--good:#1f7a3d}body{margin:0;max-width:none;font-size:10.5px}"
    "h2{break-after:avoid}tr,figure,.verdict{break-inside:avoid}.wide{overflow:visible}figure{flex-basis:45%}"
    "code{white-space:normal;overflow-wrap:anywhere}thead th{white-space:normal}td.word{white-space:normal}"
    "table{font-size:8.5px}details::details-content{content-visibility:visible;block-size:auto}}";

void sg_html_text(struct sg_buffer *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            sg_buffer_text(out, "&lt;");
            break;
        case '>':
            sg_buffer_text(out, "&gt;");
            break;
        case '&':
            sg_buffer_text(out, "&amp;");
            break;
        case '"':
            sg_buffer_text(out, "&quot;");
            break;
        default:
            sg_buffer_append(out, text, 1);
        }
    }
}

void sg_html_begin(struct sg_buffer *out, const char *title)
{
    sg_buffer_text(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                        "content=\"width=device-width\"><title>");
    sg_html_text(out, title);
    sg_buffer_printf(out, "</title><style>%s</style></head><body>\n<h1>", style);
    sg_html_text(out, title);
    sg_buffer_text(out, "</h1>\n");
}

void sg_html_end(struct sg_buffer *out)
{
    sg_buffer_text(out, "</body></html>\n");
}

void sg_html_heading(struct sg_buffer *out, const char *text)
{
    sg_buffer_text(out, "<h2>");
    sg_html_text(out, text);
    sg_buffer_text(out, "</h2>\n");
}

void sg_html_paragraph(struct sg_buffer *out, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int n = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (n < 0)
        return;
    sg_buffer_text(out, "<p>");
    sg_html_text(out, text);
    sg_buffer_text(out, "</p>\n");
    free(text);
}

static bool names_a_leaf(const char *key)
{
    size_t n = strlen(key);
    return strcmp(key, "leaf") == 0 || (n > 5 && strcmp(key + n - 5, "_leaf") == 0);
}

static bool is_digest(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t n = json_string_length(value);
    return text && (n == 64 || n == 32) && strspn(text, "0123456789abcdef") == n;
}

/* Long digests are short in tables, and whole beside the pointer and in the list below. */
enum { DIGEST_SHOWN = 10 };

static void text_cell(struct sg_buffer *out, const json_t *value, bool is_short)
{
    const char *text = json_string_value(value);
    if (!is_digest(value)) {
        sg_html_text(out, text);
        return;
    }
    if (is_short)
        sg_buffer_printf(out, "<code title=\"%s\">%.*s…</code>", text, DIGEST_SHOWN, text);
    else
        sg_buffer_printf(out, "<code>%s</code>", text);
}

static void cell(struct sg_buffer *out, const char *key, const json_t *value, bool is_short)
{
    struct sg_buffer json = {0};
    switch (json_typeof(value)) {
    case JSON_NULL:
        sg_buffer_text(out, "<span class=\"none\">not recorded</span>");
        break;
    case JSON_TRUE:
        sg_buffer_text(out, "yes");
        break;
    case JSON_FALSE:
        sg_buffer_text(out, "no");
        break;
    case JSON_REAL:
        sg_buffer_printf(out, "%.6g", json_real_value(value));
        break;
    case JSON_INTEGER:
        if (names_a_leaf(key))
            sg_buffer_printf(out, "<span class=\"leaf\">leaf %lld</span>", (long long)json_integer_value(value));
        else
            sg_buffer_printf(out, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_STRING:
        text_cell(out, value, is_short);
        break;
    default:
        sg_json_dump(value, &json);
        sg_html_text(out, json.data);
        sg_buffer_free(&json);
    }
}

static void heading_text(struct sg_buffer *out, const char *key)
{
    for (const char *p = key; *p; p++)
        sg_buffer_append(out, *p == '_' ? " " : p, 1);
}

static void member(struct sg_buffer *out, const char *key, const json_t *value)
{
    sg_buffer_text(out, "<tr><th>");
    heading_text(out, key);
    sg_buffer_text(out, "</th><td class=\"text\">");
    cell(out, key, value, false);
    sg_buffer_text(out, "</td></tr>\n");
}

void sg_html_members(struct sg_buffer *out, const json_t *object, const char *const *keys)
{
    const char *key;
    json_t *value, *nothing = json_null();
    sg_buffer_text(out, "<div class=\"wide\"><table class=\"members\">\n");
    if (keys) {
        for (; *keys; keys++)
            member(out, *keys, (value = json_object_get(object, *keys)) ? value : nothing);
    } else {
        json_object_foreach((json_t *)object, key, value) member(out, key, value);
    }
    sg_buffer_text(out, "</table></div>\n");
}

void sg_html_missing(struct sg_buffer *out, const char *text)
{
    sg_buffer_text(out, "<p class=\"missing\">");
    sg_html_text(out, text);
    sg_buffer_text(out, "</p>\n");
}

/* How a cell is set: numbers to the right, words and times in one line, anything longer where it wraps. */
static const char *class_of(const char *key, const json_t *value)
{
    if (json_is_number(value) && !names_a_leaf(key))
        return "number";
    bool breaks = json_is_object(value) || json_is_array(value) || json_string_length(value) > 28;
    return breaks && !is_digest(value) ? "text" : "word";
}

static bool is_listed(json_t *seen, const char *digest)
{
    bool known = json_object_get(seen, digest) != NULL;
    json_object_set_new(seen, digest, json_true());
    return known;
}

static void list_digests(struct sg_buffer *out, const json_t *rows)
{
    const char *key;
    json_t *row, *value, *seen = json_object();
    size_t i;
    json_array_foreach(rows, i, row) json_object_foreach(row, key, value)
    {
        if (!is_digest(value) || is_listed(seen, json_string_value(value)))
            continue;
        if (json_object_size(seen) == 1)
            sg_buffer_text(out, "<details class=\"full\"><summary>digests in full</summary>\n");
        heading_text(out, key);
        sg_buffer_printf(out, " <code>%s</code><br>\n", json_string_value(value));
    }
    if (json_object_size(seen) > 0)
        sg_buffer_text(out, "</details>\n");
    json_decref(seen);
}

void sg_html_rows(struct sg_buffer *out, const json_t *rows)
{
    const char *key;
    json_t *row, *value;
    size_t i;
    if (json_array_size(rows) == 0) {
        sg_buffer_text(out, "<p class=\"none\">none</p>\n");
        return;
    }
    sg_buffer_text(out, "<div class=\"wide\"><table><thead><tr>");
    json_object_foreach(json_array_get(rows, 0), key, value)
    {
        sg_buffer_printf(out, "<th class=\"%s\">", class_of(key, value));
        heading_text(out, key);
        sg_buffer_text(out, "</th>");
    }
    sg_buffer_text(out, "</tr></thead>\n<tbody>");
    json_array_foreach(rows, i, row)
    {
        sg_buffer_text(out, "\n<tr>");
        json_object_foreach(row, key, value)
        {
            sg_buffer_printf(out, "<td class=\"%s\">", class_of(key, value));
            cell(out, key, value, true);
            sg_buffer_text(out, "</td>");
        }
        sg_buffer_text(out, "</tr>");
    }
    sg_buffer_text(out, "</tbody></table></div>\n");
    list_digests(out, rows);
}
