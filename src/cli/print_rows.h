/* Lists of rows on stdout: a table for people, JSON lines and CSV for programs, one HTML table for a mail or a file. */
#ifndef SG_CLI_PRINT_ROWS_H
#define SG_CLI_PRINT_ROWS_H

#include "base/json.h"

/* format: "table", "csv", "json" (one object a line) or "html"; NULL: table. SG_USAGE for another one. */
SG_MUST_USE enum sg_status sg_print_rows(const json_t *rows, const char *format, const char *title);
/* The same; `columns` are the names for a CSV file without rows. */
SG_MUST_USE enum sg_status sg_print_rows_of(const json_t *rows, const json_t *columns, const char *format,
                                            const char *title);
/* One JSON value and a line feed. */
void sg_print_json(const json_t *value);
/* A cell as a table shows it: "not recorded" for null, six digits for a real. The caller frees it. */
char *sg_print_cell(const json_t *value);

#endif
