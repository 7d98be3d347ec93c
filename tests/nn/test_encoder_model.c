/* Would catch: a frozen prefix or a recomputed block that changes a bit, recomputation that saves no memory, frozen
 * weights that take memory, packed weights that are stale, a parameter table, a start or a specification that is not
 * the published one, architectures that are taken although we do not build them, a workspace that writes outside. */
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

/* What a frozen prefix gives, fed back, changes no bit of logits and taps; for each depth at which learning begins. */
static void check_prefix(const struct sg_ops *ops, const struct sg_model_spec *spec, const char *pattern,
                         int64_t expected)
{
    const char *const patterns[] = {pattern, NULL};
    struct test_batch batch;
    struct test_model m, other;
    size_t n_taps, n_others;
    test_batch_make(spec, LENGTHS, N_UNITS, 5, &batch);
    test_model_open(spec, ops, patterns, N_UNITS, batch.view.n_rows, &m);
    test_model_open(spec, ops, patterns, N_UNITS, batch.view.n_rows, &other);
    int64_t frozen = sg_model_frozen_layers(m.model), layers = spec->encoder.layers;
    assert_int_equal(frozen, expected);
    int64_t rows = frozen > layers ? N_UNITS : sg_model_tap_rows_max(m.model, N_UNITS, batch.view.n_rows);
    float *prefix = sg_alloc((size_t)(rows * spec->encoder.width), sizeof *prefix);
    sg_model_prefix(m.model, m.packed, &batch.view, m.workspace, prefix);
    const struct sg_tap *taps = test_model_run(&m, &batch, true, &n_taps);
    batch.view.prefix = prefix;
    if (spec->kind == SG_MODEL_ENCODER)
        batch.view.token = NULL;
    const struct sg_tap *others = test_model_run(&other, &batch, true, &n_others);
    assert_int_equal(n_taps, n_others);
    assert_memory_equal(m.logit, other.logit, (size_t)(N_UNITS * spec->n_outputs) * sizeof(float));
    for (size_t k = 0; k < n_taps; k++)
        for (int32_t r = 0; r < taps[k].offset[N_UNITS]; r++) {
            assert_memory_equal(taps[k].g + r * taps[k].ldg, others[k].g + r * taps[k].ldg,
                                (size_t)taps[k].n_out * sizeof(float));
            size_t n = (size_t)(taps[k].kind == SG_TAP_SCALE ? taps[k].n_out : taps[k].n_in);
            assert_memory_equal(taps[k].a + r * taps[k].lda, others[k].a + r * taps[k].lda, n * sizeof(float));
        }
    free(prefix);
    test_batch_free(&batch);
    test_model_close(&m);
    test_model_close(&other);
}

static void prefix_gives_the_same_bits(void **state)
{
    (void)state;
    for (int k = 0; test_backend(k) && test_backend(k)->attention; k++) {
        const struct sg_ops *ops = test_backend(k);
        check_prefix(ops, &CLS, "classifier.*", 3);
        check_prefix(ops, &CLS, "pooler.*", 2);
        check_prefix(ops, &CLS, "encoder.layer.1.output.dense.weight", 1);
        check_prefix(ops, &CLS, "encoder.layer.1.*", 1);
        check_prefix(ops, &LORA, "*.layer.1.*.lora_?.weight", 1);
        check_prefix(ops, &LORA, "classifier.weight", 3);
        check_prefix(ops, &TABULAR, "encoder.layer.1.*", 1);
        check_prefix(ops, &TABULAR, "classifier.*", 3);
        check_prefix(ops, &FEATURE_TOKENS, "encoder.layer.1.*", 1);
    }
}

/* What parts said, one after the other, as copies: kind, shape, place, then a and g. */
struct recorder {
    struct sg_buffer bytes;
    int n_parts;
};

