/* Memory that is carved in one pass, which also finds its size, and memory of ops that is not the host's.
 *
 * Three zones: what only the host sees; lists, which the host builds and ops read; tensors, which only ops see. Where
 * the ops' memory is the host's own the three lie one after another in one block, and a list is where it is. Elsewhere
 * every list stands in both memories, in the same place of its zone: sg_far finds the ops' one from the host's, and
 * sg_list_upload brings it there. So no caller has two ways to go. */
#ifndef SG_OPS_ZONES_H
#define SG_OPS_ZONES_H

#include "base/status.h"
#include "ops/ops.h"

struct sg_zones {
    char *host, *lists, *tensors;                /* all NULL: only the sizes are found */
    size_t host_bytes, list_bytes, tensor_bytes; /* so far */
    ptrdiff_t shift;                             /* from a list to the ops' copy of it */
};

/* Each begins at a multiple of 64 bytes. In the sizing pass: stand-ins that nobody reads, not NULL. */
void *sg_zone_host(struct sg_zones *zones, size_t bytes);
void *sg_zone_list(struct sg_zones *zones, size_t bytes);
void *sg_zone_tensor(struct sg_zones *zones, size_t bytes);
/* All bytes of the three: those of one block. */
size_t sg_zones_bytes(const struct sg_zones *sized);
/* For ops whose memory is the host's: the second pass in one block of so many bytes. */
struct sg_zones sg_zones_within(const struct sg_zones *sized, void *memory);

/* The blocks of one pass. Pages that nobody touches cost nothing on the host. */
struct sg_block {
    const struct sg_ops *ops;
    void *host, *far;
    size_t host_bytes, far_bytes;
};
/* *zones comes in sized and goes out ready for the second pass. SG_FAILED when the device has not so much memory. */
SG_MUST_USE enum sg_status sg_block_open(const struct sg_ops *ops, struct sg_zones *zones, struct sg_block *out);
void sg_block_close(struct sg_block *block);

/* What ops are given in the place of a list; NULL stays NULL. */
static inline const void *sg_far(const void *list, ptrdiff_t shift)
{
    return list ? (const void *)((uintptr_t)list + (uintptr_t)shift) : NULL;
}
/* Brings what the host has built to where ops read it. */
void sg_list_upload(const struct sg_ops *ops, const void *list, size_t bytes, ptrdiff_t shift);

/* On memory of the ops, in the order of the ops' calls. A download waits for what was asked before it. */
void sg_ops_upload(const struct sg_ops *ops, void *to, const void *from_host, size_t bytes);
void sg_ops_download(const struct sg_ops *ops, void *to_host, const void *from, size_t bytes);
void sg_ops_copy(const struct sg_ops *ops, void *to, const void *from, size_t bytes);
void sg_ops_zero(const struct sg_ops *ops, void *at, size_t bytes);
/* Waits; SG_FAILED with the device's first error. */
SG_MUST_USE enum sg_status sg_ops_check(const struct sg_ops *ops);

#endif
