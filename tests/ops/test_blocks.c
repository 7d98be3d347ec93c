/* Would catch: GELU, layer norm, mean, unit length or a loss further from the truth than its header says, over the
 * whole range of floats where that is meant; a gradient that is not the derivative; a NaN that is swallowed; writes
 * into the gaps between rows; bits that differ between vector widths or with the neighbours of a row. */
#include "check.h"

static const uint64_t seed = 31;

static long double gelu(enum sg_gelu f, long double x)
{
    if (f == SG_GELU_ERF)
        return x * erfcl(-x * sqrtl(0.5L)) / 2;
    return x / (1 + expl(-2 * sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x)));
}

static long double gelu_slope(enum sg_gelu f, long double x)
{
    if (f == SG_GELU_ERF)
        return erfcl(-x * sqrtl(0.5L)) / 2 + x * expl(-x * x / 2) / sqrtl(2 * acosl(-1));
    long double rate = 2 * sqrtl(2 / acosl(-1)), e = expl(-fabsl(rate * (x + 0.044715L * x * x * x)));
    long double s = x > 0 ? 1 / (1 + e) : e / (1 + e);
    return s + x * e / ((1 + e) * (1 + e)) * rate * (1 + 3 * 0.044715L * x * x);
}

#define SWEEP 400000

/* Floats of every magnitude, and dense where the function bends. */
static float *sweep(void)
{
    float *x = check_floats(SWEEP);
    uint64_t state = seed;
    for (int64_t i = 0; i < SWEEP; i++)
        x[i] = i < SWEEP / 2   ? (float)(30.0 * (double)i / (SWEEP / 2) - 15)
               : i < SWEEP - 4 ? (float)ldexp(check_uniform(&state), (int)check_below(&state, 270) - 140)
                               : (float[]){0, -0.0f, 3.4e38f, -3.4e38f}[SWEEP - 1 - i];
    return x;
}

static void test_gelu(void **unused)
{
    (void)unused;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    float *x = sweep();
    for (size_t k = 0; k < n; k++)
        for (int f = SG_GELU_ERF; f <= SG_GELU_TANH; f++) {
            float *y = check_floats(SWEEP), *g = check_floats(SWEEP);
            double worst = 0, tail = 0, slope = 0;
            for (int64_t i = 0; i < SWEEP; i++)
                g[i] = 1;
            b[k].ops->gelu((enum sg_gelu)f, 1, SWEEP, x, SWEEP, y, SWEEP);
            b[k].ops->gelu_backward((enum sg_gelu)f, 1, SWEEP, x, SWEEP, g, SWEEP);
            for (int64_t i = 0; i < SWEEP; i++) {
                double want = (double)gelu((enum sg_gelu)f, x[i]), want_g = (double)gelu_slope((enum sg_gelu)f, x[i]);
                if (x[i] < -100)
                    want = want_g = 0;
                if (x[i] > 100)
                    want_g = 1;
                worst = fmax(worst, fabs(y[i] - want) / fmax(1, fabs(want)));
                if (x[i] > -12 && fabs(want) > 1e-37)
                    tail = fmax(tail, fabs(y[i] - want) / fabs(want));
                slope = fmax(slope, fabs(g[i] - want_g));
            }
            print_message("%s, gelu %d: error %.3g max(1, |f|), relative %.3g above -12; slope %.3g\n", b[k].name, f,
                          worst, tail, slope);
            assert_true(worst <= 1.5e-7 && slope <= 2e-7);
            assert_true(f == SG_GELU_TANH || tail <= 4e-7);
            check_free(y);
            check_free(g);
        }
    check_free(x);
}

static void test_gelu_specials(void **unused)
{
    (void)unused;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    for (size_t k = 0; k < n; k++)
        for (int f = SG_GELU_ERF; f <= SG_GELU_TANH; f++) {
            const float x[] = {NAN, INFINITY, -INFINITY};
            float y[3], g[] = {1, 1, 1}, nan_g[] = {NAN, NAN, NAN};
            b[k].ops->gelu((enum sg_gelu)f, 1, 3, x, 3, y, 3);
            b[k].ops->gelu_backward((enum sg_gelu)f, 1, 3, x, 3, g, 3);
            b[k].ops->gelu_backward((enum sg_gelu)f, 1, 3, x, 3, nan_g, 3);
            assert_true(isnan(y[0]) && y[1] == INFINITY && y[2] == 0);
            assert_true(isnan(g[0]) && g[1] == 1 && g[2] == 0);
            assert_true(isnan(nan_g[0]) && isnan(nan_g[1]));
        }
}

