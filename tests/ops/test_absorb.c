/* Would catch: a weighted gradient sum that is not chains of SG_CHAIN_ROWS rows by fused multiply-adds, added in double
 * and rounded to even once; sums that are overwritten instead of added to; an overflow that is missed or that spoils
 * other coordinates; a write outside the sum; bits that differ between vector widths; panels of one call that are
 * rounded together, or whose chains do not begin anew. */
#include "check.h"

static const uint64_t seed = 77;
#define SUM_GUARD 0x5eed5eed5eed5eed

#define PANELS_MAX 6

struct panel {
    int64_t n_rows, n_in, n_out, lda, ldg;
    int64_t n_panels; /* of one call: the rows panel_row[p] .. panel_row[p+1] are one panel's */
    int32_t panel_row[PANELS_MAX + 1];
    float *a, *g;
    double *w;
    double grid, limit;
};

static struct panel panel_make(int64_t n_rows, int64_t n_in, int64_t n_out, uint64_t *state)
{
    struct panel p = {.n_rows = n_rows,
                      .n_in = n_in,
                      .n_out = n_out,
                      .lda = n_in + check_below(state, 3),
                      .ldg = n_out + check_below(state, 3),
                      .n_panels = 1,
                      .panel_row = {0, (int32_t)n_rows},
                      .grid = 0x1p-40,
                      .limit = 0x1p20};
    p.a = check_random(n_rows * p.lda, state);
    p.g = check_random(n_rows * p.ldg, state);
    p.w = malloc((size_t)(n_rows + 1) * sizeof *p.w);
    assert_non_null(p.w);
    for (int64_t r = 0; r < n_rows; r++)
        p.w[r] = r % 3 == 0 ? 1 : fabs((double)check_uniform(state)) + 0x1p-30 * r;
    return p;
}

static void panel_free(struct panel *p)
{
    check_free(p->a);
    check_free(p->g);
    free(p->w);
}

static double coordinate(const struct panel *p, int64_t begin, int64_t end, int64_t o, int64_t i)
{
    double total = 0;
    for (int64_t r0 = begin; r0 < end; r0 += SG_CHAIN_ROWS) {
        float acc = 0;
        for (int64_t r = r0; r < end && r < r0 + SG_CHAIN_ROWS; r++)
            acc = fmaf((float)(p->w[r] * (double)p->g[r * p->ldg + o]), p->a[r * p->lda + i], acc);
        total += acc;
    }
    return total;
}

/* Sum of o x i with a guard of 8 on either side. */
static int64_t *sums_make(const struct panel *p)
{
    int64_t n = p->n_in * p->n_out;
    int64_t *sum = malloc((size_t)(n + 16) * sizeof *sum);
    assert_non_null(sum);
    for (int64_t i = 0; i < n + 16; i++)
        sum[i] = i < 8 || i >= n + 8 ? SUM_GUARD : (i * 7919) - 40;
    return sum + 8;
}

static void check_panel(const char *what, const struct panel *p)
{
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    int64_t *want = sums_make(p);
    bool overflow_due = false;
    for (int64_t q = 0; q < p->n_panels; q++)
        for (int64_t j = 0; p->panel_row[q] < p->panel_row[q + 1] && j < p->n_in * p->n_out; j++) {
            double total = coordinate(p, p->panel_row[q], p->panel_row[q + 1], j / p->n_in, j % p->n_in);
            if (fabs(total) <= p->limit)
                want[j] += (int64_t)nearbyint(total * (1 / p->grid));
            else
                overflow_due = true;
        }
    for (size_t k = 0; k < n; k++) {
        int64_t *got = sums_make(p);
        bool overflow = false;
        void *scratch = check_scratch(b[k].ops, p->n_in > p->n_out ? p->n_in : p->n_out, 1);
        b[k].ops->absorb(p->n_rows, p->n_panels, p->panel_row, p->n_in, p->n_out, p->a, p->lda, p->g, p->ldg, p->w,
                         p->grid, p->limit, got, &overflow, scratch);
        for (int64_t j = -8; j < p->n_in * p->n_out + 8; j++)
            if (got[j] != want[j])
                fail_msg("%s, %s, %ld rows, %ld x %ld: output %ld input %ld is %ld, should be %ld", what, b[k].name,
                         (long)p->n_rows, (long)p->n_out, (long)p->n_in, (long)(j / p->n_in), (long)(j % p->n_in),
                         (long)got[j], (long)want[j]);
        if (overflow != overflow_due)
            fail_msg("%s, %s: overflow is %d, should be %d", what, b[k].name, overflow, overflow_due);
        free(scratch);
        free(got - 8);
    }
    free(want - 8);
}

