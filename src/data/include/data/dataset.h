/* A dataset in memory: rows of numbers, or of tokens, grouped by privacy unit, encoded by the public constants of the
 * schema. */
#ifndef SG_DATA_DATASET_H
#define SG_DATA_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/status.h"
#include "data/schema.h"
#include "data/tokenizer.h"

#define SG_UNIT_DIGEST_BYTES 16

enum sg_split { SG_SPLIT_TRAIN, SG_SPLIT_VALIDATION, SG_SPLIT_TEST, SG_N_SPLITS };

struct sg_dataset {
    int64_t n_units, n_rows;
    int64_t n_features, n_static; /* F floats per time step, S floats per unit; from the schema; 0 for text */
    /* (n_units + 1): unit b owns rows offset[b] .. offset[b+1]: time steps, oldest first, or tokens, [CLS] to [SEP] */
    int64_t *offset;
    float *x;       /* (n_rows, F); NULL for text */
    float *statics; /* (n_units, S) or NULL */
    int32_t *token; /* (n_rows) of a text schema: ids with [CLS] and [SEP]; else NULL */
    float *label; /* (n_units), 0 or 1, a class's number, or a number; NULL unless need_label */
    uint8_t (*digest)[SG_UNIT_DIGEST_BYTES]; /* first 16 bytes of SHA-256(id) */
    uint8_t *split;                          /* enum sg_split */
    char **id;                               /* id text by unit, only when asked for (scoring) */
    int64_t n_split[SG_N_SPLITS];
    int64_t n_clipped;   /* values outside their public bounds: to the operator, as a coarse bucket only */
    int64_t n_truncated; /* texts longer than max_tokens: likewise */
    /* HMAC-SHA-256(dataset key, RFC 6962 root over salted records in file order) */
    uint8_t commitment[SG_DIGEST_BYTES];
    uint8_t plain_sha256[SG_DIGEST_BYTES]; /* of the file's bytes; shown to the operator, never recorded */
};

struct sg_dataset_options {
    const uint8_t *dataset_key; /* 32 bytes; NULL leaves the commitment zero */
    /* Text needs one, unless check_only, which without one counts neither tokens nor what is cut off. */
    const struct sg_tokenizer *tokenizer;
    bool is_text_lines; /* a plain text file, a message a line, an empty one too: no label, no split; ids are lines'
                           numbers */
    bool keep_ids;      /* for scoring */
    bool need_label, need_split; /* without need_label the label column plays no part, whatever it holds */
    bool check_only;      /* registration: checks every row, keeps nothing but counts, digests and the commitment */
    const char *progress; /* label of the progress bar; NULL is silent */
};

/* Reads a whole file once, streaming; memory is proportional to the numbers kept. Every fault is SG_USAGE with
 * "file:line: column NAME: ..." and no data value. The caller sg_dataset_closes *out, which is complete or NULL. */
SG_MUST_USE enum sg_status sg_dataset_read(const char *path, const struct sg_schema *schema,
                                           const struct sg_dataset_options *options, struct sg_dataset **out);
void sg_dataset_close(struct sg_dataset **dataset);

#endif
