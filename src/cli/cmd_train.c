#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/ledger.h"
#include "backend.h"
#include "base/bytes.h"
#include "code_digest.h"
#include "commands.h"
#include "options.h"
#include "print_rows.h"
#include "report.h"
#include "run/comm.h"
#include "run/trainer.h"

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

struct flags {
    const char *ledger, *key, *unlock_file, *programme, *out, *backend, *noise_source, *secret, *memory_limit;
    int64_t workers, seed;
    bool dry_run, no_ledger, json, show_internal, quiet, recompute;
};

static void override_path(char **member, const char *flag)
{
    if (!flag)
        return;
    free(*member);
    *member = sg_strdup(flag);
}

/* Flags override the file; what changes the model is written into the record too. */
static void override(struct sg_config *config, const struct flags *flags)
{
    override_path(&config->ledger_file, flags->ledger);
    override_path(&config->key_file, flags->key);
    override_path(&config->unlock_file, flags->unlock_file);
    override_path(&config->out_folder, flags->out);
    override_path(&config->noise_source, flags->noise_source);
    if (flags->seed >= 0) {
        config->training.public_seed = flags->seed;
        json_object_set_new(json_object_get(config->record, "training"), "public_seed", json_integer(flags->seed));
    }
}

static void print_part(const char *name, size_t bytes, const char *remark)
{
    if (bytes > 0)
        printf("  %-22s %9.1f MiB  %s\n", name, (double)bytes / 0x1p20, remark);
}

/* Its parts are the most that each can take; they are not all there at one time. */
static void print_memory(const struct sg_memory *memory, const struct sg_shape *shape)
{
    char workers[160], limit[64] = "";
    if (memory->limit)
        snprintf(limit, sizeof limit, ", limit %.1f MiB", (double)memory->limit / 0x1p20);
    snprintf(workers, sizeof workers, "of %d, each with %lld panel%s at once%s", shape->n_workers, (long long)shape->panels,
             shape->panels == 1 ? "" : "s", shape->recompute ? ", blocks computed again in backward" : "");
    printf("memory                 at most %.1f MiB%s\n", (double)memory->total / 0x1p20, limit);
    print_part("program", memory->process, "with libraries, ledger and what is read in blocks");
    print_part("data", memory->data, "every unit with the most rows; twice while it is read");
    print_part("weights", memory->weights, "as they are and packed");
    print_part("optimizer", memory->optimizer, "with the gradient");
    print_part("sums", memory->sums, "of 64 bits");
    print_part("first worker", memory->worker[0], workers);
    print_part("each other worker", shape->n_workers > 1 ? memory->worker[1] : 0, "with sums of its own");
    print_part("scoring", memory->sweep, "of each worker, for metrics");
    print_part("frozen part", memory->prefix, "its outputs for every unit, kept where there is room");
}

/* Of an encoder it is not all that the usual configurations mean by dropout. */
static void print_dropout(const struct sg_model_spec *model)
{
    if (sg_model_has_blocks(model->kind) && model->dropout > 0)
        printf("  %-22s %g after embeddings and sublayers and before the head; none on attention's probabilities\n",
               "dropout", model->dropout);
}

/* The population that the run would have: 0 when the configuration names no ledger. */
static enum sg_status registered_population(const struct sg_train_options *options, int64_t *out)
{
    const struct sg_config *config = options->config;
    struct sg_ledger *ledger = NULL;
    struct sg_dataset_entry entry;
    *out = 0;
    if (options->no_ledger || !config->ledger_file || !config->dataset)
        return SG_OK;
    SG_TRY(sg_ledger_open_read(config->ledger_file, &ledger));
    enum sg_status status = sg_ledger_find_dataset(ledger, config->dataset, &entry);
    sg_ledger_close(&ledger);
    *out = entry.population_size;
    return status;
}

