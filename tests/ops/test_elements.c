/* Would catch: gate math, activations, pooling or loss off by more than rounding, wrong gate order, a carry that goes
 * to the wrong row or is read where there is none, a vector tail that writes past a row, a NaN that disappears, and any
 * difference in bits between vector widths. */
#include "check.h"

static const uint64_t seed = 4242;

/* Runs one op on a copy of each buffer per backend; compares with the expectation and the widths with each other. */
struct outputs {
    float *x[6];
};

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static void test_rows(void **unused)
{
    (void)unused;
    uint64_t state = seed;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    for (int64_t width = 1; width < 70; width++) {
        int64_t rows = 1 + check_below(&state, 5), ld = width + check_below(&state, 5);
        float *x = check_floats(rows * ld), *y = check_random(rows * width, &state), *sum, *product, *copy;
        for (int64_t i = 0; i < rows * width; i++)
            x[i / width * ld + i % width] = check_uniform(&state);
        sum = check_copy(x, rows * ld);
        product = check_copy(x, rows * ld);
        copy = check_copy(x, rows * ld);
        const int32_t reverse[] = {4, 3, 2, 1, 0};
        for (int64_t i = 0; i < rows * width; i++) {
            sum[i / width * ld + i % width] += y[i];
            product[i / width * ld + i % width] *= y[i];
            copy[(rows - 1 - i / width) * ld + i % width] = y[i];
        }
        for (size_t k = 0; k < n; k++) {
            float *got = check_copy(x, rows * ld);
            b[k].ops->add_rows(rows, width, got, ld, y, width);
            check_same_bits("add_rows", b[k].name, got, sum, rows, ld);
            check_free(got);
            got = check_copy(x, rows * ld);
            b[k].ops->multiply_rows(rows, width, got, ld, y, width);
            check_same_bits("multiply_rows", b[k].name, got, product, rows, ld);
            check_free(got);
            got = check_copy(x, rows * ld);
            b[k].ops->copy_rows(rows, width, y, width, NULL, got, ld, reverse + 5 - rows);
            check_same_bits("copy_rows", b[k].name, got, copy, rows, ld);
            check_free(got);
        }
        check_free(x), check_free(y), check_free(sum), check_free(product), check_free(copy);
    }
}

/* Arguments of every size and sign, and the hostile ones. */
static float argument(int64_t i, uint64_t *state)
{
    const float hostile[] = {0.0f,     -0.0f,     1e-45f, -1e-40f, 1e-30f, 1e30f, -1e30f,
                             INFINITY, -INFINITY, NAN,    88,      -88,    104,   -104};
    if (i < 14)
        return hostile[i];
    return check_uniform(state) * (float)ldexp(1, (int)check_below(state, 30) - 22);
}

static void test_activations(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    const int64_t rows = 999, width = 211, ld = 213;
    float *x = check_floats(rows * ld), *g = check_floats(rows * ld), *first[2] = {NULL, NULL};
    float *want = check_floats(rows * ld), *want_g = check_floats(rows * ld);
    for (int f = SG_TANH; f <= SG_RELU; f++) {
        for (int64_t i = 0; i < rows * width; i++) {
            int64_t at = i / width * ld + i % width;
            x[at] = argument(i, &state);
            g[at] = check_uniform(&state);
            want[at] = f == SG_TANH ? (float)tanh(x[at]) : x[at] < 0 ? 0 : x[at];
        }
        for (size_t k = 0; k < n; k++) {
            float *y = check_copy(x, rows * ld), *d = check_copy(g, rows * ld);
            b[k].ops->activate(f, rows, width, y, ld);
            check_close("activate", b[k].name, y, want, rows, ld, 0, f == SG_TANH ? 2e-7 : 0);
            for (int64_t i = 0; i < rows * width; i++) {
                int64_t at = i / width * ld + i % width;
                double out = y[at];
                want_g[at] = f == SG_TANH ? (float)(g[at] * (1 - out * out)) : out <= 0 ? 0 : g[at];
                if (fabs(out) > 1 && f == SG_TANH)
                    fail_msg("tanh, %s: %g is above 1", b[k].name, out);
            }
            b[k].ops->activate_backward(f, rows, width, y, ld, d, ld);
            check_close("activate_backward", b[k].name, d, want_g, rows, ld, 1e-37, 3e-7);
            if (k >= 2) {
                check_same_bits("activate between widths", b[k].name, y, first[0], rows, ld);
                check_same_bits("activate_backward between widths", b[k].name, d, first[1], rows, ld);
            }
            check_free(first[0]), check_free(first[1]);
            first[0] = y, first[1] = d;
        }
    }
    check_free(first[0]), check_free(first[1]);
    check_free(x), check_free(g), check_free(want), check_free(want_g);
}

