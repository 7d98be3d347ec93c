/* Would catch: an engine whose interval leaves out the truth, and a logarithm of the transform that cancels. Two steps
 * of the sampled Gaussian, of equal or different rate and noise, have an exact delta: the integral over the first
 * step's output of the second one's closed form at what is left of epsilon. It is taken here in long double by the
 * double-exponential rule between the integrand's kinks. Little noise on purpose: large rare losses, where the parted
 * law serves. */
#include "support.h"

#include "composition.h"
#include "contour.h"
#include "line.h"
#include "pld.h"
#include "rare.h"

struct pair_of_steps {
    long double rate[2], noise[2], epsilon;
};

static long double normal_tail(long double z)
{
    return erfcl(z * 0.70710678118654752440084436210484903928L) / 2;
}

/* One step: q Phi(-(x-1)/s) - (e^eps - 1 + q) Phi(-x/s), x where the loss is eps. */
static long double delta_of_one(long double epsilon, long double q, long double s)
{
    long double a = expm1l(epsilon) + q;
    if (a <= 0)
        return -expm1l(epsilon);
    long double x = 0.5L + s * s * logl(a / q);
    return q * normal_tail((x - 1) / s) - a * normal_tail(x / s);
}

static long double integrand(const struct pair_of_steps *p, long double x)
{
    long double s = p->noise[0], excess = p->rate[0] * expm1l((2 * x - 1) / (2 * s * s));
    return expl(-x * x / (2 * s * s)) * (1 + excess) *
           delta_of_one(p->epsilon - log1pl(excess), p->rate[1], p->noise[1]);
}

static long double double_exponential(const struct pair_of_steps *p, long double a, long double b, int n)
{
    const long double half_pi = 1.5707963267948966192313L;
    long double h = 8.4L / n, sum = 0;
    for (int i = 0; b > a && i <= n; i++) {
        long double t = -4.2L + h * i, u = half_pi * sinhl(t), e = expl(-2 * fabsl(u)), d = e / (1 + e) * (b - a);
        long double x = u < 0 ? a + d : b - d;
        if (x > a && x < b)
            sum += half_pi * coshl(t) / (coshl(u) * coshl(u)) * integrand(p, x);
    }
    return b > a ? sum * h * (b - a) / 2 : 0;
}

static int by_size(const void *a, const void *b)
{
    long double x = *(const long double *)a, y = *(const long double *)b;
    return (x > y) - (x < y);
}

/* Split at the two components' centres and where the second step needs no luck at all. */
static long double delta_of_two(const struct pair_of_steps *p, int n)
{
    long double s = p->noise[0], a = (expm1l(p->epsilon - log1pl(-p->rate[1])) + p->rate[0]) / p->rate[0];
    long double ends[5] = {-14 * s, 0, 1, -14 * s, 1 + 14 * s}, sum = 0;
    if (a > 0)
        ends[3] = fminl(fmaxl(0.5L + s * s * logl(a), ends[0]), ends[4]);
    qsort(ends, 5, sizeof *ends, by_size);
    for (int i = 0; i < 4; i++)
        sum += double_exponential(p, ends[i], ends[i + 1], n);
    return sum / (s * sqrtl(2 * acosl(-1)));
}

/* Is delta at `epsilon` on its side of the target? The integral's own error is what halving its steps changes. */
static void check(struct pair_of_steps *p, const char *engine, double epsilon, double delta, bool is_upper)
{
    p->epsilon = epsilon;
    long double fine = delta_of_two(p, 500), coarse = delta_of_two(p, 300), slack = fabsl(fine / coarse - 1) + 1e-12L;
    if (is_upper ? !(fine <= delta * (1 + slack)) : !(fine >= delta * (1 - slack)))
        fail_msg("%s: q %.17Lg %.17Lg sigma %.17Lg %.17Lg delta %.17g: at its %s bound %.17g the truth is %.17Lg",
                 engine, p->rate[0], p->rate[1], p->noise[0], p->noise[1], delta, is_upper ? "upper" : "lower", epsilon,
                 fine);
}

static void check_interval(struct pair_of_steps *p, const char *engine, double low, double high, double delta)
{
    if (high > 0 && isfinite(high))
        check(p, engine, high, delta, true);
    if (low > 0)
        check(p, engine, low, delta, false);
}

struct reached {
    int parted, line, grid;
    int close; /* of the grid's intervals: within a hundredth */
};

