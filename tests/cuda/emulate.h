/* CUDA on the CPU, for tests: what a .cu file sees instead of nvcc's world (cuda/launch.h includes this).
 *
 * A launch runs its blocks one after the other, and a block's threads as fibres: a thread runs straight through until
 * it must wait for others at a barrier or shuffle, so that kernels without any cost no switch. A cooperative launch has
 * all blocks' threads at once. What goes wrong is a failure with one line: a thread that returns while others wait,
 * threads at different barriers, a warp whose lanes do not all reach a shuffle, a launch that a card would refuse.
 *
 * Memory is watched through the compiler's thread instrumentation (-fsanitize=thread, whose hooks watch.cc defines):
 * accesses outside an allocation, reads of what nobody wrote, and two threads at one word without a barrier between
 * them. Where a build has the address sanitizer instead, that one finds accesses outside. Outside of kernels and copies
 * device memory is closed to the host by the page protection: a host that reads it dies at once. */
#ifndef SG_TESTS_CUDA_EMULATE_H
#define SG_TESTS_CUDA_EMULATE_H

#include <stddef.h>
#include <stdint.h>

#include "emulate_math.h"
#include "emulate_runtime.h"
#include "emulate_types.h"

#define SG_KERNEL(name) static void name
#define SG_KERNEL_BOUNDS(threads, blocks)
#if defined(__SANITIZE_ADDRESS__) /* large bodies would take minutes to compile */
#define SG_DEVICE static inline __attribute__((unused))
#else
#define SG_DEVICE static inline __attribute__((always_inline))
#endif
#define SG_CONSTANT static const
#define SG_UNROLL
#define SG_SHARED(type, name, count)                                                                                   \
    static const char sg_place_of_##name = 0;                                                                          \
    type *const name = static_cast<type *>(sg_emulate_shared(&sg_place_of_##name, sizeof(type) * (size_t)(count)))
#define SG_DYNAMIC_SHARED(type, name) type *const name = static_cast<type *>(sg_emulate_dynamic_shared())

/* ---- Where the running thread stands ---- */
struct sg_emulated_place {
    uint3 thread, block;
    dim3 block_size, grid_size;
};
extern struct sg_emulated_place sg_emulated; /* of the thread that runs now */
#define threadIdx (sg_emulated.thread)
#define blockIdx (sg_emulated.block)
#define blockDim (sg_emulated.block_size)
#define gridDim (sg_emulated.grid_size)
#define warpSize 32

/* ---- Called by the macros ---- */
void *sg_emulate_shared(const void *key, size_t bytes);
void *sg_emulate_dynamic_shared(void);
/* Waits until every thread of the block (of the grid) is at this place. */
void sg_emulate_barrier(const char *file, int line);
void sg_emulate_grid_barrier(const char *file, int line);
/* Waits until every lane of the warp is at this place with its word; returns all 32 words, valid until the lane's next
 * exchange. `what` names the instruction. */
const uint64_t *sg_emulate_exchange(const char *what, unsigned mask, uint64_t word, const char *file, int line);
uint64_t sg_emulate_lane_word(const uint64_t *words, int lane);
/* An atomic access to these bytes, by the running thread. */
void sg_emulate_atomic(const void *at, size_t bytes);
/* Runs body(argument) once for each thread of each block. */
void sg_emulate_run(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes, bool cooperative,
                    void (*body)(const void *), const void *argument, size_t argument_bytes);

/* ---- For tests of the emulation itself ---- */
/* From here on a failure ends the launch and is kept rather than ending the program. */
void sg_emulate_catch(bool caught);
/* The failure since the last call, or NULL. */
const char *sg_emulate_caught(void);
/* True where reads of unwritten memory and missing barriers are found (built without the address sanitizer). */
bool sg_emulate_watches(void);

#define SG_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

static inline void __syncthreads(SG_HERE)
{
    sg_emulate_barrier(file, line);
}

static inline void sg_grid_sync(SG_HERE)
{
    sg_emulate_grid_barrier(file, line);
}

static inline void __threadfence() {}
static inline void __threadfence_block() {}

static inline void __syncwarp(unsigned mask = 0xffffffffu, SG_HERE)
{
    sg_emulate_exchange("__syncwarp", mask, 0, file, line);
}

template <typename T> static inline uint64_t sg_emulate_word(T value)
{
    static_assert(sizeof(T) <= 8, "a word of up to 64 bits");
    uint64_t word = 0;
    __builtin_memcpy(&word, &value, sizeof value);
    return word;
}

template <typename T> static inline T sg_emulate_value(uint64_t word)
{
    T value;
    __builtin_memcpy(&value, &word, sizeof value);
    return value;
}

static inline int sg_emulate_lane()
{
    return (int)((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32);
}

template <typename T> static inline T __shfl_sync(unsigned mask, T value, int from, int width = 32, SG_HERE)
{
    const uint64_t *words = sg_emulate_exchange("__shfl_sync", mask, sg_emulate_word(value), file, line);
    int first = sg_emulate_lane() & ~(width - 1);
    return sg_emulate_value<T>(sg_emulate_lane_word(words, first + (from & (width - 1))));
}

template <typename T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, SG_HERE)
{
    const uint64_t *words = sg_emulate_exchange("__shfl_up_sync", mask, sg_emulate_word(value), file, line);
    int lane = sg_emulate_lane();
    return (lane & (width - 1)) >= (int)by ? sg_emulate_value<T>(sg_emulate_lane_word(words, lane - (int)by)) : value;
}

template <typename T> static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, SG_HERE)
{
    const uint64_t *words = sg_emulate_exchange("__shfl_down_sync", mask, sg_emulate_word(value), file, line);
    int lane = sg_emulate_lane();
    return (lane & (width - 1)) + (int)by < width ? sg_emulate_value<T>(sg_emulate_lane_word(words, lane + (int)by))
                                                  : value;
}

template <typename T> static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, SG_HERE)
{
    const uint64_t *words = sg_emulate_exchange("__shfl_xor_sync", mask, sg_emulate_word(value), file, line);
    int lane = sg_emulate_lane(), other = lane ^ bits;
    /* A lane of a later segment gives its caller's own value. */
    return (other & ~(width - 1)) <= (lane & ~(width - 1)) ? sg_emulate_value<T>(sg_emulate_lane_word(words, other))
                                                           : value;
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, SG_HERE)
{
    const uint64_t *words = sg_emulate_exchange("__ballot_sync", mask, predicate != 0, file, line);
    unsigned votes = 0;
    for (int lane = 0; lane < 32; lane++)
        votes |= (unsigned)sg_emulate_lane_word(words, lane) << lane;
    return votes;
}

