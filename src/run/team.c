#include "team.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "loss.h"

struct worker {
    struct sg_team *team;
    pthread_t thread;
    struct sg_block block;
    struct sg_gathered gathered;
    struct sg_workspace *workspace;
    struct sg_absorber absorber;
    float *output, *doutput; /* (units, outputs) */
    int32_t *unit, *target;  /* (units) */
};

/* What one step asks of everybody; read-only while the workers run. */
struct job {
    const struct sg_mechanism *mechanism;
    const struct sg_sample *sample;
    const int32_t *train_unit;
    const void *packed;
    int64_t step;
    int rank, n_ranks;
};

struct sg_team {
    struct sg_team_setup setup;
    int n_workers;
    struct worker *workers;
    struct job job;
    bool quit;
    pthread_barrier_t start, finish;
    atomic_llong next_panel;
};

/* Units of the largest panel that the plan allows, thrice the usual one, and of the others as many as are usual: a
 * worker takes fewer panels where more would not fit. */
static int64_t units_of(const struct sg_plan *plan, const struct sg_shape *shape)
{
    int64_t panels = shape->panels < plan->n_panels ? shape->panels : plan->n_panels;
    int64_t usual = (int64_t)ceil(plan->expected_batch_size / (double)plan->n_panels);
    usual = usual < plan->units_per_panel_max ? usual : plan->units_per_panel_max;
    return plan->units_per_panel_max + (panels - 1) * usual;
}

static enum sg_workspace_use use_of(const struct sg_shape *shape)
{
    return shape->recompute ? SG_WORKSPACE_RECOMPUTED : SG_WORKSPACE_TRAINING;
}

/* The same steps find the sizes and carve. The first worker sums into the caller's vector. */
static void carve_worker(const struct sg_model *model, const struct sg_ops *ops, const struct sg_plan *plan,
                         const struct sg_prefix *prefix, const struct sg_shape *shape, bool is_first,
                         struct sg_zones *zones, struct worker *w)
{
    int64_t units = units_of(plan, shape), rows = units * plan->rows_per_unit_max;
    const struct sg_model_spec *spec = sg_model_spec_of(model);
    struct sg_absorber_room room = {is_first ? 0 : plan->n_weights, units, sg_model_tap_rows_max(model, units, rows),
                                    shape->panels, 0};
    sg_model_parameters(model, &room.taps_max);
    sg_gathered_carve(spec, prefix, units, rows, zones, &w->gathered);
    sg_absorber_carve(ops, &room, zones, &w->absorber);
    int64_t answers = spec->objective == SG_MASKED_TOKENS ? sg_mask_rows_max(units, rows) : units;
    size_t outputs = (size_t)(answers * sg_outputs_of(spec)) * sizeof(float);
    w->output = sg_zone_tensor(zones, outputs);
    w->doutput = sg_zone_tensor(zones, outputs);
    w->unit = sg_zone_host(zones, (size_t)units * sizeof *w->unit);
    w->target = sg_zone_list(zones, (size_t)units * sizeof *w->target);
    w->workspace = sg_workspace_carve(model, units, rows, use_of(shape), zones);
}

size_t sg_worker_bytes(const struct sg_model *model, const struct sg_plan *plan, const struct sg_prefix *prefix,
                       const struct sg_shape *shape, int worker)
{
    struct sg_zones zones = {0};
    struct worker unused;
    carve_worker(model, NULL, plan, prefix, shape, worker == 0, &zones, &unused);
    return sg_zones_bytes(&zones);
}

/* There is room for units that all have the most rows: pages that no panel reaches are never touched, so they cost
 * nothing on the host. */
static enum sg_status open_worker(const struct sg_team_setup *setup, bool is_first, struct worker *w)
{
    struct sg_zones zones = {0};
    carve_worker(setup->model, setup->ops, setup->plan, setup->prefix, &setup->shape, is_first, &zones, w);
    SG_TRY(sg_block_open(setup->ops, &zones, &w->block));
    carve_worker(setup->model, setup->ops, setup->plan, setup->prefix, &setup->shape, is_first, &zones, w);
    return SG_OK;
}

