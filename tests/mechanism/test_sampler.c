/* Catches: a unit joining with a probability other than q, draws that depend on each other, on the file's order, on who
 * else is there or on the step before; q = 1 or an empty step treated as a special case; a panel or group computed in
 * too few bits; a full panel that spills into its neighbour. */
#include <math.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "mechanism/sampler.h"

typedef unsigned __int128 u128;
typedef uint8_t id_digest[SG_ID_DIGEST_BYTES];

static uint8_t key[SG_KEY_BYTES];
static struct sg_unit_sampler *sampler;

/* Fresh randomness each run, printed, so that a failure can be replayed with SEALGRAD_TEST_SEED. */
static int open_sampler(void **state)
{
    (void)state;
    const char *seed = getenv("SEALGRAD_TEST_SEED");
    char text[2 * SG_KEY_BYTES + 1];
    if (!seed || !sg_hex_decode(seed, strlen(seed), key, sizeof key))
        if (sg_random_bytes(key, sizeof key) != SG_OK)
            return -1;
    sg_hex_encode(key, sizeof key, text);
    printf("SEALGRAD_TEST_SEED=%s\n", text);
    return sg_sampler_open(key, &sampler) == SG_OK ? 0 : -1;
}

static int close_sampler(void **state)
{
    (void)state;
    sg_sampler_close(&sampler);
    return sampler != NULL;
}

static id_digest *make_digests(int n)
{
    id_digest *digest = sg_alloc((size_t)n, sizeof *digest);
    for (int i = 0; i < n; i++) {
        uint8_t hash[SG_DIGEST_BYTES];
        char name[32];
        snprintf(name, sizeof name, "unit %d", i);
        sg_sha256(name, strlen(name), hash);
        memcpy(digest[i], hash, sizeof digest[i]);
    }
    return digest;
}

static void draw(uint64_t step, struct sg_sampler_rule rule, id_digest *digest, int n, struct sg_sample *sample)
{
    assert_int_equal(sg_sampler_draw(sampler, step, &rule, digest, n, sample), SG_OK);
}

static uint64_t threshold_of(double q)
{
    return (uint64_t)(q * 0x1p64);
}

/* x by the specification, one unit at a time and with the cipher called another way. */
static uint64_t x_of(uint64_t step, const id_digest digest)
{
    uint8_t message[12] = "step", step_key[SG_DIGEST_BYTES], out[32];
    sg_store_u64be(message + 4, step);
    sg_hmac_sha256(key, sizeof key, message, sizeof message, step_key);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    uint8_t zero_iv[16] = {0};
    int n = 0;
    /* CBC from a zero vector: its first block is the block cipher itself. */
    assert_int_equal(EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, step_key, zero_iv), 1);
    assert_int_equal(EVP_EncryptUpdate(cipher, out, &n, digest, 16), 1);
    EVP_CIPHER_CTX_free(cipher);
    return sg_load_u64be(out);
}

static int64_t share(uint64_t x, int64_t n, uint64_t t)
{
    return (int64_t)((u128)x * (u128)n / (t ? t : (u128)1 << 64));
}

struct place {
    int64_t panel;
    uint64_t x;
};

/* Checks the lists of a draw against the specification; where[i].panel = -1 for units outside. */
static void check_sample(uint64_t step, struct sg_sampler_rule rule, id_digest *digest, int n,
                         const struct sg_sample *sample, struct place *where)
{
    for (int i = 0; i < n; i++)
        where[i] = (struct place){.panel = -1, .x = x_of(step, digest[i])};
    assert_int_equal(sample->n_panels, rule.n_panels);
    assert_int_equal(sample->panel_unit[0], 0);
    assert_int_equal(sample->panel_unit[rule.n_panels], sample->n_units);
    assert_int_equal(sample->panel_group[rule.n_panels], sample->n_groups);
    assert_int_equal(sample->group_unit[sample->n_groups], sample->n_units);
    for (int64_t p = 0, g = 0; p < rule.n_panels; p++) {
        assert_int_equal(sample->panel_group[p], g);
        assert_true(sample->panel_unit[p + 1] - sample->panel_unit[p] <= rule.units_per_panel_max);
        for (int64_t at = sample->panel_unit[p]; at < sample->panel_unit[p + 1]; at++) {
            int32_t unit = sample->unit[at];
            uint64_t x = where[unit].x;
            assert_true(rule.threshold == 0 || x < rule.threshold);
            assert_int_equal(where[unit].panel, -1);
            assert_int_equal(share(x, rule.n_panels, rule.threshold), p);
            if (g < sample->n_groups && sample->group_unit[g] == at)
                g++;
            int32_t first = sample->group_unit[g - 1], last = sample->unit[first];
            if (rule.n_groups)
                assert_int_equal(share(x, rule.n_groups, rule.threshold),
                                 share(where[last].x, rule.n_groups, rule.threshold));
            else
                assert_int_equal(first, at);
            where[unit].panel = p;
            if (at > sample->panel_unit[p])
                assert_true(where[sample->unit[at - 1]].x <= x);
        }
    }
}

