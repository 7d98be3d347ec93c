/* Would catch: a certificate that is wrong in floating point. The contour integral is summed again in 200 bits (60
 * digits), by code that shares nothing with the accountant's, in both directions of the relation: at the reported
 * epsilon the true delta must not exceed the delta asked for, and at the lower bound the larger of the two must not lie
 * below it. */
#include "support.h"

#include <stdbool.h>

#include <mpfr.h>

enum { BITS = 200 };

struct cplx {
    mpfr_t re, im;
};

static void c_init(struct cplx *z)
{
    mpfr_inits2(BITS, z->re, z->im, (mpfr_ptr)0);
}
static void c_clear(struct cplx *z)
{
    mpfr_clears(z->re, z->im, (mpfr_ptr)0);
}

/* z *= w, with two temporaries */
static void c_mul(struct cplx *z, const struct cplx *w, struct cplx *tmp)
{
    mpfr_mul(tmp->re, z->re, w->re, MPFR_RNDN);
    mpfr_mul(tmp->im, z->im, w->im, MPFR_RNDN);
    mpfr_sub(tmp->re, tmp->re, tmp->im, MPFR_RNDN);
    mpfr_mul(tmp->im, z->re, w->im, MPFR_RNDN);
    mpfr_mul(z->im, z->im, w->re, MPFR_RNDN);
    mpfr_add(z->im, z->im, tmp->im, MPFR_RNDN);
    mpfr_swap(z->re, tmp->re);
}

/* ln r(x), r = 1 - q + q e^{(2x-1)/(2 sigma^2)} */
static void log_ratio(mpfr_t out, double rate, double noise, double x)
{
    mpfr_t y, s;
    mpfr_inits2(BITS, y, s, (mpfr_ptr)0);
    mpfr_set_d(y, x, MPFR_RNDN);
    mpfr_mul_ui(y, y, 2, MPFR_RNDN);
    mpfr_sub_ui(y, y, 1, MPFR_RNDN);
    mpfr_set_d(s, noise, MPFR_RNDN);
    mpfr_sqr(s, s, MPFR_RNDN);
    mpfr_mul_ui(s, s, 2, MPFR_RNDN);
    mpfr_div(y, y, s, MPFR_RNDN);
    mpfr_expm1(y, y, MPFR_RNDN);
    mpfr_mul_d(y, y, rate, MPFR_RNDN);
    mpfr_log1p(out, y, MPFR_RNDN);
    mpfr_clears(y, s, (mpfr_ptr)0);
}

/* K(c) - c eps - ln c(c+1) in double, to choose the line: any line gives the same value. */
static double level(double rate, double noise, double steps, bool removed, double c, double epsilon)
{
    double sum = 0, h = noise / 8, top = (removed ? 1 + c : 0) + 10 * noise, bottom = (removed ? 0 : -c) - 10 * noise;
    for (double x = bottom; x < top; x += h) {
        double l = log1p(rate * expm1((2 * x - 1) / (2 * noise * noise)));
        sum += h / (noise * sqrt(2 * M_PI)) * exp(-x * x / (2 * noise * noise)) * expm1((removed ? 1 + c : -c) * l);
    }
    return steps * log1p(sum) - c * epsilon - log(c) - log1p(c);
}

struct plan {
    double c, h, dt, bottom;
    size_t nodes, points;
};

static struct plan make_plan(double rate, double noise, double steps, bool removed, double epsilon, double delta)
{
    double best = INFINITY, c = 1;
    for (double at = 0.02; at < 3000; at *= 1.08) {
        double here = level(rate, noise, steps, removed, at, epsilon);
        if (here < best)
            best = here, c = at;
        else if (!(here < best + 40))
            break;
    }
    c *= 0.85; /* clear of the explosion */
    double variance = steps * rate * rate * fmin(expm1(fmin(1 / (noise * noise), 50)), 1e6);
    struct plan p = {.c = c};
    p.dt = 2 * M_PI / fmax((-log(delta) + 60) / c, 3 * epsilon + 40 * sqrt(variance));
    p.points = (size_t)(24 / sqrt(variance) / p.dt) + 8;
    double t_max = (double)p.points * p.dt, theta = 2.2, sigma2 = noise * noise;
    p.h = 2 * M_PI * theta * sigma2 / (130 + theta * theta * (sigma2 + c) + theta * t_max);
    double digits = ceil(log2(noise / p.h)) + 3;
    p.h = noise / exp2(digits - 3);
    p.bottom = floor(((removed ? 0 : -c) - 17 * noise) / p.h);
    p.nodes = (size_t)(((removed ? 1 + c : 0) + 17 * noise) / p.h - p.bottom);
    return p;
}

