#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend.h"
#include "base/bytes.h"
#include "commands.h"
#include "data/schema.h"
#include "options.h"
#include "print_rows.h"
#include "run/config.h"
#include "run/encoder_base.h"
#include "run/step_bench.h"

static const struct workload {
    const char *name;
    int64_t n_units, n_steps, n_features, n_static, hidden;
} workloads[] = {
    /* One feature more than the peers' rows have: a constant one, whose weight is their second bias. */
    {"W1", 1024, 6, 11, 7, 64},     /* credit BiLSTM, 6 steps of 10 features, hidden 64 */
    {"W1L", 1024, 24, 33, 7, 128},  /* 24 steps of 32 features, hidden 128 */
    {"T24", 1024, 24, 201, 7, 128}, /* 24 steps of 200 features, hidden 128 */
};

/* The peers' encoder has no embedding of types: ours stays as it is. */
static const char *const without_types[] = {"embeddings.word*", "embeddings.position*", "embeddings.LayerNorm.*",
                                            "encoder.*", "classifier.*"};
static const char *const factors_and_head[] = {"*.lora_?.weight", "classifier.*"};

/* Messages of up to 32 tokens, some 15 on average, into 77 classes. */
static const struct text_workload {
    const char *name;
    int64_t n_units, width, layers, heads, intermediate, positions, types, rank;
    double layer_norm_epsilon;
    const char *const *trainable;
    size_t n_trainable;
} text_workloads[] = {
    {"W2", 64, 256, 4, 4, 1024, 32, 1, 0, 1e-5, without_types, sizeof without_types / sizeof *without_types},
    {"W3", 32, 384, 6, 12, 1536, 32, 1, 8, 1e-5, factors_and_head, sizeof factors_and_head / sizeof *factors_and_head},
    {"MINILM", 256, 384, 6, 12, 1536, 512, 2, 0, 1e-12, NULL, 0}, /* the published encoder's shape, all of it learns */
};

/* Shape, batch and what learns, as a run of that configuration has them. Rows are generated, and so are the weights. */
static enum sg_status fit(const struct sg_config *config, const struct sg_schema *schema, struct sg_step_bench *bench)
{
    bench->model = config->model;
    SG_TRY(sg_config_fit_schema(config, schema, &bench->model));
    bench->n_steps = sg_schema_steps_max(schema);
    bench->n_units = config->plan.expected_batch_size > 0 ? (int64_t)config->plan.expected_batch_size : 1024;
    bench->trainable = config->trainable;
    bench->n_trainable = config->n_trainable;
    if (bench->model.kind != SG_MODEL_ENCODER)
        return SG_OK;
    if (bench->model.objective == SG_MASKED_TOKENS)
        return sg_fail(SG_USAGE, "bench: %s: steps that predict labels are timed, not those that predict masked tokens",
                       config->path);
    bench->n_steps = sg_schema_max_tokens(schema);
    SG_TRY(sg_encoder_base_spec(config->base_folder, &bench->model.encoder));
    if (bench->n_steps > bench->model.encoder.positions)
        return sg_fail(SG_USAGE,
                       "bench: %s: the schema lets a message have %lld tokens and the base knows %lld positions",
                       config->path, (long long)bench->n_steps, (long long)bench->model.encoder.positions);
    return SG_OK;
}

/* *config is borrowed from by the bench; the caller closes it. */
static enum sg_status from_config(const char *path, struct sg_step_bench *bench, struct sg_config **config)
{
    struct sg_schema *schema = NULL;
    SG_TRY(sg_config_read(path, config));
    enum sg_status status = sg_schema_read((*config)->schema_file, &schema);
    if (status == SG_OK)
        status = fit(*config, schema, bench);
    sg_schema_close(&schema);
    return status;
}

