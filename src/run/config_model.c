/* The model section of a configuration: what each kind of model may be told. */
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "config_parts.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define HERE(member) offsetof(struct model_draft, member)

/* What the tables fill; text is borrowed from the document. */
struct model_draft {
    struct sg_model_spec model;
    bool linear_path, static_tokens, base_is_public;
    int kind, mlp_activation, head_start, task;
    double head_scale;
    const char *base_folder;
    const struct sg_yaml_node *trainable, *lora, *lora_targets;
};

static const char *const kinds[] = {"logistic", "bilstm_attention", "encoder", "tabular_transformer", NULL};
static const char *const activations[] = {"tanh", "relu", NULL};
static const char *const poolings[] = {"cls", "mean", NULL};
static const char *const tasks[] = {"label", "masked_tokens", NULL};
static const char *const head_starts[] = {"zero", "class_names", NULL};

#define COMMON_FIELDS                                                                                                  \
    {"kind", SG_YAML_CHOICE, HERE(kind), true, 0, 0, kinds},                                                           \
        {"base", SG_YAML_TEXT, HERE(base_folder), false, 0, 0, NULL},                                                  \
        {"base_is_public", SG_YAML_BOOL, HERE(base_is_public), false, 0, 0, NULL},                                     \
        {"trainable", SG_YAML_NODE, HERE(trainable), false, 0, 0, NULL},                                               \
    {                                                                                                                  \
        "dropout", SG_YAML_NUMBER, HERE(model.dropout), false, 0, 0.95, NULL                                           \
    }

static const struct sg_yaml_field recurrent_fields[] = {
    COMMON_FIELDS,
    {"mlp_activation", SG_YAML_CHOICE, HERE(mlp_activation), false, 0, 0, activations},
    {"hidden", SG_YAML_INT, HERE(model.hidden), false, 1, 4096, NULL},
    {"layers", SG_YAML_INT, HERE(model.layers), false, 1, SG_MODEL_LAYERS_MAX, NULL},
    {"attention", SG_YAML_INT, HERE(model.attention), false, 1, 4096, NULL},
    {"mlp", SG_YAML_INT, HERE(model.mlp), false, 0, 4096, NULL},
    {"linear_path", SG_YAML_BOOL, HERE(linear_path), false, 0, 0, NULL},
};

static const struct sg_yaml_field encoder_fields[] = {
    COMMON_FIELDS,
    {"pooling", SG_YAML_CHOICE, HERE(model.encoder.pooling), false, 0, 0, poolings},
    {"unit_length", SG_YAML_BOOL, HERE(model.encoder.unit_length), false, 0, 0, NULL},
    {"head_start", SG_YAML_CHOICE, HERE(head_start), false, 0, 0, head_starts},
    {"head_scale", SG_YAML_NUMBER, HERE(head_scale), false, 1e-3, 1e3, NULL},
    {"lora", SG_YAML_NODE, HERE(lora), false, 0, 0, NULL},
    {"objective", SG_YAML_CHOICE, HERE(task), false, 0, 0, tasks},
};

static const struct sg_yaml_field tabular_fields[] = {
    COMMON_FIELDS,
    {"width", SG_YAML_INT, HERE(model.encoder.width), false, 1, 4096, NULL},
    {"heads", SG_YAML_INT, HERE(model.encoder.heads), false, 1, 256, NULL},
    {"layers", SG_YAML_INT, HERE(model.encoder.layers), false, 1, SG_ENCODER_LAYERS_MAX, NULL},
    {"intermediate", SG_YAML_INT, HERE(model.encoder.intermediate), false, 1, 16384, NULL},
    {"static_tokens", SG_YAML_BOOL, HERE(static_tokens), false, 0, 0, NULL},
    {"linear_path", SG_YAML_BOOL, HERE(linear_path), false, 0, 0, NULL},
};

static const struct sg_yaml_field lora_fields[] = {
    {"rank", SG_YAML_INT, HERE(model.encoder.lora_rank), true, 1, 256, NULL},
    {"alpha", SG_YAML_NUMBER, HERE(model.encoder.lora_alpha), false, 1e-3, 1e4, NULL},
    {"targets", SG_YAML_NODE, HERE(lora_targets), false, 0, 0, NULL},
};

static const struct kind_table {
    const struct sg_yaml_field *fields;
    size_t n_fields;
} kind_tables[] = {
    [SG_MODEL_LOGISTIC] = {recurrent_fields, COUNT(recurrent_fields)},
    [SG_MODEL_BILSTM_ATTENTION] = {recurrent_fields, COUNT(recurrent_fields)},
    [SG_MODEL_ENCODER] = {encoder_fields, COUNT(encoder_fields)},
    [SG_MODEL_TABULAR] = {tabular_fields, COUNT(tabular_fields)},
};

/* What a word for `trainable` stands for, by family: patterns over the weights' names. */
static const struct word {
    const char *word;
    bool of_encoder;
    const char *patterns[4];
} words[] = {
    {"head", false, {"mlp.*", "output.*", "linear.*"}},
    {"head", true, {"classifier.*"}},
    {"bias", true, {"*.bias", "classifier.*"}},
    {"lora", true, {"*.lora_?.weight", "classifier.*"}},
};

static enum sg_status read_trainable_word(const struct sg_yaml_node *node, struct sg_config *config)
{
    const char *text;
    bool is_encoder = sg_model_has_blocks(config->model.kind);
    SG_TRY(sg_yaml_text(node, "trainable", &text));
    if (strcmp(text, "all") == 0)
        return SG_OK;
    for (size_t w = 0; w < COUNT(words); w++) {
        if (words[w].of_encoder != is_encoder || strcmp(words[w].word, text) != 0)
            continue;
        for (size_t i = 0; i < COUNT(words[w].patterns) && words[w].patterns[i]; i++)
            config->trainable[config->n_trainable++] = sg_strdup(words[w].patterns[i]);
        return SG_OK;
    }
    return sg_yaml_fail(node, is_encoder
                                  ? "trainable is \"all\", \"head\", \"bias\", \"lora\" or a list of name patterns"
                                  : "trainable is \"all\", \"head\" or a list of name patterns");
}

