/* Would catch: an activation, an LSTM step, pooling, a mean, layer norm, unit length or a loss of the card that differs
 * from the CPU's in any bit, for any size about warps and blocks, in place where that is allowed, with numbers that are
 * not finite or subnormal; writes into the gaps between rows; a row whose bits depend on others. */
#include "machine.h"

static const uint64_t seed = 71;

struct shape {
    int64_t rows, width, gap;
    bool wild;
};

static const struct shape shapes[] = {
    {1, 1, 0, true},    {2, 3, 1, true},    {5, 15, 2, true},   {7, 16, 0, false},
    {33, 17, 3, true},  {3, 31, 0, false},  {64, 33, 1, false}, {9, 127, 5, true},
    {1, 4097, 0, true}, {300, 2, 0, false}, {2, 768, 0, true},  {17, 300, 1, false},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

/* Two inputs of a shape, and what else an op takes. */
struct rows_case {
    struct shape s;
    int64_t ld;
    int kind; /* activation, form or variant */
    float *x, *y, *gain, *bias;
};

static const char *where(const char *op, const struct rows_case *c)
{
    static char text[128];
    snprintf(text, sizeof text, "%s %d of %ld x %ld, gap %ld%s", op, c->kind, (long)c->s.rows, (long)c->s.width,
             (long)c->s.gap, c->s.wild ? ", wild" : "");
    return text;
}

static void over_shapes(const char *op, machine_run *run, int kinds)
{
    uint64_t state = seed;
    for (size_t i = 0; i < SHAPES; i++)
        for (int kind = 0; kind < kinds; kind++) {
            struct rows_case c = {.s = shapes[i], .ld = shapes[i].width + shapes[i].gap, .kind = kind};
            c.x = machine_random(c.s.rows, c.s.width, c.ld, c.s.wild, &state);
            c.y = machine_random(c.s.rows, c.s.width, c.ld, c.s.wild, &state);
            c.gain = machine_random(1, c.s.width, c.s.width, false, &state);
            c.bias = machine_random(1, c.s.width, c.s.width, false, &state);
            machine_compare(run, &c, where(op, &c));
            check_free(c.x), check_free(c.y), check_free(c.gain), check_free(c.bias);
        }
}

static struct made run_activate(struct machine *m, const void *in)
{
    const struct rows_case *c = in;
    struct made made = {.n = 0};
    int64_t n = c->s.rows * c->ld;
    float *x = machine_put(m, c->x, n), *g = machine_put(m, c->y, n);
    m->ops->activate((enum sg_activation)c->kind, c->s.rows, c->s.width, x, c->ld);
    m->ops->activate_backward((enum sg_activation)c->kind, c->s.rows, c->s.width, x, c->ld, g, c->ld);
    made_add(&made, m, "activation", x, c->s.rows, c->ld);
    made_add(&made, m, "its gradient", g, c->s.rows, c->ld);
    return made;
}

static struct made run_gelu(struct machine *m, const void *in)
{
    const struct rows_case *c = in;
    struct made made = {.n = 0};
    int64_t n = c->s.rows * c->ld;
    float *x = machine_put(m, c->x, n), *y = machine_empty(m, n), *g = machine_put(m, c->y, n);
    m->ops->gelu((enum sg_gelu)c->kind, c->s.rows, c->s.width, x, c->ld, y, c->ld);
    m->ops->gelu_backward((enum sg_gelu)c->kind, c->s.rows, c->s.width, x, c->ld, g, c->ld);
    m->ops->gelu((enum sg_gelu)c->kind, c->s.rows, c->s.width, x, c->ld, x, c->ld);
    made_add(&made, m, "gelu", y, c->s.rows, c->ld);
    made_add(&made, m, "gelu in place", x, c->s.rows, c->ld);
    made_add(&made, m, "its gradient", g, c->s.rows, c->ld);
    return made;
}

/* kind: xhat is x, dx is dy. */
static struct made run_layer_norm(struct machine *m, const void *in)
{
    const struct rows_case *c = in;
    struct made made = {.n = 0};
    int64_t n = c->s.rows * c->ld, rows = c->s.rows, width = c->s.width, ld = c->ld;
    float *x = machine_put(m, c->x, n), *gain = machine_put(m, c->gain, width), *bias = machine_put(m, c->bias, width);
    float *xhat = c->kind ? x : machine_empty(m, n), *y = machine_empty(m, n), *rstd = machine_empty(m, rows);
    float *dy = machine_put(m, c->y, n), *dx = c->kind ? dy : machine_empty(m, n);
    m->ops->layer_norm(rows, width, 1e-12f, x, ld, gain, bias, xhat, ld, rstd, y, ld);
    m->ops->layer_norm_backward(rows, width, xhat, ld, rstd, gain, dy, ld, dx, ld);
    made_add(&made, m, "xhat", xhat, rows, ld);
    made_add(&made, m, "layer norm", y, rows, ld);
    made_add(&made, m, "rstd", rstd, 1, rows);
    made_add(&made, m, "its gradient", dx, rows, ld);
    return made;
}

static struct made run_unit_length(struct machine *m, const void *in)
{
    const struct rows_case *c = in;
    struct made made = {.n = 0};
    int64_t n = c->s.rows * c->ld, rows = c->s.rows, width = c->s.width, ld = c->ld;
    float *x = machine_put(m, c->x, n), *length = machine_empty(m, rows), *g = machine_put(m, c->y, n);
    m->ops->unit_length(rows, width, x, ld, length);
    m->ops->unit_length_backward(rows, width, x, ld, length, g, ld);
    made_add(&made, m, "unit length", x, rows, ld);
    made_add(&made, m, "length", length, 1, rows);
    made_add(&made, m, "its gradient", g, rows, ld);
    return made;
}

/* kind & 1: in place; kind & 2: no losses. */
static struct made run_cross_entropy(struct machine *m, const void *in)
{
    const struct rows_case *c = in;
    struct made made = {.n = 0};
    int64_t n = c->s.rows * c->ld, rows = c->s.rows, width = c->s.width, ld = c->ld;
    int32_t target[512];
    for (int64_t r = 0; r < rows; r++)
        target[r] = (int32_t)((r * 7 + width / 2) % width);
    float *z = machine_put(m, c->x, n), *d = c->kind & 1 ? z : machine_empty(m, n), *loss = machine_empty(m, rows);
    int32_t *right = machine_put_bytes(m, target, (size_t)rows * sizeof *target);
    m->ops->cross_entropy(rows, width, z, ld, right, 0.37f, c->kind & 2 ? NULL : loss, d, ld);
    made_add(&made, m, "cross entropy", loss, 1, rows);
    made_add(&made, m, "its gradient", d, rows, ld);
    return made;
}

/* kind & 1: binary cross entropy; kind & 2: no losses. */
static struct made run_unit_losses(struct machine *m, const void *in)
{
    const struct rows_case *c = in;
    struct made made = {.n = 0};
    int64_t n = c->s.width;
    float *z = machine_put(m, c->x, n), *label = machine_put(m, c->y, n);
    float *loss = machine_empty(m, n), *d = machine_empty(m, n);
    (c->kind & 1 ? m->ops->bce : m->ops->squared_error)(n, z, label, 0.37f, c->kind & 2 ? NULL : loss, d);
    made_add(&made, m, "loss", loss, 1, n);
    made_add(&made, m, "its gradient", d, 1, n);
    return made;
}

static void test_activations(void **unused)
{
    (void)unused;
    over_shapes("activate", run_activate, 2);
    over_shapes("gelu", run_gelu, 2);
}

static void test_norms(void **unused)
{
    (void)unused;
    over_shapes("layer norm", run_layer_norm, 2);
    over_shapes("unit length", run_unit_length, 1);
}

static void test_losses(void **unused)
{
    (void)unused;
    over_shapes("cross entropy", run_cross_entropy, 4);
    over_shapes("loss", run_unit_losses, 4);
}

/* A row whose length is the least. */
static void test_short_rows(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    struct rows_case c = {.s = {5, 20, 0, false}, .ld = 20};
    c.x = machine_random(5, 20, 20, false, &state);
    c.y = machine_random(5, 20, 20, false, &state);
    for (int64_t i = 0; i < 100; i++)
        c.x[i] *= i / 20 == 0 ? 0 : i / 20 == 1 ? 1e-14f : i / 20 == 2 ? 1e-30f : 1;
    machine_compare(run_unit_length, &c, "short rows");
    check_free(c.x), check_free(c.y);
}

/* ---- Units of several rows ---- */

struct units_case {
    int64_t n, rows, width, ld;
    int32_t offset[16];
    float *h, *score, *d;
    int64_t first, some; /* the units that are run */
};

static struct units_case units_make(const int32_t *lengths, int64_t n, int64_t width, uint64_t *state)
{
    struct units_case c = {.n = n, .width = width, .ld = width + check_below(state, 3), .some = n};
    for (int64_t b = 0; b < n; b++)
        c.offset[b + 1] = c.offset[b] + lengths[b];
    c.rows = c.offset[n];
    c.h = machine_random(c.rows, width, c.ld, false, state);
    c.score = machine_random(1, c.rows, c.rows, false, state);
    c.d = machine_random(n, width, c.ld, false, state);
    for (int64_t r = 0; r < c.rows; r++)
        c.score[r] *= 8;
    return c;
}

static void units_free(struct units_case *c)
{
    check_free(c->h), check_free(c->score), check_free(c->d);
}

static struct made run_pools(struct machine *m, const void *in)
{
    const struct units_case *c = in;
    struct made made = {.n = 0};
    float *h = machine_put(m, c->h, c->rows * c->ld), *score = machine_put(m, c->score, c->rows);
    float *d = (float *)machine_put(m, c->d, c->n * c->ld) + c->first * c->ld;
    float *alpha = machine_empty(m, c->rows), *dscore = machine_empty(m, c->rows);
    float *pooled = machine_empty(m, c->n * c->ld), *dh = machine_empty(m, c->rows * c->ld);
    float *mean = machine_empty(m, c->n * c->ld), *dmean = machine_empty(m, c->rows * c->ld);
    int32_t *offset = (int32_t *)machine_put_bytes(m, c->offset, sizeof c->offset) + c->first;
    m->ops->pool_forward(c->some, offset, c->width, score, h, c->ld, alpha, pooled + c->first * c->ld, c->ld);
    m->ops->pool_backward(c->some, offset, c->width, alpha, h, c->ld, d, c->ld, dscore, dh, c->ld);
    m->ops->mean_forward(c->some, offset, c->width, h, c->ld, mean + c->first * c->ld, c->ld);
    m->ops->mean_backward(c->some, offset, c->width, d, c->ld, dmean, c->ld);
    made_add(&made, m, "alpha", alpha, 1, c->rows);
    made_add(&made, m, "pooled", pooled, c->n, c->ld);
    made_add(&made, m, "dscore", dscore, 1, c->rows);
    made_add(&made, m, "dh", dh, c->rows, c->ld);
    made_add(&made, m, "mean", mean, c->n, c->ld);
    made_add(&made, m, "gradient of the mean", dmean, c->rows, c->ld);
    return made;
}

static const int32_t lengths[] = {6, 1, 31, 32, 33, 2, 15, 16, 17, 130, 64};
#define LENGTHS (int64_t)(sizeof lengths / sizeof *lengths)

static void test_pooling(void **unused)
{
    (void)unused;
    static const int64_t widths[] = {1, 15, 16, 33, 128, 129, 200};
    uint64_t state = seed + 2;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        struct units_case c = units_make(lengths, LENGTHS, widths[i], &state);
        c.h[c.offset[2] * c.ld] = NAN; /* one unit's rows, another's scores, far scores of a third */
        c.score[c.offset[4] + 7] = INFINITY;
        c.score[c.offset[6]] = -200;
        c.score[c.offset[7] + 3] = NAN;
        char text[64];
        snprintf(text, sizeof text, "pooling of width %ld", (long)widths[i]);
        machine_compare(run_pools, &c, text);
        units_free(&c);
    }
}

