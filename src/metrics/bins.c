/* Scores by fixed bins: enough for a ROC curve, a calibration plot and a distribution, too coarse to show a person. */
#include <math.h>

#include "parts.h"

enum { UNITS_MIN = 10, PARTS = 1000 };

double sg_metrics_bin_edge(int edge)
{
    if (edge <= 0)
        return 0;
    if (edge >= SG_METRICS_BINS)
        return 1;
    int halves = edge - SG_METRICS_BINS / 2; /* the odds at the edge are 2^(halves / 2) */
    double odds = ldexp(halves & 1 ? M_SQRT2 : 1, (halves - (halves & 1)) / 2);
    return odds / (1 + odds);
}

static int bin_of(double score)
{
    int low = 0, high = SG_METRICS_BINS; /* edge(low) <= score < edge(high), or the last bin */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (score < sg_metrics_bin_edge(middle))
            high = middle;
        else
            low = middle;
    }
    return low;
}

struct bin {
    int64_t n, n_positive;
    double score_sum;
    int first, last;
};

static void add(struct bin *to, const struct bin *from)
{
    to->n += from->n;
    to->n_positive += from->n_positive;
    to->score_sum += from->score_sum;
    to->last = from->last;
}

/* Neighbours together until each holds `least`; what is left at the end joins the last. */
static int merge(struct bin *bins, int64_t least)
{
    int n_merged = 0;
    struct bin open = {.first = -1};
    for (int i = 0; i < SG_METRICS_BINS; i++) {
        if (bins[i].n == 0)
            continue;
        if (open.first < 0)
            open.first = i;
        add(&open, &bins[i]);
        if (open.n >= least) {
            bins[n_merged++] = open; /* at most i */
            open = (struct bin){.first = -1};
        }
    }
    if (open.n > 0 && n_merged > 0)
        add(&bins[n_merged - 1], &open);
    return n_merged;
}

/* In units of 1e-4. */
static json_t *coarse(double value)
{
    return json_integer((json_int_t)llround(value * 1e4));
}

json_t *sg_metrics_bins(int64_t n, const float *score, const float *label)
{
    struct bin bins[SG_METRICS_BINS] = {0};
    if (n < 2 * UNITS_MIN)
        return NULL;
    for (int i = 0; i < SG_METRICS_BINS; i++)
        bins[i].first = bins[i].last = i;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(score[i]))
            return NULL;
        struct bin *bin = &bins[bin_of(score[i])];
        bin->n++;
        bin->n_positive += metrics_is_positive(label[i]);
        bin->score_sum += score[i];
    }
    int n_merged = merge(bins, n / PARTS > UNITS_MIN ? n / PARTS : UNITS_MIN);
    json_t *list = json_array();
    for (int i = 0; i < n_merged; i++) {
        double members = (double)bins[i].n;
        json_array_append_new(list, json_pack("[i, i, o, o, o]", bins[i].first, bins[i].last,
                                              coarse(members / (double)n), coarse(bins[i].score_sum / members),
                                              coarse((double)bins[i].n_positive / members)));
    }
    return list;
}
