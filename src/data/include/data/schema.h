/* The schema: what each column is, its public bounds and categories, how columns form time steps, the unit of privacy, the
 * split. Everything that encodes a value is a declared public constant. docs/schema.md describes the file for users. */
#ifndef SG_DATA_SCHEMA_H
#define SG_DATA_SCHEMA_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

struct sg_schema;

SG_MUST_USE enum sg_status sg_schema_read(const char *path, struct sg_schema **out);
/* From the bytes kept in a model folder; `path` is for messages. */
SG_MUST_USE enum sg_status sg_schema_parse(const char *path, const char *bytes, size_t n, struct sg_schema **out);
void sg_schema_close(struct sg_schema **schema);

/* SHA-256 of the schema file's bytes. */
const uint8_t *sg_schema_digest(const struct sg_schema *schema);
/* The file's bytes, for the model folder. */
const struct sg_buffer *sg_schema_bytes(const struct sg_schema *schema);
int64_t sg_schema_n_features(const struct sg_schema *schema); /* F, per time step */
int64_t sg_schema_n_static(const struct sg_schema *schema);   /* S, per unit */
/* Name of an encoded float, e.g. "PAY[>=2]", for reports; step features first, then static ones. */
const char *sg_schema_float_name(const struct sg_schema *schema, int64_t i);
int64_t sg_schema_steps_max(const struct sg_schema *schema);  /* rows (time steps) per unit at most */
const char *sg_schema_unit(const struct sg_schema *schema);   /* "row" or the id column's name: the unit of privacy, in words */

/* Drafts a schema from a file's header and values: names and types, bounds left empty for a person to fill. */
SG_MUST_USE enum sg_status sg_schema_draft(const char *data_path, char separator, struct sg_buffer *out);

#endif
