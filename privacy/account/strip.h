/* The step of the trapezoid rule for a tilted pair. The rule's error is the integral of the integrand's modulus along
 * two lines beside the real axis; docs/accounting.md, section 3. */
#ifndef SG_ACCOUNT_STRIP_H
#define SG_ACCOUNT_STRIP_H

#include "pair.h"

/* ln of the integrand e^{-x^2/2s^2} p^{1+c} q^{-c}, and of the Gaussian weight alone, thinning included, at the ends of
 * n cells. Between two points either exceeds its chord by at most 1/8; outside it falls at least like a Gaussian of
 * width sigma centred at `reach` within the end. */
struct sg_scan {
    size_t n;
    double low, cell, reach, peak;
    double *value, *base;
};

SG_MUST_USE bool sg_scan_open(const struct sg_pair *pair, double c, double digits, struct sg_scan *out);
void sg_scan_close(struct sg_scan *scan);

struct sg_step {
    double h;         /* rounded to 12 significant bits, so that i h is exact */
    double log_error; /* ln of the rule's error, absolute, in units of e^value per unit of x, for every |t| <= t_max */
};
struct sg_step sg_scan_step(const struct sg_pair *pair, double c, double t_max, double digits,
                            const struct sg_scan *scan);

/* For |M(c + it)|, t > 0: with the line moved by theta sigma^2 to where e^{itL} is small, the modulus of the integral
 * is at most sum_k e^{level[k] - t angle[k]} over n + 2 cells (the scan's, and what lies beyond either end), in units
 * of probability per unit of x. */
void sg_scan_turns(const struct sg_pair *pair, double c, double theta, const struct sg_scan *scan, double *level,
                   double *angle);

#endif
