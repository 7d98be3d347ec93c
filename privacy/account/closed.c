#include "closed.h"

#include <float.h>
#include <math.h>

/* What erfcl, expl and a dozen roundings may lose together, relative; their documented errors are a few 2^-64. */
static const long double slack = 0x1p-57L;

/* Mills' ratio (1 - Phi(x)) / phi(x), relative error below `slack` for x > -40. */
static long double mills(long double x)
{
    if (x < 10) {
        long double y = x * sqrtl(0.5L);
        return sqrtl(2 * 3.14159265358979323846264338327950288L) * 0.5L * erfcl(y) * expl(x * x / 2);
    }
    long double fraction = x; /* Laplace's continued fraction: at x >= 10 sixty terms leave less than 1e-22 */
    for (int k = 60; k >= 1; k--)
        fraction = x + k / fraction;
    return 1 / fraction;
}

static long double log_phi(long double x)
{
    return -x * x / 2 - 0.91893853320467274178032973640561764L;
}

/* delta = phi(z) (R(z) - R(z + mu)) at z = epsilon / mu - mu / 2; *error is relative. */
static long double gaussian_delta(long double mu, long double epsilon, long double *error)
{
    long double z = epsilon / mu - mu / 2;
    if (z < -12) {
        *error = 2e-15L; /* Phi(12) and more: 1 to that accuracy, less e^epsilon Phi(-z - mu) */
        long double second = expl(fminl(epsilon + log_phi(z + mu), 11000)) * mills(fmaxl(z + mu, 0));
        return z + mu > 0 ? fmaxl(1 - second, 0) : 0;
    }
    long double first = mills(z), second = mills(z + mu), difference = first - second;
    if (!(difference > 0)) {
        *error = INFINITY;
        return 0;
    }
    long double shape = fabsl(z) + 1;
    /* z is off by 2 u (epsilon/mu + mu/2): that moves ln delta by at most (|z| + 1/|z|..) times it; e^{z^2/2} by z^2 u
     */
    *error = slack * (1 + first / difference * 2) * (1 + z * z / 64) +
             0x1p-62L * (epsilon / mu + mu / 2) * (shape + mu * (first / difference + 1));
    return expl(log_phi(z)) * difference;
}

void sg_gaussian_delta(double mu, double epsilon, double *lower, double *upper)
{
    if (mu == 0) {
        *lower = *upper = epsilon >= 0 ? 0 : -expm1(epsilon);
        return;
    }
    long double error, value = gaussian_delta(mu, epsilon, &error);
    long double low = value * (1 - error), high = value * (1 + error);
    *lower = low > 0 ? nextafter((double)low, 0) : 0;
    *upper = error < 1 ? nextafter((double)fminl(high, 1), 2) : 1;
    if (*upper > 1)
        *upper = 1;
}

void sg_gaussian_epsilon(double mu, double delta, double *lower, double *upper)
{
    *lower = *upper = 0;
    if (mu == 0)
        return;
    long double error, low = 0, high = 1, target = delta;
    if (gaussian_delta(mu, 0, &error) * (1 + error) <= target)
        return;
    while (gaussian_delta(mu, high, &error) * (1 + error) > target && high < 1e300L)
        high *= 2;
    for (int i = 0; i < 200 && high - low > high * 0x1p-62L; i++) {
        long double middle = (low + high) / 2;
        if (gaussian_delta(mu, middle, &error) * (1 + error) > target)
            low = middle;
        else
            high = middle;
    }
    *upper = nextafter((double)high, INFINITY);
    /* ln delta falls by at least |d ln delta / d epsilon| >= e^epsilon Phi(b) / delta; bisect the lower end likewise.
     */
    long double a = 0, b = high;
    for (int i = 0; i < 200 && b - a > b * 0x1p-62L; i++) {
        long double middle = (a + b) / 2;
        if (gaussian_delta(mu, middle, &error) * (1 - error) >= target)
            a = middle;
        else
            b = middle;
    }
    *lower = a > 0 ? nextafter((double)a, 0) : 0;
}

/* Weight 0 is what the others leave of 1, to more digits than the rounded 1 - q has. */
static long double weight(const struct sg_mixture *m, int j)
{
    if (j > 0)
        return m->weight[j];
    long double rest = 1;
    for (int k = 1; k < m->n; k++)
        rest -= m->weight[k];
    return rest > 0 ? rest : 0;
}

static long double mixture_tail(const struct sg_mixture *m, long double sigma, long double x, bool above)
{
    long double sum = 0;
    for (int j = 0; j < m->n; j++) {
        long double y = (x - m->shift[j]) / (sigma * sqrtl(2));
        sum += weight(m, j) * 0.5L * erfcl(above ? y : -y);
    }
    return sum;
}

static long double loss(const struct sg_pair *pair, long double x)
{
    long double value[2];
    for (int side = 0; side < 2; side++) {
        const struct sg_mixture *m = side ? &pair->q : &pair->p;
        long double most = -INFINITY, sum = 0;
        for (int j = 0; j < m->n; j++)
            if (m->weight[j] > 0)
                most = fmaxl(most, m->shift[j] * (2 * x - m->shift[j]));
        for (int j = 0; j < m->n; j++)
            sum +=
                weight(m, j) * expl((m->shift[j] * (2 * x - m->shift[j]) - most) / (2.0L * pair->sigma * pair->sigma));
        value[side] = most / (2.0L * pair->sigma * pair->sigma) + logl(sum);
    }
    return value[0] - value[1];
}

