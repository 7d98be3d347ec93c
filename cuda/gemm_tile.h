/* One block's tile of c = a b: BM x BN outputs, each one chain of fmaf over ascending k in a register.
 *
 * A warp owns 32 x (8 COLUMN_GROUPS 4) outputs or a part of them: its lanes stand 4 x 8, a lane has ROW_GROUPS groups
 * of 4 rows, 16 apart, and COLUMN_GROUPS groups of 4 columns, 32 apart, so that what the lanes read of shared memory
 * for one k is one stretch of 128 bytes for b and four of 16 bytes, shared, for a. BK deep tiles of a and b are kept
 * twice: while one is used, the next travels, b by asynchronous copies, a through registers since it is turned over
 * (shared[k][row]). Rows of the padded stride BM + 4 make those stores free of bank conflicts.
 *
 * Rows and columns beyond the edge are computed from zeros and not stored. k beyond the edge is not computed: adding
 * 0 x 0 would turn a -0 into +0. */
#ifndef SG_CUDA_GEMM_TILE_H
#define SG_CUDA_GEMM_TILE_H

#include "primitives.h"

struct gemm_call {
    int64_t n_rows, n_k, n_cols;
    const float *a;
    int64_t lda;
    const int32_t *a_rows;
    const float *b;
    int64_t ldb; /* a multiple of 4 */
    float *c;
    int64_t ldc;
    const int32_t *c_rows;
    bool accumulate;
    bool c_vectors; /* rows of c are aligned to 16 bytes */
};

template <int BM, int BN, int ROW_GROUPS, int COLUMN_GROUPS> struct gemm_shape {
    static const int BK = 8;
    static const int WARP_ROWS = 16 * ROW_GROUPS, WARP_COLUMNS = 32 * COLUMN_GROUPS;
    static const int WARPS_DOWN = BM / WARP_ROWS, WARPS_ACROSS = BN / WARP_COLUMNS;
    static const int THREADS = SG_WARP * WARPS_DOWN * WARPS_ACROSS;
    static const int TM = 4 * ROW_GROUPS, TN = 4 * COLUMN_GROUPS;
    static const int A_STRIDE = BM + 4;
    static const int A_EACH = BM * BK / THREADS, B_EACH = BN * BK / 4 / THREADS;
    static const int A_FLOATS = BK * A_STRIDE, B_FLOATS = BK * BN;
    static_assert(A_EACH * THREADS == BM * BK && B_EACH * 4 * THREADS == BN * BK, "every thread loads as much");
};

/* What a thread brings of a: one k, A_EACH rows THREADS / BK apart. Where the rows begin stands in shared memory:
 * kept in registers, the pointers would not fit beside the outputs. */
template <typename S> struct gemm_loader {
    float held[S::A_EACH];
    const int64_t *rows; /* offset of each row of the tile in a, -1 beyond the last */
    int k, first_row;    /* within the tile */
};

template <typename S, int BM>
SG_DEVICE void gemm_loader_open(const gemm_call &p, int64_t top, int64_t *shared_rows, gemm_loader<S> *l)
{
    l->k = (int)threadIdx.x % S::BK;
    l->first_row = (int)threadIdx.x / S::BK;
    l->rows = shared_rows;
    for (int i = (int)threadIdx.x; i < BM; i += S::THREADS)
        shared_rows[i] = top + i < p.n_rows ? sg_row_of(p.a_rows, top + i) * p.lda : -1;
    __syncthreads();
}

template <typename S> SG_DEVICE void gemm_load_a(const gemm_call &p, int64_t k, gemm_loader<S> *l)
{
    bool exists = k + l->k < p.n_k;
    const float *at = p.a + k + l->k;
    SG_UNROLL
    for (int i = 0; i < S::A_EACH; i++) {
        int64_t row = l->rows[l->first_row + i * (S::THREADS / S::BK)];
        l->held[i] = exists && row >= 0 ? at[row] : 0;
    }
}

template <typename S> SG_DEVICE void gemm_store_a(const gemm_loader<S> *l, float *shared_a)
{
    SG_UNROLL
    for (int i = 0; i < S::A_EACH; i++)
        shared_a[l->k * S::A_STRIDE + l->first_row + i * (S::THREADS / S::BK)] = l->held[i];
}

template <typename S, int BN> SG_DEVICE void gemm_load_b(const gemm_call &p, int64_t k, int64_t left, float *shared_b)
{
    SG_UNROLL
    for (int i = 0; i < S::B_EACH; i++) {
        int at = ((int)threadIdx.x + i * S::THREADS) * 4, row = at / BN, column = at % BN;
        bool exists = k + row < p.n_k && left + column < p.ldb;
        sg_copy_async_16(shared_b + at, exists ? p.b + (k + row) * p.ldb + left + column : p.b, exists);
    }
    sg_copy_commit();
}

