#include "derive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "account/plan.h"
#include "base/number.h"
#include "schema.h"

enum {
    ADD_KEY,
    END_KEY,
    ADD_POPULATION,
    SAME_POPULATION,
    ADD_DATASET,
    DATASET_POPULATION,
    ADD_PROGRAMME,
    PROGRAMME_POPULATION,
    ADD_RUN,
    END_RUN,
    ADD_PARAM,
    ADD_METRIC,
    ADD_ARTIFACT,
    MODEL_RUN,
    ADD_DECISION,
    ADD_ERASURE,
    OPEN_RUN,
    RUN_FILE,
    N_STATEMENTS
};
static const char *const sql[N_STATEMENTS] = {
    [ADD_KEY] = "INSERT INTO signing_key VALUES(?,?,?,?,NULL,NULL)",
    [END_KEY] =
        "UPDATE signing_key SET ended_leaf = ?2, compromised_since_ms = ?3 WHERE key_id = ?1 AND ended_leaf IS NULL",
    [ADD_POPULATION] = "INSERT INTO population VALUES(?,?,?,?,?,?,?)",
    [SAME_POPULATION] = "SELECT unit IS ?2 AND is_limited IS ?3 AND epsilon_limit IS ?4 AND delta_limit IS ?5 AND "
                        "filter_order IS ?6 FROM population WHERE name = ?1",
    [ADD_DATASET] = "INSERT INTO dataset VALUES(?,?,?,?,?,?,?,?,?)",
    [DATASET_POPULATION] = "SELECT population FROM dataset WHERE name = ?",
    [ADD_RUN] = "INSERT INTO run VALUES(?,?,?,?,'running',NULL,?,?,?,?,?,?,?,NULL,?,?,?,NULL,?,?,?,?,NULL,?)",
    [ADD_PROGRAMME] = "INSERT INTO programme VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [PROGRAMME_POPULATION] = "SELECT population FROM programme WHERE programme_id = ?",
    [END_RUN] = "UPDATE run SET status = ?2, reason = ?3, steps_done = ?4, ended_ms = ?5, end_leaf = ?6 "
                "WHERE run_id = ?1 AND run_no = ?7 AND status = 'running'",
    [ADD_PARAM] = "INSERT INTO param VALUES(?,?,?,?)",
    [ADD_METRIC] = "INSERT INTO metric VALUES(?,?,?,?,?,?,?)",
    [ADD_ARTIFACT] = "INSERT INTO artifact VALUES(?,?,?,?,?,?)",
    [MODEL_RUN] = "SELECT r.run_no, r.actor FROM artifact a JOIN run r ON r.run_no = a.run_no WHERE a.sha256 = ? ORDER "
                  "BY a.run_no LIMIT 1",
    [ADD_DECISION] = "INSERT INTO decision VALUES(?,?,?,?,?,?,?,?,?,?)",
    [ADD_ERASURE] = "INSERT INTO erasure VALUES(?,?,?,?,?)",
    [OPEN_RUN] = "SELECT steps, start_leaf, started_ms FROM run WHERE run_id = ? AND run_no = ? AND status = 'running'",
    [RUN_FILE] = "SELECT 1 FROM run r JOIN artifact a ON a.run_no = r.run_no WHERE r.run_id = ? AND r.run_no = ? AND "
                 "a.sha256 = ?",
};

struct sg_derive {
    sqlite3 *db;
    sqlite3_stmt *statement[N_STATEMENTS];
};

enum sg_status sg_derive_open(sqlite3 *db, struct sg_derive **out)
{
    *out = sg_alloc(1, sizeof **out);
    (*out)->db = db;
    for (int i = 0; i < N_STATEMENTS; i++) {
        enum sg_status status = sg_db_prepare(db, sql[i], &(*out)->statement[i]);
        if (status != SG_OK) {
            sg_derive_close(out);
            return status;
        }
    }
    return SG_OK;
}

