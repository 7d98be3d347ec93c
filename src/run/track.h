/* How the validation split fares over the steps of a run, where the configuration asks for it
 * (training: validation_points). The weights of every step follow from released sums: measuring them on people who are
 * not trained on costs the training people nothing. About the validation people it says what the metrics at the end
 * say, a few times over. */
#ifndef SG_RUN_TRACK_H
#define SG_RUN_TRACK_H

#include "data/dataset.h"
#include "mask.h"
#include "run/trainer.h"

struct sg_track {
    const struct sg_model *model;
    const struct sg_dataset *dataset;
    int n_workers;
    int64_t n_points, n_steps, n_units;
    int32_t *unit;
    float *weights; /* all of them; the caller writes those of the step before it measures */
    float *score, *label;
    struct sg_masking masking_memory;
    const struct sg_masking *masking; /* of SG_MASKED_TOKENS, else NULL */
    const char *name[2];              /* the two figures that are followed, by the model's objective */
    json_t *points[2];                /* [[step, value in units of 1e-4 or null], ...] of each */
};

/* Nothing is tracked (n_points 0) on other ranks than 0, without validation units, or when it was not asked for. */
void sg_track_open(const struct sg_train_options *options, const struct sg_prepared *prepared,
                   const struct sg_dataset *dataset, struct sg_track *out);
/* Whether the weights after so many steps shall be measured: n_points times in equal parts, the last after the last. */
bool sg_track_is_due(const struct sg_track *track, int64_t steps_done);
SG_MUST_USE enum sg_status sg_track_measure(struct sg_track *track, int64_t steps_done);
/* [{"name": "auc", "log_loss", "accuracy", "rmse" or "mae", "split": "validation", "released": "exact", "points":
 * [[step, value], ...]}], NULL when nothing was measured. Frees the rest. */
json_t *sg_track_close(struct sg_track *track);

#endif
