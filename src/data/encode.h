/* From the text of one record to floats, by the schema's constants alone: no value depends on any other record. */
#ifndef SG_DATA_ENCODE_H
#define SG_DATA_ENCODE_H

#include "format/csv.h"
#include "schema_internal.h"

struct value {
    double number;    /* clipped to its bounds */
    int32_t category; /* -1: none of them */
    bool absent;      /* gives no floats but the flags */
    bool missing, other;
};

struct bound_field {
    size_t field;
    int32_t column;
    const struct feature *feature;
};

struct encoder {
    const struct sg_schema *schema;
    const char *path;
    size_t n_fields;           /* of every record */
    struct bound_field *bound; /* (n_bound) features only, in file order */
    size_t n_bound;
    int64_t *field_of_column; /* (n_columns), -1 when the file lacks it */
    struct value *value;      /* (n_columns) of the record parsed last */
    int64_t n_clipped;
    struct log_batch *logs; /* of the record being encoded */
};

struct encoder *encoder_open(const struct sg_schema *schema, const char *path);
void encoder_close(struct encoder *encoder);
/* From the header, or with fields = NULL from the schema's order of columns. Columns of these roles must be there. */
enum sg_status encoder_bind(struct encoder *encoder, int64_t line, const struct sg_csv_field *fields, size_t n,
                            bool need_label, bool need_split);
/* A record is the text alone, or text and id. */
void encoder_bind_text(struct encoder *encoder, bool with_id);
/* Checks the number of fields and reads every feature. */
enum sg_status encoder_parse(struct encoder *encoder, int64_t line, const struct sg_csv_field *fields, size_t n);
/* The floats of the record parsed last: x (n_steps, F), statics (S). */
void encoder_rows(const struct encoder *encoder, float *x);
void encoder_statics(const struct encoder *encoder, float *statics);
/* How many of the oldest steps of the record parsed last are missing in every step feature; the newest step always
 * counts as there. */
int64_t encoder_absent_steps(const struct encoder *encoder);
/* A number, or a date (YYYY-MM or YYYY-MM-DD) as a number that ascends with time. */
enum sg_status encoder_time(const struct encoder *encoder, int64_t line, const struct sg_csv_field *fields,
                            double *out);
/* The schema column's field, or NULL when the file lacks it. */
const struct sg_csv_field *encoder_field(const struct encoder *encoder, const struct sg_csv_field *fields,
                                         int32_t column);
/* "file:line: column NAME: problem"; never holds a value. */
enum sg_status encoder_fail(const struct encoder *encoder, int64_t line, int32_t column, const char *problem);

#endif