static int64_t count_joining(uint64_t threshold, const struct place *where, int n)
{
    int64_t joining = 0;
    for (int i = 0; i < n; i++)
        joining += threshold == 0 || where[i].x < threshold;
    return joining;
}

static void draws_follow_the_specification(void **state)
{
    (void)state;
    enum { N = 3000 };
    id_digest *digest = make_digests(N);
    struct place *where = sg_alloc(N, sizeof *where);
    struct sg_sample sample = {0};
    const struct sg_sampler_rule rules[] = {{threshold_of(.1), 13, 0, 1000},
                                            {threshold_of(.1), 13, 13 * 25, 1000},
                                            {0, 1, 0, N},
                                            {0, 125, 1000, N},
                                            {1, 1, 0, 1},
                                            {UINT64_MAX, 7, 7, N},
                                            {0, 2999, 0, 100},
                                            {threshold_of(.5), 1, 750, N},
                                            {threshold_of(1e-6), 40, 0, 10},
                                            {threshold_of(.7), 10, 500, 190}};
    for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++)
        for (uint64_t step = 0; step < 3; step++) {
            draw(step, rules[r], digest, N, &sample);
            check_sample(step, rules[r], digest, N, &sample, where);
            assert_int_equal(sample.n_units + sample.n_over, count_joining(rules[r].threshold, where, N));
        }
    sg_sample_free(&sample);
    free(where);
    free(digest);
}

static void everybody_joins_at_rate_one(void **state)
{
    (void)state;
    enum { N = 5000 };
    id_digest *digest = make_digests(N);
    uint8_t *seen = sg_alloc(N, 1);
    struct sg_sample sample = {0};
    draw(9, (struct sg_sampler_rule){0, 50, 0, N}, digest, N, &sample);
    assert_int_equal(sample.n_units, N);
    assert_int_equal(sample.n_groups, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[sample.unit[i]]++, 0);
    sg_sample_free(&sample);
    free(seen);
    free(digest);
}

static void empty_steps_are_ordinary(void **state)
{
    (void)state;
    id_digest *digest = make_digests(100);
    struct sg_sample sample = {0};
    for (int n = 0; n <= 100; n += 100) {
        draw(3, (struct sg_sampler_rule){1, 4, 0, 10}, digest, n, &sample); /* q = 2^-64 */
        assert_int_equal(sample.n_units, 0);
        assert_int_equal(sample.n_groups, 0);
        assert_int_equal(sample.n_panels, 4);
        for (int p = 0; p <= 4; p++)
            assert_int_equal(sample.panel_unit[p] | sample.panel_group[p], 0);
        assert_int_equal(sample.group_unit[0], 0);
    }
    sg_sample_free(&sample);
    free(digest);
}

/* A full panel keeps its first units by (x, digest), drops the others, counts them and leaves other panels alone. */
static void full_panel_drops_and_counts(void **state)
{
    (void)state;
    enum { N = 1000, CAP = 90 };
    id_digest *digest = make_digests(N);
    struct sg_sample all = {0}, capped = {0};
    for (uint64_t step = 0; step < 20; step++) {
        draw(step, (struct sg_sampler_rule){0, 10, 0, N}, digest, N, &all);
        draw(step, (struct sg_sampler_rule){0, 10, 0, CAP}, digest, N, &capped);
        int64_t over = 0;
        for (int p = 0; p < 10; p++) {
            int n_all = all.panel_unit[p + 1] - all.panel_unit[p];
            int n_kept = capped.panel_unit[p + 1] - capped.panel_unit[p];
            assert_int_equal(n_kept, n_all < CAP ? n_all : CAP);
            assert_memory_equal(capped.unit + capped.panel_unit[p], all.unit + all.panel_unit[p],
                                (size_t)n_kept * sizeof *all.unit);
            over += n_all - n_kept;
        }
        assert_true(over > 0); /* mean 100, cap 90: the case is there */
        assert_int_equal(capped.n_over, over);
    }
    sg_sample_free(&all);
    sg_sample_free(&capped);
    free(digest);
}

