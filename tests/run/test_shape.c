/* Would catch: weights that depend on how the work lies in memory: on the number of panels that a worker takes at once,
 * whether or not they all fit, or on blocks that are computed again, with privacy, where the norms come from a first
 * pass and the sums from a second, and without; with microbatches, dropout, hostile rows and a frozen lower part. And
 * anybody outside the ops who reads or writes a tensor, or an op that is given an array of the host, where the ops'
 * memory is a device's; memory of it that is not given back, or whose lack is not one clear line. */
#include "support.h"

#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "far.h"
#include "run/evaluate.h"
#include "run/memory.h"

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
                                              .lora_alpha = 1};

struct run_kind {
    const char *name, *trainable;
    enum sg_model_kind kind;
    int64_t lora_rank, microbatch;
    double dropout;
    bool is_private, hostile;
};
static const struct run_kind kinds[] = {
    {"BiLSTM", NULL, SG_MODEL_BILSTM_ATTENTION, 0, 1, .3, true, true},
    {"BiLSTM in microbatches", NULL, SG_MODEL_BILSTM_ATTENTION, 0, 3, 0, true, false},
    {"encoder, all", NULL, SG_MODEL_ENCODER, 0, 1, .2, true, false},
    {"encoder, all, without privacy", NULL, SG_MODEL_ENCODER, 0, 1, .2, false, false},
    {"encoder, LoRA, in microbatches", "*lora*", SG_MODEL_ENCODER, 2, 3, .1, true, false},
    {"encoder, upper block", "encoder.layer.1.*", SG_MODEL_ENCODER, 0, 1, 0, true, false},
    {"encoder, head", "classifier.*", SG_MODEL_ENCODER, 0, 1, .2, true, false},
    {"tabular", NULL, SG_MODEL_TABULAR, 0, 1, .2, true, true},
    {"tabular in microbatches without privacy", NULL, SG_MODEL_TABULAR, 0, 3, .2, false, false},
};

static struct sg_model_spec spec_of(const struct run_kind *k)
{
    struct sg_model_spec spec = {.kind = k->kind,
                                 .n_features = k->kind == SG_MODEL_ENCODER ? 0 : 4,
                                 .n_static = k->kind == SG_MODEL_ENCODER ? 0 : 2,
                                 .dropout = k->dropout,
                                 .n_outputs = 1};
    if (k->kind == SG_MODEL_BILSTM_ATTENTION) {
        spec.hidden = spec.attention = 4;
        spec.layers = 2;
        spec.mlp = 3;
        spec.mlp_activation = SG_RELU;
    } else {
        spec.encoder = blocks;
        spec.encoder.lora_rank = k->lora_rank;
        spec.encoder.lora_targets = k->lora_rank ? SG_LORA_QUERY | SG_LORA_VALUE | SG_LORA_OUTPUT : 0;
    }
    if (k->kind != SG_MODEL_ENCODER)
        spec.linear_steps = 3;
    return spec;
}

static const struct sg_ops *near_ops(void)
{
    return sg_ops_near(far_ops());
}

static float *train(const struct run_kind *k, const struct sg_ops *ops, const struct sg_shape *shape,
                    const struct sg_dataset *dataset, size_t *bytes)
{
    const struct sg_model_spec spec = spec_of(k);
    const struct test_run_setup setup = {.ops = ops,
                                         .is_private = k->is_private,
                                         .population = 150,
                                         .microbatch = k->microbatch,
                                         .n_panels = 5,
                                         .steps = 4,
                                         .q = .5,
                                         .n_workers = shape->n_workers,
                                         .panels = shape->panels,
                                         .recompute = shape->recompute,
                                         .spec = &spec,
                                         .trainable = k->trainable};
    struct test_run run;
    test_run_open(&setup, &run);
    assert_int_equal(test_run_train(&run, dataset), SG_OK);
    float *weights = run.prepared.weights;
    *bytes = (size_t)sg_model_n_weights(run.prepared.model) * sizeof *weights;
    run.prepared.weights = NULL;
    test_run_close(&run);
    return weights;
}

static struct sg_dataset *make_dataset(const struct run_kind *k)
{
    struct sg_dataset *dataset = test_dataset_make(140, 3, TEST_SEED);
    if (k->kind == SG_MODEL_ENCODER)
        test_dataset_make_text(dataset, VOCABULARY, TEST_SEED + 1);
    if (k->hostile) {
        dataset->x[3 * 4 + 1] = NAN;
        dataset->statics[40 * 2] = INFINITY;
    }
    return dataset;
}

