/* Whether the head of a base folder is about the labels of this schema: by the names of its outputs, which config.json
 * holds of our models and of most published ones. By its shape alone a head for other classes, or for the same in
 * another order, would be taken for ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "folder_files.h"
#include "run/encoder_base.h"

const char *sg_output_name(const struct sg_model_spec *spec, const struct sg_schema *schema, int64_t i)
{
    if (spec->objective == SG_CLASSES)
        return sg_schema_class_name(schema, i);
    return spec->objective == SG_REGRESSION ? "value" : "positive";
}

/* "LABEL_3" is what the usual library calls an output that nobody named. */
static bool is_other_name(const json_t *names, const struct sg_model_spec *spec, const struct sg_schema *schema,
                          int64_t i)
{
    char key[24], unnamed[32];
    snprintf(key, sizeof key, "%lld", (long long)i);
    snprintf(unnamed, sizeof unnamed, "LABEL_%s", key);
    const char *name = json_string_value(json_object_get(names, key));
    return name && strcmp(name, unnamed) != 0 && strcmp(name, sg_output_name(spec, schema, i)) != 0;
}

/* Of our own folders only. */
static bool has_other_bounds(const json_t *model, const struct sg_model_spec *spec)
{
    const json_t *range = json_object_get(model, "value_range");
    double low = json_number_value(json_array_get(range, 0)), high = json_number_value(json_array_get(range, 1));
    return json_is_object(model) &&
           (low < spec->value_low || low > spec->value_low || high < spec->value_high || high > spec->value_high);
}

static bool is_for(const json_t *config, const struct sg_model_spec *spec, const struct sg_schema *schema)
{
    const json_t *names = json_object_get(config, "id2label");
    for (int64_t i = 0; i < spec->n_outputs; i++)
        if (is_other_name(names, spec, schema, i))
            return false;
    return spec->objective != SG_REGRESSION || !has_other_bounds(json_object_get(config, "model"), spec);
}

static void zero(const struct sg_model *model, const char *name, float *weights)
{
    const struct sg_parameter *p = sg_model_find_parameter(model, name);
    memset(weights + p->first, 0, (size_t)(p->n_out * p->n_in) * sizeof *weights);
}

enum sg_status sg_head_keep_or_zero(const char *folder, const struct sg_model *model, const struct sg_schema *schema,
                                    float *weights)
{
    const struct sg_model_spec *spec = sg_model_spec_of(model);
    if (spec->objective == SG_MASKED_TOKENS)
        return SG_OK;
    char *path = sg_path_join(folder, "config.json");
    json_t *config = NULL;
    enum sg_status status = sg_folder_read_json(path, "base model's config", &config);
    if (status == SG_OK && !is_for(config, spec, schema)) {
        zero(model, "classifier.weight", weights);
        zero(model, "classifier.bias", weights);
    }
    json_decref(config);
    free(path);
    return status;
}
