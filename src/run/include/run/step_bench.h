/* Step times of the engine on generated or given rows: sample, forward, backward, clip, sum, noise, optimizer. A frozen
 * prefix of an encoder, which a run finds once for every unit, is found anew in every step. */
#ifndef SG_RUN_STEP_BENCH_H
#define SG_RUN_STEP_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "nn/model.h"
#include "ops/ops.h"

struct sg_step_bench {
    struct sg_model_spec model;
    int64_t n_units;              /* every unit joins every step */
    int64_t n_steps;              /* time steps of each unit; of an encoder: the most tokens of one */
    const char *const *trainable; /* patterns of what learns */
    size_t n_trainable;           /* 0: everything learns */
    int64_t repetitions;          /* timed steps of each kind, interleaved; more are done first to warm up */
    int n_workers;
    int64_t panels; /* that a worker takes at once; 0: one */
    bool recompute;
    double clip_norm; /* C' */
    const char *noise_source;
    /* safetensors with x (units, steps, F) and statics, or of an encoder length (units) and token (sum of the lengths)
     * as floats; label and weights by name. NULL: generated */
    const char *tensors;
    bool is_private, is_plain; /* which kinds to time */
};

struct sg_step_figures {
    double median_ms, fastest_ms; /* wall clock of one step */
    double cpu_ms;                /* median of processor time, all threads */
    double noise_ms;              /* of which: the release, that is drawing and adding the noise and one scaling */
    double first_gradient_norm;   /* of the first step, noise off: the proof of equal work */
};

struct sg_step_bench_result {
    struct sg_step_figures private_step, plain_step;
    int64_t n_weights;                     /* that learn */
    int64_t n_rows;                        /* time steps or tokens of all units */
    double ratio_median, cpu_ratio_median; /* medians over pairs of private / plain; NaN unless both */
    long peak_rss_kib;
};

SG_MUST_USE enum sg_status sg_step_bench_run(const struct sg_step_bench *bench, const struct sg_ops *ops,
                                             struct sg_step_bench_result *out);

#endif
