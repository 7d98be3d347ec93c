/* Would catch: a witness over HTTP that answers otherwise than c2sp.org/tlog-witness says (400, 403, 404, 409 with the
 * size, 422, 200 with cosignatures), cosigns an older copy or a fork, listens where other machines reach it without
 * being told to; a client that stores what does not verify, or takes a fork for a mishap. Server and client are ours;
 * requests that ours would never make go through curl by hand. */
#include <curl/curl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/verify.h"
#include "audit/witness_http.h"
#include "base/file.h"
#include "fixture.h"

struct stage {
    char *folder, *state, *path, *url;
    struct sg_signer *signer, *witness;
    struct sg_trust policy;
    struct sg_witness_service service;
    struct sg_witness_server *server;
};

static enum sg_status must(enum sg_status status)
{
    if (status != SG_OK)
        fail_msg("%s", sg_error_text());
    return status;
}

static void start(struct stage *s)
{
    must(sg_witness_server_start(&s->service, "127.0.0.1:0", false, &s->server));
    free(s->url);
    s->url = sg_format("http://127.0.0.1:%d", sg_witness_server_port(s->server));
}

static int setup(void **state)
{
    struct stage *s = sg_alloc(1, sizeof *s);
    uint8_t seed[SG_KEY_BYTES] = {7};
    struct sg_buffer text = {0};
    struct sg_vkey log, key;
    s->folder = fixture_folder();
    s->state = sg_format("%s/state", s->folder);
    s->signer = fixture_signer(1);
    must(sg_signer_from_seed("compliance", seed, &s->witness));
    must(sg_vkey_rename(sg_signer_vkey(s->signer), "bank.example/credit", &log));
    must(sg_vkey_cosigner(sg_signer_vkey(s->witness), &key));
    sg_buffer_text(&text, "log ");
    sg_vkey_print(&log, &text);
    sg_buffer_text(&text, "\nwitness officer ");
    sg_vkey_print(&key, &text);
    sg_buffer_text(&text, "\nquorum officer\n");
    must(sg_trust_parse("policy", text.data, text.len, &s->policy));
    sg_buffer_free(&text);
    s->service = (struct sg_witness_service){.folder = s->state, .witness = s->witness, .log = &s->policy};
    s->path = fixture_init(s->folder, s->signer);
    start(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;
    sg_witness_server_stop(&s->server);
    sg_signer_close(&s->witness);
    sg_signer_close(&s->signer);
    fixture_remove(s->state);
    fixture_remove(s->folder);
    free(s->path), free(s->url), free(s);
    return 0;
}

static void grow(struct stage *s, const char *dataset)
{
    struct sg_ledger *ledger = NULL;
    must(sg_ledger_open(s->path, s->signer, &ledger));
    must(fixture_register(ledger, dataset, "customers", 20, 1e-4));
    sg_ledger_close(&ledger);
}

static enum sg_status submit(struct stage *s, const struct sg_trust *trust, int64_t *size)
{
    struct sg_ledger *ledger = NULL;
    must(sg_ledger_open(s->path, NULL, &ledger));
    enum sg_status status = sg_witness_submit(ledger, s->url, trust, size);
    sg_ledger_close(&ledger);
    return status;
}

static enum sg_status verdict(struct stage *s)
{
    struct sg_verify_options how = {.trust = &s->policy};
    struct sg_verdict *v = sg_alloc(1, sizeof *v);
    must(sg_verify_file(s->path, &how, v));
    enum sg_status status = v->status;
    free(v);
    return status;
}

static void request_from(struct stage *s, int64_t old_size, struct sg_buffer *out)
{
    struct sg_ledger *ledger = NULL;
    must(sg_ledger_open_read(s->path, &ledger));
    must(sg_evidence_witness_request(ledger, old_size, out));
    sg_ledger_close(&ledger);
}

static size_t take(char *bytes, size_t one, size_t n, void *context)
{
    sg_buffer_append(context, bytes, one * n);
    return one * n;
}

/* POST (or GET when `body` is NULL), returns the status; body and content type of the answer in `out` and `type`. */
static long call(struct stage *s, const char *where, const char *body, size_t n, struct sg_buffer *out, char type[64])
{
    char *url = sg_format("%s%s", s->url, where);
    CURL *curl = curl_easy_init();
    long code = 0;
    const char *header = NULL;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)n);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    assert_int_equal(curl_easy_perform(curl), CURLE_OK);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &header);
    snprintf(type, 64, "%s", header ? header : "");
    curl_easy_cleanup(curl);
    free(url);
    return code;
}

