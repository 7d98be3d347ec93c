#include "run/model_folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/file.h"
#include "folder_files.h"
#include "format/safetensors.h"
#include "run/encoder_base.h"

#define WHAT "model folder's file"

static enum sg_status write_weights(const char *folder, const struct sg_model *model, const float *weights)
{
    size_t n;
    const struct sg_parameter *parameters = sg_model_parameters(model, &n);
    struct sg_tensor *tensors = sg_alloc(n, sizeof *tensors);
    char(*names)[128] = sg_alloc(n, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        sg_tensor_name(model, &parameters[i], names[i]);
        tensors[i] = sg_tensor_of(&parameters[i], names[i], weights);
    }
    /* The usual library refuses a file whose format it does not know by name. */
    const char *const metadata[] = {"format", sg_model_spec_of(model)->kind == SG_MODEL_ENCODER ? "pt" : "sealgrad"};
    char *path = sg_path_join(folder, "model.safetensors");
    enum sg_status status = sg_safetensors_write(path, tensors, n, metadata, 1);
    free(path);
    free(names);
    free(tensors);
    return status;
}

/* What the usual library reads beside the tokenizer: keys of the BERT family, names of the classes, and which of its
 * classes the weights are. The rest is ours. */
static json_t *published_config(const struct sg_model_spec *spec, const struct sg_schema *schema)
{
    json_t *config = sg_encoder_spec_to_bert(&spec->encoder), *id2label = json_object(), *label2id = json_object();
    bool whole = spec->encoder.pooling == SG_POOL_CLS && !spec->encoder.unit_length;
    json_object_set_new(config, "architectures",
                        json_pack("[s]", spec->objective == SG_MASKED_TOKENS ? "BertForMaskedLM"
                                         : whole                             ? "BertForSequenceClassification"
                                                                             : "BertModel"));
    /* Where the model had dropout, so that who trains on with the usual library does the same; its defaults are others.
     */
    json_object_set_new(config, "hidden_dropout_prob", sg_json_real(spec->dropout));
    json_object_set_new(config, "attention_probs_dropout_prob", json_real(0));
    bool has_classes = spec->objective == SG_CLASSES, is_number = spec->objective == SG_REGRESSION;
    /* One output has to be named, too: from the names the usual library takes how many there are. */
    for (int64_t c = 0; c < spec->n_outputs && spec->objective != SG_MASKED_TOKENS; c++) {
        char number[24];
        const char *name = sg_output_name(spec, schema, c);
        snprintf(number, sizeof number, "%lld", (long long)c);
        json_object_set_new(id2label, number, json_string(name));
        json_object_set_new(label2id, name, json_integer(c));
    }
    json_object_set_new(config, "problem_type",
                        json_string(has_classes ? "single_label_classification"
                                    : is_number ? "regression"
                                                : "multi_label_classification"));
    json_object_set_new(config, "id2label", id2label);
    json_object_set_new(config, "label2id", label2id);
    return config;
}

enum sg_status sg_model_folder_write(const char *folder, const struct sg_model *model, const float *weights,
                                     const struct sg_schema *schema, const struct sg_tokenizer *tokenizer,
                                     const json_t *statement)
{
    SG_TRY(sg_folder_make(folder));
    char digest[2 * SG_DIGEST_BYTES + 1];
    sg_hex_encode(sg_schema_digest(schema), SG_DIGEST_BYTES, digest);
    const struct sg_buffer *bytes = sg_schema_bytes(schema);
    char *path = sg_path_join(folder, "schema.yaml");
    enum sg_status status = sg_file_write(path, bytes->data, bytes->len, 0644);
    free(path);
    if (status == SG_OK && tokenizer)
        status = sg_tokenizer_write(tokenizer, folder, sg_schema_max_tokens(schema));
    if (status == SG_OK)
        status = sg_folder_write_json(folder, "statement.json", statement);
    if (status == SG_OK) {
        const struct sg_model_spec *spec = sg_model_spec_of(model);
        json_t *config = spec->kind == SG_MODEL_ENCODER ? published_config(spec, schema) : json_object();
        json_object_set_new(config, "sealgrad_model", json_integer(1));
        json_object_set_new(config, "model", sg_model_spec_to_json(spec));
        json_object_set_new(config, "schema_sha256", json_string(digest));
        status = sg_folder_write_json(folder, "config.json", config);
        json_decref(config);
    }
    /* Last, so that a folder with weights is a whole one. */
    return status == SG_OK ? write_weights(folder, model, weights) : status;
}

