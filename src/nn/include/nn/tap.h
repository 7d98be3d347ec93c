/* A tap records what a weight's gradient is made of, without making it: for y = W a the gradient of one unit is the sum
 * over its rows of g a^T, g = d(loss of that unit)/dy. Backward only fills taps; whoever holds the taps may take norms,
 * clip and sum (privacy/mechanism), or check them (tests). A weight used at several places or times is one tap with
 * more rows. */
#ifndef SG_NN_TAP_H
#define SG_NN_TAP_H

#include <stdbool.h>
#include <stdint.h>

/* LINEAR: the bias, where there is one, is the last column of W and a ends in 1. */
struct sg_tap {
    float *a; /* (R, n_in), distance lda */
    float *g; /* (R, n_out), distance ldg */
    int64_t lda, ldg, n_in, n_out;
    const int32_t *offset; /* (B+1): unit b of the batch owns rows offset[b] .. offset[b+1] of this tap */
    bool per_step;  /* a row for each time step of a unit; false: one row a unit. For the plan's operation counts */
    int64_t weight; /* where W (n_out, n_in) begins in the vector of trainable parameters */
};

#endif