static bool choose_text(const char *name, struct sg_step_bench *bench)
{
    for (size_t i = 0; i < sizeof text_workloads / sizeof *text_workloads; i++) {
        const struct text_workload *w = &text_workloads[i];
        if (strcmp(name, w->name) != 0)
            continue;
        bench->n_units = w->n_units;
        bench->n_steps = 32;
        bench->trainable = w->trainable;
        bench->n_trainable = w->n_trainable;
        bench->model = (struct sg_model_spec){.kind = SG_MODEL_ENCODER,
                                              .objective = SG_CLASSES,
                                              .n_outputs = 77,
                                              .encoder = {.vocabulary = 30522,
                                                          .width = w->width,
                                                          .layers = w->layers,
                                                          .heads = w->heads,
                                                          .intermediate = w->intermediate,
                                                          .positions = w->positions,
                                                          .types = w->types,
                                                          .gelu = SG_GELU_ERF,
                                                          .layer_norm_epsilon = w->layer_norm_epsilon,
                                                          .pooling = SG_POOL_MEAN,
                                                          .lora_rank = w->rank,
                                                          .lora_alpha = (double)w->rank,
                                                          .lora_targets = w->rank ? SG_LORA_QUERY | SG_LORA_VALUE : 0}};
        return true;
    }
    return false;
}

static enum sg_status choose_workload(const char *name, struct sg_step_bench *bench, struct sg_config **config)
{
    size_t n = strlen(name);
    if (n > 5 && strcmp(name + n - 5, ".yaml") == 0)
        return from_config(name, bench, config);
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
        const struct workload *w = &workloads[i];
        if (strcmp(name, w->name) != 0)
            continue;
        bench->n_units = w->n_units;
        bench->n_steps = w->n_steps;
        bench->model = (struct sg_model_spec){.kind = SG_MODEL_BILSTM_ATTENTION,
                                              .n_features = w->n_features,
                                              .n_static = w->n_static,
                                              .hidden = w->hidden,
                                              .layers = 1,
                                              .attention = 32,
                                              .mlp = 64,
                                              .mlp_activation = SG_RELU};
        return SG_OK;
    }
    if (choose_text(name, bench))
        return SG_OK;
    return sg_fail(SG_USAGE,
                   "bench: unknown workload \"%s\"; W1, W1L, T24, W2, W3, MINILM or a configuration ending in .yaml",
                   name);
}

static json_t *figures(const struct sg_step_figures *f)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "median_ms", f->median_ms, "fastest_ms", f->fastest_ms, "cpu_ms",
                     f->cpu_ms, "noise_ms", f->noise_ms, "g1", f->first_gradient_norm);
}

static void print_json(const char *name, const struct sg_step_bench *bench, const struct sg_step_bench_result *r)
{
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:I, s:i, s:o, s:o, s:o, s:o, s:I}", "workload", name, "units", (json_int_t)bench->n_units,
        "rows", (json_int_t)r->n_rows, "weights", (json_int_t)r->n_weights, "workers", bench->n_workers, "private",
        bench->is_private ? figures(&r->private_step) : json_null(), "plain",
        bench->is_plain ? figures(&r->plain_step) : json_null(), "private_over_plain", sg_json_real(r->ratio_median),
        "private_over_plain_cpu", sg_json_real(r->cpu_ratio_median), "peak_rss_kib", (json_int_t)r->peak_rss_kib);
    sg_print_json(object);
    json_decref(object);
}

static void print_row(const char *kind, const struct sg_step_figures *f, int64_t units)
{
    printf("  %-14s %10.2f %10.2f %12.0f %12.5f\n", kind, f->median_ms, f->fastest_ms,
           (double)units / f->median_ms * 1e3, f->first_gradient_norm);
}

