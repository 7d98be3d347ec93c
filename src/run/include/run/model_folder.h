/* The model folder: model.safetensors, config.json, schema.yaml and statement.json. Their bytes are a function of weights, schema
 * and plan alone: no run id, no time, no path. With a ledger the trainer puts run.proof beside them, the run's last event with
 * its proof. */
#ifndef SG_RUN_MODEL_FOLDER_H
#define SG_RUN_MODEL_FOLDER_H

#include "account/plan.h"
#include "base/json.h"
#include "base/status.h"
#include "data/schema.h"
#include "data/tokenizer.h"
#include "nn/model.h"

/* Whether a model could be written to `folder`, made with its parents if need be: asked before anything is spent on it. */
SG_MUST_USE enum sg_status sg_model_folder_check(const char *folder);

/* `weights` is the vector of all weights. An encoder's folder also holds its vocabulary (`tokenizer`, else NULL) and loads
 * in the usual Python library. The statement is borrowed. SG_FAILED when something cannot be written. */
SG_MUST_USE enum sg_status sg_model_folder_write(const char *folder, const struct sg_model *model, const float *weights,
                                                 const struct sg_schema *schema, const struct sg_tokenizer *tokenizer,
                                                 const json_t *statement);

struct sg_model_folder {
    struct sg_model *model;
    struct sg_schema *schema;
    struct sg_tokenizer *tokenizer; /* of an encoder; NULL for tables */
    float *weights;    /* all */
    json_t *statement;
    char digest[65];   /* SHA-256 of model.safetensors, hexadecimal */
};

/* Reads and checks everything: SG_USAGE names the file and what is wrong with it. The caller frees. `seed` keys dropout. */
SG_MUST_USE enum sg_status sg_model_folder_read(const char *folder, const struct sg_ops *ops, uint64_t seed,
                                                struct sg_model_folder *out);
void sg_model_folder_free(struct sg_model_folder *folder);

/* What a statement says beside its plan. */
struct sg_statement_facts {
    const char *unit;        /* the unit of privacy in words */
    bool secret_supplied;    /* the claim is void for whoever holds the secret file */
    bool without_ledger;     /* no ledger holds the spend */
    const char *base_digest; /* of the base's weights, hexadecimal; "": from scratch */
    bool base_is_public;     /* as asserted; otherwise a private base is a model of the same population */
};

/* What is promised, to whom, in numbers and in words. The caller json_decrefs. */
json_t *sg_statement(const struct sg_plan *plan, const struct sg_statement_facts *facts);

#endif
