/* Would catch: a weighted sum on the card that is not the CPU backend's integer for integer: chains that are longer,
 * begin elsewhere than at the panel's first row or are added in another order, a weight that is rounded twice, one
 * panel's rows in another's sum, rows of one token that miss each other, a coordinate that is rounded more than once a
 * panel; an overflow that is missed or spoils other coordinates; a write outside the sum. Optimizer, average and scale:
 * other bits than the CPU's. */
#include "device_arrays.h"

static const uint64_t seed = 20261125;
#define PANELS_MAX 12
#define IDS 30

enum kind { LINEAR, BIAS, SCALE, EMBED };
static const char *const kind_name[] = {"linear", "bias", "scale", "embed"};

struct batch {
    enum kind kind;
    int64_t n_panels, n_rows, n_in, n_out, lda, ldg, n_weights;
    int32_t panel_row[PANELS_MAX + 1], *id;
    float *a, *g;
    double *w, grid, limit;
};

/* n_in: LINEAR alone. */
static struct batch batch_make(enum kind kind, const int64_t *rows, int64_t n_panels, int64_t n_in, int64_t n_out,
                               uint64_t *state)
{
    struct batch p = {.kind = kind,
                      .n_panels = n_panels,
                      .n_in = kind == LINEAR ? n_in : 1,
                      .n_out = n_out,
                      .lda = kind == LINEAR  ? n_in + check_below(state, 3)
                             : kind == SCALE ? n_out + check_below(state, 3)
                                             : 0,
                      .ldg = n_out + check_below(state, 3),
                      .grid = 0x1p-40,
                      .limit = 0x1p20};
    for (int64_t k = 0; k < n_panels; k++)
        p.panel_row[k + 1] = p.panel_row[k] + (int32_t)rows[k];
    p.n_rows = p.panel_row[n_panels];
    p.n_weights = kind == LINEAR ? n_in * n_out : kind == EMBED ? IDS * n_out : n_out;
    p.a = host_alloc((size_t)(p.n_rows * p.lda + 1) * sizeof *p.a);
    p.g = host_alloc((size_t)(p.n_rows * p.ldg) * sizeof *p.g);
    p.w = host_alloc((size_t)p.n_rows * sizeof *p.w);
    p.id = host_alloc((size_t)p.n_rows * sizeof *p.id);
    for (int64_t i = 0; i < p.n_rows * p.lda + 1; i++)
        p.a[i] = check_uniform(state);
    for (int64_t i = 0; i < p.n_rows * p.ldg; i++)
        p.g[i] = check_uniform(state);
    for (int64_t r = 0; r < p.n_rows; r++) {
        p.id[r] = check_below(state, 9) ? (int32_t)check_below(state, IDS) : -1;
        p.w[r] = r % 3 == 0 ? 1 : r % 3 == 1 ? fabs((double)check_uniform(state)) : (1 + 0x1p-30) * 0.375;
    }
    return p;
}

static void batch_free(struct batch *p)
{
    free(p->a);
    free(p->g);
    free(p->w);
    free(p->id);
}

static void run(const struct sg_ops *ops, const struct batch *p, const int32_t *panel_row, const int32_t *id,
                const float *a, const float *g, const double *w, int64_t *sum, bool *overflow, void *scratch)
{
    if (p->kind == EMBED)
        ops->embed_absorb(p->n_rows, p->n_panels, panel_row, IDS, id, p->n_out, g, p->ldg, w, p->grid, p->limit, sum,
                          overflow, scratch);
    else if (p->kind == SCALE)
        ops->scale_absorb(p->n_rows, p->n_panels, panel_row, p->n_out, a, p->lda, g, p->ldg, w, p->grid, p->limit, sum,
                          overflow, scratch);
    else
        ops->absorb(p->n_rows, p->n_panels, panel_row, p->n_in, p->n_out, a, p->lda, g, p->ldg, w, p->grid, p->limit,
                    sum, overflow, scratch);
}

static void on_card(const struct batch *p, int64_t *sum, bool *overflow)
{
    struct {
        const void *from;
        size_t bytes;
        void *at;
    } part[] = {{p->panel_row, (size_t)(p->n_panels + 1) * sizeof(int32_t), NULL},
                {p->id, (size_t)p->n_rows * sizeof(int32_t), NULL},
                {p->a, (size_t)(p->n_rows * p->lda + 1) * sizeof(float), NULL},
                {p->g, (size_t)(p->n_rows * p->ldg) * sizeof(float), NULL},
                {p->w, (size_t)p->n_rows * sizeof(double), NULL}};
    for (int i = 0; i < 5; i++)
        part[i].at = device_put(part[i].from, part[i].bytes);
    void *to = device_put(sum, (size_t)p->n_weights * sizeof *sum), *flag = device_put(overflow, sizeof *overflow);
    void *scratch = device_scratch(p->n_in > p->n_out ? p->n_in : p->n_out, p->n_rows);
    run(sg_ops_cuda(), p, part[0].at, part[1].at, part[2].at, part[3].at, part[4].at, to, flag, scratch);
    device_take(sum, to, (size_t)p->n_weights * sizeof *sum);
    device_take(overflow, flag, sizeof *overflow);
    for (int i = 0; i < 5; i++)
        device_take(NULL, part[i].at, part[i].bytes);
    sg_cuda_free(scratch);
}

