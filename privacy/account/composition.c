#include "composition.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attained.h"
#include "pair.h"

enum { PHASES_MAX = 100000 };

static enum sg_status check_phase(const struct sg_history *h, const struct sg_phase *phase)
{
    if (!(phase->sample_rate >= 1e-12 && phase->sample_rate <= 1))
        return sg_fail(SG_USAGE, "sample rate %g is outside [1e-12, 1]", phase->sample_rate);
    if (!(phase->noise_multiplier >= 1e-2 && phase->noise_multiplier <= 1e6))
        return sg_fail(SG_USAGE, "noise multiplier %g is outside [0.01, 1e6]", phase->noise_multiplier);
    if (phase->steps < 1 || phase->steps > 1000000000000)
        return sg_fail(SG_USAGE, "steps %lld is outside [1, 10^12]", (long long)phase->steps);
    if (h->sampler == SG_SAMPLER_FULL_BATCH && phase->sample_rate != 1)
        return sg_fail(SG_USAGE, "full_batch means a sample rate of 1, not %g", phase->sample_rate);
    return SG_OK;
}

static enum sg_status check_sampler(const struct sg_history *h)
{
    int64_t group = h->group_size ? h->group_size : 1;
    if (h->sampler < 0 || h->sampler >= SG_N_SAMPLERS || h->relation < 0 || h->relation >= SG_N_RELATIONS)
        return sg_fail(SG_USAGE, "unknown sampler or neighbouring relation");
    if (group < 1 || group > 1000000)
        return sg_fail(SG_USAGE, "group size %lld is outside [1, 10^6]", (long long)group);
    if (h->sampler == SG_SAMPLER_POISSON && group > SG_PAIR_COMPONENTS_MAX - 1)
        return sg_fail(SG_USAGE,
                       "groups of more than %d records are not accounted under Poisson sampling; "
                       "declare the customer as the unit of privacy instead",
                       SG_PAIR_COMPONENTS_MAX - 1);
    if (h->sampler == SG_SAMPLER_POISSON && group > 1 && h->relation == SG_REPLACE_ONE)
        return sg_fail(SG_USAGE, "groups under Poisson sampling are accounted for add_or_remove_one only");
    if (h->sampler == SG_SAMPLER_TRUNCATED_POISSON) {
        if (h->relation != SG_ADD_OR_REMOVE_ONE || group > 1)
            return sg_fail(SG_USAGE, "truncated_poisson is accounted for single records under add_or_remove_one only");
        if (h->population_size < 1 || h->population_size > 1000000000000 || h->batch_max < 1)
            return sg_fail(SG_USAGE, "truncated_poisson needs the population size and the largest batch");
    }
    if (h->sampler == SG_SAMPLER_FIXED_SIZE && (h->relation != SG_REPLACE_ONE || group > 1))
        return sg_fail(SG_USAGE, "fixed_size batches are accounted for single records under replace_one only "
                                 "(adding or removing a record would change the batch size)");
    if (h->sensitivity != 1 && h->relation == SG_REPLACE_ONE)
        return sg_fail(SG_USAGE, "clip groups of several units are accounted for add_or_remove_one only");
    return SG_OK;
}

enum sg_status sg_history_check(const struct sg_history *h)
{
    if (!(h->sensitivity >= 1e-3 && h->sensitivity <= 1e3))
        return sg_fail(SG_USAGE, "sensitivity %g is outside [0.001, 1000]", h->sensitivity);
    if (h->n_phases + h->n_queries == 0 || h->n_phases > PHASES_MAX || h->n_queries > PHASES_MAX)
        return sg_fail(SG_USAGE, "a history has 1 to %d phases", PHASES_MAX);
    SG_TRY(check_sampler(h));
    for (size_t i = 0; i < h->n_phases; i++)
        SG_TRY(check_phase(h, &h->phases[i]));
    for (size_t i = 0; i < h->n_queries; i++) {
        const struct sg_query *query = &h->queries[i];
        if (query->kind != SG_QUERY_GAUSSIAN && query->kind != SG_QUERY_LAPLACE)
            return sg_fail(SG_USAGE, "unknown kind of query");
        if (!(query->noise_multiplier >= 1e-2 && query->noise_multiplier <= 1e6) || query->count < 1 ||
            query->count > 1000000000000)
            return sg_fail(SG_USAGE, "a query's noise multiplier lies in [0.01, 1e6] and its count in [1, 10^12]");
    }
    return SG_OK;
}

