/* An audit that can fail: the release path on both sides of a worst-case pair, many times, and the epsilon that must be
 * true of what came out. Catches whatever makes the program less private than its plan says, without knowing how.
 *
 * The pair: one unit whose clipped gradient fills one coordinate, there or not (for microbatches: the unit that turns
 * its group's mean from -C to +C). q = 1, one step, epsilon 2, delta 1e-5. Each observation is one released coordinate.
 * The Gaussian-DP fit (Dong, Roth, Su 2022, 1905.02383; Nasr et al. 2023, 2302.07956): every test of "there or not"
 * with false positive rate f and true positive rate t shows mu >= z(t) - z(f); f and t get confidence bounds by
 * Chernoff's inequality (which hold for any n) over tests that are fixed beforehand, 95 % together; mu gives epsilon at
 * delta (Balle, Wang 2018, 1805.06530, theorem 8).
 *
 * Which planted fault is caught where:
 *   no noise                               here
 *   noise of half the standard deviation   here
 *   microbatches accounted with C, not 2 C here
 *   divisor = units that really joined     here; test_structure: test_divisor_is_public
 *   noise reused in every step             test_structure: test_noise_is_never_reused
 *   noise reused in every shard            test_structure: test_noise_is_never_reused
 *   sampling key = noise key               test_structure: test_streams_have_keys_of_their_own
 *   dropout keyed by position              test_structure: test_dropout_follows_the_unit
 *   microbatches cut in order              test_displacement: test_groups_in_order
 *   row mass not clipped                   test_displacement: test_without_mass_clip */
#include "support.h"

#include <math.h>

#include "base/bytes.h"

#define TRIALS 100000        /* on each side, for the claim */
#define PLANTED_TRIALS 20000 /* enough to see a fault */
#define CONFIDENCE_ERROR 0.05

/* ---- the statistics ---- */

static double normal_cdf(double x)
{
    return erfc(-x / sqrt(2)) / 2;
}

static double normal_quantile(double p)
{
    double low = -40, high = 40;
    for (int i = 0; i < 200; i++) {
        double mid = (low + high) / 2;
        *(normal_cdf(mid) < p ? &low : &high) = mid;
    }
    return low;
}

static double divergence(double a, double b)
{
    return (a > 0 ? a * log(a / b) : 0) + (a < 1 ? (1 - a) * log((1 - a) / (1 - b)) : 0);
}

/* The p below (above) the observed rate at which Chernoff's bound on seeing it is `error`. */
static double rate_bound(double rate, double n, double error, bool upper)
{
    double inside = rate, outside = upper ? 1 : 0;
    for (int i = 0; i < 100; i++) {
        double mid = (inside + outside) / 2;
        *(n * divergence(rate, mid) < -log(error) ? &inside : &outside) = mid;
    }
    return outside;
}

/* delta of mu-Gaussian DP at epsilon. */
static double gaussian_delta(double mu, double epsilon)
{
    return normal_cdf(mu / 2 - epsilon / mu) - exp(epsilon) * normal_cdf(-mu / 2 - epsilon / mu);
}

static double gaussian_epsilon(double mu, double delta)
{
    double low = 0, high = 100;
    for (int i = 0; i < 100 && mu > 0; i++) {
        double mid = (low + high) / 2;
        *(gaussian_delta(mu, mid) > delta ? &low : &high) = mid;
    }
    return low;
}

/* A lower confidence bound on mu from n observations of each side, in standard deviations of the noise. Tests: x > c
 * for thresholds over the pair, and |x| > c, each in both directions. */
static double fit_mu(const double *there, const double *gone, int64_t n)
{
    static const double cuts[] = {-1, -.5, 0, .25, .5, 1, 1.5, 2};
    const int n_cuts = sizeof cuts / sizeof *cuts, n_tests = 4 * n_cuts;
    double error = CONFIDENCE_ERROR / (2 * n_tests), best = 0;
    for (int test = 0; test < 2 * n_cuts; test++) {
        double cut = cuts[test % n_cuts], hits[2] = {0, 0};
        const double *side[2] = {there, gone};
        for (int s = 0; s < 2; s++)
            for (int64_t i = 0; i < n; i++)
                hits[s] += (test < n_cuts ? side[s][i] : fabs(side[s][i])) > cut;
        for (int way = 0; way < 2; way++) {
            double t = rate_bound(hits[way] / (double)n, (double)n, error, false);
            double f = rate_bound(hits[1 - way] / (double)n, (double)n, error, true);
            best = fmax(best, normal_quantile(t) - normal_quantile(f));
        }
    }
    return best;
}

