/* The accountant: a history of phases in, a certified upper bound on epsilon out. Needs base only.
 *
 * Rounding always goes up. NaN, negative, subnormal, infinite and absurd inputs are refused (SG_USAGE). */
#ifndef SG_ACCOUNT_ACCOUNT_H
#define SG_ACCOUNT_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum sg_sampler { SG_SAMPLER_POISSON, SG_SAMPLER_TRUNCATED_POISSON, SG_SAMPLER_FIXED_SIZE, SG_SAMPLER_FULL_BATCH, SG_SAMPLER_SHUFFLE, SG_N_SAMPLERS };
enum sg_relation { SG_ADD_OR_REMOVE_ONE, SG_REPLACE_ONE, SG_N_RELATIONS };

/* Names as they stand in plans, records and --json: "poisson", "truncated_poisson", "fixed_size", "full_batch", "shuffle";
 * "add_or_remove_one", "replace_one". Parsing returns -1 for an unknown name. */
const char *sg_sampler_name(enum sg_sampler sampler);
int sg_sampler_parse(const char *name);
const char *sg_relation_name(enum sg_relation relation);
int sg_relation_parse(const char *name);

struct sg_phase {
    double sample_rate;      /* q in (0, 1] */
    double noise_multiplier; /* sigma = std / C > 0, on the sum */
    int64_t steps;           /* >= 1 */
};

struct sg_history {
    enum sg_sampler sampler;
    enum sg_relation relation;
    double sensitivity;           /* in units of C under add-or-remove-one: 1; 2 for clip groups of several units */
    const struct sg_phase *phases;
    size_t n_phases;
};

struct sg_epsilon {
    double epsilon;       /* least certified upper bound */
    double epsilon_lower; /* certified lower bound */
    double epsilon_rdp;   /* by RDP at the best real order */
    const char *accountant; /* which engine gave epsilon: "rdp", "contour", "pld", "closed_form" */
};

/* (epsilon, delta) of the whole history. */
SG_MUST_USE enum sg_status sg_account_epsilon(const struct sg_history *history, double delta, struct sg_epsilon *out);
/* The least noise multiplier, the same in every phase, whose certified epsilon meets the target; phases' noise is ignored. */
SG_MUST_USE enum sg_status sg_account_calibrate(const struct sg_history *history, double target_epsilon, double delta,
                                                double *noise_multiplier, struct sg_epsilon *out);
/* Renyi divergence of order alpha > 1 of the whole history, rounded up (Mironov et al. 2019, 1908.10530). */
SG_MUST_USE enum sg_status sg_account_rdp(const struct sg_history *history, double alpha, double *out);
/* epsilon from a Renyi divergence `rho` at order alpha (Canonne, Kamath, Steinke 2020, 2004.00010, proposition 12), rounded up. */
double sg_account_rdp_to_epsilon(double rho, double alpha, double delta);

#endif
