/* JSON through jansson, with limits: what we parse may come from an attacker. */
#ifndef SG_BASE_JSON_H
#define SG_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

/* Parses exactly one value of at most 16 MiB and 64 levels; duplicate keys, NUL characters and trailing bytes are refused.
 * `what` names the source in the message. `status` is what a fault is called: SG_USAGE for input, SG_BROKEN for evidence.
 * The caller json_decrefs *out. */
SG_MUST_USE enum sg_status sg_json_parse(const char *bytes, size_t n, const char *what, enum sg_status status, json_t **out);

/* Members of an object, checked for type; the fault names `what` and the key. Strings are borrowed from the object. */
SG_MUST_USE enum sg_status sg_json_string(const json_t *object, const char *key, const char *what, enum sg_status status, const char **out);
SG_MUST_USE enum sg_status sg_json_int(const json_t *object, const char *key, const char *what, enum sg_status status, int64_t *out);
SG_MUST_USE enum sg_status sg_json_double(const json_t *object, const char *key, const char *what, enum sg_status status, double *out);

/* A finite double, or null where it is not finite (jansson cannot write infinity). Reals print with 17 digits. */
json_t *sg_json_real(double value);
/* One line, keys in insertion order, appended to `out`. */
void sg_json_dump(const json_t *value, struct sg_buffer *out);

#endif