/* Unit 1 alone gives the same bits as among others, one of which is full of NaN. */
static void test_units_alone(void **unused)
{
    (void)unused;
    uint64_t state = seed + 3;
    struct units_case c = units_make((const int32_t[]){5, 40, 7}, 3, 70, &state), one = c;
    for (int64_t i = c.offset[2] * c.ld; i < c.offset[3] * c.ld; i++)
        c.h[i] = NAN;
    one.first = one.some = 1;
    struct machine card = machine_card();
    struct made all = run_pools(&card, &c), alone = run_pools(&card, &one);
    for (int p = 0; p < all.n; p++) {
        int64_t rows = all.part[p].rows * all.part[p].ld, from = p == 1 || p == 4 ? 1 : 5,
                n = p == 1 || p == 4 ? 1 : 40;
        int64_t ld = rows / (p == 1 || p == 4 ? 3 : 52);
        for (int64_t j = from * ld; j < (from + n) * ld; j++)
            if (check_bits(all.part[p].x[j]) != check_bits(alone.part[p].x[j]))
                fail_msg("%s: unit 1 has other bits alone", all.part[p].what);
    }
    made_free(&all);
    made_free(&alone);
    machine_close(&card);
    units_free(&c);
}

/* ---- The LSTM step ---- */

struct lstm_case {
    int64_t hidden, ldg, ldc;
    bool wild;
    uint64_t seed;
};