static bool is_rising(const struct sg_pair *pair)
{
    long double p = 0, q = 0;
    for (int j = 0; j < pair->p.n; j++)
        p += pair->p.weight[j] * pair->p.shift[j];
    for (int j = 0; j < pair->q.n; j++)
        q += pair->q.weight[j] * pair->q.shift[j];
    return p >= q;
}

/* delta of one branch: the set {L > epsilon} is a half line, and any half line gives a lower bound; at its true end the
 * derivative is 0, so that an error of the end enters squared. */
static bool branch_delta(const struct sg_pair *pair, long double epsilon, long double *value, long double *error)
{
    bool rising = is_rising(pair);
    long double low = -1, high = 1;
    while (loss(pair, rising ? low : high) > epsilon && high < 1e9L)
        low *= 2, high *= 2;
    while (loss(pair, rising ? high : low) < epsilon && high < 1e9L)
        low *= 2, high *= 2;
    for (int i = 0; i < 120; i++) {
        long double middle = (low + high) / 2;
        if ((loss(pair, middle) > epsilon) == rising)
            high = middle;
        else
            low = middle;
    }
    long double upper = mixture_tail(&pair->p, pair->sigma, low, rising);
    long double lower = mixture_tail(&pair->q, pair->sigma, low, rising);
    if (epsilon > 11000)
        return false;
    long double scaled = expl(epsilon) * lower;
    *value = fmaxl(upper - scaled, 0);
    long double far = fabsl(low) / pair->sigma + 2;
    *error = (upper + scaled) * (0x1p-59L * (1 + far * far / 8) + 0x1p-62L * fabsl(epsilon));
    return true;
}

static bool event_delta(const struct sg_event *event, long double epsilon, long double *low, long double *high)
{
    *low = *high = 0;
    for (int b = 0; b < event->n_branches; b++) {
        long double value, error;
        if (!branch_delta(&event->branch[b], epsilon, &value, &error))
            return false;
        *low += event->branch[b].probability * fmaxl(value - error, 0);
        *high += event->branch[b].probability * (value + error);
    }
    return true;
}

bool sg_event_delta_once(const struct sg_event *event, double epsilon, double *lower, double *upper)
{
    long double low, high;
    if (!event_delta(event, epsilon, &low, &high))
        return false;
    *lower = low > 0 ? nextafter((double)low, 0) : 0;
    *upper = fmin(nextafter((double)high, 2), 1);
    return true;
}

/* One branch: epsilon = L(x) at the end x of the half line, and delta moves monotonically with x. One search. */
static bool branch_epsilon(const struct sg_pair *pair, long double target, bool is_upper, double *out)
{
    bool rising = is_rising(pair);
    long double low = -1, high = 1, epsilon = 0;
    while (loss(pair, low) * (rising ? 1 : -1) > 0 || loss(pair, high) * (rising ? 1 : -1) < 0)
        low *= 2, high *= 2;
    high = rising ? high + 50 * pair->sigma : high, low = rising ? low : low - 50 * pair->sigma;
    for (int i = 0; i < 110; i++) {
        long double middle = (low + high) / 2;
        epsilon = loss(pair, middle);
        bool too_small = epsilon < 0;
        if (!too_small) {
            long double upper = mixture_tail(&pair->p, pair->sigma, middle, rising);
            long double scaled = expl(fminl(epsilon, 11300)) * mixture_tail(&pair->q, pair->sigma, middle, rising);
            long double far = fabsl(middle) / pair->sigma + 2;
            long double error = (upper + scaled) * (0x1p-59L * (1 + far * far / 8) + 0x1p-62L * epsilon);
            too_small = upper - scaled + (is_upper ? error : -error) > target;
        }
        if (too_small == rising)
            low = middle;
        else
            high = middle;
    }
    epsilon = loss(pair, is_upper == rising ? high : low);
    *out = is_upper ? nextafter((double)fmaxl(epsilon, 0), INFINITY) : nextafter((double)fmaxl(epsilon, 0), 0);
    return epsilon < 11000;
}

bool sg_event_epsilon_once(const struct sg_event *event, double delta, double *lower, double *upper)
{
    long double low, high, target = delta;
    for (int side = 0; side < 2; side++) {
        long double a = 0, b = 1;
        if (!event_delta(event, 0, &low, &high))
            return false;
        if ((side ? high : low) <= target) {
            *(side ? upper : lower) = 0;
            continue;
        }
        if (event->n_branches == 1) {
            if (!branch_epsilon(&event->branch[0], target, side, side ? upper : lower))
                return false;
            continue;
        }
        for (;; b *= 2) {
            if (!event_delta(event, b, &low, &high))
                return false;
            if ((side ? high : low) <= target)
                break;
        }
        for (int i = 0; i < 100 && b - a > b * 0x1p-58L; i++) {
            long double middle = (a + b) / 2;
            if (!event_delta(event, middle, &low, &high))
                return false;
            if ((side ? high : low) <= target)
                b = middle;
            else
                a = middle;
        }
        *(side ? upper : lower) = side ? nextafter((double)b, INFINITY) : nextafter((double)a, 0);
    }
    return true;
}

double sg_normal_tail(double x)
{
    return (double)(0.5L * erfcl((long double)x * sqrtl(0.5L))) * (1 + 4 * DBL_EPSILON);
}

double sg_normal_tail_inverse(double p)
{
    long double low = -40, high = 40;
    for (int i = 0; i < 90; i++) {
        long double middle = (low + high) / 2;
        if (0.5L * erfcl(middle * sqrtl(0.5L)) > p)
            low = middle;
        else
            high = middle;
    }
    return (double)((low + high) / 2);
}
