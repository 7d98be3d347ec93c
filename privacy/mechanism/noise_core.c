#include "noise_core.h"

#include <math.h>

const struct sg_noise_shape sg_noise_shape = {SG_NOISE_CELL_BITS, SG_NOISE_STD_BITS, SG_NOISE_OFFSET_BITS,
                                              SG_NOISE_WEIGHT_BITS};

/* floor(a b / 2^128) */
static sg_u128 multiply_high(sg_u128 a, sg_u128 b)
{
    uint64_t a0 = (uint64_t)a, a1 = (uint64_t)(a >> 64), b0 = (uint64_t)b, b1 = (uint64_t)(b >> 64);
    sg_u128 low = (sg_u128)a0 * b0, cross = (sg_u128)a0 * b1, other = (sg_u128)a1 * b0, high = (sg_u128)a1 * b1;
    sg_u128 middle = (low >> 64) + (uint64_t)cross + (uint64_t)other;
    return high + (cross >> 64) + (other >> 64) + (middle >> 64);
}

/* 1 - exp(-t) = t - t^2/2! + t^3/3! - ...; for t < 1 at most 35 terms are not zero, and each is within 2 of its true
 * value. */
sg_u128 sg_noise_reject_below(sg_u128 t128)
{
    sg_u128 sum = t128, term = t128;
    for (unsigned n = 2; term; n++) {
        term = multiply_high(term, t128) / n;
        sum = n % 2 ? sum + term : sum - term;
    }
    return sum;
}

/* floor(2^128 t) of the point at J = offset + fine in a cell. In units of 2^-(2F+2G+1), where the exponent of the
 * Gaussian is y^2: t = J (c 2^(F+1) - 1 + J) for c > 0, whose highest density is at J = 0; t = (J - 1/2)^2 for the
 * first cell. */
static sg_u128 exponent(const struct sg_noise_shape *shape, uint32_t cell, uint32_t offset, uint64_t fine)
{
    int f = shape->offset_bits, b = shape->cell_bits, g = shape->std_bits;
    sg_u128 j = (sg_u128)offset << 64 | fine | 1, half = (sg_u128)1 << 63; /* J 2^64 < 2^(F+64) */
    if (cell == 0) {
        sg_u128 away = (j > half ? j - half : half - j) << (64 - f);
        return multiply_high(away, away) >> (2 * g + 1);
    }
    sg_u128 sum = ((((sg_u128)cell << (f + 1)) - 1) << 64) + j; /* < 2^(F+1+B+64) */
    return multiply_high(j << (64 - f), sum << (63 - f - b)) >> (2 * g - b);
}

bool sg_noise_decide(const struct sg_noise_table *table, const struct sg_noise_draw *draw, int64_t *value)
{
    uint32_t cell = draw->kept < table->own[draw->column] ? draw->column : table->alias[draw->column];
    if (draw->accept < sg_noise_reject_below(exponent(&table->shape, cell, draw->offset, draw->fine)))
        return false;
    int64_t magnitude = (int64_t)cell << table->shape.offset_bits | draw->offset;
    *value = draw->negative ? -magnitude : magnitude;
    return !(draw->negative && magnitude == 0);
}

/* Derived in docs/privacy-noise.md, section 3: the sum of what table, comparison and the middle of `fine` may be off in
 * one attempt, over the probability (at least a half) that an attempt is kept; and the mass behind the last cell. */
double sg_noise_tau_bound_log2(const struct sg_noise_shape *shape, int fine_bits, int accept_bits)
{
    int f = shape->offset_bits, g = shape->std_bits;
    double table = ldexp(1, shape->cell_bits - 1 - shape->weight_bits);
    double comparison = ldexp(1, -accept_bits) + ldexp(1, -121);
    double middle = ldexp(1, -2 * (fine_bits + f + g) - 3);
    double tail = erfc((ldexp(1, shape->cell_bits - g) - ldexp(1, -f - g - 1)) * M_SQRT1_2);
    return log2(2 * (table + comparison + middle) + tail);
}

/* What the first word alone decides. It accepts when v >= t holds for every point that the missing bits allow, since
 * 1 - exp(-t) <= t: with J < (j12 + 1) 2^12 and c 2^25 - 1 + J < (2c + 1) 2^24, t < (j12 + 1)(2c + 1) 2^-29. Zero, and
 * a few other values with the same low half, are left to the slow path for their sign. */
static inline bool decide_quickly(const struct sg_noise_table *table, uint64_t word, int64_t *value)
{
    uint32_t low = (uint32_t)word, high = (uint32_t)(word >> 32), column = low & 0xfff;
    uint32_t entry = table->quick[column], kept = low & 0x1fff000, own = entry & 0x1fff000;
    uint32_t cell = kept < own ? column : entry & 0xfff;
    uint32_t accept = (high & 0x7f000000) >> 2 | (low >> 10 & 0x3f8000); /* 14 bits, 2^-29 */
    uint32_t bound = ((high >> 12 & 0xfff) + 1) * (2 * cell + 1);
    uint64_t magnitude = (uint64_t)cell << 24 | (high & 0xffffff);
    *value = high >> 31 ? -(int64_t)magnitude : (int64_t)magnitude;
    return kept != own && accept >= bound && (uint32_t)magnitude != 0;
}

/* The same word with the bits it lacks. `more` is used as: 0, 1 rest of kept; 2, 3 rest of accept; 4 fine; 5 the next
 * attempt's first word. */
static struct sg_noise_draw extend(uint64_t word, const uint64_t more[8])
{
    uint64_t kept = word >> 12 & 0x1fff, accept = (word >> 49 & 0x3f80) | (word >> 25 & 0x7f);
    return (struct sg_noise_draw){
        .column = word & 0xfff,
        .kept = (sg_u128)kept << 115 | ((sg_u128)more[0] << 64 | more[1]) >> 13,
        .offset = word >> 32 & 0xffffff,
        .fine = more[4],
        .accept = (sg_u128)accept << 114 | ((sg_u128)more[2] << 64 | more[3]) >> 14,
        .negative = word >> 63,
    };
}

static void count(struct sg_noise_counts *counts, const struct sg_noise_table *table, uint64_t word, bool kept,
                  int64_t value)
{
    counts->ties += (word & 0x1fff000) == (table->quick[word & 0xfff] & 0x1fff000);
    counts->zeros += !kept && value == 0;
    counts->rejected += !kept && value != 0;
}

static int64_t decide_slowly(const struct sg_noise_table *table, struct sg_noise_more *more, uint64_t index,
                             uint64_t word)
{
    int64_t value = 0;
    uint64_t block[8];
    more->counts.slow++;
    for (uint32_t attempt = 0;; attempt++, word = block[5]) {
        more->block(more, index, attempt, block);
        struct sg_noise_draw draw = extend(word, block);
        value = INT64_MIN; /* stays when the density rejects */
        bool kept = sg_noise_decide(table, &draw, &value);
        count(&more->counts, table, word, kept, value);
        if (kept || decide_quickly(table, block[5], &value))
            return value;
    }
}

void sg_noise_add_scalar(const struct sg_noise_table *table, struct sg_noise_more *more, const uint64_t *word,
                         uint64_t first, int64_t n, int64_t *sum)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t value;
        if (!decide_quickly(table, word[i], &value))
            value = decide_slowly(table, more, first + (uint64_t)i, word[i]);
        sum[i] += value;
    }
}

sg_noise_add_fn *sg_noise_add_best(void)
{
    return __builtin_cpu_supports("avx2") ? sg_noise_add_avx2 : sg_noise_add_scalar;
}
