/* Would catch: an encoder that is not the one of PyTorch and transformers: pooled rows, logits, the gradient of every
 * parameter, and the norm of each unit's gradient by both routes, as the ops take them from the taps.
 *
 *   test_nn_encoder_golden              the two small generated encoders beside this file
 *   test_nn_encoder_golden FILE         any file of tools/encoder_golden.py: prints the differences in one line */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/json.h"
#include "format/safetensors.h"
#include "nn/model.h"

#define GRID 0x1p-40
#define LOGIT_MAX 2e-5      /* absolute */
#define GRADIENT_MAX 1e-4   /* of the parameter's largest, */
#define GRADIENT_NOISE 1e-7 /* plus this share of the largest of all: a key's bias has no gradient but rounding */
#define NORM_MAX 1e-5       /* relative */

struct golden {
    struct sg_safetensors file;
    const struct sg_ops *ops;
    struct sg_model *model;
    int64_t n_units, n_outputs, n_gradient, n_norm, units_max, rows_max;
    int32_t *token, *offset;
    const float *dlogit;
    float *weights, *logit;
    void *packed, *memory;
    struct sg_workspace *workspace;
    int64_t *sum;
    double *norm[2]; /* by route */
};

struct differences {
    double logit, pooled, gradient, norm;
    char worst[96];
};

static const struct sg_tensor *tensor(const struct golden *g, const char *prefix, const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct sg_tensor *t = sg_safetensors_find(&g->file, full);
    if (!t) {
        fprintf(stderr, "no tensor %s\n", full);
        abort();
    }
    return t;
}

static const char *metadata(const struct golden *g, const char *key)
{
    for (size_t i = 0; i < g->file.n_metadata; i++)
        if (strcmp(g->file.metadata[2 * i], key) == 0)
            return g->file.metadata[2 * i + 1];
    abort();
}

static int32_t *integers(const struct sg_tensor *t)
{
    int32_t *out = sg_alloc((size_t)t->n, sizeof *out);
    for (int64_t i = 0; i < t->n; i++)
        out[i] = (int32_t)t->data[i];
    return out;
}

static void make_model(struct golden *g)
{
    struct sg_model_spec spec = {.kind = SG_MODEL_ENCODER, .objective = SG_CLASSES, .n_outputs = g->n_outputs};
    const char *text = metadata(g, "config");
    json_t *config;
    if (sg_json_parse(text, strlen(text), "config", SG_USAGE, &config) != SG_OK ||
        sg_encoder_spec_from_bert(config, &spec.encoder) != SG_OK)
        abort();
    json_decref(config);
    spec.encoder.pooling = strcmp(metadata(g, "pooling"), "cls") == 0 ? SG_POOL_CLS : SG_POOL_MEAN;
    if (sg_model_create(&spec, g->ops, 1, &g->model) != SG_OK)
        abort();
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(g->model, &n);
    g->weights = sg_alloc((size_t)sg_model_n_weights(g->model), sizeof *g->weights);
    for (size_t i = 0; i < n; i++) {
        const struct sg_tensor *t = tensor(g, "", p[i].name);
        if (t->n != p[i].n_out * p[i].n_in || t->n_dimensions != p[i].n_dimensions || t->shape[0] != p[i].n_out)
            abort();
        memcpy(g->weights + p[i].first, t->data, (size_t)t->n * sizeof(float));
    }
    g->packed = sg_alloc_aligned(sg_model_packed_bytes(g->model));
    sg_model_pack(g->model, g->weights, true, g->packed);
}

static void open_golden(const char *path, const struct sg_ops *ops, struct golden *g)
{
    *g = (struct golden){.ops = ops, .units_max = 24};
    if (sg_safetensors_read(path, &g->file) != SG_OK) {
        fprintf(stderr, "%s\n", sg_error_text());
        abort();
    }
    const struct sg_tensor *offset = tensor(g, "golden.", "offset"), *dlogit = tensor(g, "golden.", "dlogit");
    g->n_units = offset->n - 1;
    g->n_outputs = dlogit->n / g->n_units;
    g->dlogit = dlogit->data;
    g->n_gradient = atoi(metadata(g, "n_gradient"));
    g->n_norm = atoi(metadata(g, "n_norm"));
    g->token = integers(tensor(g, "golden.", "token"));
    g->offset = integers(offset);
    for (int64_t b = 0; b < g->n_units; b += g->units_max) {
        int64_t end = b + g->units_max < g->n_units ? b + g->units_max : g->n_units;
        g->rows_max = g->offset[end] - g->offset[b] > g->rows_max ? g->offset[end] - g->offset[b] : g->rows_max;
    }
    make_model(g);
    int64_t rows = g->rows_max > g->units_max ? g->rows_max : g->units_max;
    g->memory = sg_alloc_aligned(sg_workspace_bytes(g->model, g->units_max, rows, true));
    g->workspace = sg_workspace_place(g->model, g->units_max, rows, true, g->memory);
    g->logit = sg_alloc((size_t)(g->n_units * g->n_outputs), sizeof *g->logit);
    g->sum = sg_alloc((size_t)sg_model_n_weights(g->model), sizeof *g->sum);
    for (int route = 0; route < 2; route++)
        g->norm[route] = sg_alloc((size_t)g->n_units, sizeof(double));
}

