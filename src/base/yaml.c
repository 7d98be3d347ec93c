#include "base/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/number.h"
#include "yaml_node.h"

#define YAML_BYTES_MAX (4u << 20)
#define YAML_LEVELS_MAX 16

struct sg_yaml {
    char *path;
    struct sg_yaml_node *root;
};

struct reader {
    yaml_parser_t parser;
    const char *path, *what, *bytes;
    size_t n;
};

static void node_free(struct sg_yaml_node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->n; i++) {
        free(node->entries[i].key);
        node_free(node->entries[i].value);
    }
    free(node->entries);
    free(node->text);
    free(node);
}

static enum sg_status fail_at(const struct reader *reader, yaml_mark_t mark, const char *problem)
{
    return sg_fail(SG_USAGE, "%s:%zu:%zu: %s", reader->path, mark.line + 1, mark.column + 1, problem);
}

/* A fault in the encoding has a byte offset but no mark. */
static enum sg_status fail_encoding(const struct reader *reader)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < reader->parser.problem_offset && i < reader->n; i++) {
        bool line_feed = reader->bytes[i] == '\n';
        mark.line += line_feed;
        if (line_feed)
            mark.column = 0;
        else
            mark.column += (reader->bytes[i] & 0xc0) != 0x80; /* not a continuation byte */
    }
    return fail_at(reader, mark, "not UTF-8 text, or a control character");
}

static enum sg_status next(struct reader *reader, yaml_event_t *event)
{
    yaml_parser_t *parser = &reader->parser;
    if (yaml_parser_parse(parser, event))
        return SG_OK;
    if (parser->error == YAML_READER_ERROR)
        return fail_encoding(reader);
    char text[256];
    snprintf(text, sizeof text, "not valid YAML: %s%s%s", parser->problem ? parser->problem : "out of memory",
             parser->context ? " " : "", parser->context ? parser->context : "");
    return fail_at(reader, parser->problem_mark, text);
}

static struct sg_yaml_node *node_new(const struct reader *reader, enum sg_yaml_kind kind, yaml_mark_t mark)
{
    struct sg_yaml_node *node = sg_alloc(1, sizeof *node);
    node->path = reader->path;
    node->kind = kind;
    node->line = (int64_t)mark.line + 1;
    node->column = (int64_t)mark.column + 1;
    return node;
}

static struct sg_yaml_entry *entry_add(struct sg_yaml_node *node)
{
    if (node->n == node->capacity) {
        node->capacity = node->capacity ? node->capacity * 2 : 8;
        node->entries = sg_realloc(node->entries, node->capacity, sizeof *node->entries);
    }
    node->entries[node->n] = (struct sg_yaml_entry){0};
    return &node->entries[node->n++];
}

static enum sg_status check_properties(const struct reader *reader, const yaml_event_t *event)
{
    const void *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor || event->type == YAML_ALIAS_EVENT)
        return fail_at(reader, event->start_mark, "anchors and aliases are not accepted; write the value out");
    if (tag)
        return fail_at(reader, event->start_mark, "tags (\"!...\") are not accepted; quote the value if it is text");
    return SG_OK;
}

static enum sg_status read_scalar(const struct reader *reader, const yaml_event_t *event, struct sg_yaml_node **out)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(text, 0, len))
        return fail_at(reader, event->start_mark, "NUL characters are not accepted");
    struct sg_yaml_node *node = node_new(reader, SG_YAML_SCALAR, event->start_mark);
    node->text = memcpy(sg_alloc(len + 1, 1), text, len);
    node->text_len = len;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    *out = node;
    return SG_OK;
}

static int compare_keys(const void *a, const void *b)
{
    const struct sg_yaml_entry *x = *(struct sg_yaml_entry *const *)a, *y = *(struct sg_yaml_entry *const *)b;
    int order = strcmp(x->key, y->key);
    return order ? order : x < y ? -1 : x > y; /* entries lie in file order */
}

