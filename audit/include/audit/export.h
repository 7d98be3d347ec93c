/* The ledger in other people's formats, as a new folder. Exports are for reading: only the evidence bundle and the
 * tiles hold the bytes as signed. Nothing is written that the ledger does not hold, and a folder is there whole or not
 * at all. docs/exports.md says what every format takes from where. */
#ifndef SG_AUDIT_EXPORT_H
#define SG_AUDIT_EXPORT_H

#include "audit/ledger.h"

/* "csv", "json", "mlflow", "openlineage", "slsa", "tiles", "datasette", "evidence", with one line each. */
struct sg_export_format {
    const char *name, *what;
    bool takes_run, needs_run;
};
extern const struct sg_export_format sg_export_formats[];
extern const size_t sg_n_export_formats;

struct sg_export_result {
    int64_t n_files;
};

/* Writes the ledger, or one run of it (id or number; NULL: all), into the new folder `out`, which must not exist or be
 * empty. `database` is the name under which Datasette serves the file (only format datasette; NULL: "ledger"). Run
 * verify before: the tables are read as they are. SG_USAGE for an unknown format or run, and for a folder that is in
 * the way. */
SG_MUST_USE enum sg_status sg_export_write(struct sg_ledger *ledger, const char *format, const char *run,
                                           const char *database, const char *out, struct sg_export_result *result);

#endif