/* One node: weight e^{(1+c) l} or e^{-c l} times the Gaussian, and its turn per step of t. */
static void make_node(double rate, double noise, bool removed, const struct plan *p, size_t i, struct cplx *now,
                      struct cplx *turn)
{
    mpfr_t l, a, b;
    mpfr_inits2(BITS, l, a, b, (mpfr_ptr)0);
    double x = (p->bottom + (double)i) * p->h;
    log_ratio(l, rate, noise, x);
    mpfr_set_d(a, x, MPFR_RNDN);
    mpfr_div_d(a, a, noise, MPFR_RNDN);
    mpfr_sqr(a, a, MPFR_RNDN);
    mpfr_div_si(a, a, -2, MPFR_RNDN);
    mpfr_mul_d(b, l, removed ? p->c : -p->c, MPFR_RNDN);
    mpfr_add(a, a, b, MPFR_RNDN);
    if (removed)
        mpfr_add(a, a, l, MPFR_RNDN);
    mpfr_exp(now->re, a, MPFR_RNDN);
    mpfr_const_pi(a, MPFR_RNDN);
    mpfr_mul_ui(a, a, 2, MPFR_RNDN);
    mpfr_sqrt(a, a, MPFR_RNDN);
    mpfr_mul_d(a, a, noise, MPFR_RNDN);
    mpfr_mul_d(now->re, now->re, p->h, MPFR_RNDN);
    mpfr_div(now->re, now->re, a, MPFR_RNDN);
    mpfr_set_zero(now->im, 1);
    mpfr_mul_d(l, l, removed ? p->dt : -p->dt, MPFR_RNDN);
    mpfr_sin_cos(turn->im, turn->re, l, MPFR_RNDN);
    mpfr_clears(l, a, b, (mpfr_ptr)0);
}

/* Re of M^T e^{-s eps} / (s (s+1)), s = c + it, added to sum with `share`. */
static void add_point(mpfr_t sum, const struct cplx *m, double steps, double c, double t, double epsilon, double share)
{
    mpfr_t modulus, phase, a, b;
    mpfr_inits2(BITS, modulus, phase, a, b, (mpfr_ptr)0);
    mpfr_hypot(modulus, m->re, m->im, MPFR_RNDN);
    mpfr_log(modulus, modulus, MPFR_RNDN);
    mpfr_mul_d(modulus, modulus, steps, MPFR_RNDN);
    mpfr_set_d(a, c, MPFR_RNDN);
    mpfr_mul_d(a, a, epsilon, MPFR_RNDN);
    mpfr_sub(modulus, modulus, a, MPFR_RNDN);
    mpfr_atan2(phase, m->im, m->re, MPFR_RNDN);
    mpfr_mul_d(phase, phase, steps, MPFR_RNDN);
    mpfr_set_d(a, t, MPFR_RNDN);
    mpfr_mul_d(a, a, epsilon, MPFR_RNDN);
    mpfr_sub(phase, phase, a, MPFR_RNDN);
    /* 1/(s(s+1)) has modulus 1/(|s||s+1|) and phase -atan2(t, c) - atan2(t, c+1) */
    for (int k = 0; k < 2; k++) {
        mpfr_set_d(a, c, MPFR_RNDN);
        mpfr_add_ui(a, a, (unsigned)k, MPFR_RNDN);
        mpfr_set_d(b, t, MPFR_RNDN);
        mpfr_atan2(b, b, a, MPFR_RNDN);
        mpfr_sub(phase, phase, b, MPFR_RNDN);
        mpfr_set_d(b, t, MPFR_RNDN);
        mpfr_hypot(a, a, b, MPFR_RNDN);
        mpfr_log(a, a, MPFR_RNDN);
        mpfr_sub(modulus, modulus, a, MPFR_RNDN);
    }
    mpfr_exp(modulus, modulus, MPFR_RNDN);
    mpfr_cos(phase, phase, MPFR_RNDN);
    mpfr_mul(modulus, modulus, phase, MPFR_RNDN);
    mpfr_mul_d(modulus, modulus, share, MPFR_RNDN);
    mpfr_add(sum, sum, modulus, MPFR_RNDN);
    mpfr_clears(modulus, phase, a, b, (mpfr_ptr)0);
}

