/* Bidirectional LSTM layers over packed rows (Hochreiter & Schmidhuber 1997; the cell itself is an op).
 *
 * One direction of one layer is one LINEAR tap with a = [x_t, h_{t-1}, 1] and g = the gradient of the gates. At step s
 * of the recurrence the units that have an s-th step go through one GEMM, their rows picked by list. */
#include <assert.h>
#include <string.h>

#include "internal.h"

void sg_nn_walk(const struct pass *pass)
{
    const struct sg_batch *batch = pass->batch;
    struct sg_workspace *w = pass->w;
    int64_t longest = 0;
    for (int64_t b = 0; b < batch->n_units; b++) {
        int64_t n = batch->offset[b + 1] - batch->offset[b];
        assert(n > 0);
        longest = n > longest ? n : longest;
    }
    w->n_positions = longest;

    /* position[s+1] first counts the units with an s-th step, then is where the next of them goes. */
    memset(w->position, 0, (size_t)(longest + 1) * sizeof *w->position);
    for (int64_t b = 0; b < batch->n_units; b++)
        for (int64_t s = 0; s < batch->offset[b + 1] - batch->offset[b]; s++)
            w->position[s + 1]++;
    int32_t begin = 0;
    for (int64_t s = 0; s < longest; s++) {
        int32_t n = w->position[s + 1];
        w->position[s + 1] = begin;
        begin += n;
    }
    for (int64_t b = 0; b < batch->n_units; b++) {
        int32_t from = batch->offset[b], n = batch->offset[b + 1] - from;
        for (int32_t s = 0; s < n; s++) {
            int32_t at = w->position[s + 1]++, row = from + s, mirror = from + n - 1 - s;
            w->walk[FORWARD].rows[at] = row;
            w->walk[FORWARD].prev[at] = s > 0 ? row - 1 : -1;
            w->walk[FORWARD].next[at] = s + 1 < n ? row + 1 : -1;
            w->walk[REVERSE].rows[at] = mirror;
            w->walk[REVERSE].prev[at] = s > 0 ? mirror + 1 : -1;
            w->walk[REVERSE].next[at] = s + 1 < n ? mirror - 1 : -1;
        }
    }
    for (int d = 0; d < N_DIRECTIONS; d++) {
        sg_nn_upload(pass, w->walk[d].rows, batch->n_rows);
        sg_nn_upload(pass, w->walk[d].prev, batch->n_rows);
        sg_nn_upload(pass, w->walk[d].next, batch->n_rows);
    }
}

/* Fills the input rows of one direction but for h_{t-1}, which the recurrence writes; a first step has none: zero. */
static void fill_inputs(const struct pass *pass, int64_t layer, int direction, const float *x, int64_t ldx)
{
    const struct sg_ops *ops = pass->model->ops;
    int64_t n_x = lstm_inputs(&pass->model->spec, layer), hidden = pass->model->spec.hidden, lda = n_x + hidden + 1;
    float *a = pass->w->cells[layer][direction].a;
    ops->copy_rows(pass->batch->n_rows, n_x, x, ldx, NULL, a, lda, NULL);
    ops->copy_rows(pass->batch->n_units, hidden, pass->w->zeros, 0, NULL, a + n_x, lda,
                   sg_nn_list(pass, pass->w->walk[direction].rows));
    sg_nn_ones(pass, pass->batch->n_rows, a + n_x + hidden, lda);
}

static void direction_forward(const struct pass *pass, int64_t layer, int direction)
{
    struct sg_workspace *w = pass->w;
    const struct lstm_place *place = &pass->model->lstm[layer][direction];
    const struct cell_memory *cell = &w->cells[layer][direction];
    int64_t hidden = pass->model->spec.hidden, n_x = lstm_inputs(&pass->model->spec, layer);
    int64_t lda = n_x + hidden + 1, ldgates = 4 * hidden, ldy = 2 * hidden + 1;
    for (int64_t s = 0; s < w->n_positions; s++) {
        int64_t at = w->position[s], n = w->position[s + 1] - at;
        const int32_t *rows = sg_nn_list(pass, w->walk[direction].rows + at);
        if (s == 0) { /* h is zero: leaving its products out changes no sum */
            sg_nn_gemm(pass, place->first_x, n, cell->a, lda, rows, cell->gates, ldgates, rows, false);
            sg_nn_gemm(pass, place->first_bias, n, cell->a + n_x + hidden, lda, rows, cell->gates, ldgates, rows, true);
        } else {
            sg_nn_gemm(pass, place->all, n, cell->a, lda, rows, cell->gates, ldgates, rows, false);
        }
        pass->model->ops->lstm_forward(n, hidden, rows, sg_nn_list(pass, w->walk[direction].prev + at),
                                       sg_nn_list(pass, w->walk[direction].next + at), cell->gates, ldgates, cell->c,
                                       hidden, w->y + direction * hidden, ldy, cell->a + n_x, lda);
    }
}

