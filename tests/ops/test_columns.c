/* Would catch: the norm of an embedding's or a gain's gradient further from the exact one than its slack admits, rows
 * of one token that are not added before they are squared, a wrong row mass, a hostile group that is not excluded or
 * spoils its neighbour; weighted sums that are not the specified chains, are rounded more than once or land in another
 * token's row; overflow that is missed; bits that differ between vector widths; panels of one call that are rounded
 * together; rows of an excluded group that are not cleared, or another's that are. The same for a bias whose rows share
 * one a. */
#include "check.h"

static const uint64_t seed = 4711;
#define SUM_GUARD 0x5eed5eed5eed5eed
#define IDS 40

enum kind { EMBED, SCALE, BIAS };
static const char *const kind_name[] = {"embed", "scale", "bias"};

struct tap {
    enum kind kind;
    int64_t n, width, ldx, ldg, n_rows;
    int32_t first[24], *id;
    int64_t n_panels; /* of one call: the rows panel_row[q] .. panel_row[q+1] are one panel's */
    int32_t panel_row[4];
    float *x, *g;
    double *w;
};

static struct tap tap_make(enum kind kind, int64_t n, int64_t rows_max, int64_t width, int64_t n_ids, uint64_t *state)
{
    struct tap p = {.kind = kind,
                    .n = n,
                    .width = width,
                    .ldx = kind == BIAS ? 0 : width + check_below(state, 3),
                    .ldg = width + check_below(state, 3)};
    for (int64_t j = 0; j < n; j++)
        p.first[j + 1] = p.first[j] + (int32_t)check_below(state, rows_max + 1);
    p.n_rows = p.first[n];
    p.n_panels = 1;
    p.panel_row[1] = p.first[n];
    p.x = check_random((p.n_rows + 1) * (width + 2), state);
    p.g = check_random((p.n_rows + 1) * p.ldg, state);
    p.id = malloc((size_t)(p.n_rows + 1) * sizeof *p.id);
    p.w = malloc((size_t)(p.n_rows + 1) * sizeof *p.w);
    assert_non_null(p.id);
    assert_non_null(p.w);
    for (int64_t r = 0; r < p.n_rows; r++) {
        p.id[r] = check_below(state, 9) ? (int32_t)check_below(state, n_ids) : -1;
        p.w[r] = r % 3 == 0 ? 1 : r % 3 == 1 ? fabs((double)check_uniform(state)) : (1 + 0x1p-30) * 0.375;
    }
    return p;
}

static void tap_free(struct tap *p)
{
    check_free(p->x);
    check_free(p->g);
    free(p->id);
    free(p->w);
}

static long double factor(const struct tap *p, int64_t r, int64_t i)
{
    return p->kind == EMBED ? 1 : p->kind == BIAS ? p->x[0] : p->x[r * p->ldx + i];
}

/* Where row r's column i goes; -1 nowhere. */
static int64_t target(const struct tap *p, int64_t r, int64_t i)
{
    return p->kind != EMBED ? i : p->id[r] < 0 ? -1 : p->id[r] * p->width + i;
}

/* ---- norms ---- */

static struct sg_group_norm expect(const struct tap *p, int64_t j)
{
    struct sg_group_norm out = {0};
    long double *gradient = calloc((size_t)(IDS * p->width), sizeof *gradient), norm2 = 0, mass = 0;
    assert_non_null(gradient);
    for (int64_t r = p->first[j]; r < p->first[j + 1]; r++) {
        long double x2 = 0, product2 = 0;
        if (target(p, r, 0) < 0)
            continue;
        for (int64_t i = 0; i < p->width; i++) {
            long double product = factor(p, r, i) * p->g[r * p->ldg + i];
            x2 += factor(p, r, i) * factor(p, r, i);
            product2 += product * product;
            gradient[target(p, r, i)] += product;
        }
        out.excluded |= !isfinite((double)product2) || (p->kind == SCALE && !(sqrtl(x2) <= 0x1p64L));
        mass += sqrtl(product2);
    }
    for (int64_t i = 0; i < IDS * p->width; i++)
        norm2 += gradient[i] * gradient[i];
    free(gradient);
    out.norm2 = (double)norm2;
    out.mass2 = (double)(mass * mass);
    double rows = p->first[j + 1] - p->first[j] + 2;
    out.slack2 = out.mass2 * (p->kind == BIAS ? 3 * rows * 0x1p-24 / (1 - rows * 0x1p-24) : 0x1p-24 / (1 - 0x1p-24));
    return out;
}

