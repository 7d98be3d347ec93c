/* Signs of life of a run. One leaf of about a kilobyte and one durable commit each: at ten minutes a beat, some
 * hundred-thousandth of a run. */
#include "schema.h"
#include "store.h"

enum { BUSY_MS = 5000, USUAL_BUSY_MS = 600000 }; /* training does not wait for a reader for long */

static json_t *beat_facts(const struct sg_ledger *ledger, const struct sg_run *run, const struct sg_heartbeat *beat)
{
    const struct sg_watch *w = &ledger->watch;
    json_t *facts = json_object();
    json_object_set_new(facts, "run_id", json_string(run->run_id));
    json_object_set_new(facts, "run_no", json_integer(run->run_no));
    json_object_set_new(facts, "start_leaf", json_integer(run->leaf));
    json_object_set_new(facts, "beat", json_integer(w->beat_run_no == run->run_no ? w->beat + 1 : 1));
    json_object_set_new(facts, "step", json_integer(beat->step));
    json_object_set_new(facts, "interval_s", beat->interval_s ? json_integer(beat->interval_s) : json_null());
    json_object_set_new(facts, "interval_steps",
                        beat->interval_steps ? json_integer(beat->interval_steps) : json_null());
    json_object_set_new(facts, "wall_ms", json_integer(w->now.wall_ms));
    json_object_set_new(facts, "clock", sg_watch_clock_facts(&w->now));
    return facts;
}

static enum sg_status append_beat(struct sg_ledger *ledger, const struct sg_run *run, const struct sg_heartbeat *beat,
                                  char event_id[33])
{
    uint8_t digest[SG_DIGEST_BYTES];
    SG_TRY(sg_store_node(ledger->db, 0, (uint64_t)run->leaf, digest));
    json_t *facts = beat_facts(ledger, run, beat), *subjects = sg_store_subject(run->run_id, "sha256", digest);
    enum sg_status status = sg_store_append(ledger, "run.heartbeat", subjects, facts, event_id);
    json_decref(facts);
    json_decref(subjects);
    return status == SG_BROKEN
               ? sg_fail(SG_USAGE, "run %s is not under way, or has no step %lld", run->run_id, (long long)beat->step)
               : status;
}

static enum sg_status take_beat(void *watch, const struct sg_event *event)
{
    struct sg_watch *w = watch;
    if (json_integer_value(json_object_get(event->facts, "run_no")) == w->beat_run_no) {
        w->beat = json_integer_value(json_object_get(event->facts, "beat"));
        w->step = json_integer_value(json_object_get(event->facts, "step"));
    }
    return SG_OK;
}

/* A run that is taken up again counts on from what the ledger says. */
static enum sg_status load_last(struct sg_ledger *ledger, const struct sg_run *run)
{
    struct sg_watch *w = &ledger->watch;
    if (w->beat_run_no == run->run_no)
        return SG_OK;
    sqlite3_stmt *rows = NULL;
    w->beat_run_no = run->run_no;
    w->beat = w->step = 0;
    SG_TRY(sg_db_prepare(ledger->db, "SELECT body FROM leaf WHERE type = 'run.heartbeat' AND seq > ? ORDER BY seq",
                         &rows));
    sg_db_bind(rows, "i", run->leaf);
    return sg_store_events(rows, take_beat, w);
}

/* Whether nobody else reads or writes: asked first, since a commit that meets a reader would wait for him. */
static bool is_free(struct sg_ledger *ledger)
{
    sqlite3_busy_timeout(ledger->db, BUSY_MS);
    bool is_busy = sqlite3_exec(ledger->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL) == SQLITE_BUSY;
    if (!is_busy)
        sg_store_rollback(ledger);
    sqlite3_busy_timeout(ledger->db, USUAL_BUSY_MS);
    return !is_busy;
}

enum sg_status sg_ledger_heartbeat(struct sg_ledger *ledger, const struct sg_run *run,
                                   const struct sg_heartbeat *heartbeat, bool *written)
{
    char event_id[33] = "";
    *written = false;
    if ((heartbeat->interval_s > 0) == (heartbeat->interval_steps > 0) || heartbeat->interval_s < 0 ||
        heartbeat->interval_steps < 0)
        return sg_fail(SG_USAGE, "heartbeat: its interval is in seconds or in steps");
    SG_TRY(load_last(ledger, run));
    if (heartbeat->step < ledger->watch.step)
        return sg_fail(SG_USAGE, "heartbeat: step %lld lies before the last one", (long long)heartbeat->step);
    if (!is_free(ledger))
        return SG_OK;
    SG_TRY(sg_store_begin(ledger));
    SG_TRY(sg_store_end(ledger, append_beat(ledger, run, heartbeat, event_id), event_id));
    *written = true;
    ledger->watch.beat_run_no = run->run_no; /* the connection may be a new one after a failed commit */
    ledger->watch.beat++;
    ledger->watch.step = heartbeat->step;
    return SG_OK;
}
