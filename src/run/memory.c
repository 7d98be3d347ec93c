#include "run/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "data/dataset.h"
#include "loss.h"
#include "optimizer.h"
#include "prefix.h"
#include "sweep.h"
#include "team.h"

/* Program, libraries, SQLite, the tokenizer's words and blocks of files being read: measured at 12 to 20 MiB. */
#define PROCESS_BYTES ((size_t)32 << 20)
/* Of each unit while a file is read: its place in two tables of digests, what a long file says of it. */
#define READING_BYTES 192
/* How much longer a private step takes that computes blocks again, twice: 1.8 in full, 2.4 by LoRA, where the backward
 * pass that takes norms costs as much as the forward one. Without privacy 1.3 and 1.5. */
#define RECOMPUTE_COST 2

static size_t larger(size_t x, size_t y)
{
    return x > y ? x : y;
}

/* Rows as the dataset holds them. A long file is sorted into a copy. */
static size_t unit_bytes(const struct sg_memory_request *r, int64_t rows)
{
    const struct sg_model_spec *spec = sg_model_spec_of(r->model);
    int64_t row = spec->kind == SG_MODEL_ENCODER ? (int64_t)sizeof(int32_t) : spec->n_features * (int64_t)sizeof(float);
    return (size_t)(rows * row + spec->n_static * (int64_t)sizeof(float) + 64);
}

static void estimate_data(const struct sg_memory_request *r, struct sg_memory *out)
{
    const struct sg_model_spec *spec = sg_model_spec_of(r->model);
    int64_t rows = sg_schema_steps_max(r->schema);
    double n_train = (double)r->plan->population_size, n_units = n_train / sg_schema_train_share(r->schema);
    out->data = (size_t)(n_units * (double)unit_bytes(r, rows));
    int64_t frozen = spec->objective == SG_MASKED_TOKENS ? 0 : sg_model_frozen_layers(r->model);
    if (frozen > 0 && (double)r->plan->steps * r->plan->sample_rate > 1)
        out->prefix =
            (size_t)(n_train * (double)(sg_prefix_rows(r->model, rows) * spec->encoder.width) * sizeof(float) +
                     n_units * sizeof(int64_t));
}

/* The most at any time: while the file is read, while units are scored for the last time, while it trains. */
static size_t most(const struct sg_memory_request *r, const struct sg_shape *shape, const struct sg_memory *m)
{
    const struct sg_model_spec *spec = sg_model_spec_of(r->model);
    size_t n = (size_t)shape->n_workers, all = (size_t)sg_model_n_weights(r->model) * sizeof(float);
    double n_units = (double)r->plan->population_size / sg_schema_train_share(r->schema);
    size_t begin = r->has_base ? all : 0, reading = 2 * m->data + (size_t)(n_units * READING_BYTES);
    size_t scores = (size_t)(n_units * (double)(2 * sg_outputs_of(spec) + 4) * sizeof(float));
    size_t scoring = n * m->sweep + scores;
    size_t training = m->optimizer + m->sums + m->worker[0] + (n - 1) * m->worker[1];
    if (r->training->validation_points > 0)
        training += scoring + m->weights;
    size_t prefix = m->optimizer + m->sums + n * m->sweep + m->weights;
    size_t final = scoring + (spec->encoder.lora_rank ? m->weights : 0);
    size_t working = larger(larger(training, m->prefix ? prefix : 0), final);
    return m->process + m->weights + larger(larger(begin, reading), m->data + working);
}

void sg_memory_estimate(const struct sg_memory_request *r, const struct sg_shape *shape, struct sg_memory *out)
{
    size_t learning = (size_t)r->plan->n_weights;
    *out = (struct sg_memory){.process = PROCESS_BYTES, .limit = r->limit};
    estimate_data(r, out);
    out->weights = (size_t)sg_model_n_weights(r->model) * sizeof(float) + sg_model_packed_bytes(r->model);
    out->optimizer = sg_optimizer_place(r->training, r->ops, r->plan->n_weights, r->plan->steps, NULL, NULL) +
                     learning * sizeof(float);
    out->sums = learning * sizeof(int64_t);
    const struct sg_prefix with_prefix = {.width = sg_model_spec_of(r->model)->encoder.width};
    for (int i = 0; i < 2; i++)
        out->worker[i] = sg_worker_bytes(r->model, r->plan, out->prefix ? &with_prefix : NULL, shape, i);
    out->sweep = sg_sweep_bytes(r->model, sg_schema_steps_max(r->schema));
    out->total = most(r, shape, out);
    out->prefix_room = SIZE_MAX;
    if (r->limit == 0)
        out->total += out->prefix;
    else
        out->prefix_room = (size_t)r->limit > out->total ? (size_t)r->limit - out->total : 0;
}

