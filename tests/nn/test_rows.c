/* Would catch: a unit's logit or taps that depend on who else is in the batch, on its place there or on the order;
 * dropout keyed by position; masks that do not change with step, layer, seed or unit, or drop the wrong share.
 *
 * Removing one person must change no bit of anybody else's gradient: all comparisons are of bytes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "support.h"

static const struct sg_model_spec SPECS[] = {
    {.kind = SG_MODEL_BILSTM_ATTENTION,
     .n_features = 10,
     .n_static = 7,
     .hidden = 64,
     .layers = 1,
     .attention = 32,
     .mlp = 64,
     .linear_steps = 6},
    {.kind = SG_MODEL_BILSTM_ATTENTION,
     .n_features = 5,
     .n_static = 2,
     .hidden = 13,
     .layers = 2,
     .attention = 7,
     .mlp = 9,
     .mlp_activation = SG_RELU,
     .dropout = .3},
    {.kind = SG_MODEL_BILSTM_ATTENTION, .n_features = 3, .hidden = 8, .layers = 1, .attention = 17, .dropout = .5},
    {.kind = SG_MODEL_LOGISTIC, .n_features = 9, .n_static = 4, .linear_steps = 5},
    {.kind = SG_MODEL_ENCODER,
     .n_outputs = 5,
     .objective = SG_CLASSES,
     .dropout = .2,
     .encoder = {.vocabulary = 40,
                 .width = 24,
                 .layers = 2,
                 .heads = 3,
                 .intermediate = 40,
                 .positions = 12,
                 .types = 2,
                 .layer_norm_epsilon = 1e-12,
                 .pooling = SG_POOL_CLS,
                 .lora_rank = 3,
                 .lora_alpha = 2,
                 .lora_targets = SG_LORA_VALUE | SG_LORA_OUTPUT}},
    {.kind = SG_MODEL_ENCODER,
     .n_outputs = 1,
     .encoder = {.vocabulary = 9,
                 .width = 34,
                 .layers = 1,
                 .heads = 2,
                 .intermediate = 17,
                 .positions = 12,
                 .types = 1,
                 .gelu = SG_GELU_TANH,
                 .layer_norm_epsilon = 1e-5,
                 .pooling = SG_POOL_MEAN,
                 .unit_length = true}},
    {.kind = SG_MODEL_TABULAR,
     .n_features = 5,
     .n_static = 3,
     .n_outputs = 1,
     .linear_steps = 4,
     .dropout = .3,
     .encoder =
         {.width = 32, .layers = 2, .heads = 4, .intermediate = 48, .positions = 12, .layer_norm_epsilon = 1e-5}},
    {.kind = SG_MODEL_TABULAR,
     .n_features = 2,
     .n_static = 5,
     .n_static_tokens = 2,
     .static_token = {4, 1},
     .n_outputs = 1,
     .encoder =
         {.width = 24, .layers = 1, .heads = 3, .intermediate = 20, .positions = 14, .layer_norm_epsilon = 1e-5}},
};
enum { N_SPECS = sizeof SPECS / sizeof *SPECS, N_UNITS = 37 };

static void lengths_make(int32_t lengths[N_UNITS])
{
    uint64_t state = 77;
    for (int i = 0; i < N_UNITS; i++)
        lengths[i] = i % 5 == 0 ? 6 : 1 + (int32_t)(5 + 5 * test_uniform(&state));
}

/* Byte equality of unit u's rows in one run and unit v's in another. */
static void check_unit(const struct test_model *m, const struct sg_tap *taps, int64_t u, const struct test_model *other,
                       const struct sg_tap *others, int64_t v, size_t n_taps)
{
    int64_t n_outputs = sg_model_spec_of(m->model)->n_outputs;
    assert_memory_equal(&m->logit[u * n_outputs], &other->logit[v * n_outputs], (size_t)n_outputs * sizeof(float));
    for (size_t k = 0; k < n_taps; k++) {
        const struct sg_tap *s = &taps[k], *t = &others[k];
        int32_t rows = s->offset[u + 1] - s->offset[u];
        assert_int_equal(rows, t->offset[v + 1] - t->offset[v]);
        for (int32_t r = 0; r < rows; r++) {
            int64_t row = s->offset[u] + r, row2 = t->offset[v] + r;
            int64_t n_a = s->kind == SG_TAP_SCALE ? s->n_out : s->n_in,
                    n_g = s->kind == SG_TAP_EMBED ? s->n_in : s->n_out;
            assert_memory_equal(s->g + row * s->ldg, t->g + row2 * t->ldg, (size_t)n_g * sizeof(float));
            if (s->kind == SG_TAP_EMBED)
                assert_int_equal(s->id[row], t->id[row2]);
            else
                assert_memory_equal(s->a + row * s->lda, t->a + row2 * t->lda, (size_t)n_a * sizeof(float));
        }
    }
}

