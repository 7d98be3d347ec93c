/* A feature: its public bounds or categories, what a missing or unknown value means, and the floats it becomes. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/number.h"
#include "schema_internal.h"

static const char *const encoding_names[] = {"linear", "log", "signed_log", "one_hot", "at_least", "ratio", NULL};

static const char bounds_hint[] =
    "; take them from public knowledge (a code book, a product limit), never from the rows";

struct encoding_spec {
    int as;
    double unit, divide, over_min;
    const char *over;
    const struct sg_yaml_node *from, *to, *values, *thresholds;
};

static enum sg_status read_spec(const struct sg_yaml_node *node, struct encoding_spec *out)
{
#define AT(member) offsetof(struct encoding_spec, member)
    static const struct sg_yaml_field fields[] = {
        {.key = "as", .type = SG_YAML_CHOICE, .offset = AT(as), .required = true, .choices = encoding_names},
        {.key = "from", .type = SG_YAML_NODE, .offset = AT(from)},
        {.key = "to", .type = SG_YAML_NODE, .offset = AT(to)},
        {.key = "unit", .type = SG_YAML_NUMBER, .offset = AT(unit), .min = 1e-9, .max = 1e15},
        {.key = "divide", .type = SG_YAML_NUMBER, .offset = AT(divide), .min = 1e-9, .max = 1e15},
        {.key = "values", .type = SG_YAML_NODE, .offset = AT(values)},
        {.key = "thresholds", .type = SG_YAML_NODE, .offset = AT(thresholds)},
        {.key = "over", .type = SG_YAML_TEXT, .offset = AT(over)},
        {.key = "over_min", .type = SG_YAML_NUMBER, .offset = AT(over_min), .min = 1e-9, .max = 1e15},
    };
#undef AT
    *out = (struct encoding_spec){.unit = 0, .divide = 0};
    if (sg_yaml_kind_of(node) != SG_YAML_SCALAR)
        return sg_yaml_table(node, "an encoding", fields, sizeof fields / sizeof *fields, out);
    const char *text;
    SG_TRY(sg_yaml_text(node, "encode", &text));
    for (int i = 0; encoding_names[i]; i++)
        if (strcmp(text, encoding_names[i]) == 0) {
            out->as = i;
            return SG_OK;
        }
    return sg_yaml_fail(
        node, "unknown encoding; known are linear, log, signed_log, one_hot, at_least and ratio, or a map with "
              "\"as\", for example {as: linear, from: [0, 4], to: [0, 1]}");
}

/* Keys that the chosen encoding would ignore are refused: they would make a reader believe something untrue. */
static enum sg_status check_keys(const struct sg_yaml_node *node, const struct encoding_spec *s)
{
    const struct {
        bool given;
        const char *key;
        unsigned allowed;
    } key[] = {
        {s->from != NULL, "from", 1u << ENCODE_LINEAR | 1u << ENCODE_RATIO},
        {s->to != NULL, "to", 1u << ENCODE_LINEAR | 1u << ENCODE_RATIO},
        {s->unit != 0, "unit", 1u << ENCODE_LOG | 1u << ENCODE_SIGNED_LOG},
        {s->divide != 0, "divide", 1u << ENCODE_LOG | 1u << ENCODE_SIGNED_LOG},
        {s->values != NULL, "values", 1u << ENCODE_ONE_HOT},
        {s->thresholds != NULL, "thresholds", 1u << ENCODE_AT_LEAST},
        {s->over != NULL, "over", 1u << ENCODE_RATIO},
        {s->over_min != 0, "over_min", 1u << ENCODE_RATIO},
    };
    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        if (key[i].given && !(key[i].allowed >> s->as & 1))
            return sg_yaml_fail(node, "\"%s\" does not belong to the encoding %s", key[i].key, encoding_names[s->as]);
    return SG_OK;
}

static enum sg_status read_map(const struct sg_yaml_node *node, const struct encoding_spec *s, struct encoding *e)
{
    if (s->from)
        SG_TRY(pair_read(s->from, "from", "", e->from));
    if (s->to)
        SG_TRY(pair_read(s->to, "to", "", e->to));
    if (!(e->from[1] - e->from[0] >= 1e-9))
        return sg_yaml_fail(node, "from must be [lower, higher]");
    if (e->to[0] == e->to[1] || fabs(e->to[0]) > 1e6 || fabs(e->to[1]) > 1e6)
        return sg_yaml_fail(node, "to must be two different numbers of at most a million");
    e->slope = (e->to[1] - e->to[0]) / (e->from[1] - e->from[0]);
    return SG_OK;
}

