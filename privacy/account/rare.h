/* The contour for rare losses: few steps, or a small rate at little noise. There nearly all steps lose next to nothing,
 * and the transform of their law hardly falls along the line. So each step's law is parted by two smooth weights into a
 * core, whose losses cannot add up to epsilon, and a tail; what the steps give without the core's own power is summed,
 * and that falls as fast as the tail is smooth. docs/accounting.md, section 5. */
#ifndef SG_ACCOUNT_RARE_H
#define SG_ACCOUNT_RARE_H

#include "composition.h"

/* Bounds of the epsilon >= 0 with delta(epsilon) = delta, for sampled Gaussian events seen in the direction in which
 * the loss rises with x. False when out of reach. */
bool sg_rare_epsilon(const struct sg_composition *composition, double delta, double *lower, double *upper);

#endif
