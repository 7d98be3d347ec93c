#include "base/json.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define JSON_BYTES_MAX (16u << 20)
#define JSON_LEVELS_MAX 64

/* Counts brackets outside strings, so that the parser's own recursion never sees deep nesting. */
static bool too_deep(const char *bytes, size_t n)
{
    int level = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char c = bytes[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++level > JSON_LEVELS_MAX)
                return true;
        } else if (c == ']' || c == '}') {
            level--;
        }
    }
    return false;
}

enum sg_status sg_json_parse(const char *bytes, size_t n, const char *what, enum sg_status status, json_t **out)
{
    *out = NULL;
    if (n > JSON_BYTES_MAX)
        return sg_fail(status, "%s: larger than %u bytes of JSON", what, JSON_BYTES_MAX);
    if (too_deep(bytes, n))
        return sg_fail(status, "%s: JSON nested deeper than %d levels", what, JSON_LEVELS_MAX);
    json_error_t fault;
    *out = json_loadb(n ? bytes : "", n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
    if (*out)
        return SG_OK;
    /* The parser's text may quote the input: only its position and kind are passed on. */
    const char *kind = "not valid JSON";
    switch (json_error_code(&fault)) {
    case json_error_duplicate_key:
        kind = "duplicate key";
        break;
    case json_error_null_character:
    case json_error_null_byte_in_key:
        kind = "NUL character";
        break;
    case json_error_end_of_input_expected:
        kind = "something follows the end of the value";
        break;
    case json_error_premature_end_of_input:
        kind = "ends too early";
        break;
    case json_error_invalid_utf8:
        kind = "not valid UTF-8";
        break;
    case json_error_numeric_overflow:
        kind = "number out of range";
        break;
    default:
        break;
    }
    return sg_fail(status, "%s:%d:%d: %s", what, fault.line, fault.column, kind);
}

static enum sg_status get(const json_t *object, const char *key, const char *what, enum sg_status status, json_t **out)
{
    *out = json_object_get(object, key);
    return *out ? SG_OK : sg_fail(status, "%s: the member \"%s\" is missing", what, key);
}

enum sg_status sg_json_string(const json_t *object, const char *key, const char *what, enum sg_status status,
                              const char **out)
{
    json_t *value;
    SG_TRY(get(object, key, what, status, &value));
    if (!json_is_string(value))
        return sg_fail(status, "%s: the member \"%s\" must be a string", what, key);
    *out = json_string_value(value);
    return SG_OK;
}

enum sg_status sg_json_int(const json_t *object, const char *key, const char *what, enum sg_status status, int64_t *out)
{
    json_t *value;
    SG_TRY(get(object, key, what, status, &value));
    if (!json_is_integer(value))
        return sg_fail(status, "%s: the member \"%s\" must be an integer", what, key);
    *out = json_integer_value(value);
    return SG_OK;
}

enum sg_status sg_json_double(const json_t *object, const char *key, const char *what, enum sg_status status,
                              double *out)
{
    json_t *value;
    SG_TRY(get(object, key, what, status, &value));
    if (!json_is_number(value))
        return sg_fail(status, "%s: the member \"%s\" must be a number", what, key);
    *out = json_number_value(value);
    return SG_OK;
}

json_t *sg_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static int append(const char *bytes, size_t n, void *buffer)
{
    sg_buffer_append(buffer, bytes, n);
    return 0;
}

void sg_json_dump(const json_t *value, struct sg_buffer *out)
{
    /* Fails only on values that jansson cannot hold (it refuses bad UTF-8 when a string is made): a fault of ours. */
    if (json_dump_callback(value, append, out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)))
        abort();
}
