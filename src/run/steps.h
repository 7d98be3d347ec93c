/* The training loop: sample, forward, backward, absorb, sum over ranks, release, optimize. */
#ifndef SG_RUN_STEPS_H
#define SG_RUN_STEPS_H

#include "data/dataset.h"
#include "mechanism/mechanism.h"
#include "run/trainer.h"

/* A sign of life: called by rank 0 after the steps or seconds that the configuration says. NULL: none. */
struct sg_beat {
    enum sg_status (*beat)(void *context, int64_t steps_done);
    void *context;
};

/* Trains prepared->weights in place over all steps of the plan. *steps_done counts released steps whatever happens; with
 * show_internal *internal gets clip counts; *track gets what track.h says. SG_FAILED when a signal asked for the end. */
SG_MUST_USE enum sg_status sg_train_steps(const struct sg_train_options *options, struct sg_prepared *prepared,
                                          const struct sg_dataset *dataset, struct sg_mechanism *mechanism,
                                          const struct sg_beat *beat, int64_t *steps_done, json_t **internal,
                                          json_t **track);

/* Between the vector of all weights and that of those that learn, which alone the optimizer sees and which lies in the
 * ops' memory: from the host's weights, into the ops' and into the host's. */
void sg_trainable_take(const struct sg_ops *ops, const struct sg_model *model, const float *all, float *trainable);
void sg_trainable_put(const struct sg_ops *ops, const struct sg_model *model, const float *trainable, float *all);
void sg_trainable_fetch(const struct sg_ops *ops, const struct sg_model *model, const float *trainable, float *all);

#endif
