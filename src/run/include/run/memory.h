/* How a run lays its work out in memory, and what that takes. Nothing here changes a bit of the result. */
#ifndef SG_RUN_MEMORY_H
#define SG_RUN_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct sg_shape {
    int n_workers;
    int64_t panels; /* that a worker takes at once */
    bool recompute; /* keep the blocks' inputs only and compute each block again (families with blocks) */
};

#endif