enum sg_status sg_model_folder_check(const char *folder)
{
    struct stat facts;
    if (stat(folder, &facts) == 0 && !S_ISDIR(facts.st_mode))
        return sg_fail(SG_USAGE, "%s: exists and is not a folder; the model needs one", folder);
    /* The nearest ancestor that exists must take what will be made in it. */
    char *path = sg_strdup(folder), *slash;
    while (access(path, F_OK) != 0 && (slash = strrchr(path, '/')) && slash != path)
        *slash = 0;
    const char *place = access(path, F_OK) == 0 ? path : *path == '/' ? "/" : ".";
    enum sg_status status = SG_OK;
    if (access(place, W_OK | X_OK) != 0)
        status = sg_fail(SG_FAILED, "%s: the model cannot be written there: %s: %s", folder, place, strerror(errno));
    free(path);
    return status;
}

/* The fault of what a file says, with the file's name in front. */
static enum sg_status named(const char *path, enum sg_status status)
{
    return status == SG_USAGE ? sg_fail(status, "%s: %s", path, sg_error_text()) : status;
}

/* A tabular model's tokens are the schema's static features, and there is a place for every row. */
static bool has_places_for(const struct sg_model_spec *spec, const struct sg_schema *schema)
{
    int32_t width[SG_STATIC_TOKENS_MAX];
    int64_t n = sg_schema_static_widths(schema, SG_STATIC_TOKENS_MAX, width);
    bool are_its = !spec->n_static_tokens ||
                   (spec->n_static_tokens == n && memcmp(width, spec->static_token, (size_t)n * sizeof *width) == 0);
    return are_its && sg_model_unit_rows(spec, sg_schema_steps_max(schema)) <= spec->encoder.positions;
}

static bool fits_schema(const struct sg_model_spec *spec, const struct sg_schema *schema)
{
    bool has_classes = sg_schema_label_kind(schema) == SG_LABEL_CLASSES;
    if (spec->objective == SG_MASKED_TOKENS)
        return sg_schema_max_tokens(schema) > 0;
    if ((spec->objective == SG_CLASSES) != has_classes ||
        (has_classes && spec->n_outputs != sg_schema_n_classes(schema)))
        return false;
    if (spec->kind == SG_MODEL_ENCODER)
        return sg_schema_max_tokens(schema) > 0 && sg_schema_max_tokens(schema) <= spec->encoder.positions;
    if (spec->kind == SG_MODEL_TABULAR && !has_places_for(spec, schema))
        return false;
    return sg_schema_max_tokens(schema) == 0 && spec->n_features == sg_schema_n_features(schema) &&
           spec->n_static == sg_schema_n_static(schema);
}

static enum sg_status read_model(const char *folder, const struct sg_ops *ops, uint64_t seed,
                                 struct sg_model_folder *out)
{
    char *path = sg_path_join(folder, "config.json");
    json_t *config = NULL;
    const char *schema_digest = NULL;
    int64_t version = 0;
    struct sg_model_spec spec;
    enum sg_status status = sg_folder_read_json(path, WHAT, &config);
    if (status == SG_OK)
        status = sg_json_int(config, "sealgrad_model", path, SG_USAGE, &version);
    if (status == SG_OK && version != 1)
        status = sg_fail(SG_USAGE, "%s: model format %lld is not known to this version", path, (long long)version);
    if (status == SG_OK)
        status = sg_json_string(config, "schema_sha256", path, SG_USAGE, &schema_digest);
    if (status == SG_OK)
        status = named(path, sg_model_spec_from_json(json_object_get(config, "model"), &spec));
    if (status == SG_OK) {
        char digest[2 * SG_DIGEST_BYTES + 1];
        sg_hex_encode(sg_schema_digest(out->schema), SG_DIGEST_BYTES, digest);
        if (strcmp(digest, schema_digest) != 0)
            status = sg_fail(SG_USAGE,
                             "%s: schema_sha256 is not the digest of schema.yaml beside it; restore the folder", path);
        else if (!fits_schema(&spec, out->schema))
            status = sg_fail(SG_USAGE, "%s: the model's inputs are not the schema's; restore the folder", path);
    }
    if (status == SG_OK)
        status = named(path, sg_model_create(&spec, ops, seed, &out->model));
    json_decref(config);
    free(path);
    return status;
}

