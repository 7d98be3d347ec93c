/* Would catch: a group norm, mass or slack on the card that is not the CPU backend's bit for bit, whatever kernel its
 * number of rows gives it to; a hostile group that is not excluded, spoils its neighbour or meets float products that
 * vanish or overflow; a tap that does not add to what was there; a clip weight off by a rounding; counts, cleared rows
 * and spread weights that are not the CPU's. The CPU's own norms are held to their contract by tests/ops. */
#include "device_arrays.h"

static const uint64_t seed = 20261124;
#define GROUPS_MAX 24
#define IDS 12

/* The first three are the routes of a LINEAR tap. */
enum kind { GRAM, INSTANTIATE, CHEAPER, EMBED, SCALE };
static const char *const kind_name[] = {"gram", "instantiate", "cheaper", "embed", "scale"};

struct tap {
    enum kind kind;
    int64_t n, n_in, n_out, lda, ldg, n_rows;
    int32_t first[GROUPS_MAX + 1], *id;
    float *a, *g;
};

/* EMBED: a is not used; SCALE: n_in = n_out. lda < 0: one row for all. */
static struct tap tap_make(enum kind kind, const int64_t *rows, int64_t n, int64_t n_in, int64_t n_out, int64_t lda,
                           uint64_t *state)
{
    struct tap p = {.kind = kind,
                    .n = n,
                    .n_in = n_in,
                    .n_out = n_out,
                    .lda = lda < 0 ? 0 : n_in + lda,
                    .ldg = n_out + check_below(state, 3)};
    for (int64_t j = 0; j < n; j++)
        p.first[j + 1] = p.first[j] + (int32_t)rows[j];
    p.n_rows = p.first[n];
    p.a = host_alloc((size_t)((p.n_rows + 1) * (n_in + 3)) * sizeof *p.a);
    p.g = host_alloc((size_t)((p.n_rows + 1) * p.ldg) * sizeof *p.g);
    p.id = host_alloc((size_t)(p.n_rows + 1) * sizeof *p.id);
    for (int64_t i = 0; i < (p.n_rows + 1) * (n_in + 3); i++)
        p.a[i] = check_uniform(state);
    for (int64_t i = 0; i < (p.n_rows + 1) * p.ldg; i++)
        p.g[i] = check_uniform(state);
    for (int64_t r = 0; r < p.n_rows; r++)
        p.id[r] = check_below(state, 8) ? (int32_t)check_below(state, IDS) * 1000003 : -1;
    return p;
}

static void tap_free(struct tap *p)
{
    free(p->a);
    free(p->g);
    free(p->id);
}

static void run(const struct sg_ops *ops, const struct tap *p, const int32_t *first, const int32_t *id, const float *a,
                const float *g, struct sg_group_norm *norm, void *scratch)
{
    if (p->kind == EMBED)
        ops->embed_norm(p->n, first, id, p->n_out, g, p->ldg, norm, scratch);
    else if (p->kind == SCALE)
        ops->scale_norm(p->n, first, p->n_out, a, p->lda, g, p->ldg, norm, scratch);
    else
        ops->group_norm((enum sg_norm_route)p->kind, p->n, first, p->n_in, p->n_out, a, p->lda, g, p->ldg, norm,
                        scratch);
}

static void on_card(const struct tap *p, struct sg_group_norm *norm)
{
    size_t a_bytes = (size_t)((p->n_rows + 1) * (p->n_in + 3)) * sizeof(float);
    size_t g_bytes = (size_t)((p->n_rows + 1) * p->ldg) * sizeof(float), id_bytes = (size_t)p->n_rows * sizeof(int32_t);
    size_t norm_bytes = (size_t)p->n * sizeof *norm, first_bytes = (size_t)(p->n + 1) * sizeof(int32_t);
    void *first = device_put(p->first, first_bytes), *id = device_put(p->id, id_bytes);
    void *a = device_put(p->a, a_bytes), *g = device_put(p->g, g_bytes), *at = device_put(norm, norm_bytes);
    void *scratch = device_scratch(p->n_in > p->n_out ? p->n_in : p->n_out, p->n_rows);
    run(sg_ops_cuda(), p, first, id, a, g, at, scratch);
    device_take(norm, at, norm_bytes);
    device_take(NULL, first, first_bytes);
    device_take(NULL, id, id_bytes);
    device_take(NULL, a, a_bytes);
    device_take(NULL, g, g_bytes);
    sg_cuda_free(scratch);
}

