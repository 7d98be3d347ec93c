#include "prefix.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "sweep.h"

/* Rows of the prefix that a unit with `rows` rows has: one vector where all below the head is frozen; a tabular model
 * has one row more, in front. */
static int64_t prefix_rows(const struct sg_model *model, int64_t rows)
{
    const struct sg_model_spec *spec = sg_model_spec_of(model);
    if (sg_model_frozen_layers(model) > spec->encoder.layers)
        return 1;
    return rows + (spec->kind == SG_MODEL_TABULAR);
}

size_t sg_prefix_bytes(const struct sg_model *model, int64_t n_units, int64_t n_rows)
{
    const struct sg_model_spec *spec = sg_model_spec_of(model);
    int64_t frozen = sg_model_frozen_layers(model);
    if (frozen == 0)
        return 0;
    int64_t rows = frozen > spec->encoder.layers ? n_units : n_rows + (spec->kind == SG_MODEL_TABULAR ? n_units : 0);
    return (size_t)(rows * spec->encoder.width) * sizeof(float);
}

static void find_chunk(const struct sg_sweep *sweep, int64_t first, const struct sg_gathered *gathered,
                       struct sg_workspace *workspace)
{
    struct sg_prefix *out = sweep->out;
    sg_model_prefix(sweep->model, sweep->packed, &gathered->batch, workspace, out->rows + out->offset[first] * out->width);
}

void sg_prefix_find(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset, int n_workers,
                    struct sg_prefix *out)
{
    *out = (struct sg_prefix){.width = sg_model_spec_of(model)->encoder.width};
    if (sg_model_frozen_layers(model) == 0)
        return;
    int64_t n = dataset->n_units;
    int32_t *unit = sg_alloc((size_t)n, sizeof *unit);
    out->offset = sg_alloc((size_t)n + 1, sizeof *out->offset);
    for (int64_t u = 0; u < n; u++) {
        unit[u] = (int32_t)u;
        out->offset[u + 1] = out->offset[u] + prefix_rows(model, dataset->offset[u + 1] - dataset->offset[u]);
    }
    out->rows = sg_alloc_aligned((size_t)(out->offset[n] * out->width) * sizeof *out->rows);
    void *packed = sg_alloc_aligned(sg_model_packed_bytes(model));
    sg_model_pack(model, weights, false, packed);
    const struct sg_sweep sweep = {model, packed, dataset, unit, n, find_chunk, out, NULL};
    sg_sweep_run(&sweep, n_workers);
    free(packed);
    free(unit);
}

void sg_prefix_free(struct sg_prefix *prefix)
{
    free(prefix->offset);
    free(prefix->rows);
    *prefix = (struct sg_prefix){0};
}
