#include "account/plan.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define CHAIN_ROWS 64          /* L: rows in one float chain of a weight gradient (ops/ops.h) */
#define FLOAT_ROUNDOFF 0x1p-24 /* u of float32 */
#define UNITS_PER_PANEL_MEAN 24
#define SHRINK_MAX 0.01
#define DELTA_EXTRA_MAX 0.01 /* of delta, for the noise's distance */

/* gamma(k) = k u / (1 - k u): Higham, Accuracy and Stability of Numerical Algorithms, section 3.1. */
static double rounding_gamma(double k)
{
    return k * FLOAT_ROUNDOFF / (1 - k * FLOAT_ROUNDOFF);
}

/* Upper bound on Pr[Bin(n, p) > cap] (Chernoff: exp(-n KL(a || p)), a = (cap + 1) / n), rounded up. */
static double binomial_tail(double n, double p, double cap)
{
    double a = (cap + 1) / n;
    if (cap >= n)
        return 0;
    if (a <= p)
        return 1;
    double kl = a * log(a / p) + (a < 1 ? (1 - a) * (log1p(-a) - log1p(-p)) : 0);
    return exp(-n * kl * (1 - 1e-12)) * (1 + 1e-9);
}

struct sg_history sg_plan_history(const struct sg_plan *plan, struct sg_phase *phase)
{
    *phase = (struct sg_phase){plan->sample_rate, plan->noise_multiplier, plan->steps};
    return (struct sg_history){
        .sampler = plan->sampler,
        .relation = plan->relation,
        .sensitivity = plan->clip_group == SG_CLIP_MICROBATCH ? 2 : 1,
        .phases = phase,
        .n_phases = 1,
    };
}

static double units_per_panel_max(const struct sg_plan *plan)
{
    double n = (double)plan->population_size, p = plan->sample_rate / (double)plan->n_panels, mean = n * p;
    double cap = ceil(mean + 9 * sqrt(mean * (1 - p)) + 10);
    return cap < n ? cap : n;
}

/* What is added to delta for everything that is not the ideal mechanism, at a given epsilon: full panels and the noise.
 */
static void set_delta_shares(struct sg_plan *plan, double epsilon)
{
    double both = (1 + exp(epsilon)) * (1 + 1e-9);
    double p = plan->sample_rate / (double)plan->n_panels;
    double full = binomial_tail((double)plan->population_size, p, (double)plan->units_per_panel_max);
    plan->delta_caps = both * (double)plan->steps * (double)plan->n_panels * full;
    plan->delta_noise = both * (double)plan->steps * (double)plan->n_weights * exp2(plan->noise_tau_log2);
    plan->delta_accountant = plan->delta - plan->delta_caps - plan->delta_noise;
}

static enum sg_status check_delta_shares(const struct sg_plan *plan)
{
    if (!(plan->delta_noise <= DELTA_EXTRA_MAX * plan->delta))
        return sg_fail(
            SG_USAGE,
            "privacy: the noise sampler's statistical distance would take more than 1 %% of target_delta; use a "
            "larger target_delta, fewer steps or fewer trainable weights");
    if (!(plan->delta_caps <= DELTA_EXTRA_MAX * plan->delta))
        return sg_fail(
            SG_USAGE,
            "privacy: the chance of an overfull panel would take more than 1 %% of target_delta; use a larger "
            "target_delta, fewer steps or fewer panels");
    return SG_OK;
}

