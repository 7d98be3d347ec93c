/* Instructions that CUDA C++ has no plain name for: each with a plain twin, which the emulation runs. */
#ifndef SG_CUDA_PRIMITIVES_H
#define SG_CUDA_PRIMITIVES_H

#include "launch.h"

/* ---- Copies from global to shared memory that do not pass through registers (cp.async, sm_80) ----
 * A thread's copies are done for itself after sg_copy_wait, for the block after a barrier behind that. `bytes_valid`
 * (0 or the whole) decides whether memory is read: zeros are written where it is 0, and `from` need not be mapped. */

/* 16 bytes, both ends aligned to 16. */
SG_DEVICE void sg_copy_async_16(void *shared, const void *from, bool exists)
{
#ifdef __CUDA_ARCH__
    unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    int bytes = exists ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
#else
    *(float4 *)shared = exists ? *(const float4 *)from : make_float4(0, 0, 0, 0);
#endif
}

/* 4 bytes. */
SG_DEVICE void sg_copy_async_4(void *shared, const void *from, bool exists)
{
#ifdef __CUDA_ARCH__
    unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    int bytes = exists ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
#else
    *(float *)shared = exists ? *(const float *)from : 0;
#endif
}

/* Closes a group of this thread's copies. */
SG_DEVICE void sg_copy_commit()
{
#ifdef __CUDA_ARCH__
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* Waits until at most `groups` of this thread's latest groups are still on their way. */
template <int groups> SG_DEVICE void sg_copy_wait()
{
#ifdef __CUDA_ARCH__
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
#endif
}

/* ---- Where a thread stands ---- */

SG_DEVICE int sg_lane()
{
    return (int)(threadIdx.x & (SG_WARP - 1));
}

/* This thread's first index of a loop over the grid in x, and the loop's step. */
SG_DEVICE int64_t sg_grid_first()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

SG_DEVICE int64_t sg_grid_step()
{
    return (int64_t)gridDim.x * blockDim.x;
}

/* Row i of a list that may be NULL. */
SG_DEVICE int64_t sg_row_of(const int32_t *list, int64_t i)
{
    return list ? list[i] : i;
}

#endif
