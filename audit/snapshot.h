/* Reading a ledger file that an attacker may have written, without ever changing it. */
#ifndef SG_AUDIT_SNAPSHOT_H
#define SG_AUDIT_SNAPSHOT_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct sg_snapshot {
    sqlite3 *db;
    char *folder; /* of the private copy that was made because a journal waits; NULL otherwise */
};
/* Opens read-only and holds one read transaction until close. When the last writer was killed in mid-commit its journal
 * waits beside the file: then a private copy of both is opened, where SQLite rolls back what was not committed. */
SG_MUST_USE enum sg_status sg_snapshot_open(const char *path, struct sg_snapshot *out);
/* The same over bytes in memory, which the snapshot copies. */
SG_MUST_USE enum sg_status sg_snapshot_from_bytes(const uint8_t *bytes, size_t n, struct sg_snapshot *out);
void sg_snapshot_close(struct sg_snapshot *snapshot);

#endif
