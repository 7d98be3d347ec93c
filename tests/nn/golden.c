#include "golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"

const char *const golden_names[] = {"mean_gelu", "cls_gelu_new", "lora", "masked", NULL};

char *golden_path(const char *name)
{
    return sg_format("%s/tests/nn/encoder_golden_%s.safetensors", getenv("SEALGRAD_SOURCE"), name);
}

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "golden file: %s: %s\n", what, sg_error_text());
    abort();
}

const struct sg_tensor *golden_tensor(const struct golden *g, const char *prefix, const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct sg_tensor *t = sg_safetensors_find(&g->file, full);
    need(t, full);
    return t;
}

const char *golden_metadata(const struct golden *g, const char *key)
{
    for (size_t i = 0; i < g->file.n_metadata; i++)
        if (strcmp(g->file.metadata[2 * i], key) == 0)
            return g->file.metadata[2 * i + 1];
    need(false, key);
    return NULL;
}

static bool has(const struct golden *g, const char *key)
{
    for (size_t i = 0; i < g->file.n_metadata; i++)
        if (strcmp(g->file.metadata[2 * i], key) == 0)
            return true;
    return false;
}

static int32_t *integers(const struct golden *g, const char *name)
{
    const struct sg_tensor *t = golden_tensor(g, "golden.", name);
    int32_t *out = sg_alloc((size_t)t->n, sizeof *out);
    for (int64_t i = 0; i < t->n; i++)
        out[i] = (int32_t)t->data[i];
    return out;
}

static struct sg_model_spec read_spec(const struct golden *g)
{
    struct sg_model_spec spec = {.kind = SG_MODEL_ENCODER, .n_outputs = g->n_outputs};
    const char *text = golden_metadata(g, "config");
    json_t *config;
    need(sg_json_parse(text, strlen(text), "config", SG_USAGE, &config) == SG_OK &&
             sg_encoder_spec_from_bert(config, &spec.encoder) == SG_OK,
         "config");
    json_decref(config);
    spec.objective = strcmp(golden_metadata(g, "objective"), "masked") == 0 ? SG_MASKED_TOKENS
                     : g->n_outputs > 1                                     ? SG_CLASSES
                                                                            : SG_BINARY;
    spec.encoder.pooling = strcmp(golden_metadata(g, "pooling"), "cls") == 0 ? SG_POOL_CLS : SG_POOL_MEAN;
    if (has(g, "lora_rank")) {
        spec.encoder.lora_rank = atoi(golden_metadata(g, "lora_rank"));
        spec.encoder.lora_alpha = atof(golden_metadata(g, "lora_alpha"));
        spec.encoder.lora_targets = (unsigned)atoi(golden_metadata(g, "lora_targets"));
    }
    return spec;
}

static void train_only(struct golden *g)
{
    const char *patterns[8];
    char *text = sg_strdup(golden_metadata(g, "trainable")), *save;
    size_t n = 0;
    for (char *p = strtok_r(text, " ", &save); p && n < 8; p = strtok_r(NULL, " ", &save))
        patterns[n++] = p;
    need(sg_model_train_only(g->model, patterns, n) == SG_OK, "trainable");
    free(text);
}

static void make_model(struct golden *g)
{
    struct sg_model_spec spec = read_spec(g);
    need(sg_model_create(&spec, g->ops, 1, &g->model) == SG_OK, "model");
    train_only(g);
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(g->model, &n);
    g->weights = sg_alloc((size_t)sg_model_n_weights(g->model), sizeof *g->weights);
    for (size_t i = 0; i < n; i++) {
        const struct sg_tensor *t = golden_tensor(g, "", p[i].name);
        need(t->n == p[i].n_out * p[i].n_in && t->n_dimensions == p[i].n_dimensions && t->shape[0] == p[i].n_out,
             p[i].name);
        memcpy(g->weights + p[i].first, t->data, (size_t)t->n * sizeof(float));
    }
}

void golden_open(const char *path, const struct sg_ops *ops, struct golden *g)
{
    *g = (struct golden){.ops = ops};
    need(sg_safetensors_read(path, &g->file) == SG_OK, path);
    g->n_units = golden_tensor(g, "golden.", "offset")->n - 1;
    g->n_outputs = golden_tensor(g, "golden.", "dlogit")->shape[1];
    g->token = integers(g, "token");
    g->offset = integers(g, "offset");
    make_model(g);
    if (sg_model_spec_of(g->model)->objective == SG_MASKED_TOKENS) {
        g->masked = integers(g, "masked");
        g->masked_offset = integers(g, "masked_offset");
        return;
    }
    g->masked_offset = sg_alloc((size_t)g->n_units + 1, sizeof *g->masked_offset);
    for (int64_t b = 0; b <= g->n_units; b++)
        g->masked_offset[b] = (int32_t)b;
}

void golden_close(struct golden *g)
{
    sg_model_close(&g->model);
    sg_safetensors_free(&g->file);
    free(g->weights);
    free(g->token);
    free(g->offset);
    free(g->masked);
    free(g->masked_offset);
}
