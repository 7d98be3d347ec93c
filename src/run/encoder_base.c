#include "run/encoder_base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "folder_files.h"

static bool is_there(const char *folder, const char *name)
{
    char *path = sg_path_join(folder, name);
    bool found = sg_file_exists(path);
    free(path);
    return found;
}

enum sg_status sg_encoder_base_spec(const char *folder, struct sg_encoder_spec *spec)
{
    if (!is_there(folder, "config.json") && is_there(folder, "adapter_config.json"))
        return sg_fail(SG_USAGE, "%s: an adapter, no base model: merge it with its base and save the whole", folder);
    char *path = sg_path_join(folder, "config.json");
    json_t *config = NULL;
    enum sg_status status = sg_folder_read_json(path, "base model's config", &config);
    if (status == SG_OK) {
        status = sg_encoder_spec_from_bert(config, spec);
        if (status != SG_OK)
            status = sg_fail(status, "%s: %s", path, sg_error_text());
    }
    json_decref(config);
    free(path);
    return status;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *text, size_t n, const char *end)
{
    size_t n_end = strlen(end);
    return n >= n_end && memcmp(text + n - n_end, end, n_end) == 0;
}

/* The name that a parameter has here, of a tensor in a published file: without "bert.", and layer norm's gain and shift
 * as "weight" and "bias", which the oldest files call gamma and beta. */
static void plain_name(const char *published, char out[256])
{
    static const char *const old[] = {"LayerNorm.gamma", "LayerNorm.beta"}, *const now[] = {"weight", "bias"};
    const char *bare = starts_with(published, "bert.") ? published + 5 : published;
    size_t n = strlen(bare);
    for (int i = 0; i < 2; i++)
        if (ends_with(bare, n, old[i])) {
            int stem = (int)(n - strlen(strrchr(old[i], '.') + 1));
            snprintf(out, 256, "%.*s%s", stem < 200 ? stem : 200, bare, now[i]);
            return;
        }
    snprintf(out, 256, "%s", bare);
}

/* Of every parameter its tensor, or NULL. What is not asked for may be heads and poolers that this model does without,
 * never a part of the encoder: then config.json describes another one. */
static enum sg_status match(const char *path, const struct sg_safetensors *file, const struct sg_model *model,
                            const struct sg_tensor **found)
{
    size_t n;
    const struct sg_parameter *all = sg_model_parameters(model, &n);
    for (size_t i = 0; i < file->n_tensors; i++) {
        char name[256];
        plain_name(file->tensors[i].name, name);
        const struct sg_parameter *p = sg_model_find_parameter(model, name);
        if (p && found[p - all])
            return sg_fail(SG_USAGE, "%s: two tensors are %s, with and without \"bert.\" or by the old name", path,
                           p->name);
        if (p)
            found[p - all] = &file->tensors[i];
        else if ((starts_with(name, "embeddings.") || starts_with(name, "encoder.")) &&
                 strcmp(name, "embeddings.position_ids") != 0)
            return sg_fail(SG_USAGE, "%s: tensor \"%.100s\" is no part of the encoder that config.json describes", path,
                           file->tensors[i].name);
    }
    return SG_OK;
}

static enum sg_status take(const char *path, const struct sg_tensor *t, const struct sg_parameter *p, float *weights)
{
    bool may_start_anew =
        starts_with(p->name, "classifier.") || starts_with(p->name, "cls.") || strstr(p->name, ".lora_") != NULL;
    if (may_start_anew && (!t || !sg_tensor_fits(t, p)))
        return SG_OK;
    if (!t && starts_with(p->name, "pooler."))
        return sg_fail(SG_USAGE, "%s: no tensor %s: this base has no pooler; use pooling: mean", path, p->name);
    if (!t || !sg_tensor_fits(t, p))
        return sg_fail(SG_USAGE, "%s: tensor %s is missing or not of the shape that config.json beside it describes",
                       path, p->name);
    return sg_tensor_take(path, t, p, weights);
}

static enum sg_status take_all(const char *path, const struct sg_safetensors *file, const struct sg_model *model,
                               float *weights)
{
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    const struct sg_tensor **found = sg_alloc(n, sizeof *found);
    enum sg_status status = match(path, file, model, found);
    for (size_t i = 0; i < n && status == SG_OK; i++)
        status = take(path, found[i], &p[i], weights);
    free(found);
    return status;
}