static void print_words(const char *name, const struct sg_step_bench *bench, const struct sg_step_bench_result *r)
{
    printf("%s: %lld units of %.1f %s, %lld weights learn, %d worker%s\n", name, (long long)bench->n_units,
           (double)r->n_rows / (double)bench->n_units, bench->model.kind == SG_MODEL_ENCODER ? "tokens" : "time steps",
           (long long)r->n_weights, bench->n_workers, bench->n_workers == 1 ? "" : "s");
    printf("  %-14s %10s %10s %12s %12s\n", "step", "median ms", "fastest", "examples/s", "g1");
    if (bench->is_private)
        print_row("private", &r->private_step, bench->n_units);
    if (bench->is_plain)
        print_row("non-private", &r->plain_step, bench->n_units);
    if (isfinite(r->ratio_median))
        printf("  privacy costs %.1f %% of the step's time; noise %.2f ms of it; peak memory %.1f MiB\n",
               (r->ratio_median - 1) * 100, r->private_step.noise_ms, (double)r->peak_rss_kib / 1024);
    else
        printf("  peak memory %.1f MiB\n", (double)r->peak_rss_kib / 1024);
}

enum sg_status sg_cmd_bench(int argc, char **argv)
{
    struct sg_step_bench bench = {.n_units = 0, .repetitions = 15, .clip_norm = .3, .noise_source = "chacha20"};
    const char *backend = NULL, *mode = "both", *name = "W1";
    int64_t workers = 1;
    bool json = false;
    const struct sg_option options[] = {
        {"units", SG_OPTION_INT, &bench.n_units, "N",
         "units a step (default: the workload's or the configuration's batch)", 1, 1e7, false},
        {"steps", SG_OPTION_INT, &bench.repetitions, "N", "timed steps of each kind (default 15)", 1, 10000, false},
        {"mode", SG_OPTION_TEXT, &mode, "KIND", "both (interleaved, default), private or plain", 0, 0, false},
        {"max-grad-norm", SG_OPTION_NUMBER, &bench.clip_norm, "C", "clip norm after the margin (default .3)", 1e-6, 1e6,
         false},
        {"noise-source", SG_OPTION_TEXT, &bench.noise_source, "NAME", "chacha20 (default) or curand", 0, 0, false},
        {"tensors", SG_OPTION_TEXT, &bench.tensors, "FILE", "rows and weights from a safetensors file", 0, 0, false},
        {"workers", SG_OPTION_INT, &workers, "N", "worker threads (default 1)", 1, 1024, false},
        {"panels", SG_OPTION_INT, &bench.panels, "N", "panels that a worker takes at once (default 1)", 1, 1000000, false},
        {"recompute", SG_OPTION_FLAG, &bench.recompute, NULL, "compute blocks again in backward", 0, 0, false},
        {"backend", SG_OPTION_TEXT, &backend, "NAME", "cpu (default), cuda, cuda:CARD or reference", 0, 0, false},
        {"json", SG_OPTION_FLAG, &json, NULL, "print one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {"bench",
                                         "step times, private against non-private",
                                         options,
                                         sizeof options / sizeof *options,
                                         "[W1|W1L|T24|W2|W3|MINILM|CONFIG.yaml]",
                                         0,
                                         1,
                                         NULL};
    size_t n;
    SG_TRY(sg_options_parse(&line, argc, argv, &name, &n));
    if (strcmp(mode, "both") != 0 && strcmp(mode, "plain") != 0 && strcmp(mode, "private") != 0)
        return sg_fail(SG_USAGE, "bench: --mode is both, private or plain");
    bench.is_private = strcmp(mode, "plain") != 0;
    bench.is_plain = strcmp(mode, "private") != 0;
    bench.n_workers = (int)workers;
    int64_t units_asked = bench.n_units;
    struct sg_config *config = NULL;
    const struct sg_ops *ops;
    struct sg_step_bench_result result;
    enum sg_status status = choose_workload(name, &bench, &config);
    if (units_asked)
        bench.n_units = units_asked;
    if (status == SG_OK && bench.recompute && !sg_model_has_blocks(bench.model.kind))
        status = sg_fail(SG_USAGE, "bench: --recompute is for models with blocks: encoder and tabular_transformer");
    if (status == SG_OK)
        status = sg_backend_choose(backend, &ops);
    if (status == SG_OK)
        status = sg_step_bench_run(&bench, ops, &result);
    sg_config_close(&config);
    if (status == SG_OK)
        (json ? print_json : print_words)(name, &bench, &result);
    return status;
}
