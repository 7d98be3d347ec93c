/* The safetensors format: 8-byte little-endian header length, JSON header, data. F32 here.
 *
 * Reading treats the file as hostile: header size (at most 16 MiB), every offset, overlap, gap, dtype, shape product and
 * trailing bytes are checked to the byte. */
#ifndef SG_FORMAT_SAFETENSORS_H
#define SG_FORMAT_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define SG_TENSOR_DIMENSIONS_MAX 8

struct sg_tensor {
    char *name;
    int n_dimensions;
    int64_t shape[SG_TENSOR_DIMENSIONS_MAX];
    int64_t n;   /* product of the shape */
    float *data; /* owned by the file object when read, borrowed when written */
};

struct sg_safetensors {
    size_t n_tensors;
    struct sg_tensor *tensors;
    char **metadata; /* n_metadata pairs: key, value */
    size_t n_metadata;
    void *memory;
};

/* SG_USAGE with the reason when the file is not what it should be. Dtypes F32, F16 and BF16 are read into float;
 * tensors of integers (position ids in published encoders) are checked like the rest and left out; others are refused.
 * Values are not judged: infinities and NaN come through. */
SG_MUST_USE enum sg_status sg_safetensors_read(const char *path, struct sg_safetensors *out);
void sg_safetensors_free(struct sg_safetensors *file);
const struct sg_tensor *sg_safetensors_find(const struct sg_safetensors *file, const char *name);
/* Writes atomically; tensors in the order given, bytes a function of the arguments alone. metadata: n_metadata pairs. */
SG_MUST_USE enum sg_status sg_safetensors_write(const char *path, const struct sg_tensor *tensors, size_t n_tensors,
                                                const char *const *metadata, size_t n_metadata);

#endif
