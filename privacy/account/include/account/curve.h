/* More than one number: delta as a function of epsilon, the attacker's best test, other notions, the price of tuning.
 */
#ifndef SG_ACCOUNT_CURVE_H
#define SG_ACCOUNT_CURVE_H

#include "account/account.h"

/* delta of the whole history at epsilon >= 0: certified bounds from both sides (*lower is 0 where the dominating
 * pair is not a pair of data sets). */
SG_MUST_USE enum sg_status sg_account_delta(const struct sg_history *history, double epsilon, double *lower,
                                            double *upper);

struct sg_privacy_point {
    double epsilon, delta; /* delta is an upper bound at epsilon */
};
struct sg_attack_point {
    double false_positive_rate;    /* of a test whether a person took part */
    double true_positive_rate_max; /* no test has more; an upper bound */
};

enum { SG_CURVE_POINTS = 33, SG_ATTACK_POINTS = 9 };
struct sg_curve {
    struct sg_privacy_point privacy[SG_CURVE_POINTS]; /* epsilon from 0 to where delta is about 1e-12 */
    struct sg_attack_point attack[SG_ATTACK_POINTS];  /* false-positive rates 1e-5 to 0.5 */
};

/* The trade-off: TPR <= min over epsilon of delta + e^epsilon FPR and 1 - e^-epsilon (1 - delta - FPR) (Wasserman, Zhou
 * 2010; Dong, Roth, Su 2022, proposition 2.12), over the curve's points. */
SG_MUST_USE enum sg_status sg_account_curve(const struct sg_history *history, struct sg_curve *out);

/* Other notions. zCDP rho at delta: the best order of rho alpha. Gaussian differential privacy mu: its exact curve.
 * Upper bounds. */
double sg_zcdp_epsilon(double rho, double delta);
double sg_gdp_epsilon(double mu, double delta);
/* The other way, for histories without sampling only (full batch, shuffle, Gaussian queries): mu, and rho = mu^2 / 2.
 * SG_USAGE for others: a subsampled mechanism has no such number that is both finite and tight. */
SG_MUST_USE enum sg_status sg_account_gdp(const struct sg_history *history, double *mu);

/* Choosing the best of K trials of one plan, K drawn at random before anything is looked at (Papernot, Steinke 2022,
 * 2110.03620). With shape eta > -1 and gamma in (0, 1): truncated negative binomial (eta 1 geometric, eta 0
 * logarithmic). */
enum sg_tuning_kind {
    SG_TUNING_NEGATIVE_BINOMIAL,
    SG_TUNING_POISSON,
    SG_TUNING_SWEEP, /* K was a fixed number of runs by hand: the composition of all of them, nothing less */
};
struct sg_tuning {
    enum sg_tuning_kind kind;
    double shape;           /* eta */
    double trials_expected; /* E[K] >= 1; for a sweep the number of runs, whole */
};
SG_MUST_USE enum sg_status sg_account_tuning(const struct sg_history *history, const struct sg_tuning *tuning,
                                             double delta, double *epsilon);

#endif
