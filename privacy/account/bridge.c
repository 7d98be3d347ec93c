#include "bridge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_MAX = 20000 };

static size_t segment_start(const struct sg_bridge *b, size_t k)
{
    return k * b->n / SG_BRIDGE_SEGMENTS;
}

void sg_bridge_close(struct sg_bridge *bridge)
{
    free(bridge->loss); /* one block */
    memset(bridge, 0, sizeof *bridge);
}

static double spread(const struct sg_mixture *m)
{
    double low = 0, high = 0;
    for (int j = 0; j < m->n; j++)
        low = fmin(low, m->shift[j]), high = fmax(high, m->shift[j]);
    return high - low;
}

/* E[shift | x] under the mixture: sigma^2 times the slope of its log ratio. */
static double posterior_shift(const struct sg_mixture *m, double sigma, double x, double log_ratio)
{
    double mean = 0;
    for (int j = 0; j < m->n; j++)
        if (m->weight[j] > 0)
            mean +=
                m->weight[j] * m->shift[j] * exp(m->shift[j] * (2 * x - m->shift[j]) / (2 * sigma * sigma) - log_ratio);
    return mean;
}

struct point {
    double log_f, loss, slope;
};

static struct point evaluate(const struct sg_pair *pair, double c, double x)
{
    double ignored, log_p = sg_mixture_log_ratio(&pair->p, pair->sigma, x, &ignored);
    double log_q = sg_mixture_log_ratio(&pair->q, pair->sigma, x, &ignored);
    double sigma2 = pair->sigma * pair->sigma;
    double slope =
        (posterior_shift(&pair->p, pair->sigma, x, log_p) - posterior_shift(&pair->q, pair->sigma, x, log_q)) / sigma2;
    double log_f = log_p + c * (log_p - log_q) - x * x / (2 * sigma2);
    log_f += sg_pair_log_thinning(pair, x, &ignored);
    return (struct point){log_f, log_p - log_q, fabs(slope)};
}

/* The stretch that holds all but a billionth of the tilted law, by a scan at half a standard deviation. */
static bool active_range(const struct sg_pair *pair, double c, double *low, double *high)
{
    double lowest, highest;
    sg_pair_range(pair, c, &lowest, &highest);
    lowest -= 9 * pair->sigma, highest += 9 * pair->sigma;
    double step = pair->sigma / 2, peak = -INFINITY;
    if (!((highest - lowest) / step < CELLS_MAX))
        return false;
    for (double x = lowest; x < highest; x += step)
        peak = fmax(peak, evaluate(pair, c, x).log_f);
    *low = highest, *high = lowest;
    for (double x = lowest; x < highest; x += step)
        if (evaluate(pair, c, x).log_f > peak - 21) {
            *low = fmin(*low, x - step);
            *high = fmax(*high, x + step);
        }
    return true;
}

static void fill(const struct sg_pair *pair, double c, double low, double h, double log_scale, struct sg_bridge *b)
{
    double sigma2 = pair->sigma * pair->sigma, sp = spread(&pair->p), sq = spread(&pair->q), s = sp + sq;
    /* convexity above and below the parabola: how far ln f may sag under, and ln(f / L') rise above, a chord */
    double thinning = pair->cut_width > 0 ? 1 / (pair->cut_width * pair->cut_width) : 0;
    double sag = h * h / 8 * ((1 + c) * sp * sp / (4 * sigma2 * sigma2)) + 1e-9;
    double bump = expm1(
        h * h / 8 * (thinning + 1 / sigma2 + ((1 + c) * sp * sp + c * sq * sq + 5 * s * s) / (4 * sigma2 * sigma2)));
    double previous = 0;
    size_t segment = 0;
    for (size_t i = 0; i <= b->n; i++) {
        struct point p = evaluate(pair, c, low + (double)i * h);
        b->loss[i] = p.loss;
        b->density[i] = exp(p.log_f + log_scale + 1e-9) / p.slope;
        if (i > 0) {
            while (segment + 1 < SG_BRIDGE_SEGMENTS && i - 1 >= segment_start(b, segment + 1))
                segment++;
            b->mass[i - 1] = h * exp((p.log_f + previous) / 2 + log_scale - sag) * pair->probability;
            double most = fmax(b->density[i], b->density[i - 1]);
            b->segment_variation[segment] += fabs(b->density[i] - b->density[i - 1]) + 4 * most * bump;
            b->segment_mass[segment] += b->mass[i - 1];
        }
        previous = p.log_f;
    }
    if (b->loss[b->n] < b->loss[0])
        for (size_t i = 0; i <= b->n; i++)
            b->loss[i] = -b->loss[i];
}