/* By sorting: a hostile file may have a million keys. */
static enum sg_status check_duplicates(const struct sg_yaml_node *map)
{
    struct sg_yaml_entry **sorted = sg_alloc(map->n, sizeof *sorted);
    for (size_t i = 0; i < map->n; i++)
        sorted[i] = &map->entries[i];
    qsort(sorted, map->n, sizeof *sorted, compare_keys);
    enum sg_status status = SG_OK;
    for (size_t i = 1; i < map->n && status == SG_OK; i++)
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
            status = sg_fail(SG_USAGE, "%s:%lld:%lld: the key \"%s\" appears twice; the first is in line %lld",
                             map->path, (long long)sorted[i]->key_line, (long long)sorted[i]->key_column,
                             sorted[i]->key, (long long)sorted[i - 1]->key_line);
    free(sorted);
    return status;
}

static enum sg_status read_node(struct reader *reader, yaml_event_t *event, int level, struct sg_yaml_node **out);

static enum sg_status read_key(struct reader *reader, yaml_event_t *event, struct sg_yaml_entry *entry)
{
    if (event->type != YAML_SCALAR_EVENT && event->type != YAML_ALIAS_EVENT)
        return fail_at(reader, event->start_mark, "a key must be plain text");
    SG_TRY(check_properties(reader, event));
    struct sg_yaml_node *key;
    SG_TRY(read_scalar(reader, event, &key));
    entry->key = key->text;
    entry->key_line = key->line;
    entry->key_column = key->column;
    key->text = NULL;
    node_free(key);
    return SG_OK;
}

/* Reads children up to the end event. What was read so far belongs to `node`, also on failure. */
static enum sg_status read_children(struct reader *reader, int level, struct sg_yaml_node *node)
{
    bool map = node->kind == SG_YAML_MAP;
    enum sg_status status = SG_OK;
    for (bool expect_key = map; status == SG_OK;) {
        yaml_event_t event;
        SG_TRY(next(reader, &event));
        bool end = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        if (!end && expect_key) {
            status = read_key(reader, &event, entry_add(node));
            expect_key = false;
        } else if (!end) {
            struct sg_yaml_entry *entry = map ? &node->entries[node->n - 1] : entry_add(node);
            struct sg_yaml_node *value = NULL;
            status = read_node(reader, &event, level + 1, &value);
            entry->value = value;
            expect_key = map;
        }
        yaml_event_delete(&event);
        if (end)
            return map ? check_duplicates(node) : SG_OK;
    }
    return status;
}

static enum sg_status read_node(struct reader *reader, yaml_event_t *event, int level, struct sg_yaml_node **out)
{
    SG_TRY(check_properties(reader, event));
    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(reader, event, out);
    if (level > YAML_LEVELS_MAX)
        return fail_at(reader, event->start_mark, "nested too deeply");
    bool map = event->type == YAML_MAPPING_START_EVENT;
    struct sg_yaml_node *node = node_new(reader, map ? SG_YAML_MAP : SG_YAML_LIST, event->start_mark);
    enum sg_status status = read_children(reader, level, node);
    if (status != SG_OK) {
        node_free(node);
        return status;
    }
    *out = node;
    return SG_OK;
}

/* The whole stream: stream start, document start, root, document end, stream end. */
static enum sg_status read_stream(struct reader *reader, struct sg_yaml_node **root)
{
    for (bool end = false; !end;) {
        yaml_event_t event;
        SG_TRY(next(reader, &event));
        enum sg_status status = SG_OK;
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
            end = true;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (*root)
                status = fail_at(reader, event.start_mark, "only one document is accepted in a file");
            break;
        default:
            status = read_node(reader, &event, 1, root);
        }
        yaml_event_delete(&event);
        SG_TRY(status);
    }
    if (!*root)
        return sg_fail(SG_USAGE, "%s:1:1: the %s is empty", reader->path, reader->what);
    return SG_OK;
}

