/* Would catch: ECDSA P-256 keys and signatures of another form than the standards have (note type 0x02, DSSE), a second
 * encoding of a signature or an impossible key that is accepted, a key file that loses the algorithm, a ledger under
 * such a key that does not verify. Sources: the example of the DSSE specification; the public key of Sigstore's Rekor
 * log, whose published log id begins with the key id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <cmocka.h>

#include "audit/evidence.h"
#include "audit/leaf.h"
#include "audit/verify.h"
#include "base/file.h"
#include "fixture.h"
#include "p256.h"
#include "signer.h"

static void hex(const char *text, void *out, size_t n)
{
    assert_true(sg_hex_decode(text, strlen(text), out, n));
}

static const char order_hex[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

static void dsse_key(struct sg_vkey *out)
{
    uint8_t point[SG_P256_POINT_BYTES] = {4}, spki[SG_P256_KEY_BYTES];
    hex("67cd390f77aa359cb08c2235f652270493a9ed832b0abcc01f70954c0390d238", point + 1, 32);
    hex("0c782bd54e269125a44f4433aff1432ce94e12bca73aa67ac80cea12608ddf74", point + 33, 32);
    sg_p256_public_from_point(point, spki);
    assert_true(sg_p256_public_valid(spki));
    assert_int_equal(sg_vkey_make("dsse", SG_KEY_P256, spki, out), SG_OK);
}

static void test_dsse_example(void **state)
{
    (void)state;
    static const char text[] =
        "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==";
    struct sg_vkey key;
    struct sg_buffer pae = {0};
    uint8_t *raw, signature[SG_SIGNATURE_MAX], scalar[SG_KEY_BYTES], spki[SG_PUBLIC_KEY_MAX];
    size_t n, len;
    dsse_key(&key);
    sg_dsse_pae("http://example.com/HelloWorld", "hello world", 11, &pae);
    assert_true(sg_base64_decode(text, strlen(text), &raw, &n));
    assert_int_equal(n, SG_P256_RAW_BYTES);
    assert_true(sg_p256_signature_from_raw(raw, signature, &len));
    assert_true(sg_key_verify(&key, pae.data, pae.len, signature, len));
    assert_false(sg_key_verify(&key, pae.data, pae.len - 1, signature, len));
    signature[20] ^= 1;
    assert_false(sg_key_verify(&key, pae.data, pae.len, signature, len));
    struct sg_p256 *pair = NULL; /* the example's private key makes that public key */
    hex("d73ec437fd6346e3619c5ebfdfff0f6916804955ad32ac9ac492b0ede1f6ffb7", scalar, sizeof scalar);
    assert_int_equal(sg_p256_open(scalar, &pair, spki), SG_OK);
    assert_memory_equal(spki, key.public_key, SG_P256_KEY_BYTES);
    sg_p256_close(&pair);
    free(raw);
    sg_buffer_free(&pae);
}

static void test_vkey(void **state)
{
    (void)state;
    static const char rekor[] =
        "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+"
        "smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=";
    struct sg_vkey key, other;
    struct sg_buffer text = {0};
    assert_int_equal(sg_vkey_parse(rekor, strlen(rekor), SG_BROKEN, &key), SG_OK);
    assert_int_equal(key.type, SG_KEY_P256);
    sg_vkey_print(&key, &text);
    assert_string_equal(text.data, rekor);
    assert_int_equal(sg_vkey_rename(&key, "other", &other), SG_OK);
    assert_true(sg_vkey_same(&key, &other));
    assert_int_equal(sg_vkey_cosigner(&key, &other), SG_USAGE);
    for (size_t i = 0; i < SG_P256_KEY_BYTES;
         i += 7) { /* another curve, a compressed point, a point beside the curve */
        struct sg_vkey bad = key;
        struct sg_buffer printed = {0};
        bad.public_key[i] ^= 1;
        assert_false(sg_p256_public_valid(bad.public_key));
        assert_int_equal(sg_vkey_make("bad", SG_KEY_P256, bad.public_key, &bad), SG_OK);
        sg_vkey_print(&bad, &printed);
        assert_int_equal(sg_vkey_parse(printed.data, printed.len, SG_BROKEN, &other), SG_BROKEN);
        sg_buffer_free(&printed);
    }
    sg_buffer_free(&text);
}