void sg_derive_close(struct sg_derive **derive)
{
    if (!*derive)
        return;
    for (int i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize((*derive)->statement[i]);
    free(*derive);
    *derive = NULL;
}

/* Runs a bound statement. A constraint that fails is the event's fault: it repeats a name or number. */
static enum sg_status apply(struct sg_derive *derive, int which, const char *what)
{
    sqlite3_stmt *statement = derive->statement[which];
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (code == SQLITE_CONSTRAINT)
        return sg_fail(SG_BROKEN, "%s: it repeats what an earlier event has already taken", what);
    if (code != SQLITE_DONE && code != SQLITE_ROW)
        return sg_db_fail(derive->db, "deriving its tables");
    return SG_OK;
}

static enum sg_status text_of(const json_t *facts, const char *key, const char **out)
{
    return sg_json_string(facts, key, "facts", SG_BROKEN, out);
}

static enum sg_status whole_of(const json_t *facts, const char *key, int64_t *out)
{
    return sg_json_int(facts, key, "facts", SG_BROKEN, out);
}

static enum sg_status truth_of(const json_t *facts, const char *key, bool *out)
{
    const json_t *value = json_object_get(facts, key);
    if (!json_is_boolean(value))
        return sg_fail(SG_BROKEN, "facts: %s must be true or false", key);
    *out = json_is_true(value);
    return SG_OK;
}

static enum sg_status digest_of(const json_t *facts, const char *key, uint8_t out[SG_DIGEST_BYTES])
{
    const char *text;
    SG_TRY(text_of(facts, key, &text));
    if (!sg_hex_decode(text, strlen(text), out, SG_DIGEST_BYTES))
        return sg_fail(SG_BROKEN, "facts: %s must be 64 hexadecimal digits", key);
    return SG_OK;
}

/* null reads as NAN, which is stored as null again. */
static enum sg_status real_or_null(const json_t *facts, const char *key, double *out)
{
    const json_t *value = json_object_get(facts, key);
    if (!json_is_null(value) && !json_is_number(value))
        return sg_fail(SG_BROKEN, "facts: %s must be a number or null", key);
    *out = json_is_null(value) ? NAN : json_number_value(value);
    return SG_OK;
}

/* ---- Keys. */
static enum sg_status add_key(struct sg_derive *derive, const struct sg_event *event, const char *role)
{
    const char *text;
    struct sg_vkey key;
    char label[33];
    SG_TRY(text_of(event->facts, "key", &text));
    SG_TRY(sg_vkey_parse(text, strlen(text), SG_BROKEN, &key));
    sg_key_label(&key, label);
    sg_db_bind(derive->statement[ADD_KEY], "ttti", label, role, text, event->seq);
    return apply(derive, ADD_KEY, event->type);
}

static enum sg_status derive_genesis(struct sg_derive *derive, const struct sg_event *event)
{
    int64_t version;
    if (event->seq != 0)
        return sg_fail(SG_BROKEN, "ledger.genesis: only the first event may be one");
    SG_TRY(whole_of(event->facts, "schema_version", &version));
    if (version != SG_LEDGER_VERSION)
        return sg_fail(SG_BROKEN, "ledger.genesis: schema version %lld is not known to this program",
                       (long long)version);
    return add_key(derive, event, "root");
}

static enum sg_status derive_key_add(struct sg_derive *derive, const struct sg_event *event)
{
    const char *role;
    SG_TRY(text_of(event->facts, "role", &role));
    if (strcmp(role, "writer") != 0)
        return sg_fail(SG_BROKEN, "key.add: the role must be writer");
    return add_key(derive, event, role);
}

static enum sg_status derive_key_revoke(struct sg_derive *derive, const struct sg_event *event)
{
    const char *label;
    const json_t *since = json_object_get(event->facts, "compromised_since_ms");
    SG_TRY(text_of(event->facts, "key_id", &label));
    if (!json_is_null(since) && !json_is_integer(since))
        return sg_fail(SG_BROKEN, "key.revoke: compromised_since_ms must be a whole number or null");
    sg_db_bind(derive->statement[END_KEY], "ti", label, event->seq);
    if (json_is_integer(since))
        sqlite3_bind_int64(derive->statement[END_KEY], 3, json_integer_value(since));
    SG_TRY(apply(derive, END_KEY, event->type));
    return sqlite3_changes(derive->db) == 1 ? SG_OK : sg_fail(SG_BROKEN, "key.revoke: the key is not in force");
}

/* ---- Datasets. */
struct population {
    const char *name, *unit;
    bool is_limited;
    double epsilon_limit, delta_limit, filter_order;
};

static enum sg_status read_population(const struct sg_event *event, struct population *out)
{
    SG_TRY(text_of(event->facts, "population", &out->name));
    SG_TRY(text_of(event->facts, "unit", &out->unit));
    SG_TRY(real_or_null(event->facts, "epsilon_limit", &out->epsilon_limit));
    SG_TRY(real_or_null(event->facts, "delta_limit", &out->delta_limit));
    SG_TRY(real_or_null(event->facts, "filter_order", &out->filter_order));
    out->is_limited = !isnan(out->epsilon_limit);
    if (out->is_limited &&
        !(out->epsilon_limit > 0 && out->delta_limit > 0 && out->delta_limit < 1 && out->filter_order > 1))
        return sg_fail(SG_BROKEN, "dataset.register: the population's limits are not numbers that can limit");
    return SG_OK;
}

/* The first dataset of a population fixes its limits; every later one repeats them. */
static enum sg_status derive_population(struct sg_derive *derive, const struct sg_event *event)
{
    struct population p;
    SG_TRY(read_population(event, &p));
    sqlite3_stmt *same = derive->statement[SAME_POPULATION];
    sg_db_bind(same, "ttirrr", p.name, p.unit, (int64_t)p.is_limited, p.epsilon_limit, p.delta_limit, p.filter_order);
    bool exists = sqlite3_step(same) == SQLITE_ROW, is_same = exists && sqlite3_column_int(same, 0);
    sqlite3_reset(same);
    if (exists)
        return is_same
                   ? SG_OK
                   : sg_fail(SG_BROKEN, "dataset.register: the population's unit or limits differ from its first ones");
    sg_db_bind(derive->statement[ADD_POPULATION], "ttirrri", p.name, p.unit, (int64_t)p.is_limited, p.epsilon_limit,
               p.delta_limit, p.filter_order, event->seq);
    return apply(derive, ADD_POPULATION, event->type);
}

/* How long the data may be kept: in leaves only, and not in those of older programs. */
static enum sg_status check_retention(const json_t *facts)
{
    const json_t *class = json_object_get(facts, "retention_class"), *until = json_object_get(facts, "retain_until_ms");
    if ((class && !json_is_null(class) && !json_is_string(class)) ||
        (until && !json_is_null(until) && !json_is_integer(until)))
        return sg_fail(SG_BROKEN,
                       "facts: retention_class must be text or null, retain_until_ms a whole number or null");
    return SG_OK;
}

static enum sg_status derive_dataset(struct sg_derive *derive, const struct sg_event *event)
{
    const char *name, *population, *unit, *bucket;
    int64_t size;
    bool is_public = false;
    uint8_t commitment[SG_DIGEST_BYTES], schema[SG_DIGEST_BYTES];
    SG_TRY(text_of(event->facts, "name", &name));
    SG_TRY(text_of(event->facts, "population", &population));
    SG_TRY(text_of(event->facts, "unit", &unit));
    SG_TRY(text_of(event->facts, "row_bucket", &bucket));
    SG_TRY(whole_of(event->facts, "population_size", &size));
    SG_TRY(truth_of(event->facts, "public", &is_public));
    SG_TRY(digest_of(event->facts, "commitment", commitment));
    SG_TRY(digest_of(event->facts, "schema_digest", schema));
    SG_TRY(check_retention(event->facts));
    SG_TRY(derive_population(derive, event));
    sg_db_bind(derive->statement[ADD_DATASET], "tttiitbbi", name, population, unit, size, (int64_t)is_public, bucket,
               commitment, schema, event->seq);
    return apply(derive, ADD_DATASET, event->type);
}

/* ---- Runs. */
static enum sg_status add_param(struct sg_derive *derive, int64_t run_no, const char *name, const json_t *value,
                                int64_t seq)
{
    struct sg_buffer text = {0};
    if (json_is_string(value))
        sg_buffer_text(&text, json_string_value(value));
    else
        sg_json_dump(value, &text);
    sg_db_bind(derive->statement[ADD_PARAM], "itti", run_no, name, text.data ? text.data : "", seq);
    sg_buffer_free(&text);
    return apply(derive, ADD_PARAM, "run.start");
}

/* One row a member; nested objects by dotted names, lists as JSON. */
static enum sg_status add_params(struct sg_derive *derive, int64_t run_no, const char *prefix, json_t *object,
                                 int64_t seq)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        char *name = sg_format("%s.%s", prefix, key);
        enum sg_status status = json_is_object(value) ? add_params(derive, run_no, name, value, seq)
                                                      : add_param(derive, run_no, name, value, seq);
        free(name);
        SG_TRY(status);
    }
    return SG_OK;
}

