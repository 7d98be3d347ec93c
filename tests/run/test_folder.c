/* Would catch: a model folder that does not come back as it was written, whose bytes depend on anything but model,
 * schema and plan, or that is read although something in it was changed; a whole training run whose folder depends on
 * the number of workers or that goes on without training units; a statement that claims what the plan does not hold, or
 * leaves out what it costs. */
#include "support.h"

#include <math.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "format/safetensors.h"
#include "run/evaluate.h"
#include "run/model_folder.h"

static const char schema_text[] = "layout: wide\nunit: id\ncolumns:\n"
                                  "  - {name: id, role: id}\n"
                                  "  - {name: age, role: feature, type: number, bounds: [0, 100]}\n"
                                  "  - {name: y, role: label, positive: [1], negative: [0]}\n"
                                  "steps:\n"
                                  "  - {name: bill, columns: [b1, b2, b3], type: number, bounds: [0, 10]}\n"
                                  "split:\n  fractions: {train: 0.6, validation: 0.2, test: 0.2}\n  seed: 1\n";

static const char config_text[] =
    "data: {file: data.csv, schema: schema.yaml}\n"
    "model: {kind: bilstm_attention, hidden: 3, attention: 3, mlp: 4, dropout: 0.2}\n"
    "privacy: {noise_multiplier: 1, target_delta: 1e-5, max_grad_norm: 1}\n"
    "training: {expected_batch_size: 30, population_size: 300, steps: 6, learning_rate: 0.1}\n";

static char *write_inputs(const char *schema, int n_rows)
{
    char *folder = test_folder_make();
    struct sg_buffer rows = {0};
    uint64_t seed = TEST_SEED;
    sg_buffer_text(&rows, "id,age,y,b1,b2,b3\n");
    for (int i = 0; i < n_rows; i++) {
        sg_buffer_printf(&rows, "c%d,%d,%d", i, 50 + (int)(49 * test_uniform(&seed)), test_uniform(&seed) > 0);
        for (int k = 0; k < 3; k++)
            sg_buffer_printf(&rows, ",%.3f", 5 + 5 * test_uniform(&seed));
        sg_buffer_text(&rows, "\n");
    }
    test_file_write(folder, "data.csv", rows.data);
    test_file_write(folder, "schema.yaml", schema);
    test_file_write(folder, "run.yaml", config_text);
    test_file_write(folder, "secret", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
    sg_buffer_free(&rows);
    return folder;
}

static void alone_sum(int64_t *values, int64_t n)
{
    (void)values, (void)n;
}
static void alone_broadcast(void *bytes, size_t n)
{
    (void)bytes, (void)n;
}

static enum sg_status train(const char *folder, const char *out, int n_workers, bool with_secret)
{
    static volatile sig_atomic_t never_stopped;
    char *path = sg_path_join(folder, "run.yaml"), *secret = sg_path_join(folder, "secret");
    struct sg_comm comm = {0, 1, alone_sum, alone_broadcast, NULL};
    struct sg_train_options options = {.ops = sg_ops_reference(),
                                       .comm = &comm,
                                       .n_workers = n_workers,
                                       .no_ledger = true,
                                       .secret_file = with_secret ? secret : NULL,
                                       .quiet = true,
                                       .code_digest = "test",
                                       .stopped = &never_stopped};
    if (sg_config_read(path, &options.config) != SG_OK)
        fail_msg("%s", sg_error_text());
    options.config->out_folder = sg_path_join(folder, out);
    struct sg_train_result result;
    enum sg_status status = sg_train(&options, &result);
    if (status == SG_OK) {
        assert_int_equal(result.steps_done, 6);
        assert_true(result.plan.epsilon > 1 && result.plan.epsilon < 4);
    }
    sg_train_result_free(&result);
    sg_config_close(&options.config);
    free(path);
    free(secret);
    return status;
}

static const char *const folder_files[] = {"model.safetensors", "config.json", "schema.yaml", "statement.json"};

static struct sg_buffer read_file(const char *folder, const char *name)
{
    struct sg_buffer bytes = {0};
    char *path = sg_path_join(folder, name);
    if (sg_file_read(path, "test file", 1 << 24, &bytes) != SG_OK)
        fail_msg("%s", sg_error_text());
    free(path);
    return bytes;
}

static bool same_file(const char *one, const char *two, const char *name)
{
    struct sg_buffer x = read_file(one, name), y = read_file(two, name);
    bool same = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
    sg_buffer_free(&x);
    sg_buffer_free(&y);
    return same;
}

static void test_whole_run(void **unused)
{
    (void)unused;
    char *folder = write_inputs(schema_text, 300);
    char *one = sg_path_join(folder, "one"), *two = sg_path_join(folder, "two"), *three = sg_path_join(folder, "three");
    if (train(folder, "one", 1, true) != SG_OK || train(folder, "two", 3, true) != SG_OK ||
        train(folder, "three", 1, false) != SG_OK)
        fail_msg("%s", sg_error_text());
    for (size_t i = 0; i < sizeof folder_files / sizeof *folder_files; i++)
        assert_true(same_file(one, two, folder_files[i]));
    assert_false(same_file(one, three, "model.safetensors")); /* a secret of its own each time */
    struct sg_buffer supplied = read_file(one, "statement.json"), own = read_file(three, "statement.json");
    assert_non_null(strstr(supplied.data, "the claim is void for whoever holds that file"));
    assert_null(strstr(own.data, "the claim is void for whoever holds that file"));
    assert_non_null(strstr(own.data, "No ledger holds this run"));
    sg_buffer_free(&supplied);
    sg_buffer_free(&own);
    free(one);
    free(two);
    free(three);
    test_folder_remove(folder);
}

static void test_no_training_units(void **unused)
{
    (void)unused;
    char *schema = sg_strdup(schema_text), *at = strstr(schema, "train: 0.6");
    memcpy(at, "train: 0.0", 10);
    char *folder = write_inputs(schema, 300);
    assert_int_equal(train(folder, "out", 1, true), SG_USAGE); /* the schema refuses it */
    test_folder_remove(folder);
    folder = write_inputs(schema_text, 0); /* a file of a header alone */
    assert_int_equal(train(folder, "out", 1, true), SG_USAGE);
    char *out = sg_path_join(folder, "out");
    assert_false(sg_file_exists(out));
    free(out);
    test_folder_remove(folder);
    folder = write_inputs(schema_text, 700); /* more training units than population_size */
    assert_int_equal(train(folder, "out", 1, true), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "more units than population_size"));
    test_folder_remove(folder);
    free(schema);
}

