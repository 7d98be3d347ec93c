/* The frozen lower part of a model, found once for every unit instead of in every step. Same bits, less work. */
#ifndef SG_RUN_PREFIX_H
#define SG_RUN_PREFIX_H

#include "batch.h"

/* Of the units named, which ascend; the others have no rows. Where nothing is frozen from below, out->rows is NULL. The
 * caller sg_prefix_frees. */
SG_MUST_USE enum sg_status sg_prefix_find(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset,
                    const int32_t *unit, int64_t n_units, int n_workers, struct sg_prefix *out);
/* Rows that it holds of a unit with so many of its own. */
int64_t sg_prefix_rows(const struct sg_model *model, int64_t rows);
/* The bytes that sg_prefix_find would keep; 0 where nothing is frozen from below. */
size_t sg_prefix_bytes(const struct sg_model *model, const struct sg_dataset *dataset, const int32_t *unit,
                       int64_t n_units);
void sg_prefix_free(struct sg_prefix *prefix);

#endif
