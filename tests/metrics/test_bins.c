/* Would catch: a bin that is about fewer than ten people, shares that do not add up, records in a bin that their score
 * is not in, a curve that says something else than the exact AUC, and bins of what has no curve. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>

#include "metrics/metrics.h"

enum { N = 3000 };
static float score[N], label[N];

static int64_t at(const json_t *bins, size_t row, size_t column)
{
    return (int64_t)json_integer_value(json_array_get(json_array_get(bins, row), column));
}

/* Scores (i + 1/2) / N, positive where a Weyl sequence lies below the score: calibrated, and the same on every machine. */
static void fill(int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        score[i] = ((float)i + 0.5f) / (float)n;
        label[i] = fmod((double)i * 0.6180339887498949, 1) < score[i];
    }
}

static void edges_ascend(void **state)
{
    (void)state;
    for (int i = 0; i < SG_METRICS_BINS; i++)
        assert_true(sg_metrics_bin_edge(i) < sg_metrics_bin_edge(i + 1));
    assert_true(sg_metrics_bin_edge(0) == 0 && sg_metrics_bin_edge(SG_METRICS_BINS) == 1);
    assert_true(sg_metrics_bin_edge(21) == 0.5);
    assert_true(fabs(sg_metrics_bin_edge(22) - M_SQRT2 / (1 + M_SQRT2)) < 1e-15);
    assert_true(fabs(sg_metrics_bin_edge(1) - 1 / (1 + 1024.0)) < 1e-15);
}

static void rows_are_what_they_say(void **state)
{
    (void)state;
    fill(N);
    json_t *bins = sg_metrics_bins(N, score, label);
    int64_t sum = 0;
    for (size_t i = 0; i < json_array_size(bins); i++) {
        double mean = (double)at(bins, i, 3) / 1e4, rate = (double)at(bins, i, 4) / 1e4;
        sum += at(bins, i, 2);
        assert_true(at(bins, i, 2) * N >= 10 * 10000 - N); /* ten people */
        assert_true(i == 0 || at(bins, i, 0) > at(bins, i - 1, 1));
        assert_true(mean >= sg_metrics_bin_edge((int)at(bins, i, 0)) - 1e-4 &&
                    mean <= sg_metrics_bin_edge((int)at(bins, i, 1) + 1) + 1e-4);
        assert_true(fabs(mean - rate) < 0.1); /* calibrated by construction */
    }
    assert_true(llabs(sum - 10000) <= (long long)json_array_size(bins));
    json_decref(bins);
}

/* The trapezoid over the bins lies near the exact area: ties inside a bin count a half. */
static void curve_has_the_area(void **state)
{
    (void)state;
    struct sg_metrics exact;
    double positives = 0, negatives = 0, area = 0;
    fill(N);
    sg_metrics_compute(N, score, label, &exact);
    json_t *bins = sg_metrics_bins(N, score, label);
    for (size_t i = 0; i < json_array_size(bins); i++) { /* from low scores: negatives below count in full */
        double share = (double)at(bins, i, 2) / 1e4, p = share * (double)at(bins, i, 4) / 1e4, n = share - p;
        area += p * (negatives + n / 2);
        positives += p, negatives += n;
    }
    assert_true(fabs(area / (positives * negatives) - exact.auc) < 0.01);
    json_decref(bins);
}

static void nothing_about_a_few(void **state)
{
    (void)state;
    fill(N);
    assert_null(sg_metrics_bins(0, score, label));
    assert_null(sg_metrics_bins(19, score, label));
    for (int64_t n = 20; n < 400; n += 7) {
        fill(n);
        json_t *bins = sg_metrics_bins(n, score, label);
        for (size_t i = 0; i < json_array_size(bins); i++)
            assert_true((double)at(bins, i, 2) / 1e4 * (double)n > 9.9);
        assert_true(json_array_size(bins) > 0);
        json_decref(bins);
    }
    fill(N);
    score[7] = NAN;
    assert_null(sg_metrics_bins(N, score, label));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_ascend),
        cmocka_unit_test(rows_are_what_they_say),
        cmocka_unit_test(curve_has_the_area),
        cmocka_unit_test(nothing_about_a_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
