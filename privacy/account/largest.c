#include "largest.h"

#include <math.h>

#include "closed.h"

static double above(const struct sg_mixture *m, double sigma, double x)
{
    double sum = 0;
    for (int j = 0; j < m->n; j++)
        sum += m->weight[j] * sg_normal_tail((x - m->shift[j]) / sigma);
    return sum;
}

/* Any x is a valid place to ask: the nearer to the level, the better. */
static double where_loss_is(const struct sg_pair *pair, double level)
{
    double low = -45 * pair->sigma, high = 45 * pair->sigma + pair->p.shift[pair->p.n - 1];
    for (int i = 0; i < 44; i++) {
        double middle = (low + high) / 2;
        if (sg_pair_loss(pair, middle) < level)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* Pr[any] >= 1 - prod (1 - p)^T under P and <= the same of q under Q; e^epsilon >= (Pr[any] - delta) / Q[any]. Tails
 * are good to 1e-13. */
static double at_level(const struct sg_composition *composition, double delta, double level)
{
    double none = 0, none_q = 0;
    for (size_t i = 0; i < composition->n_events; i++) {
        const struct sg_event *event = &composition->events[i];
        const struct sg_pair *pair = &event->branch[0];
        if (event->n_branches > 1)
            continue;
        double x = where_loss_is(pair, level);
        none += event->count * log1p(-fmin(above(&pair->p, pair->sigma, x) * (1 - 1e-12), 1));
        none_q += event->count * log1p(-fmin(above(&pair->q, pair->sigma, x) * (1 + 1e-12), 1));
    }
    double any = -expm1(none) * (1 - 1e-14), any_q = -expm1(none_q) * (1 + 1e-14);
    double epsilon = any > delta && any_q > 0 ? log((any - delta) / any_q) : 0;
    return isfinite(epsilon) ? fmax(epsilon - 1e-11 * any / (any - delta), 0) * (1 - 1e-14) : 0;
}

double sg_largest_loss_epsilon(const struct sg_composition *composition, double delta, double about)
{
    double best = 0, best_at = about, step = 2;
    for (double level = about * 4; level > about * 1e-4; level /= step) {
        double epsilon = at_level(composition, delta, level);
        if (epsilon > best)
            best = epsilon, best_at = level;
    }
    for (int i = 0; best > 0 && i < 6; i++) {
        step = sqrt(step);
        for (int side = 0; side < 2; side++) {
            double level = side ? best_at * step : best_at / step, epsilon = at_level(composition, delta, level);
            if (epsilon > best)
                best = epsilon, best_at = level;
        }
    }
    return best;
}