/* Three units of 1, 3 and 4 rows, one after the other: all steps forward, then backward. */
static struct made run_lstm(struct machine *m, const void *in)
{
    const struct lstm_case *c = in;
    static const int32_t step[4][3] = {{0, 1, 4}, {2, 5}, {3, 6}, {7}},
                         before[4][3] = {{-1, -1, -1}, {1, 4}, {2, 5}, {6}};
    static const int32_t after[4][3] = {{-1, 2, 5}, {3, 6}, {-1, 7}, {-1}}, count[4] = {3, 2, 2, 1};
    struct made made = {.n = 0};
    uint64_t state = c->seed;
    int64_t h = c->hidden;
    float *start = machine_random(8, 4 * h, c->ldg, c->wild, &state),
          *dstart = machine_random(8, h, c->ldc, c->wild, &state);
    float *gates = machine_put(m, start, 8 * c->ldg), *dy = machine_put(m, dstart, 8 * c->ldc);
    float *state_c = machine_empty(m, 8 * c->ldc), *y = machine_empty(m, 8 * c->ldc);
    float *carry = machine_empty(m, 8 * c->ldc), *dc = machine_empty(m, 8 * c->ldc);
    for (int t = 0; t < 4; t++) {
        const int32_t *rows = machine_put_bytes(m, step[t], sizeof step[t]);
        const int32_t *prev = machine_put_bytes(m, before[t], sizeof before[t]);
        const int32_t *next = machine_put_bytes(m, after[t], sizeof after[t]);
        m->ops->lstm_forward(count[t], h, rows, prev, next, gates, c->ldg, state_c, c->ldc, y, c->ldc, carry, c->ldc);
    }
    made_add(&made, m, "gates", gates, 8, c->ldg);
    made_add(&made, m, "c", state_c, 8, c->ldc);
    made_add(&made, m, "h", y, 8, c->ldc);
    made_add(&made, m, "h for the next step", carry, 8, c->ldc);
    for (int t = 3; t >= 0; t--) {
        const int32_t *rows = machine_put_bytes(m, step[t], sizeof step[t]);
        const int32_t *prev = machine_put_bytes(m, before[t], sizeof before[t]);
        const int32_t *next = machine_put_bytes(m, after[t], sizeof after[t]);
        m->ops->lstm_backward(count[t], h, rows, prev, next, gates, c->ldg, state_c, c->ldc, dy, c->ldc, dc, c->ldc);
    }
    made_add(&made, m, "gradient of gates", gates, 8, c->ldg);
    made_add(&made, m, "gradient of c", dc, 8, c->ldc);
    check_free(start), check_free(dstart);
    return made;
}