/* Twice, so that the second tap adds to the first; group 1 was excluded before. */
static void check_tap(const char *what, const struct tap *p)
{
    struct sg_group_norm want[GROUPS_MAX] = {0}, got[GROUPS_MAX] = {0};
    void *scratch = aligned_alloc(64, sg_ops_cpu()->scratch_bytes(p->n_in > p->n_out ? p->n_in : p->n_out, p->n_rows));
    assert_non_null(scratch);
    for (int tap = 0; tap < 2; tap++) {
        run(sg_ops_cpu(), p, p->first, p->id, p->a, p->g, want, scratch);
        on_card(p, got);
        for (int64_t j = 0; j < p->n; j++)
            if (got[j].excluded != want[j].excluded || !same_double(got[j].norm2, want[j].norm2) ||
                !same_double(got[j].slack2, want[j].slack2) || !same_double(got[j].mass2, want[j].mass2))
                fail_msg("%s, %s, %ld x %ld: group %ld of %d rows is %a %a %a %d, should be %a %a %a %d", what,
                         kind_name[p->kind], (long)p->n_out, (long)p->n_in, (long)j, p->first[j + 1] - p->first[j],
                         got[j].norm2, got[j].slack2, got[j].mass2, got[j].excluded, want[j].norm2, want[j].slack2,
                         want[j].mass2, want[j].excluded);
        want[1].excluded = got[1].excluded = true;
    }
    free(scratch);
}

static void test_sizes(void **unused)
{
    (void)unused;
    uint64_t state = seed;
    static const int64_t small[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 12, 16, 17, 1, 31, 32, 33, 8, 5};
    static const int64_t widths[][2] = {{1, 1},   {2, 1},   {7, 3},   {15, 16}, {16, 17},
                                        {33, 31}, {48, 65}, {1, 300}, {100, 5}, {20, 259}};
    for (int kind = GRAM; kind <= SCALE; kind++)
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
            int64_t n_in = kind < EMBED ? widths[i][0] : widths[i][1];
            struct tap p = tap_make((enum kind)kind, small, i % 2 ? 20 : 7, n_in, widths[i][1], i % 3, &state);
            check_tap("sizes", &p);
            tap_free(&p);
        }
}

/* Every class of sizes of the Gram: a block's tile of 32 by 32, 16 by 64, 4 by 256, and more than one of them. */
static void test_long_groups(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    static const int64_t rows[] = {65, 128, 129, 250, 3, 256, 257, 270};
    for (int kind = GRAM; kind <= SCALE; kind++) {
        int64_t n_out = kind < EMBED ? 5 : 35;
        struct tap p = tap_make((enum kind)kind, rows, 8, kind < EMBED ? 35 : n_out, n_out, 1, &state);
        check_tap("long groups", &p);
        tap_free(&p);
    }
}

/* A bias, and other rows that all share one a. */
static void test_shared_row(void **unused)
{
    (void)unused;
    uint64_t state = seed + 2;
    static const int64_t rows[] = {5, 0, 9, 40, 2};
    for (int kind = GRAM; kind <= CHEAPER; kind++)
        for (int64_t n_in = 1; n_in < 40; n_in += 17) {
            struct tap p = tap_make((enum kind)kind, rows, 5, n_in, 20, -1, &state);
            check_tap("shared row", &p);
            tap_free(&p);
        }
}

/* Pairs (a, g), (a, -g) of large mass: what is left is the rounding, which shows any other order. */
static void test_cancelling_rows(void **unused)
{
    (void)unused;
    uint64_t state = seed + 3;
    static const int64_t rows[] = {2, 3, 8, 10, 33, 70};
    for (int kind = GRAM; kind <= SCALE; kind++) {
        struct tap p = tap_make((enum kind)kind, rows, 6, 40, 40, 0, &state);
        for (int64_t j = 0; j < p.n; j++)
            for (int64_t r = p.first[j]; r + 1 < p.first[j + 1]; r += 2) {
                p.id[r + 1] = p.id[r];
                for (int64_t i = 0; i < 40; i++) {
                    p.a[(r + 1) * p.lda + i] = p.a[r * p.lda + i] *= 1e3f;
                    p.g[(r + 1) * p.ldg + i] = -(p.g[r * p.ldg + i] *= 77.7f);
                }
            }
        check_tap("cancelling rows", &p);
        tap_free(&p);
    }
}

/* Group 2 or group 4, one of few rows and one of more. */
static void test_hostile(void **unused)
{
    (void)unused;
    uint64_t state = seed + 4;
    static const int64_t rows[] = {3, 0, 6, 4, 11, 5};
    static const float value[] = {1e-45f, 1e-38f,  1e-30f,  0x1p-56f, 0x1p49f,  1e30f,    3e38f,
                                  0,      0x1p63f, 0x1p66f, NAN,      INFINITY, -INFINITY};
    for (int kind = GRAM; kind <= SCALE; kind++)
        for (size_t s = 0; s < sizeof value / sizeof *value; s++)
            for (int which = 0; which < 4; which++) {
                struct tap p = tap_make((enum kind)kind, rows, 6, 19, 19, 0, &state);
                int64_t j = which & 1 ? 2 : 4;
                for (int64_t r = p.first[j]; r < p.first[j + 1]; r++)
                    for (int64_t i = s % 2 ? 18 : 0; i < 19; i++)
                        *(which & 2 ? &p.a[r * p.lda + i] : &p.g[r * p.ldg + i]) *= value[s];
                check_tap("hostile", &p);
                tap_free(&p);
            }
}

/* ---- From norms to weights ---- */

