/* What all people of a ledger have spent after its first events, added up from the leaves, and the signed record that
 * lets the next run start from there.
 *
 * The record stands in side storage, a row a signing key:
 *
 *     "sealgrad-spend/v1\n" || {"origin", "size", "root", "populations": [...], "programmes": [...]} as JSON
 *
 * signed by the key that writes. It says what this key once added up from leaves with that root, so it is believed only
 * when that signature verifies under the key in hand and the first `size` events still have that root; the leaves after
 * it are hashed up to the root that the last checkpoint signs. An older record costs time, nothing else. */
#ifndef SG_AUDIT_SPEND_STATE_H
#define SG_AUDIT_SPEND_STATE_H

#include "budget.h"
#include "store.h"

struct sg_spend_population {
    char name[128];
    struct sg_filter charged; /* the sums; its limits are not filled */
};

struct sg_spend_programme {
    char id[40];
    int64_t leaf, drawn; /* its event, -1 when there is none; how many runs were drawn from it */
};

struct sg_spend_state {
    struct sg_merkle tree; /* of the events that are added up */
    struct sg_spend_population *populations;
    size_t n_populations;
    struct sg_spend_programme *programmes;
    size_t n_programmes;
};

/* The state after all events of the ledger, inside a transaction. SG_BROKEN when they are not those whose root the last
 * checkpoint signs, or not those of the record. A new record is kept with the ledger until the commit. */
SG_MUST_USE enum sg_status sg_spend_state_read(struct sg_ledger *ledger, struct sg_spend_state *out);
void sg_spend_state_free(struct sg_spend_state *state);
/* Never NULL: new ones are added, with nothing spent. */
struct sg_spend_population *sg_spend_state_population(struct sg_spend_state *state, const char *name);
struct sg_spend_programme *sg_spend_state_programme(struct sg_spend_state *state, const char *id);

/* The record of a state as signed, and back. False for anything that cannot be believed. */
SG_MUST_USE enum sg_status sg_spend_record_make(struct sg_ledger *ledger, const struct sg_spend_state *state,
                                                struct sg_buffer *text, struct sg_buffer *signature);
bool sg_spend_record_read(struct sg_ledger *ledger, const struct sg_buffer *text, const struct sg_buffer *signature,
                          struct sg_spend_state *out, uint8_t root[SG_DIGEST_BYTES]);

#endif
