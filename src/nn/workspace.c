/* A worker's memory: one block, carved by the function that also finds its size. */
#include <assert.h>
#include <string.h>

#include "internal.h"

float *sg_nn_carve_floats(struct sg_zones *zones, int64_t n_rows, int64_t width)
{
    return sg_zone_tensor(zones, (size_t)(n_rows * width) * sizeof(float));
}

float *sg_nn_carve_mask(struct sg_zones *zones, int64_t n_rows, int64_t width)
{
    return sg_zone_list(zones, (size_t)(n_rows * width) * sizeof(float));
}

int32_t *sg_nn_carve_ints(struct sg_zones *zones, int64_t n)
{
    return sg_zone_list(zones, (size_t)n * sizeof(int32_t));
}

void sg_nn_upload(const struct pass *pass, const int32_t *list, int64_t n)
{
    sg_list_upload(pass->model->ops, list, (size_t)n * sizeof *list, pass->w->shift);
}

static void carve_lstm(struct sg_zones *zones, const struct sg_model_spec *spec, struct sg_workspace *w)
{
    int64_t rows = w->rows_max, hidden = spec->hidden;
    w->position = sg_nn_carve_ints(zones, rows + 1);
    for (int d = 0; d < N_DIRECTIONS; d++) {
        w->walk[d].rows = sg_nn_carve_ints(zones, rows);
        w->walk[d].prev = sg_nn_carve_ints(zones, rows);
        w->walk[d].next = sg_nn_carve_ints(zones, rows);
    }
    for (int64_t l = 0; l < spec->layers; l++) {
        for (int d = 0; d < N_DIRECTIONS; d++) {
            w->cells[l][d].a = sg_nn_carve_floats(zones, rows, lstm_inputs(spec, l) + hidden + 1);
            w->cells[l][d].gates = sg_nn_carve_floats(zones, rows, 4 * hidden);
            w->cells[l][d].c = sg_nn_carve_floats(zones, rows, hidden);
        }
        if (w->with_backward && spec->dropout > 0 && l + 1 < spec->layers)
            w->mask[l] = sg_nn_carve_mask(zones, rows, 2 * hidden);
    }
    w->y = sg_nn_carve_floats(zones, rows, 2 * hidden + 1);
}

static void carve_head(struct sg_zones *zones, const struct sg_model_spec *spec, struct sg_workspace *w)
{
    int64_t rows = w->rows_max, units = w->units_max, joined = 2 * spec->hidden + spec->n_static;
    w->u = sg_nn_carve_floats(zones, rows, spec->attention);
    w->score = sg_nn_carve_floats(zones, rows, 1);
    w->alpha = sg_nn_carve_floats(zones, rows, 1);
    w->joined = sg_nn_carve_floats(zones, units, joined + 1);
    if (w->with_backward && spec->dropout > 0)
        w->joined_mask = sg_nn_carve_mask(zones, units, joined);
    if (spec->mlp)
        w->hidden = sg_nn_carve_floats(zones, units, spec->mlp + 1);
}

static void carve_gradients(struct sg_zones *zones, const struct sg_model_spec *spec, struct sg_workspace *w)
{
    int64_t rows = w->rows_max, units = w->units_max;
    w->dy[0] = sg_nn_carve_floats(zones, rows, 2 * spec->hidden);
    if (spec->layers > 1)
        w->dy[1] = sg_nn_carve_floats(zones, rows, 2 * spec->hidden);
    w->dc = sg_nn_carve_floats(zones, rows, spec->hidden);
    w->du = sg_nn_carve_floats(zones, rows, spec->attention);
    w->dscore = sg_nn_carve_floats(zones, rows, 1);
    w->dpooled = sg_nn_carve_floats(zones, units, 2 * spec->hidden);
    if (spec->mlp)
        w->dhidden = sg_nn_carve_floats(zones, units, spec->mlp);
    w->doutput = sg_nn_carve_floats(zones, units, 1);
}

