#include "run/step_bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/progress.h"
#include "data/dataset.h"
#include "format/safetensors.h"
#include "mechanism/mechanism.h"
#include "optimizer.h"
#include "run/comm.h"
#include "team.h"

#define BENCH_STEPS 100000 /* of the plan: more than are ever timed */

/* One kind of step, private or not, with everything that it holds. */
struct engine {
    struct sg_plan plan;
    struct sg_mechanism *mechanism;
    struct sg_team *team;
    struct sg_training training;
    struct sg_optimizer optimizer;
    void *optimizer_memory, *packed;
    float *weights, *gradient;
    int64_t *sum;
    struct sg_sample sample;
    int64_t step;
    double *ms;
    struct sg_step_figures figures;
};

struct bench {
    const struct sg_step_bench *setup;
    const struct sg_ops *ops;
    struct sg_model *model;
    struct sg_dataset data;
    int32_t *unit;
    float *weights;
    struct sg_comm comm;
};

static uint64_t mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Roughly standard normal: the sum of four uniforms. */
static float noise_float(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double)(mix(state) >> 11) * 0x1p-53 - 0.5;
    return (float)(sum * 1.7320508);
}

static void generate(struct bench *b)
{
    struct sg_dataset *d = &b->data;
    uint64_t state = 1;
    for (int64_t i = 0; i < d->n_rows * d->n_features; i++)
        d->x[i] = noise_float(&state);
    for (int64_t i = 0; i < d->n_units * d->n_static; i++)
        d->statics[i] = noise_float(&state);
    for (int64_t u = 0; u < d->n_units; u++)
        d->label[u] = mix(&state) % 100 < 22;
    sg_model_init(b->model, 1, b->weights);
}

static enum sg_status take(const struct sg_safetensors *file, const char *name, int64_t n, float *out)
{
    const struct sg_tensor *t = sg_safetensors_find(file, name);
    if (!t || t->n != n)
        return sg_fail(SG_USAGE, "%s: tensor %s is missing or does not hold %lld numbers", "bench", name, (long long)n);
    memcpy(out, t->data, (size_t)n * sizeof(float));
    return SG_OK;
}

static enum sg_status load(struct bench *b)
{
    struct sg_safetensors file = {0};
    struct sg_dataset *d = &b->data;
    SG_TRY(sg_safetensors_read(b->setup->tensors, &file));
    enum sg_status status = take(&file, "x", d->n_rows * d->n_features, d->x);
    if (status == SG_OK && d->n_static)
        status = take(&file, "statics", d->n_units * d->n_static, d->statics);
    if (status == SG_OK)
        status = take(&file, "label", d->n_units, d->label);
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(b->model, &n);
    for (size_t i = 0; i < n && status == SG_OK; i++)
        status = take(&file, p[i].name, p[i].n_out * p[i].n_in, b->weights + p[i].first);
    sg_safetensors_free(&file);
    return status;
}

static enum sg_status open_bench(struct bench *b)
{
    const struct sg_step_bench *s = b->setup;
    SG_TRY(sg_comm_open(&b->comm));
    SG_TRY(sg_model_create(&s->model, b->ops, 1, &b->model));
    struct sg_dataset *d = &b->data;
    d->n_units = s->n_units;
    d->n_rows = s->n_units * s->n_steps;
    d->n_features = s->model.n_features;
    d->n_static = s->model.n_static;
    d->offset = sg_alloc((size_t)d->n_units + 1, sizeof *d->offset);
    d->x = sg_alloc((size_t)(d->n_rows * d->n_features), sizeof *d->x);
    d->statics = sg_alloc((size_t)(d->n_units * d->n_static), sizeof *d->statics);
    d->label = sg_alloc((size_t)d->n_units, sizeof *d->label);
    d->digest = sg_alloc((size_t)d->n_units, SG_UNIT_DIGEST_BYTES);
    b->unit = sg_alloc((size_t)d->n_units, sizeof *b->unit);
    b->weights = sg_alloc((size_t)sg_model_n_weights(b->model), sizeof *b->weights);
    for (int64_t u = 0; u < d->n_units; u++) {
        b->unit[u] = (int32_t)u;
        d->offset[u + 1] = (u + 1) * s->n_steps;
        uint8_t digest[SG_DIGEST_BYTES];
        sg_sha256(&u, sizeof u, digest);
        memcpy(d->digest[u], digest, SG_UNIT_DIGEST_BYTES);
    }
    if (s->tensors)
        return load(b);
    generate(b);
    return SG_OK;
}