/* The resolved plan; nothing is opened but configuration, schema, base model and, for reading, the ledger. */
static enum sg_status dry_run(const struct sg_train_options *options, bool json)
{
    struct sg_prepared prepared = {0};
    int64_t population;
    enum sg_status status = registered_population(options, &population);
    if (status == SG_OK)
        status = sg_train_prepare(options, population, &prepared);
    status = sg_comm_agree_all(options->comm, status);
    if (status != SG_OK || options->comm->rank != 0) {
        sg_prepared_free(&prepared);
        return status;
    }
    if (json) {
        json_t *object = sg_plan_to_json(&prepared.plan);
        json_object_set_new(object, "memory_bytes", json_integer((json_int_t)prepared.memory.total));
        json_object_set_new(object, "memory", sg_memory_to_json(&prepared.memory, &prepared.shape));
        sg_print_json(object);
        json_decref(object);
    } else {
        sg_report_plan(&prepared.plan);
        print_dropout(sg_model_spec_of(prepared.model));
        print_memory(&prepared.memory, &prepared.shape);
        printf("no data was opened, and nothing was spent\n");
    }
    sg_prepared_free(&prepared);
    return SG_OK;
}

static json_t *programme_json(const struct sg_train_result *r, const char *programme)
{
    if (!programme)
        return json_null();
    return json_pack("{s:s, s:I, s:I}", "programme_id", programme, "drawn", (json_int_t)r->drawn, "runs",
                     (json_int_t)r->programme_runs);
}

static void print_json(const struct sg_train_result *r, const char *model, const char *programme)
{
    char root[2 * SG_DIGEST_BYTES + 1];
    sg_hex_encode(r->ledger_root, SG_DIGEST_BYTES, root);
    json_t *ledger =
        r->run_id[0] ? json_pack("{s:I, s:s}", "size", (json_int_t)r->ledger_size, "root", root) : json_null();
    json_t *object = json_pack("{s:o, s:s, s:b, s:o, s:o, s:I, s:O, s:s, s:s, s:o, s:o}", "run_id",
                               r->run_id[0] ? json_string(r->run_id) : json_null(), "status", "complete", "privacy",
                               r->plan.is_private, "epsilon", sg_json_real(r->plan.epsilon), "delta",
                               r->plan.is_private ? sg_json_real(r->plan.delta) : json_null(), "steps",
                               (json_int_t)r->steps_done, "metrics", r->metrics, "model", model, "model_sha256",
                               r->model_digest, "ledger", ledger, "plan", sg_plan_to_json(&r->plan));
    json_object_set_new(object, "programme", programme_json(r, programme));
    if (r->internal)
        json_object_set(object, "internal", r->internal);
    sg_print_json(object);
    json_decref(object);
}

static void print_words(const struct sg_train_result *r, const char *model, const char *programme)
{
    sg_report_plan(&r->plan);
    sg_report_metrics(r->metrics);
    if (r->internal) {
        struct sg_buffer text = {0};
        sg_json_dump(r->internal, &text);
        printf("internal (not released, do not publish): %s\n", text.data);
        sg_buffer_free(&text);
    }
    printf("%-24s%s\n", "values out of bounds", sg_report_bucket(r->n_clipped_values));
    if (r->n_truncated_texts)
        printf("%-24s%s\n", "texts cut short", sg_report_bucket(r->n_truncated_texts));
    printf("%-24s%s (SHA-256 %.16s...)\n", "model", model, r->model_digest);
    if (r->run_id[0])
        printf("%-24s%s, ledger of %lld events\n", "run", r->run_id, (long long)r->ledger_size);
    else
        printf("%-24snot recorded: no ledger\n", "run");
    if (programme)
        printf("%-24srun %lld of %lld of %s; charged with it, nothing more\n", "programme", (long long)r->drawn,
               (long long)r->programme_runs, programme);
}

static enum sg_status run(const struct sg_train_options *options, const struct flags *flags)
{
    struct sg_train_result result;
    enum sg_status status = sg_train(options, &result);
    if (status == SG_OK && options->comm->rank == 0) {
        if (flags->json)
            print_json(&result, options->config->out_folder, options->programme);
        else
            print_words(&result, options->config->out_folder, options->programme);
    }
    sg_train_result_free(&result);
    return status;
}

