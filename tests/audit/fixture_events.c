#include "fixture_events.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/query.h"
#include "audit/sshsig.h"
#include "side.h"

static void must(enum sg_status status)
{
    if (status == SG_OK)
        return;
    fprintf(stderr, "fixture: %s\n", sg_error_text());
    abort();
}

/* ---- People's keys. */
static void append_string(struct sg_buffer *out, const void *bytes, size_t n)
{
    const uint8_t length[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    sg_buffer_append(out, length, sizeof length);
    sg_buffer_append(out, bytes, n);
}

static void make_key(uint8_t seed_byte, uint8_t secret[64], struct sg_buffer *wire)
{
    uint8_t seed[32], public_key[32];
    memset(seed, seed_byte, sizeof seed);
    crypto_sign_seed_keypair(public_key, secret, seed);
    append_string(wire, "ssh-ed25519", 11);
    append_string(wire, public_key, sizeof public_key);
}

void fixture_ssh_sign(uint8_t seed_byte, const char *text, size_t n, struct sg_buffer *armoured)
{
    uint8_t secret[64], digest[64], signature[64];
    struct sg_buffer key = {0}, bytes = {0}, blob = {0}, inner = {0};
    make_key(seed_byte, secret, &key);
    crypto_hash_sha512(digest, (const uint8_t *)text, n);
    sg_buffer_text(&bytes, "SSHSIG");
    append_string(&bytes, "sealgrad", 8);
    append_string(&bytes, "", 0);
    append_string(&bytes, "sha512", 6);
    append_string(&bytes, digest, sizeof digest);
    crypto_sign_detached(signature, NULL, (const uint8_t *)bytes.data, bytes.len, secret);
    append_string(&inner, "ssh-ed25519", 11);
    append_string(&inner, signature, sizeof signature);
    sg_buffer_append(&blob, "SSHSIG\0\0\0\1", 10);
    append_string(&blob, key.data, key.len);
    append_string(&blob, "sealgrad", 8);
    append_string(&blob, "", 0);
    append_string(&blob, "sha512", 6);
    append_string(&blob, inner.data, inner.len);
    sg_buffer_text(armoured, "-----BEGIN SSH SIGNATURE-----\n");
    sg_base64_append(armoured, blob.data, blob.len);
    sg_buffer_text(armoured, "\n-----END SSH SIGNATURE-----\n");
    sg_buffer_free(&key);
    sg_buffer_free(&bytes);
    sg_buffer_free(&blob);
    sg_buffer_free(&inner);
}

void fixture_ssh_signer(uint8_t seed_byte, const char *name, struct sg_buffer *out)
{
    uint8_t secret[64];
    struct sg_buffer key = {0};
    make_key(seed_byte, secret, &key);
    sg_buffer_printf(out, "%s namespaces=\"sealgrad\" ssh-ed25519 ", name);
    sg_base64_append(out, key.data, key.len);
    sg_buffer_text(out, "\n");
    sg_buffer_free(&key);
}

enum sg_status fixture_sign_decision(struct sg_ledger *ledger, const char *kind, uint8_t seed_byte, int64_t needs)
{
    struct sg_buffer document = {0}, signature = {0};
    struct sg_decision decision = {
        .kind = kind, .model = "1", .role = "validation", .reason = "report 7", .needs = needs};
    enum sg_status status = sg_ledger_draft(ledger, &decision, &document);
    if (status == SG_OK) {
        fixture_ssh_sign(seed_byte, document.data, document.len, &signature);
        decision.document = document.data;
        decision.document_len = document.len;
        decision.signature = signature.data;
        decision.signature_len = signature.len;
        status = sg_ledger_decide(ledger, &decision);
    }
    sg_buffer_free(&document);
    sg_buffer_free(&signature);
    return status;
}

/* ---- The ledger. */
/* run.erase without a file: the fixture's model has no bytes. */
static void erase_run(struct sg_ledger *ledger, const struct sg_run *run)
{
    char digest[65];
    memset(digest, 'a', 64), digest[64] = 0;
    json_t *facts = json_pack("{s:s, s:I, s:s, s:[s]}", "run_id", run->run_id, "run_no", (json_int_t)run->run_no,
                              "basis", "retention", "destroyed", digest);
    must(fixture_append(ledger, "run.erase", facts));
}

/* The process that carries the run is one of before the machine was started anew. */
static void lose_process(const char *path, int64_t run_no)
{
    sqlite3 *side = NULL;
    struct sg_side_process process = {.run_no = run_no, .pid = 1, .boot_id = "another"};
    must(sg_side_open(path, &side));
    must(sg_side_put_process(side, &process));
    sqlite3_close(side);
}

static enum sg_status fixture_register_until(struct sg_ledger *ledger, const char *name, const char *class,
                                             int64_t until_ms)
{
    uint8_t digest[SG_DIGEST_BYTES] = {7}, key[SG_KEY_BYTES] = {1};
    const struct sg_dataset_facts facts = {.name = name,
                                           .population = "customers",
                                           .unit = "all rows of a customer",
                                           .population_size = 10000,
                                           .epsilon_limit = 20,
                                           .delta_limit = 1e-4,
                                           .commitment = digest,
                                           .schema_digest = digest,
                                           .row_bucket = "10k-100k",
                                           .retention_class = class,
                                           .retain_until_ms = until_ms};
    return sg_ledger_register_dataset(ledger, &facts, key);
}

char *fixture_events(const char *folder, const struct sg_signer *signer)
{
    char *path = fixture_init(folder, signer);
    struct sg_ledger *ledger = NULL;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_heartbeat beat = {.step = 10, .interval_steps = 10};
    struct sg_run run, second;
    bool written;
    must(sg_ledger_open(path, signer, &ledger));
    must(fixture_register_until(ledger, "book", "7 years", 1));
    must(fixture_start(ledger, "book", &plan, &run));
    must(sg_ledger_heartbeat(ledger, &run, &beat, &written));
    beat.step = 20;
    must(sg_ledger_heartbeat(ledger, &run, &beat, &written));
    must(fixture_end(ledger, &run, SG_RUN_COMPLETE));
    must(sg_ledger_decide(ledger, &(struct sg_decision){.kind = "model.retire", .model = "1"}));
    must(fixture_sign_decision(ledger, "model.approve", 1, 0));
    must(fixture_sign_decision(ledger, "model.approve", 2, 0));
    must(fixture_sign_decision(ledger, "model.deploy", 3, 2));
    ledger->watch.seen.wall_ms -= 60000; /* as if the clock had been set ahead by a minute since */
    erase_run(ledger, &run);
    ledger->watch.has_dead_journal = true;
    must(fixture_start(ledger, "book", &plan, &second));
    sg_ledger_close(&ledger);
    lose_process(path, second.run_no);
    must(sg_ledger_open(path, signer, &ledger));
    beat.step = 3; /* as many as fixture_end says */
    must(sg_ledger_heartbeat(ledger, &second, &beat, &written));
    must(fixture_end(ledger, &second, SG_RUN_FAIL));
    must(fixture_start(ledger, "book", &plan, &second)); /* what is forged may be about it */
    must(sg_ledger_heartbeat(ledger, &second, &beat, &written));
    must(fixture_end(ledger, &second, SG_RUN_ABORT));
    sg_ledger_close(&ledger);
    return path;
}

/* ---- Forgeries. */
static json_t *facts_of(struct sg_ledger *ledger, const char *type, int64_t nth)
{
    json_t *rows = NULL, *statement = NULL;
    must(sg_query_view(ledger, "events", type, &rows));
    int64_t leaf = json_integer_value(json_object_get(json_array_get(rows, (size_t)nth), "leaf"));
    must(sg_query_leaf(ledger, leaf, &statement));
    json_t *facts = json_deep_copy(json_object_get(json_object_get(statement, "predicate"), "facts"));
    json_decref(statement);
    json_decref(rows);
    return facts;
}

static json_t *whole(int64_t value)
{
    return json_integer(value);
}

/* A run is begun first where the forged event needs one that is under way. */
static json_t *beat_of(const struct sg_run *run, int64_t beat, int64_t step, json_t *seconds, json_t *steps)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:{s:n, s:I}}", "run_id", run->run_id, "run_no",
                     (json_int_t)run->run_no, "start_leaf", (json_int_t)run->leaf, "beat", (json_int_t)beat, "step",
                     (json_int_t)step, "interval_s", seconds, "interval_steps", steps, "wall_ms", (json_int_t)1,
                     "clock", "boot_id", "boottime_ms", (json_int_t)1);
}

