/* Would catch: an encoder that is not the one of PyTorch and transformers: pooled rows, logits, the gradient of every
 * parameter (LoRA's factors and a decoder tied to the embeddings among them), and the norm of each unit's gradient by
 * both routes, as the ops take them from the taps.
 *
 *   test_nn_encoder_golden              the small generated encoders beside this file
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
#include "golden.h"

#define GRID 0x1p-40
#define LOGIT_MAX 2e-5      /* absolute */
#define GRADIENT_MAX 1e-4   /* of the parameter's largest, */
#define GRADIENT_NOISE 1e-7 /* plus this share of the largest of all: a key's bias has no gradient but rounding */
#define NORM_MAX 1e-5       /* relative */

#define UNITS_MAX 24 /* of a chunk */

struct run {
    struct golden g;
    int64_t n_gradient, n_norm, rows_max;
    const float *dlogit;
    float *logit;
    void *packed, *memory;
    struct sg_workspace *workspace;
    int64_t *sum;    /* of what learns */
    double *norm[2]; /* by route */
};

struct differences {
    int64_t n_units, n_gradients, n_norm; /* how much was compared */
    double logit, pooled, gradient, norm;
    char worst[96];
};

static int64_t at_most(int64_t n, int64_t max)
{
    return n < 0 ? 0 : n < max ? n : max;
}

/* Packed weights and a workspace for what the model learns now. */
static void place(struct run *r, bool with_backward)
{
    struct sg_model *model = r->g.model;
    int64_t rows = r->rows_max > UNITS_MAX ? r->rows_max : UNITS_MAX;
    free(r->packed);
    free(r->memory);
    r->packed = sg_alloc_aligned(sg_model_packed_bytes(model));
    sg_model_pack(model, r->g.weights, with_backward, r->packed);
    r->memory = sg_alloc_aligned(sg_workspace_bytes(model, UNITS_MAX, rows, with_backward));
    r->workspace = sg_workspace_place(model, UNITS_MAX, rows, with_backward, r->memory);
}

static void open_run(const char *path, const struct sg_ops *ops, struct run *r)
{
    *r = (struct run){0};
    struct golden *g = &r->g;
    golden_open(path, ops, g);
    r->dlogit = golden_tensor(g, "golden.", "dlogit")->data;
    r->n_gradient = atoi(golden_metadata(g, "n_gradient"));
    r->n_norm = atoi(golden_metadata(g, "n_norm"));
    for (int64_t b = 0; b < g->n_units; b += UNITS_MAX) {
        int64_t rows = g->offset[at_most(g->n_units, b + UNITS_MAX)] - g->offset[b];
        r->rows_max = rows > r->rows_max ? rows : r->rows_max;
    }
    place(r, true);
    r->logit = sg_alloc((size_t)(g->masked_offset[g->n_units] * g->n_outputs), sizeof *r->logit);
    r->sum = sg_alloc((size_t)sg_model_n_trainable(g->model), sizeof *r->sum);
    for (int route = 0; route < 2; route++)
        r->norm[route] = sg_alloc((size_t)g->n_units, sizeof(double));
}

