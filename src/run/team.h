/* The workers of one rank: plain threads, each with its own memory, that take panels and leave integers. */
#ifndef SG_RUN_TEAM_H
#define SG_RUN_TEAM_H

#include "data/dataset.h"
#include "batch.h"
#include "mechanism/mechanism.h"
#include "nn/model.h"
#include "run/comm.h"
#include "run/memory.h"

struct sg_team;

struct sg_team_setup {
    const struct sg_model *model;
    const struct sg_ops *ops;
    const struct sg_plan *plan;
    const struct sg_dataset *dataset;
    const struct sg_prefix *prefix;   /* of the dataset's units, or NULL */
    const struct sg_masking *masking; /* of SG_MASKED_TOKENS, else NULL */
    struct sg_shape shape;
};

/* The most bytes that the n-th worker can need, the first of all being 0. prefix may be NULL. */
size_t sg_worker_bytes(const struct sg_model *model, const struct sg_plan *plan, const struct sg_prefix *prefix,
                       const struct sg_shape *shape, int worker);

SG_MUST_USE enum sg_status sg_team_open(const struct sg_team_setup *setup, struct sg_team **out);
void sg_team_close(struct sg_team **team);

/* Forward, backward and absorb over this rank's share of the sample's panels. sample->unit are positions in train_unit,
 * which maps them to the dataset. sum (P), in the ops' memory, gets this rank's integers, *overflow its flag, counts what the operator may
 * see. */
void sg_team_step(struct sg_team *team, const struct sg_mechanism *mechanism, const struct sg_sample *sample,
                  const int32_t *train_unit, const void *packed, int64_t step, const struct sg_comm *comm, int64_t *sum,
                  bool *overflow, struct sg_clip_counts *counts);

#endif
