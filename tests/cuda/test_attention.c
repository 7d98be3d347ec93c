/* Would catch: attention of the card, or its gradient, that differs from the CPU's in any bit, for units of every
 * length about a warp's and a block's tile, heads of any width, short and long units in one call; a unit whose bits
 * depend on its neighbours or on their number; NaN that spreads; writes between heads' gaps or outside the rows. */
#include "machine.h"

static const uint64_t seed = 83;

#define UNITS_MAX 24

struct heads {
    int64_t n_units, n_heads, width, ld, n;
    int32_t offset[UNITS_MAX + 1];
    float scale, *q, *k, *v, *dout;
    int64_t first, some; /* the units that are run */
};

static struct heads heads_make(const int32_t *lengths, int64_t n_units, int64_t n_heads, int64_t width, bool wild,
                               uint64_t *state)
{
    struct heads h = {.n_units = n_units, .n_heads = n_heads, .width = width, .some = n_units};
    assert_true(n_units <= UNITS_MAX);
    h.ld = n_heads * width + check_below(state, 4);
    h.scale = (float)(1 / sqrt((double)width));
    for (int64_t b = 0; b < n_units; b++)
        h.offset[b + 1] = h.offset[b] + lengths[b];
    h.n = h.offset[n_units];
    float **all[] = {&h.q, &h.k, &h.v, &h.dout};
    for (int i = 0; i < 4; i++) {
        *all[i] = machine_random(h.n, n_heads * width, h.ld, wild, state);
        for (int64_t j = 0; j < h.n * h.ld && i < 2; j++)
            if (check_bits((*all[i])[j]) != GUARD_BITS)
                (*all[i])[j] *= 3;
    }
    return h;
}

static void heads_free(struct heads *h)
{
    check_free(h->q), check_free(h->k), check_free(h->v), check_free(h->dout);
}

static struct made run_attention(struct machine *m, const void *in)
{
    const struct heads *h = in;
    struct made made = {.n = 0};
    int64_t floats = h->n * h->ld, rows = 0;
    float *q = machine_put(m, h->q, floats), *k = machine_put(m, h->k, floats), *v = machine_put(m, h->v, floats);
    float *dout = machine_put(m, h->dout, floats), *lse = machine_empty(m, h->n * h->n_heads);
    float *out = machine_empty(m, floats), *dq = machine_empty(m, floats), *dk = machine_empty(m, floats);
    float *dv = machine_empty(m, floats);
    int32_t *offset = (int32_t *)machine_put_bytes(m, h->offset, sizeof h->offset) + h->first;
    for (int64_t b = 0; b < h->n_units; b++)
        rows = h->offset[b + 1] - h->offset[b] > rows ? h->offset[b + 1] - h->offset[b] : rows;
    float *scratch = machine_empty(m, (int64_t)m->ops->attention_scratch_bytes(rows, h->width) / 4 + 16);
    scratch += (64 - (uintptr_t)scratch % 64) % 64 / 4;
    m->ops->attention(h->some, offset, h->n_heads, h->width, h->scale, q, k, v, h->ld, lse, out, h->ld, scratch);
    m->ops->attention_backward(h->some, offset, h->n_heads, h->width, h->scale, q, k, v, h->ld, lse, out, h->ld, dout,
                               h->ld, dq, dk, dv, h->ld, scratch);
    made_add(&made, m, "lse", lse, h->n, h->n_heads);
    made_add(&made, m, "out", out, h->n, h->ld);
    made_add(&made, m, "dq", dq, h->n, h->ld);
    made_add(&made, m, "dk", dk, h->n, h->ld);
    made_add(&made, m, "dv", dv, h->n, h->ld);
    return made;
}

static void compare(const int32_t *lengths, int64_t n_units, int64_t n_heads, int64_t width, bool wild, uint64_t *state)
{
    char text[96];
    struct heads h = heads_make(lengths, n_units, n_heads, width, wild, state);
    snprintf(text, sizeof text, "%ld heads of %ld, first unit of %d rows%s", (long)n_heads, (long)width, lengths[0],
             wild ? ", wild" : "");
    machine_compare(run_attention, &h, text);
    heads_free(&h);
}

