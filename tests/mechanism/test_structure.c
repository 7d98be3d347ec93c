/* Structural tests: each fault named here is caught by a check that is first passed by the product and then failed by a
 * deliberately wrong variant, so that the check is known to be able to fail.
 *
 *   fault planted                             check
 *   divisor = units that really joined        test_divisor_is_public
 *   noise reused in every step or shard       test_noise_is_never_reused
 *   noise added by every rank                 test_noise_is_added_once
 *   sampling key = noise key                  test_streams_have_keys_of_their_own
 *   same noise for other data, plan or code   test_context_changes_everything
 *   dropout keyed by position                 test_dropout_follows_the_unit
 *   a step released twice, skipped or too many  test_steps_are_counted
 *   an environment without subnormal numbers  test_arithmetic_is_checked
 *   two taps on one weight, a token outside its table,  test_taps_are_checked
 *     parts that are summed without their norms
 *   panels that are rounded together          test_panels_at_once
 *   microbatches cut in order, row mass not clipped   test_displacement.c
 *   no noise, half the noise, microbatches without 2 C  test_audit.c */
#include "support.h"

#include <fenv.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "base/bytes.h"

#define P 600

static struct sg_plan make_plan(double q)
{
    struct test_plan wanted = {.population = 40, .n_panels = 2, .rows_max = 1, .n_weights = P, .q = q};
    return test_plan_make(&wanted);
}

static struct sg_mechanism *open_mechanism(const struct sg_plan *plan, const char *context_text)
{
    struct sg_buffer context = {0};
    struct sg_mechanism *mechanism;
    sg_buffer_text(&context, context_text);
    if (sg_mechanism_open(plan, sg_ops_reference(), test_secret, &context, &mechanism) != SG_OK)
        fail_msg("%s", sg_error_text());
    sg_buffer_free(&context);
    return mechanism;
}

static void subkey(const char *purpose, const char *context_text, uint8_t key[SG_KEY_BYTES])
{
    struct sg_buffer context = {0};
    sg_buffer_text(&context, context_text);
    sg_mechanism_subkey(test_secret, purpose, &context, key);
    sg_buffer_free(&context);
}

/* The integers that a release adds to a sum of zeros. */
static void released_noise(struct sg_mechanism *mechanism, int64_t step, int64_t sum[P], float gradient[P])
{
    memset(sum, 0, P * sizeof *sum);
    assert_int_equal(sg_mechanism_release(mechanism, step, sum, false, gradient), SG_OK);
}

/* ---- divisor ---- */

/* Whether releases are the same multiple of the noisy sum whatever the number of units was. */
static bool divisor_is_public(const struct sg_plan *plan, bool realised)
{
    struct sg_mechanism *mechanism = open_mechanism(plan, "divisor");
    uint8_t digest[40][16];
    for (int i = 0; i < 40; i++)
        memset(digest[i], i, 16);
    bool same = true;
    static const int64_t n_units[] = {40, 0, 3};
    struct sg_sample sample = {0};
    for (int64_t step = 0; step < 3; step++) {
        int64_t sum[P];
        float gradient[P];
        assert_int_equal(sg_mechanism_sample(mechanism, step, (const uint8_t(*)[16])digest, n_units[step], &sample),
                         SG_OK);
        released_noise(mechanism, step, sum, gradient);
        for (int64_t i = 0; i < P; i++) {
            if (realised)
                gradient[i] = (float)((double)sum[i] * plan->grid / (double)(sample.n_units + 1));
            same = same && gradient[i] == (float)((double)sum[i] * (plan->grid / plan->divisor));
        }
    }
    sg_sample_free(&sample);
    sg_mechanism_close(&mechanism);
    return same;
}

static void test_divisor_is_public(void **unused)
{
    (void)unused;
    struct sg_plan plan = make_plan(0.5);
    assert_true(plan.divisor == 20);
    assert_true(divisor_is_public(&plan, false));
    assert_false(divisor_is_public(&plan, true));
}

/* ---- noise ---- */

