/* A batch in a worker's memory: the rows of some units, gathered from the dataset. */
#ifndef SG_RUN_BATCH_H
#define SG_RUN_BATCH_H

#include "data/dataset.h"
#include "nn/model.h"

struct sg_gathered {
    struct sg_batch batch; /* points into the arrays below */
    int64_t units_max, rows_max;
    int32_t *offset;
    float *x, *statics, *label;
    uint8_t (*digest)[SG_UNIT_DIGEST_BYTES];
};

/* Sizing and carving share this: memory NULL returns the bytes only. */
size_t sg_gathered_place(int64_t n_features, int64_t n_static, int64_t units_max, int64_t rows_max, void *memory,
                         struct sg_gathered *out);
/* Units unit[0 .. n_units) of the dataset, in that order; they must fit. */
void sg_gather(const struct sg_dataset *dataset, const int32_t *unit, int64_t n_units, int64_t step, struct sg_gathered *out);
/* How many of the units from `begin` fit, at least one. */
int64_t sg_gather_fitting(const struct sg_dataset *dataset, const int32_t *unit, int64_t n_units, const struct sg_gathered *room);

#endif
