/* The layer's recurrence: a block has whole units of one direction and goes through their steps with no other block's
 * help. A thread has one hidden column, with its four gates, of LSTM_UNITS units, and keeps their state; what the next
 * step reads of other columns (h; backward the gradient of the gates) goes through shared memory. The recurrent weights
 * stay in shared memory for all steps where they fit (RESIDENT), and are read through the caches where they do not. */
#include "lstm_cell.h"
#include "lstm_layer.h"

#define LSTM_UNITS 8           /* of one thread */
#define LSTM_THREADS_MAX 512   /* of a block */
#define LSTM_BLOCKS_ENOUGH 256 /* with as many a block may grow */

struct layer {
    int64_t n_units, n_in, hidden, ldw, ldgates, ldc, ldy, ldh;
    const int32_t *offset;
    struct sg_lstm_direction direction[2];
    float *y;
    const float *dy;
};

/* A thread's units. Row s of the recurrence of unit m is from[m] + s step. */
struct layer_part {
    int64_t from[LSTM_UNITS];
    int n[LSTM_UNITS], longest; /* rows of its units; the most of the block's */
    int step, units;            /* 1 or -1; the block's */
};

SG_DEVICE struct layer_part layer_part_of(const struct layer &x)
{
    struct layer_part p;
    p.step = blockIdx.y ? -1 : 1;
    p.units = LSTM_UNITS * blockDim.y;
    p.longest = 0;
    int64_t first = (int64_t)blockIdx.x * p.units, mine = first + LSTM_UNITS * threadIdx.y;
    SG_UNROLL
    for (int m = 0; m < LSTM_UNITS; m++) {
        bool exists = mine + m < x.n_units;
        int begin = exists ? x.offset[mine + m] : 0, end = exists ? x.offset[mine + m + 1] : 0;
        p.n[m] = end - begin;
        p.from[m] = blockIdx.y ? end - 1 : begin;
    }
    for (int64_t b = first; b < first + p.units && b < x.n_units; b++)
        p.longest = max(p.longest, x.offset[b + 1] - x.offset[b]);
    return p;
}

/* Into shared memory; n is a multiple of 4, both ends are aligned to 16. */
SG_DEVICE void layer_load(int64_t n, const float *from, float *to)
{
    int64_t threads = blockDim.x * blockDim.y;
    for (int64_t i = threadIdx.y * blockDim.x + threadIdx.x; i < n / 4; i += threads)
        reinterpret_cast<float4 *>(to)[i] = reinterpret_cast<const float4 *>(from)[i];
}

/* LSTM_UNITS neighbours in shared memory. */
SG_DEVICE void layer_eight(const float *from, float to[LSTM_UNITS])
{
    float4 low = reinterpret_cast<const float4 *>(from)[0], high = reinterpret_cast<const float4 *>(from)[1];
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
    to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

/* packed (k, column, gate) from w (gate, column; k); then the bias as one more k. */
SG_KERNEL(sg_k_lstm_pack)(int64_t n_in, int64_t hidden, const float *w, int64_t ldw, float *packed)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < 4 * hidden * (hidden + 1); i += step) {
        int64_t k = i / (4 * hidden), column = i / 4 % hidden, gate = i % 4;
        packed[i] = w[(gate * hidden + column) * ldw + n_in + k];
    }
}

/* The chains of the thread's gates over h. */
SG_DEVICE void layer_chain(int hidden, int column, int units, const float *weights, const float *h,
                           float gate[4][LSTM_UNITS])
{
    const float4 *w = reinterpret_cast<const float4 *>(weights) + column;
    h += LSTM_UNITS * threadIdx.y;
    for (int k = 0; k < hidden; k++, w += hidden, h += units) {
        float4 x = *w;
        float before[LSTM_UNITS];
        layer_eight(h, before);
        SG_UNROLL
        for (int m = 0; m < LSTM_UNITS; m++) {
            gate[0][m] = fmaf(before[m], x.x, gate[0][m]);
            gate[1][m] = fmaf(before[m], x.y, gate[1][m]);
            gate[2][m] = fmaf(before[m], x.z, gate[2][m]);
            gate[3][m] = fmaf(before[m], x.w, gate[3][m]);
        }
    }
}

