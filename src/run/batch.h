/* A batch in a worker's memory: the rows of some units, gathered from the dataset. */
#ifndef SG_RUN_BATCH_H
#define SG_RUN_BATCH_H

#include "data/dataset.h"
#include "mask.h"
#include "nn/model.h"

struct sg_gathered {
    struct sg_batch batch; /* points into the arrays below */
    int64_t units_max, rows_max;
    int32_t *offset, *token;
    const struct sg_model_spec *spec; /* borrowed: how a label is taken */
    float *x, *statics, *label, *prefix;
    int32_t *masked, *masked_offset, *target; /* of SG_MASKED_TOKENS: (rows), (units + 1), (rows) */
    uint8_t (*digest)[SG_UNIT_DIGEST_BYTES];
};

/* What a model's frozen lower part makes of the units of a dataset that train, found once: training from it gives the same bits
 * (sg_model_prefix). */
struct sg_prefix {
    int64_t width;   /* floats a row */
    int64_t *offset; /* (n_units + 1) rows of each unit of the dataset: as many as it has there, one, or none where it does not train */
    float *rows;
};

/* Sizing and carving share this: memory NULL returns the bytes only. prefix may be NULL. */
size_t sg_gathered_place(const struct sg_model_spec *spec, const struct sg_prefix *prefix, int64_t units_max,
                         int64_t rows_max, void *memory, struct sg_gathered *out);
/* Units unit[0 .. n_units) of the dataset, in that order; they must fit. prefix as it was when placing. */
void sg_gather(const struct sg_dataset *dataset, const struct sg_prefix *prefix, const int32_t *unit, int64_t n_units,
               int64_t step, struct sg_gathered *out);
/* Chooses the words that are asked for among the tokens just gathered (SG_MASKED_TOKENS) and hides them. */
void sg_gather_masked(const struct sg_masking *masking, struct sg_gathered *gathered);
/* How many of the units from `begin` fit, at least one. */
int64_t sg_gather_fitting(const struct sg_dataset *dataset, const int32_t *unit, int64_t n_units, const struct sg_gathered *room);

#endif
