/* Self-attention, forward. The T x T matrix lives in tiles: a block of queries meets the unit's keys twice, first for
 * each query's largest score, then for exponentials, their sum and their product with the values, as the CPU does with
 * whole rows of scores. Where the keys are one tile, the scores of the first time are still there. Heads wider than
 * COLUMNS are several blocks' work, each of which finds the scores anew. */
#include "attention_tile.h"
#include "table.h"
#include "transcend.h"

#define LONG_TURNS 4 /* blocks for each that the card holds at once: long units are not alike */

/* lse is (rows, n_heads). */
struct attention_forward : attention_rows {
    float *lse, *out;
    int64_t ldout;
};

/* scale q k^T of queries from t and keys from s on. */
template <typename S>
SG_DEVICE void attention_scores(const struct tile_team &team, const struct attention_rows &x,
                                const struct attention_head &h, int64_t t, int64_t s, float acc[S::R][S::C])
{
    tile_product<S>(team, x.width, h.n - t, x.q + attention_at(h, t, x.ld), x.ld, h.n - s,
                    x.k + attention_at(h, s, x.ld), x.ld, acc);
    SG_UNROLL
    for (int i = 0; i < S::R * S::C; i++)
        acc[i / S::C][i % S::C] = x.scale * acc[i / S::C][i % S::C];
}

template <typename S>
SG_DEVICE void attention_tops(const struct tile_team &team, int64_t n_keys, const float score[S::R][S::C],
                              float top[S::R])
{
    SG_UNROLL
    for (int r = 0; r < S::R; r++) {
        SG_UNROLL
        for (int c = 0; c < S::C; c++)
            if (team.across + 16 * c < n_keys)
                top[r] = score[r][c] > top[r] ? score[r][c] : top[r];
    }
}

/* Scores become exponentials, and their sums grow by those of the thread's lane. */
template <typename S>
SG_DEVICE void attention_exponentials(const struct tile_team &team, int64_t n_keys, const float top[S::R],
                                      float score[S::R][S::C], float sum[S::R])
{
    SG_UNROLL
    for (int r = 0; r < S::R; r++) {
        SG_UNROLL
        for (int c = 0; c < S::C; c++) {
            score[r][c] = team.across + 16 * c < n_keys ? exp_negative(score[r][c] - top[r]) : 0.0f;
            sum[r] += score[r][c];
        }
    }
}

/* Queries t .. t + ROWS. */
template <typename S>
TILE_PART void attention_queries(const struct tile_team &team, const struct attention_forward &x,
                                 const struct attention_head &h, int64_t t)
{
    float score[S::R][S::C], out[S::R][S::COLS], top[S::R], sum[S::R];
    SG_UNROLL
    for (int r = 0; r < S::R; r++) {
        top[r] = -INFINITY;
        sum[r] = 0;
        SG_UNROLL
        for (int c = 0; c < S::COLS; c++)
            out[r][c] = 0;
    }
    for (int64_t s = 0; s < h.n; s += S::KEYS) {
        attention_scores<S>(team, x, h, t, s, score);
        attention_tops<S>(team, h.n - s, score, top);
    }
    SG_UNROLL
    for (int r = 0; r < S::R; r++)
        top[r] = lanes_top(top[r]);
    for (int64_t s = 0; s < h.n; s += S::KEYS) {
        if (h.n > S::KEYS)
            attention_scores<S>(team, x, h, t, s, score);
        attention_exponentials<S>(team, h.n - s, top, score, sum);
        tile_leave<S>(team, score);
        tile_multiply<S>(team, h.n - s, h.n_cols, x.v + attention_at(h, s, x.ld) + h.column, x.ld, out);
    }
    SG_UNROLL
    for (int r = 0; r < S::R; r++) {
        float total = lanes_sum(sum[r]), share = 1 / total;
        int64_t row = t + team.down + S::TALL * r;
        if (row < h.n && team.across == 0 && h.column == 0)
            x.lse[(h.first + row) * x.n_heads + h.head] = top[r] + log_from_one(total);
        SG_UNROLL
        for (int c = 0; c < S::COLS; c++)
            out[r][c] = share * out[r][c];
    }
    tile_write<S>(team, h.n - t, h.n_cols, out, x.out + attention_at(h, t, x.ldout) + h.column, x.ldout);
}

