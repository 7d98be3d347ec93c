/* What the events mean: which keys are in force, whether each plan's epsilon follows from the plan, whether each run
 * fitted its population's budget when it began. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audit/query.h"
#include "check.h"
#include "schema.h"

/* ---- Plans that were recomputed before. */
enum { MEMO_SLOTS = 512 };
struct memo_entry {
    bool is_used;
    uint8_t key[SG_DIGEST_BYTES];
    bool is_good;
    char text[256];
    double epsilon; /* of the programme; of the plan, recomputed, for a run alone */
    struct sg_charge charge;
};
struct sg_plan_memo {
    struct memo_entry entry[MEMO_SLOTS];
};

struct sg_plan_memo *sg_plan_memo_new(void)
{
    return sg_alloc(1, sizeof(struct sg_plan_memo));
}

void sg_plan_memo_free(struct sg_plan_memo **memo)
{
    free(*memo);
    *memo = NULL;
}

/* Digest of what the charge depends on: the plan as recorded, how many runs of it, the filter's constants. */
static void memo_key(json_t *plan, int64_t runs, const struct sg_filter *filter, uint8_t out[SG_DIGEST_BYTES])
{
    struct sg_buffer text = {0};
    sg_json_dump(plan, &text);
    sg_buffer_printf(&text, "|%lld", (long long)runs);
    if (filter)
        sg_buffer_printf(&text, "|%.17g|%.17g|%.17g", filter->order, filter->epsilon_limit, filter->delta_limit);
    sg_sha256(text.data, text.len, out);
    sg_buffer_free(&text);
}

static void recompute(const struct sg_plan *plan, int64_t runs, const struct sg_filter *filter, struct memo_entry *out)
{
    struct sg_plan whole = *plan;
    enum sg_status status = sg_plan_check(plan);
    if (status == SG_OK && runs > 0)
        status = sg_plan_programme(plan, runs, &whole);
    if (status == SG_OK && filter)
        status = sg_filter_charge(filter, &whole, &out->charge);
    out->epsilon = whole.epsilon;
    out->is_good = status == SG_OK;
    snprintf(out->text, sizeof out->text, "%.255s", status == SG_OK ? "" : sg_error_text());
}

/* `runs` 0: a run alone. */
static const struct memo_entry *plan_entry(struct sg_check *check, json_t *object, const struct sg_plan *plan,
                                           int64_t runs, const struct sg_filter *filter)
{
    uint8_t key[SG_DIGEST_BYTES];
    memo_key(object, runs, filter, key);
    struct memo_entry *entry = &check->memo->entry[(key[0] | key[1] << 8) % MEMO_SLOTS];
    if (entry->is_used && memcmp(entry->key, key, sizeof key) == 0)
        return entry;
    *entry = (struct memo_entry){.is_used = true};
    memcpy(entry->key, key, sizeof key);
    recompute(plan, runs, filter, entry);
    check->verdict->n_plans_recomputed++;
    return entry;
}

/* ---- Keys. */

/* The events of key `index` since it was compromised: they may be somebody else's. */
static void flag_compromised(struct sg_check *check, size_t index, const json_t *since, const char *place)
{
    sqlite3_stmt *row = NULL;
    int64_t first = INT64_MAX, n = 0, example = 0;
    if (!json_is_integer(since) ||
        sg_db_prepare(check->db, "SELECT min(seq) FROM leaf WHERE ts_ms >= ?", &row) != SG_OK)
        return;
    sg_db_bind(row, "i", (int64_t)json_integer_value(since));
    if (sqlite3_step(row) == SQLITE_ROW && sqlite3_column_type(row, 0) == SQLITE_INTEGER)
        first = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    for (int64_t i = first < 0 ? 0 : first; i < (int64_t)check->signer_of.len; i++)
        if ((uint8_t)check->signer_of.data[i] == index && n++ == 0)
            example = i;
    if (n == 0)
        return;
    check->verdict->n_suspect += n;
    sg_check_problem(check, SG_INCOMPLETE, place,
                     "this key is revoked as compromised since a time after which it signed %lld events, the first "
                     "is leaf %lld: they may not be its owner's",
                     (long long)n, (long long)example);
}

