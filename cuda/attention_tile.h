/* What attention forward and backward are made of: tiles of a unit's rows against its rows, for one head.
 *
 * A team of 16 TALL threads has a tile of ROWS rows by KEYS columns in registers, R x C of it in each thread: rows
 * down + TALL r, columns across + 16 c, so that a half warp's thread `across` meets just the columns of the CPU's sum
 * lane `across` (sums.h). Each element is one chain of fused multiply-adds over the head's ascending columns, as the
 * CPU's GEMM has it, and so is each element of what a tile is multiplied into; tile shapes never show in the bits.
 * A team is a block, or one warp of a block whose warps have different heads or units: then only warps wait. */
#ifndef SG_CUDA_ATTENTION_TILE_H
#define SG_CUDA_ATTENTION_TILE_H

#include "launch.h"
#include "sums.h"

/* Rows of shared memory lie 4 floats more than a power of two apart: neighbours then never share banks. */
#define TILE_GAP 4

/* The parts are one kernel on the card; the emulation's compiler is spared that. */
#ifdef __CUDACC__
#define TILE_PART SG_DEVICE
#else
#define TILE_PART static __attribute__((noinline))
#endif

/* How many loads of one thread are on their way at once, and loops that are not to be unrolled: either would take
 * registers from the chains. */
#ifdef __CUDACC__
#define TILE_UNROLL _Pragma("unroll 4")
#define TILE_ROLLED _Pragma("unroll 1")
#else
#define TILE_UNROLL
#define TILE_ROLLED
#endif

/* DEPTH: columns of a head that are staged at a time. STEP: rows of a second factor that are. COLS: columns of a
 * product in one thread. */
template <int TALL_, int R_, int C_, int COLS_, int DEPTH_, int STEP_, int TEAMS_> struct tile_shape {
    static constexpr int TALL = TALL_, R = R_, C = C_, COLS = COLS_, DEPTH = DEPTH_, STEP = STEP_, TEAMS = TEAMS_;
    static constexpr int THREADS = 16 * TALL, ROWS = TALL * R, KEYS = 16 * C, COLUMNS = 16 * COLS;
    static constexpr int STAGED = (ROWS + KEYS) * (DEPTH + TILE_GAP), SECOND = STEP * COLUMNS;
    static constexpr int STAGE = STAGED > SECOND ? STAGED : SECOND; /* floats */
    static constexpr int LD = KEYS + TILE_GAP, TILE = ROWS * LD;    /* floats */
    static_assert(TEAMS == 1 || THREADS == SG_WARP, "only a warp can be one team of several");
    static_assert(DEPTH % 4 == 0 && STEP % 4 == 0 && KEYS % STEP == 0, "tiles are read by fours");
};

/* A thread's place, and its team's memory. */
struct tile_team {
    int thread, down, across;
    float *stage, *tile;
};

template <typename S> SG_DEVICE struct tile_team tile_team_of(float *stage, float *tile)
{
    int team = S::TEAMS == 1 ? 0 : threadIdx.x / S::THREADS, thread = threadIdx.x % S::THREADS;
    return tile_team{thread, thread / 16, thread % 16, stage + team * S::STAGE, tile + team * S::TILE};
}

template <typename S> SG_DEVICE void tile_sync()
{
    if (S::TEAMS == 1)
        __syncthreads();
    else
        __syncwarp();
}

/* to[i][j] = from[i][j] for i < n_rows, j < n_cols of ROWS x COLS at a distance of LD, zero beyond. Threads run along
 * rows. */
template <typename S, int ROWS, int COLS, int LD>
TILE_PART void tile_stage(const struct tile_team &t, int64_t n_rows, int64_t n_cols, const float *from, int64_t ld,
                          float *to)
{
    constexpr int across = COLS < S::THREADS ? COLS : S::THREADS, down = S::THREADS / across;
    static_assert(COLS % across == 0 && ROWS % down == 0, "all threads go round as often");
    int first = t.thread / across;
    SG_UNROLL
    for (int part = 0; part < COLS / across; part++) {
        int j = t.thread % across + part * across;
        const float *row = from + first * ld + j;
        float *at = to + first * LD + j;
        bool exists = j < n_cols;
        TILE_UNROLL
        for (int i = 0; i < ROWS; i += down, row += down * ld, at += down * LD)
            *at = exists && first + i < n_rows ? *row : 0.0f;
    }
}