/* The workspace itself is carved already. */
static void carve_all(const struct sg_model *model, struct sg_zones *zones, struct sg_workspace *w)
{
    const struct sg_model_spec *spec = &model->spec;
    w->taps = sg_zone_host(zones, (model->n_taps + 1) * sizeof *w->taps);
    w->scratch = sg_zone_tensor(
        zones, model->ops->scratch_bytes(model->widest, sg_model_tap_rows_max(model, w->units_max, w->rows_max)));
    w->unit_offset = sg_nn_carve_ints(zones, w->units_max + 1);
    w->list_from = sg_nn_carve_ints(zones, w->units_max);
    w->list_to = sg_nn_carve_ints(zones, w->units_max);
    w->list_absent = sg_nn_carve_ints(zones, w->units_max);
    w->zeros = sg_nn_carve_floats(zones, 1, model->widest);
    w->ones = sg_nn_carve_floats(zones, 1, 1);
    if (spec->kind == SG_MODEL_BILSTM_ATTENTION) {
        carve_lstm(zones, spec, w);
        carve_head(zones, spec, w);
        if (w->with_backward)
            carve_gradients(zones, spec, w);
    }
    if (has_blocks(model))
        sg_nn_carve_encoder(zones, model, w);
    if (spec->linear_steps) {
        w->linear = sg_nn_carve_floats(zones, w->units_max, model->parameters[model->linear.parameter].n_in);
        if (w->with_backward)
            w->dlinear = sg_nn_carve_floats(zones, w->units_max, spec->n_outputs);
    }
}

static struct sg_workspace sized(int64_t units_max, int64_t rows_max, enum sg_workspace_use use)
{
    assert(units_max > 0 && rows_max >= units_max && rows_max <= INT32_MAX);
    return (struct sg_workspace){.units_max = units_max,
                                 .rows_max = rows_max,
                                 .with_backward = use != SG_WORKSPACE_SCORING,
                                 .recompute = use == SG_WORKSPACE_RECOMPUTED};
}

size_t sg_workspace_bytes(const struct sg_model *model, int64_t units_max, int64_t rows_max, enum sg_workspace_use use)
{
    struct sg_zones zones = {0};
    sg_workspace_carve(model, units_max, rows_max, use, &zones);
    return sg_zones_bytes(&zones);
}

int64_t sg_model_tap_rows_max(const struct sg_model *model, int64_t units_max, int64_t rows_max)
{
    return rows_max + units_max * sg_model_unit_rows(&model->spec, 0);
}

struct sg_workspace *sg_workspace_carve(const struct sg_model *model, int64_t units_max, int64_t rows_max,
                                        enum sg_workspace_use use, struct sg_zones *zones)
{
    struct sg_workspace sizes = sized(units_max, rows_max, use), *w = sg_zone_host(zones, sizeof *w);
    carve_all(model, zones, &sizes);
    if (!zones->host)
        return NULL;
    *w = sizes;
    w->shift = zones->shift;
    static const float one = 1;
    for (int64_t b = 0; b <= units_max; b++)
        w->unit_offset[b] = (int32_t)b;
    sg_ops_zero(model->ops, w->zeros, (size_t)model->widest * sizeof *w->zeros);
    sg_ops_upload(model->ops, w->ones, &one, sizeof one);
    if (has_blocks(model))
        sg_nn_prepare_encoder(model, w);
    return w;
}

struct sg_workspace *sg_workspace_place(const struct sg_model *model, int64_t units_max, int64_t rows_max,
                                        enum sg_workspace_use use, void *memory)
{
    struct sg_zones sizes = {0};
    assert(!model->ops->far);
    sg_workspace_carve(model, units_max, rows_max, use, &sizes);
    struct sg_zones zones = sg_zones_within(&sizes, memory);
    return sg_workspace_carve(model, units_max, rows_max, use, &zones);
}

void *sg_workspace_scratch(struct sg_workspace *workspace)
{
    return workspace->scratch;
}