struct forgery {
    const char *type, *text;
};
static const struct forgery forgeries[] = {
    /* 0 */ {"run.heartbeat", "not under way"},
    /* 1 */ {"run.heartbeat", "does not follow the one before"},
    /* 2 */ {"run.heartbeat", "does not follow the one before"},
    /* 3 */ {"run.heartbeat", "cannot be the run's"},
    /* 4 */ {"run.heartbeat", "interval is not one"},
    /* 5 */ {"run.heartbeat", "interval is not one"},
    /* 6 */ {"run.complete", "fewer steps done"},
    /* 7 */ {"ledger.gap", "does not begin at the event before"},
    /* 8 */ {"ledger.gap", "in this order of time"},
    /* 9 */ {"ledger.gap", "kind is not known"},
    /* 10 */ {"ledger.gap", "not under way"},
    /* 11 */ {"ledger.gap", "does not begin when its run did"},
    /* 12 */ {"clock.anomaly", "its times do not show it"},
    /* 13 */ {"clock.anomaly", "its times do not show it"},
    /* 14 */ {"clock.anomaly", "its times do not show it"},
    /* 15 */ {"model.approve", "used again"},
    /* 16 */ {"model.approve", "not the key's signature"},
    /* 17 */ {"model.approve", "not the key's signature"},
    /* 18 */ {"model.deploy", "has 2"},
    /* 19 */ {"model.approve", "approves this model already"},
    /* 20 */ {"model.approve", "nonce, name and sshsig"},
    /* 21 */ {"model.approve", "not an SSH signature"},
    /* 22 */ {"run.erase", "destroyed before"},
    /* 23 */ {"run.erase", "no file of that run"},
    /* 24 */ {"model.applaud", "not known to this program"},
    /* 25 */ {"dataset.register", "retention_class must be text"},
    /* 26 */ {"dataset.register", "what no event of its type has: people"},
    /* 27 */ {"dataset.register", "either as public, without limits"},
    /* 28 */ {"dataset.register", "either as public, without limits"},
    /* 29 */ {"dataset.register", "either as public, without limits"},
    /* 30 */ {"dataset.register", "population_size is not above 0"},
    /* 31 */ {"dataset.register", "without the other"},
    /* 32 */ {"clock.anomaly", "what no event of its type has: gps"},
    /* 33 */ {"model.approve", "what no event of its type has: salary"},
    /* 34 */ {"run.complete", "its first leaf is not its run's"},
    /* 35 */ {"run.complete", "more steps than the plan"},
    /* 36 */ {"run.complete", "a run that completed has no reason"},
    /* 37 */ {"run.complete", "what no event of its type has: sha256"},
    /* 38 */ {"run.complete", "a member is missing"},
    /* 39 */ {"run.fail", "a run that completed has no reason"},
    /* 40 */ {"dataset.erase", "does not say that the dataset's key was destroyed"},
};