static void expect(struct stage *s, const char *body, long code, const char *answer)
{
    struct sg_buffer out = {0};
    char type[64];
    long got = call(s, "/add-checkpoint", body, strlen(body), &out, type);
    if (got != code)
        fail_msg("%ld, not %ld: %s", got, code, out.data ? out.data : "");
    if (answer)
        assert_string_equal(out.data, answer);
    if (code == 409)
        assert_string_equal(type, "text/x.tlog.size");
    sg_buffer_free(&out);
}

static void test_growth(void **state)
{
    struct stage *s = *state;
    int64_t size = 0;
    assert_int_equal(verdict(s), SG_INCOMPLETE);
    must(submit(s, &s->policy, &size));
    assert_int_equal(size, 1);
    assert_int_equal(verdict(s), SG_OK);
    must(submit(s, &s->policy, &size)); /* the same once more */
    grow(s, "a");
    grow(s, "b");
    assert_int_equal(verdict(s), SG_INCOMPLETE);
    must(submit(s, &s->policy, &size));
    assert_int_equal(size, 3);
    assert_int_equal(verdict(s), SG_OK);
    sg_witness_server_stop(&s->server); /* its memory outlives it */
    grow(s, "c");
    assert_int_equal(submit(s, &s->policy, &size), SG_FAILED); /* nobody answers */
    start(s);
    must(submit(s, &s->policy, &size));
    assert_int_equal(verdict(s), SG_OK);
    struct sg_trust other = s->policy; /* a cosignature by somebody else is not stored */
    other.witnesses[0].public_key[3] ^= 1;
    grow(s, "d");
    assert_int_equal(submit(s, &other, &size), SG_BROKEN);
    assert_int_equal(verdict(s), SG_INCOMPLETE);
    other.n_witnesses = 0;
    assert_int_equal(submit(s, &other, &size), SG_USAGE);
    must(submit(s, &s->policy, &size)); /* from the size that the witness says */
    assert_int_equal(verdict(s), SG_OK);
    struct sg_ledger *early = NULL; /* opened before others append and ask */
    must(sg_ledger_open(s->path, NULL, &early));
    grow(s, "e");
    must(submit(s, &s->policy, &size));
    assert_int_equal(sg_witness_submit(early, s->url, &s->policy, &size), SG_OK);
    assert_int_equal(size, 6);
    sg_ledger_close(&early);
}

