/* Events that have no table in the file, as temporary tables of a reading connection: heartbeat, anomaly, gap, human,
 * retention, run_erasure. They are filled from the leaves when a question needs them, and are gone with the connection.
 */
#ifndef SG_AUDIT_QUERY_EVENTS_H
#define SG_AUDIT_QUERY_EVENTS_H

#include "store.h"

SG_MUST_USE enum sg_status sg_query_load_events(struct sg_ledger *ledger);

#endif
