/* Kernels that do what they should, and kernels with one fault each: test_emulation.c says what must be seen. */
#include <stdlib.h>

#include "device.h"
#include "emulation_kernels.h"
#include "launch.h"
#include "primitives.h"

/* Sums each block's 32 x n floats: within warps by shuffles, between them through shared memory. */
SG_KERNEL(sg_k_test_sum)(const int32_t *x, int32_t *sum)
{
    SG_SHARED(int32_t, parts, 32);
    int32_t own = x[blockIdx.x * blockDim.x + threadIdx.x];
    for (int by = 16; by; by /= 2)
        own += __shfl_down_sync(SG_ALL_LANES, own, by);
    if (sg_lane() == 0)
        parts[threadIdx.x / SG_WARP] = own;
    __syncthreads();
    if (threadIdx.x == 0) {
        int32_t all = 0;
        for (unsigned w = 0; w < blockDim.x / SG_WARP; w++)
            all += parts[w];
        sum[blockIdx.x] = all;
    }
}

/* Every block adds its number to the next one's cell, round after round, and all meet between. */
SG_KERNEL(sg_k_test_ring)(int rounds, int32_t *cell)
{
    for (int r = 0; r < rounds; r++) {
        int32_t before = cell[blockIdx.x];
        sg_grid_sync();
        if (threadIdx.x == 0)
            cell[(blockIdx.x + 1) % gridDim.x] = before + 1;
        sg_grid_sync();
    }
}

SG_KERNEL(sg_k_test_lanes)(int32_t *out)
{
    int lane = sg_lane();
    out[lane] = __shfl_sync(SG_ALL_LANES, lane, 5);
    out[32 + lane] = __shfl_up_sync(SG_ALL_LANES, lane, 3);
    out[64 + lane] = __shfl_down_sync(SG_ALL_LANES, lane, 3);
    out[96 + lane] = __shfl_xor_sync(SG_ALL_LANES, lane, 9);
    out[128 + lane] = __shfl_down_sync(SG_ALL_LANES, lane, 3, 8);
    out[160 + lane] = (int32_t)__ballot_sync(SG_ALL_LANES, lane % 3 == 0);
    out[192 + lane] = __any_sync(SG_ALL_LANES, lane == 31) + 2 * __all_sync(SG_ALL_LANES, lane < 31);
    out[224 + lane] = __syncthreads_count(lane < 7);
}

SG_KERNEL(sg_k_test_atomics)(unsigned long long *sum, int32_t *most)
{
    atomicAdd(sum, (unsigned long long)threadIdx.x);
    atomicMax(most, (int32_t)(threadIdx.x * blockIdx.x));
}

/* One fault each. `x` holds 64 words, all written. */
SG_KERNEL(sg_k_test_fault)(int fault, int32_t *x, int32_t *unwritten, const int32_t *host)
{
    SG_SHARED(int32_t, shared, 64);
    int t = (int)threadIdx.x;
    switch (fault) {
    case FAULT_RETURNS_BEFORE_BARRIER:
        if (t == 40)
            return;
        __syncthreads();
        break;
    case FAULT_OTHER_BARRIER:
        if (t < 32)
            __syncthreads();
        else
            __syncthreads();
        break;
    case FAULT_LANE_MISSING:
        if (t != 3)
            x[t] = __shfl_xor_sync(SG_ALL_LANES, t, 1);
        break;
    case FAULT_WARP_AGAINST_BLOCK:
        if (t % 32 == 0)
            __syncthreads();
        else
            __syncwarp();
        break;
    case FAULT_MASK:
        x[t] = __shfl_sync(0xffffu, t, 0);
        break;
    case FAULT_SHARED_UNWRITTEN:
        if (t == 0)
            x[0] = shared[7];
        break;
    case FAULT_SHARED_OUTSIDE:
        shared[t == 0 ? 64 : t] = 1;
        break;
    case FAULT_SHARED_RACE:
        shared[t] = t;
        x[t] = shared[63 - t];
        break;
    case FAULT_SHARED_RACE_LATE: /* read before the barrier, written after it by another, without a second barrier */
        shared[t] = t;
        __syncthreads();
        x[t] = shared[63 - t];
        shared[t] = 2 * t;
        break;
    case FAULT_DEVICE_OUTSIDE:
        x[t == 5 ? 64 : t] = 1;
        break;
    case FAULT_DEVICE_UNWRITTEN:
        x[t] = unwritten[t];
        break;
    case FAULT_DEVICE_RACE:
        x[0] = t;
        break;
    case FAULT_ATOMIC_AND_PLAIN:
        if (t == 0)
            x[0] = 1;
        else
            atomicAdd(&x[0], 1);
        break;
    case FAULT_HOST_MEMORY:
        x[t] = host[t];
        break;
    default:
        break;
    }
}