static void removing_a_unit_moves_nobody(void **state)
{
    (void)state;
    enum { N = 2000 };
    id_digest *digest = make_digests(N);
    struct place *with = sg_alloc(N, sizeof *with), *without = sg_alloc(N, sizeof *without);
    struct sg_sample sample = {0};
    const struct sg_sampler_rule rule = {threshold_of(.3), 20, 200, N};
    for (int gone = 0; gone < N; gone += 97) {
        draw(5, rule, digest, N, &sample);
        check_sample(5, rule, digest, N, &sample, with);
        id_digest *rest = sg_alloc(N, sizeof *rest);
        memcpy(rest, digest, (size_t)gone * sizeof *rest);
        memcpy(rest + gone, digest + gone + 1, (size_t)(N - gone - 1) * sizeof *rest);
        draw(5, rule, rest, N - 1, &sample);
        check_sample(5, rule, rest, N - 1, &sample, without);
        for (int i = 0; i < N; i++) {
            if (i == gone)
                continue;
            const struct place *after = &without[i < gone ? i : i - 1];
            assert_int_equal(with[i].x, after->x);
            assert_int_equal(with[i].panel, after->panel);
        }
        free(rest);
    }
    sg_sample_free(&sample);
    free(with);
    free(without);
    free(digest);
}

static void file_order_does_not_matter(void **state)
{
    (void)state;
    enum { N = 10007 };
    id_digest *digest = make_digests(N), *shuffled = sg_alloc(N, sizeof *shuffled);
    for (int i = 0; i < N; i++)
        memcpy(shuffled[(int64_t)i * 4001 % N], digest[i], sizeof *digest);
    struct sg_sample a = {0}, b = {0};
    const struct sg_sampler_rule rule = {threshold_of(.4), 30, 1500, 140};
    draw(77, rule, digest, N, &a);
    draw(77, rule, shuffled, N, &b);
    assert_true(a.n_units > 3000);
    assert_int_equal(a.n_units, b.n_units);
    assert_int_equal(a.n_groups, b.n_groups);
    assert_int_equal(a.n_over, b.n_over);
    assert_memory_equal(a.panel_unit, b.panel_unit, 31 * sizeof *a.panel_unit);
    assert_memory_equal(a.group_unit, b.group_unit, (size_t)(a.n_groups + 1) * sizeof *a.group_unit);
    for (int64_t i = 0; i < a.n_units; i++)
        assert_memory_equal(digest[a.unit[i]], shuffled[b.unit[i]], sizeof *digest);
    sg_sample_free(&a);
    sg_sample_free(&b);
    free(digest);
    free(shuffled);
}

/* x < t, not x <= t; and the unit just below t is in the last panel and the last group, however long the products are.
 */
static void the_border_is_exclusive(void **state)
{
    (void)state;
    id_digest *digest = make_digests(200);
    struct sg_sample sample = {0};
    for (int i = 0; i < 200; i++) {
        uint64_t x = x_of(11, digest[i]);
        const struct sg_sampler_rule rules[] = {{x, 1000003, 0, 1}, {x + 1, 1000003, 1000003 * 5, 1}};
        draw(11, rules[0], digest + i, 1, &sample);
        assert_int_equal(sample.n_units, 0);
        draw(11, rules[1], digest + i, 1, &sample);
        assert_int_equal(sample.n_units, 1);
        assert_int_equal(sample.n_groups, 1);
        assert_int_equal(sample.panel_unit[1000002], 0);
        assert_int_equal(sample.panel_unit[1000003], 1);
        draw(11, (struct sg_sampler_rule){0, 1000003, 0, 1}, digest + i, 1, &sample); /* q = 1: x n / 2^64 */
        int64_t panel = (int64_t)((u128)x * 1000003 >> 64);
        assert_int_equal(sample.panel_unit[panel], 0);
        assert_int_equal(sample.panel_unit[panel + 1], 1);
    }
    sg_sample_free(&sample);
    free(digest);
}

