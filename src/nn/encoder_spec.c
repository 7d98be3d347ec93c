/* What an encoder may look like: its ranges, and the keys of the BERT family's config.json. */
#include <string.h>

#include "internal.h"

static const char WHAT[] = "config.json of the encoder";

static enum sg_status check_head(const struct sg_model_spec *spec)
{
    const struct sg_encoder_spec *e = &spec->encoder;
    if (spec->objective < SG_BINARY || spec->objective > SG_MASKED_TOKENS)
        return sg_fail(SG_USAGE, "model: unknown objective %d", spec->objective);
    bool masked = spec->objective == SG_MASKED_TOKENS;
    if (masked && (spec->kind != SG_MODEL_ENCODER || spec->n_outputs != e->vocabulary))
        return sg_fail(SG_USAGE, "model: masked tokens are predicted by an encoder, with as many outputs as its "
                                 "vocabulary has words");
    const struct range ranges[] = {
        {"n_outputs", spec->n_outputs, 0, masked ? INT32_MAX : WIDTH_MAX},
        {"pooling", e->pooling, SG_POOL_CLS, SG_POOL_MEAN},
        {"gelu", e->gelu, SG_GELU_ERF, SG_GELU_TANH},
        {"lora_rank", e->lora_rank, 0, e->width},
        {"lora_targets", (int64_t)e->lora_targets, e->lora_rank ? 1 : 0, (1 << N_DENSE) - 1},
    };
    SG_TRY(sg_nn_check_ranges(ranges, sizeof ranges / sizeof *ranges));
    if (e->lora_rank && !(e->lora_alpha > 0 && e->lora_alpha < 1e6))
        return sg_fail(SG_USAGE, "model: lora_alpha is %g; it must be positive", e->lora_alpha);
    return sg_nn_check_dropout(spec->dropout);
}

static enum sg_status check_tokens(const struct sg_model_spec *spec)
{
    int64_t sum = 0;
    if (!spec->n_static_tokens)
        return SG_OK;
    if (spec->kind != SG_MODEL_TABULAR || spec->n_static_tokens < 0 || spec->n_static_tokens > SG_STATIC_TOKENS_MAX)
        return sg_fail(SG_USAGE, "model: %lld static tokens; a tabular transformer has up to %d",
                       (long long)spec->n_static_tokens, SG_STATIC_TOKENS_MAX);
    for (int64_t i = 0; i < spec->n_static_tokens; i++) {
        if (spec->static_token[i] < 1)
            return sg_fail(SG_USAGE, "model: static token %lld has %d floats; it must have at least one", (long long)i,
                           spec->static_token[i]);
        sum += spec->static_token[i];
    }
    if (sum != spec->n_static)
        return sg_fail(SG_USAGE, "model: the static tokens have %lld floats and n_static is %lld", (long long)sum,
                       (long long)spec->n_static);
    return SG_OK;
}

enum sg_status sg_nn_check_encoder(const struct sg_model_spec *spec)
{
    const struct sg_encoder_spec *e = &spec->encoder;
    bool tabular = spec->kind == SG_MODEL_TABULAR;
    SG_TRY(check_tokens(spec));
    const struct range ranges[] = {
        {"width", e->width, 1, WIDTH_MAX / 4},
        {"layers", e->layers, 1, SG_ENCODER_LAYERS_MAX},
        {"heads", e->heads, 1, e->width},
        {"intermediate", e->intermediate, 1, WIDTH_MAX},
        {"positions", e->positions, sg_model_unit_rows(spec, 1), 1 << 20},
        {"vocabulary", e->vocabulary, tabular ? 0 : 1, INT32_MAX},
        {"types", e->types, tabular ? 0 : 1, WIDTH_MAX},
        {"n_features", spec->n_features, tabular ? 1 : 0, tabular ? WIDTH_MAX : 0},
        {"n_static", spec->n_static, 0, tabular ? WIDTH_MAX : 0},
        {"linear_steps", spec->linear_steps, 0, tabular ? STEPS_MAX : 0},
    };
    SG_TRY(sg_nn_check_ranges(ranges, sizeof ranges / sizeof *ranges));
    if (e->width % e->heads)
        return sg_fail(SG_USAGE, "model: width %lld is not a multiple of heads %lld", (long long)e->width,
                       (long long)e->heads);
    if (!(e->layer_norm_epsilon > 0 && e->layer_norm_epsilon < 1))
        return sg_fail(SG_USAGE, "model: layer_norm_epsilon is %g; it must lie between 0 and 1", e->layer_norm_epsilon);
    return check_head(spec);
}