/* ---- tampering ---- */

static void write_tensors(const char *folder, struct sg_tensor *tensors, size_t n)
{
    static const char *const metadata[] = {"format", "sealgrad"};
    char *path = sg_path_join(folder, "model.safetensors");
    assert_int_equal(sg_safetensors_write(path, tensors, n, metadata, 1), SG_OK);
    free(path);
}

static void expect(const char *folder, enum sg_status want, const char *words)
{
    struct sg_model_folder model;
    enum sg_status status = sg_model_folder_read(folder, sg_ops_reference(), 0, &model);
    if (status != want || (words && !strstr(sg_error_text(), words)))
        fail_msg("status %d, \"%s\", should be %d with \"%s\"", status, sg_error_text(), want, words ? words : "");
    if (status == SG_OK)
        sg_model_folder_free(&model);
    else
        assert_true(!model.model && !model.schema && !model.weights && !model.statement);
}

static void test_folder_tampering(void **unused)
{
    (void)unused;
    char *folder = write_inputs(schema_text, 300), *out = sg_path_join(folder, "out");
    if (train(folder, "out", 1, true) != SG_OK)
        fail_msg("%s", sg_error_text());
    /* What was written comes back, and written again it is the same. */
    struct sg_model_folder model;
    assert_int_equal(sg_model_folder_read(out, sg_ops_reference(), 0, &model), SG_OK);
    char *copy = sg_path_join(folder, "copy"), *weights_path = sg_path_join(out, "model.safetensors");
    assert_int_equal(sg_model_folder_write(copy, model.model, model.weights, model.schema, NULL, model.statement),
                     SG_OK);
    for (size_t i = 0; i < sizeof folder_files / sizeof *folder_files; i++)
        assert_true(same_file(out, copy, folder_files[i]));
    sg_model_folder_free(&model);

    struct sg_safetensors file;
    assert_int_equal(sg_safetensors_read(weights_path, &file), SG_OK);
    float kept = file.tensors[0].data[0];
    file.tensors[0].data[0] = NAN;
    write_tensors(copy, file.tensors, file.n_tensors);
    expect(copy, SG_USAGE, "holds a value that is not finite");
    file.tensors[0].data[0] = -INFINITY;
    write_tensors(copy, file.tensors, file.n_tensors);
    expect(copy, SG_USAGE, "holds a value that is not finite");
    file.tensors[0].data[0] = kept;
    int64_t rows = file.tensors[0].shape[0];
    file.tensors[0].shape[0] = file.tensors[0].shape[1];
    file.tensors[0].shape[1] = rows; /* transposed */
    write_tensors(copy, file.tensors, file.n_tensors);
    expect(copy, SG_USAGE, "is missing or not (");
    file.tensors[0].shape[1] = file.tensors[0].shape[0];
    file.tensors[0].shape[0] = rows;
    write_tensors(copy, file.tensors, file.n_tensors - 1);
    expect(copy, SG_USAGE, "config.json describes");
    char *name = file.tensors[0].name;
    file.tensors[0].name = (char *)"lstm.9.forward.weight";
    write_tensors(copy, file.tensors, file.n_tensors);
    expect(copy, SG_USAGE, "is missing or not (");
    file.tensors[0].name = name;
    write_tensors(copy, file.tensors, file.n_tensors);
    expect(copy, SG_OK, NULL);
    sg_safetensors_free(&file);

    char *path = sg_path_join(copy, "model.safetensors");
    struct sg_buffer whole = read_file(copy, "model.safetensors");
    const long cuts[] = {0, 4, 8, 100, (long)whole.len - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        assert_int_equal(truncate(path, cuts[i]), 0);
        expect(copy, SG_USAGE, "model.safetensors");
        assert_int_equal(sg_file_write(path, whole.data, whole.len, 0644), SG_OK);
    }
    sg_buffer_free(&whole);
    free(path);

    struct sg_buffer schema =
        read_file(copy, "schema.yaml"); /* a bound of the encoding: the scores would change unseen */
    *strstr(schema.data, "100]") = '2';
    test_file_write(copy, "schema.yaml", schema.data);
    expect(copy, SG_USAGE, "schema_sha256 is not the digest of schema.yaml");
    sg_buffer_free(&schema);
    test_file_write(copy, "schema.yaml", schema_text);
    static const char *const json_files[] = {"config.json", "statement.json"};
    for (int i = 0; i < 2; i++) {
        struct sg_buffer bytes = read_file(copy, json_files[i]);
        test_file_write(copy, json_files[i], "{");
        expect(copy, SG_USAGE, json_files[i]);
        test_file_write(copy, json_files[i], bytes.data);
        expect(copy, SG_OK, NULL);
        sg_buffer_free(&bytes);
    }
    struct sg_buffer config = read_file(copy, "config.json");
    char *version = strstr(config.data, "\"sealgrad_model\": 1");
    assert_non_null(version);
    version[18] = '2';
    test_file_write(copy, "config.json", config.data);
    expect(copy, SG_USAGE, "model format 2 is not known");
    sg_buffer_free(&config);
    free(copy);
    free(weights_path);
    free(out);
    test_folder_remove(folder);
}

