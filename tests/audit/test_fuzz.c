/* Would catch: a crash, a hang or a read out of bounds of the parsers that see a stranger's bytes: envelopes,
 * statements, notes, checkpoints, policies, witness requests, proofs. Mutations of good inputs by a seeded generator;
 * run it under the sanitizers, where it means most. Longer: SEALGRAD_FUZZ_ROUNDS=N, SEALGRAD_FUZZ_SEED=N. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/evidence.h"
#include "audit/leaf.h"
#include "base/file.h"
#include "fixture.h"

static uint64_t random_state;
static uint64_t next_random(void)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t below(size_t n)
{
    return n ? next_random() % n : 0;
}

/* One to four edits: flip, set, cut, repeat, insert a token that grammars care about. */
static void mutate(struct sg_buffer *text)
{
    static const char *const tokens[] = {"\n",
                                         "\n\n",
                                         "\"",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         "\\u0000",
                                         "\xe2\x80\x94 ",
                                         "+",
                                         " ",
                                         "-1",
                                         "99999999999999999999",
                                         "1e999",
                                         "old ",
                                         "=",
                                         "==",
                                         "null",
                                         "\xff",
                                         "AAAA",
                                         "c2sp.org/tlog-proof@v1\n",
                                         "0"};
    for (size_t n = 1 + below(4); n-- > 0;) {
        size_t at = below(text->len + 1), len = below(40), kind = below(6);
        struct sg_buffer out = {0};
        if (kind < 2 && at < text->len) {
            text->data[at] = kind ? (char)next_random() : (char)(text->data[at] ^ 1 << below(8));
            continue;
        }
        len = at + len > text->len ? text->len - at : len;
        sg_buffer_append(&out, text->data ? text->data : "", at);
        if (kind == 2) /* repeat */
            sg_buffer_append(&out, text->data + at, len), len = 0;
        else if (kind == 3)
            sg_buffer_text(&out, tokens[below(sizeof tokens / sizeof *tokens)]), len = 0;
        else if (kind == 4)
            sg_buffer_text(&out, tokens[below(sizeof tokens / sizeof *tokens)]);
        if (text->len)
            sg_buffer_append(&out, text->data + at + len, text->len - at - len);
        sg_buffer_free(text);
        *text = out;
    }
}

enum { N_TARGETS = 6 };
static struct sg_buffer corpus[N_TARGETS];
static struct sg_trust policy;
static struct sg_signer *signer;
static char *folder, *state_folder;
static struct sg_vkey key;

static void one_envelope(const char *p, size_t n)
{
    struct sg_envelope envelope;
    struct sg_buffer payload = {0};
    if (sg_envelope_parse(p, n, &envelope) == SG_OK) {
        (void)sg_envelope_verify(&envelope, key.public_key);
        sg_envelope_free(&envelope);
    }
    (void)!sg_leaf_payload(p, n, &payload);
    sg_buffer_free(&payload);
}

static void one_statement(const char *p, size_t n)
{
    struct sg_event event;
    if (sg_event_parse(p, n, &event) == SG_OK)
        json_decref(event.statement);
}

static void one_note(const char *p, size_t n)
{
    struct sg_note_check check;
    struct sg_checkpoint checkpoint;
    if (sg_note_verify(p, n, &key, 1, &check) == SG_OK)
        (void)!sg_checkpoint_parse(p, check.text_len, &checkpoint);
    (void)!sg_checkpoint_parse(p, n, &checkpoint);
}

static void one_policy(const char *p, size_t n)
{
    struct sg_trust trust;
    if (sg_trust_parse("policy", p, n, &trust) == SG_OK)
        (void)sg_trust_quorum(&trust, next_random());
}

static void one_request(const char *p, size_t n)
{
    struct sg_buffer line = {0};
    int64_t old_size;
    (void)!sg_witness_cosign(state_folder, signer, &policy, p, n, 1, &old_size, &line);
    sg_buffer_free(&line);
}

static void one_proof(const char *p, size_t n)
{
    struct sg_proof_facts facts;
    if (sg_evidence_check_proof(p, n, &policy, &facts) == SG_OK)
        sg_buffer_free(&facts.payload);
}

static void (*const targets[N_TARGETS])(const char *, size_t) = {one_envelope, one_statement, one_note,
                                                                 one_policy,   one_request,   one_proof};

static int group_setup(void **state)
{
    (void)state;
    struct sg_ledger *ledger = NULL;
    struct sg_envelope envelope;
    struct sg_proof_facts facts;
    folder = fixture_folder();
    state_folder = sg_format("%s/state", folder);
    signer = fixture_signer(1);
    char *path = fixture_twenty(folder, signer);
    fixture_witness(folder, path, signer, &policy);
    key = policy.logs[0];
    assert_int_equal(sg_ledger_open_read(path, &ledger), SG_OK);
    assert_int_equal(sg_evidence_proof(ledger, 5, &corpus[5]), SG_OK);
    assert_int_equal(sg_evidence_witness_request(ledger, 0, &corpus[4]), SG_OK);
    assert_int_equal(sg_evidence_checkpoint(ledger, 0, &corpus[2]), SG_OK);
    assert_int_equal(sg_evidence_check_proof(corpus[5].data, corpus[5].len, &policy, &facts), SG_OK);
    sg_buffer_append(&corpus[1], facts.payload.data, facts.payload.len);
    sg_leaf_sign(signer, facts.payload.data, facts.payload.len, &corpus[0]);
    assert_int_equal(sg_envelope_parse(corpus[0].data, corpus[0].len, &envelope), SG_OK);
    sg_envelope_free(&envelope);
    sg_buffer_free(&facts.payload);
    struct sg_buffer vkey = {0};
    sg_vkey_print(&key, &vkey);
    sg_buffer_printf(&corpus[3],
                     "# who\nlog %s\nwitness a %s\nwitness b %s\ngroup g any a b\ngroup h 2 g a\nquorum h\n", vkey.data,
                     vkey.data, vkey.data);
    sg_buffer_free(&vkey);
    sg_ledger_close(&ledger);
    free(path);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    for (int i = 0; i < N_TARGETS; i++)
        sg_buffer_free(&corpus[i]);
    sg_signer_close(&signer);
    char *command = sg_format("rm -rf '%s'", state_folder);
    assert_int_equal(system(command), 0);
    free(command);
    free(state_folder);
    fixture_remove(folder);
    return 0;
}

static void test_mutations(void **state)
{
    (void)state;
    const char *rounds_text = getenv("SEALGRAD_FUZZ_ROUNDS"), *seed_text = getenv("SEALGRAD_FUZZ_SEED");
    long rounds = rounds_text ? atol(rounds_text) : 20000;
    random_state = seed_text ? strtoull(seed_text, NULL, 10) : 1;
    print_message("seed %llu, %ld rounds of %d targets\n", (unsigned long long)random_state, rounds, N_TARGETS);
    for (int target = 0; target < N_TARGETS; target++) {
        struct sg_buffer text = {0};
        for (long i = 0; i < rounds; i++) {
            if (i % 8 == 0) { /* back to the good one; in between mutations pile up */
                text.len = 0;
                sg_buffer_append(&text, corpus[target].data, corpus[target].len);
            }
            mutate(&text);
            uint8_t *exact =
                malloc(text.len ? text.len : 1); /* no spare byte behind it, so that a sanitizer sees every overrun */
            assert_non_null(exact);
            if (text.len)
                memcpy(exact, text.data, text.len);
            targets[target]((char *)exact, text.len);
            free(exact);
        }
        sg_buffer_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutations)};
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
