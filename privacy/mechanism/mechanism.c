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
