/* Gaussian noise on an integer grid, exact up to a stated statistical distance.
 *
 * A value is N(0, std^2) rounded to the grid h = std 2^-32, in units of h: an integer of standard deviation 2^32. It is
 * a function of (key, step, index) alone: any partition of the index range gives the same noise, on every backend. */
#ifndef SG_MECHANISM_NOISE_H
#define SG_MECHANISM_NOISE_H

#include <stdint.h>

#include "base/digest.h"
#include "base/status.h"
#include "ops/device_noise.h"

enum sg_noise_source { SG_NOISE_CHACHA20, SG_NOISE_CURAND };

const char *sg_noise_source_name(enum sg_noise_source source); /* "chacha20", "curand" */
int sg_noise_source_parse(const char *name);                   /* -1 when unknown */

/* log2 of an upper bound on the statistical distance tau of one value from the rounded Gaussian, whatever the source:
 * how far the sampler is off when its words are uniform (docs/privacy-noise.md). No value is beyond 14 std. */
double sg_noise_tau_log2(void);

struct sg_noise;

/* Opens a source under a noise subkey. SG_FAILED, with what to install, when the source is missing: never another one.
 * SEALGRAD_CURAND names the libcurand to load, and then no other is tried. */
SG_MUST_USE enum sg_status sg_noise_open(enum sg_noise_source source, const uint8_t key[SG_KEY_BYTES],
                                         struct sg_noise **out);
void sg_noise_close(struct sg_noise **noise); /* wipes */

/* sum[i] += value(step, first + i) for i in 0 .. n-1; first + n <= 2^62. Not for two threads at once on one object.
 * With cuRAND's host generator each new step, and each first that does not follow on the last call, costs about 6 ms.
 * SG_FAILED when the source fails; sum then holds an unknown part of the noise and must not be released. */
SG_MUST_USE enum sg_status sg_noise_add(struct sg_noise *noise, uint64_t step, uint64_t first, int64_t n, int64_t *sum);

/* The same on a backend with memory of its own: `sum` is its memory, `table` its copy of sg_noise_table(), made once.
 * Whatever can fail there is the backend's to report. The source's library was asked for known words when it was
 * opened; on the device its words are the backend's own. */
const void *sg_noise_table(const struct sg_noise *noise, size_t *bytes);
void sg_noise_add_device(struct sg_noise *noise, const struct sg_device_noise *device, const void *table, uint64_t step,
                         uint64_t first, int64_t n, int64_t *sum);

#endif
