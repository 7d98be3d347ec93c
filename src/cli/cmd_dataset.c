#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/ledger.h"
#include "base/bytes.h"
#include "base/number.h"
#include "commands.h"
#include "data/dataset.h"
#include "options.h"
#include "parse_time.h"
#include "print_rows.h"
#include "report.h"

struct flags {
    const char *schema, *ledger, *key, *unlock_file, *name, *population, *retention, *retain_until;
    int64_t population_size, retain_until_ms;
    double epsilon_limit, delta_limit;
    bool is_public, json, quiet;
};

/* --population takes a name, or (for a population of this dataset alone) directly the number of people at most. */
static void resolve_population(struct flags *flags)
{
    int64_t size;
    if (flags->population && sg_number_int64(flags->population, strlen(flags->population), &size) && size > 0) {
        if (flags->population_size == 0)
            flags->population_size = size;
        flags->population = NULL;
    }
    if (!flags->population)
        flags->population = flags->name;
}

static enum sg_status check_flags(const struct flags *flags)
{
    bool limited = flags->epsilon_limit > 0 || flags->delta_limit > 0;
    if (flags->is_public && limited)
        return sg_fail(SG_USAGE, "dataset register: --public data has no limits; leave out --epsilon-limit and --delta-limit");
    if (!flags->is_public && !(flags->epsilon_limit > 0 && flags->delta_limit > 0))
        return sg_fail(SG_USAGE, "dataset register: give --epsilon-limit and --delta-limit, the most that may ever be spent on "
                                 "these people, or say --public");
    if (flags->population_size <= 0)
        return sg_fail(SG_USAGE, "dataset register: give --population-size N, a public upper bound on the units of the training "
                                 "split (it enters the plan; the true count never does)");
    return SG_OK;
}

/* How many runs of epsilon 1 and of epsilon 3 the limit still has room for. */
struct room {
    int64_t ones, threes;
};

static void print_result(const struct flags *flags, const struct sg_dataset *data, int64_t size, const char *unit,
                         const struct room *room)
{
    char commitment[65], plain[65];
    sg_hex_encode(data->commitment, SG_DIGEST_BYTES, commitment);
    sg_hex_encode(data->plain_sha256, SG_DIGEST_BYTES, plain);
    if (flags->json) {
        json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:b, s:o, s:o, s:s, s:s, s:s, s:I}", "dataset", flags->name, "population",
                                   flags->population, "unit", unit, "population_size", (json_int_t)flags->population_size, "public",
                                   flags->is_public, "epsilon_limit", flags->is_public ? json_null() : json_real(flags->epsilon_limit),
                                   "delta_limit", flags->is_public ? json_null() : json_real(flags->delta_limit), "commitment",
                                   commitment, "plain_sha256", plain, "values_out_of_bounds", sg_report_bucket(data->n_clipped),
                                   "ledger_size", (json_int_t)size);
        json_object_set_new(object, "runs_of_epsilon_1", flags->is_public ? json_null() : json_integer(room->ones));
        json_object_set_new(object, "runs_of_epsilon_3", flags->is_public ? json_null() : json_integer(room->threes));
        sg_print_json(object);
        json_decref(object);
        return;
    }
    printf("dataset %s is registered\n", flags->name);
    printf("  %-22s %s (unit of privacy: %s), at most %lld in training\n", "population", flags->population, unit,
           (long long)flags->population_size);
    if (flags->is_public)
        printf("  %-22s none: registered as public\n", "limit");
    else
        printf("  %-22s epsilon %g, delta %g over all runs ever made on this population\n", "limit", flags->epsilon_limit,
               flags->delta_limit);
    if (!flags->is_public)
        printf("  %-22s about %lld at epsilon 1, or %lld at epsilon 3, chosen one after another (counted as single Gaussian\n"
               "  %-22s releases at the limit's delta; plans differ, and a programme fixed in advance may hold more)\n",
               "room for runs", (long long)room->ones, (long long)room->threes, "");
    if (!flags->is_public && flags->epsilon_limit > 12)
        fprintf(stderr,
                "warning: an epsilon limit of %g protects little, and what each run reserves of delta for its caps and noise\n"
                "         grows with e^limit: a second run may be refused although epsilon is left. Register a lower limit.\n",
                flags->epsilon_limit);
    printf("  %-22s %s units\n", "size", sg_report_bucket(data->n_units));
    printf("  %-22s %s\n", "values out of bounds", sg_report_bucket(data->n_clipped));
    printf("  %-22s %s\n", "commitment", commitment);
    printf("  %-22s %s (for you; not recorded)\n", "SHA-256 of the file", plain);
}

