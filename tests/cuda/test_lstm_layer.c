/* Would catch: the layer in one launch differing in any bit from the CPU's path of a GEMM and a cell for each step, in
 * either direction, with weights in shared memory or too large for it, units of unlike lengths in a block, blocks of
 * several rows of threads, columns that fill no warp. */
#include "lstm_layer.h"
#include "machine.h"

static const uint64_t seed = 97;

/* One layer: a (rows, n_in + H + 1) is [x, h, 1]. */
struct layer {
    int64_t n_units, n_in, hidden, n, longest, lda, ldy, ldg;
    int32_t *offset;
    float *w[2], *a, *dy;
};

static struct layer layer_make(int64_t n_units, int64_t longest, int64_t n_in, int64_t hidden, uint64_t *state)
{
    struct layer l = {.n_units = n_units, .n_in = n_in, .hidden = hidden, .longest = longest};
    l.lda = n_in + hidden + 1;
    l.ldy = 2 * hidden + 1;
    l.ldg = 4 * hidden + 2;
    l.offset = calloc((size_t)n_units + 1, sizeof *l.offset);
    assert_non_null(l.offset);
    for (int64_t b = 0; b < n_units; b++)
        l.offset[b + 1] = l.offset[b] + (int32_t)(b == n_units / 2 ? longest : 1 + check_below(state, longest));
    l.n = l.offset[n_units];
    for (int d = 0; d < 2; d++)
        l.w[d] = machine_random(4 * hidden, l.lda, l.lda, false, state);
    l.a = machine_random(l.n, l.lda, l.lda, false, state);
    l.dy = machine_random(l.n, 2 * hidden, l.ldy, false, state);
    for (int64_t r = 0; r < l.n; r++)
        l.a[r * l.lda + l.lda - 1] = 1;
    return l;
}

static void layer_free(struct layer *l)
{
    free(l->offset);
    check_free(l->w[0]), check_free(l->w[1]), check_free(l->a), check_free(l->dy);
}

/* Rows of step s in direction d, and those before and after. */
static int64_t walk(const struct layer *l, int d, int64_t s, int32_t *rows, int32_t *prev, int32_t *next)
{
    int64_t n = 0;
    for (int64_t b = 0; b < l->n_units; b++) {
        int32_t count = l->offset[b + 1] - l->offset[b], step = d ? -1 : 1;
        if (s >= count)
            continue;
        rows[n] = d ? l->offset[b + 1] - 1 - (int32_t)s : l->offset[b] + (int32_t)s;
        prev[n] = s > 0 ? rows[n] - step : -1;
        next[n] = s + 1 < count ? rows[n] + step : -1;
        n++;
    }
    return n;
}

static void *packed(const struct sg_ops *ops, int64_t n_out, int64_t n_in, const float *w, int64_t ldw, bool backward)
{
    void *to = aligned_alloc(64, backward ? ops->packed_bytes(n_out, n_in) : ops->packed_bytes(n_in, n_out));
    assert_non_null(to);
    (backward ? ops->pack_backward : ops->pack_forward)(n_out, n_in, w, ldw, to);
    return to;
}

/* What a direction of a layer has in memory. */
struct direction {
    float *gates, *c, *a;
};

/* The chains over x of all rows. */
static void inputs(const struct layer *l, int d, float *gates)
{
    const struct sg_ops *ops = sg_ops_cpu();
    void *x = packed(ops, 4 * l->hidden, l->n_in, l->w[d], l->lda, false),
         *scratch = check_scratch(ops, l->lda * 4, 64);
    ops->gemm(l->n, l->n_in, 4 * l->hidden, l->a, l->lda, NULL, x, gates, l->ldg, NULL, false, scratch);
    free(x);
    free(scratch);
}

static void steps(const struct layer *l, int d, struct direction *m, float *y)
{
    const struct sg_ops *ops = sg_ops_cpu();
    int64_t h = l->hidden;
    void *all = packed(ops, 4 * h, l->lda, l->w[d], l->lda, false), *scratch = check_scratch(ops, l->lda * 4, 64);
    void *bias = packed(ops, 4 * h, 1, l->w[d] + l->n_in + h, l->lda, false);
    int32_t *rows = malloc((size_t)l->n * 3 * sizeof *rows), *prev = rows + l->n, *next = prev + l->n;
    for (int64_t s = 0; s < l->longest; s++) {
        int64_t n = walk(l, d, s, rows, prev, next);
        if (s == 0)
            ops->gemm(n, 1, 4 * h, m->a + l->n_in + h, l->lda, rows, bias, m->gates, l->ldg, rows, true, scratch);
        else
            ops->gemm(n, l->lda, 4 * h, m->a, l->lda, rows, all, m->gates, l->ldg, rows, false, scratch);
        ops->lstm_forward(n, h, rows, prev, next, m->gates, l->ldg, m->c, h, y + d * h, l->ldy, m->a + l->n_in, l->lda);
    }
    free(all), free(bias), free(scratch), free(rows);
}

