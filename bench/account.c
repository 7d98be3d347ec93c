/* Time and tightness of the accountant over random settings: q 1e-7..1, sigma 0.2..200, T 1..1e8, delta 1e-15..0.1, all
 * log-uniform. bench_account [N [SEED]]: one JSON object. Times are user CPU of the library call. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/account.h"
#include "timing.h"

static double uniform(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)((*state >> 11) + 1) * 0x1p-53;
}

static double log_uniform(uint64_t *state, double low, double high)
{
    return low * exp(log(high / low) * uniform(state));
}

static double now_ms(void)
{
    return 1e3 * clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

struct totals {
    long contour, pld, closed_form, rdp, failed, tight;
};

static double one(uint64_t *seed, struct totals *totals)
{
    struct sg_phase phase = {log_uniform(seed, 1e-7, 1), log_uniform(seed, 0.2, 200),
                             (int64_t)log_uniform(seed, 1, 1e8)};
    double delta = log_uniform(seed, 1e-15, 0.1), start = now_ms();
    struct sg_history history = {.sensitivity = 1, .phases = &phase, .n_phases = 1};
    struct sg_epsilon e = {.accountant = ""};
    if (sg_account_epsilon(&history, delta, &e) != SG_OK) {
        fprintf(stderr, "q %.17g sigma %.17g T %lld delta %.17g: %s\n", phase.sample_rate, phase.noise_multiplier,
                (long long)phase.steps, delta, sg_error_text());
        totals->failed++;
        return now_ms() - start;
    }
    totals->contour += strcmp(e.accountant, "contour") == 0;
    totals->pld += strcmp(e.accountant, "pld") == 0;
    totals->closed_form += strcmp(e.accountant, "closed_form") == 0;
    totals->rdp += strcmp(e.accountant, "rdp") == 0;
    totals->tight += e.epsilon - e.epsilon_lower <= 1e-6 * e.epsilon;
    return now_ms() - start;
}

int main(int argc, char **argv)
{
    long n = argc > 1 ? strtol(argv[1], NULL, 10) : 1000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 0x5ea1;
    double *ms = n > 0 ? malloc((size_t)n * sizeof *ms) : NULL;
    if (!ms)
        return 2;
    struct totals totals = {0};
    for (long i = 0; i < n; i++)
        ms[i] = one(&seed, &totals);
    sort_doubles(ms, (size_t)n);
    printf("{\"settings\":%ld,\"failed\":%ld,\"contour\":%ld,\"pld\":%ld,\"closed_form\":%ld,\"rdp\":%ld,\"gap_below_"
           "1e-6\":%ld,"
           "\"ms_median\":%.3f,\"ms_p90\":%.3f,\"ms_p99\":%.3f,\"ms_max\":%.3f}\n",
           n, totals.failed, totals.contour, totals.pld, totals.closed_form, totals.rdp, totals.tight, ms[n / 2],
           ms[n * 9 / 10], ms[n * 99 / 100], ms[n - 1]);
    free(ms);
    return totals.failed != 0;
}
