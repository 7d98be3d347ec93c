/* Norms of gradients that are sums of rows by column, wholly in double: embeddings (g, rows of one id together), gains
 * of layer norms (g xhat), biases (g a with one a for a row). The CPU's bits (src/ops/cpu/columns.h): a thread adds a
 * column's rows in ascending order; the squares of the columns are then added over the sixteen lanes. */
#include "norm_rows.h"
#include "table.h"
#include "rows_of_id.h"

enum factor { FACTOR_NONE, FACTOR_ROW, FACTOR_EACH };

struct columns {
    int64_t n_rows, width, ldg, ldx;
    const float *g, *x;
};

/* sum + row r's share of column j */
template <int F> SG_DEVICE double column_add(const struct columns *c, int64_t r, int64_t j, double sum)
{
    const double g = c->g[r * c->ldg + j];
    if (F == FACTOR_NONE)
        return sum + g;
    return fma(g, (double)c->x[r * c->ldx + (F == FACTOR_EACH ? j : 0)], sum);
}

/* Adds the squares of NORM_THREADS columns, one in each thread, to the lanes: threads 0 .. 15. Ends with a barrier. */
SG_DEVICE double squares_add(double column, double *columns, double lane)
{
    columns[threadIdx.x] = column;
    __syncthreads();
    for (int i = threadIdx.x; threadIdx.x < SUM_LANES && i < NORM_THREADS; i += SUM_LANES)
        lane = fma(columns[i], columns[i], lane);
    __syncthreads();
    return lane;
}

/* Squared norm of the columns' sums; valid in thread 0. */
template <int F> SG_DEVICE double columns_norm2(const struct columns *c, double *columns)
{
    double lane = 0;
    for (int64_t j0 = 0; j0 < c->width; j0 += NORM_THREADS) {
        const int64_t j = j0 + threadIdx.x;
        double sum = 0;
        for (int64_t r = 0; j < c->width && r < c->n_rows; r++)
            sum = column_add<F>(c, r, j, sum);
        lane = squares_add(sum, columns, lane);
    }
    return lanes_sum(lane);
}

SG_KERNEL(sg_k_bias_norm)
(enum sg_norm_route asked, const int32_t *first, int64_t n_out, const float *a, int64_t lda, const float *g,
 int64_t ldg, struct sg_group_norm *norm)
{
    SG_SHARED(double, columns, NORM_THREADS);
    SG_SHARED(struct norm_shared, shared, 1);
    const int64_t j = blockIdx.x;
    const struct norm_group p = norm_group_of(first, j, 1, n_out, a, lda, g, ldg);
    if (p.n_rows <= 0 || norm[j].excluded)
        return; /* the whole block */
    const struct norm_sums s = norm_sum_rows(&p, shared);
    if (norm_excludes(&s, &norm[j]))
        return;
    const struct columns c = {p.n_rows, n_out, ldg, lda, p.g, p.a};
    double norm2 = columns_norm2<FACTOR_ROW>(&c, columns);
    if (threadIdx.x == 0)
        norm_add(norm2, norm_gamma_of(asked, &p), s.mass, &norm[j]);
}

void sg_cuda_bias_norm(enum sg_norm_route asked, int64_t n_groups, const int32_t *first, int64_t n_out, const float *a,
                       int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm)
{
    SG_LAUNCH(sg_k_bias_norm, (int)n_groups, NORM_THREADS, 0, asked, first, n_out, a, lda, g, ldg, norm);
}

/* ---- Gains ---- */

/* This lane's chains of |x|^2 and of |g x|^2 by column. */
SG_DEVICE void scale_lane(int64_t n, const float *x, const float *g, double sum[2])
{
    sum[0] = sum[1] = 0;
    for (int64_t j = sum_lane(); j < n; j += SUM_LANES) {
        const double v = x[j], product = v * (double)g[j];
        sum[0] = fma(v, v, sum[0]);
        sum[1] = fma(product, product, sum[1]);
    }
}

/* The group's mass, and whether it is excluded. Ends with a barrier. */
SG_DEVICE struct norm_sums scale_mass(const struct columns *c, struct norm_shared *shared)
{
    double mass = 0;
    int flags = 0;
    for (int64_t begin = 0; begin < c->n_rows; begin += NORM_ROWS) {
        const int n = (int)smaller(NORM_ROWS, c->n_rows - begin);
        for (int i = sum_half(); i < NORM_ROWS; i += NORM_HALVES) {
            const int64_t r = begin + (i < n ? i : 0);
            double lane[2];
            scale_lane(i < n ? c->width : 0, c->x + r * c->ldx, c->g + r * c->ldg, lane);
            const double x2 = lanes_sum(lane[0]), product2 = lanes_sum(lane[1]);
            /* a NaN in either shows in the product */
            flags |= x2 <= NORM_A_MAX2 && isfinite(product2) ? 0 : NORM_UNFIT;
            if (sum_lane() == 0)
                shared->root[i] = sqrt(product2);
        }
        __syncthreads();
        for (int i = 0; threadIdx.x == 0 && i < n; i++)
            mass += shared->root[i];
        __syncthreads();
    }
    return norm_share(0, mass, flags, shared);
}

