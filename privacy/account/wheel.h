/* The characteristic function of one event's tilted loss along a line, with its rounding error: e^{itd} - 1 of every
 * quadrature node, carried along t by a recurrence. docs/accounting.md, section 4. */
#ifndef SG_ACCOUNT_WHEEL_H
#define SG_ACCOUNT_WHEEL_H

#include "pair.h"

enum { SG_WHEEL_RESYNC = 64 }; /* steps between two fresh starts of the recurrence */

/* One event on the contour: e^{it d_i} - 1 carried along t by a recurrence. */
struct sg_wheel {
    size_t n;                                        /* a multiple of LANES, padded with weight 0 */
    double count, reach;                             /* d = loss - centre; reach = sum w |d| */
    double rounding_slope, rounding_cap, loss_slope; /* error of the sum, units of SG_UNIT: see sg_wheel_error */
    double truncation;
    double *w, *d, *er, *ei, *rr, *ri;
};

/* Nodes of the event tilted by c, good for |t| <= t_max; losses are taken from `centre`. False when out of reach. */
SG_MUST_USE bool sg_wheel_open(const struct sg_event *event, double c, double t_max, double digits, double centre,
                               struct sg_nodes *nodes, struct sg_wheel *out);
void sg_wheel_close(struct sg_wheel *wheel);
/* Sets every node's e^{it d} - 1 afresh. */
void sg_wheel_set(struct sg_wheel *wheel, double t, double *real, double *imag);
/* The weighted sum of e^{it d} - 1 at the current t, then one step on. */
void sg_wheel_sum(struct sg_wheel *wheel, double *real, double *imag);
/* Absolute error of the sum at t: weights, losses, recurrence and additions; at most linear in t, and capped. */
double sg_wheel_error(const struct sg_wheel *wheel, double t);

#endif
