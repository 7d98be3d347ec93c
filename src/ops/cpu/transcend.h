/* exp, sigmoid and tanh, written out here so that their bits depend on no library: explicit multiply-adds in one order,
 * the same for every vector width, and faster than calls into a vector library. Relative error below 2e-7 for sigmoid
 * above e^-87 and for tanh everywhere; no result leaves [0, 1] or [-1, 1]; NaN stays NaN. */
#ifndef SG_OPS_CPU_TRANSCEND_H
#define SG_OPS_CPU_TRANSCEND_H

#include "cpu/lanes.h"

/* exp(x) = s (1 + q), s a power of two, |log(1 + q)| <= log(2)/2, for -87 <= x <= 0. */
SG_INLINE void exp_split(vf x, vf *s, vf *q)
{
    const vf shift = vf_set(0x1.8p23f);
    vf shifted = vf_fma(x, vf_set(1.44269504f), shift);
    vf n = vf_sub(shifted, shift);
    vf r = vf_fnma(n, vf_set(0.693359375f), x); /* log(2) in two parts, the first short enough to be exact times n */
    r = vf_fnma(n, vf_set(-2.12194440e-4f), r);
    /* Cephes, expf (Moshier 1992): exp(r) - 1 = r + r^2 p(r). */
    vf p = vf_set(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(5.0000001201e-1f));
    *q = vf_fma(vf_mul(r, r), p, r);
    *s = vf_power_of_two(shifted);
}

/* exp(x) for x <= 0; what lies below -87 counts as -87, so that no result is subnormal. */
SG_INLINE vf exp_negative(vf x)
{
    vf s, q;
    exp_split(vf_max(vf_set(-87.0f), x), &s, &q);
    return vf_fma(s, q, s);
}

/* 1 / (1 + e) with e = exp(-|x|), times e where x is negative: no cancellation, no overflow. */
SG_INLINE vf vf_sigmoid(vf x)
{
    vf e = exp_negative(vf_sub(vf_zero(), vf_abs(x)));
    vf one = vf_set(1.0f);
    return vf_div(vf_if_negative(x, e, one), vf_add(one, e));
}

/* -m / (2 + m) with m = exp(-2|x|) - 1: accurate near zero too. */
SG_INLINE vf vf_tanh(vf x)
{
    vf s, q;
    vf twice = vf_mul(vf_abs(x), vf_set(-2.0f));
    exp_split(vf_max(vf_set(-87.0f), twice), &s, &q);
    vf m = vf_fma(s, q, vf_sub(s, vf_set(1.0f)));
    vf magnitude = vf_div(vf_sub(vf_zero(), m), vf_add(vf_set(2.0f), m));
    return vf_with_sign(vf_abs(magnitude), x);
}

/* log(1 + e) for 0 <= e <= 1: 2 atanh(e / (2 + e)) by its series, whose argument is at most 1/3. */
SG_INLINE vf log_one_plus(vf e)
{
    vf s = vf_div(e, vf_add(vf_set(2.0f), e));
    vf z = vf_mul(s, s);
    vf p = vf_set(1.0f / 17);
    p = vf_fma(p, z, vf_set(1.0f / 15));
    p = vf_fma(p, z, vf_set(1.0f / 13));
    p = vf_fma(p, z, vf_set(1.0f / 11));
    p = vf_fma(p, z, vf_set(1.0f / 9));
    p = vf_fma(p, z, vf_set(1.0f / 7));
    p = vf_fma(p, z, vf_set(1.0f / 5));
    p = vf_fma(p, z, vf_set(1.0f / 3));
    vf twice = vf_add(s, s);
    return vf_fma(vf_mul(twice, z), p, twice);
}

/* log(x) for x >= 1; infinite or NaN becomes NaN. */
SG_INLINE vf log_from_one(vf x)
{
    vf rest = log_one_plus(vf_sub(vf_mantissa(x), vf_set(1.0f)));
    vf bad = vf_sub(x, x);
    return vf_add(vf_fma(vf_exponent(x), vf_set(0.693147182f), rest), bad);
}

#endif
