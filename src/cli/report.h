/* What `train` and its relatives print for people: short, aligned tables. */
#ifndef SG_CLI_REPORT_H
#define SG_CLI_REPORT_H

#include <stdint.h>

#include "account/plan.h"
#include "base/json.h"

void sg_report_plan(const struct sg_plan *plan);
/* Metrics by split, one column a split. */
void sg_report_metrics(const json_t *by_split);
/* "none", "under 100", "100 to 1,000", ...: exact counts of private data are not shown. */
const char *sg_report_bucket(int64_t n);

#endif
