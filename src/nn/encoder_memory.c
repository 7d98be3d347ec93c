/* The encoder's part of a workspace. What a tap or backward reads belongs to its block; everything else is one set of
 * arrays that all blocks use in turn. Frozen parts so cost no memory of their own. Arrays are sized for the worst batch
 * and written only as far as there are rows. */
#include <string.h>

#include "internal.h"

struct holder {
    struct sg_zones *zones;
    const struct sg_model *model;
    int64_t rows;
    bool with_backward;
    bool recompute; /* only the blocks' inputs are kept */
};

static float *own(const struct holder *h, int64_t width)
{
    return sg_nn_carve_floats(h->zones, h->rows, width);
}

static float *hold(const struct holder *h, bool is_own, int64_t width, float **shared)
{
    if (is_own && !h->recompute)
        return own(h, width);
    if (!*shared)
        *shared = own(h, width);
    return *shared;
}

/* Whether the layer's input is part of a tap; whether its output's gradient is. */
static bool taps_input(const struct holder *h, const struct dense *dense)
{
    return h->with_backward && (is_trainable(h->model, dense->weight) || is_trainable(h->model, dense->lora_a));
}

static bool taps_gradient(const struct holder *h, const struct dense *dense)
{
    return is_trainable(h->model, dense->weight) || is_trainable(h->model, dense->bias) ||
           is_trainable(h->model, dense->lora_b);
}

static bool norm_learns(const struct holder *h, const struct norm *norm)
{
    return is_trainable(h->model, norm->gain) || is_trainable(h->model, norm->bias);
}

static void hold_activations(const struct holder *h, int64_t block, struct block_memory *b, struct block_memory *shared)
{
    const struct sg_encoder_spec *e = &h->model->spec.encoder;
    const struct dense *dense = h->model->encoder->blocks[block].dense;
    int64_t d = e->width;
    int lowest = h->with_backward ? h->model->lowest - stage_of_block(block) : INT_MAX;
    bool attends = lowest <= STAGE_QKV, norms = lowest <= STAGE_ATTENTION_NORM, ends = lowest <= STAGE_OUTPUT_NORM;
    bool taps_x = taps_input(h, &dense[QUERY]) || taps_input(h, &dense[KEY]) || taps_input(h, &dense[VALUE]);
    b->x = h->recompute && ends ? own(h, d) : hold(h, taps_x, d, &shared->x);
    b->qkv = hold(h, attends, 3 * d, &shared->qkv);
    b->lse = hold(h, attends, e->heads, &shared->lse);
    b->context = hold(h, attends || taps_input(h, &dense[ATTENTION_OUTPUT]), d, &shared->context);
    b->xhat1 = hold(h, norms, d, &shared->xhat1);
    b->rstd1 = hold(h, norms, 1, &shared->rstd1);
    b->y1 = hold(h, taps_input(h, &dense[INTERMEDIATE]), d, &shared->y1);
    b->z = hold(h, lowest < STAGE_OUTPUT, e->intermediate, &shared->z);
    b->act = lowest >= STAGE_OUTPUT && !taps_input(h, &dense[OUTPUT])
                 ? b->z /* GELU in place: nobody asks for its input */
                 : hold(h, taps_input(h, &dense[OUTPUT]), e->intermediate, &shared->act);
    b->xhat2 = hold(h, ends, d, &shared->xhat2);
    b->rstd2 = hold(h, ends, 1, &shared->rstd2);
}

/* Recomputed blocks pass their gradients down through two arrays in turn: the upper one is a tap until it is handed
 * out. */
static void hold_gradients(const struct holder *h, int64_t block, struct block_memory *b, struct block_memory *shared,
                           float **turn)
{
    const struct block_tables *t = &h->model->encoder->blocks[block];
    const struct dense *dense = t->dense;
    int64_t d = h->model->spec.encoder.width;
    int lowest = h->model->lowest - stage_of_block(block);
    if (lowest <= STAGE_OUTPUT_NORM)
        b->dy = hold(h, norm_learns(h, &t->output_norm), d, h->recompute && block % 2 ? turn : &shared->dy);
    if (lowest <= STAGE_OUTPUT)
        b->doutput = hold(h, taps_gradient(h, &dense[OUTPUT]), d, &shared->doutput);
    if (lowest <= STAGE_INTERMEDIATE)
        b->dz = hold(h, taps_gradient(h, &dense[INTERMEDIATE]), h->model->spec.encoder.intermediate, &shared->dz);
    if (lowest <= STAGE_ATTENTION_NORM)
        b->dy1 = hold(h, norm_learns(h, &t->attention_norm), d, &shared->dy1);
    if (lowest <= STAGE_ATTENTION)
        b->dattention = hold(h, taps_gradient(h, &dense[ATTENTION_OUTPUT]), d, &shared->dattention);
    if (lowest > STAGE_QKV)
        return;
    b->dcontext = hold(h, false, d, &shared->dcontext);
    bool qkv = taps_gradient(h, &dense[QUERY]) || taps_gradient(h, &dense[KEY]) || taps_gradient(h, &dense[VALUE]);
    b->dqkv = hold(h, qkv, 3 * d, &shared->dqkv);
}

static void hold_lora(const struct holder *h, int64_t block, struct block_memory *b, struct block_memory *shared)
{
    int64_t rank = h->model->spec.encoder.lora_rank;
    for (int i = 0; i < N_DENSE; i++) {
        const struct dense *dense = &h->model->encoder->blocks[block].dense[i];
        if (dense->lora_a < 0)
            continue;
        b->lora[i].u = hold(h, h->with_backward && is_trainable(h->model, dense->lora_b), rank, &shared->lora[i].u);
        if (h->with_backward)
            b->lora[i].du = hold(h, is_trainable(h->model, dense->lora_a), rank, &shared->lora[i].du);
    }
}