/* Shared: the weights if RESIDENT, then h of two steps by turns, each (hidden, units). */
template <bool RESIDENT> SG_KERNEL_BOUNDS(LSTM_THREADS_MAX, 1) SG_KERNEL(sg_k_lstm_layer_forward)(struct layer x)
{
    SG_DYNAMIC_SHARED(float, memory);
    const struct sg_lstm_direction &d = x.direction[blockIdx.y];
    const struct layer_part p = layer_part_of(x);
    int hidden = (int)x.hidden, j = threadIdx.x;
    bool exists = j < hidden;
    const float *weights = RESIDENT ? memory : d.packed;
    float *turn = memory + (RESIDENT ? 4 * hidden * hidden : 0), c[LSTM_UNITS] = {0}, bias[4];
    if (RESIDENT)
        layer_load(4 * hidden * hidden, d.packed, memory);
    SG_UNROLL
    for (int g = 0; g < 4; g++)
        bias[g] = exists ? d.packed[4 * hidden * hidden + 4 * j + g] : 0;
    for (int s = 0; s < p.longest; s++) {
        float gate[4][LSTM_UNITS], *h_now = turn + s % 2 * hidden * p.units + j * p.units + LSTM_UNITS * threadIdx.y;
        SG_UNROLL
        for (int m = 0; m < LSTM_UNITS; m++) {
            SG_UNROLL
            for (int g = 0; g < 4; g++)
                gate[g][m] = exists && s < p.n[m] ? d.gates[(p.from[m] + s * p.step) * x.ldgates + g * hidden + j] : 0;
        }
        __syncthreads();
        if (s > 0 && exists)
            layer_chain(hidden, j, p.units, weights, turn + (s + 1) % 2 * hidden * p.units, gate);
        SG_UNROLL
        for (int m = 0; m < LSTM_UNITS; m++) {
            int64_t row = p.from[m] + s * p.step;
            float a[4], h = 0;
            SG_UNROLL
            for (int g = 0; g < 4; g++)
                a[g] = gate[g][m] + bias[g];
            if (exists && s < p.n[m]) {
                h = cell_forward(a, &c[m], s > 0);
                SG_UNROLL
                for (int g = 0; g < 4; g++)
                    d.gates[row * x.ldgates + g * hidden + j] = a[g];
                d.c[row * x.ldc + j] = c[m];
                x.y[row * x.ldy + blockIdx.y * hidden + j] = h;
                if (s + 1 < p.n[m])
                    d.h_next[(row + p.step) * x.ldh + j] = h;
            }
            if (exists)
                h_now[m] = h;
        }
    }
}

/* dh goes on from dy with the chains over the four gates of the step after. */
SG_DEVICE void layer_chain_back(int hidden, int column, int units, const float *weights, int64_t ldw,
                                const float *dgates, float dh[LSTM_UNITS])
{
    const float *w = weights + column;
    dgates += LSTM_UNITS * threadIdx.y;
    for (int k = 0; k < 4 * hidden; k++, w += ldw, dgates += units) {
        float x = *w, d[LSTM_UNITS];
        layer_eight(dgates, d);
        SG_UNROLL
        for (int m = 0; m < LSTM_UNITS; m++)
            dh[m] = fmaf(d[m], x, dh[m]);
    }
}

/* Shared: the weights (4H, H) if RESIDENT, then the gradient of one step's gates (4H, units). */
template <bool RESIDENT> SG_KERNEL_BOUNDS(LSTM_THREADS_MAX, 1) SG_KERNEL(sg_k_lstm_layer_backward)(struct layer x)
{
    SG_DYNAMIC_SHARED(float, memory);
    const struct sg_lstm_direction &d = x.direction[blockIdx.y];
    const struct layer_part p = layer_part_of(x);
    int hidden = (int)x.hidden, j = threadIdx.x;
    bool exists = j < hidden;
    const float *weights = RESIDENT ? memory : d.w + x.n_in;
    float *turn = memory + (RESIDENT ? 4 * hidden * hidden : 0), dc[LSTM_UNITS] = {0};
    if (RESIDENT)
        for (int i = threadIdx.y; i < 4 * hidden && exists; i += blockDim.y)
            memory[i * hidden + j] = d.w[i * x.ldw + x.n_in + j];
    for (int s = p.longest - 1; s >= 0; s--) {
        float above[LSTM_UNITS], dh[LSTM_UNITS];
        SG_UNROLL
        for (int m = 0; m < LSTM_UNITS; m++) {
            int64_t row = p.from[m] + s * p.step;
            above[m] = dh[m] = exists && s < p.n[m] ? x.dy[row * x.ldy + blockIdx.y * hidden + j] : 0;
        }
        __syncthreads();
        if (s + 1 < p.longest && exists)
            layer_chain_back(hidden, j, p.units, weights, RESIDENT ? hidden : x.ldw, turn, dh);
        __syncthreads();
        SG_UNROLL
        for (int m = 0; m < LSTM_UNITS; m++) {
            int64_t row = p.from[m] + s * p.step;
            bool goes_on = s + 1 < p.n[m];
            float a[4] = {0, 0, 0, 0};
            if (exists && s < p.n[m]) {
                float *gates = d.gates + row * x.ldgates + j, before = s > 0 ? d.c[(row - p.step) * x.ldc + j] : 0;
                SG_UNROLL
                for (int g = 0; g < 4; g++)
                    a[g] = gates[g * hidden];
                cell_backward(a, d.c[row * x.ldc + j], before, goes_on ? dh[m] : above[m], &dc[m], goes_on);
                SG_UNROLL
                for (int g = 0; g < 4; g++)
                    gates[g * hidden] = a[g];
            }
            SG_UNROLL
            for (int g = 0; g < 4 && exists; g++)
                turn[(g * hidden + j) * p.units + LSTM_UNITS * threadIdx.y + m] = a[g];
        }
    }
}

