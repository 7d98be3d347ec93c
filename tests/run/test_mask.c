/* Would catch: a choice of masked words that depends on the place in a batch or on other units, that touches [CLS] or
 * [SEP], that does not change with the step, or whose shares are not 15 % and 8 : 1 : 1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mask.h"

enum { N = 102, MASK = 103, VOCABULARY = 30522 };
static const struct sg_masking masking = {7, MASK, VOCABULARY};

static void fill(int32_t *token)
{
    for (int32_t i = 0; i < N; i++)
        token[i] = 1000 + i;
}

static void test_choice(void **state)
{
    (void)state;
    const uint8_t digest[16] = {1, 2, 3}, other[16] = {9};
    int32_t a[N], b[N], row_a[N], row_b[N], target_a[N], target_b[N];
    fill(a);
    fill(b);
    int64_t n = sg_mask_unit(&masking, digest, 5, 0, N, a, row_a, target_a);
    assert_int_equal(n, 15);
    assert_int_equal(sg_mask_unit(&masking, digest, 5, 400, N, b, row_b, target_b), n);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(row_b[i], row_a[i] + 400); /* elsewhere in a batch: the same places */
        assert_int_equal(target_a[i], 1000 + row_a[i]);
        assert_in_range(row_a[i], 1, N - 2);
        assert_true(i == 0 || row_a[i] > row_a[i - 1]);
    }
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(a[0], 1000);
    assert_int_equal(a[N - 1], 1000 + N - 1);
    fill(b);
    sg_mask_unit(&masking, digest, 6, 0, N, b, row_b, target_b);
    assert_memory_not_equal(row_a, row_b, 15 * sizeof *row_a);
    fill(b);
    sg_mask_unit(&masking, other, 5, 0, N, b, row_b, target_b);
    assert_memory_not_equal(row_a, row_b, 15 * sizeof *row_a);
}

/* 30,000 choices: each share within five standard deviations. */
static void test_shares(void **state)
{
    (void)state;
    int64_t n_mask = 0, n_same = 0, n = 0, place[N] = {0};
    for (int64_t step = 0; step < 2000; step++) {
        int32_t token[N], row[N], target[N];
        const uint8_t digest[16] = {4};
        fill(token);
        int64_t found = sg_mask_unit(&masking, digest, step, 0, N, token, row, target);
        for (int64_t i = 0; i < found; i++) {
            n_mask += token[row[i]] == MASK;
            n_same += token[row[i]] == target[i];
            place[row[i]]++;
        }
        n += found;
    }
    assert_int_equal(n, 30000);
    assert_in_range(n_mask, 24000 - 347, 24000 + 347);
    assert_in_range(n_same, 3000 - 260, 3000 + 260);
    for (int i = 1; i < N - 1; i++)
        assert_in_range(place[i], 300 - 87, 300 + 87);
}

static void test_short_texts(void **state)
{
    (void)state;
    const uint8_t digest[16] = {4};
    int32_t token[3] = {101, 2000, 102}, row[1], target[1];
    assert_int_equal(sg_mask_unit(&masking, digest, 0, 0, 2, token, row, target), 0);
    assert_int_equal(sg_mask_unit(&masking, digest, 0, 0, 3, token, row, target), 1);
    assert_int_equal(target[0], 2000);
    int64_t total = 0;
    for (int64_t tokens = 2; tokens < 400; tokens++)
        total += sg_mask_count(tokens) <= sg_mask_rows_max(1, tokens);
    assert_int_equal(total, 398);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_short_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
