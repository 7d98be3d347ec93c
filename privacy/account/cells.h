/* The loss of one step on a grid of multiples of h, from above and from below; docs/accounting.md, section 6. */
#ifndef SG_ACCOUNT_CELLS_H
#define SG_ACCOUNT_CELLS_H

#include "composition.h"

struct sg_cells {
    double first; /* grid index of mass[0] */
    size_t n;
    double *mass;    /* P's, at each point: of a law that dominates the step's, or of one that it dominates */
    double infinite; /* the dominating one's */
    double shift;    /* the dominated one's losses are these less the shift */
    double count;    /* of such steps */
};

/* Step `which` of the composition: its events, then its Laplace releases, then all Gaussian ones as one. A mass of
 * `rest` may be treated roughly at either end. Close it also after failure. */
SG_MUST_USE bool sg_cells_open(const struct sg_composition *composition, size_t which, double h, double rest,
                               bool is_upper, struct sg_cells *out);
void sg_cells_close(struct sg_cells *cells);

#endif
