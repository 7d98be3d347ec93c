/* Would catch: a wrong forward formula or a wrong gradient of any parameter of an encoder or a tabular transformer
 * (both GELUs, both poolings, unit length, LoRA on every target, dropout, several outputs, tied masked words), a tap at
 * the wrong weight, a backward pass that stops too early for what learns, dropout inside a frozen prefix, and rows that
 * are read before they are written.
 *
 * The truth is encoder_oracle.c in double, differentiated by central differences, weight by weight and unit by unit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "encoder_specs.h"

#define STEP 1e-5

/* Where dropout begins: in the lowest block that learns or lies above something that does; -1: in the embeddings. */
static int64_t dropped_from(const struct sg_model *model)
{
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    int64_t lowest = sg_model_spec_of(model)->encoder.layers;
    for (size_t i = 0; i < n; i++) {
        int block = -1;
        if (!p[i].trainable ||
            (strncmp(p[i].name, "embeddings.", 11) && sscanf(p[i].name, "encoder.layer.%d", &block) != 1))
            continue;
        lowest = block < lowest ? block : lowest;
    }
    return lowest;
}

/* The unit's share of dlogit . logit, and its place in both. */
static int64_t output_place(const struct test_batch *batch, const struct sg_model_spec *spec, int64_t unit, int64_t *n)
{
    bool masked = spec->objective == SG_MASKED_TOKENS;
    int64_t begin = masked ? batch->masked_offset[unit] : unit,
            end = masked ? batch->masked_offset[unit + 1] : unit + 1;
    *n = (end - begin) * spec->n_outputs;
    return begin * spec->n_outputs;
}

static double value_of(const struct test_model *m, const double *weights, const struct test_batch *batch, int64_t unit,
                       bool training)
{
    const struct sg_model_spec *spec = sg_model_spec_of(m->model);
    double logit[64], value = 0;
    int64_t n, first = output_place(batch, spec, unit, &n);
    oracle_outputs(spec, weights, batch, unit, training, dropped_from(m->model), logit);
    for (int64_t i = 0; i < n; i++)
        value += logit[i] * batch->dlogit[first + i];
    return value;
}

static void numeric_gradient(const struct test_model *m, double *weights, const struct test_batch *batch, int64_t unit,
                             bool training, double *gradient)
{
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(m->model, &n);
    for (size_t k = 0; k < n; k++)
        for (int64_t i = p[k].first; p[k].trainable && i < p[k].first + p[k].n_out * p[k].n_in; i++) {
            double kept = weights[i];
            weights[i] = kept + STEP;
            double above = value_of(m, weights, batch, unit, training);
            weights[i] = kept - STEP;
            double below = value_of(m, weights, batch, unit, training);
            weights[i] = kept;
            gradient[i] = (above - below) / (2 * STEP);
        }
}

/* Adds the gradient that a tap stands for. */
static void add_tap(const struct sg_tap *tap, int64_t unit, double *gradient)
{
    for (int32_t r = tap->offset[unit]; r < tap->offset[unit + 1]; r++)
        for (int64_t o = 0; tap->kind == SG_TAP_LINEAR && o < tap->n_out; o++)
            for (int64_t i = 0; i < tap->n_in; i++)
                gradient[o * tap->n_in + i] += (double)tap->g[r * tap->ldg + o] * tap->a[r * tap->lda + i];
    for (int32_t r = tap->offset[unit]; tap->kind == SG_TAP_EMBED && r < tap->offset[unit + 1]; r++)
        for (int64_t i = 0; i < tap->n_in; i++)
            gradient[tap->id[r] * tap->n_in + i] += tap->g[r * tap->ldg + i];
    for (int32_t r = tap->offset[unit]; tap->kind == SG_TAP_SCALE && r < tap->offset[unit + 1]; r++)
        for (int64_t o = 0; o < tap->n_out; o++)
            gradient[o] += (double)tap->g[r * tap->ldg + o] * tap->a[r * tap->lda + o];
}

/* Every trainable weight has one tap (a tied one two) of its shape, and there are no others. */
static void check_shapes(const struct test_model *m, const struct sg_tap *taps, size_t n_taps)
{
    size_t n, n_found = 0;
    const struct sg_parameter *p = sg_model_parameters(m->model, &n);
    for (size_t i = 0; i < n; i++) {
        size_t found = 0;
        for (size_t k = 0; k < n_taps; k++)
            found += taps[k].weight == p[i].trainable_first && taps[k].n_in == p[i].n_in && taps[k].n_out == p[i].n_out;
        bool tied = sg_model_spec_of(m->model)->objective == SG_MASKED_TOKENS && i == 0;
        assert_int_equal(found, p[i].trainable ? 1 + tied : 0);
        n_found += found;
    }
    assert_int_equal(n_found, n_taps);
}

static void check_gradient(const struct test_model *m, const struct sg_tap *taps, size_t n_taps, int64_t unit,
                           const double *expected)
{
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(m->model, &n);
    for (size_t i = 0; i < n; i++) {
        if (!p[i].trainable)
            continue;
        int64_t n_weights = p[i].n_out * p[i].n_in;
        double *gradient = sg_alloc((size_t)n_weights, sizeof *gradient), largest = 0;
        for (size_t k = 0; k < n_taps; k++)
            if (taps[k].weight == p[i].trainable_first)
                add_tap(&taps[k], unit, gradient);
        for (int64_t j = 0; j < n_weights; j++)
            largest = fmax(largest, fabs(expected[p[i].first + j]));
        for (int64_t j = 0; j < n_weights; j++)
            if (!(fabs(gradient[j] - expected[p[i].first + j]) <= 4e-6 * largest + 4e-7))
                fail_msg("%s: %s[%d] of unit %d: gradient %.9g, by differences %.9g", m->ops->name, p[i].name, (int)j,
                         (int)unit, gradient[j], expected[p[i].first + j]);
        free(gradient);
    }
}

