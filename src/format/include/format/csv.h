/* CSV as a stream of records, through libcsv in strict mode: quoted fields with line feeds, CRLF, a separator of
 * choice. Blank-separated files (runs of blanks) are read with separator ' '. UTF-8 is checked; a byte-order mark is
 * skipped. Blanks around an unquoted field are dropped. */
#ifndef SG_FORMAT_CSV_H
#define SG_FORMAT_CSV_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct sg_csv_field {
    const char *text; /* followed by a NUL and free of others; valid during the callback */
    size_t len;
};

/* Called once per record, header included; `line` is the physical line on which the record begins (1-based).
 * A status other than SG_OK stops reading and is returned. */
typedef enum sg_status sg_csv_record(void *context, int64_t line, const struct sg_csv_field *fields, size_t n_fields);
/* Called with each block of raw bytes as read, for digests; may be NULL. */
typedef void sg_csv_bytes(void *context, const char *bytes, size_t n, int64_t total);

/* Reads a file in blocks of 1 MiB. SG_USAGE "file:line: ..." for broken quoting, invalid UTF-8, NUL bytes, a field over
 * 64 KiB or a record over 4 MiB. Empty lines are skipped. */
SG_MUST_USE enum sg_status sg_csv_read(const char *path, char separator, sg_csv_record *record, sg_csv_bytes *bytes,
                                       void *context);

#endif
