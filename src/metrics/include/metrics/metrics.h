/* Metrics: of a binary score as in credit scoring, of classes, of values. Plain arrays in, numbers out. Ties are handled
 * everywhere. */
#ifndef SG_METRICS_METRICS_H
#define SG_METRICS_METRICS_H

#include <stdint.h>

#include "base/json.h"

struct sg_metrics {
    int64_t n, n_positive;
    double auc, auc_low, auc_high; /* area under the ROC curve; 95 % interval (DeLong et al. 1988, fast as Sun & Xu 2014) */
    double gini;                   /* 2 auc - 1 */
    double ks;                     /* Kolmogorov-Smirnov: max |TPR - FPR| */
    double brier, log_loss;        /* probabilities clamped to [1e-15, 1 - 1e-15] in the log */
    double ece;                    /* expected calibration error, 10 bins of equal width, each with its upper edge */
    double lift_10, capture_10;    /* top 10 % by score: positive rate there over base rate; share of positives there */
    double accuracy_base_rate;     /* accuracy when the top fraction = base rate is called positive */
};

/* score: probability of label 1; a label above 0.5 is positive. "Top" counts n / 10 records, a fraction included, and a
 * group of tied records on the border in proportion: the mean over all orders of the tied. Figures that are undefined
 * (no record; one class only; an interval with one record in a class) are NaN, all are when a score is not finite. */
void sg_metrics_compute(int64_t n, const float *score, const float *label, struct sg_metrics *out);
/* Population stability index between two score samples over the deciles of the first (bins hold their upper edge), shares
 * floored at 1e-4. NaN without records or when a score is not finite. */
double sg_metrics_psi(int64_t n_expected, const float *expected, int64_t n_actual, const float *actual);
/* {auc, auc_low, auc_high, gini, ks, brier, log_loss, ece, lift_10, capture_10, accuracy_base_rate}; NaN is null. */
json_t *sg_metrics_to_json(const struct sg_metrics *metrics);

struct sg_class_metrics {
    int64_t n;
    double accuracy;          /* the most probable class is the label; the first among equals counts */
    double top_3_accuracy;    /* the label is among the three most probable; a tie counts against it */
    double macro_f1;          /* mean F1 over the classes that occur */
    double balanced_accuracy; /* mean recall over the classes that occur */
    double log_loss;          /* probabilities not below 1e-15 in the log */
    double brier;             /* mean over records of the squared distance to the truth, summed over classes */
    double ece;               /* expected calibration error of the most probable class, bins as above */
};

struct sg_class_figures {
    int64_t n, n_predicted, n_hit;
    double precision, recall, f1; /* NaN for a class that does not occur; precision 0 where it is never predicted */
};

/* The class with the largest of n_classes probabilities; the first among equals. */
int64_t sg_metrics_best_class(const float *probability, int64_t n_classes);
/* probability (n, n_classes), label: class numbers below n_classes. `figures` (n_classes) may be NULL. All NaN without
 * records. */
void sg_metrics_classes(int64_t n, int64_t n_classes, const float *probability, const float *label,
                        struct sg_class_metrics *out, struct sg_class_figures *figures);
/* {accuracy, top_3_accuracy, macro_f1, balanced_accuracy, log_loss, brier, ece}; NaN is null. */
json_t *sg_metrics_classes_to_json(const struct sg_class_metrics *metrics);
/* One wrong answer and how often it was given. */
struct sg_confusion {
    int64_t truth, guess, n;
};
/* The most frequent wrong answers, at most n_max, by frequency, then by class; returns how many there are. */
int64_t sg_metrics_confusions(int64_t n, int64_t n_classes, const float *probability, const float *label, int64_t n_max,
                              struct sg_confusion *out);

/* The records whose probability lies in one of ten bins of equal width, each with its upper edge, the first with 0. */
enum { SG_METRICS_CALIBRATION_BINS = 10 };
struct sg_calibration_bin {
    int64_t n;
    double probability, rate; /* mean probability; share of those that came true; NaN without records */
};
/* came_true: above 0.5. Finite probabilities. */
void sg_metrics_calibration(int64_t n, const float *probability, const float *came_true,
                            struct sg_calibration_bin out[SG_METRICS_CALIBRATION_BINS]);

/* Regression: {rmse, mae, r2}; NaN (no records; r2 of labels that are all alike) is null. */
json_t *sg_metrics_values(int64_t n, const float *value, const float *label);

/* Fixed bins of scores: 42 of them, at odds of 2^(1/2) between 2^-10 and 2^10, with an open one on each side. Edge i is
 * the lower edge of bin i and the upper one of bin i - 1; edge 0 is 0, edge 42 is 1. */
enum { SG_METRICS_BINS = 42 };
double sg_metrics_bin_edge(int edge);
/* [[first bin, last bin, share of the records, mean score, share of positives among them], ...] from low scores to high.
 * Neighbouring bins are joined until each has 10 records and a thousandth of all; figures are in units of 1e-4, so that
 * no row is about one person. NULL for fewer than 20 records or a score that is not finite. */
json_t *sg_metrics_bins(int64_t n, const float *score, const float *label);

#endif