static enum sg_status check_and_append(const struct flags *flags, const char *path, const struct sg_schema *schema,
                                       struct sg_ledger *ledger)
{
    uint8_t dataset_key[SG_KEY_BYTES];
    SG_TRY(sg_random_bytes(dataset_key, sizeof dataset_key));
    const struct sg_dataset_options reading = {
        .dataset_key = dataset_key,
        .need_label = true,
        .need_split = true,
        .check_only = true,
        .progress = flags->quiet ? NULL : "checking",
    };
    struct sg_dataset *data;
    enum sg_status status = sg_dataset_read(path, schema, &reading, &data);
    if (status == SG_OK && data->n_split[SG_SPLIT_TRAIN] > flags->population_size)
        status = sg_fail(SG_USAGE, "%s: the training split has more units than --population-size; declare a true upper bound", path);
    if (status == SG_OK) {
        const struct sg_dataset_facts facts = {
            .name = flags->name,
            .population = flags->population,
            .unit = sg_schema_unit(schema),
            .population_size = flags->population_size,
            .is_public = flags->is_public,
            .epsilon_limit = flags->epsilon_limit,
            .delta_limit = flags->delta_limit,
            .commitment = data->commitment,
            .schema_digest = sg_schema_digest(schema),
            .row_bucket = sg_report_bucket(data->n_units),
            .retention_class = flags->retention,
            .retain_until_ms = flags->retain_until_ms,
        };
        status = sg_ledger_register_dataset(ledger, &facts, dataset_key);
    }
    if (status == SG_OK) {
        int64_t size;
        uint8_t root[SG_DIGEST_BYTES];
        sg_ledger_head(ledger, &size, root);
        struct room room = {0};
        status = sg_ledger_runs_of(ledger, flags->population, 1, &room.ones);
        if (status == SG_OK)
            status = sg_ledger_runs_of(ledger, flags->population, 3, &room.threes);
        if (status == SG_OK)
            print_result(flags, data, size, sg_schema_unit(schema), &room);
    }
    sg_wipe(dataset_key, sizeof dataset_key);
    sg_dataset_close(&data);
    return status;
}

static enum sg_status register_dataset(const struct flags *flags, const char *path)
{
    struct sg_schema *schema = NULL;
    struct sg_signer *signer = NULL;
    struct sg_ledger *ledger = NULL;
    enum sg_status status = sg_schema_read(flags->schema, &schema);
    if (status == SG_OK)
        status = sg_signer_open(flags->key, flags->unlock_file, &signer);
    if (status == SG_OK)
        status = sg_ledger_open(flags->ledger, signer, &ledger);
    if (status == SG_OK)
        status = check_and_append(flags, path, schema, ledger);
    sg_ledger_close(&ledger);
    sg_signer_close(&signer);
    sg_schema_close(&schema);
    return status;
}

enum sg_status sg_cmd_dataset(int argc, char **argv)
{
    struct flags flags = {0};
    const struct sg_option options[] = {
        {"schema", SG_OPTION_TEXT, &flags.schema, "FILE", "what the columns are, with their public bounds", 0, 0, true},
        {"ledger", SG_OPTION_TEXT, &flags.ledger, "FILE", "the ledger", 0, 0, true},
        {"key", SG_OPTION_TEXT, &flags.key, "FILE", "signing key", 0, 0, true},
        {"unlock-file", SG_OPTION_TEXT, &flags.unlock_file, "FILE", "file whose first line is the key's passphrase", 0, 0, false},
        {"name", SG_OPTION_TEXT, &flags.name, "NAME", "name of the dataset in the ledger", 0, 0, true},
        {"population", SG_OPTION_TEXT, &flags.population, "NAME", "whose privacy is spent (default: the dataset's name)", 0, 0, false},
        {"population-size", SG_OPTION_INT, &flags.population_size, "N", "public upper bound on the training units", 1, 1e12, false},
        {"epsilon-limit", SG_OPTION_NUMBER, &flags.epsilon_limit, "E", "the most epsilon ever spent on the population", 1e-6, 1000, false},
        {"delta-limit", SG_OPTION_NUMBER, &flags.delta_limit, "D", "the most delta", 1e-15, 0.1, false},
        {"public", SG_OPTION_FLAG, &flags.is_public, NULL, "these rows are public: no privacy is claimed or needed", 0, 0, false},
        {"retention", SG_OPTION_TEXT, &flags.retention, "CLASS", "the rule by which the data is kept", 0, 0, false},
        {"retain-until", SG_OPTION_TEXT, &flags.retain_until, "DATE", "due for erasure then, UTC", 0, 0, false},
        {"quiet", SG_OPTION_FLAG, &flags.quiet, NULL, "no progress", 0, 0, false},
        {"json", SG_OPTION_FLAG, &flags.json, NULL, "print one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {
        "dataset", "register a dataset and its population's privacy limit", options, sizeof options / sizeof *options,
        "register DATA", 2, 2, "Every row is checked; a fault is named with its line and column, and nothing is registered then.\n"};
    const char *positional[2];
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    if (strcmp(positional[0], "register") != 0)
        return sg_fail(SG_USAGE, "dataset: unknown verb \"%s\"; sealgrad dataset register DATA --schema FILE ...", positional[0]);
    resolve_population(&flags);
    SG_TRY(check_flags(&flags));
    SG_TRY(sg_parse_time("retain-until", flags.retain_until, &flags.retain_until_ms));
    return register_dataset(&flags, positional[1]);
}