static void one_setting(uint64_t *seed, double rate_min, double noise_max, bool is_equal, struct reached *n)
{
    struct sg_phase phase[2];
    for (int k = 0; k < 2; k++)
        phase[k] = (struct sg_phase){log_uniform(seed, rate_min, 0.99), log_uniform(seed, 0.2, noise_max), 1};
    if (is_equal)
        phase[1] = phase[0];
    double delta = log_uniform(seed, 1e-15, 1e-2), low, high;
    struct pair_of_steps p = {
        {phase[0].sample_rate, phase[1].sample_rate}, {phase[0].noise_multiplier, phase[1].noise_multiplier}, 0};
    struct sg_history history = {.sensitivity = 1, .phases = phase, .n_phases = 2};
    struct sg_composition composition;
    assert_int_equal(sg_composition_make(&history, &composition), SG_OK);
    if (sg_rare_epsilon(&composition, delta, &low, &high)) {
        n->parted++;
        check_interval(&p, "parted law", low, high, delta);
    }
    if (sg_contour_epsilon(&composition, SG_CONTOUR_THINNED, delta, &low, &high)) {
        n->line++;
        check_interval(&p, "line", low, high, delta);
    }
    if (sg_pld_epsilon(&composition, delta, INFINITY, &low, &high)) {
        n->grid++, n->close += high - low < 0.01 * high;
        check_interval(&p, "grid", low, high, delta);
    }
    sg_composition_close(&composition);
}

static void little_noise(void **state)
{
    (void)state;
    uint64_t seed = 0x25feed;
    struct reached n = {0};
    print_message("seed %#llx\n", (unsigned long long)seed);
    for (int i = 0; i < 32; i++)
        one_setting(&seed, 1e-7, 0.4, i % 2, &n);
    print_message("parted law %d, line %d, grid %d, of which close %d\n", n.parted, n.line, n.grid, n.close);
    assert_true(n.parted > 20 && n.grid > 25 && n.close > 20);
}

static void any_noise(void **state)
{
    (void)state;
    uint64_t seed = 0xfa112;
    struct reached n = {0};
    print_message("seed %#llx\n", (unsigned long long)seed);
    for (int i = 0; i < 20; i++)
        one_setting(&seed, i % 4 ? 0.2 : 1e-5, 20, i % 2, &n);
    print_message("parted law %d, line %d, grid %d, of which close %d\n", n.parted, n.line, n.grid, n.close);
    assert_true(n.parted + n.line > 4 && n.grid > 15 && n.close > 15);
}

/* The check must be able to fail: a part in 1e8 beyond the truth is seen on either side, and so are the Gaussian
 * limit, which is no bound, and the epsilon of one step. */
static void check_has_teeth(void **state)
{
    (void)state;
    const double q = 0.02, sigma = 0.4, delta = 1e-6;
    struct pair_of_steps p = {{q, q}, {sigma, sigma}, 0};
    double truth = poisson(q, sigma, 2, delta).epsilon;
    p.epsilon = truth * (1 - 1e-8);
    assert_true(delta_of_two(&p, 500) > delta * (1 + 1e-12));
    p.epsilon = truth * (1 + 1e-8);
    assert_true(delta_of_two(&p, 500) < delta * (1 - 1e-12));
    p.epsilon = sg_gdp_epsilon(q * sqrt(2 * expm1(1 / (sigma * sigma))), delta);
    assert_true(delta_of_two(&p, 500) > 10 * delta);
    p.epsilon = poisson(q, sigma, 1, delta).epsilon;
    assert_true(delta_of_two(&p, 500) > delta);
}

/* ln |1 + r| on both sides of where either formula cancels; the sum of squares alone loses all digits near r = -1. */
static void logarithm_of_one_plus(void **state)
{
    (void)state;
    double worst_naive = 0;
    for (int k = 1; k < 40; k++) {
        double small = exp2(-k);
        const double points[][2] = {{-1 + small, small / 3}, {-1 - small, small}, {small, -small}, {-small / 2, small}};
        for (int i = 0; i < 4; i++) {
            double re = points[i][0], im = points[i][1];
            long double x = re, y = im, both = (1 + x) * (1 + x) + y * y;
            long double exact = i < 2 ? logl(both) / 2 : log1pl(2 * x + x * x + y * y) / 2;
            assert_close(sg_log_one_plus(re, im), (double)exact, 1e-14);
            double naive = 0.5 * log1p(2 * re + (re * re + im * im));
            worst_naive = fmax(worst_naive, isfinite(naive) ? fabs(naive / (double)exact - 1) : 1);
        }
    }
    assert_true(worst_naive > 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(little_noise), cmocka_unit_test(any_noise),
                                       cmocka_unit_test(check_has_teeth), cmocka_unit_test(logarithm_of_one_plus)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
