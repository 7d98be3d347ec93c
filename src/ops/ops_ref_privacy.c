/* The reference backend's norms, weights and weighted sums: what whoever must believe the guarantee reads, with
 * docs/privacy.md beside it. Norms are taken in double; sums are the specified chains, bit for bit. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "ops_ref.h"

#define UNIT_ROUNDOFF 0x1p-24
#define ROW_NORM_MAX 0x1p64
#define GRAM_ROWS_MAX (1 << 16)   /* so that the sum of all pairs in double stays inside the slack */
#define SUMMED_ROWS_MAX (1 << 22) /* the same for a gradient that is summed in double */

/* The bounds of group_norm need gamma <= 1/3; a group of millions of rows is a defect of the caller. */
static double gamma_of(double k)
{
    assert(k * UNIT_ROUNDOFF < 0.25);
    return k * UNIT_ROUNDOFF / (1 - k * UNIT_ROUNDOFF);
}

/* Squared norm of sum over rows of g a^T, from the dot products between rows. */
static double gram_norm2(int64_t n_rows, int64_t n_in, int64_t n_out, const float *a, int64_t lda, const float *g,
                         int64_t ldg)
{
    double sum = 0;
    for (int64_t t = 0; t < n_rows; t++)
        for (int64_t s = 0; s <= t; s++) {
            double pair = ref_dot(n_in, a + t * lda, a + s * lda) * ref_dot(n_out, g + t * ldg, g + s * ldg);
            sum += s == t ? pair : 2 * pair;
        }
    return sum < 0 ? 0 : sum; /* rows that cancel can leave a negative rest; a NaN stays one */
}

static double instantiated_norm2(int64_t n_rows, int64_t n_in, int64_t n_out, const float *a, int64_t lda,
                                 const float *g, int64_t ldg)
{
    double sum = 0;
    for (int64_t o = 0; o < n_out; o++)
        for (int64_t i = 0; i < n_in; i++) {
            double weight = 0;
            for (int64_t r = 0; r < n_rows; r++)
                weight += (double)g[r * ldg + o] * a[r * lda + i];
            sum += weight * weight;
        }
    return sum;
}

void sg_ref_group_norm(enum sg_norm_route route, int64_t n_groups, const int32_t *first, int64_t n_in, int64_t n_out,
                       const float *a, int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm,
                       void *scratch)
{
    (void)scratch;
    for (int64_t j = 0; j < n_groups; j++) {
        int64_t n_rows = first[j + 1] - first[j];
        const float *aj = a + first[j] * lda, *gj = g + first[j] * ldg;
        double mass = 0;
        bool fit = true;
        for (int64_t r = 0; r < n_rows; r++) {
            double a2 = ref_dot(n_in, aj + r * lda, aj + r * lda), g2 = ref_dot(n_out, gj + r * ldg, gj + r * ldg);
            /* A double holds the sum of squares of any finite floats: it is finite exactly when they are. */
            fit = fit && isfinite(a2) && isfinite(g2) && sqrt(a2) <= ROW_NORM_MAX;
            mass += sqrt(a2) * sqrt(g2);
        }
        if (!fit) {
            norm[j].excluded = true;
            continue;
        }
        bool gram = sg_norm_route_of(route, n_rows, n_in, n_out) == SG_ROUTE_GRAM;
        assert(!gram || n_rows <= GRAM_ROWS_MAX);
        double slack = gram ? gamma_of((double)(n_in + n_out + 4)) : 3 * gamma_of((double)(n_rows + 2));
        norm[j].norm2 += gram ? gram_norm2(n_rows, n_in, n_out, aj, lda, gj, ldg)
                              : instantiated_norm2(n_rows, n_in, n_out, aj, lda, gj, ldg);
        norm[j].slack2 += slack * mass * mass;
        norm[j].mass2 += mass * mass;
    }
}

static double square(double x)
{
    return x * x;
}

/* Adds a tap whose gradient was summed in double: gamma(1) is more than that can have lost. */
static void add_double(int64_t n_rows, double norm2, double mass, struct sg_group_norm *norm)
{
    assert(n_rows < SUMMED_ROWS_MAX);
    norm->norm2 += norm2;
    norm->slack2 += gamma_of(1) * mass * mass;
    norm->mass2 += mass * mass;
}

/* Is no earlier row's id this one's? */
static bool is_first(const int32_t *id, int64_t r)
{
    for (int64_t s = 0; s < r; s++)
        if (id[s] == id[r])
            return false;
    return true;
}

