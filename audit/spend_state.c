#include "spend_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"
#include "side.h"

enum { RECORD_EVERY = 32 }; /* leaves to add up before a new record is worth its signature */

void sg_spend_state_free(struct sg_spend_state *state)
{
    free(state->populations);
    free(state->programmes);
    *state = (struct sg_spend_state){0};
}

struct sg_spend_population *sg_spend_state_population(struct sg_spend_state *state, const char *name)
{
    for (size_t i = 0; i < state->n_populations; i++)
        if (strcmp(state->populations[i].name, name) == 0)
            return &state->populations[i];
    state->populations = sg_realloc(state->populations, state->n_populations + 1, sizeof *state->populations);
    struct sg_spend_population *p = &state->populations[state->n_populations++];
    *p = (struct sg_spend_population){0};
    snprintf(p->name, sizeof p->name, "%s", name);
    return p;
}

struct sg_spend_programme *sg_spend_state_programme(struct sg_spend_state *state, const char *id)
{
    for (size_t i = 0; i < state->n_programmes; i++)
        if (strcmp(state->programmes[i].id, id) == 0)
            return &state->programmes[i];
    state->programmes = sg_realloc(state->programmes, state->n_programmes + 1, sizeof *state->programmes);
    struct sg_spend_programme *p = &state->programmes[state->n_programmes++];
    *p = (struct sg_spend_programme){.leaf = -1};
    snprintf(p->id, sizeof p->id, "%s", id);
    return p;
}

/* ---- One leaf. */

/* `figures` has the epsilon and delta charged: the plan's for a run, its own for a programme. */
static void take_charge(const json_t *facts, const json_t *figures, struct sg_spend_state *state)
{
    const json_t *budget = json_object_get(facts, "budget"), *plan = json_object_get(facts, "plan");
    const json_t *rho = json_object_get(budget, "rho"), *slack = json_object_get(budget, "delta_slack");
    const char *relation = json_string_value(json_object_get(plan, "neighboring_relation"));
    const char *population = json_string_value(json_object_get(facts, "population"));
    if (!population || strlen(population) >= sizeof state->populations->name ||
        !json_is_true(json_object_get(plan, "private")))
        return;
    struct sg_charge charge = {
        .epsilon = json_number_value(json_object_get(figures, "epsilon")),
        .delta = json_number_value(json_object_get(figures, "delta")),
        .rho = json_is_number(rho) ? json_number_value(rho) : INFINITY,
        .slack = json_is_number(slack) ? json_number_value(slack) : INFINITY,
        .relation = relation ? relation : "",
    };
    sg_filter_add(&sg_spend_state_population(state, population)->charged, &charge);
}

static void take_event(const char *type, const json_t *facts, struct sg_spend_state *state)
{
    bool is_run = strcmp(type, "urn:sealgrad:event:run.start:1") == 0;
    bool is_programme = strcmp(type, "urn:sealgrad:event:programme.register:1") == 0;
    const char *id = json_string_value(json_object_get(facts, is_run ? "programme" : "programme_id"));
    bool has_id = id && strlen(id) < sizeof state->programmes->id;
    if (is_programme || (is_run && !id))
        take_charge(facts, is_run ? json_object_get(facts, "plan") : facts, state);
    if (is_run && has_id) /* it was paid for with its programme */
        sg_spend_state_programme(state, id)->drawn++;
    if (is_programme && has_id)
        sg_spend_state_programme(state, id)->leaf = (int64_t)state->tree.size - 1;
}

static enum sg_status take_leaf(const struct sg_buffer *payload, struct sg_spend_state *state)
{
    json_t *statement = NULL;
    if (!payload->data || (!strstr(payload->data, "urn:sealgrad:event:run.start:") &&
                           !strstr(payload->data, "urn:sealgrad:event:programme.register:")))
        return SG_OK;
    SG_TRY(sg_json_parse(payload->data, payload->len, "statement", SG_BROKEN, &statement));
    const char *type = json_string_value(json_object_get(statement, "predicateType"));
    if (type)
        take_event(type, json_object_get(json_object_get(statement, "predicate"), "facts"), state);
    json_decref(statement);
    return SG_OK;
}

