/* Would catch: a training run on the card's kernels, here emulated, that does not give the weights of the CPU to the
 * last bit, noise drawn there included: with and without privacy, several panels at once, recomputed blocks. */
#include "support.h"

#include "base/bytes.h"
#include "device.h"
#include "table.h"

#define VOCABULARY 30

static const struct sg_encoder_spec blocks = {.vocabulary = VOCABULARY,
                                              .width = 8,
                                              .layers = 2,
                                              .heads = 2,
                                              .intermediate = 12,
                                              .positions = 5,
                                              .types = 2,
                                              .gelu = SG_GELU_ERF,
                                              .layer_norm_epsilon = 1e-12,
                                              .pooling = SG_POOL_MEAN,
                                              .lora_rank = 2,
                                              .lora_alpha = 1,
                                              .lora_targets = SG_LORA_QUERY | SG_LORA_OUTPUT};
static const struct sg_model_spec encoder = {
    .kind = SG_MODEL_ENCODER, .n_outputs = 1, .dropout = .2, .encoder = blocks};

static float *train(const struct test_run_setup *asked, const struct sg_ops *ops, const struct sg_dataset *dataset,
                    size_t *bytes)
{
    struct test_run_setup setup = *asked;
    struct test_run run;
    setup.ops = ops;
    test_run_open(&setup, &run);
    if (test_run_train(&run, dataset) != SG_OK)
        fail_msg("%s: %s", ops->name, sg_error_text());
    float *weights = run.prepared.weights;
    *bytes = (size_t)sg_model_n_weights(run.prepared.model) * sizeof *weights;
    run.prepared.weights = NULL;
    test_run_close(&run);
    return weights;
}

static void check(const char *name, const struct test_run_setup *setup, const struct sg_dataset *dataset)
{
    size_t bytes;
    float *want = train(setup, sg_ops_near(sg_ops_cuda()), dataset, &bytes);
    float *got = train(setup, sg_ops_cuda(), dataset, &bytes);
    if (memcmp(want, got, bytes) != 0)
        fail_msg("%s: the card and the CPU train different weights", name);
    free(want);
    free(got);
}

static const struct test_run_setup usual = {.is_private = true,
                                            .population = 40,
                                            .n_panels = 3,
                                            .steps = 2,
                                            .q = .5,
                                            .dropout = .3,
                                            .n_workers = 1,
                                            .panels = 2};

static void test_lstm(void **unused)
{
    (void)unused;
    struct sg_dataset *dataset = test_dataset_make(36, 3, TEST_SEED);
    check("BiLSTM", &usual, dataset);
    struct test_run_setup plain = usual;
    plain.is_private = false;
    check("BiLSTM without privacy", &plain, dataset);
    test_dataset_free(dataset);
}

static void test_encoder(void **unused)
{
    (void)unused;
    struct sg_dataset *dataset = test_dataset_make(36, 3, TEST_SEED);
    test_dataset_make_text(dataset, VOCABULARY, TEST_SEED + 1);
    struct test_run_setup setup = usual;
    setup.spec = &encoder;
    check("encoder, all", &setup, dataset);
    setup.recompute = true;
    setup.trainable = "*lora*";
    check("encoder, LoRA, recomputed", &setup, dataset);
    test_dataset_free(dataset);
}

static void test_tabular(void **unused)
{
    (void)unused;
    struct sg_model_spec spec = encoder;
    spec.kind = SG_MODEL_TABULAR;
    spec.n_features = 4;
    spec.n_static = 2;
    spec.linear_steps = 2;
    spec.encoder.lora_rank = 0;
    spec.encoder.lora_targets = 0;
    struct sg_dataset *dataset = test_dataset_make(36, 3, TEST_SEED);
    struct test_run_setup setup = usual;
    setup.spec = &spec;
    check("tabular", &setup, dataset);
    test_dataset_free(dataset);
}

int main(void)
{
    print_message("seed %u\n", TEST_SEED);
    if (sg_cuda_open(0) != SG_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lstm),
        cmocka_unit_test(test_encoder),
        cmocka_unit_test(test_tabular),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sg_cuda_close();
    return failed;
}
