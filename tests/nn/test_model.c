/* Would catch: a parameter table whose names, shapes or places changed (model files depend on them), a start that
 * depends on anything but name and seed, patterns that match nothing and are taken, specifications out of range that
 * are taken, JSON that loses or invents a setting, a workspace that writes outside its memory, a batch of no units that
 * crashes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "support.h"

static const struct sg_model_spec W1 = {.kind = SG_MODEL_BILSTM_ATTENTION,
                                        .n_features = 10,
                                        .n_static = 7,
                                        .hidden = 64,
                                        .layers = 1,
                                        .attention = 32,
                                        .mlp = 64};
static const struct sg_model_spec FULL = {.kind = SG_MODEL_BILSTM_ATTENTION,
                                          .n_features = 3,
                                          .n_static = 2,
                                          .hidden = 4,
                                          .layers = 2,
                                          .attention = 3,
                                          .mlp = 5,
                                          .mlp_activation = SG_RELU,
                                          .linear_steps = 6,
                                          .dropout = .125};
static const struct sg_model_spec LOGISTIC = {
    .kind = SG_MODEL_LOGISTIC, .n_features = 4, .n_static = 3, .linear_steps = 4};

static void parameter_table(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t n_out, n_in;
    } expected[] = {
        {"lstm.0.forward.weight", 16, 8},
        {"lstm.0.reverse.weight", 16, 8},
        {"lstm.1.forward.weight", 16, 13},
        {"lstm.1.reverse.weight", 16, 13},
        {"attention.weight", 3, 9},
        {"attention.score.weight", 1, 3},
        {"mlp.weight", 5, 11},
        {"output.weight", 1, 6},
        {"linear.weight", 1, 21},
    };
    struct sg_model *model;
    assert_int_equal(sg_model_create(&FULL, sg_ops_reference(), 1, &model), SG_OK);
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    assert_int_equal(n, sizeof expected / sizeof *expected);
    int64_t first = 0;
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(p[i].name, expected[i].name);
        assert_int_equal(p[i].n_out, expected[i].n_out);
        assert_int_equal(p[i].n_in, expected[i].n_in);
        assert_int_equal(p[i].first, first);
        assert_true(p[i].trainable);
        first += p[i].n_out * p[i].n_in;
    }
    assert_int_equal(sg_model_n_weights(model), first);
    assert_int_equal(sg_model_n_trainable(model), first);
    sg_model_close(&model);
    assert_null(model);
    sg_model_close(&model);
}

/* Two layers of 256 x 75 and the rest: the model that others call 51,841 weights (theirs has two biases per gate). */
static void size_of_w1(void **state)
{
    (void)state;
    struct sg_model *model;
    assert_int_equal(sg_model_create(&W1, sg_ops_reference(), 1, &model), SG_OK);
    assert_int_equal(sg_model_n_weights(model), 2 * 256 * 75 + 32 * 129 + 32 + 64 * 136 + 65);
    sg_model_close(&model);
}

static void start(void **state)
{
    (void)state;
    struct sg_model *model, *frozen;
    assert_int_equal(sg_model_create(&FULL, sg_ops_reference(), 1, &model), SG_OK);
    assert_int_equal(sg_model_create(&FULL, sg_ops_reference(), 99, &frozen), SG_OK);
    const char *const head[] = {"output.weight"};
    assert_int_equal(sg_model_train_only(frozen, head, 1), SG_OK);
    size_t n_parameters, n = (size_t)sg_model_n_weights(model);
    const struct sg_parameter *p = sg_model_parameters(model, &n_parameters);
    float *one = sg_alloc(n, sizeof *one), *same = sg_alloc(n, sizeof *same), *other = sg_alloc(n, sizeof *other);
    sg_model_init(model, 7, one);
    sg_model_init(frozen, 7, same); /* the start depends on the init seed alone */
    sg_model_init(model, 8, other);
    assert_memory_equal(one, same, n * sizeof *one);
    for (size_t i = 0; i < n_parameters; i++) {
        bool linear = strcmp(p[i].name, "linear.weight") == 0, lstm = strncmp(p[i].name, "lstm.", 5) == 0;
        bool biased = strcmp(p[i].name, "attention.score.weight") != 0;
        double reach = 1 / sqrt((double)p[i].n_in), sum = 0, largest = 0;
        for (int64_t o = 0; o < p[i].n_out; o++)
            for (int64_t k = 0; k < p[i].n_in; k++) {
                float w = one[p[i].first + o * p[i].n_in + k];
                float bias = lstm && o >= 4 && o < 8 ? 1 : 0;
                if (linear)
                    assert_true(w == 0);
                else if (biased && k == p[i].n_in - 1)
                    assert_true(w == bias);
                else
                    assert_true(w != 0 && fabsf(w) <= reach);
                if (!biased || k < p[i].n_in - 1) {
                    sum += w;
                    largest = fmax(largest, fabsf(w));
                }
            }
        double n_own = (double)(p[i].n_out * p[i].n_in);
        assert_true(fabs(sum) <= 4 * reach * sqrt(n_own / 3));
        assert_true(linear || n_own < 30 || largest > .8 * reach);
        if (!linear)
            assert_memory_not_equal(one + p[i].first, other + p[i].first, sizeof *one);
    }
    /* Weights of one shape and different names differ. */
    assert_memory_not_equal(one + p[0].first, one + p[1].first, sizeof *one);
    free(one);
    free(same);
    free(other);
    sg_model_close(&model);
    sg_model_close(&frozen);
}

