/* Would catch: a fault in a configuration that passes, or that is reported at another line and column; a default that
 * changed unseen; a path that is not relative to the file, or that gets into the record. */
#include "support.h"

#include <math.h>

#include "base/bytes.h"
#include "base/file.h"

static const char good[] = "run: {name: a run, out: model}\n"                             /* 1 */
                           "data: {file: book.csv, schema: schema.yaml, dataset: book}\n" /* 2 */
                           "model:\n"                                                     /* 3 */
                           "  kind: bilstm_attention\n"                                   /* 4 */
                           "  hidden: 8\n"                                                /* 5 */
                           "  trainable: head\n"                                          /* 6 */
                           "privacy:\n"                                                   /* 7 */
                           "  target_epsilon: 3\n"                                        /* 8 */
                           "  target_delta: 1e-5\n"                                       /* 9 */
                           "  max_grad_norm: 0.5\n"                                       /* 10 */
                           "training:\n"                                                  /* 11 */
                           "  expected_batch_size: 256\n"                                 /* 12 */
                           "  population_size: 20000\n"                                   /* 13 */
                           "  steps: 100\n"                                               /* 14 */
                           "  learning_rate: 0.01\n"                                      /* 15 */
                           "ledger: {file: l.db, key: /keys/k}\n";                        /* 16 */

/* The good configuration with line `line` replaced. */
static char *edited(int line, const char *text)
{
    struct sg_buffer out = {0};
    const char *at = good;
    for (int i = 1; *at; i++) {
        size_t n = (size_t)(strchr(at, '\n') - at) + 1;
        if (i == line)
            sg_buffer_printf(&out, "%s\n", text);
        else
            sg_buffer_append(&out, at, n);
        at += n;
    }
    return out.data;
}

static void test_good(void **unused)
{
    (void)unused;
    char *folder = test_folder_make();
    test_file_write(folder, "run.yaml", good);
    char *path = sg_path_join(folder, "run.yaml"), *data = sg_path_join(folder, "book.csv");
    struct sg_config *config;
    if (sg_config_read(path, &config) != SG_OK)
        fail_msg("%s", sg_error_text());
    assert_string_equal(config->run_name, "a run");
    assert_string_equal(config->data_file, data);
    assert_string_equal(config->key_file, "/keys/k");
    assert_string_equal(config->dataset, "book");
    assert_int_equal(config->model.kind, SG_MODEL_BILSTM_ATTENTION);
    assert_int_equal(config->model.hidden, 8);
    assert_int_equal(config->n_trainable, 3);
    assert_true(config->plan.is_private && config->plan.target_epsilon == 3 && config->plan.max_grad_norm == .5);
    assert_true(config->plan.relation == SG_ADD_OR_REMOVE_ONE && config->plan.clip_group == SG_CLIP_EXAMPLE);
    assert_true(config->plan.sampler == SG_SAMPLER_POISSON && config->plan.microbatch_size == 1);
    assert_true(config->training.beta1 == .9 && config->training.beta2 == .999 && config->training.average_decay == 0);
    /* The record is the configuration without its paths and without the ledger. */
    char *record = json_dumps(config->record, JSON_SORT_KEYS);
    static const char *const secrets[] = {"book.csv", "schema.yaml", "l.db", "/keys/k", "\"out\"", "ledger"};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        assert_null(strstr(record, secrets[i]));
    assert_non_null(strstr(record, "\"target_epsilon\": 3"));
    assert_non_null(strstr(record, "\"dataset\": \"book\""));
    free(record);
    sg_config_close(&config);
    free(path);
    free(data);
    test_folder_remove(folder);
}

static void test_no_privacy(void **unused)
{
    (void)unused;
    char *folder = test_folder_make(), *path = sg_path_join(folder, "run.yaml");
    static const char text[] =
        "data: {file: a, schema: b}\nmodel: {kind: logistic, linear_path: false}\nprivacy: none\n"
        "training: {sample_rate: 0.1, population_size: 100, steps: 1, learning_rate: 1}\n";
    test_file_write(folder, "run.yaml", text);
    struct sg_config *config;
    if (sg_config_read(path, &config) != SG_OK)
        fail_msg("%s", sg_error_text());
    assert_false(config->plan.is_private);
    assert_true(config->linear_path); /* a logistic model is its linear path */
    assert_null(config->ledger_file);
    sg_config_close(&config);
    free(path);
    test_folder_remove(folder);
}

