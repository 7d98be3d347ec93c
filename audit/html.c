#include "html.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light "
    "dark;--line:#8886;--ink:#1a5fb4;--alarm:#c01c28}@media(prefers-color-scheme:dark){:root{--ink:#78aeed;"
    "--alarm:#ff7b72}}body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 "
    "1em}h1{font-size:1.5em}h2{"
    "font-size:1.15em;margin-top:2em;border-bottom:1px solid "
    "var(--line)}table{border-collapse:collapse;font-size:.88em;margin:.5em 0;"
    "display:block;overflow-x:auto}td,th{padding:.2em .8em .2em 0;border-bottom:1px solid "
    "var(--line);text-align:left;vertical-align:top}"
    "td{overflow-wrap:anywhere}th{font-weight:600}.verdict{font-size:1.1em;border-left:.4em solid "
    "var(--ink);padding:.4em 1em}"
    ".broken{border-color:var(--alarm)}.none{opacity:.6;font-style:italic}svg{max-width:100%;height:auto}svg "
    "text{fill:currentColor;"
    "font:12px system-ui,sans-serif}@media "
    "print{body{margin:0;max-width:none;font-size:11px}h2{break-after:avoid}tr,svg{break-inside:"
    "avoid}}";

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

static void cell(struct sg_buffer *out, const char *key, const json_t *value)
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
        sg_buffer_printf(out, "%s%lld", names_a_leaf(key) ? "leaf " : "", (long long)json_integer_value(value));
        break;
    case JSON_STRING:
        sg_html_text(out, json_string_value(value));
        break;
    default:
        sg_json_dump(value, &json);
        sg_html_text(out, json.data);
        sg_buffer_free(&json);
    }
}

static void member(struct sg_buffer *out, const char *key, const json_t *value)
{
    sg_buffer_text(out, "<tr><th>");
    for (const char *p = key; *p; p++)
        sg_buffer_append(out, *p == '_' ? " " : p, 1);
    sg_buffer_text(out, "</th><td>");
    cell(out, key, value);
    sg_buffer_text(out, "</td></tr>\n");
}

void sg_html_members(struct sg_buffer *out, const json_t *object, const char *const *keys)
{
    const char *key;
    json_t *value, *nothing = json_null();
    sg_buffer_text(out, "<table>\n");
    if (keys) {
        for (; *keys; keys++)
            member(out, *keys, (value = json_object_get(object, *keys)) ? value : nothing);
    } else {
        json_object_foreach((json_t *)object, key, value) member(out, key, value);
    }
    sg_buffer_text(out, "</table>\n");
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
    sg_buffer_text(out, "<table><tr>");
    json_object_foreach(json_array_get(rows, 0), key, value)
    {
        sg_buffer_text(out, "<th>");
        for (const char *p = key; *p; p++)
            sg_buffer_append(out, *p == '_' ? " " : p, 1);
    }
    json_array_foreach(rows, i, row)
    {
        sg_buffer_text(out, "\n<tr>");
        json_object_foreach(row, key, value)
        {
            sg_buffer_text(out, "<td>");
            cell(out, key, value);
        }
    }
    sg_buffer_text(out, "</table>\n");
}

enum { WIDTH = 640, HEIGHT = 240, LEFT = 56, RIGHT = 16, TOP = 28, BOTTOM = 40 };

struct frame {
    double x_max, y_max;
};

static double px(const struct frame *f, double x)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * x / f->x_max;
}
static double py(const struct frame *f, double y)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / f->y_max;
}

/* 1, 2 or 5 times a power of ten, about a quarter of the range. */
static double tick_of(double range)
{
    double power = pow(10, floor(log10(range / 4))), unit = range / 4 / power;
    return power * (unit < 1.5 ? 1 : unit < 3.5 ? 2 : unit < 7.5 ? 5 : 10);
}

static void axes(struct sg_buffer *out, const struct frame *f, const struct sg_html_line *line)
{
    for (double t = 0; t <= f->y_max * 1.0001; t += tick_of(f->y_max))
        sg_buffer_printf(
            out, "<path d=\"M%d %.1fH%d\" stroke=\"#8884\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
            LEFT, py(f, t), WIDTH - RIGHT, LEFT - 6, py(f, t) + 4, t);
    for (double t = 0; t <= f->x_max * 1.0001; t += tick_of(f->x_max))
        sg_buffer_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", px(f, t),
                         HEIGHT - BOTTOM + 16, t);
    sg_buffer_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6);
    sg_html_text(out, line->x_label);
    sg_buffer_printf(out, "</text><text x=\"%d\" y=\"16\">", LEFT);
    sg_html_text(out, line->y_label);
    sg_buffer_text(out, "</text>\n");
}

void sg_html_chart(struct sg_buffer *out, const struct sg_html_line *line)
{
    struct frame f = {0};
    if (line->n == 0)
        return;
    for (size_t i = 0; i < line->n; i++) {
        f.x_max = fmax(f.x_max, line->x[i]);
        f.y_max = fmax(f.y_max, line->y[i]);
    }
    f.y_max = 1.08 * fmax(f.y_max, isfinite(line->limit) ? line->limit : 0);
    if (!(f.x_max > 0 && f.y_max > 0 && isfinite(f.y_max)))
        return;
    sg_buffer_printf(out, "<figure><svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT,
                     WIDTH);
    sg_html_text(out, line->title);
    sg_buffer_text(out, "\">\n");
    axes(out, &f, line);
    if (isfinite(line->limit)) {
        sg_buffer_printf(
            out,
            "<path d=\"M%d %.1fH%d\" stroke=\"var(--alarm)\" stroke-dasharray=\"5 4\"/><text x=\"%d\" y=\"%.1f\" "
            "text-anchor=\"end\">",
            LEFT, py(&f, line->limit), WIDTH - RIGHT, WIDTH - RIGHT, py(&f, line->limit) - 5);
        sg_html_text(out, line->limit_label);
        sg_buffer_text(out, "</text>\n");
    }
    sg_buffer_text(out, "<path fill=\"none\" stroke=\"var(--ink)\" stroke-width=\"2\" d=\"");
    for (size_t i = 0; i < line->n; i++) {
        if (line->is_steps && i > 0)
            sg_buffer_printf(out, "H%.1f", px(&f, line->x[i]));
        sg_buffer_printf(out, "%s%.1f %.1f", i ? "L" : "M", px(&f, line->x[i]), py(&f, line->y[i]));
    }
    sg_buffer_text(out, "\"/></svg></figure>\n");
}
