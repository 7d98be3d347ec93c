/* Would catch: a clip group's norm, row mass or weight that is not what brute force in long double says (one group at a
 * time, the gradient written out), a group that adds more than C to the sum, a hostile group that is not excluded or
 * spoils a neighbour, a sum that is not the sum of weight x gradient, groups and rows that are paired wrongly.
 *
 * Ordinary units come from a real model's backward; hostile ones are made of taps. */
#include "support.h"

#include <math.h>

#define GAMMA (66 * 0x1p-24)

/* One clip group by brute force. */
struct brute {
    long double *gradient;       /* (P) */
    long double *mass_by_weight; /* (P): sum over rows of |g||a| in this coordinate */
    long double norm2, mass2;
    bool excluded;
};

static long double row_norm(const float *x, int64_t n)
{
    long double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (long double)x[i] * x[i];
    return sqrtl(sum);
}

/* Adds g x a at one weight. */
static void brute_add(struct brute *b, int64_t weight, long double product)
{
    b->gradient[weight] += product;
    b->mass_by_weight[weight] += fabsl(product);
}

/* Adds one row of a tap; returns its mass. */
static long double brute_row(struct brute *b, const struct sg_tap *tap, int64_t r)
{
    const float *a = tap->a ? tap->a + r * tap->lda : NULL, *g = tap->g + r * tap->ldg;
    if (tap->kind == SG_TAP_EMBED) {
        if (tap->id[r] < 0)
            return 0;
        for (int64_t i = 0; i < tap->n_in; i++)
            brute_add(b, tap->weight + tap->id[r] * tap->n_in + i, g[i]);
        b->excluded |= !isfinite((double)row_norm(g, tap->n_in));
        return row_norm(g, tap->n_in);
    }
    bool scale = tap->kind == SG_TAP_SCALE;
    long double norm_a = row_norm(a, scale ? tap->n_out : tap->n_in), norm_g = row_norm(g, tap->n_out), product2 = 0;
    b->excluded |= !isfinite((double)norm_a) || !isfinite((double)norm_g) || norm_a > 0x1p64L;
    for (int64_t o = 0; o < tap->n_out; o++) {
        for (int64_t i = 0; !scale && i < tap->n_in; i++)
            brute_add(b, tap->weight + o * tap->n_in + i, (long double)g[o] * a[i]);
        if (scale)
            brute_add(b, tap->weight + o, (long double)g[o] * a[o]);
        product2 += scale ? (long double)g[o] * a[o] * g[o] * a[o] : 0;
    }
    return scale ? sqrtl(product2) : norm_a * norm_g;
}

static struct brute brute_make(const struct test_step *s, const int32_t *unit, int64_t n)
{
    size_t n_taps;
    int64_t n_weights = s->plan->n_weights;
    const struct sg_tap *taps = s->fill(s->self, unit, n, &n_taps);
    struct brute b = {calloc((size_t)n_weights, sizeof(long double)), calloc((size_t)n_weights, sizeof(long double)), 0,
                      0, false};
    for (size_t t = 0; t < n_taps; t++) {
        long double mass = 0;
        for (int64_t r = 0; r < taps[t].offset[n]; r++)
            mass += brute_row(&b, &taps[t], r);
        b.mass2 += mass * mass;
    }
    for (int64_t i = 0; i < n_weights; i++)
        b.norm2 += b.gradient[i] * b.gradient[i];
    return b;
}

static void brute_free(struct brute *b)
{
    free(b->gradient);
    free(b->mass_by_weight);
}

/* What the step should have added, and how far from it rounding may go. */
struct expected {
    const struct test_step *step;
    long double *sum, *slack; /* (P) */
    int64_t n_groups, n_excluded, n_clipped;
};

