/* Would catch: a private step that is not the definition. One unit after the other through PyTorch, each gradient
 * clipped, their mean taken, against one step of the engine without its noise: packed rows, norms by the cheaper route,
 * weights of the clip, integer sums, the optimizer; of all weights and of LoRA's factors and head alone.
 *
 *   test_run_golden_step              the small generated encoders of tests/nn
 *   test_run_golden_step FILE         any file of tools/encoder_golden.py: prints the differences in one line */
#include "support.h"

#include <math.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "golden.h"
#include "optimizer.h"
#include "steps.h"
#include "team.h"

/* The clip is shorter than the definition's by what its norm may be wrong (docs/privacy.md, section 5): 6e-5 of 22
 * million weights. So a step is taken twice: with the definition's weights min(1, C / norm) it must be the reference's
 * mean, and as a run takes it each unit's share must be. Where units cancel, their mean is off by more of itself: the
 * share is measured by the mean of the units' absolute values. */
#define WITHIN 1e-4
#define NOISE 1e-7 /* plus this share of the largest of all: a key's bias has no gradient but rounding */
#define N_PANELS 3 /* so that a step is more than one */
#define LEARNING_RATE 1

static void weight_by_definition(int64_t n_groups, const struct sg_group_norm *norm, double clip, double kappa,
                                 double *w)
{
    (void)kappa;
    for (int64_t j = 0; j < n_groups; j++)
        w[j] = (float)fmin(1, clip / sqrt(norm[j].norm2));
}

struct step {
    struct golden g;
    struct sg_plan plan;
    struct sg_dataset dataset;
    int32_t *unit;
    int64_t *sum;
    float *gradient;
};

/* The units of the step as a dataset: tokens and labels of the first n_step texts. */
static void make_dataset(struct step *s)
{
    struct sg_dataset *d = &s->dataset;
    int64_t n = atoi(golden_metadata(&s->g, "n_step"));
    *d = (struct sg_dataset){.n_units = n, .n_rows = s->g.offset[n], .token = s->g.token};
    d->offset = sg_alloc((size_t)n + 1, sizeof *d->offset);
    d->digest = sg_alloc((size_t)n, SG_UNIT_DIGEST_BYTES);
    d->label = golden_tensor(&s->g, "golden.", "label")->data;
    s->unit = sg_alloc((size_t)n, sizeof *s->unit);
    for (int64_t u = 0; u < n; u++) {
        uint8_t digest[SG_DIGEST_BYTES];
        d->offset[u + 1] = s->g.offset[u + 1];
        s->unit[u] = (int32_t)u;
        sg_sha256(&u, sizeof u, digest);
        memcpy(d->digest[u], digest, SG_UNIT_DIGEST_BYTES);
    }
}

/* The margin for rounding is proportional to C: asked for so that what is left of C is the reference's. */
static void make_plan(struct step *s)
{
    double clip = atof(golden_metadata(&s->g, "clip"));
    int64_t n = s->dataset.n_units, longest = 0;
    for (int64_t u = 0; u < n; u++)
        longest = s->g.offset[u + 1] - s->g.offset[u] > longest ? s->g.offset[u + 1] - s->g.offset[u] : longest;
    struct sg_plan_request request = {.is_private = true,
                                      .microbatch_size = 1,
                                      .sample_rate = 1,
                                      .population_size = n,
                                      .steps = 1,
                                      .noise_multiplier = 10,
                                      .target_delta = 1e-5,
                                      .max_grad_norm = clip,
                                      .n_panels = N_PANELS,
                                      .rows_per_unit_max = longest,
                                      .n_weights = sg_model_n_trainable(s->g.model),
                                      .noise_source = "chacha20",
                                      .noise_tau_log2 = -300};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sg_plan_resolve(&request, &s->plan), SG_OK);
        request.max_grad_norm *= clip / s->plan.clip_norm;
    }
    assert_true(fabs(s->plan.clip_norm / clip - 1) < 1e-6);
}

/* The sum of clipped gradients as the team leaves it, then as the optimizer would get it without noise. */
static void run_step(struct step *s, const struct sg_ops *ops)
{
    static const uint8_t secret[SG_KEY_BYTES] = {7};
    struct sg_buffer context = {0};
    struct sg_mechanism *mechanism;
    struct sg_team *team;
    struct sg_comm comm;
    struct sg_sample sample = {0};
    struct sg_clip_counts counts;
    bool overflow;
    int64_t n = s->plan.n_weights;
    const struct sg_team_setup setup = {s->g.model, ops, &s->plan, &s->dataset, NULL, NULL, {2, 1, false}};
    void *packed = sg_alloc_aligned(sg_model_packed_bytes(s->g.model));
    s->sum = sg_alloc_aligned((size_t)n * sizeof *s->sum);
    s->gradient = sg_alloc((size_t)n, sizeof *s->gradient);
    sg_buffer_text(&context, "golden step");
    sg_model_pack(s->g.model, s->g.weights, true, packed);
    assert_int_equal(sg_comm_open(&comm), SG_OK);
    assert_int_equal(sg_mechanism_open(&s->plan, ops, secret, &context, &mechanism), SG_OK);
    assert_int_equal(sg_team_open(&setup, &team), SG_OK);
    assert_int_equal(
        sg_mechanism_sample(mechanism, 0, (const uint8_t(*)[16])s->dataset.digest, s->dataset.n_units, &sample), SG_OK);
    sg_team_step(team, mechanism, &sample, s->unit, packed, 0, &comm, s->sum, &overflow, &counts);
    assert_false(overflow);
    for (int64_t i = 0; i < n; i++)
        s->gradient[i] = (float)((double)s->sum[i] * s->plan.grid / s->plan.divisor);
    sg_team_close(&team);
    sg_mechanism_close(&mechanism);
    sg_sample_free(&sample);
    sg_comm_close(&comm);
    sg_buffer_free(&context);
    free(packed);
}

