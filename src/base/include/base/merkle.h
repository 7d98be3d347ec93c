/* RFC 6962 hashing: leaf SHA256(0x00 || d), node SHA256(0x01 || l || r), empty root SHA256(""). */
#ifndef SG_BASE_MERKLE_H
#define SG_BASE_MERKLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

void sg_merkle_leaf(const void *bytes, size_t n, uint8_t out[SG_DIGEST_BYTES]);
void sg_merkle_node(const uint8_t left[SG_DIGEST_BYTES], const uint8_t right[SG_DIGEST_BYTES], uint8_t out[SG_DIGEST_BYTES]);

/* The root of a growing tree in O(log n) memory: the roots of its perfect subtrees. Zero-initialise. */
struct sg_merkle {
    uint64_t size;
    uint8_t subtree[64][SG_DIGEST_BYTES]; /* one for each set bit of size, by bit */
};
void sg_merkle_append(struct sg_merkle *tree, const uint8_t leaf_hash[SG_DIGEST_BYTES]);
void sg_merkle_root(const struct sg_merkle *tree, uint8_t out[SG_DIGEST_BYTES]);

#endif