/* Weights in another form must not look like none: a random start would be silent. */
static enum sg_status refuse_other_weights(const char *folder)
{
    static const struct {
        const char *name, *what;
    } others[] = {
        {"model.safetensors.index.json", "the weights are in several files; save them as one model.safetensors"},
        {"pytorch_model.bin", "pickled weights are not read, for a pickle can run code; save model.safetensors"},
        {"pytorch_model.bin.index.json", "pickled weights are not read, for a pickle can run code; save "
                                         "model.safetensors"},
        {"tf_model.h5", "weights of this form are not read; save model.safetensors"},
        {"flax_model.msgpack", "weights of this form are not read; save model.safetensors"},
        {"adapter_model.safetensors", "an adapter, no base model: merge it with its base and save the whole"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (is_there(folder, others[i].name))
            return sg_fail(SG_USAGE, "%s/%s: %s", folder, others[i].name, others[i].what);
    return SG_OK;
}

enum sg_status sg_encoder_base_load(const char *folder, const struct sg_model *model, float *weights, char digest[65])
{
    digest[0] = 0;
    if (!is_there(folder, "model.safetensors"))
        return refuse_other_weights(folder);
    char *path = sg_path_join(folder, "model.safetensors");
    struct sg_safetensors file = {0};
    uint8_t sha256[SG_DIGEST_BYTES] = {0};
    enum sg_status status = sg_sha256_file(path, sha256);
    if (status == SG_OK)
        status = sg_safetensors_read(path, &file);
    if (status == SG_OK)
        status = take_all(path, &file, model, weights);
    sg_hex_encode(sha256, sizeof sha256, digest);
    sg_safetensors_free(&file);
    free(path);
    return status;
}

/* The names of the classes as one batch of texts. The caller frees token and offset. */
struct names {
    int64_t n, n_rows;
    int32_t *token, *offset;
};

#define NAME_TOKENS_MAX 64

static enum sg_status encode_names(const struct sg_schema *schema, const struct sg_tokenizer *tokenizer,
                                   struct names *out)
{
    int64_t n = sg_schema_n_classes(schema);
    *out = (struct names){.n = n,
                          .token = sg_alloc((size_t)(n * NAME_TOKENS_MAX), sizeof(int32_t)),
                          .offset = sg_alloc((size_t)n + 1, sizeof(int32_t))};
    for (int64_t c = 0; c < n; c++) {
        char *text = sg_strdup(sg_schema_class_name(schema, c));
        for (char *p = text; *p; p++)
            if (*p == '_')
                *p = ' ';
        int64_t tokens =
            sg_tokenizer_encode(tokenizer, text, strlen(text), NAME_TOKENS_MAX, out->token + out->n_rows, NULL);
        free(text);
        if (tokens < 0)
            return sg_fail(SG_USAGE, "schema: the name of class %lld is not UTF-8", (long long)c + 1);
        out->n_rows += tokens;
        out->offset[c + 1] = (int32_t)out->n_rows;
    }
    return SG_OK;
}

/* What enters the head for each name, (n, width). */
static void embed_names(const struct sg_model *model, const struct names *names, const float *weights, float *out)
{
    void *packed = sg_alloc_aligned(sg_model_packed_bytes(model));
    void *memory = sg_alloc_aligned(sg_workspace_bytes(model, names->n, names->n_rows, false));
    struct sg_workspace *workspace = sg_workspace_place(model, names->n, names->n_rows, false, memory);
    sg_model_pack(model, weights, false, packed);
    const struct sg_batch batch = {
        .n_units = names->n, .n_rows = names->n_rows, .offset = names->offset, .token = names->token};
    sg_model_prefix(model, packed, &batch, workspace, out);
    free(memory);
    free(packed);
}

static void start_head(const struct sg_model *model, const struct names *names, double scale, float *weights)
{
    int64_t width = sg_model_spec_of(model)->encoder.width;
    float *embedded = sg_alloc((size_t)(names->n * width), sizeof *embedded);
    embed_names(model, names, weights, embedded);
    float *head = weights + sg_model_find_parameter(model, "classifier.weight")->first;
    for (int64_t i = 0; i < names->n * width; i++)
        head[i] = (float)(scale * (double)embedded[i]);
    free(embedded);
}

enum sg_status sg_head_from_names(const struct sg_model *model, const struct sg_ops *ops,
                                  const struct sg_schema *schema, const struct sg_tokenizer *tokenizer, double scale,
                                  float *weights)
{
    static const char *const head[] = {"classifier.*"};
    struct sg_model *frozen = NULL;
    struct names names = {0};
    /* The same model with all below the head frozen: its prefix is what enters the head. */
    enum sg_status status = sg_model_create(sg_model_spec_of(model), sg_ops_near(ops), 0, &frozen);
    if (status == SG_OK)
        status = sg_model_train_only(frozen, head, 1);
    if (status == SG_OK)
        status = encode_names(schema, tokenizer, &names);
    if (status == SG_OK)
        start_head(frozen, &names, scale, weights);
    sg_model_close(&frozen);
    free(names.token);
    free(names.offset);
    return status;
}