static void steps_back(const struct layer *l, int d, struct direction *m)
{
    const struct sg_ops *ops = sg_ops_cpu();
    int64_t h = l->hidden;
    float *dy = check_copy(l->dy, l->n * l->ldy), *dc = check_floats(l->n * h);
    void *over_h = packed(ops, 4 * h, h, l->w[d] + l->n_in, l->lda, true),
         *scratch = check_scratch(ops, l->lda * 4, 64);
    int32_t *rows = malloc((size_t)l->n * 3 * sizeof *rows), *prev = rows + l->n, *next = prev + l->n;
    for (int64_t s = l->longest - 1; s >= 0; s--) {
        int64_t n = walk(l, d, s, rows, prev, next);
        ops->lstm_backward(n, h, rows, prev, next, m->gates, l->ldg, m->c, h, dy + d * h, l->ldy, dc, h);
        if (s > 0)
            ops->gemm(n, 4 * h, h, m->gates, l->ldg, rows, over_h, dy + d * h, l->ldy, prev, true, scratch);
    }
    check_free(dy), check_free(dc);
    free(over_h), free(scratch), free(rows);
}

static void check(const struct machine *card, const char *what, const float *got, const float *want, int64_t rows,
                  int64_t ld, const char *where)
{
    float *x = machine_get(card, got, rows * ld);
    check_same_bits(what, where, x, want, rows, ld);
    check_free(x);
}

static void compare(int64_t n_units, int64_t longest, int64_t n_in, int64_t hidden, uint64_t *state)
{
    struct layer l = layer_make(n_units, longest, n_in, hidden, state);
    struct machine card = machine_card();
    struct direction want[2];
    struct sg_lstm_direction got[2];
    float *y = check_floats(l.n * l.ldy), *y_card = machine_empty(&card, l.n * l.ldy);
    int32_t *offset = machine_put_bytes(&card, l.offset, (size_t)(n_units + 1) * sizeof *offset);
    char where[64];
    snprintf(where, sizeof where, "%ld units, hidden %ld", (long)n_units, (long)hidden);
    for (int d = 0; d < 2; d++) {
        want[d] =
            (struct direction){check_floats(l.n * l.ldg), check_floats(l.n * hidden), check_copy(l.a, l.n * l.lda)};
        inputs(&l, d, want[d].gates);
        float *w = machine_put(&card, l.w[d], 4 * hidden * l.lda);
        float *pack = machine_empty(&card, (int64_t)sg_cuda_lstm_packed_bytes(hidden) / 4);
        got[d] =
            (struct sg_lstm_direction){w, pack, machine_put(&card, want[d].gates, l.n * l.ldg),
                                       machine_empty(&card, l.n * hidden), machine_put(&card, l.a, l.n * l.lda) + n_in};
        sg_cuda_lstm_pack(n_in, hidden, w, l.lda, pack);
        steps(&l, d, &want[d], y);
    }
    sg_cuda_lstm_layer_forward(n_units, offset, hidden, got, l.ldg, hidden, y_card, l.ldy, l.lda);
    check(&card, "y", y_card, y, l.n, l.ldy, where);
    for (int d = 0; d < 2; d++) {
        check(&card, "activations", got[d].gates, want[d].gates, l.n, l.ldg, where);
        check(&card, "c", got[d].c, want[d].c, l.n, hidden, where);
        check(&card, "inputs with h", got[d].h_next - n_in, want[d].a, l.n, l.lda, where);
        steps_back(&l, d, &want[d]);
    }
    float *dy = machine_put(&card, l.dy, l.n * l.ldy);
    sg_cuda_lstm_layer_backward(n_units, offset, n_in, hidden, got, l.lda, l.ldg, hidden, dy, l.ldy);
    for (int d = 0; d < 2; d++) {
        check(&card, "gradient of gates", got[d].gates, want[d].gates, l.n, l.ldg, where);
        check_free(want[d].gates), check_free(want[d].c), check_free(want[d].a);
    }
    check(&card, "dy", dy, l.dy, l.n, l.ldy, where);
    check_free(y);
    machine_close(&card);
    layer_free(&l);
}

static void test_weights_that_fit(void **unused)
{
    (void)unused;
    uint64_t state = seed;
    compare(1, 1, 1, 1, &state);
    compare(11, 7, 5, 3, &state);
    compare(17, 6, 4, 33, &state);
    compare(9, 5, 10, 64, &state);
}

static void test_weights_that_do_not(void **unused)
{
    (void)unused;
    uint64_t state = seed + 1;
    compare(5, 4, 3, 104, &state);
}

static void test_large_blocks(void **unused)
{
    (void)unused;
    uint64_t state = seed + 2;
    compare(2100, 2, 2, 2, &state);
}

int main(void)
{
    if (!sg_ops_cpu()) {
        print_message("SKIPPED: no AVX2, nothing to compare with\n");
        return 77;
    }
    print_message("seed %lu\n", (unsigned long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_that_fit),
        cmocka_unit_test(test_weights_that_do_not),
        cmocka_unit_test(test_large_blocks),
    };
    return cmocka_run_group_tests(tests, machine_group_open, machine_group_close);
}