/* An end of the run at hand, with one thing wrong. */
static json_t *forged_end(struct sg_ledger *ledger, size_t which, const struct sg_run *run)
{
    json_t *f = facts_of(ledger, "run.complete", 0);
    json_object_set_new(f, "run_id", json_string(run->run_id));
    json_object_set_new(f, "run_no", whole(run->run_no));
    json_object_set_new(f, "start_leaf", whole(run->leaf - (which == 34)));
    json_object_set_new(f, "steps_done", whole(which == 35 ? 101 : 20));
    if (which == 36)
        json_object_set_new(f, "reason", json_string("overflow"));
    if (which == 37)
        json_object_set_new(f, "artifacts", json_pack("[{s:s, s:s, s:i}]", "name", "m", "sha256", "ab", "bytes", 1));
    if (which == 38)
        json_object_del(f, "clock");
    return f;
}

static bool is_about_run(size_t which)
{
    return which < 12 || (which >= 34 && which <= 39);
}

static json_t *forged_run_event(struct sg_ledger *ledger, size_t which, const struct sg_run *run)
{
    json_t *f = NULL;
    if (which >= 34)
        return forged_end(ledger, which, run);
    switch (which) {
    case 0:
        return facts_of(ledger, "run.heartbeat", 0);
    case 1:
        return beat_of(run, 3, 20, json_null(), whole(10));
    case 2:
        return beat_of(run, 2, 5, json_null(), whole(10));
    case 3:
        return beat_of(run, 2, 101, json_null(), whole(10));
    case 4:
        return beat_of(run, 2, 20, whole(600), json_null());
    case 5:
        return beat_of(run, 2, 20, whole(600), whole(10));
    case 6:
        f = facts_of(ledger, "run.complete", 0);
        json_object_set_new(f, "run_id", json_string(run->run_id));
        json_object_set_new(f, "run_no", whole(run->run_no));
        json_object_set_new(f, "start_leaf", whole(run->leaf));
        json_object_set_new(f, "steps_done", whole(9));
        return f;
    case 7:
        f = facts_of(ledger, "ledger.gap", 0);
        return f;
    case 8:
        f = facts_of(ledger, "ledger.gap", 0);
        json_object_set_new(f, "to_ms", whole(1));
        return f;
    case 9:
        f = facts_of(ledger, "ledger.gap", 0);
        json_object_set_new(f, "kind", json_string("holiday"));
        return f;
    case 10:
        return facts_of(ledger, "ledger.gap", 1);
    default:
        f = facts_of(ledger, "ledger.gap", 1);
        json_object_set_new(f, "run_id", json_string(run->run_id));
        json_object_set_new(f, "run_no", whole(run->run_no));
        return f;
    }
}

