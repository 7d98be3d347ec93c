/* Would catch: figures that differ from scikit-learn's, that depend on the order of tied records, an interval that is
 * not DeLong's, and undefined figures that come out as numbers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"

#define N_GOLDEN (sizeof golden / sizeof *golden)

static void assert_near(const char *sample, const char *figure, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: %s is %.17g, want %.17g", sample, figure, got, want);
}

static void assert_same(const struct sg_metrics *got, const struct sg_metrics *want, const char *sample,
                        double tolerance)
{
    assert_int_equal(got->n_positive, want->n_positive);
    assert_near(sample, "auc", got->auc, want->auc, tolerance);
    assert_near(sample, "gini", got->gini, want->gini, tolerance);
    assert_near(sample, "ks", got->ks, want->ks, tolerance);
    assert_near(sample, "brier", got->brier, want->brier, tolerance);
    assert_near(sample, "log_loss", got->log_loss, want->log_loss, tolerance);
    assert_near(sample, "ece", got->ece, want->ece, tolerance);
    assert_near(sample, "lift_10", got->lift_10, want->lift_10, tolerance);
    assert_near(sample, "capture_10", got->capture_10, want->capture_10, tolerance);
    assert_near(sample, "accuracy_base_rate", got->accuracy_base_rate, want->accuracy_base_rate, tolerance);
}

static void figures_are_scikit_learns(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_GOLDEN; i++) {
        struct sg_metrics got;
        sg_metrics_compute(golden[i].n, golden[i].score, golden[i].label, &got);
        assert_int_equal(got.n, golden[i].n);
        assert_same(&got, &golden[i].want, golden[i].name, 1e-12);
    }
}

static uint64_t seed = 5;

static uint64_t random64(void)
{
    seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = seed;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void order_does_not_matter(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_GOLDEN; i++) {
        int64_t n = golden[i].n;
        float *score = malloc((size_t)n * sizeof *score), *label = malloc((size_t)n * sizeof *label);
        memcpy(score, golden[i].score, (size_t)n * sizeof *score);
        memcpy(label, golden[i].label, (size_t)n * sizeof *label);
        for (int64_t j = n - 1; j > 0; j--) {
            int64_t k = (int64_t)(random64() % (uint64_t)(j + 1));
            float s = score[j], y = label[j];
            score[j] = score[k], label[j] = label[k];
            score[k] = s, label[k] = y;
        }
        struct sg_metrics here, there;
        sg_metrics_compute(n, golden[i].score, golden[i].label, &there);
        sg_metrics_compute(n, score, label, &here);
        assert_same(&here, &there, golden[i].name, 1e-13);
        assert_near(golden[i].name, "auc_low", here.auc_low, there.auc_low, 1e-13);
        free(score);
        free(label);
    }
}

/* DeLong, DeLong and Clarke-Pearson (1988), equations 4 to 6, from all pairs. */
static void delong_by_pairs(int64_t n, const float *score, const float *label, double *low, double *high)
{
    double positives = 0, negatives = 0, sum = 0, variance = 0;
    double *component = calloc((size_t)n, sizeof *component); /* V10 of positives, V01 of negatives */
    for (int64_t i = 0; i < n; i++) {
        positives += label[i] == 1;
        negatives += label[i] == 0;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            if (label[i] != 1 || label[j] != 0)
                continue;
            double psi = score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0;
            sum += psi;
            component[i] += psi / negatives;
            component[j] += psi / positives;
        }
    double auc = sum / positives / negatives;
    for (int64_t i = 0; i < n; i++) {
        double m = label[i] == 1 ? positives : negatives;
        variance += (component[i] - auc) * (component[i] - auc) / (m - 1) / m;
    }
    free(component);
    *low = fmax(auc - 1.959963984540054 * sqrt(variance), 0);
    *high = fmin(auc + 1.959963984540054 * sqrt(variance), 1);
}

static void interval_is_delongs(void **state)
{
    (void)state;
    double low, high;
    struct sg_metrics got;
    for (size_t i = 0; i < N_GOLDEN; i++) {
        sg_metrics_compute(golden[i].n, golden[i].score, golden[i].label, &got);
        delong_by_pairs(golden[i].n, golden[i].score, golden[i].label, &low, &high);
        assert_near(golden[i].name, "auc_low", got.auc_low, low, 1e-12);
        assert_near(golden[i].name, "auc_high", got.auc_high, high, 1e-12);
    }
    enum { N = 300 };
    float score[N], label[N];
    for (int round = 0; round < 20; round++) {
        unsigned levels = round % 2 ? 1000000 : 7;
        for (int i = 0; i < N; i++) {
            label[i] = random64() % 4 == 0;
            score[i] = (float)(random64() % levels) / (float)(levels + 1) + 0.1f * label[i];
        }
        sg_metrics_compute(N, score, label, &got);
        delong_by_pairs(N, score, label, &low, &high);
        assert_near("random", "auc_low", got.auc_low, low, 1e-12);
        assert_near("random", "auc_high", got.auc_high, high, 1e-12);
        assert_true(got.auc_low < got.auc && got.auc < got.auc_high);
    }
}