static void test_encodings(void **state)
{
    (void)state;
    struct sg_signer *signer = fixture_signer_p256(3);
    const struct sg_vkey *key = sg_signer_vkey(signer);
    uint8_t raw[SG_P256_RAW_BYTES], signature[SG_SIGNATURE_MAX + 8];
    size_t len;
    for (int i = 0; i < 40; i++) { /* lengths differ from one to the next */
        assert_int_equal(sg_signer_sign(signer, "x", 1, signature, &len), SG_OK);
        assert_true(len <= SG_SIGNATURE_MAX && sg_key_verify(key, "x", 1, signature, len));
        signature[len] = 0; /* a byte behind it */
        assert_false(sg_key_verify(key, "x", 1, signature, len + 1));
        assert_false(sg_key_verify(key, "x", 1, signature, len - 1));
        memmove(signature + 5, signature + 4, len - 4); /* a zero before r: the same number, longer */
        signature[1]++, signature[3]++, signature[4] = 0;
        assert_false(sg_key_verify(key, "x", 1, signature, len + 1));
    }
    assert_false(sg_key_verify(key, "x", 1, signature, 0));
    sg_signer_close(&signer);
    memset(raw, 1, sizeof raw);
    assert_true(sg_p256_signature_from_raw(raw, signature, &len));
    hex(order_hex, raw + 32, 32);
    assert_false(sg_p256_signature_from_raw(raw, signature, &len)); /* s = order */
    raw[63]--;
    assert_true(sg_p256_signature_from_raw(raw, signature, &len)); /* s = order - 1 */
    memset(raw, 0, 32);
    assert_false(sg_p256_signature_from_raw(raw, signature, &len)); /* r = 0 */
    raw[31] = 0x80;
    assert_true(sg_p256_signature_from_raw(raw, signature, &len));
    static const uint8_t shortest[] = {0x30, 0x27, 0x02, 0x02, 0x00, 0x80, 0x02, 0x21, 0x00};
    assert_memory_equal(signature, shortest, sizeof shortest);
}

static void test_bad_scalars(void **state)
{
    (void)state;
    uint8_t scalar[SG_KEY_BYTES] = {0}, spki[SG_PUBLIC_KEY_MAX];
    struct sg_p256 *pair = NULL;
    struct sg_signer *signer = NULL;
    assert_false(sg_p256_scalar_valid(scalar));
    assert_int_equal(sg_p256_open(scalar, &pair, spki), SG_USAGE);
    scalar[31] = 1;
    assert_true(sg_p256_scalar_valid(scalar));
    hex(order_hex, scalar, sizeof scalar);
    assert_false(sg_p256_scalar_valid(scalar));
    assert_int_equal(sg_signer_from_secret("t", SG_KEY_P256, scalar, &signer), SG_USAGE);
    assert_null(signer);
    scalar[31]--;
    assert_true(sg_p256_scalar_valid(scalar));
    memset(scalar, 0xff, sizeof scalar);
    assert_false(sg_p256_scalar_valid(scalar));
}

