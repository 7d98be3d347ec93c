/* The headline engine: delta(epsilon) as a contour integral, summed by the trapezoid rule, with a certificate.
 *
 *   delta(eps) = 1/(2 pi i) int_{c-i inf}^{c+i inf} e^{K(s) - s eps} / (s (s+1)) ds,   K(s) = ln E_P[e^{sL}], any c > 0
 *
 * (Alghamdi et al. 2023, 2208.09595, theorem 3.1). With step dt the sum is sum_k e^{ckP} delta(eps + kP), P = 2 pi /
 * dt, by Poisson's formula: it can only err upwards. docs/accounting.md states what is added for the tail and for
 * rounding. */
#ifndef SG_ACCOUNT_CONTOUR_H
#define SG_ACCOUNT_CONTOUR_H

#include "composition.h"

/* Bounds of the epsilon >= 0 with delta(epsilon) = delta in the composition's direction. False when the engine cannot
 * certify a useful figure (few steps, Laplace alone, out of reach). */
enum sg_contour_form {
    SG_CONTOUR_CHEAP,         /* only where the plain line is short */
    SG_CONTOUR_WHOLE,         /* the plain line whatever it takes, within a tenth of a second */
    SG_CONTOUR_CHEAP_THINNED, /* short, with the rarest losses left out; P is the mixture: sg_composition_thin applies
                               */
    SG_CONTOUR_THINNED,       /* the same whatever it takes */
};
bool sg_contour_epsilon(struct sg_composition *composition, enum sg_contour_form form, double delta, double *lower,
                        double *upper);
/* Bounds of delta at epsilon >= 0; `enough` stops early once delta is known to be below it (0: never). */
bool sg_contour_delta(const struct sg_composition *composition, double epsilon, double enough, double *lower,
                      double *upper);

#endif