static void semantics_key(struct sg_check *check, const struct sg_event *event, const struct sg_check_key *signer,
                          const char *place)
{
    const char *text = json_string_value(json_object_get(event->facts, "key"));
    const char *label = json_string_value(json_object_get(event->facts, "key_id"));
    if (!signer || !signer->is_root)
        sg_check_problem(check, SG_BROKEN, place, "a change of keys that the root key did not sign");
    if (strcmp(event->type, "key.revoke") == 0) {
        for (size_t i = 0; label && i < check->n_keys; i++)
            if (strcmp(check->keys[i].label, label) == 0 && !check->keys[i].has_ended) {
                check->keys[i].has_ended = true;
                flag_compromised(check, i, json_object_get(event->facts, "compromised_since_ms"), place);
            }
        return;
    }
    struct sg_check_key *key = &check->keys[check->n_keys];
    if (check->n_keys == SG_CHECK_KEYS_MAX) {
        sg_check_problem(check, SG_BROKEN, place, "more than %d keys", SG_CHECK_KEYS_MAX);
        return;
    }
    *key = (struct sg_check_key){0};
    if (!text || sg_vkey_parse(text, strlen(text), SG_BROKEN, &key->key) != SG_OK ||
        key->key.type == SG_KEY_COSIGNATURE || strcmp(key->key.name, check->verdict->origin) != 0) {
        sg_check_problem(check, SG_BROKEN, place, "its key is not a ledger's key under the ledger's origin");
        return;
    }
    sg_key_label(&key->key, key->label);
    check->n_keys++;
}

/* ---- Populations and runs. */
static struct sg_check_population *find_population(struct sg_check *check, const char *name)
{
    for (size_t i = 0; name && i < check->n_populations; i++)
        if (strcmp(check->populations[i].name, name) == 0)
            return &check->populations[i];
    return NULL;
}

static void semantics_dataset(struct sg_check *check, const struct sg_event *event)
{
    const char *name = json_string_value(json_object_get(event->facts, "population"));
    json_t *limit = json_object_get(event->facts, "epsilon_limit");
    check->verdict->n_datasets++;
    if (!name || strlen(name) >= sizeof check->populations->name || find_population(check, name))
        return; /* that it repeats the limits is checked where the tables are derived */
    check->populations = sg_realloc(check->populations, check->n_populations + 1, sizeof *check->populations);
    struct sg_check_population *p = &check->populations[check->n_populations++];
    *p =
        (struct sg_check_population){.filter = {
                                         .is_limited = json_is_number(limit),
                                         .epsilon_limit = json_number_value(limit),
                                         .delta_limit = json_number_value(json_object_get(event->facts, "delta_limit")),
                                         .order = json_number_value(json_object_get(event->facts, "filter_order")),
                                     }};
    strcpy(p->name, name);
}

static bool not_below(double recorded, double recomputed)
{
    return recorded >= recomputed - 1e-9 * fabs(recomputed) || recorded == recomputed;
}

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* The reservation as recorded against the one that follows from the plan and from the runs before it. */
static void check_reservation(struct sg_check *check, const json_t *budget, struct sg_filter *filter,
                              const struct sg_charge *charge, const char *place)
{
    double epsilon, delta;
    struct sg_charge recorded = *charge;
    recorded.rho = number_of(budget, "rho");
    recorded.slack = number_of(budget, "delta_slack");
    if (!not_below(recorded.rho, charge->rho) || !not_below(recorded.slack, charge->slack)) {
        sg_check_problem(check, SG_BROKEN, place, "its reservation is smaller than what its plan costs");
        recorded = *charge;
    }
    if (number_of(budget, "filter_order") != filter->order ||
        number_of(budget, "epsilon_limit") != filter->epsilon_limit ||
        number_of(budget, "delta_limit") != filter->delta_limit ||
        number_of(budget, "charges_before") != (double)filter->n_charges)
        sg_check_problem(
            check, SG_BROKEN, place,
            "its reservation names other limits or another number of charges before it than the ledger has");
    if (!sg_filter_admits(filter, &recorded))
        sg_check_problem(check, SG_BROKEN, place, "it was begun although its population's limit does not admit it");
    sg_filter_add(filter, &recorded);
    sg_filter_spent(filter, &epsilon, &delta);
    if (!not_below(number_of(budget, "epsilon_after"), epsilon))
        sg_check_problem(check, SG_BROKEN, place,
                         "the spend it records lies below the one that follows from what was charged so far");
}

