/* Catches: a cell weight that is not the true probability to 128 bits, an alias table that does not give back its
 * weights, a comparison with exp(-t) that is off by more than the derivation allows. MPFR with 400 bits is the judge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <mpfr.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "noise_core.h"

enum { BITS = 400 };

static struct sg_noise_table table;

static void set_u128(mpfr_t out, sg_u128 value)
{
    mpfr_set_uj(out, (uint64_t)(value >> 64), MPFR_RNDN);
    mpfr_mul_2ui(out, out, 64, MPFR_RNDN);
    mpfr_add_ui(out, out, (uint64_t)value, MPFR_RNDN);
}

static const struct sg_noise_shape shapes[] = {
    {SG_NOISE_CELL_BITS, SG_NOISE_STD_BITS, SG_NOISE_OFFSET_BITS, SG_NOISE_WEIGHT_BITS}, {8, 4, 3, 100}, {4, 2, 0, 20}};

/* |W_c - p_c 2^W| <= 1/2 + 2^-50 for all but the first, and at most half a unit for each of the others for the first.
 */
static void weights_are_the_nearest_integers(void **state)
{
    (void)state;
    mpfr_t density[SG_NOISE_CELLS], total, x, weight;
    mpfr_inits2(BITS, total, x, weight, NULL);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const struct sg_noise_shape *shape = &shapes[s];
        int n = 1 << shape->cell_bits;
        sg_u128 *w = sg_alloc((size_t)n, sizeof *w), sum = 0;
        sg_noise_weights(shape, w);
        mpfr_set_ui(total, 0, MPFR_RNDN);
        for (int c = 0; c < n; c++) { /* exp(-(left edge / std)^2 / 2), 1 in the first cell */
            mpfr_init2(density[c], BITS);
            mpfr_set_ui(x, c ? 1 : 0, MPFR_RNDN);
            mpfr_div_2ui(x, x, (unsigned)shape->offset_bits + 1, MPFR_RNDN);
            mpfr_ui_sub(x, (unsigned)c, x, MPFR_RNDN);
            mpfr_sqr(x, x, MPFR_RNDN);
            mpfr_div_2ui(x, x, 2 * (unsigned)shape->std_bits + 1, MPFR_RNDN);
            mpfr_neg(x, x, MPFR_RNDN);
            mpfr_exp(density[c], x, MPFR_RNDN);
            mpfr_add(total, total, density[c], MPFR_RNDN);
        }
        double worst = 0, first = 0;
        for (int c = 0; c < n; c++) {
            sum += w[c];
            mpfr_div(x, density[c], total, MPFR_RNDN);
            mpfr_mul_2ui(x, x, (unsigned)shape->weight_bits, MPFR_RNDN);
            set_u128(weight, w[c]);
            mpfr_sub(x, x, weight, MPFR_RNDN);
            mpfr_abs(x, x, MPFR_RNDN);
            if (c == 0)
                first = mpfr_get_d(x, MPFR_RNDU);
            else if (mpfr_get_d(x, MPFR_RNDU) > worst)
                worst = mpfr_get_d(x, MPFR_RNDU);
            mpfr_clear(density[c]);
        }
        printf("%d cells, %d bits: first off by %g, others by %.17g at most\n", n, shape->weight_bits, first, worst);
        assert_true(worst <= .5 + 0x1p-50);
        assert_true(first <= (n - 1) * .5);
        assert_true(sum == (shape->weight_bits == 128 ? 0 : (sg_u128)1 << shape->weight_bits));
        free(w);
    }
    mpfr_clears(total, x, weight, NULL);
}

static void columns_give_back_the_weights(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int n = 1 << shapes[s].cell_bits, column_bits = shapes[s].weight_bits - shapes[s].cell_bits;
        sg_u128 *w = sg_alloc((size_t)n, sizeof *w), *back = sg_alloc((size_t)n, sizeof *back);
        sg_noise_weights(&shapes[s], w);
        sg_noise_table_build(&shapes[s], &table);
        for (int c = 0; c < n; c++) {
            sg_u128 own = table.own[c] >> (128 - column_bits);
            assert_true(own << (128 - column_bits) == table.own[c]);
            assert_true(table.alias[c] < n);
            back[c] += own;
            back[table.alias[c]] += ((sg_u128)1 << column_bits) - own;
        }
        for (int c = 0; c < n; c++)
            assert_true(back[c] == w[c]);
        free(w);
        free(back);
    }
}

/* 2^128 (1 - exp(-t)) of t = numerator 2^-scale. */
static void reject_truth(mpfr_t out, mpfr_t t)
{
    mpfr_neg(out, t, MPFR_RNDN);
    mpfr_expm1(out, out, MPFR_RNDN);
    mpfr_neg(out, out, MPFR_RNDN);
    mpfr_mul_2ui(out, out, 128, MPFR_RNDN);
}

static sg_u128 random_u128(void)
{
    sg_u128 out;
    assert_int_equal(sg_random_bytes(&out, sizeof out), SG_OK);
    return out;
}

