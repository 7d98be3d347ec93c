#include "rdp.h"

#include <float.h>
#include <math.h>

double sg_account_rdp_to_epsilon(double rho, double alpha, double delta)
{
    double epsilon = rho + log1p(-1 / alpha) - (log(delta) + log(alpha)) / (alpha - 1);
    double slack = 8 * DBL_EPSILON * (rho + fabs(log1p(-1 / alpha)) + (fabs(log(delta)) + log(alpha)) / (alpha - 1));
    if (isnan(epsilon + slack)) /* not a number may not read as nothing spent */
        return INFINITY;
    return epsilon + slack > 0 ? epsilon + slack : 0;
}

double sg_account_rdp_to_log_delta(double rho, double alpha, double epsilon)
{
    double log_delta = (alpha - 1) * (rho - epsilon + log1p(-1 / alpha)) - log(alpha);
    double slack = 8 * DBL_EPSILON * ((alpha - 1) * (rho + epsilon + fabs(log1p(-1 / alpha))) + log(alpha) + 1);
    return log_delta + slack < 0 ? log_delta + slack : 0;
}

double sg_composition_rdp(const struct sg_composition *composition, double alpha, struct sg_nodes *nodes)
{
    struct sg_tilt tilt = sg_composition_tilt(composition, alpha - 1, nodes);
    double fixed = 0;
    for (size_t i = 0; i < composition->n_fixed_size; i++)
        fixed +=
            (double)composition->fixed_size[i].steps * sg_fixed_size_log_moment(&composition->fixed_size[i], alpha);
    return (tilt.log_mgf + tilt.error + fixed * (1 + 1e-12)) / (alpha - 1) * (1 + 4 * DBL_EPSILON);
}

static double epsilon_at(const struct sg_composition *composition, double delta, double log_order,
                         struct sg_nodes *nodes)
{
    double alpha = 1 + exp(log_order);
    double rho = sg_composition_rdp(composition, alpha, nodes);
    return isfinite(rho) ? sg_account_rdp_to_epsilon(rho, alpha, delta) : INFINITY;
}

/* Any order gives a valid bound, so the search need not be exact: a coarse pass over ln(alpha - 1), then golden
 * section. Orders of fixed-size sampling are cheap only up to its table's end; sg_fixed_size_log_moment is infinite
 * beyond. */
double sg_composition_rdp_epsilon(const struct sg_composition *composition, double delta, double *order)
{
    struct sg_nodes nodes = {0};
    double best = INFINITY, at = 0, previous = INFINITY;
    int rises = 0;
    for (double log_order = -12; log_order < 21; log_order += 1) {
        double epsilon = epsilon_at(composition, delta, log_order, &nodes);
        if (epsilon < best)
            best = epsilon, at = log_order, rises = 0;
        else if (epsilon >= previous || epsilon == INFINITY)
            rises += best < INFINITY;
        previous = epsilon;
        if (rises > 2)
            break;
    }
    if (best < INFINITY && best > 0) {
        const double ratio = 0.6180339887498949;
        double low = at - 1, high = at + 1;
        double left = high - ratio * 2, right = low + ratio * 2;
        double f_left = epsilon_at(composition, delta, left, &nodes);
        double f_right = epsilon_at(composition, delta, right, &nodes);
        for (int i = 0; i < 22; i++) {
            if (f_left < f_right) {
                high = right, right = left, f_right = f_left;
                left = high - ratio * (high - low);
                f_left = epsilon_at(composition, delta, left, &nodes);
            } else {
                low = left, left = right, f_left = f_right;
                right = low + ratio * (high - low);
                f_right = epsilon_at(composition, delta, right, &nodes);
            }
        }
        if (fmin(f_left, f_right) < best)
            best = fmin(f_left, f_right), at = f_left < f_right ? left : right;
    }
    if (order)
        *order = 1 + exp(at);
    sg_nodes_close(&nodes);
    return best;
}