static void record_part(void *context, const struct sg_tap *taps, size_t n_taps)
{
    struct recorder *to = context;
    int64_t n_units = N_UNITS;
    to->n_parts++;
    for (size_t k = 0; k < n_taps; k++) {
        const struct sg_tap *t = &taps[k];
        const int64_t shape[] = {t->kind, t->n_in, t->n_out, t->weight, t->offset[n_units]};
        sg_buffer_append(&to->bytes, shape, sizeof shape);
        for (int32_t r = 0; r < t->offset[n_units]; r++) {
            size_t n_a = (size_t)(t->kind == SG_TAP_SCALE ? t->n_out : t->n_in);
            size_t n_g = (size_t)(t->kind == SG_TAP_EMBED ? t->n_in : t->n_out);
            if (t->kind == SG_TAP_EMBED)
                sg_buffer_append(&to->bytes, &t->id[r], sizeof *t->id);
            else
                sg_buffer_append(&to->bytes, t->a + r * t->lda, n_a * sizeof(float));
            sg_buffer_append(&to->bytes, t->g + r * t->ldg, n_g * sizeof(float));
        }
    }
}

static void check_recomputed(const struct sg_ops *ops, const struct sg_model_spec *spec, const char *const *trainable)
{
    struct test_batch batch;
    struct test_model m;
    struct recorder whole = {0}, parts[3] = {0};
    size_t n_taps;
    test_batch_make(spec, LENGTHS, N_UNITS, 5, &batch);
    test_model_open(spec, ops, trainable, N_UNITS, batch.view.n_rows, &m);
    const struct sg_tap *taps = test_model_run(&m, &batch, true, &n_taps);
    record_part(&whole, taps, n_taps);
    sg_model_forward(m.model, m.packed, &batch.view, true, m.workspace, m.logit);
    sg_model_backward_in_parts(m.model, m.packed, &batch.view, batch.dlogit, m.workspace, record_part, &parts[0]);
    float kept[2048];
    memcpy(kept, m.logit, sizeof kept);
    size_t bytes = sg_workspace_bytes(m.model, N_UNITS, batch.view.n_rows, SG_WORKSPACE_RECOMPUTED);
    void *memory = sg_alloc_aligned(bytes);
    memset(memory, 0xff, bytes);
    struct sg_workspace *w = sg_workspace_place(m.model, N_UNITS, batch.view.n_rows, SG_WORKSPACE_RECOMPUTED, memory);
    sg_model_forward(m.model, m.packed, &batch.view, true, w, m.logit);
    for (int i = 1; i < 3; i++)
        sg_model_backward_in_parts(m.model, m.packed, &batch.view, batch.dlogit, w, record_part, &parts[i]);
    assert_memory_equal(kept, m.logit, (size_t)(N_UNITS * spec->n_outputs) * sizeof(float));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(parts[i].bytes.len, whole.bytes.len);
        assert_memory_equal(parts[i].bytes.data, whole.bytes.data, whole.bytes.len);
        sg_buffer_free(&parts[i].bytes);
    }
    assert_true(trainable || parts[0].n_parts >= 4); /* head, two blocks, embeddings */
    sg_buffer_free(&whole.bytes);
    free(memory);
    test_batch_free(&batch);
    test_model_close(&m);
}

static void recomputing_changes_no_bit(void **state)
{
    (void)state;
    static const char *const lora[] = {"*.lora_?.weight", "classifier.*", NULL};
    static const char *const some[] = {"encoder.layer.1.attention.*", "classifier.*", NULL};
    static const char *const norms[] = {"*LayerNorm.*", NULL};
    const struct sg_model_spec *specs[] = {&MEAN,    &CLS,          &LORA,           &UNIT_CLS,
                                           &TABULAR, &BARE_TABULAR, &FEATURE_TOKENS, &MASKED};
    for (int k = 0; test_backend(k); k++) {
        for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
            check_recomputed(test_backend(k), specs[i], NULL);
            check_recomputed(test_backend(k), specs[i], norms);
        }
        check_recomputed(test_backend(k), &LORA, lora);
        check_recomputed(test_backend(k), &LORA, some);
    }
}

