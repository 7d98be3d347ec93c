/* The decisions of the sampler (noise_core.h), on integers alone: C, C++ and device code compile the same text, so that
 * a value is the same function of its words on every backend. */
#ifndef SG_NOISE_DECIDE_H
#define SG_NOISE_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __CUDACC__
#define SG_NOISE_FUNCTION static inline __host__ __device__
#else
#define SG_NOISE_FUNCTION static inline
#endif

typedef unsigned __int128 sg_u128;

/* 2^cell_bits cells of width std 2^-std_bits, 2^offset_bits grid points in each, weights of weight_bits bits.
 * cell_bits <= 2 std_bits keeps t below 1. */
struct sg_noise_shape {
    int cell_bits, std_bits, offset_bits, weight_bits;
};

enum {
    SG_NOISE_CELL_BITS = 12,
    SG_NOISE_STD_BITS = 8,
    SG_NOISE_OFFSET_BITS = 24,
    SG_NOISE_WEIGHT_BITS = 128,
    SG_NOISE_CELLS = 1 << SG_NOISE_CELL_BITS,
};

/* Walker's alias table over the cells. A column keeps its own cell with probability own 2^-128 (own has weight_bits -
 * cell_bits significant bits, at the top), else gives its alias; a column that always keeps itself has own = 0 and is
 * its own alias. `quick` holds, for the shape in use, the top 13 bits of own above the 12 bits of the alias. */
struct sg_noise_table {
    struct sg_noise_shape shape;
    sg_u128 own[SG_NOISE_CELLS];
    uint16_t alias[SG_NOISE_CELLS];
    uint32_t quick[SG_NOISE_CELLS];
};

/* All the random numbers of one attempt, as binary fractions where they are uniform on [0,1). */
struct sg_noise_draw {
    uint32_t column; /* cell_bits bits */
    sg_u128 kept;    /* 2^-128: the column's own cell or its alias */
    uint32_t offset; /* offset_bits bits: floor(J) */
    uint64_t fine;  /* 2^-64: the fraction of J; the last bit is taken as 1, the middle of what the others leave open */
    sg_u128 accept; /* 2^-128 */
    bool negative;
};

/* floor(a b / 2^128) */
SG_NOISE_FUNCTION sg_u128 noise_multiply_high(sg_u128 a, sg_u128 b)
{
    uint64_t a0 = (uint64_t)a, a1 = (uint64_t)(a >> 64), b0 = (uint64_t)b, b1 = (uint64_t)(b >> 64);
    sg_u128 low = (sg_u128)a0 * b0, cross = (sg_u128)a0 * b1, other = (sg_u128)a1 * b0, high = (sg_u128)a1 * b1;
    sg_u128 middle = (low >> 64) + (uint64_t)cross + (uint64_t)other;
    return high + (cross >> 64) + (other >> 64) + (middle >> 64);
}

/* 2^128 (1 - exp(-t)) within 2^7, t = t128 2^-128: t - t^2/2! + t^3/3! - ...; for t < 1 at most 35 terms are not zero,
 * and each is within 2 of its true value. */
SG_NOISE_FUNCTION sg_u128 noise_reject_below(sg_u128 t128)
{
    sg_u128 sum = t128, term = t128;
    for (unsigned n = 2; term; n++) {
        term = noise_multiply_high(term, t128) / n;
        sum = n % 2 ? sum + term : sum - term;
    }
    return sum;
}

/* floor(2^128 t) of the point at J = offset + fine in a cell. In units of 2^-(2F+2G+1), where the exponent of the
 * Gaussian is y^2: t = J (c 2^(F+1) - 1 + J) for c > 0, whose highest density is at J = 0; t = (J - 1/2)^2 for the
 * first cell. */
SG_NOISE_FUNCTION sg_u128 noise_exponent(const struct sg_noise_shape *shape, uint32_t cell, uint32_t offset,
                                         uint64_t fine)
{
    int f = shape->offset_bits, b = shape->cell_bits, g = shape->std_bits;
    sg_u128 j = (sg_u128)offset << 64 | fine | 1, one_half = (sg_u128)1 << 63; /* J 2^64 < 2^(F+64) */
    if (cell == 0) {
        sg_u128 away = (j > one_half ? j - one_half : one_half - j) << (64 - f);
        return noise_multiply_high(away, away) >> (2 * g + 1);
    }
    sg_u128 sum = ((((sg_u128)cell << (f + 1)) - 1) << 64) + j; /* < 2^(F+1+B+64) */
    return noise_multiply_high(j << (64 - f), sum << (63 - f - b)) >> (2 * g - b);
}

/* One attempt: false when it is rejected. */
SG_NOISE_FUNCTION bool noise_decide(const struct sg_noise_table *table, const struct sg_noise_draw *draw,
                                    int64_t *value)
{
    uint32_t cell = draw->kept < table->own[draw->column] ? draw->column : table->alias[draw->column];
    if (draw->accept < noise_reject_below(noise_exponent(&table->shape, cell, draw->offset, draw->fine)))
        return false;
    int64_t magnitude = (int64_t)cell << table->shape.offset_bits | draw->offset;
    *value = draw->negative ? -magnitude : magnitude;
    return !(draw->negative && magnitude == 0);
}

/* What the first word alone decides. The layout of a word, from bit 0: column 12, kept 13, accept (low part) 7, offset
 * 24, accept (high part) 7, sign 1. It accepts when v >= t holds for every point that the missing bits allow, since
 * 1 - exp(-t) <= t: with J < (j12 + 1) 2^12 and c 2^25 - 1 + J < (2c + 1) 2^24, t < (j12 + 1)(2c + 1) 2^-29. Zero, and
 * a few other values with the same low half, are left to the slow path for their sign. quick: of the table. */
SG_NOISE_FUNCTION bool noise_decide_quickly(const uint32_t *quick, uint64_t word, int64_t *value)
{
    uint32_t low = (uint32_t)word, high = (uint32_t)(word >> 32), column = low & 0xfff;
    uint32_t entry = quick[column], kept = low & 0x1fff000, own = entry & 0x1fff000;
    uint32_t cell = kept < own ? column : entry & 0xfff;
    uint32_t accept = (high & 0x7f000000) >> 2 | (low >> 10 & 0x3f8000); /* 14 bits, 2^-29 */
    uint32_t bound = ((high >> 12 & 0xfff) + 1) * (2 * cell + 1);
    uint64_t magnitude = (uint64_t)cell << 24 | (high & 0xffffff);
    *value = high >> 31 ? -(int64_t)magnitude : (int64_t)magnitude;
    return kept != own && accept >= bound && (uint32_t)magnitude != 0;
}

/* The same word with the bits it lacks. `more` is used as: 0, 1 rest of kept; 2, 3 rest of accept; 4 fine; 5 the next
 * attempt's first word. */
SG_NOISE_FUNCTION struct sg_noise_draw noise_extend(uint64_t word, const uint64_t more[8])
{
    uint64_t kept = word >> 12 & 0x1fff, accept = (word >> 49 & 0x3f80) | (word >> 25 & 0x7f);
    struct sg_noise_draw draw;
    draw.column = word & 0xfff;
    draw.kept = (sg_u128)kept << 115 | ((sg_u128)more[0] << 64 | more[1]) >> 13;
    draw.offset = word >> 32 & 0xffffff;
    draw.fine = more[4];
    draw.accept = (sg_u128)accept << 114 | ((sg_u128)more[2] << 64 | more[3]) >> 14;
    draw.negative = word >> 63;
    return draw;
}

#endif
