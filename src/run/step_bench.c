#include "run/step_bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/progress.h"
#include "mechanism/mechanism.h"
#include "optimizer.h"
#include "run/comm.h"
#include "step_bench_data.h"
#include "steps.h"
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
    float *weights, *gradient; /* all; of what learns */
    int64_t *sum;
    struct sg_sample sample;
    int64_t step;
    double *ms, *cpu_ms;
    struct sg_step_figures figures;
};

struct bench {
    const struct sg_step_bench *setup;
    const struct sg_ops *ops;
    struct sg_model *model;
    struct sg_bench_data data;
    struct sg_comm comm;
};

static enum sg_status open_bench(struct bench *b)
{
    const struct sg_step_bench *s = b->setup;
    SG_TRY(sg_comm_open(&b->comm));
    SG_TRY(sg_model_create(&s->model, b->ops, 1, &b->model));
    if (s->n_trainable > 0)
        SG_TRY(sg_model_train_only(b->model, s->trainable, s->n_trainable));
    return sg_bench_data_open(s, b->model, &b->data);
}

static void close_bench(struct bench *b)
{
    sg_model_close(&b->model);
    sg_bench_data_close(&b->data);
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
        .rows_per_unit_max = sg_model_unit_rows(&b->setup->model, b->setup->n_steps),
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
    e->training = (struct sg_training){
        .optimizer = SG_OPTIMIZER_ADAM, .learning_rate = 1e-3, .beta1 = .9, .beta2 = .999, .adam_epsilon = 1e-8};
    int64_t n = e->plan.n_weights;
    e->optimizer_memory = sg_alloc_aligned(sg_optimizer_place(&e->training, b->ops, n, BENCH_STEPS, NULL, NULL));
    sg_optimizer_place(&e->training, b->ops, n, BENCH_STEPS, e->optimizer_memory, &e->optimizer);
    size_t weights = (size_t)sg_model_n_weights(b->model);
    e->weights = sg_alloc_aligned(weights * sizeof(float));
    memcpy(e->weights, b->data.weights, weights * sizeof(float));
    sg_trainable_take(b->model, e->weights, e->optimizer.weights);
    sg_optimizer_begin(&e->optimizer);
    e->packed = sg_alloc_aligned(sg_model_packed_bytes(b->model));
    sg_model_pack(b->model, e->weights, true, e->packed);
    e->gradient = sg_alloc_aligned((size_t)n * sizeof(float));
    e->sum = sg_alloc_aligned((size_t)n * sizeof(int64_t));
    e->ms = sg_alloc((size_t)b->setup->repetitions + 1, sizeof *e->ms);
    e->cpu_ms = sg_alloc((size_t)b->setup->repetitions + 1, sizeof *e->cpu_ms);
    const struct sg_team_setup setup = {
        b->model,
        b->ops,
        &e->plan,
        &b->data.dataset,
        NULL,
        NULL,
        {b->setup->n_workers, b->setup->panels ? b->setup->panels : 1, b->setup->recompute}};
    return sg_team_open(&setup, &e->team);
}

static void close_engine(struct engine *e)
{
    sg_team_close(&e->team);
    sg_mechanism_close(&e->mechanism);
    sg_sample_free(&e->sample);
    free(e->optimizer_memory);
    free(e->packed);
    free(e->weights);
    free(e->gradient);
    free(e->sum);
    free(e->ms);
    free(e->cpu_ms);
}

static enum sg_status sum_gradients(const struct bench *b, struct engine *e, bool *overflow)
{
    struct sg_clip_counts counts;
    const struct sg_dataset *d = &b->data.dataset;
    SG_TRY(sg_mechanism_sample(e->mechanism, e->step, (const uint8_t(*)[16])d->digest, d->n_units, &e->sample));
    sg_team_step(e->team, e->mechanism, &e->sample, b->data.unit, e->packed, e->step, &b->comm, e->sum, overflow,
                 &counts);
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

/* Of all threads. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static enum sg_status timed_step(const struct bench *b, struct engine *e, int64_t i)
{
    double start = sg_clock_seconds(), cpu_start = cpu_seconds();
    bool overflow;
    SG_TRY(sum_gradients(b, e, &overflow));
    double summed = cpu_seconds();
    SG_TRY(sg_mechanism_release(e->mechanism, e->step, e->sum, overflow, e->gradient));
    e->figures.noise_ms = (cpu_seconds() - summed) * 1e3;
    sg_optimizer_step(&e->optimizer, e->step++, e->gradient);
    sg_trainable_put(b->model, e->optimizer.weights, e->weights);
    sg_model_repack(b->model, e->weights, true, e->packed);
    e->ms[i] = (sg_clock_seconds() - start) * 1e3;
    e->cpu_ms[i] = (cpu_seconds() - cpu_start) * 1e3;
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

static void set_figures(struct engine *e, int64_t n)
{
    e->figures.median_ms = median(e->ms, n);
    e->figures.fastest_ms = e->ms[0];
    e->figures.cpu_ms = median(e->cpu_ms, n);
}

/* Median over pairs of steps of x / y. */
static double ratio_of(const double *x, const double *y, int64_t n)
{
    double *ratio = sg_alloc((size_t)n, sizeof *ratio);
    for (int64_t i = 0; i < n; i++)
        ratio[i] = x[i] / y[i];
    double middle = median(ratio, n);
    free(ratio);
    return middle;
}

static enum sg_status time_both(const struct bench *b, struct engine *engines[2], struct sg_step_bench_result *out)
{
    int64_t n = b->setup->repetitions, warm = 2;
    for (int64_t i = -warm; i < n; i++)
        for (int k = 0; k < 2; k++)
            if (engines[k])
                SG_TRY(timed_step(b, engines[k], i < 0 ? n : i));
    if (engines[0] && engines[1]) {
        out->ratio_median = ratio_of(engines[0]->ms, engines[1]->ms, n);
        out->cpu_ratio_median = ratio_of(engines[0]->cpu_ms, engines[1]->cpu_ms, n);
    }
    for (int k = 0; k < 2; k++)
        if (engines[k])
            set_figures(engines[k], n);
    return SG_OK;
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

enum sg_status sg_step_bench_run(const struct sg_step_bench *setup, const struct sg_ops *ops,
                                 struct sg_step_bench_result *out)
{
    struct bench b = {.setup = setup, .ops = ops};
    struct engine private_engine = {0}, plain_engine = {0};
    struct engine *engines[2] = {setup->is_private ? &private_engine : NULL, setup->is_plain ? &plain_engine : NULL};
    *out = (struct sg_step_bench_result){.ratio_median = NAN, .cpu_ratio_median = NAN};
    enum sg_status status = open_bench(&b);
    for (int k = 0; k < 2 && status == SG_OK; k++)
        if (engines[k])
            status = open_engine(&b, k == 0, engines[k]);
    free(b.data.weights); /* each has its own by now: a run holds them once */
    b.data.weights = NULL;
    for (int k = 0; k < 2 && status == SG_OK; k++)
        if (engines[k])
            status = measure_first_gradient(&b, engines[k]);
    if (status == SG_OK)
        status = time_both(&b, engines, out);
    out->private_step = private_engine.figures;
    out->plain_step = plain_engine.figures;
    out->n_weights = b.model ? sg_model_n_trainable(b.model) : 0;
    out->n_rows = b.data.dataset.n_rows;
    out->peak_rss_kib = peak_rss_kib();
    close_engine(&private_engine);
    close_engine(&plain_engine);
    close_bench(&b);
    return status;
}
