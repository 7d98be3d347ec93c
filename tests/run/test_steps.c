/* Would catch: weights that depend on the number of workers or ranks, on anything but secret, data and plan; a unit
 * whose leaving changes what others draw, their panels, groups or dropout masks; an empty step or an overfull panel
 * that is not an ordinary, counted one; a gradient overflow that passes; a signal that is not heard. */
#include "support.h"

#include <math.h>
#include <pthread.h>

#include "base/bytes.h"
#include "steps.h"
#include "team.h"

static const struct test_run_setup usual = {
    .is_private = true, .population = 150, .n_panels = 7, .steps = 5, .q = .5, .dropout = .3, .n_workers = 1};

static float *train(const struct test_run_setup *setup, uint8_t secret_change, const struct sg_dataset *dataset)
{
    struct test_run run;
    test_run_open(setup, &run);
    run.secret[0] ^= secret_change;
    assert_int_equal(test_run_train(&run, dataset), SG_OK);
    assert_int_equal(run.steps_done, setup->steps);
    float *weights = run.prepared.weights;
    run.prepared.weights = NULL;
    test_run_close(&run);
    return weights;
}

static size_t weight_bytes(const struct test_run_setup *setup)
{
    struct test_run run;
    test_run_open(setup, &run);
    size_t bytes = (size_t)sg_model_n_weights(run.prepared.model) * sizeof(float);
    test_run_close(&run);
    return bytes;
}

static void test_workers_and_secrets(void **unused)
{
    (void)unused;
    struct sg_dataset *dataset = test_dataset_make(140, 3, TEST_SEED);
    const struct sg_ops *backend[] = {sg_ops_reference(), sg_ops_cpu()};
    for (int i = 0; i < 2 && backend[i]; i++)
        for (int private = 0; private < 2; private ++) {
            struct test_run_setup setup = usual;
            setup.ops = backend[i];
            setup.is_private = private;
            size_t bytes = weight_bytes(&setup);
            float *first = train(&setup, 0, dataset);
            for (int workers = 1; workers <= 5; workers += workers == 1 ? 1 : 3) {
                setup.n_workers = workers;
                float *again = train(&setup, 0, dataset);
                assert_memory_equal(first, again, bytes);
                free(again);
            }
            float *other = train(&setup, 1, dataset);
            assert_memory_not_equal(first, other, bytes);
            free(other);
            free(first);
        }
    test_dataset_free(dataset);
}

/* The order of the file is not a part of the draw: a reversed file gives the same weights. */
static void test_file_order(void **unused)
{
    (void)unused;
    struct test_run_setup setup = usual;
    setup.ops = sg_ops_reference();
    struct sg_dataset *dataset = test_dataset_make(40, 3, TEST_SEED), *turned = test_dataset_make(40, 3, TEST_SEED);
    turned->n_rows = 0;
    for (int64_t i = 0; i < 40; i++) {
        int64_t from = 39 - i, rows = dataset->offset[from + 1] - dataset->offset[from];
        memcpy(turned->x + turned->n_rows * 4, dataset->x + dataset->offset[from] * 4,
               (size_t)(rows * 4) * sizeof(float));
        memcpy(turned->statics + i * 2, dataset->statics + from * 2, 2 * sizeof(float));
        memcpy(turned->digest[i], dataset->digest[from], SG_UNIT_DIGEST_BYTES);
        turned->label[i] = dataset->label[from];
        turned->offset[i + 1] = turned->n_rows += rows;
    }
    float *one = train(&setup, 0, dataset), *two = train(&setup, 0, turned);
    assert_memory_equal(one, two, weight_bytes(&setup));
    free(one);
    free(two);
    test_dataset_free(dataset);
    test_dataset_free(turned);
}

/* ---- ranks, as threads ---- */

#define RANKS 3

static pthread_barrier_t meeting;
static int64_t *offered[RANKS];
static _Thread_local int my_rank;