/* Short units: a warp for a head, several of a block. */
template <int COLS> SG_KERNEL_BOUNDS(128, 4) SG_KERNEL(sg_k_attention_short)(struct attention_forward x)
{
    typedef tile_shape<2, 4, 1, COLS, 16, 16, 4> narrow; /* up to 16 keys */
    typedef tile_shape<2, 4, 2, COLS, 16, 16, 4> wide;
    SG_SHARED(float, stage, wide::TEAMS *wide::STAGE);
    SG_SHARED(float, tile, wide::TEAMS *wide::TILE);
    int64_t chunks = (x.width + wide::COLUMNS - 1) / wide::COLUMNS;
    int64_t at = (int64_t)blockIdx.x * wide::TEAMS + threadIdx.x / SG_WARP;
    if (at >= x.n_units * x.n_heads * chunks)
        return;
    int64_t unit = at / (x.n_heads * chunks), head = at / chunks % x.n_heads, column = at % chunks * wide::COLUMNS;
    struct attention_head h = attention_head_of(x, unit, head, column, wide::COLUMNS);
    struct tile_team team = tile_team_of<wide>(stage, tile);
    if (h.n <= narrow::KEYS)
        for (int64_t t = 0; t < h.n; t += narrow::ROWS)
            attention_queries<narrow>(team, x, h, t);
    else if (h.n <= ATTENTION_SHORT)
        for (int64_t t = 0; t < h.n; t += wide::ROWS)
            attention_queries<wide>(team, x, h, t);
}

/* Long units: a block for ROWS queries of a head; blocks of the grid take turns. */
template <int COLS> SG_KERNEL_BOUNDS(128, 4) SG_KERNEL(sg_k_attention_long)(struct attention_forward x)
{
    typedef tile_shape<8, 8, 4, COLS, 32, 64, 1> S;
    SG_SHARED(float, stage, S::STAGE);
    SG_SHARED(float, tile, S::TILE);
    struct tile_team team = tile_team_of<S>(stage, tile);
    int64_t chunks = (x.width + S::COLUMNS - 1) / S::COLUMNS;
    int64_t n_tiles = tile_first_of<S::ROWS>(x.offset, x.n_units) * x.n_heads * chunks;
    for (int64_t at = blockIdx.x; at < n_tiles; at += gridDim.x) {
        int64_t rows = at / (x.n_heads * chunks), unit = tile_unit_of<S::ROWS>(x.offset, x.n_units, rows);
        int64_t t = (rows - tile_first_of<S::ROWS>(x.offset, unit)) * S::ROWS, column = at % chunks * S::COLUMNS;
        struct attention_head h = attention_head_of(x, unit, at / chunks % x.n_heads, column, S::COLUMNS);
        if (h.n > ATTENTION_SHORT && t < h.n)
            attention_queries<S>(team, x, h, t);
    }
}

/* Nothing leaves a block: one line of memory, so that a pointer to it is one. */
static size_t attention_scratch_bytes(int64_t rows_per_unit_max, int64_t width)
{
    (void)rows_per_unit_max, (void)width;
    return 64;
}

static void attention(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                      const float *q, const float *k, const float *v, int64_t ld, float *lse, float *out, int64_t ldout,
                      void *scratch)
{
    (void)scratch;
    if (n_units <= 0)
        return;
    int columns = width <= 32 ? 32 : 64;
    int64_t heads = n_units * n_heads * ((width + columns - 1) / columns);
    struct attention_forward x = {{n_units, n_heads, width, offset, scale, q, k, v, ld}, lse, out, ldout};
    if (columns == 32) {
        SG_LAUNCH(sg_k_attention_short<2>, sg_blocks(heads, 4), 128, 0, x);
        SG_LAUNCH(sg_k_attention_long<2>, LONG_TURNS * sg_cuda_resident_blocks(sg_k_attention_long<2>, 128, 0), 128, 0,
                  x);
    } else {
        SG_LAUNCH(sg_k_attention_short<4>, sg_blocks(heads, 4), 128, 0, x);
        SG_LAUNCH(sg_k_attention_long<4>, LONG_TURNS * sg_cuda_resident_blocks(sg_k_attention_long<4>, 128, 0), 128, 0,
                  x);
    }
}

void sg_cuda_fill_attention(struct sg_ops *ops)
{
    ops->attention_scratch_bytes = attention_scratch_bytes;
    ops->attention = attention;
}
