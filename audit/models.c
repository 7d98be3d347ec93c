/* Models in the ledger: which run made a file. */
#include "schema.h"
#include "store.h"

enum sg_status sg_ledger_has_model(struct sg_ledger *ledger, const char *model_digest, const char *population,
                                   bool *found)
{
    sqlite3_stmt *row = NULL;
    *found = false;
    SG_TRY(sg_db_prepare(
        ledger->db,
        "SELECT 1 FROM artifact a JOIN run r ON r.run_no = a.run_no WHERE a.sha256 = ? AND r.population = ? AND "
        "r.is_private = 1 AND r.status = 'complete'",
        &row));
    sg_db_bind(row, "tt", model_digest, population);
    int code = sqlite3_step(row);
    *found = code == SQLITE_ROW;
    sqlite3_finalize(row);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SG_OK : sg_db_fail(ledger->db, "reading");
}