static void close_golden(struct golden *g)
{
    sg_model_close(&g->model);
    sg_safetensors_free(&g->file);
    void *owned[] = {g->token, g->offset, g->weights, g->logit, g->packed, g->memory, g->sum, g->norm[0], g->norm[1]};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

static void take_norms(struct golden *g, const struct sg_tap *taps, size_t n_taps, int64_t first, int64_t n, int route)
{
    struct sg_group_norm norm[24];
    void *scratch = sg_workspace_scratch(g->workspace);
    memset(norm, 0, sizeof norm);
    for (size_t k = 0; k < n_taps; k++) {
        const struct sg_tap *t = &taps[k];
        if (t->kind == SG_TAP_EMBED)
            g->ops->embed_norm(n, t->offset, t->id, t->n_in, t->g, t->ldg, norm, scratch);
        else if (t->kind == SG_TAP_SCALE)
            g->ops->scale_norm(n, t->offset, t->n_out, t->a, t->lda, t->g, t->ldg, norm, scratch);
        else
            g->ops->group_norm((enum sg_norm_route)route, n, t->offset, t->n_in, t->n_out, t->a, t->lda, t->g, t->ldg,
                               norm, scratch);
    }
    for (int64_t b = 0; b < n; b++)
        g->norm[route][first + b] = norm[b].excluded ? NAN : sqrt(norm[b].norm2);
}

/* Adds the gradients of the chunk's first n units. */
static void add_gradients(struct golden *g, const struct sg_tap *taps, size_t n_taps, int64_t n)
{
    double *ones = sg_alloc((size_t)g->rows_max + 24, sizeof *ones), limit = 1 << 20;
    void *scratch = sg_workspace_scratch(g->workspace);
    bool overflow = false;
    for (int64_t r = 0; r < g->rows_max + 24; r++)
        ones[r] = 1;
    for (size_t k = 0; k < n_taps; k++) {
        const struct sg_tap *t = &taps[k];
        int64_t rows = t->offset[n], *sum = g->sum + t->weight;
        const int32_t one_panel[2] = {0, t->offset[n]};
        if (t->kind == SG_TAP_EMBED)
            g->ops->embed_absorb(rows, 1, one_panel, t->n_out, t->id, t->n_in, t->g, t->ldg, ones, GRID, limit, sum,
                                 &overflow, scratch);
        else if (t->kind == SG_TAP_SCALE)
            g->ops->scale_absorb(rows, 1, one_panel, t->n_out, t->a, t->lda, t->g, t->ldg, ones, GRID, limit, sum,
                                 &overflow, scratch);
        else
            g->ops->absorb(rows, 1, one_panel, t->n_in, t->n_out, t->a, t->lda, t->g, t->ldg, ones, GRID, limit, sum,
                           &overflow, scratch);
    }
    if (overflow)
        abort();
    free(ones);
}

static int64_t at_most(int64_t n, int64_t max)
{
    return n < 0 ? 0 : n < max ? n : max;
}

static void run_chunk(struct golden *g, int64_t first, int64_t n)
{
    int32_t offset[25];
    for (int64_t b = 0; b <= n; b++)
        offset[b] = g->offset[first + b] - g->offset[first];
    const struct sg_batch batch = {
        .n_units = n, .n_rows = offset[n], .offset = offset, .token = g->token + g->offset[first]};
    sg_model_forward(g->model, g->packed, &batch, true, g->workspace, g->logit + first * g->n_outputs);
    int64_t n_gradient = at_most(g->n_gradient - first, n), n_norm = at_most(g->n_norm - first, n);
    if (!n_gradient && !n_norm)
        return;
    size_t n_taps;
    const struct sg_tap *taps =
        sg_model_backward(g->model, g->packed, &batch, g->dlogit + first * g->n_outputs, g->workspace, &n_taps);
    for (int route = 0; route < 2; route++)
        take_norms(g, taps, n_taps, first, n_norm, route);
    add_gradients(g, taps, n_taps, n_gradient);
}

static double largest(const struct sg_tensor *t)
{
    double found = 0;
    for (int64_t i = 0; i < t->n; i++)
        found = fmax(found, fabs(t->data[i]));
    return found;
}

/* The largest share of what is allowed, times GRADIENT_MAX: a relative difference with a floor for noise. */
static void compare_gradients(const struct golden *g, struct differences *d)
{
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(g->model, &n);
    double largest_of_all = 0;
    for (size_t i = 0; i < n; i++)
        largest_of_all = fmax(largest_of_all, largest(tensor(g, "golden.gradient.", p[i].name)));
    for (size_t i = 0; i < n; i++) {
        const struct sg_tensor *t = tensor(g, "golden.gradient.", p[i].name);
        double scale = largest(t) + GRADIENT_NOISE / GRADIENT_MAX * largest_of_all;
        for (int64_t k = 0; k < t->n; k++) {
            double difference = fabs((double)g->sum[p[i].first + k] * GRID - t->data[k]) / scale;
            if (!(difference <= d->gradient)) {
                d->gradient = difference;
                memcpy(d->worst, p[i].name, sizeof d->worst);
            }
        }
    }
}

static struct differences compare(const char *path, const struct sg_ops *ops)
{
    struct golden g;
    struct differences d = {0};
    open_golden(path, ops, &g);
    for (int64_t b = 0; b < g.n_units; b += g.units_max)
        run_chunk(&g, b, at_most(g.n_units - b, g.units_max));
    const struct sg_tensor *logit = tensor(&g, "golden.", "logit"), *norm = tensor(&g, "golden.", "norm");
    for (int64_t i = 0; i < logit->n; i++)
        d.logit = fmax(d.logit, fabs((double)g.logit[i] - logit->data[i]));
    for (int64_t b = 0; b < g.n_norm; b++)
        for (int route = 0; route < 2; route++)
            d.norm = fmax(d.norm, fabs(g.norm[route][b] / norm->data[b] - 1));
    compare_gradients(&g, &d);
    /* What enters the head is a prefix where only the head learns. */
    const char *const head[] = {"classifier.*"};
    if (sg_model_train_only(g.model, head, 1) != SG_OK)
        abort();
    free(g.packed);
    free(g.memory);
    g.packed = sg_alloc_aligned(sg_model_packed_bytes(g.model));
    sg_model_pack(g.model, g.weights, true, g.packed);
    int64_t rows = g.rows_max > g.units_max ? g.rows_max : g.units_max,
            width = sg_model_spec_of(g.model)->encoder.width;
    g.memory = sg_alloc_aligned(sg_workspace_bytes(g.model, g.units_max, rows, false));
    g.workspace = sg_workspace_place(g.model, g.units_max, rows, false, g.memory);
    const struct sg_tensor *pooled = tensor(&g, "golden.", "pooled");
    float *prefix = sg_alloc((size_t)(g.units_max * width), sizeof *prefix);
    const struct sg_batch batch = {.n_units = at_most(g.n_units, g.units_max),
                                   .n_rows = g.offset[at_most(g.n_units, g.units_max)],
                                   .offset = g.offset,
                                   .token = g.token};
    sg_model_prefix(g.model, g.packed, &batch, g.workspace, prefix);
    for (int64_t i = 0; i < batch.n_units * width; i++)
        d.pooled = fmax(d.pooled, fabs((double)prefix[i] - pooled->data[i]));
    free(prefix);
    close_golden(&g);
    return d;
}

static bool passes(const struct differences *d)
{
    return d->logit <= LOGIT_MAX && d->pooled <= LOGIT_MAX && d->gradient <= GRADIENT_MAX && d->norm <= NORM_MAX;
}

static void print(const struct differences *d)
{
    printf("logits %.2g, pooled %.2g (at most %g); gradients %.2g relative, worst %s (%g); norms %.2g relative (%g)\n",
           d->logit, d->pooled, LOGIT_MAX, d->gradient, d->worst, GRADIENT_MAX, d->norm, NORM_MAX);
}

static void generated_encoders(void **state)
{
    (void)state;
    static const char *const names[] = {"mean_gelu", "cls_gelu_new"};
    const struct sg_ops *backends[] = {sg_ops_reference(), sg_ops_cpu()};
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 2 && backends[k]; k++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/tests/nn/encoder_golden_%s.safetensors", getenv("SEALGRAD_SOURCE"),
                     names[i]);
            struct differences d = compare(path, backends[k]);
            printf("%s, %s: ", backends[k]->name, names[i]);
            print(&d);
            assert_true(passes(&d));
        }
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        struct differences d = compare(argv[1], sg_ops_cpu() ? sg_ops_cpu() : sg_ops_reference());
        print(&d);
        return passes(&d) ? 0 : 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(generated_encoders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
