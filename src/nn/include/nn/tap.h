/* A tap records what a weight's gradient is made of, without making it: for y = W a the gradient of one unit is the sum
 * over its rows of g a^T, g = d(loss of that unit)/dy. Backward only fills taps; whoever holds the taps may take norms,
 * clip and sum (privacy/mechanism), or check them (tests). A weight used at several places or times is one tap with
 * more rows. */
#ifndef SG_NN_TAP_H
#define SG_NN_TAP_H

#include <stdint.h>

/* LINEAR: weight (n_out, n_in). A bias is the last column of W and a ends in 1, or a tap of its own with n_in = 1 whose
 * a is one shared 1 (lda = 0: the same row for all, never written). EMBED: weight (n_out ids, n_in floats); a is NULL,
 * id says which row of the weight a row's g (R, n_in) belongs to, -1 none. SCALE: the gain of a layer norm, weight
 * (n_out, 1); a = xhat (R, n_out), g (R, n_out): its gradient is sum of g a, by coordinate. */
enum sg_tap_kind { SG_TAP_LINEAR, SG_TAP_EMBED, SG_TAP_SCALE };

struct sg_tap {
    enum sg_tap_kind kind;
    float *a;          /* (R, n_in), distance lda */
    float *g;          /* (R, n_out), distance ldg */
    const int32_t *id; /* (R) of an EMBED tap, in the memory of the ops as a and g are */
    int64_t lda, ldg, n_in, n_out;
    const int32_t *offset; /* (B+1) in the host's: unit b of the batch owns rows offset[b] .. offset[b+1] of this tap */
    int64_t weight;        /* where W (n_out, n_in) begins in the vector of trainable parameters */
};

#endif
