/* All steps of an LSTM layer in one launch, both directions at once: an optional way beside the step's op, with the
 * same bits. A proposal for two entries of the table that may be NULL, lstm_layer_forward and lstm_layer_backward;
 * nothing calls it yet.
 *
 * The step's gates are one chain of fused multiply-adds over [x, h, 1]. A GEMM over all rows makes its first part, the
 * x columns; the layer goes on with h and the bias. Backward leaves the gradient of the gates, from which one GEMM over
 * all rows makes that of x; the recurrence's own gradients stay inside. */
#ifndef SG_CUDA_LSTM_LAYER_H
#define SG_CUDA_LSTM_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One direction of a layer; pointers are the device's. */
struct sg_lstm_direction {
    const float *w;      /* (4H, n_in + H + 1): what x, h and 1 meet */
    const float *packed; /* sg_cuda_lstm_pack's, of w */
    float *gates;        /* (rows, 4H) */
    float *c;            /* (rows, H) */
    float *h_next;       /* the recurrent columns of the layer's input rows, from which w's gradient is made */
};

/* Layers of up to this many hidden columns: a thread has one. */
#define SG_LSTM_LAYER_HIDDEN_MAX 512

size_t sg_cuda_lstm_packed_bytes(int64_t hidden);
/* Once a step, for each direction: w's recurrent part as (k, hidden column, gate), then the bias. Aligned to 16. */
void sg_cuda_lstm_pack(int64_t n_in, int64_t hidden, const float *w, int64_t ldw, float *packed);

/* direction[0] runs from a unit's first row to its last, direction[1] back; its y lies `hidden` columns further. gates
 * holds the chains over x and gets activations. h_next gets the state before each row, but for a unit's first. */
void sg_cuda_lstm_layer_forward(int64_t n_units, const int32_t *offset, int64_t hidden,
                                const struct sg_lstm_direction direction[2], int64_t ldgates, int64_t ldc, float *y,
                                int64_t ldy, int64_t ldh);
/* dy is the gradient of y from above and is only read. gates gets the gradient of the pre-activations. */
void sg_cuda_lstm_layer_backward(int64_t n_units, const int32_t *offset, int64_t n_in, int64_t hidden,
                                 const struct sg_lstm_direction direction[2], int64_t ldw, int64_t ldgates, int64_t ldc,
                                 const float *dy, int64_t lddy);

#ifdef __cplusplus
}
#endif
#endif
