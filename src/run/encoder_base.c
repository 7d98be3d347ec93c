#include "encoder_base.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "folder_files.h"

enum sg_status sg_encoder_base_spec(const char *folder, struct sg_encoder_spec *spec)
{
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

static enum sg_status take(const char *path, const struct sg_safetensors *file, const struct sg_model *model,
                           const struct sg_parameter *p, float *weights)
{
    char name[128];
    sg_tensor_name(model, p, name);
    const struct sg_tensor *t = sg_safetensors_find(file, name);
    if (!t)
        t = sg_safetensors_find(file, p->name);
    bool may_start_anew =
        starts_with(p->name, "classifier.") || starts_with(p->name, "cls.") || strstr(p->name, ".lora_") != NULL;
    if (may_start_anew && (!t || !sg_tensor_fits(t, p)))
        return SG_OK;
    if (!t || !sg_tensor_fits(t, p))
        return sg_fail(SG_USAGE, "%s: tensor %s is missing or not of the shape that config.json beside it describes",
                       path, p->name);
    return sg_tensor_take(path, t, p, weights);
}

enum sg_status sg_encoder_base_load(const char *folder, const struct sg_model *model, float *weights, char digest[65])
{
    char *path = sg_path_join(folder, "model.safetensors");
    digest[0] = 0;
    if (access(path, F_OK) != 0) {
        free(path);
        return SG_OK;
    }
    struct sg_safetensors file = {0};
    uint8_t sha256[SG_DIGEST_BYTES] = {0};
    enum sg_status status = sg_sha256_file(path, sha256);
    if (status == SG_OK)
        status = sg_safetensors_read(path, &file);
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    for (size_t i = 0; i < n && status == SG_OK; i++)
        status = take(path, &file, model, &p[i], weights);
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
    enum sg_status status = sg_model_create(sg_model_spec_of(model), ops, 0, &frozen);
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