static void patterns(void **state)
{
    (void)state;
    struct sg_model *model;
    assert_int_equal(sg_model_create(&FULL, sg_ops_reference(), 1, &model), SG_OK);
    const char *const wrong[] = {"output.weight", "lstm.7.*"};
    assert_int_equal(sg_model_train_only(model, wrong, 2), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "lstm.7.*"));
    assert_int_equal(sg_model_train_only(model, wrong, 0), SG_USAGE);
    assert_int_equal(sg_model_n_trainable(model), sg_model_n_weights(model)); /* unchanged by a refusal */
    const char *const right[] = {"output.weight", "lstm.?.reverse.weight"};
    assert_int_equal(sg_model_train_only(model, right, 2), SG_OK);
    assert_int_equal(sg_model_n_trainable(model), 16 * 8 + 16 * 13 + 6);
    const char *const all[] = {"*"};
    assert_int_equal(sg_model_train_only(model, all, 1), SG_OK);
    assert_int_equal(sg_model_n_trainable(model), sg_model_n_weights(model));
    sg_model_close(&model);
}

static void refused(const struct sg_model_spec *spec, const char *word)
{
    struct sg_model *model = (struct sg_model *)1;
    assert_int_equal(sg_model_create(spec, sg_ops_reference(), 1, &model), SG_USAGE);
    assert_null(model);
    if (!strstr(sg_error_text(), word))
        fail_msg("\"%s\" does not name %s", sg_error_text(), word);
}

static void specifications_out_of_range(void **state)
{
    (void)state;
    const struct {
        const struct sg_model_spec *base;
        size_t field;
        int64_t value;
        const char *name;
    } cases[] = {
        {&FULL, offsetof(struct sg_model_spec, hidden), 0, "hidden"},
        {&FULL, offsetof(struct sg_model_spec, layers), 0, "layers"},
        {&FULL, offsetof(struct sg_model_spec, layers), SG_MODEL_LAYERS_MAX + 1, "layers"},
        {&FULL, offsetof(struct sg_model_spec, attention), 0, "attention"},
        {&FULL, offsetof(struct sg_model_spec, mlp), -1, "mlp"},
        {&FULL, offsetof(struct sg_model_spec, n_features), 0, "n_features"},
        {&FULL, offsetof(struct sg_model_spec, n_static), -1, "n_static"},
        {&FULL, offsetof(struct sg_model_spec, linear_steps), -1, "linear_steps"},
        {&FULL, offsetof(struct sg_model_spec, linear_steps), INT64_MAX, "linear_steps"},
        {&LOGISTIC, offsetof(struct sg_model_spec, linear_steps), 0, "linear_steps"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_model_spec spec = *cases[i].base;
        memcpy((char *)&spec + cases[i].field, &cases[i].value, sizeof cases[i].value);
        refused(&spec, cases[i].name);
    }
    const double rates[] = {1, -.1, NAN, INFINITY};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct sg_model_spec spec = FULL;
        spec.dropout = rates[i];
        refused(&spec, "dropout");
    }
    struct sg_model_spec spec = LOGISTIC;
    spec.dropout = .1;
    refused(&spec, "dropout");
    spec = LOGISTIC;
    spec.n_features = spec.n_static = 0;
    refused(&spec, "n_static");
}

static void json_round_trip(void **state)
{
    (void)state;
    struct sg_model_spec value = FULL;
    value.objective = SG_REGRESSION;
    const struct sg_model_spec *specs[] = {&W1, &FULL, &LOGISTIC, &value};
    for (size_t i = 0; i < 4; i++) {
        struct sg_model_spec back;
        json_t *object = sg_model_spec_to_json(specs[i]);
        assert_int_equal(sg_model_spec_from_json(object, &back), SG_OK);
        json_t *again = sg_model_spec_to_json(&back);
        assert_true(json_equal(object, again));
        assert_int_equal(back.kind, specs[i]->kind);
        assert_int_equal(back.objective, specs[i]->objective);
        assert_int_equal(back.hidden, specs[i]->hidden);
        assert_int_equal(back.layers, specs[i]->layers);
        assert_int_equal(back.mlp_activation, specs[i]->mlp_activation);
        assert_int_equal(back.linear_steps, specs[i]->linear_steps);
        assert_true(back.dropout == specs[i]->dropout);
        json_decref(object);
        json_decref(again);
    }
}

