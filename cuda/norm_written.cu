/* Norms of gradients that are written out, a tile at a time: one float chain over all the group's rows for each weight,
 * squares summed in double. The CPU's bits (src/ops/cpu/norm.h): weight (o, i) belongs to lane i mod 16, and a lane
 * adds strips of sixteen inputs in ascending order, in each the outputs in ascending order. So a tile is 16 inputs
 * wide; it is made by all threads (4 by 4 weights each), laid in shared memory and added by sixteen of them, while the
 * other blocks of the multiprocessor make theirs. */
#include "norm_rows.h"
#include "table.h"

#define TILE_OUTS 256
#define DEPTH 16 /* rows of a stage */

struct written_shared {
    float g[DEPTH][TILE_OUTS], a[DEPTH][SUM_LANES];
    float tile[TILE_OUTS][SUM_LANES];
};

SG_DEVICE void written_stage(const struct norm_group *p, int64_t row, int64_t o0, int64_t i0,
                             struct written_shared *shared)
{
    for (int k = 0; k < DEPTH; k++) {
        const int64_t r = row + k, o = o0 + threadIdx.x;
        shared->g[k][threadIdx.x] = r < p->n_rows && o < p->n_out ? p->g[r * p->ldg + o] : 0;
    }
    const int k = sum_half(), i = sum_lane(); /* DEPTH half warps */
    shared->a[k][i] = row + k < p->n_rows && i0 + i < p->n_in ? p->a[(row + k) * p->lda + i0 + i] : 0;
}

/* The weights of outputs o0 .. o0 + TILE_OUTS and inputs i0 .. i0 + 16. Ends with a barrier. */
SG_DEVICE void written_tile(const struct norm_group *p, int64_t o0, int64_t i0, struct written_shared *shared)
{
    const int o = (int)threadIdx.x / 4 * 4, i = (int)threadIdx.x % 4 * 4;
    float acc[4][4];
    SG_UNROLL
    for (int x = 0; x < 16; x++)
        acc[x / 4][x % 4] = 0;
    for (int64_t row = 0; row < p->n_rows; row += DEPTH) {
        written_stage(p, row, o0, i0, shared);
        __syncthreads();
        const int n = (int)smaller(DEPTH, p->n_rows - row);
        SG_UNROLL_BY(4)
        for (int k = 0; k < n; k++)
            SG_UNROLL
        for (int x = 0; x < 4; x++)
            SG_UNROLL
        for (int y = 0; y < 4; y++)
            acc[x][y] = fmaf(shared->g[k][o + x], shared->a[k][i + y], acc[x][y]);
        __syncthreads();
    }
    SG_UNROLL
    for (int x = 0; x < 16; x++)
        shared->tile[o + x / 4][i + x % 4] = acc[x / 4][x % 4];
    __syncthreads();
}

/* The squared norm; valid in thread 0. Weights beyond the last input are zeros and add nothing. */
SG_DEVICE double written_norm2(const struct norm_group *p, struct written_shared *shared)
{
    double sum = 0;
    for (int64_t i0 = 0; i0 < p->n_in; i0 += SUM_LANES)
        for (int64_t o0 = 0; o0 < p->n_out; o0 += TILE_OUTS) {
            written_tile(p, o0, i0, shared);
            const int n = threadIdx.x < SUM_LANES ? (int)smaller(TILE_OUTS, p->n_out - o0) : 0;
            SG_UNROLL_BY(8)
            for (int o = 0; o < n; o++) {
                const double x = shared->tile[o][threadIdx.x];
                sum = fma(x, x, sum);
            }
        }
    return lanes_sum(sum);
}

SG_KERNEL(sg_k_instantiate)
(enum sg_norm_route asked, const int32_t *first, int64_t n_in, int64_t n_out, const float *a, int64_t lda,
 const float *g, int64_t ldg, struct sg_group_norm *norm)
{
    SG_SHARED(struct written_shared, tile, 1);
    SG_SHARED(struct norm_shared, shared, 1);
    const int64_t j = blockIdx.x;
    const struct norm_group p = norm_group_of(first, j, n_in, n_out, a, lda, g, ldg);
    if (p.n_rows <= 0 || norm[j].excluded || sg_norm_route_of(asked, p.n_rows, n_in, n_out) != SG_ROUTE_INSTANTIATE)
        return; /* the whole block */
    const struct norm_sums s = norm_sum_rows(&p, shared);
    if (norm_excludes(&s, &norm[j]))
        return;
    double norm2 = s.flags & NORM_WILD ? s.diagonal + 2 * norm_pairs_double(&p, shared) : written_norm2(&p, tile);
    if (threadIdx.x == 0)
        norm_add(norm2, norm_gamma_of(SG_ROUTE_INSTANTIATE, &p), s.mass, &norm[j]);
}

/* What the CPU asserts of a group's rows (2^16 for the Gram, 2^22 else) is the plan's to keep: they are not known here.
 */
static void group_norm(enum sg_norm_route asked, int64_t n_groups, const int32_t *first, int64_t n_in, int64_t n_out,
                       const float *a, int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm,
                       void *scratch)
{
    (void)scratch;
    assert(n_groups >= 0 && n_in > 0 && n_out > 0 && (lda >= n_in || lda == 0) && ldg >= n_out);
    if (n_groups == 0)
        return;
    if (n_in == 1) {
        sg_cuda_bias_norm(asked, n_groups, first, n_out, a, lda, g, ldg, norm);
        return;
    }
    if (asked != SG_ROUTE_INSTANTIATE)
        sg_cuda_gram(asked, n_groups, first, n_in, n_out, a, lda, g, ldg, norm);
    if (asked != SG_ROUTE_GRAM)
        SG_LAUNCH(sg_k_instantiate, (int)n_groups, NORM_THREADS, 0, asked, first, n_in, n_out, a, lda, g, ldg, norm);
}

void sg_cuda_fill_group_norm(struct sg_ops *ops)
{
    ops->group_norm = group_norm;
}
