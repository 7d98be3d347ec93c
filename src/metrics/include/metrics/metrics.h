/* Binary classification metrics for credit scoring: plain arrays in, numbers out. Ties are handled everywhere. */
#ifndef SG_METRICS_METRICS_H
#define SG_METRICS_METRICS_H

#include <stdint.h>

#include "base/json.h"

struct sg_metrics {
    int64_t n, n_positive;
    double auc, auc_low, auc_high; /* area under the ROC curve with a 95 % interval (DeLong et al. 1988, fast form of Sun & Xu 2014) */
    double gini;                   /* 2 auc - 1 */
    double ks;                     /* Kolmogorov-Smirnov: max |TPR - FPR| */
    double brier, log_loss;        /* probabilities clamped to [1e-15, 1 - 1e-15] in the log */
    double ece;                    /* expected calibration error, 10 bins of equal width */
    double lift_10, capture_10;    /* top 10 % by score (ties shared fairly): positive rate there over base rate; share of positives */
    double accuracy_base_rate;     /* accuracy when the top fraction = base rate is called positive */
};

/* score: probability of label 1. Undefined figures (one class only, n = 0) are NaN. */
void sg_metrics_compute(int64_t n, const float *score, const float *label, struct sg_metrics *out);
/* Population stability index between two score samples over the deciles of the first, empty bins floored at 1e-4. */
double sg_metrics_psi(int64_t n_expected, const float *expected, int64_t n_actual, const float *actual);
/* {auc, auc_low, auc_high, gini, ks, brier, log_loss, ece, lift_10, capture_10, accuracy_base_rate}; NaN is null. */
json_t *sg_metrics_to_json(const struct sg_metrics *metrics);

#endif
