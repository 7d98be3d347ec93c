#include "query_events.h"

#include <string.h>

#include "human.h"
#include "schema.h"

static const char tables[] =
    "CREATE TEMP TABLE heartbeat(leaf INTEGER PRIMARY KEY, run_no, beat, step, interval_s, interval_steps, at_ms);"
    "CREATE TEMP TABLE anomaly(leaf INTEGER PRIMARY KEY, kind, wall_ms, expected_ms, offset_ms, boot_id_before, "
    "boot_id, "
    "at_ms);"
    "CREATE TEMP TABLE gap(leaf INTEGER PRIMARY KEY, kind, run_no, from_ms, to_ms);"
    "CREATE TEMP TABLE human(leaf INTEGER PRIMARY KEY, name, key, needs);"
    "CREATE TEMP TABLE retention(leaf INTEGER PRIMARY KEY, name, class, until_ms);"
    "CREATE TEMP TABLE run_erasure(leaf INTEGER PRIMARY KEY, run_no, basis, file, person, at_ms);";

static void bind(sqlite3_stmt *insert, int at, const json_t *value)
{
    if (json_is_integer(value))
        sqlite3_bind_int64(insert, at, json_integer_value(value));
    else if (json_is_string(value))
        sqlite3_bind_text(insert, at, json_string_value(value), (int)json_string_length(value), SQLITE_TRANSIENT);
    else
        sqlite3_bind_null(insert, at);
}

static const json_t *fact(const struct sg_event *event, const char *key)
{
    return json_object_get(event->facts, key);
}

/* The facts named in `keys` as columns 2 and on; the time of the event, where wanted, after them. */
static enum sg_status insert_facts(sqlite3 *db, const char *sql, const struct sg_event *event, const char *const *keys,
                                   bool with_time)
{
    sqlite3_stmt *insert = NULL;
    SG_TRY(sg_db_prepare(db, sql, &insert));
    int column = 1;
    sqlite3_bind_int64(insert, column++, event->seq);
    for (; *keys; keys++)
        bind(insert, column++, fact(event, *keys));
    if (with_time)
        sqlite3_bind_int64(insert, column, event->time_ms);
    enum sg_status status = sg_db_done(db, insert, "reading");
    sqlite3_finalize(insert);
    return status;
}

static enum sg_status insert_anomaly(sqlite3 *db, const struct sg_event *event)
{
    static const char *const keys[] = {"kind",           "wall_ms", "expected_ms", "offset_ms",
                                       "boot_id_before", "boot_id", NULL};
    json_t *boot = json_object_get(fact(event, "clock"), "boot_id");
    json_object_set(event->facts, "boot_id", boot); /* up one level, in our own copy */
    return insert_facts(db, "INSERT INTO temp.anomaly VALUES(?,?,?,?,?,?,?,?)", event, keys, true);
}

static enum sg_status insert_decision(sqlite3 *db, const struct sg_event *event)
{
    struct sg_human human;
    bool is_signed;
    sqlite3_stmt *insert = NULL;
    if (sg_human_read(event->origin, event->type, event->facts, &human, &is_signed) != SG_OK) {
        sg_error_clear(); /* verify says so; here it counts as not signed */
        is_signed = false;
    }
    enum sg_status status = sg_db_prepare(db, "INSERT INTO temp.human VALUES(?,?,?,?)", &insert);
    if (status == SG_OK) {
        sg_db_bind(insert, "itt", event->seq, is_signed && *human.name ? human.name : NULL,
                   is_signed ? human.signature.fingerprint : NULL);
        bind(insert, 4, fact(event, "needs"));
        status = sg_db_done(db, insert, "reading");
    }
    sqlite3_finalize(insert);
    if (is_signed)
        sg_human_free(&human);
    return status;
}

static enum sg_status insert_run_erasure(sqlite3 *db, const struct sg_event *event)
{
    static const char *const keys[] = {"run_no", "basis", "file", "person", NULL};
    json_object_set(event->facts, "file", json_array_get(fact(event, "destroyed"), 0));
    json_object_set_new(event->facts, "person", json_string(event->user));
    return insert_facts(db, "INSERT INTO temp.run_erasure VALUES(?,?,?,?,?,?)", event, keys, true);
}

static enum sg_status insert_event(void *db, const struct sg_event *event)
{
    static const char *const beat[] = {"run_no", "beat", "step", "interval_s", "interval_steps", NULL};
    static const char *const gap[] = {"kind", "run_no", "from_ms", "to_ms", NULL};
    static const char *const retention[] = {"name", "retention_class", "retain_until_ms", NULL};
    if (strcmp(event->type, "run.heartbeat") == 0)
        return insert_facts(db, "INSERT INTO temp.heartbeat VALUES(?,?,?,?,?,?,?)", event, beat, true);
    if (strcmp(event->type, "ledger.gap") == 0)
        return insert_facts(db, "INSERT INTO temp.gap VALUES(?,?,?,?,?)", event, gap, false);
    if (strcmp(event->type, "dataset.register") == 0)
        return insert_facts(db, "INSERT INTO temp.retention VALUES(?,?,?,?)", event, retention, false);
    if (strcmp(event->type, "clock.anomaly") == 0)
        return insert_anomaly(db, event);
    if (strcmp(event->type, "run.erase") == 0)
        return insert_run_erasure(db, event);
    return insert_decision(db, event);
}

enum sg_status sg_query_load_events(struct sg_ledger *ledger)
{
    sqlite3_stmt *rows = NULL;
    int64_t exists;
    SG_TRY(sg_db_number(ledger->db, "SELECT count(*) FROM sqlite_temp_schema WHERE name = 'heartbeat'", &exists));
    if (exists)
        return SG_OK;
    SG_TRY(sg_db_run(ledger->db, tables));
    SG_TRY(
        sg_db_prepare(ledger->db,
                      "SELECT body FROM leaf WHERE type IN ('run.heartbeat', 'ledger.gap', 'clock.anomaly', "
                      "'run.erase', 'dataset.register', 'model.approve', 'model.deploy', 'model.retire') ORDER BY seq",
                      &rows));
    return sg_store_events(rows, insert_event, ledger->db);
}