struct run_start {
    const char *run_id, *dataset, *population, *programme, *code, *base, *relation;
    int64_t run_no;
    bool secret_supplied;
    struct sg_plan plan;
    double rho, slack;
};

static enum sg_status read_reservation(const json_t *facts, double *rho, double *slack)
{
    const json_t *budget = json_object_get(facts, "budget");
    *rho = *slack = NAN;
    if (json_is_null(budget))
        return SG_OK;
    SG_TRY(sg_json_double(budget, "rho", "budget", SG_BROKEN, rho));
    return sg_json_double(budget, "delta_slack", "budget", SG_BROKEN, slack);
}

static enum sg_status read_run_start(const json_t *facts, struct run_start *out)
{
    const json_t *base = json_object_get(facts, "base_model_digest"), *programme = json_object_get(facts, "programme");
    SG_TRY(text_of(facts, "run_id", &out->run_id));
    SG_TRY(whole_of(facts, "run_no", &out->run_no));
    SG_TRY(text_of(facts, "dataset", &out->dataset));
    SG_TRY(text_of(facts, "population", &out->population));
    SG_TRY(text_of(facts, "code_digest", &out->code));
    SG_TRY(truth_of(facts, "secret_supplied", &out->secret_supplied));
    SG_TRY(sg_plan_from_json(json_object_get(facts, "plan"), SG_BROKEN, &out->plan));
    if (out->plan.n_panels < 1 || (out->plan.is_private && !isfinite(out->plan.epsilon)))
        return sg_fail(SG_BROKEN, "run.start: its plan has no panels, or is private and has no epsilon");
    if (!base || (!json_is_null(base) && !json_is_string(base)))
        return sg_fail(SG_BROKEN, "facts: base_model_digest must be a string or null");
    if (!programme || (!json_is_null(programme) && !json_is_string(programme)))
        return sg_fail(SG_BROKEN, "facts: programme must be a string or null");
    out->base = json_string_value(base);
    out->programme = json_string_value(programme);
    out->relation = out->plan.is_private ? sg_relation_name(out->plan.relation) : NULL;
    return read_reservation(facts, &out->rho, &out->slack);
}

