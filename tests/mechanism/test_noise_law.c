/* Catches: noise of the wrong variance, shape or sign balance, low bits that are not uniform, neighbours that depend on
 * each other, rare paths taken more or less often than they should be. 10^8 draws under a fresh key; every statistic is
 * held to six standard deviations, so that a right sampler fails about once in 10^7 runs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "mechanism/noise.h"
#include "noise_core.h"

enum { BLOCK = 1 << 16, FINE = 1 << 16, BIN_SHIFT = 20, BINS = 1 << 16 }; /* bins of std/4096 */

static uint32_t bin[2][BINS], low[FINE];
static int64_t value[BLOCK];

struct moments {
    double sum[4], lagged;
};

static void see(const int64_t *v, int n, struct moments *m)
{
    for (int i = 0; i < n; i++) {
        int negative = v[i] < 0;
        uint64_t magnitude = (uint64_t)(negative ? -v[i] : v[i]);
        bin[negative][magnitude >> BIN_SHIFT]++;
        low[v[i] & (FINE - 1)]++;
    }
    double last = 0;
    for (int i = 0; i < n; i++) {
        double x = (double)v[i] * 0x1p-32, square = x * x;
        m->sum[0] += x;
        m->sum[1] += square;
        m->sum[2] += square * x;
        m->sum[3] += square * square;
        m->lagged += x * last;
        last = x;
    }
}

static void hold(const char *name, double z)
{
    printf("  %s: z = %.2f\n", name, z);
    assert_true(fabs(z) < 6);
}

static double z_of_chi_square(double chi, double freedom)
{
    return (chi - freedom) / sqrt(2 * freedom);
}

/* Both signs, bins of equal width, the far tail in one. */
static void check_bins(double n)
{
    double chi = 0, freedom = -1, width = ldexp(1, BIN_SHIFT - 32);
    for (int sign = 0; sign < 2; sign++) {
        double tail_seen = 0, tail_expected = 0;
        for (int b = 0; b < BINS; b++) {
            double expected = n / 2 * (erfc(b * width * M_SQRT1_2) - erfc((b + 1) * width * M_SQRT1_2));
            if (expected < 25) {
                tail_seen += bin[sign][b];
                tail_expected += expected;
                continue;
            }
            chi += pow(bin[sign][b] - expected, 2) / expected;
            freedom++;
        }
        chi += pow(tail_seen - tail_expected, 2) / tail_expected;
        freedom++;
    }
    hold("shape", z_of_chi_square(chi, freedom));
}

static void check_low_bits(double n)
{
    double chi = 0, expected = n / FINE;
    for (int b = 0; b < FINE; b++)
        chi += pow(low[b] - expected, 2) / expected;
    hold("low 16 bits", z_of_chi_square(chi, FINE - 1));
}

static void check_moments(const struct moments *m, double n)
{
    hold("mean", m->sum[0] / sqrt(n));
    hold("variance", (m->sum[1] - n) / sqrt(2 * n));
    hold("third moment", m->sum[2] / sqrt(15 * n));
    hold("fourth moment", (m->sum[3] - 3 * n) / sqrt(96 * n));
    hold("kurtosis", (n * m->sum[3] / (m->sum[1] * m->sum[1]) - 3) / sqrt(24 / n));
    hold("next to each other", m->lagged / sqrt(n));
}

/* Of an attempt, 1/8192 is a tie; kept is sqrt(pi/2) 256 of the sum of the cells' highest densities, which is half a
 * cell more than that integral. */
static void check_counts(const struct sg_noise_counts *counts, double n)
{
    double area = 256 * sqrt(M_PI_2), kept = area / (area + .5), attempts = n / kept;
    double ties = attempts / 8192, rejected = attempts - n;
    printf("  slow %.3g of the values, ties %.3g, rejected %.3g\n", (double)counts->slow / n, (double)counts->ties / n,
           (double)counts->rejected / n);
    hold("ties", ((double)counts->ties - ties) / sqrt(ties));
    hold("rejections", ((double)counts->rejected - rejected) / sqrt(rejected));
    assert_true((double)counts->slow > n * .0015 && (double)counts->slow < n * .0025);
}

static void check_law(enum sg_noise_source source, double draws)
{
    uint8_t key[SG_KEY_BYTES];
    char text[2 * SG_KEY_BYTES + 1];
    const char *seed = getenv("SEALGRAD_TEST_SEED");
    if (!seed || !sg_hex_decode(seed, strlen(seed), key, sizeof key))
        assert_int_equal(sg_random_bytes(key, sizeof key), SG_OK);
    sg_hex_encode(key, sizeof key, text);
    struct sg_noise *noise = NULL;
    if (sg_noise_open(source, key, &noise) != SG_OK) {
        assert_int_equal(source, SG_NOISE_CURAND);
        printf("SKIPPED: %s\n", sg_error_text());
        assert_non_null(strstr(sg_error_text(), "not found"));
        skip();
    }
    struct moments m = {0};
    memset(bin, 0, sizeof bin);
    memset(low, 0, sizeof low);
    int64_t n = 0;
    for (; (double)n < draws; n += BLOCK) {
        memset(value, 0, sizeof value);
        assert_int_equal(sg_noise_add(noise, (uint64_t)n >> 22, (uint64_t)n & 0x3fffff, BLOCK, value), SG_OK);
        see(value, BLOCK, &m);
    }
    printf("%s, %lld draws, SEALGRAD_TEST_SEED=%s\n", sg_noise_source_name(source), (long long)n, text);
    check_bins((double)n);
    check_low_bits((double)n);
    check_moments(&m, (double)n);
    check_counts(sg_noise_counts(noise), (double)n);
    sg_noise_close(&noise);
}

/* Under a sanitizer, where the statistics are not the point, a tenth. */
#if defined(__SANITIZE_ADDRESS__)
#define FULL 1e7
#else
#define FULL 1e8
#endif

static void chacha20_is_gaussian(void **state)
{
    (void)state;
    check_law(SG_NOISE_CHACHA20, FULL);
}

static void curand_is_gaussian(void **state)
{
    (void)state;
    check_law(SG_NOISE_CURAND, FULL / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chacha20_is_gaussian),
        cmocka_unit_test(curand_is_gaussian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