static void meet_and_sum(int64_t *values, int64_t n)
{
    int64_t *total = sg_alloc((size_t)n, sizeof *total);
    offered[my_rank] = values;
    pthread_barrier_wait(&meeting);
    for (int r = 0; r < RANKS; r++)
        for (int64_t i = 0; i < n; i++)
            total[i] += offered[r][i];
    pthread_barrier_wait(&meeting);
    memcpy(values, total, (size_t)n * sizeof *total);
    free(total);
}

struct rank {
    pthread_t thread;
    int number;
    const struct sg_dataset *dataset;
    struct test_run run;
    enum sg_status status;
};

static void *run_rank(void *argument)
{
    struct rank *rank = argument;
    my_rank = rank->number;
    rank->status = test_run_train(&rank->run, rank->dataset);
    return NULL;
}

static void test_ranks(void **unused)
{
    (void)unused;
    struct sg_dataset *dataset = test_dataset_make(140, 3, TEST_SEED);
    for (int64_t k = 1; k <= 3; k += 2) {
        struct test_run_setup setup = usual;
        setup.ops = sg_ops_cpu() ? sg_ops_cpu() : sg_ops_reference();
        setup.microbatch = k;
        setup.n_panels = 5;
        float *alone = train(&setup, 0, dataset);
        struct rank rank[RANKS];
        pthread_barrier_init(&meeting, NULL, RANKS);
        for (int r = 0; r < RANKS; r++) {
            setup.n_workers = 1 + r;
            rank[r] = (struct rank){.number = r, .dataset = dataset};
            test_run_open(&setup, &rank[r].run);
            rank[r].run.options.config = &rank[r].run.config;
            rank[r].run.comm.rank = r;
            rank[r].run.comm.size = RANKS;
            rank[r].run.comm.sum = meet_and_sum;
            rank[r].run.options.comm = &rank[r].run.comm;
        }
        for (int r = 0; r < RANKS; r++)
            assert_int_equal(pthread_create(&rank[r].thread, NULL, run_rank, &rank[r]), 0);
        for (int r = 0; r < RANKS; r++) {
            pthread_join(rank[r].thread, NULL);
            assert_int_equal(rank[r].status, SG_OK);
            assert_memory_equal(alone, rank[r].run.prepared.weights, weight_bytes(&setup));
            test_run_close(&rank[r].run);
        }
        pthread_barrier_destroy(&meeting);
        free(alone);
    }
    test_dataset_free(dataset);
}

/* ---- one unit leaves ---- */

/* The integers of one step by the team. */
static int64_t *team_sum(struct test_run *run, const struct sg_dataset *dataset, int64_t step)
{
    const struct sg_plan *plan = &run->prepared.plan;
    const struct sg_buffer context = {0};
    struct sg_mechanism *mechanism;
    struct sg_team *team;
    assert_int_equal(sg_mechanism_open(plan, run->options.ops, run->secret, &context, &mechanism), SG_OK);
    const struct sg_team_setup setup = {run->prepared.model, run->options.ops, plan, dataset, NULL, NULL, {2, 1, false}};
    assert_int_equal(sg_team_open(&setup, &team), SG_OK);
    void *packed = sg_alloc_aligned(sg_model_packed_bytes(run->prepared.model));
    sg_model_pack(run->prepared.model, run->prepared.weights, true, packed);
    int32_t *unit = sg_alloc((size_t)dataset->n_units + 1, sizeof *unit);
    for (int64_t i = 0; i < dataset->n_units; i++)
        unit[i] = (int32_t)i;
    struct sg_sample sample = {0};
    assert_int_equal(
        sg_mechanism_sample(mechanism, step, (const uint8_t(*)[16])dataset->digest, dataset->n_units, &sample), SG_OK);
    int64_t *sum = sg_alloc((size_t)plan->n_weights, sizeof *sum);
    bool overflow;
    struct sg_clip_counts counts;
    sg_team_step(team, mechanism, &sample, unit, packed, step, &run->comm, sum, &overflow, &counts);
    assert_false(overflow);
    free(packed);
    free(unit);
    sg_sample_free(&sample);
    sg_team_close(&team);
    sg_mechanism_close(&mechanism);
    return sum;
}