/* ---- words ---- */

static struct sg_plan plan_of(bool is_private, int64_t microbatch, const char *source)
{
    const struct sg_plan_request request = {
        .is_private = is_private,
        .clip_group = microbatch > 1 ? SG_CLIP_MICROBATCH : SG_CLIP_EXAMPLE,
        .microbatch_size = microbatch,
        .expected_batch_size = 96,
        .population_size = 1000,
        .steps = 10,
        .noise_multiplier = is_private ? 2 : 0,
        .target_delta = is_private ? 1e-5 : 0,
        .max_grad_norm = 1,
        .rows_per_unit_max = 4,
        .n_weights = 100,
        .noise_source = source,
        .noise_tau_log2 = sg_noise_tau_log2(),
    };
    struct sg_plan plan;
    if (sg_plan_resolve(&request, &plan) != SG_OK)
        fail_msg("%s", sg_error_text());
    return plan;
}

static void check_words_of(const struct sg_plan *plan, const struct sg_statement_facts *facts,
                           const char *const *present, const char *const *absent)
{
    json_t *statement = sg_statement(plan, facts);
    char *text = json_dumps(statement, 0);
    for (; *present; present++)
        if (!strstr(text, *present))
            fail_msg("\"%s\" is missing in %s", *present, text);
    for (; *absent; absent++)
        if (strstr(text, *absent))
            fail_msg("\"%s\" should not stand in %s", *absent, text);
    struct sg_plan again;
    assert_int_equal(sg_plan_from_json(json_object_get(statement, "plan"), SG_BROKEN, &again), SG_OK);
    assert_int_equal(sg_plan_check(&again), SG_OK);
    free(text);
    json_decref(statement);
}