/* Everything that follows from the deciding fields, epsilon excepted. */
static enum sg_status derive_mechanism(struct sg_plan *plan)
{
    double scaled = ldexp(plan->sample_rate, 64);
    plan->sample_threshold = plan->sample_rate >= 1 ? 0 : (uint64_t)scaled;
    plan->units_per_panel_max = (int64_t)units_per_panel_max(plan);
    plan->divisor = plan->clip_group == SG_CLIP_MICROBATCH ? (double)plan->n_groups : plan->expected_batch_size;
    if (!plan->is_private) {
        plan->noise_std = plan->shrink = 0;
        plan->grid = 0x1p-40;
        plan->max_grad_norm = plan->clip_norm = INFINITY;
        return SG_OK;
    }
    double c = plan->max_grad_norm, groups = (double)plan->units_per_panel_max;
    if (plan->clip_group == SG_CLIP_MICROBATCH)
        groups = (double)(plan->n_groups / plan->n_panels);
    plan->noise_std = plan->noise_multiplier * c;
    plan->grid = plan->noise_std * 0x1p-32;
    double margin = 2 * rounding_gamma(CHAIN_ROWS + 2) * plan->mass_ratio_max * groups;
    double regrid = sqrt((double)plan->n_weights) * plan->grid * (1 + groups * 0x1p-19 / plan->noise_multiplier);
    plan->clip_norm = c * (1 - margin) - regrid;
    plan->shrink = 1 - plan->clip_norm / c;
    if (!(plan->shrink <= SHRINK_MAX))
        return sg_fail(
            SG_USAGE,
            "privacy: the margin for rounding would take %.2f %% of max_grad_norm, 1 %% is the most; use more panels "
            "(n_panels) or a smaller mass_ratio_max",
            plan->shrink * 100);
    double largest = ((double)plan->n_panels * groups * c + 14 * plan->noise_std) / plan->grid;
    if (!(largest < 0x1p62))
        return sg_fail(SG_USAGE, "privacy: the integer sum could overflow; use a larger noise_multiplier");
    return SG_OK;
}

static enum sg_status derive_epsilon(struct sg_plan *plan)
{
    plan->delta_caps = plan->delta_noise = plan->delta_accountant = 0;
    plan->epsilon = plan->epsilon_lower = plan->epsilon_rdp = INFINITY;
    strcpy(plan->accountant, "none");
    if (!plan->is_private)
        return SG_OK;
    /* An epsilon at 98 % of delta bounds the final one from above; at that epsilon the other shares are then fixed. */
    struct sg_phase phase;
    struct sg_history history = sg_plan_history(plan, &phase);
    struct sg_epsilon figure;
    SG_TRY(sg_account_epsilon(&history, plan->delta * (1 - 2 * DELTA_EXTRA_MAX), &figure));
    set_delta_shares(plan, figure.epsilon);
    SG_TRY(check_delta_shares(plan));
    SG_TRY(sg_account_epsilon(&history, plan->delta_accountant, &figure));
    plan->epsilon = figure.epsilon;
    plan->epsilon_lower = figure.epsilon_lower;
    plan->epsilon_rdp = figure.epsilon_rdp;
    snprintf(plan->accountant, sizeof plan->accountant, "%s", figure.accountant);
    return SG_OK;
}

enum sg_status sg_plan_programme(const struct sg_plan *plan, int64_t runs, struct sg_plan *out)
{
    *out = *plan;
    if (!plan->is_private)
        return sg_fail(SG_USAGE, "a programme fixes what privacy costs: its plan must be private");
    if (runs < 1 || __builtin_mul_overflow(plan->steps, runs, &out->steps))
        return sg_fail(SG_USAGE, "a programme has at least one run, and fewer than 2^63 steps in all");
    enum sg_status status = derive_epsilon(out);
    if (status == SG_OK || runs == 1)
        return status;
    char *text = sg_strdup(sg_error_text());
    status = sg_fail(status, "%lld runs of this plan together: %s", (long long)runs, text);
    free(text);
    return status;
}

static enum sg_status resolve_rate(const struct sg_plan_request *request, struct sg_plan *plan)
{
    int given = (request->sample_rate > 0) + (request->expected_batch_size > 0) + (request->population_size > 0);
    if (given != 2)
        return sg_fail(SG_USAGE,
                       "training: give exactly two of sample_rate, expected_batch_size and population_size (found %d)",
                       given);
    plan->sample_rate = request->sample_rate;
    plan->expected_batch_size = request->expected_batch_size;
    plan->population_size = request->population_size;
    if (!(request->population_size > 0))
        plan->population_size = (int64_t)ceil(request->expected_batch_size / request->sample_rate);
    else if (!(request->sample_rate > 0))
        plan->sample_rate = request->expected_batch_size / (double)request->population_size;
    if (!(request->expected_batch_size > 0))
        plan->expected_batch_size = plan->sample_rate * (double)plan->population_size;
    if (!(plan->sample_rate > 0 && plan->sample_rate <= 1))
        return sg_fail(SG_USAGE,
                       "training: expected_batch_size is larger than population_size; choose a batch of at most the "
                       "population");
    return SG_OK;
}