size_t sg_cuda_lstm_packed_bytes(int64_t hidden)
{
    return (size_t)(4 * hidden * (hidden + 1)) * sizeof(float);
}

void sg_cuda_lstm_pack(int64_t n_in, int64_t hidden, const float *w, int64_t ldw, float *packed)
{
    SG_LAUNCH(sg_k_lstm_pack, sg_blocks(4 * hidden * (hidden + 1), 256), 256, 0, n_in, hidden, w, ldw, packed);
}

/* Blocks of few units while the card has room for more blocks, then larger ones, which share the weights. */
static dim3 layer_block(int64_t n_units, int64_t hidden)
{
    assert(hidden > 0 && hidden <= SG_LSTM_LAYER_HIDDEN_MAX);
    unsigned across = (unsigned)(hidden + SG_WARP - 1) / SG_WARP * SG_WARP, down = 1;
    while (across * down * 2 <= LSTM_THREADS_MAX && 2 * n_units >= (int64_t)LSTM_BLOCKS_ENOUGH * LSTM_UNITS * down * 2)
        down *= 2;
    return dim3(across, down);
}

#define LAYER_LAUNCH(kernel, turn_floats)                                                                              \
    do {                                                                                                               \
        dim3 block = layer_block(n_units, hidden);                                                                     \
        int64_t units = LSTM_UNITS * block.y;                                                                          \
        dim3 grid((unsigned)sg_blocks(n_units, units), 2);                                                             \
        size_t weights = (size_t)(4 * hidden * hidden) * sizeof(float), turn = (size_t)(turn_floats) * sizeof(float);  \
        if (weights + turn <= SG_SHARED_BYTES_MAX) {                                                                   \
            sg_cuda_shared_opt_in(kernel<true>, weights + turn);                                                       \
            SG_LAUNCH(kernel<true>, grid, block, weights + turn, x);                                                   \
        } else {                                                                                                       \
            sg_cuda_shared_opt_in(kernel<false>, turn);                                                                \
            SG_LAUNCH(kernel<false>, grid, block, turn, x);                                                            \
        }                                                                                                              \
    } while (0)

void sg_cuda_lstm_layer_forward(int64_t n_units, const int32_t *offset, int64_t hidden,
                                const struct sg_lstm_direction direction[2], int64_t ldgates, int64_t ldc, float *y,
                                int64_t ldy, int64_t ldh)
{
    if (n_units <= 0)
        return;
    struct layer x = {n_units, 0, hidden, 0, ldgates, ldc, ldy, ldh, offset, {direction[0], direction[1]}, y, NULL};
    LAYER_LAUNCH(sg_k_lstm_layer_forward, 2 * hidden * units);
}

void sg_cuda_lstm_layer_backward(int64_t n_units, const int32_t *offset, int64_t n_in, int64_t hidden,
                                 const struct sg_lstm_direction direction[2], int64_t ldw, int64_t ldgates, int64_t ldc,
                                 const float *dy, int64_t lddy)
{
    if (n_units <= 0)
        return;
    struct layer x = {n_units, n_in, hidden, ldw, ldgates, ldc, lddy, 0, offset, {direction[0], direction[1]},
                      NULL,    dy};
    LAYER_LAUNCH(sg_k_lstm_layer_backward, 4 * hidden * units);
}
