/* Chooses the CPU backend's vector width. The choice is one of speed alone: the bits are the same. */
#include "ops_cpu.h"

bool sg_ops_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool sg_ops_has_avx512(void)
{
    return sg_ops_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

const struct sg_ops *sg_ops_near(const struct sg_ops *ops)
{
    if (!ops->far)
        return ops;
    return sg_ops_cpu() ? sg_ops_cpu() : sg_ops_reference();
}

const struct sg_ops *sg_ops_cpu(void)
{
    if (sg_ops_has_avx512())
        return sg_ops_cpu_avx512();
    return sg_ops_has_avx2() ? sg_ops_cpu_avx2() : NULL;
}
