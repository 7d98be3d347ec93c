/* Datasets, runs and budgets: what the trainer tells the ledger. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "account/filter.h"
#include "budget.h"
#include "programmes.h"
#include "schema.h"
#include "side.h"
#include "store.h"

static void set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, text ? json_string(text) : json_null());
}

static void set_digest(json_t *object, const char *key, const uint8_t digest[SG_DIGEST_BYTES])
{
    char hex[2 * SG_DIGEST_BYTES + 1];
    sg_hex_encode(digest, SG_DIGEST_BYTES, hex);
    json_object_set_new(object, key, json_string(hex));
}

/* Incremented, or null. */
static void set_value(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value ? json_incref(value) : json_null());
}

/* ---- Datasets. */
static enum sg_status name_valid(const char *what, const char *name)
{
    bool good = name && *name && strlen(name) < 128;
    for (const char *p = name; good && *p; p++)
        good = (unsigned char)*p > ' ' && *p != 0x7f;
    json_t *text = good ? json_string(name) : NULL;
    json_decref(text);
    return text ? SG_OK : sg_fail(SG_USAGE, "%s: a name has 1 to 127 characters and no blanks", what);
}

struct limits {
    bool exists, is_limited;
    double epsilon, delta, order;
};

static enum sg_status read_limits(struct sg_ledger *ledger, const char *population, char unit[128], struct limits *out)
{
    sqlite3_stmt *row = NULL;
    *out = (struct limits){.epsilon = NAN, .delta = NAN, .order = NAN};
    SG_TRY(sg_db_prepare(
        ledger->db, "SELECT is_limited, epsilon_limit, delta_limit, filter_order, unit FROM population WHERE name = ?",
        &row));
    sg_db_bind(row, "t", population);
    if (sqlite3_step(row) == SQLITE_ROW) {
        out->exists = true;
        out->is_limited = sqlite3_column_int(row, 0);
        snprintf(unit, 128, "%s", (const char *)sqlite3_column_text(row, 4));
    }
    if (out->is_limited) {
        out->epsilon = sqlite3_column_double(row, 1);
        out->delta = sqlite3_column_double(row, 2);
        out->order = sqlite3_column_double(row, 3);
    }
    sqlite3_finalize(row);
    return SG_OK;
}

static enum sg_status new_limits(const struct sg_dataset_facts *facts, struct limits *out)
{
    if (facts->is_public)
        return SG_OK;
    if (!(facts->epsilon_limit > 0 && facts->epsilon_limit <= 1000 && facts->delta_limit >= 1e-30 &&
          facts->delta_limit < 1))
        return sg_fail(SG_USAGE,
                       "population %s is new: give its limits for life, --epsilon-limit (above 0, at most 1000) and "
                       "--delta-limit (below 1 / population size), or say --public",
                       facts->population ? facts->population : facts->name);
    out->is_limited = true;
    out->epsilon = facts->epsilon_limit;
    out->delta = facts->delta_limit;
    out->order = sg_renyi_order(out->epsilon, out->delta);
    return SG_OK;
}

/* The limits that this registration states: the population's own, or new ones. */
static enum sg_status settle_limits(struct sg_ledger *ledger, const struct sg_dataset_facts *facts, struct limits *out)
{
    const char *population = facts->population ? facts->population : facts->name;
    char unit[128] = "";
    SG_TRY(read_limits(ledger, population, unit, out));
    if (!out->exists)
        return new_limits(facts, out);
    if (out->is_limited == facts->is_public)
        return sg_fail(SG_USAGE, "population %s is registered as %s: a dataset of it cannot be %s", population,
                       out->is_limited ? "private, with a limit" : "public", out->is_limited ? "public" : "private");
    if (strcmp(unit, facts->unit) != 0)
        return sg_fail(SG_USAGE, "population %s has the unit of privacy \"%s\": register the dataset with the same",
                       population, unit);
    if ((facts->epsilon_limit != 0 && facts->epsilon_limit != out->epsilon) ||
        (facts->delta_limit != 0 && facts->delta_limit != out->delta))
        return sg_fail(SG_USAGE,
                       "population %s has its limits for life, epsilon %g and delta %g: leave them out, or repeat them",
                       population, out->epsilon, out->delta);
    return SG_OK;
}