/* Units of one to three steps whose rows lie in a shuffled order; ops are called step by step as a layer would. */
struct lstm_case {
    int64_t hidden, n_rows, ldg, ldc, ldy, ldh;
    int32_t rows[64], prev[64], next[64];
};

static void lstm_lists(struct lstm_case *c, uint64_t *state)
{
    int32_t at[64];
    c->n_rows = 1 + check_below(state, 40);
    for (int32_t i = 0; i < c->n_rows; i++) {
        int64_t j = check_below(state, i + 1);
        at[i] = at[j];
        at[j] = i;
    }
    for (int64_t i = 0; i < c->n_rows; i++) { /* chains of consecutive positions, broken at random */
        c->rows[i] = at[i];
        c->prev[i] = i > 0 && c->next[i - 1] >= 0 ? at[i - 1] : -1;
        c->next[i] = i + 1 < c->n_rows && check_below(state, 3) > 0 ? at[i + 1] : -1;
    }
}

static void lstm_expect(const struct lstm_case *c, float *gates, float *cell, float *y, float *h_next)
{
    int64_t H = c->hidden;
    for (int64_t u = 0; u < c->n_rows; u++)
        for (int64_t j = 0; j < H; j++) {
            float *gate = gates + c->rows[u] * c->ldg + j;
            double i = sigmoid(gate[0]), f = sigmoid(gate[H]), g = tanh(gate[2 * H]), o = sigmoid(gate[3 * H]);
            double before = c->prev[u] < 0 ? 0 : cell[c->prev[u] * c->ldc + j], now = i * g + f * before;
            gate[0] = (float)i, gate[H] = (float)f, gate[2 * H] = (float)g, gate[3 * H] = (float)o;
            cell[c->rows[u] * c->ldc + j] = (float)now;
            y[c->rows[u] * c->ldy + j] = (float)(o * tanh(now));
            if (c->next[u] >= 0)
                h_next[c->next[u] * c->ldh + j] = (float)(o * tanh(now));
        }
}

static void lstm_expect_back(const struct lstm_case *c, float *gates, const float *cell, const float *dy, float *dc)
{
    int64_t H = c->hidden;
    for (int64_t u = c->n_rows - 1; u >= 0; u--)
        for (int64_t j = 0; j < H; j++) {
            float *gate = gates + c->rows[u] * c->ldg + j;
            double i = gate[0], f = gate[H], g = gate[2 * H], o = gate[3 * H];
            double t = tanh(cell[c->rows[u] * c->ldc + j]), dh = dy[c->rows[u] * c->ldy + j];
            double d = dh * o * (1 - t * t) + (c->next[u] < 0 ? 0 : dc[c->rows[u] * c->ldc + j]);
            double before = c->prev[u] < 0 ? 0 : cell[c->prev[u] * c->ldc + j];
            gate[0] = (float)(d * g * i * (1 - i)), gate[H] = (float)(d * before * f * (1 - f));
            gate[2 * H] = (float)(d * i * (1 - g * g)), gate[3 * H] = (float)(dh * t * o * (1 - o));
            if (c->prev[u] >= 0)
                dc[c->prev[u] * c->ldc + j] = (float)(d * f);
        }
}

static void fill(float *p, int64_t rows, int64_t width, int64_t ld, double scale, uint64_t *state)
{
    for (int64_t i = 0; i < rows * width; i++)
        p[i / width * ld + i % width] = (float)scale * check_uniform(state);
}

