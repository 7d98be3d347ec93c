/* For the tests of run: a small generated dataset, a model, a plan, and training as src/run does it. */
#ifndef SG_TESTS_RUN_SUPPORT_H
#define SG_TESTS_RUN_SUPPORT_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "data/dataset.h"
#include "mechanism/mechanism.h"
#include "run/trainer.h"

#define TEST_SEED 20260726u

double test_uniform(uint64_t *state); /* in -1 .. 1 */

/* n units of 1 .. rows_max rows, F = 4 features, S = 2 static ones, all in the training split. */
struct sg_dataset *test_dataset_make(int64_t n, int64_t rows_max, uint64_t seed);
/* Turns it into one of texts: tokens instead of features. */
void test_dataset_make_text(struct sg_dataset *dataset, int64_t vocabulary, uint64_t seed);
void test_dataset_free(struct sg_dataset *dataset);
/* The same units without one, or only one. */
struct sg_dataset *test_dataset_without(const struct sg_dataset *dataset, int64_t unit);
struct sg_dataset *test_dataset_only(const struct sg_dataset *dataset, int64_t unit);

/* A run in memory. Fields may be changed between open and train. */
struct test_run {
    struct sg_config config;
    struct sg_train_options options;
    struct sg_prepared prepared;
    struct sg_comm comm;
    uint8_t secret[SG_KEY_BYTES];
    int64_t steps_done;
    json_t *internal, *track;
};
struct test_run_setup {
    const struct sg_ops *ops;
    bool is_private;
    int64_t population, microbatch, n_panels, steps;
    double q, dropout;
    int n_workers;
    int64_t panels; /* a worker takes at once; 0: one */
    bool recompute, no_prefix;
    const struct sg_model_spec *spec; /* NULL: a small BiLSTM */
    const char *trainable;            /* a pattern; NULL: all */
};
void test_run_open(const struct test_run_setup *setup, struct test_run *out);
enum sg_status test_run_train(struct test_run *run, const struct sg_dataset *dataset);
void test_run_close(struct test_run *run);

/* A folder of this test under the build directory's working folder, removed by test_folder_remove. */
char *test_folder_make(void);
void test_folder_remove(char *folder);
void test_file_write(const char *folder, const char *name, const char *text);

#endif
