/* A table of 16-byte digests in order of first appearance. The digests are SHA-256 outputs, so their own bits are the
 * hash. */
#ifndef SG_DATA_UNITS_H
#define SG_DATA_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#include "data/dataset.h"

/* Zero-initialise. */
struct unit_table {
    int64_t n, capacity;
    uint8_t (*digest)[SG_UNIT_DIGEST_BYTES]; /* (n) */
    uint32_t *slot;                          /* (n_slots) position + 1, 0 for empty */
    uint64_t n_slots;
};

/* Position of the digest; adds it when it is new and says so. At most 2^31 digests: more ends the program. */
int64_t units_add(struct unit_table *table, const uint8_t digest[SG_UNIT_DIGEST_BYTES], bool *added);
/* Position or -1. */
int64_t units_find(const struct unit_table *table, const uint8_t digest[SG_UNIT_DIGEST_BYTES]);
void units_free(struct unit_table *table);

/* First 16 bytes of SHA-256(id). */
void unit_digest(const void *id, size_t n, uint8_t out[SG_UNIT_DIGEST_BYTES]);

#endif
