/* Would catch: a fast reader of leaves that accepts bytes which the strict parser refuses, or reads another payload,
 * label or signature from them. A blank before the brace sends the same bytes through the parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/leaf.h"
#include "envelope.h"
#include "fixture.h"

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Both ways over the same bytes. The fast one may decline what the other takes, never the reverse. */
static bool agree(const char *bytes, size_t n, bool *is_fast)
{
    struct sg_envelope fast = {0}, strict = {0};
    char *longer = sg_alloc(n + 1, 1), *exact = sg_alloc(n ? n : 1, 1); /* exact: a read past the end is seen */
    longer[0] = ' ';
    memcpy(longer + 1, bytes, n);
    memcpy(exact, bytes, n);
    *is_fast = sg_envelope_read(exact, n, &fast);
    bool is_good = sg_envelope_parse(longer, n + 1, &strict) == SG_OK;
    bool same = !*is_fast ||
                (is_good && fast.payload.len == strict.payload.len && strcmp(fast.key_label, strict.key_label) == 0 &&
                 (fast.payload.len == 0 || memcmp(fast.payload.data, strict.payload.data, fast.payload.len) == 0) &&
                 fast.signature_len == strict.signature_len &&
                 memcmp(fast.signature, strict.signature, fast.signature_len) == 0);
    sg_envelope_free(&fast);
    sg_envelope_free(&strict);
    free(longer);
    free(exact);
    return same;
}

static void make_leaf(const struct sg_signer *signer, size_t n, struct sg_buffer *out)
{
    uint8_t payload[256];
    for (size_t i = 0; i < n; i++)
        payload[i] = (uint8_t)next_random();
    out->len = 0;
    assert_int_equal(sg_leaf_sign(signer, payload, n, out), SG_OK);
}

static void test_every_length(void **state)
{
    struct sg_signer *signers[] = {fixture_signer(1), fixture_signer_p256(1)};
    struct sg_buffer leaf = {0};
    bool is_fast;
    (void)state;
    for (size_t s = 0; s < 2; s++)
        for (size_t n = 0; n < 200; n++) {
            make_leaf(signers[s], n, &leaf);
            assert_true(agree(leaf.data, leaf.len, &is_fast));
            assert_true(is_fast); /* or it would be slow and nobody would notice */
        }
    sg_buffer_free(&leaf);
    sg_signer_close(&signers[0]);
    sg_signer_close(&signers[1]);
}

static void test_changed_bytes(void **state)
{
    static const char of_interest[] = "=\"\\/+Az09{}[],: \n";
    struct sg_signer *signer = fixture_signer(1);
    struct sg_buffer leaf = {0};
    size_t n_fast = 0;
    bool is_fast;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        make_leaf(signer, next_random() % 12, &leaf);
        for (uint64_t k = next_random() % 3 + 1; k > 0; k--)
            leaf.data[next_random() % leaf.len] =
                next_random() % 3 ? of_interest[next_random() % (sizeof of_interest - 1)] : (char)next_random();
        if (next_random() % 8 == 0)
            leaf.len -= next_random() % leaf.len;
        if (!agree(leaf.data, leaf.len, &is_fast))
            fail_msg("seed 1, round %d: %.*s", round, (int)leaf.len, leaf.data);
        n_fast += is_fast;
    }
    print_message("seed 1: %zu of 20000 changed leaves still read\n", n_fast);
    assert_true(n_fast > 100 && n_fast < 15000); /* both outcomes were tried */
    sg_buffer_free(&leaf);
    sg_signer_close(&signer);
}

static void test_loose_bits(void **state)
{
    static const char *const payloads[] = {
        "QQ==", "QR==", "QUI=", "QUJ=", "QQ=A", "Q===", "====", "QUJD", "", "QUJDQQ", "QU-D"};
    (void)state;
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        struct sg_envelope envelope = {0};
        bool is_fast, is_good = i == 0 || i == 2 || i == 7 || i == 8;
        char *text = sg_format("{\"payloadType\":\"application/vnd.in-toto+json\",\"payload\":\"%s\",\"signatures\":[{"
                               "\"keyid\":\"00112233445566778899aabbccddeeff\",\"sig\":\"QUJD\"}]}",
                               payloads[i]);
        assert_true(agree(text, strlen(text), &is_fast));
        assert_int_equal(is_fast, is_good);
        assert_int_equal(sg_envelope_parse(text, strlen(text), &envelope) == SG_OK, is_good);
        sg_envelope_free(&envelope);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_changed_bytes),
        cmocka_unit_test(test_loose_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