/* Every length about the tiles of 8, 16, 32 and 64, short and long units side by side. */
static void test_lengths(void **unused)
{
    (void)unused;
    static const int32_t lengths[] = {6, 1, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 2, 63, 64, 65, 3, 80};
    uint64_t state = seed;
    compare(lengths, sizeof lengths / sizeof *lengths, 2, 5, false, &state);
    compare(lengths, sizeof lengths / sizeof *lengths, 1, 16, true, &state);
}

/* Widths about the columns staged at a time and those of one product, and heads that are several products. */
static void test_widths(void **unused)
{
    (void)unused;
    static const int64_t widths[] = {1, 3, 4, 15, 17, 31, 32, 33, 48, 63, 64, 65, 100, 130};
    uint64_t state = seed + 1;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        compare((const int32_t[]){6, 37, 20}, 3, 1 + (int64_t)i % 3, widths[i], false, &state);
}

static void test_long_units(void **unused)
{
    (void)unused;
    uint64_t state = seed + 2;
    compare((const int32_t[]){200, 5}, 2, 2, 32, false, &state);
    compare((const int32_t[]){300}, 1, 1, 12, false, &state);
    compare((const int32_t[]){129}, 1, 1, 64, false, &state);
}

/* Scores of every size, not finite numbers in single rows. */
static void test_wild(void **unused)
{
    (void)unused;
    uint64_t state = seed + 3;
    compare((const int32_t[]){3, 12, 30, 1, 70}, 5, 2, 9, true, &state);
    struct heads h = heads_make((const int32_t[]){20, 40}, 2, 2, 16, false, &state);
    for (int64_t i = 0; i < h.n * h.ld; i++)
        if (check_bits(h.q[i]) != GUARD_BITS)
            h.q[i] *= 500; /* one key takes all */
    h.k[3 * h.ld] = INFINITY;
    h.q[25 * h.ld] = -INFINITY;
    machine_compare(run_attention, &h, "far scores");
    heads_free(&h);
}

/* Units alone, or with others of which one is full of NaN: the same bits. */
static void test_neighbours(void **unused)
{
    (void)unused;
    uint64_t state = seed + 4;
    struct heads h = heads_make((const int32_t[]){7, 21, 90, 40, 12}, 5, 2, 20, false, &state);
    for (int64_t r = h.offset[3]; r < h.offset[4]; r++)
        h.k[r * h.ld] = h.v[r * h.ld] = h.dout[r * h.ld] = NAN;
    struct machine card = machine_card();
    struct made all = run_attention(&card, &h);
    for (int64_t b = 0; b < h.n_units; b++) {
        struct heads one = h;
        one.first = b, one.some = 1;
        struct made alone = run_attention(&card, &one);
        for (int i = 0; i < all.n; i++)
            for (int64_t j = h.offset[b] * all.part[i].ld; j < h.offset[b + 1] * all.part[i].ld; j++)
                if (check_bits(all.part[i].x[j]) != check_bits(alone.part[i].x[j]))
                    fail_msg("%s of unit %ld has other bits alone", all.part[i].what, (long)b);
        made_free(&alone);
    }
    for (int64_t i = 0; i < h.offset[3] * h.ld; i++)
        assert_true(check_bits(all.part[1].x[i]) == GUARD_BITS || isfinite(all.part[1].x[i]));
    assert_true(isnan(all.part[1].x[h.offset[3] * h.ld]));
    made_free(&all);
    machine_close(&card);
    heads_free(&h);
}

static void test_empty(void **unused)
{
    (void)unused;
    const struct sg_ops *ops = sg_ops_cuda();
    assert_true(ops->attention_scratch_bytes(4096, 64) > 0);
    ops->attention(0, NULL, 2, 8, 1, NULL, NULL, NULL, 16, NULL, NULL, 16, NULL);
    ops->attention_backward(0, NULL, 2, 8, 1, NULL, NULL, NULL, 16, NULL, NULL, 16, NULL, 16, NULL, NULL, NULL, 16,
                            NULL);
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
        cmocka_unit_test(test_lengths), cmocka_unit_test(test_widths),     cmocka_unit_test(test_long_units),
        cmocka_unit_test(test_wild),    cmocka_unit_test(test_neighbours), cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, machine_group_open, machine_group_close);
}
