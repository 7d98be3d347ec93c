#include "run/trainer.h"

#include <gnu/libc-version.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/evidence.h"
#include "base/bytes.h"
#include "base/file.h"
#include "data/dataset.h"
#include "mechanism/mechanism.h"
#include "lora.h"
#include "mask.h"
#include "record.h"
#include "run/evaluate.h"
#include "run/model_folder.h"
#include "steps.h"

/* What every rank must hold alike; rank 0 finds it and sends it. */
struct shared {
    int64_t population_size;
    uint8_t secret[SG_KEY_BYTES], dataset_key[SG_KEY_BYTES], commitment[SG_DIGEST_BYTES];
};

struct session {
    const struct sg_train_options *options;
    struct shared shared;
    struct sg_signer *signer;
    struct sg_ledger *ledger;        /* rank 0, with a ledger */
    struct sg_dataset_entry entry;
    struct sg_prepared prepared;
    struct sg_dataset *dataset;
    struct sg_run run;
    bool is_started;                 /* run.start is durable: the run owes an end */
    const char *reason;              /* coarse code, if it fails now */
};

static bool is_root(const struct session *s) { return s->options->comm->rank == 0; }

static enum sg_status open_ledger(struct session *s)
{
    const struct sg_config *config = s->options->config;
    if (s->options->no_ledger)
        return s->options->programme
                   ? sg_fail(SG_USAGE, "train: a programme stands in a ledger: --programme and --no-ledger exclude each other")
                   : SG_OK;
    if (!config->ledger_file || !config->key_file)
        return sg_fail(SG_USAGE, "train: no ledger; give --ledger FILE and --key KEY (or the ledger section), or say --no-ledger");
    if (!config->dataset)
        return sg_fail(SG_USAGE, "%s: data: dataset is required with a ledger: the name that \"sealgrad dataset register\" gave",
                       config->path);
    SG_TRY(sg_signer_open(config->key_file, config->unlock_file, &s->signer));
    SG_TRY(sg_ledger_open(config->ledger_file, s->signer, &s->ledger));
    SG_TRY(sg_ledger_find_dataset(s->ledger, config->dataset, &s->entry));
    s->shared.population_size = s->entry.population_size;
    memcpy(s->shared.dataset_key, s->entry.dataset_key, SG_KEY_BYTES);
    memcpy(s->shared.commitment, s->entry.commitment, SG_DIGEST_BYTES);
    return SG_OK;
}

static enum sg_status make_secret(struct session *s)
{
    const char *path = s->options->secret_file;
    if (!path)
        return sg_random_bytes(s->shared.secret, SG_KEY_BYTES);
    struct sg_buffer bytes = {0};
    SG_TRY(sg_file_read(path, "secret file", 4096, &bytes));
    size_t n = bytes.len;
    while (n > 0 && (bytes.data[n - 1] == '\n' || bytes.data[n - 1] == '\r'))
        n--;
    bool ok = sg_hex_decode(bytes.data ? bytes.data : "", n, s->shared.secret, SG_KEY_BYTES);
    sg_buffer_free(&bytes);
    return ok ? SG_OK : sg_fail(SG_USAGE, "%s: the secret must be 64 hexadecimal digits on one line", path);
}

/* DESIGN section 4: a base model is public, or what it learnt from these people is already on their account. */
static enum sg_status check_base(const struct session *s)
{
    const struct sg_config *config = s->options->config;
    if (!config->base_folder || config->base_is_public || !s->prepared.plan.is_private)
        return SG_OK;
    bool charged = false;
    if (s->ledger)
        SG_TRY(sg_ledger_has_model(s->ledger, s->prepared.base_digest, s->entry.population, &charged));
    return charged ? SG_OK
                   : sg_fail(SG_REFUSED, "%s: model: base is neither asserted public (base_is_public: true, which is signed) nor a "
                                         "private model of this ledger and population; private training from it is refused",
                             config->path);
}

static enum sg_status check_schema(const struct session *s)
{
    if (s->ledger && memcmp(sg_schema_digest(s->prepared.schema), s->entry.schema_digest, SG_DIGEST_BYTES) != 0)
        return sg_fail(SG_USAGE, "%s: not the schema with which dataset \"%s\" was registered; register it again under a new name",
                       s->options->config->schema_file, s->entry.name);
    return SG_OK;
}

