#include "wheel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 8 };

void sg_wheel_close(struct sg_wheel *wheel)
{
    free(wheel->w);
    memset(wheel, 0, sizeof *wheel);
}

bool sg_wheel_open(const struct sg_event *event, double c, double t_max, double digits, double centre,
                   struct sg_nodes *nodes, struct sg_wheel *out)
{
    if (!sg_nodes_tilt(event, c, t_max, digits, nodes))
        return false;
    size_t n = (nodes->n + LANES - 1) / LANES * LANES;
    double *block = calloc(6 * n, sizeof *block);
    if (!block)
        return false;
    double reach = 0, eta = 0, eta_reach = 0, loss_error = 0;
    for (size_t i = 0; i < nodes->n; i++) {
        double w = nodes->weight[i], d = nodes->loss[i] - centre;
        block[i] = w, block[n + i] = d;
        reach += w * fabs(d);
        eta += w * nodes->eta[i];
        eta_reach += w * nodes->eta[i] * fabs(d);
        loss_error += w * (nodes->loss_error[i] + 2 * fabs(nodes->loss[i]));
    }
    double steps = 12 * SG_WHEEL_RESYNC + (double)n / LANES + 16;
    *out = (struct sg_wheel){.n = n, .count = event->count, .reach = reach, .truncation = nodes->truncation};
    out->rounding_slope = eta_reach + loss_error + reach * (steps + eta);
    out->rounding_cap = 2 * eta + 2 * steps + 2 * eta;
    out->loss_slope = loss_error;
    out->w = block, out->d = block + n, out->er = block + 2 * n, out->ei = block + 3 * n;
    out->rr = block + 4 * n, out->ri = block + 5 * n;
    return true;
}

/* Sets every node's e^{it d} - 1 afresh; 1 - cos by the half angle. */
void sg_wheel_set(struct sg_wheel *wheel, double t, double *real, double *imag)
{
    for (size_t i = 0; i < wheel->n; i++) {
        double half = sin(t * wheel->d[i] / 2);
        real[i] = -2 * half * half;
        imag[i] = sin(t * wheel->d[i]);
    }
}

/* The same operations in the same order on every CPU; only the width of the registers differs. */
__attribute__((target_clones("avx512f", "avx2", "default"))) void sg_wheel_sum(struct sg_wheel *wheel, double *real,
                                                                               double *imag)
{
    double sum_r[LANES] = {0}, sum_i[LANES] = {0};
    const double *w = wheel->w, *rr = wheel->rr, *ri = wheel->ri;
    double *er = wheel->er, *ei = wheel->ei;
    for (size_t i = 0; i < wheel->n; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            double a = er[i + k], b = ei[i + k];
            sum_r[k] += w[i + k] * a;
            sum_i[k] += w[i + k] * b;
            er[i + k] = a + (rr[i + k] + (a * rr[i + k] - b * ri[i + k]));
            ei[i + k] = b + (ri[i + k] + (a * ri[i + k] + b * rr[i + k]));
        }
    *real = ((sum_r[0] + sum_r[4]) + (sum_r[1] + sum_r[5])) + ((sum_r[2] + sum_r[6]) + (sum_r[3] + sum_r[7]));
    *imag = ((sum_i[0] + sum_i[4]) + (sum_i[1] + sum_i[5])) + ((sum_i[2] + sum_i[6]) + (sum_i[3] + sum_i[7]));
}

/* Absolute error of the sum at t: weights, losses, recurrence and additions; at most linear in t, and capped. */
double sg_wheel_error(const struct sg_wheel *wheel, double t)
{
    return SG_UNIT * fmin(t * wheel->rounding_slope, wheel->rounding_cap + t * wheel->loss_slope) +
           4 * wheel->truncation;
}
