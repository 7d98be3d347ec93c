/* Which units train, validate and test: a column, a file with a key, or a keyed hash of the unit's own id. */
#ifndef SG_DATA_SPLIT_H
#define SG_DATA_SPLIT_H

#include "schema_internal.h"
#include "units.h"

struct split {
    const struct sg_schema *schema;
    struct unit_table keys; /* of a split file, by unit id digest */
    uint8_t *by_key;        /* (keys.n) enum sg_split */
    uint8_t *by_row;        /* (n_by_row) by record number - 1, SG_N_SPLITS where the file has no line */
    int64_t n_by_key, n_by_row;
    uint8_t file_digest[SG_DIGEST_BYTES]; /* zero without a file */
    char *file_path;
};

/* Reads the split file, where there is one: first sought beside the data file, then beside the schema. */
enum sg_status split_open(const struct sg_schema *schema, const char *data_path, struct split *out);
void split_close(struct split *split);

/* What column or file say of a unit before the hash has its turn; `word` is the split column's text. The text of a
 * fault is left in *problem for the caller, who knows line and column. */
bool split_given(const struct split *split, const uint8_t digest[SG_UNIT_DIGEST_BYTES], int64_t row_number,
                 const char *word, size_t word_len, uint8_t *out, const char **problem);
/* Carves validation out of train. */
uint8_t split_carve(const struct split *split, const uint8_t digest[SG_UNIT_DIGEST_BYTES], uint8_t given);

#endif