SG_DEVICE void tile_four(const float *from, float to[4])
{
    float4 x = *reinterpret_cast<const float4 *>(from);
    to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
}

/* The chains of acc over n staged columns. */
template <typename S>
TILE_PART void tile_chain(const struct tile_team &t, int n, const float *a, const float *b, float acc[S::R][S::C])
{
    constexpr int ld = S::DEPTH + TILE_GAP;
    a += t.down * ld;
    b += t.across * ld;
    int k = 0;
    TILE_ROLLED
    for (; k + 4 <= n; k += 4) {
        float x[4], y[S::C][4];
        SG_UNROLL
        for (int c = 0; c < S::C; c++)
            tile_four(b + c * 16 * ld + k, y[c]);
        SG_UNROLL
        for (int r = 0; r < S::R; r++) {
            tile_four(a + r * S::TALL * ld + k, x);
            SG_UNROLL
            for (int i = 0; i < 4; i++) {
                SG_UNROLL
                for (int c = 0; c < S::C; c++)
                    acc[r][c] = fmaf(x[i], y[c][i], acc[r][c]);
            }
        }
    }
    TILE_ROLLED
    for (; k < n; k++) {
        SG_UNROLL
        for (int r = 0; r < S::R; r++) {
            SG_UNROLL
            for (int c = 0; c < S::C; c++)
                acc[r][c] = fmaf(a[r * S::TALL * ld + k], b[c * 16 * ld + k], acc[r][c]);
        }
    }
}

/* acc = a b^T, a (n_a of ROWS rows), b (n_b of KEYS rows), both `width` wide and `ld` apart; zero in rows beyond. */
template <typename S>
TILE_PART void tile_product(const struct tile_team &t, int64_t width, int64_t n_a, const float *a, int64_t lda,
                            int64_t n_b, const float *b, int64_t ldb, float acc[S::R][S::C])
{
    constexpr int ld = S::DEPTH + TILE_GAP;
    float *staged_b = t.stage + S::ROWS * ld;
    SG_UNROLL
    for (int i = 0; i < S::R * S::C; i++)
        acc[i / S::C][i % S::C] = 0;
    for (int64_t j = 0; j < width; j += S::DEPTH) {
        tile_sync<S>();
        tile_stage<S, S::ROWS, S::DEPTH, ld>(t, n_a, width - j, a + j, lda, t.stage);
        tile_stage<S, S::KEYS, S::DEPTH, ld>(t, n_b, width - j, b + j, ldb, staged_b);
        tile_sync<S>();
        tile_chain<S>(t, width - j < S::DEPTH ? (int)(width - j) : S::DEPTH, t.stage, staged_b, acc);
    }
}

/* Leaves the team's tile for tile_multiply. */
template <typename S> SG_DEVICE void tile_leave(const struct tile_team &t, const float x[S::R][S::C])
{
    tile_sync<S>();
    SG_UNROLL
    for (int r = 0; r < S::R; r++) {
        SG_UNROLL
        for (int c = 0; c < S::C; c++)
            t.tile[(t.down + S::TALL * r) * S::LD + t.across + 16 * c] = x[r][c];
    }
}

/* Columns COLS across .. + COLS of a staged row. */
template <typename S> SG_DEVICE void tile_columns(const float *from, float to[S::COLS])
{
    static_assert(S::COLS == 2 || S::COLS == 4, "one load of 8 or 16 bytes");
    if constexpr (S::COLS == 4) {
        tile_four(from, to);
    } else {
        float2 x = *reinterpret_cast<const float2 *>(from);
        to[0] = x.x, to[1] = x.y;
    }
}

