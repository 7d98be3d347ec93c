/* One pass of a model over many units without training: in chunks, over threads. The bits of a unit's result do not
 * depend on the others' or on the number of threads. */
#ifndef SG_RUN_SWEEP_H
#define SG_RUN_SWEEP_H

#include "batch.h"
#include "data/dataset.h"
#include "nn/model.h"

struct sg_sweep {
    const struct sg_model *model;
    const float *weights;
    const struct sg_dataset *dataset;
    const int32_t *unit; /* (n_units) */
    int64_t n_units;
    /* What to do with units `first` .. of `unit`, gathered in `batch`. Called by several threads at once. */
    void (*chunk)(const struct sg_sweep *sweep, int64_t first, const struct sg_gathered *gathered,
                  struct sg_workspace *workspace);
    void *out;
    const struct sg_masking *masking; /* of SG_MASKED_TOKENS, else NULL */
    const void *packed;               /* the weights, packed by sg_sweep_run; what chunk gives to the model */
};

/* For chunk: where ops write what `to`, the host's, shall get, and how it comes there. */
float *sg_sweep_target(const struct sg_gathered *gathered, float *to);
void sg_sweep_fetch(const struct sg_sweep *sweep, const struct sg_gathered *gathered, int64_t n_floats, float *to);
/* The most bytes that each worker takes over units of up to rows_per_unit_max rows. */
size_t sg_sweep_bytes(const struct sg_model *model, int64_t rows_per_unit_max);
/* A device is driven by one worker. SG_FAILED when it fails. */
SG_MUST_USE enum sg_status sg_sweep_run(const struct sg_sweep *sweep, int n_workers);

#endif
