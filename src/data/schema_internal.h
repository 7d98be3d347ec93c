/* The schema as the data room sees it: a compiled description of what every column means. Text is borrowed from the
 * YAML document. */
#ifndef SG_DATA_SCHEMA_INTERNAL_H
#define SG_DATA_SCHEMA_INTERNAL_H

#include <stdbool.h>

#include "base/yaml.h"
#include "data/schema.h"

enum column_role { ROLE_ID, ROLE_TIME, ROLE_LABEL, ROLE_FEATURE, ROLE_SPLIT, ROLE_IGNORE, ROLE_TEXT };
enum value_type { TYPE_NUMBER, TYPE_CATEGORY, TYPE_DATE };
enum layout { LAYOUT_WIDE, LAYOUT_LONG };
enum row_order { ORDER_ASCENDING, ORDER_ANY };
enum more_rows { MORE_ROWS_ERROR, MORE_ROWS_KEEP_NEWEST };
enum static_policy { STATIC_NO, STATIC_CONSTANT, STATIC_LAST };
enum if_missing { MISSING_ERROR, MISSING_ZERO, MISSING_VALUE };
enum if_unknown { UNKNOWN_ERROR, UNKNOWN_ZERO, UNKNOWN_OTHER };
enum encoding_kind { ENCODE_LINEAR, ENCODE_LOG, ENCODE_SIGNED_LOG, ENCODE_ONE_HOT, ENCODE_AT_LEAST, ENCODE_RATIO };

/* A list of public words: categories, spellings of a missing value, values of a label. Sorted by (length, bytes). */
struct word_list {
    size_t n;
    struct word {
        const char *text;
        size_t len;
        int32_t position; /* in the order of the schema file */
    } * word;
};

struct encoding {
    enum encoding_kind kind;
    double from[2], to[2]; /* LINEAR, RATIO: from is clipped to, then mapped linearly on to */
    double slope;          /* of that map */
    double unit, divide;   /* LOG, SIGNED_LOG: log(value / unit) / divide */
    size_t n_values;       /* ONE_HOT of numbers, AT_LEAST */
    double *value;
    int32_t *of_category;    /* ONE_HOT of categories: float relative to `first` by category, -1 for none */
    const char *over_name;   /* RATIO */
    double over_min;         /* RATIO: the lower part is raised to this before dividing; 0 leaves it as it is */
    int32_t over;            /* feature */
    int64_t first, n_floats; /* place among the floats of the row (or of the unit) */
    const struct sg_yaml_node *node;
};

struct feature {
    const char *name;
    enum value_type type;
    bool has_bounds;
    double low, high;
    struct word_list categories;
    const struct word_list *missing_words; /* the column's own or the schema's */
    struct word_list own_missing_words;
    bool missing_is_number; /* some spelling reads as a number: look for it before the number */
    enum if_missing if_missing;
    double missing_number;
    int32_t missing_category;
    int64_t missing_float; /* the indicator, -1 for none */
    enum if_unknown if_unknown;
    int64_t other_float; /* -1 for none */
    enum static_policy policy;
    bool is_step;   /* from `steps` of a wide file */
    bool is_static; /* its floats belong to the unit, not to the row */
    size_t n_encodings;
    struct encoding *encoding;
    int64_t n_columns; /* time steps of a wide file, else 1 */
    int32_t *column;   /* (n_columns), oldest first */
    const struct sg_yaml_node *node;
};

struct column {
    const char *name;
    enum column_role role;
    enum value_type type; /* of a time column: number or date */
    int32_t feature;
    enum static_policy policy; /* of a label */
    const struct sg_yaml_node *node;
};

enum split_kind { SPLIT_NONE, SPLIT_COLUMN, SPLIT_FILE, SPLIT_FRACTIONS };

struct split_spec {
    enum split_kind kind;
    const char *file, *key, *column; /* key "row_number": the record's number instead of a unit id */
    char separator;
    struct word_list words[3]; /* spellings of train, validation, test */
    double fraction[3];
    double validation_fraction; /* carved out of train */
    uint64_t seed;
    const struct sg_yaml_node *node;
};