/* Returns whether the sum overflowed. */
static bool check_batch(const char *what, const struct batch *p)
{
    int64_t *want = host_alloc((size_t)p->n_weights * sizeof *want),
            *got = host_alloc((size_t)p->n_weights * sizeof *got);
    bool due = false, seen = false;
    int64_t widest = p->n_in > p->n_out ? p->n_in : p->n_out;
    void *scratch = aligned_alloc(64, sg_ops_cpu()->scratch_bytes(widest, p->n_rows));
    assert_non_null(scratch);
    for (int64_t i = 0; i < p->n_weights; i++)
        want[i] = got[i] = i * 7919 - 40;
    run(sg_ops_cpu(), p, p->panel_row, p->id, p->a, p->g, p->w, want, &due, scratch);
    on_card(p, got, &seen);
    for (int64_t i = 0; i < p->n_weights; i++)
        if (got[i] != want[i])
            fail_msg("%s, %s, %ld rows, %ld x %ld: weight %ld is %ld, should be %ld", what, kind_name[p->kind],
                     (long)p->n_rows, (long)p->n_out, (long)p->n_in, (long)i, (long)got[i], (long)want[i]);
    if (seen != due)
        fail_msg("%s, %s: overflow is %d, should be %d", what, kind_name[p->kind], seen, due);
    free(scratch);
    free(want);
    free(got);
    return due;
}

/* Panels whose chains end everywhere, some of them empty. */
static void test_panels(void **unused)
{
    (void)unused;
    uint64_t state = seed;
    static const int64_t rows[][PANELS_MAX] = {
        {1}, {65, 0, 63, 64, 1}, {0, 0, 7}, {128, 129}, {200, 3, 0, 2, 16, 17, 15}};
    static const int64_t n_panels[] = {1, 5, 3, 2, 7};
    static const int64_t widths[][2] = {{2, 1}, {1, 7}, {3, 16}, {65, 17}, {70, 3}, {33, 70}, {64, 64}};
    for (int kind = LINEAR; kind <= EMBED; kind++)
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
            for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
                struct batch p = batch_make((enum kind)kind, rows[k], n_panels[k], widths[i][0], widths[i][1], &state);
                p.grid = (i + k) % 2 ? 0x1p-40 : 3.7e-9;
                assert_false(check_batch("panels", &p));
                batch_free(&p);
            }
}

/* More panels than a block takes at once, more chains than a block has warps, more rows of one token than a window. */
static void test_many_rows(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    static const int64_t long_rows[] = {600, 5, 513};
    for (int kind = LINEAR; kind <= EMBED; kind++) {
        struct batch p = batch_make((enum kind)kind, long_rows, 3, 5, 9, &state);
        for (int64_t r = 0; r < p.n_rows; r++)
            p.id[r] = r % 3 ? 4 : p.id[r];
        assert_false(check_batch("many rows", &p));
        batch_free(&p);
    }
    static const int64_t few[] = {3, 4};
    struct batch p = batch_make(EMBED, few, 2, 1, 1100, &state); /* wider than a block's columns */
    p.id[0] = p.id[1] = p.id[4] = 2;
    assert_false(check_batch("wide rows", &p));
    batch_free(&p);
    p = batch_make(LINEAR, few, 2, 700, 900, &state); /* more tiles than one pass wants: a block takes both panels */
    assert_false(check_batch("wide rows", &p));
    batch_free(&p);
}

/* Halves go to even, from the smallest to the largest integers. */
static void test_rounding(void **unused)
{
    (void)unused;
    uint64_t state = seed + 2;
    static const int64_t rows[] = {1, 1};
    struct batch p = batch_make(LINEAR, rows, 2, 40, 17, &state);
    for (int e = -2; e <= 62; e += e < 4 || e > 55 ? 1 : 7) {
        for (int64_t i = 0; i < 40; i++)
            p.a[i] = p.a[p.lda + i] = (float)(i - 20) * 0.5f + (i % 5 == 0 ? 0.25f : 0);
        for (int64_t o = 0; o < p.n_out; o++)
            p.g[o] = p.g[p.ldg + o] = (float)ldexp(o % 2 ? 1 : -1, e - (int)(o % 4));
        p.w[0] = p.w[1] = 1;
        p.grid = 1;
        p.limit = 0x1p61; /* of each of two panels */
        check_batch("rounding", &p);
    }
    batch_free(&p);
}

