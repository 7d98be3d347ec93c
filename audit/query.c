#include "audit/query.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/leaf.h"
#include "base/number.h"
#include "budget.h"
#include "query_events.h"
#include "schema.h"
#include "store.h"

void sg_query_time(int64_t time_ms, char out[40])
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm utc = {0};
    gmtime_r(&seconds, &utc);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + n, 40 - n, ".%03dZ", (int)(time_ms % 1000));
}

/* ---- Rows of any statement. A column named *_ms is printed as a time, is_* as true or false, a blob as hexadecimal.
 */
static json_t *blob_value(sqlite3_stmt *row, int column)
{
    int n = sqlite3_column_bytes(row, column);
    char *hex = sg_alloc(2 * (size_t)n + 1, 1);
    sg_hex_encode(sqlite3_column_blob(row, column), (size_t)n, hex);
    json_t *value = json_string(hex);
    free(hex);
    return value;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n > k && strcmp(name + n - k, end) == 0;
}

static json_t *cell_value(sqlite3_stmt *row, int column, const char *name)
{
    char time[40];
    json_t *text;
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_INTEGER:
        if (strncmp(name, "is_", 3) == 0)
            return json_boolean(sqlite3_column_int(row, column));
        if (!ends_with(name, "_ms"))
            return json_integer(sqlite3_column_int64(row, column));
        sg_query_time(sqlite3_column_int64(row, column), time);
        return json_string(time);
    case SQLITE_FLOAT:
        return sg_json_real(sqlite3_column_double(row, column));
    case SQLITE_BLOB:
        return blob_value(row, column);
    case SQLITE_TEXT:
        text = json_stringn((const char *)sqlite3_column_text(row, column), (size_t)sqlite3_column_bytes(row, column));
        return text ? text : json_string("(not text)");
    default:
        return json_null();
    }
}

/* "started_ms" becomes "started": it is a time in words now. */
static const char *printed_name(const char *name, char key[64])
{
    snprintf(key, 64, "%s", name);
    if (ends_with(name, "_ms"))
        key[strlen(key) - 3] = 0;
    return strncmp(key, "is_", 3) == 0 ? key + 3 : key;
}

static json_t *row_object(sqlite3_stmt *row)
{
    json_t *object = json_object();
    for (int column = 0; column < sqlite3_column_count(row); column++) {
        char key[64];
        const char *name = sqlite3_column_name(row, column);
        json_object_set_new(object, printed_name(name, key), cell_value(row, column, name));
    }
    return object;
}

static enum sg_status all_rows(sqlite3 *db, sqlite3_stmt *statement, json_t **rows)
{
    int code;
    *rows = json_array();
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        json_array_append_new(*rows, row_object(statement));
    if (code == SQLITE_DONE)
        return SG_OK;
    json_decref(*rows);
    *rows = NULL;
    return sg_db_fail(db, "reading");
}

static enum sg_status rows_of(struct sg_ledger *ledger, const char *sql, const char *subject, json_t **rows)
{
    sqlite3_stmt *statement = NULL;
    *rows = NULL;
    SG_TRY(sg_db_prepare(ledger->db, sql, &statement));
    if (sqlite3_bind_parameter_count(statement) > 0)
        sg_db_bind(statement, "t", subject);
    enum sg_status status = all_rows(ledger->db, statement, rows);
    sqlite3_finalize(statement);
    return status;
}

/* ---- Runs. */
#define RUN_COLUMNS                                                                                                    \
    "r.run_no, r.run_id, r.status, r.reason, r.dataset, r.population, r.is_private, r.epsilon, r.delta, r.steps, "     \
    "r.steps_done, "                                                                                                   \
    "r.actor, r.host, r.started_ms, r.ended_ms, (SELECT a.sha256 FROM artifact a WHERE a.run_no = r.run_no ORDER BY "  \
    "a.ordinal "                                                                                                       \
    "LIMIT 1) AS model, r.start_leaf, r.end_leaf"

