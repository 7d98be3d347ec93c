/* Would catch: a wrong forward formula, a wrong gradient of any layer (also across variable histories, several layers,
 * the linear path and dropout), a tap that points at the wrong weight, taps of frozen weights, a backward pass that
 * stops too early, masks that do not come from the documented key, and rows that are read before they are written.
 *
 * The truth is oracle.c: the logit in double, its gradient by central differences, weight by weight and unit by unit.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "support.h"

#define STEP 1e-5

static const struct sg_model_spec PLAIN = {.kind = SG_MODEL_BILSTM_ATTENTION,
                                           .n_features = 3,
                                           .n_static = 2,
                                           .hidden = 4,
                                           .layers = 1,
                                           .attention = 3,
                                           .mlp = 5};
static const struct sg_model_spec DEEP = {.kind = SG_MODEL_BILSTM_ATTENTION,
                                          .n_features = 5,
                                          .n_static = 3,
                                          .hidden = 3,
                                          .layers = 2,
                                          .attention = 4,
                                          .mlp = 6,
                                          .mlp_activation = SG_RELU,
                                          .linear_steps = 3};
static const struct sg_model_spec BARE = {
    .kind = SG_MODEL_BILSTM_ATTENTION, .n_features = 1, .hidden = 2, .layers = 3, .attention = 1};
static const struct sg_model_spec DROPPED = {.kind = SG_MODEL_BILSTM_ATTENTION,
                                             .n_features = 4,
                                             .n_static = 3,
                                             .hidden = 5,
                                             .layers = 2,
                                             .attention = 3,
                                             .mlp = 7,
                                             .linear_steps = 2,
                                             .dropout = .4};
static const struct sg_model_spec LOGISTIC = {
    .kind = SG_MODEL_LOGISTIC, .n_features = 4, .n_static = 3, .linear_steps = 4};
static const struct sg_model_spec LOGISTIC_STATIC = {.kind = SG_MODEL_LOGISTIC, .n_static = 3, .linear_steps = 1};

static const int32_t LENGTHS[] = {3, 1, 7, 2, 4, 1, 6};
enum { N_UNITS = sizeof LENGTHS / sizeof *LENGTHS };

/* d(dlogit . logit)/dW of every trainable weight for one unit. */
static void numeric_gradient(const struct test_model *m, double *weights, const struct test_batch *batch, int64_t unit,
                             bool training, double *gradient)
{
    const struct sg_model_spec *spec = sg_model_spec_of(m->model);
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(m->model, &n);
    for (size_t k = 0; k < n; k++)
        for (int64_t i = p[k].first; p[k].trainable && i < p[k].first + p[k].n_out * p[k].n_in; i++) {
            double kept = weights[i];
            weights[i] = kept + STEP;
            double above = oracle_logit(spec, weights, batch, unit, training, TEST_SEED);
            weights[i] = kept - STEP;
            double below = oracle_logit(spec, weights, batch, unit, training, TEST_SEED);
            weights[i] = kept;
            gradient[i] = (above - below) / (2 * STEP) * batch->dlogit[unit];
        }
}

static void check_tap(const struct sg_tap *tap, int64_t unit, const double *expected, const char *name)
{
    for (int64_t o = 0; o < tap->n_out; o++)
        for (int64_t i = 0; i < tap->n_in; i++) {
            double sum = 0;
            for (int32_t r = tap->offset[unit]; r < tap->offset[unit + 1]; r++)
                sum += (double)tap->g[r * tap->ldg + o] * tap->a[r * tap->lda + i];
            double truth = expected[o * tap->n_in + i];
            if (!(fabs(sum - truth) <= 1e-7 + 2e-6 * fabs(truth)))
                fail_msg("%s[%d][%d] of unit %d: gradient %.9g, by differences %.9g", name, (int)o, (int)i, (int)unit,
                         sum, truth);
        }
}

/* Every trainable parameter has exactly one tap, in the order of the table, at its place among the trainable weights.
 */
