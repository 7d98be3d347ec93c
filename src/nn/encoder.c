/* The encoder's passes: embeddings, blocks, head; from a prefix where the batch carries one. */
#include <assert.h>

#include "internal.h"

static float *block_input(const struct pass *pass, int64_t block)
{
    struct encoder_memory *m = &pass->w->encoder;
    return block < pass->model->spec.encoder.layers ? m->blocks[block].x : m->top;
}

/* Up to the input of block `to`. */
static void forward_rows(const struct pass *pass, int64_t from, int64_t to)
{
    if (from < 0)
        sg_nn_embeddings_forward(pass);
    for (int64_t l = from < 0 ? 0 : from; l < to; l++)
        sg_nn_block_forward(pass, l);
}

void sg_nn_encoder_forward(const struct pass *pass, float *logit)
{
    const struct sg_ops *ops = pass->model->ops;
    struct encoder_memory *m = &pass->w->encoder;
    int64_t d = pass->model->spec.encoder.width, layers = pass->model->spec.encoder.layers;
    int64_t frozen = pass->batch->prefix ? sg_model_frozen_layers(pass->model) : -1;
    assert(frozen != 0);
    if (frozen > layers) {
        ops->copy_rows(pass->batch->n_units, d, pass->batch->prefix, d, NULL, m->pooled, d, NULL);
        sg_nn_classifier_forward(pass, logit);
        return;
    }
    if (frozen > 0)
        ops->copy_rows(m->n_rows, d, pass->batch->prefix, d, NULL, block_input(pass, frozen), d, NULL);
    forward_rows(pass, frozen, layers);
    if (pass->model->spec.objective == SG_MASKED_TOKENS) {
        sg_nn_masked_forward(pass, logit);
        return;
    }
    sg_nn_pool_forward(pass);
    sg_nn_classifier_forward(pass, logit);
}

void sg_model_prefix(const struct sg_model *model, const void *packed, const struct sg_batch *batch,
                     struct sg_workspace *workspace, float *prefix)
{
    struct pass pass = {model, packed, batch, workspace};
    struct encoder_memory *m = &workspace->encoder;
    int64_t d = model->spec.encoder.width, layers = model->spec.encoder.layers, frozen = sg_model_frozen_layers(model);
    assert(frozen > 0 && batch->n_units <= workspace->units_max && batch->n_rows <= workspace->rows_max);
    workspace->dropped = false;
    if (!batch->n_units)
        return;
    sg_nn_embeddings_rows(&pass);
    forward_rows(&pass, -1, frozen < layers ? frozen : layers);
    if (frozen <= layers) {
        model->ops->copy_rows(m->n_rows, d, block_input(&pass, frozen), d, NULL, prefix, d, NULL);
        return;
    }
    sg_nn_pool_forward(&pass);
    model->ops->copy_rows(batch->n_units, d, m->pooled, d, NULL, prefix, d, NULL);
}

/* Starts a new part where there is somebody to hand it to; without, all taps stay. */
static void hand_over(const struct pass *pass, sg_tap_sink *sink, void *context)
{
    if (!sink)
        return;
    if (pass->w->n_taps)
        sink(context, pass->w->taps, pass->w->n_taps);
    pass->w->n_taps = 0;
}

static void head_taps(const struct pass *pass)
{
    if (pass->model->spec.objective == SG_MASKED_TOKENS)
        sg_nn_masked_taps(pass);
    else
        sg_nn_classifier_taps(pass);
}

void sg_nn_encoder_backward(const struct pass *pass, const float *dlogit, sg_tap_sink *sink, void *context)
{
    if (pass->model->spec.objective == SG_MASKED_TOKENS)
        sg_nn_masked_backward(pass, dlogit);
    else
        sg_nn_classifier_backward(pass, dlogit);
    head_taps(pass);
    hand_over(pass, sink, context);
    for (int64_t l = pass->model->spec.encoder.layers - 1; l >= 0 && pass->model->lowest < stage_of_block(l + 1); l--) {
        if (pass->w->recompute)
            sg_nn_block_forward(pass, l);
        sg_nn_block_backward(pass, l);
        sg_nn_block_taps(pass, l);
        hand_over(pass, sink, context);
    }
    sg_nn_embeddings_backward(pass);
    sg_nn_embeddings_taps(pass);
    hand_over(pass, sink, context);
}

void sg_nn_encoder_taps(const struct pass *pass)
{
    head_taps(pass);
    for (int64_t l = pass->model->spec.encoder.layers - 1; l >= 0; l--)
        sg_nn_block_taps(pass, l);
    sg_nn_embeddings_taps(pass);
}