enum sg_status sg_query_runs(struct sg_ledger *ledger, const struct sg_run_filter *filter, json_t **rows)
{
    sqlite3_stmt *statement = NULL;
    *rows = NULL;
    SG_TRY(sg_db_prepare(
        ledger->db,
        "SELECT " RUN_COLUMNS
        " FROM run r WHERE (?1 IS NULL OR r.dataset = ?1) AND (?2 IS NULL OR EXISTS(SELECT 1 FROM "
        "artifact m WHERE m.run_no = r.run_no AND m.sha256 = ?2)) AND (?3 IS NULL OR r.status = ?3) AND "
        "(?4 IS NULL OR r.actor = ?4) AND (?5 IS NULL OR r.population = ?5) AND (?6 = 0 OR r.started_ms >= ?6) AND "
        "(?7 = 0 OR r.started_ms < ?7) AND (?8 = 0 OR NOT r.is_private OR r.secret_supplied OR r.status <> 'complete') "
        "ORDER BY r.run_no LIMIT ?9",
        &statement));
    sg_db_bind(statement, "tttttiiii", filter->dataset, filter->model, filter->status, filter->actor,
               filter->population, filter->since_ms, filter->until_ms, (int64_t)filter->violates,
               filter->limit > 0 ? filter->limit : (int64_t)-1);
    enum sg_status status = all_rows(ledger->db, statement, rows);
    sqlite3_finalize(statement);
    return status;
}

/* ---- Programmes, and everything that was charged to a population: its programmes, and the runs outside them. */
#define PROGRAMMES                                                                                                     \
    "SELECT p.programme_id, p.dataset, p.population, p.runs, (SELECT count(*) FROM run r WHERE r.programme = "         \
    "p.programme_id) AS drawn, p.run_epsilon, p.epsilon, p.delta, p.actor, p.registered_ms, p.leaf FROM programme p"
#define CHARGES                                                                                                        \
    "SELECT run_no, run_id, status, actor, dataset, epsilon, delta, rho, started_ms, start_leaf AS leaf FROM run "     \
    "WHERE population = ?1 AND is_private AND programme IS NULL UNION ALL SELECT NULL, programme_id, (SELECT "         \
    "count(*) FROM run r WHERE r.programme = programme_id) || ' of ' || runs || ' drawn', actor, dataset, epsilon, "   \
    "delta, rho, registered_ms, leaf FROM programme WHERE population = ?1 ORDER BY leaf"

/* Datasets by their registration, runs by their configuration; null where nothing was said. */
#define RETENTION                                                                                                      \
    "SELECT 'dataset' AS kind, d.name, t.class AS retention_class, t.until_ms AS retain_until_ms, (SELECT erased_ms "  \
    "FROM erasure e WHERE e.dataset = d.name) AS erased_ms, d.leaf AS leaf FROM dataset d JOIN temp.retention t ON "   \
    "t.leaf = "                                                                                                        \
    "d.leaf UNION ALL SELECT 'run', r.run_id, (SELECT value FROM param p WHERE p.run_no = r.run_no AND p.name = "      \
    "'configuration.run.retention'), (SELECT 1000 * CAST(strftime('%s', value) AS INTEGER) FROM param p WHERE "        \
    "p.run_no = r.run_no AND p.name = 'configuration.run.retain_until'), (SELECT at_ms FROM temp.run_erasure x WHERE " \
    "x.run_no = r.run_no), r.start_leaf FROM run r WHERE EXISTS(SELECT 1 FROM artifact a WHERE a.run_no = r.run_no)"