static void test_faults(void **unused)
{
    (void)unused;
    static const struct {
        int line;
        const char *text, *message; /* after "file:" */
    } faults[] = {
        {4, "  kind: bilstm", "4:9: kind must be logistic, bilstm_attention, encoder or tabular_transformer, found \"bilstm\""},
        {5, "  hiden: 8", "5:3: unknown key \"hiden\" in model; did you mean \"hidden\"?"},
        {5, "  hidden: 8.0", "5:11: hidden must be an integer from 1 to 4096, found \"8.0\""},
        {5, "  hidden: 0", "5:11: hidden must be an integer from 1 to 4096, found \"0\""},
        {5, "  hidden: 010", "5:11: hidden must be an integer from 1 to 4096, found \"010\""},
        {5, "  kind: logistic", "5:3: "},
        {6, "  trainable: tail", "6:14: trainable is \"all\", \"head\" or a list of name patterns"},
        {6, "  trainable: []", "6:14: trainable is \"all\", \"head\" or a list of 1 to 32 name patterns"},
        {8, "  target_epsilon: 3x", "8:19: target_epsilon must be a number from 1e-6 to 1000, found \"3x\""},
        {8, "  target_epsilon: .inf", "8:19: target_epsilon must be a number from 1e-6 to 1000, found \".inf\""},
        {8, "  noise_source: chacha20", "8:3: privacy: give one of target_epsilon and noise_multiplier"},
        {9, "  target_delta: 0", "9:17: target_delta must be a number from 1e-15 to 0.1, found \"0\""},
        {9, "  noise_multiplier: 1", "8:3: privacy needs the key \"target_delta\""},
        {10, "  max_grad_norm: -1", "10:18: max_grad_norm must be a number from 1e-6 to 1000000, found \"-1\""},
        {12, "  expected_batch_size: \"256\"",
         "12:24: expected_batch_size must be a number from 1 to 1000000000, found the text \"256\""},
        {14, "  steps:", "14:9: steps must be an integer from 1 to 1000000000, found nothing"},
        {15, "  optimizer: adam", "12:3: training needs the key \"learning_rate\""},
        {16, "leger: {}", "16:1: unknown key \"leger\" in the configuration; did you mean \"ledger\"?"},
        {16, "ledger: yes", "16:9: ledger must be a map of keys and values, found \"yes\""},
    };
    char *folder = test_folder_make(), *path = sg_path_join(folder, "run.yaml");
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char *text = edited(faults[i].line, faults[i].text);
        test_file_write(folder, "run.yaml", text);
        struct sg_config *config;
        enum sg_status status = sg_config_read(path, &config);
        char *want = sg_format("%s:%s", path, faults[i].message);
        if (status != SG_USAGE || config || strncmp(sg_error_text(), want, strlen(want)) != 0)
            fail_msg("fault %zu: status %d, \"%s\", should be \"%s\"", i, status, sg_error_text(), want);
        free(want);
        free(text);
    }
    struct sg_config *config;
    char *missing = sg_path_join(folder, "none.yaml");
    assert_int_equal(sg_config_read(missing, &config), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "none.yaml"));
    free(missing);
    free(path);
    test_folder_remove(folder);
}

/* What only hangs together: refused in the section that holds it. */
static void test_microbatch_words(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *message;
    } faults[] = {
        {"  clip_group: microbatch\n  target_epsilon: 3",
         "privacy: clip_group microbatch needs microbatch_size, at least 2"},
        {"  microbatch_size: 4\n  target_epsilon: 3", "privacy: microbatch_size goes with clip_group: microbatch"},
    };
    char *folder = test_folder_make(), *path = sg_path_join(folder, "run.yaml");
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char *text = edited(8, faults[i].text), *want = sg_format("%s:8:3: %s", path, faults[i].message);
        test_file_write(folder, "run.yaml", text);
        struct sg_config *config;
        assert_int_equal(sg_config_read(path, &config), SG_USAGE);
        assert_string_equal(sg_error_text(), want);
        free(text);
        free(want);
    }
    free(path);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_no_privacy),
                                       cmocka_unit_test(test_faults), cmocka_unit_test(test_microbatch_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
