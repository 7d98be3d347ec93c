/* The training loop: sample, forward, backward, absorb, sum over ranks, release, optimize. */
#ifndef SG_RUN_STEPS_H
#define SG_RUN_STEPS_H

#include "data/dataset.h"
#include "mechanism/mechanism.h"
#include "run/trainer.h"

/* Trains prepared->weights in place over all steps of the plan. *steps_done counts released steps whatever happens; with
 * show_internal *internal gets clip counts; *track gets what track.h says. SG_FAILED when a signal asked for the end. */
SG_MUST_USE enum sg_status sg_train_steps(const struct sg_train_options *options, struct sg_prepared *prepared,
                                          const struct sg_dataset *dataset, struct sg_mechanism *mechanism, int64_t *steps_done,
                                          json_t **internal, json_t **track);

#endif