/* ---- Views: the questions an officer asks, one statement each. ?1 is the subject. */
const struct sg_view sg_views[] = {
    {"events", "what happened, in order", "[TYPE]",
     "SELECT seq AS leaf, ts_ms, type, event_id, length(body) AS bytes FROM leaf WHERE ?1 IS NULL OR type = ?1 ORDER "
     "BY seq"},
    {"runs", "who trained which model when", NULL, "SELECT " RUN_COLUMNS " FROM run r ORDER BY r.run_no"},
    {"open", "which runs began and never ended, and when they last gave a sign of life", NULL,
     "SELECT r.run_no, r.run_id, r.actor, r.host, r.started_ms, (SELECT max(at_ms) FROM temp.heartbeat h WHERE "
     "h.run_no "
     "= r.run_no) AS last_heartbeat_ms, (SELECT max(step) FROM temp.heartbeat h WHERE h.run_no = r.run_no) AS "
     "last_step, (SELECT max(to_ms) FROM temp.gap g WHERE g.run_no = r.run_no) AS found_without_process_ms, r.dataset, "
     "r.population, r.epsilon, r.start_leaf AS leaf FROM run r WHERE r.status = 'running' ORDER BY r.run_no"},
    {"heartbeats", "which signs of life did runs give", "[RUN]",
     "SELECT r.run_id, h.beat, h.step, r.steps, h.interval_s, h.interval_steps, h.at_ms, h.leaf FROM temp.heartbeat h "
     "JOIN run r ON r.run_no = h.run_no WHERE ?1 IS NULL OR r.run_id = ?1 OR r.run_no = ?1 ORDER BY h.leaf"},
    {"clock", "when did a machine's clock jump, fall behind, or restart under a running program", NULL,
     "SELECT a.kind, a.at_ms, a.wall_ms, a.expected_ms, a.offset_ms / 1000.0 AS offset_s, a.boot_id_before, a.boot_id, "
     "a.leaf FROM temp.anomaly a ORDER BY a.leaf"},
    {"overrides", "where did a person assert or supply what the program would otherwise have decided", NULL,
     "SELECT r.run_id, 'secret supplied by --secret' AS control, r.actor, r.started_ms, r.start_leaf AS leaf FROM run "
     "r "
     "WHERE r.secret_supplied UNION ALL SELECT r.run_id, 'base model asserted public', r.actor, r.started_ms, "
     "r.start_leaf FROM run r JOIN param p ON p.run_no = r.run_no WHERE p.name = 'configuration.model.base_is_public' "
     "AND p.value = 'true' UNION ALL SELECT r.run_id, 'trained without privacy', r.actor, r.started_ms, r.start_leaf "
     "FROM run r WHERE NOT r.is_private UNION ALL SELECT name, 'data registered as public', NULL, (SELECT "
     "ts_ms FROM leaf WHERE seq = d.leaf), leaf FROM dataset d WHERE is_public ORDER BY leaf"},
    {"trace", "which run made this model file, and from what", "SHA256 of the model",
     "SELECT r.run_id, r.status, a.name AS file, a.sha256, r.dataset, d.commitment, r.base_model, r.code_digest, "
     "r.is_private, r.epsilon, "
     "r.delta, r.actor, r.ended_ms, a.leaf FROM artifact a JOIN run r ON r.run_no = a.run_no JOIN dataset d ON d.name "
     "= r.dataset "
     "WHERE a.sha256 = ?1 ORDER BY r.run_no"},
    {"lineage", "which models were made from this dataset", "DATASET",
     "SELECT r.run_id, r.status, a.sha256 AS model, d.row_bucket AS rows, d.population, r.is_private, r.epsilon, "
     "r.started_ms, "
     "r.start_leaf AS leaf FROM run r JOIN dataset d ON d.name = r.dataset LEFT JOIN artifact a ON a.run_no = r.run_no "
     "WHERE "
     "r.dataset = ?1 ORDER BY r.run_no, a.ordinal"},
    {"violations", "which runs had no privacy, or a secret that somebody supplied", NULL,
     "SELECT run_id, status, dataset, is_private, secret_supplied <> 0 AS is_secret_supplied, epsilon, delta, actor, "
     "start_leaf AS leaf "
     "FROM run WHERE NOT is_private OR secret_supplied ORDER BY run_no"},
    {"trials", "how many runs stand behind the models of this population, failed ones included", "[POPULATION]",
     "SELECT population, dataset, count(*) AS trials, sum(status = 'complete') AS complete, sum(status IN ('failed', "
     "'aborted')) AS "
     "failed, sum(status = 'running') AS open, sum(is_private) AS charged, min(start_leaf) AS first_leaf, "
     "max(start_leaf) AS last_leaf "
     "FROM run WHERE ?1 IS NULL OR population = ?1 GROUP BY population, dataset ORDER BY population, dataset"},
    {"populations", "whose privacy is limited, and to what", NULL,
     "SELECT p.name, p.unit, p.is_limited, p.epsilon_limit, p.delta_limit, p.filter_order, (SELECT count(*) FROM run r "
     "WHERE "
     "r.population = p.name) AS runs, p.leaf FROM population p ORDER BY p.name"},
    {"programmes", "which runs were fixed in advance, and how many of them were drawn", "[POPULATION]",
     PROGRAMMES " WHERE ?1 IS NULL OR p.population = ?1 ORDER BY p.leaf"},
    {"drawn", "which runs were drawn from which programme", "[PROGRAMME]",
     "SELECT programme, run_no, run_id, status, dataset, actor, started_ms, start_leaf AS leaf FROM run WHERE "
     "programme "
     "IS NOT NULL AND (?1 IS NULL OR programme = ?1) ORDER BY run_no"},
    {"datasets", "which data is registered", NULL,
     "SELECT name, population, unit, population_size, is_public, row_bucket, commitment, schema_digest, leaf FROM "
     "dataset ORDER BY leaf"},
    {"metrics", "what was measured, by split and release", "[RUN]",
     "SELECT r.run_id, m.name, m.value, m.split, m.released, m.leaf FROM metric m JOIN run r ON r.run_no = m.run_no "
     "WHERE ?1 IS NULL OR "
     "r.run_id = ?1 OR r.run_no = ?1 ORDER BY m.run_no, m.ordinal"},
    {"params", "with which settings", "[RUN]",
     "SELECT r.run_id, p.name, p.value, p.leaf FROM param p JOIN run r ON r.run_no = p.run_no WHERE ?1 IS NULL OR "
     "r.run_id = ?1 OR "
     "r.run_no = ?1 ORDER BY p.run_no, p.name"},
    {"compare", "in which settings do these two runs differ", "RUN,RUN",
     "WITH pair AS (SELECT substr(?1, 1, instr(?1, ',') - 1) AS x, substr(?1, instr(?1, ',') + 1) AS y), "
     "a AS (SELECT p.* FROM param p JOIN run r ON r.run_no = p.run_no, pair WHERE r.run_id = pair.x OR r.run_no = "
     "pair.x), "
     "b AS (SELECT p.* FROM param p JOIN run r ON r.run_no = p.run_no, pair WHERE r.run_id = pair.y OR r.run_no = "
     "pair.y) "
     "SELECT n.name, a.value AS first, b.value AS second, a.leaf AS first_leaf, b.leaf AS second_leaf FROM (SELECT "
     "name FROM a UNION "
     "SELECT name FROM b) n LEFT JOIN a ON a.name = n.name LEFT JOIN b ON b.name = n.name WHERE a.value IS NOT b.value "
     "ORDER BY n.name"},
    {"approvals", "who approved, deployed or retired which model, and did another person develop it", "[MODEL]",
     "SELECT kind, model, (SELECT run_id FROM run r WHERE r.run_no = d.run_no) AS run_id, person, developer, person <> "
     "developer AS is_four_eyes, h.name AS signed_by, h.key AS signing_key, h.needs AS approvals_needed, role, reason, "
     "expires_ms, decided_ms, d.leaf FROM decision d LEFT JOIN temp.human h ON h.leaf = d.leaf WHERE ?1 IS NULL OR "
     "model "
     "= ?1 ORDER BY d.leaf"},
    {"deployed", "which models are in use, and were they approved before", NULL,
     "SELECT d.model, (SELECT run_id FROM run r WHERE r.run_no = d.run_no) AS run_id, d.person, d.decided_ms, "
     "EXISTS(SELECT 1 FROM decision a "
     "WHERE a.model = d.model AND a.kind = 'model.approve' AND a.leaf < d.leaf AND a.person <> a.developer AND "
     "(a.expires_ms IS NULL OR "
     "a.expires_ms > d.decided_ms)) AS is_approved_by_another, d.leaf FROM decision d WHERE d.kind = 'model.deploy' "
     "AND NOT EXISTS(SELECT 1 "
     "FROM decision x WHERE x.model = d.model AND x.kind = 'model.retire' AND x.leaf > d.leaf) ORDER BY d.leaf"},
    {"erasures", "which datasets' keys and which runs' files were destroyed", NULL,
     "SELECT 'dataset key' AS kind, dataset AS name, basis, person, erased_ms, leaf FROM erasure UNION ALL SELECT "
     "'model "
     "file', (SELECT run_id FROM run r WHERE r.run_no = x.run_no), basis, person, at_ms, leaf FROM temp.run_erasure x "
     "ORDER BY leaf"},
    {"retention", "how long may data and models be kept, and what was erased", NULL, RETENTION " ORDER BY kind, leaf"},
    {"due", "what is due for erasure on a date (today)", "[DATE]",
     "SELECT * FROM (" RETENTION ") WHERE erased_ms IS NULL AND retain_until_ms <= 1000 * CAST(strftime('%s', "
     "coalesce(?1, 'now')) AS INTEGER) ORDER BY retain_until_ms, leaf"},
    {"keys", "which keys may write, since when; with a date, those in force then", "[DATE]",
     "SELECT k.key_id, k.role, k.vkey, a.ts_ms AS from_ms, e.ts_ms AS until_ms, k.compromised_since_ms, k.added_leaf "
     "AS leaf, "
     "k.ended_leaf FROM signing_key k JOIN leaf a ON a.seq = k.added_leaf LEFT JOIN leaf e ON e.seq = k.ended_leaf "
     "WHERE ?1 IS NULL OR (a.ts_ms <= 1000 * CAST(strftime('%s', ?1) AS INTEGER) AND (e.ts_ms IS NULL OR e.ts_ms > "
     "1000 * CAST(strftime('%s', ?1) AS INTEGER))) ORDER BY k.added_leaf"},
    {"witnesses", "who has seen the ledger at which size", NULL,
     "SELECT size, witness, line, size - 1 AS leaf FROM cosignature ORDER BY size, witness"},
    {"gaps", "where is something missing: no event for hours (24), a writer or a run that died, silent runs", "[HOURS]",
     "SELECT 'no event' AS cause, NULL AS run_id, previous_ms AS from_ms, ts_ms AS to_ms, (ts_ms - previous_ms) / "
     "3600000 AS hours, seq AS leaf FROM (SELECT seq, ts_ms, lag(ts_ms) OVER (ORDER BY seq) AS previous_ms FROM leaf) "
     "WHERE ts_ms - previous_ms >= coalesce(?1, 24) * 3600000 UNION ALL SELECT CASE kind WHEN 'journal' THEN 'a writer "
     "died in mid-commit' ELSE 'a run without its process' END, (SELECT run_id FROM run r WHERE r.run_no = g.run_no), "
     "from_ms, to_ms, (to_ms - from_ms) / 3600000, leaf FROM temp.gap g UNION ALL SELECT 'heartbeats are missing', "
     "run_id, before_ms, at_ms, (at_ms - before_ms) / 3600000, leaf FROM (SELECT h.leaf, h.at_ms, h.interval_s, "
     "r.run_id, coalesce(lag(h.at_ms) OVER (PARTITION BY h.run_no ORDER BY h.leaf), r.started_ms) AS before_ms FROM "
     "temp.heartbeat h JOIN run r ON r.run_no = h.run_no) WHERE at_ms - before_ms >= 3000 * interval_s ORDER BY leaf"},
};
const size_t sg_n_views = sizeof sg_views / sizeof *sg_views;