static json_t *dataset_facts(const struct sg_dataset_facts *facts, const struct limits *limits)
{
    json_t *object = json_object();
    set_text(object, "name", facts->name);
    set_text(object, "population", facts->population ? facts->population : facts->name);
    set_text(object, "unit", facts->unit);
    json_object_set_new(object, "population_size", json_integer(facts->population_size));
    json_object_set_new(object, "public", json_boolean(facts->is_public));
    json_object_set_new(object, "epsilon_limit", sg_json_real(limits->epsilon));
    json_object_set_new(object, "delta_limit", sg_json_real(limits->delta));
    json_object_set_new(object, "filter_order", sg_json_real(limits->order));
    set_text(object, "row_bucket", facts->row_bucket);
    if (facts->retention_class || facts->retain_until_ms > 0) {
        set_text(object, "retention_class", facts->retention_class);
        json_object_set_new(object, "retain_until_ms",
                            facts->retain_until_ms > 0 ? json_integer(facts->retain_until_ms) : json_null());
    }
    set_digest(object, "commitment", facts->commitment);
    set_digest(object, "schema_digest", facts->schema_digest);
    return object;
}

static enum sg_status append_dataset(struct sg_ledger *ledger, const struct sg_dataset_facts *facts, const uint8_t *key,
                                     char event_id[33])
{
    struct limits limits;
    struct sg_dataset_entry taken;
    enum sg_status found = sg_ledger_find_dataset(ledger, facts->name, &taken);
    sg_wipe(&taken, sizeof taken);
    if (found != SG_USAGE) /* found, or found without its key */
        return sg_fail(SG_USAGE, "dataset %s is registered already: give this one another --name", facts->name);
    SG_TRY(settle_limits(ledger, facts, &limits));
    SG_TRY(sg_side_put_key(ledger->side, facts->name, key)); /* durable before the event that needs it */
    json_t *object = dataset_facts(facts, &limits);
    json_t *subjects = sg_store_subject(facts->name, "commitmentHmacSha256", facts->commitment);
    enum sg_status status = sg_store_append(ledger, "dataset.register", subjects, object, event_id);
    json_decref(object);
    json_decref(subjects);
    return status;
}

enum sg_status sg_ledger_register_dataset(struct sg_ledger *ledger, const struct sg_dataset_facts *facts,
                                          const uint8_t dataset_key[SG_KEY_BYTES])
{
    char event_id[33] = "";
    SG_TRY(name_valid("dataset", facts->name));
    if (facts->population)
        SG_TRY(name_valid("population", facts->population));
    if (!facts->unit || !*facts->unit || strlen(facts->unit) >= 128 || !facts->row_bucket || facts->population_size < 1)
        return sg_fail(SG_USAGE, "dataset %s: unit of privacy, population size and row bucket must be given",
                       facts->name);
    SG_TRY(sg_store_begin(ledger));
    return sg_store_end(ledger, append_dataset(ledger, facts, dataset_key, event_id), event_id);
}

static void fill_entry(sqlite3_stmt *row, struct sg_dataset_entry *out)
{
    snprintf(out->population, sizeof out->population, "%s", (const char *)sqlite3_column_text(row, 0));
    snprintf(out->unit, sizeof out->unit, "%s", (const char *)sqlite3_column_text(row, 1));
    out->population_size = sqlite3_column_int64(row, 2);
    out->is_public = sqlite3_column_int(row, 3);
    if (sqlite3_column_bytes(row, 4) == SG_DIGEST_BYTES && sqlite3_column_bytes(row, 5) == SG_DIGEST_BYTES) {
        memcpy(out->commitment, sqlite3_column_blob(row, 4), SG_DIGEST_BYTES);
        memcpy(out->schema_digest, sqlite3_column_blob(row, 5), SG_DIGEST_BYTES);
    }
    out->epsilon_limit = sqlite3_column_double(row, 6);
    out->delta_limit = sqlite3_column_double(row, 7);
}

