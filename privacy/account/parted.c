#include "parted.h"

#include <math.h>

#include "closed.h"

static const double core_share = 1e-9;

/* The width of the parting, over which a loss in the tail changes by about e^blur. */
static double gap_width(const struct sg_pair *pair, double blur)
{
    return blur * fmin(pair->sigma * pair->sigma / pair->p.shift[pair->p.n - 1], pair->sigma);
}

static double at_loss(const struct sg_pair *pair, double loss)
{
    double low = -45 * pair->sigma, high = 45 * pair->sigma + 2 * pair->p.shift[pair->p.n - 1];
    for (int i = 0; i < 50; i++) {
        double middle = (low + high) / 2;
        if (sg_pair_loss(pair, middle) < loss)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static void cells_make(const struct sg_pair *pair, struct sg_core_cells *out)
{
    double top = pair->p.shift[pair->p.n - 1];
    out->low = -9 * pair->sigma, out->h = (20 * pair->sigma + top) / SG_CORE_CELLS;
    double above[SG_PAIR_COMPONENTS_MAX];
    for (int j = 0; j < pair->p.n; j++)
        above[j] = sg_normal_tail((out->low - pair->p.shift[j]) / pair->sigma);
    for (int k = 0; k < SG_CORE_CELLS; k++) {
        double right = out->low + (k + 1) * out->h;
        out->mass[k] = 0;
        for (int j = 0; j < pair->p.n; j++) {
            double next = sg_normal_tail((right - pair->p.shift[j]) / pair->sigma);
            out->mass[k] += pair->p.weight[j] * fmax(above[j] - next, 0);
            above[j] = next;
        }
        out->loss[k] = sg_pair_loss(pair, right);
    }
}

/* ln of the core's moment from above, by cells, without what lies right of x_end: 1 plus what each cell's factor adds,
 * for the masses sum to at most 1. Rounding of the masses is added in full: at most 1e-15 each of the whole, and far
 * out 1e-12 of the mass itself. */
static double core_log_moment(const struct sg_parted *p, size_t i, double c, double x_end)
{
    const struct sg_pair *core = &p->core[i].branch[0];
    const struct sg_core_cells *cells = &p->cells[i];
    double sum = 0, size = 0, most = 0;
    for (int k = 0; k < SG_CORE_CELLS; k++) {
        double left = cells->low + k * cells->h, factor = -1;
        if (left < x_end) {
            double z = (left - core->cut) / core->cut_width;
            double exponent = c * cells->loss[k] + (z > -8 ? log(sg_normal_tail(z)) : 0);
            if (!(exponent < 690)) /* not to be capped: what the cap takes away could look negligible */
                return INFINITY;
            factor = expm1(exponent);
        }
        sum += cells->mass[k] * factor, size += cells->mass[k] * fabs(factor), most = fmax(most, factor);
    }
    /* left of the cells the loss is at most the first one's, right of them only what x_end lets through */
    return log1p(fmax(sum + 1e-12 * size + 1e-15 * (SG_CORE_CELLS + most), -0.999)) + 1e-15;
}

/* Parts every event at the loss `share` epsilon, and bounds what the core alone can do at epsilon: Chernoff, and the
 * chance that the core's weight lets something far through. */
static bool part_at(struct sg_parted *p, double share, double blur, double epsilon, double log_wanted)
{
    static const double factors[] = {1.15, 1.4, 2, 3.5};
    double all = sg_composition_count(p->given), far = sg_normal_tail_inverse(exp(log_wanted - 3) / all), leak = 0;
    for (size_t i = 0; i < p->n; i++) {
        double a = at_loss(&p->given->events[i].branch[0], share * epsilon), w = gap_width(&p->core[i].branch[0], blur);
        p->core[i].branch[0].cut = p->tail[i].branch[0].floor = a;
        p->core[i].branch[0].cut_width = p->tail[i].branch[0].floor_width = w;
        if (a + far * w > p->cells[i].low + SG_CORE_CELLS * p->cells[i].h)
            return false;
        leak += p->count[i] * sg_normal_tail(far * (1 - 1e-9)) * (1 + 1e-9);
    }
    double start = (log(epsilon) - log_wanted) / epsilon; /* ln m is about -ln c */
    start = fmax(start + log(fmin(epsilon / -log_wanted, 1)) / epsilon - log(epsilon) / epsilon, 10 / epsilon);
    for (size_t k = 0; k < sizeof factors / sizeof *factors; k++) {
        double c = start * factors[k], bound = c * log(c) - (1 + c) * log1p(c), rough = bound;
        for (size_t i = 0; i < p->n; i++) {
            const struct sg_pair *core = &p->core[i].branch[0];
            bound += p->count[i] * core_log_moment(p, i, c, core->cut + far * core->cut_width);
        }
        if (bound - c * epsilon <= log_wanted) {
            p->core_c = c, p->core_log = bound + 1e-12 * (fabs(bound) + fabs(rough) + c * (1 + epsilon));
            p->core_leak = leak;
            return true;
        }
    }
    return false;
}

struct sg_parted_moment sg_parted_moment_at(struct sg_parted *p, double c)
{
    struct sg_parted_moment m = {0, 0, 0, false};
    double core = 0, slope_core = 0, sum = 0, slope_sum = 0, error = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (!sg_nodes_tilt(&p->core[i], c, 0, p->digits, &p->nodes))
            return m;
        double log_core = p->nodes.log_mgf, mean = p->nodes.mean;
        error += p->count[i] * p->nodes.log_mgf_error;
        if (!sg_nodes_tilt(&p->tail[i], c, 0, p->digits, &p->nodes))
            return m;
        double ratio = exp(p->nodes.log_mgf - log_core);
        core += p->count[i] * log_core, slope_core += p->count[i] * mean;
        sum += p->count[i] * log1p(ratio);
        slope_sum += p->count[i] * ratio / (1 + ratio) * (p->nodes.mean - mean);
    }
    m.error = error + 4 * SG_UNIT * fabs(core) * (double)p->n;
    m.rest = core + (sum < 30 ? log(expm1(sum)) : sum);
    m.slope = slope_core + slope_sum / -expm1(-sum);
    m.ok = isfinite(m.rest) && isfinite(m.slope) && isfinite(m.error);
    return m;
}

static bool thin(struct sg_parted *p, double blur, double delta)
{
    struct sg_composition tail = {.events = p->tail, .n_events = p->n};
    double sharpness = 8;
    for (size_t i = 0; i < p->n; i++)
        sharpness = fmax(sharpness, p->tail[i].branch[0].sigma / gap_width(&p->tail[i].branch[0], blur));
    p->left_out = sg_composition_thin(&tail, SG_RARE_LEFT_OUT * delta, sharpness);
    return isfinite(p->left_out);
}

/* The largest core that stays negligible: the larger its losses and the wider the parting, the smoother the rest; but a
 * wide one lets the moments explode where orders are high. */
bool sg_part(const struct sg_composition *given, double epsilon, double delta, struct sg_parted *p)
{
    double log_wanted = log(core_share * delta), best = 0, best_share = 0, best_blur = 0;
    p->given = given, p->n = given->n_events;
    p->digits = 46 + log(sg_composition_count(given));
    for (size_t i = 0; i < p->n; i++) {
        p->core[i] = p->tail[i] = given->events[i];
        p->count[i] = given->events[i].count;
        cells_make(&given->events[i].branch[0], &p->cells[i]);
    }
    for (double blur = 0.5; blur > 0.007; blur /= 2) {
        double low = log(0.01), high = log(0.95);
        while (high - low > 0.25 && exp(high) * blur > best) {
            double middle = (low + high) / 2;
            if (part_at(p, exp(middle), blur, epsilon, log_wanted))
                low = middle;
            else
                high = middle;
        }
        double share = exp(low);
        if (low > log(0.011) && share * blur > best && part_at(p, share, blur, epsilon, log_wanted) &&
            thin(p, blur, delta) && sg_parted_moment_at(p, 12 / epsilon).ok)
            best = share * blur, best_share = share, best_blur = blur;
    }
    return best > 0 && part_at(p, best_share, best_blur, epsilon, log_wanted) && thin(p, best_blur, delta);
}