static double true_delta(double rate, double noise, double steps, bool removed, double epsilon, const struct plan *p)
{
    struct cplx *now = calloc(p->nodes, sizeof *now), *turn = calloc(p->nodes, sizeof *turn), tmp, m;
    assert_true(now && turn);
    mpfr_t sum;
    mpfr_init2(sum, BITS);
    mpfr_set_zero(sum, 1);
    c_init(&tmp);
    c_init(&m);
    for (size_t i = 0; i < p->nodes; i++) {
        c_init(&now[i]);
        c_init(&turn[i]);
        make_node(rate, noise, removed, p, i, &now[i], &turn[i]);
    }
    for (size_t j = 0; j < p->points; j++) {
        mpfr_set_zero(m.re, 1);
        mpfr_set_zero(m.im, 1);
        for (size_t i = 0; i < p->nodes; i++) {
            mpfr_add(m.re, m.re, now[i].re, MPFR_RNDN);
            mpfr_add(m.im, m.im, now[i].im, MPFR_RNDN);
            c_mul(&now[i], &turn[i], &tmp);
        }
        add_point(sum, &m, steps, p->c, (double)j * p->dt, epsilon, j ? 1 : 0.5);
    }
    for (size_t i = 0; i < p->nodes; i++)
        c_clear(&now[i]), c_clear(&turn[i]);
    double value = mpfr_get_d(sum, MPFR_RNDN) * p->dt / M_PI;
    c_clear(&tmp);
    c_clear(&m);
    mpfr_clear(sum);
    free(now);
    free(turn);
    return value;
}

/* False when this setting would take too long here. */
static bool check(double rate, double noise, int64_t steps, double delta)
{
    struct sg_epsilon e = poisson(rate, noise, steps, delta);
    if (strcmp(e.accountant, "contour") != 0 || e.epsilon_lower <= 0)
        return false;
    struct plan plan[2];
    for (int k = 0; k < 2; k++) {
        plan[k] = make_plan(rate, noise, (double)steps, k == 0, e.epsilon, delta);
        if ((double)plan[k].nodes * (double)plan[k].points > 600000 || plan[k].points < 10)
            return false;
    }
    double at_lower = 0;
    for (int k = 0; k < 2; k++) {
        double upper = true_delta(rate, noise, (double)steps, k == 0, e.epsilon, &plan[k]);
        if (upper > delta * (1 + 1e-14))
            fail_msg("q %.17g sigma %.17g T %lld delta %g direction %d: at epsilon %.17g the truth is delta %.17g",
                     rate, noise, (long long)steps, delta, k, e.epsilon, upper);
        at_lower = fmax(at_lower, true_delta(rate, noise, (double)steps, k == 0, e.epsilon_lower, &plan[k]));
    }
    if (at_lower < delta * (1 - 1e-14))
        fail_msg("q %.17g sigma %.17g T %lld delta %g: lower bound %.17g is above the truth", rate, noise,
                 (long long)steps, delta, e.epsilon_lower);
    return true;
}

static void named_settings(void **state)
{
    (void)state;
    assert_true(check(0.01, 1, 1000, 1e-5));
    assert_true(check(256.0 / 60000, 1.3, 3516, 1e-12));
    assert_true(check(0.2, 2, 200, 1e-5));
}

static void random_settings(void **state)
{
    (void)state;
    const char *asked = getenv("SEALGRAD_MPFR_SETTINGS");
    long wanted = asked ? strtol(asked, NULL, 10) : 12, done = 0, tried = 0;
    uint64_t seed = 0x60d1;
    while (done < wanted && tried < 40 * wanted) {
        double rate = log_uniform(&seed, 1e-4, 0.5), noise = log_uniform(&seed, 0.6, 50);
        double delta = log_uniform(&seed, 1e-15, 1e-2);
        done += check(rate, noise, (int64_t)log_uniform(&seed, 30, 1e7), delta);
        tried++;
    }
    print_message("%ld of %ld settings, seed 0x60d1\n", done, tried);
    assert_true(done == wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(named_settings), cmocka_unit_test(random_settings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