/* Arrays of the first block serve while the embeddings are summed: they are written again afterwards. */
static void carve_embeddings(const struct holder *h, struct sg_workspace *w)
{
    const struct sg_model_spec *spec = &h->model->spec;
    struct encoder_memory *m = &w->encoder;
    int64_t d = spec->encoder.width;
    bool norm = h->with_backward && h->model->lowest <= STAGE_EMBEDDINGS_NORM;
    bool sum = h->with_backward && h->model->lowest <= STAGE_EMBEDDINGS;
    m->place = sg_nn_carve_ints(h->zones, h->rows);
    m->type = sg_nn_carve_ints(h->zones, h->rows);
    m->first = sg_nn_carve_ints(h->zones, w->units_max);
    m->summand = m->blocks[0].context;
    m->xhat = norm ? own(h, d) : m->blocks[0].xhat1;
    m->rstd = norm ? own(h, 1) : m->blocks[0].rstd1;
    m->dx = norm ? own(h, d) : NULL;
    m->dembeddings = sum ? own(h, d) : NULL;
    if (spec->kind != SG_MODEL_TABULAR)
        return;
    m->own_offset = sg_nn_carve_ints(h->zones, w->units_max + 1);
    m->first_row = sg_nn_carve_ints(h->zones, w->units_max);
    m->step_row = sg_nn_carve_ints(h->zones, w->rows_max);
    int64_t front = w->units_max * rows_in_front(spec);
    m->static_offset = sg_nn_carve_ints(h->zones, w->units_max + 1);
    m->static_row = sg_nn_carve_ints(h->zones, front);
    m->features = sg_nn_carve_floats(h->zones, w->rows_max, spec->n_features);
    m->statics = sg_nn_carve_floats(h->zones, front, spec->n_static);
    if (!sum)
        return;
    m->dfeatures = sg_nn_carve_floats(h->zones, w->rows_max, d);
    m->dstatics = sg_nn_carve_floats(h->zones, front, d);
}

static void carve_head(const struct holder *h, struct sg_workspace *w)
{
    struct encoder_memory *m = &w->encoder;
    int64_t d = h->model->spec.encoder.width, units = w->units_max;
    m->pooled = sg_nn_carve_floats(h->zones, units, d);
    m->length = sg_nn_carve_floats(h->zones, units, 1);
    m->head = sg_nn_carve_floats(h->zones, units, d);
    m->cls = sg_nn_carve_floats(h->zones, units, d);
    m->pooler = sg_nn_carve_floats(h->zones, units, d);
    if (!h->with_backward)
        return;
    m->dlogit = sg_nn_carve_floats(h->zones, units, h->model->spec.n_outputs);
    m->dhead = sg_nn_carve_floats(h->zones, units, d);
    m->dcls = sg_nn_carve_floats(h->zones, units, d);
}

static void carve_masked(const struct holder *h, struct sg_workspace *w)
{
    struct encoder_memory *m = &w->encoder;
    int64_t d = h->model->spec.encoder.width;
    m->masked = own(h, d);
    m->masked_z = own(h, d);
    m->masked_xhat = own(h, d);
    m->masked_rstd = own(h, 1);
    m->masked_y = own(h, d);
    if (!h->with_backward)
        return;
    m->dmasked_y = own(h, d);
    m->dmasked_z = own(h, d);
    m->dmasked = own(h, d);
}

void sg_nn_carve_encoder(struct sg_zones *zones, const struct sg_model *model, struct sg_workspace *w)
{
    const struct sg_encoder_spec *e = &model->spec.encoder;
    struct encoder_memory *m = &w->encoder;
    struct holder h = {zones, model, sg_model_tap_rows_max(model, w->units_max, w->rows_max), w->with_backward,
                       w->recompute};
    float *turn = NULL;
    for (int64_t l = 0; l < e->layers; l++) {
        hold_activations(&h, l, &m->blocks[l], &m->shared);
        hold_lora(&h, l, &m->blocks[l], &m->shared);
        if (h.with_backward)
            hold_gradients(&h, l, &m->blocks[l], &m->shared, &turn);
    }
    m->top = hold(&h, false, e->width, &m->shared.x); /* a block's input is not read once its output is written */
    carve_embeddings(&h, w);
    if (model->spec.objective == SG_MASKED_TOKENS)
        carve_masked(&h, w);
    else
        carve_head(&h, w);
    if (w->with_backward && model->spec.dropout > 0)
        m->mask = sg_nn_carve_mask(zones, h.rows, e->width);
    if (e->lora_rank)
        m->lora_scale = sg_nn_carve_floats(zones, 1, e->lora_rank);
    int64_t unit_rows = h.rows < e->positions ? h.rows : e->positions;
    m->attention_scratch = sg_zone_tensor(zones, model->ops->attention_scratch_bytes(unit_rows, e->width / e->heads));
}

void sg_nn_prepare_encoder(const struct sg_model *model, struct sg_workspace *w)
{
    const struct sg_encoder_spec *e = &model->spec.encoder;
    const float scale = (float)(e->lora_alpha / (double)e->lora_rank);
    for (int64_t i = 0; i < e->lora_rank; i++)
        sg_ops_upload(model->ops, w->encoder.lora_scale + i, &scale, sizeof scale);
}
