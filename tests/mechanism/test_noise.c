/* Catches: noise that depends on how its range is cut up, on the CPU or on what was asked for before; words that are
 * not ChaCha20's or Philox's; a step, key or purpose that shares its stream with another; a missing source replaced by
 * another one; a rare path that gives the wrong value, or is never taken; values that differ from an independent
 * implementation. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "mechanism/noise.h"
#include "mechanism/sampler.h"
#include "noise_core.h"
#include "noise_source.h"

static uint8_t key[SG_KEY_BYTES];

/* cuRAND is tested wherever it is; elsewhere the test is skipped and says so. A library that is there but does not work
 * is a failure. */
static void need_curand(enum sg_status status)
{
    if (status == SG_OK)
        return;
    printf("%s\n", sg_error_text());
    assert_non_null(strstr(sg_error_text(), "not found"));
    printf("SKIPPED: there is no cuRAND here\n");
    skip();
}

static struct sg_noise *open_or_skip(enum sg_noise_source source, const uint8_t *with_key)
{
    struct sg_noise *noise = NULL;
    enum sg_status status = sg_noise_open(source, with_key, &noise);
    if (source == SG_NOISE_CURAND)
        need_curand(status);
    assert_int_equal(status, SG_OK);
    return noise;
}

static void add(struct sg_noise *noise, uint64_t step, uint64_t first, int64_t n, int64_t *sum)
{
    assert_int_equal(sg_noise_add(noise, step, first, n, sum), SG_OK);
}

static void check_partitions(enum sg_noise_source source, uint64_t first, int64_t n, int rounds)
{
    struct sg_noise *noise = open_or_skip(source, key); /* a skip does not come back: nothing is held before it */
    int64_t *whole = sg_alloc((size_t)n, sizeof *whole), *parts = sg_alloc((size_t)n, sizeof *parts);
    add(noise, 3, first, n, whole);
    uint32_t random = 12345;
    for (int round = 0; round < rounds; round++) {
        int64_t cut[6] = {0, 0, 0, 0, 0, n};
        for (int i = 1; i < 5; i++) {
            random = random * 1664525 + 1013904223;
            cut[i] = cut[i - 1] + random % (uint32_t)(n - cut[i - 1]);
        }
        for (int64_t i = 0; i < n; i++)
            parts[i] = i - n / 2;
        for (int i = 4; i >= 0; i--) { /* backwards, and with another step between */
            int64_t other[3] = {0};
            add(noise, 3, first + (uint64_t)cut[i], cut[i + 1] - cut[i], parts + cut[i]);
            add(noise, 4, (uint64_t)i, 3, other);
        }
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(parts[i] - (i - n / 2), whole[i]);
    }
    for (int gap = 0; gap < 3; gap++) { /* a walk that leaves a few values out */
        int64_t far[4] = {0};
        add(noise, 3, first, 8, parts);
        add(noise, 3, first + 8 + (uint64_t)gap, 4, far);
        assert_memory_equal(far, whole + 8 + gap, sizeof far);
    }
    sg_noise_close(&noise);
    assert_null(noise);
    free(whole);
    free(parts);
}

static void any_partition_gives_the_same_chacha20(void **state)
{
    (void)state;
    check_partitions(SG_NOISE_CHACHA20, 0, 40000, 20);
    check_partitions(SG_NOISE_CHACHA20, ((uint64_t)1 << 35) - 777, 5000, 20); /* the block counter passes 2^32 */
}

static void any_partition_gives_the_same_curand(void **state)
{
    (void)state;
    check_partitions(SG_NOISE_CURAND, 0, 150000, 2); /* longer than the 2^17 values of a round over its subsequences */
    check_partitions(SG_NOISE_CURAND, ((uint64_t)1 << 40) + 5, 3001, 2);
}

