/* The noise of a release on the card (docs/privacy-noise.md). */
#ifndef SG_CUDA_NOISE_H
#define SG_CUDA_NOISE_H

#include "ops/device_noise.h"

#ifdef __cplusplus
extern "C" {
#endif

const struct sg_device_noise *sg_cuda_noise(void);

#ifdef __cplusplus
}
#endif
#endif