static void close_run(struct run *r)
{
    golden_close(&r->g);
    void *owned[] = {r->logit, r->packed, r->memory, r->sum, r->norm[0], r->norm[1]};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

static void take_norms(struct run *r, const struct sg_tap *taps, size_t n_taps, int64_t first, int64_t n, int route)
{
    struct sg_group_norm norm[UNITS_MAX];
    void *scratch = sg_workspace_scratch(r->workspace);
    memset(norm, 0, sizeof norm);
    for (size_t k = 0; k < n_taps; k++) {
        const struct sg_tap *t = &taps[k];
        if (t->kind == SG_TAP_EMBED)
            r->g.ops->embed_norm(n, t->offset, t->id, t->n_in, t->g, t->ldg, norm, scratch);
        else if (t->kind == SG_TAP_SCALE)
            r->g.ops->scale_norm(n, t->offset, t->n_out, t->a, t->lda, t->g, t->ldg, norm, scratch);
        else
            r->g.ops->group_norm((enum sg_norm_route)route, n, t->offset, t->n_in, t->n_out, t->a, t->lda, t->g, t->ldg,
                                 norm, scratch);
    }
    for (int64_t b = 0; b < n; b++)
        r->norm[route][first + b] = norm[b].excluded ? NAN : sqrt(norm[b].norm2);
}

/* Adds the gradients of the chunk's first n units. */
static void add_gradients(struct run *r, const struct sg_tap *taps, size_t n_taps, int64_t n)
{
    double *ones = sg_alloc((size_t)r->rows_max + UNITS_MAX, sizeof *ones), limit = 1 << 20;
    void *scratch = sg_workspace_scratch(r->workspace);
    bool overflow = false;
    for (int64_t i = 0; i < r->rows_max + UNITS_MAX; i++)
        ones[i] = 1;
    for (size_t k = 0; k < n_taps; k++) {
        const struct sg_tap *t = &taps[k];
        int64_t rows = t->offset[n], *sum = r->sum + t->weight;
        const int32_t one_panel[2] = {0, t->offset[n]};
        if (t->kind == SG_TAP_EMBED)
            r->g.ops->embed_absorb(rows, 1, one_panel, t->n_out, t->id, t->n_in, t->g, t->ldg, ones, GRID, limit, sum,
                                   &overflow, scratch);
        else if (t->kind == SG_TAP_SCALE)
            r->g.ops->scale_absorb(rows, 1, one_panel, t->n_out, t->a, t->lda, t->g, t->ldg, ones, GRID, limit, sum,
                                   &overflow, scratch);
        else
            r->g.ops->absorb(rows, 1, one_panel, t->n_in, t->n_out, t->a, t->lda, t->g, t->ldg, ones, GRID, limit, sum,
                             &overflow, scratch);
    }
    if (overflow)
        abort();
    free(ones);
}

static void run_chunk(struct run *r, int64_t first, int64_t n)
{
    const struct golden *g = &r->g;
    int32_t offset[UNITS_MAX + 1], masked_offset[UNITS_MAX + 1];
    int32_t first_answer = g->masked_offset[first], n_answers = g->masked_offset[first + n] - first_answer;
    int32_t *masked = g->masked ? sg_alloc((size_t)n_answers, sizeof *masked) : NULL;
    for (int64_t b = 0; b <= n; b++) {
        offset[b] = g->offset[first + b] - g->offset[first];
        masked_offset[b] = g->masked_offset[first + b] - first_answer;
    }
    for (int32_t i = 0; i < n_answers && masked; i++)
        masked[i] = g->masked[first_answer + i] - g->offset[first];
    const struct sg_batch batch = {.n_units = n,
                                   .n_rows = offset[n],
                                   .offset = offset,
                                   .token = g->token + g->offset[first],
                                   .n_masked = masked ? n_answers : 0,
                                   .masked = masked,
                                   .masked_offset = masked ? masked_offset : NULL};
    sg_model_forward(g->model, r->packed, &batch, true, r->workspace, r->logit + first_answer * g->n_outputs);
    int64_t n_gradient = at_most(r->n_gradient - first, n), n_norm = at_most(r->n_norm - first, n);
    size_t n_taps;
    if (n_gradient || n_norm) {
        const struct sg_tap *taps = sg_model_backward(g->model, r->packed, &batch,
                                                      r->dlogit + first_answer * g->n_outputs, r->workspace, &n_taps);
        for (int route = 0; route < 2; route++)
            take_norms(r, taps, n_taps, first, n_norm, route);
        add_gradients(r, taps, n_taps, n_gradient);
    }
    free(masked);
}

static double largest(const struct sg_tensor *t)
{
    double found = 0;
    for (int64_t i = 0; i < t->n; i++)
        found = fmax(found, fabs(t->data[i]));
    return found;
}

/* The largest share of what is allowed, times GRADIENT_MAX: a relative difference with a floor for noise. */
static void compare_gradients(const struct run *r, struct differences *d)
{
    size_t n;
    const struct golden *g = &r->g;
    const struct sg_parameter *p = sg_model_parameters(g->model, &n);
    double largest_of_all = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i].trainable)
            largest_of_all = fmax(largest_of_all, largest(golden_tensor(g, "golden.gradient.", p[i].name)));
    for (size_t i = 0; i < n; i++) {
        if (!p[i].trainable)
            continue;
        const struct sg_tensor *t = golden_tensor(g, "golden.gradient.", p[i].name);
        double scale = largest(t) + GRADIENT_NOISE / GRADIENT_MAX * largest_of_all;
        for (int64_t k = 0; k < t->n; k++) {
            double difference = fabs((double)r->sum[p[i].trainable_first + k] * GRID - t->data[k]) / scale;
            if (!(difference <= d->gradient)) {
                d->gradient = difference;
                memcpy(d->worst, p[i].name, sizeof d->worst);
            }
        }
        d->n_gradients++;
    }
}

