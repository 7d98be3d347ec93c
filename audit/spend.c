#include "spend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

/* Only three types of event matter here; the others are hashed and not parsed. */
static bool is_of_interest(const char *payload)
{
    return strstr(payload, "urn:sealgrad:event:run.start:") ||
           strstr(payload, "urn:sealgrad:event:programme.register:") ||
           strstr(payload, "urn:sealgrad:event:dataset.register:");
}

static bool is_text(const json_t *object, const char *key, const char *expected)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && strcmp(text, expected) == 0;
}

static void take_dataset(const json_t *facts, const char *dataset, struct sg_spend *out)
{
    const char *commitment = json_string_value(json_object_get(facts, "commitment"));
    const json_t *limit = json_object_get(facts, "epsilon_limit");
    if (!is_text(facts, "name", dataset) || !is_text(facts, "population", out->population) || !commitment ||
        !sg_hex_decode(commitment, strlen(commitment), out->commitment, SG_DIGEST_BYTES))
        return;
    out->is_found = true;
    out->is_public = json_is_true(json_object_get(facts, "public"));
    out->population_size = json_integer_value(json_object_get(facts, "population_size"));
    out->filter.is_limited = json_is_number(limit); /* every dataset repeats its population's limits */
    out->filter.epsilon_limit = json_number_value(limit);
    out->filter.delta_limit = json_number_value(json_object_get(facts, "delta_limit"));
    out->filter.order = json_number_value(json_object_get(facts, "filter_order"));
}

/* `figures` has the epsilon and delta charged: the plan's for a run, its own for a programme. */
static void take_charge(const json_t *facts, const json_t *figures, struct sg_spend *out)
{
    const json_t *budget = json_object_get(facts, "budget"), *plan = json_object_get(facts, "plan");
    const json_t *rho = json_object_get(budget, "rho"), *slack = json_object_get(budget, "delta_slack");
    const char *relation = json_string_value(json_object_get(plan, "neighboring_relation"));
    if (!is_text(facts, "population", out->population) || !json_is_true(json_object_get(plan, "private")))
        return;
    struct sg_charge charge = {
        .epsilon = json_number_value(json_object_get(figures, "epsilon")),
        .delta = json_number_value(json_object_get(figures, "delta")),
        .rho = json_is_number(rho) ? json_number_value(rho) : INFINITY,
        .slack = json_is_number(slack) ? json_number_value(slack) : INFINITY,
        .relation = relation ? relation : "",
    };
    sg_filter_add(&out->filter, &charge);
}

/* A run drawn from a programme was paid for with it. */
static void take_run(const json_t *facts, const char *programme, struct sg_spend *out)
{
    if (!json_is_string(json_object_get(facts, "programme")))
        take_charge(facts, json_object_get(facts, "plan"), out);
    else if (programme && is_text(facts, "programme", programme))
        out->programme.drawn++;
}

static enum sg_status take_programme(const json_t *facts, const char *programme, struct sg_spend *out)
{
    const char *population = json_string_value(json_object_get(facts, "population"));
    take_charge(facts, facts, out);
    if (!programme || !is_text(facts, "programme_id", programme) || !population ||
        strlen(population) >= sizeof out->programme.population)
        return SG_OK;
    out->programme.is_found = true;
    strcpy(out->programme.population, population);
    out->programme.runs = json_integer_value(json_object_get(facts, "runs"));
    return sg_plan_from_json(json_object_get(facts, "plan"), SG_BROKEN, &out->programme.plan);
}

struct wanted {
    const char *dataset, *programme;
};

static enum sg_status take_leaf(const struct sg_buffer *payload, const struct wanted *wanted, struct sg_spend *out)
{
    json_t *statement = NULL;
    if (!payload->data || !is_of_interest(payload->data))
        return SG_OK;
    SG_TRY(sg_json_parse(payload->data, payload->len, "statement", SG_BROKEN, &statement));
    enum sg_status status = SG_OK;
    const char *type = json_string_value(json_object_get(statement, "predicateType"));
    const json_t *facts = json_object_get(json_object_get(statement, "predicate"), "facts");
    if (type && strcmp(type, "urn:sealgrad:event:dataset.register:1") == 0)
        take_dataset(facts, wanted->dataset, out);
    if (type && strcmp(type, "urn:sealgrad:event:run.start:1") == 0)
        take_run(facts, wanted->programme, out);
    if (type && strcmp(type, "urn:sealgrad:event:programme.register:1") == 0)
        status = take_programme(facts, wanted->programme, out);
    json_decref(statement);
    return status;
}

/* One pass authenticates all bytes and adds up the charges of out->population. */
static enum sg_status pass(struct sg_ledger *ledger, const struct wanted *wanted, struct sg_spend *out)
{
    struct sg_merkle tree = {0};
    struct sg_buffer payload = {0};
    sqlite3_stmt *rows = NULL;
    uint8_t hash[SG_DIGEST_BYTES], root[SG_DIGEST_BYTES];
    SG_TRY(sg_db_prepare(ledger->db, "SELECT body FROM leaf ORDER BY seq", &rows));
    enum sg_status status = SG_OK;
    int code = SQLITE_ROW;
    while (status == SG_OK && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *body = sqlite3_column_blob(rows, 0);
        size_t n = (size_t)sqlite3_column_bytes(rows, 0);
        sg_merkle_leaf(body ? body : "", n, hash);
        sg_merkle_append(&tree, hash);
        status = sg_leaf_payload(body ? body : "", n, &payload);
        if (status == SG_OK)
            status = take_leaf(&payload, wanted, out);
    }
    if (status == SG_OK && code != SQLITE_DONE)
        status = sg_db_fail(ledger->db, "reading its leaves");
    sqlite3_finalize(rows);
    sg_buffer_free(&payload);
    sg_merkle_root(&tree, root);
    if (status == SG_OK && (tree.size != ledger->tree.size || memcmp(root, ledger->root, sizeof root) != 0))
        status = sg_fail(SG_BROKEN,
                         "ledger: its events are not those that its last checkpoint signs: run sealgrad ledger verify");
    return status;
}

enum sg_status sg_spend_read(struct sg_ledger *ledger, const char *dataset, const char *population,
                             const char *programme, struct sg_spend *out)
{
    struct wanted wanted = {.dataset = dataset, .programme = programme};
    *out = (struct sg_spend){0};
    if (snprintf(out->population, sizeof out->population, "%s", population) >= (int)sizeof out->population)
        return sg_fail(SG_BROKEN, "ledger: a population's name is too long");
    return pass(ledger, &wanted, out);
}