/* The commitment to the secret: SHA-256 over a label and the secret. The secret is 256 random bits: it needs no salt. */
static void commit_secret(const uint8_t secret[SG_KEY_BYTES], uint8_t out[SG_DIGEST_BYTES])
{
    struct sg_buffer message = {0};
    sg_buffer_field(&message, "sealgrad run secret", 19);
    sg_buffer_field(&message, secret, SG_KEY_BYTES);
    sg_sha256(message.data, message.len, out);
    sg_buffer_free(&message);
}

static enum sg_status start_run(struct session *s)
{
    const struct sg_train_options *o = s->options;
    SG_TRY(check_base(s));
    if (!s->ledger)
        return SG_OK;
    SG_TRY(check_schema(s));
    uint8_t commitment[SG_DIGEST_BYTES];
    char binary[65];
    commit_secret(s->shared.secret, commitment);
    sg_record_binary_digest(binary);
    struct sg_run_facts facts = {
        .dataset = o->config->dataset,
        .programme = o->programme,
        .plan = &s->prepared.plan,
        .configuration = o->config->record,
        .parameters = sg_record_parameters(o, &s->prepared),
        .secret_commitment = commitment,
        .secret_supplied = o->secret_file != NULL,
        .code_digest = o->code_digest,
        .binary_digest = binary,
        .environment = o->ops->arithmetic,
        .libraries = sg_record_libraries(),
        .base_model_digest = s->prepared.base_digest[0] ? s->prepared.base_digest : NULL,
        .base_is_public = o->config->base_is_public,
        .show_internal = o->show_internal,
    };
    enum sg_status status = sg_ledger_run_start(s->ledger, &facts, &s->run);
    s->is_started = status == SG_OK;
    json_decref(facts.parameters);
    json_decref(facts.libraries);
    return status;
}

static enum sg_status read_data(struct session *s)
{
    const struct sg_dataset_options reading = {
        .dataset_key = s->shared.dataset_key,
        .tokenizer = s->prepared.tokenizer,
        .need_label = sg_model_spec_of(s->prepared.model)->objective != SG_MASKED_TOKENS,
        .need_split = true,
        .progress = s->options->quiet || !is_root(s) ? NULL : "reading",
    };
    s->reason = "data_unreadable";
    SG_TRY(sg_dataset_read(s->options->config->data_file, s->prepared.schema, &reading, &s->dataset));
    s->reason = "data_mismatch";
    if (!s->options->no_ledger && !sg_bytes_equal(s->dataset->commitment, s->shared.commitment, SG_DIGEST_BYTES))
        return sg_fail(SG_BROKEN, "%s: these are not the bytes that were registered; restore the file or register it under a new name",
                       s->options->config->data_file);
    memcpy(s->shared.commitment, s->dataset->commitment, SG_DIGEST_BYTES);
    if (s->dataset->n_split[SG_SPLIT_TRAIN] > s->prepared.plan.population_size)
        return sg_fail(SG_USAGE, "%s: the training split has more units than population_size; declare a true upper bound",
                       s->options->config->data_file);
    return s->dataset->n_split[SG_SPLIT_TRAIN] > 0
               ? SG_OK
               : sg_fail(SG_USAGE, "%s: the schema's split leaves no training units", s->options->config->data_file);
}

/* Everything that must not change while the same noise is used. */
static void mechanism_context(const struct session *s, struct sg_buffer *out)
{
    const struct sg_prepared *p = &s->prepared;
    json_t *parts[] = {sg_plan_to_json(&p->plan), json_incref(s->options->config->record),
                       sg_model_spec_to_json(sg_model_spec_of(p->model)),
                       p->tokenizer ? sg_record_tokenizer(p->tokenizer) : json_null()};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct sg_buffer text = {0};
        sg_json_dump(parts[i], &text);
        sg_buffer_field(out, text.data, text.len);
        sg_buffer_free(&text);
        json_decref(parts[i]);
    }
    sg_buffer_field(out, s->shared.commitment, SG_DIGEST_BYTES);
    sg_buffer_field(out, s->prepared.base_digest, strlen(s->prepared.base_digest));
    sg_buffer_field(out, s->options->code_digest, strlen(s->options->code_digest));
    const struct sg_ops *ops = s->options->ops;
    sg_buffer_field(out, ops->arithmetic, strlen(ops->arithmetic));
    /* The reference takes exp and tanh from the C library, whose last bit differs between versions: the same noise on two
     * roundings of the same gradients would give their difference away. */
    const char *library = strcmp(ops->name, "reference") == 0 ? gnu_get_libc_version() : "";
    sg_buffer_field(out, library, strlen(library));
}

