#include "run/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "loss.h"
#include "metrics/metrics.h"
#include "sweep.h"

static void predict_chunk(const struct sg_sweep *sweep, int64_t first, const struct sg_gathered *gathered,
                          struct sg_workspace *workspace)
{
    const struct sg_model_spec *spec = sg_model_spec_of(sweep->model);
    int64_t n = gathered->batch.n_units * sg_outputs_of(spec);
    float *output = (float *)sweep->out + first * sg_outputs_of(spec);
    sg_model_forward(sweep->model, sweep->packed, &gathered->batch, false, workspace,
                     sg_sweep_target(gathered, output));
    sg_sweep_fetch(sweep, gathered, n, output);
    sg_outputs_to_scores(spec, gathered->batch.n_units, output);
}

enum sg_status sg_predict(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset,
                          const int32_t *unit, int64_t n_units, int n_workers, float *score)
{
    const struct sg_sweep sweep = {.model = model,
                                   .weights = weights,
                                   .dataset = dataset,
                                   .unit = unit,
                                   .n_units = n_units,
                                   .chunk = predict_chunk,
                                   .out = score};
    return sg_sweep_run(&sweep, n_workers);
}

/* Of one unit's masked words: how many, how many found, the sum of their losses. */
struct masked_figures {
    int64_t n, n_hit;
    double loss;
};

static struct masked_figures figures_of(int64_t n_rows, int64_t width, const float *probability, const int32_t *target)
{
    struct masked_figures f = {.n = n_rows};
    for (int64_t i = 0; i < n_rows; i++) {
        const float *p = probability + i * width;
        f.n_hit += sg_metrics_best_class(p, width) == target[i];
        f.loss -= log(fmax((double)p[target[i]], 1e-15));
    }
    return f;
}

static void masked_chunk(const struct sg_sweep *sweep, int64_t first, const struct sg_gathered *gathered,
                         struct sg_workspace *workspace)
{
    const struct sg_batch *batch = &gathered->batch;
    int64_t width = sg_outputs_of(sg_model_spec_of(sweep->model));
    float *output = sg_alloc((size_t)(batch->n_masked * width) + 1, sizeof *output);
    struct masked_figures *out = (struct masked_figures *)sweep->out + first;
    sg_model_forward(sweep->model, sweep->packed, batch, false, workspace, sg_sweep_target(gathered, output));
    sg_sweep_fetch(sweep, gathered, batch->n_masked * width, output);
    for (int64_t b = 0; b < batch->n_units; b++) {
        int64_t row = batch->masked_offset[b], n = batch->masked_offset[b + 1] - row;
        sg_softmax_rows(n, width, output + row * width);
        out[b] = figures_of(n, width, output + row * width, gathered->target + row);
    }
    free(output);
}

json_t *sg_masked_metrics(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset,
                          const struct sg_masking *masking, const int32_t *unit, int64_t n_units, int n_workers)
{
    struct masked_figures *each = sg_alloc((size_t)n_units, sizeof *each), all = {0};
    const struct sg_sweep sweep = {.model = model,
                                   .weights = weights,
                                   .dataset = dataset,
                                   .unit = unit,
                                   .n_units = n_units,
                                   .chunk = masked_chunk,
                                   .out = each,
                                   .masking = masking};
    if (sg_sweep_run(&sweep, n_workers) != SG_OK) {
        free(each);
        return NULL;
    }
    for (int64_t i = 0; i < n_units; i++)
        all = (struct masked_figures){all.n + each[i].n, all.n_hit + each[i].n_hit, all.loss + each[i].loss};
    free(each);
    double n = all.n > 0 ? (double)all.n : NAN;
    return json_pack("{s:o, s:o}", "accuracy", sg_json_real((double)all.n_hit / n), "log_loss",
                     sg_json_real(all.loss / n));
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
    float *score;
};

