#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/progress.h"
#include "optimizer.h"
#include "prefix.h"
#include "run/evaluate.h"
#include "team.h"
#include "track.h"

/* What the loop holds: allocated once, before the first step. */
struct loop {
    const struct sg_train_options *options;
    struct sg_prepared *prepared;
    struct sg_mechanism *mechanism;
    int32_t *train_unit;
    uint8_t (*digest)[SG_UNIT_DIGEST_BYTES];
    int64_t n_train;
    struct sg_team *team;
    struct sg_masking masking;
    struct sg_prefix prefix; /* no rows: nothing is frozen from below, or it would be used only once */
    struct sg_sample sample;
    struct sg_optimizer optimizer;
    struct sg_block block;
    void *optimizer_memory, *packed;
    int64_t *sum;
    float *gradient, *weights; /* all, in the ops' memory */
    struct sg_clip_counts counts;
    int64_t n_units, n_over;
    struct sg_track track;
    struct sg_progress progress;
    const struct sg_beat *beat;
    double beat_s;
    double note_s;
    char note[96];
};

void sg_trainable_take(const struct sg_ops *ops, const struct sg_model *model, const float *all, float *trainable)
{
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    for (size_t i = 0; i < n; i++)
        if (p[i].trainable)
            sg_ops_upload(ops, trainable + p[i].trainable_first, all + p[i].first, (size_t)(p[i].n_out * p[i].n_in) * sizeof(float));
}

/* From the vector of what learns to that of all weights. */
static void move_to_all(void (*move)(const struct sg_ops *, void *, const void *, size_t), const struct sg_ops *ops,
                        const struct sg_model *model, const float *trainable, float *all)
{
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    for (size_t i = 0; i < n; i++)
        if (p[i].trainable)
            move(ops, all + p[i].first, trainable + p[i].trainable_first, (size_t)(p[i].n_out * p[i].n_in) * sizeof(float));
}

void sg_trainable_put(const struct sg_ops *ops, const struct sg_model *model, const float *trainable, float *all)
{
    move_to_all(sg_ops_copy, ops, model, trainable, all);
}

void sg_trainable_fetch(const struct sg_ops *ops, const struct sg_model *model, const float *trainable, float *all)
{
    move_to_all(sg_ops_download, ops, model, trainable, all);
}

/* What the ops hold for the whole run. The host's weights serve as theirs where their memory is the host's. */
static void carve_loop(struct loop *l, struct sg_zones *zones)
{
    const struct sg_plan *plan = &l->prepared->plan;
    const struct sg_training *training = &l->options->config->training;
    size_t n = (size_t)plan->n_weights, all = (size_t)sg_model_n_weights(l->prepared->model);
    l->optimizer_memory =
        sg_zone_tensor(zones, sg_optimizer_place(training, l->options->ops, plan->n_weights, plan->steps, NULL, NULL));
    l->sum = sg_zone_tensor(zones, n * sizeof *l->sum);
    l->gradient = sg_zone_tensor(zones, n * sizeof *l->gradient);
    l->weights = l->options->ops->far ? sg_zone_tensor(zones, all * sizeof *l->weights) : l->prepared->weights;
}

static enum sg_status open_weights(struct loop *l)
{
    const struct sg_plan *plan = &l->prepared->plan;
    const struct sg_ops *ops = l->options->ops;
    struct sg_zones zones = {0};
    carve_loop(l, &zones);
    SG_TRY(sg_block_open(ops, &zones, &l->block));
    carve_loop(l, &zones);
    sg_optimizer_place(&l->options->config->training, ops, plan->n_weights, plan->steps, l->optimizer_memory, &l->optimizer);
    sg_trainable_take(ops, l->prepared->model, l->prepared->weights, l->optimizer.weights);
    sg_optimizer_begin(&l->optimizer);
    if (ops->far)
        sg_ops_upload(ops, l->weights, l->prepared->weights, (size_t)sg_model_n_weights(l->prepared->model) * sizeof *l->weights);
    SG_TRY(sg_model_packed_open(l->prepared->model, &l->packed));
    sg_model_pack(l->prepared->model, l->weights, true, l->packed);
    return SG_OK;
}

