/* Where to integrate: the saddle point of K(s) - s epsilon - ln s(s+1) on the real line. Only a choice, never a claim.
 */
#ifndef SG_ACCOUNT_SADDLE_H
#define SG_ACCOUNT_SADDLE_H

#include "composition.h"

struct sg_saddle {
    double c, epsilon, log_delta; /* by the saddle-point approximation */
    double cancellation;          /* nats by which the integrand on the line exceeds delta */
    bool ok;
};

/* The c at which ln delta (by_delta) or else epsilon meets the target; the search starts from `start`. */
struct sg_saddle sg_saddle_find(const struct sg_composition *composition, double target, bool by_delta, double start,
                                struct sg_nodes *nodes);

#endif