static void check_group(const struct sg_plan *plan, const struct brute *b, const struct sg_group_norm *norm, double w)
{
    assert_int_equal(norm->excluded, b->excluded);
    if (b->excluded) {
        assert_true(w == 0);
        return;
    }
    double n2 = (double)b->norm2, m2 = (double)b->mass2, up2 = norm->norm2 + norm->slack2;
    if (!(up2 >= n2 * (1 - 1e-13)) || !(norm->norm2 <= n2 * (1 + 1e-12) + norm->slack2))
        fail_msg("squared norm %.17g (slack %.3g) should be %.17g", norm->norm2, norm->slack2, n2);
    if (!(fabs(norm->mass2 - m2) <= 1e-11 * m2))
        fail_msg("squared mass %.17g should be %.17g", norm->mass2, m2);
    double want = fmin(1, fmin(plan->clip_norm / sqrt(up2), plan->mass_ratio_max * plan->clip_norm / sqrt(m2)));
    /* Rounded down to a float: never above, and one unit in the last place below at most. */
    if (!(w <= want * (1 + 1e-11) && w >= want * (1 - 0x1p-23) - 0x1p-149 && (double)(float)w == w))
        fail_msg("weight %.17g should be %.17g, rounded down to a float", w, want);
    assert_true(w * sqrt(n2) <= plan->clip_norm * (1 + 1e-12));
}

static void after_panel(void *context, const struct sg_sample *sample, int64_t panel,
                        const struct sg_absorber *absorber)
{
    struct expected *e = context;
    const struct sg_plan *plan = e->step->plan;
    for (int64_t j = sample->panel_group[panel], k = 0; j < sample->panel_group[panel + 1]; j++, k++) {
        int64_t begin = sample->group_unit[j], n = sample->group_unit[j + 1] - begin;
        struct brute b = brute_make(e->step, sample->unit + begin, n);
        double w = absorber->group_weight[k];
        check_group(plan, &b, &absorber->norm[k], w);
        for (int64_t i = 0; i < plan->n_weights && !b.excluded; i++) {
            e->sum[i] += w * b.gradient[i];
            e->slack[i] += GAMMA * w * b.mass_by_weight[i];
        }
        e->n_groups++;
        e->n_excluded += b.excluded;
        e->n_clipped += !b.excluded && w < 1;
        brute_free(&b);
    }
}

/* Norm of what a step adds in which one unit takes part alone. */
static double contribution(const struct test_step *step)
{
    assert_int_equal(step->n_units, 1);
    int64_t *sum = test_step_sum(step, -1, NULL), *zero = calloc((size_t)step->plan->n_weights, sizeof *zero);
    double norm = test_distance(sum, zero, step->plan->n_weights, step->plan->grid);
    free(sum);
    free(zero);
    return norm;
}

static struct expected check_step(struct test_step *step)
{
    int64_t n_weights = step->plan->n_weights;
    struct expected e = {
        step, calloc((size_t)n_weights, sizeof(long double)), calloc((size_t)n_weights, sizeof(long double)), 0, 0, 0};
    step->after = after_panel;
    step->context = &e;
    int64_t *sum = test_step_sum(step, -1, NULL);
    for (int64_t i = 0; i < n_weights; i++) {
        long double got = (long double)sum[i] * step->plan->grid;
        if (!(fabsl(got - e.sum[i]) <= e.slack[i] + step->plan->grid * (double)step->plan->n_panels))
            fail_msg("weight %ld of the sum is %.12Lg, should be %.12Lg within %.3Lg", (long)i, got, e.sum[i],
                     e.slack[i]);
    }
    free(sum);
    free(e.sum);
    free(e.slack);
    step->after = NULL;
    return e;
}

/* ---- units made of taps ---- */

/* Both norm routes at 6 rows; and what an encoder has: embeddings, the gain of a layer norm, a bias. A hostile value is
 * put into the last. */