/* Twelve layers' activations against twelve inputs. */
static void recomputing_takes_less_memory(void **state)
{
    (void)state;
    struct sg_model_spec spec = MEAN;
    spec.encoder.layers = 12;
    struct sg_model *model;
    assert_int_equal(sg_model_create(&spec, sg_ops_reference(), 1, &model), SG_OK);
    size_t scoring = sg_workspace_bytes(model, 10, 4000, SG_WORKSPACE_SCORING);
    size_t training = sg_workspace_bytes(model, 10, 4000, SG_WORKSPACE_TRAINING);
    size_t recomputed = sg_workspace_bytes(model, 10, 4000, SG_WORKSPACE_RECOMPUTED);
    assert_true(scoring < recomputed && recomputed < training / 3);
    const char *const head[] = {"classifier.*"};
    assert_int_equal(sg_model_train_only(model, head, 1), SG_OK); /* what is frozen takes none */
    assert_true(sg_workspace_bytes(model, 10, 4000, SG_WORKSPACE_TRAINING) < scoring + scoring / 10);
    sg_model_close(&model);
}

/* A vector of weights changes; what learns is packed anew, what is frozen is not touched. */
static void repacking_what_learns_is_enough(void **state)
{
    (void)state;
    static const char *const patterns[] = {"*.lora_?.weight", "classifier.*", NULL};
    struct test_batch batch;
    struct test_model m;
    size_t n, n_taps;
    test_batch_make(&LORA, LENGTHS, N_UNITS, 5, &batch);
    test_model_open(&LORA, sg_ops_reference(), patterns, N_UNITS, batch.view.n_rows, &m);
    const struct sg_parameter *p = sg_model_parameters(m.model, &n);
    for (size_t i = 0; i < n; i++)
        for (int64_t k = 0; p[i].trainable && k < p[i].n_out * p[i].n_in; k++)
            m.weights[p[i].first + k] *= .75f;
    sg_model_repack(m.model, m.weights, true, m.packed);
    const struct sg_tap *taps = test_model_run(&m, &batch, true, &n_taps);
    float kept[64], gradient = taps[5].g[0];
    memcpy(kept, m.logit, sizeof kept);
    sg_model_pack(m.model, m.weights, true, m.packed);
    taps = test_model_run(&m, &batch, true, &n_taps);
    assert_memory_equal(kept, m.logit, (size_t)(N_UNITS * LORA.n_outputs) * sizeof(float));
    assert_true(gradient == taps[5].g[0]);
    test_batch_free(&batch);
    test_model_close(&m);
}

