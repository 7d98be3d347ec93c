#include "sweep.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "loss.h"

#define UNITS_AT_ONCE 256
#define ROWS_AT_ONCE 2048

struct share {
    const struct sg_sweep *sweep;
    int64_t begin, end, rows_max;
    pthread_t thread;
    struct sg_block block;
    struct sg_gathered gathered;
    struct sg_workspace *workspace;
};

/* Floats of what a chunk may ask for: outputs of units or of masked words, or rows of a prefix. */
static size_t most_outputs(const struct sg_model *model, int64_t rows_max)
{
    const struct sg_model_spec *spec = sg_model_spec_of(model);
    int64_t answers = spec->objective == SG_MASKED_TOKENS ? sg_mask_rows_max(UNITS_AT_ONCE, rows_max) : UNITS_AT_ONCE;
    int64_t outputs = answers * sg_outputs_of(spec);
    int64_t prefix = sg_model_tap_rows_max(model, UNITS_AT_ONCE, rows_max) * spec->encoder.width;
    return (size_t)(prefix > outputs ? prefix : outputs);
}

static void carve_share(const struct sg_model *model, int64_t rows_max, struct sg_zones *zones, struct share *s)
{
    const struct sg_ops *ops = sg_model_ops(model);
    sg_gathered_carve(sg_model_spec_of(model), NULL, UNITS_AT_ONCE, rows_max, zones, &s->gathered);
    s->gathered.output = ops->far ? sg_zone_tensor(zones, most_outputs(model, rows_max) * sizeof(float)) : NULL;
    s->workspace = sg_workspace_carve(model, UNITS_AT_ONCE, rows_max, SG_WORKSPACE_SCORING, zones);
}

size_t sg_sweep_bytes(const struct sg_model *model, int64_t rows_per_unit_max)
{
    const struct sg_model_spec *spec = sg_model_spec_of(model);
    int64_t rows = rows_per_unit_max > ROWS_AT_ONCE ? rows_per_unit_max : ROWS_AT_ONCE;
    struct sg_zones zones = {0};
    struct share unused;
    carve_share(model, rows, &zones, &unused);
    size_t outputs = 0; /* a chunk of masked words has them on the heap */
    if (spec->objective == SG_MASKED_TOKENS)
        outputs = (size_t)(sg_mask_rows_max(UNITS_AT_ONCE, rows) * spec->n_outputs) * sizeof(float);
    return outputs + sg_zones_bytes(&zones);
}

float *sg_sweep_target(const struct sg_gathered *gathered, float *to)
{
    return gathered->output ? gathered->output : to;
}

void sg_sweep_fetch(const struct sg_sweep *sweep, const struct sg_gathered *gathered, int64_t n_floats, float *to)
{
    if (gathered->output)
        sg_ops_download(sg_model_ops(sweep->model), to, gathered->output, (size_t)n_floats * sizeof *to);
}

static void *sweep_share(void *argument)
{
    struct share *s = argument;
    const struct sg_sweep *sweep = s->sweep;
    for (int64_t at = s->begin; at < s->end;) {
        int64_t n = sg_gather_fitting(sweep->dataset, sweep->unit + at, s->end - at, &s->gathered);
        sg_gather(sweep->dataset, NULL, sweep->unit + at, n, 0, &s->gathered);
        if (sweep->masking)
            sg_gather_masked(sweep->masking, &s->gathered);
        sg_gathered_upload(sg_model_spec_of(sweep->model), sg_model_ops(sweep->model), &s->gathered);
        sweep->chunk(sweep, at, &s->gathered, s->workspace);
        at += n;
    }
    return NULL;
}

static int64_t longest_unit(const struct sg_dataset *dataset)
{
    int64_t longest = ROWS_AT_ONCE;
    for (int64_t u = 0; u < dataset->n_units; u++)
        if (dataset->offset[u + 1] - dataset->offset[u] > longest)
            longest = dataset->offset[u + 1] - dataset->offset[u];
    return longest;
}

static enum sg_status open_shares(const struct sg_sweep *sweep, int n_workers, struct share *shares)
{
    int64_t rows_max = longest_unit(sweep->dataset), n = sweep->n_units, each = (n + n_workers - 1) / n_workers;
    for (int i = 0; i < n_workers; i++) {
        struct sg_zones zones = {0};
        int64_t begin = each * i < n ? each * i : n, end = begin + each < n ? begin + each : n;
        shares[i] = (struct share){.sweep = sweep, .begin = begin, .end = end, .rows_max = rows_max};
        carve_share(sweep->model, rows_max, &zones, &shares[i]);
        SG_TRY(sg_block_open(sg_model_ops(sweep->model), &zones, &shares[i].block));
        carve_share(sweep->model, rows_max, &zones, &shares[i]);
    }
    return SG_OK;
}

static void run_shares(int n_workers, struct share *shares)
{
    int n_started = 0;
    for (int i = 0; i < n_workers; i++) {
        /* A thread that cannot be started is no loss: its share is done here. */
        if (i + 1 < n_workers && pthread_create(&shares[n_started].thread, NULL, sweep_share, &shares[i]) == 0)
            n_started++;
        else
            sweep_share(&shares[i]);
    }
    for (int i = 0; i < n_started; i++)
        pthread_join(shares[i].thread, NULL);
}

/* The weights where the ops read them: their own copy of them, or the host's. */
static enum sg_status open_weights(const struct sg_sweep *sweep, struct sg_block *block, const float **weights)
{
    const struct sg_ops *ops = sg_model_ops(sweep->model);
    size_t bytes = (size_t)sg_model_n_weights(sweep->model) * sizeof(float);
    struct sg_zones zones = {0};
    *block = (struct sg_block){0};
    *weights = sweep->weights;
    if (!ops->far)
        return SG_OK;
    sg_zone_tensor(&zones, bytes);
    SG_TRY(sg_block_open(ops, &zones, block));
    float *copy = sg_zone_tensor(&zones, bytes);
    sg_ops_upload(ops, copy, sweep->weights, bytes);
    *weights = copy;
    return SG_OK;
}

enum sg_status sg_sweep_run(const struct sg_sweep *asked, int n_asked)
{
    const struct sg_ops *ops = sg_model_ops(asked->model);
    int n_workers = ops->far ? 1 : n_asked;
    struct sg_sweep sweep = *asked;
    struct share *shares = sg_alloc((size_t)n_workers, sizeof *shares);
    struct sg_block block = {0};
    void *packed = NULL;
    enum sg_status status = open_weights(asked, &block, &sweep.weights);
    if (status == SG_OK)
        status = sg_model_packed_open(sweep.model, &packed);
    if (status == SG_OK)
        status = open_shares(&sweep, n_workers, shares);
    if (status == SG_OK) {
        sg_model_pack(sweep.model, sweep.weights, false, packed);
        sweep.packed = packed;
        run_shares(n_workers, shares);
        status = sg_ops_check(ops);
    }
    for (int i = 0; i < n_workers; i++)
        sg_block_close(&shares[i].block);
    free(shares);
    sg_model_packed_close(sweep.model, &packed);
    sg_block_close(&block);
    return status;
}
