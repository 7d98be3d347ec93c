/* Programmes and reservations: what runs cost the people in the data, settled before any of it is opened. */
#include "programmes.h"

#include <stdlib.h>
#include <string.h>

#include "schema.h"
#include "spend.h"

static json_t *budget_facts(const struct sg_filter *before, const struct sg_charge *charge)
{
    struct sg_filter after = *before;
    double epsilon, delta;
    json_t *object = json_object();
    json_object_set_new(object, "filter_order", json_real(before->order));
    json_object_set_new(object, "rho", sg_json_real(charge->rho));
    json_object_set_new(object, "delta_slack", sg_json_real(charge->slack));
    json_object_set_new(object, "epsilon_limit", json_real(before->epsilon_limit));
    json_object_set_new(object, "delta_limit", json_real(before->delta_limit));
    json_object_set_new(object, "charges_before", json_integer(before->n_charges));
    sg_filter_spent(before, &epsilon, &delta);
    json_object_set_new(object, "epsilon_before", sg_json_real(epsilon));
    sg_filter_add(&after, charge);
    sg_filter_spent(&after, &epsilon, &delta);
    json_object_set_new(object, "epsilon_after", sg_json_real(epsilon));
    json_object_set_new(object, "delta_after", sg_json_real(delta));
    return object;
}

enum sg_status sg_reserve_check_plan(const struct sg_plan *plan)
{
    if (sg_plan_check(plan) == SG_OK)
        return SG_OK;
    char *text = sg_strdup(sg_error_text());
    enum sg_status status = sg_fail(SG_FAILED, "the plan does not agree with itself and is not recorded: %s", text);
    free(text);
    return status;
}

/* The spend from the leaves, and whether the tables say the same of this dataset and the plan may be used on it. */
static enum sg_status read_spend(struct sg_ledger *ledger, const struct sg_dataset_entry *dataset,
                                 const struct sg_plan *plan, const char *programme, struct sg_spend *spend)
{
    SG_TRY(sg_spend_read(ledger, dataset->name, dataset->population, programme, spend));
    if (!spend->is_found || spend->is_public != dataset->is_public ||
        spend->population_size != dataset->population_size ||
        memcmp(spend->commitment, dataset->commitment, SG_DIGEST_BYTES) != 0)
        return sg_fail(
            SG_BROKEN,
            "ledger: its tables say something else about dataset %s than the signed event: run sealgrad ledger verify",
            dataset->name);
    if (!plan->is_private && !dataset->is_public)
        return sg_fail(
            SG_REFUSED,
            "population %s has a privacy limit: a run without privacy on dataset %s is refused; set privacy, or "
            "register public data with --public",
            dataset->population, dataset->name);
    if (plan->is_private && plan->population_size < dataset->population_size)
        return sg_fail(
            SG_USAGE,
            "the plan's population_size %lld lies below the %lld registered for dataset %s: give population_size",
            (long long)plan->population_size, (long long)dataset->population_size, dataset->name);
    return SG_OK;
}

enum sg_status sg_reserve(struct sg_ledger *ledger, const struct sg_dataset_entry *dataset, const struct sg_plan *plan,
                          int64_t runs, json_t **budget)
{
    struct sg_spend spend;
    struct sg_charge charge;
    struct sg_plan whole = *plan;
    *budget = NULL;
    SG_TRY(read_spend(ledger, dataset, plan, NULL, &spend));
    if (!plan->is_private || !spend.filter.is_limited) {
        *budget = json_null();
        return SG_OK;
    }
    if (runs > 1)
        SG_TRY(sg_plan_programme(plan, runs, &whole));
    SG_TRY(sg_filter_charge(&spend.filter, &whole, &charge));
    if (!sg_filter_admits(&spend.filter, &charge))
        return sg_filter_refuse(&spend.filter, dataset->population, plan, runs);
    *budget = budget_facts(&spend.filter, &charge);
    return SG_OK;
}

enum sg_status sg_reserve_drawn(struct sg_ledger *ledger, const struct sg_dataset_entry *dataset,
                                const struct sg_plan *plan, const char *programme, struct sg_run *out)
{
    struct sg_spend spend;
    char text[160];
    SG_TRY(read_spend(ledger, dataset, plan, programme, &spend));
    if (!spend.programme.is_found)
        return sg_fail(SG_USAGE, "programme %.60s is not registered in this ledger: sealgrad budget %s lists them",
                       programme, dataset->population);
    if (strcmp(spend.programme.population, dataset->population) != 0)
        return sg_fail(SG_USAGE, "programme %s is one of population %s, and dataset %s belongs to population %s",
                       programme, spend.programme.population, dataset->name, dataset->population);
    if (spend.programme.drawn >= spend.programme.runs)
        return sg_fail(SG_REFUSED, "programme %s: all its %lld runs are drawn; register another one for more",
                       programme, (long long)spend.programme.runs);
    if (sg_plan_differs(plan, &spend.programme.plan, text))
        return sg_fail(
            SG_USAGE,
            "programme %s fixed another plan than this configuration gives: %s; restore it, or register another "
            "programme",
            programme, text);
    out->drawn = spend.programme.drawn + 1;
    out->programme_runs = spend.programme.runs;
    return SG_OK;
}