static void test_key_files(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    char *plain = sg_format("%s/plain.key", folder), *sealed = sg_format("%s/sealed.key", folder);
    char *unlock = sg_format("%s/unlock", folder), *pub = sg_format("%s/sealed.pub", folder);
    struct sg_signer *signer = NULL;
    struct sg_trust trust;
    struct sg_buffer text = {0};
    assert_int_equal(sg_key_generate(folder, "plain", SG_ALGORITHM_P256, NULL), SG_OK);
    assert_int_equal(sg_key_generate(folder, "sealed", SG_ALGORITHM_P256, "correct horse"), SG_OK);
    assert_int_equal(sg_file_write(unlock, "correct horse\n", 14, 0600), SG_OK);
    assert_int_equal(sg_signer_open(plain, NULL, &signer), SG_OK);
    assert_int_equal(sg_signer_vkey(signer)->type, SG_KEY_P256);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0); /* no core file while a secret is open */
    sg_signer_close(&signer);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 1);
    assert_int_equal(sg_signer_open(sealed, NULL, &signer), SG_USAGE);
    assert_int_equal(sg_signer_open(sealed, unlock, &signer), SG_OK);
    assert_int_equal(sg_trust_read(pub, &trust), SG_OK);
    assert_true(sg_vkey_same(&trust.logs[0], sg_signer_vkey(signer)));
    sg_signer_close(&signer);
    assert_int_equal(sg_file_read(plain, "key", 4096, &text), SG_OK);
    char *line = strstr(text.data, "algorithm p256\n");
    assert_non_null(line);
    line[10] = 'q'; /* another algorithm is refused, not taken for Ed25519 */
    assert_int_equal(sg_file_write(plain, text.data, text.len, 0600), SG_OK);
    assert_int_equal(sg_signer_open(plain, NULL, &signer), SG_USAGE);
    memmove(line, line + 15, strlen(line + 15) + 1); /* and so is a file that lost the line */
    assert_int_equal(sg_file_write(plain, text.data, text.len - 15, 0600), SG_OK);
    assert_int_equal(sg_signer_open(plain, NULL, &signer), SG_USAGE);
    sg_buffer_free(&text);
    free(plain), free(sealed), free(unlock), free(pub);
    fixture_remove(folder);
}

static void expect(const char *path, const struct sg_trust *trust, enum sg_status status)
{
    struct sg_verify_options how = {.trust = trust};
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    assert_int_equal(sg_verify_file(path, &how, verdict), SG_OK);
    if (verdict->status != status)
        fail_msg("%s / %s", verdict->sentence, verdict->n_listed ? verdict->problems[0].text : "");
    free(verdict);
}

/* A ledger under a P-256 key, witnessed; then a rotation to Ed25519 and back to another P-256 key. */
static void test_ledger(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    struct sg_signer *root = fixture_signer_p256(1), *ed = fixture_signer(2), *next = fixture_signer_p256(3);
    struct sg_ledger *ledger = NULL;
    struct sg_trust policy, other;
    struct sg_buffer proof = {0};
    struct sg_proof_facts facts;
    char *path = fixture_twenty(folder, root);
    assert_int_equal(sg_ledger_open(path, root, &ledger), SG_OK);
    assert_int_equal(sg_ledger_change_keys(ledger, sg_signer_vkey(ed), NULL, 0), SG_OK);
    assert_int_equal(sg_ledger_change_keys(ledger, sg_signer_vkey(next), sg_signer_vkey(ed), 0), SG_OK);
    sg_ledger_close(&ledger);
    assert_int_equal(sg_ledger_open(path, ed, &ledger), SG_USAGE); /* it was rotated away */
    assert_int_equal(sg_ledger_open(path, next, &ledger), SG_OK);
    assert_int_equal(fixture_register(ledger, "more", "customers", 0, 0), SG_OK);
    sg_ledger_close(&ledger);
    assert_int_equal(sg_ledger_open(path, root, &ledger), SG_OK); /* the witness was told of this key */
    assert_int_equal(fixture_register(ledger, "even-more", "customers", 0, 0), SG_OK);
    sg_ledger_close(&ledger);
    fixture_witness(folder, path, root, &policy);
    expect(path, &policy, SG_OK);
    other = policy;
    assert_int_equal(sg_vkey_make("bank.example/credit", SG_KEY_P256, sg_signer_vkey(next)->public_key, &other.logs[0]),
                     SG_OK);
    expect(path, &other, SG_BROKEN); /* trust in another key */
    assert_int_equal(sg_ledger_open_read(path, &ledger), SG_OK);
    assert_int_equal(sg_evidence_proof(ledger, 5, &proof), SG_OK);
    sg_ledger_close(&ledger);
    assert_int_equal(sg_evidence_check_proof(proof.data, proof.len, NULL, &facts), SG_OK);
    sg_buffer_free(&facts.payload);
    sg_buffer_free(&proof);
    sg_signer_close(&root), sg_signer_close(&ed), sg_signer_close(&next);
    free(path);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dsse_example), cmocka_unit_test(test_vkey),      cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_bad_scalars),  cmocka_unit_test(test_key_files), cmocka_unit_test(test_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
