#include "mechanism/mechanism.h"

#include <assert.h>
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A panel's sum in one coordinate, without privacy, beyond which the run ends (DESIGN: the grid). */
#define PLAIN_SUM_MAX 0x1p20
/* With privacy clipping bounds the sum and the plan keeps it far below this many grid units; reaching it is a defect.
 */
#define PRIVATE_SUM_MAX 0x1p61

struct sg_mechanism {
    struct sg_plan plan;
    const struct sg_ops *ops;
    struct sg_unit_sampler *sampler;
    struct sg_noise *noise; /* NULL without privacy */
    int64_t steps_done;
};

void sg_mechanism_subkey(const uint8_t secret[SG_KEY_BYTES], const char *purpose, const struct sg_buffer *context,
                         uint8_t out[SG_KEY_BYTES])
{
    struct sg_buffer message = {0};
    sg_buffer_field(&message, purpose, strlen(purpose));
    sg_buffer_field(&message, context->data, context->len);
    sg_hmac_sha256(secret, SG_KEY_BYTES, message.data, message.len, out);
    sg_buffer_free(&message);
}

/* The margin of the plan is derived for IEEE arithmetic, rounding to nearest, subnormal numbers kept: a host program or
 * library can have changed that behind our back. Threads inherit it from the one that starts them. */
static bool arithmetic_is_standard(void)
{
    volatile float tiny = 0x1p-126f, half = 0.5f, subnormal = 0x1p-140f, big = 0x1p100f;
    volatile float made = tiny * half, read = subnormal * big;
    return made == 0x1p-127f && read == 0x1p-40f && fegetround() == FE_TONEAREST;
}

static enum sg_status check_plan(const struct sg_plan *plan)
{
    if (plan->sample_threshold == 0 && plan->sample_rate < 1) /* 0 stands for 2^64: everybody would join */
        return sg_fail(SG_USAGE, "training: sample_rate is below 2^-64; use a larger one");
    if (plan->is_private && !arithmetic_is_standard())
        return sg_fail(SG_FAILED,
                       "privacy: this process flushes subnormal numbers to zero or does not round to nearest; start it "
                       "without whatever library changes the floating-point environment");
    return SG_OK;
}

enum sg_status sg_mechanism_open(const struct sg_plan *plan, const struct sg_ops *ops,
                                 const uint8_t secret[SG_KEY_BYTES], const struct sg_buffer *context,
                                 struct sg_mechanism **out)
{
    *out = NULL;
    SG_TRY(check_plan(plan));
    struct sg_mechanism *m = sg_alloc(1, sizeof *m);
    m->plan = *plan;
    m->ops = ops;
    uint8_t key[SG_KEY_BYTES];
    sg_mechanism_subkey(secret, "sealgrad sampling", context, key);
    enum sg_status status = sg_sampler_open(key, &m->sampler);
    if (status == SG_OK && plan->is_private) {
        sg_mechanism_subkey(secret, "sealgrad noise", context, key);
        int source = sg_noise_source_parse(plan->noise_source);
        status = source < 0 ? sg_fail(SG_USAGE, "privacy: unknown noise source \"%s\"", plan->noise_source)
                            : sg_noise_open((enum sg_noise_source)source, key, &m->noise);
    }
    sg_wipe(key, sizeof key);
    if (status != SG_OK)
        sg_mechanism_close(&m);
    *out = m;
    return status;
}

void sg_mechanism_close(struct sg_mechanism **mechanism)
{
    if (!*mechanism)
        return;
    sg_sampler_close(&(*mechanism)->sampler);
    sg_noise_close(&(*mechanism)->noise);
    free(*mechanism);
    *mechanism = NULL;
}

enum sg_status sg_mechanism_sample(struct sg_mechanism *mechanism, int64_t step, const uint8_t (*digest)[16],
                                   int64_t n_units, struct sg_sample *sample)
{
    const struct sg_sampler_rule rule = {
        .threshold = mechanism->plan.sample_threshold,
        .n_panels = mechanism->plan.n_panels,
        .n_groups = mechanism->plan.n_groups,
        .units_per_panel_max = mechanism->plan.units_per_panel_max,
    };
    return sg_sampler_draw(mechanism->sampler, (uint64_t)step, &rule, digest, n_units, sample);
}

static size_t carve(size_t *used, size_t bytes)
{
    size_t at = *used;
    *used += (bytes + 63) / 64 * 64;
    return at;
}