/* The least divisor of n_groups that is at least `wanted`. */
static int64_t divisor_from(int64_t n_groups, int64_t wanted)
{
    for (int64_t d = wanted; d < n_groups; d++)
        if (n_groups % d == 0)
            return d;
    return n_groups;
}

static enum sg_status resolve_groups(const struct sg_plan_request *request, struct sg_plan *plan)
{
    int64_t wanted = (int64_t)ceil(plan->expected_batch_size / UNITS_PER_PANEL_MEAN);
    plan->n_panels = request->n_panels > 0 ? request->n_panels : wanted;
    plan->n_groups = 0;
    plan->microbatch_size = 1;
    if (request->clip_group == SG_CLIP_EXAMPLE)
        return SG_OK;
    double k = (double)request->microbatch_size, groups = plan->expected_batch_size / k;
    if (!(k > 1))
        return sg_fail(SG_USAGE,
                       "privacy: microbatch_size must be at least 2; for one unit a group say clip_group: example");
    if (groups != floor(groups) || groups > 1e9)
        return sg_fail(SG_USAGE, "privacy: expected_batch_size must be a whole multiple of microbatch_size");
    if (request->relation != SG_ADD_OR_REMOVE_ONE)
        return sg_fail(SG_USAGE, "privacy: clip_group microbatch is accounted for add_or_remove_one only");
    plan->microbatch_size = request->microbatch_size;
    plan->n_groups = (int64_t)groups;
    if (request->n_panels <= 0)
        plan->n_panels = divisor_from(plan->n_groups, wanted < plan->n_groups ? wanted : plan->n_groups);
    if (plan->n_groups % plan->n_panels != 0)
        return sg_fail(
            SG_USAGE,
            "privacy: n_panels must divide the number of microbatches, expected_batch_size / microbatch_size");
    return SG_OK;
}

static enum sg_status resolve_noise(const struct sg_plan_request *request, struct sg_plan *plan)
{
    if ((request->target_epsilon > 0) == (request->noise_multiplier > 0))
        return sg_fail(SG_USAGE, "privacy: give one of target_epsilon and noise_multiplier");
    if (!(request->target_delta > 0 && request->target_delta < 1))
        return sg_fail(SG_USAGE, "privacy: target_delta must lie between 0 and 1, well below 1 / population_size");
    plan->noise_multiplier = request->noise_multiplier;
    if (request->noise_multiplier > 0)
        return SG_OK;
    plan->units_per_panel_max = (int64_t)units_per_panel_max(plan);
    set_delta_shares(plan, request->target_epsilon);
    SG_TRY(check_delta_shares(plan));
    struct sg_phase phase;
    struct sg_history history = sg_plan_history(plan, &phase);
    struct sg_epsilon figure;
    return sg_account_calibrate(&history, request->target_epsilon, plan->delta_accountant, &plan->noise_multiplier,
                                &figure);
}

