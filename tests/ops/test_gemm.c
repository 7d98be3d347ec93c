/* Would catch: a GEMM whose output is not one chain of fused multiply-adds over ascending k, at any row position, row
 * count, width, depth or distance of rows; wrong row lists; `accumulate` that adds at the end instead of starting from
 * c; a write outside the output; bits that differ between vector widths. */
#include "check.h"

static const uint64_t seed = 20240611;

struct shape {
    int64_t rows, cols, k;
};

enum direction { FORWARD, BACKWARD };

struct problem {
    struct shape s;
    enum direction direction;
    int64_t lda, ldw, ldc;
    bool lists, accumulate;
    float *a, *w, *c;
    int32_t *a_rows, *c_rows;
};

static float chain(const struct problem *p, int64_t i, int64_t j)
{
    const float *a = p->a + (p->lists ? p->a_rows[i] : i) * p->lda;
    float acc = p->accumulate ? p->c[(p->lists ? p->c_rows[i] : i) * p->ldc + j] : 0;
    for (int64_t k = 0; k < p->s.k; k++)
        acc = fmaf(a[k], p->direction == FORWARD ? p->w[j * p->ldw + k] : p->w[k * p->ldw + j], acc);
    return acc;
}

/* A matrix (rows, ld) with `width` random columns; the gap between rows keeps the guard. */
static float *matrix(int64_t rows, int64_t width, int64_t ld, uint64_t *state)
{
    float *p = check_floats(rows * ld);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++)
            p[i * ld + j] = check_uniform(state);
    return p;
}

/* n distinct rows of 2 n, in random order. */
static int32_t *row_list(int64_t n, uint64_t *state)
{
    int32_t *list = malloc((size_t)(2 * n) * sizeof *list);
    assert_non_null(list);
    for (int64_t i = 0; i < 2 * n; i++) {
        int64_t j = check_below(state, i + 1);
        list[i] = list[j];
        list[j] = (int32_t)i;
    }
    return list;
}

static struct problem problem_make(struct shape s, enum direction d, bool lists, bool accumulate, uint64_t *state)
{
    struct problem p = {.s = s, .direction = d, .lists = lists, .accumulate = accumulate};
    int64_t deep = s.k, wide = s.cols, rows = lists ? 2 * s.rows : s.rows;
    p.lda = deep + check_below(state, 4);
    p.ldw = (d == FORWARD ? deep : wide) + check_below(state, 4);
    p.ldc = wide + check_below(state, 4);
    p.a = matrix(rows, deep, p.lda, state);
    p.w = d == FORWARD ? matrix(wide, deep, p.ldw, state) : matrix(deep, wide, p.ldw, state);
    p.c = matrix(rows, wide, p.ldc, state);
    p.a_rows = row_list(s.rows, state);
    p.c_rows = row_list(s.rows, state);
    return p;
}

static void problem_free(struct problem *p)
{
    check_free(p->a);
    check_free(p->w);
    check_free(p->c);
    free(p->a_rows);
    free(p->c_rows);
}

static float *run(const struct sg_ops *ops, const struct problem *p)
{
    const struct shape *s = &p->s;
    void *packed = aligned_alloc(64, (ops->packed_bytes(s->k, s->cols) + 63) / 64 * 64);
    assert_non_null(packed);
    void *scratch = check_scratch(ops, s->k > s->cols ? s->k : s->cols, 1);
    float *c = check_copy(p->c, (p->lists ? 2 : 1) * s->rows * p->ldc);
    if (p->direction == FORWARD)
        ops->pack_forward(s->cols, s->k, p->w, p->ldw, packed);
    else
        ops->pack_backward(s->k, s->cols, p->w, p->ldw, packed);
    ops->gemm(s->rows, s->k, s->cols, p->a, p->lda, p->lists ? p->a_rows : NULL, packed, c, p->ldc,
              p->lists ? p->c_rows : NULL, p->accumulate, scratch);
    free(packed);
    free(scratch);
    return c;
}

/* Every output of every backend against the chain. */
static void check_all(struct shape s, enum direction d, bool lists, bool accumulate, uint64_t *state)
{
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    struct problem p = problem_make(s, d, lists, accumulate, state);
    int64_t rows = (lists ? 2 : 1) * s.rows;
    float *want = check_copy(p.c, rows * p.ldc);
    for (int64_t i = 0; i < s.rows; i++)
        for (int64_t j = 0; j < s.cols; j++)
            want[(lists ? p.c_rows[i] : i) * p.ldc + j] = chain(&p, i, j);
    for (size_t k = 0; k < n; k++) {
        float *got = run(b[k].ops, &p);
        char what[128];
        snprintf(what, sizeof what, "gemm %ld x %ld x %ld %s%s%s", (long)s.rows, (long)s.cols, (long)s.k,
                 d == FORWARD ? "forward" : "backward", lists ? " lists" : "", accumulate ? " accumulate" : "");
        check_same_bits(what, b[k].name, got, want, rows, p.ldc);
        check_free(got);
    }
    check_free(want);
    problem_free(&p);
}

static void test_every_row_count_and_odd_shapes(void **unused)
{
    (void)unused;
    uint64_t state = seed;
    const int64_t widths[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 65};
    for (int64_t rows = 1; rows <= 40; rows++) {
        struct shape s = {rows, widths[rows % 14], 1 + check_below(&state, 90)};
        for (int variant = 0; variant < 8; variant++)
            check_all(s, variant & 1, variant & 2, variant & 4, &state);
    }
    for (size_t w = 0; w < 14; w++) /* widths x a tile and a rest, more than one block of k and of columns */
        check_all((struct shape){13, widths[w], 300}, w & 1, w & 2, w & 4, &state);
    check_all((struct shape){5, 600, 40}, FORWARD, true, true, &state);
    check_all((struct shape){3, 257, 513}, BACKWARD, true, false, &state);
    check_all((struct shape){2050, 1030, 11}, FORWARD, true, true, &state); /* where a card takes its largest tiles */
    check_all((struct shape){1, 1, 1}, FORWARD, false, false, &state);
    check_all((struct shape){0, 5, 3}, FORWARD, false, false, &state);
}