/* What summing in double can have lost is far below gamma(1). */
SG_DEVICE double columns_gamma()
{
    return 0x1p-24 / (1 - 0x1p-24);
}

SG_KERNEL(sg_k_scale_norm)
(const int32_t *first, int64_t width, const float *xhat, int64_t ldx, const float *g, int64_t ldg,
 struct sg_group_norm *norm)
{
    SG_SHARED(double, columns, NORM_THREADS);
    SG_SHARED(struct norm_shared, shared, 1);
    const int64_t j = blockIdx.x, r = first[j];
    const struct columns c = {first[j + 1] - r, width, ldg, ldx, g + r * ldg, xhat + r * ldx};
    if (norm[j].excluded)
        return; /* the whole block */
    const struct norm_sums s = scale_mass(&c, shared);
    if (norm_excludes(&s, &norm[j]))
        return;
    double norm2 = columns_norm2<FACTOR_EACH>(&c, columns);
    if (threadIdx.x == 0)
        norm_add(norm2, columns_gamma(), s.mass, &norm[j]);
}

static void scale_norm(int64_t n_groups, const int32_t *first, int64_t width, const float *xhat, int64_t ldx,
                       const float *g, int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    (void)scratch;
    assert(n_groups >= 0 && width > 0 && ldx >= width && ldg >= width);
    if (n_groups > 0)
        SG_LAUNCH(sg_k_scale_norm, (int)n_groups, NORM_THREADS, 0, first, width, xhat, ldx, g, ldg, norm);
}

/* ---- Embeddings ---- */

/* The sum over the rows that have an id of |g|; in all threads, with a barrier at the end. */
SG_DEVICE double embed_mass(int64_t n_rows, const int32_t *id, int64_t width, const float *g, int64_t ldg,
                            struct norm_shared *shared)
{
    double mass = 0;
    for (int64_t begin = 0; begin < n_rows; begin += NORM_ROWS) {
        const int n = (int)smaller(NORM_ROWS, n_rows - begin);
        for (int i = sum_half(); i < NORM_ROWS; i += NORM_HALVES) {
            const bool there = i < n && id[begin + i] >= 0;
            const float *row = g + (there ? begin + i : 0) * ldg;
            const double norm2 = lanes_sum(dot_lane(there ? width : 0, row, row));
            if (sum_lane() == 0)
                shared->root[i] = sqrt(norm2);
        }
        __syncthreads();
        for (int i = 0; threadIdx.x == 0 && i < n; i++)
            mass += shared->root[i]; /* zero for a row without an id */
        __syncthreads();
    }
    return norm_share(0, mass, 0, shared).mass;
}

/* The squared norm of the gradient of one id's row of the weight; valid in thread 0. */
SG_DEVICE double id_norm2(int32_t wanted, const int32_t *id, const struct columns *c, struct id_rows *rows,
                          double *columns)
{
    double lane = 0;
    for (int64_t j0 = 0; j0 < c->width; j0 += NORM_THREADS) {
        const int64_t j = j0 + threadIdx.x;
        double sum = 0;
        for (int64_t begin = 0; begin < c->n_rows; begin += ROWS_OF_ID) {
            const int n = rows_of_id(begin, c->n_rows, id, wanted, rows);
            for (int k = 0; j < c->width && k < n; k++)
                sum = column_add<FACTOR_NONE>(c, rows->row[k], j, sum);
        }
        lane = squares_add(sum, columns, lane);
    }
    return lanes_sum(lane);
}

/* Ids in ascending order, as the CPU's sort has them: the norms are added in double. */
SG_KERNEL(sg_k_embed_norm)
(const int32_t *first, const int32_t *id, int64_t width, const float *g, int64_t ldg, struct sg_group_norm *norm)
{
    SG_SHARED(double, columns, NORM_THREADS);
    SG_SHARED(struct id_rows, rows, 1);
    SG_SHARED(struct norm_shared, shared, 1);
    const int64_t j = blockIdx.x, r = first[j];
    const struct columns c = {first[j + 1] - r, width, ldg, 0, g + r * ldg, NULL};
    if (norm[j].excluded)
        return; /* the whole block */
    const double mass = embed_mass(c.n_rows, id + r, width, c.g, ldg, shared);
    if (!isfinite(mass)) { /* a double holds the sum of squares of any finite floats */
        if (threadIdx.x == 0)
            norm[j].excluded = true;
        return;
    }
    double norm2 = 0;
    for (int32_t at = id_after(-1, c.n_rows, id + r, rows); at >= 0; at = id_after(at, c.n_rows, id + r, rows))
        norm2 += id_norm2(at, id + r, &c, rows, columns);
    if (threadIdx.x == 0)
        norm_add(norm2, columns_gamma(), mass, &norm[j]);
}

static void embed_norm(int64_t n_groups, const int32_t *first, const int32_t *id, int64_t width, const float *g,
                       int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    (void)scratch;
    assert(n_groups >= 0 && width > 0 && ldg >= width);
    if (n_groups > 0)
        SG_LAUNCH(sg_k_embed_norm, (int)n_groups, NORM_THREADS, 0, first, id, width, g, ldg, norm);
}

void sg_cuda_fill_column_norms(struct sg_ops *ops)
{
    ops->embed_norm = embed_norm;
    ops->scale_norm = scale_norm;
}
