/* Weighted sums by column: a bias (one a for a row), the gain of a layer norm (g xhat), embeddings (rows of one id).
 * Chains of SG_CHAIN_ROWS rows in float, added in double in ascending order: the CPU's bits. */
#include "absorb.h"
#include "table.h"
#include "rows_of_id.h"

#define WIDE 32  /* columns of a block */
#define CHAINS 8 /* chains side by side */
#define EMBED_COLUMNS 4

struct columns {
    int64_t width, ldg, ldx;
    const float *g, *x;
    const double *w;
};

/* One chain of rows begin .. end in column j; x is a float a column, or one for the whole row. */
template <bool EACH> SG_DEVICE float columns_chain(const struct columns *c, int64_t begin, int64_t end, int64_t j)
{
    float chain = 0;
    SG_UNROLL_BY(4)
    for (int64_t r = begin; r < end; r++)
        chain = fmaf(absorb_weighted(c->w[r], c->g[r * c->ldg + j]), c->x[r * c->ldx + (EACH ? j : 0)], chain);
    return chain;
}

/* Eight warps take a chain each of the same 32 columns; the first adds them. */
template <bool EACH>
SG_KERNEL(sg_k_absorb_columns)
(int64_t n_panels, const int32_t *panel_row, struct columns c, struct absorb_target to)
{
    SG_SHARED(float, chains, CHAINS *WIDE);
    SG_SHARED(int, flag, 1);
    const int warp = (int)threadIdx.x / WIDE, lane = (int)threadIdx.x % WIDE;
    const int64_t j = (int64_t)blockIdx.x * WIDE + lane;
    bool overflow = false;
    for (int64_t panel = blockIdx.y; panel < n_panels; panel += gridDim.y) {
        const int64_t first = panel_row[panel], last = panel_row[panel + 1];
        double total = 0;
        for (int64_t at = first; at < last; at += CHAINS * SG_CHAIN_ROWS) {
            const int64_t begin = smaller(at + warp * SG_CHAIN_ROWS, last), end = smaller(begin + SG_CHAIN_ROWS, last);
            chains[threadIdx.x] = j < c.width ? columns_chain<EACH>(&c, begin, end, j) : 0;
            __syncthreads();
            for (int k = 0; warp == 0 && k < CHAINS; k++) /* a chain without rows is a zero */
                total += (double)chains[k * WIDE + lane];
            __syncthreads();
        }
        if (warp == 0 && first < last && j < c.width && !absorb_rounded(total, &to, to.sum + j))
            overflow = true;
    }
    absorb_note(overflow, flag, &to);
}

template <bool EACH>
static void columns_launch(int64_t n_panels, const int32_t *panel_row, const struct columns *c,
                           const struct absorb_target *to)
{
    const int64_t blocks = (c->width + WIDE - 1) / WIDE;
    const dim3 grid((unsigned)blocks, (unsigned)absorb_spread(blocks, n_panels));
    SG_LAUNCH(sg_k_absorb_columns<EACH>, grid, CHAINS * WIDE, 0, n_panels, panel_row, *c, *to);
}

void sg_cuda_bias_absorb(int64_t n_panels, const int32_t *panel_row, int64_t n_out, const float *a, int64_t lda,
                         const float *g, int64_t ldg, const double *w, const struct absorb_target *to)
{
    const struct columns c = {n_out, ldg, lda, g, a, w};
    columns_launch<false>(n_panels, panel_row, &c, to);
}

static void scale_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t width, const float *xhat,
                         int64_t ldx, const float *g, int64_t ldg, const double *w, double grid, double limit,
                         int64_t *sum, bool *overflow, void *scratch)
{
    (void)scratch;
    assert(n_rows >= 0 && width > 0 && ldx >= width && ldg >= width);
    const struct absorb_target to = absorb_target_of(grid, limit, sum, overflow);
    const struct columns c = {width, ldg, ldx, g, xhat, w};
    if (n_rows > 0 && n_panels > 0)
        columns_launch<true>(n_panels, panel_row, &c, &to);
}

/* ---- Embeddings: a block for each row that is the first of its id in its panel ---- */

struct embed_sums {
    float chain[EMBED_COLUMNS];
    double total[EMBED_COLUMNS];
};

