#include "saddle.h"

#include <math.h>

/* The saddle point of K(s) - s eps - ln s(s+1) lies at c for one eps; there delta is about e^{...} / sqrt(2 pi F''). */
static struct sg_saddle saddle_at(const struct sg_composition *composition, double log_c, struct sg_nodes *nodes)
{
    double c = exp(log_c);
    struct sg_tilt tilt = sg_composition_tilt(composition, c, nodes);
    if (!isfinite(tilt.log_mgf))
        return (struct sg_saddle){.c = c};
    double epsilon = tilt.mean - 1 / c - 1 / (1 + c);
    double curvature = tilt.variance + 1 / (c * c) + 1 / ((1 + c) * (1 + c));
    double log_delta = tilt.log_mgf - c * epsilon - log(c) - log1p(c) - 0.5 * log(2 * M_PI * curvature);
    return (struct sg_saddle){c, epsilon, log_delta, 0.5 * log(2 * M_PI * curvature * c * c), true};
}

/* Both epsilon and -ln delta rise with c. Finds where `target` is met by one of them; an unreachable c counts as too
 * far. */
struct sg_saddle sg_saddle_find(const struct sg_composition *composition, double target, bool by_delta, double start,
                                struct sg_nodes *nodes)
{
    double low = log(1e-9), high = log(1e9), at = log(start);
    struct sg_saddle best = {.ok = false};
    for (int i = 0; i < 40 && high - low > 0.02; i++) {
        struct sg_saddle here = saddle_at(composition, at, nodes);
        bool beyond = !here.ok || (by_delta ? here.log_delta < target : here.epsilon > target);
        if (here.ok)
            best = here;
        if (beyond)
            high = at;
        else
            low = at;
        double step = low > log(2e-9) && high < log(9e8) ? 0 : 1.2;
        at = step == 0 ? (low + high) / 2 : beyond ? at - step : at + step;
        if (at <= low || at >= high)
            at = (low + high) / 2;
    }
    return best;
}
