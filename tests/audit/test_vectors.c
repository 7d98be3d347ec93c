/* Would catch: any departure from the published formats. RFC 6962 roots and proofs, RFC 8032 signatures, C2SP signed
 * notes, checkpoints and cosignatures, DSSE's pre-authentication encoding. Sources: RFC 8032 section 7.1; the reference
 * leaves of RFC 6962 implementations; the examples of c2sp.org/signed-note and Go's note package; tessera's test log;
 * the rest was computed by libsodium and by OpenSSL, which agreed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/leaf.h"
#include "audit/note.h"
#include "audit/proof.h"

static void hex(const char *text, void *out, size_t n)
{
    assert_true(sg_hex_decode(text, strlen(text), out, n));
}

static void assert_hex(const void *bytes, size_t n, const char *expected)
{
    char text[256];
    sg_hex_encode(bytes, n, text);
    assert_string_equal(text, expected);
}

static const char seed_t1[] = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

static struct sg_signer *signer_from(const char *name, const char *seed_hex)
{
    uint8_t seed[SG_KEY_BYTES];
    struct sg_signer *signer = NULL;
    hex(seed_hex, seed, sizeof seed);
    assert_int_equal(sg_signer_from_seed(name, seed, &signer), SG_OK);
    return signer;
}

/* ---- The tree. */
static const char *const leaves[8] = {
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
static const char *const roots[9] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void leaf_hash(size_t i, uint8_t out[SG_DIGEST_BYTES])
{
    uint8_t bytes[16];
    size_t n = strlen(leaves[i]) / 2;
    hex(leaves[i], bytes, n);
    sg_merkle_leaf(bytes, n, out);
}

/* A reader that hashes from scratch, so that proofs are checked against the definition and not against stored nodes. */
static enum sg_status naive_node(void *context, int level, uint64_t index, uint8_t out[SG_DIGEST_BYTES])
{
    if (level == 0) {
        memcpy(out, (uint8_t(*)[SG_DIGEST_BYTES])context + index, SG_DIGEST_BYTES);
        return SG_OK;
    }
    uint8_t left[SG_DIGEST_BYTES], right[SG_DIGEST_BYTES];
    SG_TRY(naive_node(context, level - 1, 2 * index, left));
    SG_TRY(naive_node(context, level - 1, 2 * index + 1, right));
    sg_merkle_node(left, right, out);
    return SG_OK;
}

static void test_roots(void **state)
{
    (void)state;
    struct sg_merkle tree = {0};
    uint8_t hash[8][SG_DIGEST_BYTES], root[SG_DIGEST_BYTES];
    for (size_t i = 0; i <= 8; i++) {
        sg_merkle_root(&tree, root);
        assert_hex(root, sizeof root, roots[i]);
        assert_int_equal(sg_proof_root(naive_node, hash, i, root), SG_OK);
        assert_hex(root, sizeof root, roots[i]);
        if (i == 8)
            break;
        leaf_hash(i, hash[i]);
        sg_merkle_append(&tree, hash[i]);
    }
    uint8_t leaf[SG_DIGEST_BYTES];
    sg_merkle_leaf("L123456", 7, leaf);
    assert_hex(leaf, sizeof leaf, "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
}

static void assert_proof(const struct sg_proof *proof, size_t n, const char *const expected[])
{
    assert_int_equal(proof->n, n);
    for (size_t i = 0; i < n; i++)
        assert_hex(proof->hash[i], SG_DIGEST_BYTES, expected[i]);
}

static void test_published_proofs(void **state)
{
    (void)state;
    static const char h2[] = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    static const char h5[] = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    static const char n24[] = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    static const char n46[] = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    static const char n68[] = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    static const char n48[] = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    uint8_t hash[8][SG_DIGEST_BYTES];
    struct sg_proof proof;
    for (size_t i = 0; i < 8; i++)
        leaf_hash(i, hash[i]);
    assert_int_equal(sg_proof_inclusion(naive_node, hash, 0, 8, &proof), SG_OK);
    assert_proof(&proof, 3, (const char *const[]){h2, n24, n48});
    assert_int_equal(sg_proof_inclusion(naive_node, hash, 5, 8, &proof), SG_OK);
    assert_proof(&proof, 3, (const char *const[]){h5, n68, roots[4]});
    assert_int_equal(sg_proof_consistency(naive_node, hash, 1, 8, &proof), SG_OK);
    assert_proof(&proof, 3, (const char *const[]){h2, n24, n48});
    assert_int_equal(sg_proof_consistency(naive_node, hash, 2, 5, &proof), SG_OK);
    assert_proof(&proof, 2, (const char *const[]){n24, h5});
    assert_int_equal(sg_proof_consistency(naive_node, hash, 6, 8, &proof), SG_OK);
    assert_proof(&proof, 3, (const char *const[]){n46, n68, roots[4]});
}

/* Each way a proof may be wrong. `check` is called with good = the untouched proof. */
struct claim {
    bool is_inclusion;
    uint64_t index, size; /* or old size and size */
    uint8_t first[SG_DIGEST_BYTES], root[SG_DIGEST_BYTES];
    struct sg_proof proof;
};

static bool holds(const struct claim *c)
{
    return c->is_inclusion ? sg_proof_check_inclusion(c->first, c->index, c->size, c->root, &c->proof)
                           : sg_proof_check_consistency(c->index, c->first, c->size, c->root, &c->proof);
}

static void assert_only_this(const struct claim *good)
{
    assert_true(holds(good));
    struct claim bad;
    for (size_t i = 0; i < good->proof.n; i++) {
        bad = *good;
        bad.proof.hash[i][i % 32] ^= 1;
        assert_false(holds(&bad));
    }
    bad = *good, bad.first[3] ^= 4;
    assert_false(holds(&bad));
    bad = *good, bad.root[31] ^= 128;
    assert_false(holds(&bad));
    bad = *good, bad.proof.n++;
    assert_false(holds(&bad));
    if (good->proof.n) {
        bad = *good, bad.proof.n--;
        assert_false(holds(&bad));
        bad = *good, bad.proof.n = 0;
        assert_false(holds(&bad));
        bad = *good; /* shifted: the root in front */
        memmove(bad.proof.hash[1], bad.proof.hash[0], bad.proof.n++ * SG_DIGEST_BYTES);
        memcpy(bad.proof.hash[0], good->root, SG_DIGEST_BYTES);
        assert_false(holds(&bad));
        bad = *good; /* swapped */
        memcpy(bad.first, good->root, SG_DIGEST_BYTES), memcpy(bad.root, good->first, SG_DIGEST_BYTES);
        assert_false(holds(&bad));
    }
    bad = *good, bad.index ^= bad.is_inclusion ? 1 : 0;
    assert_int_equal(holds(&bad), bad.index == good->index);
    bad = *good, bad.index = good->size + 1;
    assert_false(holds(&bad));
}

static void test_every_small_proof(void **state)
{
    (void)state;
    enum { N = 70 };
    uint8_t hash[N][SG_DIGEST_BYTES], root[N + 1][SG_DIGEST_BYTES];
    struct sg_merkle tree = {0};
    for (size_t i = 0; i < N; i++) {
        sg_merkle_root(&tree, root[i]);
        sg_merkle_leaf(&i, sizeof i, hash[i]);
        sg_merkle_append(&tree, hash[i]);
    }
    sg_merkle_root(&tree, root[N]);
    for (uint64_t size = 1; size <= N; size += size < 20 ? 1 : 7) {
        for (uint64_t i = 0; i < size; i++) {
            struct claim c = {.is_inclusion = true, .index = i, .size = size};
            memcpy(c.first, hash[i], sizeof c.first), memcpy(c.root, root[size], sizeof c.root);
            assert_int_equal(sg_proof_inclusion(naive_node, hash, i, size, &c.proof), SG_OK);
            assert_only_this(&c);
            c = (struct claim){.index = i + 1, .size = size};
            memcpy(c.first, root[i + 1], sizeof c.first), memcpy(c.root, root[size], sizeof c.root);
            assert_int_equal(sg_proof_consistency(naive_node, hash, i + 1, size, &c.proof), SG_OK);
            assert_only_this(&c);
        }
    }
}

/* ---- Signatures. */
static void test_rfc8032(void **state)
{
    (void)state;
    static const struct {
        const char *seed, *message, *signature;
    } cases[] = {
        {seed_t1, "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bb"
         "e24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302"
         "aeeb00d291612bb0c00"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed"
         "28dc027beceea1ec40a"},
        {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
         "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce"
         "80e2a9ac94fa54ca49f",
         "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac"
         "17ad9bef1177331a704"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t message[64], signature[SG_SIGNATURE_MAX];
        size_t len, n = strlen(cases[i].message) / 2;
        hex(cases[i].message, message, n);
        struct sg_signer *signer = signer_from("t", cases[i].seed);
        assert_int_equal(sg_signer_sign(signer, message, n, signature, &len), SG_OK);
        assert_hex(signature, len, cases[i].signature);
        const struct sg_vkey *key = sg_signer_vkey(signer);
        assert_true(sg_key_verify(key, message, n, signature, len));
        signature[5] ^= 1;
        assert_false(sg_key_verify(key, message, n, signature, len));
        sg_signer_close(&signer);
    }
}

/* The verifier refuses S + L for S, and keys of small order. */
static void test_malleable_signatures(void **state)
{
    (void)state;
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                      0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
    uint8_t signature[SG_SIGNATURE_MAX], zero[SG_ED25519_SIGNATURE_BYTES] = {1};
    size_t len;
    struct sg_vkey small = {.type = SG_KEY_ED25519, .public_key = {1}};
    struct sg_signer *signer = signer_from("t", seed_t1);
    assert_int_equal(sg_signer_sign(signer, "x", 1, signature, &len), SG_OK);
    assert_false(sg_key_verify(sg_signer_vkey(signer), "x", 1, signature, len - 1));
    unsigned carry = 0;
    for (int i = 0; i < 32; i++) {
        carry += signature[32 + i] + order[i];
        signature[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_false(sg_key_verify(sg_signer_vkey(signer), "x", 1, signature, len));
    assert_false(sg_key_verify(&small, "x", 1, zero, sizeof zero));
    sg_signer_close(&signer);
}

/* ---- Notes. */
static enum sg_status verify_text(const char *note, const char *vkey, struct sg_note_check *check)
{
    struct sg_vkey key;
    assert_int_equal(sg_vkey_parse(vkey, strlen(vkey), SG_USAGE, &key), SG_OK);
    return sg_note_verify(note, strlen(note), &key, 1, check);
}

#define DASH "\xe2\x80\x94 "
static void test_published_notes(void **state)
{
    (void)state;
    static const char vkey[] = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    static const char note[] =
        "This is an example message.\n\n" DASH "example.com/foo "
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    struct sg_note_check check;
    assert_int_equal(verify_text(note, vkey, &check), SG_OK);
    assert_int_equal(check.verified, 1);
    assert_int_equal(verify_text(note, "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", &check),
                     SG_OK);
    assert_int_equal(check.verified, 0); /* an unknown key is skipped */
    char *bad = sg_strdup(note);
    bad[0] = 't';
    assert_int_equal(verify_text(bad, vkey, &check), SG_BROKEN);
    free(bad);
}

static void test_published_log(void **state)
{
    (void)state;
    static const char *const entries[15] = {"one",  "two", "three",  "four",  "five",     "six",     "seven", "eit",
                                            "nain", "ten", "ileven", "twelf", "threeten", "fourten", "fivten"};
    static const char note[] = "example.com/log/testdata\n15\nrKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=\n\n" DASH
                               "example.com/log/testdata M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/"
                               "uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=\n";
    struct sg_merkle tree = {0};
    uint8_t hash[SG_DIGEST_BYTES];
    for (size_t i = 0; i < 15; i++) {
        sg_merkle_leaf(entries[i], strlen(entries[i]), hash);
        sg_merkle_append(&tree, hash);
    }
    sg_merkle_root(&tree, hash);
    struct sg_note_check check;
    struct sg_checkpoint checkpoint;
    assert_int_equal(
        verify_text(note, "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx", &check),
        SG_OK);
    assert_int_equal(check.verified, 1);
    assert_int_equal(sg_checkpoint_parse(note, check.text_len, &checkpoint), SG_OK);
    assert_string_equal(checkpoint.origin, "example.com/log/testdata");
    assert_int_equal(checkpoint.size, 15);
    assert_memory_equal(checkpoint.root, hash, sizeof hash);
}

static void test_own_notes(void **state)
{
    (void)state;
    static const char body[] = "bank.example/ledger\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n";
    static const char *const expected[2] = {
        DASH "bank.example/ledger "
             "LaB9DXwa/KFfY6jRXwq0CyjmVyPKP1TbsMMTNmEH0ynIY2kZYP7zFUuV59HHdHbeHsH2vBL7JRW5WBBPmRhw05zDnQg=\n",
        DASH "bank.example/ledger "
             "Qtp4QQAAAABlU/EAZYa0uH5o5X5f5dAkvlWF8S5zqdaQZrurtPN3FnNDMqLJ6ITCBPbadSQRmwVNu8vwbqTlv5K47MB/Ucy+"
             "7eNMDg==\n"};
    static const char *const ids[2] = {"2da07d0d", "42da7841"};
    static const uint8_t types[2] = {SG_KEY_ED25519, SG_KEY_COSIGNATURE};
    struct sg_signer *signer = signer_from("t1", seed_t1);
    for (int i = 0; i < 2; i++) {
        struct sg_vkey key;
        struct sg_buffer line = {0}, note = {0};
        struct sg_note_check check;
        assert_int_equal(sg_vkey_make("bank.example/ledger", types[i], sg_signer_vkey(signer)->public_key, &key),
                         SG_OK);
        assert_hex(key.key_id, 4, ids[i]);
        assert_int_equal(sg_note_sign(signer, &key, body, strlen(body), 1700000000, &line), SG_OK);
        assert_string_equal(line.data, expected[i]);
        sg_buffer_printf(&note, "%s\n%s", body, line.data);
        assert_int_equal(sg_note_verify(note.data, note.len, &key, 1, &check), SG_OK);
        assert_int_equal(check.verified, 1);
        assert_int_equal(check.time_s[0], i ? 1700000000 : 0);
        sg_buffer_free(&line);
        sg_buffer_free(&note);
    }
    struct sg_checkpoint checkpoint;
    struct sg_buffer again = {0};
    assert_int_equal(sg_checkpoint_parse(body, strlen(body), &checkpoint), SG_OK);
    assert_hex(checkpoint.root, SG_DIGEST_BYTES, roots[8]);
    sg_checkpoint_print(&checkpoint, &again);
    assert_string_equal(again.data, body);
    sg_buffer_free(&again);
    sg_signer_close(&signer);
}

static void test_malformed_notes(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "\n",
                                      "text\n",
                                      "text\n\n",
                                      "text\n\n- name AAAAAAA=\n",
                                      "text\n\n" DASH "name\n",
                                      "text\n\n" DASH "name AAA\n",
                                      "text\n\n" DASH "name AAAA\n",
                                      "te\rxt\n\n" DASH "name AAAAAAA=\n",
                                      "te\xffxt\n\n" DASH "name AAAAAAA=\n",
                                      "text\n\n" DASH "name AAAAAAA=",
                                      "text\n\n" DASH " AAAAAAA=\n"};
    struct sg_note_check check;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sg_note_verify(bad[i], strlen(bad[i]), NULL, 0, &check), SG_BROKEN);
    assert_int_equal(sg_note_verify("text\n\n" DASH "name AAAAAAA=\n", 24, NULL, 0, &check), SG_OK);
    static const char *const checkpoints[] = {"",
                                              "o\n",
                                              "o\n1\n",
                                              "o\n01\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n",
                                              "o\n-1\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n",
                                              "o\n1\nXcna\n",
                                              "\n1\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n",
                                              "o o\n1\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n",
                                              "o\n1\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n\nx\n",
                                              "o\n1\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="};
    struct sg_checkpoint checkpoint;
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++)
        assert_int_equal(sg_checkpoint_parse(checkpoints[i], strlen(checkpoints[i]), &checkpoint), SG_BROKEN);
}

/* ---- DSSE. */
static void test_dsse(void **state)
{
    (void)state;
    struct sg_buffer pae = {0};
    uint8_t digest[SG_DIGEST_BYTES];
    sg_dsse_pae("http://example.com/HelloWorld", "hello world", 11, &pae);
    assert_string_equal(pae.data, "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    sg_sha256(pae.data, pae.len, digest);
    assert_hex(digest, sizeof digest, "217751fac2c4f14edb2c9297fbc34abcb016ba88e74757e875ec4ac16fb6b6a1");
    sg_buffer_free(&pae);

    struct sg_signer *signer = signer_from("t1", seed_t1);
    struct sg_buffer leaf = {0};
    struct sg_envelope envelope;
    assert_int_equal(sg_leaf_sign(signer, "{}", 2, &leaf), SG_OK);
    assert_non_null(
        strstr(leaf.data, "vW8iDoS+pQIrO8G9pV+VHVGcvY/XcGMh2vfWpJJwwrH/m4CRZswsl9wIASL/n2XN7RSNIqdiogwYkqskDFZiAQ=="));
    assert_int_equal(sg_envelope_parse(leaf.data, leaf.len, &envelope), SG_OK);
    assert_int_equal(envelope.payload.len, 2);
    assert_true(sg_envelope_verify(&envelope, sg_signer_vkey(signer)));
    envelope.payload.data[0] = '[';
    assert_false(sg_envelope_verify(&envelope, sg_signer_vkey(signer)));
    sg_envelope_free(&envelope);
    assert_int_equal(sg_envelope_parse(leaf.data, leaf.len - 1, &envelope), SG_BROKEN);
    sg_buffer_free(&leaf);
    sg_signer_close(&signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_published_proofs),
        cmocka_unit_test(test_every_small_proof),
        cmocka_unit_test(test_rfc8032),
        cmocka_unit_test(test_malleable_signatures),
        cmocka_unit_test(test_published_notes),
        cmocka_unit_test(test_published_log),
        cmocka_unit_test(test_own_notes),
        cmocka_unit_test(test_malformed_notes),
        cmocka_unit_test(test_dsse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
