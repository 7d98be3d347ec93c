/* Eight values at a time; the arithmetic of noise_decide_quickly, lane by lane. Lanes that their word does
 * not decide go through the scalar code one by one. */
#include <immintrin.h>

#include "noise_core.h"

/* Splitting 8 words into low and high halves leaves them in this order. */
static const uint8_t place[8] = {0, 1, 4, 5, 2, 3, 6, 7};

static __m256i halves(__m256i a, __m256i b, int high)
{
    __m256 x = _mm256_castsi256_ps(a), y = _mm256_castsi256_ps(b);
    return _mm256_castps_si256(high ? _mm256_shuffle_ps(x, y, 0xdd) : _mm256_shuffle_ps(x, y, 0x88));
}

static void add_to(int64_t *sum, __m256i value)
{
    __m256i *at = (__m256i *)sum;
    _mm256_storeu_si256(at, _mm256_add_epi64(_mm256_loadu_si256(at), value));
}

static inline int add_eight(const struct sg_noise_table *table, const uint64_t *word, int64_t *sum)
{
    const __m256i twelve = _mm256_set1_epi32(0xfff), one = _mm256_set1_epi32(1),
                  kept_bits = _mm256_set1_epi32(0x1fff000);
    __m256i a = _mm256_loadu_si256((const __m256i *)word), b = _mm256_loadu_si256((const __m256i *)(word + 4));
    __m256i low = halves(a, b, 0), high = halves(a, b, 1), column = _mm256_and_si256(low, twelve);
    __m256i entry = _mm256_i32gather_epi32((const int *)table->quick, column, 4);
    __m256i kept = _mm256_and_si256(low, kept_bits), own = _mm256_and_si256(entry, kept_bits);
    __m256i keeps = _mm256_cmpgt_epi32(own, kept);
    __m256i cell = _mm256_and_si256(_mm256_blendv_epi8(entry, column, keeps), twelve);

    __m256i accept = _mm256_or_si256(_mm256_srli_epi32(_mm256_and_si256(high, _mm256_set1_epi32(0x7f000000)), 2),
                                     _mm256_and_si256(_mm256_srli_epi32(low, 10), _mm256_set1_epi32(0x3f8000)));
    __m256i coarse = _mm256_add_epi32(_mm256_and_si256(_mm256_srli_epi32(high, 12), twelve), one);
    __m256i bound = _mm256_madd_epi16(coarse, _mm256_add_epi32(_mm256_add_epi32(cell, cell), one));
    __m256i below = _mm256_or_si256(_mm256_slli_epi32(cell, 24), _mm256_and_si256(high, _mm256_set1_epi32(0xffffff)));
    __m256i above = _mm256_srli_epi32(cell, 8), sign = _mm256_srai_epi32(high, 31);

    __m256i open = _mm256_or_si256(_mm256_cmpeq_epi32(own, kept), _mm256_cmpgt_epi32(bound, accept));
    open = _mm256_or_si256(open, _mm256_cmpeq_epi32(below, _mm256_setzero_si256()));
    below = _mm256_andnot_si256(open, _mm256_xor_si256(below, sign));
    above = _mm256_andnot_si256(open, _mm256_xor_si256(above, sign));
    sign = _mm256_andnot_si256(open, sign);
    add_to(sum, _mm256_sub_epi64(_mm256_unpacklo_epi32(below, above), _mm256_unpacklo_epi32(sign, sign)));
    add_to(sum + 4, _mm256_sub_epi64(_mm256_unpackhi_epi32(below, above), _mm256_unpackhi_epi32(sign, sign)));
    return _mm256_movemask_ps(_mm256_castsi256_ps(open));
}

void sg_noise_add_avx2(const struct sg_noise_table *table, struct sg_noise_more *more, const uint64_t *word,
                       uint64_t first, int64_t n, int64_t *sum)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int open = add_eight(table, word + i, sum + i); open; open &= open - 1) {
            int64_t at = i + place[__builtin_ctz((unsigned)open)];
            sg_noise_add_scalar(table, more, word + at, first + (uint64_t)at, 1, sum + at);
        }
    sg_noise_add_scalar(table, more, word + i, first + (uint64_t)i, n - i, sum + i);
}