/* The published names, shapes and starts; a model file depends on them. */
static void parameter_table(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t n_out, n_in;
        int n_dimensions;
        enum sg_parameter_kind kind;
    } expected[] = {
        {"embeddings.word_embeddings.weight", 7, 6, 2, SG_PARAMETER_EMBEDDING},
        {"embeddings.position_embeddings.weight", 9, 6, 2, SG_PARAMETER_EMBEDDING},
        {"embeddings.token_type_embeddings.weight", 2, 6, 2, SG_PARAMETER_EMBEDDING},
        {"embeddings.LayerNorm.weight", 6, 1, 1, SG_PARAMETER_GAIN},
        {"embeddings.LayerNorm.bias", 6, 1, 1, SG_PARAMETER_BIAS},
        {"encoder.layer.0.attention.self.query.weight", 6, 6, 2, SG_PARAMETER_WEIGHT},
        {"encoder.layer.0.attention.self.query.bias", 6, 1, 1, SG_PARAMETER_BIAS},
        {"encoder.layer.0.attention.self.query.lora_A.weight", 1, 6, 2, SG_PARAMETER_WEIGHT},
        {"encoder.layer.0.attention.self.query.lora_B.weight", 6, 1, 2, SG_PARAMETER_WEIGHT},
        {"encoder.layer.0.attention.self.key.weight", 6, 6, 2, SG_PARAMETER_WEIGHT},
        {"encoder.layer.0.attention.self.key.bias", 6, 1, 1, SG_PARAMETER_BIAS},
        {"encoder.layer.0.attention.self.value.weight", 6, 6, 2, SG_PARAMETER_WEIGHT},
        {"encoder.layer.0.attention.self.value.bias", 6, 1, 1, SG_PARAMETER_BIAS},
        {"encoder.layer.0.attention.self.value.lora_A.weight", 1, 6, 2, SG_PARAMETER_WEIGHT},
        {"encoder.layer.0.attention.self.value.lora_B.weight", 6, 1, 2, SG_PARAMETER_WEIGHT},
        {"encoder.layer.0.attention.output.dense.weight", 6, 6, 2, SG_PARAMETER_WEIGHT},
        {"encoder.layer.0.attention.output.dense.bias", 6, 1, 1, SG_PARAMETER_BIAS},
        {"encoder.layer.0.attention.output.LayerNorm.weight", 6, 1, 1, SG_PARAMETER_GAIN},
        {"encoder.layer.0.attention.output.LayerNorm.bias", 6, 1, 1, SG_PARAMETER_BIAS},
        {"encoder.layer.0.intermediate.dense.weight", 5, 6, 2, SG_PARAMETER_WEIGHT},
        {"encoder.layer.0.intermediate.dense.bias", 5, 1, 1, SG_PARAMETER_BIAS},
        {"encoder.layer.0.output.dense.weight", 6, 5, 2, SG_PARAMETER_WEIGHT},
        {"encoder.layer.0.output.dense.bias", 6, 1, 1, SG_PARAMETER_BIAS},
        {"encoder.layer.0.output.LayerNorm.weight", 6, 1, 1, SG_PARAMETER_GAIN},
        {"encoder.layer.0.output.LayerNorm.bias", 6, 1, 1, SG_PARAMETER_BIAS},
        {"pooler.dense.weight", 6, 6, 2, SG_PARAMETER_WEIGHT},
        {"pooler.dense.bias", 6, 1, 1, SG_PARAMETER_BIAS},
        {"classifier.weight", 2, 6, 2, SG_PARAMETER_WEIGHT},
        {"classifier.bias", 2, 1, 1, SG_PARAMETER_BIAS},
    };
    struct sg_model_spec spec = UNIT_CLS;
    spec.encoder.layers = 1;
    struct sg_model *model;
    assert_int_equal(sg_model_create(&spec, sg_ops_reference(), 1, &model), SG_OK);
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    float *start = sg_alloc((size_t)sg_model_n_weights(model), sizeof *start);
    sg_model_init(model, 7, start);
    assert_int_equal(n, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(p[i].name, expected[i].name);
        assert_int_equal(p[i].n_out, expected[i].n_out);
        assert_int_equal(p[i].n_in, expected[i].n_in);
        assert_int_equal(p[i].n_dimensions, expected[i].n_dimensions);
        assert_int_equal(p[i].kind, expected[i].kind);
        bool zero = p[i].kind == SG_PARAMETER_BIAS || strstr(p[i].name, "lora_B") || strstr(p[i].name, "classifier");
        for (int64_t k = 0; k < p[i].n_out * p[i].n_in; k++) {
            float w = start[p[i].first + k];
            assert_true(zero ? w == 0 : p[i].kind == SG_PARAMETER_GAIN ? w == 1 : w != 0 && fabsf(w) <= 1);
        }
    }
    free(start);
    sg_model_close(&model);
}

static void json_round_trip(void **state)
{
    (void)state;
    const struct sg_model_spec *specs[] = {&MEAN,    &CLS,          &LORA,           &UNIT_CLS,
                                           &TABULAR, &BARE_TABULAR, &FEATURE_TOKENS, &MASKED};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        struct sg_model_spec back;
        json_t *object = sg_model_spec_to_json(specs[i]);
        assert_int_equal(sg_model_spec_from_json(object, &back), SG_OK);
        json_t *again = sg_model_spec_to_json(&back);
        assert_true(json_equal(object, again));
        assert_int_equal(back.encoder.lora_targets, specs[i]->encoder.lora_targets);
        assert_true(back.encoder.lora_alpha == specs[i]->encoder.lora_alpha);
        assert_int_equal(back.n_features, specs[i]->n_features);
        assert_int_equal(back.n_outputs, specs[i]->n_outputs);
        assert_int_equal(back.n_static_tokens, specs[i]->n_static_tokens);
        assert_memory_equal(back.static_token, specs[i]->static_token, sizeof back.static_token);
        json_object_set_new(object, "surprise", json_true());
        assert_int_equal(sg_model_spec_from_json(object, &back), SG_USAGE);
        json_decref(object);
        json_decref(again);
    }
}

