/* The two builds of the CPU backend, for sg_ops_cpu and for the tests that hold them against each other. */
#ifndef SG_OPS_CPU_H
#define SG_OPS_CPU_H

#include "ops/ops.h"

const struct sg_ops *sg_ops_cpu_avx2(void);
const struct sg_ops *sg_ops_cpu_avx512(void);
/* What this machine can run. */
bool sg_ops_has_avx2(void);
bool sg_ops_has_avx512(void);

#endif