static inline int __any_sync(unsigned mask, int predicate, SG_HERE)
{
    return __ballot_sync(mask, predicate, file, line) != 0;
}

static inline int __all_sync(unsigned mask, int predicate, SG_HERE)
{
    return __ballot_sync(mask, predicate, file, line) == 0xffffffffu;
}

/* ---- Barriers that carry a vote ---- */
int sg_emulate_barrier_count(int predicate, const char *file, int line);

static inline int __syncthreads_count(int predicate, SG_HERE)
{
    return sg_emulate_barrier_count(predicate, file, line);
}

static inline int __syncthreads_or(int predicate, SG_HERE)
{
    return sg_emulate_barrier_count(predicate, file, line) != 0;
}

static inline int __syncthreads_and(int predicate, SG_HERE)
{
    return sg_emulate_barrier_count(predicate, file, line) == (int)(blockDim.x * blockDim.y * blockDim.z);
}

/* ---- Atomics: on integers only; a sum of floats would depend on the order ---- */
#define SG_EMULATED_ATOMIC(name, type, result)                                                                         \
    static inline __attribute__((noinline, unused, no_sanitize("thread"))) type name(type *at, type value)             \
    {                                                                                                                  \
        sg_emulate_atomic(at, sizeof *at);                                                                             \
        type old = *at;                                                                                                \
        *at = result;                                                                                                  \
        return old;                                                                                                    \
    }
#define SG_EMULATED_ATOMICS(type)                                                                                      \
    SG_EMULATED_ATOMIC(atomicAdd, type, (type)(old + value))                                                           \
    SG_EMULATED_ATOMIC(atomicMax, type, old > value ? old : value)                                                     \
    SG_EMULATED_ATOMIC(atomicMin, type, old < value ? old : value)                                                     \
    SG_EMULATED_ATOMIC(atomicOr, type, old | value)                                                                    \
    SG_EMULATED_ATOMIC(atomicAnd, type, old &value)                                                                    \
    SG_EMULATED_ATOMIC(atomicXor, type, old ^ value)                                                                   \
    SG_EMULATED_ATOMIC(atomicExch, type, value)
SG_EMULATED_ATOMICS(unsigned)
SG_EMULATED_ATOMICS(unsigned long long)
SG_EMULATED_ATOMIC(atomicAdd, int, (int)((unsigned)old + (unsigned)value))
SG_EMULATED_ATOMIC(atomicMax, int, old > value ? old : value)
SG_EMULATED_ATOMIC(atomicMin, int, old < value ? old : value)
SG_EMULATED_ATOMIC(atomicOr, int, old | value)
SG_EMULATED_ATOMIC(atomicAnd, int, old &value)
SG_EMULATED_ATOMIC(atomicExch, int, value)

template <typename T> static inline T __ldg(const T *at)
{
    return *at;
}

/* ---- Launches ---- */
template <typename F>
static inline void sg_emulate_launch(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                                     bool cooperative, const F &body)
{
    sg_emulate_run(
        name, kernel, grid, block, shared_bytes, cooperative,
        [](const void *argument) { (*static_cast<const F *>(argument))(); }, &body, sizeof body);
}

template <typename T> struct sg_emulated_type {
    using is = T;
};

/* The arguments are the host's, copied for each thread. */
template <typename... P>
static inline void sg_emulate_call(const char *name, bool cooperative, void (*kernel)(P...), dim3 grid, dim3 block,
                                   size_t shared_bytes, typename sg_emulated_type<P>::is... arguments)
{
    sg_emulate_launch(name, reinterpret_cast<const void *>(kernel), grid, block, shared_bytes, cooperative,
                      [=]() { kernel(arguments...); });
}

#define SG_LAUNCH(kernel, grid, block, shared_bytes, ...)                                                              \
    do {                                                                                                               \
        sg_emulate_call(#kernel, false, &kernel, grid, block, shared_bytes, ##__VA_ARGS__);                            \
        sg_cuda_launched(#kernel);                                                                                     \
    } while (0)
#define SG_LAUNCH_COOPERATIVE(kernel, grid, block, shared_bytes, ...)                                                  \
    do {                                                                                                               \
        sg_emulate_call(#kernel, true, &kernel, grid, block, shared_bytes, ##__VA_ARGS__);                             \
        sg_cuda_launched(#kernel);                                                                                     \
    } while (0)

#endif
