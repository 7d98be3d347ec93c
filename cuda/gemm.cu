/* GEMM in the specified order: each output is one chain of fmaf over ascending k, so the shape of the tiles never shows
 * in the bits and is chosen by the sizes alone.
 *
 * Packed: b (n_k, ldb) by rows, ldb = n_cols up to a multiple of 4, the rest zeros, so that every row starts at a
 * multiple of 16 bytes. */
#include "gemm_tile.h"
#include "launch.h"
#include "table.h"

static const int TURN = 32; /* of the transposition */

static int64_t packed_stride(int64_t n_cols)
{
    return (n_cols + 3) / 4 * 4;
}

static size_t packed_bytes(int64_t n_k, int64_t n_cols)
{
    assert(n_k > 0 && n_cols > 0);
    return ((size_t)(n_k * packed_stride(n_cols)) * sizeof(float) + 255) / 256 * 256;
}

/* ---- Packing ---- */

/* b[k][j] = w[j ldw + k], zero for n_cols <= j < ldb. A block turns over one square through shared memory. */
SG_KERNEL(sg_k_pack_forward)(int64_t n_cols, int64_t n_k, const float *w, int64_t ldw, float *b, int64_t ldb)
{
    SG_SHARED(float, square, TURN *(TURN + 1));
    int64_t k = (int64_t)blockIdx.x * TURN, j = (int64_t)blockIdx.y * TURN;
    int x = (int)threadIdx.x, y = (int)threadIdx.y;
    for (int i = y; i < TURN; i += (int)blockDim.y)
        square[i * (TURN + 1) + x] = j + i < n_cols && k + x < n_k ? w[(j + i) * ldw + k + x] : 0;
    __syncthreads();
    for (int i = y; i < TURN; i += (int)blockDim.y)
        if (k + i < n_k && j + x < ldb)
            b[(k + i) * ldb + j + x] = square[x * (TURN + 1) + i];
}

/* b[k][j] = w[k ldw + j], zero for n_cols <= j < ldb. */
SG_KERNEL(sg_k_pack_backward)(int64_t n_k, int64_t n_cols, const float *w, int64_t ldw, float *b, int64_t ldb)
{
    int64_t j = (int64_t)blockIdx.y * blockDim.x + threadIdx.x;
    for (int64_t k = blockIdx.x; k < n_k && j < ldb; k += gridDim.x)
        b[k * ldb + j] = j < n_cols ? w[k * ldw + j] : 0;
}

static void pack_forward(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed)
{
    int64_t ldb = packed_stride(n_out);
    dim3 grid((unsigned)sg_blocks(n_in, TURN), (unsigned)sg_blocks(ldb, TURN));
    SG_LAUNCH(sg_k_pack_forward, grid, dim3(TURN, 8), 0, n_out, n_in, w, ldw, (float *)packed, ldb);
}

static void pack_backward(int64_t n_out, int64_t n_in, const float *w, int64_t ldw, void *packed)
{
    int64_t ldb = packed_stride(n_in);
    dim3 grid((unsigned)sg_blocks(n_out, 1), (unsigned)sg_blocks(ldb, 128));
    SG_LAUNCH(sg_k_pack_backward, grid, 128, 0, n_out, n_in, w, ldw, (float *)packed, ldb);
}

/* ---- Products ---- */

#define GEMM_KERNEL(name, BM, BN, ROW_GROUPS, COLUMN_GROUPS, blocks)                                                   \
    SG_KERNEL_BOUNDS(SG_WARP *BM *BN / (16 * 32 * ROW_GROUPS * COLUMN_GROUPS), blocks)                                 \
    SG_KERNEL(name)(gemm_call p)                                                                                       \
    {                                                                                                                  \
        typedef gemm_shape<BM, BN, ROW_GROUPS, COLUMN_GROUPS> S;                                                       \
        SG_SHARED(float, shared_a, 2 * S::A_FLOATS);                                                                   \
        SG_SHARED(float, shared_b, 2 * S::B_FLOATS);                                                                   \
        SG_SHARED(int64_t, shared_rows, BM);                                                                           \
        gemm_tile<BM, BN, ROW_GROUPS, COLUMN_GROUPS>(p, shared_a, shared_b, shared_rows);                              \
    }