static enum sg_status open_loop(struct loop *l, const struct sg_dataset *dataset)
{
    const struct sg_plan *plan = &l->prepared->plan;
    l->train_unit = sg_units_of_split(dataset, SG_SPLIT_TRAIN, &l->n_train);
    l->digest = sg_alloc((size_t)l->n_train, SG_UNIT_DIGEST_BYTES);
    for (int64_t i = 0; i < l->n_train; i++)
        memcpy(l->digest[i], dataset->digest[l->train_unit[i]], SG_UNIT_DIGEST_BYTES);
    SG_TRY(open_weights(l));
    const struct sg_masking *masking = sg_prepared_masking(l->prepared, &l->options->config->training, &l->masking);
    /* Where there is no room for it, each step goes through the frozen part anew. */
    if ((double)plan->steps * plan->sample_rate > 1 && !masking &&
        sg_prefix_bytes(l->prepared->model, dataset, l->train_unit, l->n_train) <= l->prepared->memory.prefix_room)
        SG_TRY(sg_prefix_find(l->prepared->model, l->prepared->weights, dataset, l->train_unit, l->n_train,
                              l->prepared->shape.n_workers, &l->prefix));
    const struct sg_team_setup setup = {l->prepared->model, l->options->ops, plan, dataset,
                                        l->prefix.rows ? &l->prefix : NULL, masking, l->prepared->shape};
    return sg_team_open(&setup, &l->team);
}

static void close_loop(struct loop *l)
{
    sg_team_close(&l->team);
    sg_prefix_free(&l->prefix);
    sg_sample_free(&l->sample);
    free(l->train_unit);
    free(l->digest);
    sg_model_packed_close(l->prepared->model, &l->packed);
    sg_block_close(&l->block);
}

/* What has been spent after n_steps and how fast it goes. The whole plan's epsilon is the plan's own. */
static void set_note(struct loop *l, int64_t n_steps)
{
    const struct sg_plan *plan = &l->prepared->plan;
    char epsilon[32] = "without privacy";
    struct sg_phase phase;
    struct sg_history history = sg_plan_history(plan, &phase);
    phase.steps = n_steps;
    struct sg_epsilon figure = {.epsilon = plan->epsilon};
    if (plan->is_private &&
        (n_steps == plan->steps || sg_account_epsilon(&history, plan->delta_accountant, &figure) == SG_OK))
        snprintf(epsilon, sizeof epsilon, "epsilon %.3f", figure.epsilon);
    double seconds = sg_clock_seconds() - l->progress.start_s + 1e-9;
    snprintf(l->note, sizeof l->note, "%s  %.0f examples/s", epsilon, (double)l->n_units / seconds);
}

/* Nobody in a hurry needs epsilon so far: it is found at most once a second. */
static void show_progress(struct loop *l, int64_t step)
{
    double now = sg_clock_seconds();
    if (l->progress.terminal < 0)
        return;
    if (now - l->note_s >= 1) {
        l->note_s = now;
        set_note(l, step + 1);
    }
    sg_progress_update(&l->progress, step + 1, l->note);
}

/* The weights that would be released if the run ended here. */
static enum sg_status track_step(struct loop *l, int64_t step)
{
    if (!sg_track_is_due(&l->track, step + 1))
        return SG_OK;
    sg_trainable_fetch(l->options->ops, l->prepared->model, sg_optimizer_result(&l->optimizer), l->track.weights);
    return sg_track_measure(&l->track, step + 1);
}

/* After the steps so far: `step` of them. A ledger that cannot be written ends the run: every rank hears of it with the
 * next sums. */
static enum sg_status beat(struct loop *l, int64_t step)
{
    const struct sg_config *config = l->options->config;
    if (!l->beat || step == 0)
        return SG_OK;
    double now = sg_clock_seconds();
    bool is_due = config->heartbeat_steps > 0 ? step % config->heartbeat_steps == 0
                                              : now - l->beat_s >= (double)config->heartbeat_s;
    if (!is_due)
        return SG_OK;
    l->beat_s = now;
    return l->beat->beat(l->beat->context, step);
}