static enum sg_status read_category_one_hot(const struct encoding_spec *s, const struct feature *f, struct encoding *e)
{
    size_t n = f->categories.n;
    e->of_category = sg_alloc(n, sizeof *e->of_category);
    if (!s->values) {
        for (size_t i = 0; i < n; i++)
            e->of_category[i] = (int32_t)i;
        e->n_floats = (int64_t)n;
        return SG_OK;
    }
    struct word_list chosen = {0};
    enum sg_status status = words_read(s->values, "values", false, &chosen);
    memset(e->of_category, 0xff, n * sizeof *e->of_category);
    for (size_t i = 0; i < chosen.n && status == SG_OK; i++) {
        int32_t k = words_find(&f->categories, chosen.word[i].text, chosen.word[i].len);
        if (k < 0)
            status = sg_yaml_fail(s->values, "values: \"%s\" is not one of the categories", chosen.word[i].text);
        else
            e->of_category[k] = chosen.word[i].position;
    }
    e->n_floats = (int64_t)chosen.n;
    words_free(&chosen);
    return status;
}

static enum sg_status read_values(const struct sg_yaml_node *node, const struct sg_yaml_node *list, const char *key,
                                  const struct feature *f, struct encoding *e)
{
    if (!list)
        return sg_yaml_fail(node, "the encoding %s of a number needs \"%s\", a list of numbers",
                            encoding_names[e->kind], key);
    SG_TRY(numbers_read(list, key, 0, &e->value, &e->n_values));
    for (size_t i = 0; i < e->n_values; i++) {
        if (e->value[i] < f->low || e->value[i] > f->high)
            return sg_yaml_fail(sg_yaml_item(list, i, NULL),
                                "%s: outside the bounds of the column, so it can never occur", key);
        for (size_t k = 0; k < i; k++)
            if (e->value[i] == e->value[k])
                return sg_yaml_fail(sg_yaml_item(list, i, NULL), "%s: a number is listed twice", key);
    }
    e->n_floats = (int64_t)e->n_values;
    return SG_OK;
}

static enum sg_status read_number_encoding(const struct encoding_spec *s, const struct feature *f, struct encoding *e)
{
    switch (e->kind) {
    case ENCODE_LINEAR:
        memcpy(e->from, (double[2]){f->low, f->high}, sizeof e->from);
        memcpy(e->to, (double[2]){-1, 1}, sizeof e->to);
        return read_map(e->node, s, e);
    case ENCODE_RATIO:
        if (!s->over || !s->from)
            return sg_yaml_fail(
                e->node, "ratio needs \"over\" (a column) and \"from\" (the range it is clipped to), for example "
                         "{as: ratio, over: LIMIT, from: [0, 1.5]}");
        SG_TRY(pair_read(s->from, "from", "", e->to)); /* unless "to" is given the clipped ratio stays as it is */
        e->over_name = s->over;
        e->over_min = s->over_min;
        return read_map(e->node, s, e);
    case ENCODE_LOG:
        if (!(f->low > 0))
            return sg_yaml_fail(e->node, "log needs a lower bound above 0; signed_log takes any value");
        return SG_OK;
    case ENCODE_SIGNED_LOG:
        return SG_OK;
    case ENCODE_ONE_HOT:
        return read_values(e->node, s->values, "values", f, e);
    case ENCODE_AT_LEAST:
        return read_values(e->node, s->thresholds, "thresholds", f, e);
    }
    abort();
}

static enum sg_status read_encoding(const struct sg_yaml_node *node, const struct feature *f, struct encoding *e)
{
    struct encoding_spec s;
    SG_TRY(read_spec(node, &s));
    SG_TRY(check_keys(node, &s));
    *e = (struct encoding){.kind = (enum encoding_kind)s.as, .node = node, .over = -1, .n_floats = 1};
    e->unit = s.unit != 0 ? s.unit : 1;
    e->divide = s.divide != 0 ? s.divide : 1;
    if (f->type == TYPE_NUMBER)
        return read_number_encoding(&s, f, e);
    if (e->kind != ENCODE_ONE_HOT)
        return sg_yaml_fail(node, "a category can only be encoded as one_hot");
    return read_category_one_hot(&s, f, e);
}

static enum sg_status read_encodings(const struct column_spec *spec, const struct sg_yaml_node *node, struct feature *f)
{
    if (!spec->encode) { /* the plain choice: number -> [-1, 1], category -> one float each */
        f->n_encodings = 1;
        f->encoding = sg_alloc(1, sizeof *f->encoding);
        struct encoding_spec plain = {.as = f->type == TYPE_NUMBER ? ENCODE_LINEAR : ENCODE_ONE_HOT};
        *f->encoding = (struct encoding){.kind = (enum encoding_kind)plain.as, .node = node, .over = -1, .n_floats = 1};
        return f->type == TYPE_NUMBER ? read_number_encoding(&plain, f, f->encoding)
                                      : read_category_one_hot(&plain, f, f->encoding);
    }
    bool list = sg_yaml_kind_of(spec->encode) == SG_YAML_LIST;
    size_t n = list ? sg_yaml_count(spec->encode) : 1;
    f->encoding = sg_alloc(n ? n : 1, sizeof *f->encoding);
    for (size_t i = 0; i < n; i++) {
        f->n_encodings = i + 1; /* so that a half-read one is freed */
        SG_TRY(read_encoding(list ? sg_yaml_item(spec->encode, i, NULL) : spec->encode, f, &f->encoding[i]));
    }
    return SG_OK;
}

