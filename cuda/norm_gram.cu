/* Norms by the Gram matrix of a group's rows: |sum_r g_r a_r^T|^2 = sum over t, s of (a_t . a_s)(g_t . g_s). The CPU's
 * bits (src/ops/cpu/gram.h): a dot's sixteen lanes are half a warp's, pair (t, s) is added to lane (t mod 4) 4 + s mod
 * 4 of its group in ascending blocks of four t, then of four s.
 *
 * Groups of up to eight rows take half a warp each, all pairs in one pass over the rows. Larger ones take a block: each
 * half warp holds four rows t by sixteen rows s (20 loads from shared memory for 64 multiply-adds), the block a strip
 * of 4 M rows t by 256 / M rows s; products of a strip wait in shared memory until they are added in order. M is 8 up
 * to 128 rows (a tile of 32 by 32), 4 up to 256, 1 beyond. */
#include "norm_rows.h"

#define SMALL_ROWS 8
#define CHUNK 16             /* rows s of a half warp */
#define DEPTH 32             /* columns of a stage */
#define STAGE_LD (DEPTH + 1) /* odd: the two halves of a warp read different banks */
#define PRODUCTS 4096

SG_DEVICE bool is_gram(enum sg_norm_route asked, const struct norm_group *p)
{
    return sg_norm_route_of(asked, p->n_rows, p->n_in, p->n_out) == SG_ROUTE_GRAM;
}

/* ---- Up to eight rows: half a warp ---- */

struct small_dots {
    double norm2;  /* lane 2 r and 2 r + 1: squared norm of row r */
    float pair[3]; /* lane 4 t + s: pairs (t, s) where s < t, (t + 4, s), (t + 4, s + 4) where s < t */
};

/* Rows beyond n_rows and columns beyond n are zeros. */
SG_DEVICE struct small_dots small_dots_of(int n_rows, int64_t n, const float *x, int64_t ldx)
{
    float near[SUM_LANES], cross[SUM_LANES], far[SUM_LANES];
    double norm2[SMALL_ROWS];
    SG_UNROLL
    for (int i = 0; i < SUM_LANES; i++)
        near[i] = cross[i] = far[i] = 0;
    SG_UNROLL
    for (int r = 0; r < SMALL_ROWS; r++)
        norm2[r] = 0;
    for (int64_t j = sum_lane(); n_rows && j < n; j += SUM_LANES) {
        float v[SMALL_ROWS];
        SG_UNROLL
        for (int r = 0; r < SMALL_ROWS; r++)
            v[r] = r < n_rows ? x[r * ldx + j] : 0;
        SG_UNROLL
        for (int r = 0; r < SMALL_ROWS; r++)
            norm2[r] = fma((double)v[r], (double)v[r], norm2[r]);
        SG_UNROLL
        for (int t = 0; t < 4; t++)
            SG_UNROLL
        for (int s = 0; s < 4; s++) {
            if (s < t) {
                near[t * 4 + s] = fmaf(v[t], v[s], near[t * 4 + s]);
                far[t * 4 + s] = fmaf(v[t + 4], v[s + 4], far[t * 4 + s]);
            }
            cross[t * 4 + s] = fmaf(v[t + 4], v[s], cross[t * 4 + s]);
        }
    }
    lanes_sums<SMALL_ROWS>(norm2);
    lanes_sums<SUM_LANES>(near);
    lanes_sums<SUM_LANES>(cross);
    lanes_sums<SUM_LANES>(far);
    struct small_dots out = {norm2[0], {near[0], cross[0], far[0]}};
    return out;
}

/* norm_pairs_double by half a warp; `wanted` is the same in a half, the loops in the whole warp. */
SG_DEVICE double small_pairs_double(bool wanted, const struct norm_group *p)
{
    double sum = 0;
    for (int t = 1; t < SMALL_ROWS; t++)
        for (int s = 0; s < t; s++) {
            const bool there = wanted && t < p->n_rows;
            const int64_t t_at = there ? t : 0, s_at = there ? s : 0;
            double dot_a = lanes_sum(dot_lane(there ? p->n_in : 0, p->a + t_at * p->lda, p->a + s_at * p->lda));
            double dot_g = lanes_sum(dot_lane(there ? p->n_out : 0, p->g + t_at * p->ldg, p->g + s_at * p->ldg));
            sum += dot_a * dot_g;
        }
    return sum;
}

