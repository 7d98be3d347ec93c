/* The weights of the cells in 320-bit fixed point: 64 bits before the point, 256 behind it. Plain integers, so that the
 * table is the same on every machine and its error is a matter of counting truncations. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "noise_core.h"

enum { LIMBS = 5 }; /* least significant first */

struct fixed {
    uint64_t limb[LIMBS];
};

static struct fixed add(struct fixed a, struct fixed b)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        sg_u128 sum = (sg_u128)a.limb[i] + b.limb[i] + carry;
        a.limb[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    return a;
}

static struct fixed subtract(struct fixed a, struct fixed b)
{
    uint64_t borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        sg_u128 difference = (sg_u128)a.limb[i] - b.limb[i] - borrow;
        a.limb[i] = (uint64_t)difference;
        borrow = (uint64_t)(difference >> 64) & 1;
    }
    return a;
}

static bool less(struct fixed a, struct fixed b)
{
    for (int i = LIMBS - 1; i >= 0; i--)
        if (a.limb[i] != b.limb[i])
            return a.limb[i] < b.limb[i];
    return false;
}

static bool is_zero(struct fixed a)
{
    uint64_t any = 0;
    for (int i = 0; i < LIMBS; i++)
        any |= a.limb[i];
    return any == 0;
}

/* Truncated: at most 2^-256 too small. */
static struct fixed multiply(struct fixed a, struct fixed b)
{
    uint64_t product[2 * LIMBS] = {0};
    for (int i = 0; i < LIMBS; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < LIMBS; j++) {
            sg_u128 sum = (sg_u128)a.limb[i] * b.limb[j] + product[i + j] + carry;
            product[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
        product[i + LIMBS] = carry;
    }
    struct fixed out;
    memcpy(out.limb, product + LIMBS - 1, sizeof out.limb);
    return out;
}

static struct fixed divide_small(struct fixed a, uint32_t divisor)
{
    uint64_t rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        sg_u128 part = (sg_u128)rest << 64 | a.limb[i];
        a.limb[i] = (uint64_t)(part / divisor);
        rest = (uint64_t)(part % divisor);
    }
    return a;
}

/* 2^-bits, 0 <= bits <= 256. */
static struct fixed power(int bits)
{
    struct fixed out = {{0}};
    out.limb[(256 - bits) / 64] = (uint64_t)1 << (256 - bits) % 64;
    return out;
}

/* exp(-x) for 0 <= x <= 1 by its series: fewer than 60 terms, each within 2^-255. */
static struct fixed exp_minus(struct fixed x)
{
    struct fixed sum = power(0), term = power(0);
    for (uint32_t n = 1; !is_zero(term); n++) {
        term = divide_small(multiply(term, x), n);
        sum = n % 2 ? subtract(sum, term) : add(sum, term);
    }
    return sum;
}

/* 1/a for a >= 1 by long division, truncated. */
static struct fixed reciprocal(struct fixed a)
{
    struct fixed rest = power(0), out = {{0}};
    for (int bit = 0; bit <= 256; bit++, rest = add(rest, rest))
        if (!less(rest, a)) {
            rest = subtract(rest, a);
            out = add(out, power(bit));
        }
    return out;
}

/* The highest density in each cell, 1 in the first. Cell c > 0 begins at c - d cells, d = 2^-(F+1) (half a grid point),
 * so w_c = exp(-(c - d)^2 / 2^(2G+1)): w_(c+1) = w_c r_c with r_c = exp(-(2c + 1 - 2d) / 2^(2G+1)), r_(c+1) = r_c
 * exp(-2^-2G). */
static void densities(const struct sg_noise_shape *shape, struct fixed *density)
{
    int n = 1 << shape->cell_bits, scale = 2 * shape->std_bits + 1, f = shape->offset_bits;
    struct fixed twice_d = power(f + scale), d_squared = power(2 * f + 2 + scale), one = power(scale);
    struct fixed three = add(one, add(one, one));
    struct fixed ratio = exp_minus(subtract(three, twice_d)), ratio_step = exp_minus(power(scale - 1));
    density[0] = power(0);
    density[1] = exp_minus(add(subtract(one, twice_d), d_squared));
    for (int c = 1; c + 1 < n; c++, ratio = multiply(ratio, ratio_step))
        density[c + 1] = multiply(density[c], ratio);
}

void sg_noise_weights(const struct sg_noise_shape *shape, sg_u128 *weight)
{
    int n = 1 << shape->cell_bits, bits = shape->weight_bits;
    struct fixed *density = sg_alloc((size_t)n, sizeof *density), total = {{0}};
    densities(shape, density);
    for (int c = 0; c < n; c++)
        total = add(total, density[c]);
    struct fixed scale = reciprocal(total), half = power(bits + 1);
    sg_u128 rest = bits == 128 ? 0 : (sg_u128)1 << bits; /* modulo 2^128 */
    for (int c = 1; c < n; c++) {
        struct fixed share = add(multiply(density[c], scale), half);
        weight[c] = ((sg_u128)share.limb[3] << 64 | share.limb[2]) >> (128 - bits);
        rest -= weight[c];
    }
    weight[0] = rest;
    free(density);
}

/* Walker's method in integers. Every column has room for 2^(weight_bits - cell_bits); cells that need less are filled
 * up from cells that need more. The order of the work is part of the table: small cells last in, first out, large ones
 * ascending. */
static void fill_columns(struct sg_noise_table *table, sg_u128 *weight)
{
    int n = 1 << table->shape.cell_bits, column_bits = table->shape.weight_bits - table->shape.cell_bits;
    const sg_u128 room = (sg_u128)1 << column_bits;
    uint16_t *small = sg_alloc((size_t)n, sizeof *small), *large = sg_alloc((size_t)n, sizeof *large);
    int n_small = 0, n_large = 0, next_large = 0;
    for (int c = n - 1; c >= 0; c--)
        if (weight[c] < room)
            small[n_small++] = (uint16_t)c;
    for (int c = 0; c < n; c++)
        if (weight[c] >= room)
            large[n_large++] = (uint16_t)c;
    while (n_small) {
        uint16_t poor = small[--n_small], rich = large[next_large];
        assert(next_large < n_large);
        table->own[poor] = weight[poor] << (128 - column_bits);
        table->alias[poor] = rich;
        weight[rich] -= room - weight[poor];
        if (weight[rich] < room) {
            small[n_small++] = rich;
            next_large++;
        }
    }
    for (; next_large < n_large; next_large++) {
        assert(weight[large[next_large]] == room);
        table->own[large[next_large]] = 0;
        table->alias[large[next_large]] = large[next_large];
    }
    free(small);
    free(large);
}

void sg_noise_table_build(const struct sg_noise_shape *shape, struct sg_noise_table *table)
{
    int n = 1 << shape->cell_bits;
    assert(n <= SG_NOISE_CELLS && shape->cell_bits <= 2 * shape->std_bits && shape->weight_bits <= 128);
    assert(shape->cell_bits < shape->weight_bits && 2 * (shape->offset_bits + shape->std_bits) + 3 <= 256);
    sg_u128 *weight = sg_alloc((size_t)n, sizeof *weight);
    memset(table, 0, sizeof *table);
    table->shape = *shape;
    sg_noise_weights(shape, weight);
    fill_columns(table, weight);
    for (int c = 0; c < n; c++)
        table->quick[c] = (uint32_t)(table->own[c] >> 115) << 12 | table->alias[c];
    free(weight);
}
