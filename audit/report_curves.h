/* The plots of one run. Inside audit only. */
#ifndef SG_AUDIT_REPORT_CURVES_H
#define SG_AUDIT_REPORT_CURVES_H

#include "account/plan.h"
#include "base/json.h"

/* Epsilon over the steps of a plan, recomputed here. */
void sg_report_epsilon(struct sg_buffer *out, const struct sg_plan *plan);
/* What the end's facts hold of curves: ROC, calibration and scores by split, metrics over the steps. `end_facts` may be
 * NULL. Says "not recorded" in words for what is missing. */
void sg_report_curves(struct sg_buffer *out, const json_t *end_facts, int64_t end_leaf);

#endif
