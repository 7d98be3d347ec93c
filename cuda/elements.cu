/* Activations and GELU, element by element: the formulas of the CPU's rows.h and gelu.h. */
#include "layout.h"
#include "table.h"
#include "transcend.h"

#define GELU_FAR 13.0f /* below minus this both forms count as zero */
#define GELU_END 14.0f /* |x| counts as at most this, so that nothing overflows */

/* Phi(x), and e = exp(-a^2 / 2), a = min(|x|, GELU_END): Mills' ratio by a polynomial; src/ops/cpu/gelu.h says how. */
SG_DEVICE float normal_cdf(float x, float a, float *e)
{
    float square = a * a, lost = fmaf(a, a, 0.0f - square);
    *e = exp_negative(square * -0.5f);
    *e = fmaf(-(*e * 0.5f), lost, *e);
    float t = 1.0f / fmaf(0.345f, a, 1.0f);
    float s = 0.345f * a * t;
    float m = -7.603103877e-04f;
    m = fmaf(m, s, -2.566436306e-02f);
    m = fmaf(m, s, 7.774049044e-02f);
    m = fmaf(m, s, -4.568365961e-02f);
    m = fmaf(m, s, -2.316574752e-02f);
    m = fmaf(m, s, -7.069095224e-02f);
    m = fmaf(m, s, 9.456647187e-02f);
    m = fmaf(m, s, 2.876277566e-01f);
    m = fmaf(m, s, -6.563526392e-01f);
    m = fmaf(m, s, 0.5f);
    float tail = *e * (m * t);
    return x < 0 ? tail : 1.0f - tail;
}

/* sigmoid(2 u), u = sqrt(2/pi) (c + .044715 c^3), and its derivative by c. */
SG_DEVICE float tanh_gate(float c, float *slope)
{
    const float rate = 1.595769122f, cube = 0.0713548162726f;
    float square = c * c, twice_u = c * fmaf(cube, square, rate);
    float e = exp_negative(0.0f - fabsf(twice_u));
    float d = 1.0f / (1.0f + e), ed = e * d;
    *slope = ed * d * fmaf(3.0f * cube, square, rate);
    return c < 0 ? ed : d;
}

SG_DEVICE float gelu_magnitude(float x)
{
    return 0.0f - greater_of(-GELU_END, 0.0f - fabsf(x));
}

template <int f> SG_DEVICE float gelu_of(float x)
{
    float a = gelu_magnitude(x), other;
    float gate = f == SG_GELU_ERF ? normal_cdf(x, a, &other) : tanh_gate(with_sign(a, x), &other);
    return x + GELU_FAR < 0 ? 0.0f : x * gate;
}

template <int f> SG_DEVICE float gelu_slope(float x)
{
    float a = gelu_magnitude(x), other, gate, c = with_sign(a, x);
    if (f == SG_GELU_ERF) {
        gate = normal_cdf(x, a, &other);
        other *= 0.3989422804f; /* the density */
    } else {
        gate = tanh_gate(c, &other);
    }
    return x + GELU_FAR < 0 ? 0.0f : fmaf(c, other, gate);
}

template <int f> SG_DEVICE float activation(float x)
{
    return f == SG_TANH ? tangent(x) : x < 0 ? 0.0f : x;
}

/* From the output y. */
template <int f> SG_DEVICE float activation_slope(float y, float g)
{
    return f == SG_TANH ? g * fmaf(-y, y, 1.0f) : y <= 0 ? 0.0f : g;
}

template <int f> SG_KERNEL(sg_k_activate)(int64_t n_rows, int64_t width, float *x, int64_t ldx)
{
    for (int64_t r = rows_first(); r < n_rows; r += rows_step())
        for (int64_t j = sg_grid_first(); j < width; j += sg_grid_step())
            x[r * ldx + j] = activation<f>(x[r * ldx + j]);
}

