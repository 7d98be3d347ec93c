/* Population stability index: sum over bins of (a - e) ln(a / e), a and e the shares of the two samples. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "metrics/metrics.h"

#define BINS 10
#define SHARE_MIN 1e-4

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static bool all_finite(int64_t n, const float *values)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

/* cut[i] is the smallest value that at least (i + 1) tenths of the sample do not exceed. */
static void find_deciles(int64_t n, const float *values, float cut[BINS - 1])
{
    float *sorted = sg_alloc((size_t)n, sizeof *sorted);
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    for (int i = 0; i < BINS - 1; i++)
        cut[i] = sorted[((i + 1) * n + BINS - 1) / BINS - 1];
    free(sorted);
}

/* Shares of the bins (-inf, cut 0], (cut 0, cut 1], ..., (cut 8, inf). */
static void find_shares(int64_t n, const float *values, const float cut[BINS - 1], double share[BINS])
{
    int64_t count[BINS] = {0};
    for (int64_t i = 0; i < n; i++) {
        int bin = 0;
        for (int j = 0; j < BINS - 1; j++)
            bin += values[i] > cut[j];
        count[bin]++;
    }
    for (int i = 0; i < BINS; i++)
        share[i] = fmax((double)count[i] / (double)n, SHARE_MIN);
}

double sg_metrics_psi(int64_t n_expected, const float *expected, int64_t n_actual, const float *actual)
{
    if (n_expected < 1 || n_actual < 1 || !all_finite(n_expected, expected) || !all_finite(n_actual, actual))
        return NAN;
    float cut[BINS - 1];
    double e[BINS], a[BINS], index = 0;
    find_deciles(n_expected, expected, cut);
    find_shares(n_expected, expected, cut, e);
    find_shares(n_actual, actual, cut, a);
    for (int i = 0; i < BINS; i++)
        index += (a[i] - e[i]) * log(a[i] / e[i]);
    return index;
}