size_t sg_absorber_place(int64_t n_weights, int64_t units_max, int64_t rows_max, void *memory, struct sg_absorber *out)
{
    size_t used = 0, units = (size_t)units_max, rows = (size_t)(rows_max > units_max ? rows_max : units_max);
    size_t sum = carve(&used, (size_t)n_weights * sizeof(int64_t));
    size_t norm = carve(&used, units * sizeof(struct sg_group_norm));
    size_t group_weight = carve(&used, units * sizeof(double));
    size_t row_weight = carve(&used, rows * sizeof(double));
    size_t first = carve(&used, (units + 1) * sizeof(int32_t));
    if (!memory)
        return used;
    char *base = memory;
    *out = (struct sg_absorber){
        .sum = (int64_t *)(base + sum),
        .groups_max = units_max,
        .rows_max = (int64_t)rows,
        .norm = (struct sg_group_norm *)(base + norm),
        .group_weight = (double *)(base + group_weight),
        .row_weight = (double *)(base + row_weight),
        .first = (int32_t *)(base + first),
    };
    sg_absorber_reset(out, n_weights);
    return used;
}

void sg_absorber_reset(struct sg_absorber *absorber, int64_t n_weights)
{
    memset(absorber->sum, 0, (size_t)n_weights * sizeof *absorber->sum);
    absorber->overflow = false;
    absorber->counts = (struct sg_clip_counts){0};
}

/* The cheaper route by multiplications for a group of that many rows. The group's own rows alone decide: no
 * measurement, and no other unit. */
static enum sg_norm_route route_of(int64_t n_rows, const struct sg_tap *tap)
{
    double rows = (double)n_rows, i = (double)tap->n_in, o = (double)tap->n_out;
    double gram = rows * (rows + 1) / 2 * (i + o), instantiate = (rows + 1) * i * o;
    return gram <= instantiate ? SG_ROUTE_GRAM : SG_ROUTE_INSTANTIATE;
}

/* What a panel's groups are: positions in the sample. */
struct span {
    int64_t first_unit, first_group, n_groups;
};

/* Rows of the panel's groups in one tap: group j of the panel owns rows first[j] .. first[j+1]. */
static void group_rows(const struct sg_sample *sample, const struct span *span, const struct sg_tap *tap,
                       int32_t *first)
{
    for (int64_t j = 0; j <= span->n_groups; j++)
        first[j] = tap->offset[sample->group_unit[span->first_group + j] - span->first_unit];
}

/* How many floats of g a row of the tap has. */
static int64_t g_width(const struct sg_tap *tap)
{
    return tap->kind == SG_TAP_EMBED ? tap->n_in : tap->n_out;
}

/* How many floats of a: none in an EMBED tap, and none that are this tap's own where all rows share one. */
static int64_t a_width(const struct sg_tap *tap)
{
    if (tap->kind == SG_TAP_EMBED || tap->lda == 0)
        return 0;
    return tap->kind == SG_TAP_SCALE ? tap->n_out : tap->n_in;
}

/* Groups that follow each other and take the same route go together. */
static void linear_norms(const struct sg_ops *ops, const struct sg_tap *tap, int64_t n_groups, const int32_t *first,
                         struct sg_group_norm *norm, void *scratch)
{
    for (int64_t j = 0, end; j < n_groups; j = end) {
        enum sg_norm_route route = route_of(first[j + 1] - first[j], tap);
        for (end = j + 1; end < n_groups && route_of(first[end + 1] - first[end], tap) == route;)
            end++;
        ops->group_norm(route, end - j, first + j, tap->n_in, tap->n_out, tap->a, tap->lda, tap->g, tap->ldg, norm + j,
                        scratch);
    }
}

static void tap_norms(const struct sg_ops *ops, const struct sg_tap *tap, int64_t n_groups, const int32_t *first,
                      struct sg_group_norm *norm, void *scratch)
{
    switch (tap->kind) {
    case SG_TAP_LINEAR:
        linear_norms(ops, tap, n_groups, first, norm, scratch);
        break;
    case SG_TAP_EMBED:
        ops->embed_norm(n_groups, first, tap->id, tap->n_in, tap->g, tap->ldg, norm, scratch);
        break;
    case SG_TAP_SCALE:
        ops->scale_norm(n_groups, first, tap->n_out, tap->a, tap->lda, tap->g, tap->ldg, norm, scratch);
        break;
    }
}

/* Squared norms of taps add up only where no two share a weight: what one adds there the other could add again. */
static void check_disjoint(const struct sg_tap *taps, size_t n_taps)
{
    for (size_t t = 0; t < n_taps; t++)
        for (size_t s = 0; s < t; s++)
            assert(taps[t].n_in > 0 && taps[t].n_out > 0 &&
                   (taps[t].weight + taps[t].n_in * taps[t].n_out <= taps[s].weight ||
                    taps[s].weight + taps[s].n_in * taps[s].n_out <= taps[t].weight));
}