static void check(const struct run_kind *k, const struct sg_ops *ops, const struct sg_shape *shape,
                  const struct sg_dataset *dataset, const float *want)
{
    size_t bytes;
    float *got = train(k, ops, shape, dataset, &bytes);
    if (memcmp(want, got, bytes) != 0)
        fail_msg("%s, %s: %d workers, %ld panels at once%s change the weights", k->name, ops->name, shape->n_workers,
                 (long)shape->panels, shape->recompute ? ", recomputed," : "");
    free(got);
}

static void test_shapes(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct sg_dataset *dataset = make_dataset(&kinds[i]);
        size_t bytes;
        float *want = train(&kinds[i], near_ops(), &(struct sg_shape){1, 1, false}, dataset, &bytes);
        static const int64_t panels[] = {1, 2, 3, 5, 100};
        for (size_t p = 0; p < sizeof panels / sizeof *panels; p++)
            for (int recompute = 0; recompute <= (kinds[i].kind != SG_MODEL_BILSTM_ATTENTION); recompute++)
                for (int workers = 1; workers <= 2; workers++)
                    check(&kinds[i], near_ops(), &(struct sg_shape){workers, panels[p], recompute}, dataset, want);
        free(want);
        test_dataset_free(dataset);
    }
}

/* ---- a device's memory ---- */

static void test_far_memory(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct sg_dataset *dataset = make_dataset(&kinds[i]);
        size_t bytes;
        float *want = train(&kinds[i], near_ops(), &(struct sg_shape){1, 1, false}, dataset, &bytes);
        check(&kinds[i], far_ops(), &(struct sg_shape){1, 1, false}, dataset, want);
        check(&kinds[i], far_ops(), &(struct sg_shape){1, 3, kinds[i].kind != SG_MODEL_BILSTM_ATTENTION}, dataset,
              want);
        assert_int_equal(far_blocks(), 0);
        free(want);
        test_dataset_free(dataset);
    }
}

static void test_far_scores(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct sg_dataset *dataset = make_dataset(&kinds[i]);
        const struct sg_model_spec spec = spec_of(&kinds[i]);
        const struct sg_ops *ops[] = {near_ops(), far_ops()};
        float score[2][140];
        int32_t unit[140];
        for (int32_t u = 0; u < 140; u++)
            unit[u] = u;
        for (int k = 0; k < 2; k++) {
            struct sg_model *model;
            assert_int_equal(sg_model_create(&spec, ops[k], 1, &model), SG_OK);
            float *weights = sg_alloc((size_t)sg_model_n_weights(model), sizeof *weights);
            sg_model_init(model, 3, weights);
            assert_int_equal(sg_predict(model, weights, dataset, unit, 140, 2, score[k]), SG_OK);
            sg_model_close(&model);
            free(weights);
        }
        assert_memory_equal(score[0], score[1], sizeof score[0]);
        assert_int_equal(far_blocks(), 0);
        test_dataset_free(dataset);
    }
}

/* Every allocation of a run in its turn fails: the run ends with what to do, and gives everything back. */
static void test_far_memory_runs_out(void **unused)
{
    (void)unused;
    struct sg_dataset *dataset = make_dataset(&kinds[4]);
    const struct sg_model_spec spec = spec_of(&kinds[5]);
    int failed = 0;
    for (int n = 1;; n++) {
        const struct test_run_setup setup = {.ops = far_ops(),
                                             .is_private = true,
                                             .population = 150,
                                             .n_panels = 5,
                                             .steps = 4,
                                             .q = .5,
                                             .n_workers = 1,
                                             .spec = &spec,
                                             .trainable = kinds[5].trainable};
        struct test_run run;
        test_run_open(&setup, &run);
        far_fail_alloc(n);
        enum sg_status status = test_run_train(&run, dataset);
        test_run_close(&run);
        assert_int_equal(far_blocks(), 0);
        if (status == SG_OK)
            break;
        assert_int_equal(status, SG_FAILED);
        assert_non_null(strstr(sg_error_text(), "backend far: the device has no "));
        failed++;
    }
    far_fail_alloc(0);
    assert_true(failed >= 4); /* weights, packed, the frozen part, the worker */
    test_dataset_free(dataset);
}

/* That the fence is one: a host that looks over it is caught. */
static void test_fence(void **unused)
{
    (void)unused;
    float one = 1, *at = far_ops()->far->alloc(64);
    far_ops()->far->upload(at, &one, sizeof one);
    assert_true(far_is_fenced(at));
    one = 0;
    far_ops()->far->download(&one, at, sizeof one);
    assert_true(one == 1);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        close(STDERR_FILENO);
        _exit(*(volatile float *)at == 1 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    far_ops()->far->release(at);
}

int main(void)
{
    print_message("seed %u\n", TEST_SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_fence),
        cmocka_unit_test(test_far_memory),
        cmocka_unit_test(test_far_scores),
        cmocka_unit_test(test_far_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
