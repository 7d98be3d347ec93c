/* Side storage, LEDGER.side.db (0600): the keys of datasets. Nothing in it is evidence, nothing of it is in the ledger;
 * whoever destroys a row makes the commitment of that dataset unanswerable, and every proof still verifies. */
#ifndef SG_AUDIT_SIDE_H
#define SG_AUDIT_SIDE_H

#include <sqlite3.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

/* Opens or creates. What concerns keys is durable on return; the rest is consistent, and a power cut may take the last of
 * it back. */
SG_MUST_USE enum sg_status sg_side_open(const char *ledger_path, sqlite3 **out);
SG_MUST_USE enum sg_status sg_side_put_key(sqlite3 *side, const char *dataset, const uint8_t key[SG_KEY_BYTES]);
/* SG_FAILED when the key is not there. */
SG_MUST_USE enum sg_status sg_side_get_key(sqlite3 *side, const char *dataset, uint8_t key[SG_KEY_BYTES]);
/* Overwrites it; fine when it is gone already. Neither this nor sg_side_put_key inside a transaction. */
SG_MUST_USE enum sg_status sg_side_destroy_key(sqlite3 *side, const char *dataset);
/* The process that carries a run. */
struct sg_side_process {
    int64_t run_no, pid, start_ticks, space;
    char boot_id[37];
};
SG_MUST_USE enum sg_status sg_side_put_process(sqlite3 *side, const struct sg_side_process *process);
SG_MUST_USE enum sg_status sg_side_remove_process(sqlite3 *side, int64_t run_no);
/* All of them; the caller frees *out. */
SG_MUST_USE enum sg_status sg_side_processes(sqlite3 *side, struct sg_side_process **out, size_t *n);
/* The largest head this machine has seen of the ledger: an older copy put in its place is noticed when it is opened. */
SG_MUST_USE enum sg_status sg_side_put_anchor(sqlite3 *side, int64_t size, const uint8_t root[SG_DIGEST_BYTES]);
/* *size = 0 when there is none. */
SG_MUST_USE enum sg_status sg_side_get_anchor(sqlite3 *side, int64_t *size, uint8_t root[SG_DIGEST_BYTES]);
/* The record of what was spent that the key of that label signed (spend_state.h). */
SG_MUST_USE enum sg_status sg_side_put_spend(sqlite3 *side, const char *label, const struct sg_buffer *text,
                                             const struct sg_buffer *signature);
bool sg_side_get_spend(sqlite3 *side, const char *label, struct sg_buffer *text, struct sg_buffer *signature);

#endif
