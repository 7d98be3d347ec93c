/* The budget of a population: an RDP filter at one order, fixed when the population is registered.
 *
 * Feldman and Zrnic 2021 (2008.11193): with the order alpha and a bound B fixed in advance, runs that are chosen one
 * after another, each in knowledge of all before, together have Renyi divergence at most B of that order as long as the
 * sum of theirs stays below B. The first run may be charged its certified epsilon instead: while it is alone nothing is
 * composed, and a second run is admitted only when the sum of *all* divergences, the first one's included, fits.
 *
 * delta_slack: what panels and the noise's distance add to delta is (1 + e^epsilon) times a distance, so in a
 * composition each share is scaled to the limit's epsilon. What they leave of delta_limit converts the divergence into
 * epsilon. */
#ifndef SG_AUDIT_BUDGET_H
#define SG_AUDIT_BUDGET_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "account/plan.h"
#include "base/status.h"

struct sg_filter {
    bool is_limited;
    double epsilon_limit, delta_limit, order;
    int64_t n_runs, n_open;
    double rho, slack;                 /* sums over the runs so far */
    double first_epsilon, first_delta; /* of the first run alone */
    char relation[32];                 /* of the first run; "" before it */
};

/* What one run adds. */
struct sg_charge {
    double epsilon, delta, rho, slack;
    const char *relation;
};

/* The order at which the most divergence of a Gaussian mechanism fits into (epsilon, delta). */
double sg_filter_order(double epsilon_limit, double delta_limit);
SG_MUST_USE enum sg_status sg_filter_charge(const struct sg_filter *filter, const struct sg_plan *plan,
                                            struct sg_charge *out);
void sg_filter_add(struct sg_filter *filter, const struct sg_charge *charge);
/* Epsilon and delta of all runs so far; infinite when the filter's divergence has no finite epsilon. */
void sg_filter_spent(const struct sg_filter *filter, double *epsilon, double *delta);
bool sg_filter_admits(const struct sg_filter *filter, const struct sg_charge *charge);
/* SG_REFUSED with spent, limit and the least noise multiplier at which this plan would fit. */
SG_MUST_USE enum sg_status sg_filter_refuse(const struct sg_filter *filter, const char *population,
                                            const struct sg_plan *plan);

/* The state of a population as its derived tables have it. SG_USAGE when there is none of that name. */
SG_MUST_USE enum sg_status sg_filter_read(sqlite3 *db, const char *population, struct sg_filter *out);

#endif