/* Adds the weighted row r to the columns j, j + ROWS_OF_ID, ... of this thread. */
SG_DEVICE void embed_add(const struct columns *c, int64_t r, int64_t j, struct embed_sums *s)
{
    const double w = c->w[r];
    SG_UNROLL
    for (int x = 0; x < EMBED_COLUMNS; x++)
        if (j + x * ROWS_OF_ID < c->width)
            s->chain[x] += absorb_weighted(w, c->g[r * c->ldg + j + x * ROWS_OF_ID]);
}

SG_DEVICE void embed_close_chain(struct embed_sums *s)
{
    SG_UNROLL
    for (int x = 0; x < EMBED_COLUMNS; x++) {
        s->total[x] += (double)s->chain[x];
        s->chain[x] = 0;
    }
}

/* The rows of id `wanted` from row `first` on, summed and added to the grid; false where something is out of range. */
SG_DEVICE bool embed_sum_id(const struct columns *c, int64_t first, int64_t last, const int32_t *id, int32_t wanted,
                            int64_t j0, struct id_rows *rows, const struct absorb_target *to)
{
    const int64_t j = j0 + threadIdx.x;
    struct embed_sums s;
    int in_chain = 0;
    bool fits = true;
    SG_UNROLL
    for (int x = 0; x < EMBED_COLUMNS; x++)
        s.chain[x] = 0, s.total[x] = 0;
    for (int64_t begin = first; begin < last; begin += ROWS_OF_ID) {
        const int n = rows_of_id(begin, last, id, wanted, rows);
        for (int k = 0; k < n; k++) {
            embed_add(c, rows->row[k], j, &s);
            in_chain = (in_chain + 1) % SG_CHAIN_ROWS;
            if (in_chain == 0)
                embed_close_chain(&s);
        }
    }
    embed_close_chain(&s);
    SG_UNROLL
    for (int x = 0; x < EMBED_COLUMNS; x++)
        if (j + x * ROWS_OF_ID < c->width)
            fits = absorb_rounded(s.total[x], to, to->sum + wanted * c->width + j + x * ROWS_OF_ID) && fits;
    return fits;
}

SG_KERNEL(sg_k_embed_absorb)
(const int32_t *panel_row, const int32_t *id, struct columns c, struct absorb_target to)
{
    SG_SHARED(struct id_rows, rows, 1);
    SG_SHARED(int, flag, 1);
    const int64_t first = panel_row[blockIdx.y], last = panel_row[blockIdx.y + 1];
    bool overflow = false;
    for (int64_t r = first + blockIdx.x; r < last; r += gridDim.x) {
        const int32_t wanted = id[r];
        if (wanted < 0 || rows_have_id(first, r, id, wanted, rows))
            continue; /* the whole block */
        for (int64_t j0 = 0; j0 < c.width; j0 += EMBED_COLUMNS * ROWS_OF_ID)
            if (!embed_sum_id(&c, r, last, id, wanted, j0, rows, &to))
                overflow = true;
    }
    absorb_note(overflow, flag, &to);
}

/* grid.y, the panels, is at most 65,535, far above what a step has. */
static void embed_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_ids, const int32_t *id,
                         int64_t width, const float *g, int64_t ldg, const double *w, double grid, double limit,
                         int64_t *sum, bool *overflow, void *scratch)
{
    (void)scratch;
    assert(n_rows >= 0 && n_panels <= 65535 && n_ids > 0 && width > 0 && ldg >= width);
    const struct absorb_target to = absorb_target_of(grid, limit, sum, overflow);
    const struct columns c = {width, ldg, 0, g, NULL, w};
    if (n_rows == 0 || n_panels == 0)
        return;
    const int64_t each = (n_rows + n_panels - 1) / n_panels;
    const dim3 blocks((unsigned)(each < 4096 ? each : 4096), (unsigned)n_panels);
    SG_LAUNCH(sg_k_embed_absorb, blocks, ROWS_OF_ID, 0, panel_row, id, c, to);
}

void sg_cuda_fill_column_absorb(struct sg_ops *ops)
{
    ops->scale_absorb = scale_absorb;
    ops->embed_absorb = embed_absorb;
}
