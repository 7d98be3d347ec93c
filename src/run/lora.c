#include "lora.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "folder_files.h"

/* "x.query.weight" -> "x.query.lora_A.weight" */
static const struct sg_parameter *factor_of(const struct sg_model *model, const struct sg_parameter *p,
                                            const char *factor)
{
    size_t stem = strlen(p->name);
    char name[sizeof p->name + 16];
    if (p->kind != SG_PARAMETER_WEIGHT || stem < 7 || strcmp(p->name + stem - 7, ".weight") != 0)
        return NULL;
    snprintf(name, sizeof name, "%.*s.%s.weight", (int)(stem - 7), p->name, factor);
    return sg_model_find_parameter(model, name);
}

static void add_product(const struct sg_parameter *p, const float *a, const float *b, int64_t rank, double scale,
                        float *w)
{
    for (int64_t o = 0; o < p->n_out; o++)
        for (int64_t i = 0; i < p->n_in; i++) {
            double sum = 0;
            for (int64_t r = 0; r < rank; r++)
                sum += (double)b[o * rank + r] * (double)a[r * p->n_in + i];
            w[o * p->n_in + i] = (float)((double)w[o * p->n_in + i] + scale * sum);
        }
}

enum sg_status sg_lora_merge(const struct sg_model *model, const struct sg_ops *ops, const float *weights,
                             struct sg_model **merged, float **merged_weights)
{
    struct sg_model_spec spec = *sg_model_spec_of(model);
    double scale = spec.encoder.lora_alpha / (double)spec.encoder.lora_rank;
    int64_t rank = spec.encoder.lora_rank;
    spec.encoder.lora_rank = 0;
    spec.encoder.lora_targets = 0;
    spec.encoder.lora_alpha = 0;
    *merged_weights = NULL;
    SG_TRY(sg_model_create(&spec, ops, 0, merged));
    float *out = *merged_weights = sg_alloc((size_t)sg_model_n_weights(*merged), sizeof *out);
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(*merged, &n);
    for (size_t i = 0; i < n; i++) {
        const struct sg_parameter *from = sg_model_find_parameter(model, p[i].name);
        float *w = out + p[i].first;
        memcpy(w, weights + from->first, (size_t)(p[i].n_out * p[i].n_in) * sizeof *w);
        const struct sg_parameter *a = factor_of(model, from, "lora_A"), *b = factor_of(model, from, "lora_B");
        if (a && b)
            add_product(from, weights + a->first, weights + b->first, rank, scale, w);
    }
    return SG_OK;
}

/* Names that PEFT matches at the end of a module's path. The last goes by its layer: alone it would name
 * attention.output.dense, too. */
static json_t *target_modules(const struct sg_encoder_spec *spec)
{
    static const char *const modules[] = {"query", "key", "value", "attention.output.dense", "intermediate.dense"};
    json_t *list = json_array();
    for (int t = 0; t < 5; t++)
        if (spec->lora_targets >> t & 1)
            json_array_append_new(list, json_string(modules[t]));
    for (int64_t layer = 0; layer < spec->layers && spec->lora_targets & SG_LORA_OUTPUT; layer++)
        json_array_append_new(list, json_sprintf("layer.%lld.output.dense", (long long)layer));
    return list;
}

static enum sg_status write_adapter_config(const char *folder, const struct sg_encoder_spec *spec)
{
    json_t *config =
        json_pack("{s:s, s:s, s:I, s:f, s:f, s:s, s:o, s:[s], s:b}", "peft_type", "LORA", "task_type", "SEQ_CLS", "r",
                  (json_int_t)spec->lora_rank, "lora_alpha", spec->lora_alpha, "lora_dropout", 0., "bias", "none",
                  "target_modules", target_modules(spec), "modules_to_save", "classifier", "inference_mode", 1);
    enum sg_status status = sg_folder_write_json(folder, "adapter_config.json", config);
    json_decref(config);
    return status;
}

static bool is_of_adapter(const struct sg_parameter *p)
{
    return strncmp(p->name, "classifier.", 11) == 0 || strstr(p->name, ".lora_");
}

/* With the base it must be the model: not so where other weights learnt, too. */
static bool is_whole(const struct sg_parameter *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i].trainable && !is_of_adapter(&p[i]))
            return false;
    return true;
}

enum sg_status sg_lora_write(const char *folder, const struct sg_model *model, const float *weights)
{
    size_t n, n_tensors = 0;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    if (!is_whole(p, n))
        return SG_OK;
    SG_TRY(sg_folder_make(folder));
    struct sg_tensor *tensors = sg_alloc(n, sizeof *tensors);
    for (size_t i = 0; i < n; i++) {
        if (!is_of_adapter(&p[i]))
            continue;
        char name[128];
        sg_tensor_name(model, &p[i], name);
        tensors[n_tensors++] = sg_tensor_of(&p[i], sg_format("base_model.model.%s", name), weights);
    }
    static const char *const metadata[] = {"format", "pt"};
    char *path = sg_path_join(folder, "adapter_model.safetensors");
    enum sg_status status = sg_safetensors_write(path, tensors, n_tensors, metadata, 1);
    for (size_t i = 0; i < n_tensors; i++)
        free(tensors[i].name);
    free(tensors);
    free(path);
    return status == SG_OK ? write_adapter_config(folder, &sg_model_spec_of(model)->encoder) : status;
}
