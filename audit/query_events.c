#include "query_events.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "human.h"
#include "schema.h"

/* Each table: its columns behind `leaf`, the events that it is made of, and the same columns in SQL alone, for programs
 * that have nothing else. No type of event stands in two of them. */
#define STATED(path) "json_extract(statement, '$.predicate." path "')"
#define FACT(name) STATED("facts." name)
/* clang-format off */
static const struct source {
    const char *table, *columns, *types, *sql;
    const char *words[3]; /* only events with one of these in their statement have anything for the table */
} sources[] = {
    {"heartbeat", "run_no, beat, step, interval_s, interval_steps, at_ms", "'run.heartbeat'",
     FACT("run_no") "," FACT("beat") "," FACT("step") "," FACT("interval_s") "," FACT("interval_steps") "," STATED("time_ms"),
     {NULL}},
    {"anomaly", "kind, wall_ms, expected_ms, offset_ms, boot_id_before, boot_id, at_ms", "'clock.anomaly'",
     FACT("kind") "," FACT("wall_ms") "," FACT("expected_ms") "," FACT("offset_ms") "," FACT("boot_id_before") ","
     FACT("clock.boot_id") "," STATED("time_ms"),
     {NULL}},
    {"gap", "kind, run_no, from_ms, to_ms", "'ledger.gap'",
     FACT("kind") "," FACT("run_no") "," FACT("from_ms") "," FACT("to_ms"),
     {NULL}},
    {"human", "name, key, needs", "'model.approve', 'model.deploy', 'model.retire'",
     FACT("human.name") ", NULL," FACT("needs"), /* a key's fingerprint is beyond SQL */
     {"\"human\":", "\"needs\":"}},              /* a million decisions that no person signed are not worth parsing */
    {"retention", "name, class, until_ms", "'dataset.register'",
     FACT("name") "," FACT("retention_class") "," FACT("retain_until_ms"),
     {NULL}},
    {"run_erasure", "run_no, basis, file, person, at_ms", "'run.erase'",
     FACT("run_no") "," FACT("basis") "," FACT("destroyed[0]") "," STATED("by.user") "," STATED("time_ms"),
     {NULL}},
};
/* clang-format on */
enum { N_SOURCES = sizeof sources / sizeof *sources };

/* Where SQL asks for the table: behind "temp."; NULL when it does not. */
static const char *mention(const char *sql, const char *table)
{
    size_t n = strlen(table);
    for (const char *at = sql; (at = strstr(at, "temp.")); at += 5)
        if (strncmp(at + 5, table, n) == 0 && !isalnum((unsigned char)at[5 + n]) && at[5 + n] != '_')
            return at;
    return NULL;
}

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

static enum sg_status load(sqlite3 *db, const struct source *source)
{
    sqlite3_stmt *rows = NULL;
    char *create = sg_format("CREATE TEMP TABLE %s(leaf INTEGER PRIMARY KEY, %s)", source->table, source->columns);
    char *select = sg_format("SELECT body FROM leaf WHERE type IN (%s) ORDER BY seq", source->types);
    enum sg_status status = sg_db_run(db, create);
    if (status == SG_OK)
        status = sg_db_prepare(db, select, &rows);
    if (status == SG_OK)
        status = sg_store_events_with(rows, source->words[0] ? source->words : NULL, insert_event, db);
    free(create);
    free(select);
    return status;
}

enum sg_status sg_query_load_events(struct sg_ledger *ledger, const char *sql)
{
    for (int i = 0; i < N_SOURCES; i++) {
        int64_t exists = 0;
        if (!mention(sql, sources[i].table))
            continue;
        char *ask = sg_format("SELECT count(*) FROM sqlite_temp_schema WHERE name = '%s'", sources[i].table);
        enum sg_status status = sg_db_number(ledger->db, ask, &exists);
        free(ask);
        if (status == SG_OK && !exists)
            status = load(ledger->db, &sources[i]);
        SG_TRY(status);
    }
    return SG_OK;
}

/* clang-format off */
/* ---- The same in SQL alone. base64 by groups of four characters: a group's bytes are cut from the table of all bytes
 * and joined as they are, so that text in UTF-8 stays what it is. */
#define DIGIT(k) "(instr(alphabet, substr(payload, at + " k ", 1)) - 1)"
#define BYTE(value) "substr(all_bytes, 1 + (" value "), 1)"
static void decoder(struct sg_buffer *out, const char *types)
{
    sg_buffer_text(out, "WITH RECURSIVE known(alphabet, all_bytes) AS (SELECT "
                        "'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', x'");
    for (int i = 0; i < 256; i++)
        sg_buffer_printf(out, "%02x", i);
    sg_buffer_printf(
        out,
        "'), decoded(leaf, type, payload, at, statement) AS (SELECT seq, type, json_extract(CAST(body AS TEXT), "
        "'$.payload'), 1, '' FROM leaf WHERE type IN (%s) UNION ALL SELECT leaf, type, payload, at + 4, statement || "
        BYTE("(" DIGIT("0") " << 2) | (" DIGIT("1") " >> 4)")
        " || CASE WHEN " DIGIT("2") " < 0 THEN '' ELSE " BYTE("((" DIGIT("1") " & 15) << 4) | (" DIGIT("2") " >> 2)")
        " END || CASE WHEN " DIGIT("3") " < 0 THEN '' ELSE " BYTE("((" DIGIT("2") " & 3) << 6) | " DIGIT("3"))
        " END FROM decoded, known WHERE at <= length(payload)), event(leaf, type, statement) AS (SELECT leaf, type, "
        "statement FROM decoded WHERE at > length(payload))",
        types);
}

/* clang-format on */
void sg_query_events_in_sql(const char *sql, struct sg_buffer *out)
{
    struct sg_buffer types = {0};
    for (int i = 0; i < N_SOURCES; i++)
        if (mention(sql, sources[i].table))
            sg_buffer_printf(&types, "%s%s", types.len ? ", " : "", sources[i].types);
    if (types.len)
        decoder(out, types.data);
    for (int i = 0; i < N_SOURCES; i++)
        if (mention(sql, sources[i].table))
            sg_buffer_printf(out, ", %s(leaf, %s) AS (SELECT leaf, %s FROM event WHERE type IN (%s))", sources[i].table,
                             sources[i].columns, sources[i].sql, sources[i].types);
    sg_buffer_text(out, types.len ? " " : "");
    for (const char *at; (at = strstr(sql, "temp.")); sql = at + 5)
        sg_buffer_append(out, sql, (size_t)(at - sql));
    sg_buffer_text(out, sql);
    sg_buffer_free(&types);
}
