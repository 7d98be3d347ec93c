#include "sweep.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"

#define UNITS_AT_ONCE 256
#define ROWS_AT_ONCE 2048

struct share {
    const struct sg_sweep *sweep;
    int64_t begin, end, rows_max;
    pthread_t thread;
};

static void *sweep_share(void *argument)
{
    struct share *s = argument;
    const struct sg_sweep *sweep = s->sweep;
    const struct sg_model_spec *spec = sg_model_spec_of(sweep->model);
    void *memory = sg_alloc_aligned(sg_gathered_place(spec, NULL, UNITS_AT_ONCE, s->rows_max, NULL, NULL));
    size_t workspace_bytes = sg_workspace_bytes(sweep->model, UNITS_AT_ONCE, s->rows_max, false);
    void *workspace_memory = sg_alloc_pages(workspace_bytes);
    struct sg_workspace *workspace =
        sg_workspace_place(sweep->model, UNITS_AT_ONCE, s->rows_max, false, workspace_memory);
    struct sg_gathered gathered;
    sg_gathered_place(spec, NULL, UNITS_AT_ONCE, s->rows_max, memory, &gathered);
    for (int64_t at = s->begin; at < s->end;) {
        int64_t n = sg_gather_fitting(sweep->dataset, sweep->unit + at, s->end - at, &gathered);
        sg_gather(sweep->dataset, NULL, sweep->unit + at, n, 0, &gathered);
        if (sweep->masking)
            sg_gather_masked(sweep->masking, &gathered);
        sweep->chunk(sweep, at, &gathered, workspace);
        at += n;
    }
    free(memory);
    sg_free_pages(workspace_memory, workspace_bytes);
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

size_t sg_sweep_bytes(const struct sg_model *model, int64_t rows_per_unit_max)
{
    const struct sg_model_spec *spec = sg_model_spec_of(model);
    int64_t rows = rows_per_unit_max > ROWS_AT_ONCE ? rows_per_unit_max : ROWS_AT_ONCE;
    size_t outputs = 0;
    if (spec->objective == SG_MASKED_TOKENS)
        outputs = (size_t)(sg_mask_rows_max(UNITS_AT_ONCE, rows) * spec->n_outputs) * sizeof(float);
    return outputs + sg_gathered_place(spec, NULL, UNITS_AT_ONCE, rows, NULL, NULL) +
           sg_workspace_bytes(model, UNITS_AT_ONCE, rows, SG_WORKSPACE_SCORING);
}

void sg_sweep_run(const struct sg_sweep *asked, int n_workers)
{
    void *packed = sg_alloc_aligned(sg_model_packed_bytes(asked->model));
    sg_model_pack(asked->model, asked->weights, false, packed);
    struct sg_sweep with_packed = *asked;
    const struct sg_sweep *sweep = &with_packed;
    with_packed.packed = packed;
    int64_t rows_max = longest_unit(sweep->dataset), n = sweep->n_units, each = (n + n_workers - 1) / n_workers;
    struct share *shares = sg_alloc((size_t)n_workers, sizeof *shares);
    int n_started = 0;
    for (int i = 0; i < n_workers; i++) {
        int64_t begin = each * i < n ? each * i : n, end = begin + each < n ? begin + each : n;
        shares[i] = (struct share){sweep, begin, end, rows_max, 0};
        /* A thread that cannot be started is no loss: its share is done here. */
        if (i + 1 < n_workers && pthread_create(&shares[n_started].thread, NULL, sweep_share, &shares[i]) == 0)
            n_started++;
        else
            sweep_share(&shares[i]);
    }
    for (int i = 0; i < n_started; i++)
        pthread_join(shares[i].thread, NULL);
    free(shares);
    free(packed);
}