static void sum_over_ranks(struct loop *l)
{
    const struct sg_comm *comm = l->options->comm;
    size_t n = (size_t)l->prepared->plan.n_weights;
    if (!l->options->ops->far || comm->size == 1) {
        comm->sum(l->sum, (int64_t)n);
        return;
    }
    int64_t *host = sg_alloc(n, sizeof *host);
    sg_ops_download(l->options->ops, host, l->sum, n * sizeof *host);
    comm->sum(host, (int64_t)n);
    sg_ops_upload(l->options->ops, l->sum, host, n * sizeof *host);
    free(host);
}

static enum sg_status one_step(struct loop *l, int64_t step)
{
    struct sg_comm *comm = l->options->comm;
    bool overflow = false;
    struct sg_clip_counts counts = {0};
    enum sg_status status = beat(l, step);
    if (status == SG_OK)
        status = sg_mechanism_sample(l->mechanism, step, (const uint8_t(*)[16])l->digest, l->n_train, &l->sample);
    if (status == SG_OK)
        sg_team_step(l->team, l->mechanism, &l->sample, l->train_unit, l->packed, step, comm, l->sum, &overflow, &counts);
    if (status == SG_OK)
        status = sg_ops_check(l->options->ops);
    /* A rank that failed says so here, so that nobody waits for its sums. */
    int64_t flags[3] = {overflow, *l->options->stopped, status != SG_OK};
    comm->sum(flags, 3);
    if (flags[2])
        return sg_comm_agree_all(comm, status);
    if (flags[1])
        return sg_fail(SG_FAILED, "interrupted in step %lld; the run keeps its whole reservation", (long long)step);
    sum_over_ranks(l);
    SG_TRY(sg_mechanism_release(l->mechanism, step, l->sum, flags[0] > 0, l->gradient));
    sg_optimizer_step(&l->optimizer, step, l->gradient);
    sg_trainable_put(l->options->ops, l->prepared->model, l->optimizer.weights, l->weights);
    sg_model_repack(l->prepared->model, l->weights, true, l->packed);
    l->counts.n_groups += counts.n_groups;
    l->counts.n_clipped += counts.n_clipped;
    l->counts.n_excluded += counts.n_excluded;
    l->counts.norm_sum += counts.norm_sum;
    l->n_units += l->sample.n_units;
    l->n_over += l->sample.n_over;
    SG_TRY(track_step(l, step));
    show_progress(l, step);
    return SG_OK;
}

static json_t *internal_figures(const struct loop *l)
{
    double n = l->counts.n_groups > 0 ? (double)l->counts.n_groups : 1;
    return json_pack("{s:I, s:o, s:o, s:I, s:I}", "groups", (json_int_t)l->counts.n_groups, "clip_fraction",
                     sg_json_real((double)l->counts.n_clipped / n), "mean_norm", sg_json_real(l->counts.norm_sum / n), "excluded",
                     (json_int_t)l->counts.n_excluded, "over_cap", (json_int_t)l->n_over);
}

enum sg_status sg_train_steps(const struct sg_train_options *options, struct sg_prepared *prepared,
                              const struct sg_dataset *dataset, struct sg_mechanism *mechanism,
                              const struct sg_beat *beat, int64_t *steps_done, json_t **internal, json_t **track)
{
    struct loop l = {.options = options, .prepared = prepared, .mechanism = mechanism, .beat = beat, .beat_s = sg_clock_seconds(), .note_s = -1e9};
    enum sg_status status = open_loop(&l, dataset);
    sg_track_open(options, prepared, dataset, &l.track);
    sg_progress_begin(&l.progress, "training", prepared->plan.steps);
    if (options->quiet || options->comm->rank != 0)
        l.progress.terminal = -1;
    int64_t step = 0;
    for (; status == SG_OK && step < prepared->plan.steps; step++)
        status = one_step(&l, step);
    *steps_done = sg_mechanism_steps_done(mechanism);
    if (*steps_done > 0 && l.progress.terminal >= 0)
        set_note(&l, *steps_done);
    sg_progress_end(&l.progress, *steps_done, l.note);
    if (status == SG_OK) {
        sg_trainable_fetch(options->ops, prepared->model, sg_optimizer_result(&l.optimizer), prepared->weights);
        if (options->show_internal)
            *internal = internal_figures(&l);
    }
    json_t *tracked = sg_track_close(&l.track);
    if (status == SG_OK)
        *track = tracked;
    else
        json_decref(tracked);
    close_loop(&l);
    return status;
}