static void check_words(const struct sg_plan *plan, bool supplied, bool without_ledger, const char *const *present,
                        const char *const *absent)
{
    const struct sg_statement_facts facts = {"customer_id", supplied, without_ledger, "", false};
    check_words_of(plan, &facts, present, absent);
}

#define WORDS(...)                                                                                                     \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__, NULL                                                                                              \
    }

static void test_statement_words(void **unused)
{
    (void)unused;
    struct sg_plan example = plan_of(true, 1, "chacha20"), microbatch = plan_of(true, 4, "chacha20"),
                   curand = plan_of(true, 1, "curand"), none = plan_of(false, 1, "chacha20");
    char *epsilon =
        sg_format("(epsilon, delta) = (%.6g, 1e-05) differentially private for each unit (all rows of one customer_id)",
                  example.epsilon);
    check_words(&example, false, false,
                WORDS(epsilon, "adding or removing one", "ChaCha20, a cryptographic generator",
                      "as long as the run secret stays", "validation and test splits are not covered",
                      "Settings chosen by looking at earlier results", "operator of the training machine is trusted",
                      "\"private\": true"),
                WORDS("Philox", "microbatch of", "is void", "No ledger", "Training started from"));
    check_words(&example, true, true,
                WORDS("the claim is void for whoever holds that file", "No ledger holds this run"),
                WORDS("without privacy"));
    check_words(&microbatch, false, false,
                WORDS("microbatches of 4 units", "by twice the clip norm",
                      "8 times the noise of clipping each unit alone", "Every microbatch's gradient is clipped"),
                WORDS("Philox"));
    check_words(&curand, false, false,
                WORDS("Philox4x32-10, a statistical generator with a 64-bit key", "cannot search 2^64 keys"),
                WORDS("ChaCha20"));
    check_words(&none, false, true,
                WORDS("without privacy: no claim is made", "\"private\": false", "\"epsilon\": null"),
                WORDS("differentially private for", "Gaussian noise"));
    struct sg_statement_facts based = {"customer_id", false, false, "0123456789abcdef0123456789abcdef", true};
    check_words_of(&example, &based,
                   WORDS("base (weights of SHA-256 0123456789abcdef...)", "asserted", "public data only"),
                   WORDS("same population"));
    check_words_of(&none, &based, WORDS("without privacy: no claim is made"), WORDS("asserted"));
    based.base_is_public = false;
    check_words_of(
        &example, &based,
        WORDS("private model of the same population (weights of SHA-256 0123456789abcdef...)", "this run's steps"),
        WORDS("asserted"));
    free(epsilon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole_run), cmocka_unit_test(test_no_training_units),
                                       cmocka_unit_test(test_folder_tampering), cmocka_unit_test(test_statement_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
