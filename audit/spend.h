/* What a dataset's people have spent, read from the signed leaves themselves. */
#ifndef SG_AUDIT_SPEND_H
#define SG_AUDIT_SPEND_H

#include "budget.h"
#include "store.h"

struct sg_spend {
    bool is_found; /* the dataset is registered under the population */
    char population[128];
    bool is_public;
    int64_t population_size;
    uint8_t commitment[SG_DIGEST_BYTES];
    struct sg_filter filter;
    struct {
        bool is_found;
        char population[128];
        struct sg_plan plan;
        int64_t runs, drawn;
    } programme; /* the one asked for */
};
/* Inside a transaction, for the population that the tables name: a dataset whose signed event says another one is not
 * found. `programme` is the id of one to look for, or NULL. What was charged is added up from the leaves themselves,
 * all of them or those after the last record that this key signed (spend_state.h); the events of dataset and programme
 * are proven to be in the tree. SG_BROKEN when they are not those whose root the last checkpoint signs. So nobody gains
 * budget by editing the derived tables or the side storage, neither of which needs a key. */
SG_MUST_USE enum sg_status sg_spend_read(struct sg_ledger *ledger, const char *dataset, const char *population,
                                         const char *programme, struct sg_spend *out);

#endif