/* SQLite answers null for what is no date, and null compares with nothing. */
static enum sg_status check_date(struct sg_ledger *ledger, const char *date)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT strftime('%s', ?) IS NOT NULL", &row));
    sg_db_bind(row, "t", date);
    bool good = sqlite3_step(row) == SQLITE_ROW && sqlite3_column_int(row, 0) && strlen(date) >= 10;
    sqlite3_finalize(row);
    return good ? SG_OK : sg_fail(SG_USAGE, "ledger query: a date is YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, in UTC");
}

/* ---- The filters on any rows: by the columns that they have. */
struct row_filter {
    const char *option, *value;
    const char *columns[6];
    int order; /* 0 equal; 1 not before; -1 before */
};

static const json_t *column_of(const json_t *row, const struct row_filter *filter)
{
    const json_t *value = NULL;
    for (size_t i = 0; !value && i < 6 && filter->columns[i]; i++)
        value = json_object_get(row, filter->columns[i]);
    return value;
}

static bool passes(const json_t *value, const struct row_filter *filter)
{
    const char *text = json_string_value(value);
    if (!text)
        return false; /* what is not recorded matches no filter */
    int order = strcmp(text, filter->value);
    return filter->order == 0 ? order == 0 : filter->order > 0 ? order >= 0 : order < 0;
}