static void take_norms(void *worker, const struct sg_tap *taps, size_t n_taps)
{
    struct worker *w = worker;
    sg_mechanism_take_norms(w->team->job.mechanism, taps, n_taps, &w->absorber, sg_workspace_scratch(w->workspace));
}

static void sum(void *worker, const struct sg_tap *taps, size_t n_taps)
{
    struct worker *w = worker;
    sg_mechanism_sum(w->team->job.mechanism, taps, n_taps, &w->absorber, sg_workspace_scratch(w->workspace));
}

/* Backward and absorb. Where blocks are computed again their taps come part by part, and twice with privacy: a weight
 * is known only when the norms of all parts are. */
static void absorb(struct worker *w, int64_t first_panel, int64_t n_panels)
{
    const struct sg_team *team = w->team;
    const struct sg_model *model = team->setup.model;
    const struct job *job = &team->job;
    const struct sg_batch *batch = &w->gathered.batch;
    sg_mechanism_begin(job->mechanism, job->sample, first_panel, n_panels, &w->absorber);
    if (team->setup.shape.recompute) {
        if (team->setup.plan->is_private)
            sg_model_backward_in_parts(model, job->packed, batch, w->doutput, w->workspace, take_norms, w);
        sg_mechanism_weigh(job->mechanism, &w->absorber);
        sg_model_backward_in_parts(model, job->packed, batch, w->doutput, w->workspace, sum, w);
        return;
    }
    size_t n_taps;
    const struct sg_tap *taps = sg_model_backward(model, job->packed, batch, w->doutput, w->workspace, &n_taps);
    take_norms(w, taps, n_taps);
    sg_mechanism_weigh(job->mechanism, &w->absorber);
    sum(w, taps, n_taps);
}

/* Panels first .. first + n, whose units fit. */
static void work_on(struct worker *w, int64_t first_panel, int64_t n_panels)
{
    const struct sg_team *team = w->team;
    const struct job *job = &team->job;
    int64_t begin = job->sample->panel_unit[first_panel], n = job->sample->panel_unit[first_panel + n_panels] - begin;
    if (n == 0)
        return; /* panels without units add nothing */
    for (int64_t b = 0; b < n; b++)
        w->unit[b] = job->train_unit[job->sample->unit[begin + b]];
    sg_gather(team->setup.dataset, team->setup.prefix, w->unit, n, job->step, &w->gathered);
    if (team->setup.masking)
        sg_gather_masked(team->setup.masking, &w->gathered);
    sg_gathered_upload(sg_model_spec_of(team->setup.model), team->setup.ops, &w->gathered);
    const struct sg_batch *batch = &w->gathered.batch;
    sg_model_forward(team->setup.model, job->packed, batch, true, w->workspace, w->output);
    /* The mean over a microbatch has the public divisor k inside the clip. */
    float scale = 1.0f / (float)team->setup.plan->microbatch_size;
    const struct sg_model_spec *spec = sg_model_spec_of(team->setup.model);
    if (team->setup.masking)
        sg_loss_masked(spec, team->setup.ops, n, batch->masked_offset, w->output,
                       sg_far(w->gathered.target, w->gathered.shift), scale, w->doutput);
    else
        sg_loss_gradient(spec, team->setup.ops, n, w->output, batch->label, scale, w->target, batch->shift, w->doutput);
    absorb(w, first_panel, n_panels);
}

/* How many of the panels begin .. end have no more units together than there is room for: at least one. */
static int64_t fitting(const struct worker *w, int64_t begin, int64_t end)
{
    const int32_t *panel_unit = w->team->job.sample->panel_unit;
    int64_t n = 1;
    while (begin + n < end && panel_unit[begin + n + 1] - panel_unit[begin] <= w->gathered.units_max)
        n++;
    return n;
}