/* At the shapes that models have: all backends alike in full, and some rows against the chain. */
static void check_shape(struct shape s, enum direction d, uint64_t *state)
{
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    struct problem p = problem_make(s, d, false, false, state);
    float *first = NULL;
    for (size_t k = n; k-- > (n > 1);) { /* the plain reference only where it is alone */
        float *got = run(b[k].ops, &p);
        if (first)
            check_same_bits("gemm between widths", b[k].name, got, first, s.rows, p.ldc);
        for (int64_t t = 0; t < 6 && !first; t++) {
            int64_t i = t == 0 ? 0 : t == 1 ? s.rows - 1 : check_below(state, s.rows);
            for (int64_t j = 0; j < s.cols; j++) {
                float want = chain(&p, i, j);
                if (check_bits(want) != check_bits(got[i * p.ldc + j]))
                    fail_msg("gemm %ld x %ld x %ld, %s: row %ld column %ld is %a, should be %a", (long)s.rows,
                             (long)s.cols, (long)s.k, b[k].name, (long)i, (long)j, (double)got[i * p.ldc + j],
                             (double)want);
            }
        }
        if (first)
            check_free(got);
        else
            first = got;
    }
    check_free(first);
    problem_free(&p);
}

static const struct shape forward_shapes[] = {{192, 256, 75},  {384, 256, 75},   {1024, 256, 74}, {384, 512, 161},
                                              {512, 384, 384}, {512, 1536, 384}, {512, 384, 1536}};
static const struct shape backward_shapes[] = {
    {192, 75, 256}, {384, 64, 256}, {384, 256, 512}, {512, 384, 1536}, {512, 1536, 384}};

static void test_shapes_of_models(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    for (size_t i = 0; i < (CHECK_EMULATED ? 2 : sizeof forward_shapes / sizeof *forward_shapes); i++)
        check_shape(forward_shapes[i], FORWARD, &state);
    for (size_t i = 0; i < (CHECK_EMULATED ? 2 : sizeof backward_shapes / sizeof *backward_shapes); i++)
        check_shape(backward_shapes[i], BACKWARD, &state);
}

/* One row in every position of batches of every size: the same bits each time. */
static void check_positions(struct shape s, uint64_t *state)
{
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    struct problem p = problem_make(s, FORWARD, false, false, state);
    float *row = check_floats(s.cols);
    for (int64_t i = 1; i < s.rows; i++)
        memcpy(p.a + i * p.lda, p.a, (size_t)s.k * sizeof *p.a);
    for (int64_t j = 0; j < s.cols; j++)
        row[j] = chain(&p, 0, j);
    for (size_t k = n > 1; k < n; k++) {
        float *got = run(b[k].ops, &p);
        for (int64_t i = 0; i < s.rows * s.cols; i++)
            if (check_bits(got[i / s.cols * p.ldc + i % s.cols]) != check_bits(row[i % s.cols]))
                fail_msg("gemm, %s: row %ld of %ld differs from the same row elsewhere at column %ld", b[k].name,
                         (long)(i / s.cols), (long)s.rows, (long)(i % s.cols));
        check_free(got);
    }
    check_free(row);
    problem_free(&p);
}

static void test_every_position(void **unused)
{
    (void)unused;
    uint64_t state = seed + 2;
    for (size_t i = 0; i < (CHECK_EMULATED ? 2 : sizeof forward_shapes / sizeof *forward_shapes); i++)
        check_positions(forward_shapes[i], &state);
    for (int64_t rows = 1; rows < 200; rows += 1 + rows / 20)
        check_positions((struct shape){rows, 256, 75}, &state);
}

/* Values that a wrong start, a flush to zero or a different order would show. */
static void test_hostile_values(void **unused)
{
    (void)unused;
    uint64_t state = seed + 3;
    const float hostile[] = {NAN, INFINITY, -INFINITY, 1e-40f, -1e-45f, 1e30f, -1e30f, 1e-30f, -0.0f, 0, 3e38f};
    struct backend b[BACKENDS_MAX];
    size_t n = check_backends(b);
    for (int round = 0; round < 60; round++) {
        struct shape s = {1 + check_below(&state, 30), 1 + check_below(&state, 70), 1 + check_below(&state, 40)};
        struct problem p = problem_make(s, round & 1, false, round & 2, &state);
        for (int64_t i = 0; i < s.rows; i++)
            for (int64_t k = 0; k < s.k; k++)
                if (check_below(&state, 8) == 0)
                    p.a[i * p.lda + k] = hostile[check_below(&state, 11)];
        float *want = check_copy(p.c, s.rows * p.ldc);
        for (int64_t i = 0; i < s.rows * s.cols; i++)
            want[i / s.cols * p.ldc + i % s.cols] = chain(&p, i / s.cols, i % s.cols);
        for (size_t k = 0; k < n; k++) {
            float *got = run(b[k].ops, &p);
            check_same_bits("hostile gemm", b[k].name, got, want, s.rows, p.ldc);
            check_free(got);
        }
        check_free(want);
        problem_free(&p);
    }
}

int main(void)
{
    print_message("seed %lu\n", (unsigned long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_count_and_odd_shapes),
        cmocka_unit_test(test_shapes_of_models),
        cmocka_unit_test(test_every_position),
        cmocka_unit_test(test_hostile_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