static enum sg_status send_beat(void *context, int64_t steps_done)
{
    struct session *s = context;
    const struct sg_config *config = s->options->config;
    struct sg_heartbeat heartbeat = {.step = steps_done, .interval_steps = config->heartbeat_steps};
    if (!heartbeat.interval_steps)
        heartbeat.interval_s = config->heartbeat_s;
    bool written; /* a file that somebody else holds for long costs a heartbeat, not the run */
    return sg_ledger_heartbeat(s->ledger, &s->run, &heartbeat, &written);
}

static enum sg_status train_model(struct session *s, struct sg_train_result *out)
{
    struct sg_buffer context = {0};
    struct sg_mechanism *mechanism = NULL;
    const struct sg_beat beat = {send_beat, s};
    mechanism_context(s, &context);
    s->reason = "noise_source";
    enum sg_status status = sg_mechanism_open(&s->prepared.plan, s->options->ops, s->shared.secret, &context, &mechanism);
    s->reason = "training";
    if (status == SG_OK)
        status = sg_train_steps(s->options, &s->prepared, s->dataset, mechanism, s->is_started ? &beat : NULL,
                                &out->steps_done, &out->internal, &out->track);
    sg_mechanism_close(&mechanism);
    sg_buffer_free(&context);
    return status;
}

/* What is evaluated and released is the merged model; the factors are kept beside it. */
static enum sg_status merge_lora(struct session *s)
{
    struct sg_prepared *p = &s->prepared;
    struct sg_model *merged;
    float *weights;
    if (sg_model_spec_of(p->model)->encoder.lora_rank == 0)
        return SG_OK;
    char *folder = sg_path_join(s->options->config->out_folder, "adapter");
    enum sg_status status = sg_lora_write(folder, p->model, p->weights);
    free(folder);
    if (status == SG_OK)
        status = sg_lora_merge(p->model, s->options->ops, p->weights, &merged, &weights);
    if (status != SG_OK)
        return status;
    sg_model_close(&p->model);
    free(p->weights);
    p->model = merged;
    p->weights = weights;
    return SG_OK;
}

static enum sg_status release_model(struct session *s, struct sg_train_result *out)
{
    const struct sg_train_options *o = s->options;
    s->reason = "model_not_written";
    SG_TRY(merge_lora(s));
    s->reason = "evaluation";
    struct sg_masking masking;
    out->metrics = sg_evaluate(s->prepared.model, s->prepared.weights, s->dataset,
                               sg_prepared_masking(&s->prepared, &o->config->training, &masking), s->prepared.shape.n_workers, o->show_internal,
                               &out->curves);
    if (!out->metrics)
        return SG_FAILED;
    s->reason = "model_not_written";
    const char *unit = s->options->no_ledger ? sg_schema_unit(s->prepared.schema) : s->entry.unit;
    const struct sg_statement_facts told = {.unit = unit,
                                            .secret_supplied = o->secret_file != NULL,
                                            .without_ledger = o->no_ledger,
                                            .base_digest = s->prepared.base_digest,
                                            .base_is_public = o->config->base_is_public};
    json_t *statement = sg_statement(&s->prepared.plan, &told);
    enum sg_status status = sg_model_folder_write(o->config->out_folder, s->prepared.model, s->prepared.weights, s->prepared.schema,
                                                  s->prepared.tokenizer, statement);
    json_decref(statement);
    if (status != SG_OK)
        return status;
    char *path = sg_path_join(o->config->out_folder, "model.safetensors");
    uint8_t digest[SG_DIGEST_BYTES];
    status = sg_sha256_file(path, digest);
    sg_hex_encode(digest, sizeof digest, out->model_digest);
    struct stat facts;
    out->model_bytes = stat(path, &facts) == 0 ? (int64_t)facts.st_size : 0;
    free(path);
    return status;
}