/* Squared norm of the gradient of one row of the weight: that of the rows from r on that share r's id. */
static double one_id_norm2(int64_t r, int64_t n_rows, const int32_t *id, int64_t width, const float *g, int64_t ldg)
{
    double norm2 = 0;
    for (int64_t i = 0; i < width; i++) {
        double sum = 0;
        for (int64_t s = r; s < n_rows; s++)
            sum += id[s] == id[r] ? g[s * ldg + i] : 0;
        norm2 += sum * sum;
    }
    return norm2;
}

void sg_ref_embed_norm(int64_t n_groups, const int32_t *first, const int32_t *id, int64_t width, const float *g,
                       int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    (void)scratch;
    for (int64_t j = 0; j < n_groups; j++) {
        int64_t n_rows = first[j + 1] - first[j];
        const float *gj = g + first[j] * ldg;
        const int32_t *idj = id + first[j];
        double norm2 = 0, mass = 0;
        for (int64_t r = 0; r < n_rows; r++)
            if (idj[r] >= 0)
                mass += sqrt(ref_dot(width, gj + r * ldg, gj + r * ldg));
        if (!isfinite(mass)) {
            norm[j].excluded = true;
            continue;
        }
        for (int64_t r = 0; r < n_rows; r++)
            if (idj[r] >= 0 && is_first(idj, r))
                norm2 += one_id_norm2(r, n_rows, idj, width, gj, ldg);
        add_double(n_rows, norm2, mass, &norm[j]);
    }
}

void sg_ref_scale_norm(int64_t n_groups, const int32_t *first, int64_t width, const float *xhat, int64_t ldx,
                       const float *g, int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    (void)scratch;
    for (int64_t j = 0; j < n_groups; j++) {
        int64_t n_rows = first[j + 1] - first[j];
        const float *xj = xhat + first[j] * ldx, *gj = g + first[j] * ldg;
        double norm2 = 0, mass = 0;
        bool fit = true;
        for (int64_t r = 0; r < n_rows; r++) {
            double product2 = 0; /* exact products of two floats, whose squares a double holds */
            for (int64_t i = 0; i < width; i++)
                product2 += square((double)xj[r * ldx + i] * gj[r * ldg + i]);
            fit = fit && sqrt(ref_dot(width, xj + r * ldx, xj + r * ldx)) <= ROW_NORM_MAX;
            mass += sqrt(product2);
        }
        if (!fit || !isfinite(mass)) {
            norm[j].excluded = true;
            continue;
        }
        for (int64_t i = 0; i < width; i++) {
            double sum = 0;
            for (int64_t r = 0; r < n_rows; r++)
                sum += (double)xj[r * ldx + i] * gj[r * ldg + i];
            norm2 += sum * sum;
        }
        add_double(n_rows, norm2, mass, &norm[j]);
    }
}

/* The largest float up to x in [0, 1]. */
static double float_below(double x)
{
    float y = (float)x;
    return (double)y > x ? nextafterf(y, 0) : y;
}

void sg_ref_clip_weight(int64_t n_groups, const struct sg_group_norm *norm, double clip, double kappa, double *w)
{
    assert(clip > 0 && kappa > 0);
    for (int64_t j = 0; j < n_groups; j++) {
        double bound2 = norm[j].norm2 + norm[j].slack2;
        double by_norm = clip / sqrt(bound2), by_mass = kappa * clip / sqrt(norm[j].mass2);
        double least = isinf(clip) ? 1 : fmin(1, fmin(by_norm, by_mass));
        /* fmin passes over a NaN: a norm that is not known weighs nothing instead. */
        bool unknown = isnan(bound2) || isnan(norm[j].mass2);
        w[j] = norm[j].excluded || unknown ? 0 : float_below(least);
    }
}

void sg_ref_count_groups(int64_t n_groups, const struct sg_group_norm *norm, const double *w,
                         struct sg_clip_counts *counts)
{
    for (int64_t j = 0; j < n_groups; j++) {
        counts->n_groups++;
        counts->n_clipped += !norm[j].excluded && w[j] < 1;
        counts->n_excluded += norm[j].excluded;
        counts->norm_sum += norm[j].excluded ? 0 : sqrt(norm[j].norm2);
    }
}

void sg_ref_clear_rows(int64_t n_groups, const int32_t *first, const struct sg_group_norm *norm, int64_t width,
                       float *x, int64_t ldx)
{
    for (int64_t j = 0; j < n_groups; j++)
        for (int64_t r = first[j]; norm[j].excluded && r < first[j + 1]; r++)
            memset(x + r * ldx, 0, (size_t)width * sizeof *x);
}