static void run_norm(const struct sg_ops *ops, const struct tap *p, struct sg_group_norm *norm, void *scratch)
{
    if (p->kind == EMBED)
        ops->embed_norm(p->n, p->first, p->id, p->width, p->g, p->ldg, norm, scratch);
    else if (p->kind == SCALE)
        ops->scale_norm(p->n, p->first, p->width, p->x, p->ldx, p->g, p->ldg, norm, scratch);
    else
        ops->group_norm(SG_ROUTE_INSTANTIATE, p->n, p->first, 1, p->width, p->x, 0, p->g, p->ldg, norm, scratch);
}

static void check_norm(const char *backend, const struct tap *p, int64_t j, struct sg_group_norm got)
{
    struct sg_group_norm want = expect(p, j);
    const char *name = kind_name[p->kind];
    if (got.excluded != want.excluded)
        fail_msg("%s, %s: group %ld excluded is %d", name, backend, (long)j, got.excluded);
    if (want.excluded)
        return;
    if (!(fabs(got.mass2 - want.mass2) <= 1e-12 * want.mass2) ||
        !(fabs(got.slack2 - want.slack2) <= 1e-12 * want.slack2))
        fail_msg("%s, %s: group %ld mass2 %.17g slack2 %.17g, should be %.17g and %.17g", name, backend, (long)j,
                 got.mass2, got.slack2, want.mass2, want.slack2);
    /* Sums in double use a tiny part of the slack: cancelling rows show what they lose. */
    if (!(fabs(got.norm2 - want.norm2) <= 1e-12 * want.norm2 + want.slack2 * 0x1p-5))
        fail_msg("%s, %s: group %ld of %d rows: norm2 %.17g, should be %.17g within %.3g", name, backend, (long)j,
                 p->first[j + 1] - p->first[j], got.norm2, want.norm2, want.slack2 * 0x1p-5);
}

static void check_norms(const struct tap *p)
{
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    struct sg_group_norm kept[24];
    for (size_t k = 0; k < n; k++) {
        struct sg_group_norm got[24] = {0};
        void *scratch = check_scratch(b[k].ops, p->width, p->n_rows);
        run_norm(b[k].ops, p, got, scratch);
        for (int64_t j = 0; j < p->n; j++) {
            check_norm(b[k].name, p, j, got[j]);
            if (k >= 2 && (got[j].norm2 != kept[j].norm2 || got[j].mass2 != kept[j].mass2))
                fail_msg("%s: group %ld is %a at one vector width and %a at the other", kind_name[p->kind], (long)j,
                         kept[j].norm2, got[j].norm2);
        }
        memcpy(kept, got, sizeof kept);
        free(scratch);
    }
}

static void test_norms(void **unused)
{
    (void)unused;
    uint64_t state = seed;
    for (int round = 0; round < 40; round++)
        for (int kind = EMBED; kind <= BIAS; kind++) {
            struct tap p = tap_make((enum kind)kind, 1 + check_below(&state, 20), 1 + check_below(&state, 30),
                                    1 + check_below(&state, 90), round % 3 ? IDS : 2, &state);
            check_norms(&p);
            tap_free(&p);
        }
}