/* ---- everything by rows: close to the reference, bits of both widths the same, a row alone the same as in company
 * ---- */

struct rows {
    int64_t n, width, ld;
    int32_t offset[12];
    int64_t n_units;
    float *x, *y, *gain, *bias, *d;
    int32_t *target;
};

static struct rows rows_make(int64_t n, int64_t width, uint64_t *state)
{
    struct rows p = {.n = n, .width = width, .ld = width + check_below(state, 4)};
    p.x = check_random(n * p.ld, state);
    p.y = check_random(n * p.ld, state);
    p.d = check_random(n * p.ld, state);
    p.gain = check_random(width, state);
    p.bias = check_random(width, state);
    p.target = malloc((size_t)n * sizeof *p.target);
    assert_non_null(p.target);
    for (int64_t r = 0; r < n; r++) {
        p.target[r] = (int32_t)check_below(state, width);
        for (int64_t j = 0; j < p.ld; j++) {
            float gap = check_guard();
            p.x[r * p.ld + j] = j < width ? (float)ldexp(p.x[r * p.ld + j], (int)(r % 9) - 3) + (float)(r % 4) : gap;
            p.y[r * p.ld + j] = j < width ? p.y[r * p.ld + j] : gap;
            p.d[r * p.ld + j] = j < width ? p.d[r * p.ld + j] : gap;
        }
    }
    while (p.n_units < 11 && p.offset[p.n_units] < n) {
        int64_t left = n - p.offset[p.n_units], take = p.n_units == 10 ? left : 1 + check_below(state, left);
        p.n_units++;
        p.offset[p.n_units] = p.offset[p.n_units - 1] + (int32_t)take;
    }
    return p;
}

static void rows_free(struct rows *p)
{
    check_free(p->x);
    check_free(p->y);
    check_free(p->d);
    check_free(p->gain);
    check_free(p->bias);
    free(p->target);
}

/* What an op leaves for rows first .. first + n: up to three arrays with rows p->ld apart. */
struct left {
    float *out[3];
};

enum op { NORM, NORM_BACKWARD, MEAN, MEAN_BACKWARD, UNIT, UNIT_BACKWARD, ENTROPY, SQUARES, N_OPS };
static const char *const op_name[] = {"layer_norm",  "layer_norm_backward",  "mean",          "mean_backward",
                                      "unit_length", "unit_length_backward", "cross_entropy", "squared_error"};

static struct left run(const struct sg_ops *ops, enum op op, const struct rows *p, int64_t first, int64_t n)
{
    struct left l = {{check_floats(p->n * p->ld), check_floats(p->n * p->ld), check_floats(p->n * p->ld)}};
    int64_t at = first * p->ld, ld = p->ld;
    float *o0 = l.out[0] + at, *o1 = l.out[1] + at, *o2 = l.out[2] + first;
    const float *x = p->x + at, *y = p->y + at, *d = p->d + at;
    for (int64_t r = 0; r < n && (op == UNIT || op == UNIT_BACKWARD); r++) {
        memcpy(o0 + r * ld, op == UNIT ? x + r * ld : d + r * ld, (size_t)p->width * sizeof *o0);
        o2[r] = op == UNIT ? check_guard() : r % 3 ? 0.5f + (float)((first + r) % 7) : 1e-12f;
    }
    switch (op) {
    case NORM:
        ops->layer_norm(n, p->width, 1e-12f, x, ld, p->gain, p->bias, o0, ld, o2, o1, ld);
        break;
    case NORM_BACKWARD:
        ops->layer_norm_backward(n, p->width, y, ld, p->x + first, p->gain, d, ld, o0, ld);
        break;
    case MEAN:
        ops->mean_forward(p->n_units, p->offset, p->width, p->x, ld, l.out[0], ld);
        break;
    case MEAN_BACKWARD:
        ops->mean_backward(p->n_units, p->offset, p->width, p->d, ld, l.out[0], ld);
        break;
    case UNIT:
        ops->unit_length(n, p->width, o0, ld, o2);
        break;
    case UNIT_BACKWARD:
        ops->unit_length_backward(n, p->width, y, ld, o2, o0, ld);
        break;
    case ENTROPY:
        ops->cross_entropy(n, p->width, x, ld, p->target + first, 0.25f, o2, o0, ld);
        break;
    default:
        ops->squared_error(n, x, y, 0.25f, o2, l.out[0] + first);
    }
    return l;
}

