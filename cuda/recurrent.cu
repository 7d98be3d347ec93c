/* One step of an LSTM direction, a thread for each unit and hidden column. lstm_layer.h has all steps in one launch. */
#include "layout.h"
#include "lstm_cell.h"
#include "table.h"

SG_KERNEL(sg_k_lstm_forward)
(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next, float *gates,
 int64_t ldgates, float *c, int64_t ldc, float *y, int64_t ldy, float *h_next, int64_t ldh)
{
    for (int64_t u = rows_first(); u < n; u += rows_step()) {
        int64_t row = rows[u], before = prev[u], after = next[u];
        for (int64_t j = sg_grid_first(); j < hidden; j += sg_grid_step()) {
            float *gate = gates + row * ldgates + j;
            float x[4] = {gate[0], gate[hidden], gate[2 * hidden], gate[3 * hidden]};
            float state = before >= 0 ? c[before * ldc + j] : 0;
            float h = cell_forward(x, &state, before >= 0);
            SG_UNROLL
            for (int g = 0; g < 4; g++)
                gate[g * hidden] = x[g];
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
            float x[4] = {gate[0], gate[hidden], gate[2 * hidden], gate[3 * hidden]};
            float state_before = before >= 0 ? c[before * ldc + j] : 0, carry = after >= 0 ? dc[row * lddc + j] : 0;
            cell_backward(x, c[row * ldc + j], state_before, dy[row * lddy + j], &carry, after >= 0);
            SG_UNROLL
            for (int g = 0; g < 4; g++)
                gate[g * hidden] = x[g];
            if (before >= 0)
                dc[before * lddc + j] = carry;
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