static void test_overflow(void **unused)
{
    (void)unused;
    uint64_t state = seed + 3;
    static const int64_t rows[] = {20, 70, 3};
    static const float hostile[] = {NAN, INFINITY, -INFINITY, 1e30f, 3e38f, 2e6f, 1e-45f, 1e-38f};
    int overflows = 0;
    for (int kind = LINEAR; kind <= EMBED; kind++)
        for (size_t h = 0; h < sizeof hostile / sizeof *hostile; h++)
            for (int where = 0; where < 2; where++) {
                struct batch p = batch_make((enum kind)kind, rows, 3, 37, 21, &state);
                int64_t row = check_below(&state, p.n_rows);
                if (where && p.lda)
                    p.a[row * p.lda + check_below(&state, p.n_in)] = hostile[h];
                else
                    p.g[row * p.ldg + check_below(&state, p.n_out)] = hostile[h];
                overflows += check_batch("overflow", &p);
                batch_free(&p);
            }
    assert_true(overflows > 20 && overflows < 64);
}

/* Pairs that cancel, far apart: order and grouping of the sum are visible at full size. */
static void test_cancelling_rows(void **unused)
{
    (void)unused;
    uint64_t state = seed + 4;
    static const int64_t rows[] = {150, 75};
    for (int kind = LINEAR; kind <= EMBED; kind++) {
        struct batch p = batch_make((enum kind)kind, rows, 2, 33, 40, &state);
        for (int64_t r = 0; r + 1 < p.n_rows; r += 2) {
            for (int64_t i = 0; i < p.lda; i++)
                p.a[(r + 1) * p.lda + i] = p.a[r * p.lda + i] *= 100;
            for (int64_t o = 0; o < p.n_out; o++)
                p.g[(r + 1) * p.ldg + o] = -(p.g[r * p.ldg + o] *= 100);
            p.w[r + 1] = p.w[r];
            p.id[r] = p.id[r + 1] = (int32_t)(r % 4);
        }
        check_batch("cancelling", &p);
        batch_free(&p);
    }
}

/* ---- Vectors of weights ---- */

static float any_size(uint64_t *state)
{
    if (check_below(state, 40) == 0)
        return check_below(state, 2) ? INFINITY : NAN;
    return check_uniform(state) * (float)ldexp(1, (int)check_below(state, 160) - 140);
}

static void test_optimizers(void **unused)
{
    (void)unused;
    uint64_t state = seed + 5;
    static const struct sg_optimizer_step step = {.learning_rate = 0.031f,
                                                  .momentum = 0.9f,
                                                  .beta1 = 0.9f,
                                                  .beta2 = 0.999f,
                                                  .epsilon = 1e-8f,
                                                  .correction1 = 1 - 0.729,
                                                  .correction2 = 0.002997001};
    static const char *const what[] = {"gradient", "sgd velocity", "sgd p", "adam m", "adam v", "adam p", "average"};
    for (int64_t n = 0; n < 3000; n += 1 + n * 3) {
        size_t bytes = (size_t)n * sizeof(float);
        int64_t *sum = host_alloc((size_t)n * sizeof *sum);
        float *want[7], *got[7];
        void *on[7];
        for (int64_t i = 0; i < n; i++)
            sum[i] = (int64_t)check_word(&state) >> check_below(&state, 63);
        for (int k = 0; k < 7; k++) {
            want[k] = host_alloc(bytes);
            got[k] = host_alloc(bytes);
            for (int64_t i = 0; i < n; i++)
                want[k][i] = k == 4 ? fabsf(any_size(&state)) : any_size(&state);
            on[k] = device_put(want[k], bytes);
        }
        void *at = device_put(sum, (size_t)n * sizeof *sum);
        for (int where = 0; where < 2; where++) {
            const struct sg_ops *ops = where ? sg_ops_cuda() : sg_ops_cpu();
            void **v = where ? on : (void **)want;
            ops->scale_sum(n, where ? at : sum, 1.7e-10, v[0]);
            ops->sgd(n, &step, v[0], v[1], v[2]);
            ops->adam(n, &step, v[0], v[3], v[4], v[5]);
            ops->average(n, 0.99f, v[5], v[6]);
        }
        for (int k = 0; k < 7; k++) {
            device_take(got[k], on[k], bytes);
            for (int64_t i = 0; i < n; i++)
                if (!same_float(got[k][i], want[k][i]))
                    fail_msg("%s, %ld of %ld is %a, should be %a", what[k], (long)i, (long)n, (double)got[k][i],
                             (double)want[k][i]);
            free(want[k]);
            free(got[k]);
        }
        device_take(NULL, at, (size_t)n * sizeof *sum);
        free(sum);
    }
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)seed);
    if (!sg_ops_cpu()) {
        print_message("SKIPPED: there is no CPU backend on this machine to compare with\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_panels),   cmocka_unit_test(test_many_rows),       cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_overflow), cmocka_unit_test(test_cancelling_rows), cmocka_unit_test(test_optimizers),
    };
    return cmocka_run_group_tests(tests, device_open, device_close);
}
