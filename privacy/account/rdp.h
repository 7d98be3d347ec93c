/* RDP at any real order: the ceiling of the other engines and the currency of filters. */
#ifndef SG_ACCOUNT_RDP_H
#define SG_ACCOUNT_RDP_H

#include "composition.h"

/* Divergence of order alpha of the composition in its direction, rounded up. */
double sg_composition_rdp(const struct sg_composition *composition, double alpha, struct sg_nodes *nodes);
/* The least epsilon over real orders; *order is where. INFINITY when no order works. */
double sg_composition_rdp_epsilon(const struct sg_composition *composition, double delta, double *order);

#endif