static enum sg_status filter_rows(json_t *rows, const char *view, const struct row_filter *filter)
{
    if (!filter->value)
        return SG_OK;
    for (size_t i = 0; i < json_array_size(rows);) {
        const json_t *value = column_of(json_array_get(rows, i), filter);
        if (!value)
            return sg_fail(SG_USAGE, "ledger query --view %s has no column for --%s", view, filter->option);
        if (passes(value, filter))
            i++;
        else
            json_array_remove(rows, i);
    }
    return SG_OK;
}

enum sg_status sg_query_filter(json_t *rows, const char *view, const struct sg_run_filter *filter)
{
    char since[40], until[40];
    sg_query_time(filter->since_ms, since);
    sg_query_time(filter->until_ms, until);
    const struct row_filter filters[] = {
        {"dataset", filter->dataset, {"dataset"}, 0},
        {"population", filter->population, {"population"}, 0},
        {"model", filter->model, {"model", "sha256"}, 0},
        {"status", filter->status, {"status"}, 0},
        {"actor", filter->actor, {"actor", "person"}, 0},
        {"since", filter->since_ms ? since : NULL, {"started", "decided", "erased", "ts", "at", "from"}, 1},
        {"until", filter->until_ms ? until : NULL, {"started", "decided", "erased", "ts", "at", "from"}, -1},
    };
    if (filter->violates)
        return sg_fail(SG_USAGE, "ledger query: --violates is about runs, without --view; see --view violations");
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        SG_TRY(filter_rows(rows, view, &filters[i]));
    while (filter->limit > 0 && json_array_size(rows) > (size_t)filter->limit)
        json_array_remove(rows, json_array_size(rows) - 1);
    return SG_OK;
}

