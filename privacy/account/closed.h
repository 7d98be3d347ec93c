/* Closed forms, in 64-bit-mantissa long double with an error bound: Gaussian differential privacy and single steps. */
#ifndef SG_ACCOUNT_CLOSED_H
#define SG_ACCOUNT_CLOSED_H

#include <stdbool.h>

#include "pair.h"

/* Bounds of delta(epsilon) of the Gaussian mechanism N(0,1) against N(mu,1) (Balle, Wang 2018, 1805.06530, theorem 8).
 */
void sg_gaussian_delta(double mu, double epsilon, double *lower, double *upper);
/* Bounds of the epsilon >= 0 whose delta(epsilon) = delta. */
void sg_gaussian_epsilon(double mu, double delta, double *lower, double *upper);

/* The same for one step of any event whose loss is monotone in x (all of ours are). False when out of range. */
bool sg_event_delta_once(const struct sg_event *event, double epsilon, double *lower, double *upper);
bool sg_event_epsilon_once(const struct sg_event *event, double delta, double *lower, double *upper);

/* Upper bound of the normal tail Phi(-x), relative error 1e-15; and its inverse (quantile of 1 - p). */
double sg_normal_tail(double x);
double sg_normal_tail_inverse(double p);

#endif