static void check_outputs(const struct test_model *m, const double *weights, const struct test_batch *batch,
                          bool training)
{
    const struct sg_model_spec *spec = sg_model_spec_of(m->model);
    for (int64_t b = 0; b < N_UNITS; b++) {
        double truth[64];
        int64_t n, first = output_place(batch, spec, b, &n);
        oracle_outputs(spec, weights, batch, b, training, dropped_from(m->model), truth);
        for (int64_t i = 0; i < n; i++)
            if (!(fabs(m->logit[first + i] - truth[i]) <= 2e-6 * (1 + fabs(truth[i]))))
                fail_msg("%s: output %d of unit %d: %.9g, in double %.9g", m->ops->name, (int)i, (int)b,
                         m->logit[first + i], truth[i]);
    }
}

/* `trainable`: patterns up to NULL, or NULL for all weights. */
static void check_model(const struct sg_model_spec *spec, const char *const *trainable, bool training)
{
    struct test_batch batch;
    test_batch_make(spec, LENGTHS, N_UNITS, 5, &batch);
    for (int k = 0; test_backend(k) && test_backend(k)->attention; k++) {
        struct test_model m;
        size_t n_taps;
        test_model_open(spec, test_backend(k), trainable, N_UNITS + 2, batch.view.n_rows + 5, &m);
        const struct sg_tap *taps = test_model_run(&m, &batch, training, &n_taps);
        double *weights = sg_alloc((size_t)m.n_weights, sizeof *weights);
        double *gradient = sg_alloc((size_t)m.n_weights, sizeof *gradient);
        for (int64_t i = 0; i < m.n_weights; i++)
            weights[i] = m.weights[i];
        check_shapes(&m, taps, n_taps);
        check_outputs(&m, weights, &batch, training);
        for (int64_t b = 0; b < N_UNITS; b++) {
            numeric_gradient(&m, weights, &batch, b, training, gradient);
            check_gradient(&m, taps, n_taps, b, gradient);
        }
        free(weights);
        free(gradient);
        test_model_close(&m);
    }
    test_batch_free(&batch);
}

static void every_parameter(void **state)
{
    (void)state;
    const struct sg_model_spec *specs[] = {&MEAN,    &CLS,          &LORA,           &UNIT_CLS,
                                           &TABULAR, &BARE_TABULAR, &FEATURE_TOKENS, &MASKED};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        for (int training = 0; training < 2; training++)
            check_model(specs[i], NULL, training);
}

/* Each alone is the lowest thing that learns, so that each stop of backward is met. */
static void frozen_patterns(void **state)
{
    (void)state;
    static const char *const patterns[][4] = {
        {"classifier.*"},
        {"classifier.bias"},
        {"encoder.layer.1.output.LayerNorm.weight"},
        {"encoder.layer.1.output.LayerNorm.bias"},
        {"encoder.layer.1.output.dense.weight"},
        {"encoder.layer.1.output.dense.bias", "classifier.weight"},
        {"encoder.layer.1.intermediate.dense.*"},
        {"encoder.layer.1.attention.output.LayerNorm.*"},
        {"encoder.layer.1.attention.output.dense.weight"},
        {"encoder.layer.1.attention.self.query.weight"},
        {"encoder.layer.1.attention.self.key.bias"},
        {"encoder.layer.0.attention.self.value.*", "encoder.layer.1.output.dense.weight"},
        {"encoder.layer.0.output.LayerNorm.bias"},
        {"encoder.layer.1.*", "classifier.*"},
        {"embeddings.LayerNorm.weight"},
        {"embeddings.position_embeddings.weight"},
        {"*.bias", "classifier.*"},
    };
    static const char *const lora[][4] = {
        {"*.lora_?.weight", "classifier.*"},
        {"encoder.layer.1.output.dense.lora_A.weight"},
        {"encoder.layer.1.output.dense.lora_B.weight"},
        {"encoder.layer.0.attention.self.query.lora_A.weight"},
        {"encoder.layer.0.intermediate.dense.lora_B.weight"},
        {"encoder.layer.1.attention.output.dense.lora_?.weight"},
    };
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        check_model(&LORA, patterns[i], true);
        check_model(&CLS, patterns[i], true);
        check_model(&TABULAR, patterns[i], true);
        check_model(&FEATURE_TOKENS, patterns[i], true);
    }
    for (size_t i = 0; i < sizeof lora / sizeof *lora; i++)
        check_model(&LORA, lora[i], true);
    static const char *const pooler[] = {"pooler.dense.weight", NULL}, *const features[] = {"embeddings.features.*",
                                                                                            NULL};
    static const char *const statics[] = {"embeddings.statics.bias", "linear.weight", NULL};
    static const char *const tokens[] = {"embeddings.statics.weight", NULL};
    static const char *const words[] = {"embeddings.word*", NULL}, *const transform[] = {"cls.*.transform.*", NULL};
    static const char *const bias[] = {"cls.predictions.bias", NULL};
    check_model(&CLS, pooler, true);
    check_model(&UNIT_CLS, pooler, true);
    check_model(&TABULAR, features, true);
    check_model(&TABULAR, statics, true);
    check_model(&FEATURE_TOKENS, tokens, true);
    check_model(&MASKED, words, true);
    check_model(&MASKED, transform, true);
    check_model(&MASKED, bias, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_parameter),
        cmocka_unit_test(frozen_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
