/* One step of an LSTM direction, a thread for each unit and hidden column: the formulas of the CPU's cell.h. */
#include "layout.h"
#include "table.h"
#include "transcend.h"

SG_KERNEL(sg_k_lstm_forward)
(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next, float *gates,
 int64_t ldgates, float *c, int64_t ldc, float *y, int64_t ldy, float *h_next, int64_t ldh)
{
    for (int64_t u = rows_first(); u < n; u += rows_step()) {
        int64_t row = rows[u], before = prev[u], after = next[u];
        for (int64_t j = sg_grid_first(); j < hidden; j += sg_grid_step()) {
            float *gate = gates + row * ldgates + j;
            float in = sigmoid(gate[0]), forget = sigmoid(gate[hidden]);
            float cell = tangent(gate[2 * hidden]), out = sigmoid(gate[3 * hidden]);
            float state = in * cell;
            if (before >= 0)
                state = fmaf(forget, c[before * ldc + j], state);
            float h = out * tangent(state);
            gate[0] = in;
            gate[hidden] = forget;
            gate[2 * hidden] = cell;
            gate[3 * hidden] = out;
            c[row * ldc + j] = state;
            y[row * ldy + j] = h;
            if (after >= 0)
                h_next[after * ldh + j] = h;
        }
    }
}

SG_KERNEL(sg_k_lstm_backward)
(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next, float *gates,
 int64_t ldgates, const float *c, int64_t ldc, const float *dy, int64_t lddy, float *dc, int64_t lddc)
{
    for (int64_t u = rows_first(); u < n; u += rows_step()) {
        int64_t row = rows[u], before = prev[u], after = next[u];
        for (int64_t j = sg_grid_first(); j < hidden; j += sg_grid_step()) {
            float *gate = gates + row * ldgates + j;
            float in = gate[0], forget = gate[hidden], cell = gate[2 * hidden], out = gate[3 * hidden];
            float dh = dy[row * lddy + j], squashed = tangent(c[row * ldc + j]);
            float dstate = dh * out * fmaf(-squashed, squashed, 1.0f);
            if (after >= 0)
                dstate += dc[row * lddc + j];
            float state_before = before >= 0 ? c[before * ldc + j] : 0.0f;
            gate[0] = dstate * cell * (in * (1.0f - in));
            gate[hidden] = dstate * state_before * (forget * (1.0f - forget));
            gate[2 * hidden] = dstate * in * fmaf(-cell, cell, 1.0f);
            gate[3 * hidden] = dh * squashed * (out * (1.0f - out));
            if (before >= 0)
                dc[before * lddc + j] = dstate * forget;
        }
    }
}

static void lstm_forward(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                         float *gates, int64_t ldgates, float *c, int64_t ldc, float *y, int64_t ldy, float *h_next,
                         int64_t ldh)
{
    if (n <= 0)
        return;
    struct rows_launch over = rows_over(n, hidden);
    SG_LAUNCH(sg_k_lstm_forward, over.grid, over.block, 0, n, hidden, rows, prev, next, gates, ldgates, c, ldc, y, ldy,
              h_next, ldh);
}

static void lstm_backward(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                          float *gates, int64_t ldgates, const float *c, int64_t ldc, const float *dy, int64_t lddy,
                          float *dc, int64_t lddc)
{
    if (n <= 0)
        return;
    struct rows_launch over = rows_over(n, hidden);
    SG_LAUNCH(sg_k_lstm_backward, over.grid, over.block, 0, n, hidden, rows, prev, next, gates, ldgates, c, ldc, dy,
              lddy, dc, lddc);
}

void sg_cuda_fill_recurrent(struct sg_ops *ops)
{
    ops->lstm_forward = lstm_forward;
    ops->lstm_backward = lstm_backward;
}