/* Pairs (x, g), (x, -g) of one token and of large mass. */
static void test_cancelling_rows(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    for (int round = 0; round < 20; round++)
        for (int kind = EMBED; kind <= BIAS; kind++) {
            struct tap p = tap_make((enum kind)kind, 8, 12, 50, IDS, &state);
            float scale = (float)ldexp(1, (int)check_below(&state, 50) - 20);
            for (int64_t j = 0; j < p.n; j++)
                for (int64_t r = p.first[j]; r + 1 < p.first[j + 1]; r += 2) {
                    p.id[r + 1] = p.id[r];
                    for (int64_t i = 0; i < p.width; i++) {
                        p.x[(r + 1) * p.ldx + i] = p.x[r * p.ldx + i];
                        p.g[(r + 1) * p.ldg + i] = -(p.g[r * p.ldg + i] *= scale);
                    }
                }
            check_norms(&p);
            tap_free(&p);
        }
}

static void test_hostile(void **unused)
{
    (void)unused;
    uint64_t state = seed + 2;
    const float value[] = {1e-45f, 1e-38f, 1e-20f, 1e25f, 3e38f, 0, 0x1p63f, 0x1p66f, NAN, INFINITY, -INFINITY};
    for (size_t s = 0; s < sizeof value / sizeof *value; s++)
        for (int kind = EMBED; kind <= BIAS; kind++)
            for (int which = 0; which < 4; which++) {
                struct tap p = tap_make((enum kind)kind, 5, 9, 37, IDS, &state);
                for (int64_t r = p.first[2]; r < p.first[3]; r++)
                    for (int64_t i = which < 2 ? 36 : 0; i < p.width; i++) {
                        if (which & 1 || kind == EMBED)
                            p.g[r * p.ldg + i] = which < 2 ? value[s] : p.g[r * p.ldg + i] * value[s];
                        else if (kind == SCALE)
                            p.x[r * p.ldx + i] = which < 2 ? value[s] : p.x[r * p.ldx + i] * value[s];
                    }
                check_norms(&p);
                tap_free(&p);
            }
}

/* What was there stays and is added to; an excluded group stays so. */
static void test_taps_add(void **unused)
{
    (void)unused;
    uint64_t state = seed + 3;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    for (int kind = EMBED; kind <= SCALE; kind++)
        for (size_t k = 0; k < n; k++) {
            struct tap p = tap_make((enum kind)kind, 6, 9, 20, IDS, &state);
            struct sg_group_norm once[6] = {0}, twice[6] = {0};
            void *scratch = check_scratch(b[k].ops, 20, p.n_rows);
            twice[3].excluded = true;
            run_norm(b[k].ops, &p, once, scratch);
            run_norm(b[k].ops, &p, twice, scratch);
            run_norm(b[k].ops, &p, twice, scratch);
            check_added(b[k].name, once, twice, 6);
            free(scratch);
            tap_free(&p);
        }
}

/* ---- sums ---- */

static int64_t *sums_make(int64_t n)
{
    int64_t *sum = malloc((size_t)(n + 16) * sizeof *sum);
    assert_non_null(sum);
    for (int64_t i = 0; i < n + 16; i++)
        sum[i] = i < 8 || i >= n + 8 ? SUM_GUARD : i * 7919 - 40;
    return sum + 8;
}

/* Chains over the rows of one weight, in the order and number in which they come. */
static bool expect_sum(const struct tap *p, int64_t panel, int64_t weight, double *total)
{
    float chain = 0;
    int64_t in_chain = 0, rows = 0;
    *total = 0;
    for (int64_t r = p->panel_row[panel]; r < p->panel_row[panel + 1]; r++) {
        int64_t i = weight % p->width;
        if (target(p, r, i) != weight)
            continue;
        chain = fmaf((float)(p->w[r] * (double)p->g[r * p->ldg + i]), (float)factor(p, r, i), chain);
        rows++;
        if (++in_chain == SG_CHAIN_ROWS) {
            *total += chain;
            chain = 0;
            in_chain = 0;
        }
    }
    *total += in_chain ? chain : 0;
    return rows > 0;
}

