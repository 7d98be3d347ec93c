/* Whole ledgers through SQLite's own backup. */
#ifndef SG_AUDIT_COPY_H
#define SG_AUDIT_COPY_H

#include <sqlite3.h>

#include "base/digest.h"
#include "base/status.h"

/* All pages in one transaction of the target, which keeps its file. */
SG_MUST_USE enum sg_status sg_copy_pages(sqlite3 *from, sqlite3 *to);
/* Over every value of every row of every table, in order: equal where two files hold the same ledger. */
SG_MUST_USE enum sg_status sg_copy_digest(sqlite3 *db, uint8_t out[SG_DIGEST_BYTES]);

#endif