enum sg_status sg_query_view(struct sg_ledger *ledger, const char *view, const char *subject, json_t **rows)
{
    struct sg_buffer names = {0};
    *rows = NULL;
    for (size_t i = 0; i < sg_n_views; i++) {
        const struct sg_view *v = &sg_views[i];
        sg_buffer_printf(&names, "%s%s", i ? ", " : "", v->name);
        if (strcmp(v->name, view) != 0)
            continue;
        sg_buffer_free(&names);
        if (v->subject && v->subject[0] != '[' && !subject)
            return sg_fail(SG_USAGE, "ledger query --view %s: name the subject: %s", view, v->subject);
        if (!v->subject && subject)
            return sg_fail(SG_USAGE, "ledger query --view %s takes no subject", view);
        if (subject && v->subject && strcmp(v->subject, "[DATE]") == 0)
            SG_TRY(check_date(ledger, subject));
        if (strstr(v->sql, "temp."))
            SG_TRY(sg_query_load_events(ledger, v->sql));
        return rows_of(ledger, v->sql, subject, rows);
    }
    enum sg_status status = sg_fail(SG_USAGE, "ledger query: there is no view of that name; there are %s", names.data);
    sg_buffer_free(&names);
    return status;
}

enum sg_status sg_query_columns(struct sg_ledger *ledger, const char *view, json_t **names)
{
    sqlite3_stmt *statement = NULL;
    char key[64];
    const struct sg_view *v = sg_views;
    *names = NULL;
    while (v < sg_views + sg_n_views && strcmp(v->name, view) != 0)
        v++;
    if (v == sg_views + sg_n_views)
        return sg_fail(SG_USAGE, "ledger query: there is no view of that name");
    SG_TRY(sg_query_load_events(ledger, v->sql));
    SG_TRY(sg_db_prepare(ledger->db, v->sql, &statement));
    *names = json_array();
    for (int column = 0; column < sqlite3_column_count(statement); column++)
        json_array_append_new(*names, json_string(printed_name(sqlite3_column_name(statement, column), key)));
    sqlite3_finalize(statement);
    return SG_OK;
}