/* Before any memory is taken by what config.json claims: the tensors have it all. */
static enum sg_status check_tensors(const char *path, const struct sg_safetensors *file, const struct sg_model *model)
{
    size_t n;
    const struct sg_parameter *parameters = sg_model_parameters(model, &n);
    if (file->n_tensors != n)
        return sg_fail(SG_USAGE, "%s: %zu tensors, but config.json describes %zu", path, file->n_tensors, n);
    for (size_t i = 0; i < n; i++) {
        const struct sg_parameter *p = &parameters[i];
        char name[128];
        sg_tensor_name(model, p, name);
        const struct sg_tensor *t = sg_safetensors_find(file, name);
        if (!t || !sg_tensor_fits(t, p))
            return sg_fail(SG_USAGE, "%s: tensor %s is missing or not (%lld, %lld), as config.json describes it", path,
                           p->name, (long long)p->n_out, (long long)p->n_in);
    }
    return SG_OK;
}

static enum sg_status copy_tensors(const char *path, const struct sg_safetensors *file, struct sg_model_folder *out)
{
    size_t n;
    const struct sg_parameter *parameters = sg_model_parameters(out->model, &n);
    SG_TRY(check_tensors(path, file, out->model));
    out->weights = sg_alloc((size_t)sg_model_n_weights(out->model), sizeof *out->weights);
    for (size_t i = 0; i < n; i++) {
        const struct sg_parameter *p = &parameters[i];
        char name[128];
        sg_tensor_name(out->model, p, name);
        SG_TRY(sg_tensor_take(path, sg_safetensors_find(file, name), p, out->weights));
    }
    return SG_OK;
}

static enum sg_status read_weights(const char *folder, struct sg_model_folder *out)
{
    char *path = sg_path_join(folder, "model.safetensors");
    struct sg_safetensors file = {0};
    uint8_t digest[SG_DIGEST_BYTES] = {0};
    enum sg_status status = sg_sha256_file(path, digest);
    if (status == SG_OK)
        status = sg_safetensors_read(path, &file);
    if (status == SG_OK)
        status = copy_tensors(path, &file, out);
    sg_hex_encode(digest, sizeof digest, out->digest);
    sg_safetensors_free(&file);
    free(path);
    return status;
}

enum sg_status sg_model_folder_read(const char *folder, const struct sg_ops *ops, uint64_t seed,
                                    struct sg_model_folder *out)
{
    *out = (struct sg_model_folder){0};
    char *schema = sg_path_join(folder, "schema.yaml"), *statement = sg_path_join(folder, "statement.json");
    enum sg_status status = sg_schema_read(schema, &out->schema);
    if (status == SG_OK)
        status = sg_folder_read_json(statement, WHAT, &out->statement);
    if (status == SG_OK)
        status = read_model(folder, ops, seed, out);
    if (status == SG_OK && sg_model_spec_of(out->model)->kind == SG_MODEL_ENCODER)
        status = sg_tokenizer_read(folder, NULL, &out->tokenizer);
    if (status == SG_OK)
        status = read_weights(folder, out);
    if (status != SG_OK)
        sg_model_folder_free(out);
    free(schema);
    free(statement);
    return status;
}

void sg_model_folder_free(struct sg_model_folder *folder)
{
    sg_model_close(&folder->model);
    sg_schema_close(&folder->schema);
    sg_tokenizer_close(&folder->tokenizer);
    free(folder->weights);
    json_decref(folder->statement);
    *folder = (struct sg_model_folder){0};
}