static void bounds_of_a_value(void **state)
{
    (void)state;
    static const char *const wrong[] = {"3", "[0]", "[1, 1]", "[2, 1]", "[0, 1, 2]", "[\"0\", 1]"};
    struct sg_model_spec spec = TABULAR, back;
    spec.objective = SG_REGRESSION;
    spec.value_low = -2.5;
    spec.value_high = 1e6;
    json_t *object = sg_model_spec_to_json(&spec);
    assert_int_equal(sg_model_spec_from_json(object, &back), SG_OK);
    assert_true(back.value_low == -2.5 && back.value_high == 1e6);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_object_set_new(object, "value_range", json_loads(wrong[i], JSON_DECODE_ANY, NULL));
        assert_int_equal(sg_model_spec_from_json(object, &back), SG_USAGE);
        assert_non_null(strstr(sg_error_text(), "value_range"));
    }
    json_decref(object);
    object = sg_model_spec_to_json(&TABULAR); /* a label of two values has none */
    json_object_set_new(object, "value_range", json_pack("[i, i]", 0, 1));
    assert_int_equal(sg_model_spec_from_json(object, &back), SG_USAGE);
    json_decref(object);
}

static void wrong_tokens_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"3", "[]", "[1, 0, 5]", "[6.0]", "[-1, 7]", "[\"6\"]", "[4294967302]", "{}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct sg_model_spec spec;
        json_t *object = sg_model_spec_to_json(&FEATURE_TOKENS);
        json_object_set_new(object, "static_tokens", json_loads(wrong[i], JSON_DECODE_ANY, NULL));
        assert_int_equal(sg_model_spec_from_json(object, &spec), SG_USAGE);
        assert_non_null(strstr(sg_error_text(), "static_tokens"));
        json_decref(object);
    }
}

static json_t *bert_config(void)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:[s], s:n}", "model_type", "bert",
                     "vocab_size", 30522, "hidden_size", 384, "num_hidden_layers", 6, "num_attention_heads", 12,
                     "intermediate_size", 1536, "max_position_embeddings", 512, "type_vocab_size", 2, "hidden_act",
                     "gelu", "layer_norm_eps", 1e-12, "architectures", "BertModel", "position_embedding_type");
}

static void bert_config_is_read(void **state)
{
    (void)state;
    struct sg_encoder_spec spec = {.lora_rank = 4, .pooling = SG_POOL_MEAN}, back = {0};
    json_t *config = bert_config();
    assert_int_equal(sg_encoder_spec_from_bert(config, &spec), SG_OK);
    assert_int_equal(spec.vocabulary, 30522);
    assert_int_equal(spec.width, 384);
    assert_int_equal(spec.layers, 6);
    assert_int_equal(spec.heads, 12);
    assert_int_equal(spec.intermediate, 1536);
    assert_int_equal(spec.positions, 512);
    assert_int_equal(spec.types, 2);
    assert_int_equal(spec.gelu, SG_GELU_ERF);
    assert_true(spec.layer_norm_epsilon == 1e-12);
    assert_int_equal(spec.lora_rank, 4);
    assert_int_equal(spec.pooling, SG_POOL_MEAN);
    json_t *written = sg_encoder_spec_to_bert(&spec);
    assert_int_equal(sg_encoder_spec_from_bert(written, &back), SG_OK);
    back.lora_rank = 4;
    back.pooling = SG_POOL_MEAN;
    assert_memory_equal(&spec, &back, sizeof spec);
    json_decref(written);
    json_decref(config);
}