/* ---- One run. */
enum sg_status sg_query_leaf(struct sg_ledger *ledger, int64_t seq, json_t **statement)
{
    sqlite3_stmt *row = NULL;
    struct sg_envelope envelope;
    *statement = NULL;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT body FROM leaf WHERE seq = ?", &row));
    sg_db_bind(row, "i", seq);
    enum sg_status status =
        sqlite3_step(row) == SQLITE_ROW
            ? sg_envelope_parse(sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0), &envelope)
            : sg_fail(SG_USAGE, "the ledger has no leaf %lld", (long long)seq);
    sqlite3_finalize(row);
    SG_TRY(status);
    status = sg_json_parse(envelope.payload.data, envelope.payload.len, "statement", SG_BROKEN, statement);
    sg_envelope_free(&envelope);
    return status;
}

static enum sg_status set_rows(struct sg_ledger *ledger, json_t *object, const char *key, const char *sql,
                               const char *run)
{
    json_t *rows;
    SG_TRY(rows_of(ledger, sql, run, &rows));
    json_object_set_new(object, key, rows);
    return SG_OK;
}

static enum sg_status set_leaf(struct sg_ledger *ledger, json_t *object, const char *key, const json_t *seq)
{
    json_t *statement = NULL;
    if (json_is_integer(seq))
        SG_TRY(sg_query_leaf(ledger, json_integer_value(seq), &statement));
    json_object_set_new(object, key, statement ? statement : json_null());
    return SG_OK;
}

static enum sg_status fill_show(struct sg_ledger *ledger, json_t *object, const char *run)
{
    json_t *row = json_object_get(object, "run");
    SG_TRY(set_rows(ledger, object, "metrics",
                    "SELECT name, value, split, released, leaf FROM metric m WHERE run_no = (SELECT run_no FROM "
                    "run WHERE run_id = ?1 OR run_no = ?1) ORDER BY ordinal",
                    run));
    SG_TRY(set_rows(ledger, object, "artifacts",
                    "SELECT name, sha256, bytes, leaf FROM artifact WHERE run_no = (SELECT run_no FROM run "
                    "WHERE run_id = ?1 OR run_no = ?1) ORDER BY ordinal",
                    run));
    SG_TRY(set_rows(ledger, object, "params",
                    "SELECT name, value, leaf FROM param WHERE run_no = (SELECT run_no FROM run WHERE run_id = "
                    "?1 OR run_no = ?1) ORDER BY name",
                    run));
    SG_TRY(set_leaf(ledger, object, "start", json_object_get(row, "start_leaf")));
    return set_leaf(ledger, object, "end", json_object_get(row, "end_leaf"));
}

enum sg_status sg_query_show(struct sg_ledger *ledger, const char *run, json_t **object)
{
    json_t *rows;
    *object = NULL;
    SG_TRY(rows_of(ledger, "SELECT " RUN_COLUMNS " FROM run r WHERE r.run_id = ?1 OR r.run_no = ?1", run, &rows));
    if (json_array_size(rows) != 1) {
        json_decref(rows);
        return sg_fail(SG_USAGE,
                       "the ledger has no run \"%.60s\": give its id or its number (sealgrad ledger runs FILE)", run);
    }
    *object = json_object();
    json_object_set(*object, "run", json_array_get(rows, 0));
    json_decref(rows);
    enum sg_status status = fill_show(ledger, *object, run);
    if (status != SG_OK) {
        json_decref(*object);
        *object = NULL;
    }
    return status;
}

/* ---- Budget. */

/* What one more run like the last charged one would add: of a programme, one of its runs. */
static enum sg_status last_charge(struct sg_ledger *ledger, const char *population, struct sg_charge *out, bool *found)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(
        sg_db_prepare(ledger->db,
                      "SELECT epsilon, delta, rho, delta_slack, start_leaf AS leaf FROM run WHERE population = ?1 AND "
                      "is_private AND rho IS NOT NULL UNION ALL SELECT run_epsilon, delta, rho / runs, delta_slack / "
                      "runs, leaf FROM programme WHERE population = ?1 AND rho IS NOT NULL ORDER BY leaf DESC LIMIT 1",
                      &row));
    sg_db_bind(row, "t", population);
    *found = sqlite3_step(row) == SQLITE_ROW;
    if (*found)
        *out = (struct sg_charge){sqlite3_column_double(row, 0), sqlite3_column_double(row, 1),
                                  sqlite3_column_double(row, 2), sqlite3_column_double(row, 3), NULL};
    sqlite3_finalize(row);
    return SG_OK;
}

