/* CUDA's functions of numbers that C does not have by these names. All round to nearest, ties to even, unless said. */
#ifndef SG_TESTS_CUDA_EMULATE_MATH_H
#define SG_TESTS_CUDA_EMULATE_MATH_H

#include <math.h>
#include <stdint.h>

template <typename To, typename From> static inline To sg_emulate_bits(From value)
{
    static_assert(sizeof(To) == sizeof(From), "the same bits in another type");
    To bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline int __float_as_int(float x)
{
    return sg_emulate_bits<int>(x);
}
static inline unsigned __float_as_uint(float x)
{
    return sg_emulate_bits<unsigned>(x);
}
static inline float __int_as_float(int x)
{
    return sg_emulate_bits<float>(x);
}
static inline float __uint_as_float(unsigned x)
{
    return sg_emulate_bits<float>(x);
}
static inline long long __double_as_longlong(double x)
{
    return sg_emulate_bits<long long>(x);
}
static inline double __longlong_as_double(long long x)
{
    return sg_emulate_bits<double>(x);
}

static inline float __fadd_rn(float x, float y)
{
    return x + y;
}
static inline float __fsub_rn(float x, float y)
{
    return x - y;
}
static inline float __fmul_rn(float x, float y)
{
    return x * y;
}
static inline float __fdiv_rn(float x, float y)
{
    return x / y;
}
static inline float __fsqrt_rn(float x)
{
    return sqrtf(x);
}
static inline float __fmaf_rn(float x, float y, float z)
{
    return __builtin_fmaf(x, y, z);
}
static inline double __dadd_rn(double x, double y)
{
    return x + y;
}
static inline double __dsub_rn(double x, double y)
{
    return x - y;
}
static inline double __dmul_rn(double x, double y)
{
    return x * y;
}
static inline double __ddiv_rn(double x, double y)
{
    return x / y;
}
static inline double __dsqrt_rn(double x)
{
    return sqrt(x);
}
static inline double __fma_rn(double x, double y, double z)
{
    return __builtin_fma(x, y, z);
}
static inline float __double2float_rn(double x)
{
    return (float)x;
}
static inline float __double2float_rd(double x)
{
    float y = (float)x;
    return (double)y > x ? nextafterf(y, -INFINITY) : y;
}
static inline float __double2float_ru(double x)
{
    float y = (float)x;
    return (double)y < x ? nextafterf(y, INFINITY) : y;
}
/* As the card does: what does not fit becomes the nearest that does, a NaN 0 (int) or the least (long long). */
static inline int __float2int_rn(float x)
{
    return x != x ? 0 : x >= 0x1p31f ? INT32_MAX : x <= -0x1p31f ? INT32_MIN : (int)rintf(x);
}
static inline int __double2int_rn(double x)
{
    return x != x ? 0 : x >= 0x1p31 - 0.5 ? INT32_MAX : x <= -0x1p31 ? INT32_MIN : (int)rint(x);
}
static inline long long __double2ll_rn(double x)
{
    return x != x ? INT64_MIN : x >= 0x1p63 ? INT64_MAX : x <= -0x1p63 ? INT64_MIN : (long long)rint(x);
}

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __clzll(long long x)
{
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}
static inline unsigned __brev(unsigned x)
{
    unsigned y = 0;
    for (int i = 0; i < 32; i++)
        y |= (x >> i & 1) << (31 - i);
    return y;
}
static inline unsigned __umulhi(unsigned x, unsigned y)
{
    return (unsigned)((uint64_t)x * y >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y)
{
    return (unsigned long long)((unsigned __int128)x * y >> 64);
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by)
{
    return (unsigned)((((uint64_t)high << 32 | low) << (by & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by)
{
    return (unsigned)(((uint64_t)high << 32 | low) >> (by & 31));
}

/* CUDA's min and max stand in the global scope; those of floats drop a NaN, as fminf. */
static inline int min(int x, int y)
{
    return x < y ? x : y;
}
static inline int max(int x, int y)
{
    return x > y ? x : y;
}
static inline unsigned min(unsigned x, unsigned y)
{
    return x < y ? x : y;
}
static inline unsigned max(unsigned x, unsigned y)
{
    return x > y ? x : y;
}
static inline long min(long x, long y)
{
    return x < y ? x : y;
}
static inline long max(long x, long y)
{
    return x > y ? x : y;
}
static inline long long min(long long x, long long y)
{
    return x < y ? x : y;
}
static inline long long max(long long x, long long y)
{
    return x > y ? x : y;
}
static inline unsigned long min(unsigned long x, unsigned long y)
{
    return x < y ? x : y;
}
static inline unsigned long max(unsigned long x, unsigned long y)
{
    return x > y ? x : y;
}
static inline float min(float x, float y)
{
    return fminf(x, y);
}
static inline float max(float x, float y)
{
    return fmaxf(x, y);
}
static inline double min(double x, double y)
{
    return fmin(x, y);
}
static inline double max(double x, double y)
{
    return fmax(x, y);
}

#endif
