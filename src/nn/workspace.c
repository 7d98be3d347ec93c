/* A worker's memory: one block, carved by the function that also finds its size. */
#include <assert.h>
#include <string.h>

#include "internal.h"

void *sg_nn_carve(struct carver *carver, size_t bytes)
{
    /* The sizing pass hands out stand-ins that nobody reads: not NULL, which says that an array was not carved yet. */
    void *p = carver->memory ? carver->memory + carver->used : (void *)(uintptr_t)(carver->used + 64);
    carver->used += (bytes + 63) / 64 * 64;
    return p;
}

float *sg_nn_carve_floats(struct carver *carver, int64_t n_rows, int64_t width)
{
    return sg_nn_carve(carver, (size_t)(n_rows * width) * sizeof(float));
}

int32_t *sg_nn_carve_ints(struct carver *carver, int64_t n)
{
    return sg_nn_carve(carver, (size_t)n * sizeof(int32_t));
}

static void carve_lstm(struct carver *carver, const struct sg_model_spec *spec, struct sg_workspace *w)
{
    int64_t rows = w->rows_max, hidden = spec->hidden;
    w->position = sg_nn_carve_ints(carver, rows + 1);
    for (int d = 0; d < N_DIRECTIONS; d++) {
        w->walk[d].rows = sg_nn_carve_ints(carver, rows);
        w->walk[d].prev = sg_nn_carve_ints(carver, rows);
        w->walk[d].next = sg_nn_carve_ints(carver, rows);
    }
    for (int64_t l = 0; l < spec->layers; l++) {
        for (int d = 0; d < N_DIRECTIONS; d++) {
            w->cells[l][d].a = sg_nn_carve_floats(carver, rows, lstm_inputs(spec, l) + hidden + 1);
            w->cells[l][d].gates = sg_nn_carve_floats(carver, rows, 4 * hidden);
            w->cells[l][d].c = sg_nn_carve_floats(carver, rows, hidden);
        }
        if (w->with_backward && spec->dropout > 0 && l + 1 < spec->layers)
            w->mask[l] = sg_nn_carve_floats(carver, rows, 2 * hidden);
    }
    w->y = sg_nn_carve_floats(carver, rows, 2 * hidden + 1);
}

static void carve_head(struct carver *carver, const struct sg_model_spec *spec, struct sg_workspace *w)
{
    int64_t rows = w->rows_max, units = w->units_max, joined = 2 * spec->hidden + spec->n_static;
    w->u = sg_nn_carve_floats(carver, rows, spec->attention);
    w->score = sg_nn_carve_floats(carver, rows, 1);
    w->alpha = sg_nn_carve_floats(carver, rows, 1);
    w->joined = sg_nn_carve_floats(carver, units, joined + 1);
    if (w->with_backward && spec->dropout > 0)
        w->joined_mask = sg_nn_carve_floats(carver, units, joined);
    if (spec->mlp)
        w->hidden = sg_nn_carve_floats(carver, units, spec->mlp + 1);
}

static void carve_gradients(struct carver *carver, const struct sg_model_spec *spec, struct sg_workspace *w)
{
    int64_t rows = w->rows_max, units = w->units_max;
    w->dy[0] = sg_nn_carve_floats(carver, rows, 2 * spec->hidden);
    if (spec->layers > 1)
        w->dy[1] = sg_nn_carve_floats(carver, rows, 2 * spec->hidden);
    w->dc = sg_nn_carve_floats(carver, rows, spec->hidden);
    w->du = sg_nn_carve_floats(carver, rows, spec->attention);
    w->dscore = sg_nn_carve_floats(carver, rows, 1);
    w->dpooled = sg_nn_carve_floats(carver, units, 2 * spec->hidden);
    if (spec->mlp)
        w->dhidden = sg_nn_carve_floats(carver, units, spec->mlp);
    w->doutput = sg_nn_carve_floats(carver, units, 1);
}

static size_t carve_all(const struct sg_model *model, char *memory, struct sg_workspace *w)
{
    const struct sg_model_spec *spec = &model->spec;
    struct carver carver = {memory, 0};
    sg_nn_carve(&carver, sizeof *w);
    w->taps = sg_nn_carve(&carver, (model->n_taps + 1) * sizeof *w->taps);
    w->scratch = sg_nn_carve(
        &carver, model->ops->scratch_bytes(model->widest, sg_model_tap_rows_max(model, w->units_max, w->rows_max)));
    w->unit_offset = sg_nn_carve_ints(&carver, w->units_max + 1);
    w->list_from = sg_nn_carve_ints(&carver, w->units_max);
    w->list_to = sg_nn_carve_ints(&carver, w->units_max);
    w->list_absent = sg_nn_carve_ints(&carver, w->units_max);
    w->zeros = sg_nn_carve_floats(&carver, 1, model->widest);
    w->ones = sg_nn_carve_floats(&carver, 1, 1);
    if (spec->kind == SG_MODEL_BILSTM_ATTENTION) {
        carve_lstm(&carver, spec, w);
        carve_head(&carver, spec, w);
        if (w->with_backward)
            carve_gradients(&carver, spec, w);
    }
    if (has_blocks(model))
        sg_nn_carve_encoder(&carver, model, w);
    if (spec->linear_steps) {
        w->linear = sg_nn_carve_floats(&carver, w->units_max, model->parameters[model->linear.parameter].n_in);
        if (w->with_backward)
            w->dlinear = sg_nn_carve_floats(&carver, w->units_max, spec->n_outputs);
    }
    return carver.used;
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
    struct sg_workspace sizes = sized(units_max, rows_max, use);
    return carve_all(model, NULL, &sizes);
}

int64_t sg_model_tap_rows_max(const struct sg_model *model, int64_t units_max, int64_t rows_max)
{
    return rows_max + units_max * sg_model_unit_rows(&model->spec, 0);
}

struct sg_workspace *sg_workspace_place(const struct sg_model *model, int64_t units_max, int64_t rows_max,
                                        enum sg_workspace_use use, void *memory)
{
    struct sg_workspace *w = memory;
    *w = sized(units_max, rows_max, use);
    carve_all(model, memory, w);
    for (int64_t b = 0; b <= units_max; b++)
        w->unit_offset[b] = (int32_t)b;
    memset(w->zeros, 0, (size_t)model->widest * sizeof *w->zeros);
    w->ones[0] = 1;
    if (has_blocks(model))
        sg_nn_prepare_encoder(model, w);
    return w;
}

void *sg_workspace_scratch(struct sg_workspace *workspace)
{
    return workspace->scratch;
}