static double speed_of(const struct sg_shape *shape)
{
    return shape->n_workers / (shape->recompute ? RECOMPUTE_COST : 1);
}

/* Tries fewer workers and then fewer panels until the estimate fits. */
static bool shrink(const struct sg_memory_request *r, struct sg_shape *shape, struct sg_memory *memory)
{
    int n_workers = shape->n_workers;
    for (; n_workers >= 1; n_workers--)
        for (int64_t panels = r->asked.panels; panels >= 1; panels /= 2) {
            shape->n_workers = n_workers;
            shape->panels = panels;
            sg_memory_estimate(r, shape, memory);
            if (memory->total <= (size_t)r->limit)
                return true;
        }
    return false;
}

enum sg_status sg_memory_choose(const struct sg_memory_request *r, struct sg_shape *shape, struct sg_memory *out)
{
    bool has_blocks = sg_model_has_blocks(sg_model_spec_of(r->model)->kind);
    *shape = r->asked;
    if (r->asked.recompute && !has_blocks)
        return sg_fail(SG_USAGE,
                       "memory: recompute is for encoder and tabular_transformer: this model has no blocks that "
                       "could be computed again");
    sg_memory_estimate(r, shape, out);
    if (r->limit == 0 || out->total <= (size_t)r->limit)
        return SG_OK;
    bool fits = shrink(r, shape, out);
    struct sg_shape again = r->asked;
    struct sg_memory memory;
    again.recompute = true;
    if (has_blocks && !r->asked.recompute && shrink(r, &again, &memory) &&
        (!fits || speed_of(&again) > speed_of(shape))) {
        *shape = again;
        *out = memory;
        fits = true;
    }
    if (fits)
        return SG_OK;
    const struct sg_shape least = {1, 1, has_blocks};
    sg_memory_estimate(r, &least, out);
    return sg_fail(
        SG_USAGE,
        "memory: this run needs at least %.1f MiB (one worker, one panel at a time%s) and the limit is %.1f MiB; "
        "raise the limit or make the model or its rows smaller",
        (double)out->total / 0x1p20, has_blocks ? ", blocks computed again" : "", (double)r->limit / 0x1p20);
}

bool sg_memory_parse(const char *text, int64_t *bytes)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {{"", 1},          {"B", 1},           {"kB", 1000},     {"KiB", 1 << 10},         {"MB", 1000000},
                 {"MiB", 1 << 20}, {"GB", 1000000000}, {"GiB", 1 << 30}, {"TiB", (int64_t)1 << 40}};
    size_t digits = strspn(text, "0123456789.");
    double number;
    if (digits == 0 || !sg_number_double(text, digits, &number))
        return false;
    const char *unit = text + digits + (text[digits] == ' ');
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(unit, units[i].name) == 0 && number * (double)units[i].bytes >= 1 &&
            number * (double)units[i].bytes < 0x1p60) {
            *bytes = (int64_t)(number * (double)units[i].bytes);
            return true;
        }
    return false;
}

json_t *sg_memory_to_json(const struct sg_memory *m, const struct sg_shape *shape)
{
    return json_pack("{s:I, s:o, s:i, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "total",
                     (json_int_t)m->total, "limit", m->limit ? json_integer(m->limit) : json_null(), "workers",
                     shape->n_workers, "panels", (json_int_t)shape->panels, "recompute", shape->recompute, "process",
                     (json_int_t)m->process, "data", (json_int_t)m->data, "weights", (json_int_t)m->weights,
                     "optimizer", (json_int_t)m->optimizer, "sums", (json_int_t)m->sums, "first_worker",
                     (json_int_t)m->worker[0], "other_worker", (json_int_t)m->worker[1], "scoring_worker",
                     (json_int_t)m->sweep, "frozen_part", (json_int_t)m->prefix);
}