/* A decision in which one thing was changed after it was signed. */
static json_t *forged_decision(struct sg_ledger *ledger, size_t which)
{
    json_t *f = facts_of(ledger, which == 18 ? "model.deploy" : "model.approve", 0),
           *human = json_object_get(f, "human");
    struct sg_buffer document = {0}, armoured = {0}, blob = {0}, base64 = {0};
    struct sg_decision decision = {.kind = "model.approve", .model = "1", .role = "validation", .reason = "report 7"};
    switch (which) {
    case 16:
        json_object_set_new(human, "nonce", json_string("00000000000000000000000000000000"));
        break;
    case 17:
        json_object_set_new(f, "reason", json_string("another reason"));
        break;
    case 18:
        json_object_del(f, "human");
        json_object_set_new(f, "needs", whole(3));
        break;
    case 19: /* a second document, well signed by the first person */
        must(sg_ledger_draft(ledger, &decision, &document));
        fixture_ssh_sign(1, document.data, document.len, &armoured);
        must(sg_sshsig_dearmor(armoured.data, armoured.len, &blob));
        sg_base64_append(&base64, blob.data, blob.len);
        json_object_set_new(human, "sshsig", json_string(base64.data));
        json_object_set_new(human, "nonce", json_stringn(strstr(document.data, "nonce: ") + 7, 32));
        break;
    case 20:
        json_object_del(human, "name");
        break;
    case 21:
        json_object_set_new(human, "sshsig", json_string("AAAA"));
        break;
    default:
        break;
    }
    sg_buffer_free(&document);
    sg_buffer_free(&armoured);
    sg_buffer_free(&blob);
    sg_buffer_free(&base64);
    return f;
}

/* A registration under another name: with a member too many, of people whose limit limits nobody, of nobody. */
static json_t *forged_registration(struct sg_ledger *ledger, size_t which)
{
    static const char *const limits[] = {"epsilon_limit", "delta_limit", "filter_order"};
    json_t *f = facts_of(ledger, "dataset.register", 0);
    json_object_set_new(f, "name", json_string("another"));
    if (which >= 27 && which <= 29)
        json_object_set_new(f, "population", json_string("others"));
    if (which == 25)
        json_object_set_new(f, "retention_class", whole(7));
    if (which == 26)
        json_object_set_new(f, "people", json_pack("[s, s]", "Ann", "Bob"));
    if (which == 27)
        json_object_set_new(f, "public", json_true());
    for (int i = 0; which == 28 && i < 3; i++)
        json_object_set_new(f, limits[i], json_null());
    if (which == 29)
        json_object_set_new(f, "epsilon_limit", json_real(1e6));
    if (which == 30)
        json_object_set_new(f, "population_size", whole(0));
    if (which == 31) {
        json_object_del(f, "retain_until_ms");
        json_object_set_new(f, "retention_class", json_string("rule"));
    }
    return f;
}

static json_t *forged_other(struct sg_ledger *ledger, size_t which)
{
    if (which >= 15 && which <= 21)
        return forged_decision(ledger, which);
    if (which >= 25 && which <= 31)
        return forged_registration(ledger, which);
    if (which == 40)
        return json_pack("{s:s, s:s, s:s}", "dataset", "book", "basis", "period over", "destroyed", "nothing");
    json_t *f = facts_of(ledger,
                         which == 33                 ? "model.deploy"
                         : which < 15 || which == 32 ? "clock.anomaly"
                                                     : "run.erase",
                         0);
    if (which == 33) {
        json_object_del(f, "human");
        json_object_del(f, "needs");
        json_object_set_new(f, "salary", whole(1));
    }
    if (which == 32)
        json_object_set_new(json_object_get(f, "clock"), "gps", json_string("52.5 13.4"));
    if (which == 12)
        json_object_set_new(f, "offset_ms", whole(1));
    if (which == 13)
        json_object_set_new(f, "kind", json_string("behind"));
    if (which == 14)
        json_object_set_new(f, "kind", json_string("boot"));
    if (which == 23) {
        char digest[65];
        memset(digest, 'b', 64), digest[64] = 0;
        json_object_set_new(f, "destroyed", json_pack("[s]", digest));
        json_object_set_new(f, "run_no", whole(1));
    }
    return f;
}

const char *fixture_forge(const char *path, const struct sg_signer *signer, size_t which)
{
    struct sg_ledger *ledger = NULL;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_heartbeat beat = {.step = 10, .interval_steps = 10};
    struct sg_run run = {0};
    bool written;
    if (which >= sizeof forgeries / sizeof *forgeries)
        return NULL;
    must(sg_ledger_open(path, signer, &ledger));
    if (is_about_run(which)) {
        must(fixture_start(ledger, "book", &plan, &run));
        must(sg_ledger_heartbeat(ledger, &run, &beat, &written));
    }
    json_t *facts = is_about_run(which) ? forged_run_event(ledger, which, &run) : forged_other(ledger, which);
    (void)fixture_append(ledger, forgeries[which].type, facts);
    sg_ledger_close(&ledger);
    return forgeries[which].text;
}