/* Whether the dataset or programme of that name is one of the population. */
static bool is_of(struct sg_derive *derive, int which, const char *name, const char *population)
{
    sqlite3_stmt *statement = derive->statement[which];
    sg_db_bind(statement, "t", name);
    bool is = sqlite3_step(statement) == SQLITE_ROW &&
              strcmp((const char *)sqlite3_column_text(statement, 0), population) == 0;
    sqlite3_reset(statement);
    return is;
}

static enum sg_status derive_programme(struct sg_derive *derive, const struct sg_event *event)
{
    const json_t *facts = event->facts;
    const char *id, *dataset, *population;
    int64_t runs;
    double epsilon, delta, rho, slack;
    struct sg_plan plan;
    SG_TRY(text_of(facts, "programme_id", &id));
    SG_TRY(text_of(facts, "dataset", &dataset));
    SG_TRY(text_of(facts, "population", &population));
    SG_TRY(whole_of(facts, "runs", &runs));
    SG_TRY(sg_json_double(facts, "epsilon", "facts", SG_BROKEN, &epsilon));
    SG_TRY(sg_json_double(facts, "delta", "facts", SG_BROKEN, &delta));
    SG_TRY(sg_plan_from_json(json_object_get(facts, "plan"), SG_BROKEN, &plan));
    SG_TRY(read_reservation(facts, &rho, &slack));
    if (runs < 1 || !plan.is_private || !isfinite(plan.epsilon) || plan.n_panels < 1)
        return sg_fail(SG_BROKEN, "programme.register: it has no runs, or its plan is not private");
    if (!is_of(derive, DATASET_POPULATION, dataset, population))
        return sg_fail(SG_BROKEN, "programme.register: its dataset is not registered under its population");
    sg_db_bind(derive->statement[ADD_PROGRAMME], "tttirrrtrrtii", id, dataset, population, runs, plan.epsilon, epsilon,
               delta, sg_relation_name(plan.relation), rho, slack, event->user, event->time_ms, event->seq);
    return apply(derive, ADD_PROGRAMME, event->type);
}

