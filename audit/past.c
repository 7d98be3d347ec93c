#include "past.h"

#include <stdlib.h>
#include <string.h>

#include "human.h"

struct sg_past {
    json_t *runs;   /* run_id: {beat, step, interval_s, interval_steps, time_ms, lost}, while the run is open */
    json_t *models; /* model: [{key, expires_ms}], the approvals by people since it was last retired */
    json_t *nonces; /* of documents that people signed */
    json_t *erased; /* runs whose files were destroyed */
    int64_t previous_ms;
};

struct sg_past *sg_past_new(void)
{
    struct sg_past *past = sg_alloc(1, sizeof *past);
    past->runs = json_object();
    past->models = json_object();
    past->nonces = json_object();
    past->erased = json_object();
    return past;
}

void sg_past_free(struct sg_past **past)
{
    if (!*past)
        return;
    json_decref((*past)->runs);
    json_decref((*past)->models);
    json_decref((*past)->nonces);
    json_decref((*past)->erased);
    free(*past);
    *past = NULL;
}

static int64_t whole(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* ---- Runs. */
static json_t *run_of(struct sg_past *past, const char *run_id)
{
    json_t *run = json_object_get(past->runs, run_id);
    if (!run) {
        run = json_object();
        json_object_set_new(past->runs, run_id, run);
    }
    return run;
}

static bool is_interval(const json_t *value)
{
    return json_is_null(value) || (json_is_integer(value) && json_integer_value(value) >= 1);
}

static enum sg_status heartbeat(struct sg_past *past, const struct sg_event *event)
{
    static const char *const kept[] = {"beat", "step", "interval_s", "interval_steps"};
    const json_t *facts = event->facts;
    const char *run_id = text(facts, "run_id");
    if (!run_id)
        return SG_OK; /* said where the tables are derived */
    json_t *run = run_of(past, run_id), *seconds = json_object_get(facts, "interval_s"),
           *steps = json_object_get(facts, "interval_steps");
    bool is_first = !json_object_get(run, "beat");
    bool counts = whole(facts, "beat") == whole(run, "beat") + 1 && whole(facts, "step") >= whole(run, "step");
    bool same = is_interval(seconds) && is_interval(steps) && json_is_null(seconds) != json_is_null(steps) &&
                (is_first || (json_equal(seconds, json_object_get(run, "interval_s")) &&
                              json_equal(steps, json_object_get(run, "interval_steps"))));
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        json_object_set(run, kept[i], json_object_get(facts, kept[i]));
    json_object_set_new(run, "time_ms", json_integer(event->time_ms));
    if (!counts)
        return sg_fail(SG_BROKEN, "run.heartbeat: its number or its step does not follow the one before it");
    return same ? SG_OK : sg_fail(SG_BROKEN, "run.heartbeat: its interval is not one, or not the run's");
}

static enum sg_status run_end(struct sg_past *past, const struct sg_event *event)
{
    const char *run_id = text(event->facts, "run_id");
    const json_t *run = run_id ? json_object_get(past->runs, run_id) : NULL;
    bool good = !run || whole(event->facts, "steps_done") >= whole(run, "step");
    if (run)
        json_object_del(past->runs, run_id);
    return good ? SG_OK : sg_fail(SG_BROKEN, "%s: fewer steps done than its last heartbeat says", event->type);
}

static enum sg_status erasure(struct sg_past *past, const struct sg_event *event)
{
    const char *run_id = text(event->facts, "run_id");
    if (run_id && json_object_get(past->erased, run_id))
        return sg_fail(SG_BROKEN, "run.erase: that run's files were destroyed before");
    if (run_id)
        json_object_set_new(past->erased, run_id, json_true());
    return SG_OK;
}

bool sg_past_last_beat(const struct sg_past *past, const char *run_id, struct sg_last_beat *out)
{
    const json_t *run = past && run_id ? json_object_get(past->runs, run_id) : NULL;
    *out = (struct sg_last_beat){0};
    if (!run)
        return false;
    *out = (struct sg_last_beat){whole(run, "step"), whole(run, "time_ms"), json_object_get(run, "lost") != NULL,
                                 whole(run, "lost")};
    return json_object_get(run, "beat") != NULL;
}

/* ---- Gaps and clocks. */
static enum sg_status gap(struct sg_past *past, const struct sg_event *event)
{
    const json_t *facts = event->facts;
    const char *kind = text(facts, "kind"), *run_id = text(facts, "run_id");
    const json_t *from = json_object_get(facts, "from_ms"), *to = json_object_get(facts, "to_ms");
    if (!kind || !json_is_integer(from) || !json_is_integer(to) || json_integer_value(from) > json_integer_value(to))
        return sg_fail(SG_BROKEN, "ledger.gap: kind, from_ms and to_ms must be given, in this order of time");
    if (strcmp(kind, "no_process") == 0 && run_id) {
        json_object_set_new(run_of(past, run_id), "lost", json_integer(event->seq));
        return SG_OK; /* that the run is open is checked where the tables are derived */
    }
    if (strcmp(kind, "journal") != 0 || run_id || json_integer_value(from) != past->previous_ms)
        return sg_fail(SG_BROKEN, "ledger.gap: its kind is not known, or it does not begin at the event before it");
    return SG_OK;
}

static enum sg_status anomaly(const struct sg_past *past, const struct sg_event *event)
{
    const json_t *facts = event->facts, *expected = json_object_get(facts, "expected_ms"),
                 *offset = json_object_get(facts, "offset_ms");
    const char *kind = text(facts, "kind"), *before = text(facts, "boot_id_before");
    const char *now = text(json_object_get(facts, "clock"), "boot_id");
    bool has_offset = json_is_integer(json_object_get(facts, "wall_ms")) && json_is_integer(expected) &&
                      json_is_integer(offset) && !before && json_integer_value(offset) != 0 &&
                      json_integer_value(offset) == whole(facts, "wall_ms") - json_integer_value(expected);
    if (kind && strcmp(kind, "jump") == 0 && has_offset)
        return SG_OK;
    if (kind && strcmp(kind, "behind") == 0 && has_offset && json_integer_value(offset) < 0 &&
        json_integer_value(expected) == past->previous_ms)
        return SG_OK;
    if (kind && strcmp(kind, "boot") == 0 && before && json_is_null(expected) && json_is_null(offset) &&
        (!now || strcmp(now, before) != 0))
        return SG_OK;
    return sg_fail(SG_BROKEN, "clock.anomaly: its kind is not known, or its times do not show it");
}

/* ---- What people signed. */
static enum sg_status remember_nonce(struct sg_past *past, const struct sg_human *human)
{
    if (json_object_get(past->nonces, human->nonce))
        return sg_fail(SG_BROKEN, "a document that a person signed once is used again");
    json_object_set_new(past->nonces, human->nonce, json_true());
    return SG_OK;
}

bool sg_past_in_force(const json_t *expires_ms, int64_t time_ms)
{
    return !json_is_integer(expires_ms) || json_integer_value(expires_ms) > time_ms;
}

/* How many different keys of people approve the model at that time. */
static int64_t approvers(const struct sg_past *past, const char *model, int64_t time_ms)
{
    const json_t *list = json_object_get(past->models, model), *one;
    int64_t n = 0;
    size_t i;
    json_array_foreach(list, i, one) n +=
        sg_past_in_force(json_object_get(one, "expires_ms"), time_ms); /* keys differ: see approve */
    return n;
}

/* An approval by a key that approves the model already adds nobody: it is refused, so that two are two. */
static enum sg_status approve(struct sg_past *past, const struct sg_event *event, const char *model,
                              const struct sg_human *human)
{
    json_t *list = json_object_get(past->models, model), *one;
    size_t i;
    if (!list) {
        list = json_array();
        json_object_set_new(past->models, model, list);
    }
    json_array_foreach(list, i, one)
    {
        if (strcmp(text(one, "key"), human->signature.fingerprint) != 0)
            continue;
        if (sg_past_in_force(json_object_get(one, "expires_ms"), event->time_ms))
            return sg_fail(SG_BROKEN, "model.approve: the key %s approves this model already: another person has to",
                           human->signature.fingerprint);
        json_array_remove(list, i);
        break;
    }
    one = json_object();
    json_object_set_new(one, "key", json_string(human->signature.fingerprint));
    json_object_set(one, "expires_ms", json_object_get(event->facts, "expires_ms"));
    json_array_append_new(list, one);
    return SG_OK;
}

static enum sg_status decision(struct sg_past *past, const struct sg_event *event)
{
    struct sg_human human = {0};
    const char *model = text(event->facts, "model");
    const json_t *needs = json_object_get(event->facts, "needs");
    bool is_signed = false;
    if (!model)
        return SG_OK; /* said where the tables are derived */
    enum sg_status status = sg_human_read(event->origin, event->type, event->facts, &human, &is_signed);
    if (status == SG_OK && is_signed)
        status = remember_nonce(past, &human);
    if (status == SG_OK && is_signed && strcmp(event->type, "model.approve") == 0)
        status = approve(past, event, model, &human);
    if (status == SG_OK && needs && (!json_is_integer(needs) || json_integer_value(needs) < 1))
        status = sg_fail(SG_BROKEN, "%s: needs must be a whole number above 0", event->type);
    if (status == SG_OK && needs && approvers(past, model, event->time_ms) < json_integer_value(needs))
        status = sg_fail(SG_BROKEN, "%s: it needs the signatures of %lld people under approvals in force, and has %lld",
                         event->type, (long long)json_integer_value(needs),
                         (long long)approvers(past, model, event->time_ms));
    if (strcmp(event->type, "model.retire") == 0)
        json_object_del(past->models, model);
    if (is_signed)
        sg_human_free(&human);
    return status;
}

enum sg_status sg_past_event(struct sg_past *past, const struct sg_event *event)
{
    enum sg_status status = SG_OK;
    if (strcmp(event->type, "run.heartbeat") == 0)
        status = heartbeat(past, event);
    else if (strcmp(event->type, "run.complete") == 0 || strcmp(event->type, "run.fail") == 0 ||
             strcmp(event->type, "run.abort") == 0)
        status = run_end(past, event);
    else if (strcmp(event->type, "run.erase") == 0)
        status = erasure(past, event);
    else if (strcmp(event->type, "ledger.gap") == 0)
        status = gap(past, event);
    else if (strcmp(event->type, "clock.anomaly") == 0)
        status = anomaly(past, event);
    else if (strncmp(event->type, "model.", 6) == 0)
        status = decision(past, event);
    past->previous_ms = event->time_ms;
    return status;
}