SG_KERNEL(sg_k_gram_small)
(enum sg_norm_route asked, int64_t n_groups, const int32_t *first, int64_t n_in, int64_t n_out, const float *a,
 int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm)
{
    const int64_t j = (int64_t)blockIdx.x * NORM_HALVES + sum_half();
    struct norm_group p = {0, n_in, n_out, lda, ldg, a, g};
    if (j < n_groups && !norm[j].excluded)
        p = norm_group_of(first, j, n_in, n_out, a, lda, g, ldg);
    const bool mine = p.n_rows > 0 && p.n_rows <= SMALL_ROWS && is_gram(asked, &p);
    if (!mine)
        p.n_rows = 0;
    struct small_dots dots_a = small_dots_of((int)p.n_rows, n_in, p.a, lda);
    struct small_dots dots_g = small_dots_of((int)p.n_rows, n_out, p.g, ldg);
    const int half = (int)threadIdx.x & SUM_LANES; /* where this half begins in its warp */
    double product = dots_a.norm2 * dots_g.norm2, root = sqrt(product), diagonal = 0, mass = 0;
    int flags = norm_flags(dots_a.norm2, dots_g.norm2);
    SG_UNROLL
    for (int r = 0; r < SMALL_ROWS; r++) { /* rows that are not there add zero */
        diagonal += __shfl_sync(SG_ALL_LANES, product, half + 2 * r);
        mass += __shfl_sync(SG_ALL_LANES, root, half + 2 * r);
    }
    const unsigned unfit = __ballot_sync(SG_ALL_LANES, (flags & NORM_UNFIT) != 0);
    const unsigned wild = __ballot_sync(SG_ALL_LANES, (flags & NORM_WILD) != 0);
    const bool is_wild = (wild >> half & 0xffff) != 0;
    double pairs = 0;
    for (int i = 0; i < 3; i++)
        pairs += (double)dots_a.pair[i] * (double)dots_g.pair[i];
    pairs = lanes_sum(pairs);
    if (wild) {
        double in_double = small_pairs_double(is_wild, &p);
        pairs = is_wild ? in_double : pairs;
    }
    if (!mine || sum_lane() != 0)
        return;
    if (unfit >> half & 0xffff)
        norm[j].excluded = true;
    else
        norm_add(diagonal + 2 * pairs, norm_gamma_of(SG_ROUTE_GRAM, &p), mass, &norm[j]);
}

/* ---- More rows: a block ---- */

/* Columns k .. k + DEPTH of the rows of a tile: first the strip's rows t, then the rows s. */
template <int M>
SG_DEVICE void gram_stage(int64_t n_rows, int64_t t0, int64_t s0, int64_t n, int64_t k, const float *x, int64_t ldx,
                          float *stage)
{
    const int rows = 4 * M + 256 / M;
    for (int i = threadIdx.x; i < rows * DEPTH; i += NORM_THREADS) {
        const int row = i / DEPTH, column = i % DEPTH;
        const int64_t r = row < 4 * M ? t0 + row : s0 + row - 4 * M;
        stage[row * STAGE_LD + column] = r < n_rows && k + column < n ? x[r * ldx + k + column] : 0;
    }
}

/* The dots of this half warp's four rows t with its sixteen rows s; lane 4 t + b gets those with s = 4 b + i in
 * dots[i]. Ends with all threads past their last read of the stage but no barrier after it. */
template <int M>
SG_DEVICE void gram_dots(int64_t n_rows, int64_t t0, int64_t s0, int64_t n, const float *x, int64_t ldx, float *stage,
                         float dots[4])
{
    const int block = sum_half() / (16 / M), chunk = sum_half() % (16 / M), lane = sum_lane();
    const bool needed = s0 + chunk * CHUNK < t0 + block * 4 + 3; /* has a pair with s < t */
    const float *xt = stage + block * 4 * STAGE_LD, *xs = stage + (4 * M + chunk * CHUNK) * STAGE_LD;
    float acc[4 * CHUNK];
    SG_UNROLL
    for (int i = 0; i < 4 * CHUNK; i++)
        acc[i] = 0;
    for (int64_t k = 0; k < n; k += DEPTH) {
        __syncthreads();
        gram_stage<M>(n_rows, t0, s0, n, k, x, ldx, stage);
        __syncthreads();
        SG_UNROLL
        for (int at = 0; at < DEPTH; at += SUM_LANES) {
            float v[4];
            if (!needed)
                break;
            SG_UNROLL
            for (int t = 0; t < 4; t++)
                v[t] = xt[t * STAGE_LD + at + lane];
            SG_UNROLL
            for (int s = 0; s < CHUNK; s++) {
                const float u = xs[s * STAGE_LD + at + lane];
                SG_UNROLL
                for (int t = 0; t < 4; t++)
                    acc[t * CHUNK + s] = fmaf(v[t], u, acc[t * CHUNK + s]);
            }
        }
    }
    lanes_sums<4 * CHUNK>(acc);
    SG_UNROLL
    for (int i = 0; i < 4; i++)
        dots[i] = acc[i];
}

/* Adds a strip's products with s in s0 .. s_end to this thread's lane, in order: threads 0 .. 15. product: (4 M, ld).
 */
template <int M>
SG_DEVICE double gram_add(int64_t n_rows, int64_t t0, int64_t s0, int64_t s_end, const double *product, int ld,
                          double sum)
{
    const int t_of = threadIdx.x / 4, s_of = threadIdx.x % 4;
    for (int block = 0; block < M; block++) {
        const int row = block * 4 + t_of;
        const int64_t end = smaller(t0 + row, s_end);
        for (int64_t s = s0 + s_of; t0 + row < n_rows && s < end; s += 4)
            sum += product[row * ld + (s - s0)];
    }
    return sum;
}

