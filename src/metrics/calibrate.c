/* Figures that take a score for the probability it claims to be. */
#include <math.h>

#include "parts.h"

#define BINS SG_METRICS_CALIBRATION_BINS
#define PROBABILITY_MIN 1e-15 /* one confident error must not make the log loss infinite */

/* Bins are (0, 0.1], ..., (0.9, 1], the first with its 0 (Guo et al. 2017). p * 10 is exact in double for a float p. */
int metrics_bin_of(double p)
{
    double bin = ceil(p * BINS) - 1;
    return bin < 0 ? 0 : bin > BINS - 1 ? BINS - 1 : (int)bin;
}

void metrics_calibrate(int64_t n, const float *score, const float *label, struct sg_metrics *out)
{
    double brier = 0, log_loss = 0, excess[BINS] = {0}; /* by bin: sum of score - label */
    for (int64_t i = 0; i < n; i++) {
        double p = (double)score[i], y = metrics_is_positive(label[i]);
        double clamped = fmin(fmax(p, PROBABILITY_MIN), 1 - PROBABILITY_MIN);
        brier += (p - y) * (p - y);
        log_loss -= y > 0 ? log(clamped) : log1p(-clamped);
        excess[metrics_bin_of(p)] += p - y;
    }
    double distance = 0; /* sum over bins of (records there) * |mean score - rate of positives| */
    for (int i = 0; i < BINS; i++)
        distance += fabs(excess[i]);
    out->brier = brier / (double)n;
    out->log_loss = log_loss / (double)n;
    out->ece = distance / (double)n;
}

void sg_metrics_calibration(int64_t n, const float *probability, const float *came_true,
                            struct sg_calibration_bin out[BINS])
{
    for (int i = 0; i < BINS; i++)
        out[i] = (struct sg_calibration_bin){0};
    for (int64_t i = 0; i < n; i++) {
        struct sg_calibration_bin *bin = &out[metrics_bin_of((double)probability[i])];
        bin->n++;
        bin->probability += (double)probability[i];
        bin->rate += metrics_is_positive(came_true[i]);
    }
    for (int i = 0; i < BINS; i++) { /* 0 / 0 is NaN */
        out[i].probability /= (double)out[i].n;
        out[i].rate /= (double)out[i].n;
    }
}
