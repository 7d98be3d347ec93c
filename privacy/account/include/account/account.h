/* The accountant: a history of phases in, a certified upper bound on epsilon out. Needs base only.
 *
 * Rounding always goes up. NaN, negative, subnormal, infinite and absurd inputs are refused (SG_USAGE). What each bound
 * rests on is in docs/accounting.md. All functions are pure: same bits for the same arguments, any locale, any thread.
 */
#ifndef SG_ACCOUNT_ACCOUNT_H
#define SG_ACCOUNT_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum sg_sampler {
    SG_SAMPLER_POISSON,
    SG_SAMPLER_TRUNCATED_POISSON,
    SG_SAMPLER_FIXED_SIZE,
    SG_SAMPLER_FULL_BATCH,
    SG_SAMPLER_SHUFFLE,
    SG_N_SAMPLERS
};
enum sg_relation { SG_ADD_OR_REMOVE_ONE, SG_REPLACE_ONE, SG_N_RELATIONS };

/* Names as they stand in plans, records and --json: "poisson", "truncated_poisson", "fixed_size", "full_batch",
 * "shuffle"; "add_or_remove_one", "replace_one". Parsing returns -1 for an unknown name. */
const char *sg_sampler_name(enum sg_sampler sampler);
int sg_sampler_parse(const char *name);
const char *sg_relation_name(enum sg_relation relation);
int sg_relation_parse(const char *name);
/* One sentence a reader must see with the figure, or "": why shuffling is given no amplification. */
const char *sg_sampler_caution(enum sg_sampler sampler);

struct sg_phase {
    double sample_rate;      /* q in (0, 1] */
    double noise_multiplier; /* sigma = std / C > 0, on the sum */
    int64_t steps;           /* >= 1 */
};

/* A statistic released once or more beside the training: noise std (Gaussian) or scale (Laplace) over its sensitivity
 * under the history's relation. Every record takes part; groups multiply the sensitivity. */
enum sg_query_kind { SG_QUERY_GAUSSIAN, SG_QUERY_LAPLACE };
struct sg_query {
    enum sg_query_kind kind;
    double noise_multiplier;
    int64_t count;
};

/* Fields left zero mean: no queries, single records, no cap. */
struct sg_history {
    enum sg_sampler sampler;
    enum sg_relation relation;
    double sensitivity; /* in units of C under add-or-remove-one: 1; 2 for clip groups of several units */
    const struct sg_phase *phases;
    size_t n_phases;
    const struct sg_query *queries;
    size_t n_queries;
    int64_t group_size;      /* k records protected together, at most 32 under Poisson sampling; 0 stands for 1 */
    int64_t population_size; /* truncated Poisson: units n, and */
    int64_t batch_max;       /* the cap B of a batch */
};

struct sg_epsilon {
    double epsilon;         /* least certified upper bound */
    double epsilon_lower;   /* certified lower bound: data sets exist that attain it */
    double epsilon_rdp;     /* by RDP at the best real order; INFINITY when no order gives a finite one */
    const char *accountant; /* which engine gave epsilon: "rdp", "contour", "pld", "closed_form" */
};

/* (epsilon, delta) of the whole history. SG_FAILED when two engines disagree by more than their stated errors. */
SG_MUST_USE enum sg_status sg_account_epsilon(const struct sg_history *history, double delta, struct sg_epsilon *out);

/* The least noise multiplier, the same in every phase, whose certified epsilon meets the target (relative gap below
 * 1e-6 between it and the least admissible one); phases' noise is ignored. Queries keep theirs; SG_USAGE when no noise
 * can meet the target. *out is the epsilon of the result and never above target_epsilon. */
SG_MUST_USE enum sg_status sg_account_calibrate(const struct sg_history *history, double target_epsilon, double delta,
                                                double *noise_multiplier, struct sg_epsilon *out);
/* The most steps of the last phase, and the largest rate in every phase, whose certified epsilon meets the target.
 * SG_USAGE when not even one step (a rate of 1e-9) fits. */
SG_MUST_USE enum sg_status sg_account_calibrate_steps(const struct sg_history *history, double target_epsilon,
                                                      double delta, int64_t *steps, struct sg_epsilon *out);
SG_MUST_USE enum sg_status sg_account_calibrate_rate(const struct sg_history *history, double target_epsilon,
                                                     double delta, double *sample_rate, struct sg_epsilon *out);

/* Renyi divergence of order alpha > 1 of the whole history, rounded up (Mironov et al. 2019, 1908.10530). */
SG_MUST_USE enum sg_status sg_account_rdp(const struct sg_history *history, double alpha, double *out);
/* epsilon from a Renyi divergence `rho` at order alpha (Canonne, Kamath, Steinke 2020, 2004.00010, proposition 12),
 * rounded up. */
double sg_account_rdp_to_epsilon(double rho, double alpha, double delta);
/* ln of the delta at epsilon that the same proposition gives, rounded up. */
double sg_account_rdp_to_log_delta(double rho, double alpha, double epsilon);

#endif