static void other_architectures_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *says;
    } cases[] = {
        {"position_embedding_type", "\"relative_key\"", "position_embedding_type"},
        {"model_type", "\"roberta\"", "model_type"},
        {"hidden_act", "\"relu\"", "hidden_act"},
        {"hidden_act", "3", "hidden_act"},
        {"hidden_size", "\"wide\"", "hidden_size"},
        {"num_hidden_layers", "null", "num_hidden_layers"},
        {"is_decoder", "true", "is_decoder"},
        {"layer_norm_eps", "\"small\"", "layer_norm_eps"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_encoder_spec spec = {0};
        json_t *config = bert_config();
        json_object_set_new(config, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        assert_int_equal(sg_encoder_spec_from_bert(config, &spec), SG_USAGE);
        assert_non_null(strstr(sg_error_text(), cases[i].says));
        json_decref(config);
    }
    struct sg_encoder_spec spec;
    json_t *list = json_array();
    assert_int_equal(sg_encoder_spec_from_bert(list, &spec), SG_USAGE);
    json_decref(list);
}

static void specifications_out_of_range(void **state)
{
    (void)state;
    enum { N_WRONG = 15 };
    struct sg_model_spec wrong[N_WRONG];
    for (int i = 0; i < N_WRONG; i++)
        wrong[i] = i < 9 ? LORA : i == 9 ? TABULAR : FEATURE_TOKENS;
    wrong[0].encoder.heads = 4;
    wrong[1].encoder.layers = SG_ENCODER_LAYERS_MAX + 1;
    wrong[2].encoder.width = 0;
    wrong[3].encoder.lora_targets = 64;
    wrong[4].encoder.lora_alpha = NAN;
    wrong[5].encoder.layer_norm_epsilon = 0;
    wrong[6].objective = SG_MASKED_TOKENS;
    wrong[7].n_features = 1;
    wrong[8].dropout = 1;
    wrong[9].encoder.positions = 1;
    wrong[10].encoder.positions = 4; /* no room for a step behind three tokens */
    wrong[11].n_static = 7;
    wrong[12].static_token[1] = 0;
    wrong[13].n_static_tokens = SG_STATIC_TOKENS_MAX + 1;
    wrong[14].n_static_tokens = -1;
    for (int i = 0; i < N_WRONG; i++) {
        struct sg_model *model;
        assert_int_equal(sg_model_create(&wrong[i], sg_ops_reference(), 1, &model), SG_USAGE);
        assert_null(model);
    }
}

/* Rows past the batch's and memory past the workspace stay as they were. */
static void workspace_bounds(void **state)
{
    (void)state;
    enum { GUARD = 256 };
    const struct sg_model_spec *specs[] = {&CLS, &LORA, &TABULAR, &FEATURE_TOKENS, &MASKED};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        for (int with_backward = 0; with_backward < 2; with_backward++) {
            struct test_model m;
            size_t n_taps;
            test_model_open(specs[i], sg_ops_reference(), NULL, N_UNITS, 18, &m);
            size_t bytes = sg_workspace_bytes(m.model, N_UNITS, 18, with_backward);
            uint8_t *memory = sg_alloc_aligned(bytes + GUARD);
            memset(memory, 0xa5, bytes + GUARD);
            m.workspace = sg_workspace_place(m.model, N_UNITS, 18, with_backward, memory);
            for (int64_t n = 0; n <= N_UNITS; n++) {
                struct test_batch batch;
                test_batch_make(specs[i], LENGTHS, n, 3, &batch);
                sg_model_forward(m.model, m.packed, &batch.view, with_backward, m.workspace, m.logit);
                const struct sg_tap *taps = with_backward ? sg_model_backward(m.model, m.packed, &batch.view,
                                                                              batch.dlogit, m.workspace, &n_taps)
                                                          : NULL;
                for (size_t k = 0; taps && k < n_taps; k++)
                    assert_true(taps[k].offset[0] == 0 &&
                                taps[k].offset[n] <= sg_model_tap_rows_max(m.model, N_UNITS, 18));
                test_batch_free(&batch);
            }
            for (size_t k = 0; k < GUARD; k++)
                assert_int_equal(memory[bytes + k], 0xa5);
            free(memory);
            test_model_close(&m);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefix_gives_the_same_bits),
        cmocka_unit_test(recomputing_changes_no_bit),
        cmocka_unit_test(recomputing_takes_less_memory),
        cmocka_unit_test(repacking_what_learns_is_enough),
        cmocka_unit_test(parameter_table),
        cmocka_unit_test(json_round_trip),
        cmocka_unit_test(bounds_of_a_value),
        cmocka_unit_test(wrong_tokens_are_refused),
        cmocka_unit_test(bert_config_is_read),
        cmocka_unit_test(other_architectures_are_refused),
        cmocka_unit_test(specifications_out_of_range),
        cmocka_unit_test(workspace_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