void sg_ref_spread_weights(int64_t n_groups, const int32_t *first, const double *w, double *row_weight)
{
    for (int64_t j = 0; j < n_groups; j++)
        for (int64_t r = first[j]; r < first[j + 1]; r++)
            row_weight[r] = w[j];
}

/* One finished sum to the grid; what is out of range is left out and noted. */
static void add_rounded(double total, double grid, double limit, int64_t *sum, bool *overflow)
{
    double per_grid = 1.0 / grid;
    assert(grid > 0 && limit * per_grid <= 0x1p62); /* or the integer could overflow unseen */
    if (fabs(total) <= limit)                       /* false for NaN */
        *sum += llrint(total * per_grid);
    else
        *overflow = true;
}

/* The sum of one coordinate over the rows of a panel: chains of fmaf, added in double. */
static double coordinate(int64_t first, int64_t last, int64_t o, int64_t i, const float *a, int64_t lda, const float *g,
                         int64_t ldg, const double *w)
{
    double total = 0;
    for (int64_t begin = first; begin < last; begin += SG_CHAIN_ROWS) {
        int64_t end = begin + SG_CHAIN_ROWS < last ? begin + SG_CHAIN_ROWS : last;
        float chain = 0;
        for (int64_t r = begin; r < end; r++)
            chain = fmaf((float)(w[r] * g[r * ldg + o]), a[r * lda + i], chain);
        total += chain;
    }
    return total;
}

void sg_ref_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_in, int64_t n_out,
                   const float *a, int64_t lda, const float *g, int64_t ldg, const double *w, double grid, double limit,
                   int64_t *sum, bool *overflow, void *scratch)
{
    (void)scratch;
    assert(panel_row[0] == 0 && panel_row[n_panels] == n_rows);
    for (int64_t p = 0; p < n_panels; p++) {
        int64_t begin = panel_row[p], end = panel_row[p + 1];
        for (int64_t o = 0; begin < end && o < n_out; o++)
            for (int64_t i = 0; i < n_in; i++)
                add_rounded(coordinate(begin, end, o, i, a, lda, g, ldg, w), grid, limit, &sum[o * n_in + i], overflow);
    }
}

/* Column i of the rows from r on, up to n_rows, that share r's id: chains of additions, added in double. */
static double one_id_coordinate(int64_t r, int64_t n_rows, const int32_t *id, int64_t i, const float *g, int64_t ldg,
                                const double *w)
{
    double total = 0;
    float chain = 0;
    int64_t in_chain = 0;
    for (int64_t s = r; s < n_rows; s++) {
        if (id[s] != id[r])
            continue;
        chain += (float)(w[s] * g[s * ldg + i]);
        if (++in_chain == SG_CHAIN_ROWS) {
            total += chain;
            chain = 0;
            in_chain = 0;
        }
    }
    return in_chain ? total + chain : total;
}

void sg_ref_embed_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_ids, const int32_t *id,
                         int64_t width, const float *g, int64_t ldg, const double *w, double grid, double limit,
                         int64_t *sum, bool *overflow, void *scratch)
{
    (void)scratch;
    assert(panel_row[0] == 0 && panel_row[n_panels] == n_rows);
    for (int64_t p = 0; p < n_panels; p++)
        for (int64_t begin = panel_row[p], end = panel_row[p + 1], r = begin; r < end; r++) {
            assert(id[r] < n_ids); /* or the sum of another weight is written */
            if (id[r] < 0 || !is_first(id + begin, r - begin))
                continue;
            for (int64_t i = 0; i < width; i++)
                add_rounded(one_id_coordinate(r, end, id, i, g, ldg, w), grid, limit, &sum[id[r] * width + i],
                            overflow);
        }
}

void sg_ref_scale_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t width, const float *xhat,
                         int64_t ldx, const float *g, int64_t ldg, const double *w, double grid, double limit,
                         int64_t *sum, bool *overflow, void *scratch)
{
    (void)scratch;
    assert(panel_row[0] == 0 && panel_row[n_panels] == n_rows);
    for (int64_t p = 0; p < n_panels; p++) {
        int64_t begin = panel_row[p], end = panel_row[p + 1];
        for (int64_t i = 0; begin < end && i < width; i++)
            add_rounded(coordinate(begin, end, 0, 0, xhat + i, ldx, g + i, ldg, w), grid, limit, &sum[i], overflow);
    }
}