static void the_series_is_within_2_to_the_7(void **state)
{
    (void)state;
    mpfr_t t, truth, found;
    mpfr_inits2(BITS, t, truth, found, NULL);
    double worst = 0;
    for (int i = 0; i < 20000; i++) {
        sg_u128 t128 = i < 128 ? ~(sg_u128)0 >> i : i < 256 ? (sg_u128)1 << (i - 128) : random_u128() >> i % 40;
        set_u128(t, t128);
        mpfr_div_2ui(t, t, 128, MPFR_RNDN);
        reject_truth(truth, t);
        set_u128(found, sg_noise_reject_below(t128));
        mpfr_sub(truth, truth, found, MPFR_RNDN);
        double off = mpfr_get_d(truth, MPFR_RNDA);
        worst = off * off > worst * worst ? off : worst;
    }
    assert_true(sg_noise_reject_below(0) == 0);
    printf("worst error of the series: %g units of 2^-128\n", worst);
    assert_true(worst > -128 && worst < 128);
    mpfr_clears(t, truth, found, NULL);
}

/* The point is at y = (c 2^F + J - 1/2) h; t is its exponent less that of the cell's highest density. */
static void exponent_truth(mpfr_t t, uint32_t cell, uint32_t offset, uint64_t fine)
{
    mpfr_t y, edge;
    mpfr_inits2(BITS, y, edge, NULL);
    mpfr_set_uj(y, fine | 1, MPFR_RNDN);
    mpfr_div_2ui(y, y, 64, MPFR_RNDN);
    mpfr_add_ui(y, y, ((uint64_t)cell << 24) + offset, MPFR_RNDN);
    mpfr_sub_d(y, y, .5, MPFR_RNDN);
    mpfr_div_2ui(y, y, 32, MPFR_RNDN); /* in std */
    mpfr_sqr(y, y, MPFR_RNDN);
    mpfr_set_uj(edge, (uint64_t)cell << 24, MPFR_RNDN);
    if (cell)
        mpfr_sub_d(edge, edge, .5, MPFR_RNDN);
    mpfr_div_2ui(edge, edge, 32, MPFR_RNDN);
    mpfr_sqr(edge, edge, MPFR_RNDN);
    mpfr_sub(t, y, edge, MPFR_RNDN);
    mpfr_div_2ui(t, t, 1, MPFR_RNDN);
    mpfr_clears(y, edge, NULL);
}

static sg_u128 floor_u128(mpfr_t x)
{
    mpfr_t high;
    mpfr_init2(high, BITS);
    mpfr_div_2ui(high, x, 64, MPFR_RNDN);
    mpfr_floor(high, high);
    uint64_t top = mpfr_get_uj(high, MPFR_RNDD);
    mpfr_mul_2ui(high, high, 64, MPFR_RNDN);
    mpfr_sub(high, x, high, MPFR_RNDN);
    sg_u128 out = (sg_u128)top << 64 | mpfr_get_uj(high, MPFR_RNDD);
    mpfr_clear(high);
    return out;
}

static int column_of(uint32_t cell, sg_u128 *kept)
{
    for (int c = 0; c < SG_NOISE_CELLS; c++) {
        *kept = ~(sg_u128)0;
        if (table.alias[c] == cell && (table.own[c] < *kept))
            return c;
        *kept = 0;
        if ((uint32_t)c == cell && table.own[c])
            return c;
    }
    return -1;
}

/* An `accept` 2^7 below the true border is rejected, one 2^7 above it accepted: the exact comparison is reached, in
 * every kind of cell, at both ends of it. */
static void the_border_lies_where_it_should(void **state)
{
    (void)state;
    sg_noise_table_build(&sg_noise_shape, &table);
    mpfr_t t, truth;
    mpfr_inits2(BITS, t, truth, NULL);
    int checked = 0;
    for (int i = 0; i < 20000; i++) {
        sg_u128 random = random_u128(), kept;
        uint32_t cell = i % 8 ? (uint32_t)(random >> 100) % (i % 8 == 1 ? 3400 : 600) : 0;
        uint32_t offset = i % 3 == 0 ? 0 : i % 3 == 1 ? 0xffffff : (uint32_t)random & 0xffffff;
        uint64_t fine = i % 5 == 0 ? 0 : i % 5 == 1 ? UINT64_MAX : (uint64_t)(random >> 32);
        int column = column_of(cell, &kept);
        if (column < 0)
            continue; /* a cell without weight */
        exponent_truth(t, cell, offset, fine);
        reject_truth(truth, t);
        sg_u128 border = floor_u128(truth);
        struct sg_noise_draw draw = {
            (uint32_t)column, kept, offset, fine, border + 129, random >> 127 && (cell || offset)};
        int64_t value = 0, magnitude = (int64_t)cell << 24 | offset;
        assert_true(sg_noise_decide(&table, &draw, &value));
        assert_int_equal(value, draw.negative ? -magnitude : magnitude);
        if (border < 128)
            continue;
        draw.accept = border - 128;
        assert_false(sg_noise_decide(&table, &draw, &value));
        checked++;
    }
    printf("%d borders checked on both sides\n", checked);
    assert_true(checked > 15000);
    mpfr_clears(t, truth, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_the_nearest_integers),
        cmocka_unit_test(columns_give_back_the_weights),
        cmocka_unit_test(the_series_is_within_2_to_the_7),
        cmocka_unit_test(the_border_lies_where_it_should),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mpfr_free_cache();
    return failed;
}
