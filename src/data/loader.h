/* A data set while it is being read. */
#ifndef SG_DATA_LOADER_H
#define SG_DATA_LOADER_H

#include "base/progress.h"
#include "commitment.h"
#include "encode.h"
#include "split.h"
#include "units.h"

struct loader {
    const char *path;
    const struct sg_schema *schema;
    const struct sg_dataset_options *options;
    struct sg_dataset *out;
    struct encoder *encoder;
    struct split split;
    struct commitment commitment;
    struct sg_sha256_state *sha; /* of the file's bytes */
    struct sg_progress progress;

    bool header_done, has_label;
    int64_t n_records; /* without the header */
    struct unit_table units;
    int64_t units_capacity, rows_capacity; /* of the arrays in `out` and below */
    struct sg_buffer scratch;
    int32_t *ids; /* (max_tokens) of a text that is only checked */

    struct unit_table contents; /* unit: row without an id column: how often each record's digest was seen */
    int64_t *seen, seen_capacity;

    /* layout: long */
    char *last_id; /* of the record before: rows of one customer mostly follow one another */
    size_t last_id_len, last_id_capacity;
    int64_t last_unit;
    double *newest;        /* (n_units) time of the newest row so far */
    int32_t *rows_of_unit; /* (n_units) */
    int32_t *row_unit;     /* (n_rows) where rows must be brought into order at the end */
    double *row_time;      /* (n_rows) for row_order: any */
    float *statics;        /* (S) of this record */
};

/* dataset.c */
enum sg_status loader_label(struct loader *l, int64_t line, const struct sg_csv_field *fields, float *out);
enum sg_status loader_split(struct loader *l, int64_t line, const struct sg_csv_field *fields,
                            const uint8_t digest[SG_UNIT_DIGEST_BYTES], uint8_t *out);
/* Grows the arrays by unit, or by row, so that one more (or n_steps more) fits. */
void loader_room_for_unit(struct loader *l, int64_t unit);
void loader_room_for_rows(struct loader *l, int64_t n);

/* dataset_text.c */
/* The tokens of the record's text, behind those of the units before it. */
enum sg_status loader_add_text(struct loader *l, int64_t line, const struct sg_csv_field *fields, int64_t unit);
/* Reads a plain text file: a record for every line. */
enum sg_status loader_read_lines(struct loader *l, sg_csv_record *record, sg_csv_bytes *bytes);

/* dataset_long.c */
enum sg_status loader_long_record(struct loader *l, int64_t line, const struct sg_csv_field *fields);
/* Brings rows into order by unit and time, drops those over the cap, makes the offsets. */
enum sg_status loader_long_finish(struct loader *l);

#endif
