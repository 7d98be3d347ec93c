/* One hidden column of one unit at one step: the formulas of the CPU's cell.h, for the step's kernels and the layer's.
 */
#ifndef SG_CUDA_LSTM_CELL_H
#define SG_CUDA_LSTM_CELL_H

#include "transcend.h"

/* gate: pre-activations i, f, g, o become activations. c: the state before, which counts where `goes_on`, becomes the
 * state now. Returns h. */
SG_DEVICE float cell_forward(float gate[4], float *c, bool goes_on)
{
    gate[0] = sigmoid(gate[0]);
    gate[1] = sigmoid(gate[1]);
    gate[2] = tangent(gate[2]);
    gate[3] = sigmoid(gate[3]);
    float state = gate[0] * gate[2];
    if (goes_on)
        state = fmaf(gate[1], *c, state);
    *c = state;
    return gate[3] * tangent(state);
}

/* gate: activations become gradients of pre-activations. c and c_before: the states; dc: the carry from the step after,
 * which counts where `goes_on`, becomes the carry to the step before. */
SG_DEVICE void cell_backward(float gate[4], float c, float c_before, float dh, float *dc, bool goes_on)
{
    float in = gate[0], forget = gate[1], cell = gate[2], out = gate[3], squashed = tangent(c);
    float dstate = dh * out * fmaf(-squashed, squashed, 1.0f);
    if (goes_on)
        dstate += *dc;
    gate[0] = dstate * cell * (in * (1.0f - in));
    gate[1] = dstate * c_before * (forget * (1.0f - forget));
    gate[2] = dstate * in * fmaf(-cell, cell, 1.0f);
    gate[3] = dh * squashed * (out * (1.0f - out));
    *dc = dstate * forget;
}

#endif
