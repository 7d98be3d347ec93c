#include "support.h"

#include <ftw.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "steps.h"

double test_uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)(int64_t)(z ^ z >> 31) * 0x1p-63;
}

enum { F = 4, S = 2 };

static struct sg_dataset *dataset_alloc(int64_t n, int64_t n_rows)
{
    struct sg_dataset *d = sg_alloc(1, sizeof *d);
    *d = (struct sg_dataset){.n_units = n, .n_rows = n_rows, .n_features = F, .n_static = S};
    d->offset = sg_alloc((size_t)n + 1, sizeof *d->offset);
    d->x = sg_alloc((size_t)(n_rows * F) + 1, sizeof *d->x);
    d->statics = sg_alloc((size_t)(n * S) + 1, sizeof *d->statics);
    d->label = sg_alloc((size_t)n + 1, sizeof *d->label);
    d->digest = sg_alloc((size_t)n + 1, sizeof *d->digest);
    d->split = sg_alloc((size_t)n + 1, 1);
    d->n_split[SG_SPLIT_TRAIN] = n;
    return d;
}

struct sg_dataset *test_dataset_make(int64_t n, int64_t rows_max, uint64_t seed)
{
    struct sg_dataset *d = dataset_alloc(n, n * rows_max);
    for (int64_t i = 0; i < n; i++) {
        uint8_t hash[SG_DIGEST_BYTES], name[8];
        sg_store_u64be(name, (uint64_t)i);
        sg_sha256(name, sizeof name, hash);
        memcpy(d->digest[i], hash, SG_UNIT_DIGEST_BYTES);
        int64_t rows = 1 + (int64_t)((test_uniform(&seed) + 1) / 2 * (double)rows_max);
        d->offset[i + 1] = d->offset[i] + (rows < rows_max ? rows : rows_max);
        d->label[i] = test_uniform(&seed) < 0 ? 0 : 1;
        for (int j = 0; j < S; j++)
            d->statics[i * S + j] = (float)(test_uniform(&seed) + .3 * d->label[i]);
    }
    d->n_rows = d->offset[n];
    for (int64_t i = 0; i < d->n_rows * F; i++)
        d->x[i] = (float)test_uniform(&seed);
    return d;
}

void test_dataset_make_text(struct sg_dataset *d, int64_t vocabulary, uint64_t seed)
{
    d->token = sg_alloc((size_t)d->n_rows + 1, sizeof *d->token);
    for (int64_t r = 0; r < d->n_rows; r++)
        d->token[r] = (int32_t)((test_uniform(&seed) + 1) / 2 * (double)(vocabulary - 1));
    d->n_features = d->n_static = 0;
}

