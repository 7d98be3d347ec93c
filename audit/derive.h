/* From leaves to tables: the one place that says how every derived table follows from the events. The writer calls it
 * inside the transaction of the append, verify calls it on an empty database and compares. */
#ifndef SG_AUDIT_DERIVE_H
#define SG_AUDIT_DERIVE_H

#include <sqlite3.h>

#include "audit/leaf.h"

struct sg_derive;
SG_MUST_USE enum sg_status sg_derive_open(sqlite3 *db, struct sg_derive **out);
void sg_derive_close(struct sg_derive **derive);
/* SG_BROKEN when the event's facts are malformed or impossible after those before it (a second end, an unknown
 * dataset). */
SG_MUST_USE enum sg_status sg_derive_event(struct sg_derive *derive, const struct sg_event *event);

#endif
