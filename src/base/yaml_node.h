/* The node type shared by yaml.c, which builds and reads nodes, and yaml_table.c, which checks tables. */
#ifndef SG_BASE_YAML_NODE_H
#define SG_BASE_YAML_NODE_H

#include "base/yaml.h"

struct sg_yaml_entry {
    char *key; /* NULL in lists */
    int64_t key_line, key_column;
    struct sg_yaml_node *value;
};

struct sg_yaml_node {
    const char *path; /* of its document, for messages */
    enum sg_yaml_kind kind;
    int64_t line, column; /* 1-based; columns count characters */
    char *text;           /* scalars */
    size_t text_len;
    bool quoted;
    struct sg_yaml_entry *entries; /* lists and maps */
    size_t n, capacity;
};

/* Nothing, null and ~ written without quotes. */
bool yaml_is_null(const struct sg_yaml_node *node);
/* A plain scalar that is a number. "010" is none: some readers of YAML take it for 8, others for 10. */
bool yaml_is_number(const struct sg_yaml_node *node, double *out);

#endif