static enum sg_status derive_run_start(struct sg_derive *derive, const struct sg_event *event)
{
    struct run_start run;
    SG_TRY(read_run_start(event->facts, &run));
    if (!is_of(derive, DATASET_POPULATION, run.dataset, run.population))
        return sg_fail(SG_BROKEN, "run.start: its dataset is not registered under its population");
    if (run.programme && !is_of(derive, PROGRAMME_POPULATION, run.programme, run.population))
        return sg_fail(SG_BROKEN, "run.start: its programme is not registered for its population");
    const struct sg_plan *plan = &run.plan;
    sg_db_bind(derive->statement[ADD_RUN], "itttirrtrrittittiit", run.run_no, run.run_id, run.dataset, run.population,
               (int64_t)plan->is_private, plan->is_private ? plan->epsilon : NAN, plan->is_private ? plan->delta : NAN,
               run.relation, run.rho, run.slack, plan->steps, event->user, event->host, event->time_ms, run.code,
               run.base, (int64_t)run.secret_supplied, event->seq, run.programme);
    SG_TRY(apply(derive, ADD_RUN, event->type));
    SG_TRY(add_params(derive, run.run_no, "configuration", json_object_get(event->facts, "configuration"), event->seq));
    return add_params(derive, run.run_no, "parameters", json_object_get(event->facts, "parameters"), event->seq);
}

static enum sg_status add_metric(struct sg_derive *derive, int64_t run_no, size_t i, const json_t *one, int64_t seq)
{
    const char *name, *split, *released;
    double value = NAN;
    SG_TRY(text_of(one, "name", &name));
    SG_TRY(text_of(one, "split", &split));
    SG_TRY(text_of(one, "released", &released));
    SG_TRY(real_or_null(one, "value", &value));
    sg_db_bind(derive->statement[ADD_METRIC], "iitrtti", run_no, (int64_t)i, name, value, split, released, seq);
    return apply(derive, ADD_METRIC, "metric");
}

static enum sg_status add_artifact(struct sg_derive *derive, int64_t run_no, size_t i, const json_t *one, int64_t seq)
{
    const char *name, *digest;
    int64_t bytes;
    SG_TRY(text_of(one, "name", &name));
    SG_TRY(text_of(one, "sha256", &digest));
    SG_TRY(whole_of(one, "bytes", &bytes));
    sg_db_bind(derive->statement[ADD_ARTIFACT], "iittii", run_no, (int64_t)i, name, digest, bytes, seq);
    return apply(derive, ADD_ARTIFACT, "artifact");
}

/* ---- The run that an event is about. */
struct open_run {
    int64_t steps, start_leaf, started_ms;
};

static enum sg_status find_open_run(struct sg_derive *derive, const struct sg_event *event, struct open_run *out)
{
    const char *run_id;
    int64_t run_no;
    *out = (struct open_run){0};
    SG_TRY(text_of(event->facts, "run_id", &run_id));
    SG_TRY(whole_of(event->facts, "run_no", &run_no));
    sqlite3_stmt *run = derive->statement[OPEN_RUN];
    sg_db_bind(run, "ti", run_id, run_no);
    bool is_open = sqlite3_step(run) == SQLITE_ROW;
    if (is_open)
        *out =
            (struct open_run){sqlite3_column_int64(run, 0), sqlite3_column_int64(run, 1), sqlite3_column_int64(run, 2)};
    sqlite3_reset(run);
    return is_open ? SG_OK : sg_fail(SG_BROKEN, "%s: run %.39s is not under way", event->type, run_id);
}

