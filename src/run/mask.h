/* The masked-language-model objective (Devlin et al. 2019, section 3.1): 15 % of a text's words are asked for; of those
 * 8 in 10 are replaced by [MASK], 1 by any token, 1 stays. */
#ifndef SG_RUN_MASK_H
#define SG_RUN_MASK_H

#include <stdint.h>

/* How many of a text's n tokens ([CLS] and [SEP] among them) are asked for: 15 % of the others, at least one of any. */
int64_t sg_mask_count(int64_t n_tokens);
/* The most for so many units and rows together. */
int64_t sg_mask_rows_max(int64_t units_max, int64_t rows_max);

struct sg_masking {
    uint64_t seed;      /* public: the choice is a function of (seed, unit, step, place in the text) */
    int32_t mask_token; /* id of [MASK] */
    int64_t vocabulary;
};

/* Chooses among one unit's tokens and changes them in place. row[i] (ascending, from first_row) and target[i] get where
 * and what is asked for; returns how many. */
int64_t sg_mask_unit(const struct sg_masking *masking, const uint8_t digest[16], int64_t step, int32_t first_row,
                     int64_t n_tokens, int32_t *token, int32_t *row, int32_t *target);

#endif