static void left_free(struct left *l)
{
    for (int i = 0; i < 3; i++)
        check_free(l->out[i]);
}

static void check_op(const struct backend *b, size_t n, enum op op, const struct rows *p)
{
    struct left want = run(b[0].ops, op, p, 0, p->n), kept = {{0}};
    for (size_t k = 1; k < n; k++) {
        struct left got = run(b[k].ops, op, p, 0, p->n);
        for (int i = 0; i < 3; i++) {
            check_close(op_name[op], b[k].name, got.out[i], want.out[i], p->n, p->ld, 3e-7, 5e-7);
            if (kept.out[i])
                check_same_bits(op_name[op], b[k].name, got.out[i], kept.out[i], p->n, p->ld);
        }
        for (int64_t r = 0; r < p->n && op != MEAN && op != MEAN_BACKWARD && op != SQUARES; r += 3) {
            struct left alone = run(b[k].ops, op, p, r, 1);
            for (int i = 0; i < 2; i++)
                for (int64_t j = 0; j < p->width; j++)
                    if (op != UNIT_BACKWARD &&
                        check_bits(alone.out[i][r * p->ld + j]) != check_bits(got.out[i][r * p->ld + j]))
                        fail_msg("%s, %s: row %ld alone has other bits", op_name[op], b[k].name, (long)r);
            left_free(&alone);
        }
        left_free(&kept);
        kept = got;
    }
    left_free(&kept);
    left_free(&want);
}

static void test_rows(void **unused)
{
    (void)unused;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    uint64_t state = seed + 1;
    const int64_t width[] = {1, 2, 15, 16, 17, 33, 64, 77, 130, 384};
    for (size_t w = 0; w < sizeof width / sizeof *width; w++)
        for (int op = 0; op < N_OPS; op++) {
            if (width[w] < 8 && op == NORM) /* (x - mean) / 1e-6: nothing but rounding is left of one column */
                continue;
            struct rows p = rows_make(1 + check_below(&state, 40), width[w], &state);
            check_op(b, n, (enum op)op, &p);
            rows_free(&p);
        }
}

/* A constant row, huge rows, a NaN: no other row may notice. */
static void test_norm_specials(void **unused)
{
    (void)unused;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    for (size_t k = 0; k < n; k++) {
        float x[4][20], gain[20], bias[20], xhat[4][20], y[4][20], rstd[4];
        for (int j = 0; j < 20; j++) {
            x[0][j] = 3.14159f;
            x[1][j] = (float)(j - 7) * 1e30f;
            x[2][j] = j == 11 ? NAN : 1;
            x[3][j] = (float)j + 4096;
            gain[j] = 2, bias[j] = 1;
        }
        b[k].ops->layer_norm(4, 20, 1e-5f, x[0], 20, gain, bias, xhat[0], 20, rstd, y[0], 20);
        for (int j = 0; j < 20; j++) {
            double spread = sqrt((20. * 20 - 1) / 12);
            assert_true(fabs(xhat[0][j]) < 1e-4); /* what rounding the mean left, times 1 / sqrt(1e-5) */
            assert_true(fabs(xhat[1][j] - (j - 9.5) / spread) < 1e-6);
            assert_true(isnan(xhat[2][j]) && isnan(y[2][j]));
            assert_true(fabs(xhat[3][j] - (j - 9.5) / spread) < 1e-6);
            assert_true(fabs(y[3][j] - (1 + 2 * (j - 9.5) / spread)) < 2e-6);
        }
    }
}