static enum sg_status derive_run_end(struct sg_derive *derive, const struct sg_event *event)
{
    const json_t *facts = event->facts, *reason = json_object_get(facts, "reason"), *one;
    const char *run_id;
    int64_t run_no, steps_done, start_leaf;
    struct open_run run = {0};
    size_t i;
    SG_TRY(text_of(facts, "run_id", &run_id));
    SG_TRY(whole_of(facts, "run_no", &run_no));
    SG_TRY(whole_of(facts, "steps_done", &steps_done));
    if (find_open_run(derive, event, &run) != SG_OK)
        sg_error_clear(); /* said below */
    const char *status = strcmp(event->type, "run.complete") == 0 ? "complete"
                         : strcmp(event->type, "run.fail") == 0   ? "failed"
                                                                  : "aborted";
    sg_db_bind(derive->statement[END_RUN], "tttiiii", run_id, status, json_string_value(reason), steps_done,
               event->time_ms, event->seq, run_no);
    SG_TRY(apply(derive, END_RUN, event->type));
    if (sqlite3_changes(derive->db) != 1)
        return sg_fail(SG_BROKEN, "%s: no run %.39s is waiting for its end", event->type, run_id);
    SG_TRY(whole_of(facts, "start_leaf", &start_leaf));
    if (start_leaf != run.start_leaf || steps_done < 0 || steps_done > run.steps)
        return sg_fail(SG_BROKEN, "%s: its first leaf is not its run's, or it has more steps than the plan",
                       event->type);
    json_array_foreach(json_object_get(facts, "metrics"), i, one)
        SG_TRY(add_metric(derive, run_no, i, one, event->seq));
    json_array_foreach(json_object_get(facts, "artifacts"), i, one)
        SG_TRY(add_artifact(derive, run_no, i, one, event->seq));
    return SG_OK;
}

/* ---- Decisions about models, and erasures. */
static enum sg_status derive_decision(struct sg_derive *derive, const struct sg_event *event)
{
    const char *model, *role, *reason;
    const json_t *expires = json_object_get(event->facts, "expires_ms");
    SG_TRY(text_of(event->facts, "model", &model));
    SG_TRY(text_of(event->facts, "role", &role));
    SG_TRY(text_of(event->facts, "reason", &reason));
    if (!expires || (!json_is_null(expires) && !json_is_integer(expires)))
        return sg_fail(SG_BROKEN, "%s: expires_ms must be a whole number or null", event->type);
    sqlite3_stmt *run = derive->statement[MODEL_RUN];
    sg_db_bind(run, "t", model);
    if (sqlite3_step(run) != SQLITE_ROW) {
        sqlite3_reset(run);
        return sg_fail(SG_BROKEN, "%s: no run of this ledger made that model", event->type);
    }
    sg_db_bind(derive->statement[ADD_DECISION], "ittitttt", event->seq, event->type, model,
               (int64_t)sqlite3_column_int64(run, 0), event->user, (const char *)sqlite3_column_text(run, 1), role,
               reason);
    if (json_is_integer(expires))
        sqlite3_bind_int64(derive->statement[ADD_DECISION], 9, json_integer_value(expires));
    sqlite3_bind_int64(derive->statement[ADD_DECISION], 10, event->time_ms);
    sqlite3_reset(run);
    return apply(derive, ADD_DECISION, event->type);
}

