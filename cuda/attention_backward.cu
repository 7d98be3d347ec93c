/* Self-attention, backward. Probabilities are found again from lse. One pass has tiles of queries by keys and makes dq,
 * a chain over ascending keys; another has the same tiles turned over, keys by queries, and makes dk and dv, chains
 * over ascending queries: so no chain is shared, and nothing of T x T leaves a block. */
#include "attention_tile.h"
#include "table.h"
#include "transcend.h"

#define LONG_TURNS 4 /* blocks for each that the card holds at once: long units are not alike */

/* lse is (rows, n_heads). */
struct attention_gradient : attention_rows {
    const float *lse, *out, *dout;
    int64_t ldout, lddout;
    float *dq, *dk, *dv;
    int64_t ldd;
};

/* lse, and mean = dout . out (the sum over keys of p dp) of n queries from t on, into the team's memory. Half a warp
 * for a query. Who read what was there has met the team since, in tile_leave. */
template <typename S, int QUERIES>
TILE_PART void attention_means(const struct tile_team &team, const struct attention_gradient &x,
                               const struct attention_head &h, int64_t t, float *lse, float *mean)
{
    static_assert(QUERIES % S::TALL == 0, "both halves of a warp go round as often");
    for (int i = team.down; i < QUERIES; i += S::TALL) {
        bool exists = t + i < h.n;
        float sum = lanes_dot(team.across, exists ? x.width : 0, x.dout + attention_at(h, t + i, x.lddout),
                              x.out + attention_at(h, t + i, x.ldout));
        if (team.across == 0) {
            mean[i] = sum;
            lse[i] = exists ? x.lse[(h.first + t + i) * x.n_heads + h.head] : 0;
        }
    }
}

/* q k^T becomes p = exp(scale score - lse), dout v^T becomes scale p (dp - mean). */
SG_DEVICE void attention_slope(float scale, float lse, float mean, float *score, float *dscore)
{
    float p = exp_negative(scale * *score - lse);
    *dscore = scale * p * (*dscore - mean);
    *score = p;
}

template <int R, int COLS> SG_DEVICE void clear(float acc[R][COLS])
{
    SG_UNROLL
    for (int i = 0; i < R * COLS; i++)
        acc[i / COLS][i % COLS] = 0;
}

/* dq of queries t .. t + ROWS. */
template <typename S>
TILE_PART void attention_dq(const struct tile_team &team, const struct attention_gradient &x,
                            const struct attention_head &h, int64_t t, float *lse, float *mean)
{
    float p[S::R][S::C], d[S::R][S::C], dq[S::R][S::COLS];
    clear<S::R, S::COLS>(dq);
    attention_means<S, S::ROWS>(team, x, h, t, lse, mean);
    for (int64_t s = 0; s < h.n; s += S::KEYS) {
        const float *k = x.k + attention_at(h, s, x.ld), *v = x.v + attention_at(h, s, x.ld);
        tile_product<S>(team, x.width, h.n - t, x.q + attention_at(h, t, x.ld), x.ld, h.n - s, k, x.ld, p);
        tile_product<S>(team, x.width, h.n - t, x.dout + attention_at(h, t, x.lddout), x.lddout, h.n - s, v, x.ld, d);
        SG_UNROLL
        for (int r = 0; r < S::R; r++) {
            int row = team.down + S::TALL * r;
            SG_UNROLL
            for (int c = 0; c < S::C; c++)
                attention_slope(x.scale, lse[row], mean[row], &p[r][c], &d[r][c]);
        }
        tile_leave<S>(team, d);
        tile_multiply<S>(team, h.n - s, h.n_cols, k + h.column, x.ld, dq);
    }
    tile_write<S>(team, h.n - t, h.n_cols, dq, x.dq + attention_at(h, t, x.ldd) + h.column, x.ldd);
}

/* dk and dv of keys s .. s + ROWS: the columns of a tile are queries here. */
template <typename S>
TILE_PART void attention_dkv(const struct tile_team &team, const struct attention_gradient &x,
                             const struct attention_head &h, int64_t s, float *lse, float *mean)
{
    float p[S::R][S::C], d[S::R][S::C], dk[S::R][S::COLS], dv[S::R][S::COLS];
    clear<S::R, S::COLS>(dk);
    clear<S::R, S::COLS>(dv);
    for (int64_t t = 0; t < h.n; t += S::KEYS) {
        const float *q = x.q + attention_at(h, t, x.ld), *dout = x.dout + attention_at(h, t, x.lddout);
        attention_means<S, S::KEYS>(team, x, h, t, lse, mean);
        tile_product<S>(team, x.width, h.n - s, x.k + attention_at(h, s, x.ld), x.ld, h.n - t, q, x.ld, p);
        tile_product<S>(team, x.width, h.n - s, x.v + attention_at(h, s, x.ld), x.ld, h.n - t, dout, x.lddout, d);
        SG_UNROLL
        for (int c = 0; c < S::C; c++) {
            int column = team.across + 16 * c;
            SG_UNROLL
            for (int r = 0; r < S::R; r++)
                attention_slope(x.scale, lse[column], mean[column], &p[r][c], &d[r][c]);
        }
        tile_leave<S>(team, p);
        tile_multiply<S>(team, h.n - t, h.n_cols, dout + h.column, x.lddout, dv);
        tile_leave<S>(team, d);
        tile_multiply<S>(team, h.n - t, h.n_cols, q + h.column, x.ld, dk);
    }
    tile_write<S>(team, h.n - s, h.n_cols, dv, x.dv + attention_at(h, s, x.ldd) + h.column, x.ldd);
    tile_write<S>(team, h.n - s, h.n_cols, dk, x.dk + attention_at(h, s, x.ldd) + h.column, x.ldd);
}