/* acc += a's column k times b's row k of the tiles in shared memory. */
template <typename S, int BN>
SG_DEVICE void gemm_one_k(const float *shared_a, const float *shared_b, int k, int row, int column,
                          float (&acc)[S::TM][S::TN])
{
    float a[S::TM], b[S::TN];
    SG_UNROLL
    for (int i = 0; i < S::TM; i += 4)
        *(float4 *)&a[i] = *(const float4 *)&shared_a[k * S::A_STRIDE + row + 4 * i];
    SG_UNROLL
    for (int j = 0; j < S::TN; j += 4)
        *(float4 *)&b[j] = *(const float4 *)&shared_b[k * BN + column + 8 * j];
    SG_UNROLL
    for (int i = 0; i < S::TM; i++)
        SG_UNROLL
    for (int j = 0; j < S::TN; j++)
        acc[i][j] = fmaf(a[i], b[j], acc[i][j]);
}

/* Between registers and c, four columns at once where they exist and are aligned. */
template <typename S, bool STORE>
SG_DEVICE void gemm_move_c(const gemm_call &p, int64_t top, int64_t left, float (&acc)[S::TM][S::TN])
{
    SG_UNROLL
    for (int i = 0; i < S::TM; i++) {
        int64_t r = top + i % 4 + i / 4 * 16;
        if (r >= p.n_rows)
            continue;
        float *row = p.c + sg_row_of(p.c_rows, r) * p.ldc;
        SG_UNROLL
        for (int j = 0; j < S::TN; j += 4) {
            int64_t column = left + 8 * j;
            float4 *whole = (float4 *)(row + column), *held = (float4 *)&acc[i][j];
            if (p.c_vectors && column + 4 <= p.n_cols) {
                if (STORE)
                    *whole = *held;
                else
                    *held = *whole;
                continue;
            }
            SG_UNROLL
            for (int x = 0; x < 4; x++)
                if (column + x < p.n_cols) {
                    if (STORE)
                        row[column + x] = acc[i][j + x];
                    else
                        acc[i][j + x] = row[column + x];
                }
        }
    }
}

template <int BM, int BN, int ROW_GROUPS, int COLUMN_GROUPS>
SG_DEVICE void gemm_tile(const gemm_call &p, float *shared_a, float *shared_b, int64_t *shared_rows)
{
    typedef gemm_shape<BM, BN, ROW_GROUPS, COLUMN_GROUPS> S;
    int64_t top = (int64_t)blockIdx.x * BM, left = (int64_t)blockIdx.y * BN;
    int warp = (int)threadIdx.x / SG_WARP, lane = sg_lane();
    int row = warp / S::WARPS_ACROSS * S::WARP_ROWS + lane / 8 * 4;
    int column = warp % S::WARPS_ACROSS * S::WARP_COLUMNS + lane % 8 * 4;

    alignas(16) float acc[S::TM][S::TN] = {};
    if (p.accumulate)
        gemm_move_c<S, false>(p, top + row, left + column, acc);
    gemm_loader<S> loader;
    gemm_loader_open<S, BM>(p, top, shared_rows, &loader);
    gemm_load_a<S>(p, 0, &loader);
    gemm_load_b<S, BN>(p, 0, left, shared_b);
    gemm_store_a<S>(&loader, shared_a);
    sg_copy_wait<0>();
    __syncthreads();
    for (int64_t k = 0, turn = 0; k < p.n_k; k += S::BK, turn ^= 1) {
        const float *a = shared_a + turn * S::A_FLOATS, *b = shared_b + turn * S::B_FLOATS;
        bool more = k + S::BK < p.n_k;
        if (more) {
            gemm_load_a<S>(p, k + S::BK, &loader);
            gemm_load_b<S, BN>(p, k + S::BK, left, shared_b + (turn ^ 1) * S::B_FLOATS);
        }
        if (k + S::BK <= p.n_k) {
            SG_UNROLL
            for (int i = 0; i < S::BK; i++)
                gemm_one_k<S, BN>(a, b, i, row, column, acc);
        } else {
            for (int i = 0; i < (int)(p.n_k - k); i++)
                gemm_one_k<S, BN>(a, b, i, row, column, acc);
        }
        if (more)
            gemm_store_a<S>(&loader, shared_a + (turn ^ 1) * S::A_FLOATS);
        sg_copy_wait<0>();
        __syncthreads();
    }
    gemm_move_c<S, true>(p, top + row, left + column, acc);
}

#endif
