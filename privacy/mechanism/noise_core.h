/* The sampler of the grid Gaussian, apart from where its random words come from. docs/privacy-noise.md derives it.
 *
 * Ideal: a cell c of width std 2^-G on the half line from -1/2 (in grid units) is drawn with probability proportional
 * to the highest density w_c in it, a real offset J uniformly inside it, and the point y = c 2^F + J - 1/2 is kept with
 * probability exp(-t), t = -log(density(y) / w_c). Then y has a Gaussian density, and K = floor(y + 1/2) = c 2^F +
 * floor(J) with a random sign (zero with a minus is drawn again) is a Gaussian of standard deviation 2^(F+G) rounded to
 * integers.
 *
 * Real: every number is an integer; what is compared and how wide it is decides the statistical distance. The sizes are
 * parameters, so that the very same code can be enumerated over all its words where they are short. */
#ifndef SG_NOISE_CORE_H
#define SG_NOISE_CORE_H

#include "noise_decide.h"

/* The shape in use: cells of std/256 up to 16 std, grid std 2^-32. */
extern const struct sg_noise_shape sg_noise_shape;

void sg_noise_table_build(const struct sg_noise_shape *shape, struct sg_noise_table *table);

/* The integer weights (2^cell_bits) that the table reproduces: probabilities times 2^weight_bits, rounded to nearest,
 * but the first, which takes what is left so that the sum is 2^weight_bits exactly (modulo 2^128). */
void sg_noise_weights(const struct sg_noise_shape *shape, sg_u128 *weight);

/* One attempt: false when it is rejected. */
bool sg_noise_decide(const struct sg_noise_table *table, const struct sg_noise_draw *draw, int64_t *value);

/* 2^128 (1 - exp(-t)) within 2^7, t = t128 2^-128. */
sg_u128 sg_noise_reject_below(sg_u128 t128);

/* log2 of an upper bound on the statistical distance of a value from the rounded Gaussian, when `fine` has fine_bits
 * random bits and `accept` accept_bits. */
double sg_noise_tau_bound_log2(const struct sg_noise_shape *shape, int fine_bits, int accept_bits);

/* How often the rare paths were taken. */
struct sg_noise_counts {
    uint64_t slow;     /* values that their first word did not decide */
    uint64_t ties;     /* 13 bits left open whether a column keeps its cell */
    uint64_t rejected; /* attempts rejected by the density */
    uint64_t zeros;    /* attempts that gave zero with a minus */
};

struct sg_noise;
const struct sg_noise_counts *sg_noise_counts(const struct sg_noise *noise); /* since it was opened */

/* Further words for a value: block `attempt` (from 0) of the stream that belongs to value `index` alone. */
struct sg_noise_more {
    void (*block)(struct sg_noise_more *more, uint64_t index, uint32_t attempt, uint64_t word[8]);
    uint8_t key[32];
    struct sg_noise_counts counts;
};

/* sum[i] += value(first + i), decided by word[i] where that is enough, else by the words of `more`. */
typedef void sg_noise_add_fn(const struct sg_noise_table *table, struct sg_noise_more *more, const uint64_t *word,
                             uint64_t first, int64_t n, int64_t *sum);
sg_noise_add_fn sg_noise_add_scalar;
sg_noise_add_fn sg_noise_add_avx2;

/* The fastest of them that this CPU has; all give the same bits. */
sg_noise_add_fn *sg_noise_add_best(void);

#endif