enum sg_status sg_plan_resolve(const struct sg_plan_request *request, struct sg_plan *out)
{
    struct sg_plan plan = {
        .is_private = request->is_private,
        .sampler = request->sampler,
        .relation = request->relation,
        .clip_group = request->clip_group,
        .steps = request->steps,
        .max_grad_norm = request->max_grad_norm,
        .mass_ratio_max = request->mass_ratio_max != 0 ? request->mass_ratio_max : 8,
        .rows_per_unit_max = request->rows_per_unit_max,
        .n_weights = request->n_weights,
        .delta = request->is_private ? request->target_delta : 0,
        .noise_tau_log2 = request->noise_tau_log2,
    };
    snprintf(plan.noise_source, sizeof plan.noise_source, "%s", request->is_private ? request->noise_source : "none");
    if (request->sampler != SG_SAMPLER_POISSON)
        return sg_fail(SG_USAGE, "privacy: the trainer samples by Poisson; sampler %s can be accounted but not run",
                       sg_sampler_name(request->sampler));
    if (request->steps < 1)
        return sg_fail(SG_USAGE, "training: steps must be at least 1");
    if (!(plan.mass_ratio_max >= 1 && plan.mass_ratio_max <= 1e6))
        return sg_fail(SG_USAGE, "privacy: mass_ratio_max must lie between 1 and 1e6, not %g", plan.mass_ratio_max);
    SG_TRY(resolve_rate(request, &plan));
    if (!(plan.sample_rate >= 0x1p-40)) /* a threshold of 64 bits rounded down keeps 24 of them, and never becomes 0 */
        return sg_fail(SG_USAGE, "privacy: a sample rate of %g is finer than the sampler draws; use at least 1e-12",
                       plan.sample_rate);
    SG_TRY(resolve_groups(request, &plan));
    if (plan.is_private) {
        if (!(plan.max_grad_norm >= 1e-6 && plan.max_grad_norm <= 1e6))
            return sg_fail(SG_USAGE, "privacy: max_grad_norm must lie between 1e-6 and 1e6");
        SG_TRY(resolve_noise(request, &plan));
    }
    SG_TRY(derive_mechanism(&plan));
    SG_TRY(derive_epsilon(&plan));
    *out = plan;
    return SG_OK;
}

static bool close_to(double a, double b, double tolerance)
{
    return a == b || fabs(a - b) <= tolerance * fmax(fabs(a), fabs(b));
}