enum sg_status sg_delta_check(double delta)
{
    if (!(delta >= 1e-100 && delta < 1))
        return sg_fail(SG_USAGE, "delta %g is outside [1e-100, 1)", delta);
    return SG_OK;
}

/* Pr[Bin(n, p) >= k] between two bounds: terms from k on, each from its neighbour by the ratio; above the mode they
 * fall geometrically, below it the complement is summed downwards. */
static void binomial_tail(int64_t n, double p, int64_t k, double *low, double *high)
{
    *low = *high = k <= 0;
    if (k <= 0 || k > n)
        return;
    *low = *high = 1;
    if (p >= 1)
        return;
    bool upper = (double)k > (double)n * p;
    double from = upper ? (double)k : (double)k - 1, size = (double)n;
    double log_term =
        lgamma(size + 1) - lgamma(from + 1) - lgamma(size - from + 1) + from * log(p) + (size - from) * log1p(-p);
    double term = 1, sum = 0, odds = p / (1 - p);
    for (double j = from; term > sum * 1e-18; sum += term, j += upper ? 1 : -1) {
        if (j != from)
            term *= upper ? (size - j + 1) / j * odds : (j + 1) / (size - j) / odds;
        if (j < 0 || j > size)
            break;
    }
    /* lgamma of large arguments carries an absolute error of some u n ln n; inflate by it and by the geometric rest */
    double slack = 1e-10 + 8 * DBL_EPSILON * size * log(size + 2), tail = exp(log_term) * sum;
    double less = fmin(fmax(tail * (1 - slack), 0), 1), more = fmin(tail * (1 + slack) + DBL_MIN, 1);
    *low = upper ? less : 1 - more;
    *high = upper ? more : 1 - less;
}

double sg_binomial_tail(int64_t n, double p, int64_t k)
{
    double low, high;
    binomial_tail(n, p, k, &low, &high);
    return high;
}

double sg_binomial_tail_down(int64_t n, double p, int64_t k)
{
    double low, high;
    binomial_tail(n, p, k, &low, &high);
    return low;
}

static struct sg_mixture point(void)
{
    return (struct sg_mixture){.n = 1, .weight = {1}};
}

/* (1-q) N(0) + q N(shift), or with Bin(k, q) weights on 0, shift, 2 shift, ... (2401.10294, theorem 3.1). */
static struct sg_mixture sampled(double q, double shift, int64_t group)
{
    struct sg_mixture m = {.n = (int)group + 1};
    double rest = 1;
    for (int j = (int)group; j >= 1; j--) {
        double log_weight = lgamma((double)group + 1) - lgamma(j + 1.0) - lgamma((double)group - j + 1.0) + j * log(q) +
                            ((double)group - j) * (q < 1 ? log1p(-q) : 0);
        m.weight[j] = group == 1 ? q : q == 1 ? j == group : exp(log_weight) * (1 + 0x1p-45); /* rounded up */
        m.shift[j] = j * shift;
        rest -= m.weight[j];
    }
    m.weight[0] = group == 1 ? 1 - q : rest > 0 ? rest : 0;
    return m;
}

static struct sg_event phase_event(const struct sg_history *h, const struct sg_phase *phase)
{
    struct sg_event event = {.count = (double)phase->steps, .n_branches = 1};
    double q = phase->sample_rate;
    int64_t group = h->group_size ? h->group_size : 1;
    event.branch[0] = (struct sg_pair){
        .probability = 1, .sigma = phase->noise_multiplier / h->sensitivity, .p = sampled(q, 1, group), .q = point()};
    if (h->relation == SG_REPLACE_ONE) /* 2405.20769; Zhu, Dong, Wang 2022, proposition 30 */
        event.branch[0].q = sampled(q, -1, 1);
    if (h->sampler != SG_SAMPLER_TRUNCATED_POISSON)
        return event;
    double full = sg_binomial_tail(h->population_size - 1, q, h->batch_max);
    double over = sg_binomial_tail(h->population_size, q, h->batch_max + 1);
    if (full <= 0)
        return event;
    /* 2508.15089: with probability `full` the others fill the batch; then one of them gives way, 2C, at rate q' <= 1 */
    double rate = fmin(1, over * (double)h->batch_max / ((double)h->population_size * full) * (1 + 1e-8));
    event.n_branches = 2;
    event.branch[0].probability = 1 - full;
    event.branch[1] = (struct sg_pair){
        .probability = full, .sigma = phase->noise_multiplier / h->sensitivity, .p = sampled(rate, 2, 1), .q = point()};
    return event;
}