/* Without privacy nothing is clipped: what is missing after a unit left must be what it adds alone, to rounding. Were
 * another unit's draw or dropout mask to change, the difference would be of a gradient's size. */
static void test_the_others_stay(void **unused)
{
    (void)unused;
    struct test_run_setup setup = usual;
    setup.ops = sg_ops_reference();
    setup.is_private = false;
    struct test_run run;
    test_run_open(&setup, &run);
    struct sg_dataset *dataset = test_dataset_make(60, 3, TEST_SEED);
    int64_t *all = team_sum(&run, dataset, 2), n_weights = run.prepared.plan.n_weights, n_joined = 0;
    for (int64_t out = 0; out < dataset->n_units; out++) {
        struct sg_dataset *rest = test_dataset_without(dataset, out), *only = test_dataset_only(dataset, out);
        int64_t *without = team_sum(&run, rest, 2), *alone = team_sum(&run, only, 2), largest = 0;
        for (int64_t i = 0; i < n_weights; i++) {
            double wrong = (double)(all[i] - without[i] - alone[i]) * run.prepared.plan.grid;
            if (!(fabs(wrong) < 1e-5))
                fail_msg("unit %ld leaves, weight %ld is off by %g", (long)out, (long)i, wrong);
            largest = llabs(alone[i]) > largest ? llabs(alone[i]) : largest;
        }
        n_joined += largest > 0x1p30; /* 1e-3 */
        free(without);
        free(alone);
        test_dataset_free(rest);
        test_dataset_free(only);
    }
    assert_true(n_joined > 15 && n_joined < 45);
    free(all);
    test_dataset_free(dataset);
    test_run_close(&run);
}

/* With privacy, by the whole path of run: C, and 2 C for microbatches. */
static void test_displacement(void **unused)
{
    (void)unused;
    for (int64_t k = 1; k <= 3; k += 2) {
        struct test_run_setup setup = usual;
        setup.ops = sg_ops_cpu() ? sg_ops_cpu() : sg_ops_reference();
        setup.population = 60;
        setup.microbatch = k;
        setup.n_panels = 2;
        struct test_run run;
        test_run_open(&setup, &run);
        struct sg_dataset *dataset = test_dataset_make(60, 3, TEST_SEED);
        for (int64_t i = 0; i < dataset->n_rows * 4; i++)
            dataset->x[i] *= i % 7 == 0 ? 1e4f : 30;
        int64_t *all = team_sum(&run, dataset, 1);
        double most = 0;
        for (int64_t out = 0; out < dataset->n_units; out++) {
            struct sg_dataset *rest = test_dataset_without(dataset, out);
            int64_t *without = team_sum(&run, rest, 1);
            long double sum = 0;
            for (int64_t i = 0; i < run.prepared.plan.n_weights; i++)
                sum += (long double)(all[i] - without[i]) * (long double)(all[i] - without[i]);
            most = fmax(most, (double)sqrtl(sum) * run.prepared.plan.grid);
            free(without);
            test_dataset_free(rest);
        }
        assert_true(most <= (k > 1 ? 2 : 1) && most > .9);
        free(all);
        test_dataset_free(dataset);
        test_run_close(&run);
    }
}

/* ---- the unusual steps ---- */

static int64_t internal_figure(const struct test_run *run, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(run->internal, name));
}

/* Nobody joins: noise is added, the step is counted, the weights move. No units at all are no special case either. */
static void test_empty_steps(void **unused)
{
    (void)unused;
    struct test_run_setup setup = usual;
    setup.ops = sg_ops_reference();
    setup.q = 1e-7;
    struct sg_dataset *dataset = test_dataset_make(140, 3, TEST_SEED), *nobody = test_dataset_make(0, 3, TEST_SEED);
    float *few = train(&setup, 0, dataset), *none = train(&setup, 0, nobody);
    assert_memory_equal(few, none, weight_bytes(&setup));
    struct test_run run;
    test_run_open(&setup, &run);
    assert_memory_not_equal(few, run.prepared.weights, weight_bytes(&setup));
    assert_int_equal(test_run_train(&run, dataset), SG_OK);
    assert_int_equal(internal_figure(&run, "groups"), 0);
    assert_int_equal(run.steps_done, setup.steps);
    test_run_close(&run);
    free(few);
    free(none);
    test_dataset_free(dataset);
    test_dataset_free(nobody);
}

