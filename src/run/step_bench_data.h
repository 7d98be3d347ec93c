/* What a benchmark's steps work on: units and starting weights, read from a file or generated. */
#ifndef SG_RUN_STEP_BENCH_DATA_H
#define SG_RUN_STEP_BENCH_DATA_H

#include "data/dataset.h"
#include "nn/model.h"
#include "run/step_bench.h"

struct sg_bench_data {
    struct sg_dataset dataset;
    int32_t *unit;  /* (n_units) 0, 1, .. */
    float *weights; /* all of the model */
};

/* To be closed whatever is returned. SG_USAGE when the file lacks a tensor or one has another size. */
SG_MUST_USE enum sg_status sg_bench_data_open(const struct sg_step_bench *setup, const struct sg_model *model,
                                              struct sg_bench_data *out);
void sg_bench_data_close(struct sg_bench_data *data);

#endif
