/* The encoder's parameters, in the order and by the names of the published files, and the strips of its GEMMs. */
#include <assert.h>
#include <stdio.h>

#include "base/bytes.h"
#include "internal.h"

static int add(struct sg_model *model, enum sg_parameter_kind kind, int64_t n_out, int64_t n_in, enum start start,
               int stage, const char *layer, const char *suffix)
{
    bool is_vector = kind == SG_PARAMETER_BIAS || kind == SG_PARAMETER_GAIN;
    struct sg_parameter p = {.kind = kind, .n_out = n_out, .n_in = n_in, .n_dimensions = is_vector ? 1 : 2};
    int n = snprintf(p.name, sizeof p.name, "%s.%s", layer, suffix);
    assert(n < (int)sizeof p.name);
    (void)n;
    return sg_nn_add_parameter(model, &p, &(struct place){start, stage});
}

static int add_embedding(struct sg_model *model, int64_t n_ids, const char *name)
{
    return add(model, SG_PARAMETER_EMBEDDING, n_ids, model->spec.encoder.width, START_UNIFORM, STAGE_EMBEDDINGS, name,
               "weight");
}

static struct norm add_norm(struct sg_model *model, int stage, const char *name)
{
    int64_t width = model->spec.encoder.width;
    struct norm norm;
    norm.gain = add(model, SG_PARAMETER_GAIN, width, 1, START_ONE, stage, name, "weight");
    norm.bias = add(model, SG_PARAMETER_BIAS, width, 1, START_ZERO, stage, name, "bias");
    return norm;
}

/* The factors of Hu et al. 2022: A starts at random, B at zero. B's backward strip also serves A's own gradient. */
static void add_lora(struct sg_model *model, struct dense *dense, int64_t n_out, int64_t n_in, const char *name)
{
    int64_t rank = model->spec.encoder.lora_rank;
    int stage = dense->stage;
    dense->lora_a = add(model, SG_PARAMETER_WEIGHT, rank, n_in, START_UNIFORM, stage, name, "lora_A.weight");
    dense->lora_b = add(model, SG_PARAMETER_WEIGHT, n_out, rank, START_ZERO, stage, name, "lora_B.weight");
    dense->a_forward = sg_nn_add_strip(model, dense->lora_a, false, 0, n_in, 0);
    dense->b_forward = sg_nn_add_strip(model, dense->lora_b, false, 0, rank, 0);
    dense->a_backward = sg_nn_add_strip(model, dense->lora_a, true, 0, n_in, stage);
    dense->b_backward = sg_nn_add_strip(model, dense->lora_b, true, 0, rank, stage + 1);
}

static struct dense add_dense(struct sg_model *model, int stage, int64_t n_out, int64_t n_in, enum start start,
                              bool lora, const char *name)
{
    struct dense dense = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, stage};
    if (n_in) {
        dense.weight = add(model, SG_PARAMETER_WEIGHT, n_out, n_in, start, stage, name, "weight");
        dense.forward = sg_nn_add_strip(model, dense.weight, false, 0, n_in, 0);
        if (stage > STAGE_EMBEDDINGS)
            dense.backward = sg_nn_add_strip(model, dense.weight, true, 0, n_in, stage);
    }
    dense.bias = add(model, SG_PARAMETER_BIAS, n_out, 1, START_ZERO, stage, name, "bias");
    if (lora)
        add_lora(model, &dense, n_out, n_in, name);
    return dense;
}

static void add_block_dense(struct sg_model *model, int64_t block, int which, int stage, int64_t n_out, int64_t n_in,
                            const char *suffix)
{
    const struct sg_encoder_spec *e = &model->spec.encoder;
    char name[64];
    snprintf(name, sizeof name, "encoder.layer.%d.%s", (int)block, suffix);
    model->encoder->blocks[block].dense[which] =
        add_dense(model, stage_of_block(block) + stage, n_out, n_in, START_UNIFORM,
                  e->lora_rank && (e->lora_targets >> which & 1), name);
}

static struct norm add_block_norm(struct sg_model *model, int64_t block, int stage, const char *suffix)
{
    char name[64];
    snprintf(name, sizeof name, "encoder.layer.%d.%s", (int)block, suffix);
    return add_norm(model, stage_of_block(block) + stage, name);
}

