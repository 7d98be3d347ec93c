/* Would catch: an epsilon below the truth or too far above it, a lower bound above it, a figure that moves the wrong
 * way with noise, rate, steps or delta, NaN or a hang on odd settings, input that should be refused, bits that depend
 * on the locale or the thread. */
#include "support.h"

#include <locale.h>
#include <pthread.h>

#include "base/number.h"

static void check_row(double rate, double noise, int64_t steps, double delta, double truth, double tolerance)
{
    struct sg_epsilon e = poisson(rate, noise, steps, delta);
    double cap = tolerance <= 1e-8 ? 1e-6 : 1e-4;
    if (!(e.epsilon >= truth * (1 - tolerance)) || !(e.epsilon <= truth * (1 + cap)) ||
        !(e.epsilon_lower <= truth * (1 + tolerance)))
        fail_msg("q %g sigma %g T %lld delta %g: truth %.13g, upper %.13g, lower %.13g by %s", rate, noise,
                 (long long)steps, delta, truth, e.epsilon, e.epsilon_lower, e.accountant);
    assert_true(e.epsilon <= e.epsilon_rdp);
}

/* Source: contour integral, long double; closed form where T = 1 or q = 1. */
static void known_values(void **state)
{
    (void)state;
    static const struct {
        double rate, noise;
        int64_t steps;
        double delta, truth, tolerance;
    } rows[] = {
        {1e-6, 0.5, 1000000, 1e-9, 0.5628450725387, 1e-6}, {1e-5, 0.5, 1000000, 1e-8, 2.158506164575, 1e-8},
        {1e-5, 1, 1000000, 1e-8, 0.05909996665283, 1e-8},  {256.0 / 60000, 1.3, 3516, 1e-5, 0.8645401912265, 1e-8},
        {0.01, 1, 1000, 1e-12, 3.914298156038, 1e-8},      {0.01, 1, 1000, 1e-5, 1.828236666517, 1e-8},
        {0.01, 100, 10, 1e-6, 0.0007462332446277, 1e-8},   {0.5, 1, 100, 1e-5, 39.97500255581, 1e-8},
        {0.01, 1, 1, 1e-6, 0.3639478396155094, 1e-8},      {0.001, 0.3, 1, 1e-8, 12.223017466465535, 1e-8},
        {1, 1, 10, 1e-6, 19.423656474031056, 1e-8},        {1, 50, 1000, 1e-6, 2.9216005904269715, 1e-8},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(rows[i].rate, rows[i].noise, rows[i].steps, rows[i].delta, rows[i].truth, rows[i].tolerance);
}

static double field(char **at)
{
    size_t n = strcspn(*at, ",\n");
    double value = NAN;
    if (!sg_number_double(*at, n, &value))
        fail_msg("not a number: %.40s", *at);
    *at += n + 1;
    return value;
}

static void reference_table(void **state)
{
    (void)state;
    const char *root = getenv("SEALGRAD_SHARED");
    char path[4096], line[1024];
    snprintf(path, sizeof path, "%s/reference/epsilon.csv", root ? root : "../shared");
    FILE *file = fopen(path, "r");
    if (!file) {
        print_message("no %s: the reference table is not checked\n", path);
        skip();
    }
    int rows = 0;
    assert_non_null(fgets(line, sizeof line, file));
    while (fgets(line, sizeof line, file)) {
        char *at = line;
        double rate = field(&at), noise = field(&at), steps = field(&at), delta = field(&at), truth = field(&at);
        check_row(rate, noise, (int64_t)steps, delta, truth, field(&at));
        rows++;
    }
    fclose(file);
    assert_true(rows >= 57);
}

/* One random history and its four neighbours, each of which must cost no less (or no more) up to the gap of the bounds.
 */
static void random_settings(void **state)
{
    (void)state;
    const char *asked = getenv("SEALGRAD_RANDOM_SETTINGS");
    long n = asked ? strtol(asked, NULL, 10) : 60;
    uint64_t seed = 0x5ea1;
    print_message("%ld settings, seed %#llx\n", n, (unsigned long long)seed);
    for (long i = 0; i < n; i++) {
        double rate = log_uniform(&seed, 1e-7, 1), noise = log_uniform(&seed, 0.2, 200);
        double delta = log_uniform(&seed, 1e-15, 0.1);
        int64_t steps = (int64_t)log_uniform(&seed, 1, 1e8);
        struct sg_epsilon e = poisson(rate, noise, steps, delta);
        if (!(e.epsilon >= 0 && isfinite(e.epsilon) && e.epsilon_lower >= 0 && e.epsilon_lower <= e.epsilon))
            fail_msg("q %.17g sigma %.17g T %lld delta %g: %g to %g", rate, noise, (long long)steps, delta,
                     e.epsilon_lower, e.epsilon);
        struct setting other = {rate, noise, delta, steps};
        if (i % 4 == 0)
            other.noise *= 0.97;
        else if (i % 4 == 1)
            other.rate = fmin(rate * 1.03, 1);
        else if (i % 4 == 2)
            other.steps += steps / 30 + 1;
        else
            other.delta *= 0.9;
        struct sg_epsilon dearer = account_once(SG_SAMPLER_POISSON, SG_ADD_OR_REMOVE_ONE, other);
        if (!(dearer.epsilon >= e.epsilon_lower))
            fail_msg("q %.17g sigma %.17g T %lld delta %g: %g, but the dearer one is %g", rate, noise, (long long)steps,
                     delta, e.epsilon_lower, dearer.epsilon);
    }
}

/* Losses of thousands a step, where e^loss is beyond double: half of a thousand steps at 5,000 each, and more for the
 * deviation. */
static void huge_losses(void **state)
{
    (void)state;
    struct sg_epsilon e = poisson(0.5, 0.01, 1000, 1e-10);
    assert_true(e.epsilon > 2.9e6 && e.epsilon < 3.1e6 && e.epsilon_lower <= e.epsilon);
    e = poisson(0.5, 0.02, 1, 1e-3);
    assert_true(e.epsilon > 1250 && e.epsilon < 1600);
    e = poisson(0.25, 0.015, 3, 1e-4);
    assert_true(e.epsilon > 3 * 2222 && isfinite(e.epsilon)); /* all three steps: probability 1/64 */
    e = poisson(1e-3, 0.01, 40, 1e-6);
    assert_true(e.epsilon > 3 * 5000 && e.epsilon < 6 * 5000);
}

static void phases_add_up(void **state)
{
    (void)state;
    struct sg_phase split[2] = {{0.01, 1, 400}, {0.01, 1, 600}}, mixed[2] = {{0.01, 1, 1000}, {0.02, 2, 10}};
    struct sg_history history = {.sensitivity = 1, .phases = split, .n_phases = 2};
    struct sg_epsilon e;
    assert_int_equal(sg_account_epsilon(&history, 1e-5, &e), SG_OK);
    assert_true(e.epsilon == poisson(0.01, 1, 1000, 1e-5).epsilon);
    history.phases = mixed;
    assert_int_equal(sg_account_epsilon(&history, 1e-5, &e), SG_OK);
    assert_true(e.epsilon > 1.8283 && e.epsilon < 1.9 && e.epsilon - e.epsilon_lower < 1e-6);
    mixed[1] = (struct sg_phase){1, 40, 4}; /* an unsampled phase: a Gaussian of size 1/20 */
    assert_int_equal(sg_account_epsilon(&history, 1e-5, &e), SG_OK);
    struct sg_query query = {SG_QUERY_GAUSSIAN, 20, 1};
    struct sg_history same = {.sensitivity = 1, .phases = mixed, .n_phases = 1, .queries = &query, .n_queries = 1};
    struct sg_epsilon f;
    assert_int_equal(sg_account_epsilon(&same, 1e-5, &f), SG_OK);
    assert_close(e.epsilon, f.epsilon, 1e-9);
}

static void refused(void **state)
{
    (void)state;
    static const struct sg_phase bad[] = {
        {NAN, 1, 1},         {-0.1, 1, 1},  {0, 1, 1},   {1.0000001, 1, 1}, {0x1p-1060, 1, 1},
        {INFINITY, 1, 1},    {0.1, NAN, 1}, {0.1, 0, 1}, {0.1, -1, 1},      {0.1, INFINITY, 1},
        {0.1, 0x1p-1070, 1}, {0.1, 1e9, 1}, {0.1, 1, 0}, {0.1, 1, -5},      {0.1, 1, INT64_MAX},
    };
    struct sg_epsilon e;
    double noise, rho;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sg_history history = {.sensitivity = 1, .phases = &bad[i], .n_phases = 1};
        assert_int_equal(sg_account_epsilon(&history, 1e-5, &e), SG_USAGE);
        assert_true(strlen(sg_error_text()) > 10);
    }
    struct sg_phase good = {0.1, 1, 10};
    struct sg_history history = {.sensitivity = 1, .phases = &good, .n_phases = 1};
    const double deltas[] = {0, 1, -1e-5, NAN, INFINITY, 0x1p-1070};
    for (size_t i = 0; i < sizeof deltas / sizeof *deltas; i++)
        assert_int_equal(sg_account_epsilon(&history, deltas[i], &e), SG_USAGE);
    const double targets[] = {0, -1, NAN, INFINITY};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        assert_int_equal(sg_account_calibrate(&history, targets[i], 1e-5, &noise, &e), SG_USAGE);
    assert_int_equal(sg_account_rdp(&history, 1, &rho), SG_USAGE);
    assert_int_equal(sg_account_rdp(&history, NAN, &rho), SG_USAGE);
    history.sensitivity = NAN;
    assert_int_equal(sg_account_epsilon(&history, 1e-5, &e), SG_USAGE);
    history = (struct sg_history){.sampler = SG_SAMPLER_FIXED_SIZE, .sensitivity = 1, .phases = &good, .n_phases = 1};
    assert_int_equal(sg_account_epsilon(&history, 1e-5, &e), SG_USAGE); /* needs replace_one */
    history =
        (struct sg_history){.sampler = SG_SAMPLER_TRUNCATED_POISSON, .sensitivity = 1, .phases = &good, .n_phases = 1};
    assert_int_equal(sg_account_epsilon(&history, 1e-5, &e), SG_USAGE); /* needs population and cap */
    history = (struct sg_history){.sampler = SG_SAMPLER_FULL_BATCH, .sensitivity = 1, .phases = &good, .n_phases = 1};
    assert_int_equal(sg_account_epsilon(&history, 1e-5, &e), SG_USAGE); /* q = 0.1 is no full batch */
}

static void *in_thread(void *out)
{
    *(struct sg_epsilon *)out = poisson(0.004, 0.9, 3000, 1e-6);
    return NULL;
}

static void same_bits(void **state)
{
    (void)state;
    struct sg_epsilon a = poisson(0.004, 0.9, 3000, 1e-6), b[4];
    pthread_t threads[4];
    if (!setlocale(LC_ALL, "de_DE.UTF-8"))
        setlocale(LC_ALL, "C.UTF-8");
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, in_thread, &b[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(a.epsilon == b[i].epsilon && a.epsilon_lower == b[i].epsilon_lower &&
                    a.epsilon_rdp == b[i].epsilon_rdp);
    }
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values), cmocka_unit_test(reference_table), cmocka_unit_test(random_settings),
        cmocka_unit_test(huge_losses),  cmocka_unit_test(phases_add_up),   cmocka_unit_test(refused),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
