#include "noise_core.h"

#include <math.h>

const struct sg_noise_shape sg_noise_shape = {SG_NOISE_CELL_BITS, SG_NOISE_STD_BITS, SG_NOISE_OFFSET_BITS,
                                              SG_NOISE_WEIGHT_BITS};

sg_u128 sg_noise_reject_below(sg_u128 t128)
{
    return noise_reject_below(t128);
}

bool sg_noise_decide(const struct sg_noise_table *table, const struct sg_noise_draw *draw, int64_t *value)
{
    return noise_decide(table, draw, value);
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
        struct sg_noise_draw draw = noise_extend(word, block);
        value = INT64_MIN; /* stays when the density rejects */
        bool kept = noise_decide(table, &draw, &value);
        count(&more->counts, table, word, kept, value);
        if (kept || noise_decide_quickly(table->quick, block[5], &value))
            return value;
    }
}

void sg_noise_add_scalar(const struct sg_noise_table *table, struct sg_noise_more *more, const uint64_t *word,
                         uint64_t first, int64_t n, int64_t *sum)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t value;
        if (!noise_decide_quickly(table->quick, word[i], &value))
            value = decide_slowly(table, more, first + (uint64_t)i, word[i]);
        sum[i] += value;
    }
}

sg_noise_add_fn *sg_noise_add_best(void)
{
    return __builtin_cpu_supports("avx2") ? sg_noise_add_avx2 : sg_noise_add_scalar;
}
