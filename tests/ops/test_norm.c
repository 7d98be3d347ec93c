/* Would catch: a group norm further from the exact one than its own slack admits (both routes, all group sizes and
 * widths), a wrong row mass, a hostile group that is not excluded or whose products vanish or overflow in float, a
 * group that touches its neighbour's result, clip weights off the formula, and bits that differ between vector widths.
 */
#include "check.h"

static const uint64_t seed = 99;

struct groups {
    int64_t n, n_in, n_out, lda, ldg;
    int32_t first[40];
    float *a, *g;
};

static struct groups groups_make(int64_t n, int64_t rows_max, int64_t n_in, int64_t n_out, uint64_t *state)
{
    struct groups p = {.n = n,
                       .n_in = n_in,
                       .n_out = n_out,
                       .lda = n_in + check_below(state, 3),
                       .ldg = n_out + check_below(state, 3)};
    for (int64_t j = 0; j < n; j++)
        p.first[j + 1] = p.first[j] + (int32_t)check_below(state, rows_max + 1);
    p.a = check_random((p.first[n] + 1) * p.lda, state);
    p.g = check_random((p.first[n] + 1) * p.ldg, state);
    return p;
}

static void groups_free(struct groups *p)
{
    check_free(p->a);
    check_free(p->g);
}

/* In long double, from the gradient written out, so that cancelling rows leave what they should. */
static struct sg_group_norm expect(enum sg_norm_route route, const struct groups *p, int64_t j)
{
    struct sg_group_norm out = {0};
    int64_t begin = p->first[j], end = p->first[j + 1];
    long double norm2 = 0, mass = 0;
    for (int64_t r = begin; r < end; r++) {
        long double a2 = 0, g2 = 0;
        for (int64_t i = 0; i < p->n_in; i++)
            a2 += (long double)p->a[r * p->lda + i] * p->a[r * p->lda + i];
        for (int64_t o = 0; o < p->n_out; o++)
            g2 += (long double)p->g[r * p->ldg + o] * p->g[r * p->ldg + o];
        out.excluded = out.excluded || !isfinite((double)a2) || !isfinite((double)g2) || sqrtl(a2) > 0x1p64L;
        mass += sqrtl(a2) * sqrtl(g2);
    }
    for (int64_t o = 0; !out.excluded && o < p->n_out; o++)
        for (int64_t i = 0; i < p->n_in; i++) {
            long double x = 0;
            for (int64_t r = begin; r < end; r++)
                x += (long double)p->g[r * p->ldg + o] * p->a[r * p->lda + i];
            norm2 += x * x;
        }
    double k = route == SG_ROUTE_GRAM ? (double)(p->n_in + p->n_out + 4) : (double)(end - begin + 2);
    double gamma = k * 0x1p-24 / (1 - k * 0x1p-24) * (route == SG_ROUTE_GRAM ? 1 : 3);
    out.norm2 = (double)norm2;
    out.mass2 = (double)(mass * mass);
    out.slack2 = gamma * out.mass2;
    return out;
}

static void check_group(const char *backend, enum sg_norm_route route, const struct groups *p, int64_t j,
                        struct sg_group_norm got)
{
    int64_t rows = p->first[j + 1] - p->first[j], in = p->n_in, outs = p->n_out;
    if (route == SG_ROUTE_CHEAPER)
        route = rows * (rows + 1) * (in + outs) <= 2 * (rows + 1) * in * outs ? SG_ROUTE_GRAM : SG_ROUTE_INSTANTIATE;
    struct sg_group_norm want = expect(route, p, j);
    const char *name = route == SG_ROUTE_GRAM ? "gram" : "instantiate";
    if (got.excluded != want.excluded)
        fail_msg("%s, %s: group %ld excluded is %d", name, backend, (long)j, got.excluded);
    if (want.excluded)
        return;
    if (!(fabs(got.mass2 - want.mass2) <= 1e-12 * want.mass2) ||
        !(fabs(got.slack2 - want.slack2) <= 1e-12 * want.slack2))
        fail_msg("%s, %s: group %ld mass2 %.17g slack2 %.17g, should be %.17g and %.17g", name, backend, (long)j,
                 got.mass2, got.slack2, want.mass2, want.slack2);
    /* What the contract needs: the bound holds. What a good kernel keeps: within the slack on the other side too. */
    if (!(got.norm2 + got.slack2 >= want.norm2) || !(got.norm2 <= want.norm2 * (1 + 1e-12) + got.slack2))
        fail_msg("%s, %s: group %ld of %d rows, %ld x %ld: norm2 %.17g, should be %.17g within %.3g", name, backend,
                 (long)j, p->first[j + 1] - p->first[j], (long)p->n_out, (long)p->n_in, got.norm2, want.norm2,
                 got.slack2);
}

static void check_groups(const struct groups *p)
{
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    int64_t rows_max = 0;
    for (int64_t j = 0; j < p->n; j++)
        rows_max = p->first[j + 1] - p->first[j] > rows_max ? p->first[j + 1] - p->first[j] : rows_max;
    for (int route = SG_ROUTE_GRAM; route <= SG_ROUTE_CHEAPER; route++) {
        struct sg_group_norm kept[40];
        for (size_t k = 0; k < n; k++) {
            struct sg_group_norm got[40] = {0};
            void *scratch = check_scratch(b[k].ops, p->n_in > p->n_out ? p->n_in : p->n_out, rows_max);
            b[k].ops->group_norm(route, p->n, p->first, p->n_in, p->n_out, p->a, p->lda, p->g, p->ldg, got, scratch);
            for (int64_t j = 0; j < p->n; j++) {
                check_group(b[k].name, route, p, j, got[j]);
                if (k >= 2 &&
                    (got[j].norm2 != kept[j].norm2 || got[j].mass2 != kept[j].mass2 || got[j].slack2 != kept[j].slack2))
                    fail_msg("route %d: group %ld is %a at one vector width and %a at the other", route, (long)j,
                             kept[j].norm2, got[j].norm2);
            }
            memcpy(kept, got, sizeof kept);
            free(scratch);
        }
    }
}