static void check_taps(const struct test_model *m, const struct sg_tap *taps, size_t n_taps, int64_t unit,
                       const double *gradient)
{
    size_t n_parameters, at = 0;
    const struct sg_parameter *p = sg_model_parameters(m->model, &n_parameters);
    int64_t first = 0;
    for (size_t i = 0; i < n_parameters; i++) {
        assert_int_equal(p[i].trainable_first, p[i].trainable ? first : -1);
        if (!p[i].trainable)
            continue;
        assert_true(at < n_taps);
        assert_int_equal(taps[at].weight, first);
        assert_int_equal(taps[at].n_in, p[i].n_in);
        assert_int_equal(taps[at].n_out, p[i].n_out);
        check_tap(&taps[at++], unit, gradient + p[i].first, p[i].name);
        first += p[i].n_in * p[i].n_out;
    }
    assert_int_equal(at, n_taps);
    assert_int_equal(first, sg_model_n_trainable(m->model));
}

static void check_logits(const struct test_model *m, const double *weights, const struct test_batch *batch,
                         bool training)
{
    for (int64_t b = 0; b < N_UNITS; b++) {
        double truth = oracle_logit(sg_model_spec_of(m->model), weights, batch, b, training, TEST_SEED);
        if (!(fabs(m->logit[b] - truth) <= 1e-6 * (1 + fabs(truth))))
            fail_msg("%s: logit of unit %d: %.9g, in double %.9g", m->ops->name, (int)b, m->logit[b], truth);
    }
}

/* `trainable`: patterns up to NULL, or NULL for all weights. */
static void check_model(const struct sg_model_spec *spec, const char *const *trainable, bool training)
{
    struct test_batch batch;
    struct test_model m[2];
    const struct sg_tap *taps[2];
    size_t n_taps;
    int n_backends = 0;
    test_batch_make(spec, LENGTHS, N_UNITS, 5, &batch);
    for (; test_backend(n_backends); n_backends++) {
        struct test_model *it = &m[n_backends];
        test_model_open(spec, test_backend(n_backends), trainable, N_UNITS + 2, batch.view.n_rows + 5, it);
        taps[n_backends] = test_model_run(it, &batch, training, &n_taps);
    }
    double *weights = sg_alloc((size_t)m->n_weights, sizeof *weights);
    double *gradient = sg_alloc((size_t)m->n_weights, sizeof *gradient);
    for (int64_t i = 0; i < m->n_weights; i++)
        weights[i] = m->weights[i];
    for (int i = 0; i < n_backends; i++)
        check_logits(&m[i], weights, &batch, training);
    for (int64_t b = 0; b < N_UNITS; b++) {
        numeric_gradient(&m[0], weights, &batch, b, training, gradient);
        for (int i = 0; i < n_backends; i++)
            check_taps(&m[i], taps[i], n_taps, b, gradient);
    }
    free(weights);
    free(gradient);
    test_batch_free(&batch);
    for (int i = 0; i < n_backends; i++)
        test_model_close(&m[i]);
}

static void every_model(void **state)
{
    (void)state;
    const struct sg_model_spec *specs[] = {&PLAIN, &DEEP, &BARE, &LOGISTIC, &LOGISTIC_STATIC};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        check_model(specs[i], NULL, false);
        check_model(specs[i], NULL, true);
    }
}

static void dropout_on_and_off(void **state)
{
    (void)state;
    check_model(&DROPPED, NULL, false);
    check_model(&DROPPED, NULL, true);
}

static void frozen_patterns(void **state)
{
    (void)state;
    static const char *const patterns[][3] = {
        {"lstm.0.forward.weight"},
        {"lstm.0.reverse.weight"},
        {"lstm.1.forward.weight"},
        {"lstm.1.*"},
        {"attention.weight"},
        {"attention.score.weight"},
        {"mlp.weight"},
        {"output.weight"},
        {"linear.weight"},
        {"lstm.*", "output*"},
        {"mlp.*", "attention.s*"},
        {"*.reverse.*"},
    };
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        check_model(&DEEP, patterns[i], false);
        check_model(&DROPPED, patterns[i], true);
    }
    static const char *const head[] = {"output.weight", NULL}, *const score[] = {"attention.score.weight", NULL};
    check_model(&BARE, head, false);
    check_model(&BARE, score, false);
}