/* ---- Registering. */
static enum sg_status next_programme(struct sg_ledger *ledger, struct sg_programme *out)
{
    uint8_t random[4];
    int64_t number;
    char hex[9];
    SG_TRY(sg_db_number(ledger->db, "SELECT count(*) + 1 FROM programme", &number));
    SG_TRY(sg_random_bytes(random, sizeof random));
    sg_hex_encode(random, sizeof random, hex);
    snprintf(out->programme_id, sizeof out->programme_id, "prog-%06lld-%s", (long long)number, hex);
    return SG_OK;
}

static json_t *programme_facts(const struct sg_programme *programme, const struct sg_dataset_entry *dataset,
                               const struct sg_plan *plan, json_t *budget)
{
    json_t *object = json_object();
    json_object_set_new(object, "programme_id", json_string(programme->programme_id));
    json_object_set_new(object, "dataset", json_string(dataset->name));
    json_object_set_new(object, "population", json_string(dataset->population));
    json_object_set_new(object, "plan", sg_plan_to_json(plan));
    json_object_set_new(object, "runs", json_integer(programme->runs));
    json_object_set_new(object, "epsilon", sg_json_real(programme->epsilon));
    json_object_set_new(object, "delta", sg_json_real(programme->delta));
    json_object_set_new(object, "budget", budget);
    return object;
}

/* The plan as recorded is the programme's subject. */
static json_t *programme_subject(const struct sg_programme *programme, const json_t *facts)
{
    struct sg_buffer text = {0};
    uint8_t digest[SG_DIGEST_BYTES];
    sg_json_dump(json_object_get(facts, "plan"), &text);
    sg_sha256(text.data, text.len, digest);
    sg_buffer_free(&text);
    return sg_store_subject(programme->programme_id, "sha256", digest);
}

static enum sg_status append_programme(struct sg_ledger *ledger, const char *name, const struct sg_plan *plan,
                                       char event_id[33], struct sg_programme *out)
{
    struct sg_dataset_entry dataset;
    json_t *budget = NULL;
    enum sg_status status = sg_ledger_find_dataset(ledger, name, &dataset);
    sg_wipe(dataset.dataset_key, sizeof dataset.dataset_key);
    SG_TRY(status);
    SG_TRY(sg_reserve(ledger, &dataset, plan, out->runs, &budget));
    status = next_programme(ledger, out);
    if (status != SG_OK) {
        json_decref(budget);
        return status;
    }
    json_t *facts = programme_facts(out, &dataset, plan, budget), *subjects = programme_subject(out, facts);
    status = sg_store_append(ledger, "programme.register", subjects, facts, event_id);
    json_decref(facts);
    json_decref(subjects);
    return status;
}

enum sg_status sg_ledger_register_programme(struct sg_ledger *ledger, const char *dataset, const struct sg_plan *plan,
                                            int64_t runs, struct sg_programme *out)
{
    char event_id[33] = "";
    struct sg_plan whole;
    *out = (struct sg_programme){.runs = runs};
    SG_TRY(sg_reserve_check_plan(plan));
    SG_TRY(sg_plan_programme(plan, runs, &whole));
    out->epsilon = whole.epsilon;
    out->delta = whole.delta;
    SG_TRY(sg_store_begin(ledger));
    return sg_store_end(ledger, append_programme(ledger, dataset, plan, event_id, out), event_id);
}

/* ---- What is left. */
enum sg_status sg_ledger_budget(struct sg_ledger *ledger, const char *population, struct sg_budget *out)
{
    struct sg_filter filter;
    *out = (struct sg_budget){0};
    SG_TRY(sg_filter_read(ledger->db, population, &filter));
    out->is_limited = filter.is_limited;
    out->epsilon_limit = filter.epsilon_limit;
    out->delta_limit = filter.delta_limit;
    out->n_runs = filter.n_runs;
    out->n_open = filter.n_open;
    if (filter.is_limited)
        sg_filter_spent(&filter, &out->epsilon_spent, &out->delta_spent);
    return SG_OK;
}

enum sg_status sg_ledger_runs_of(struct sg_ledger *ledger, const char *population, double epsilon, int64_t *runs)
{
    struct sg_filter filter;
    struct sg_charge charge;
    *runs = 0;
    SG_TRY(sg_filter_read(ledger->db, population, &filter));
    if (!filter.is_limited)
        return SG_OK;
    SG_TRY(sg_filter_nominal(&filter, epsilon, &charge));
    *runs = sg_filter_more(&filter, &charge);
    return SG_OK;
}