static void test_protocol(void **state)
{
    struct stage *s = *state;
    struct sg_buffer first = {0}, later = {0}, from_three = {0}, out = {0};
    char type[64];
    grow(s, "a"), grow(s, "b");
    request_from(s, 0, &first); /* of 3 events */
    grow(s, "c"), grow(s, "d");
    request_from(s, 3, &from_three);
    request_from(s, 2, &later);
    static const char *const malformed[] = {"x",
                                            "old 0\n",
                                            "old 0\n\n",
                                            "old -1\n\nx\n",
                                            "old 01\n\nx\n",
                                            "old 0\nAAAA\n\nx\n",
                                            "new 0\n\nx\n",
                                            "old 0\n\nb\n1\n"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        expect(s, malformed[i], 400, NULL);
    expect(s, from_three.data, 409, "0\n");
    expect(s, first.data, 200, NULL);
    expect(s, first.data, 409, "3\n"); /* from zero again */
    expect(s, later.data, 409, "3\n");
    char *bent = sg_strdup(from_three.data);
    bent[8] = bent[8] == 'A' ? 'B' : 'A'; /* a hash of the proof */
    expect(s, bent, 422, NULL);
    free(bent);
    bent = sg_strdup(from_three.data);
    char *sig = strstr(bent, "\xe2\x80\x94 ");
    sig[40] = sig[40] == 'A' ? 'B' : 'A';
    expect(s, bent, 403, NULL);
    free(bent);
    bent = sg_format("old 9%s", from_three.data + 5);
    expect(s, bent, 400, NULL); /* from more than the checkpoint has */
    free(bent);
    expect(s, from_three.data, 200, NULL);
    expect(s, from_three.data, 409, "5\n");
    struct sg_trust policy = s->policy; /* another origin is nobody it knows */
    must(sg_vkey_rename(&s->policy.logs[0], "bank.example/other", &policy.logs[0]));
    s->service.log = &policy;
    expect(s, from_three.data, 404, NULL);
    s->service.log = &s->policy;
    assert_int_equal(call(s, "/other", "x", 1, &out, type), 404);
    assert_int_equal(call(s, "/add-checkpoint", NULL, 0, &out, type), 405);
    char *big = sg_alloc(1, 1 << 20);
    memset(big, 'x', 1 << 20);
    assert_int_equal(call(s, "/add-checkpoint", big, 1 << 20, &out, type), 413);
    free(big);
    sg_buffer_free(&first), sg_buffer_free(&later), sg_buffer_free(&from_three), sg_buffer_free(&out);
}

static void copy(const char *from, const char *to)
{
    struct sg_buffer bytes = {0};
    must(sg_file_read(from, "ledger", 1 << 24, &bytes));
    must(sg_file_write(to, bytes.data, bytes.len, 0644));
    sg_buffer_free(&bytes);
}

/* The witness keeps the request that contradicts its memory: another root at the same size, signed by the same key. */
static void expect_refused_kept(struct stage *s)
{
    struct sg_buffer request = {0}, kept = {0};
    uint8_t digest[SG_DIGEST_BYTES];
    char hex[2 * SG_DIGEST_BYTES + 1];
    sg_sha256("bank.example/credit", 19, digest);
    sg_hex_encode(digest, sizeof digest, hex);
    char *path = sg_format("%s/%s.refused", s->state, hex);
    must(sg_file_read(path, "refused request", 1 << 16, &kept));
    request_from(s, 3, &request);
    assert_string_equal(kept.data, request.data);
    sg_buffer_free(&request), sg_buffer_free(&kept);
    free(path);
}

static void test_older_copy_and_fork(void **state)
{
    struct stage *s = *state;
    int64_t size = 0;
    char *old = sg_format("%s/old.db", s->folder), *side = sg_format("%s.side.db", s->path);
    grow(s, "a");
    copy(s->path, old);
    grow(s, "b");
    must(submit(s, &s->policy, &size));
    copy(old, s->path);
    unlink(side); /* the writer's own memory */
    assert_int_equal(submit(s, &s->policy, &size), SG_BROKEN);
    assert_non_null(strstr(sg_error_text(), "older copy"));
    grow(s, "x"); /* as long as the true one */
    assert_int_equal(submit(s, &s->policy, &size), SG_BROKEN);
    assert_non_null(strstr(sg_error_text(), "fork"));
    expect_refused_kept(s);
    grow(s, "y"); /* longer */
    assert_int_equal(submit(s, &s->policy, &size), SG_BROKEN);
    assert_int_equal(verdict(s), SG_INCOMPLETE);
    free(old), free(side);
}

struct racer {
    pthread_t thread;
    struct stage *stage;
    const char *body;
    long code;
};

static void *race(void *context)
{
    struct racer *r = context;
    struct sg_buffer out = {0};
    char type[64];
    r->code = call(r->stage, "/add-checkpoint", r->body, strlen(r->body), &out, type);
    sg_buffer_free(&out);
    return NULL;
}

/* Two checkpoints that both continue the remembered one, at once: exactly one is cosigned. */
static void test_race(void **state)
{
    struct stage *s = *state;
    struct sg_buffer first = {0}, ahead = {0}, fork = {0};
    char *old = sg_format("%s/old.db", s->folder), *side = sg_format("%s.side.db", s->path);
    request_from(s, 0, &first);
    expect(s, first.data, 200, NULL);
    copy(s->path, old);
    grow(s, "a");
    request_from(s, 1, &ahead);
    copy(old, s->path);
    unlink(side);
    grow(s, "b");
    request_from(s, 1, &fork);
    struct racer racers[8];
    int n_good = 0;
    for (int i = 0; i < 8; i++) {
        racers[i] = (struct racer){.stage = s, .body = i % 2 ? ahead.data : fork.data};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(racers[i].thread, NULL);
        n_good += racers[i].code == 200;
        assert_true(racers[i].code == 200 || racers[i].code == 409);
    }
    assert_int_equal(n_good, 1);
    sg_buffer_free(&first), sg_buffer_free(&ahead), sg_buffer_free(&fork);
    free(old), free(side);
}

static void test_addresses(void **state)
{
    struct stage *s = *state;
    struct sg_witness_server *server = NULL;
    static const char *const bad[] = {"",          "8053",          ":8053",  "127.0.0.1",       "localhost:8053",
                                      "0.0.0.0:0", "192.168.0.1:0", "[::]:0", "127.0.0.1:65536", "127.0.0.1:x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sg_witness_server_start(&s->service, bad[i], false, &server), SG_USAGE);
    must(sg_witness_server_start(&s->service, "0.0.0.0:0", true, &server));
    sg_witness_server_stop(&server);
    struct sg_signer *ec = fixture_signer_p256(1);
    struct sg_witness_service service = s->service;
    service.witness = ec; /* a witness signs with Ed25519 */
    assert_int_equal(sg_witness_server_start(&service, "127.0.0.1:0", false, &server), SG_USAGE);
    sg_signer_close(&ec);
    char *taken = sg_format("127.0.0.1:%d", sg_witness_server_port(s->server));
    assert_int_equal(sg_witness_server_start(&s->service, taken, false, &server), SG_FAILED);
    free(taken);
}

int main(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT); /* before any thread */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_growth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_protocol, setup, teardown),
        cmocka_unit_test_setup_teardown(test_older_copy_and_fork, setup, teardown),
        cmocka_unit_test_setup_teardown(test_race, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
