/* The configuration of a training run: one YAML file, checked completely before anything else happens.
 *
 * Paths in the file are relative to its folder. docs/configuration.md lists every key. */
#ifndef SG_RUN_CONFIG_H
#define SG_RUN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "account/plan.h"
#include "base/json.h"
#include "base/status.h"
#include "nn/model.h"

enum sg_optimizer_kind { SG_OPTIMIZER_SGD, SG_OPTIMIZER_ADAM };
enum sg_schedule { SG_SCHEDULE_CONSTANT, SG_SCHEDULE_LINEAR };

struct sg_training {
    int optimizer;                 /* enum sg_optimizer_kind */
    double learning_rate, momentum, beta1, beta2, adam_epsilon;
    int schedule;                  /* enum sg_schedule: what follows decay_start */
    double decay_start;            /* fraction of the steps at full rate */
    int64_t warmup_steps;          /* linear from zero */
    double average_decay;          /* exponential moving average of the weights, 0: none; free post-processing */
    int64_t validation_points;     /* how often the validation split is measured on the way, 0: only at the end */
    int64_t public_seed;           /* initial weights and dropout */
};

#define SG_PATTERNS_MAX 32

struct sg_config {
    char *path;                    /* of the file, for messages */
    char *run_name;
    char *data_file, *schema_file, *dataset; /* dataset: registered name; NULL with --no-ledger */
    struct sg_model_spec model;    /* inputs and outputs are completed from the schema, an encoder's shape from its base */
    bool linear_path, static_tokens;
    double head_scale;             /* > 0: the head starts from so many times the encoded names of the classes, which are
                                      public; 0: from zero */
    char *base_folder;             /* NULL: from scratch */
    bool base_is_public;           /* signed assertion */
    const char *trainable[SG_PATTERNS_MAX]; /* owned; n_trainable = 0: all */
    size_t n_trainable;
    struct sg_plan_request plan;   /* n_weights, rows_per_unit_max and noise_tau_log2 are completed later */
    char *noise_source;            /* owned; NULL: the backend's default */
    struct sg_training training;
    int64_t heartbeat_s, heartbeat_steps; /* signs of life in the ledger; steps, where given, in place of seconds */
    int64_t memory_limit, panels_at_once; /* bytes, 0: none; 0: as the backend wants */
    bool recompute;
    char *ledger_file, *key_file, *unlock_file, *out_folder;
    json_t *record;                /* the configuration as written, without paths: what the ledger keeps */
};

/* SG_USAGE with file, line and column of the first fault. The caller sg_config_closes. */
SG_MUST_USE enum sg_status sg_config_read(const char *path, struct sg_config **out);
struct sg_schema;
/* Inputs and outputs of the configured model as the schema has them, and a tabular one's rows. SG_USAGE where they do
 * not go together. */
SG_MUST_USE enum sg_status sg_config_fit_schema(const struct sg_config *config, const struct sg_schema *schema,
                                                struct sg_model_spec *spec);
void sg_config_close(struct sg_config **config);

#endif
