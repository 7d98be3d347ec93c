/* Would catch: noise on the card that is not the host's value for value, from either kind of words, wherever the range
 * begins and however it is cut; words that are not ChaCha20's or Philox's in cuRAND's order; a value decided twice or
 * not at all when many need further words; a step whose keys are another's. */
#include "device_arrays.h"

#include <sodium.h>

#include "mechanism/noise.h"
#include "noise.h"
#include "noise_core.h"

static const uint8_t key[SG_KEY_BYTES] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9};

static void *table_put(const struct sg_noise *noise)
{
    size_t bytes;
    const void *table = sg_noise_table(noise, &bytes);
    assert_int_equal(bytes, sg_cuda_noise()->table_bytes);
    return device_put(table, bytes);
}

/* The host's and the card's values of one range, added to what was there. */
static void check_range(struct sg_noise *noise, void *table, uint64_t step, uint64_t first, int64_t n)
{
    size_t bytes = (size_t)n * sizeof(int64_t);
    int64_t *want = host_alloc(bytes), *got = host_alloc(bytes);
    for (int64_t i = 0; i < n; i++)
        want[i] = got[i] = i * 31 - 7;
    void *sum = device_put(got, bytes);
    assert_int_equal(sg_noise_add(noise, step, first, n, want), SG_OK);
    sg_noise_add_device(noise, sg_cuda_noise(), table, step, first, n, sum);
    device_take(got, sum, bytes);
    for (int64_t i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_msg("step %lu, value %lu is %ld, should be %ld", (unsigned long)step,
                     (unsigned long)(first + (uint64_t)i), (long)got[i], (long)want[i]);
    free(want);
    free(got);
}

static void check_source(enum sg_noise_source source)
{
    struct sg_noise *noise = NULL;
    if (sg_noise_open(source, key, &noise) != SG_OK) {
        print_message("%s\n", sg_error_text());
        assert_int_equal(source, SG_NOISE_CURAND);
        assert_non_null(strstr(sg_error_text(), "not found"));
        print_message("SKIPPED: there is no cuRAND here to compare with\n");
        skip();
    }
    void *table = table_put(noise);
    static const uint64_t begin[] = {0, 1, 7, 8, 2047, 4095, ((uint64_t)1 << 38) - 3, ((uint64_t)1 << 61) + 5};
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++) {
        check_range(noise, table, 1 + i, begin[i], 1 + (int64_t)i % 3);
        check_range(noise, table, 1 + i, begin[i], 2100 + 777 * (int64_t)i);
    }
    check_range(noise, table, 9, 5, 0);
    check_range(noise, table, 9, 131000, 60000); /* some hundred values that need further words */
    assert_true(sg_noise_counts(noise)->slow > 100);
    device_take(NULL, table, sg_cuda_noise()->table_bytes);
    sg_noise_close(&noise);
}

static void test_chacha20(void **unused)
{
    (void)unused;
    check_source(SG_NOISE_CHACHA20);
}

static void test_curand(void **unused)
{
    (void)unused;
    check_source(SG_NOISE_CURAND);
}

/* A range by parts in any order is the range at once. */
static void test_partitions(void **unused)
{
    (void)unused;
    enum { N = 9000 };
    struct sg_noise *noise = NULL;
    static int64_t whole[N], parts[N];
    static const int64_t cut[] = {0, 1, 9, 2050, 4096, 8999, N};
    assert_int_equal(sg_noise_open(SG_NOISE_CHACHA20, key, &noise), SG_OK);
    void *table = table_put(noise), *at = device_put(whole, sizeof whole), *by = device_put(parts, sizeof parts);
    sg_noise_add_device(noise, sg_cuda_noise(), table, 3, 100, N, at);
    for (int i = 5; i >= 0; i--)
        sg_noise_add_device(noise, sg_cuda_noise(), table, 3, (uint64_t)(100 + cut[i]), cut[i + 1] - cut[i],
                            (int64_t *)by + cut[i]);
    device_take(whole, at, sizeof whole);
    device_take(parts, by, sizeof parts);
    assert_memory_equal(whole, parts, sizeof whole);
    device_take(NULL, table, sg_cuda_noise()->table_bytes);
    sg_noise_close(&noise);
}

