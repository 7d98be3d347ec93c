/* The frozen lower part of a model, found once for every unit instead of in every step. Same bits, less work. */
#ifndef SG_RUN_PREFIX_H
#define SG_RUN_PREFIX_H

#include "batch.h"

/* Of the units named, which ascend; the others have no rows. Where nothing is frozen from below, out->rows is NULL. The
 * caller sg_prefix_frees. */
void sg_prefix_find(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset,
                    const int32_t *unit, int64_t n_units, int n_workers, struct sg_prefix *out);
void sg_prefix_free(struct sg_prefix *prefix);

#endif