/* What enters the head is a prefix where only the head learns. */
static void compare_pooled(struct run *r, struct differences *d)
{
    struct golden *g = &r->g;
    const char *const head[] = {"classifier.*"};
    if (g->masked)
        return;
    if (sg_model_train_only(g->model, head, 1) != SG_OK)
        abort();
    place(r, false);
    int64_t width = sg_model_spec_of(g->model)->encoder.width, n = at_most(g->n_units, UNITS_MAX);
    const struct sg_tensor *pooled = golden_tensor(g, "golden.", "pooled");
    float *prefix = sg_alloc((size_t)(n * width), sizeof *prefix);
    const struct sg_batch batch = {.n_units = n, .n_rows = g->offset[n], .offset = g->offset, .token = g->token};
    sg_model_prefix(g->model, r->packed, &batch, r->workspace, prefix);
    for (int64_t i = 0; i < n * width; i++)
        d->pooled = fmax(d->pooled, fabs((double)prefix[i] - pooled->data[i]));
    free(prefix);
}

static struct differences compare(const char *path, const struct sg_ops *ops)
{
    struct run r;
    struct differences d = {0};
    open_run(path, ops, &r);
    for (int64_t b = 0; b < r.g.n_units; b += UNITS_MAX)
        run_chunk(&r, b, at_most(r.g.n_units - b, UNITS_MAX));
    const struct sg_tensor *logit = golden_tensor(&r.g, "golden.", "logit"),
                           *norm = golden_tensor(&r.g, "golden.", "norm");
    for (int64_t i = 0; i < logit->n; i++)
        d.logit = fmax(d.logit, fabs((double)r.logit[i] - logit->data[i]));
    for (int64_t b = 0; b < r.n_norm; b++)
        for (int route = 0; route < 2; route++)
            d.norm = fmax(d.norm, fabs(r.norm[route][b] / norm->data[b] - 1));
    compare_gradients(&r, &d);
    compare_pooled(&r, &d);
    d.n_units = r.g.n_units;
    d.n_norm = r.n_norm;
    close_run(&r);
    return d;
}

static bool passes(const struct differences *d)
{
    return d->logit <= LOGIT_MAX && d->pooled <= LOGIT_MAX && d->gradient <= GRADIENT_MAX && d->norm <= NORM_MAX;
}

static void print(const struct differences *d)
{
    printf(
        "%lld texts: logits %.1e, pooled %.1e (at most %g); gradients of %lld tensors %.1e relative, worst %s (%g); ",
        (long long)d->n_units, d->logit, d->pooled, LOGIT_MAX, (long long)d->n_gradients, d->gradient, d->worst,
        GRADIENT_MAX);
    if (d->n_norm)
        printf("norms of %lld units %.1e relative (%g)\n", (long long)d->n_norm, d->norm, NORM_MAX);
    else
        printf("trains without privacy alone: no norms\n");
}

static void generated_encoders(void **state)
{
    (void)state;
    const struct sg_ops *backends[] = {sg_ops_reference(), sg_ops_cpu()};
    for (size_t i = 0; golden_names[i]; i++)
        for (size_t k = 0; k < 2 && backends[k]; k++) {
            char *path = golden_path(golden_names[i]);
            struct differences d = compare(path, backends[k]);
            printf("%s, %s: ", backends[k]->name, golden_names[i]);
            print(&d);
            assert_true(passes(&d));
            free(path);
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
