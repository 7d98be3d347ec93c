/* Would catch: a wrong digest or HMAC, a Merkle tree that differs from RFC 6962, and encodings (hexadecimal, base64,
 * length prefixes) that take what they should refuse. Vectors: FIPS 180-4 examples, RFC 4231, RFC 4648 section 10 and
 * the certificate-transparency reference tree (RFC 6962). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/merkle.h"

static void assert_digest(const uint8_t digest[SG_DIGEST_BYTES], const char *want)
{
    char hex[2 * SG_DIGEST_BYTES + 1];
    sg_hex_encode(digest, SG_DIGEST_BYTES, hex);
    assert_string_equal(hex, want);
}

static void sha256_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *digest;
    } cases[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                 {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                 {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    uint8_t digest[SG_DIGEST_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_sha256(cases[i].text, strlen(cases[i].text), digest);
        assert_digest(digest, cases[i].digest);
    }
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    struct sg_sha256_state *running = sg_sha256_begin();
    size_t done = 0;
    for (size_t step = 1; done + step <= 1000000; step += 37) { /* pieces of many sizes */
        sg_sha256_update(running, million + done, step);
        done += step;
    }
    sg_sha256_update(running, million + done, 1000000 - done);
    sg_sha256_end(running, digest);
    assert_digest(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

static void hmac_vectors(void **state)
{
    (void)state;
    uint8_t key[131], digest[SG_DIGEST_BYTES];
    memset(key, 0x0b, 20);
    sg_hmac_sha256(key, 20, "Hi There", 8, digest);
    assert_digest(digest, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    sg_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, digest);
    assert_digest(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    const char *text = "Test Using Larger Than Block-Size Key - Hash Key First";
    sg_hmac_sha256(key, sizeof key, text, strlen(text), digest);
    assert_digest(digest, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void sha256_of_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/sg_test_digest_XXXXXX";
    uint8_t digest[SG_DIGEST_BYTES], want[SG_DIGEST_BYTES];
    size_t n = 200001; /* several blocks and a bit */
    char *bytes = malloc(n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, bytes, n) == (ssize_t)n);
    close(file);
    assert_int_equal(sg_sha256_file(path, digest), SG_OK);
    sg_sha256(bytes, n, want);
    assert_memory_equal(digest, want, sizeof want);
    unlink(path);
    assert_int_equal(sg_sha256_file(path, digest), SG_USAGE);
    assert_int_equal(sg_sha256_file("/tmp", digest), SG_USAGE);
    free(bytes);
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[SG_KEY_BYTES] = {0}, b[SG_KEY_BYTES] = {0};
    assert_int_equal(sg_random_bytes(a, sizeof a), SG_OK);
    assert_int_equal(sg_random_bytes(b, sizeof b), SG_OK);
    assert_false(sg_bytes_equal(a, b, sizeof a)); /* by accident once in 2^256 */
}

/* The eight leaves of the reference tree and the root at every size. */
static const char *const leaf_hex[] = {
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
static const char *const root_hex[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                       "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                                       "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                                       "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                                       "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                                       "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                                       "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                                       "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                                       "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

static void merkle_reference_tree(void **state)
{
    (void)state;
    uint8_t hash[SG_DIGEST_BYTES], leaf[16];
    sg_merkle_leaf("L123456", 7, hash);
    assert_digest(hash, "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
    struct sg_merkle tree = {0};
    sg_merkle_root(&tree, hash);
    assert_digest(hash, root_hex[0]);
    for (size_t i = 0; i < 8; i++) {
        size_t n = strlen(leaf_hex[i]) / 2;
        assert_true(sg_hex_decode(leaf_hex[i], 2 * n, leaf, n));
        sg_merkle_leaf(leaf, n, hash);
        sg_merkle_append(&tree, hash);
        sg_merkle_root(&tree, hash);
        assert_digest(hash, root_hex[i + 1]);
    }
}

/* RFC 6962 section 2.1 written down literally: split at the largest power of two below n. */
static void recursive_root(const uint8_t (*leaf)[SG_DIGEST_BYTES], size_t n, uint8_t out[SG_DIGEST_BYTES])
{
    if (n == 1) {
        memcpy(out, leaf[0], SG_DIGEST_BYTES);
        return;
    }
    size_t k = 1;
    while (2 * k < n)
        k *= 2;
    uint8_t left[SG_DIGEST_BYTES], right[SG_DIGEST_BYTES];
    recursive_root(leaf, k, left);
    recursive_root(leaf + k, n - k, right);
    sg_merkle_node(left, right, out);
}

static void merkle_agrees_with_the_definition(void **state)
{
    (void)state;
    enum { LEAVES = 200 };
    static uint8_t leaf[LEAVES][SG_DIGEST_BYTES];
    uint8_t got[SG_DIGEST_BYTES], want[SG_DIGEST_BYTES];
    struct sg_merkle tree = {0};
    for (size_t i = 0; i < LEAVES; i++) {
        sg_merkle_leaf(&i, sizeof i, leaf[i]);
        sg_merkle_append(&tree, leaf[i]);
        sg_merkle_root(&tree, got);
        recursive_root((const uint8_t(*)[SG_DIGEST_BYTES])leaf, i + 1, want);
        assert_memory_equal(got, want, sizeof want);
    }
}

static void hexadecimal(void **state)
{
    (void)state;
    uint8_t bytes[3] = {0};
    assert_true(sg_hex_decode("00fFa5", 6, bytes, 3));
    assert_memory_equal(bytes, "\x00\xff\xa5", 3);
    assert_false(sg_hex_decode("00ffa", 5, bytes, 3));
    assert_false(sg_hex_decode("00ffa5", 6, bytes, 2));
    assert_false(sg_hex_decode("00ffg5", 6, bytes, 3));
    assert_false(sg_hex_decode("00 fa5", 6, bytes, 3));
    assert_false(sg_hex_decode("00ff\0"
                               "5",
                               6, bytes, 3));
}

static void base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct sg_buffer text = {0};
        sg_buffer_text(&text, "x");
        sg_base64_append(&text, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(text.data + 1, pairs[i][1]);
        assert_int_equal(text.len, strlen(pairs[i][1]) + 1);
        uint8_t *bytes;
        size_t n;
        assert_true(sg_base64_decode(text.data + 1, text.len - 1, &bytes, &n));
        assert_int_equal(n, strlen(pairs[i][0]));
        assert_memory_equal(bytes, pairs[i][0], n);
        free(bytes);
        sg_buffer_free(&text);
    }
    static const char *const bad[] = {"Zg",   "Zg=",    "Zg===", "Zh==", "Zm9=",     "Z",
                                      "====", "Zm9v\n", "Zm 9",  "Zm9-", "Zg==Zg==", "=Zg="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t *bytes;
        size_t n;
        if (sg_base64_decode(bad[i], strlen(bad[i]), &bytes, &n))
            fail_msg("\"%s\" was accepted", bad[i]);
    }
}

static void buffers(void **state)
{
    (void)state;
    struct sg_buffer buffer = {0};
    sg_buffer_field(&buffer, "ab", 2);
    sg_buffer_u64be(&buffer, UINT64_C(0x0102030405060708));
    assert_int_equal(buffer.len, 18);
    assert_memory_equal(buffer.data, "\0\0\0\0\0\0\0\2ab\1\2\3\4\5\6\7\10", 19);
    for (int i = 0; i < 1000; i++)
        sg_buffer_printf(&buffer, "%d,", i);
    assert_int_equal(buffer.len, 18 + 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(buffer.data[buffer.len], 0);
    assert_string_equal(buffer.data + buffer.len - 8, "998,999,");
    sg_buffer_free(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer.len, 0);
    float *aligned = sg_alloc_aligned(100);
    assert_int_equal((uintptr_t)aligned % 64, 0);
    assert_true(aligned[0] == 0 && aligned[24] == 0);
    free(aligned);
}

static void errors(void **state)
{
    (void)state;
    assert_int_equal(sg_fail(SG_REFUSED, "line\nfeed %d", 7), SG_REFUSED);
    assert_string_equal(sg_error_text(), "line?feed 7");
    assert_int_equal(sg_fail(SG_USAGE, "outer: %s", sg_error_text()), SG_USAGE);
    assert_string_equal(sg_error_text(), "outer: line?feed 7");
    char *text = sg_format("%2000s", "x");
    assert_int_equal(sg_fail(SG_USAGE, "%s", text), SG_USAGE);
    assert_int_equal(strlen(sg_error_text()), 1023);
    free(text);
    sg_error_clear();
    assert_string_equal(sg_error_text(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_vectors),
        cmocka_unit_test(hmac_vectors),
        cmocka_unit_test(sha256_of_a_file),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(merkle_reference_tree),
        cmocka_unit_test(merkle_agrees_with_the_definition),
        cmocka_unit_test(hexadecimal),
        cmocka_unit_test(base64),
        cmocka_unit_test(buffers),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
