/* Would catch: a closed form that rounds below the truth. The truth is the same formula in 300 bits.
 *
 * For each random setting the reported epsilon's true delta must not exceed the delta asked for, and the true delta at
 * the lower bound must not lie below it. */
#include "support.h"

#include <mpfr.h>

enum { BITS = 300 };

/* out = Phi(-x) */
static void tail(mpfr_t out, const mpfr_t x)
{
    mpfr_t half;
    mpfr_init2(half, BITS);
    mpfr_set_ui(half, 2, MPFR_RNDN);
    mpfr_sqrt(half, half, MPFR_RNDN);
    mpfr_div(half, x, half, MPFR_RNDN);
    mpfr_erfc(out, half, MPFR_RNDN);
    mpfr_div_ui(out, out, 2, MPFR_RNDN);
    mpfr_clear(half);
}

/* delta of one step of the Poisson-subsampled Gaussian with T steps at q = 1 folded into mu: q Phi(-(z - mu)) - (e^eps
 * - 1 + q) Phi(-z), z = the standard score of the point where the loss is eps: z = mu/2 + ln((e^eps - 1 + q)/q)/mu. */
static void delta_of(mpfr_t out, double rate, const mpfr_t mu, double epsilon)
{
    mpfr_t a, z, b;
    mpfr_inits2(BITS, a, z, b, (mpfr_ptr)0);
    mpfr_set_d(a, epsilon, MPFR_RNDN);
    mpfr_expm1(a, a, MPFR_RNDN);
    mpfr_add_d(a, a, rate, MPFR_RNDN);
    mpfr_div_d(z, a, rate, MPFR_RNDN);
    mpfr_log(z, z, MPFR_RNDN);
    mpfr_div(z, z, mu, MPFR_RNDN);
    mpfr_div_ui(b, mu, 2, MPFR_RNDN);
    mpfr_add(z, z, b, MPFR_RNDN);
    tail(b, z);
    mpfr_mul(a, a, b, MPFR_RNDN);
    mpfr_sub(z, z, mu, MPFR_RNDN);
    tail(b, z);
    mpfr_mul_d(b, b, rate, MPFR_RNDN);
    mpfr_sub(out, b, a, MPFR_RNDN);
    mpfr_clears(a, z, b, (mpfr_ptr)0);
}

static void check(double rate, double noise, int64_t steps, double delta)
{
    struct sg_epsilon e = poisson(rate, noise, steps, delta);
    mpfr_t mu, value;
    mpfr_inits2(BITS, mu, value, (mpfr_ptr)0);
    mpfr_set_si(mu, steps, MPFR_RNDN);
    mpfr_sqrt(mu, mu, MPFR_RNDN);
    mpfr_div_d(mu, mu, noise, MPFR_RNDN);
    delta_of(value, rate, mu, e.epsilon);
    if (mpfr_cmp_d(value, delta) > 0)
        fail_msg("q %.17g sigma %.17g T %lld: delta at epsilon %.17g is %.17g, not %.17g", rate, noise,
                 (long long)steps, e.epsilon, mpfr_get_d(value, MPFR_RNDU), delta);
    if (e.epsilon_lower > 0) {
        delta_of(value, rate, mu, e.epsilon_lower);
        if (mpfr_cmp_d(value, delta) < 0)
            fail_msg("q %.17g sigma %.17g T %lld: the lower bound %.17g is above the truth", rate, noise,
                     (long long)steps, e.epsilon_lower);
        assert_true(e.epsilon <= e.epsilon_lower * (1 + 1e-7) + 1e-12);
    }
    mpfr_clears(mu, value, (mpfr_ptr)0);
}

static void full_batch(void **state)
{
    (void)state;
    uint64_t seed = 0xba7c4;
    print_message("seed %#llx\n", (unsigned long long)seed);
    for (int i = 0; i < 1000; i++)
        check(1, log_uniform(&seed, 0.2, 200), (int64_t)log_uniform(&seed, 1, 1e8), log_uniform(&seed, 1e-15, 0.1));
}

static void one_step(void **state)
{
    (void)state;
    uint64_t seed = 0x0e57e9;
    print_message("seed %#llx\n", (unsigned long long)seed);
    for (int i = 0; i < 1000; i++)
        check(log_uniform(&seed, 1e-7, 0.999), log_uniform(&seed, 0.2, 200), 1, log_uniform(&seed, 1e-15, 0.1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(full_batch), cmocka_unit_test(one_step)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