/* Short units: a warp for ROWS queries after the other, or keys, of a head. */
template <typename S, bool KEYS>
SG_DEVICE void attention_short(const struct tile_team &team, const struct attention_gradient &x,
                               const struct attention_head &h, float *lse, float *mean)
{
    for (int64_t first = 0; first < h.n; first += S::ROWS)
        if (KEYS)
            attention_dkv<S>(team, x, h, first, lse, mean);
        else
            attention_dq<S>(team, x, h, first, lse, mean);
}

template <int COLS, bool KEYS>
SG_KERNEL_BOUNDS(128, (COLS == 4 && KEYS ? 3 : 4))
SG_KERNEL(sg_k_attention_backward_short)(struct attention_gradient x)
{
    typedef tile_shape<2, 4, 1, COLS, 16, 16, 4> narrow; /* up to 16 keys */
    typedef tile_shape<2, 4, 2, COLS, 16, 16, 4> wide;
    SG_SHARED(float, stage, wide::TEAMS *wide::STAGE);
    SG_SHARED(float, tile, wide::TEAMS *wide::TILE);
    SG_SHARED(float, query, wide::TEAMS * 2 * wide::KEYS);
    int64_t chunks = (x.width + wide::COLUMNS - 1) / wide::COLUMNS;
    int64_t at = (int64_t)blockIdx.x * wide::TEAMS + threadIdx.x / SG_WARP;
    if (at >= x.n_units * x.n_heads * chunks)
        return;
    int64_t unit = at / (x.n_heads * chunks), head = at / chunks % x.n_heads, column = at % chunks * wide::COLUMNS;
    struct attention_head h = attention_head_of(x, unit, head, column, wide::COLUMNS);
    struct tile_team team = tile_team_of<wide>(stage, tile);
    float *lse = query + threadIdx.x / SG_WARP * 2 * wide::KEYS, *mean = lse + wide::KEYS;
    if (h.n <= narrow::KEYS)
        attention_short<narrow, KEYS>(team, x, h, lse, mean);
    else if (h.n <= ATTENTION_SHORT)
        attention_short<wide, KEYS>(team, x, h, lse, mean);
}

/* Long units: a block for ROWS queries, or keys, of a head; blocks of the grid take turns. */
template <int COLS, bool KEYS>
SG_KERNEL_BOUNDS(128, 3)
SG_KERNEL(sg_k_attention_backward_long)(struct attention_gradient x)
{
    typedef tile_shape<8, 8, 2, COLS, 32, 32, 1> S;
    SG_SHARED(float, stage, S::STAGE);
    SG_SHARED(float, tile, S::TILE);
    SG_SHARED(float, lse, S::ROWS);
    SG_SHARED(float, mean, S::ROWS);
    struct tile_team team = tile_team_of<S>(stage, tile);
    int64_t chunks = (x.width + S::COLUMNS - 1) / S::COLUMNS;
    int64_t n_tiles = tile_first_of<S::ROWS>(x.offset, x.n_units) * x.n_heads * chunks;
    for (int64_t at = blockIdx.x; at < n_tiles; at += gridDim.x) {
        int64_t rows = at / (x.n_heads * chunks), unit = tile_unit_of<S::ROWS>(x.offset, x.n_units, rows);
        int64_t first = (rows - tile_first_of<S::ROWS>(x.offset, unit)) * S::ROWS;
        struct attention_head h =
            attention_head_of(x, unit, at / chunks % x.n_heads, at % chunks * S::COLUMNS, S::COLUMNS);
        if (h.n <= ATTENTION_SHORT || first >= h.n)
            continue;
        if (KEYS)
            attention_dkv<S>(team, x, h, first, lse, mean);
        else
            attention_dq<S>(team, x, h, first, lse, mean);
    }
}

template <int COLS> static void attention_launch(const struct attention_gradient &x, int64_t heads)
{
    int queries = LONG_TURNS * sg_cuda_resident_blocks((sg_k_attention_backward_long<COLS, false>), 128, 0);
    int keys = LONG_TURNS * sg_cuda_resident_blocks((sg_k_attention_backward_long<COLS, true>), 128, 0);
    SG_LAUNCH((sg_k_attention_backward_short<COLS, false>), sg_blocks(heads, 4), 128, 0, x);
    SG_LAUNCH((sg_k_attention_backward_short<COLS, true>), sg_blocks(heads, 4), 128, 0, x);
    SG_LAUNCH((sg_k_attention_backward_long<COLS, false>), queries, 128, 0, x);
    SG_LAUNCH((sg_k_attention_backward_long<COLS, true>), keys, 128, 0, x);
}

static void attention_backward(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                               const float *q, const float *k, const float *v, int64_t ld, const float *lse,
                               const float *out, int64_t ldout, const float *dout, int64_t lddout, float *dq, float *dk,
                               float *dv, int64_t ldd, void *scratch)
{
    (void)scratch;
    if (n_units <= 0)
        return;
    int columns = width <= 32 ? 32 : 64;
    int64_t heads = n_units * n_heads * ((width + columns - 1) / columns);
    struct attention_gradient x = {
        {n_units, n_heads, width, offset, scale, q, k, v, ld}, lse, out, dout, ldout, lddout, dq, dk, dv, ldd};
    if (columns == 32)
        attention_launch<2>(x, heads);
    else
        attention_launch<4>(x, heads);
}

void sg_cuda_fill_attention_backward(struct sg_ops *ops)
{
    ops->attention_backward = attention_backward;
}
