/* One step of an LSTM direction, all gate math of a unit in one pass over its row. */
#ifndef SG_OPS_CPU_CELL_H
#define SG_OPS_CPU_CELL_H

#include "cpu/rows.h"

static void lstm_forward(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                         float *gates, int64_t ldgates, float *c, int64_t ldc, float *y, int64_t ldy, float *h_next,
                         int64_t ldh)
{
    for (int64_t u = 0; u < n; u++) {
        float *i_gate = gates + rows[u] * ldgates, *f_gate = i_gate + hidden, *g_gate = f_gate + hidden;
        float *o_gate = g_gate + hidden;
        const float *c_prev = prev[u] < 0 ? NULL : c + prev[u] * ldc;
        float *c_now = c + rows[u] * ldc, *h = y + rows[u] * ldy;
        float *carry = next[u] < 0 ? NULL : h_next + next[u] * ldh;
        for (int64_t j = 0; j < hidden; j += SG_LANES) {
            int64_t m = lanes_left(hidden, j);
            vf in = vf_sigmoid(load_left(i_gate + j, m)), forget = vf_sigmoid(load_left(f_gate + j, m));
            vf cell = vf_tanh(load_left(g_gate + j, m)), out = vf_sigmoid(load_left(o_gate + j, m));
            vf state = vf_mul(in, cell);
            if (c_prev)
                state = vf_fma(forget, load_left(c_prev + j, m), state);
            vf hidden_state = vf_mul(out, vf_tanh(state));
            store_left(i_gate + j, in, m);
            store_left(f_gate + j, forget, m);
            store_left(g_gate + j, cell, m);
            store_left(o_gate + j, out, m);
            store_left(c_now + j, state, m);
            store_left(h + j, hidden_state, m);
            if (carry)
                store_left(carry + j, hidden_state, m);
        }
    }
}

static void lstm_backward(int64_t n, int64_t hidden, const int32_t *rows, const int32_t *prev, const int32_t *next,
                          float *gates, int64_t ldgates, const float *c, int64_t ldc, const float *dy, int64_t lddy,
                          float *dc, int64_t lddc)
{
    const vf one = vf_set(1.0f);
    for (int64_t u = 0; u < n; u++) {
        float *i_gate = gates + rows[u] * ldgates, *f_gate = i_gate + hidden, *g_gate = f_gate + hidden;
        float *o_gate = g_gate + hidden;
        const float *c_prev = prev[u] < 0 ? NULL : c + prev[u] * ldc;
        const float *c_now = c + rows[u] * ldc, *dh_row = dy + rows[u] * lddy;
        const float *dc_row = next[u] < 0 ? NULL : dc + rows[u] * lddc;
        float *carry = prev[u] < 0 ? NULL : dc + prev[u] * lddc;
        for (int64_t j = 0; j < hidden; j += SG_LANES) {
            int64_t m = lanes_left(hidden, j);
            vf in = load_left(i_gate + j, m), forget = load_left(f_gate + j, m), cell = load_left(g_gate + j, m);
            vf out = load_left(o_gate + j, m), dh = load_left(dh_row + j, m);
            vf squashed = vf_tanh(load_left(c_now + j, m));
            vf dstate = vf_mul(vf_mul(dh, out), vf_fnma(squashed, squashed, one));
            if (dc_row)
                dstate = vf_add(dstate, load_left(dc_row + j, m));
            vf before = c_prev ? load_left(c_prev + j, m) : vf_zero();
            store_left(i_gate + j, vf_mul(vf_mul(dstate, cell), vf_mul(in, vf_sub(one, in))), m);
            store_left(f_gate + j, vf_mul(vf_mul(dstate, before), vf_mul(forget, vf_sub(one, forget))), m);
            store_left(g_gate + j, vf_mul(vf_mul(dstate, in), vf_fnma(cell, cell, one)), m);
            store_left(o_gate + j, vf_mul(vf_mul(dh, squashed), vf_mul(out, vf_sub(one, out))), m);
            if (carry)
                store_left(carry + j, vf_mul(dstate, forget), m);
        }
    }
}

#endif