static enum sg_status read_trainable(const struct sg_yaml_node *node, struct sg_config *config)
{
    const char *text;
    if (sg_yaml_kind_of(node) == SG_YAML_SCALAR)
        return read_trainable_word(node, config);
    if (sg_yaml_kind_of(node) != SG_YAML_LIST || sg_yaml_count(node) == 0 || sg_yaml_count(node) > SG_PATTERNS_MAX)
        return sg_yaml_fail(node, "trainable is \"all\", \"head\"%s or a list of 1 to %d name patterns",
                            sg_model_has_blocks(config->model.kind) ? ", \"bias\", \"lora\"" : "", SG_PATTERNS_MAX);
    for (size_t i = 0; i < sg_yaml_count(node); i++) {
        SG_TRY(sg_yaml_text(sg_yaml_item(node, i, NULL), "trainable", &text));
        config->trainable[config->n_trainable++] = sg_strdup(text);
    }
    return SG_OK;
}

static enum sg_status read_lora_targets(const struct sg_yaml_node *node, struct sg_encoder_spec *encoder)
{
    static const char *const names[] = {"query", "key", "value", "attention_output", "intermediate", "output"};
    if (sg_yaml_kind_of(node) != SG_YAML_LIST || sg_yaml_count(node) == 0)
        return sg_yaml_fail(node,
                            "lora: targets is a list of query, key, value, attention_output, intermediate, output");
    encoder->lora_targets = 0;
    for (size_t i = 0; i < sg_yaml_count(node); i++) {
        const struct sg_yaml_node *item = sg_yaml_item(node, i, NULL);
        const char *text;
        size_t t = 0;
        SG_TRY(sg_yaml_text(item, "targets", &text));
        while (t < COUNT(names) && strcmp(text, names[t]) != 0)
            t++;
        if (t == COUNT(names))
            return sg_yaml_fail(item, "lora: a target is query, key, value, attention_output, intermediate or output");
        encoder->lora_targets |= 1u << t;
    }
    return SG_OK;
}

static enum sg_status read_lora(struct model_draft *draft)
{
    if (!draft->lora)
        return SG_OK;
    struct sg_encoder_spec *encoder = &draft->model.encoder;
    encoder->lora_targets = SG_LORA_QUERY | SG_LORA_VALUE;
    SG_TRY(sg_yaml_table(draft->lora, "lora", lora_fields, COUNT(lora_fields), draft));
    if (encoder->lora_alpha == 0)
        encoder->lora_alpha = (double)encoder->lora_rank;
    return draft->lora_targets ? read_lora_targets(draft->lora_targets, encoder) : SG_OK;
}

static enum sg_status read_kind(const struct sg_yaml_node *node, int *kind)
{
    const struct sg_yaml_node *named = sg_yaml_kind_of(node) == SG_YAML_MAP ? sg_yaml_get(node, "kind") : NULL;
    const char *text;
    *kind = SG_MODEL_BILSTM_ATTENTION; /* whose table then says what is wrong */
    if (!named)
        return SG_OK;
    SG_TRY(sg_yaml_text(named, "kind", &text));
    for (int i = 0; kinds[i]; i++)
        if (strcmp(text, kinds[i]) == 0)
            *kind = i;
    return SG_OK;
}

static const struct model_draft defaults = {
    .model = {.hidden = 16,
              .layers = 1,
              .attention = 32,
              .mlp = 32,
              .n_outputs = 1,
              .encoder = {.width = 32,
                          .layers = 2,
                          .heads = 4,
                          .intermediate = 64,
                          .layer_norm_epsilon = 1e-12,
                          .pooling = SG_POOL_MEAN}},
    .linear_path = true,
    .static_tokens = true,
    .head_scale = 5,
    .mlp_activation = SG_RELU,
};

enum sg_status sg_config_read_model(const struct sg_yaml_node *node, const char *config_path, struct sg_config *config)
{
    struct model_draft draft = defaults;
    int kind;
    SG_TRY(read_kind(node, &kind));
    SG_TRY(sg_yaml_table(node, "model", kind_tables[kind].fields, kind_tables[kind].n_fields, &draft));
    SG_TRY(read_lora(&draft));
    config->model = draft.model;
    config->model.kind = (enum sg_model_kind)draft.kind;
    if (draft.task == 1)
        config->model.objective = SG_MASKED_TOKENS;
    config->model.mlp_activation = (enum sg_activation)draft.mlp_activation;
    config->linear_path = draft.kind == SG_MODEL_LOGISTIC || (draft.kind != SG_MODEL_ENCODER && draft.linear_path);
    config->static_tokens = draft.kind == SG_MODEL_TABULAR && draft.static_tokens;
    config->base_is_public = draft.base_is_public;
    config->base_folder = sg_config_path(config_path, draft.base_folder);
    config->head_scale = draft.head_start == 1 ? draft.head_scale : 0;
    if (draft.kind == SG_MODEL_ENCODER && !draft.base_folder)
        return sg_yaml_fail(
            node, "model: an encoder needs base: the folder with its config.json, model.safetensors and "
                  "vocab.txt or tokenizer.json; without model.safetensors in it, it starts from random weights");
    return draft.trainable ? read_trainable(draft.trainable, config) : SG_OK;
}