static void run_absorb(const struct sg_ops *ops, const struct tap *p, double grid, double limit, int64_t *sum,
                       bool *overflow, void *scratch)
{
    if (p->kind == EMBED)
        ops->embed_absorb(p->n_rows, p->n_panels, p->panel_row, IDS, p->id, p->width, p->g, p->ldg, p->w, grid, limit,
                          sum, overflow, scratch);
    else if (p->kind == SCALE)
        ops->scale_absorb(p->n_rows, p->n_panels, p->panel_row, p->width, p->x, p->ldx, p->g, p->ldg, p->w, grid, limit,
                          sum, overflow, scratch);
    else
        ops->absorb(p->n_rows, p->n_panels, p->panel_row, 1, p->width, p->x, 0, p->g, p->ldg, p->w, grid, limit, sum,
                    overflow, scratch);
}

static void check_sums(const struct tap *p, double grid, double limit)
{
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    int64_t n_weights = p->kind == EMBED ? IDS * p->width : p->width, *want = sums_make(n_weights);
    bool overflow_due = false;
    for (int64_t j = 0; j < n_weights * p->n_panels; j++) {
        int64_t i = j % n_weights;
        double total;
        if (!expect_sum(p, j / n_weights, i, &total))
            continue;
        if (fabs(total) <= limit)
            want[i] += (int64_t)nearbyint(total * (1 / grid));
        else
            overflow_due = true;
    }
    for (size_t k = 0; k < n; k++) {
        int64_t *got = sums_make(n_weights);
        bool overflow = false;
        void *scratch = check_scratch(b[k].ops, p->width, p->n_rows);
        run_absorb(b[k].ops, p, grid, limit, got, &overflow, scratch);
        for (int64_t i = -8; i < n_weights + 8; i++)
            if (got[i] != want[i])
                fail_msg("%s, %s, %ld rows, width %ld: weight %ld is %ld, should be %ld", kind_name[p->kind], b[k].name,
                         (long)p->n_rows, (long)p->width, (long)i, (long)got[i], (long)want[i]);
        if (overflow != overflow_due)
            fail_msg("%s, %s: overflow is %d, should be %d", kind_name[p->kind], b[k].name, overflow, overflow_due);
        free(scratch);
        free(got - 8);
    }
    free(want - 8);
}

static void test_sums(void **unused)
{
    (void)unused;
    uint64_t state = seed + 4;
    for (int round = 0; round < 60; round++)
        for (int kind = EMBED; kind <= BIAS; kind++) {
            struct tap p = tap_make((enum kind)kind, 1 + check_below(&state, 20), 1 + check_below(&state, 30),
                                    1 + check_below(&state, 90), round % 3 ? IDS : 1 + round % 2, &state);
            check_sums(&p, round & 1 ? 0x1p-40 : 3.7e-9, 0x1p20);
            tap_free(&p);
        }
}

static void test_several_panels(void **unused)
{
    (void)unused;
    uint64_t state = seed + 7;
    for (int round = 0; round < 40; round++)
        for (int kind = EMBED; kind <= BIAS; kind++) {
            struct tap p = tap_make((enum kind)kind, 20, 1 + check_below(&state, 30), 1 + check_below(&state, 90),
                                    round % 3 ? IDS : 1 + round % 2, &state);
            p.n_panels = 3; /* of groups 0 .. 4, none, 4 .. 20, or the other way round */
            p.panel_row[1] = round & 1 ? p.first[4] : 0;
            p.panel_row[2] = p.first[4];
            p.panel_row[3] = p.n_rows;
            if (round % 8 == 7)
                p.g[check_below(&state, p.n_rows) * p.ldg] = 3e38f;
            check_sums(&p, round & 1 ? 0x1p-40 : 3.7e-9, 0x1p20);
            tap_free(&p);
        }
}