/* How many values stand more than once among n_parts vectors of P noise values. By chance: n^2 / 2^35. */
static int by_value(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

static int64_t count_repeats(int64_t (*part)[P], int n_parts)
{
    int64_t n = (int64_t)n_parts * P, repeats = 0, *sorted = sg_alloc((size_t)n, sizeof *sorted);
    memcpy(sorted, part, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    for (int64_t i = 1; i < n; i++)
        repeats += sorted[i] == sorted[i - 1];
    free(sorted);
    return repeats;
}

static void add_noise(const char *context, uint64_t step, uint64_t first, int64_t n, int64_t *sum)
{
    uint8_t key[SG_KEY_BYTES];
    struct sg_noise *noise;
    subkey("sealgrad noise", context, key);
    assert_int_equal(sg_noise_open(SG_NOISE_CHACHA20, key, &noise), SG_OK);
    assert_int_equal(sg_noise_add(noise, step, first, n, sum), SG_OK);
    sg_noise_close(&noise);
}

static void test_noise_is_never_reused(void **unused)
{
    (void)unused;
    struct sg_plan plan = make_plan(1);
    struct sg_mechanism *mechanism = open_mechanism(&plan, "reuse");
    static int64_t part[4][P];
    float gradient[P];
    for (int64_t step = 0; step < 4; step++)
        released_noise(mechanism, step, part[step], gradient);
    sg_mechanism_close(&mechanism);
    assert_true(count_repeats(part, 4) <= 1);

    memset(part, 0, sizeof part); /* wrong: the step does not reach the stream */
    for (int step = 0; step < 4; step++)
        add_noise("reuse", 0, 0, P, part[step]);
    assert_true(count_repeats(part, 4) >= 3 * P);

    /* Shards of one vector: each takes its own range of indices, and together they are the vector. */
    static int64_t whole[4 * P], shard[4][P];
    memset(shard, 0, sizeof shard);
    add_noise("reuse", 1, 0, 4 * P, whole);
    for (int s = 0; s < 4; s++)
        add_noise("reuse", 1, (uint64_t)s * P, P, shard[s]);
    assert_memory_equal(whole, shard, sizeof whole);
    assert_true(count_repeats(shard, 4) <= 1);

    memset(shard, 0, sizeof shard); /* wrong: every shard counts from 0 */
    for (int s = 0; s < 4; s++)
        add_noise("reuse", 1, 0, P, shard[s]);
    assert_true(count_repeats(shard, 4) >= 3 * P);
}

/* Shares of ranks are summed first; then each rank adds the same noise to the same total. */
static void test_noise_is_added_once(void **unused)
{
    (void)unused;
    struct sg_plan plan = make_plan(1);
    int64_t share[2][P], total[P], noise[P] = {0};
    float gradient[2][P];
    for (int64_t i = 0; i < P; i++)
        total[i] = (share[0][i] = 1000 * i) + (share[1][i] = -7 * i);
    add_noise("ranks", 0, 0, P, noise);
    for (int rank = 0; rank < 2; rank++) {
        struct sg_mechanism *mechanism = open_mechanism(&plan, "ranks");
        int64_t sum[P];
        memcpy(sum, total, sizeof sum);
        assert_int_equal(sg_mechanism_release(mechanism, 0, sum, false, gradient[rank]), SG_OK);
        for (int64_t i = 0; i < P; i++)
            assert_true(sum[i] - total[i] == noise[i]);
        sg_mechanism_close(&mechanism);
    }
    assert_memory_equal(gradient[0], gradient[1], sizeof gradient[0]);
    for (int rank = 0; rank < 2; rank++) /* wrong: noise on each share */
        add_noise("ranks", 0, 0, P, share[rank]);
    bool is_once = true;
    for (int64_t i = 0; i < P; i++)
        is_once = is_once && share[0][i] + share[1][i] - total[i] == noise[i];
    assert_false(is_once);
}

/* ---- keys ---- */

/* Whether this noise is a mechanism's under the noise subkey, and not under the sampling subkey. */
static bool noise_key_is_its_own(const char *noise_purpose)
{
    uint8_t key[SG_KEY_BYTES], sampling[SG_KEY_BYTES];
    struct sg_noise *noise;
    int64_t got[P] = {0}, under_sampling_key[P] = {0};
    subkey(noise_purpose, "keys", key);
    subkey("sealgrad sampling", "keys", sampling);
    assert_int_equal(sg_noise_open(SG_NOISE_CHACHA20, key, &noise), SG_OK);
    assert_int_equal(sg_noise_add(noise, 0, 0, P, got), SG_OK);
    sg_noise_close(&noise);
    assert_int_equal(sg_noise_open(SG_NOISE_CHACHA20, sampling, &noise), SG_OK);
    assert_int_equal(sg_noise_add(noise, 0, 0, P, under_sampling_key), SG_OK);
    sg_noise_close(&noise);
    return memcmp(got, under_sampling_key, sizeof got) != 0;
}

static void test_streams_have_keys_of_their_own(void **unused)
{
    (void)unused;
    struct sg_plan plan = make_plan(0.5);
    struct sg_mechanism *mechanism = open_mechanism(&plan, "keys");
    /* The mechanism's noise is the noise subkey's, ... */
    int64_t noise[P], want[P] = {0};
    float gradient[P];
    add_noise("keys", 0, 0, P, want);
    released_noise(mechanism, 0, noise, gradient);
    assert_memory_equal(noise, want, sizeof noise);
    /* ... its draw is the sampling subkey's, ... */
    uint8_t key[SG_KEY_BYTES], digest[40][16];
    for (int i = 0; i < 40; i++)
        memset(digest[i], i, 16);
    struct sg_sample mine = {0}, theirs = {0};
    struct sg_unit_sampler *sampler;
    const struct sg_sampler_rule rule = {plan.sample_threshold, plan.n_panels, plan.n_groups, plan.units_per_panel_max};
    assert_int_equal(sg_mechanism_sample(mechanism, 0, (const uint8_t(*)[16])digest, 40, &mine), SG_OK);
    static const char *const purposes[] = {"sealgrad sampling", "sealgrad noise"};
    for (int wrong = 0; wrong < 2; wrong++) {
        subkey(purposes[wrong], "keys", key);
        assert_int_equal(sg_sampler_open(key, &sampler), SG_OK);
        assert_int_equal(sg_sampler_draw(sampler, 0, &rule, (const uint8_t(*)[16])digest, 40, &theirs), SG_OK);
        bool same = mine.n_units == theirs.n_units &&
                    memcmp(mine.unit, theirs.unit, (size_t)mine.n_units * sizeof *mine.unit) == 0;
        assert_int_equal(same, !wrong);
        sg_sampler_close(&sampler);
    }
    /* ... and the two are not one. */
    assert_true(noise_key_is_its_own("sealgrad noise"));
    assert_false(noise_key_is_its_own("sealgrad sampling"));
    sg_sample_free(&mine);
    sg_sample_free(&theirs);
    sg_mechanism_close(&mechanism);
}

static void test_context_changes_everything(void **unused)
{
    (void)unused;
    struct sg_plan plan = make_plan(1);
    static const char *const contexts[] = {"plan and data", "plan and other data", ""};
    static int64_t part[3][P];
    float gradient[P];
    uint8_t keys[6][SG_KEY_BYTES];
    for (int i = 0; i < 3; i++) {
        struct sg_mechanism *mechanism = open_mechanism(&plan, contexts[i]);
        released_noise(mechanism, 0, part[i], gradient);
        sg_mechanism_close(&mechanism);
        subkey("sealgrad noise", contexts[i], keys[2 * i]);
        subkey("sealgrad sampling", contexts[i], keys[2 * i + 1]);
    }
    assert_true(count_repeats(part, 3) <= 1);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(keys[i], keys[j], SG_KEY_BYTES);
    /* Purpose and context are told apart by their lengths, not by where one text ends. */
    subkey("sealgrad noise", "x", keys[0]);
    subkey("sealgrad noisex", "", keys[1]);
    assert_memory_not_equal(keys[0], keys[1], SG_KEY_BYTES);
    /* wrong: a context that is left out */
    memset(part, 0, sizeof part);
    add_noise("", 0, 0, P, part[0]);
    add_noise("", 0, 0, P, part[1]);
    assert_true(count_repeats(part, 2) >= P);
}

/* ---- dropout ---- */

/* Whether the others' taps keep their bits when unit 0 leaves. keyed_by_place hands the model the place in the batch as
 * id. */
static bool others_keep_their_masks(const struct sg_ops *ops, bool keyed_by_place)
{
    enum { N = 6 };
    const struct sg_model_spec spec = {.kind = SG_MODEL_BILSTM_ATTENTION,
                                       .n_features = 3,
                                       .hidden = 4,
                                       .layers = 2,
                                       .attention = 4,
                                       .mlp = 8,
                                       .mlp_activation = SG_TANH,
                                       .dropout = .5};
    struct test_model_units units;
    test_model_units_make(&spec, ops, N, 3, 1, TEST_SEED, &units);
    const int32_t everyone[N] = {0, 1, 2, 3, 4, 5};
    float logit[2][N];
    for (int gone = 0; gone < 2; gone++) {
        size_t n_taps;
        for (int b = 0; b < N && keyed_by_place; b++)
            memset(units.digest[everyone[b]], gone ? b - 1 : b, 16);
        test_fill_model(&units, everyone + gone, N - gone, &n_taps);
        memcpy(logit[gone] + gone, units.logit, (size_t)(N - gone) * sizeof(float));
    }
    test_model_units_free(&units);
    return memcmp(logit[0] + 1, logit[1] + 1, (N - 1) * sizeof(float)) == 0;
}

static void test_dropout_follows_the_unit(void **unused)
{
    (void)unused;
    for (int i = 0; test_backend(i); i++) {
        assert_true(others_keep_their_masks(test_backend(i), false));
        assert_false(others_keep_their_masks(test_backend(i), true));
    }
}

/* ---- the plan is kept ---- */

static void test_steps_are_counted(void **unused)
{
    (void)unused;
    struct sg_plan plan = make_plan(1);
    struct sg_mechanism *mechanism = open_mechanism(&plan, "steps");
    static int64_t sum[P];
    float gradient[P];
    assert_int_equal(sg_mechanism_release(mechanism, 1, sum, false, gradient), SG_FAILED); /* skipped one */
    assert_int_equal(sg_mechanism_release(mechanism, 0, sum, true, gradient), SG_FAILED);  /* overflow */
    assert_non_null(strstr(sg_error_text(), "gradient overflow"));
    assert_int_equal(sg_mechanism_steps_done(mechanism), 0);
    for (int64_t step = 0; step < plan.steps; step++) {
        assert_int_equal(sg_mechanism_release(mechanism, step, sum, false, gradient), SG_OK);
        assert_int_equal(sg_mechanism_steps_done(mechanism), step + 1);
        assert_int_equal(sg_mechanism_release(mechanism, step, sum, false, gradient), SG_FAILED); /* again */
    }
    assert_int_equal(sg_mechanism_release(mechanism, plan.steps, sum, false, gradient), SG_FAILED); /* one too many */
    sg_mechanism_close(&mechanism);
    struct sg_plan everybody = make_plan(0.5); /* 0 stands for 2^64 */
    everybody.sample_threshold = 0;
    const struct sg_buffer context = {0};
    assert_int_equal(sg_mechanism_open(&everybody, sg_ops_reference(), test_secret, &context, &mechanism), SG_USAGE);
    struct sg_plan unknown = make_plan(1);
    strcpy(unknown.noise_source, "box-muller");
    assert_int_equal(sg_mechanism_open(&unknown, sg_ops_reference(), test_secret, &context, &mechanism), SG_USAGE);
    assert_null(mechanism);
}

static void test_arithmetic_is_checked(void **unused)
{
    (void)unused;
    struct sg_plan plan = make_plan(1);
    const struct sg_buffer context = {0};
    struct sg_mechanism *mechanism;
    fesetround(FE_UPWARD);
    assert_int_equal(sg_mechanism_open(&plan, sg_ops_reference(), test_secret, &context, &mechanism), SG_FAILED);
    fesetround(FE_TONEAREST);
#if defined(__x86_64__)
    static const unsigned flags[] = {0x8000, 0x0040}; /* flush to zero, denormals are zero */
    unsigned before = _mm_getcsr();
    for (int i = 0; i < 2; i++) {
        _mm_setcsr(before | flags[i]);
        assert_int_equal(sg_mechanism_open(&plan, sg_ops_reference(), test_secret, &context, &mechanism), SG_FAILED);
        _mm_setcsr(before);
    }
#endif
    assert_int_equal(sg_mechanism_open(&plan, sg_ops_reference(), test_secret, &context, &mechanism), SG_OK);
    sg_mechanism_close(&mechanism);
}

/* ---- taps that would break the norm or the memory ---- */

enum tap_fault { TAP_SOUND, TAP_SHARED_WEIGHT, TAP_STRAY_TOKEN, TAP_WITHOUT_NORM };

struct faulty_taps {
    struct test_taps taps;
    enum tap_fault fault;
};

static const struct sg_tap *fill_faulty(void *self, const int32_t *unit, int64_t n, size_t *n_taps)
{
    struct faulty_taps *f = self;
    test_fill_taps(&f->taps, unit, n, n_taps);
    if (f->fault == TAP_SHARED_WEIGHT)
        f->taps.tap[1].weight = f->taps.tap[0].weight + 1;
    if (f->fault == TAP_STRAY_TOKEN)
        f->taps.id[0][0] = (int32_t)f->taps.tap[0].n_out;
    return f->taps.tap;
}

/* The second tap of panel 0 comes in the second pass only. */
static void sum_without_norm(const struct test_step *s)
{
    struct sg_mechanism *mechanism = open_mechanism(s->plan, "parts");
    struct sg_sample sample = {0};
    struct sg_absorber absorber;
    const struct sg_absorber_room room = {s->plan->n_weights, 40, 120, 1, 2};
    sg_absorber_place(&room, sg_alloc_aligned(sg_absorber_place(&room, NULL, NULL)), &absorber);
    void *scratch = sg_alloc_aligned(s->ops->scratch_bytes(64, 120));
    size_t n_taps;
    assert_int_equal(sg_mechanism_sample(mechanism, 0, s->digest, s->n_units, &sample), SG_OK);
    const struct sg_tap *taps = s->fill(s->self, sample.unit, sample.panel_unit[1], &n_taps);
    sg_mechanism_begin(mechanism, &sample, 0, 1, &absorber);
    sg_mechanism_take_norms(mechanism, taps, 1, &absorber, scratch);
    sg_mechanism_weigh(mechanism, &absorber);
    sg_mechanism_sum(mechanism, taps, n_taps, &absorber, scratch);
}

/* How a process ends that takes a step with such taps: 0 or the signal. */
static int end_of_step(enum tap_fault fault)
{
    static const struct test_shape shapes[] = {{.n_in = 3, .n_out = 5, .per_step = true, .kind = SG_TAP_EMBED},
                                               {.n_in = 1, .n_out = 4, .per_step = true, .kind = SG_TAP_SCALE}};
    struct faulty_taps faulty = {.fault = fault};
    struct test_units units;
    test_units_make(40, shapes, 2, 3, TEST_SEED, &units);
    struct test_plan wanted = {.population = 40, .n_panels = 2, .rows_max = 3, .n_weights = units.n_weights, .q = 1};
    struct sg_plan plan = test_plan_make(&wanted);
    faulty.taps.units = &units;
    const struct test_step step = {.plan = &plan,
                                   .ops = sg_ops_reference(),
                                   .fill = fill_faulty,
                                   .self = &faulty,
                                   .digest = (const uint8_t(*)[16])units.digest,
                                   .n_units = 40};
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO); /* the text of the assertion */
        free(test_step_sum(&step, -1, NULL));
        if (fault == TAP_WITHOUT_NORM)
            sum_without_norm(&step);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    test_units_free(&units);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_taps_are_checked(void **unused)
{
    (void)unused;
    assert_int_equal(end_of_step(TAP_SOUND), 0);
    assert_int_equal(end_of_step(TAP_SHARED_WEIGHT), SIGABRT);
    assert_int_equal(end_of_step(TAP_STRAY_TOKEN), SIGABRT);
    assert_int_equal(end_of_step(TAP_WITHOUT_NORM), SIGABRT);
}

/* ---- several panels at once, and taps in parts ---- */

/* The integers of the step with one panel at a time, with several and with all; a panel more or less is seen. */
static void test_panels_at_once(void **unused)
{
    (void)unused;
    static const struct test_shape shapes[] = {{.n_in = 7, .n_out = 9, .per_step = true},
                                               {.n_in = 3, .n_out = 5, .per_step = true, .kind = SG_TAP_EMBED},
                                               {.n_in = 1, .n_out = 4, .per_step = true, .kind = SG_TAP_SCALE},
                                               {.n_in = 1, .n_out = 6, .shared = true}};
    for (int k = 0; test_backend(k); k++)
        for (int64_t microbatch = 1; microbatch <= 2; microbatch++) {
            struct test_taps taps = {0};
            struct test_units units;
            test_units_make(60, shapes, 4, 5, TEST_SEED, &units);
            for (int64_t i = 0; i < 60; i += 7)
                test_make_hostile(&units, i, (int)(i % TEST_N_HOSTILE));
            struct test_plan wanted = {.population = 60,
                                       .n_panels = 6,
                                       .microbatch = microbatch,
                                       .rows_max = 5,
                                       .n_weights = units.n_weights,
                                       .q = .4};
            struct sg_plan plan = test_plan_make(&wanted);
            taps.units = &units;
            struct test_step step = test_step_of_taps(&plan, test_backend(k), &taps);
            int64_t *want = test_step_sum(&step, -1, NULL);
            for (step.panels = 1; step.panels <= 6; step.panels++)
                for (int in_parts = 0; in_parts < 2; in_parts++) {
                    step.in_parts = in_parts;
                    int64_t *got = test_step_sum(&step, -1, NULL);
                    assert_memory_equal(want, got, (size_t)plan.n_weights * sizeof *want);
                    free(got);
                }
            free(want);
            test_taps_free(&taps);
            test_units_free(&units);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_divisor_is_public),          cmocka_unit_test(test_noise_is_never_reused),
        cmocka_unit_test(test_noise_is_added_once),        cmocka_unit_test(test_streams_have_keys_of_their_own),
        cmocka_unit_test(test_context_changes_everything), cmocka_unit_test(test_dropout_follows_the_unit),
        cmocka_unit_test(test_steps_are_counted),          cmocka_unit_test(test_arithmetic_is_checked),
        cmocka_unit_test(test_taps_are_checked),           cmocka_unit_test(test_panels_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
