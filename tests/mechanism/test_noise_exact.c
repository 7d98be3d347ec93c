/* Catches: a sampler whose law is further from the rounded Gaussian than sg_noise_tau_bound_log2 says. The code in use
 * is run with short words over every value that they can take, and the law that comes out is compared with the exact
 * one. Also catches a first word that decides otherwise than the full comparison would. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "noise_core.h"

static struct sg_noise_table table;

enum { GRID_MAX = 1 << 12 };

/* chance[k] of magnitude k with a plus, then with a minus, in one attempt. */
struct law {
    long double plus[GRID_MAX], minus[GRID_MAX];
    int n;
};
static struct law law, other;

/* Half of what a fraction of `bits` bits leaves open is added, as the spare last bit of `fine` does in use. */
static uint64_t fine_word(uint64_t word, int bits)
{
    return (word << 1 | 1) << (63 - bits);
}
static sg_u128 fraction(uint64_t word, int bits)
{
    return bits ? (sg_u128)word << (128 - bits) : 0;
}

/* Every word of every length. */
static void enumerate(const struct sg_noise_shape *shape, int fine_bits, int accept_bits, struct law *out)
{
    int kept_bits = shape->weight_bits - shape->cell_bits;
    long double unit = ldexpl(1, -shape->weight_bits - shape->offset_bits - fine_bits - accept_bits - 1);
    *out = (struct law){.n = 1 << (shape->cell_bits + shape->offset_bits)};
    struct sg_noise_draw draw;
    for (uint64_t column = 0; column < 1u << shape->cell_bits; column++)
        for (uint64_t kept = 0; kept < 1u << kept_bits; kept++)
            for (uint64_t offset = 0; offset < 1u << shape->offset_bits; offset++)
                for (uint64_t fine = 0; fine < 1u << fine_bits; fine++)
                    for (uint64_t rest = 0; rest < 2u << accept_bits; rest++) {
                        draw = (struct sg_noise_draw){
                            (uint32_t)column,           fraction(kept, kept_bits),        (uint32_t)offset,
                            fine_word(fine, fine_bits), fraction(rest >> 1, accept_bits), rest & 1};
                        int64_t value;
                        if (sg_noise_decide(&table, &draw, &value))
                            *(value < 0 ? &out->minus[-value] : &out->plus[value]) += unit;
                    }
}

