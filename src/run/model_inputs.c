/* What a model reads and says, from the schema: its inputs, its outputs, the rows it must know places for. */
#include "data/schema.h"
#include "run/config.h"

/* Each static feature as a row of its own. */
static enum sg_status complete_tokens(const struct sg_schema *schema, struct sg_model_spec *spec)
{
    spec->n_static_tokens = sg_schema_static_widths(schema, SG_STATIC_TOKENS_MAX, spec->static_token);
    if (spec->n_static_tokens > SG_STATIC_TOKENS_MAX)
        return sg_fail(
            SG_USAGE,
            "model: the schema has %lld static features and there is room for %d tokens; say static_tokens: false",
            (long long)spec->n_static_tokens, SG_STATIC_TOKENS_MAX);
    return SG_OK;
}

enum sg_status sg_config_fit_schema(const struct sg_config *config, const struct sg_schema *schema,
                                    struct sg_model_spec *spec)
{
    static const int objectives[] = {
        [SG_LABEL_BINARY] = SG_BINARY, [SG_LABEL_CLASSES] = SG_CLASSES, [SG_LABEL_NUMBER] = SG_REGRESSION};
    enum sg_label_kind kind = sg_schema_label_kind(schema);
    bool is_text = sg_schema_max_tokens(schema) > 0;
    if (is_text != (spec->kind == SG_MODEL_ENCODER))
        return sg_fail(SG_USAGE, is_text ? "model: the schema has a text column; use kind: encoder"
                                         : "model: an encoder reads a text column, and the schema has none");
    spec->n_features = is_text ? 0 : sg_schema_n_features(schema);
    spec->n_static = is_text ? 0 : sg_schema_n_static(schema);
    spec->linear_steps = config->linear_path ? sg_schema_steps_max(schema) : 0;
    if (config->static_tokens)
        SG_TRY(complete_tokens(schema, spec));
    if (spec->objective == SG_MASKED_TOKENS)
        return config->plan.is_private
                   ? sg_fail(SG_USAGE,
                             "model: objective: masked_tokens is for pretraining on public text: say privacy: none")
                   : SG_OK;
    spec->objective = objectives[kind];
    sg_schema_label_bounds(schema, &spec->value_low, &spec->value_high);
    spec->n_outputs = kind == SG_LABEL_CLASSES ? sg_schema_n_classes(schema) : 1;
    if (spec->kind == SG_MODEL_TABULAR)
        spec->encoder.positions = sg_model_unit_rows(spec, sg_schema_steps_max(schema));
    return SG_OK;
}
