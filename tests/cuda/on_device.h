/* The card's table for callers that hold host memory, as the tests of src/ops do: each call copies its arrays to the
 * device, runs the op, waits and copies back what the op may write. */
#ifndef SG_TESTS_CUDA_ON_DEVICE_H
#define SG_TESTS_CUDA_ON_DEVICE_H

#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens the device at the first call; a device that cannot be opened ends the program with its line. */
const struct sg_ops *sg_ops_on_device(void);

#ifdef __cplusplus
}
#endif
#endif
