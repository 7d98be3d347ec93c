#include "track.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "metrics/metrics.h"
#include "run/evaluate.h"

void sg_track_open(const struct sg_train_options *options, const struct sg_prepared *prepared,
                   const struct sg_dataset *dataset, struct sg_track *out)
{
    *out = (struct sg_track){.model = prepared->model,
                             .dataset = dataset,
                             .n_workers = options->n_workers,
                             .n_steps = prepared->plan.steps};
    if (options->config->training.validation_points == 0 || options->comm->rank != 0)
        return;
    out->unit = sg_units_of_split(dataset, SG_SPLIT_VALIDATION, &out->n_units);
    if (out->n_units == 0)
        return;
    out->n_points = options->config->training.validation_points;
    size_t n_parameters, n_weights = 0;
    const struct sg_parameter *parameter = sg_model_parameters(prepared->model, &n_parameters);
    for (size_t i = 0; i < n_parameters; i++) {
        size_t end = (size_t)(parameter[i].first + parameter[i].n_out * parameter[i].n_in);
        n_weights = end > n_weights ? end : n_weights;
    }
    out->weights = sg_alloc(n_weights, sizeof(float));
    memcpy(out->weights, prepared->weights, n_weights * sizeof(float));
    out->probability = sg_alloc((size_t)out->n_units, sizeof(float));
    out->label = sg_alloc((size_t)out->n_units, sizeof(float));
    for (int64_t i = 0; i < out->n_units; i++)
        out->label[i] = dataset->label[out->unit[i]];
    out->auc = json_array();
    out->log_loss = json_array();
}

/* floor(steps_done n_points / n_steps) grows with this step. */
bool sg_track_is_due(const struct sg_track *track, int64_t steps_done)
{
    double share = (double)track->n_points / (double)track->n_steps;
    return track->n_points > 0 &&
           (steps_done == track->n_steps || floor((double)steps_done * share) > floor((double)(steps_done - 1) * share));
}

static void add_point(json_t *points, int64_t steps_done, double value)
{
    json_array_append_new(points, json_pack("[I, o]", (json_int_t)steps_done, sg_json_real(round(value * 1e4) / 1e4)));
}

void sg_track_measure(struct sg_track *track, int64_t steps_done)
{
    struct sg_metrics metrics;
    sg_predict(track->model, track->weights, track->dataset, track->unit, track->n_units, track->n_workers,
               track->probability);
    sg_metrics_compute(track->n_units, track->probability, track->label, &metrics);
    add_point(track->auc, steps_done, metrics.auc);
    add_point(track->log_loss, steps_done, metrics.log_loss);
}

json_t *sg_track_close(struct sg_track *track)
{
    json_t *list = json_array();
    if (json_array_size(track->auc) > 0) {
        static const char form[] = "{s:s, s:s, s:s, s:O}";
        json_array_append_new(list, json_pack(form, "name", "auc", "split", "validation", "released", "exact", "points",
                                              track->auc));
        json_array_append_new(list, json_pack(form, "name", "log_loss", "split", "validation", "released", "exact",
                                              "points", track->log_loss));
    } else {
        json_decref(list);
        list = NULL;
    }
    free(track->unit);
    free(track->weights);
    free(track->probability);
    free(track->label);
    json_decref(track->auc);
    json_decref(track->log_loss);
    *track = (struct sg_track){0};
    return list;
}