static double largest(const struct sg_tensor *t)
{
    double found = 0;
    for (int64_t i = 0; i < t->n; i++)
        found = fmax(found, fabs(t->data[i]));
    return found;
}

struct differences {
    double gradient, cancelled; /* of the units' absolute mean; of the mean */
    double norm;                /* of the mean: ours over theirs, less 1 */
    double weights;             /* their move, relative to the largest move */
    char worst[96];
};

/* The gradient, its norm, and the weights that SGD makes of it. */
static void compare(struct step *s, const struct sg_ops *ops, struct differences *out)
{
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(s->g.model, &n);
    double largest_of_all = 0, ours = 0, theirs = 0;
    const struct sg_training training = {.optimizer = SG_OPTIMIZER_SGD, .learning_rate = LEARNING_RATE};
    struct sg_optimizer optimizer;
    void *memory = sg_alloc_aligned(sg_optimizer_place(&training, ops, s->plan.n_weights, 1, NULL, NULL));
    sg_optimizer_place(&training, ops, s->plan.n_weights, 1, memory, &optimizer);
    sg_trainable_take(ops, s->g.model, s->g.weights, optimizer.weights);
    sg_optimizer_begin(&optimizer);
    sg_optimizer_step(&optimizer, 0, s->gradient);
    for (size_t i = 0; i < n; i++)
        if (p[i].trainable)
            largest_of_all = fmax(largest_of_all, largest(golden_tensor(&s->g, "golden.step.", p[i].name)));
    *out = (struct differences){0};
    for (size_t i = 0; i < n; i++) {
        if (!p[i].trainable)
            continue;
        const struct sg_tensor *t = golden_tensor(&s->g, "golden.step.", p[i].name);
        double floor = NOISE / WITHIN * largest_of_all, mean_scale = largest(t) + floor;
        double scale = golden_tensor(&s->g, "golden.step_size.", p[i].name)->data[0] + floor;
        for (int64_t k = 0; k < t->n; k++) {
            double g = s->gradient[p[i].trainable_first + k], w = optimizer.weights[p[i].trainable_first + k];
            double difference = fabs(g - t->data[k]) / scale;
            out->weights =
                fmax(out->weights, fabs(w - ((double)s->g.weights[p[i].first + k] - LEARNING_RATE * t->data[k])));
            out->cancelled = fmax(out->cancelled, fabs(g - t->data[k]) / mean_scale);
            ours += g * g;
            theirs += pow(t->data[k], 2);
            if (!(difference <= out->gradient)) {
                out->gradient = difference;
                memcpy(out->worst, p[i].name, sizeof out->worst);
            }
        }
    }
    out->norm = sqrt(ours / theirs) - 1;
    out->weights /= LEARNING_RATE * largest_of_all;
    free(memory);
}

static struct differences step_of(const char *path, const struct sg_ops *ops, int64_t *n_units)
{
    struct step s = {0};
    struct differences d;
    golden_open(path, ops, &s.g);
    make_dataset(&s);
    make_plan(&s);
    run_step(&s, ops);
    compare(&s, ops, &d);
    *n_units = s.dataset.n_units;
    free(s.dataset.offset);
    free(s.dataset.digest);
    free(s.unit);
    free(s.sum);
    free(s.gradient);
    golden_close(&s.g);
    return d;
}

/* Prints what differs, and says whether that is little enough. */
static bool compare_both(const char *path, const struct sg_ops *ops)
{
    struct sg_ops defined = *ops;
    int64_t n_units;
    defined.clip_weight = weight_by_definition;
    struct differences run = step_of(path, ops, &n_units), d = step_of(path, &defined, &n_units);
    printf("mean of %lld gradients clipped by definition: %.1e relative (at most %g), its norm %+.1e, weights after "
           "SGD %.1e; "
           "as run: %.1e of the units' size, worst %s, its norm %+.1e\n",
           (long long)n_units, d.cancelled, WITHIN, d.norm, d.weights, run.gradient, run.worst, run.norm);
    return d.cancelled <= WITHIN && fabs(d.norm) <= WITHIN && d.weights <= WITHIN && run.gradient <= WITHIN &&
           fabs(run.norm) <= WITHIN && run.weights <= WITHIN;
}

static void test_generated(void **state)
{
    (void)state;
    const struct sg_ops *backends[] = {sg_ops_reference(), sg_ops_cpu()};
    for (size_t i = 0; golden_names[i]; i++) {
        if (strcmp(golden_names[i], "masked") == 0) /* trains without privacy alone */
            continue;
        for (size_t k = 0; k < 2 && backends[k]; k++) {
            char *path = golden_path(golden_names[i]);
            printf("%s, %s: ", backends[k]->name, golden_names[i]);
            assert_true(compare_both(path, backends[k]));
            free(path);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return compare_both(argv[1], sg_ops_cpu() ? sg_ops_cpu() : sg_ops_reference()) ? 0 : 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_generated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
