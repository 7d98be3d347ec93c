/* A training run from a configuration to a model folder and a signed record.
 *
 * Order is the promise: plan, ledger (the spend is durable), data (checked against its commitment while it is read), steps,
 * evaluation, model folder, the end event. Any failure after run.start ends the run with a coarse reason and keeps its
 * reservation. */
#ifndef SG_RUN_TRAINER_H
#define SG_RUN_TRAINER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "audit/ledger.h"
#include "run/comm.h"
#include "data/tokenizer.h"
#include "run/config.h"
#include "run/memory.h"

struct sg_masking;

struct sg_train_options {
    struct sg_config *config;
    const struct sg_ops *ops;
    struct sg_comm *comm;
    int n_workers;            /* at most */
    int64_t memory_limit;     /* bytes of each rank, in place of the configuration's; 0: as it says */
    bool recompute;           /* blocks are computed again in backward, whatever the configuration says */
    const char *programme;          /* id of the programme that the run is drawn from; NULL: a programme of one */
    const char *secret_file;        /* NULL: 32 bytes from the operating system */
    bool no_ledger, show_internal, quiet;
    const char *code_digest;        /* SG_CODE_DIGEST of the program */
    volatile sig_atomic_t *stopped; /* set by a signal: the run ends with run.abort */
};

/* Everything that is known before any data is opened. */
struct sg_prepared {
    struct sg_schema *schema;
    struct sg_tokenizer *tokenizer; /* of an encoder's base; NULL for tables */
    struct sg_model *model;
    float *weights;           /* all; initial */
    char base_digest[65];     /* "" when trained from scratch */
    struct sg_plan plan;
    struct sg_shape shape;
    struct sg_memory memory;  /* of one rank */
};

SG_MUST_USE enum sg_status sg_train_prepare(const struct sg_train_options *options, int64_t registered_population,
                                            struct sg_prepared *out);
void sg_prepared_free(struct sg_prepared *prepared);
/* How masked words are chosen (SG_MASKED_TOKENS), in *out; NULL for other objectives. */
const struct sg_masking *sg_prepared_masking(const struct sg_prepared *prepared, const struct sg_training *training,
                                             struct sg_masking *out);

struct sg_train_result {
    char run_id[40];         /* "" without a ledger */
    int64_t drawn, programme_runs; /* the drawn-th of that many runs of its programme; 0 without one */
    struct sg_plan plan;
    int64_t steps_done;
    json_t *metrics;         /* by split */
    json_t *internal;        /* clip counts and train metrics, only with show_internal */
    json_t *curves;          /* scores by bins, see sg_evaluate */
    json_t *track;           /* the validation split over the steps, see track.h; NULL: not asked for */
    char model_digest[65];
    int64_t model_bytes;
    int64_t ledger_size;
    uint8_t ledger_root[SG_DIGEST_BYTES];
    int64_t n_truncated_texts; /* longer than max_tokens, likewise */
    int64_t n_clipped_values; /* data values outside their bounds, for a coarse bucket */
};

/* Runs on every rank; only rank 0 fills the result and writes. Called again and again it never spends twice for one run. */
SG_MUST_USE enum sg_status sg_train(const struct sg_train_options *options, struct sg_train_result *out);
void sg_train_result_free(struct sg_train_result *result);

#endif
