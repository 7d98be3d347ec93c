/* The schema: what each column is, its public bounds and categories, how columns form time steps, the unit of privacy,
 * the split. Everything that encodes a value is a declared public constant. docs/schema.md describes the file for
 * users. */
#ifndef SG_DATA_SCHEMA_H
#define SG_DATA_SCHEMA_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

struct sg_schema;

/* What the label is. A data set holds it as a float: 0 or 1, the number of a class, or a number within its bounds. */
enum sg_label_kind { SG_LABEL_BINARY, SG_LABEL_CLASSES, SG_LABEL_NUMBER };

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
/* How many of them each static feature has, in order; those without any are left out. Fills up to `max` and returns how
 * many features there are. */
int64_t sg_schema_static_widths(const struct sg_schema *schema, int64_t max, int32_t *width);
/* Name of an encoded float, e.g. "PAY[>=2]", for reports; step features first, then static ones. */
const char *sg_schema_float_name(const struct sg_schema *schema, int64_t i);
int64_t sg_schema_steps_max(const struct sg_schema *schema); /* rows (time steps or tokens) per unit at most */
const char *
sg_schema_unit(const struct sg_schema *schema); /* "row" or the id column's name: the unit of privacy, in words */

/* Which part of all units trains: by the split's fractions; a half where a file or a column says it. */
double sg_schema_train_share(const struct sg_schema *schema);

/* What the label column is; SG_LABEL_BINARY also for a schema without one. */
enum sg_label_kind sg_schema_label_kind(const struct sg_schema *schema);
int64_t sg_schema_n_classes(const struct sg_schema *schema); /* 2 for a binary label, 0 for a number */
/* Name of a class, by its number; NULL for other kinds of label. */
const char *sg_schema_class_name(const struct sg_schema *schema, int64_t i);
/* Public bounds of a label that is a number; 0 and 0 of other kinds. */
void sg_schema_label_bounds(const struct sg_schema *schema, double *low, double *high);
/* Of a schema with a text column: the tokens that a message may have, [CLS] and [SEP] among them. 0 without one. */
int64_t sg_schema_max_tokens(const struct sg_schema *schema);

/* Drafts a schema from a file's header and values: names and types, bounds left empty for a person to fill. */
SG_MUST_USE enum sg_status sg_schema_draft(const char *data_path, char separator, struct sg_buffer *out);

#endif
