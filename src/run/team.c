#include "team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "loss.h"

struct worker {
    struct sg_team *team;
    pthread_t thread;
    void *memory;
    size_t bytes;
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

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Sizing and carving in one: memory NULL only counts. The first worker sums into the caller's vector. */
static size_t place_worker(const struct sg_model *model, const struct sg_plan *plan, const struct sg_prefix *prefix,
                           bool is_first, void *memory, struct worker *w)
{
    int64_t units = plan->units_per_panel_max, rows = units * plan->rows_per_unit_max;
    const struct sg_model_spec *spec = sg_model_spec_of(model);
    char *at = memory;
    size_t gathered = round_up(sg_gathered_place(spec, prefix, units, rows, at, w ? &w->gathered : NULL));
    size_t absorber =
        round_up(sg_absorber_place(is_first ? 0 : plan->n_weights, units, sg_model_tap_rows_max(model, units, rows),
                                   at ? at + gathered : NULL, w ? &w->absorber : NULL));
    int64_t answers = spec->objective == SG_MASKED_TOKENS ? sg_mask_rows_max(units, rows) : units;
    size_t outputs = round_up((size_t)(answers * sg_outputs_of(spec)) * sizeof(float));
    size_t vector = round_up((size_t)units * sizeof(int32_t));
    size_t workspace = gathered + absorber + 2 * outputs + 2 * vector;
    if (at) {
        w->output = (float *)(at + gathered + absorber);
        w->doutput = (float *)(at + gathered + absorber + outputs);
        w->unit = (int32_t *)(at + gathered + absorber + 2 * outputs);
        w->target = (int32_t *)(at + gathered + absorber + 2 * outputs + vector);
        w->workspace = sg_workspace_place(model, units, rows, true, at + workspace);
    }
    return workspace + sg_workspace_bytes(model, units, rows, true);
}

size_t sg_team_bytes(const struct sg_model *model, const struct sg_plan *plan, const struct sg_prefix *prefix,
                     int n_workers)
{
    return place_worker(model, plan, prefix, true, NULL, NULL) +
           (size_t)(n_workers - 1) * place_worker(model, plan, prefix, false, NULL, NULL);
}

/* There is room for the largest panel that the plan allows, thrice the usual one, of units that all have the most rows:
 * pages that no panel reaches are never touched, so they cost nothing. */
static void open_worker(const struct sg_team_setup *setup, bool is_first, struct worker *w)
{
    w->bytes = place_worker(setup->model, setup->plan, setup->prefix, is_first, NULL, NULL);
    w->memory = sg_alloc_pages(w->bytes);
    place_worker(setup->model, setup->plan, setup->prefix, is_first, w->memory, w);
}

/* One panel at a time: more at once was never faster, and this way everything stays in the cache. */
static void work_on(struct worker *w, int64_t panel)
{
    const struct sg_team *team = w->team;
    const struct job *job = &team->job;
    const struct sg_sample *sample = job->sample;
    int64_t begin = sample->panel_unit[panel], n = sample->panel_unit[panel + 1] - begin;
    if (n == 0)
        return; /* a panel without units adds nothing */
    for (int64_t b = 0; b < n; b++)
        w->unit[b] = job->train_unit[sample->unit[begin + b]];
    sg_gather(team->setup.dataset, team->setup.prefix, w->unit, n, job->step, &w->gathered);
    if (team->setup.masking)
        sg_gather_masked(team->setup.masking, &w->gathered);
    const struct sg_batch *batch = &w->gathered.batch;
    sg_model_forward(team->setup.model, job->packed, batch, true, w->workspace, w->output);
    /* The mean over a microbatch has the public divisor k inside the clip. */
    float scale = 1.0f / (float)team->setup.plan->microbatch_size;
    const struct sg_model_spec *spec = sg_model_spec_of(team->setup.model);
    if (team->setup.masking)
        sg_loss_masked(spec, team->setup.ops, n, batch->masked_offset, w->output, w->gathered.target, scale,
                       w->doutput);
    else
        sg_loss_gradient(spec, team->setup.ops, n, w->output, batch->label, scale, w->target, w->doutput);
    size_t n_taps;
    const struct sg_tap *taps =
        sg_model_backward(team->setup.model, job->packed, batch, w->doutput, w->workspace, &n_taps);
    sg_mechanism_absorb(job->mechanism, sample, panel, taps, n_taps, &w->absorber, sg_workspace_scratch(w->workspace));
}

static void work(struct worker *w)
{
    struct sg_team *team = w->team;
    sg_absorber_reset(&w->absorber, team->setup.plan->n_weights);
    for (;;) {
        /* Every n_ranks-th panel is this rank's. */
        int64_t panel = atomic_fetch_add(&team->next_panel, 1) * team->job.n_ranks + team->job.rank;
        if (panel >= team->job.sample->n_panels)
            return;
        work_on(w, panel);
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
    team->setup = *setup;
    team->workers = sg_alloc((size_t)setup->n_workers, sizeof *team->workers);
    pthread_barrier_init(&team->start, NULL, (unsigned)setup->n_workers);
    pthread_barrier_init(&team->finish, NULL, (unsigned)setup->n_workers);
    *out = NULL; /* stays so on failure: the threads already started wait for good, and the program ends */
    for (; team->n_workers < setup->n_workers; team->n_workers++) {
        struct worker *w = &team->workers[team->n_workers];
        w->team = team;
        open_worker(setup, team->n_workers == 0, w);
    }
    /* Worker 0 is the calling thread. */
    for (int i = 1; i < setup->n_workers; i++)
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
        sg_free_pages(t->workers[i].memory, t->workers[i].bytes);
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
        const struct sg_absorber *a = &team->workers[i].absorber;
        for (int64_t j = 0; i > 0 && j < n_weights; j++)
            sum[j] += a->sum[j];
        *overflow |= a->overflow;
        counts->n_groups += a->counts.n_groups;
        counts->n_clipped += a->counts.n_clipped;
        counts->n_excluded += a->counts.n_excluded;
        counts->norm_sum += a->counts.norm_sum;
    }
}