/* Phases that no sampling protects: T steps at sigma are one Gaussian release of size sqrt(T) times the shift / sigma.
 */
static double plain_mu2(const struct sg_history *h, const struct sg_phase *phase)
{
    double shift =
        h->sensitivity * (double)(h->group_size ? h->group_size : 1) * (h->relation == SG_REPLACE_ONE ? 2 : 1);
    double times = (double)phase->steps;
    if (h->sampler == SG_SAMPLER_SHUFFLE) /* one batch per epoch holds the record */
        times = sg_epochs_touched(phase->sample_rate, times, phase == h->phases);
    double mu = shift / phase->noise_multiplier;
    return times * mu * mu * (1 + 4 * DBL_EPSILON);
}

static enum sg_status add_query(const struct sg_history *h, const struct sg_query *query, struct sg_composition *out)
{
    double shift = (double)(h->group_size ? h->group_size : 1), scale = query->noise_multiplier;
    if (query->kind == SG_QUERY_GAUSSIAN)
        out->gaussian_mu2 += (double)query->count * (shift / scale) * (shift / scale) * (1 + 4 * DBL_EPSILON);
    else
        out->laplaces[out->n_laplaces++] = (struct sg_laplace){shift / scale * (1 + DBL_EPSILON), (double)query->count};
    return SG_OK;
}

/* Equal phases are one event: a schedule repeated nightly costs no more than one night. */
static void add_event(const struct sg_event *event, struct sg_composition *out)
{
    for (size_t i = 0; i < out->n_events; i++) {
        struct sg_event *known = &out->events[i];
        if (known->n_branches == event->n_branches && known->branch[0].sigma == event->branch[0].sigma &&
            known->branch[0].p.weight[1] == event->branch[0].p.weight[1]) {
            known->count += event->count;
            return;
        }
    }
    out->events[out->n_events++] = *event;
}

enum sg_status sg_composition_make(const struct sg_history *h, struct sg_composition *out)
{
    memset(out, 0, sizeof *out);
    SG_TRY(sg_history_check(h));
    bool is_sampled = h->sampler == SG_SAMPLER_POISSON || h->sampler == SG_SAMPLER_TRUNCATED_POISSON;
    out->events = is_sampled && h->n_phases ? malloc(h->n_phases * sizeof *out->events) : NULL;
    out->laplaces = malloc((h->n_queries + 1) * sizeof *out->laplaces);
    if (!out->laplaces || (is_sampled && h->n_phases && !out->events))
        return sg_fail(SG_FAILED, "out of memory for %zu phases", h->n_phases);
    for (size_t i = 0; i < h->n_phases; i++) {
        const struct sg_phase *phase = &h->phases[i];
        if (h->sampler == SG_SAMPLER_FIXED_SIZE && phase->sample_rate < 1) {
            out->fixed_size = h->phases, out->n_fixed_size = h->n_phases;
            continue;
        }
        if (is_sampled && (phase->sample_rate < 1 || h->sampler == SG_SAMPLER_TRUNCATED_POISSON)) {
            struct sg_event event = phase_event(h, phase);
            add_event(&event, out);
        } else {
            out->gaussian_mu2 += plain_mu2(h, phase);
        }
    }
    for (size_t i = 0; i < h->n_queries; i++)
        SG_TRY(add_query(h, &h->queries[i], out));
    out->gaussian_mu2 *= 1 + (double)(h->n_phases + h->n_queries) * DBL_EPSILON;
    out->is_symmetric = !out->n_events || (h->sampler == SG_SAMPLER_POISSON && h->relation == SG_REPLACE_ONE);
    return SG_OK;
}

void sg_composition_swap(struct sg_composition *composition)
{
    for (size_t i = 0; i < composition->n_events; i++)
        sg_event_swap(&composition->events[i]);
}

void sg_composition_close(struct sg_composition *composition)
{
    free(composition->events);
    free(composition->laplaces);
    memset(composition, 0, sizeof *composition);
}

double sg_composition_count(const struct sg_composition *composition)
{
    double count = 1;
    for (size_t i = 0; i < composition->n_events; i++)
        count += composition->events[i].count;
    for (size_t i = 0; i < composition->n_laplaces; i++)
        count += composition->laplaces[i].count;
    return count;
}