/* ---- All leaves behind those of the state. */
static enum sg_status add_up(struct sg_ledger *ledger, struct sg_spend_state *state)
{
    struct sg_buffer payload = {0};
    sqlite3_stmt *rows = NULL;
    uint8_t hash[SG_DIGEST_BYTES], root[SG_DIGEST_BYTES];
    SG_TRY(sg_db_prepare(ledger->db, "SELECT body FROM leaf WHERE seq >= ? ORDER BY seq", &rows));
    sg_db_bind(rows, "i", (int64_t)state->tree.size);
    enum sg_status status = SG_OK;
    int code = SQLITE_ROW;
    while (status == SG_OK && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *body = sqlite3_column_blob(rows, 0);
        size_t n = (size_t)sqlite3_column_bytes(rows, 0);
        sg_merkle_leaf(body ? body : "", n, hash);
        sg_merkle_append(&state->tree, hash);
        status = sg_leaf_payload(body ? body : "", n, &payload);
        if (status == SG_OK)
            status = take_leaf(&payload, state);
    }
    if (status == SG_OK && code != SQLITE_DONE)
        status = sg_db_fail(ledger->db, "reading its leaves");
    sqlite3_finalize(rows);
    sg_buffer_free(&payload);
    sg_merkle_root(&state->tree, root);
    if (status == SG_OK && (state->tree.size != ledger->tree.size || memcmp(root, ledger->root, sizeof root) != 0))
        status = sg_fail(SG_BROKEN,
                         "ledger: its events are not those that its last checkpoint signs: run sealgrad ledger verify");
    return status;
}

/* The right edge of the tree of the record's size, which must have the record's root. */
static enum sg_status load_edge(struct sg_ledger *ledger, const uint8_t expected[SG_DIGEST_BYTES],
                                struct sg_merkle *tree)
{
    uint8_t root[SG_DIGEST_BYTES];
    SG_TRY(sg_store_edge(ledger->db, tree));
    sg_merkle_root(tree, root);
    if (memcmp(root, expected, sizeof root) != 0)
        return sg_fail(SG_BROKEN,
                       "ledger: its first %lld events are not those from which this key added up what was spent: run "
                       "sealgrad ledger verify",
                       (long long)tree->size);
    return SG_OK;
}

/* Leaves the state empty when there is no record to start from. */
static enum sg_status load_record(struct sg_ledger *ledger, struct sg_spend_state *state)
{
    struct sg_buffer text = {0}, signature = {0};
    char label[33];
    uint8_t root[SG_DIGEST_BYTES];
    enum sg_status status = SG_OK;
    sg_key_label(sg_signer_vkey(ledger->signer), label);
    if (ledger->side && sg_side_get_spend(ledger->side, label, &text, &signature) &&
        sg_spend_record_read(ledger, &text, &signature, state, root)) {
        if (state->tree.size <= ledger->tree.size)
            status = load_edge(ledger, root, &state->tree);
        else
            status = sg_fail(SG_BROKEN, "ledger: this is an older copy: it has %lld events, its key has seen %lld",
                             (long long)ledger->tree.size, (long long)state->tree.size);
    }
    sg_buffer_free(&text);
    sg_buffer_free(&signature);
    return status;
}

enum sg_status sg_spend_state_read(struct sg_ledger *ledger, struct sg_spend_state *out)
{
    *out = (struct sg_spend_state){0};
    enum sg_status status = load_record(ledger, out);
    uint64_t before = out->tree.size;
    if (status == SG_OK)
        status = add_up(ledger, out);
    if (status == SG_OK && out->tree.size - before >= RECORD_EVERY)
        status = sg_spend_record_make(ledger, out, &ledger->spend_text, &ledger->spend_signature);
    if (status != SG_OK)
        sg_spend_state_free(out);
    return status;
}