bool sg_bridge_open(const struct sg_event *event, double c, double log_mgf, struct sg_bridge *out)
{
    memset(out, 0, sizeof *out);
    const struct sg_pair *pair = &event->branch[0];
    double low, high, sigma2 = pair->sigma * pair->sigma;
    if (!active_range(pair, c, &low, &high))
        return false;
    double s = spread(&pair->p) + spread(&pair->q);
    double h = fmin(pair->sigma / 16, 0.3 / sqrt(1 / sigma2 + (1 + 2 * c + 5) * s * s / (4 * sigma2 * sigma2)));
    if (pair->cut_width > 0)
        h = fmin(h, pair->cut_width / 3);
    if (!((high - low) / h < CELLS_MAX))
        return false;
    size_t n = (size_t)((high - low) / h) + 1;
    double *block = malloc(3 * (n + 1) * sizeof *block);
    if (!block)
        return false;
    *out = (struct sg_bridge){.n = n, .loss = block, .mass = block + n + 1, .density = block + 2 * (n + 1)};
    fill(pair, c, low, h, -log_mgf - log(pair->sigma * sqrt(2 * M_PI)), out);
    return true;
}

/* 1 - |phi|^2 >= 2 k t^2 sum_{i<j} m_i m_j (l_j - l_{i+1})^2 over cells whose losses span at most reach / t_next, where
 * 1 - cos u >= k u^2 for |u| <= reach. */
static double near_pairs(const struct sg_bridge *b, size_t start, double t, double t_next, double reach)
{
    double limit = reach / t_next, origin = b->loss[start], sum = 0, w = 0, v1 = 0, v2 = 0;
    for (size_t j = start; j < b->n && b->loss[j + 1] - origin <= limit; j++) {
        double inner = b->loss[j] - origin, outer = b->loss[j + 1] - origin;
        sum += b->mass[j] * (inner * inner * w - 2 * inner * v1 + v2);
        w += b->mass[j], v1 += b->mass[j] * outer, v2 += b->mass[j] * outer * outer;
    }
    return 2 * (1 - cos(reach)) / (reach * reach) * t * t * sum * (1 - 1e-6);
}

double sg_bridge_decay(const struct sg_bridge *b, double t, double t_next)
{
    double best = 0; /* of 1 - |phi|^2 */
    static const double reach[3] = {0.5, 1.5, 3.14};
    if (isfinite(t_next)) {
        for (int r = 0; r < 3; r++)
            for (size_t w = 0; w < 6; w++)
                best = fmax(best, near_pairs(b, w * b->n / 6, t, t_next, reach[r]));
    }
    double decay = -0.5 * log1p(-fmin(best, 1 - 1e-12));
    double most = 0; /* of p - V / t */
    for (size_t i = 0; i < SG_BRIDGE_SEGMENTS; i++) {
        double mass = 0, variation = b->density[segment_start(b, i)];
        for (size_t j = i; j < SG_BRIDGE_SEGMENTS; j++) {
            mass += b->segment_mass[j], variation += b->segment_variation[j];
            double gain = mass * (1 - 1e-9) - (variation + b->density[segment_start(b, j + 1)]) * (1 + 1e-9) / t;
            most = gain > most ? gain : most; /* false for NaN: an infinite density proves nothing */
        }
    }
    return fmax(decay, -log1p(-fmin(most, 1 - 1e-12)));
}
