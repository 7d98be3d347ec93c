/* The specification as JSON: the keys of struct sg_model_spec, those that the kind has. Anything else is refused. */
#include <string.h>

#include "nn/model.h"

static const char WHAT[] = "model specification";
static const char *const KINDS[] = {"logistic", "bilstm_attention", "encoder", "tabular_transformer"};
static const char *const ACTIVATIONS[] = {"tanh", "relu"};
static const char *const POOLINGS[] = {"cls", "mean"};
static const char *const OBJECTIVES[] = {"binary", "classes", "regression", "masked_tokens"};
static const char *const GELUS[] = {"gelu", "gelu_new"};
static const char *const TARGETS[] = {"query", "key", "value", "attention_output", "intermediate", "output"};
enum { N_TARGETS = sizeof TARGETS / sizeof *TARGETS, N_OBJECTIVES = sizeof OBJECTIVES / sizeof *OBJECTIVES };

/* The keys of each kind; "lora", "static_tokens" and "value_range" may be left out, and "objective" of the first two
 * where it is "binary". */
static const char *const LOGISTIC_KEYS[] = {"kind",      "n_features",  "n_static", "linear_steps",
                                            "objective", "value_range", NULL};
static const char *const BILSTM_KEYS[] = {"kind",      "n_features",  "n_static", "linear_steps",   "hidden",
                                          "layers",    "attention",   "mlp",      "mlp_activation", "dropout",
                                          "objective", "value_range", NULL};
#define BLOCK_KEYS                                                                                                     \
    "kind", "objective", "n_outputs", "dropout", "vocabulary", "width", "layers", "heads", "intermediate",             \
        "positions", "types", "gelu", "layer_norm_epsilon", "pooling", "unit_length", "lora", "value_range"
static const char *const ENCODER_KEYS[] = {BLOCK_KEYS, NULL};
static const char *const TABULAR_KEYS[] = {BLOCK_KEYS, "n_features", "n_static", "static_tokens", "linear_steps", NULL};
static const char *const LORA_KEYS[] = {"rank", "alpha", "targets", NULL};
static const char *const *const KEYS[] = {LOGISTIC_KEYS, BILSTM_KEYS, ENCODER_KEYS, TABULAR_KEYS};

/* Integers of the block families, by key. */
struct integer {
    const char *key;
    int64_t *value;
};
enum { N_INTEGERS = 8 };

static void block_integers(struct sg_model_spec *spec, struct integer out[N_INTEGERS])
{
    struct sg_encoder_spec *e = &spec->encoder;
    const struct integer all[N_INTEGERS] = {
        {"n_outputs", &spec->n_outputs}, {"vocabulary", &e->vocabulary}, {"width", &e->width},
        {"layers", &e->layers},          {"heads", &e->heads},           {"intermediate", &e->intermediate},
        {"positions", &e->positions},    {"types", &e->types},
    };
    memcpy(out, all, sizeof all);
}

static json_t *lora_to_json(const struct sg_encoder_spec *e)
{
    json_t *lora = json_object(), *targets = json_array();
    json_object_set_new(lora, "rank", json_integer(e->lora_rank));
    json_object_set_new(lora, "alpha", sg_json_real(e->lora_alpha));
    for (int i = 0; i < N_TARGETS; i++)
        if (e->lora_targets >> i & 1)
            json_array_append_new(targets, json_string(TARGETS[i]));
    json_object_set_new(lora, "targets", targets);
    return lora;
}

static json_t *tokens_to_json(const struct sg_model_spec *spec)
{
    json_t *tokens = json_array();
    for (int64_t i = 0; i < spec->n_static_tokens; i++)
        json_array_append_new(tokens, json_integer(spec->static_token[i]));
    return tokens;
}

static void blocks_to_json(const struct sg_model_spec *spec, json_t *object)
{
    struct sg_model_spec copy = *spec;
    const struct sg_encoder_spec *e = &spec->encoder;
    struct integer integers[N_INTEGERS];
    block_integers(&copy, integers);
    json_object_set_new(object, "objective", json_string(OBJECTIVES[spec->objective]));
    json_object_set_new(object, "dropout", sg_json_real(spec->dropout));
    for (int i = 0; i < N_INTEGERS; i++)
        json_object_set_new(object, integers[i].key, json_integer(*integers[i].value));
    json_object_set_new(object, "gelu", json_string(GELUS[e->gelu]));
    json_object_set_new(object, "layer_norm_epsilon", sg_json_real(e->layer_norm_epsilon));
    json_object_set_new(object, "pooling", json_string(POOLINGS[e->pooling]));
    json_object_set_new(object, "unit_length", json_boolean(e->unit_length));
    if (e->lora_rank)
        json_object_set_new(object, "lora", lora_to_json(e));
}