static enum sg_status with_config(const char *path, const struct flags *flags, struct sg_comm *comm)
{
    struct sg_train_options options = {
        .comm = comm,
        .n_workers = sg_workers_choose(flags->workers),
        .programme = flags->programme,
        .secret_file = flags->secret,
        .no_ledger = flags->no_ledger,
        .recompute = flags->recompute,
        .show_internal = flags->show_internal,
        .quiet = flags->quiet,
        .code_digest = SG_CODE_DIGEST,
        .stopped = &stopped,
    };
    enum sg_status status = sg_backend_choose(flags->backend, &options.ops);
    if (status == SG_OK && flags->memory_limit && !sg_memory_parse(flags->memory_limit, &options.memory_limit))
        status = sg_fail(SG_USAGE, "train: --memory-limit is a number of bytes, such as 2GiB or 500MB");
    if (status == SG_OK)
        status = sg_config_read(path, &options.config);
    status = sg_comm_agree_all(comm, status);
    if (status == SG_OK)
        override(options.config, flags);
    if (status == SG_OK)
        status = flags->dry_run ? dry_run(&options, flags->json) : run(&options, flags);
    sg_config_close(&options.config);
    return status;
}

static enum sg_status train(int argc, char **argv)
{
    struct flags flags = {.seed = -1};
    const struct sg_option options[] = {
        {"ledger", SG_OPTION_TEXT, &flags.ledger, "FILE", "the ledger that records the run", 0, 0, false},
        {"key", SG_OPTION_TEXT, &flags.key, "FILE", "signing key", 0, 0, false},
        {"unlock-file", SG_OPTION_TEXT, &flags.unlock_file, "FILE", "file whose first line is the key's passphrase", 0,
         0, false},
        {"programme", SG_OPTION_TEXT, &flags.programme, "ID", "draw the run from this programme: it is charged nothing more", 0,
         0, false},
        {"out", SG_OPTION_TEXT, &flags.out, "FOLDER", "where the model goes", 0, 0, false},
        {"workers", SG_OPTION_INT, &flags.workers, "N", "worker threads (default: one a core); changes no bit", 1, 1024,
         false},
        {"memory-limit", SG_OPTION_TEXT, &flags.memory_limit, "SIZE",
         "what a process may take, such as 2GiB; changes no bit", 0, 0, false},
        {"recompute", SG_OPTION_FLAG, &flags.recompute, NULL,
         "compute blocks again in backward: less memory, more time; changes no bit", 0, 0, false},
        {"backend", SG_OPTION_TEXT, &flags.backend, "NAME", "cpu (default), cuda, cuda:CARD or reference", 0, 0, false},
        {"noise-source", SG_OPTION_TEXT, &flags.noise_source, "NAME", "chacha20 (default) or curand", 0, 0, false},
        {"seed", SG_OPTION_INT, &flags.seed, "N", "public seed of initial weights and dropout", 0, 1e15, false},
        {"secret", SG_OPTION_TEXT, &flags.secret, "FILE",
         "run secret, 64 hex digits: for tests; voids the claim for its holder", 0, 0, false},
        {"dry-run", SG_OPTION_FLAG, &flags.dry_run, NULL, "print the resolved plan, spend nothing", 0, 0, false},
        {"no-ledger", SG_OPTION_FLAG, &flags.no_ledger, NULL, "record nothing; the model says so", 0, 0, false},
        {"show-internal", SG_OPTION_FLAG, &flags.show_internal, NULL,
         "show unreleased figures of private data to the operator", 0, 0, false},
        {"quiet", SG_OPTION_FLAG, &flags.quiet, NULL, "no progress", 0, 0, false},
        {"json", SG_OPTION_FLAG, &flags.json, NULL, "print one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {
        "train", "train a model from a configuration", options, sizeof options / sizeof *options, "CONFIG", 1, 1, NULL};
    const char *path;
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sg_comm comm;
    SG_TRY(sg_comm_open(&comm));
    enum sg_status status = with_config(path, &flags, &comm);
    sg_comm_close(&comm);
    return status;
}

/* Rank 0 answers for the job. The others end with success whatever happened: a launcher that sees one of them fail
 * kills rank 0 in the middle of its message. */
enum sg_status sg_cmd_train(int argc, char **argv)
{
    enum sg_status status = train(argc, argv);
    return sg_comm_is_first() ? status : SG_OK;
}
