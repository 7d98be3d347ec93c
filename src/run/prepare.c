#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "data/schema.h"
#include "mask.h"
#include "mechanism/noise.h"
#include "run/encoder_base.h"
#include "run/model_folder.h"
#include "run/trainer.h"

static enum sg_status load_encoder(const struct sg_train_options *options, struct sg_prepared *out)
{
    const struct sg_config *config = options->config;
    SG_TRY(sg_encoder_base_load(config->base_folder, out->model, out->weights, out->base_digest));
    SG_TRY(sg_head_keep_or_zero(config->base_folder, out->model, out->schema, out->weights));
    if (config->head_scale > 0)
        SG_TRY(sg_head_from_names(out->model, options->ops, out->schema, out->tokenizer, config->head_scale, out->weights));
    return SG_OK;
}

static enum sg_status load_base(const struct sg_train_options *options, struct sg_prepared *out)
{
    if (sg_model_spec_of(out->model)->kind == SG_MODEL_ENCODER)
        return load_encoder(options, out);
    struct sg_model_folder base;
    SG_TRY(sg_model_folder_read(options->config->base_folder, options->ops, 0, &base));
    size_t n;
    const struct sg_parameter *parameters = sg_model_parameters(out->model, &n);
    enum sg_status status = SG_OK;
    for (size_t i = 0; i < n && status == SG_OK; i++) {
        const struct sg_parameter *p = &parameters[i], *theirs = sg_model_find_parameter(base.model, p->name);
        if (!theirs || theirs->n_out != p->n_out || theirs->n_in != p->n_in)
            status = sg_fail(SG_USAGE, "%s: model: base has no tensor %s of this shape; base and model must be of one architecture",
                             options->config->path, p->name);
        else
            memcpy(out->weights + p->first, base.weights + theirs->first, (size_t)(p->n_out * p->n_in) * sizeof(float));
    }
    memcpy(out->base_digest, base.digest, sizeof out->base_digest);
    sg_model_folder_free(&base);
    return status;
}

/* An encoder's shape and vocabulary come from its base. */
static enum sg_status complete_encoder(const struct sg_config *config, struct sg_prepared *out, struct sg_model_spec *spec)
{
    SG_TRY(sg_encoder_base_spec(config->base_folder, &spec->encoder));
    SG_TRY(sg_tokenizer_read(config->base_folder, NULL, &out->tokenizer));
    if (sg_tokenizer_n_vocab(out->tokenizer) > spec->encoder.vocabulary)
        return sg_fail(SG_USAGE, "model: the vocabulary of base has %lld tokens and its config.json says %lld",
                       (long long)sg_tokenizer_n_vocab(out->tokenizer), (long long)spec->encoder.vocabulary);
    if (sg_schema_max_tokens(out->schema) > spec->encoder.positions)
        return sg_fail(SG_USAGE, "model: the schema lets a message have %lld tokens and the base knows %lld positions; lower max_tokens",
                       (long long)sg_schema_max_tokens(out->schema), (long long)spec->encoder.positions);
    if (spec->objective == SG_MASKED_TOKENS) {
        spec->n_outputs = spec->encoder.vocabulary;
        return config->head_scale > 0 ? sg_fail(SG_USAGE, "model: head_start is for classes, not for masked_tokens") : SG_OK;
    }
    if (config->head_scale > 0 && sg_schema_label_kind(out->schema) != SG_LABEL_CLASSES)
        return sg_fail(SG_USAGE, "model: head_start: class_names needs a label with categories");
    return SG_OK;
}

static enum sg_status make_model(const struct sg_train_options *options, struct sg_prepared *out)
{
    struct sg_config *config = options->config;
    struct sg_model_spec spec = config->model;
    SG_TRY(sg_config_fit_schema(config, out->schema, &spec));
    if (spec.kind == SG_MODEL_ENCODER)
        SG_TRY(complete_encoder(config, out, &spec));
    uint64_t seed = (uint64_t)config->training.public_seed;
    SG_TRY(sg_model_create(&spec, options->ops, seed, &out->model));
    if (config->n_trainable > 0)
        SG_TRY(sg_model_train_only(out->model, config->trainable, config->n_trainable));
    out->weights = sg_alloc((size_t)sg_model_n_weights(out->model), sizeof *out->weights);
    sg_model_init(out->model, seed, out->weights);
    return SG_OK;
}

