/* Metrics of classes and values against figures worked out by hand. Would catch: ties counted in our favour, a macro
 * mean over classes that do not occur, precision of a class that is never predicted, R^2 of constant labels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/metrics.h"

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-7))
        fail_msg("%.12g, expected %.12g", value, expected);
}

/* Five records, four classes; class 3 never occurs but is predicted once, class 2 is never predicted. */
static const float probability[] = {
    .7f,  .1f,  .1f,  .1f,  /* 0, hit */
    .1f,  .2f,  .1f,  .6f,  /* 1, taken for 3; second */
    .3f,  .4f,  .2f,  .1f,  /* 2, taken for 1; third */
    .4f,  .3f,  .2f,  .1f,  /* 0, hit */
    .25f, .25f, .25f, .25f, /* 1: ties: the first class, 0, wins, and the rank is the worst */
};
static const float label[] = {0, 1, 2, 0, 1};

static void test_classes(void **state)
{
    (void)state;
    struct sg_class_metrics m;
    struct sg_class_figures f[4];
    sg_metrics_classes(5, 4, probability, label, &m, f);
    assert_near(m.accuracy, 2. / 5);
    assert_near(m.top_3_accuracy, 4. / 5);
    /* 0: predicted 3, 2 hits, F1 2 * 2 / (2 + 3); 1: predicted 1, no hit; 2: never predicted */
    assert_near(f[0].precision, 2. / 3);
    assert_near(f[0].recall, 1);
    assert_near(f[0].f1, .8);
    assert_near(f[1].recall, 0);
    assert_near(f[2].precision, 0);
    assert_true(isnan(f[3].recall));
    assert_int_equal(f[3].n_predicted, 1);
    assert_near(m.macro_f1, .8 / 3);
    assert_near(m.balanced_accuracy, 1. / 3);
    assert_near(m.log_loss, -(log(.7) + log(.2) + log(.2) + log(.4) + log(.25)) / 5);
    /* squared distances: .09 + .03; .01 + .64 + .01 + .36; .09 + .16 + .64 + .01; .36 + .09 + .04 + .01; .5625 + 3/16
     */
    assert_near(m.brier, (.12 + 1.02 + .9 + .5 + .75) / 5);
    /* Bins of the best probability: .25, wrong; twice .4f, which lies above .4, one of them right; .6f above .6 and .7f
     * below .7, one of them right. */
    assert_near(m.ece, (.25 + (1 - .4 - .4) + (.6 + .7 - 1)) / 5);
}

static void test_confusions(void **state)
{
    (void)state;
    enum { N = 9 };
    static const int truth[N] = {0, 1, 2, 2, 1, 3, 2, 0, 1}, guess[N] = {0, 2, 1, 1, 2, 0, 0, 3, 2};
    float p[N * 4] = {0}, y[N];
    for (int i = 0; i < N; i++) {
        p[4 * i + guess[i]] = 1;
        y[i] = (float)truth[i];
    }
    static const struct sg_confusion expected[] = {{1, 2, 3}, {2, 1, 2}, {0, 3, 1}, {2, 0, 1}, {3, 0, 1}};
    struct sg_confusion found[5];
    assert_int_equal(sg_metrics_confusions(N, 4, p, y, 5, found), 5);
    assert_memory_equal(found, expected, sizeof expected);
    struct sg_confusion first;
    assert_int_equal(sg_metrics_confusions(N, 4, p, y, 1, &first), 1);
    assert_memory_equal(&first, expected, sizeof first);
    assert_int_equal(sg_metrics_confusions(0, 4, NULL, NULL, 5, found), 0);
}

static void test_calibration(void **state)
{
    (void)state;
    const float p[] = {0, .05f, .125f, .5f, .75f, .75f, 1}, right[] = {0, 1, 0, 1, 1, 0, 1};
    struct sg_calibration_bin bin[SG_METRICS_CALIBRATION_BINS];
    sg_metrics_calibration(7, p, right, bin);
    static const int64_t n[] = {2, 1, 0, 0, 1, 0, 0, 2, 0, 1};
    for (int i = 0; i < SG_METRICS_CALIBRATION_BINS; i++)
        assert_int_equal(bin[i].n, n[i]);
    assert_near(bin[0].probability, .025);
    assert_near(bin[0].rate, .5);
    assert_true(isnan(bin[2].rate) && isnan(bin[2].probability));
    assert_near(bin[4].rate, 1); /* .5 belongs to the bin that ends with it */
    assert_near(bin[7].rate, .5);
    assert_near(bin[9].probability, 1);
}

static void test_no_record(void **state)
{
    (void)state;
    struct sg_class_metrics m;
    sg_metrics_classes(0, 4, NULL, NULL, &m, NULL);
    assert_true(isnan(m.accuracy) && isnan(m.macro_f1) && isnan(m.log_loss) && isnan(m.brier) && isnan(m.ece));
    json_t *object = sg_metrics_classes_to_json(&m);
    assert_true(json_is_null(json_object_get(object, "accuracy")));
    json_decref(object);
}

static void test_impossible(void **state)
{
    (void)state;
    const float sure[] = {1, 0}, truth = 1;
    struct sg_class_metrics m;
    sg_metrics_classes(1, 2, sure, &truth, &m, NULL);
    assert_near(m.log_loss, -log(1e-15));
}

static void test_values(void **state)
{
    (void)state;
    const float value[] = {1, 2, 3, 6}, truth[] = {1, 3, 3, 5}, alike[] = {2, 2, 2, 2};
    json_t *object = sg_metrics_values(4, value, truth);
    assert_near(json_real_value(json_object_get(object, "rmse")), sqrt(.5));
    assert_near(json_real_value(json_object_get(object, "mae")), .5);
    assert_near(json_real_value(json_object_get(object, "r2")), 1 - 2. / 8);
    json_decref(object);
    object = sg_metrics_values(4, value, alike);
    assert_true(json_is_null(json_object_get(object, "r2")));
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),   cmocka_unit_test(test_confusions), cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_no_record), cmocka_unit_test(test_impossible), cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
