/* A backend whose memory the host may not touch: the CPU's ops behind a fence. Its pages can be read and written only
 * while an op or a copy runs, so that whoever looks at a tensor from outside ends by SIGSEGV; what is allocated holds
 * NaNs, so that what was never brought there shows. For one thread. */
#ifndef SG_TESTS_RUN_FAR_H
#define SG_TESTS_RUN_FAR_H

#include "ops/ops.h"

const struct sg_ops *far_ops(void);
/* Blocks that are not given back. */
int far_blocks(void);
/* The n-th allocation from now on fails, n from 1; 0: none. */
void far_fail_alloc(int n);
/* Whether the host may read there now. */
bool far_is_fenced(const void *at);

#endif
