/* The second engine: the loss distribution on a grid, composed by a tilted Fourier transform.
 *
 * Cells between grid points of the loss carry their masses under P and Q from the normal distribution itself; each
 * cell's mass goes to its two ends so that both masses are kept (connect the dots, Doroshenko et al. 2022, 2207.04380),
 * which dominates the true step. Exponential tilting keeps the transform's rounding relative to delta. It serves what
 * the contour cannot do (few steps of a small rate, Laplace alone) and checks the contour. docs/accounting.md has the
 * certificate. */
#ifndef SG_ACCOUNT_PLD_H
#define SG_ACCOUNT_PLD_H

#include "composition.h"

/* Bounds of the epsilon with delta(epsilon) = delta in the composition's direction; epsilon_max is any known upper
 * bound. The lower one rounds losses down and is coarse. False when out of reach. */
bool sg_pld_epsilon(const struct sg_composition *composition, double delta, double epsilon_max, double *lower,
                    double *upper);
/* Upper bound of delta at epsilon >= 0; one at most `enough` ends the search for a better one. */
bool sg_pld_delta(const struct sg_composition *composition, double epsilon, double enough, double *upper);

#endif