/* A second batch in the same workspace must not see the first one's rows. */
static void check_reuse(const struct sg_ops *ops)
{
    struct test_batch large, small;
    struct test_model used, fresh;
    test_batch_make(&DEEP, LENGTHS, N_UNITS, 5, &large);
    const int32_t short_lengths[] = {2, 1, 3};
    test_batch_make(&DEEP, short_lengths, 3, 9, &small);
    test_model_open(&DEEP, ops, NULL, N_UNITS, large.view.n_rows, &used);
    test_model_open(&DEEP, ops, NULL, N_UNITS, large.view.n_rows, &fresh);
    size_t n_taps;
    const struct sg_tap *taps = test_model_run(&used, &large, true, &n_taps);
    for (size_t k = 0; k < n_taps; k++) /* whoever holds the taps may zero the rows of a unit that is left out */
        memset(taps[k].a, 0, (size_t)(taps[k].offset[N_UNITS] * taps[k].lda) * sizeof(float));
    taps = test_model_run(&used, &small, true, &n_taps);
    const struct sg_tap *others = test_model_run(&fresh, &small, true, &n_taps);
    assert_memory_equal(used.logit, fresh.logit, 3 * sizeof(float));
    for (size_t k = 0; k < n_taps; k++) {
        size_t rows = (size_t)taps[k].offset[3];
        assert_memory_equal(taps[k].a, others[k].a, rows * (size_t)taps[k].lda * sizeof(float));
        assert_memory_equal(taps[k].g, others[k].g, rows * (size_t)taps[k].ldg * sizeof(float));
    }
    test_batch_free(&large);
    test_batch_free(&small);
    test_model_close(&used);
    test_model_close(&fresh);
}

static void workspace_is_reused(void **state)
{
    (void)state;
    for (int i = 0; test_backend(i); i++)
        check_reuse(test_backend(i));
}

/* Each value of one backend against the other's, relative to the largest of all. */
static void check_close(const float *x, const float *y, int64_t n, double bound, const char *what, size_t tap)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)x[i] - y[i]) <= bound * largest))
            fail_msg("tap %d, %s[%d]: %.9g and %.9g of %g", (int)tap, what, (int)i, x[i], y[i], largest);
}

static void backends_agree(void **state)
{
    (void)state;
    if (!test_backend(1)) {
        print_message("this machine has one backend\n");
        skip();
    }
    const struct sg_model_spec large = {.kind = SG_MODEL_BILSTM_ATTENTION,
                                        .n_features = 10,
                                        .n_static = 7,
                                        .hidden = 64,
                                        .layers = 2,
                                        .attention = 32,
                                        .mlp = 64,
                                        .linear_steps = 6,
                                        .dropout = .1};
    struct test_batch batch;
    struct test_model m, other;
    test_batch_make(&large, LENGTHS, N_UNITS, 5, &batch);
    test_model_open(&large, test_backend(0), NULL, N_UNITS, batch.view.n_rows, &m);
    test_model_open(&large, test_backend(1), NULL, N_UNITS, batch.view.n_rows, &other);
    size_t n_taps;
    const struct sg_tap *taps = test_model_run(&m, &batch, true, &n_taps);
    const struct sg_tap *others = test_model_run(&other, &batch, true, &n_taps);
    for (int b = 0; b < N_UNITS; b++)
        assert_true(fabs((double)m.logit[b] - other.logit[b]) <= 1e-5);
    for (size_t k = 0; k < n_taps; k++) { /* the rows of these taps lie without gaps */
        int64_t rows = taps[k].offset[N_UNITS];
        check_close(taps[k].a, others[k].a, rows * taps[k].lda, 2e-6, "a", k);
        check_close(taps[k].g, others[k].g, rows * taps[k].ldg, 5e-6, "g", k);
    }
    test_batch_free(&batch);
    test_model_close(&m);
    test_model_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model),         cmocka_unit_test(dropout_on_and_off), cmocka_unit_test(frozen_patterns),
        cmocka_unit_test(workspace_is_reused), cmocka_unit_test(backends_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
