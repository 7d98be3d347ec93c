/* Events that have no table in the file, as temporary tables of a reading connection: heartbeat, anomaly, gap, human,
 * retention, run_erasure. They are filled from the leaves when a question needs them, and are gone with the connection.
 */
#ifndef SG_AUDIT_QUERY_EVENTS_H
#define SG_AUDIT_QUERY_EVENTS_H

#include "store.h"

/* Those that `sql` names as temp.NAME. */
SG_MUST_USE enum sg_status sg_query_load_events(struct sg_ledger *ledger, const char *sql);
/* Appends the same question for a program that has the file and nothing else: the leaves are decoded in SQL. Only
 * human.key stays null. */
void sg_query_events_in_sql(const char *sql, struct sg_buffer *out);

#endif