/* The one end of a started run. A fault while ending a failed run does not hide the first fault. */
static enum sg_status end_run(struct session *s, enum sg_status status, struct sg_train_result *out)
{
    if (!s->is_started)
        return status;
    struct sg_run_result result = {.end = SG_RUN_COMPLETE, .steps_done = out->steps_done};
    if (status != SG_OK) {
        result.end = *s->options->stopped ? SG_RUN_ABORT : SG_RUN_FAIL;
        result.reason = *s->options->stopped ? "interrupted" : s->reason;
    } else {
        result.metrics = sg_record_metrics(out->metrics);
        result.curves = sg_record_curves(out->curves, out->track);
        result.artifacts = json_pack("[{s:s, s:s, s:I}]", "name", "model.safetensors", "sha256", out->model_digest, "bytes",
                                     (json_int_t)out->model_bytes);
    }
    char *first_fault = sg_strdup(sg_error_text());
    enum sg_status ended = sg_ledger_run_end(s->ledger, &s->run, &result);
    if (ended == SG_OK && status == SG_OK) {
        char *proof = sg_path_join(s->options->config->out_folder, "run.proof");
        ended = sg_evidence_run_proof(s->ledger, &s->run, proof);
        free(proof);
    }
    if (status != SG_OK)
        status = sg_fail(status, "%s", first_fault);
    else
        status = ended;
    free(first_fault);
    json_decref(result.metrics);
    json_decref(result.artifacts);
    json_decref(result.curves);
    return status;
}

static enum sg_status before_data(struct session *s)
{
    struct sg_comm *comm = s->options->comm;
    if (!s->options->config->out_folder && is_root(s))
        return sg_comm_agree(comm, sg_fail(SG_USAGE, "train: where to? give --out DIR or run: out"));
    enum sg_status status = is_root(s) ? sg_model_folder_check(s->options->config->out_folder) : SG_OK;
    if (status == SG_OK && is_root(s))
        status = open_ledger(s);
    if (status == SG_OK && is_root(s))
        status = make_secret(s);
    SG_TRY(sg_comm_agree(comm, status));
    comm->broadcast(&s->shared, sizeof s->shared);
    SG_TRY(sg_comm_agree_all(comm, sg_train_prepare(s->options, s->shared.population_size, &s->prepared)));
    return sg_comm_agree(comm, is_root(s) ? start_run(s) : SG_OK);
}

static enum sg_status with_data(struct session *s, struct sg_train_result *out)
{
    SG_TRY(sg_comm_agree_all(s->options->comm, read_data(s)));
    SG_TRY(sg_comm_agree_all(s->options->comm, train_model(s, out)));
    return is_root(s) ? release_model(s, out) : SG_OK;
}

static void fill_result(struct session *s, struct sg_train_result *out)
{
    out->plan = s->prepared.plan;
    memcpy(out->run_id, s->run.run_id, sizeof out->run_id);
    out->drawn = s->run.drawn;
    out->programme_runs = s->run.programme_runs;
    out->n_clipped_values = s->dataset ? s->dataset->n_clipped : 0;
    out->n_truncated_texts = s->dataset ? s->dataset->n_truncated : 0;
    if (s->ledger)
        sg_ledger_head(s->ledger, &out->ledger_size, out->ledger_root);
}

enum sg_status sg_train(const struct sg_train_options *options, struct sg_train_result *out)
{
    struct session s = {.options = options, .reason = "internal"};
    *out = (struct sg_train_result){0};
    enum sg_status status = before_data(&s);
    if (status == SG_OK)
        status = with_data(&s, out);
    if (is_root(&s))
        status = end_run(&s, status, out);
    status = sg_comm_agree(options->comm, status);
    fill_result(&s, out);
    sg_dataset_close(&s.dataset);
    sg_prepared_free(&s.prepared);
    sg_ledger_close(&s.ledger);
    sg_signer_close(&s.signer);
    sg_wipe(&s, sizeof s);
    return status;
}

void sg_train_result_free(struct sg_train_result *result)
{
    json_decref(result->metrics);
    json_decref(result->internal);
    json_decref(result->curves);
    json_decref(result->track);
    *result = (struct sg_train_result){0};
}