/* How many of the `accept` words are turned down; decide is monotone in them. */
static uint64_t count_rejects(struct sg_noise_draw draw, int bits)
{
    uint64_t low = 0, high = (uint64_t)1 << bits;
    int64_t value;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        draw.accept = fraction(middle, bits);
        if (sg_noise_decide(&table, &draw, &value))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int64_t cell_of(uint32_t column, sg_u128 kept)
{
    struct sg_noise_draw draw = {column, kept, 0, 0, ~(sg_u128)0, false};
    int64_t value = -1;
    assert_true(sg_noise_decide(&table, &draw, &value));
    return value >> table.shape.offset_bits;
}

static uint64_t count_kept(uint32_t column, int bits)
{
    uint64_t low = 0, high = (uint64_t)1 << bits;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (cell_of(column, fraction(middle, bits)) == column)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The same law for longer words: where the answer is monotone in a word, the border is found by bisection. */
static void bisect(const struct sg_noise_shape *shape, int fine_bits, int accept_bits, struct law *out)
{
    int n_cells = 1 << shape->cell_bits, kept_bits = shape->weight_bits - shape->cell_bits;
    long double *cell = sg_alloc((size_t)n_cells, sizeof *cell), words = ldexpl(1, kept_bits);
    for (int c = 0; c < n_cells; c++) {
        long double kept = (long double)count_kept((uint32_t)c, kept_bits);
        cell[c] += kept / words / n_cells;
        if (kept < words)
            cell[cell_of((uint32_t)c, ~(sg_u128)0)] += (words - kept) / words / n_cells;
    }
    *out = (struct law){.n = n_cells << shape->offset_bits};
    for (int c = 0; c < n_cells; c++) {
        uint32_t column = 0; /* any column and word that give this cell */
        while (cell_of(column, 0) != c && cell_of(column, ~(sg_u128)0) != c && column + 1 < (uint32_t)n_cells)
            column++;
        sg_u128 kept = cell_of(column, 0) == c ? 0 : ~(sg_u128)0;
        for (uint64_t at = 0; at < (uint64_t)1 << (shape->offset_bits + fine_bits); at++) {
            struct sg_noise_draw draw = {column, kept, (uint32_t)(at >> fine_bits), 0, 0, false};
            draw.fine = fine_word(at & (((uint64_t)1 << fine_bits) - 1), fine_bits);
            long double accepted = 1 - ldexpl((long double)count_rejects(draw, accept_bits), -accept_bits);
            int64_t k = (int64_t)c << shape->offset_bits | draw.offset;
            long double mass = cell[c] * ldexpl(accepted, -shape->offset_bits - fine_bits) / 2;
            out->plus[k] += mass;
            out->minus[k] += k ? mass : 0;
        }
    }
    free(cell);
}

/* Mass of the standard Gaussian between a >= 0 and b (a may be below 0 by half a grid point). */
static long double mass(long double a, long double b)
{
    return a < 0 ? erfl(b * M_SQRT1_2) / 2 - erfl(a * M_SQRT1_2) / 2
                 : (erfcl(a * M_SQRT1_2) - erfcl(b * M_SQRT1_2)) / 2;
}

/* Statistical distance of the law of kept attempts from the Gaussian rounded to the grid. */
static long double distance(const struct sg_noise_shape *shape, const struct law *real)
{
    long double total = 0, sum = 0, h = ldexpl(1, -shape->offset_bits - shape->std_bits);
    for (int k = 0; k < real->n; k++)
        total += real->plus[k] + real->minus[k];
    assert_true(total > .5L);
    for (int k = 0; k < real->n; k++) {
        long double ideal = mass((k - .5L) * h, (k + .5L) * h);
        sum += fabsl(real->plus[k] / total - ideal) + (k ? fabsl(real->minus[k] / total - ideal) : 0);
    }
    return (sum + erfcl((real->n - .5L) * h * M_SQRT1_2)) / 2;
}

static long double check_bound(const char *how, const struct sg_noise_shape *shape, int fine_bits, int accept_bits,
                               const struct law *real)
{
    long double found = distance(shape, real), bound = exp2l(sg_noise_tau_bound_log2(shape, fine_bits, accept_bits));
    printf("%s, cells 2^%d of std 2^-%d, 2^%d points, weights %d, fine %d, accept %d: distance %.3Lg, bound %.3Lg\n",
           how, shape->cell_bits, shape->std_bits, shape->offset_bits, shape->weight_bits, fine_bits, accept_bits,
           found, bound);
    assert_true(found <= bound);
    assert_true(found >= bound / 500); /* a bound that has lost touch would hide a mistake */
    return found;
}

static void every_word_is_enumerated(void **state)
{
    (void)state;
    const struct {
        struct sg_noise_shape shape;
        int fine_bits, accept_bits;
    } cases[] = {
        {{4, 2, 2, 10}, 1, 6}, {{4, 2, 1, 11}, 2, 5}, {{5, 3, 2, 9}, 1, 7}, {{4, 2, 0, 9}, 2, 8}, {{4, 2, 3, 8}, 0, 9}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sg_noise_shape *shape = &cases[i].shape;
        sg_noise_table_build(shape, &table);
        enumerate(shape, cases[i].fine_bits, cases[i].accept_bits, &law);
        check_bound("all words", shape, cases[i].fine_bits, cases[i].accept_bits, &law);
        bisect(shape, cases[i].fine_bits, cases[i].accept_bits, &other);
        for (int k = 0; k < law.n; k++) { /* so that bisection may be believed below */
            assert_true(fabsl(law.plus[k] - other.plus[k]) < 1e-17L);
            assert_true(fabsl(law.minus[k] - other.minus[k]) < 1e-17L);
        }
    }
}

static void longer_words_are_closer(void **state)
{
    (void)state;
    const struct {
        struct sg_noise_shape shape;
        int fine_bits, accept_bits;
    } cases[] = {{{8, 4, 2, 16}, 4, 12}, {{8, 4, 2, 20}, 4, 16}, {{8, 4, 2, 24}, 5, 20}};
    long double last = 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sg_noise_table_build(&cases[i].shape, &table);
        bisect(&cases[i].shape, cases[i].fine_bits, cases[i].accept_bits, &law);
        long double found =
            check_bound("by bisection", &cases[i].shape, cases[i].fine_bits, cases[i].accept_bits, &law);
        assert_true(found < last / 8); /* 4 more bits: about 16 times closer */
        last = found;
    }
}

/* With the middle of a grid point standing for all of it, the law is the density at the grid points, h^2 / 50 away;
 * every bit of `fine` brings a factor of 4. */
static void fine_bits_round_the_gaussian(void **state)
{
    (void)state;
    const struct sg_noise_shape shape = {8, 4, 2, 60};
    sg_noise_table_build(&shape, &table);
    long double last = 0;
    for (int fine_bits = 0; fine_bits <= 4; fine_bits++) {
        bisect(&shape, fine_bits, 60, &law);
        long double found = check_bound("by bisection", &shape, fine_bits, 60, &law);
        if (fine_bits == 0)
            assert_true(fabsl(found / (ldexpl(1, -12) / 50) - 1) < .1L);
        else
            assert_true(fabsl(found / last - .25L) < .01L);
        last = found;
    }
}

/* What the bits after the first word are in this test: all of one kind, or random. */
static uint64_t more_bits[8];
static void fixed_block(struct sg_noise_more *more, uint64_t index, uint32_t attempt, uint64_t word[8])
{
    (void)more, (void)index, (void)attempt;
    memcpy(word, more_bits, sizeof more_bits);
}

/* The layout of noise_core.h, written down a second time. */
static struct sg_noise_draw read_word(uint64_t word, const uint64_t more[8])
{
    struct sg_noise_draw draw = {.column = word & 4095, .offset = (word >> 32) & 0xffffff, .negative = word >> 63};
    uint64_t accept = ((word >> 56) & 127) * 128 + ((word >> 25) & 127);
    draw.kept = ((sg_u128)((word >> 12) & 8191) << 115) + (((sg_u128)more[0] << 64 | more[1]) >> 13);
    draw.accept = ((sg_u128)accept << 114) + (((sg_u128)more[2] << 64 | more[3]) >> 14);
    draw.fine = more[4];
    return draw;
}

static void check_word(uint64_t word, struct sg_noise_more *more, uint64_t *quick)
{
    uint64_t slow_before = more->counts.slow;
    int64_t value = 0;
    sg_noise_add_scalar(&table, more, &word, 0, 1, &value);
    if (more->counts.slow != slow_before)
        return;
    ++*quick;
    for (int kind = 0; kind < 3; kind++) {
        uint64_t bits[8];
        memset(bits, kind == 1 ? 255 : 0, sizeof bits);
        int64_t full = 0;
        struct sg_noise_draw draw = read_word(word, kind == 2 ? more_bits : bits);
        assert_true(sg_noise_decide(&table, &draw, &full));
        assert_int_equal(full, value);
    }
}

static void a_first_word_decides_as_the_full_comparison(void **state)
{
    (void)state;
    sg_noise_table_build(&sg_noise_shape, &table);
    assert_int_equal(sg_random_bytes(more_bits, sizeof more_bits), SG_OK);
    struct sg_noise_more more = {.block = fixed_block};
    more_bits[5] = (uint64_t)127 << 56 | 0xffffffull << 32 |
                   (uint64_t)127 << 25; /* a word that is always accepted ends every walk */
    more_bits[5] |= table.quick[0] >> 12 == 0 ? 1 << 12 : 0;
    uint64_t quick = 0, seed = more_bits[0], border = 0;
    for (int i = 0; i < 1000000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t word = seed ^ seed >> 29;
        check_word(word, &more, &quick);
        /* The same word with the smallest `accept` that is quick, and the one below it: at the border of the bound. */
        uint32_t entry = table.quick[word & 4095], kept = (uint32_t)(word >> 12) & 8191;
        uint64_t cell = kept < entry >> 12 ? word & 4095 : entry & 4095, coarse = (word >> 44) & 4095;
        uint64_t accept = ((coarse + 1) * (2 * cell + 1) + 32767) >> 15;
        for (int below = 0; below < 2 && accept; below++, accept--) {
            uint64_t at =
                (word & ~((uint64_t)127 << 56 | (uint64_t)127 << 25)) | accept >> 7 << 56 | (accept & 127) << 25;
            uint64_t before = quick;
            check_word(at, &more, &quick);
            border += quick != before;
            if (below)
                assert_int_equal(quick, before);
        }
    }
    assert_true(quick > 1900000 && border > 900000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_is_enumerated),
        cmocka_unit_test(longer_words_are_closer),
        cmocka_unit_test(fine_bits_round_the_gaussian),
        cmocka_unit_test(a_first_word_decides_as_the_full_comparison),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