/* sum over s < t of (a_t . a_s)(g_t . g_s); valid in thread 0. */
template <int M> SG_DEVICE double gram_pairs(const struct norm_group *p, float *stage, double *product)
{
    const int width = 256 / M, ld = M == 1 ? width : PRODUCTS / (4 * M);
    const int block = sum_half() / (16 / M), chunk = sum_half() % (16 / M), lane = sum_lane();
    double sum = 0;
    for (int64_t t0 = 0; t0 < p->n_rows; t0 += 4 * M) {
        const int64_t end = smaller(t0 + 4 * M, p->n_rows);
        for (int64_t s0 = 0; s0 < end; s0 += width) {
            float dots_a[4], dots_g[4];
            gram_dots<M>(p->n_rows, t0, s0, p->n_in, p->a, p->lda, stage, dots_a);
            gram_dots<M>(p->n_rows, t0, s0, p->n_out, p->g, p->ldg, stage, dots_g);
            /* With one block of rows t the products of a tile are next in order; else they wait for the whole strip. */
            double *to = product + (block * 4 + lane / 4) * ld + (M == 1 ? 0 : s0) + chunk * CHUNK + lane % 4 * 4;
            SG_UNROLL
            for (int i = 0; i < 4; i++)
                to[i] = (double)dots_a[i] * (double)dots_g[i];
            __syncthreads();
            if (M == 1 && threadIdx.x < SUM_LANES)
                sum = gram_add<M>(p->n_rows, t0, s0, s0 + width, product, ld, sum);
        }
        if (M != 1 && threadIdx.x < SUM_LANES)
            sum = gram_add<M>(p->n_rows, t0, 0, end, product, ld, sum);
        __syncthreads();
    }
    return lanes_sum(sum);
}

/* Groups of more than `over` rows, up to `up_to`. */
template <int M>
SG_KERNEL_BOUNDS(NORM_THREADS, 2)
SG_KERNEL(sg_k_gram)(enum sg_norm_route asked, int64_t over, int64_t up_to, const int32_t *first, int64_t n_in,
                     int64_t n_out, const float *a, int64_t lda, const float *g, int64_t ldg,
                     struct sg_group_norm *norm)
{
    SG_SHARED(float, stage, (4 * M + 256 / M) * STAGE_LD);
    SG_SHARED(double, product, M == 1 ? 4 * 256 : PRODUCTS);
    SG_SHARED(struct norm_shared, shared, 1);
    const int64_t j = blockIdx.x;
    const struct norm_group p = norm_group_of(first, j, n_in, n_out, a, lda, g, ldg);
    if (p.n_rows <= over || p.n_rows > up_to || norm[j].excluded || !is_gram(asked, &p))
        return; /* the whole block */
    const struct norm_sums s = norm_sum_rows(&p, shared);
    if (norm_excludes(&s, &norm[j]))
        return;
    double pairs = s.flags & NORM_WILD ? norm_pairs_double(&p, shared) : gram_pairs<M>(&p, stage, product);
    if (threadIdx.x == 0)
        norm_add(s.diagonal + 2 * pairs, norm_gamma_of(SG_ROUTE_GRAM, &p), s.mass, &norm[j]);
}

/* Groups of more than `over` rows, up to `up_to`; not launched where so many rows are not taken by the Gram. */
template <int M>
static void gram_launch(enum sg_norm_route asked, int64_t over, int64_t up_to, int64_t n_groups, const int32_t *first,
                        int64_t n_in, int64_t n_out, const float *a, int64_t lda, const float *g, int64_t ldg,
                        struct sg_group_norm *norm)
{
    if (sg_norm_route_of(asked, over + 1, n_in, n_out) == SG_ROUTE_GRAM)
        SG_LAUNCH(sg_k_gram<M>, (int)n_groups, NORM_THREADS, 0, asked, over, up_to, first, n_in, n_out, a, lda, g, ldg,
                  norm);
}

/* Rows of groups are on the device: every class of sizes is launched, and what is of another one leaves at once. */
void sg_cuda_gram(enum sg_norm_route asked, int64_t n_groups, const int32_t *first, int64_t n_in, int64_t n_out,
                  const float *a, int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm)
{
    SG_LAUNCH(sg_k_gram_small, sg_blocks(n_groups, NORM_HALVES), NORM_THREADS, 0, asked, n_groups, first, n_in, n_out,
              a, lda, g, ldg, norm);
    gram_launch<8>(asked, SMALL_ROWS, 128, n_groups, first, n_in, n_out, a, lda, g, ldg, norm);
    gram_launch<4>(asked, 128, 256, n_groups, first, n_in, n_out, a, lda, g, ldg, norm);
    gram_launch<1>(asked, 256, INT64_MAX, n_groups, first, n_in, n_out, a, lda, g, ldg, norm);
}