static enum sg_status check_deciding(const struct sg_plan *plan)
{
    const struct {
        const char *field;
        bool ok;
    } checks[] = {
        {"sample_rate", plan->sample_rate > 0 && plan->sample_rate <= 1},
        {"population_size", plan->population_size > 0},
        {"expected_batch_size",
         close_to(plan->expected_batch_size, plan->sample_rate * (double)plan->population_size, 1e-9) ||
             ceil(plan->expected_batch_size / plan->sample_rate) == (double)plan->population_size},
        {"steps", plan->steps >= 1},
        {"n_panels", plan->n_panels >= 1},
        {"n_weights", plan->n_weights >= 1},
        {"rows_per_unit_max", plan->rows_per_unit_max >= 1},
        {"sampler", plan->sampler == SG_SAMPLER_POISSON},
        {"microbatch_size",
         plan->clip_group == SG_CLIP_EXAMPLE
             ? plan->microbatch_size == 1 && plan->n_groups == 0
             : plan->microbatch_size > 1 && plan->relation == SG_ADD_OR_REMOVE_ONE &&
                   (double)plan->n_groups * (double)plan->microbatch_size == plan->expected_batch_size},
        {"n_groups", plan->n_groups % plan->n_panels == 0},
        {"max_grad_norm", !plan->is_private || (plan->max_grad_norm >= 1e-6 && plan->max_grad_norm <= 1e6)},
        {"noise_multiplier", !plan->is_private || (isfinite(plan->noise_multiplier) && plan->noise_multiplier > 0)},
        {"delta", !plan->is_private || (plan->delta > 0 && plan->delta < 1)},
        {"noise_tau_log2", !plan->is_private || plan->noise_tau_log2 < 0},
        {"mass_ratio_max", plan->mass_ratio_max >= 1 && plan->mass_ratio_max <= 1e6},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (!checks[i].ok)
            return sg_fail(SG_BROKEN, "plan: %s is not what a plan can hold", checks[i].field);
    return SG_OK;
}

enum sg_status sg_plan_check(const struct sg_plan *plan)
{
    SG_TRY(check_deciding(plan));
    struct sg_plan again = *plan;
    if (derive_mechanism(&again) != SG_OK || derive_epsilon(&again) != SG_OK)
        return sg_fail(SG_BROKEN, "plan: it could not have been resolved: %s", sg_error_text());
    const struct {
        const char *field;
        double recorded, recomputed, tolerance;
    } fields[] = {
        {"sample_threshold", (double)plan->sample_threshold, (double)again.sample_threshold, 0},
        {"noise_std", plan->noise_std, again.noise_std, 0},
        {"grid", plan->grid, again.grid, 0},
        {"clip_norm", plan->clip_norm, again.clip_norm, 1e-12},
        {"shrink", plan->shrink, again.shrink, 1e-6},
        {"divisor", plan->divisor, again.divisor, 0},
        {"units_per_panel_max", (double)plan->units_per_panel_max, (double)again.units_per_panel_max, 0},
        {"delta_caps", plan->delta_caps, again.delta_caps, 1e-6},
        {"delta_noise", plan->delta_noise, again.delta_noise, 1e-6},
        {"delta_accountant", plan->delta_accountant, again.delta_accountant, 1e-9},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!close_to(fields[i].recorded, fields[i].recomputed, fields[i].tolerance))
            return sg_fail(SG_BROKEN, "plan: the recorded %s is not the one that follows from the plan",
                           fields[i].field);
    if (plan->sample_threshold != again.sample_threshold)
        return sg_fail(SG_BROKEN, "plan: the recorded sample_threshold is not the one that follows from the plan");
    if (plan->is_private && !(plan->epsilon >= again.epsilon * (1 - 1e-9)))
        return sg_fail(SG_BROKEN, "plan: the recorded epsilon %.9g lies below %.9g, which follows from the plan",
                       plan->epsilon, again.epsilon);
    return SG_OK;
}

/* ---- JSON, by one table ---- */

enum field_type { REAL, WHOLE, WHOLE_TEXT, TRUTH, TEXT, SAMPLER, RELATION, GROUP };

struct field {
    const char *name;
    enum field_type type;
    size_t offset, bytes;
};

#define FIELD(member, kind)                                                                                            \
    {                                                                                                                  \
#member, kind, offsetof(struct sg_plan, member), sizeof(((struct sg_plan *)0)->member)                         \
    }

static const struct field fields[] = {
    {"private", TRUTH, offsetof(struct sg_plan, is_private), sizeof(bool)},
    FIELD(epsilon, REAL),
    FIELD(delta, REAL),
    FIELD(accountant, TEXT),
    FIELD(epsilon_lower, REAL),
    FIELD(epsilon_rdp, REAL),
    {"neighboring_relation", RELATION, offsetof(struct sg_plan, relation), sizeof(enum sg_relation)},
    FIELD(sampler, SAMPLER),
    FIELD(sample_rate, REAL),
    FIELD(sample_threshold, WHOLE_TEXT),
    FIELD(expected_batch_size, REAL),
    FIELD(population_size, WHOLE),
    FIELD(steps, WHOLE),
    FIELD(clip_group, GROUP),
    FIELD(microbatch_size, WHOLE),
    FIELD(n_groups, WHOLE),
    FIELD(n_panels, WHOLE),
    FIELD(units_per_panel_max, WHOLE),
    FIELD(rows_per_unit_max, WHOLE),
    FIELD(max_grad_norm, REAL),
    FIELD(clip_norm, REAL),
    FIELD(shrink, REAL),
    FIELD(mass_ratio_max, REAL),
    FIELD(noise_multiplier, REAL),
    FIELD(noise_std, REAL),
    FIELD(grid, REAL),
    FIELD(noise_source, TEXT),
    FIELD(noise_tau_log2, REAL),
    FIELD(divisor, REAL),
    FIELD(n_weights, WHOLE),
    FIELD(delta_caps, REAL),
    FIELD(delta_noise, REAL),
    FIELD(delta_accountant, REAL),
};

static const char *const group_names[] = {"example", "microbatch"};

static json_t *field_to_json(const struct field *field, const void *value)
{
    char text[24];
    switch (field->type) {
    case REAL:
        return sg_json_real(*(const double *)value);
    case WHOLE:
        return json_integer(*(const int64_t *)value);
    case WHOLE_TEXT: /* 64 bits do not survive in every JSON reader */
        snprintf(text, sizeof text, "%llu", (unsigned long long)*(const uint64_t *)value);
        return json_string(text);
    case TRUTH:
        return json_boolean(*(const bool *)value);
    case TEXT:
        return json_string(value);
    case SAMPLER:
        return json_string(sg_sampler_name(*(const enum sg_sampler *)value));
    case RELATION:
        return json_string(sg_relation_name(*(const enum sg_relation *)value));
    case GROUP:
        return json_string(group_names[*(const enum sg_clip_group *)value]);
    }
    return json_null();
}

json_t *sg_plan_to_json(const struct sg_plan *plan)
{
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        json_object_set_new(object, fields[i].name, field_to_json(&fields[i], (const char *)plan + fields[i].offset));
    return object;
}

static bool field_differs(const struct field *field, const struct sg_plan *plan, const struct sg_plan *fixed,
                          char text[160])
{
    json_t *a = field_to_json(field, (const char *)plan + field->offset),
           *b = field_to_json(field, (const char *)fixed + field->offset);
    bool differs = !json_equal(a, b);
    if (differs) {
        char *x = json_dumps(a, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10)),
             *y = json_dumps(b, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
        snprintf(text, 160, "%s is %.40s instead of %.40s", field->name, x ? x : "?", y ? y : "?");
        free(x);
        free(y);
    }
    json_decref(a);
    json_decref(b);
    return differs;
}

/* Fields that follow from the others: named first they would say nothing about what was changed. */
static bool is_derived(const struct field *field)
{
    static const char *const names[] = {
        "epsilon",     "epsilon_lower",   "epsilon_rdp", "accountant", "sample_threshold", "units_per_panel_max",
        "clip_norm",   "shrink",          "noise_std",   "grid",       "divisor",          "delta_caps",
        "delta_noise", "delta_accountant"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(field->name, names[i]) == 0)
            return true;
    return false;
}

bool sg_plan_differs(const struct sg_plan *plan, const struct sg_plan *fixed, char text[160])
{
    for (int derived = 0; derived < 2; derived++)
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            if (is_derived(&fields[i]) == (derived == 1) && field_differs(&fields[i], plan, fixed, text))
                return true;
    return false;
}

static bool parse_text_field(const struct field *field, const char *text, void *out)
{
    int index = -1;
    char *end;
    switch (field->type) {
    case TEXT:
        if (strlen(text) >= field->bytes)
            return false;
        strcpy(out, text);
        return true;
    case WHOLE_TEXT:
        if (*text < '0' || *text > '9')
            return false;
        *(uint64_t *)out = strtoull(text, &end, 10);
        return *end == 0;
    case SAMPLER:
        index = sg_sampler_parse(text);
        break;
    case RELATION:
        index = sg_relation_parse(text);
        break;
    default:
        for (int i = 0; i < 2; i++)
            if (strcmp(text, group_names[i]) == 0)
                index = i;
    }
    if (index >= 0)
        *(int *)out = index;
    return index >= 0;
}

static bool field_from_json(const struct field *field, const json_t *value, void *out)
{
    switch (field->type) {
    case REAL: /* null is infinity: without privacy */
        *(double *)out = json_is_null(value) ? INFINITY : json_number_value(value);
        return json_is_null(value) || json_is_number(value);
    case WHOLE:
        *(int64_t *)out = json_integer_value(value);
        return json_is_integer(value);
    case TRUTH:
        *(bool *)out = json_is_true(value);
        return json_is_boolean(value);
    default:
        return json_is_string(value) && parse_text_field(field, json_string_value(value), out);
    }
}

enum sg_status sg_plan_from_json(const json_t *object, enum sg_status status, struct sg_plan *out)
{
    struct sg_plan plan = {0};
    if (!json_is_object(object))
        return sg_fail(status, "plan: not an object");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const json_t *value = json_object_get(object, fields[i].name);
        if (!value || !field_from_json(&fields[i], value, (char *)&plan + fields[i].offset))
            return sg_fail(status, "plan: %s is missing or not of its type", fields[i].name);
    }
    if (json_object_size(object) != sizeof fields / sizeof *fields)
        return sg_fail(status, "plan: it has fields that this version does not know");
    *out = plan;
    return SG_OK;
}