json_t *sg_model_spec_to_json(const struct sg_model_spec *spec)
{
    json_t *object = json_object();
    json_object_set_new(object, "kind", json_string(KINDS[spec->kind]));
    if (sg_model_has_blocks(spec->kind))
        blocks_to_json(spec, object);
    else if (spec->objective != SG_BINARY)
        json_object_set_new(object, "objective", json_string(OBJECTIVES[spec->objective]));
    if (spec->value_low < spec->value_high)
        json_object_set_new(object, "value_range",
                            json_pack("[o, o]", sg_json_real(spec->value_low), sg_json_real(spec->value_high)));
    if (spec->kind == SG_MODEL_ENCODER)
        return object;
    json_object_set_new(object, "n_features", json_integer(spec->n_features));
    json_object_set_new(object, "n_static", json_integer(spec->n_static));
    json_object_set_new(object, "linear_steps", json_integer(spec->linear_steps));
    if (spec->n_static_tokens)
        json_object_set_new(object, "static_tokens", tokens_to_json(spec));
    if (spec->kind != SG_MODEL_BILSTM_ATTENTION)
        return object;
    json_object_set_new(object, "hidden", json_integer(spec->hidden));
    json_object_set_new(object, "layers", json_integer(spec->layers));
    json_object_set_new(object, "attention", json_integer(spec->attention));
    json_object_set_new(object, "mlp", json_integer(spec->mlp));
    json_object_set_new(object, "mlp_activation", json_string(ACTIVATIONS[spec->mlp_activation]));
    json_object_set_new(object, "dropout", sg_json_real(spec->dropout));
    return object;
}

static enum sg_status read_choice(const json_t *object, const char *key, const char *const *choices, size_t n, int *out)
{
    const char *text;
    SG_TRY(sg_json_string(object, key, WHAT, SG_USAGE, &text));
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, choices[i]) == 0) {
            *out = (int)i;
            return SG_OK;
        }
    struct sg_buffer known = {0};
    for (size_t i = 0; i < n; i++)
        sg_buffer_printf(&known, "%s\"%s\"", i == 0 ? "" : i + 1 < n ? ", " : " or ", choices[i]);
    enum sg_status status = sg_fail(SG_USAGE, "%s: \"%s\" must be %s", WHAT, key, known.data);
    sg_buffer_free(&known);
    return status;
}

static enum sg_status check_keys(const json_t *object, const char *const *known)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        while (known[i] && strcmp(key, known[i]) != 0)
            i++;
        if (!known[i])
            return sg_fail(SG_USAGE, "%s: unknown key \"%.64s\"", WHAT, key);
    }
    return SG_OK;
}

static enum sg_status read_target(const json_t *target, unsigned *targets)
{
    for (int i = 0; i < N_TARGETS; i++)
        if (json_is_string(target) && strcmp(json_string_value(target), TARGETS[i]) == 0) {
            *targets |= 1u << i;
            return SG_OK;
        }
    return sg_fail(SG_USAGE,
                   "%s: \"targets\" of \"lora\" are of query, key, value, attention_output, intermediate and output",
                   WHAT);
}

static enum sg_status read_lora(const json_t *object, struct sg_encoder_spec *out)
{
    const json_t *lora = json_object_get(object, "lora");
    if (!lora)
        return SG_OK;
    const json_t *targets = json_object_get(lora, "targets");
    if (!json_is_object(lora) || !json_is_array(targets))
        return sg_fail(SG_USAGE, "%s: \"lora\" is an object with rank, alpha and a list of targets", WHAT);
    SG_TRY(check_keys(lora, LORA_KEYS));
    SG_TRY(sg_json_int(lora, "rank", WHAT, SG_USAGE, &out->lora_rank));
    SG_TRY(sg_json_double(lora, "alpha", WHAT, SG_USAGE, &out->lora_alpha));
    for (size_t i = 0; i < json_array_size(targets); i++)
        SG_TRY(read_target(json_array_get(targets, i), &out->lora_targets));
    return SG_OK;
}

static enum sg_status read_range(const json_t *object, struct sg_model_spec *out)
{
    const json_t *range = json_object_get(object, "value_range");
    if (!range)
        return SG_OK;
    const json_t *low = json_array_get(range, 0), *high = json_array_get(range, 1);
    if (json_array_size(range) != 2 || !json_is_number(low) || !json_is_number(high) ||
        !(json_number_value(low) < json_number_value(high)) || out->objective != SG_REGRESSION)
        return sg_fail(SG_USAGE, "%s: \"value_range\" is the lower and the upper bound of a regression's value", WHAT);
    out->value_low = json_number_value(low);
    out->value_high = json_number_value(high);
    return SG_OK;
}