/* Weight of every group of the panel: the one place where a gradient is clipped. */
static void weigh_groups(const struct sg_mechanism *m, const struct sg_sample *sample, const struct span *span,
                         const struct sg_tap *taps, size_t n_taps, struct sg_absorber *absorber, void *scratch)
{
    assert(span->n_groups <= absorber->groups_max);
    memset(absorber->norm, 0, (size_t)span->n_groups * sizeof *absorber->norm);
    if (m->plan.is_private)
        check_disjoint(taps, n_taps);
    for (size_t t = 0; m->plan.is_private && t < n_taps; t++) {
        group_rows(sample, span, &taps[t], absorber->first);
        tap_norms(m->ops, &taps[t], span->n_groups, absorber->first, absorber->norm, scratch);
    }
    m->ops->clip_weight(span->n_groups, absorber->norm, m->plan.clip_norm, m->plan.mass_ratio_max,
                        absorber->group_weight);
    m->ops->count_groups(span->n_groups, absorber->norm, absorber->group_weight, &absorber->counts);
}

/* Rows of excluded groups become zeros, in a and in g. */
static void clear_excluded(const struct sg_mechanism *m, const struct sg_tap *tap, int64_t n_groups,
                           struct sg_absorber *absorber)
{
    m->ops->clear_rows(n_groups, absorber->first, absorber->norm, g_width(tap), tap->g, tap->ldg);
    if (a_width(tap))
        m->ops->clear_rows(n_groups, absorber->first, absorber->norm, a_width(tap), tap->a, tap->lda);
}

static void absorb_tap(const struct sg_mechanism *m, const struct sg_tap *tap, int64_t n_rows,
                       struct sg_absorber *absorber, void *scratch)
{
    const double *w = absorber->row_weight;
    const int32_t panel_row[2] = {0, (int32_t)n_rows};
    double grid = m->plan.grid, limit = m->plan.is_private ? PRIVATE_SUM_MAX * grid : PLAIN_SUM_MAX;
    int64_t *sum = absorber->sum + tap->weight;
    switch (tap->kind) {
    case SG_TAP_LINEAR:
        m->ops->absorb(n_rows, 1, panel_row, tap->n_in, tap->n_out, tap->a, tap->lda, tap->g, tap->ldg, w, grid, limit,
                       sum, &absorber->overflow, scratch);
        break;
    case SG_TAP_EMBED:
        m->ops->embed_absorb(n_rows, 1, panel_row, tap->n_out, tap->id, tap->n_in, tap->g, tap->ldg, w, grid, limit,
                             sum, &absorber->overflow, scratch);
        break;
    case SG_TAP_SCALE:
        m->ops->scale_absorb(n_rows, 1, panel_row, tap->n_out, tap->a, tap->lda, tap->g, tap->ldg, w, grid, limit, sum,
                             &absorber->overflow, scratch);
        break;
    }
}

void sg_mechanism_absorb(const struct sg_mechanism *mechanism, const struct sg_sample *sample, int64_t panel,
                         const struct sg_tap *taps, size_t n_taps, struct sg_absorber *absorber, void *scratch)
{
    const struct span span = {sample->panel_unit[panel], sample->panel_group[panel],
                              sample->panel_group[panel + 1] - sample->panel_group[panel]};
    weigh_groups(mechanism, sample, &span, taps, n_taps, absorber, scratch);
    for (size_t t = 0; t < n_taps; t++) {
        group_rows(sample, &span, &taps[t], absorber->first);
        assert(absorber->first[span.n_groups] <= absorber->rows_max);
        clear_excluded(mechanism, &taps[t], span.n_groups, absorber);
        mechanism->ops->spread_weights(span.n_groups, absorber->first, absorber->group_weight, absorber->row_weight);
        absorb_tap(mechanism, &taps[t], absorber->first[span.n_groups], absorber, scratch);
    }
}

enum sg_status sg_mechanism_release(struct sg_mechanism *mechanism, int64_t step, int64_t *sum, bool overflow,
                                    float *gradient)
{
    const struct sg_plan *plan = &mechanism->plan;
    if (step != mechanism->steps_done || step >= plan->steps)
        return sg_fail(SG_FAILED, "the run left its plan: step %lld was released when %lld of %lld were done",
                       (long long)step, (long long)mechanism->steps_done, (long long)plan->steps);
    if (overflow)
        return sg_fail(SG_FAILED,
                       "gradient overflow in step %lld; use a smaller learning_rate or check the data's bounds",
                       (long long)step);
    if (plan->is_private)
        SG_TRY(sg_noise_add(mechanism->noise, (uint64_t)step, 0, plan->n_weights, sum));
    mechanism->ops->scale_sum(plan->n_weights, sum, plan->grid / plan->divisor, gradient);
    mechanism->steps_done++;
    return SG_OK;
}

int64_t sg_mechanism_steps_done(const struct sg_mechanism *mechanism)
{
    return mechanism->steps_done;
}