static void json_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {"kind",   "n_features", "n_static", "linear_steps",   "hidden",
                                       "layers", "attention",  "mlp",      "mlp_activation", "dropout"};
    struct sg_model_spec back;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *object = sg_model_spec_to_json(&FULL);
        json_object_set_new(object, keys[i], json_true());
        assert_int_equal(sg_model_spec_from_json(object, &back), SG_USAGE);
        assert_non_null(strstr(sg_error_text(), keys[i]));
        json_object_del(object, keys[i]);
        assert_int_equal(sg_model_spec_from_json(object, &back), SG_USAGE);
        assert_non_null(strstr(sg_error_text(), keys[i]));
        json_decref(object);
    }
    json_t *object = sg_model_spec_to_json(&LOGISTIC);
    json_object_set_new(object, "hidden", json_integer(3)); /* a logistic model has none */
    assert_int_equal(sg_model_spec_from_json(object, &back), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "hidden"));
    json_object_set_new(object, "kind", json_string("transformer"));
    assert_int_equal(sg_model_spec_from_json(object, &back), SG_USAGE);
    json_decref(object);
    object = json_array();
    assert_int_equal(sg_model_spec_from_json(object, &back), SG_USAGE);
    json_decref(object);
}

/* Guard bytes behind the workspace, for all sizes of batch up to the room's, scoring and training. */
static void workspace_bounds(void **state)
{
    (void)state;
    enum { UNITS = 5, ROWS = 12, GUARD = 4096 };
    const int32_t lengths[UNITS] = {4, 1, 3, 2, 2};
    const struct sg_model_spec *specs[] = {&W1, &FULL, &LOGISTIC};
    for (size_t i = 0; i < 12; i++) {
        const struct sg_model_spec *spec = specs[i / 4];
        const struct sg_ops *ops = test_backend(i / 2 % 2);
        bool with_backward = i % 2;
        if (!ops)
            continue;
        struct test_model m;
        test_model_open(spec, ops, NULL, UNITS, ROWS, &m);
        size_t bytes = sg_workspace_bytes(m.model, UNITS, ROWS, with_backward), n_taps;
        uint8_t *memory = sg_alloc_aligned(bytes + GUARD);
        memset(memory, 0xa5, bytes + GUARD);
        m.workspace = sg_workspace_place(m.model, UNITS, ROWS, with_backward, memory);
        for (int64_t n = 0; n <= UNITS; n++) {
            struct test_batch batch;
            test_batch_make(spec, lengths, n, 3, &batch);
            sg_model_forward(m.model, m.packed, &batch.view, with_backward, m.workspace, m.logit);
            for (int64_t b = 0; b < n; b++)
                assert_true(isfinite(m.logit[b]));
            if (with_backward)
                sg_model_backward(m.model, m.packed, &batch.view, batch.dlogit, m.workspace, &n_taps);
            test_batch_free(&batch);
        }
        for (size_t k = 0; k < GUARD; k++)
            assert_int_equal(memory[bytes + k], 0xa5);
        free(memory);
        test_model_close(&m);
    }
}

/* Scoring and training without dropout give the same logit. */
static void scoring_equals_training(void **state)
{
    (void)state;
    const int32_t lengths[] = {3, 5, 1};
    struct test_batch batch;
    struct test_model m;
    test_batch_make(&W1, lengths, 3, 8, &batch);
    test_model_open(&W1, sg_ops_reference(), NULL, 3, 9, &m);
    void *memory = sg_alloc_aligned(sg_workspace_bytes(m.model, 3, 9, false));
    struct sg_workspace *scoring = sg_workspace_place(m.model, 3, 9, false, memory);
    float logit[3];
    size_t n_taps;
    test_model_run(&m, &batch, true, &n_taps);
    void *packed = sg_alloc_aligned(sg_model_packed_bytes(m.model));
    sg_model_pack(m.model, m.weights, false, packed);
    sg_model_forward(m.model, packed, &batch.view, false, scoring, logit);
    assert_memory_equal(logit, m.logit, sizeof logit);
    free(memory);
    free(packed);
    test_batch_free(&batch);
    test_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameter_table),
        cmocka_unit_test(size_of_w1),
        cmocka_unit_test(start),
        cmocka_unit_test(patterns),
        cmocka_unit_test(json_round_trip),
        cmocka_unit_test(specifications_out_of_range),
        cmocka_unit_test(json_refused),
        cmocka_unit_test(workspace_bounds),
        cmocka_unit_test(scoring_equals_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