/* ---- the mechanism under audit ---- */

enum fault { SOUND, NO_NOISE, HALF_NOISE, REALISED_DIVISOR };

struct audit {
    struct sg_plan plan;
    enum fault fault;
    float gradient[3]; /* of unit 0, 1, ...: everyone has one row, a = 1 */
    int n_units;       /* with the last one there */
    int64_t n_trials;
    double observation[2][TRIALS];
};

/* What the units' rows are in the panel: the taps of one weight. */
static struct sg_tap make_tap(const struct audit *audit, const struct sg_sample *sample, float *a, float *g,
                              int32_t *offset)
{
    for (int64_t b = 0; b < sample->n_units; b++) {
        a[b] = 1;
        g[b] = audit->gradient[sample->unit[b]] / (float)audit->plan.microbatch_size;
        offset[b + 1] = (int32_t)b + 1;
    }
    return (struct sg_tap){.a = a, .g = g, .lda = 1, .ldg = 1, .n_in = 1, .n_out = 1, .offset = offset};
}

static double release_once(const struct audit *audit, struct sg_mechanism *mechanism, int64_t step, int64_t n,
                           const uint8_t (*digest)[16], struct sg_sample *sample, struct sg_absorber *absorber,
                           void *scratch)
{
    float a[4], g[4], gradient;
    int32_t offset[5] = {0};
    assert_int_equal(sg_mechanism_sample(mechanism, step, digest, n, sample), SG_OK);
    sg_absorber_reset(sg_ops_reference(), absorber, 1);
    struct sg_tap tap = make_tap(audit, sample, a, g, offset);
    sg_mechanism_absorb(mechanism, sample, 0, 1, &tap, 1, absorber, scratch);
    sg_absorber_finish(sg_ops_reference(), absorber);
    if (audit->fault == NO_NOISE)
        return (double)absorber->sum[0] * audit->plan.grid / audit->plan.noise_std;
    assert_int_equal(sg_mechanism_release(mechanism, step, absorber->sum, absorber->overflow, &gradient), SG_OK);
    double noisy_sum = gradient * audit->plan.divisor / audit->plan.noise_std;
    if (audit->fault == REALISED_DIVISOR) /* what the planted program would have released */
        return noisy_sum / (double)(sample->n_units > 0 ? sample->n_units : 1);
    return noisy_sum;
}

/* One long history under a fresh secret for each side: values are functions of (key, step), so that every step is a run
 * of one step for itself. The plan that is claimed has one step. */
static void observe(struct audit *audit, int side)
{
    struct sg_plan plan = audit->plan;
    plan.steps = audit->n_trials;
    uint8_t secret[SG_KEY_BYTES], digest[4][16] = {{1}, {2}, {3}, {4}};
    assert_int_equal(sg_random_bytes(secret, sizeof secret), SG_OK);
    const struct sg_buffer context = {0};
    struct sg_mechanism *mechanism;
    const struct sg_ops *ops = sg_ops_reference();
    assert_int_equal(sg_mechanism_open(&plan, ops, secret, &context, &mechanism), SG_OK);
    struct sg_absorber absorber;
    const struct sg_absorber_room room = {
        .n_weights = 1, .units_max = 4, .rows_max = 4, .panels_max = 1, .taps_max = 1};
    void *memory = sg_alloc_aligned(sg_absorber_place(&room, NULL, NULL)),
         *scratch = sg_alloc_aligned(ops->scratch_bytes(1, 4));
    sg_absorber_place(&room, memory, &absorber);
    struct sg_sample sample = {0};
    int64_t n = audit->n_units - side;
    for (int64_t i = 0; i < audit->n_trials; i++)
        audit->observation[side][i] =
            release_once(audit, mechanism, i, n, (const uint8_t(*)[16])digest, &sample, &absorber, scratch);
    sg_sample_free(&sample);
    free(memory);
    free(scratch);
    sg_mechanism_close(&mechanism);
}

static double audited_epsilon(struct audit *audit)
{
    observe(audit, 0);
    observe(audit, 1);
    return gaussian_epsilon(fit_mu(audit->observation[0], audit->observation[1], audit->n_trials), 1e-5);
}