enum sg_status sg_ledger_find_dataset(struct sg_ledger *ledger, const char *name, struct sg_dataset_entry *out)
{
    sqlite3_stmt *row = NULL;
    *out = (struct sg_dataset_entry){0};
    SG_TRY(sg_db_prepare(
        ledger->db,
        "SELECT d.population, d.unit, d.population_size, d.is_public, d.commitment, d.schema_digest, "
        "p.epsilon_limit, p.delta_limit FROM dataset d JOIN population p ON p.name = d.population WHERE d.name = ?",
        &row));
    sg_db_bind(row, "t", name);
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW)
        fill_entry(row, out);
    sqlite3_finalize(row);
    if (code == SQLITE_DONE)
        return sg_fail(SG_USAGE, "dataset %s is not registered in this ledger: see sealgrad dataset register --help",
                       name);
    if (code != SQLITE_ROW)
        return sg_db_fail(ledger->db, "reading");
    snprintf(out->name, sizeof out->name, "%s", name);
    return ledger->side ? sg_side_get_key(ledger->side, name, out->dataset_key) : SG_OK;
}

/* ---- Runs. */
static enum sg_status next_run(struct sg_ledger *ledger, struct sg_run *out)
{
    uint8_t random[4];
    SG_TRY(sg_db_number(ledger->db, "SELECT coalesce(max(run_no), 0) + 1 FROM run", &out->run_no));
    SG_TRY(sg_random_bytes(random, sizeof random));
    char hex[9];
    sg_hex_encode(random, sizeof random, hex);
    snprintf(out->run_id, sizeof out->run_id, "run-%06lld-%s", (long long)out->run_no, hex);
    out->leaf = (int64_t)ledger->tree.size;
    return SG_OK;
}

static json_t *start_facts(const struct sg_run_facts *facts, const struct sg_run *run,
                           const struct sg_dataset_entry *dataset, json_t *budget, const struct sg_watch_clock *clock)
{
    json_t *object = json_object();
    set_text(object, "run_id", run->run_id);
    json_object_set_new(object, "run_no", json_integer(run->run_no));
    set_text(object, "dataset", dataset->name);
    set_text(object, "population", dataset->population);
    set_digest(object, "data_commitment", dataset->commitment);
    json_object_set_new(object, "plan", sg_plan_to_json(facts->plan));
    json_object_set_new(object, "budget", budget);
    set_text(object, "programme", facts->programme);
    set_value(object, "configuration", facts->configuration);
    set_value(object, "parameters", facts->parameters);
    set_digest(object, "secret_commitment", facts->secret_commitment);
    json_object_set_new(object, "secret_supplied", json_boolean(facts->secret_supplied));
    set_text(object, "code_digest", facts->code_digest);
    set_text(object, "binary_digest", facts->binary_digest);
    set_text(object, "environment", facts->environment);
    set_value(object, "libraries", facts->libraries);
    set_text(object, "base_model_digest", facts->base_model_digest);
    json_object_set_new(object, "show_internal", json_boolean(facts->show_internal));
    json_object_set_new(object, "clock", sg_watch_clock_facts(clock));
    return object;
}

static enum sg_status append_start(struct sg_ledger *ledger, const struct sg_run_facts *facts, char event_id[33],
                                   struct sg_run *out)
{
    struct sg_dataset_entry dataset;
    json_t *budget = NULL;
    enum sg_status status = sg_ledger_find_dataset(ledger, facts->dataset, &dataset);
    sg_wipe(dataset.dataset_key, sizeof dataset.dataset_key);
    SG_TRY(status);
    if (facts->programme) {
        SG_TRY(sg_reserve_drawn(ledger, &dataset, facts->plan, facts->programme, out));
        budget = json_null();
    } else {
        SG_TRY(sg_reserve(ledger, &dataset, facts->plan, 1, &budget));
    }
    SG_TRY(next_run(ledger, out));
    sg_watch_run_begins(ledger, out->run_no);
    json_t *object = start_facts(facts, out, &dataset, budget, &ledger->watch.now), *subjects;
    struct sg_buffer configuration = {0};
    uint8_t digest[SG_DIGEST_BYTES];
    sg_json_dump(json_object_get(object, "configuration"), &configuration);
    sg_sha256(configuration.data, configuration.len, digest);
    sg_buffer_free(&configuration);
    subjects = sg_store_subject(out->run_id, "sha256", digest);
    status = sg_store_append(ledger, "run.start", subjects, object, event_id);
    json_decref(object);
    json_decref(subjects);
    return status;
}