/* From noise_golden.py beside this file, which shares no code with the library. */
static void values_are_the_golden_ones(enum sg_noise_source source, const int64_t golden[4], const char *golden_digest)
{
    enum { N = 20000 };
    uint8_t counting[SG_KEY_BYTES], digest[SG_DIGEST_BYTES];
    char text[2 * SG_DIGEST_BYTES + 1];
    for (int i = 0; i < SG_KEY_BYTES; i++)
        counting[i] = (uint8_t)i;
    struct sg_noise *noise = open_or_skip(source, counting);
    int64_t *value = sg_alloc(N, sizeof *value);
    add(noise, 7, ((uint64_t)1 << 35) - 10001, N, value);
    assert_memory_equal(value, golden, 4 * sizeof *golden);
    sg_sha256(value, N * sizeof *value, digest);
    sg_hex_encode(digest, sizeof digest, text);
    assert_string_equal(text, golden_digest);
    assert_true(sg_noise_counts(noise)->rejected > 0 && sg_noise_counts(noise)->ties > 0);
    sg_noise_close(&noise);
    free(value);
}

static void chacha20_values_are_golden(void **state)
{
    (void)state;
    values_are_the_golden_ones(SG_NOISE_CHACHA20, (int64_t[]){-4079573554, -6912637130, -3514010335, 1535222624},
                               "4268c778cee4abec75163b6f6dc58dad7fa445df010fc1afe1a5fed8a668dc33");
}

static void curand_values_are_golden(void **state)
{
    (void)state;
    values_are_the_golden_ones(SG_NOISE_CURAND, (int64_t[]){-4742610313, 2704286537, -4273838611, -5569395366},
                               "54840b0f6c7f1e1434b3da444e187651fc4b91179e0020952de9aecc2bea3649");
}

static void read_words(struct sg_noise_words *words, uint64_t first, int64_t n, uint64_t *out)
{
    const uint64_t *at;
    uint64_t *word = sg_alloc((size_t)n + 8, sizeof *word);
    assert_int_equal(words->read(words, first, n, word, &at), SG_OK);
    memcpy(out, at, (size_t)n * sizeof *out);
    free(word);
}

static void chacha20_words_are_libsodiums(void **state)
{
    (void)state;
    struct sg_noise_words *words;
    assert_int_equal(sg_noise_words_chacha20(&words), SG_OK);
    assert_int_equal(words->key_step(words, key), SG_OK);
    const uint64_t firsts[] = {0, 1, 7, 8, ((uint64_t)1 << 35) - 100, (uint64_t)1 << 50};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        uint64_t word[200], block[216] = {0};
        const uint8_t nonce[8] = {0};
        read_words(words, firsts[i], 200, word);
        crypto_stream_chacha20_xor_ic((uint8_t *)block, (uint8_t *)block, sizeof block, nonce, firsts[i] / 8, key);
        assert_memory_equal(word, block + firsts[i] % 8, sizeof word);
    }
    words->close(words);
}

/* Philox4x32-10 of Salmon et al., SC 2011, written from the paper. */
static uint32_t philox(uint64_t seed, uint64_t position)
{
    uint64_t q = position / 4;
    uint32_t c[4] = {(uint32_t)(q >> 16), (uint32_t)(q >> 48), (uint32_t)q & 0xffff, 0};
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
        uint64_t p = (uint64_t)c[0] * 0xD2511F53, r = (uint64_t)c[2] * 0xCD9E8D57;
        uint32_t next[4] = {(uint32_t)(r >> 32) ^ c[1] ^ k0, (uint32_t)r, (uint32_t)(p >> 32) ^ c[3] ^ k1, (uint32_t)p};
        memcpy(c, next, sizeof c);
    }
    return c[position % 4];
}

static void curand_words_are_philox(void **state)
{
    (void)state;
    enum { N = 140000 };
    struct sg_noise_words *words;
    need_curand(sg_noise_words_curand(&words));
    uint64_t *word = sg_alloc(N, sizeof *word), seed = sg_load_u64be(key);
    assert_int_equal(words->key_step(words, key), SG_OK);
    const uint64_t firsts[] = {0, N, 1, 131071, ((uint64_t)1 << 47) - 3, ((uint64_t)1 << 50) + 11};
    const int64_t counts[] = {N, 9, 1, 5, 100, 7};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        read_words(words, firsts[i], counts[i], word);
        for (int64_t k = 0; k < counts[i]; k++) {
            uint64_t at = 2 * (firsts[i] + (uint64_t)k);
            assert_int_equal(word[k], philox(seed, at) | (uint64_t)philox(seed, at + 1) << 32);
        }
    }
    free(word);
    words->close(words);
}