enum sg_status sg_yaml_parse(const char *path, const char *what, const char *bytes, size_t n, struct sg_yaml **out)
{
    *out = NULL;
    if (n > YAML_BYTES_MAX)
        return sg_fail(SG_USAGE, "%s:1:1: the %s is larger than %u bytes", path, what, YAML_BYTES_MAX);
    struct sg_yaml *document = sg_alloc(1, sizeof *document);
    document->path = sg_strdup(path);
    struct reader reader = {.path = document->path, .what = what, .bytes = bytes, .n = n};
    if (!yaml_parser_initialize(&reader.parser)) {
        sg_yaml_close(&document);
        return sg_fail(SG_FAILED, "%s: out of memory", path);
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)bytes, n);
    enum sg_status status = read_stream(&reader, &document->root);
    yaml_parser_delete(&reader.parser);
    if (status != SG_OK)
        sg_yaml_close(&document);
    *out = document;
    return status;
}

enum sg_status sg_yaml_read(const char *path, const char *what, struct sg_yaml **out)
{
    struct sg_buffer bytes;
    *out = NULL;
    SG_TRY(sg_file_read(path, what, YAML_BYTES_MAX, &bytes));
    enum sg_status status = sg_yaml_parse(path, what, bytes.data, bytes.len, out);
    sg_buffer_free(&bytes);
    return status;
}

void sg_yaml_close(struct sg_yaml **document)
{
    if (!*document)
        return;
    node_free((*document)->root);
    free((*document)->path);
    free(*document);
    *document = NULL;
}

const struct sg_yaml_node *sg_yaml_root(const struct sg_yaml *document)
{
    return document->root;
}

enum sg_yaml_kind sg_yaml_kind_of(const struct sg_yaml_node *node)
{
    return node->kind;
}

size_t sg_yaml_count(const struct sg_yaml_node *node)
{
    return node->n;
}

const struct sg_yaml_node *sg_yaml_item(const struct sg_yaml_node *node, size_t i, const char **key)
{
    if (key)
        *key = node->entries[i].key;
    return node->entries[i].value;
}

const struct sg_yaml_node *sg_yaml_get(const struct sg_yaml_node *map, const char *key)
{
    for (size_t i = 0; i < map->n; i++)
        if (map->entries[i].key && strcmp(map->entries[i].key, key) == 0)
            return map->entries[i].value;
    return NULL;
}

enum sg_status sg_yaml_fail(const struct sg_yaml_node *node, const char *format, ...)
{
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return sg_fail(SG_USAGE, "%s:%lld:%lld: %s", node->path, (long long)node->line, (long long)node->column, text);
}

bool yaml_is_null(const struct sg_yaml_node *node)
{
    return !node->quoted && (node->text_len == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

bool yaml_is_number(const struct sg_yaml_node *node, double *out)
{
    const char *digits = node->text + (node->text[0] == '-');
    bool leading_zero = digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9';
    return !node->quoted && !leading_zero && sg_number_double(node->text, node->text_len, out);
}

static json_t *scalar_to_json(const struct sg_yaml_node *node)
{
    int64_t integer;
    double number;
    if (node->quoted)
        return json_string(node->text);
    if (yaml_is_null(node))
        return json_null();
    if (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0)
        return json_boolean(node->text[0] == 't');
    if (sg_number_int64(node->text, node->text_len, &integer))
        return json_integer(integer);
    if (yaml_is_number(node, &number))
        return json_real(number);
    return json_string(node->text);
}

json_t *sg_yaml_to_json(const struct sg_yaml_node *node)
{
    if (node->kind == SG_YAML_SCALAR)
        return scalar_to_json(node);
    json_t *value = node->kind == SG_YAML_MAP ? json_object() : json_array();
    for (size_t i = 0; i < node->n; i++) {
        json_t *child = sg_yaml_to_json(node->entries[i].value);
        if (node->kind == SG_YAML_MAP)
            json_object_set_new(value, node->entries[i].key, child);
        else
            json_array_append_new(value, child);
    }
    return value;
}