static void test_lstm(void **unused)
{
    (void)unused;
    static const int64_t hidden[] = {1, 5, 32, 33, 64, 300};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        for (int wild = 0; wild < 2; wild++) {
            struct lstm_case c = {hidden[i], 4 * hidden[i] + (int64_t)i, hidden[i] + wild, wild, seed + i};
            char text[64];
            snprintf(text, sizeof text, "lstm of %ld%s", (long)hidden[i], wild ? ", wild" : "");
            machine_compare(run_lstm, &c, text);
        }
}

/* Nothing to do is nothing done. */
static void test_empty(void **unused)
{
    (void)unused;
    const struct sg_ops *ops = sg_ops_cuda();
    ops->activate(SG_TANH, 0, 5, NULL, 5);
    ops->activate_backward(SG_RELU, 0, 5, NULL, 5, NULL, 5);
    ops->gelu(SG_GELU_ERF, 0, 5, NULL, 5, NULL, 5);
    ops->gelu_backward(SG_GELU_TANH, 0, 5, NULL, 5, NULL, 5);
    ops->layer_norm(0, 5, 1e-5f, NULL, 5, NULL, NULL, NULL, 5, NULL, NULL, 5);
    ops->layer_norm_backward(0, 5, NULL, 5, NULL, NULL, NULL, 5, NULL, 5);
    ops->unit_length(0, 5, NULL, 5, NULL);
    ops->unit_length_backward(0, 5, NULL, 5, NULL, NULL, 5);
    ops->lstm_forward(0, 5, NULL, NULL, NULL, NULL, 20, NULL, 5, NULL, 5, NULL, 5);
    ops->lstm_backward(0, 5, NULL, NULL, NULL, NULL, 20, NULL, 5, NULL, 5, NULL, 5);
    ops->pool_forward(0, NULL, 5, NULL, NULL, 5, NULL, NULL, 5);
    ops->pool_backward(0, NULL, 5, NULL, NULL, 5, NULL, 5, NULL, NULL, 5);
    ops->mean_forward(0, NULL, 5, NULL, 5, NULL, 5);
    ops->mean_backward(0, NULL, 5, NULL, 5, NULL, 5);
    ops->cross_entropy(0, 5, NULL, 5, NULL, 1, NULL, NULL, 5);
    ops->squared_error(0, NULL, NULL, 1, NULL, NULL);
    ops->bce(0, NULL, NULL, 1, NULL, NULL);
    assert_int_equal(sg_cuda_sync(), SG_OK);
}

int main(void)
{
    if (!sg_ops_cpu()) {
        print_message("SKIPPED: no AVX2, nothing to compare with\n");
        return 77;
    }
    print_message("seed %lu\n", (unsigned long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations), cmocka_unit_test(test_norms),   cmocka_unit_test(test_losses),
        cmocka_unit_test(test_short_rows),  cmocka_unit_test(test_pooling), cmocka_unit_test(test_units_alone),
        cmocka_unit_test(test_lstm),        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, machine_group_open, machine_group_close);
}
