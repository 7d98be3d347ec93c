/* exp, sigmoid, tanh and log of one number: what the CPU's src/ops/cpu/transcend.h does in each lane, operation by
 * operation, so that the bits are the same. Comparisons stand where that header has a vector's maximum or selection:
 * they treat a NaN as those do. */
#ifndef SG_CUDA_TRANSCEND_H
#define SG_CUDA_TRANSCEND_H

#include "launch.h"

/* The second where either is NaN. */
SG_DEVICE float greater_of(float x, float y)
{
    return x > y ? x : y;
}

/* |x| with the sign of another number; x is not negative. */
SG_DEVICE float with_sign(float x, float sign)
{
    return __uint_as_float(__float_as_uint(x) | (__float_as_uint(sign) & 0x80000000u));
}

/* exp(x) = s (1 + q), s a power of two, |log(1 + q)| <= log(2)/2, for -87 <= x <= 0. */
SG_DEVICE void exp_split(float x, float *s, float *q)
{
    float shifted = fmaf(x, 1.44269504f, 0x1.8p23f);
    float n = shifted - 0x1.8p23f;
    float r = fmaf(-n, 0.693359375f, x);
    r = fmaf(-n, -2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    *q = fmaf(r * r, p, r);
    *s = __uint_as_float((__float_as_uint(shifted) << 23) + 0x3f800000u);
}

/* exp(x) for x <= 0; what lies below -87 counts as -87, so that no result is subnormal. */
SG_DEVICE float exp_negative(float x)
{
    float s, q;
    exp_split(greater_of(-87.0f, x), &s, &q);
    return fmaf(s, q, s);
}

SG_DEVICE float sigmoid(float x)
{
    float e = exp_negative(0.0f - fabsf(x));
    return (x < 0 ? e : 1.0f) / (1.0f + e);
}

SG_DEVICE float tangent(float x)
{
    float s, q;
    exp_split(greater_of(-87.0f, fabsf(x) * -2.0f), &s, &q);
    float m = fmaf(s, q, s - 1.0f);
    return with_sign(fabsf((0.0f - m) / (2.0f + m)), x);
}

/* log(1 + e) for 0 <= e <= 1. */
SG_DEVICE float log_one_plus(float e)
{
    float s = e / (2.0f + e);
    float z = s * s;
    float p = 1.0f / 17;
    p = fmaf(p, z, 1.0f / 15);
    p = fmaf(p, z, 1.0f / 13);
    p = fmaf(p, z, 1.0f / 11);
    p = fmaf(p, z, 1.0f / 9);
    p = fmaf(p, z, 1.0f / 7);
    p = fmaf(p, z, 1.0f / 5);
    p = fmaf(p, z, 1.0f / 3);
    float twice = s + s;
    return fmaf(twice * z, p, twice);
}

/* log(x) for x >= 1; infinite or NaN becomes NaN. */
SG_DEVICE float log_from_one(float x)
{
    unsigned bits = __float_as_uint(x);
    float rest = log_one_plus(__uint_as_float((bits & 0x007fffffu) | 0x3f800000u) - 1.0f);
    float bad = x - x;
    return fmaf((float)((int)(bits >> 23) - 127), 0.693147182f, rest) + bad;
}

#endif
