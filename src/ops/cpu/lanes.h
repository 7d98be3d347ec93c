/* The few vector operations that the CPU kernels are written in, once for AVX2 (8 floats) and once for AVX-512 (16).
 *
 * Kernels are compiled twice against this header. Nothing here adds across lanes: every reduction is written out by its
 * kernel over SG_SUM_LANES lanes in one order, so that both widths give the same bits. */
#ifndef SG_OPS_CPU_LANES_H
#define SG_OPS_CPU_LANES_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SG_INLINE static inline __attribute__((always_inline))

/* Sums over lanes are defined over this many lanes, whatever the width of the machine's vectors. */
#define SG_SUM_LANES 16

#ifdef __AVX512F__

#define SG_LANES 16
typedef __m512 vf;  /* floats */
typedef __m512d vd; /* doubles, half as many */

SG_INLINE vf vf_zero(void)
{
    return _mm512_setzero_ps();
}
SG_INLINE vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}
SG_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
SG_INLINE void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
SG_INLINE __mmask16 lane_mask(int64_t n)
{
    return (__mmask16)((1u << n) - 1);
}
/* The first n lanes (0 .. SG_LANES); the others read as zero. */
SG_INLINE vf vf_load_first(const float *p, int64_t n)
{
    return _mm512_maskz_loadu_ps(lane_mask(n), p);
}
SG_INLINE void vf_store_first(float *p, vf x, int64_t n)
{
    _mm512_mask_storeu_ps(p, lane_mask(n), x);
}
SG_INLINE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
SG_INLINE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
SG_INLINE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
SG_INLINE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
SG_INLINE vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
SG_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
/* c - a b */
SG_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}
/* The second operand where either is NaN. */
SG_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
SG_INLINE vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}
/* |a| with the sign of b; a is not negative. */
SG_INLINE vf vf_with_sign(vf a, vf b)
{
    __m512i sign = _mm512_and_si512(_mm512_castps_si512(b), _mm512_set1_epi32(INT32_MIN));
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(a), sign));
}
/* x < 0 ? a : b, false for NaN */
SG_INLINE vf vf_if_negative(vf x, vf a, vf b)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), b, a);
}
/* x <= 0 ? a : b, false for NaN */
SG_INLINE vf vf_if_at_most_zero(vf x, vf a, vf b)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LE_OQ), b, a);
}
/* 2^n for the integer n in the low bits of a float n + 1.5 2^23 */
SG_INLINE vf vf_power_of_two(vf shifted)
{
    __m512i bits = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(0x3f800000)));
}

/* The first n lanes of a, the others of b. */
SG_INLINE vf vf_first_of(vf a, vf b, int64_t n)
{
    return _mm512_mask_blend_ps(lane_mask(n), b, a);
}
/* x = mantissa 2^exponent, the mantissa in [1, 2), for positive x that are not subnormal. */
SG_INLINE vf vf_mantissa(vf x)
{
    __m512i bits = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x007fffff));
    return _mm512_castsi512_ps(_mm512_or_si512(bits, _mm512_set1_epi32(0x3f800000)));
}
SG_INLINE vf vf_exponent(vf x)
{
    __m512i biased = _mm512_srli_epi32(_mm512_castps_si512(x), 23);
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(biased, _mm512_set1_epi32(127)));
}

SG_INLINE vd vd_zero(void)
{
    return _mm512_setzero_pd();
}
SG_INLINE vd vd_set(double x)
{
    return _mm512_set1_pd(x);
}
SG_INLINE vd vd_load(const double *p)
{
    return _mm512_loadu_pd(p);
}
SG_INLINE void vd_store(double *p, vd x)
{
    _mm512_storeu_pd(p, x);
}
SG_INLINE vd vd_add(vd a, vd b)
{
    return _mm512_add_pd(a, b);
}
SG_INLINE vd vd_mul(vd a, vd b)
{
    return _mm512_mul_pd(a, b);
}
SG_INLINE vd vd_div(vd a, vd b)
{
    return _mm512_div_pd(a, b);
}
SG_INLINE vd vd_fma(vd a, vd b, vd c)
{
    return _mm512_fmadd_pd(a, b, c);
}
SG_INLINE vd vd_from(const float *p)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}
SG_INLINE vd vd_low(vf x)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}
SG_INLINE vd vd_high(vf x)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
}
SG_INLINE vf vf_from(vd low, vd high)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
}
/* Not zero when some |x| > bound or NaN. */
SG_INLINE int vd_beyond(vd x, vd bound)
{
    return _mm512_cmp_pd_mask(_mm512_abs_pd(x), bound, _CMP_NLE_UQ);
}
SG_INLINE vd vd_from_int64(const int64_t *p)
{
    return _mm512_cvtepi64_pd(_mm512_loadu_si512((const void *)p));
}
/* The largest value that vd_add_rounded takes. */
#define SG_ROUND_MAX 0x1p62
/* sum[0..n) += round to even of x */
SG_INLINE void vd_add_rounded(vd x, int64_t *sum, int64_t n)
{
    if (n == SG_LANES / 2) {
        _mm512_storeu_si512(sum, _mm512_add_epi64(_mm512_loadu_si512(sum), _mm512_cvtpd_epi64(x)));
        return;
    }
    __mmask8 mask = (__mmask8)((1u << n) - 1);
    __m512i old = _mm512_maskz_loadu_epi64(mask, sum);
    _mm512_mask_storeu_epi64(sum, mask, _mm512_add_epi64(old, _mm512_cvtpd_epi64(x)));
}

