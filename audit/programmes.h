/* What is reserved before data is opened: a run alone, a programme of runs, a run drawn from a programme. All inside
 * the writer's transaction, from the signed leaves. */
#ifndef SG_AUDIT_PROGRAMMES_H
#define SG_AUDIT_PROGRAMMES_H

#include "store.h"

/* SG_FAILED when the plan does not agree with itself: such a plan is not recorded. */
SG_MUST_USE enum sg_status sg_reserve_check_plan(const struct sg_plan *plan);

/* Whether `runs` runs of the plan, fixed in advance, fit: SG_REFUSED when not. *budget: a new object, the reservation
 * as it is recorded, or null where no limit applies. */
SG_MUST_USE enum sg_status sg_reserve(struct sg_ledger *ledger, const struct sg_dataset_entry *dataset,
                                      const struct sg_plan *plan, int64_t runs, json_t **budget);

/* Whether a run of this plan may be drawn from the programme: SG_REFUSED when all its runs are drawn, SG_USAGE when it
 * is unknown, of other people, or of another plan (naming the first field that differs). Fills drawn and
 * programme_runs. */
SG_MUST_USE enum sg_status sg_reserve_drawn(struct sg_ledger *ledger, const struct sg_dataset_entry *dataset,
                                            const struct sg_plan *plan, const char *programme, struct sg_run *out);

#endif