static void check_order(const struct sg_ops *ops, const struct sg_model_spec *spec, const int *order, int n)
{
    int32_t lengths[N_UNITS];
    lengths_make(lengths);
    struct test_batch whole, part;
    struct test_model m, other;
    test_batch_make(spec, lengths, N_UNITS, 21, &whole);
    test_batch_take(spec, &whole, order, n, &part);
    test_model_open(spec, ops, NULL, N_UNITS, whole.view.n_rows, &m);
    test_model_open(spec, ops, NULL, N_UNITS, whole.view.n_rows, &other);
    size_t n_taps, n_others;
    const struct sg_tap *taps = test_model_run(&m, &whole, true, &n_taps);
    const struct sg_tap *others = test_model_run(&other, &part, true, &n_others);
    assert_int_equal(n_taps, n_others);
    for (int i = 0; i < n; i++)
        check_unit(&m, taps, order[i], &other, others, i, n_taps);
    test_batch_free(&whole);
    test_batch_free(&part);
    test_model_close(&m);
    test_model_close(&other);
}

static void check_backends(const int *order, int n)
{
    for (int i = 0; i < N_SPECS; i++)
        for (int k = 0; test_backend(k); k++)
            check_order(test_backend(k), &SPECS[i], order, n);
}

static void one_unit_removed(void **state)
{
    (void)state;
    const int removed[] = {0, 1, 5, 18, N_UNITS - 1};
    for (size_t k = 0; k < sizeof removed / sizeof *removed; k++) {
        int order[N_UNITS], n = 0;
        for (int i = 0; i < N_UNITS; i++)
            if (i != removed[k])
                order[n++] = i;
        check_backends(order, n);
    }
}

static void alone(void **state)
{
    (void)state;
    for (int i = 0; i < N_UNITS; i += 6)
        check_backends(&i, 1);
}

