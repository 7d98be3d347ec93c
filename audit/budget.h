/* The budget of a population: the accountant's RDP filter (account/filter.h) at one order, fixed when the population is
 * registered.
 *
 * What is charged is a programme: a plan and how often it will be run, fixed in advance, at the certified epsilon of
 * that composition. A run that is not drawn from a programme is a programme of one.
 *
 * Feldman and Zrnic 2021 (2008.11193): with the order alpha and a bound B fixed in advance, programmes that are
 * chosen one after another, each in knowledge of all before, together have Renyi divergence at most B of that order as
 * long as the sum of theirs stays below B. The first one may be charged its certified epsilon instead: while it is
 * alone nothing is composed, and a second one is admitted only when the sum of *all* divergences, the first one's
 * included, fits.
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
    int64_t n_charges;                 /* programmes, those of one run included */
    int64_t n_runs, n_open;            /* runs ever begun, and those without an end: filled by sg_filter_read */
    double rho, slack;                 /* sums over the charges so far */
    double first_epsilon, first_delta; /* of the first one alone */
    char relation[32];                 /* of the first one; "" before it */
};

/* What one programme adds. */
struct sg_charge {
    double epsilon, delta, rho, slack;
    const char *relation;
};

/* `plan` is a run's plan or, for a programme, what sg_plan_programme made of it. */
SG_MUST_USE enum sg_status sg_filter_charge(const struct sg_filter *filter, const struct sg_plan *plan,
                                            struct sg_charge *out);
void sg_filter_add(struct sg_filter *filter, const struct sg_charge *charge);
/* Epsilon and delta of all charges so far; infinite when the filter's divergence has no finite epsilon. */
void sg_filter_spent(const struct sg_filter *filter, double *epsilon, double *delta);
bool sg_filter_admits(const struct sg_filter *filter, const struct sg_charge *charge);
/* SG_REFUSED with spent, limit and what would fit: the least noise multiplier and, for a programme of several runs, how
 * many of them. */
SG_MUST_USE enum sg_status sg_filter_refuse(const struct sg_filter *filter, const char *population,
                                            const struct sg_plan *plan, int64_t runs);
/* How often a charge fits that many times over, one after another. */
int64_t sg_filter_more(const struct sg_filter *filter, const struct sg_charge *charge);
/* The charge of a run of that epsilon at the limit's delta, if it were one Gaussian release to everybody: for a first
 * impression of what a limit is worth. */
SG_MUST_USE enum sg_status sg_filter_nominal(const struct sg_filter *filter, double epsilon, struct sg_charge *out);

/* The state of a population as its derived tables have it. SG_USAGE when there is none of that name. */
SG_MUST_USE enum sg_status sg_filter_read(sqlite3 *db, const char *population, struct sg_filter *out);

#endif
