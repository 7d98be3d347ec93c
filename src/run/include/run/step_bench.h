/* Step times of the engine on generated rows: sample, forward, backward, clip, sum, noise, optimizer. */
#ifndef SG_RUN_STEP_BENCH_H
#define SG_RUN_STEP_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "nn/model.h"
#include "ops/ops.h"

struct sg_step_bench {
    struct sg_model_spec model;
    int64_t n_units;     /* every unit joins every step */
    int64_t n_steps;     /* time steps of each unit */
    int64_t repetitions; /* timed steps of each kind, interleaved; more are done first to warm up */
    int n_workers;
    double clip_norm;    /* C' */
    const char *noise_source;
    const char *tensors; /* safetensors with x (units, steps, F), statics, label and weights by name; NULL: generated */
    bool is_private, is_plain; /* which kinds to time */
};

struct sg_step_figures {
    double median_ms, fastest_ms;     /* wall clock of one step */
    double noise_ms;                  /* of which: drawing and adding the noise */
    double first_gradient_norm;       /* of the first step, noise off: the proof of equal work */
};

struct sg_step_bench_result {
    struct sg_step_figures private_step, plain_step;
    int64_t n_weights;
    double ratio_median; /* median over pairs of private / plain; NaN unless both */
    long peak_rss_kib;
};

SG_MUST_USE enum sg_status sg_step_bench_run(const struct sg_step_bench *bench, const struct sg_ops *ops,
                                             struct sg_step_bench_result *out);

#endif