static void reversed_and_shuffled(void **state)
{
    (void)state;
    int order[N_UNITS];
    for (int i = 0; i < N_UNITS; i++)
        order[i] = N_UNITS - 1 - i;
    check_backends(order, N_UNITS);
    uint64_t random = 4;
    for (int i = N_UNITS - 1; i > 0; i--) {
        int j = (int)((.5 + .5 * test_uniform(&random)) * i), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    check_backends(order, N_UNITS);
    check_backends(order, N_UNITS / 2);
}

static void check_hostile(const struct sg_ops *ops, const struct sg_model_spec *spec, float value)
{
    enum { HOSTILE = 7 };
    int32_t lengths[N_UNITS];
    lengths_make(lengths);
    struct test_batch batch;
    struct test_model m, other;
    test_batch_make(spec, lengths, N_UNITS, 21, &batch);
    test_model_open(spec, ops, NULL, N_UNITS, batch.view.n_rows, &m);
    test_model_open(spec, ops, NULL, N_UNITS, batch.view.n_rows, &other);
    size_t n_taps;
    const struct sg_tap *taps = test_model_run(&m, &batch, true, &n_taps);
    for (int64_t i = batch.offset[HOSTILE] * spec->n_features; i < batch.offset[HOSTILE + 1] * spec->n_features; i++)
        batch.x[i] = value;
    for (int64_t i = HOSTILE * spec->n_static; i < (HOSTILE + 1) * spec->n_static; i++)
        batch.statics[i] = -value;
    int64_t n_outputs = sg_model_spec_of(m.model)->n_outputs;
    for (int64_t i = HOSTILE * n_outputs; i < (HOSTILE + 1) * n_outputs; i++)
        batch.dlogit[i] = value;
    const struct sg_tap *others = test_model_run(&other, &batch, true, &n_taps);
    for (int i = 0; i < N_UNITS; i++)
        if (i != HOSTILE)
            check_unit(&m, taps, i, &other, others, i, n_taps);
    test_batch_free(&batch);
    test_model_close(&m);
    test_model_close(&other);
}

/* Whatever stands in one person's row stays in that person's rows. */
static void hostile_neighbour(void **state)
{
    (void)state;
    const float values[] = {NAN, INFINITY, 3e38f, 1e-45f};
    for (size_t v = 0; v < sizeof values / sizeof *values; v++)
        for (int i = 0; i < N_SPECS; i++)
            for (int k = 0; test_backend(k); k++)
                check_hostile(test_backend(k), &SPECS[i], values[v]);
}

/* The columns of the MLP's input that dropout zeroed, of all units: SPECS[1], whose statics are never zero. */
static void joined_zeros(uint64_t seed, int64_t step, uint8_t *zero, int64_t *n)
{
    const struct sg_model_spec *spec = &SPECS[1];
    int32_t lengths[N_UNITS];
    lengths_make(lengths);
    struct test_batch batch;
    struct test_model m;
    test_batch_make(spec, lengths, N_UNITS, 21, &batch);
    batch.view.step = step;
    test_model_open(spec, sg_ops_reference(), NULL, N_UNITS, batch.view.n_rows, &m);
    sg_model_close(&m.model);
    assert_int_equal(sg_model_create(spec, m.ops, seed, &m.model), SG_OK);
    size_t n_taps;
    const struct sg_tap *taps = test_model_run(&m, &batch, true, &n_taps);
    const struct sg_tap *mlp = &taps[6];
    assert_int_equal(mlp->n_in, 2 * 13 + 2 + 1);
    *n = N_UNITS * (mlp->n_in - 1);
    for (int64_t i = 0; i < *n; i++)
        zero[i] = mlp->a[i / (mlp->n_in - 1) * mlp->lda + i % (mlp->n_in - 1)] == 0;
    test_batch_free(&batch);
    test_model_close(&m);
}

static void masks_change_with_their_key(void **state)
{
    (void)state;
    static uint8_t base[4096], step[4096], seed[4096], again[4096];
    int64_t n, dropped = 0;
    joined_zeros(1, 5, base, &n);
    joined_zeros(1, 5, again, &n);
    joined_zeros(1, 6, step, &n);
    joined_zeros(2, 5, seed, &n);
    assert_memory_equal(base, again, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        dropped += base[i];
    /* 5 standard deviations around the rate. */
    double spread = 5 * sqrt(.3 * .7 * (double)n);
    assert_true(fabs((double)dropped - .3 * (double)n) < spread);
    /* Independent masks differ at 2 p (1 - p) of the places. */
    int64_t by_step = 0, by_seed = 0, by_unit = 0, width = n / N_UNITS;
    for (int64_t i = 0; i < n; i++) {
        by_step += base[i] != step[i];
        by_seed += base[i] != seed[i];
        by_unit += base[i] != base[(i + width) % n];
    }
    double expected = .42 * (double)n, wide = 5 * sqrt(.42 * .58 * (double)n);
    assert_true(fabs((double)by_step - expected) < wide);
    assert_true(fabs((double)by_seed - expected) < wide);
    assert_true(fabs((double)by_unit - expected) < wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_unit_removed),
        cmocka_unit_test(alone),
        cmocka_unit_test(reversed_and_shuffled),
        cmocka_unit_test(hostile_neighbour),
        cmocka_unit_test(masks_change_with_their_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