static void close_bench(struct bench *b)
{
    struct sg_dataset *d = &b->data;
    sg_model_close(&b->model);
    free(d->offset);
    free(d->x);
    free(d->statics);
    free(d->label);
    free(d->digest);
    free(b->unit);
    free(b->weights);
    sg_comm_close(&b->comm);
}

/* The plan whose C' is the one asked for: the margin is proportional to C, so one correction is nearly exact. */
static enum sg_status make_plan(const struct bench *b, bool is_private, struct sg_plan *plan)
{
    struct sg_plan_request request = {
        .is_private = is_private,
        .microbatch_size = 1,
        .sample_rate = 1,
        .population_size = b->setup->n_units,
        .steps = BENCH_STEPS,
        .noise_multiplier = 300, /* enough for so many steps; its size changes no time */
        .target_delta = 1e-5,
        .max_grad_norm = b->setup->clip_norm,
        .rows_per_unit_max = b->setup->n_steps,
        .n_weights = sg_model_n_trainable(b->model),
        .noise_source = b->setup->noise_source,
        .noise_tau_log2 = -300, /* no claim is made of generated rows, whatever epsilon is */
    };
    SG_TRY(sg_plan_resolve(&request, plan));
    for (int i = 0; i < 2 && is_private; i++) {
        request.max_grad_norm *= b->setup->clip_norm / plan->clip_norm;
        SG_TRY(sg_plan_resolve(&request, plan));
    }
    return SG_OK;
}

static enum sg_status open_engine(const struct bench *b, bool is_private, struct engine *e)
{
    static const uint8_t secret[SG_KEY_BYTES] = {1};
    struct sg_buffer context = {0};
    SG_TRY(make_plan(b, is_private, &e->plan));
    sg_buffer_text(&context, "bench");
    enum sg_status status = sg_mechanism_open(&e->plan, b->ops, secret, &context, &e->mechanism);
    sg_buffer_free(&context);
    if (status != SG_OK)
        return status;
    e->training = (struct sg_training){.optimizer = SG_OPTIMIZER_ADAM, .learning_rate = 1e-3, .beta1 = .9, .beta2 = .999,
                                       .adam_epsilon = 1e-8};
    int64_t n = e->plan.n_weights;
    e->optimizer_memory = sg_alloc_aligned(sg_optimizer_place(&e->training, b->ops, n, BENCH_STEPS, NULL, NULL));
    sg_optimizer_place(&e->training, b->ops, n, BENCH_STEPS, e->optimizer_memory, &e->optimizer);
    memcpy(e->optimizer.weights, b->weights, (size_t)n * sizeof(float));
    sg_optimizer_begin(&e->optimizer);
    e->packed = sg_alloc_aligned(sg_model_packed_bytes(b->model));
    e->gradient = sg_alloc_aligned((size_t)n * sizeof(float));
    e->sum = sg_alloc_aligned((size_t)n * sizeof(int64_t));
    e->ms = sg_alloc((size_t)b->setup->repetitions + 4, sizeof *e->ms);
    const struct sg_team_setup setup = {b->model, b->ops, &e->plan, &b->data, NULL, NULL, b->setup->n_workers};
    return sg_team_open(&setup, &e->team);
}

static void close_engine(struct engine *e)
{
    sg_team_close(&e->team);
    sg_mechanism_close(&e->mechanism);
    sg_sample_free(&e->sample);
    free(e->optimizer_memory);
    free(e->packed);
    free(e->gradient);
    free(e->sum);
    free(e->ms);
}

