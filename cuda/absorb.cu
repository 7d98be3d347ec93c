/* The weighted gradient sum of a LINEAR tap: for each panel sum += round((sum over its rows (w g) a^T) / grid).
 *
 * A product of matrices with the rows as its inner dimension, so that both come as they lie: a block makes a tile of 8
 * OUTS outputs by 64 inputs, each thread OUTS by 4 of them. w g is weighted when it is laid in shared memory. A chain
 * of SG_CHAIN_ROWS rows runs in float, and is then added to the thread's sums in double: the CPU's bits. Panels are a
 * loop, spread over grid.z where tiles are few. */
#include "absorb.h"
#include "table.h"

#define THREADS 128
#define ROWS (THREADS / 16) /* threads above each other */
#define TILE_INS 64
#define INS 4    /* inputs of a thread, 16 apart: a warp's integers lie side by side */
#define DEPTH 16 /* rows of a stage; divides SG_CHAIN_ROWS */

/* A tap's rows. */
struct absorb_tap {
    int64_t n_in, n_out, lda, ldg;
    const float *a, *g;
    const double *w;
};

/* n rows from row r on, outputs from o0, inputs from i0; zeros beyond. */
template <int OUTS>
SG_DEVICE void absorb_stage(const struct absorb_tap *p, int64_t r, int n, int64_t o0, int64_t i0, float *g, float *a)
{
    const int wide = ROWS * OUTS;
    SG_UNROLL
    for (int at = threadIdx.x; at < DEPTH * wide; at += THREADS) {
        const int k = at / wide, o = at % wide;
        const bool there = k < n && o0 + o < p->n_out;
        g[at] = there ? absorb_weighted(p->w[r + k], p->g[(r + k) * p->ldg + o0 + o]) : 0;
    }
    SG_UNROLL
    for (int at = threadIdx.x; at < DEPTH * TILE_INS; at += THREADS) {
        const int k = at / TILE_INS, i = at % TILE_INS;
        a[at] = k < n && i0 + i < p->n_in ? p->a[(r + k) * p->lda + i0 + i] : 0;
    }
}

template <int OUTS> SG_DEVICE void absorb_depth(int n, const float *g, const float *a, float (*chain)[INS])
{
    const int o = (int)threadIdx.x / 16 * OUTS, i = (int)threadIdx.x % 16;
    SG_UNROLL_BY(8)
    for (int k = 0; k < n; k++) {
        float b[INS];
        SG_UNROLL
        for (int y = 0; y < INS; y++)
            b[y] = a[k * TILE_INS + i + 16 * y];
        SG_UNROLL
        for (int x = 0; x < OUTS; x++)
            SG_UNROLL
        for (int y = 0; y < INS; y++)
            chain[x][y] = fmaf(g[k * ROWS * OUTS + o + x], b[y], chain[x][y]);
    }
}

/* A thread's sums over the rows begin .. end of a panel. Stages alternate between two buffers: one barrier each. */
template <int OUTS>
SG_DEVICE void absorb_rows(const struct absorb_tap *p, int64_t begin, int64_t end, int64_t o0, int64_t i0,
                           float (*g)[DEPTH * ROWS * OUTS], float (*a)[DEPTH * TILE_INS], double (*total)[INS])
{
    float chain[OUTS][INS];
    int buffer = 0;
    SG_UNROLL
    for (int x = 0; x < OUTS * INS; x++)
        total[x / INS][x % INS] = 0;
    for (int64_t first = begin; first < end; first += SG_CHAIN_ROWS) {
        const int64_t last = smaller(first + SG_CHAIN_ROWS, end);
        SG_UNROLL
        for (int x = 0; x < OUTS * INS; x++)
            chain[x / INS][x % INS] = 0;
        for (int64_t r = first; r < last; r += DEPTH, buffer ^= 1) {
            const int n = (int)smaller(DEPTH, last - r);
            absorb_stage<OUTS>(p, r, n, o0, i0, g[buffer], a[buffer]);
            __syncthreads();
            absorb_depth<OUTS>(n, g[buffer], a[buffer], chain);
        }
        SG_UNROLL
        for (int x = 0; x < OUTS * INS; x++)
            total[x / INS][x % INS] += (double)chain[x / INS][x % INS];
    }
    __syncthreads(); /* the next panel begins with the first buffer again */
}

template <int OUTS>
SG_KERNEL_BOUNDS(THREADS, 3)
SG_KERNEL(sg_k_absorb)(int64_t n_panels, const int32_t *panel_row, struct absorb_tap p, struct absorb_target to)
{
    SG_SHARED(float, g, 2 * DEPTH * ROWS * OUTS);
    SG_SHARED(float, a, 2 * DEPTH * TILE_INS);
    SG_SHARED(int, flag, 1);
    const int64_t i0 = (int64_t)blockIdx.x * TILE_INS, o0 = (int64_t)blockIdx.y * ROWS * OUTS;
    const int64_t i = i0 + threadIdx.x % 16, o = o0 + threadIdx.x / 16 * OUTS;
    bool overflow = false;
    for (int64_t panel = blockIdx.z; panel < n_panels; panel += gridDim.z) {
        const int64_t begin = panel_row[panel], end = panel_row[panel + 1];
        double total[OUTS][INS];
        if (begin == end)
            continue;
        absorb_rows<OUTS>(&p, begin, end, o0, i0, (float(*)[DEPTH * ROWS * OUTS]) g, (float(*)[DEPTH * TILE_INS]) a,
                          total);
        SG_UNROLL
        for (int x = 0; x < OUTS; x++)
            SG_UNROLL
        for (int y = 0; y < INS; y++)
            if (o + x < p.n_out && i + 16 * y < p.n_in &&
                !absorb_rounded(total[x][y], &to, to.sum + (o + x) * p.n_in + i + 16 * y))
                overflow = true;
    }
    absorb_note(overflow, flag, &to);
}

template <int OUTS>
static void absorb_launch(int64_t n_panels, const int32_t *panel_row, const struct absorb_tap *p,
                          const struct absorb_target *to)
{
    const int64_t columns = (p->n_in + TILE_INS - 1) / TILE_INS, rows = (p->n_out + ROWS * OUTS - 1) / (ROWS * OUTS);
    const dim3 grid((unsigned)columns, (unsigned)rows, (unsigned)absorb_spread(columns * rows, n_panels));
    SG_LAUNCH(sg_k_absorb<OUTS>, grid, THREADS, 0, n_panels, panel_row, *p, *to);
}

static void absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_in, int64_t n_out,
                   const float *a, int64_t lda, const float *g, int64_t ldg, const double *w, double grid, double limit,
                   int64_t *sum, bool *overflow, void *scratch)
{
    (void)scratch;
    assert(n_rows >= 0 && n_in > 0 && n_out > 0 && (lda >= n_in || lda == 0) && ldg >= n_out);
    const struct absorb_target to = absorb_target_of(grid, limit, sum, overflow);
    const struct absorb_tap p = {n_in, n_out, lda, ldg, a, g, w};
    if (n_rows == 0 || n_panels == 0)
        return;
    if (n_in == 1)
        sg_cuda_bias_absorb(n_panels, panel_row, n_out, a, lda, g, ldg, w, &to);
    else if (n_out <= 2 * ROWS)
        absorb_launch<1>(n_panels, panel_row, &p, &to);
    else
        absorb_launch<8>(n_panels, panel_row, &p, &to);
}

void sg_cuda_fill_absorb(struct sg_ops *ops)
{
    ops->absorb = absorb;
}