json_t *sg_score_metrics(const struct sg_model_spec *spec, int64_t n, const float *score, const float *label)
{
    if (spec->objective == SG_REGRESSION)
        return sg_metrics_values(n, score, label);
    if (spec->objective == SG_CLASSES) {
        struct sg_class_metrics metrics;
        sg_metrics_classes(n, sg_outputs_of(spec), score, label, &metrics, NULL);
        return sg_metrics_classes_to_json(&metrics);
    }
    struct sg_metrics metrics;
    sg_metrics_compute(n, score, label, &metrics);
    return sg_metrics_to_json(&metrics);
}

static void add_bins(json_t *curves, enum sg_split split, const struct scored *scored, const float *label)
{
    json_t *bins = sg_metrics_bins(scored->n, scored->score, label);
    if (bins)
        json_array_append_new(curves, json_pack("{s:s, s:s, s:s, s:o}", "name", "scores", "split", sg_split_name(split),
                                                "released", "exact", "bins", bins));
}

static enum sg_status evaluate_split(const struct sg_model *model, const float *weights,
                                     const struct sg_dataset *dataset, enum sg_split split,
                                     const struct sg_masking *masking, int n_workers, struct scored *scored,
                                     json_t *curves, json_t **out)
{
    const struct sg_model_spec *spec = sg_model_spec_of(model);
    int32_t *unit = sg_units_of_split(dataset, split, &scored->n);
    enum sg_status status = SG_OK;
    if (scored->n > 0 && masking) {
        *out = sg_masked_metrics(model, weights, dataset, masking, unit, scored->n, n_workers);
        status = *out ? SG_OK : SG_FAILED;
    } else if (scored->n > 0) {
        scored->score = sg_alloc((size_t)(scored->n * sg_outputs_of(spec)), sizeof(float));
        float *label = sg_alloc((size_t)scored->n, sizeof *label);
        status = sg_predict(model, weights, dataset, unit, scored->n, n_workers, scored->score);
        for (int64_t i = 0; i < scored->n; i++)
            label[i] = dataset->label[unit[i]];
        if (status == SG_OK)
            *out = sg_score_metrics(spec, scored->n, scored->score, label);
        if (status == SG_OK && curves && spec->objective == SG_BINARY && split != SG_SPLIT_TRAIN)
            add_bins(curves, split, scored, label);
        free(label);
    }
    free(unit);
    return status;
}

/* How far the scores of one split lie from another's: a figure of one score a unit. */
static void set_psi(json_t *object, const char *name, const struct scored *expected, const struct scored *actual)
{
    if (object && expected->n > 0 && actual->n > 0)
        json_object_set_new(object, name,
                            sg_json_real(sg_metrics_psi(expected->n, expected->score, actual->n, actual->score)));
}

json_t *sg_evaluate(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset,
                    const struct sg_masking *masking, int n_workers, bool internal, json_t **curves)
{
    json_t *list = curves ? *curves = json_array() : NULL;
    json_t *result = json_object(), *by_split[SG_N_SPLITS] = {0};
    struct scored scored[SG_N_SPLITS] = {0};
    enum sg_status status = SG_OK;
    for (int s = internal ? SG_SPLIT_TRAIN : SG_SPLIT_VALIDATION; status == SG_OK && s < SG_N_SPLITS; s++)
        status = evaluate_split(model, weights, dataset, (enum sg_split)s, masking, n_workers, &scored[s], list,
                                &by_split[s]);
    bool is_binary = sg_model_spec_of(model)->objective == SG_BINARY;
    if (is_binary)
        set_psi(by_split[SG_SPLIT_TEST], "psi_from_validation", &scored[SG_SPLIT_VALIDATION], &scored[SG_SPLIT_TEST]);
    if (is_binary && internal)
        set_psi(by_split[SG_SPLIT_TEST], "psi_from_train", &scored[SG_SPLIT_TRAIN], &scored[SG_SPLIT_TEST]);
    for (int s = 0; s < SG_N_SPLITS; s++) {
        if (by_split[s])
            json_object_set_new(result, sg_split_name((enum sg_split)s), by_split[s]);
        free(scored[s].score);
    }
    if (status != SG_OK) {
        json_decref(result);
        result = NULL;
    }
    return result;
}
