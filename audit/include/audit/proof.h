/* RFC 6962 / 9162 proofs: that a leaf is in a tree, and that one tree is the beginning of another. */
#ifndef SG_AUDIT_PROOF_H
#define SG_AUDIT_PROOF_H

#include <stdbool.h>

#include "base/merkle.h"
#include "base/status.h"

enum { SG_PROOF_MAX = 64 };

struct sg_proof {
    size_t n;
    uint8_t hash[SG_PROOF_MAX][SG_DIGEST_BYTES];
};

/* Root of the perfect subtree over the leaves [index << level, (index + 1) << level). */
typedef enum sg_status sg_node_reader(void *context, int level, uint64_t index, uint8_t out[SG_DIGEST_BYTES]);

/* Root of the first `size` leaves. */
SG_MUST_USE enum sg_status sg_proof_root(sg_node_reader *node, void *context, uint64_t size,
                                         uint8_t out[SG_DIGEST_BYTES]);
/* index < size. */
SG_MUST_USE enum sg_status sg_proof_inclusion(sg_node_reader *node, void *context, uint64_t index, uint64_t size,
                                              struct sg_proof *out);
/* 0 < old_size <= size; empty when they are equal. */
SG_MUST_USE enum sg_status sg_proof_consistency(sg_node_reader *node, void *context, uint64_t old_size, uint64_t size,
                                                struct sg_proof *out);

/* RFC 9162 sections 2.1.3.2 and 2.1.4.2. False for anything but the one right proof. */
bool sg_proof_check_inclusion(const uint8_t leaf_hash[SG_DIGEST_BYTES], uint64_t index, uint64_t size,
                              const uint8_t root[SG_DIGEST_BYTES], const struct sg_proof *proof);
bool sg_proof_check_consistency(uint64_t old_size, const uint8_t old_root[SG_DIGEST_BYTES], uint64_t size,
                                const uint8_t root[SG_DIGEST_BYTES], const struct sg_proof *proof);

#endif
