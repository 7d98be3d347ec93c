/* YAML through libyaml's events (its document API forgets anchors and tags): every node knows its line and column, and
 * one typed table reader checks keys.
 *
 * Only plain data is accepted: no anchors or aliases, no tags, one document, 16 levels, 4 MiB. Duplicate keys are refused.
 * Every fault is SG_USAGE and its text begins with "file:line:column: ". */
#ifndef SG_BASE_YAML_H
#define SG_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"

struct sg_yaml;      /* a document; owns its nodes and their text */
struct sg_yaml_node; /* borrowed from its document */

enum sg_yaml_kind { SG_YAML_SCALAR, SG_YAML_LIST, SG_YAML_MAP };

/* `what` names the file's role in messages ("configuration", "schema"). */
SG_MUST_USE enum sg_status sg_yaml_read(const char *path, const char *what, struct sg_yaml **out);
/* The same from memory; `path` is only for messages. */
SG_MUST_USE enum sg_status sg_yaml_parse(const char *path, const char *what, const char *bytes, size_t n, struct sg_yaml **out);
void sg_yaml_close(struct sg_yaml **document);

const struct sg_yaml_node *sg_yaml_root(const struct sg_yaml *document);
enum sg_yaml_kind sg_yaml_kind_of(const struct sg_yaml_node *node);
/* Number of list items or map entries. */
size_t sg_yaml_count(const struct sg_yaml_node *node);
/* The i-th list item, or the i-th map value (file order); *key when not NULL gets the map key. */
const struct sg_yaml_node *sg_yaml_item(const struct sg_yaml_node *node, size_t i, const char **key);
/* The value under `key`, or NULL. */
const struct sg_yaml_node *sg_yaml_get(const struct sg_yaml_node *map, const char *key);

/* Sets the error text with the node's file, line and column in front; returns SG_USAGE. */
SG_MUST_USE enum sg_status sg_yaml_fail(const struct sg_yaml_node *node, const char *format, ...) SG_PRINTF(2, 3);

/* Scalars. A quoted scalar is text only; a plain one is read strictly by type: "yes" is no bool, "010" no number, and
 * nothing, null and ~ are no text. `name` is the key for the message. */
SG_MUST_USE enum sg_status sg_yaml_text(const struct sg_yaml_node *node, const char *name, const char **out);
SG_MUST_USE enum sg_status sg_yaml_int(const struct sg_yaml_node *node, const char *name, int64_t min, int64_t max, int64_t *out);
SG_MUST_USE enum sg_status sg_yaml_number(const struct sg_yaml_node *node, const char *name, double min, double max, double *out);
SG_MUST_USE enum sg_status sg_yaml_bool(const struct sg_yaml_node *node, const char *name, bool *out);

/* The typed table reader. Offsets are into `out`; what the map does not name keeps the value it had (the default). */
enum sg_yaml_type {
    SG_YAML_TEXT,   /* const char *, borrowed */
    SG_YAML_INT,    /* int64_t in [min, max] */
    SG_YAML_NUMBER, /* double in [min, max] */
    SG_YAML_BOOL,   /* bool: true or false */
    SG_YAML_CHOICE, /* int: index into the NULL-terminated choices */
    SG_YAML_NODE,   /* const struct sg_yaml_node *: a list or map that the caller walks */
};
struct sg_yaml_field {
    const char *key;
    enum sg_yaml_type type;
    size_t offset;
    bool required;
    double min, max;            /* INT and NUMBER, inclusive; both 0 means no limit */
    const char *const *choices; /* CHOICE */
};
/* `map` must be a map whose keys all stand in `fields`; unknown keys are refused with the nearest known one as a hint. */
SG_MUST_USE enum sg_status sg_yaml_table(const struct sg_yaml_node *map, const char *what, const struct sg_yaml_field *fields,
                                         size_t n_fields, void *out);

/* The node as JSON, for the record: plain scalars that read as int, number or bool take that type, nothing,
 * null and ~ are null, all else is a string. */
json_t *sg_yaml_to_json(const struct sg_yaml_node *node);

#endif