/* ---- Philox without a library, and a table by which one value in thirty needs further words ---- */

/* Word p of cuRAND's stream, from the paper (Salmon et al. 2011, section 3.3). */
static uint32_t philox_word(uint64_t seed, uint64_t p)
{
    uint64_t q = p / 4;
    uint32_t c[4] = {(uint32_t)(q / 65536), (uint32_t)(q / 65536 >> 32), (uint32_t)(q % 65536), 0};
    uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int round = 0; round < 10; round++) {
        uint64_t x = (uint64_t)c[0] * 0xD2511F53u, y = (uint64_t)c[2] * 0xCD9E8D57u;
        uint32_t next[4] = {(uint32_t)(y >> 32) ^ c[1] ^ k[0], (uint32_t)y, (uint32_t)(x >> 32) ^ c[3] ^ k[1],
                            (uint32_t)x};
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    return c[p % 4];
}

static int second_attempts; /* values for which the first block of further words was not the last */

static void more_block(struct sg_noise_more *more, uint64_t index, uint32_t attempt, uint64_t word[8])
{
    second_attempts += attempt == 1;
    uint8_t nonce[8];
    memset(word, 0, 64);
    memcpy(nonce, &index, sizeof nonce);
    crypto_stream_chacha20_xor_ic((uint8_t *)word, (const uint8_t *)word, 64, nonce, attempt, more->key);
}

static void check_table(const struct sg_noise_table *table, uint64_t first, int64_t n, uint64_t slow_least)
{
    struct sg_noise_keys keys;
    for (int i = 0; i < 32; i++) {
        keys.first[i] = (uint8_t)(7 * i + 1);
        keys.further[i] = (uint8_t)(200 - i);
    }
    const uint64_t seed = 0x01080f161d242b32;
    struct sg_noise_more more = {.block = more_block};
    memcpy(more.key, keys.further, sizeof more.key);
    size_t bytes = (size_t)n * 8;
    uint64_t *word = host_alloc(bytes);
    int64_t *want = host_alloc(bytes), *got = host_alloc(bytes);
    for (int64_t i = 0; i < n; i++) {
        uint64_t p = 2 * (first + (uint64_t)i);
        word[i] = (uint64_t)philox_word(seed, p) | (uint64_t)philox_word(seed, p + 1) << 32;
    }
    sg_noise_add_scalar(table, &more, word, first, n, want);
    assert_true(more.counts.slow >= slow_least);
    void *at = device_put(table, sizeof *table), *sum = device_put(got, bytes);
    sg_cuda_noise()->add(SG_NOISE_WORDS_PHILOX, &keys, at, first, n, sum);
    device_take(got, sum, bytes);
    device_take(NULL, at, sizeof *table);
    assert_memory_equal(got, want, bytes);
    free(word);
    free(want);
    free(got);
}

static void test_philox(void **unused)
{
    (void)unused;
    static struct sg_noise_table table;
    sg_noise_table_build(&sg_noise_shape, &table);
    check_table(&table, 262139, 5000, 1);
    check_table(&table, ((uint64_t)1 << 49) - 3, 50, 0); /* the counter's second word */
}

/* All columns give the last cell, which its word decides for all but one in thirty: more wait than the list has room
 * for. */
static void test_many_wait(void **unused)
{
    (void)unused;
    static struct sg_noise_table table;
    sg_noise_table_build(&sg_noise_shape, &table);
    for (int c = 0; c < SG_NOISE_CELLS; c++) {
        table.own[c] = 0;
        table.alias[c] = SG_NOISE_CELLS - 1;
        table.quick[c] = SG_NOISE_CELLS - 1;
    }
    check_table(&table, 3, 2045, 49);
    check_table(&table, 70001, 30000, 500);
    assert_true(second_attempts > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chacha20), cmocka_unit_test(test_curand),    cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_philox),   cmocka_unit_test(test_many_wait),
    };
    return cmocka_run_group_tests(tests, device_open, device_close);
}
