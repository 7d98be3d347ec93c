/* The frozen lower part of a model, found once for every unit instead of in every step. Same bits, less work. */
#ifndef SG_RUN_PREFIX_H
#define SG_RUN_PREFIX_H

#include "batch.h"

/* Bytes that it takes for so many units and rows; 0 when nothing is frozen from below. */
size_t sg_prefix_bytes(const struct sg_model *model, int64_t n_units, int64_t n_rows);

/* Of all units of the dataset. Where nothing is frozen from below, out->rows is NULL. The caller sg_prefix_frees. */
void sg_prefix_find(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset, int n_workers,
                    struct sg_prefix *out);
void sg_prefix_free(struct sg_prefix *prefix);

#endif
