/* What the contour's sum leaves out: a proven bound of |E[e^{itL}]| under the tilted law, for all t beyond a point.
 *
 * No quadrature of an oscillating integrand is needed for it. Two facts do (docs/accounting.md, section "Tail"):
 * cells of the tilted law whose losses lie close together turn against each other, 1 - |phi|^2 = E[1 - cos t(L - L')],
 * and on an interval where the loss has a density of bounded variation V, |int e^{itL}| <= V / t. */
#ifndef SG_ACCOUNT_BRIDGE_H
#define SG_ACCOUNT_BRIDGE_H

#include "pair.h"

enum { SG_BRIDGE_SEGMENTS = 24 };
struct sg_bridge {
    size_t n;        /* cells; the arrays have n + 1 points */
    double *loss;    /* ascending */
    double *mass;    /* of cell i, a lower bound, in units of the whole tilted law */
    double *density; /* of the loss, upper bound at point i */
    /* Cells and total variation of the density of each of 24 equal stretches, summed on their own: differences of
     * prefix sums would lose all of a thin stretch beside a dense one. */
    double segment_mass[SG_BRIDGE_SEGMENTS], segment_variation[SG_BRIDGE_SEGMENTS];
};

/* Cells of the event's first branch tilted by c; log_mgf is an upper bound of ln M(c). False when out of reach. */
bool sg_bridge_open(const struct sg_event *event, double c, double log_mgf, struct sg_bridge *out);
void sg_bridge_close(struct sg_bridge *bridge);

/* Lower bound of -ln |phi(t')| for every t' in [t, t_next]; with t_next = INFINITY for every t' >= t. */
double sg_bridge_decay(const struct sg_bridge *bridge, double t, double t_next);

#endif
