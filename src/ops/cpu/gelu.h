/* GELU, exact (erf) and by tanh. |error| <= 1.5e-7 max(1, |f|), and <= 4e-7 |f| above -12 for the exact form; the slope
 * is within 2e-7. NaN stays NaN. */
#ifndef SG_OPS_CPU_GELU_H
#define SG_OPS_CPU_GELU_H

#include "cpu/rows.h"

#define GELU_FAR 13.0f /* below minus this both forms are below 1e-36 and count as zero */
#define GELU_END 14.0f /* and |x| counts as at most this in what follows, so that nothing overflows */

/* min(|x|, GELU_END), NaN for NaN. */
SG_INLINE vf gelu_magnitude(vf x)
{
    return vf_sub(vf_zero(), vf_max(vf_set(-GELU_END), vf_sub(vf_zero(), vf_abs(x))));
}

/* Phi(x), and e = exp(-a^2 / 2) for a = gelu_magnitude(x). The tail Q(a) = e M(a) has a relative error below 5e-7:
 * M, Mills' ratio over sqrt(2 pi), is t P(s) with t = 1 / (1 + p a), s = 1 - t = p a t. P: least relative error on [0,
 * 13.25], 1.8e-8, by reweighted least squares; P(0) = 1/2. What squaring a loses goes back into e. */
SG_INLINE vf normal_cdf(vf x, vf a, vf *e)
{
    const vf p = vf_set(0.345f);
    vf square = vf_mul(a, a), lost = vf_fma(a, a, vf_sub(vf_zero(), square));
    vf half = vf_mul(square, vf_set(-0.5f));
    *e = exp_negative(half);
    *e = vf_fnma(vf_mul(*e, vf_set(0.5f)), lost, *e);
    vf t = vf_div(vf_set(1.0f), vf_fma(p, a, vf_set(1.0f)));
    vf s = vf_mul(vf_mul(p, a), t);
    vf m = vf_set(-7.603103877e-04f);
    m = vf_fma(m, s, vf_set(-2.566436306e-02f));
    m = vf_fma(m, s, vf_set(7.774049044e-02f));
    m = vf_fma(m, s, vf_set(-4.568365961e-02f));
    m = vf_fma(m, s, vf_set(-2.316574752e-02f));
    m = vf_fma(m, s, vf_set(-7.069095224e-02f));
    m = vf_fma(m, s, vf_set(9.456647187e-02f));
    m = vf_fma(m, s, vf_set(2.876277566e-01f));
    m = vf_fma(m, s, vf_set(-6.563526392e-01f));
    m = vf_fma(m, s, vf_set(0.5f));
    vf tail = vf_mul(*e, vf_mul(m, t));
    return vf_if_negative(x, tail, vf_sub(vf_set(1.0f), tail));
}

/* sigmoid(2 u), u = sqrt(2/pi) (c + .044715 c^3), and its derivative by c, which is times s (1 - s) = e / (1 + e)^2. */
SG_INLINE vf tanh_gate(vf c, vf *slope)
{
    const vf rate = vf_set(1.595769122f), cube = vf_set(0.0713548162726f), one = vf_set(1.0f);
    vf square = vf_mul(c, c), twice_u = vf_mul(c, vf_fma(cube, square, rate));
    vf e = exp_negative(vf_sub(vf_zero(), vf_abs(twice_u)));
    vf d = vf_div(one, vf_add(one, e)), ed = vf_mul(e, d);
    *slope = vf_mul(vf_mul(ed, d), vf_fma(vf_mul(vf_set(3.0f), cube), square, rate));
    return vf_if_negative(c, ed, d);
}

SG_INLINE vf gelu_far_zero(vf x, vf y)
{
    return vf_if_negative(vf_add(x, vf_set(GELU_FAR)), vf_zero(), y);
}

SG_INLINE vf gelu_of(enum sg_gelu f, vf x)
{
    vf a = gelu_magnitude(x), other;
    vf gate = f == SG_GELU_ERF ? normal_cdf(x, a, &other) : tanh_gate(vf_with_sign(a, x), &other);
    return gelu_far_zero(x, vf_mul(x, gate));
}

SG_INLINE vf gelu_slope(enum sg_gelu f, vf x)
{
    vf a = gelu_magnitude(x), other, gate, c = vf_with_sign(a, x);
    if (f == SG_GELU_ERF) {
        gate = normal_cdf(x, a, &other);
        other = vf_mul(other, vf_set(0.3989422804f)); /* the density */
    } else {
        gate = tanh_gate(c, &other);
    }
    return gelu_far_zero(x, vf_fma(c, other, gate));
}

SG_INLINE void gelu_rows(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *y,
                         int64_t ldy)
{
    for (int64_t i = 0; i < n_rows; i++, x += ldx, y += ldy)
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            store_left(y + j, gelu_of(f, load_left(x + j, n)), n);
        }
}

SG_INLINE void gelu_backward_rows(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *g,
                                  int64_t ldg)
{
    for (int64_t i = 0; i < n_rows; i++, x += ldx, g += ldg)
        for (int64_t j = 0; j < width; j += SG_LANES) {
            int64_t n = lanes_left(width, j);
            store_left(g + j, vf_mul(load_left(g + j, n), gelu_slope(f, load_left(x + j, n))), n);
        }
}

static void gelu(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *y, int64_t ldy)
{
    if (f == SG_GELU_ERF)
        gelu_rows(SG_GELU_ERF, n_rows, width, x, ldx, y, ldy);
    else
        gelu_rows(SG_GELU_TANH, n_rows, width, x, ldx, y, ldy);
}

static void gelu_backward(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *g,
                          int64_t ldg)
{
    if (f == SG_GELU_ERF)
        gelu_backward_rows(SG_GELU_ERF, n_rows, width, x, ldx, g, ldg);
    else
        gelu_backward_rows(SG_GELU_TANH, n_rows, width, x, ldx, g, ldg);
}

#endif
