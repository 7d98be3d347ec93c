/* The specification as JSON: the keys of struct sg_model_spec, those that the kind has. Anything else is refused. */
#include <string.h>

#include "nn/model.h"

static const char WHAT[] = "model specification";
static const char *const KINDS[] = {"logistic", "bilstm_attention"};
static const char *const ACTIVATIONS[] = {"tanh", "relu"};
static const char *const KEYS[] = {"kind",   "n_features", "n_static", "linear_steps",   "hidden",
                                   "layers", "attention",  "mlp",      "mlp_activation", "dropout"};
enum { N_KEYS_LOGISTIC = 4, N_KEYS = sizeof KEYS / sizeof *KEYS };

json_t *sg_model_spec_to_json(const struct sg_model_spec *spec)
{
    json_t *object = json_object();
    json_object_set_new(object, "kind", json_string(KINDS[spec->kind]));
    json_object_set_new(object, "n_features", json_integer(spec->n_features));
    json_object_set_new(object, "n_static", json_integer(spec->n_static));
    json_object_set_new(object, "linear_steps", json_integer(spec->linear_steps));
    if (spec->kind == SG_MODEL_LOGISTIC)
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
    return sg_fail(SG_USAGE, "%s: \"%s\" must be \"%s\" or \"%s\"", WHAT, key, choices[0], choices[1]);
}

static enum sg_status check_keys(const json_t *object, size_t n_known)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < n_known; i++)
            known = known || strcmp(key, KEYS[i]) == 0;
        if (!known)
            return sg_fail(SG_USAGE, "%s: unknown key \"%.64s\"", WHAT, key);
    }
    return SG_OK;
}

enum sg_status sg_model_spec_from_json(const json_t *object, struct sg_model_spec *out)
{
    *out = (struct sg_model_spec){0};
    if (!json_is_object(object))
        return sg_fail(SG_USAGE, "%s: an object was expected", WHAT);
    int kind = 0, activation = 0;
    SG_TRY(read_choice(object, "kind", KINDS, 2, &kind));
    out->kind = (enum sg_model_kind)kind;
    SG_TRY(check_keys(object, kind == SG_MODEL_LOGISTIC ? N_KEYS_LOGISTIC : N_KEYS));
    SG_TRY(sg_json_int(object, "n_features", WHAT, SG_USAGE, &out->n_features));
    SG_TRY(sg_json_int(object, "n_static", WHAT, SG_USAGE, &out->n_static));
    SG_TRY(sg_json_int(object, "linear_steps", WHAT, SG_USAGE, &out->linear_steps));
    if (kind == SG_MODEL_LOGISTIC)
        return SG_OK;
    SG_TRY(sg_json_int(object, "hidden", WHAT, SG_USAGE, &out->hidden));
    SG_TRY(sg_json_int(object, "layers", WHAT, SG_USAGE, &out->layers));
    SG_TRY(sg_json_int(object, "attention", WHAT, SG_USAGE, &out->attention));
    SG_TRY(sg_json_int(object, "mlp", WHAT, SG_USAGE, &out->mlp));
    SG_TRY(read_choice(object, "mlp_activation", ACTIVATIONS, 2, &activation));
    out->mlp_activation = (enum sg_activation)activation;
    return sg_json_double(object, "dropout", WHAT, SG_USAGE, &out->dropout);
}