void sg_nn_lstm_forward(const struct pass *pass)
{
    const struct sg_model_spec *spec = &pass->model->spec;
    struct sg_workspace *w = pass->w;
    int64_t n_rows = pass->batch->n_rows, width = 2 * spec->hidden, ldy = width + 1;
    for (int64_t l = 0; l < spec->layers; l++) {
        for (int d = 0; d < N_DIRECTIONS; d++)
            fill_inputs(pass, l, d, l ? w->y : pass->batch->x, l ? ldy : spec->n_features);
        for (int d = 0; d < N_DIRECTIONS; d++)
            direction_forward(pass, l, d);
        if (w->dropped && l + 1 < spec->layers) {
            sg_nn_dropout_masks(pass, (uint64_t)l, pass->batch->offset, width, w->mask[l]);
            sg_nn_multiply_mask(pass, n_rows, width, w->y, ldy, w->mask[l], width);
        }
    }
    sg_nn_ones(pass, n_rows, w->y + width, ldy);
}

/* dy holds the gradient from above; the recurrence adds its own on the way to the first step. */
static void direction_backward(const struct pass *pass, int64_t layer, int direction, float *dy)
{
    struct sg_workspace *w = pass->w;
    const struct lstm_place *place = &pass->model->lstm[layer][direction];
    const struct cell_memory *cell = &w->cells[layer][direction];
    int64_t hidden = pass->model->spec.hidden, ldgates = 4 * hidden, ldy = 2 * hidden;
    float *dh = dy + direction * hidden;
    for (int64_t s = w->n_positions - 1; s >= 0; s--) {
        int64_t at = w->position[s], n = w->position[s + 1] - at;
        const int32_t *rows = sg_nn_list(pass, w->walk[direction].rows + at);
        const int32_t *prev = sg_nn_list(pass, w->walk[direction].prev + at);
        const int32_t *next = sg_nn_list(pass, w->walk[direction].next + at);
        pass->model->ops->lstm_backward(n, hidden, rows, prev, next, cell->gates, ldgates, cell->c, hidden, dh, ldy,
                                        w->dc, hidden);
        if (s > 0)
            sg_nn_gemm(pass, place->backward_h, n, cell->gates, ldgates, rows, dh, ldy, prev, true);
    }
}

void sg_nn_lstm_backward(const struct pass *pass)
{
    const struct sg_model *model = pass->model;
    struct sg_workspace *w = pass->w;
    int64_t n_rows = pass->batch->n_rows, width = 2 * model->spec.hidden;
    float *dy = w->dy[0], *dx = w->dy[1];
    for (int64_t l = model->spec.layers - 1; l >= 0 && model->lstm_below[l + 1]; l--) {
        for (int d = 0; d < N_DIRECTIONS; d++)
            if (model->lstm_below[l] || is_trainable(model, model->lstm[l][d].parameter))
                direction_backward(pass, l, d, dy);
        if (!model->lstm_below[l])
            return;
        for (int d = 0; d < N_DIRECTIONS; d++)
            sg_nn_gemm(pass, model->lstm[l][d].backward_x, n_rows, w->cells[l][d].gates, 2 * width, NULL, dx, width,
                       NULL, d > 0);
        if (w->dropped)
            sg_nn_multiply_mask(pass, n_rows, width, dx, width, w->mask[l - 1], width);
        float *swap = dy;
        dy = dx;
        dx = swap;
    }
}