template <int f>
SG_KERNEL(sg_k_activate_backward)
(int64_t n_rows, int64_t width, const float *y, int64_t ldy, float *g, int64_t ldg)
{
    for (int64_t r = rows_first(); r < n_rows; r += rows_step())
        for (int64_t j = sg_grid_first(); j < width; j += sg_grid_step())
            g[r * ldg + j] = activation_slope<f>(y[r * ldy + j], g[r * ldg + j]);
}

template <int f> SG_KERNEL(sg_k_gelu)(int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *y, int64_t ldy)
{
    for (int64_t r = rows_first(); r < n_rows; r += rows_step())
        for (int64_t j = sg_grid_first(); j < width; j += sg_grid_step())
            y[r * ldy + j] = gelu_of<f>(x[r * ldx + j]);
}

template <int f>
SG_KERNEL(sg_k_gelu_backward)
(int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *g, int64_t ldg)
{
    for (int64_t r = rows_first(); r < n_rows; r += rows_step())
        for (int64_t j = sg_grid_first(); j < width; j += sg_grid_step())
            g[r * ldg + j] *= gelu_slope<f>(x[r * ldx + j]);
}

/* Matrices without gaps are one long row. */
static void flatten(int64_t *n_rows, int64_t *width, int64_t ld_first, int64_t ld_second)
{
    if (ld_first != *width || ld_second != *width)
        return;
    *width *= *n_rows;
    *n_rows = 1;
}

static void activate(enum sg_activation f, int64_t n_rows, int64_t width, float *x, int64_t ldx)
{
    if (n_rows <= 0 || width <= 0)
        return;
    flatten(&n_rows, &width, ldx, ldx);
    struct rows_launch over = rows_over(n_rows, width);
    if (f == SG_TANH)
        SG_LAUNCH(sg_k_activate<SG_TANH>, over.grid, over.block, 0, n_rows, width, x, ldx);
    else
        SG_LAUNCH(sg_k_activate<SG_RELU>, over.grid, over.block, 0, n_rows, width, x, ldx);
}

static void activate_backward(enum sg_activation f, int64_t n_rows, int64_t width, const float *y, int64_t ldy,
                              float *g, int64_t ldg)
{
    if (n_rows <= 0 || width <= 0)
        return;
    flatten(&n_rows, &width, ldy, ldg);
    struct rows_launch over = rows_over(n_rows, width);
    if (f == SG_TANH)
        SG_LAUNCH(sg_k_activate_backward<SG_TANH>, over.grid, over.block, 0, n_rows, width, y, ldy, g, ldg);
    else
        SG_LAUNCH(sg_k_activate_backward<SG_RELU>, over.grid, over.block, 0, n_rows, width, y, ldy, g, ldg);
}

static void gelu(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *y, int64_t ldy)
{
    if (n_rows <= 0 || width <= 0)
        return;
    flatten(&n_rows, &width, ldx, ldy);
    struct rows_launch over = rows_over(n_rows, width);
    if (f == SG_GELU_ERF)
        SG_LAUNCH(sg_k_gelu<SG_GELU_ERF>, over.grid, over.block, 0, n_rows, width, x, ldx, y, ldy);
    else
        SG_LAUNCH(sg_k_gelu<SG_GELU_TANH>, over.grid, over.block, 0, n_rows, width, x, ldx, y, ldy);
}

static void gelu_backward(enum sg_gelu f, int64_t n_rows, int64_t width, const float *x, int64_t ldx, float *g,
                          int64_t ldg)
{
    if (n_rows <= 0 || width <= 0)
        return;
    flatten(&n_rows, &width, ldx, ldg);
    struct rows_launch over = rows_over(n_rows, width);
    if (f == SG_GELU_ERF)
        SG_LAUNCH(sg_k_gelu_backward<SG_GELU_ERF>, over.grid, over.block, 0, n_rows, width, x, ldx, g, ldg);
    else
        SG_LAUNCH(sg_k_gelu_backward<SG_GELU_TANH>, over.grid, over.block, 0, n_rows, width, x, ldx, g, ldg);
}

void sg_cuda_fill_elements(struct sg_ops *ops)
{
    ops->activate = activate;
    ops->activate_backward = activate_backward;
    ops->gelu = gelu;
    ops->gelu_backward = gelu_backward;
}
