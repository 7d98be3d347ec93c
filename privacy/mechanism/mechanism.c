#include <fenv.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

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

/* A device that can draws the noise itself, the same values; for others the sum comes to the host. */
static enum sg_status open_far_noise(struct sg_mechanism *m)
{
    size_t bytes;
    const void *table = sg_noise_table(m->noise, &bytes);
    if (!m->ops->far->noise) {
        m->far_sum = sg_alloc((size_t)m->plan.n_weights, sizeof *m->far_sum);
        return SG_OK;
    }
    m->far_table = m->ops->far->alloc(bytes);
    if (!m->far_table)
        return sg_fail(SG_FAILED, "backend %s: the device has no memory left for the noise", m->ops->name);
    sg_ops_upload(m->ops, m->far_table, table, bytes);
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
    if (status == SG_OK && plan->is_private && ops->far)
        status = open_far_noise(m);
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
    if ((*mechanism)->far_table)
        (*mechanism)->ops->far->release((*mechanism)->far_table);
    if ((*mechanism)->far_sum)
        sg_wipe((*mechanism)->far_sum, (size_t)(*mechanism)->plan.n_weights * sizeof(int64_t));
    free((*mechanism)->far_sum);
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

/* To the sum where it lies; a far one comes to the host and goes back. */
static enum sg_status add_noise(struct sg_mechanism *m, uint64_t step, int64_t *sum)
{
    int64_t n = m->plan.n_weights;
    if (m->far_table) {
        sg_noise_add_device(m->noise, m->ops->far->noise, m->far_table, step, 0, n, sum);
        return sg_ops_check(m->ops);
    }
    if (!m->far_sum)
        return sg_noise_add(m->noise, step, 0, n, sum);
    sg_ops_download(m->ops, m->far_sum, sum, (size_t)n * sizeof *sum);
    SG_TRY(sg_ops_check(m->ops)); /* before noise is used up on a sum that did not come */
    SG_TRY(sg_noise_add(m->noise, step, 0, n, m->far_sum));
    sg_ops_upload(m->ops, sum, m->far_sum, (size_t)n * sizeof *sum);
    return SG_OK;
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
        SG_TRY(add_noise(mechanism, (uint64_t)step, sum));
    mechanism->ops->scale_sum(plan->n_weights, sum, plan->grid / plan->divisor, gradient);
    mechanism->steps_done++;
    return SG_OK;
}

int64_t sg_mechanism_steps_done(const struct sg_mechanism *mechanism)
{
    return mechanism->steps_done;
}