static void add_block(struct sg_model *model, int64_t block)
{
    int64_t d = model->spec.encoder.width, m = model->spec.encoder.intermediate;
    struct block_tables *tables = &model->encoder->blocks[block];
    add_block_dense(model, block, QUERY, STAGE_QKV, d, d, "attention.self.query");
    add_block_dense(model, block, KEY, STAGE_QKV, d, d, "attention.self.key");
    add_block_dense(model, block, VALUE, STAGE_QKV, d, d, "attention.self.value");
    add_block_dense(model, block, ATTENTION_OUTPUT, STAGE_ATTENTION, d, d, "attention.output.dense");
    tables->attention_norm = add_block_norm(model, block, STAGE_ATTENTION_NORM, "attention.output.LayerNorm");
    add_block_dense(model, block, INTERMEDIATE, STAGE_INTERMEDIATE, m, d, "intermediate.dense");
    add_block_dense(model, block, OUTPUT, STAGE_OUTPUT, d, m, "output.dense");
    tables->output_norm = add_block_norm(model, block, STAGE_OUTPUT_NORM, "output.LayerNorm");
}

/* BERT's head for masked words: dense, GELU, layer norm, then the word embeddings once more with a bias of their own.
 */
static void add_masked(struct sg_model *model, int stage)
{
    const struct sg_encoder_spec *e = &model->spec.encoder;
    struct encoder_tables *t = model->encoder;
    t->transform = add_dense(model, stage, e->width, e->width, START_UNIFORM, false, "cls.predictions.transform.dense");
    t->transform_norm = add_norm(model, stage + 1, "cls.predictions.transform.LayerNorm");
    t->decoder = (struct dense){-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, stage + 2};
    t->decoder.weight = t->word;
    t->decoder.bias = add(model, SG_PARAMETER_BIAS, e->vocabulary, 1, START_ZERO, stage + 2, "cls.predictions", "bias");
    t->decoder.forward = sg_nn_add_strip(model, t->word, false, 0, e->width, 0);
    t->decoder.backward = sg_nn_add_strip(model, t->word, true, 0, e->width, stage + 2);
    model->widest = e->vocabulary > model->widest ? e->vocabulary : model->widest;
}

void sg_nn_build_encoder(struct sg_model *model)
{
    const struct sg_model_spec *spec = &model->spec;
    const struct sg_encoder_spec *e = &spec->encoder;
    struct encoder_tables *t = model->encoder = sg_alloc(1, sizeof *t);
    t->blocks = sg_alloc((size_t)e->layers, sizeof *t->blocks);
    t->pooler.weight = t->classifier.weight = t->word = t->type = -1;
    if (spec->kind == SG_MODEL_ENCODER) {
        t->word = add_embedding(model, e->vocabulary, "embeddings.word_embeddings");
        t->position = add_embedding(model, e->positions, "embeddings.position_embeddings");
        t->type = add_embedding(model, e->types, "embeddings.token_type_embeddings");
    } else {
        t->features =
            add_dense(model, STAGE_EMBEDDINGS, e->width, spec->n_features, START_UNIFORM, false, "embeddings.features");
        t->statics =
            add_dense(model, STAGE_EMBEDDINGS, e->width, spec->n_static, START_UNIFORM, false, "embeddings.statics");
        t->position = add_embedding(model, e->positions, "embeddings.position_embeddings");
    }
    t->norm = add_norm(model, STAGE_EMBEDDINGS_NORM, "embeddings.LayerNorm");
    for (int64_t l = 0; l < e->layers; l++)
        add_block(model, l);
    int stage = stage_of_block(e->layers);
    if (spec->objective == SG_MASKED_TOKENS) {
        add_masked(model, stage);
        return;
    }
    if (spec->kind == SG_MODEL_ENCODER && e->pooling == SG_POOL_CLS)
        t->pooler = add_dense(model, stage, e->width, e->width, START_UNIFORM, false, "pooler.dense");
    t->classifier = add_dense(model, stage + 1, spec->n_outputs, e->width,
                              spec->kind == SG_MODEL_ENCODER ? START_ZERO : START_UNIFORM, false, "classifier");
}

int64_t sg_model_frozen_layers(const struct sg_model *model)
{
    if (!has_blocks(model))
        return 0;
    int64_t layers = model->spec.encoder.layers;
    if (model->spec.objective != SG_MASKED_TOKENS && model->lowest > stage_of_block(layers))
        return layers + 1;
    int64_t frozen = 0;
    while (frozen < layers && model->lowest >= stage_of_block(frozen + 1))
        frozen++;
    return frozen;
}