static enum sg_status read_if_missing(const struct column_spec *spec, struct feature *f)
{
    f->missing_category = -1;
    const char *text = "error";
    if (spec->if_missing)
        SG_TRY(sg_yaml_text(spec->if_missing, "if_missing", &text));
    if (strcmp(text, "error") == 0 || strcmp(text, "zero") == 0) {
        f->if_missing = text[0] == 'e' ? MISSING_ERROR : MISSING_ZERO;
        return SG_OK;
    }
    f->if_missing = MISSING_VALUE;
    if (f->type == TYPE_NUMBER) {
        if (!sg_number_double(text, strlen(text), &f->missing_number))
            return sg_yaml_fail(spec->if_missing, "if_missing must be error, zero (all its floats are 0) or a number");
        if (f->missing_number < f->low || f->missing_number > f->high)
            return sg_yaml_fail(spec->if_missing, "if_missing: the number lies outside the bounds of the column");
        return SG_OK;
    }
    f->missing_category = words_find(&f->categories, text, strlen(text));
    if (f->missing_category < 0)
        return sg_yaml_fail(spec->if_missing,
                            "if_missing must be error, zero (all its floats are 0) or one of the categories");
    return SG_OK;
}

static enum sg_status read_missing(struct sg_schema *schema, const struct column_spec *spec,
                                   const struct sg_yaml_node *node, struct feature *f)
{
    f->missing_words = &schema->missing_words;
    if (spec->missing_values) {
        SG_TRY(words_read(spec->missing_values, "missing_values", true, &f->own_missing_words));
        f->missing_words = NULL; /* features move while the array grows: set by schema_lay_out */
    }
    const struct word_list *words = f->missing_words ? f->missing_words : &f->own_missing_words;
    double number;
    for (size_t i = 0; i < words->n; i++)
        f->missing_is_number |= sg_number_double(words->word[i].text, words->word[i].len, &number);
    SG_TRY(read_if_missing(spec, f));
    f->missing_float = spec->missing_flag ? 0 : -1;
    if (spec->missing_flag && f->if_missing == MISSING_ERROR)
        return sg_yaml_fail(node, "missing_flag makes sense only with if_missing: zero or a value");
    return SG_OK;
}

static enum sg_status read_bounds(const struct column_spec *spec, const struct sg_yaml_node *node, struct feature *f)
{
    if (!spec->bounds)
        return sg_yaml_fail(node, "column %s: a number needs bounds: [lowest, highest]%s", f->name, bounds_hint);
    double bounds[2];
    SG_TRY(pair_read(spec->bounds, "bounds", bounds_hint, bounds));
    if (!(bounds[1] - bounds[0] >= 1e-9))
        return sg_yaml_fail(spec->bounds, "bounds: the lowest must be below the highest");
    f->low = bounds[0];
    f->high = bounds[1];
    return SG_OK;
}

enum sg_status schema_read_feature(struct sg_schema *schema, const struct column_spec *spec, const char *name,
                                   const struct sg_yaml_node *node, struct feature *out)
{
    *out = (struct feature){.name = name,
                            .node = node,
                            .type = (enum value_type)spec->type,
                            .other_float = -1,
                            .policy = (enum static_policy)spec->policy};
    if (spec->type != TYPE_NUMBER && spec->type != TYPE_CATEGORY)
        return sg_yaml_fail(node, "column %s: a feature needs type: number or type: category", name);
    if (spec->positive || spec->negative)
        return sg_yaml_fail(node, "column %s: positive and negative belong to the label", name);
    if (out->type == TYPE_NUMBER) {
        if (spec->categories || spec->if_unknown > 0)
            return sg_yaml_fail(node, "column %s: categories and if_unknown belong to type: category", name);
        SG_TRY(read_bounds(spec, node, out));
    } else {
        if (spec->bounds)
            return sg_yaml_fail(node, "column %s: bounds belong to type: number", name);
        if (!spec->categories)
            return sg_yaml_fail(node, "column %s: a category needs categories: [...], all that are publicly known",
                                name);
        SG_TRY(words_read(spec->categories, "categories", false, &out->categories));
        out->if_unknown = spec->if_unknown < 0 ? UNKNOWN_ERROR : (enum if_unknown)spec->if_unknown;
        out->other_float = out->if_unknown == UNKNOWN_OTHER ? 0 : -1;
    }
    SG_TRY(read_missing(schema, spec, node, out));
    return read_encodings(spec, node, out);
}

void schema_free_feature(struct feature *feature)
{
    for (size_t i = 0; i < feature->n_encodings; i++) {
        free(feature->encoding[i].value);
        free(feature->encoding[i].of_category);
    }
    free(feature->encoding);
    free(feature->column);
    words_free(&feature->categories);
    words_free(&feature->own_missing_words);
}