static void lstm_run(const struct lstm_case *c, const struct sg_ops *ops, const float *gates, const float *dy,
                     struct outputs *out)
{
    int64_t r = c->n_rows;
    float *acts = check_copy(gates, r * c->ldg), *cell = check_floats(r * c->ldc), *y = check_floats(r * c->ldy);
    float *h = check_floats(r * c->ldh), *dc = check_floats(r * c->ldc), *dgates;
    for (int64_t u = 0; u < r; u++) /* one row a step, so that prev is ready */
        ops->lstm_forward(1, c->hidden, c->rows + u, c->prev + u, c->next + u, acts, c->ldg, cell, c->ldc, y, c->ldy, h,
                          c->ldh);
    dgates = check_copy(acts, r * c->ldg);
    for (int64_t u = r - 1; u >= 0; u--)
        ops->lstm_backward(1, c->hidden, c->rows + u, c->prev + u, c->next + u, dgates, c->ldg, cell, c->ldc, dy,
                           c->ldy, dc, c->ldc);
    *out = (struct outputs){{acts, cell, y, h, dgates, dc}};
}

static void lstm_check(const struct lstm_case *c, uint64_t *state)
{
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    int64_t r = c->n_rows, H = c->hidden, ld[] = {c->ldg, c->ldc, c->ldy, c->ldh, c->ldg, c->ldc};
    const char *what[] = {"lstm gates", "lstm c", "lstm y", "lstm h_next", "lstm dgates", "lstm dc"};
    float *gates = check_floats(r * c->ldg), *dy = check_floats(r * c->ldy);
    struct outputs first = {0}, want = {{check_floats(r * c->ldg), check_floats(r * c->ldc), check_floats(r * c->ldy),
                                         check_floats(r * c->ldh), NULL, check_floats(r * c->ldc)}};
    fill(gates, r, 4 * H, c->ldg, check_below(state, 2) ? 3 : 30, state);
    fill(dy, r, H, c->ldy, 1, state);
    memcpy(want.x[0], gates, (size_t)(r * c->ldg) * sizeof(float));
    lstm_expect(c, want.x[0], want.x[1], want.x[2], want.x[3]);
    want.x[4] = check_copy(want.x[0], r * c->ldg);
    lstm_expect_back(c, want.x[4], want.x[1], dy, want.x[5]);
    for (size_t k = 0; k < n; k++) {
        struct outputs got;
        lstm_run(c, b[k].ops, gates, dy, &got);
        for (int i = 0; i < 6; i++) {
            check_close(what[i], b[k].name, got.x[i], want.x[i], r, ld[i], i < 4 ? 1e-6 : 4e-6, 2e-6);
            if (k >= 2)
                check_same_bits(what[i], b[k].name, got.x[i], first.x[i], r, ld[i]);
            check_free(first.x[i]);
        }
        first = got;
    }
    for (int i = 0; i < 6; i++)
        check_free(first.x[i]), check_free(want.x[i]);
    check_free(gates), check_free(dy);
}

static void test_lstm(void **unused)
{
    (void)unused;
    uint64_t state = seed + 2;
    for (int64_t hidden = 1; hidden <= 70; hidden++) {
        struct lstm_case c = {.hidden = hidden,
                              .ldg = 4 * hidden + check_below(&state, 3),
                              .ldc = hidden + check_below(&state, 3),
                              .ldy = 2 * hidden,
                              .ldh = hidden + 11};
        lstm_lists(&c, &state);
        lstm_check(&c, &state);
    }
}

static void pool_expect(int64_t n_units, const int32_t *offset, int64_t width, const float *score, const float *h,
                        const float *dp, struct outputs *want)
{
    float *alpha = want->x[0], *pooled = want->x[1], *dscore = want->x[2], *dh = want->x[3];
    double share[1024];
    for (int64_t b = 0; b < n_units; b++) {
        double total = 0, mean = 0, top = score[offset[b]];
        for (int32_t r = offset[b]; r < offset[b + 1]; r++)
            top = fmax(top, score[r]);
        for (int32_t r = offset[b]; r < offset[b + 1]; r++)
            total += exp(score[r] - top);
        for (int64_t j = 0; j < width; j++) {
            double sum = 0;
            for (int32_t r = offset[b]; r < offset[b + 1]; r++)
                sum += exp(score[r] - top) / total * h[r * width + j];
            pooled[b * width + j] = (float)sum;
        }
        for (int32_t r = offset[b]; r < offset[b + 1]; r++) {
            double p = exp(score[r] - top) / total, d = 0;
            for (int64_t j = 0; j < width; j++) {
                d += (double)dp[b * width + j] * h[r * width + j];
                dh[r * width + j] = (float)(p * dp[b * width + j]);
            }
            alpha[r] = (float)p;
            share[r] = d;
            mean += p * d;
        }
        for (int32_t r = offset[b]; r < offset[b + 1]; r++)
            dscore[r] = (float)(alpha[r] * (share[r] - mean));
    }
}