static enum sg_status read_tokens(const json_t *object, struct sg_model_spec *out)
{
    const json_t *tokens = json_object_get(object, "static_tokens");
    size_t n = json_array_size(tokens);
    if (!tokens)
        return SG_OK;
    if (!json_is_array(tokens) || n < 1 || n > SG_STATIC_TOKENS_MAX)
        return sg_fail(SG_USAGE, "%s: \"static_tokens\" is a list of 1 to %d numbers", WHAT, SG_STATIC_TOKENS_MAX);
    for (size_t i = 0; i < n; i++) {
        json_int_t width = json_integer_value(json_array_get(tokens, i)); /* 0 of what is no integer */
        if (width < 1 || width > INT32_MAX)
            return sg_fail(SG_USAGE, "%s: \"static_tokens\" holds numbers of floats, from 1", WHAT);
        out->static_token[i] = (int32_t)width;
    }
    out->n_static_tokens = (int64_t)n;
    return SG_OK;
}

static enum sg_status read_blocks(const json_t *object, struct sg_model_spec *out)
{
    struct integer integers[N_INTEGERS];
    block_integers(out, integers);
    for (int i = 0; i < N_INTEGERS; i++)
        SG_TRY(sg_json_int(object, integers[i].key, WHAT, SG_USAGE, integers[i].value));
    SG_TRY(read_choice(object, "objective", OBJECTIVES, N_OBJECTIVES, &out->objective));
    SG_TRY(read_choice(object, "gelu", GELUS, 2, &out->encoder.gelu));
    SG_TRY(read_choice(object, "pooling", POOLINGS, 2, &out->encoder.pooling));
    SG_TRY(sg_json_double(object, "layer_norm_epsilon", WHAT, SG_USAGE, &out->encoder.layer_norm_epsilon));
    SG_TRY(sg_json_double(object, "dropout", WHAT, SG_USAGE, &out->dropout));
    const json_t *unit_length = json_object_get(object, "unit_length");
    if (!json_is_boolean(unit_length))
        return sg_fail(SG_USAGE, "%s: \"unit_length\" must be true or false", WHAT);
    out->encoder.unit_length = json_is_true(unit_length);
    return read_lora(object, &out->encoder);
}

enum sg_status sg_model_spec_from_json(const json_t *object, struct sg_model_spec *out)
{
    *out = (struct sg_model_spec){0};
    if (!json_is_object(object))
        return sg_fail(SG_USAGE, "%s: an object was expected", WHAT);
    int kind = 0, activation = 0;
    SG_TRY(read_choice(object, "kind", KINDS, sizeof KINDS / sizeof *KINDS, &kind));
    out->kind = (enum sg_model_kind)kind;
    SG_TRY(check_keys(object, KEYS[kind]));
    out->n_outputs = 1;
    if (sg_model_has_blocks((enum sg_model_kind)kind))
        SG_TRY(read_blocks(object, out));
    else if (json_object_get(object, "objective"))
        SG_TRY(read_choice(object, "objective", OBJECTIVES, N_OBJECTIVES, &out->objective));
    SG_TRY(read_range(object, out));
    if (kind == SG_MODEL_ENCODER)
        return SG_OK;
    SG_TRY(sg_json_int(object, "n_features", WHAT, SG_USAGE, &out->n_features));
    SG_TRY(sg_json_int(object, "n_static", WHAT, SG_USAGE, &out->n_static));
    SG_TRY(sg_json_int(object, "linear_steps", WHAT, SG_USAGE, &out->linear_steps));
    SG_TRY(read_tokens(object, out));
    if (kind != SG_MODEL_BILSTM_ATTENTION)
        return SG_OK;
    SG_TRY(sg_json_int(object, "hidden", WHAT, SG_USAGE, &out->hidden));
    SG_TRY(sg_json_int(object, "layers", WHAT, SG_USAGE, &out->layers));
    SG_TRY(sg_json_int(object, "attention", WHAT, SG_USAGE, &out->attention));
    SG_TRY(sg_json_int(object, "mlp", WHAT, SG_USAGE, &out->mlp));
    SG_TRY(read_choice(object, "mlp_activation", ACTIVATIONS, 2, &activation));
    out->mlp_activation = (enum sg_activation)activation;
    return sg_json_double(object, "dropout", WHAT, SG_USAGE, &out->dropout);
}