static void test_shapes(void **unused)
{
    (void)unused;
    uint64_t state = seed;
    const int64_t rows[] = {0, 1, 2, 63, 64, 65, 128, 129, 200};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int64_t round = 0; round < 6; round++) {
            struct panel p = panel_make(rows[r], 1 + check_below(&state, 80), 1 + check_below(&state, 60), &state);
            p.grid = round & 1 ? 0x1p-40 : 3.7e-9;
            check_panel("absorb", &p);
            panel_free(&p);
        }
    const int64_t odd[][3] = {{70, 1, 1},     {66, 400, 13},  {3, 193, 97},   {192, 75, 256}, {150, 161, 130},
                              {70, 384, 100}, {256, 33, 70},  {257, 33, 110}, {300, 209, 40}, {385, 161, 100},
                              {513, 1, 1},    {576, 195, 97}, {300, 35, 1000}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct panel p = panel_make(odd[i][0], odd[i][1], odd[i][2], &state);
        check_panel("absorb", &p);
        panel_free(&p);
    }
}

/* Cuts the rows into several panels, some of them empty, the first and the last too. */
static void split(struct panel *p, uint64_t *state)
{
    p->n_panels = 2 + check_below(state, PANELS_MAX - 1);
    for (int64_t q = 1; q < p->n_panels; q++) {
        int64_t row = check_below(state, 3) ? check_below(state, p->n_rows + 1) : 0;
        p->panel_row[q] = row > p->panel_row[q - 1] ? (int32_t)row : p->panel_row[q - 1];
    }
    p->panel_row[p->n_panels] = (int32_t)p->n_rows;
}

static void test_several_panels(void **unused)
{
    (void)unused;
    uint64_t state = seed + 4;
    for (int round = 0; round < 60; round++) {
        struct panel p = panel_make(check_below(&state, 400), round % 4 ? 1 + check_below(&state, 80) : 1,
                                    1 + check_below(&state, 60), &state);
        p.grid = round & 1 ? 0x1p-40 : 3.7e-9;
        split(&p, &state);
        if (round % 8 == 7 && p.n_rows) /* one panel's overflow is not the next one's */
            p.g[check_below(&state, p.n_rows) * p.ldg + check_below(&state, p.n_out)] = round & 8 ? INFINITY : 3e38f;
        check_panel("several panels", &p);
        panel_free(&p);
    }
}

/* Halves must go to even, and both ends of the range that vectors take must hand over without a step. */
static void test_rounding(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    struct panel p = panel_make(1, 40, 16, &state);
    p.w[0] = 1;
    for (int e = -2; e <= 62; e++) {
        for (int64_t i = 0; i < p.n_in; i++)
            p.a[i] = (float)(i - 20) * 0.5f + (i % 5 == 0 ? 0.25f : 0);
        for (int64_t o = 0; o < p.n_out; o++)
            p.g[o] = (float)ldexp(o % 2 ? 1 : -1, e - (int)(o % 4));
        p.grid = 1;
        p.limit = 0x1p62;
        check_panel("rounding", &p);
    }
    panel_free(&p);
}

static void test_overflow(void **unused)
{
    (void)unused;
    uint64_t state = seed + 2;
    const float hostile[] = {NAN, INFINITY, -INFINITY, 1e30f, 3e38f, 2e6f, 1e-45f};
    for (size_t h = 0; h < sizeof hostile / sizeof *hostile; h++)
        for (int where = 0; where < 8; where++) {
            struct panel p = panel_make(1 + 13 * where, 37, 21, &state);
            int64_t row = check_below(&state, p.n_rows);
            if (where & 1)
                p.a[row * p.lda + check_below(&state, p.n_in)] = hostile[h];
            else
                p.g[row * p.ldg + check_below(&state, p.n_out)] = hostile[h];
            check_panel("overflow", &p);
            panel_free(&p);
        }
}

/* Cancelling rows of huge mass: order and grouping of the sum are visible at full size. */
static void test_cancelling_rows(void **unused)
{
    (void)unused;
    uint64_t state = seed + 3;
    struct panel p = panel_make(150, 33, 40, &state);
    for (int64_t r = 0; r + 1 < p.n_rows; r += 2) {
        for (int64_t i = 0; i < p.n_in; i++)
            p.a[(r + 1) * p.lda + i] = p.a[r * p.lda + i] *= 1e4f;
        for (int64_t o = 0; o < p.n_out; o++)
            p.g[(r + 1) * p.ldg + o] = -(p.g[r * p.ldg + o] *= 1e4f);
        p.w[r + 1] = p.w[r];
    }
    check_panel("cancelling", &p);
    panel_free(&p);
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),   cmocka_unit_test(test_several_panels),  cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_overflow), cmocka_unit_test(test_cancelling_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