static void extremes_by_hand(void **state)
{
    (void)state;
    struct sg_metrics got;
    static const float perfect[] = {0, 0.1f, 0.9f, 1}, label[] = {0, 0, 1, 1}, reversed[] = {1, 1, 0, 0};
    sg_metrics_compute(4, perfect, label, &got);
    assert_true(got.auc == 1 && got.gini == 1 && got.ks == 1 && got.accuracy_base_rate == 1);
    assert_true(got.auc_low == 1 && got.auc_high == 1);
    assert_near("perfect", "capture_10", got.capture_10, 0.2, 1e-15); /* .4 of a record out of 2 positives */
    sg_metrics_compute(4, perfect, reversed, &got);
    assert_true(got.auc == 0 && got.gini == -1 && got.ks == 1 && got.accuracy_base_rate == 0 && got.capture_10 == 0);
    assert_near("reversed", "log_loss", got.log_loss, -(2 * log(1e-15) + 2 * log((double)0.1f)) / 4, 1e-3);
    static const float zeros[] = {0.0f, -0.0f}, both[] = {1, 0};
    sg_metrics_compute(2, zeros, both, &got);
    assert_true(got.auc == 0.5);                            /* zeros of either sign tie */
    assert_true(isnan(got.auc_low) && isnan(got.auc_high)); /* one record has no variance */
    static const float edge[] = {0.5f, 0.45f}, one_each[] = {1, 1};
    sg_metrics_compute(2, edge, one_each, &got);
    assert_near("edge", "ece", got.ece, (0.5 + (1 - (double)0.45f)) / 2, 1e-15); /* (0.4, 0.5] holds both */
}

static void undefined_is_nan(void **state)
{
    (void)state;
    struct sg_metrics got;
    static const float score[] = {0.2f, 0.7f, 0.9f}, none[] = {0, 0, 0}, all[] = {1, 1, 1}, some[] = {0, 1, 0};
    sg_metrics_compute(0, NULL, NULL, &got);
    assert_true(isnan(got.auc) && isnan(got.brier) && isnan(got.ece) && isnan(got.lift_10) && got.n == 0);
    sg_metrics_compute(3, score, none, &got);
    assert_true(isnan(got.auc) && isnan(got.gini) && isnan(got.ks) && isnan(got.lift_10) && isnan(got.capture_10));
    assert_near("none", "brier", got.brier, (0.04 + 0.49 + 0.81) / 3, 1e-7);
    sg_metrics_compute(3, score, all, &got);
    assert_true(isnan(got.auc) && isnan(got.ks) && got.n_positive == 3);
    assert_near("all", "lift_10", got.lift_10, 1, 1e-15);
    static const float bad[] = {0.2f, NAN, 0.9f};
    sg_metrics_compute(3, bad, some, &got);
    assert_true(isnan(got.auc) && isnan(got.brier) && isnan(got.log_loss) && isnan(got.accuracy_base_rate));
    json_t *json = sg_metrics_to_json(&got);
    assert_int_equal(json_object_size(json), 11);
    assert_true(json_is_null(json_object_get(json, "auc")));
    json_decref(json);
    sg_metrics_compute(3, score, some, &got);
    json = sg_metrics_to_json(&got);
    assert_true(json_real_value(json_object_get(json, "auc")) == 0.5);
    assert_true(json_real_value(json_object_get(json, "accuracy_base_rate")) == got.accuracy_base_rate);
    json_decref(json);
}

static void stability(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_GOLDEN; i++)
        assert_near(golden[i].name, "psi", sg_metrics_psi(golden[0].n, golden[0].score, golden[i].n, golden[i].score),
                    golden_psi[i], 1e-12);
    static const float low[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, high[] = {11, 11, 11, 11, 11};
    double want = 9 * (1e-4 - 0.1) * log(1e-4 / 0.1) + (1 - 0.1) * log(1 / 0.1);
    assert_near("moved", "psi", sg_metrics_psi(10, low, 5, high), want, 1e-12);
    assert_true(sg_metrics_psi(5, high, 5, high) == 0); /* ties make bins empty on both sides */
    assert_true(isnan(sg_metrics_psi(0, NULL, 5, high)) && isnan(sg_metrics_psi(5, high, 0, NULL)));
    static const float bad[] = {NAN};
    assert_true(isnan(sg_metrics_psi(5, high, 1, bad)) && isnan(sg_metrics_psi(1, bad, 5, high)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_scikit_learns), cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(interval_is_delongs),       cmocka_unit_test(extremes_by_hand),
        cmocka_unit_test(undefined_is_nan),          cmocka_unit_test(stability),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