static enum sg_status sum_gradients(const struct bench *b, struct engine *e, bool *overflow)
{
    struct sg_clip_counts counts;
    sg_model_pack(b->model, e->optimizer.weights, true, e->packed);
    SG_TRY(sg_mechanism_sample(e->mechanism, e->step, (const uint8_t(*)[16])b->data.digest, b->data.n_units, &e->sample));
    sg_team_step(e->team, e->mechanism, &e->sample, b->unit, e->packed, e->step, &b->comm, e->sum, overflow, &counts);
    return SG_OK;
}

static enum sg_status measure_first_gradient(const struct bench *b, struct engine *e)
{
    bool overflow;
    SG_TRY(sum_gradients(b, e, &overflow));
    double squares = 0, scale = e->plan.grid / e->plan.divisor;
    for (int64_t i = 0; i < e->plan.n_weights; i++)
        squares += pow((double)e->sum[i] * scale, 2);
    e->figures.first_gradient_norm = sqrt(squares);
    return SG_OK;
}

static enum sg_status timed_step(const struct bench *b, struct engine *e, double *ms)
{
    double start = sg_clock_seconds();
    bool overflow;
    SG_TRY(sum_gradients(b, e, &overflow));
    double summed = sg_clock_seconds();
    SG_TRY(sg_mechanism_release(e->mechanism, e->step, e->sum, overflow, e->gradient));
    double released = sg_clock_seconds();
    sg_optimizer_step(&e->optimizer, e->step++, e->gradient);
    *ms = (sg_clock_seconds() - start) * 1e3;
    e->figures.noise_ms = (released - summed) * 1e3;
    return SG_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static enum sg_status time_both(const struct bench *b, struct engine *engines[2], double *ratio)
{
    int64_t n = b->setup->repetitions, warm = 2;
    double *ratios = sg_alloc((size_t)n, sizeof *ratios);
    enum sg_status status = SG_OK;
    for (int64_t i = -warm; i < n && status == SG_OK; i++) {
        for (int k = 0; k < 2 && status == SG_OK; k++)
            if (engines[k])
                status = timed_step(b, engines[k], &engines[k]->ms[i < 0 ? n : i]);
        if (i >= 0 && engines[0] && engines[1])
            ratios[i] = engines[0]->ms[i] / engines[1]->ms[i];
    }
    *ratio = status == SG_OK && engines[0] && engines[1] ? median(ratios, n) : NAN;
    free(ratios);
    for (int k = 0; k < 2 && status == SG_OK; k++)
        if (engines[k]) {
            engines[k]->figures.median_ms = median(engines[k]->ms, n);
            engines[k]->figures.fastest_ms = engines[k]->ms[0];
        }
    return status;
}

/* The kernel's high-water mark of this program; getrusage's would also count whoever started it. */
static long peak_rss_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib;
}

enum sg_status sg_step_bench_run(const struct sg_step_bench *setup, const struct sg_ops *ops, struct sg_step_bench_result *out)
{
    struct bench b = {.setup = setup, .ops = ops};
    struct engine private_engine = {0}, plain_engine = {0};
    struct engine *engines[2] = {setup->is_private ? &private_engine : NULL, setup->is_plain ? &plain_engine : NULL};
    *out = (struct sg_step_bench_result){.ratio_median = NAN};
    enum sg_status status = open_bench(&b);
    for (int k = 0; k < 2 && status == SG_OK; k++) {
        if (!engines[k])
            continue;
        status = open_engine(&b, k == 0, engines[k]);
        if (status == SG_OK)
            status = measure_first_gradient(&b, engines[k]);
    }
    if (status == SG_OK)
        status = time_both(&b, engines, &out->ratio_median);
    out->private_step = private_engine.figures;
    out->plain_step = plain_engine.figures;
    out->n_weights = b.model ? sg_model_n_weights(b.model) : 0;
    out->peak_rss_kib = peak_rss_kib();
    close_engine(&private_engine);
    close_engine(&plain_engine);
    close_bench(&b);
    return status;
}
