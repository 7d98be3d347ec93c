#include "prefix.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "sweep.h"

/* One vector where all below the head is frozen; a tabular model has one row more, in front. */
int64_t sg_prefix_rows(const struct sg_model *model, int64_t rows)
{
    const struct sg_model_spec *spec = sg_model_spec_of(model);
    if (sg_model_frozen_layers(model) > spec->encoder.layers)
        return 1;
    return sg_model_unit_rows(spec, rows);
}

size_t sg_prefix_bytes(const struct sg_model *model, const struct sg_dataset *dataset, const int32_t *unit,
                       int64_t n_units)
{
    if (sg_model_frozen_layers(model) == 0)
        return 0;
    int64_t rows = 0;
    for (int64_t i = 0; i < n_units; i++)
        rows += sg_prefix_rows(model, dataset->offset[unit[i] + 1] - dataset->offset[unit[i]]);
    return (size_t)(rows * sg_model_spec_of(model)->encoder.width) * sizeof(float) +
           (size_t)dataset->n_units * sizeof(int64_t);
}

static void find_chunk(const struct sg_sweep *sweep, int64_t first, const struct sg_gathered *gathered,
                       struct sg_workspace *workspace)
{
    struct sg_prefix *out = sweep->out;
    int32_t last = sweep->unit[first + gathered->batch.n_units - 1];
    int64_t begin = out->offset[sweep->unit[first]], n = out->offset[last + 1] - begin;
    float *to = out->rows + begin * out->width;
    sg_model_prefix(sweep->model, sweep->packed, &gathered->batch, workspace, sg_sweep_target(gathered, to));
    sg_sweep_fetch(sweep, gathered, n * out->width, to);
}

enum sg_status sg_prefix_find(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset,
                              const int32_t *unit, int64_t n_units, int n_workers, struct sg_prefix *out)
{
    *out = (struct sg_prefix){.width = sg_model_spec_of(model)->encoder.width};
    if (sg_model_frozen_layers(model) == 0)
        return SG_OK;
    out->offset = sg_alloc((size_t)dataset->n_units + 1, sizeof *out->offset);
    for (int64_t i = 0; i < n_units; i++)
        out->offset[unit[i] + 1] = sg_prefix_rows(model, dataset->offset[unit[i] + 1] - dataset->offset[unit[i]]);
    for (int64_t u = 0; u < dataset->n_units; u++)
        out->offset[u + 1] += out->offset[u];
    out->rows = sg_alloc_aligned((size_t)(out->offset[dataset->n_units] * out->width) * sizeof *out->rows);
    const struct sg_sweep sweep = {.model = model,
                                   .weights = weights,
                                   .dataset = dataset,
                                   .unit = unit,
                                   .n_units = n_units,
                                   .chunk = find_chunk,
                                   .out = out};
    return sg_sweep_run(&sweep, n_workers);
}

void sg_prefix_free(struct sg_prefix *prefix)
{
    free(prefix->offset);
    free(prefix->rows);
    *prefix = (struct sg_prefix){0};
}
