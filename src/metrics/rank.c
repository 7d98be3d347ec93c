/* Figures that depend on the order of the scores alone. Records of equal score form a group; every figure is a sum over
 * groups, highest score first, so that no order inside a group can matter. */
#include <math.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "parts.h"

#define NORMAL_QUANTILE_975 1.959963984540054

struct record {
    float score;
    int positive;
};

struct group {
    double n_positive, n_negative;         /* in this group */
    double above_positive, above_negative; /* in all groups of higher score */
};

static int by_score_descending(const void *a, const void *b)
{
    float x = ((const struct record *)a)->score, y = ((const struct record *)b)->score;
    return (x < y) - (x > y);
}

/* Groups in descending order of score; the caller frees them. */
static struct group *make_groups(int64_t n, const float *score, const float *label, int64_t *n_groups)
{
    struct record *records = sg_alloc((size_t)n, sizeof *records);
    for (int64_t i = 0; i < n; i++)
        records[i] = (struct record){score[i], metrics_is_positive(label[i])};
    qsort(records, (size_t)n, sizeof *records, by_score_descending);
    struct group *groups = sg_alloc((size_t)n, sizeof *groups);
    int64_t g = -1;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || records[i].score != records[i - 1].score) {
            g++;
            if (g > 0) {
                groups[g].above_positive = groups[g - 1].above_positive + groups[g - 1].n_positive;
                groups[g].above_negative = groups[g - 1].above_negative + groups[g - 1].n_negative;
            }
        }
        groups[g].n_positive += records[i].positive;
        groups[g].n_negative += !records[i].positive;
    }
    free(records);
    *n_groups = g + 1;
    return groups;
}

/* The share of negatives that a positive of this group outranks, a tie counting one half: DeLong's V10. */
static double outranked(const struct group *group, double n_negative)
{
    return (n_negative - group->above_negative - group->n_negative / 2) / n_negative;
}

/* The share of positives that outrank a negative of this group: DeLong's V01. */
static double outranking(const struct group *group, double n_positive)
{
    return (group->above_positive + group->n_positive / 2) / n_positive;
}

/* Area under the ROC curve; variance by DeLong et al. (1988), whose structural components are equal within a group:
 * what Sun & Xu (2014) get from midranks. Needs two records of each class. */
static void area(const struct group *groups, int64_t n_groups, double n_positive, double n_negative,
                 struct sg_metrics *out)
{
    double sum = 0, squares_positive = 0, squares_negative = 0;
    for (int64_t g = 0; g < n_groups; g++)
        sum += groups[g].n_positive * outranked(&groups[g], n_negative);
    out->auc = sum / n_positive;
    out->gini = 2 * out->auc - 1;
    if (n_positive < 2 || n_negative < 2)
        return;
    for (int64_t g = 0; g < n_groups; g++) {
        double v10 = outranked(&groups[g], n_negative) - out->auc;
        double v01 = outranking(&groups[g], n_positive) - out->auc;
        squares_positive += groups[g].n_positive * v10 * v10;
        squares_negative += groups[g].n_negative * v01 * v01;
    }
    double variance =
        squares_positive / (n_positive - 1) / n_positive + squares_negative / (n_negative - 1) / n_negative;
    double half = NORMAL_QUANTILE_975 * sqrt(variance);
    out->auc_low = fmax(out->auc - half, 0);
    out->auc_high = fmin(out->auc + half, 1);
}

static double kolmogorov_smirnov(const struct group *groups, int64_t n_groups, double n_positive, double n_negative)
{
    double most = 0;
    for (int64_t g = 0; g < n_groups; g++) {
        double true_rate = (groups[g].above_positive + groups[g].n_positive) / n_positive;
        double false_rate = (groups[g].above_negative + groups[g].n_negative) / n_negative;
        most = fmax(most, fabs(true_rate - false_rate));
    }
    return most;
}

/* Expected number of positives among the first k records when ties are broken at random; k need not be whole. */
static double positives_among_top(const struct group *groups, int64_t n_groups, double k)
{
    double positives = 0;
    for (int64_t g = 0; g < n_groups; g++) {
        double above = groups[g].above_positive + groups[g].above_negative;
        double size = groups[g].n_positive + groups[g].n_negative;
        double share = fmin(fmax((k - above) / size, 0), 1);
        positives += share * groups[g].n_positive;
    }
    return positives;
}

void metrics_rank(int64_t n, const float *score, const float *label, struct sg_metrics *out)
{
    int64_t n_groups;
    struct group *groups = make_groups(n, score, label, &n_groups);
    double positives = (double)out->n_positive, negatives = (double)(n - out->n_positive);
    if (positives > 0 && negatives > 0) {
        area(groups, n_groups, positives, negatives, out);
        out->ks = kolmogorov_smirnov(groups, n_groups, positives, negatives);
    }
    if (positives > 0) {
        out->capture_10 = positives_among_top(groups, n_groups, 0.1 * (double)n) / positives;
        out->lift_10 = out->capture_10 / 0.1;
    }
    double hits = positives_among_top(groups, n_groups, positives); /* as many are missed as are called in error */
    out->accuracy_base_rate = 1 - 2 * (positives - hits) / (double)n;
    free(groups);
}
