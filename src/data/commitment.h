/* The keyed commitment to a data set: whoever holds the ledger alone can neither test a guess of a record nor of the
 * file.
 *
 * salt of record i    bytes 16 i .. 16 i + 15 of the ChaCha20 stream (64-bit block counter, nonce 0) under the key
 *                     HMAC-SHA-256(dataset key, "sealgrad record salt")
 * leaf of record i    SHA-256(0x00 || salt || for each field: its bytes || 0x00); no field holds a NUL, so that
 * different records give different bytes; the header, where there is one, is record 0 root                RFC 6962 over
 * the leaves in file order commitment          HMAC-SHA-256(dataset key, "sealgrad data commitment" || root || SHA-256
 * of the schema || SHA-256 of the split file, zero without one) A record is its parsed fields: quoting, line ends and a
 * byte-order mark do not change it. */
#ifndef SG_DATA_COMMITMENT_H
#define SG_DATA_COMMITMENT_H

#include "base/bytes.h"
#include "base/merkle.h"
#include "format/csv.h"

enum { SALT_BYTES = 16, SALTS_AT_ONCE = 256 };

struct commitment {
    bool keyed; /* without a key nothing is hashed */
    uint8_t dataset_key[SG_KEY_BYTES], salt_key[SG_KEY_BYTES];
    uint8_t salts[SALTS_AT_ONCE * SALT_BYTES];
    struct sg_merkle tree;
    struct sg_buffer leaf; /* 0x00, salt, fields */
};

/* `key` is 32 bytes or NULL. */
void commitment_begin(struct commitment *commitment, const uint8_t *key);
void commitment_add(struct commitment *commitment, const struct sg_csv_field *fields, size_t n);
/* Zero without a key. Wipes and frees. */
void commitment_end(struct commitment *commitment, const uint8_t *schema_digest, const uint8_t *split_digest,
                    uint8_t out[SG_DIGEST_BYTES]);
/* SHA-256 of the fields alone, each ended by NUL as in a leaf: equal for equal records. */
void record_digest(struct sg_buffer *scratch, const struct sg_csv_field *fields, size_t n,
                   uint8_t out[SG_DIGEST_BYTES]);

#endif