#define N_SETS 4
static const struct test_shape sets[N_SETS][TEST_TAPS] = {
    {{.n_in = 7, .n_out = 5, .per_step = true},
     {.n_in = 20, .n_out = 9, .per_step = true},
     {.n_in = 3, .n_out = 1},
     {.n_in = 1, .n_out = 2}},
    {{.n_in = 5, .n_out = 6, .per_step = true},
     {.n_in = 1, .n_out = 18, .per_step = true, .kind = SG_TAP_SCALE},
     {.n_in = 1, .n_out = 9, .per_step = true, .shared = true},
     {.n_in = 17, .n_out = 7, .per_step = true, .kind = SG_TAP_EMBED}},
    {{.n_in = 4, .n_out = 3, .per_step = true, .kind = SG_TAP_EMBED},
     {.n_in = 6, .n_out = 5, .per_step = true},
     {.n_in = 1, .n_out = 5, .per_step = true, .shared = true},
     {.n_in = 1, .n_out = 19, .per_step = true, .kind = SG_TAP_SCALE}},
    {{.n_in = 1, .n_out = 7, .per_step = true, .kind = SG_TAP_SCALE},
     {.n_in = 3, .n_out = 2, .per_step = true},
     {.n_in = 9, .n_out = 3, .per_step = true, .kind = SG_TAP_EMBED},
     {.n_in = 1, .n_out = 21, .per_step = true, .shared = true}}};

static void one_unit(const struct sg_ops *ops, const struct test_shape *shapes, int kind, int64_t seed)
{
    struct test_units units;
    test_units_make(1, shapes, TEST_TAPS, 6, (uint64_t)seed, &units);
    const char *name = "ordinary";
    if (kind >= 0)
        name = test_make_hostile(&units, 0, kind);
    struct test_plan wanted = {.population = 1,
                               .n_panels = 1,
                               .rows_max = 6,
                               .n_weights = units.n_weights,
                               .q = 1,
                               .clip = seed % 3 == 0   ? 1
                                       : seed % 3 == 1 ? 1e-3
                                                       : 40};
    struct sg_plan plan = test_plan_make(&wanted);
    struct test_taps taps = {.units = &units};
    struct test_step step = test_step_of_taps(&plan, ops, &taps);
    check_step(&step);
    double norm = contribution(&step);
    if (!(norm <= plan.max_grad_norm))
        fail_msg("%s, %s: one unit adds %.9g, C is %.9g", ops->name, name, norm, plan.max_grad_norm);
    test_taps_free(&taps);
    test_units_free(&units);
}

static void test_single_units(void **unused)
{
    (void)unused;
    for (int i = 0; test_backend(i); i++)
        for (int kind = -1; kind < TEST_N_HOSTILE; kind++)
            for (int64_t seed = 0; seed < 6; seed++)
                for (int set = 0; set < N_SETS; set++)
                    one_unit(test_backend(i), sets[set], kind, TEST_SEED + seed);
}

static void many_units(const struct sg_ops *ops, const struct test_shape *shapes, int64_t microbatch, double q)
{
    struct test_units units;
    test_units_make(120, shapes, TEST_TAPS, 6, TEST_SEED, &units);
    for (int64_t i = 0; i < units.n; i++) {
        if (i % 4 == 0)
            test_make_hostile(&units, i, (int)(i / 4 % TEST_N_HOSTILE));
        else
            test_scale_unit(&units, i, 1, (float)exp2((double)(i % 9) - 5));
    }
    struct test_plan wanted = {.population = units.n,
                               .n_panels = 5,
                               .microbatch = microbatch,
                               .rows_max = 6,
                               .n_weights = units.n_weights,
                               .q = q};
    struct sg_plan plan = test_plan_make(&wanted);
    struct test_taps taps = {.units = &units};
    struct test_step step = test_step_of_taps(&plan, ops, &taps);
    step.step = 2;
    struct expected e = check_step(&step);
    assert_true(e.n_excluded > 0 && e.n_clipped > 0 && e.n_groups > e.n_excluded + e.n_clipped);
    test_taps_free(&taps);
    test_units_free(&units);
}