static struct audit *audit_make(int64_t microbatch)
{
    struct audit *audit = sg_alloc(1, sizeof *audit);
    const struct sg_plan_request request = {
        .is_private = true,
        .clip_group = microbatch > 1 ? SG_CLIP_MICROBATCH : SG_CLIP_EXAMPLE,
        .microbatch_size = microbatch,
        .sample_rate = 1,
        .population_size = microbatch > 1 ? microbatch : 2,
        .steps = 1,
        .target_epsilon = 2,
        .target_delta = 1e-5,
        .max_grad_norm = 1,
        .rows_per_unit_max = 1,
        .n_panels = 1,
        .n_weights = 1,
        .noise_source = "chacha20",
        .noise_tau_log2 = sg_noise_tau_log2(),
    };
    if (sg_plan_resolve(&request, &audit->plan) != SG_OK)
        fail_msg("%s", sg_error_text());
    assert_true(audit->plan.epsilon <= 2 && audit->plan.epsilon > 1.999);
    audit->n_units = 2;
    audit->gradient[0] = microbatch > 1 ? -1000 : 0;
    audit->gradient[1] = microbatch > 1 ? 10000 : 1000;
    return audit;
}

static void check(const char *what, struct audit *audit, bool is_sound)
{
    audit->n_trials = is_sound ? TRIALS : PLANTED_TRIALS;
    double epsilon = audited_epsilon(audit), claim = audit->plan.epsilon;
    print_message("%-32s claimed %.3f, at least %.3f\n", what, claim, epsilon);
    if (is_sound ? !(epsilon <= claim && epsilon >= 0.7 * claim) : !(epsilon > claim))
        fail_msg("%s: epsilon is at least %.4f and the plan says %.4f", what, epsilon, claim);
    free(audit);
}

static void test_statistics(void **unused)
{
    (void)unused;
    assert_true(fabs(normal_quantile(.975) - 1.959963984540054) < 1e-12);
    assert_true(fabs(gaussian_delta(1, 1) - 0.1269367372) < 1e-9); /* Phi(-1/2) - e Phi(-3/2) */
    assert_true(fabs(gaussian_delta(gaussian_epsilon(.5, 1e-5) > 0 ? .5 : 0, gaussian_epsilon(.5, 1e-5)) - 1e-5) <
                1e-12);
    assert_true(rate_bound(.3, 1e5, .01, true) > .3 && rate_bound(.3, 1e5, .01, true) < .31);
    assert_true(rate_bound(0, 1e5, .01, true) > 0 && rate_bound(1, 1e5, .01, false) < 1);
}

static void test_example(void **unused)
{
    (void)unused;
    check("clip group example", audit_make(1), true);
}

static void test_microbatch(void **unused)
{
    (void)unused;
    check("clip group microbatch", audit_make(4), true);
}

static void test_no_noise(void **unused)
{
    (void)unused;
    struct audit *audit = audit_make(1);
    audit->fault = NO_NOISE;
    check("planted: no noise", audit, false);
}

/* The noise is 2^32 grid units whatever the plan says: its size is in the grid. */
static void test_half_noise(void **unused)
{
    (void)unused;
    struct audit *audit = audit_make(1);
    audit->plan.grid /= 2;
    audit->plan.noise_std /= 2;
    check("planted: half the noise", audit, false);
}

/* The plan of examples, whose noise is for a sensitivity of C, with microbatches in the sampler. */
static void test_microbatch_without_2c(void **unused)
{
    (void)unused;
    struct audit *audit = audit_make(4), *example = audit_make(1);
    audit->plan.noise_multiplier = example->plan.noise_multiplier;
    audit->plan.noise_std = example->plan.noise_std;
    audit->plan.grid = example->plan.grid;
    free(example);
    check("planted: microbatch without 2 C", audit, false);
}

static void test_realised_divisor(void **unused)
{
    (void)unused;
    struct audit *audit = audit_make(1);
    audit->fault = REALISED_DIVISOR;
    check("planted: realised divisor", audit, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),       cmocka_unit_test(test_example),
        cmocka_unit_test(test_microbatch),       cmocka_unit_test(test_no_noise),
        cmocka_unit_test(test_half_noise),       cmocka_unit_test(test_microbatch_without_2c),
        cmocka_unit_test(test_realised_divisor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