/* ChaCha20 as the library extends a word, under `key`. */
static void block(struct sg_noise_more *more, uint64_t index, uint32_t attempt, uint64_t word[8])
{
    (void)more;
    memset(word, 0, 64);
    crypto_stream_chacha20_xor_ic((uint8_t *)word, (uint8_t *)word, 64, (uint8_t *)&index, attempt, key);
}

/* A column whose alias is the first cell, where `kept` of 8191 surely gives the alias. */
static uint32_t column_of_zero(const struct sg_noise_table *table)
{
    uint32_t column = 0;
    while (table->alias[column] != 0 || table->quick[column] >> 12 == 8191)
        column++;
    return column;
}

/* The word with the smallest `accept` that it can do with, or the one below. */
static uint64_t at_the_border(const struct sg_noise_table *table, uint64_t word)
{
    uint32_t entry = table->quick[word & 4095], kept = (uint32_t)(word >> 12) & 8191;
    uint64_t cell = kept < entry >> 12 ? word & 4095 : entry & 4095, coarse = (word >> 44) & 4095;
    uint64_t accept = ((coarse + 1) * (2 * cell + 1) + 32767) >> 15;
    accept -= word >> 62 & 1;
    return (word & ~((uint64_t)127 << 56 | (uint64_t)127 << 25)) | accept >> 7 << 56 | (accept & 127) << 25;
}

static void vector_code_gives_the_scalar_bits(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    if (sg_noise_add_best() == sg_noise_add_scalar) {
        printf("SKIPPED: no AVX2 on this CPU\n");
        skip();
    }
    int64_t *sum = sg_alloc(N, sizeof *sum), *scalar = sg_alloc(N, sizeof *scalar);
    struct sg_noise_table *table = sg_alloc_aligned(sizeof *table);
    sg_noise_table_build(&sg_noise_shape, table);
    uint64_t *word = sg_alloc(N, sizeof *word);
    assert_int_equal(sg_random_bytes(word, N * sizeof *word), SG_OK);
    const uint64_t zero = 0x1fff000 | column_of_zero(table), kept_bits = 0x1fff000;
    for (int i = 0; i < N; i += 5) /* dense rare cases: ties, `accept` around the border of its bound, zeros */
        word[i] = i % 3 == 0   ? (word[i] & ~kept_bits) | (table->quick[word[i] & 4095] & kept_bits)
                  : i % 3 == 1 ? at_the_border(table, word[i])
                               : (word[i] & ~((uint64_t)0xffffff << 32 | 4095)) | zero;
    struct sg_noise_more a = {.block = block}, b = {.block = block};
    for (int start = 0; start < 9; start++) {
        int64_t n = N - 16 - start;
        sg_noise_add_avx2(table, &a, word + start, 77, n, sum + start);
        sg_noise_add_scalar(table, &b, word + start, 77, n, scalar + start);
        assert_memory_equal(sum, scalar, N * sizeof *sum);
    }
    assert_memory_equal(&a.counts, &b.counts, sizeof a.counts);
    assert_true(a.counts.slow > N && a.counts.ties > N / 2 && a.counts.rejected > N / 50 && a.counts.zeros > N / 5);
    free(sum);
    free(scalar);
    free(word);
    free(table);
}

/* Blocks written by the test: what the rare paths read. */
static uint64_t script[8][8];
static int blocks_read;
static void scripted(struct sg_noise_more *more, uint64_t index, uint32_t attempt, uint64_t word[8])
{
    (void)more, (void)index;
    assert_in_range(attempt, 0, 7);
    assert_int_equal(attempt, blocks_read++);
    memcpy(word, script[attempt], sizeof script[attempt]);
}

static uint64_t make_word(uint32_t column, uint32_t kept, uint32_t accept, uint32_t offset, bool negative)
{
    return column | (uint64_t)kept << 12 | (uint64_t)(accept & 127) << 25 | (uint64_t)offset << 32 |
           (uint64_t)(accept >> 7) << 56 | (uint64_t)negative << 63;
}