static void test_overflow(void **unused)
{
    (void)unused;
    uint64_t state = seed + 5;
    const float hostile[] = {NAN, INFINITY, -INFINITY, 1e30f, 3e38f, 2e6f, 1e-45f, 1e5f};
    for (size_t h = 0; h < sizeof hostile / sizeof *hostile; h++)
        for (int kind = EMBED; kind <= BIAS; kind++)
            for (int round = 0; round < 4; round++) {
                struct tap p = tap_make((enum kind)kind, 8, 20, 37, round + 1, &state);
                p.g[check_below(&state, p.n_rows) * p.ldg + check_below(&state, p.width)] = hostile[h];
                check_sums(&p, 0x1p-40, round & 1 ? 0x1p20 : 0x1p22);
                tap_free(&p);
            }
}

/* Many more rows than a group has, each token in several chains: the sort and the order inside a token. */
static void test_large_panel(void **unused)
{
    (void)unused;
    uint64_t state = seed + 6;
    struct tap p = tap_make(EMBED, 1, 1, 8, IDS, &state);
    tap_free(&p);
    p.n_rows = p.panel_row[1] = 20000;
    p.g = check_random(p.n_rows * p.ldg, &state);
    p.id = malloc((size_t)p.n_rows * sizeof *p.id);
    p.w = malloc((size_t)p.n_rows * sizeof *p.w);
    assert_true(p.id && p.w);
    for (int64_t r = 0; r < p.n_rows; r++) {
        p.id[r] = (int32_t)check_below(&state, IDS);
        p.w[r] = 0.75;
    }
    p.x = NULL;
    check_sums(&p, 0x1p-40, 0x1p20);
    tap_free(&p);
}

/* ---- what is done with groups between norms and sums ---- */

static void test_groups(void **unused)
{
    (void)unused;
    uint64_t state = seed + 8;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    for (int round = 0; round < 20; round++)
        for (size_t k = 0; k < n; k++) {
            struct tap p = tap_make(SCALE, 1 + check_below(&state, 20), 6, 1 + check_below(&state, 40), 1, &state);
            struct sg_group_norm norm[24] = {0};
            struct sg_clip_counts counts = {100, 10, 1, 0.5}, want = counts;
            double w[24], row_weight[24 * 6];
            for (int64_t j = 0; j < p.n; j++) {
                norm[j] = (struct sg_group_norm){.norm2 = (double)(j * j), .excluded = check_below(&state, 3) == 0};
                w[j] = norm[j].excluded ? 0 : j % 2 ? 1 : 0.5;
                want.n_groups++;
                want.n_clipped += !norm[j].excluded && j % 2 == 0;
                want.n_excluded += norm[j].excluded;
                want.norm_sum += norm[j].excluded ? 0 : (double)j;
            }
            b[k].ops->count_groups(p.n, norm, w, &counts);
            assert_memory_equal(&counts, &want, sizeof want);
            float *cleared = check_copy(p.x, p.n_rows * p.ldx), *due = check_copy(p.x, p.n_rows * p.ldx);
            b[k].ops->clear_rows(p.n, p.first, norm, p.width, cleared, p.ldx);
            b[k].ops->spread_weights(p.n, p.first, w, row_weight);
            for (int64_t j = 0; j < p.n; j++)
                for (int64_t r = p.first[j]; r < p.first[j + 1]; r++) {
                    assert_true(row_weight[r] == w[j]);
                    for (int64_t i = 0; norm[j].excluded && i < p.width; i++)
                        due[r * p.ldx + i] = 0;
                }
            check_same_bits("cleared rows", b[k].name, cleared, due, p.n_rows, p.ldx);
            check_free(cleared);
            check_free(due);
            tap_free(&p);
        }
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norms),       cmocka_unit_test(test_cancelling_rows),
        cmocka_unit_test(test_hostile),     cmocka_unit_test(test_taps_add),
        cmocka_unit_test(test_sums),        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_large_panel), cmocka_unit_test(test_several_panels),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