#else

#define SG_LANES 8
typedef __m256 vf;
typedef __m256d vd;

SG_INLINE vf vf_zero(void)
{
    return _mm256_setzero_ps();
}
SG_INLINE vf vf_set(float x)
{
    return _mm256_set1_ps(x);
}
SG_INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
SG_INLINE void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
}
SG_INLINE __m256i lane_mask(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
SG_INLINE vf vf_load_first(const float *p, int64_t n)
{
    return _mm256_maskload_ps(p, lane_mask(n));
}
SG_INLINE void vf_store_first(float *p, vf x, int64_t n)
{
    if (n == SG_LANES)
        _mm256_storeu_ps(p, x);
    else
        _mm256_maskstore_ps(p, lane_mask(n), x);
}
SG_INLINE vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
SG_INLINE vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
SG_INLINE vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
SG_INLINE vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
SG_INLINE vf vf_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
SG_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
SG_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}
SG_INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
SG_INLINE vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
SG_INLINE vf vf_with_sign(vf a, vf b)
{
    return _mm256_or_ps(a, _mm256_and_ps(b, _mm256_set1_ps(-0.0f)));
}
SG_INLINE vf vf_if_negative(vf x, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
}
SG_INLINE vf vf_if_at_most_zero(vf x, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LE_OQ));
}
SG_INLINE vf vf_power_of_two(vf shifted)
{
    __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(0x3f800000)));
}

SG_INLINE vf vf_first_of(vf a, vf b, int64_t n)
{
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(lane_mask(n)));
}
SG_INLINE vf vf_mantissa(vf x)
{
    __m256i bits = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x007fffff));
    return _mm256_castsi256_ps(_mm256_or_si256(bits, _mm256_set1_epi32(0x3f800000)));
}
SG_INLINE vf vf_exponent(vf x)
{
    __m256i biased = _mm256_srli_epi32(_mm256_castps_si256(x), 23);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(biased, _mm256_set1_epi32(127)));
}

SG_INLINE vd vd_zero(void)
{
    return _mm256_setzero_pd();
}
SG_INLINE vd vd_set(double x)
{
    return _mm256_set1_pd(x);
}
SG_INLINE vd vd_load(const double *p)
{
    return _mm256_loadu_pd(p);
}
SG_INLINE void vd_store(double *p, vd x)
{
    _mm256_storeu_pd(p, x);
}
SG_INLINE vd vd_add(vd a, vd b)
{
    return _mm256_add_pd(a, b);
}
SG_INLINE vd vd_mul(vd a, vd b)
{
    return _mm256_mul_pd(a, b);
}
SG_INLINE vd vd_div(vd a, vd b)
{
    return _mm256_div_pd(a, b);
}
SG_INLINE vd vd_fma(vd a, vd b, vd c)
{
    return _mm256_fmadd_pd(a, b, c);
}
SG_INLINE vd vd_from(const float *p)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(p));
}
SG_INLINE vd vd_low(vf x)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
}
SG_INLINE vd vd_high(vf x)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
}
SG_INLINE vf vf_from(vd low, vd high)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high), 1);
}
SG_INLINE int vd_beyond(vd x, vd bound)
{
    vd magnitude = _mm256_andnot_pd(_mm256_set1_pd(-0.0), x);
    return _mm256_movemask_pd(_mm256_cmp_pd(magnitude, bound, _CMP_NLE_UQ));
}
SG_INLINE vd vd_from_int64(const int64_t *p)
{
    return _mm256_setr_pd((double)p[0], (double)p[1], (double)p[2], (double)p[3]);
}
/* Adding 1.5 2^52 leaves the rounded integer in the low bits. */
#define SG_ROUND_MAX 0x1p50
SG_INLINE void vd_add_rounded(vd x, int64_t *sum, int64_t n)
{
    vd magic = _mm256_set1_pd(0x1.8p52);
    __m256i value = _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(x, magic)), _mm256_castpd_si256(magic));
    if (n == 4) {
        __m256i old = _mm256_loadu_si256((const __m256i *)sum);
        _mm256_storeu_si256((__m256i *)sum, _mm256_add_epi64(old, value));
        return;
    }
    int64_t lane[4];
    _mm256_storeu_si256((__m256i *)lane, value);
    for (int64_t j = 0; j < n; j++)
        sum[j] += lane[j];
}

#endif

/* How many of the lanes beginning at j lie before n. */
SG_INLINE int64_t lanes_left(int64_t n, int64_t j)
{
    return n - j < SG_LANES ? n - j : SG_LANES;
}
SG_INLINE vf load_left(const float *p, int64_t n)
{
    return n == SG_LANES ? vf_load(p) : vf_load_first(p, n);
}
SG_INLINE void store_left(float *p, vf x, int64_t n)
{
    if (n == SG_LANES)
        vf_store(p, x);
    else
        vf_store_first(p, x, n);
}

#endif