static int64_t run_script(const struct sg_noise_table *table, uint64_t word, struct sg_noise_more *more)
{
    uint64_t words[8];
    int64_t sum[8] = {0}, scalar = 0;
    for (int i = 0; i < 8; i++)
        words[i] = make_word(table->alias[9] == 9 ? 10 : 9, 8191, 16383, 1, false);
    words[5] = word;
    if (sg_noise_add_best() == sg_noise_add_avx2) { /* as one lane of eight */
        blocks_read = 0;
        sg_noise_add_avx2(table, more, words, 0, 8, sum);
    }
    blocks_read = 0;
    memset(&more->counts, 0, sizeof more->counts);
    sg_noise_add_scalar(table, more, &word, 5, 1, &scalar);
    if (sg_noise_add_best() == sg_noise_add_avx2)
        assert_int_equal(sum[5], scalar);
    return scalar;
}

static void rare_paths_are_taken_and_right(void **state)
{
    (void)state;
    struct sg_noise_table *table = sg_alloc_aligned(sizeof *table);
    sg_noise_table_build(&sg_noise_shape, table);
    struct sg_noise_more more = {.block = scripted};
    memset(script, 0, sizeof script);
    uint32_t poor = 16; /* a column that may give its alias, and shares its 13 bits with nobody */
    while (table->alias[poor] == poor || table->quick[poor] >> 12 < 2)
        poor++;
    uint32_t rich = table->alias[poor];
    uint32_t top = table->quick[poor] >> 12;
    int64_t own_value = (int64_t)poor << 24 | 5, alias_value = (int64_t)rich << 24 | 5;

    /* A tie of 13 bits goes on to the bits that decide: one below the column's border keeps it, the border does not. */
    sg_u128 rest = table->own[poor] << 13; /* what follows the 13 bits, at the top */
    sg_u128 before = rest - ((sg_u128)1 << 25);
    script[0][0] = (uint64_t)(before >> 64), script[0][1] = (uint64_t)before;
    assert_int_equal(run_script(table, make_word(poor, top, 16383, 5, false), &more), own_value);
    assert_int_equal(more.counts.ties, 1);
    script[0][0] = (uint64_t)(rest >> 64), script[0][1] = (uint64_t)rest;
    assert_int_equal(run_script(table, make_word(poor, top, 16383, 5, true), &more), -alias_value);
    assert_int_equal(more.counts.ties, 1);
    assert_int_equal(run_script(table, make_word(poor, top - 1, 16383, 5, false), &more), own_value);
    assert_int_equal(run_script(table, make_word(poor, top + 1, 16383, 5, false), &more), alias_value);
    assert_int_equal(more.counts.slow, 0);

    /* The 14 bits of `accept` do not decide, the rest does: here below and above 1 - exp(-t). */
    memset(script, 0, sizeof script);
    script[0][5] = make_word(poor, top - 1, 16383, 99, false);
    assert_int_equal(run_script(table, make_word(poor, top - 1, 0, 0xffffff, true), &more), own_value + 94);
    assert_int_equal(more.counts.rejected, 1);
    assert_int_equal(blocks_read, 1);
    script[0][2] = UINT64_MAX;
    assert_int_equal(run_script(table, make_word(poor, top - 1, 0, 0, true), &more), -((int64_t)poor << 24));
    assert_int_equal(more.counts.slow, 1);
    assert_int_equal(more.counts.rejected, 0);

    /* Five rejections in a row, each from the word of the block before. */
    memset(script, 0, sizeof script);
    for (int i = 0; i < 4; i++)
        script[i][5] = make_word(poor, top - 1, 0, 0x800000, false);
    script[4][5] = make_word(poor, top + 1, 16383, 5, true);
    assert_int_equal(run_script(table, make_word(poor, top - 1, 0, 0xffffff, true), &more), -alias_value);
    assert_int_equal(more.counts.rejected, 5);
    assert_int_equal(blocks_read, 5);

    /* Zero with a plus is a value, zero with a minus is drawn again. */
    uint32_t column = column_of_zero(table), kept = 8191;
    memset(script, 0, sizeof script);
    script[0][5] = make_word(poor, top - 1, 16383, 5, true);
    assert_int_equal(run_script(table, make_word(column, kept, 16383, 0, false), &more), 0);
    assert_int_equal(more.counts.slow, 1);
    assert_int_equal(more.counts.zeros, 0);
    assert_int_equal(run_script(table, make_word(column, kept, 16383, 0, true), &more), -own_value);
    assert_int_equal(more.counts.zeros, 1);
    assert_int_equal(run_script(table, make_word(column, kept, 16383, 1, true), &more), -1);
    assert_int_equal(more.counts.slow, 0);
    free(table);
}

