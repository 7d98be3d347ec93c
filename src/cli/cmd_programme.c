/* sealgrad programme: fix a plan and how often it will be run, and pay for all of it once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/ledger.h"
#include "backend.h"
#include "base/bytes.h"
#include "commands.h"
#include "figure.h"
#include "data/schema.h"
#include "ledger_writer.h"
#include "options.h"
#include "print_rows.h"
#include "report.h"
#include "run/trainer.h"

struct flags {
    const char *ledger, *key, *unlock_file, *noise_source;
    int64_t runs;
    bool json;
};

static void print_json(const struct sg_plan *plan, const struct sg_programme *programme, const char *population,
                       const struct sg_budget *budget)
{
    json_t *object = json_object();
    json_object_set_new(object, "programme_id", json_string(programme->programme_id));
    json_object_set_new(object, "population", json_string(population));
    json_object_set_new(object, "runs", json_integer(programme->runs));
    json_object_set_new(object, "run_epsilon", sg_json_real(plan->epsilon));
    json_object_set_new(object, "epsilon", sg_json_real(programme->epsilon));
    json_object_set_new(object, "delta", sg_json_real(programme->delta));
    const struct {
        const char *key;
        double value;
    } figures[] = {{"epsilon_limit", budget->epsilon_limit},
                   {"delta_limit", budget->delta_limit},
                   {"epsilon_spent", budget->epsilon_spent},
                   {"delta_spent", budget->delta_spent},
                   {"epsilon_left", fmax(budget->epsilon_limit - budget->epsilon_spent, 0)}};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        json_object_set_new(object, figures[i].key, budget->is_limited ? sg_json_real(figures[i].value) : json_null());
    json_object_set_new(object, "plan", sg_plan_to_json(plan));
    sg_print_json(object);
    json_decref(object);
}

static void print_words(const struct sg_plan *plan, const struct sg_programme *programme, const char *population,
                        const struct sg_budget *budget)
{
    sg_report_plan(plan);
    printf("programme %s is registered\n", programme->programme_id);
    printf("  %-22s %lld of this plan, each of epsilon %s\n", "runs", (long long)programme->runs,
           figure_fixed_up(plan->epsilon, 4).text);
    printf("  %-22s epsilon %s, delta %s for all of them together, drawn or not\n", "cost",
           figure_fixed_up(programme->epsilon, 4).text, figure_up(programme->delta, 3).text);
    if (budget->is_limited)
        printf("  %-22s epsilon %s of %.4f (delta %s of %.3g) spent on %s; epsilon %s is left\n", "budget",
               figure_fixed_up(budget->epsilon_spent, 4).text, budget->epsilon_limit,
               figure_up(budget->delta_spent, 3).text, budget->delta_limit, population,
               figure_fixed_down(fmax(budget->epsilon_limit - budget->epsilon_spent, 0), 4).text);
    printf("  %-22s sealgrad train CONFIG --programme %s\n", "draw a run with", programme->programme_id);
}

static enum sg_status check_schema(const struct sg_train_options *options, const struct sg_prepared *prepared,
                                   const struct sg_dataset_entry *dataset)
{
    if (memcmp(sg_schema_digest(prepared->schema), dataset->schema_digest, SG_DIGEST_BYTES) == 0)
        return SG_OK;
    return sg_fail(SG_USAGE, "%s: not the schema with which dataset \"%s\" was registered: no run could be drawn",
                   options->config->schema_file, dataset->name);
}

static enum sg_status register_plan(const struct sg_train_options *options, struct sg_ledger *ledger,
                                    const struct flags *flags)
{
    struct sg_dataset_entry dataset;
    struct sg_prepared prepared = {0};
    struct sg_programme programme;
    struct sg_budget budget;
    enum sg_status status = sg_ledger_find_dataset(ledger, options->config->dataset, &dataset);
    sg_wipe(dataset.dataset_key, sizeof dataset.dataset_key);
    SG_TRY(status);
    SG_TRY(sg_train_prepare(options, dataset.population_size, &prepared));
    status = check_schema(options, &prepared, &dataset);
    if (status == SG_OK)
        status = sg_ledger_register_programme(ledger, dataset.name, &prepared.plan, flags->runs, &programme);
    if (status == SG_OK)
        status = sg_ledger_budget(ledger, dataset.population, &budget);
    if (status == SG_OK)
        (flags->json ? print_json : print_words)(&prepared.plan, &programme, dataset.population, &budget);
    sg_prepared_free(&prepared);
    return status;
}

static enum sg_status with_config(const struct sg_train_options *options, const struct flags *flags)
{
    const struct sg_config *config = options->config;
    const char *ledger_file = flags->ledger ? flags->ledger : config->ledger_file,
               *key_file = flags->key ? flags->key : config->key_file;
    struct sg_ledger_writer w = {0};
    if (!ledger_file || !key_file)
        return sg_fail(SG_USAGE, "programme register: give --ledger FILE and --key KEY (or the ledger section)");
    if (!config->dataset)
        return sg_fail(SG_USAGE,
                       "%s: data: dataset is required: the name that \"sealgrad dataset register\" gave, whose people "
                       "pay for the programme",
                       config->path);
    enum sg_status status =
        sg_ledger_writer_open(&w, ledger_file, key_file, flags->unlock_file ? flags->unlock_file : config->unlock_file);
    if (status == SG_OK)
        status = register_plan(options, w.ledger, flags);
    sg_ledger_writer_close(&w);
    return status;
}

static enum sg_status register_programme(const char *path, const struct flags *flags)
{
    struct sg_train_options options = {.n_workers = 1};
    SG_TRY(sg_backend_choose("cpu", &options.ops)); /* nothing is computed: any backend gives the same plan */
    SG_TRY(sg_config_read(path, &options.config));
    if (flags->noise_source) {
        free(options.config->noise_source);
        options.config->noise_source = sg_strdup(flags->noise_source);
    }
    enum sg_status status = with_config(&options, flags);
    sg_config_close(&options.config);
    return status;
}

enum sg_status sg_cmd_programme(int argc, char **argv)
{
    struct flags flags = {0};
    const struct sg_option options[] = {
        {"runs", SG_OPTION_INT, &flags.runs, "N", "how many runs, fixed in advance", 1, 1e9, true},
        {"ledger", SG_OPTION_TEXT, &flags.ledger, "FILE", "the ledger", 0, 0, false},
        {"key", SG_OPTION_TEXT, &flags.key, "FILE", "signing key", 0, 0, false},
        {"unlock-file", SG_OPTION_TEXT, &flags.unlock_file, "FILE", "file whose first line is the key's passphrase", 0,
         0, false},
        {"noise-source", SG_OPTION_TEXT, &flags.noise_source, "NAME", "as the runs will have it: a part of the plan", 0,
         0, false},
        {"json", SG_OPTION_FLAG, &flags.json, NULL, "print one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {
        "programme",
        "fix a plan and a number of runs in advance, and charge them once",
        options,
        sizeof options / sizeof *options,
        "register CONFIG",
        2,
        2,
        "Many runs fixed in advance cost less than the same runs chosen one after another. Each run drawn from the\n"
        "programme (sealgrad train --programme ID) must have exactly its plan; nothing is given back for runs that "
        "are\n"
        "never drawn, that fail or that are killed. No data is opened.\n"};
    const char *positional[2];
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    if (strcmp(positional[0], "register") != 0)
        return sg_fail(SG_USAGE, "programme: unknown verb \"%s\"; sealgrad programme register CONFIG --runs N ...",
                       positional[0]);
    return register_programme(positional[1], &flags);
}
