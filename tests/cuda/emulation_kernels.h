#ifndef SG_TESTS_CUDA_EMULATION_KERNELS_H
#define SG_TESTS_CUDA_EMULATION_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum fault {
    FAULT_NONE,
    FAULT_RETURNS_BEFORE_BARRIER,
    FAULT_OTHER_BARRIER,
    FAULT_LANE_MISSING,
    FAULT_WARP_AGAINST_BLOCK,
    FAULT_MASK,
    FAULT_BLOCK_TOO_LARGE,
    FAULT_GRID_EMPTY,
    FAULT_SHARED_TOO_LARGE,
    /* From here on only where memory is watched. */
    FAULT_SHARED_UNWRITTEN,
    FAULT_SHARED_OUTSIDE,
    FAULT_SHARED_RACE,
    FAULT_SHARED_RACE_LATE,
    FAULT_DEVICE_OUTSIDE,
    FAULT_DEVICE_UNWRITTEN,
    FAULT_DEVICE_RACE,
    FAULT_ATOMIC_AND_PLAIN,
    FAULT_HOST_MEMORY,
    FAULTS
};

void emulation_sum(int blocks, int threads, const int32_t *x, int32_t *sum);
void emulation_ring(int blocks, int threads, int rounds, int32_t *cells);
void emulation_lanes(int32_t out[256]);
void emulation_atomics(int blocks, int threads, int64_t *sum, int32_t *most);
/* The line that the emulation said, or NULL. */
const char *emulation_fault(int fault);
bool emulation_watches(void);

#ifdef __cplusplus
}
#endif
#endif