struct sg_schema {
    struct sg_buffer bytes;
    uint8_t digest[SG_DIGEST_BYTES];
    char *path;
    struct sg_yaml *document;

    char separator;
    bool header, other_columns_ignored, absent_steps_dropped;
    enum layout layout;
    const char *unit; /* "row" or the id column's name */
    int64_t rows_per_unit_max;
    enum more_rows more_rows;
    enum row_order row_order;
    struct word_list missing_words;
    enum sg_label_kind label_kind;
    struct word_list positive, negative; /* of a binary label */
    struct word_list classes;            /* of a label with classes; the position is the class's number */
    double label_bounds[2];              /* of a numeric label */
    int64_t max_tokens;                  /* of the text column, with [CLS] and [SEP] */
    struct split_spec split;

    size_t n_columns, columns_capacity;
    struct column *column; /* in the order of the file when it has no header */
    int32_t *by_name;      /* (n_columns) sorted by name */
    int32_t *file_order;   /* (n_columns) for files without a header */
    size_t n_features, features_capacity;
    struct feature *feature;
    int32_t id_column, time_column, label_column, split_column, text_column; /* -1 for none */
    int64_t n_steps; /* of a wide file: 1 when it has no steps */
    int64_t n_row_floats, n_static_floats;
    size_t n_names, names_capacity;
    char **float_name; /* row floats, then static floats */
};

/* What YAML says of one column, of one group of columns, or of one step feature. */
struct column_spec {
    const char *name;
    int role, type, if_unknown, policy;
    bool missing_flag;
    int64_t max_tokens;
    const struct sg_yaml_node *names, *columns, *bounds, *categories, *encode, *missing_values, *if_missing, *positive,
        *negative;
};

/* schema_column.c */
enum sg_status schema_read_columns(struct sg_schema *schema, const struct sg_yaml_node *list);
enum sg_status schema_read_steps(struct sg_schema *schema, const struct sg_yaml_node *list);
/* schema_label.c: what is to be predicted, and what a text column asks of the rest. */
enum sg_status schema_read_label(struct sg_schema *schema, const struct column_spec *spec,
                                 const struct sg_yaml_node *node);
enum sg_status schema_check_text(const struct sg_schema *schema, const struct sg_yaml_node *root);
/* schema_feature.c: bounds, categories, what missing means, encodings. */
enum sg_status schema_read_feature(struct sg_schema *schema, const struct column_spec *spec, const char *name,
                                   const struct sg_yaml_node *node, struct feature *out);
void schema_free_feature(struct feature *feature);
/* schema_split.c */
enum sg_status schema_read_split(struct sg_schema *schema, const struct sg_yaml_node *node);
/* schema_layout.c: gives every float its place and name, resolves ratios; file order. */
enum sg_status schema_lay_out(struct sg_schema *schema, const struct sg_yaml_node *root);

int32_t schema_find_column(const struct sg_schema *schema, const char *name, size_t len); /* -1 when there is none */

/* A list of scalars as text; refuses duplicates and, unless empty_allowed, an empty list. */
enum sg_status words_read(const struct sg_yaml_node *node, const char *name, bool empty_allowed, struct word_list *out);
/* Position in the schema file's order, or -1. */
int32_t words_find(const struct word_list *words, const char *text, size_t len);
void words_free(struct word_list *words);
void words_set(struct word_list *words, const char *const *text, size_t n);
/* n numbers of a list (n_wanted = 0: one or more), the caller frees *out. */
enum sg_status numbers_read(const struct sg_yaml_node *node, const char *name, size_t n_wanted, double **out,
                            size_t *n);
/* Two numbers of at most 1e15, so that no encoding can overflow a float. */
enum sg_status pair_read(const struct sg_yaml_node *node, const char *name, const char *hint, double out[2]);
/* One character, "tab" or "\t". */
enum sg_status separator_read(const struct sg_yaml_node *node, const char *text, char *out);

#endif