/* M(c) = ((c+1) e^{c a} + c e^{-(c+1) a}) / (2c+1) for Laplace of loss_max a. */
static double laplace_log_mgf(double a, double c, double *error)
{
    if (c * a > 1) {
        *error = 16 * SG_UNIT * (1 + c * a);
        return c * a + log((c + 1) / (2 * c + 1) + c / (2 * c + 1) * exp(-(2 * c + 1) * a));
    }
    double up = (c + 1) * expm1(c * a), down = c * expm1(-(c + 1) * a);
    *error = 16 * SG_UNIT * (up - down) / (2 * c + 1);
    return log1p(fmax(up + down, 0) / (2 * c + 1));
}

static void add_laplace(const struct sg_laplace *laplace, double c, struct sg_tilt *out)
{
    double error, ignored, h = 1e-3 * (c + 1e-3);
    double here = laplace_log_mgf(laplace->loss_max, c, &error);
    double left = laplace_log_mgf(laplace->loss_max, c - h, &ignored);
    double right = laplace_log_mgf(laplace->loss_max, c + h, &ignored);
    out->log_mgf += laplace->count * here;
    out->error += laplace->count * error;
    out->mean += laplace->count * (right - left) / (2 * h);
    out->variance += laplace->count * fmax(right - 2 * here + left, 0) / (h * h);
}

struct sg_tilt sg_composition_tilt(const struct sg_composition *composition, double c, struct sg_nodes *nodes)
{
    double mu2 = composition->gaussian_mu2, digits = 45 + log(sg_composition_count(composition));
    struct sg_tilt out = {.log_mgf = mu2 * c * (c + 1) / 2, .mean = mu2 * (c + 0.5), .variance = mu2};
    out.error = 8 * SG_UNIT * out.log_mgf;
    for (size_t i = 0; i < composition->n_laplaces; i++)
        add_laplace(&composition->laplaces[i], c, &out);
    for (size_t i = 0; i < composition->n_events; i++) {
        const struct sg_event *event = &composition->events[i];
        if (!sg_nodes_tilt(event, c, 0, digits, nodes))
            return (struct sg_tilt){.log_mgf = INFINITY};
        out.log_mgf += event->count * nodes->log_mgf;
        out.error += event->count * nodes->log_mgf_error;
        out.mean += event->count * nodes->mean;
        out.variance += event->count * nodes->variance;
    }
    out.error += 4 * SG_UNIT * fabs(out.log_mgf) * (double)(1 + composition->n_events + composition->n_laplaces);
    if (!isfinite(out.log_mgf) || !isfinite(out.error))
        out.log_mgf = INFINITY;
    return out;
}

/* Pr[some step is thinned away], at most: X + width Z beyond the cut. */
static double thinned_away(const struct sg_event *event)
{
    double sum = 0;
    for (int b = 0; b < event->n_branches; b++) {
        const struct sg_pair *pair = &event->branch[b];
        double wide = sqrt(2 * (pair->sigma * pair->sigma + pair->cut_width * pair->cut_width));
        for (int j = 0; j < pair->p.n; j++)
            sum += pair->probability * pair->p.weight[j] * 0.5 * erfc((pair->cut - pair->p.shift[j]) / wide);
    }
    return event->count * sum * (1 + 1e-9);
}

double sg_composition_thin(struct sg_composition *composition, double mass, double sharpness)
{
    double total = 0;
    for (size_t i = 0; i < composition->n_events; i++) {
        struct sg_event *event = &composition->events[i];
        double low = 0, high = 0;
        for (int b = 0; b < event->n_branches; b++) {
            high = fmax(high, 39 * event->branch[b].sigma + event->branch[b].p.shift[event->branch[b].p.n - 1]);
            event->branch[b].cut_width = event->branch[b].sigma / sharpness;
        }
        for (int k = 0; k < 60; k++) {
            double middle = (low + high) / 2;
            for (int b = 0; b < event->n_branches; b++)
                event->branch[b].cut = middle;
            if (thinned_away(event) > mass / (double)composition->n_events)
                low = middle;
            else
                high = middle;
        }
        for (int b = 0; b < event->n_branches; b++)
            event->branch[b].cut = high;
        total += thinned_away(event);
    }
    return total;
}

void sg_composition_unthin(struct sg_composition *composition)
{
    for (size_t i = 0; i < composition->n_events; i++)
        for (int b = 0; b < composition->events[i].n_branches; b++)
            composition->events[i].branch[b].cut_width = 0;
}