enum sg_status sg_ledger_run_start(struct sg_ledger *ledger, const struct sg_run_facts *facts, struct sg_run *out)
{
    char event_id[33] = "";
    *out = (struct sg_run){0};
    SG_TRY(sg_reserve_check_plan(facts->plan));
    SG_TRY(sg_store_begin(ledger));
    return sg_store_end(ledger, append_start(ledger, facts, event_id, out), event_id);
}

static json_t *end_facts(const struct sg_run *run, const struct sg_run_result *result,
                         const struct sg_watch_clock *clock)
{
    json_t *object = json_object();
    set_text(object, "run_id", run->run_id);
    json_object_set_new(object, "run_no", json_integer(run->run_no));
    json_object_set_new(object, "start_leaf", json_integer(run->leaf));
    set_text(object, "reason", result->end == SG_RUN_COMPLETE ? NULL : result->reason ? result->reason : "internal");
    json_object_set_new(object, "steps_done", json_integer(result->steps_done));
    json_object_set_new(object, "metrics", result->metrics ? json_incref(result->metrics) : json_array());
    json_object_set_new(object, "artifacts", result->artifacts ? json_incref(result->artifacts) : json_array());
    set_value(object, "curves", result->curves);
    json_object_set_new(object, "clock", sg_watch_clock_facts(clock));
    return object;
}

/* The run by its start leaf, and every artifact by its digest. */
static enum sg_status end_subjects(struct sg_ledger *ledger, const struct sg_run *run,
                                   const struct sg_run_result *result, json_t **out)
{
    uint8_t digest[SG_DIGEST_BYTES];
    json_t *one;
    size_t i;
    SG_TRY(sg_store_node(ledger->db, 0, (uint64_t)run->leaf, digest));
    *out = sg_store_subject(run->run_id, "sha256", digest);
    json_array_foreach(result->artifacts, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name")),
                   *hex = json_string_value(json_object_get(one, "sha256"));
        if (!name || !hex || !sg_hex_decode(hex, strlen(hex), digest, sizeof digest)) {
            json_decref(*out);
            return sg_fail(SG_FAILED, "run end: an artifact without name and sha256 cannot be recorded");
        }
        json_t *subject = sg_store_subject(name, "sha256", digest);
        json_array_extend(*out, subject);
        json_decref(subject);
    }
    return SG_OK;
}

static enum sg_status append_end(struct sg_ledger *ledger, const struct sg_run *run, const struct sg_run_result *result,
                                 char event_id[33])
{
    static const char *const types[] = {"run.complete", "run.fail", "run.abort"};
    sqlite3_stmt *row = NULL;
    json_t *subjects = NULL;
    SG_TRY(sg_db_prepare(
        ledger->db, "SELECT status = 'running' FROM run WHERE run_id = ? AND run_no = ? AND start_leaf = ?", &row));
    sg_db_bind(row, "tii", run->run_id, run->run_no, run->leaf);
    bool exists = sqlite3_step(row) == SQLITE_ROW, is_open = exists && sqlite3_column_int(row, 0);
    sqlite3_finalize(row);
    if (!is_open)
        return sg_fail(SG_USAGE,
                       exists ? "run %s has ended already: a run ends once" : "run %s was never started in this ledger",
                       run->run_id);
    SG_TRY(end_subjects(ledger, run, result, &subjects));
    json_t *facts = end_facts(run, result, &ledger->watch.now);
    enum sg_status status = sg_store_append(ledger, types[result->end], subjects, facts, event_id);
    sg_watch_run_ends(ledger, run->run_no);
    json_decref(facts);
    json_decref(subjects);
    return status;
}

enum sg_status sg_ledger_run_end(struct sg_ledger *ledger, const struct sg_run *run, const struct sg_run_result *result)
{
    char event_id[33] = "";
    SG_TRY(sg_store_begin(ledger));
    return sg_store_end(ledger, append_end(ledger, run, result, event_id), event_id);
}
