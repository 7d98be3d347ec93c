#include "track.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "loss.h"
#include "run/evaluate.h"

void sg_track_open(const struct sg_train_options *options, const struct sg_prepared *prepared,
                   const struct sg_dataset *dataset, struct sg_track *out)
{
    *out = (struct sg_track){
        .model = prepared->model, .dataset = dataset, .n_workers = prepared->shape.n_workers, .n_steps = prepared->plan.steps};
    if (options->config->training.validation_points == 0 || options->comm->rank != 0)
        return;
    out->masking = sg_prepared_masking(prepared, &options->config->training, &out->masking_memory);
    out->unit = sg_units_of_split(dataset, SG_SPLIT_VALIDATION, &out->n_units);
    if (out->n_units == 0)
        return;
    out->n_points = options->config->training.validation_points;
    size_t n_weights = (size_t)sg_model_n_weights(prepared->model);
    out->weights = sg_alloc(n_weights, sizeof(float));
    memcpy(out->weights, prepared->weights, n_weights * sizeof(float));
    const struct sg_model_spec *spec = sg_model_spec_of(prepared->model);
    if (!out->masking)
        out->score = sg_alloc((size_t)(out->n_units * sg_outputs_of(spec)), sizeof(float));
    out->label = sg_alloc((size_t)out->n_units, sizeof(float));
    for (int64_t i = 0; i < out->n_units; i++)
        out->label[i] = dataset->label ? dataset->label[out->unit[i]] : 0;
    static const char *const names[][2] = {[SG_BINARY] = {"auc", "log_loss"},
                                           [SG_CLASSES] = {"accuracy", "log_loss"},
                                           [SG_REGRESSION] = {"rmse", "mae"},
                                           [SG_MASKED_TOKENS] = {"accuracy", "log_loss"}};
    for (int k = 0; k < 2; k++) {
        out->name[k] = names[spec->objective][k];
        out->points[k] = json_array();
    }
}

/* floor(steps_done n_points / n_steps) grows with this step. */
bool sg_track_is_due(const struct sg_track *track, int64_t steps_done)
{
    double share = (double)track->n_points / (double)track->n_steps;
    return track->n_points > 0 && (steps_done == track->n_steps ||
                                   floor((double)steps_done * share) > floor((double)(steps_done - 1) * share));
}

static void add_point(json_t *points, int64_t steps_done, const json_t *figure)
{
    double value = json_is_real(figure) ? json_real_value(figure) : NAN;
    json_t *units = isfinite(value) ? json_integer((json_int_t)llround(value * 1e4)) : json_null();
    json_array_append_new(points, json_pack("[I, o]", (json_int_t)steps_done, units));
}

enum sg_status sg_track_measure(struct sg_track *track, int64_t steps_done)
{
    json_t *figures = NULL;
    if (track->masking) {
        figures = sg_masked_metrics(track->model, track->weights, track->dataset, track->masking, track->unit,
                                    track->n_units, track->n_workers);
    } else {
        SG_TRY(sg_predict(track->model, track->weights, track->dataset, track->unit, track->n_units, track->n_workers,
                          track->score));
        figures = sg_score_metrics(sg_model_spec_of(track->model), track->n_units, track->score, track->label);
    }
    if (!figures)
        return SG_FAILED;
    for (int k = 0; k < 2; k++)
        add_point(track->points[k], steps_done, json_object_get(figures, track->name[k]));
    json_decref(figures);
    return SG_OK;
}

json_t *sg_track_close(struct sg_track *track)
{
    json_t *list = NULL;
    if (json_array_size(track->points[0]) > 0) {
        list = json_array();
        for (int k = 0; k < 2; k++)
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:O}", "name", track->name[k], "split", "validation",
                                                  "released", "exact", "points", track->points[k]));
    }
    free(track->unit);
    free(track->weights);
    free(track->score);
    free(track->label);
    for (int k = 0; k < 2; k++)
        json_decref(track->points[k]);
    *track = (struct sg_track){0};
    return list;
}