void test_dataset_free(struct sg_dataset *d)
{
    void *owned[] = {d->token, d->offset, d->x, d->statics, d->label, d->digest, d->split, d};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

static void copy_unit(const struct sg_dataset *from, int64_t i, struct sg_dataset *to, int64_t k)
{
    int64_t rows = from->offset[i + 1] - from->offset[i];
    to->offset[k + 1] = to->offset[k] + rows;
    memcpy(to->x + to->offset[k] * F, from->x + from->offset[i] * F, (size_t)(rows * F) * sizeof(float));
    memcpy(to->statics + k * S, from->statics + i * S, S * sizeof(float));
    to->label[k] = from->label[i];
    memcpy(to->digest[k], from->digest[i], SG_UNIT_DIGEST_BYTES);
}

struct sg_dataset *test_dataset_without(const struct sg_dataset *dataset, int64_t unit)
{
    struct sg_dataset *d = dataset_alloc(dataset->n_units - 1, dataset->n_rows);
    for (int64_t i = 0, k = 0; i < dataset->n_units; i++)
        if (i != unit)
            copy_unit(dataset, i, d, k++);
    d->n_rows = d->offset[d->n_units];
    return d;
}

struct sg_dataset *test_dataset_only(const struct sg_dataset *dataset, int64_t unit)
{
    struct sg_dataset *d = dataset_alloc(1, dataset->n_rows);
    copy_unit(dataset, unit, d, 0);
    d->n_rows = d->offset[1];
    return d;
}

/* Resolved once for each kind of run: the accountant takes its time over a plan. */
static struct sg_plan plan_of(const struct test_run_setup *setup, int64_t n_weights, int64_t rows)
{
    struct key {
        int64_t is_private, population, microbatch, n_panels, steps, n_weights, rows;
        double q;
    };
    static struct key known[32];
    static struct sg_plan plans[32];
    static int n_known;
    const struct key key = {setup->is_private, setup->population, setup->microbatch, setup->n_panels,
                            setup->steps,      n_weights,         rows,              setup->q};
    for (int i = 0; i < n_known; i++)
        if (memcmp(&known[i], &key, sizeof key) == 0)
            return plans[i];
    const struct sg_plan_request request = {
        .is_private = setup->is_private,
        .clip_group = setup->microbatch > 1 ? SG_CLIP_MICROBATCH : SG_CLIP_EXAMPLE,
        .microbatch_size = setup->microbatch > 1 ? setup->microbatch : 1,
        .sample_rate = setup->q,
        .population_size = setup->population,
        .steps = setup->steps,
        .noise_multiplier = setup->is_private ? 1 : 0,
        .target_delta = setup->is_private ? 1e-5 : 0,
        .max_grad_norm = 1,
        .n_panels = setup->n_panels,
        .rows_per_unit_max = rows,
        .n_weights = n_weights,
        .noise_source = "chacha20",
        .noise_tau_log2 = sg_noise_tau_log2(),
    };
    struct sg_plan plan;
    if (sg_plan_resolve(&request, &plan) != SG_OK)
        fail_msg("%s", sg_error_text());
    if (n_known < 32) {
        known[n_known] = key;
        plans[n_known++] = plan;
    }
    return plan;
}

static void alone_sum(int64_t *values, int64_t n)
{
    (void)values, (void)n;
}
static void alone_broadcast(void *bytes, size_t n)
{
    (void)bytes, (void)n;
}

void test_run_open(const struct test_run_setup *setup, struct test_run *out)
{
    static volatile sig_atomic_t never_stopped;
    const struct sg_model_spec small = {.kind = SG_MODEL_BILSTM_ATTENTION,
                                       .n_features = F,
                                       .n_static = S,
                                       .hidden = 4,
                                       .layers = 1,
                                       .attention = 4,
                                       .mlp = 6,
                                       .mlp_activation = SG_RELU,
                                       .linear_steps = 3,
                                       .dropout = setup->dropout};
    *out = (struct test_run){.comm = {0, 1, alone_sum, alone_broadcast, NULL}};
    memcpy(out->secret, "the secret of this test, 32 byte", SG_KEY_BYTES);
    out->config.training = (struct sg_training){.optimizer = SG_OPTIMIZER_ADAM,
                                                .learning_rate = .05,
                                                .momentum = .9,
                                                .beta1 = .9,
                                                .beta2 = .999,
                                                .adam_epsilon = 1e-8,
                                                .decay_start = .5,
                                                .average_decay = .9,
                                                .schedule = SG_SCHEDULE_LINEAR,
                                                .public_seed = 1};
    out->options = (struct sg_train_options){.config = &out->config,
                                             .ops = setup->ops,
                                             .comm = &out->comm,
                                             .n_workers = setup->n_workers,
                                             .quiet = true,
                                             .show_internal = true,
                                             .stopped = &never_stopped};
    const struct sg_model_spec *spec = setup->spec ? setup->spec : &small;
    assert_int_equal(sg_model_create(spec, setup->ops, 1, &out->prepared.model), SG_OK);
    if (setup->trainable)
        assert_int_equal(sg_model_train_only(out->prepared.model, &setup->trainable, 1), SG_OK);
    out->prepared.weights = sg_alloc((size_t)sg_model_n_weights(out->prepared.model), sizeof(float));
    sg_model_init(out->prepared.model, 1, out->prepared.weights);
    out->prepared.plan = plan_of(setup, sg_model_n_trainable(out->prepared.model), sg_model_unit_rows(spec, 3));
    out->prepared.memory.prefix_room = setup->no_prefix ? 0 : SIZE_MAX;
    out->prepared.shape = (struct sg_shape){setup->n_workers, setup->panels ? setup->panels : 1, setup->recompute};
}

enum sg_status test_run_train(struct test_run *run, const struct sg_dataset *dataset)
{
    const struct sg_buffer context = {0};
    struct sg_mechanism *mechanism;
    enum sg_status status = sg_mechanism_open(&run->prepared.plan, run->options.ops, run->secret, &context, &mechanism);
    assert_int_equal(status, SG_OK);
    status = sg_train_steps(&run->options, &run->prepared, dataset, mechanism, NULL, &run->steps_done, &run->internal,
                            &run->track);
    sg_mechanism_close(&mechanism);
    return status;
}

void test_run_close(struct test_run *run)
{
    json_decref(run->internal);
    json_decref(run->track);
    sg_prepared_free(&run->prepared);
}

char *test_folder_make(void)
{
    char *folder = sg_strdup("test_run_XXXXXX");
    assert_non_null(mkdtemp(folder));
    return folder;
}

static int remove_one(const char *path, const struct stat *facts, int type, struct FTW *where)
{
    (void)facts, (void)type, (void)where;
    return remove(path);
}

void test_folder_remove(char *folder)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

void test_file_write(const char *folder, const char *name, const char *text)
{
    char *path = sg_path_join(folder, name);
    assert_int_equal(sg_file_write(path, text, strlen(text), 0644), SG_OK);
    free(path);
}