static void make_norms(struct sg_group_norm *norm, int64_t n, uint64_t *state)
{
    static const double special[] = {0, 5e-324, 1e-310, 1e308, INFINITY, NAN, 4, 1, 0.25};
    for (int64_t j = 0; j < n; j++) {
        double *field[] = {&norm[j].norm2, &norm[j].slack2, &norm[j].mass2};
        for (int k = 0; k < 3; k++)
            *field[k] = check_below(state, 4)
                            ? exp2((double)check_below(state, 60) - 30) * fabs((double)check_uniform(state))
                            : special[check_below(state, 9)];
        norm[j].excluded = check_below(state, 8) == 0;
    }
}

static void test_clip_weight(void **unused)
{
    (void)unused;
    uint64_t state = seed + 5;
    static const double clip[] = {1, 1e-6, 3.7, 1e6, INFINITY};
    for (int64_t n = 0; n < 700; n += 1 + n * 2) {
        struct sg_group_norm *norm = host_alloc((size_t)n * sizeof *norm);
        double *want = host_alloc((size_t)n * sizeof *want), *got = host_alloc((size_t)n * sizeof *got);
        make_norms(norm, n, &state);
        for (int c = 0; c < 5; c++) {
            void *at = device_put(norm, (size_t)n * sizeof *norm), *w = device_put(got, (size_t)n * sizeof *got);
            sg_ops_cpu()->clip_weight(n, norm, clip[c], 8, want);
            sg_ops_cuda()->clip_weight(n, at, clip[c], 8, w);
            device_take(got, w, (size_t)n * sizeof *got);
            device_take(NULL, at, (size_t)n * sizeof *norm);
            assert_memory_equal(got, want, (size_t)n * sizeof *got);
        }
        free(norm);
        free(want);
        free(got);
    }
}

static void test_counts(void **unused)
{
    (void)unused;
    uint64_t state = seed + 6;
    enum { N = 600 };
    struct sg_group_norm norm[N] = {0};
    double w[N];
    make_norms(norm, N, &state);
    for (int64_t j = 0; j < N; j++) {
        w[j] = check_below(&state, 2) ? 1 : 0.5;
        norm[j].norm2 = isfinite(norm[j].norm2) ? norm[j].norm2 : 2;
    }
    struct sg_clip_counts want = {1, 2, 3, 0.1}, got = want;
    void *at = device_put(norm, sizeof norm), *weights = device_put(w, sizeof w),
         *counts = device_put(&got, sizeof got);
    sg_ops_cpu()->count_groups(N, norm, w, &want);
    sg_ops_cuda()->count_groups(N, at, weights, counts);
    device_take(&got, counts, sizeof got);
    device_take(NULL, at, sizeof norm);
    device_take(NULL, weights, sizeof w);
    assert_memory_equal(&got, &want, sizeof got);
}

static void test_rows_of_groups(void **unused)
{
    (void)unused;
    uint64_t state = seed + 7;
    enum { N = 19, WIDTH = 37, LD = 39 };
    int32_t first[N + 1] = {0};
    struct sg_group_norm norm[N] = {0};
    double w[N], spread[2][N * 70] = {{0}};
    float x[2][N * 70 * LD];
    for (int64_t j = 0; j < N; j++) {
        first[j + 1] = first[j] + (int32_t)check_below(&state, 70);
        w[j] = check_uniform(&state);
        norm[j].excluded = check_below(&state, 2);
    }
    for (int64_t i = 0; i < N * 70 * LD; i++)
        x[0][i] = x[1][i] = i % 5 ? check_uniform(&state) : NAN;
    void *offset = device_put(first, sizeof first), *at = device_put(norm, sizeof norm);
    void *weights = device_put(w, sizeof w), *rows = device_put(spread[1], sizeof spread[1]);
    void *matrix = device_put(x[1], sizeof x[1]);
    sg_ops_cpu()->spread_weights(N, first, w, spread[0]);
    sg_ops_cuda()->spread_weights(N, offset, weights, rows);
    sg_ops_cpu()->clear_rows(N, first, norm, WIDTH, x[0], LD);
    sg_ops_cuda()->clear_rows(N, offset, at, WIDTH, matrix, LD);
    device_take(spread[1], rows, sizeof spread[1]);
    device_take(x[1], matrix, sizeof x[1]);
    device_take(NULL, offset, sizeof first);
    device_take(NULL, at, sizeof norm);
    device_take(NULL, weights, sizeof w);
    assert_memory_equal(spread[1], spread[0], sizeof spread[0]);
    assert_memory_equal(x[1], x[0], sizeof x[0]);
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)seed);
    if (!sg_ops_cpu()) {
        print_message("SKIPPED: there is no CPU backend on this machine to compare with\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),      cmocka_unit_test(test_long_groups),
        cmocka_unit_test(test_shared_row), cmocka_unit_test(test_cancelling_rows),
        cmocka_unit_test(test_hostile),    cmocka_unit_test(test_clip_weight),
        cmocka_unit_test(test_counts),     cmocka_unit_test(test_rows_of_groups),
    };
    return cmocka_run_group_tests(tests, device_open, device_close);
}