/* Every bit of `accept` and of the offset's fraction counts, each in its place. */
static void the_further_bits_are_in_their_places(void **state)
{
    (void)state;
    struct sg_noise_table *table = sg_alloc_aligned(sizeof *table);
    sg_noise_table_build(&sg_noise_shape, table);
    struct sg_noise_more more = {.block = scripted};
    uint32_t column = 400; /* a cell at 1.6 std or more, where the fraction matters most */
    while (table->quick[column] >> 12 < 2)
        column++;
    const uint64_t half = (uint64_t)1 << 63;
    struct sg_noise_draw draw = {column, 0, 7777, half, 0, false};
    int64_t value, expected = (int64_t)column << 24 | 7777;
    sg_u128 border = 0;
    for (int bit = 127; bit >= 0; bit--) { /* the highest rejected number, then the lowest kept one */
        draw.accept = border | (sg_u128)1 << bit;
        border = sg_noise_decide(table, &draw, &value) ? border : draw.accept;
    }
    border++;
    const struct {
        uint64_t fine;
        int below;
        bool kept;
    } cases[] = {{half, 0, true}, {half, 1, false},       {0, 0, true},
                 {0, 1, true},    {UINT64_MAX, 0, false}, {half | 1, 0, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sg_u128 accept = border - (sg_u128)cases[i].below;
        memset(script, 0, sizeof script);
        script[0][2] = (uint64_t)((accept << 14) >> 64);
        script[0][3] = (uint64_t)(accept << 14);
        script[0][4] = cases[i].fine;
        script[0][5] = make_word(column, 0, 16383, 8, true); /* taken when the first attempt fails */
        int64_t got = run_script(table, make_word(column, 0, (uint32_t)(accept >> 114), 7777, false), &more);
        assert_int_equal(got, cases[i].kept ? expected : -((int64_t)column << 24 | 8));
    }
    free(table);
}

static void fails_naming(const char *library, const char *text)
{
    struct sg_noise *noise = (struct sg_noise *)key;
    setenv("SEALGRAD_CURAND", library, 1);
    assert_int_equal(sg_noise_open(SG_NOISE_CURAND, key, &noise), SG_FAILED);
    assert_null(noise);
    assert_non_null(strstr(sg_error_text(), text));
}

static void a_missing_source_is_an_error(void **state)
{
    (void)state;
    const char *before = getenv("SEALGRAD_CURAND");
    char *kept = before ? sg_strdup(before) : NULL;
    fails_naming("/nonexistent/libcurand.so.10", "cannot load SEALGRAD_CURAND: /nonexistent/libcurand.so.10");
    fails_naming("libm.so.6", "lacks");
    if (kept)
        setenv("SEALGRAD_CURAND", kept, 1);
    else
        unsetenv("SEALGRAD_CURAND");
    free(kept);
    assert_int_equal(sg_noise_source_parse("curand"), SG_NOISE_CURAND);
    assert_int_equal(sg_noise_source_parse("chacha20"), SG_NOISE_CHACHA20);
    assert_int_equal(sg_noise_source_parse("chacha"), -1);
    assert_int_equal(sg_noise_source_parse(""), -1);
}

/* Steps, keys and sources share no value; nor do the sampler's draws appear in the noise's words, even under one key.
 */
static void streams_are_apart(void **state)
{
    (void)state;
    enum { N = 4096, STREAMS = 6 };
    int64_t *value = sg_alloc(STREAMS * N, sizeof *value);
    uint8_t other[SG_KEY_BYTES];
    memcpy(other, key, sizeof other);
    other[31] ^= 1;
    struct sg_noise *a = open_or_skip(SG_NOISE_CHACHA20, key), *b = open_or_skip(SG_NOISE_CHACHA20, other);
    add(a, 0, 0, N, value);
    add(a, 1, 0, N, value + N);
    add(a, 256, 0, N, value + 2 * N);
    add(b, 0, 0, N, value + 3 * N);
    add(b, 1, 0, N, value + 4 * N);
    add(a, 0, N, N, value + 5 * N);
    for (int s = 0; s < STREAMS; s++)
        for (int t = 0; t < s; t++)
            for (int i = 0; i < N; i++)
                assert_int_not_equal(value[s * N + i], value[t * N + i]);
    sg_noise_close(&a);
    sg_noise_close(&b);
    free(value);
}

static void sampling_and_noise_never_share_words(void **state)
{
    (void)state;
    /* The sampler's step key and the noise's, by their definitions, from one key and one step. */
    uint8_t message[64], derived[3][SG_DIGEST_BYTES];
    const char *purposes[] = {"step", "noise first words of step", "noise further words of step"};
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(purposes[i]);
        memcpy(message, purposes[i], n);
        sg_store_u64be(message + n, 5);
        sg_hmac_sha256(key, sizeof key, message, n + 8, derived[i]);
        for (int k = 0; k < i; k++)
            assert_memory_not_equal(derived[i], derived[k], 8);
    }
    /* And that the library uses these: the words under derived[1] give the noise of step 5. */
    enum { N = 1000 };
    uint64_t word[N];
    int64_t sum[N] = {0}, again[N] = {0};
    struct sg_noise_words *words;
    assert_int_equal(sg_noise_words_chacha20(&words), SG_OK);
    assert_int_equal(words->key_step(words, derived[1]), SG_OK);
    read_words(words, 0, N, word);
    words->close(words);
    struct sg_noise_table *table = sg_alloc_aligned(sizeof *table);
    sg_noise_table_build(&sg_noise_shape, table);
    uint8_t own_key[SG_KEY_BYTES];
    memcpy(own_key, key, sizeof key);
    memcpy(key, derived[2], sizeof key); /* block() reads its key there */
    struct sg_noise_more more = {.block = block};
    sg_noise_add_scalar(table, &more, word, 0, N, sum);
    memcpy(key, own_key, sizeof key);
    struct sg_noise *noise = open_or_skip(SG_NOISE_CHACHA20, key);
    add(noise, 5, 0, N, again);
    assert_memory_equal(sum, again, sizeof sum);
    sg_noise_close(&noise);
    free(table);
}