static double z_of_chi_square(double chi, double freedom)
{
    return (chi - freedom) / sqrt(2 * freedom);
}

/* Counts per step and per unit are binomial (mean and variance by chi-square), and pairs of units and of steps agree as
 * often as independent ones. Bounds at |z| < 6: a false alarm about once in 10^8 runs. */
static void inclusion_is_binomial_and_independent(void **state)
{
    (void)state;
    enum { N = 4000, STEPS = 1000 };
    const double q = .037;
    id_digest *digest = make_digests(N);
    struct sg_sample sample = {0};
    uint8_t *now = sg_alloc(N, 1), *last = sg_alloc(N, 1);
    int32_t *per_unit = sg_alloc(N, sizeof *per_unit);
    double total = 0, chi_step = 0, chi_unit = 0, next_step = 0, next_unit = 0;
    for (uint64_t step = 0; step < STEPS; step++) {
        draw(step, (struct sg_sampler_rule){threshold_of(q), 6, 0, N}, digest, N, &sample);
        memset(now, 0, N);
        for (int64_t i = 0; i < sample.n_units; i++)
            now[sample.unit[i]] = 1;
        for (int i = 0; i < N; i++) {
            per_unit[i] += now[i];
            next_step += now[i] & last[i];
            next_unit += now[i] & now[(i + 1) % N];
        }
        memcpy(last, now, N);
        total += (double)sample.n_units;
        chi_step += pow((double)sample.n_units - N * q, 2) / (N * q * (1 - q));
    }
    for (int i = 0; i < N; i++)
        chi_unit += pow(per_unit[i] - STEPS * q, 2) / (STEPS * q * (1 - q));
    double pairs = (double)N * (STEPS - 1), pairs_unit = (double)N * STEPS, qq = q * q;
    double z[] = {(total - pairs_unit * q) / sqrt(pairs_unit * q * (1 - q)), z_of_chi_square(chi_step, STEPS),
                  z_of_chi_square(chi_unit, N), (next_step - pairs * qq) / sqrt(pairs * qq * (1 - qq) * (1 + 2 * q)),
                  (next_unit - pairs_unit * qq) / sqrt(pairs_unit * qq * (1 - qq) * (1 + 2 * q))};
    for (int k = 0; k < 5; k++) {
        printf("z[%d] = %.2f\n", k, z[k]);
        assert_true(fabs(z[k]) < 6);
    }
    sg_sample_free(&sample);
    free(now);
    free(last);
    free(per_unit);
    free(digest);
}

static void panels_fill_evenly(void **state)
{
    (void)state;
    enum { N = 20000, PANELS = 64, STEPS = 40 };
    id_digest *digest = make_digests(N);
    struct sg_sample sample = {0};
    double count[PANELS] = {0}, total = 0, chi = 0;
    for (uint64_t step = 0; step < STEPS; step++) {
        draw(step, (struct sg_sampler_rule){threshold_of(.25), PANELS, 0, N}, digest, N, &sample);
        for (int p = 0; p < PANELS; p++)
            count[p] += sample.panel_unit[p + 1] - sample.panel_unit[p];
        total += (double)sample.n_units;
    }
    for (int p = 0; p < PANELS; p++)
        chi += pow(count[p] - total / PANELS, 2) / (total / PANELS);
    printf("z = %.2f\n", z_of_chi_square(chi, PANELS - 1));
    assert_true(fabs(z_of_chi_square(chi, PANELS - 1)) < 7);
    sg_sample_free(&sample);
    free(digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_specification),
        cmocka_unit_test(everybody_joins_at_rate_one),
        cmocka_unit_test(empty_steps_are_ordinary),
        cmocka_unit_test(the_border_is_exclusive),
        cmocka_unit_test(full_panel_drops_and_counts),
        cmocka_unit_test(removing_a_unit_moves_nobody),
        cmocka_unit_test(file_order_does_not_matter),
        cmocka_unit_test(inclusion_is_binomial_and_independent),
        cmocka_unit_test(panels_fill_evenly),
    };
    return cmocka_run_group_tests(tests, open_sampler, close_sampler);
}