/* A key that names an architecture: absent, null or the one value that we build. */
static enum sg_status only(const json_t *config, const char *key, const char *value)
{
    const json_t *member = json_object_get(config, key);
    if (!member || json_is_null(member) || (json_is_string(member) && strcmp(json_string_value(member), value) == 0))
        return SG_OK;
    return sg_fail(SG_USAGE, "%s: \"%s\" must be \"%s\"; other architectures are not supported", WHAT, key, value);
}

static enum sg_status only_false(const json_t *config, const char *key)
{
    const json_t *member = json_object_get(config, key);
    if (!member || json_is_null(member) || json_is_false(member))
        return SG_OK;
    return sg_fail(SG_USAGE, "%s: \"%s\" must be false: only encoders are supported", WHAT, key);
}

static enum sg_status read_gelu(const json_t *config, int *out)
{
    static const struct {
        const char *name;
        enum sg_gelu gelu;
    } known[] = {{"gelu", SG_GELU_ERF},
                 {"gelu_python", SG_GELU_ERF},
                 {"gelu_new", SG_GELU_TANH},
                 {"gelu_fast", SG_GELU_TANH},
                 {"gelu_pytorch_tanh", SG_GELU_TANH}};
    const char *name;
    SG_TRY(sg_json_string(config, "hidden_act", WHAT, SG_USAGE, &name));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].gelu;
            return SG_OK;
        }
    return sg_fail(SG_USAGE, "%s: \"hidden_act\" must be \"gelu\" or \"gelu_new\"", WHAT);
}

enum sg_status sg_encoder_spec_from_bert(const json_t *config, struct sg_encoder_spec *out)
{
    if (!json_is_object(config))
        return sg_fail(SG_USAGE, "%s: an object was expected", WHAT);
    SG_TRY(only(config, "model_type", "bert"));
    SG_TRY(only(config, "position_embedding_type", "absolute"));
    SG_TRY(only_false(config, "is_decoder"));
    SG_TRY(only_false(config, "add_cross_attention"));
    const struct {
        const char *key;
        int64_t *value;
    } integers[] = {
        {"vocab_size", &out->vocabulary},          {"hidden_size", &out->width},
        {"num_hidden_layers", &out->layers},       {"num_attention_heads", &out->heads},
        {"intermediate_size", &out->intermediate}, {"max_position_embeddings", &out->positions},
        {"type_vocab_size", &out->types},
    };
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        SG_TRY(sg_json_int(config, integers[i].key, WHAT, SG_USAGE, integers[i].value));
    out->layer_norm_epsilon = 1e-12;
    if (json_object_get(config, "layer_norm_eps"))
        SG_TRY(sg_json_double(config, "layer_norm_eps", WHAT, SG_USAGE, &out->layer_norm_epsilon));
    return read_gelu(config, &out->gelu);
}

json_t *sg_encoder_spec_to_bert(const struct sg_encoder_spec *spec)
{
    json_t *config = json_object();
    json_object_set_new(config, "model_type", json_string("bert"));
    json_object_set_new(config, "vocab_size", json_integer(spec->vocabulary));
    json_object_set_new(config, "hidden_size", json_integer(spec->width));
    json_object_set_new(config, "num_hidden_layers", json_integer(spec->layers));
    json_object_set_new(config, "num_attention_heads", json_integer(spec->heads));
    json_object_set_new(config, "intermediate_size", json_integer(spec->intermediate));
    json_object_set_new(config, "hidden_act", json_string(spec->gelu == SG_GELU_TANH ? "gelu_new" : "gelu"));
    json_object_set_new(config, "max_position_embeddings", json_integer(spec->positions));
    json_object_set_new(config, "type_vocab_size", json_integer(spec->types));
    json_object_set_new(config, "layer_norm_eps", sg_json_real(spec->layer_norm_epsilon));
    json_object_set_new(config, "position_embedding_type", json_string("absolute"));
    return config;
}