/* ---- gradients: a smooth loss of the outputs, differences of the truth in double ---- */

/* Sum of d times what the reference's forward makes of row x. */
static double along(enum op op, const struct rows *p, const float *x, const float *d)
{
    double sum = 0, mean = 0, var = 0, norm = 0;
    for (int64_t j = 0; j < p->width; j++)
        mean += (double)x[j] / (double)p->width, norm += (double)x[j] * x[j];
    for (int64_t j = 0; j < p->width; j++)
        var += (x[j] - mean) * (x[j] - mean) / (double)p->width;
    for (int64_t j = 0; j < p->width; j++)
        sum += d[j] * (op == NORM ? (x[j] - mean) / sqrt(var + 1e-5) * p->gain[j] + p->bias[j] : x[j] / sqrt(norm));
    return sum;
}

static void test_gradients(void **unused)
{
    (void)unused;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    uint64_t state = seed + 2;
    for (size_t k = 0; k < n; k++)
        for (int op = NORM; op <= UNIT; op += UNIT - NORM) {
            struct rows p = rows_make(1, 24, &state);
            float *y = check_copy(p.x, p.ld), *xhat = check_floats(p.ld), *g = check_copy(p.d, p.ld), keep[1];
            if (op == NORM) {
                b[k].ops->layer_norm(1, 24, 1e-5f, p.x, p.ld, p.gain, p.bias, xhat, p.ld, keep, y, p.ld);
                b[k].ops->layer_norm_backward(1, 24, xhat, p.ld, keep, p.gain, g, p.ld, g, p.ld);
            } else {
                b[k].ops->unit_length(1, 24, y, p.ld, keep);
                b[k].ops->unit_length_backward(1, 24, y, p.ld, keep, g, p.ld);
            }
            for (int64_t j = 0; j < 24; j++) {
                float old = p.x[j], step = 0x1p-8f;
                p.x[j] = old + step;
                double up = along((enum op)op, &p, p.x, p.d), at_up = p.x[j];
                p.x[j] = old - step;
                double down = along((enum op)op, &p, p.x, p.d), slope = (up - down) / (at_up - p.x[j]);
                p.x[j] = old;
                if (!(fabs(g[j] - slope) <= 2e-3 * (fabs(slope) + 1)))
                    fail_msg("%s, %s: slope %ld is %g, should be %g", op_name[op], b[k].name, (long)j, g[j], slope);
            }
            check_free(y), check_free(xhat), check_free(g);
            rows_free(&p);
        }
}

/* Losses far out, and thirty thousand classes. */
static void test_entropy(void **unused)
{
    (void)unused;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    uint64_t state = seed + 3;
    for (size_t k = 0; k < n; k++) {
        const float z[] = {1000, 990, -1000, 0}, bad[] = {1, NAN, 2};
        const int32_t right[] = {1, 0};
        float loss[1], d[4], *many = check_random(30522, &state), *dmany = check_floats(30522);
        b[k].ops->cross_entropy(1, 4, z, 4, right, 1, loss, d, 4);
        assert_true(fabs(loss[0] - 10.0000454) < 1e-5 && fabs(d[1] + 0.9999546) < 2e-7 && d[2] >= 0 && d[2] < 1e-30);
        b[k].ops->cross_entropy(1, 3, bad, 3, right, 1, loss, d, 3);
        assert_true(isnan(d[0]) && isnan(d[1]) && isnan(d[2]) && isnan(loss[0]));
        b[k].ops->cross_entropy(1, 30522, many, 30522, right, 1, NULL, dmany, 30522);
        long double total = 0, sum = 0;
        for (int64_t c = 0; c < 30522; c++)
            total += expl(many[c]);
        for (int64_t c = 0; c < 30522; c++) {
            double want = (double)(expl(many[c]) / total - (c == 1));
            sum += dmany[c];
            assert_true(fabs(dmany[c] - want) <= 4e-7 * fabs(want));
        }
        assert_true(fabsl(sum) < 1e-6L);
        check_free(many), check_free(dmany);
    }
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gelu),          cmocka_unit_test(test_gelu_specials), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_norm_specials), cmocka_unit_test(test_gradients),     cmocka_unit_test(test_entropy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
