/* The one way in which kernels are written and launched. Every .cu file is compiled twice from the same text: by nvcc
 * for the card, and by g++ with tests/cuda/emulate.h, which runs the kernels on the CPU and watches them.
 *
 * A kernel is SG_KERNEL(sg_k_name)(arguments) { ... }. Inside it the standard names of CUDA hold (threadIdx,
 * __syncthreads, __shfl_sync and so on). What the emulation enforces: every thread of a block reaches the same barriers
 * (none returns before one), all 32 lanes of a warp reach a shuffle or vote, with mask SG_ALL_LANES; shared memory and
 * device memory are written before they are read; where two threads touch one word and one of them writes, a barrier
 * stands between (__syncwarp within a warp, __syncthreads within a block, sg_grid_sync in a cooperative launch), or
 * both are atomics; no access leaves its allocation; a kernel reads nothing of the host's and the host nothing of the
 * device's. Instructions of PTX stand in primitives.h. */
#ifndef SG_CUDA_LAUNCH_H
#define SG_CUDA_LAUNCH_H

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#include <cooperative_groups.h>
#include <cuda_runtime.h>

#define SG_KERNEL(name) __global__ void name
/* Before a kernel: SG_KERNEL_BOUNDS(256, 2) SG_KERNEL(sg_k_name)(...) */
#define SG_KERNEL_BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
#define SG_DEVICE static __device__ __forceinline__
/* A table in constant memory: SG_CONSTANT float powers[4] = {...}; */
#define SG_CONSTANT static __constant__ const
/* An array of this block: a pointer in the emulation, so sizeof says nothing. Aligned to 16. */
#define SG_SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define SG_DYNAMIC_SHARED(type, name)                                                                                  \
    extern __shared__ __align__(16) unsigned char sg_dynamic_shared[];                                                 \
    type *name = reinterpret_cast<type *>(sg_dynamic_shared)
#define SG_UNROLL _Pragma("unroll")

SG_DEVICE void sg_grid_sync()
{
    cooperative_groups::this_grid().sync();
}

/* SG_LAUNCH(kernel, grid, block, shared_bytes, arguments...): grid and block are dim3 or int. A template's name with
 * commas goes in parentheses. */
#define SG_LAUNCH(kernel, grid, block, shared_bytes, ...)                                                              \
    do {                                                                                                               \
        kernel<<<grid, block, shared_bytes, sg_cuda_stream()>>>(__VA_ARGS__);                                          \
        sg_cuda_launched(#kernel);                                                                                     \
    } while (0)

/* All blocks are on the card at once and may meet at sg_grid_sync(). */
template <typename... P, typename... A>
static inline void sg_launch_cooperative(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                                         size_t shared_bytes, A... arguments);
#define SG_LAUNCH_COOPERATIVE(kernel, grid, block, shared_bytes, ...)                                                  \
    sg_launch_cooperative(#kernel, kernel, grid, block, shared_bytes, __VA_ARGS__)
#else
#include "emulate.h"
#endif

#define SG_WARP 32
#define SG_ALL_LANES 0xffffffffu
/* Above 48 KiB a kernel must ask for its dynamic shared memory. What sm_80 has for one block: 163 KiB. */
#define SG_SHARED_BYTES_MAX (163 * 1024)

/* ---- What device.cu gives to launches ---- */

/* The module's stream. */
cudaStream_t sg_cuda_stream(void);
/* After a launch: takes its error, if any, as the sticky one (device.h). */
void sg_cuda_launched(const char *kernel);
/* Once before the launches of a kernel with more than 48 KiB of dynamic shared memory, at most SG_SHARED_BYTES_MAX. */
void sg_cuda_shared_opt_in_at(const void *kernel, const char *name, size_t bytes);
#define sg_cuda_shared_opt_in(kernel, bytes)                                                                           \
    sg_cuda_shared_opt_in_at(reinterpret_cast<const void *>(&kernel), #kernel, bytes)
/* How many blocks of this kernel the card holds at once: the most that a cooperative launch may have. */
int sg_cuda_resident_blocks_at(const void *kernel, const char *name, int block, size_t shared_bytes);
#define sg_cuda_resident_blocks(kernel, block, shared_bytes)                                                           \
    sg_cuda_resident_blocks_at(reinterpret_cast<const void *>(&kernel), #kernel, block, shared_bytes)

void sg_cuda_failed_launch(const char *kernel, cudaError_t error);

#ifdef __CUDACC__
template <typename... P, typename... A>
static inline void sg_launch_cooperative(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                                         size_t shared_bytes, A... arguments)
{
    static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel takes");
    /* Converted to the kernel's own types first: their addresses are passed. */
    auto start = [=](P... converted) {
        void *at[] = {(void *)&converted...};
        cudaError_t error =
            cudaLaunchCooperativeKernel((const void *)kernel, grid, block, at, shared_bytes, sg_cuda_stream());
        if (error != cudaSuccess)
            sg_cuda_failed_launch(name, error);
    };
    start(arguments...);
    sg_cuda_launched(name);
}
#endif

/* ---- Small help for both sides ---- */

/* Blocks of `per` that cover n, at least 1 and at most 2^30: kernels loop by their grid beyond it. */
static inline int sg_blocks(int64_t n, int64_t per)
{
    int64_t blocks = (n + per - 1) / per;
    return blocks < 1 ? 1 : blocks > (1 << 30) ? 1 << 30 : (int)blocks;
}

#endif
