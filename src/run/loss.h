/* The objective of a model: from outputs to loss gradients, and from outputs to what a user reads. */
#ifndef SG_RUN_LOSS_H
#define SG_RUN_LOSS_H

#include "nn/model.h"

/* Outputs of one unit, or of one masked word: 1, the number of classes, or the vocabulary. */
int64_t sg_outputs_of(const struct sg_model_spec *spec);

/* doutput (n, outputs) = gradient of each unit's own loss times `scale`. target (n) is room for class numbers. */
void sg_loss_gradient(const struct sg_model_spec *spec, const struct sg_ops *ops, int64_t n, const float *output,
                      const float *label, float scale, int32_t *target, float *doutput);

/* The same for masked words: logits (M, outputs), unit b's loss is the mean over its rows offset[b] .. offset[b+1]. */
void sg_loss_masked(const struct sg_model_spec *spec, const struct sg_ops *ops, int64_t n_units, const int32_t *offset,
                    const float *output, const int32_t *target, float scale, float *doutput);

/* In place: logits (n, width) to probabilities, row by row. */
void sg_softmax_rows(int64_t n, int64_t width, float *z);

/* A label as the loss takes it: a value by its bounds, others as they are. */
float sg_label_of(const struct sg_model_spec *spec, float label);

/* In place: a logit becomes the probability of label 1, logits of classes their probabilities, an output the value between
 * its bounds. */
void sg_outputs_to_scores(const struct sg_model_spec *spec, int64_t n, float *output);

#endif