static enum sg_status derive_erasure(struct sg_derive *derive, const struct sg_event *event)
{
    const char *dataset, *basis;
    SG_TRY(text_of(event->facts, "dataset", &dataset));
    SG_TRY(text_of(event->facts, "basis", &basis));
    sqlite3_stmt *known = derive->statement[DATASET_POPULATION];
    sg_db_bind(known, "t", dataset);
    bool exists = sqlite3_step(known) == SQLITE_ROW;
    sqlite3_reset(known);
    if (!exists)
        return sg_fail(SG_BROKEN, "dataset.erase: that dataset is not registered");
    sg_db_bind(derive->statement[ADD_ERASURE], "tttii", dataset, basis, event->user, event->time_ms, event->seq);
    return apply(derive, ADD_ERASURE, event->type);
}

/* ---- Events that leave no row: only whether they can be true. */

static enum sg_status derive_heartbeat(struct sg_derive *derive, const struct sg_event *event)
{
    struct open_run run = {0};
    int64_t start_leaf, step, beat;
    SG_TRY(find_open_run(derive, event, &run));
    SG_TRY(whole_of(event->facts, "start_leaf", &start_leaf));
    SG_TRY(whole_of(event->facts, "beat", &beat));
    SG_TRY(whole_of(event->facts, "step", &step));
    return start_leaf == run.start_leaf && step >= 0 && step <= run.steps && beat >= 1
               ? SG_OK
               : sg_fail(SG_BROKEN, "run.heartbeat: its step, number or first leaf cannot be the run's");
}

static enum sg_status derive_gap(struct sg_derive *derive, const struct sg_event *event)
{
    struct open_run run = {0};
    int64_t from;
    const char *kind;
    SG_TRY(text_of(event->facts, "kind", &kind));
    if (strcmp(kind, "no_process") != 0)
        return SG_OK; /* the rest is in past.c */
    SG_TRY(find_open_run(derive, event, &run));
    SG_TRY(whole_of(event->facts, "from_ms", &from));
    return from == run.started_ms ? SG_OK : sg_fail(SG_BROKEN, "ledger.gap: it does not begin when its run did");
}

static enum sg_status derive_nothing(struct sg_derive *derive, const struct sg_event *event)
{
    (void)derive, (void)event;
    return SG_OK;
}

static enum sg_status derive_run_erasure(struct sg_derive *derive, const struct sg_event *event)
{
    const char *run_id, *basis;
    int64_t run_no;
    const json_t *files = json_object_get(event->facts, "destroyed"), *one;
    size_t i;
    bool good = json_array_size(files) > 0;
    SG_TRY(text_of(event->facts, "run_id", &run_id));
    SG_TRY(whole_of(event->facts, "run_no", &run_no));
    SG_TRY(text_of(event->facts, "basis", &basis));
    json_array_foreach(files, i, one)
    {
        sqlite3_stmt *file = derive->statement[RUN_FILE];
        sg_db_bind(file, "tit", run_id, run_no, json_string_value(one));
        good = good && sqlite3_step(file) == SQLITE_ROW;
        sqlite3_reset(file);
    }
    return good ? SG_OK : sg_fail(SG_BROKEN, "run.erase: what it destroyed is no file of that run");
}

static const struct {
    const char *type;
    enum sg_status (*derive)(struct sg_derive *derive, const struct sg_event *event);
} handlers[] = {
    {"ledger.genesis", derive_genesis},
    {"key.add", derive_key_add},
    {"key.revoke", derive_key_revoke},
    {"dataset.register", derive_dataset},
    {"programme.register", derive_programme},
    {"run.start", derive_run_start},
    {"run.complete", derive_run_end},
    {"run.fail", derive_run_end},
    {"run.abort", derive_run_end},
    {"model.approve", derive_decision},
    {"model.deploy", derive_decision},
    {"model.retire", derive_decision},
    {"dataset.erase", derive_erasure},
    {"run.heartbeat", derive_heartbeat},
    {"run.erase", derive_run_erasure},
    {"ledger.gap", derive_gap},
    {"clock.anomaly", derive_nothing}, /* past.c */
};

enum sg_status sg_derive_event(struct sg_derive *derive, const struct sg_event *event)
{
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (strcmp(handlers[i].type, event->type) == 0)
            return handlers[i].derive(derive, event);
    return sg_fail(SG_BROKEN, "event type %.64s is not known to this program: use a newer one", event->type);
}
