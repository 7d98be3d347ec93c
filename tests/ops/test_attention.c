/* Would catch: attention or its gradient further from the truth than a few roundings, a gradient that is not the
 * derivative, a unit whose bits depend on its neighbours, rows of one unit that see another's, writes between heads'
 * gaps or outside the rows, scratch that is too small, bits that differ between vector widths. */
#include "check.h"

static const uint64_t seed = 57;

struct heads {
    int64_t n_units, n_heads, width, ld, n;
    int32_t offset[8];
    float scale, *q, *k, *v, *dout;
};

struct made {
    float *lse, *out, *dq, *dk, *dv;
};

static struct heads heads_make(int64_t n_units, int64_t rows, int64_t n_heads, int64_t width, uint64_t *state)
{
    struct heads p = {.n_units = n_units, .n_heads = n_heads, .width = width};
    p.ld = n_heads * width + check_below(state, 4);
    p.scale = (float)(1 / sqrt((double)width));
    for (int64_t b = 0; b < n_units; b++)
        p.offset[b + 1] = p.offset[b] + (int32_t)(b ? 1 + check_below(state, rows) : rows);
    p.n = p.offset[n_units];
    float **all[] = {&p.q, &p.k, &p.v, &p.dout};
    for (int i = 0; i < 4; i++) {
        *all[i] = check_random(p.n * p.ld, state);
        for (int64_t j = 0; j < p.n * p.ld; j++)
            (*all[i])[j] = j % p.ld < n_heads * width ? (i < 2 ? 3 : 1) * (*all[i])[j] : check_guard();
    }
    return p;
}

static void heads_free(struct heads *p)
{
    check_free(p->q), check_free(p->k), check_free(p->v), check_free(p->dout);
}

/* Units first .. first + n alone; what is not theirs stays guard. */
static struct made run(const struct sg_ops *ops, const struct heads *p, int64_t first, int64_t n)
{
    struct made m = {check_floats(p->n * p->n_heads), check_floats(p->n * p->ld), check_floats(p->n * p->ld),
                     check_floats(p->n * p->ld), check_floats(p->n * p->ld)};
    int64_t rows = 0;
    for (int64_t b = first; b < first + n; b++)
        rows = p->offset[b + 1] - p->offset[b] > rows ? p->offset[b + 1] - p->offset[b] : rows;
    size_t bytes = ops->attention_scratch_bytes(rows, p->width);
    char *scratch = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(scratch);
    memset(scratch, 0xff, (bytes + 127) / 64 * 64);
    ops->attention(n, p->offset + first, p->n_heads, p->width, p->scale, p->q, p->k, p->v, p->ld, m.lse, m.out, p->ld,
                   scratch);
    ops->attention_backward(n, p->offset + first, p->n_heads, p->width, p->scale, p->q, p->k, p->v, p->ld, m.lse, m.out,
                            p->ld, p->dout, p->ld, m.dq, m.dk, m.dv, p->ld, scratch);
    for (size_t i = bytes; i < (bytes + 127) / 64 * 64; i++)
        assert_int_equal((unsigned char)scratch[i], 0xff);
    free(scratch);
    return m;
}

static void made_free(struct made *m)
{
    check_free(m->lse), check_free(m->out), check_free(m->dq), check_free(m->dk), check_free(m->dv);
}

static void check_all(const struct heads *p, double error)
{
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    struct made want = run(b[0].ops, p, 0, p->n_units), kept = {0};
    for (size_t k = 1; k < n; k++) {
        struct made got = run(b[k].ops, p, 0, p->n_units);
        check_close("lse", b[k].name, got.lse, want.lse, p->n, p->n_heads, 2e-6, 1e-6);
        check_close("out", b[k].name, got.out, want.out, p->n, p->ld, error, 0);
        check_close("dq", b[k].name, got.dq, want.dq, p->n, p->ld, error * sqrt((double)p->width), 0);
        check_close("dk", b[k].name, got.dk, want.dk, p->n, p->ld, error * sqrt((double)p->width), 0);
        check_close("dv", b[k].name, got.dv, want.dv, p->n, p->ld, 4 * error, 0);
        if (k > 1) {
            check_same_bits("lse", b[k].name, got.lse, kept.lse, p->n, p->n_heads);
            check_same_bits("out", b[k].name, got.out, kept.out, p->n, p->ld);
            check_same_bits("dq", b[k].name, got.dq, kept.dq, p->n, p->ld);
            check_same_bits("dk", b[k].name, got.dk, kept.dk, p->n, p->ld);
            check_same_bits("dv", b[k].name, got.dv, kept.dv, p->n, p->ld);
        }
        made_free(&kept);
        kept = got;
    }
    made_free(&kept);
    made_free(&want);
}