static bool dataset_allows(struct sg_check *check, const char *dataset, const char *commitment,
                           const struct sg_plan *plan, bool *is_public, bool *is_same_data)
{
    sqlite3_stmt *row = NULL;
    bool allows = true;
    *is_public = false;
    *is_same_data = false;
    if (sg_db_prepare(check->expected,
                      "SELECT is_public, population_size, commitment, (SELECT leaf FROM erasure e WHERE e.dataset = "
                      "d.name) FROM dataset d WHERE "
                      "name = ?",
                      &row) != SG_OK)
        return false;
    sg_db_bind(row, "t", dataset);
    if (sqlite3_step(row) == SQLITE_ROW) {
        *is_public = sqlite3_column_int(row, 0);
        uint8_t recorded[SG_DIGEST_BYTES];
        *is_same_data = commitment && sg_hex_decode(commitment, strlen(commitment), recorded, sizeof recorded) &&
                        memcmp(recorded, sqlite3_column_blob(row, 2), sizeof recorded) == 0;
        allows = !plan->is_private || plan->population_size >= sqlite3_column_int64(row, 1);
        *is_same_data &= sqlite3_column_type(row, 3) == SQLITE_NULL; /* what was erased is nobody's data any more */
    }
    sqlite3_finalize(row);
    return allows;
}

/* ---- Programmes. */
static struct sg_check_programme *find_programme(struct sg_check *check, const char *id)
{
    for (size_t i = 0; i < check->n_programmes; i++)
        if (strcmp(check->programmes[i].id, id) == 0)
            return &check->programmes[i];
    return NULL;
}

void sg_check_programmes_free(struct sg_check *check)
{
    for (size_t i = 0; i < check->n_programmes; i++)
        json_decref(check->programmes[i].plan);
    free(check->programmes);
    sg_past_free(&check->past);
    json_decref(check->approvals);
}

static void remember_programme(struct sg_check *check, const json_t *facts, const char *population, json_t *plan)
{
    const char *id = json_string_value(json_object_get(facts, "programme_id"));
    check->programmes = sg_realloc(check->programmes, check->n_programmes + 1, sizeof *check->programmes);
    struct sg_check_programme *p = &check->programmes[check->n_programmes];
    *p = (struct sg_check_programme){.runs = json_integer_value(json_object_get(facts, "runs"))};
    if (!id || strlen(id) >= sizeof p->id || find_programme(check, id))
        return; /* a repeated id is said where the tables are derived; one that is too long cannot be drawn from */
    strcpy(p->id, id);
    strcpy(p->population, population);
    p->plan = json_incref(plan);
    check->n_programmes++;
}

static void semantics_programme(struct sg_check *check, const struct sg_event *event, const char *place)
{
    const json_t *facts = event->facts;
    json_t *object = json_object_get(facts, "plan");
    const char *dataset = json_string_value(json_object_get(facts, "dataset"));
    struct sg_check_population *population =
        find_population(check, json_string_value(json_object_get(facts, "population")));
    int64_t runs = json_integer_value(json_object_get(facts, "runs"));
    double epsilon = number_of(facts, "epsilon"), delta = number_of(facts, "delta");
    struct sg_plan plan;
    bool is_public, is_same_data;
    if (sg_plan_from_json(object, SG_BROKEN, &plan) != SG_OK || !plan.is_private || plan.n_panels < 1 || runs < 1 ||
        !dataset || !population)
        return; /* said where the tables are derived */
    if (!dataset_allows(check, dataset, NULL, &plan, &is_public, &is_same_data))
        sg_check_problem(check, SG_BROKEN, place, "its plan assumes fewer people than its dataset may hold");
    const struct memo_entry *entry =
        plan_entry(check, object, &plan, runs, population->filter.is_limited ? &population->filter : NULL);
    remember_programme(check, facts, population->name, object);
    if (!entry->is_good) {
        sg_check_problem(check, SG_BROKEN, place, "%s", entry->text);
        return;
    }
    struct sg_charge charge = entry->charge;
    if (!not_below(epsilon, entry->epsilon) || delta != plan.delta)
        sg_check_problem(check, SG_BROKEN, place,
                         "the recorded epsilon %.9g (delta %.3g) of its %lld runs lies below %.9g (delta %.3g), which "
                         "follows from the plan",
                         epsilon, delta, (long long)runs, entry->epsilon, plan.delta);
    else
        charge.epsilon = epsilon;
    if (population->filter.is_limited)
        check_reservation(check, json_object_get(facts, "budget"), &population->filter, &charge, place);
}

static void check_drawn(struct sg_check *check, const struct sg_event *event, json_t *plan, const char *id,
                        const char *place)
{
    struct sg_check_programme *programme = find_programme(check, id);
    if (!programme)
        return; /* said where the tables are derived: so is a programme of other people */
    programme->drawn++;
    if (programme->drawn > programme->runs)
        sg_check_problem(check, SG_BROKEN, place, "all runs of its programme were drawn before it");
    if (!json_equal(plan, programme->plan))
        sg_check_problem(check, SG_BROKEN, place, "its plan is not the one that its programme fixed");
    if (!json_is_null(json_object_get(event->facts, "budget")))
        sg_check_problem(check, SG_BROKEN, place, "it is drawn from a programme and has a reservation of its own");
}