static void test_panels_of_units(void **unused)
{
    (void)unused;
    for (int i = 0; test_backend(i); i++)
        for (int set = 0; set < N_SETS; set++)
            for (int64_t k = 1; k <= 4; k += 3) {
                many_units(test_backend(i), sets[set], k, 1);
                many_units(test_backend(i), sets[set], k, 0.5);
            }
}

/* ---- a real model ---- */

static void test_model_backward(void **unused)
{
    (void)unused;
    const struct sg_model_spec spec = {.kind = SG_MODEL_BILSTM_ATTENTION,
                                       .n_features = 5,
                                       .n_static = 3,
                                       .hidden = 4,
                                       .layers = 2,
                                       .attention = 6,
                                       .mlp = 7,
                                       .mlp_activation = SG_TANH,
                                       .linear_steps = 4,
                                       .dropout = .2};
    for (int i = 0; test_backend(i); i++)
        for (int64_t k = 1; k <= 4; k += 3) {
            struct test_model_units units;
            test_model_units_make(&spec, test_backend(i), 60, 4, k, TEST_SEED, &units);
            for (int64_t j = 0; j < 4 * 5; j++) /* some histories out of all bounds; the schema would refuse them */
                units.x[units.first[7] * 5 + j] = (float)(1e30 * (j % 2 ? 1 : -1));
            units.x[units.first[21] * 5] = NAN;
            units.statics[33 * 3] = INFINITY;
            struct test_plan wanted = {.population = 60,
                                       .n_panels = 3,
                                       .microbatch = k,
                                       .rows_max = 4,
                                       .clip = .5,
                                       .n_weights = sg_model_n_trainable(units.model),
                                       .q = 1};
            struct sg_plan plan = test_plan_make(&wanted);
            struct test_step step = test_step_of_model(&plan, &units);
            struct expected e = check_step(&step);
            assert_true(e.n_excluded >= 1);
            assert_true(e.n_clipped > 0);
            test_model_units_free(&units);
        }
}

/* Every kind of tap that a transformer has: embeddings with repeated words, gains, shared biases, LoRA factors. */
static void one_step_of_blocks(const struct sg_model_spec *spec, const struct sg_ops *ops, int64_t microbatch)
{
    struct test_model_units units;
    test_model_units_make(spec, ops, 60, 6, microbatch, TEST_SEED, &units);
    units.label[21] = NAN;
    struct test_plan wanted = {.population = 60,
                               .n_panels = 3,
                               .microbatch = microbatch,
                               .rows_max = sg_model_unit_rows(spec, 6),
                               .clip = .5,
                               .n_weights = sg_model_n_trainable(units.model),
                               .q = 1};
    struct sg_plan plan = test_plan_make(&wanted);
    struct test_step step = test_step_of_model(&plan, &units);
    struct expected e = check_step(&step);
    assert_true(e.n_excluded == 1 && e.n_clipped > 0);
    test_model_units_free(&units);
}

static void test_transformer_backward(void **unused)
{
    (void)unused;
    const struct sg_encoder_spec blocks = {.vocabulary = 5, /* fewer than a unit has rows: words repeat */
                                           .width = 12,
                                           .layers = 2,
                                           .heads = 3,
                                           .intermediate = 10,
                                           .positions = 9,
                                           .types = 2,
                                           .layer_norm_epsilon = 1e-5,
                                           .pooling = SG_POOL_CLS,
                                           .lora_rank = 2,
                                           .lora_alpha = 4,
                                           .lora_targets = SG_LORA_QUERY | SG_LORA_INTERMEDIATE};
    const struct sg_model_spec specs[] = {
        {.kind = SG_MODEL_ENCODER, .n_outputs = 1, .dropout = .1, .encoder = blocks},
        {.kind = SG_MODEL_TABULAR,
         .n_outputs = 1,
         .n_features = 4,
         .n_static = 2,
         .linear_steps = 3,
         .encoder = blocks},
        {.kind = SG_MODEL_TABULAR,
         .n_outputs = 1,
         .n_features = 3,
         .n_static = 3,
         .n_static_tokens = 2,
         .static_token = {2, 1},
         .encoder = blocks},
    };
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (int i = 0; test_backend(i); i++) {
            one_step_of_blocks(&specs[k], test_backend(i), 1);
            one_step_of_blocks(&specs[k], test_backend(i), 4);
        }
}