static void tau_is_small_enough(void **state)
{
    (void)state;
    /* (1 + e^8) P S tau with P = 1e7 weights and S = 1e4 steps stays far below 1 % of delta = 1e-6. */
    double tau_log2 = sg_noise_tau_log2();
    assert_true(tau_log2 <= -100 && tau_log2 > -200);
    assert_true(sg_noise_tau_bound_log2(&sg_noise_shape, 63, 128) <= tau_log2);
}

static int make_key(void **state)
{
    (void)state;
    char text[2 * SG_KEY_BYTES + 1];
    const char *seed = getenv("SEALGRAD_TEST_SEED");
    if (!seed || !sg_hex_decode(seed, strlen(seed), key, sizeof key))
        if (sg_random_bytes(key, sizeof key) != SG_OK)
            return -1;
    sg_hex_encode(key, sizeof key, text);
    printf("SEALGRAD_TEST_SEED=%s\n", text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_partition_gives_the_same_chacha20),
        cmocka_unit_test(any_partition_gives_the_same_curand),
        cmocka_unit_test(chacha20_values_are_golden),
        cmocka_unit_test(curand_values_are_golden),
        cmocka_unit_test(chacha20_words_are_libsodiums),
        cmocka_unit_test(curand_words_are_philox),
        cmocka_unit_test(vector_code_gives_the_scalar_bits),
        cmocka_unit_test(rare_paths_are_taken_and_right),
        cmocka_unit_test(the_further_bits_are_in_their_places),
        cmocka_unit_test(a_missing_source_is_an_error),
        cmocka_unit_test(streams_are_apart),
        cmocka_unit_test(sampling_and_noise_never_share_words),
        cmocka_unit_test(tau_is_small_enough),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
