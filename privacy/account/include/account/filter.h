/* Budgets over runs chosen one after another: the Renyi filter (Feldman, Zrnic 2021, 2008.11193; Lecuyer 2021,
 * 2103.01379).
 *
 * At an order alpha fixed in advance, whoever chooses each run from what the earlier ones released may go on while the
 * sum of their divergences of that order stays within a bound. That needs nothing of the choices and costs nothing over
 * fixing all runs beforehand. Several orders at once, each with its share of delta, hold together by a union bound. The
 * same filter for privacy-loss distributions does not exist (2602.06756): figures composed as if all plans had been
 * fixed enforce nothing.
 *
 * Pure functions over histories; nothing is stored here. Sums are rounded up. */
#ifndef SG_ACCOUNT_FILTER_H
#define SG_ACCOUNT_FILTER_H

#include <stdbool.h>

#include "account/account.h"

enum { SG_RENYI_ORDERS_MAX = 4 };

/* The orders of one population, fixed from its limit, and the divergence each may accumulate. */
struct sg_renyi_limit {
    double epsilon, delta; /* the limit in force */
    int n;
    double order[SG_RENYI_ORDERS_MAX];
    double rho_max[SG_RENYI_ORDERS_MAX]; /* at delta / n each */
};

/* The one order that leaves the most runs of an ordinary plan (subsampled Gaussian, divergence about proportional to
 * the order): the largest admissible rho / alpha. SG_USAGE for limits outside epsilon in [1e-3, 1e3], delta in [1e-30,
 * 0.1]. */
SG_MUST_USE enum sg_status sg_renyi_limit_make(double epsilon, double delta, struct sg_renyi_limit *out);
/* n orders around it, delta shared, for populations whose plans are not known: a plan is admitted while any one order
 * admits it. */
SG_MUST_USE enum sg_status sg_renyi_limit_make_several(double epsilon, double delta, int n, struct sg_renyi_limit *out);

/* The order that sg_renyi_limit_make takes: a short number to print and to record; any order above 1 is sound. */
double sg_renyi_order(double epsilon, double delta);
/* The limit at a recorded order, in force unchanged whatever sg_renyi_order would choose today. */
struct sg_renyi_limit sg_renyi_limit_at(double epsilon, double delta, double order);

/* What was charged so far; zero-initialise. */
struct sg_renyi_spend {
    double rho[SG_RENYI_ORDERS_MAX];
};

/* The charge of one programme: `runs` runs of the history, fixed in advance. */
SG_MUST_USE enum sg_status sg_renyi_charge(const struct sg_renyi_limit *limit, const struct sg_history *history,
                                           int64_t runs, struct sg_renyi_spend *out);
/* Rounded up, by more than what adding a few thousand doubles can lose. */
void sg_renyi_add(struct sg_renyi_spend *spend, const struct sg_renyi_spend *charge);
bool sg_renyi_admits(const struct sg_renyi_limit *limit, const struct sg_renyi_spend *spend);
/* The epsilon, at the limit's delta, that the spend so far amounts to (0 for nothing spent, infinite where an order's
 * spend is not a number). */
double sg_renyi_epsilon(const struct sg_renyi_limit *limit, const struct sg_renyi_spend *spend);
/* How many more programmes of this charge fit. */
int64_t sg_renyi_runs_left(const struct sg_renyi_limit *limit, const struct sg_renyi_spend *spend,
                           const struct sg_renyi_spend *charge);

#endif
