#include "attained.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "composition.h"

bool sg_history_is_attained(const struct sg_history *h)
{
    return (h->sampler == SG_SAMPLER_POISSON || h->sampler == SG_SAMPLER_FULL_BATCH) && h->sensitivity <= 1;
}

struct sg_epoch sg_epoch_of(double sample_rate)
{
    double batches = 1 / sample_rate, whole = rint(batches);
    if (fabs(batches - whole) <= 1e-9 * batches)
        return (struct sg_epoch){whole, whole};
    return (struct sg_epoch){floor(batches), ceil(batches)};
}

double sg_epochs_touched(double sample_rate, double steps, bool is_first)
{
    double batches = sg_epoch_of(sample_rate).batches_min;
    return fmin(steps, is_first ? ceil(steps / batches) : 1 + ceil((steps - 1) / batches));
}

/* Truncated Poisson, one record with a gradient: it is in the batch, after the cap, with probability
 * q Pr[Bin(n-1, q) < B] + Pr[Bin(n, q) > B] B / n. */
static double capped_rate(const struct sg_history *h, double q)
{
    double full = sg_binomial_tail(h->population_size - 1, q, h->batch_max);
    double over = sg_binomial_tail_down(h->population_size, q, h->batch_max + 1);
    return fmin(q * (1 - full) + over * (double)h->batch_max / (double)h->population_size, q) * (1 - 1e-12);
}

/* Of each epoch only the batch that comes first is looked at: it holds the record with probability 1 / batches. */
static bool first_batch(const struct sg_phase *given, bool is_first, struct sg_phase *out)
{
    double batches = sg_epoch_of(given->sample_rate).batches_max, steps = (double)given->steps;
    double epochs = is_first ? ceil(steps / batches) : floor(steps / batches);
    *out = (struct sg_phase){fmin((1 - 1e-15) / batches, 1), given->noise_multiplier, (int64_t)epochs};
    if (batches == 1)
        out->sample_rate = 1;
    return epochs >= 1;
}

/* The sum of a whole epoch's outputs: the record once (or never, where it fell into a last batch that is dropped), and
 * the noise of all batches. */
static bool epoch_sum(const struct sg_phase *given, bool is_first, struct sg_phase *out)
{
    struct sg_epoch epoch = sg_epoch_of(given->sample_rate);
    double batches = epoch.batches_max, steps = (double)given->steps;
    double epochs = floor((is_first ? steps : fmax(steps - batches + 1, 0)) / batches);
    double share = epoch.batches_min == batches ? 1 : epoch.batches_min * given->sample_rate * (1 - 1e-15);
    *out = (struct sg_phase){share, given->noise_multiplier * sqrt(batches) * (1 + 1e-15), (int64_t)epochs};
    return epochs >= 1;
}

static void add_shuffled(const struct sg_history *h, bool (*seen)(const struct sg_phase *, bool, struct sg_phase *),
                         struct sg_phase *phases, struct sg_attained *out)
{
    struct sg_history *here = &out->history[out->n];
    bool is_whole = true;
    *here = *h, here->phases = phases, here->n_phases = 0;
    for (size_t i = 0; i < h->n_phases; i++)
        if (seen(&h->phases[i], i == 0, &phases[here->n_phases]))
            is_whole = is_whole && phases[here->n_phases++].sample_rate == 1;
    here->sampler = is_whole ? SG_SAMPLER_FULL_BATCH : SG_SAMPLER_POISSON;
    if (!is_whole)
        here->group_size = 1; /* the others of the group are zero too */
    out->n += here->n_phases + here->n_queries > 0;
}

enum sg_status sg_attained_make(const struct sg_history *h, struct sg_attained *out)
{
    *out = (struct sg_attained){.n = 0};
    out->phases = malloc((SG_ATTAINED_MAX * h->n_phases + 1) * sizeof *out->phases);
    if (!out->phases)
        return sg_fail(SG_FAILED, "out of memory for %zu phases", h->n_phases);
    struct sg_history plain = *h;
    plain.phases = out->phases;
    plain.sensitivity = fmin(h->sensitivity, 1); /* from nothing to its own clipped vector */
    for (size_t i = 0; i < h->n_phases; i++)
        out->phases[i] = h->phases[i];
    if (h->sampler == SG_SAMPLER_SHUFFLE) {
        plain.phases = h->phases;
        add_shuffled(&plain, epoch_sum, out->phases, out);
        add_shuffled(&plain, first_batch, out->phases + h->n_phases, out);
        return SG_OK;
    }
    for (size_t i = 0; h->sampler == SG_SAMPLER_TRUNCATED_POISSON && i < h->n_phases; i++)
        out->phases[i].sample_rate = capped_rate(h, h->phases[i].sample_rate);
    if (h->sampler != SG_SAMPLER_FULL_BATCH)
        plain.sampler = SG_SAMPLER_POISSON;
    out->history[out->n++] = plain;
    return SG_OK;
}

void sg_attained_close(struct sg_attained *attained)
{
    free(attained->phases);
    memset(attained, 0, sizeof *attained);
}