static void work(struct worker *w)
{
    struct sg_team *team = w->team;
    const struct job *job = &team->job;
    /* This rank's share of the panels, and the worker's next ones of it. */
    int64_t share = job->sample->n_panels * job->rank / job->n_ranks;
    int64_t share_end = job->sample->n_panels * (job->rank + 1) / job->n_ranks, panels = team->setup.shape.panels;
    sg_absorber_reset(team->setup.ops, &w->absorber, team->setup.plan->n_weights);
    for (;;) {
        int64_t begin = share + atomic_fetch_add(&team->next_panel, panels);
        int64_t end = begin + panels < share_end ? begin + panels : share_end;
        if (begin >= share_end)
            return;
        for (int64_t n; begin < end; begin += n) {
            n = fitting(w, begin, end);
            work_on(w, begin, n);
        }
    }
}

static void *run_worker(void *argument)
{
    struct worker *w = argument;
    for (;;) {
        pthread_barrier_wait(&w->team->start);
        if (w->team->quit)
            return NULL;
        work(w);
        pthread_barrier_wait(&w->team->finish);
    }
}

enum sg_status sg_team_open(const struct sg_team_setup *setup, struct sg_team **out)
{
    struct sg_team *team = sg_alloc(1, sizeof *team);
    assert(setup->shape.n_workers == 1 || !setup->ops->far); /* one worker drives a device */
    team->setup = *setup;
    team->workers = sg_alloc((size_t)setup->shape.n_workers, sizeof *team->workers);
    pthread_barrier_init(&team->start, NULL, (unsigned)setup->shape.n_workers);
    pthread_barrier_init(&team->finish, NULL, (unsigned)setup->shape.n_workers);
    *out = NULL; /* stays so on failure: the threads already started wait for good, and the program ends */
    for (; team->n_workers < setup->shape.n_workers; team->n_workers++) {
        struct worker *w = &team->workers[team->n_workers];
        w->team = team;
        enum sg_status status = open_worker(setup, team->n_workers == 0, w);
        if (status != SG_OK) { /* no thread is started yet */
            for (int i = 0; i < team->n_workers; i++)
                sg_block_close(&team->workers[i].block);
            free(team->workers);
            free(team);
            return status;
        }
    }
    /* Worker 0 is the calling thread. */
    for (int i = 1; i < setup->shape.n_workers; i++)
        if (pthread_create(&team->workers[i].thread, NULL, run_worker, &team->workers[i]) != 0)
            return sg_fail(SG_FAILED, "a worker thread could not be started; use fewer --workers");
    *out = team;
    return SG_OK;
}

void sg_team_close(struct sg_team **team)
{
    struct sg_team *t = *team;
    if (!t)
        return;
    t->quit = true;
    if (t->n_workers > 1)
        pthread_barrier_wait(&t->start);
    for (int i = 1; i < t->n_workers; i++)
        pthread_join(t->workers[i].thread, NULL);
    for (int i = 0; i < t->n_workers; i++)
        sg_block_close(&t->workers[i].block);
    pthread_barrier_destroy(&t->start);
    pthread_barrier_destroy(&t->finish);
    free(t->workers);
    free(t);
    *team = NULL;
}

void sg_team_step(struct sg_team *team, const struct sg_mechanism *mechanism, const struct sg_sample *sample,
                  const int32_t *train_unit, const void *packed, int64_t step, const struct sg_comm *comm, int64_t *sum,
                  bool *overflow, struct sg_clip_counts *counts)
{
    team->job = (struct job){mechanism, sample, train_unit, packed, step, comm->rank, comm->size};
    team->workers[0].absorber.sum = sum;
    atomic_store(&team->next_panel, 0);
    if (team->n_workers > 1)
        pthread_barrier_wait(&team->start);
    work(&team->workers[0]);
    if (team->n_workers > 1)
        pthread_barrier_wait(&team->finish);
    int64_t n_weights = team->setup.plan->n_weights;
    *overflow = false;
    *counts = (struct sg_clip_counts){0};
    for (int i = 0; i < team->n_workers; i++) {
        struct sg_absorber *a = &team->workers[i].absorber;
        sg_absorber_finish(team->setup.ops, a);
        for (int64_t j = 0; i > 0 && j < n_weights; j++)
            sum[j] += a->sum[j];
        *overflow |= a->overflow;
        counts->n_groups += a->counts.n_groups;
        counts->n_clipped += a->counts.n_clipped;
        counts->n_excluded += a->counts.n_excluded;
        counts->norm_sum += a->counts.norm_sum;
    }
}