static void pool_check(int64_t n_units, int64_t width, double scale, uint64_t *state)
{
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    int32_t offset[32] = {0};
    for (int64_t u = 0; u < n_units; u++)
        offset[u + 1] = offset[u] + 1 + (int32_t)check_below(state, u % 4 == 0 ? 50 : 6);
    int64_t rows = offset[n_units], size[] = {rows, n_units * width, rows, rows * width};
    float *score = check_random(rows, state), *h = check_random(rows * width, state);
    float *dp = check_random(n_units * width, state);
    for (int64_t r = 0; r < rows; r++)
        score[r] *= (float)scale;
    struct outputs first = {0}, want;
    for (int i = 0; i < 4; i++)
        want.x[i] = check_floats(size[i]);
    pool_expect(n_units, offset, width, score, h, dp, &want);
    for (size_t k = 0; k < n; k++) {
        struct outputs got;
        for (int i = 0; i < 4; i++)
            got.x[i] = check_floats(size[i]);
        b[k].ops->pool_forward(n_units, offset, width, score, h, width, got.x[0], got.x[1], width);
        b[k].ops->pool_backward(n_units, offset, width, got.x[0], h, width, dp, width, got.x[2], got.x[3], width);
        const char *what[] = {"pool alpha", "pooled", "pool dscore", "pool dh"};
        for (int i = 0; i < 4; i++) {
            check_close(what[i], b[k].name, got.x[i], want.x[i], size[i], 1, i == 2 ? 2e-6 * sqrt((double)width) : 1e-6,
                        3e-6);
            if (k >= 2)
                check_same_bits(what[i], b[k].name, got.x[i], first.x[i], size[i], 1);
            check_free(first.x[i]);
        }
        first = got;
    }
    for (int i = 0; i < 4; i++)
        check_free(first.x[i]), check_free(want.x[i]);
    check_free(score), check_free(h), check_free(dp);
}

static void test_pool(void **unused)
{
    (void)unused;
    uint64_t state = seed + 3;
    for (int64_t width = 1; width < 140; width += 1 + width / 10)
        for (int s = 0; s < 3; s++)
            pool_check(1 + check_below(&state, 20), width, s == 0 ? 1 : s == 1 ? 20 : 1e5, &state);
}

static void test_bce(void **unused)
{
    (void)unused;
    uint64_t state = seed + 4;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    for (int64_t units = 1; units < 2000; units += 1 + units / 3) {
        float *z = check_floats(units), *y = check_floats(units), *loss = check_floats(units), *d = check_floats(units);
        float *first[2] = {NULL, NULL};
        for (int64_t i = 0; i < units; i++) {
            do
                z[i] = argument(check_below(&state, 500), &state);
            while (!isfinite(z[i]));
            y[i] = (float)check_below(&state, 2);
            loss[i] = (float)(fmax(z[i], 0) + log1p(exp(-fabs((double)z[i]))) - (double)z[i] * y[i]);
            d[i] = (float)((sigmoid(z[i]) - y[i]) * 0.37f);
        }
        for (size_t k = 0; k < n; k++) {
            float *l = check_floats(units), *g = check_floats(units);
            b[k].ops->bce(units, z, y, 0.37f, l, g);
            check_close("bce loss", b[k].name, l, loss, units, 1, 3e-7, 5e-7);
            check_close("bce dlogit", b[k].name, g, d, units, 1, 1e-7, 5e-7);
            if (k >= 2) {
                check_same_bits("bce loss", b[k].name, l, first[0], units, 1);
                check_same_bits("bce dlogit", b[k].name, g, first[1], units, 1);
            }
            b[k].ops->bce(units, z, y, 0.37f, NULL, g);
            check_free(first[0]), check_free(first[1]);
            first[0] = l, first[1] = g;
        }
        check_free(first[0]), check_free(first[1]), check_free(z), check_free(y), check_free(loss), check_free(d);
    }
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows), cmocka_unit_test(test_activations), cmocka_unit_test(test_lstm),
        cmocka_unit_test(test_pool), cmocka_unit_test(test_bce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