static void test_shapes(void **unused)
{
    (void)unused;
    uint64_t state = seed;
    const int64_t shape[][4] = {{1, 1, 1, 1},   {3, 5, 2, 3},   {4, 16, 3, 32},  {3, 17, 2, 26},   {5, 40, 4, 16},
                                {2, 63, 1, 64}, {2, 65, 2, 33}, {1, 128, 2, 32}, {1, 130, 1, 128}, {2, 200, 1, 48}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        struct heads p = heads_make(shape[i][0], shape[i][1], shape[i][2], shape[i][3], &state);
        check_all(&p, 4e-6);
        heads_free(&p);
    }
    struct heads p = heads_make(1, 512, 1, 32, &state);
    check_all(&p, 4e-6);
    heads_free(&p);
}

/* Scores of +-1000: one key takes all, and nothing overflows. */
static void test_far_scores(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    struct heads p = heads_make(2, 20, 2, 16, &state);
    for (int64_t i = 0; i < p.n * p.ld; i++)
        p.q[i] *= i % p.ld < 32 ? 64 : 1;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    struct made want = run(b[0].ops, &p, 0, 2);
    for (size_t k = 1; k < n; k++) {
        struct made got = run(b[k].ops, &p, 0, 2);
        check_close("far out", b[k].name, got.out, want.out, p.n, p.ld, 2e-4, 0);
        made_free(&got);
    }
    made_free(&want);
    heads_free(&p);
}

/* A unit alone, or beside one full of NaN: the same bits. */
static void test_neighbours(void **unused)
{
    (void)unused;
    uint64_t state = seed + 2;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    struct heads p = heads_make(3, 21, 2, 20, &state);
    for (int64_t r = p.offset[2]; r < p.offset[3]; r++)
        p.k[r * p.ld] = p.v[r * p.ld] = p.dout[r * p.ld] = NAN;
    for (size_t k = 0; k < n; k++) {
        struct made all = run(b[k].ops, &p, 0, 3), one = run(b[k].ops, &p, 1, 1);
        float *const x[] = {all.out, all.dq, all.dk, all.dv}, *const y[] = {one.out, one.dq, one.dk, one.dv};
        for (int i = 0; i < 4; i++)
            for (int64_t j = p.offset[1] * p.ld; j < p.offset[2] * p.ld; j++)
                if (check_bits(x[i][j]) != check_bits(y[i][j]))
                    fail_msg("%s: array %d of a unit has other bits alone", b[k].name, i);
        assert_true(isnan(all.out[p.offset[2] * p.ld]) && isnan(all.dv[p.offset[2] * p.ld]));
        made_free(&all);
        made_free(&one);
    }
    heads_free(&p);
}

/* Sum of dout x out in double. */
static double loss(const struct heads *p)
{
    double sum = 0;
    for (int64_t t = 0; t < p->n; t++)
        for (int64_t h = 0; h < p->n_heads; h++) {
            double e[16], total = 0;
            for (int64_t s = 0; s < p->n; s++) {
                e[s] = 0;
                for (int64_t j = h * p->width; j < (h + 1) * p->width; j++)
                    e[s] += (double)p->q[t * p->ld + j] * p->k[s * p->ld + j];
                total += e[s] = exp(p->scale * e[s]);
            }
            for (int64_t s = 0; s < p->n; s++)
                for (int64_t j = h * p->width; j < (h + 1) * p->width; j++)
                    sum += e[s] / total * p->v[s * p->ld + j] * p->dout[t * p->ld + j];
        }
    return sum;
}

static void test_gradient(void **unused)
{
    (void)unused;
    uint64_t state = seed + 3;
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    for (size_t k = 0; k < n; k++) {
        struct heads p = heads_make(1, 7, 2, 5, &state);
        struct made m = run(b[k].ops, &p, 0, 1);
        float *const x[] = {p.q, p.k, p.v}, *const g[] = {m.dq, m.dk, m.dv};
        for (int i = 0; i < 3; i++)
            for (int64_t j = 0; j < p.n * p.ld; j++) {
                if (j % p.ld >= 10)
                    continue;
                float old = x[i][j];
                x[i][j] = old + 0x1p-10f;
                double up = loss(&p), above = x[i][j];
                x[i][j] = old - 0x1p-10f;
                double slope = (up - loss(&p)) / (above - x[i][j]);
                x[i][j] = old;
                if (!(fabs(g[i][j] - slope) <= 2e-5))
                    fail_msg("%s: gradient %d at %ld is %g, should be %g", b[k].name, i, (long)j, g[i][j], slope);
            }
        made_free(&m);
        heads_free(&p);
    }
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_far_scores),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