static enum sg_status set_more_runs(struct sg_ledger *ledger, const char *population, const struct sg_filter *filter,
                                    json_t *object)
{
    struct sg_charge charge;
    bool found = false;
    if (filter->is_limited)
        SG_TRY(last_charge(ledger, population, &charge, &found));
    if (found)
        charge.relation = filter->relation;
    json_object_set_new(object, "more_runs_like_last",
                        found ? json_integer(sg_filter_more(filter, &charge)) : json_null());
    return SG_OK;
}

/* Appends the plan of a charge's leaf, and how often it is run. */
static enum sg_status add_plan(struct sg_ledger *ledger, int64_t leaf, struct sg_plan_runs *out)
{
    json_t *statement = NULL;
    SG_TRY(sg_query_leaf(ledger, leaf, &statement));
    const json_t *facts = json_object_get(json_object_get(statement, "predicate"), "facts");
    const json_t *runs = json_object_get(facts, "runs");
    out->runs = json_is_integer(runs) ? json_integer_value(runs) : 1;
    enum sg_status status = sg_plan_from_json(json_object_get(facts, "plan"), SG_BROKEN, &out->plan);
    json_decref(statement);
    return status;
}

/* What would have been spent if every charge had been fixed before the first run, at the limit's delta; null when it
 * cannot be said. Less than what is spent by the filter's rule, which pays for the freedom to choose. */
static enum sg_status set_as_fixed(struct sg_ledger *ledger, const struct sg_filter *filter, json_t *object)
{
    const json_t *by = json_object_get(object, "by"), *row;
    size_t n = json_array_size(by), i;
    double epsilon = NAN;
    if (filter->is_limited) {
        struct sg_plan_runs *list = sg_alloc(n + 1, sizeof *list);
        enum sg_status status = SG_OK;
        json_array_foreach(by, i, row) if (status == SG_OK) status =
            add_plan(ledger, json_integer_value(json_object_get(row, "leaf")), &list[i]);
        if (status == SG_OK)
            epsilon = sg_plans_as_fixed(list, n, filter->delta_limit);
        free(list);
        SG_TRY(status);
    }
    json_object_set_new(object, "epsilon_as_if_fixed", sg_json_real(epsilon));
    return SG_OK;
}

static json_t *limited_real(const struct sg_filter *filter, double value)
{
    return filter->is_limited ? sg_json_real(value) : json_null();
}

enum sg_status sg_query_budget(struct sg_ledger *ledger, const char *population, json_t **object)
{
    struct sg_filter filter;
    double epsilon = NAN, delta = NAN;
    *object = NULL;
    SG_TRY(sg_filter_read(ledger->db, population, &filter));
    if (filter.is_limited)
        sg_filter_spent(&filter, &epsilon, &delta);
    json_t *o = json_object();
    json_object_set_new(o, "population", json_string(population));
    json_object_set_new(o, "limited", json_boolean(filter.is_limited));
    json_object_set_new(o, "epsilon_limit", limited_real(&filter, filter.epsilon_limit));
    json_object_set_new(o, "delta_limit", limited_real(&filter, filter.delta_limit));
    json_object_set_new(o, "epsilon_spent", limited_real(&filter, epsilon));
    json_object_set_new(o, "delta_spent", limited_real(&filter, delta));
    json_object_set_new(o, "epsilon_left", limited_real(&filter, fmax(filter.epsilon_limit - epsilon, 0)));
    json_object_set_new(o, "filter_order", limited_real(&filter, filter.order));
    json_object_set_new(o, "runs", json_integer(filter.n_runs));
    json_object_set_new(o, "open_runs", json_integer(filter.n_open));
    enum sg_status status = set_more_runs(ledger, population, &filter, o);
    if (status == SG_OK)
        status = set_rows(ledger, o, "programmes", PROGRAMMES " WHERE p.population = ?1 ORDER BY p.leaf", population);
    if (status == SG_OK)
        status = set_rows(ledger, o, "by", CHARGES, population);
    if (status == SG_OK)
        status = set_as_fixed(ledger, &filter, o);
    if (status == SG_OK)
        *object = o;
    else
        json_decref(o);
    return status;
}