static int32_t *device_words(int n, const int32_t *words)
{
    int32_t *at = (int32_t *)sg_cuda_alloc((size_t)n * sizeof *at);
    if (words)
        sg_cuda_upload(at, words, (size_t)n * sizeof *at);
    return at;
}

void emulation_sum(int blocks, int threads, const int32_t *x, int32_t *sum)
{
    int32_t *dx = device_words(blocks * threads, x), *dsum = device_words(blocks, NULL);
    SG_LAUNCH(sg_k_test_sum, blocks, threads, 0, dx, dsum);
    sg_cuda_download(sum, dsum, (size_t)blocks * sizeof *sum);
    sg_cuda_free(dx);
    sg_cuda_free(dsum);
}

void emulation_ring(int blocks, int threads, int rounds, int32_t *cells)
{
    int32_t *at = device_words(blocks, cells);
    SG_LAUNCH_COOPERATIVE(sg_k_test_ring, blocks, threads, 0, rounds, at);
    sg_cuda_download(cells, at, (size_t)blocks * sizeof *cells);
    sg_cuda_free(at);
}

void emulation_lanes(int32_t out[256])
{
    int32_t *at = device_words(256, NULL);
    SG_LAUNCH(sg_k_test_lanes, 1, 32, 0, at);
    sg_cuda_download(out, at, 256 * sizeof *out);
    sg_cuda_free(at);
}

void emulation_atomics(int blocks, int threads, int64_t *sum, int32_t *most)
{
    unsigned long long *dsum = (unsigned long long *)sg_cuda_alloc(sizeof *dsum);
    int32_t *dmost = (int32_t *)sg_cuda_alloc(sizeof *dmost);
    sg_cuda_zero(dsum, sizeof *dsum);
    sg_cuda_zero(dmost, sizeof *dmost);
    SG_LAUNCH(sg_k_test_atomics, blocks, threads, 0, dsum, dmost);
    sg_cuda_download(sum, dsum, sizeof *sum);
    sg_cuda_download(most, dmost, sizeof *most);
    sg_cuda_free(dsum);
    sg_cuda_free(dmost);
}

const char *emulation_fault(int fault)
{
    int32_t words[64] = {0}, *x = device_words(64, words), *unwritten = device_words(64, NULL);
    sg_emulate_catch(true);
    if (fault == FAULT_BLOCK_TOO_LARGE)
        SG_LAUNCH(sg_k_test_fault, 1, 1025, 0, FAULT_NONE, x, unwritten, NULL);
    else if (fault == FAULT_GRID_EMPTY)
        SG_LAUNCH(sg_k_test_fault, 0, 64, 0, FAULT_NONE, x, unwritten, NULL);
    else if (fault == FAULT_SHARED_TOO_LARGE)
        SG_LAUNCH(sg_k_test_fault, 1, 64, 49153, FAULT_NONE, x, unwritten, NULL);
    else
        SG_LAUNCH(sg_k_test_fault, 1, 64, 0, fault, x, unwritten, words);
    sg_emulate_catch(false);
    sg_cuda_free(x);
    sg_cuda_free(unwritten);
    return sg_emulate_caught();
}

bool emulation_watches(void)
{
    return sg_emulate_watches();
}