GEMM_KERNEL(sg_k_gemm_large, 128, 128, 2, 2, 2)
GEMM_KERNEL(sg_k_gemm_middle, 64, 64, 2, 1, 4)
GEMM_KERNEL(sg_k_gemm_flat, 16, 128, 1, 1, 6)

/* Up to 8 columns (scores, logits): a warp for each column, a lane for each of 32 rows. a is read by whole stretches
 * and turned over in shared memory. */
static const int NARROW = 8, DEEP = 32;

SG_KERNEL_BOUNDS(256, 4) SG_KERNEL(sg_k_gemm_narrow)(gemm_call p)
{
    SG_SHARED(float, tile, SG_WARP *(DEEP + 1)); /* row, k */
    int lane = sg_lane(), column = (int)threadIdx.x / SG_WARP, columns = (int)blockDim.x / SG_WARP;
    int64_t top = (int64_t)blockIdx.x * SG_WARP, r = top + lane;
    float *out = r < p.n_rows ? p.c + sg_row_of(p.c_rows, r) * p.ldc + column : nullptr;
    float acc = p.accumulate && out ? *out : 0;
    for (int64_t k = 0; k < p.n_k; k += DEEP) {
        int here = p.n_k - k < DEEP ? (int)(p.n_k - k) : DEEP;
        for (int i = column; i < SG_WARP; i += columns)
            if (top + i < p.n_rows && lane < here)
                tile[i * (DEEP + 1) + lane] = p.a[sg_row_of(p.a_rows, top + i) * p.lda + k + lane];
        __syncthreads();
        for (int i = 0; i < here && out; i++)
            acc = fmaf(tile[lane * (DEEP + 1) + i], p.b[(k + i) * p.ldb + column], acc);
        __syncthreads();
    }
    if (out)
        *out = acc;
}

static dim3 tiles(const gemm_call *p, int64_t height, int64_t width)
{
    return dim3((unsigned)sg_blocks(p->n_rows, height), (unsigned)sg_blocks(p->n_cols, width));
}

static int64_t count(dim3 grid)
{
    return (int64_t)grid.x * grid.y;
}

/* Large tiles read least, once there are enough of them for every multiprocessor of a large card. */
static const int64_t ENOUGH = 128;

static void gemm(int64_t n_rows, int64_t n_k, int64_t n_cols, const float *a, int64_t lda, const int32_t *a_rows,
                 const void *packed, float *c, int64_t ldc, const int32_t *c_rows, bool accumulate, void *scratch)
{
    (void)scratch;
    assert(n_rows >= 0 && n_k > 0 && n_cols > 0 && lda >= n_k && ldc >= n_cols);
    bool aligned = ldc % 4 == 0 && (uintptr_t)c % 16 == 0;
    gemm_call p = {n_rows, n_k, n_cols, a,          lda,    a_rows, (const float *)packed, packed_stride(n_cols),
                   c,      ldc, c_rows, accumulate, aligned};
    if (n_rows == 0)
        return;
    if (n_cols <= NARROW)
        SG_LAUNCH(sg_k_gemm_narrow, sg_blocks(n_rows, SG_WARP), SG_WARP * (int)n_cols, 0, p);
    else if (n_rows <= 16)
        SG_LAUNCH(sg_k_gemm_flat, tiles(&p, 16, 128), 128, 0, p);
    else if (count(tiles(&p, 128, 128)) >= ENOUGH)
        SG_LAUNCH(sg_k_gemm_large, tiles(&p, 128, 128), 256, 0, p);
    else
        SG_LAUNCH(sg_k_gemm_middle, tiles(&p, 64, 64), 128, 0, p);
}

void sg_cuda_fill_gemm(struct sg_ops *ops)
{
    ops->packed_bytes = packed_bytes;
    ops->pack_forward = pack_forward;
    ops->pack_backward = pack_backward;
    ops->gemm = gemm;
}
