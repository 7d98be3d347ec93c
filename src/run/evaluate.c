#include "run/evaluate.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "batch.h"
#include "metrics/metrics.h"

#define UNITS_AT_ONCE 256
#define ROWS_AT_ONCE 2048

struct share {
    const struct sg_model *model;
    const void *packed;
    const struct sg_dataset *dataset;
    const int32_t *unit;
    int64_t n_units, rows_max;
    float *probability;
    pthread_t thread;
};

static void *predict_share(void *argument)
{
    struct share *s = argument;
    const struct sg_model_spec *spec = sg_model_spec_of(s->model);
    size_t gathered_bytes = sg_gathered_place(spec->n_features, spec->n_static, UNITS_AT_ONCE, s->rows_max, NULL, NULL);
    void *memory = sg_alloc_aligned(gathered_bytes);
    void *workspace_memory = sg_alloc_aligned(sg_workspace_bytes(s->model, UNITS_AT_ONCE, s->rows_max, false));
    struct sg_workspace *workspace = sg_workspace_place(s->model, UNITS_AT_ONCE, s->rows_max, false, workspace_memory);
    struct sg_gathered gathered;
    sg_gathered_place(spec->n_features, spec->n_static, UNITS_AT_ONCE, s->rows_max, memory, &gathered);
    for (int64_t at = 0; at < s->n_units;) {
        int64_t n = sg_gather_fitting(s->dataset, s->unit + at, s->n_units - at, &gathered);
        sg_gather(s->dataset, s->unit + at, n, 0, &gathered);
        float *logit = s->probability + at;
        sg_model_forward(s->model, s->packed, &gathered.batch, false, workspace, logit);
        for (int64_t i = 0; i < n; i++)
            logit[i] = (float)(1 / (1 + exp(-(double)logit[i])));
        at += n;
    }
    free(memory);
    free(workspace_memory);
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

void sg_predict(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset, const int32_t *unit,
                int64_t n_units, int n_workers, float *probability)
{
    void *packed = sg_alloc_aligned(sg_model_packed_bytes(model));
    sg_model_pack(model, weights, false, packed);
    int64_t rows_max = longest_unit(dataset), each = (n_units + n_workers - 1) / n_workers;
    struct share *shares = sg_alloc((size_t)n_workers, sizeof *shares);
    int n_started = 0;
    for (int i = 0; i < n_workers; i++) {
        int64_t begin = each * i < n_units ? each * i : n_units, end = begin + each < n_units ? begin + each : n_units;
        shares[i] = (struct share){model, packed, dataset, unit + begin, end - begin, rows_max, probability + begin, 0};
        /* A thread that cannot be started is no loss: its share is done here. */
        if (i + 1 < n_workers && pthread_create(&shares[n_started].thread, NULL, predict_share, &shares[i]) == 0)
            n_started++;
        else
            predict_share(&shares[i]);
    }
    for (int i = 0; i < n_started; i++)
        pthread_join(shares[i].thread, NULL);
    free(shares);
    free(packed);
}

int32_t *sg_units_of_split(const struct sg_dataset *dataset, enum sg_split split, int64_t *n)
{
    int32_t *unit = sg_alloc((size_t)dataset->n_units, sizeof *unit);
    *n = 0;
    for (int64_t u = 0; u < dataset->n_units; u++)
        if (dataset->split[u] == split)
            unit[(*n)++] = (int32_t)u;
    return unit;
}

const char *sg_split_name(enum sg_split split)
{
    static const char *const names[] = {"train", "validation", "test"};
    return names[split];
}

struct scored {
    int64_t n;
    float *probability;
};

static void add_bins(json_t *curves, enum sg_split split, const struct scored *scored, const float *label)
{
    json_t *bins = sg_metrics_bins(scored->n, scored->probability, label);
    if (bins)
        json_array_append_new(curves, json_pack("{s:s, s:s, s:s, s:o}", "name", "scores", "split", sg_split_name(split), "released",
                                                "exact", "bins", bins));
}

static json_t *evaluate_split(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset,
                              enum sg_split split, int n_workers, struct scored *scored, json_t *curves)
{
    int32_t *unit = sg_units_of_split(dataset, split, &scored->n);
    json_t *object = NULL;
    if (scored->n > 0) {
        scored->probability = sg_alloc((size_t)scored->n, sizeof(float));
        float *label = sg_alloc((size_t)scored->n, sizeof *label);
        sg_predict(model, weights, dataset, unit, scored->n, n_workers, scored->probability);
        for (int64_t i = 0; i < scored->n; i++)
            label[i] = dataset->label[unit[i]];
        struct sg_metrics metrics;
        sg_metrics_compute(scored->n, scored->probability, label, &metrics);
        object = sg_metrics_to_json(&metrics);
        if (curves && split != SG_SPLIT_TRAIN)
            add_bins(curves, split, scored, label);
        free(label);
    }
    free(unit);
    return object;
}

static void set_psi(json_t *object, const char *name, const struct scored *expected, const struct scored *actual)
{
    if (object && expected->n > 0 && actual->n > 0)
        json_object_set_new(object, name, sg_json_real(sg_metrics_psi(expected->n, expected->probability, actual->n, actual->probability)));
}

json_t *sg_evaluate(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset, int n_workers,
                    bool internal, json_t **curves)
{
    json_t *list = curves ? *curves = json_array() : NULL;
    json_t *result = json_object(), *by_split[SG_N_SPLITS] = {0};
    struct scored scored[SG_N_SPLITS] = {0};
    for (int s = internal ? SG_SPLIT_TRAIN : SG_SPLIT_VALIDATION; s < SG_N_SPLITS; s++)
        by_split[s] = evaluate_split(model, weights, dataset, (enum sg_split)s, n_workers, &scored[s], list);
    set_psi(by_split[SG_SPLIT_TEST], "psi_from_validation", &scored[SG_SPLIT_VALIDATION], &scored[SG_SPLIT_TEST]);
    if (internal)
        set_psi(by_split[SG_SPLIT_TEST], "psi_from_train", &scored[SG_SPLIT_TRAIN], &scored[SG_SPLIT_TEST]);
    for (int s = 0; s < SG_N_SPLITS; s++) {
        if (by_split[s])
            json_object_set_new(result, sg_split_name((enum sg_split)s), by_split[s]);
        free(scored[s].probability);
    }
    return result;
}
