#include "account/curve.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "closed.h"
#include "composition.h"
#include "rdp.h"

enum sg_status sg_account_curve(const struct sg_history *history, struct sg_curve *out)
{
    struct sg_epsilon far;
    SG_TRY(sg_account_epsilon(history, 1e-12, &far));
    double last = isfinite(far.epsilon) ? far.epsilon : far.epsilon_rdp;
    for (int i = 0; i < SG_CURVE_POINTS; i++) {
        double share = (double)i / (SG_CURVE_POINTS - 1), lower;
        out->privacy[i].epsilon = last * share;
        SG_TRY(sg_account_delta(history, out->privacy[i].epsilon, &lower, &out->privacy[i].delta));
    }
    static const double rates[SG_ATTACK_POINTS] = {1e-5, 1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5};
    for (int k = 0; k < SG_ATTACK_POINTS; k++) {
        double best = 1;
        for (int i = 0; i < SG_CURVE_POINTS; i++) {
            double epsilon = out->privacy[i].epsilon, delta = out->privacy[i].delta;
            best = fmin(best, (delta + exp(epsilon) * rates[k]) * (1 + 8 * DBL_EPSILON));
            best = fmin(best, 1 - exp(-epsilon) * fmax(1 - delta - rates[k], 0) * (1 - 8 * DBL_EPSILON));
        }
        out->attack[k] = (struct sg_attack_point){rates[k], best};
    }
    return SG_OK;
}

double sg_gdp_epsilon(double mu, double delta)
{
    double lower, upper;
    sg_gaussian_epsilon(mu, delta, &lower, &upper);
    return upper;
}

/* min over alpha of rho alpha + ln(1 - 1/alpha) - ln(delta alpha)/(alpha - 1), by golden section on ln(alpha - 1). */
double sg_zcdp_epsilon(double rho, double delta)
{
    const double ratio = 0.6180339887498949;
    double low = -14, high = 24, best = INFINITY;
    for (int i = 0; i < 80; i++) {
        double left = high - ratio * (high - low), right = low + ratio * (high - low);
        double a = 1 + exp(left), b = 1 + exp(right);
        double f_left = sg_account_rdp_to_epsilon(rho * a * (1 + DBL_EPSILON), a, delta);
        double f_right = sg_account_rdp_to_epsilon(rho * b * (1 + DBL_EPSILON), b, delta);
        best = fmin(best, fmin(f_left, f_right));
        if (f_left < f_right)
            high = right;
        else
            low = left;
    }
    return best;
}

enum sg_status sg_account_gdp(const struct sg_history *history, double *mu)
{
    struct sg_composition composition;
    enum sg_status status = sg_composition_make(history, &composition);
    if (status == SG_OK && (composition.n_events || composition.n_laplaces || composition.n_fixed_size))
        status = sg_fail(SG_USAGE,
                         "only unsampled Gaussian releases have a Gaussian-DP parameter; ask for the curve instead");
    if (status == SG_OK)
        *mu = sqrt(composition.gaussian_mu2) * (1 + 2 * DBL_EPSILON);
    sg_composition_close(&composition);
    return status;
}
