/* The two halves of sg_metrics: what follows from the order of the scores, and what follows from their values. */
#ifndef SG_METRICS_PARTS_H
#define SG_METRICS_PARTS_H

#include "metrics/metrics.h"

/* auc and its interval, gini, ks, lift, capture, accuracy. n > 0, finite scores; n_positive is set. */
void metrics_rank(int64_t n, const float *score, const float *label, struct sg_metrics *out);
/* brier, log_loss, ece. n > 0, finite scores. */
void metrics_calibrate(int64_t n, const float *score, const float *label, struct sg_metrics *out);

/* Which of the calibration's bins a probability lies in. */
int metrics_bin_of(double p);

static inline int metrics_is_positive(float label)
{
    return label > 0.5f;
}

#endif