static void test_overfull_panels(void **unused)
{
    (void)unused;
    struct test_run_setup setup = usual;
    setup.ops = sg_ops_reference();
    setup.q = 1;
    struct test_run run;
    test_run_open(&setup, &run);
    run.prepared.plan.units_per_panel_max = 9; /* 7 panels of 20 units on average */
    struct sg_dataset *dataset = test_dataset_make(140, 3, TEST_SEED);
    assert_int_equal(test_run_train(&run, dataset), SG_OK);
    int64_t groups = internal_figure(&run, "groups"), over = internal_figure(&run, "over_cap");
    assert_int_equal(groups + over, 140 * setup.steps);
    assert_true(groups <= 7 * 9 * setup.steps && over >= (140 - 7 * 9) * setup.steps);
    test_run_close(&run);
    test_dataset_free(dataset);
}

static void test_hostile_rows_are_counted(void **unused)
{
    (void)unused;
    struct test_run_setup setup = usual;
    setup.ops = sg_ops_reference();
    setup.q = 1;
    struct test_run run;
    test_run_open(&setup, &run);
    struct sg_dataset *dataset = test_dataset_make(140, 3, TEST_SEED);
    dataset->statics[5 * 2] = NAN;
    dataset->statics[9 * 2] = INFINITY;
    assert_int_equal(test_run_train(&run, dataset), SG_OK);
    assert_int_equal(internal_figure(&run, "excluded"), 2 * setup.steps);
    for (int64_t i = 0; i < sg_model_n_weights(run.prepared.model); i++)
        assert_true(isfinite(run.prepared.weights[i]));
    test_run_close(&run);
    test_dataset_free(dataset);
}

static void test_overflow_ends_the_run(void **unused)
{
    (void)unused;
    static const float hostile[] = {1e30f, NAN};
    for (int i = 0; i < 2; i++) {
        struct test_run_setup setup = usual;
        setup.ops = sg_ops_cpu() ? sg_ops_cpu() : sg_ops_reference();
        setup.q = 1;
        setup.is_private = false;
        struct test_run run;
        test_run_open(&setup, &run);
        struct sg_dataset *dataset = test_dataset_make(140, 3, TEST_SEED);
        dataset->label[5] = 1;
        dataset->statics[5 * 2] = -hostile[i];
        assert_int_equal(test_run_train(&run, dataset), SG_FAILED);
        assert_non_null(strstr(sg_error_text(), "gradient overflow in step "));
        assert_true(run.steps_done < setup.steps);
        test_run_close(&run);
        test_dataset_free(dataset);
    }
}

static void test_signal(void **unused)
{
    (void)unused;
    static volatile sig_atomic_t stopped = 1;
    struct test_run_setup setup = usual;
    setup.ops = sg_ops_reference();
    struct test_run run;
    test_run_open(&setup, &run);
    run.options.stopped = &stopped;
    struct sg_dataset *dataset = test_dataset_make(140, 3, TEST_SEED);
    assert_int_equal(test_run_train(&run, dataset), SG_FAILED);
    assert_non_null(strstr(sg_error_text(), "interrupted in step 0"));
    assert_int_equal(run.steps_done, 0);
    test_run_close(&run);
    test_dataset_free(dataset);
}

int main(void)
{
    print_message("seed %u\n", TEST_SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_and_secrets),
        cmocka_unit_test(test_file_order),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_the_others_stay),
        cmocka_unit_test(test_displacement),
        cmocka_unit_test(test_empty_steps),
        cmocka_unit_test(test_overfull_panels),
        cmocka_unit_test(test_hostile_rows_are_counted),
        cmocka_unit_test(test_overflow_ends_the_run),
        cmocka_unit_test(test_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
