#include "account/filter.h"

#include <float.h>
#include <math.h>

static const double added = 1e-12; /* what every addition is rounded up by */

/* The divergence at alpha that still converts to epsilon at delta; rounded down. */
static double rho_admitted(double epsilon, double delta, double alpha)
{
    double rho = epsilon - log1p(-1 / alpha) + (log(delta) + log(alpha)) / (alpha - 1);
    double slack = 16 * DBL_EPSILON * (epsilon + 1 + (fabs(log(delta)) + log(alpha)) / (alpha - 1));
    return rho - slack;
}

static enum sg_status check(double epsilon, double delta)
{
    if (!(epsilon >= 1e-3 && epsilon <= 1e3))
        return sg_fail(SG_USAGE, "an epsilon limit of %g is outside [0.001, 1000]", epsilon);
    if (!(delta >= 1e-30 && delta <= 0.1))
        return sg_fail(SG_USAGE, "a delta limit of %g is outside [1e-30, 0.1]", delta);
    return SG_OK;
}

double sg_renyi_order(double epsilon, double delta)
{
    double best_order = 2, best = -INFINITY;
    for (double order = 1.1; order < 2e6; order *= 1.02) {
        double room = (epsilon - sg_account_rdp_to_epsilon(0, order, delta)) / order;
        if (room > best)
            best = room, best_order = order;
    }
    return round(best_order * 64) / 64;
}

struct sg_renyi_limit sg_renyi_limit_at(double epsilon, double delta, double order)
{
    return (struct sg_renyi_limit){
        .epsilon = epsilon, .delta = delta, .n = 1, .order = {order}, .rho_max = {rho_admitted(epsilon, delta, order)}};
}

enum sg_status sg_renyi_limit_make(double epsilon, double delta, struct sg_renyi_limit *out)
{
    return sg_renyi_limit_make_several(epsilon, delta, 1, out);
}

enum sg_status sg_renyi_limit_make_several(double epsilon, double delta, int n, struct sg_renyi_limit *out)
{
    SG_TRY(check(epsilon, delta));
    if (n < 1 || n > SG_RENYI_ORDERS_MAX)
        return sg_fail(SG_USAGE, "a filter has 1 to %d orders", SG_RENYI_ORDERS_MAX);
    *out = (struct sg_renyi_limit){.epsilon = epsilon, .delta = delta, .n = n};
    double share = delta / n * (1 - (n > 1) * DBL_EPSILON), centre = sg_renyi_order(epsilon, share);
    for (int i = 0; i < n; i++) {
        static const double spread[SG_RENYI_ORDERS_MAX] = {1, 0.5, 2, 0.25};
        out->order[i] = 1 + (centre - 1) * spread[i];
        out->rho_max[i] = rho_admitted(epsilon, share, out->order[i]);
    }
    return SG_OK;
}

enum sg_status sg_renyi_charge(const struct sg_renyi_limit *limit, const struct sg_history *history, int64_t runs,
                               struct sg_renyi_spend *out)
{
    if (runs < 1 || runs > 1000000000)
        return sg_fail(SG_USAGE, "a programme has 1 to 10^9 runs, not %lld", (long long)runs);
    *out = (struct sg_renyi_spend){{0}};
    for (int i = 0; i < limit->n; i++) {
        SG_TRY(sg_account_rdp(history, limit->order[i], &out->rho[i]));
        if (runs > 1)
            out->rho[i] *= (double)runs * (1 + 2 * DBL_EPSILON);
    }
    return SG_OK;
}

void sg_renyi_add(struct sg_renyi_spend *spend, const struct sg_renyi_spend *charge)
{
    for (int i = 0; i < SG_RENYI_ORDERS_MAX; i++)
        spend->rho[i] = (spend->rho[i] + charge->rho[i]) * (1 + added);
}

/* !(a <= b) so that NaN refuses. */
bool sg_renyi_admits(const struct sg_renyi_limit *limit, const struct sg_renyi_spend *spend)
{
    for (int i = 0; i < limit->n; i++)
        if (spend->rho[i] >= 0 && spend->rho[i] <= limit->rho_max[i])
            return true;
    return false;
}

double sg_renyi_epsilon(const struct sg_renyi_limit *limit, const struct sg_renyi_spend *spend)
{
    double best = INFINITY;
    for (int i = 0; i < limit->n; i++) {
        if (spend->rho[i] == 0)
            return 0;
        best = fmin(best, sg_account_rdp_to_epsilon(spend->rho[i], limit->order[i], limit->delta / limit->n));
    }
    return best;
}

int64_t sg_renyi_runs_left(const struct sg_renyi_limit *limit, const struct sg_renyi_spend *spend,
                           const struct sg_renyi_spend *charge)
{
    double most = 0;
    for (int i = 0; i < limit->n; i++) {
        /* n additions make (spent + a) (1 + added)^n - a */
        double a = charge->rho[i] * (1 + added) / added, spent = spend->rho[i];
        double left = log1p((limit->rho_max[i] - spent) / (spent + a)) / log1p(added) * (1 - 1e-12);
        most = fmax(most, isfinite(left) ? floor(left) : 0);
    }
    return most < 1e15 ? (int64_t)most : 1000000000000000;
}