/* The chains of acc over n staged rows of b, the tile's columns from `at` on. */
template <typename S>
TILE_PART void tile_second_chain(const struct tile_team &t, int n, int at, float acc[S::R][S::COLS])
{
    const float *p = t.tile + t.down * S::LD + at, *b = t.stage + t.across * S::COLS;
    int k = 0;
    TILE_ROLLED
    for (; k + 4 <= n; k += 4) {
        float x[4], y[4][S::COLS];
        SG_UNROLL
        for (int i = 0; i < 4; i++)
            tile_columns<S>(b + (k + i) * S::COLUMNS, y[i]);
        SG_UNROLL
        for (int r = 0; r < S::R; r++) {
            tile_four(p + r * S::TALL * S::LD + k, x);
            SG_UNROLL
            for (int i = 0; i < 4; i++) {
                SG_UNROLL
                for (int c = 0; c < S::COLS; c++)
                    acc[r][c] = fmaf(x[i], y[i][c], acc[r][c]);
            }
        }
    }
    TILE_ROLLED
    for (; k < n; k++) {
        SG_UNROLL
        for (int r = 0; r < S::R; r++) {
            SG_UNROLL
            for (int c = 0; c < S::COLS; c++)
                acc[r][c] = fmaf(p[r * S::TALL * S::LD + k], b[k * S::COLUMNS + c], acc[r][c]);
        }
    }
}

/* acc goes on with tile x b, b (n <= KEYS rows, n_cols of COLUMNS columns). */
template <typename S>
TILE_PART void tile_multiply(const struct tile_team &t, int64_t n, int64_t n_cols, const float *b, int64_t ldb,
                             float acc[S::R][S::COLS])
{
    for (int at = 0; at < S::KEYS && at < n; at += S::STEP) {
        tile_sync<S>();
        tile_stage<S, S::STEP, S::COLUMNS, S::COLUMNS>(t, n - at, n_cols, b + at * ldb, ldb, t.stage);
        tile_sync<S>();
        tile_second_chain<S>(t, n - at < S::STEP ? (int)(n - at) : S::STEP, at, acc);
    }
}

/* Writes acc to the first n of ROWS rows, n_cols of COLUMNS columns. */
template <typename S>
SG_DEVICE void tile_write(const struct tile_team &t, int64_t n, int64_t n_cols, const float acc[S::R][S::COLS],
                          float *to, int64_t ld)
{
    SG_UNROLL
    for (int r = 0; r < S::R; r++) {
        SG_UNROLL
        for (int c = 0; c < S::COLS; c++) {
            int64_t row = t.down + S::TALL * r, column = t.across * S::COLS + c;
            if (row < n && column < n_cols)
                to[row * ld + column] = acc[r][c];
        }
    }
}

/* ---- Which tiles there are: units' lengths are known to the card alone ---- */

/* Units of up to this many rows are a warp's work, longer ones a block's. */
#define ATTENTION_SHORT 32

/* What every kernel gets. */
struct attention_rows {
    int64_t n_units, n_heads, width;
    const int32_t *offset;
    float scale;
    const float *q, *k, *v;
    int64_t ld;
};

/* One head of one unit: its n rows from row `first` on, and the columns [column, column + n_cols) of that head, a
 * block's share of what is made. `at` is where the head begins in a row. */
struct attention_head {
    int64_t n, first, head, at, column, n_cols;
};

SG_DEVICE struct attention_head attention_head_of(const struct attention_rows &x, int64_t unit, int64_t head,
                                                  int64_t column, int columns)
{
    int64_t first = x.offset[unit], left = x.width - column;
    return attention_head{(int64_t)x.offset[unit + 1] - first, first, head, head * x.width, column,
                          left < columns ? left : columns};
}

/* Where row `row` of a head's unit is in an array like q. */
SG_DEVICE int64_t attention_at(const struct attention_head &h, int64_t row, int64_t ld)
{
    return (h.first + row) * ld + h.at;
}

/* The unit that a block of ROWS rows belongs to. Unit b has the numbers from offset[b] / ROWS + b on, enough for its
 * rows; so blocks of rows of all units can be counted through without a sum over units. */
template <int ROWS> SG_DEVICE int64_t tile_first_of(const int32_t *offset, int64_t b)
{
    return offset[b] / ROWS + b;
}

template <int ROWS> SG_DEVICE int64_t tile_unit_of(const int32_t *offset, int64_t n_units, int64_t at)
{
    int64_t low = 0, high = n_units; /* first(low) <= at < first(high) */
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (tile_first_of<ROWS>(offset, middle) <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

#endif
