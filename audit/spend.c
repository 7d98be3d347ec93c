#include "spend.h"

#include <stdlib.h>
#include <string.h>

#include "audit/proof.h"
#include "schema.h"
#include "spend_state.h"

static bool is_text(const json_t *object, const char *key, const char *expected)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && strcmp(text, expected) == 0;
}

/* ---- One event by its number, and the proof that it is in the tree whose root the last checkpoint signs. */
static enum sg_status check_inclusion(struct sg_ledger *ledger, int64_t seq, const char *body, size_t n)
{
    struct sg_proof proof;
    uint8_t hash[SG_DIGEST_BYTES];
    sg_merkle_leaf(body, n, hash);
    SG_TRY(sg_proof_inclusion(sg_store_node, ledger->db, (uint64_t)seq, ledger->tree.size, &proof));
    if (!sg_proof_check_inclusion(hash, (uint64_t)seq, ledger->tree.size, ledger->root, &proof))
        return sg_fail(SG_BROKEN,
                       "ledger: its events are not those that its last checkpoint signs: run sealgrad ledger verify");
    return SG_OK;
}

static enum sg_status parse_facts(const char *body, size_t n, const char *type, json_t **statement, json_t **facts)
{
    struct sg_buffer payload = {0};
    enum sg_status status = sg_leaf_payload(body, n, &payload);
    if (status == SG_OK)
        status = sg_json_parse(payload.data ? payload.data : "", payload.len, "statement", SG_BROKEN, statement);
    sg_buffer_free(&payload);
    if (status == SG_OK && is_text(*statement, "predicateType", type))
        *facts = json_object_get(json_object_get(*statement, "predicate"), "facts");
    return status;
}

/* *facts stays NULL when that event is missing or of another type. Who says its number need not be believed: the caller
 * looks at what the event itself says. */
static enum sg_status signed_facts(struct sg_ledger *ledger, int64_t seq, const char *type, json_t **statement,
                                   json_t **facts)
{
    sqlite3_stmt *row = NULL;
    *statement = *facts = NULL;
    if (seq < 0 || seq >= (int64_t)ledger->tree.size)
        return SG_OK;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT body FROM leaf WHERE seq = ?", &row));
    sg_db_bind(row, "i", seq);
    enum sg_status status = SG_OK;
    if (sqlite3_step(row) == SQLITE_ROW && sqlite3_column_type(row, 0) == SQLITE_BLOB) {
        const char *body = sqlite3_column_blob(row, 0);
        size_t n = (size_t)sqlite3_column_bytes(row, 0);
        status = check_inclusion(ledger, seq, body ? body : "", n);
        if (status == SG_OK)
            status = parse_facts(body ? body : "", n, type, statement, facts);
    }
    sqlite3_finalize(row);
    return status;
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

static enum sg_status read_dataset(struct sg_ledger *ledger, const char *dataset, struct sg_spend *out)
{
    sqlite3_stmt *row = NULL;
    json_t *statement, *facts;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT leaf FROM dataset WHERE name = ?", &row));
    sg_db_bind(row, "t", dataset);
    int64_t seq = sqlite3_step(row) == SQLITE_ROW ? sqlite3_column_int64(row, 0) : -1;
    sqlite3_finalize(row);
    enum sg_status status = signed_facts(ledger, seq, "urn:sealgrad:event:dataset.register:1", &statement, &facts);
    if (status == SG_OK && facts)
        take_dataset(facts, dataset, out);
    json_decref(statement);
    return status;
}

static enum sg_status take_programme(const json_t *facts, const char *programme, struct sg_spend *out)
{
    const char *population = json_string_value(json_object_get(facts, "population"));
    if (!is_text(facts, "programme_id", programme) || !population ||
        strlen(population) >= sizeof out->programme.population)
        return SG_OK;
    out->programme.is_found = true;
    strcpy(out->programme.population, population);
    out->programme.runs = json_integer_value(json_object_get(facts, "runs"));
    return sg_plan_from_json(json_object_get(facts, "plan"), SG_BROKEN, &out->programme.plan);
}

static enum sg_status read_programme(struct sg_ledger *ledger, const struct sg_spend_programme *programme,
                                     struct sg_spend *out)
{
    json_t *statement, *facts;
    out->programme.drawn = programme->drawn;
    enum sg_status status =
        signed_facts(ledger, programme->leaf, "urn:sealgrad:event:programme.register:1", &statement, &facts);
    if (status == SG_OK && facts)
        status = take_programme(facts, programme->id, out);
    json_decref(statement);
    return status;
}

/* The sums beside the limits that the dataset's event states. */
static void take_sums(struct sg_spend_state *state, struct sg_spend *out)
{
    struct sg_filter limits = out->filter;
    out->filter = sg_spend_state_population(state, out->population)->charged;
    out->filter.is_limited = limits.is_limited;
    out->filter.epsilon_limit = limits.epsilon_limit;
    out->filter.delta_limit = limits.delta_limit;
    out->filter.order = limits.order;
}

enum sg_status sg_spend_read(struct sg_ledger *ledger, const char *dataset, const char *population,
                             const char *programme, struct sg_spend *out)
{
    struct sg_spend_state state;
    *out = (struct sg_spend){0};
    if (snprintf(out->population, sizeof out->population, "%s", population) >= (int)sizeof out->population)
        return sg_fail(SG_BROKEN, "ledger: a population's name is too long");
    SG_TRY(sg_spend_state_read(ledger, &state));
    enum sg_status status = read_dataset(ledger, dataset, out);
    if (status == SG_OK && programme && strlen(programme) < sizeof state.programmes->id)
        status = read_programme(ledger, sg_spend_state_programme(&state, programme), out);
    take_sums(&state, out);
    sg_spend_state_free(&state);
    return status;
}
