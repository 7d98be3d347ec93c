/* What the files of this folder share of the mechanism. Not for other folders. */
#ifndef SG_MECHANISM_INTERNAL_H
#define SG_MECHANISM_INTERNAL_H

#include "mechanism/mechanism.h"

struct sg_mechanism {
    struct sg_plan plan;
    const struct sg_ops *ops;
    struct sg_unit_sampler *sampler;
    struct sg_noise *noise; /* NULL without privacy */
    /* Where the ops' memory is far: the sampler's table there, or (P) a step's sum while the host adds the noise. */
    void *far_table;
    int64_t *far_sum;
    int64_t steps_done;
};

#endif
