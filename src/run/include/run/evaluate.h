/* Scores of a model on units of a dataset, and their metrics. */
#ifndef SG_RUN_EVALUATE_H
#define SG_RUN_EVALUATE_H

#include "base/json.h"
#include "data/dataset.h"
#include "nn/model.h"

/* score (n_units, outputs) of unit[i]: the probability of label 1, those of the classes, or a value; n_workers threads.
 * The bits of a unit's score do not depend on the others'. SG_FAILED when a device fails; metrics are NULL then. */
SG_MUST_USE enum sg_status sg_predict(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset,
                const int32_t *unit, int64_t n_units, int n_workers, float *score);

/* The metrics that go with the model's objective. */
json_t *sg_score_metrics(const struct sg_model_spec *spec, int64_t n, const float *score, const float *label);

/* Accuracy and log loss of the masked words of some units: those of step 0. */
struct sg_masking;
json_t *sg_masked_metrics(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset,
                          const struct sg_masking *masking, const int32_t *unit, int64_t n_units, int n_workers);

/* The units of a split, in file order; the caller frees. */
int32_t *sg_units_of_split(const struct sg_dataset *dataset, enum sg_split split, int64_t *n);

/* Metrics by split: {"validation": {...}, "test": {..., "psi_from_validation": x}}; a split without units is left out. With
 * `internal` also {"train": {...}} and PSI from train, which are not released values. *curves (may be NULL) gets
 * [{"name": "scores", "split": ..., "released": "exact", "bins": sg_metrics_bins}] of validation and test, never of train. */
json_t *sg_evaluate(const struct sg_model *model, const float *weights, const struct sg_dataset *dataset, const struct sg_masking *masking, int n_workers,
                    bool internal, json_t **curves);

const char *sg_split_name(enum sg_split split);

#endif