/* A source that is missing is found before anything is spent on it. */
static enum sg_status check_noise_source(const char *name)
{
    static const uint8_t any_key[SG_KEY_BYTES];
    struct sg_noise *noise = NULL;
    int source = sg_noise_source_parse(name);
    if (source < 0)
        return sg_fail(SG_USAGE, "privacy: unknown noise_source \"%s\"; chacha20 or curand", name);
    enum sg_status status = sg_noise_open((enum sg_noise_source)source, any_key, &noise);
    sg_noise_close(&noise);
    return status;
}

static enum sg_status make_plan(const struct sg_train_options *options, int64_t registered_population, struct sg_prepared *out)
{
    struct sg_plan_request request = options->config->plan;
    if (registered_population > 0) {
        if (request.population_size > 0 && request.population_size != registered_population)
            return sg_fail(SG_USAGE, "training: population_size is %lld but the dataset is registered with %lld; leave it out",
                           (long long)request.population_size, (long long)registered_population);
        bool given = request.sample_rate > 0 && request.expected_batch_size > 0;
        if (given)
            return sg_fail(SG_USAGE, "training: the dataset's registered population_size counts; give one of sample_rate and "
                                     "expected_batch_size");
        request.population_size = registered_population;
    }
    bool is_half = request.population_size == 0 && (request.sample_rate > 0) != (request.expected_batch_size > 0);
    if (registered_population == 0 && is_half && options->config->dataset && !options->no_ledger)
        return sg_fail(SG_USAGE, "training: how many people there are stands in the ledger where dataset %s is registered: give --ledger FILE, "
                                 "or population_size here",
                       options->config->dataset);
    request.n_weights = sg_model_n_trainable(out->model);
    request.rows_per_unit_max = sg_model_unit_rows(sg_model_spec_of(out->model), sg_schema_steps_max(out->schema));
    request.noise_source = options->config->noise_source ? options->config->noise_source : "chacha20";
    if (request.is_private)
        SG_TRY(check_noise_source(request.noise_source));
    request.noise_tau_log2 = sg_noise_tau_log2();
    return sg_plan_resolve(&request, &out->plan);
}

static enum sg_status choose_memory(const struct sg_train_options *options, struct sg_prepared *out)
{
    const struct sg_config *config = options->config;
    const struct sg_memory_request request = {
        .model = out->model,
        .plan = &out->plan,
        .training = &config->training,
        .ops = options->ops,
        .schema = out->schema,
        .has_base = config->base_folder != NULL,
        .asked = {options->n_workers, config->panels_at_once, config->recompute || options->recompute},
        .limit = options->memory_limit > 0 ? options->memory_limit : config->memory_limit,
    };
    return sg_memory_choose(&request, &out->shape, &out->memory);
}

/* What the configuration asks for and cannot have: the file's name in front. */
static enum sg_status in_config(const struct sg_train_options *options, enum sg_status status)
{
    return status == SG_USAGE ? sg_fail(status, "%s: %s", options->config->path, sg_error_text()) : status;
}

enum sg_status sg_train_prepare(const struct sg_train_options *options, int64_t registered_population, struct sg_prepared *out)
{
    *out = (struct sg_prepared){0};
    enum sg_status status = sg_schema_read(options->config->schema_file, &out->schema);
    if (status == SG_OK)
        status = in_config(options, make_model(options, out));
    if (status == SG_OK && options->config->base_folder)
        status = load_base(options, out);
    if (status == SG_OK)
        status = in_config(options, make_plan(options, registered_population, out));
    if (status == SG_OK)
        status = in_config(options, choose_memory(options, out));
    if (status != SG_OK)
        sg_prepared_free(out);
    return status;
}

const struct sg_masking *sg_prepared_masking(const struct sg_prepared *prepared, const struct sg_training *training,
                                             struct sg_masking *out)
{
    const struct sg_model_spec *spec = sg_model_spec_of(prepared->model);
    if (spec->objective != SG_MASKED_TOKENS)
        return NULL;
    *out = (struct sg_masking){(uint64_t)training->public_seed, sg_tokenizer_special(prepared->tokenizer, SG_TOKEN_MASK),
                               spec->encoder.vocabulary};
    return out;
}

void sg_prepared_free(struct sg_prepared *prepared)
{
    sg_model_close(&prepared->model);
    sg_schema_close(&prepared->schema);
    sg_tokenizer_close(&prepared->tokenizer);
    free(prepared->weights);
    *prepared = (struct sg_prepared){0};
}