/* ---- this test can fail ---- */

static void weigh_by_norm_alone(int64_t n, const struct sg_group_norm *norm, double clip, double kappa, double *w)
{
    (void)kappa;
    for (int64_t j = 0; j < n; j++)
        w[j] = norm[j].excluded ? 0 : fmin(1, clip / sqrt(norm[j].norm2));
}

static void weigh_everything(int64_t n, const struct sg_group_norm *norm, double clip, double kappa, double *w)
{
    (void)clip, (void)kappa;
    for (int64_t j = 0; j < n; j++)
        w[j] = norm[j].excluded ? 0 : 1;
}

static void test_wrong_clips_show(void **unused)
{
    (void)unused;
    const struct {
        const char *what;
        void (*clip_weight)(int64_t, const struct sg_group_norm *, double, double, double *);
        double mass; /* of two rows that cancel; 0: an ordinary unit, 30 times too large */
    } faults[] = {{"no clip at all", weigh_everything, 0}, {"norm without slack and mass", weigh_by_norm_alone, 1e12}};
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++) {
        struct sg_ops ops = *sg_ops_reference();
        ops.clip_weight = faults[f].clip_weight;
        struct test_units units;
        uint64_t seed = TEST_SEED;
        test_units_make(1, sets[0], 1, 2, seed, &units);
        for (; units.rows[0] != 2; seed++) {
            test_units_free(&units);
            test_units_make(1, sets[0], 1, 2, seed, &units);
        }
        if (faults[f].mass > 0)
            test_cancel_unit(&units, 0, faults[f].mass);
        else
            test_scale_unit(&units, 0, 1, 30);
        struct test_plan wanted = {.population = 1, .n_panels = 1, .rows_max = 2, .n_weights = units.n_weights, .q = 1};
        struct sg_plan plan = test_plan_make(&wanted);
        struct test_taps taps = {.units = &units};
        struct test_step step = test_step_of_taps(&plan, &ops, &taps);
        double norm = contribution(&step);
        print_message("%s: one unit adds %.3g C\n", faults[f].what, norm / plan.max_grad_norm);
        assert_true(norm > plan.max_grad_norm);
        test_taps_free(&taps);
        test_units_free(&units);
    }
}

/* A norm that is not a number must not pass for a small one. */
static void test_unknown_norm(void **unused)
{
    (void)unused;
    const struct sg_group_norm norm[] = {{NAN, 0, 1, false},      {1, NAN, 1, false}, {1, 0, NAN, false},
                                         {INFINITY, 0, 1, false}, {0, 0, 0, false},   {0.25, 0, 1, true}};
    const double want[] = {0, 0, 0, 0, 1, 0};
    for (int i = 0; test_backend(i); i++) {
        double w[6];
        test_backend(i)->clip_weight(6, norm, 1, 8, w);
        for (int j = 0; j < 6; j++)
            if (w[j] != want[j])
                fail_msg("%s: weight %d is %g", test_backend(i)->name, j, w[j]);
    }
}

int main(void)
{
    print_message("seed %u\n", TEST_SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_units),     cmocka_unit_test(test_panels_of_units),
        cmocka_unit_test(test_model_backward),   cmocka_unit_test(test_transformer_backward),
        cmocka_unit_test(test_wrong_clips_show), cmocka_unit_test(test_unknown_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