static void semantics_run(struct sg_check *check, const struct sg_event *event, const char *place)
{
    json_t *object = json_object_get(event->facts, "plan");
    const char *dataset = json_string_value(json_object_get(event->facts, "dataset"));
    struct sg_check_population *population =
        find_population(check, json_string_value(json_object_get(event->facts, "population")));
    struct sg_plan plan;
    bool is_public;
    check->verdict->n_runs++;
    if (sg_plan_from_json(object, SG_BROKEN, &plan) != SG_OK || plan.n_panels < 1 || !dataset || !population)
        return; /* said where the tables are derived */
    bool is_same_data;
    if (!dataset_allows(check, dataset, json_string_value(json_object_get(event->facts, "data_commitment")), &plan,
                        &is_public, &is_same_data))
        sg_check_problem(check, SG_BROKEN, place, "its plan assumes fewer people than its dataset may hold");
    if (!is_same_data)
        sg_check_problem(check, SG_BROKEN, place,
                         "its data commitment is not that of its dataset, or the dataset was erased before");
    if (!plan.is_private && !is_public)
        sg_check_problem(check, SG_BROKEN, place, "a run without privacy on people whose privacy is limited");
    const char *programme = json_string_value(json_object_get(event->facts, "programme"));
    bool is_charged = plan.is_private && population->filter.is_limited && !programme;
    const struct memo_entry *entry = plan_entry(check, object, &plan, 0, is_charged ? &population->filter : NULL);
    if (programme)
        check_drawn(check, event, object, programme, place);
    if (!entry->is_good)
        sg_check_problem(check, SG_BROKEN, place, "%s", entry->text);
    else if (is_charged)
        check_reservation(check, json_object_get(event->facts, "budget"), &population->filter, &entry->charge, place);
}

void sg_check_semantics(struct sg_check *check, const struct sg_event *event, const struct sg_check_key *signer)
{
    char place[64];
    snprintf(place, sizeof place, "leaf %llu", (unsigned long long)check->tree.size);
    if (!check->past)
        check->past = sg_past_new();
    if (sg_past_event(check->past, event) != SG_OK)
        sg_check_error(check, place);
    if (strncmp(event->type, "model.", 6) == 0)
        sg_check_approval(check, event, place);
    if (strncmp(event->type, "key.", 4) == 0)
        semantics_key(check, event, signer, place);
    else if (strcmp(event->type, "dataset.register") == 0)
        semantics_dataset(check, event);
    else if (strcmp(event->type, "programme.register") == 0)
        semantics_programme(check, event, place);
    else if (strcmp(event->type, "run.start") == 0)
        semantics_run(check, event, place);
}

/* What is known of a run that has no end. */
static void say_last_beat(const struct sg_check *check, const char *run_id, char *out, size_t size)
{
    struct sg_last_beat last;
    char time[40], lost[48] = "";
    bool has_beat = sg_past_last_beat(check->past, run_id, &last);
    sg_query_time(last.time_ms, time);
    if (last.is_lost)
        snprintf(lost, sizeof lost, ", its process gone by leaf %lld", (long long)last.lost_leaf);
    if (has_beat)
        snprintf(out, size, "last heartbeat after step %lld at %.19sZ%s", (long long)last.step, time, lost);
    else
        snprintf(out, size, "no heartbeat%s", lost);
}

void sg_check_open_runs(struct sg_check *check)
{
    sqlite3_stmt *rows = NULL;
    if (sg_db_prepare(check->expected, "SELECT run_id, actor, host FROM run WHERE status = 'running' ORDER BY run_no",
                      &rows) != SG_OK)
        return sg_check_error(check, "table run");
    while (sqlite3_step(rows) == SQLITE_ROW) {
        char beat[128];
        const char *run_id = (const char *)sqlite3_column_text(rows, 0);
        say_last_beat(check, run_id, beat, sizeof beat);
        check->verdict->n_open++;
        sg_check_problem(check, SG_INCOMPLETE, run_id,
                         "this run began and never ended (by %.30s on %.30s); %s; its spend stays reserved",
                         (const char *)sqlite3_column_text(rows, 1), (const char *)sqlite3_column_text(rows, 2), beat);
    }
    sqlite3_finalize(rows);
}