static void test_sizes(void **unused)
{
    (void)unused;
    uint64_t state = seed;
    for (int round = 0; round < 120; round++) {
        struct groups p = groups_make(1 + check_below(&state, 20), 1 + check_below(&state, 26),
                                      1 + check_below(&state, 90), 1 + check_below(&state, 90), &state);
        check_groups(&p);
        groups_free(&p);
    }
    struct groups p = groups_make(6, 24, 161, 512, &state);
    check_groups(&p);
    groups_free(&p);
    p = groups_make(2, 200, 75, 256, &state);
    check_groups(&p);
    groups_free(&p);
}

/* (a, g), (a, -g) of huge mass: the norm is zero or tiny and only the slack says what rounding may hide. */
static void test_cancelling_rows(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    for (int round = 0; round < 30; round++) {
        struct groups p = groups_make(8, 12, 40, 50, &state);
        float scale = (float)ldexp(1, (int)check_below(&state, 50) - 20);
        for (int64_t j = 0; j < p.n; j++)
            for (int64_t r = p.first[j]; r + 1 < p.first[j + 1]; r += 2) {
                for (int64_t i = 0; i < p.n_in; i++)
                    p.a[(r + 1) * p.lda + i] = p.a[r * p.lda + i] *= scale;
                for (int64_t o = 0; o < p.n_out; o++)
                    p.g[(r + 1) * p.ldg + o] = -p.g[r * p.ldg + o];
            }
        check_groups(&p);
        groups_free(&p);
    }
}

/* Scales at which float products underflow or overflow, and values that exclude a group; neighbours stay ordinary. */
static void test_hostile(void **unused)
{
    (void)unused;
    uint64_t state = seed + 2;
    const float scale[] = {1e-45f, 1e-38f, 1e-30f, 1e-20f, 0x1p-56f, 0x1p49f, 0x1p61f, 1e25f, 1e30f, 0};
    for (size_t s = 0; s < sizeof scale / sizeof *scale; s++)
        for (int which = 0; which < 3; which++) {
            struct groups p = groups_make(5, 9, 37, 45, &state);
            for (int64_t r = p.first[2]; r < p.first[3]; r++) {
                for (int64_t i = 0; i < p.n_in && which != 1; i++)
                    p.a[r * p.lda + i] *= scale[s];
                for (int64_t o = 0; o < p.n_out && which != 0; o++)
                    p.g[r * p.ldg + o] *= scale[s];
            }
            check_groups(&p);
            groups_free(&p);
        }
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int s = 0; s < 3; s++)
        for (int which = 0; which < 2; which++) {
            struct groups p = groups_make(5, 9, 37, 45, &state);
            if (p.first[3] > p.first[2])
                *(which ? &p.a[p.first[2] * p.lda + 36] : &p.g[p.first[2] * p.ldg + 44]) = bad[s];
            check_groups(&p);
            groups_free(&p);
        }
}

/* Taps add up: a second call adds to what the first left, and what is excluded stays so. */
static void test_taps_add(void **unused)
{
    (void)unused;
    uint64_t state = seed + 4;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    for (int route = SG_ROUTE_GRAM; route <= SG_ROUTE_INSTANTIATE; route++)
        for (size_t k = 0; k < n; k++) {
            struct groups p = groups_make(6, 9, 20, 30, &state);
            struct sg_group_norm once[6] = {0}, twice[6] = {0};
            void *scratch = check_scratch(b[k].ops, 30, 9);
            twice[3].excluded = true;
            for (int call = 0; call < 3; call++)
                b[k].ops->group_norm(route, p.n, p.first, p.n_in, p.n_out, p.a, p.lda, p.g, p.ldg, call ? twice : once,
                                     scratch);
            check_added(b[k].name, once, twice, 6);
            free(scratch);
            groups_free(&p);
        }
}

static void test_clip_weight(void **unused)
{
    (void)unused;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    const struct sg_group_norm norm[] = {{4, 0, 5, false},   {0, 0, 0, false}, {0.25, 0.01, 1, false},
                                         {1, 0, 400, false}, {1, 1, 1, true},  {0, 1e16, 1e30, false},
                                         {3, 13, 1, false}};
    const double want[] = {0.5, 1, 1, 0.4, 0, 8e-15, 0.25}; /* rounded down to a float */
    const double want_open[] = {1, 1, 1, 1, 0, 1, 1};
    for (size_t k = 0; k < n; k++) {
        double w[7], open[7];
        b[k].ops->clip_weight(7, norm, 1, 8, w);
        b[k].ops->clip_weight(7, norm, INFINITY, 8, open);
        for (int j = 0; j < 7; j++)
            if (w[j] > want[j] || w[j] < want[j] * (1 - 0x1p-23) || w[j] != (double)(float)w[j] ||
                open[j] != want_open[j])
                fail_msg("clip_weight, %s: group %d is %g, should be %g (%g without a clip, should be %g)", b[k].name,
                         j, w[j], want[j], open[j], want_open[j]);
    }
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_cancelling_rows), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_taps_add), cmocka_unit_test(test_clip_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
