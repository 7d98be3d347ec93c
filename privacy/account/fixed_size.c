/* Batches of fixed size drawn without replacement, replace-one: Wang, Balle, Kasiviswanathan 2019, 1808.00087.
 *
 * Theorem 27, for integer alpha >= 2 and the Gaussian at sensitivity 2C (divergence e(j) = 2 j / sigma^2):
 *   (alpha-1) rho <= ln(1 + C(alpha,2) q^2 min(4 (e^{e(2)} - 1), 2 e^{e(2)}) + sum_{j>=3} C(alpha,j) q^j b_j),
 *   b_j = min(2 e^{(j-1) e(j)}, 4 sqrt(B(2 floor(j/2)) B(2 ceil(j/2)))),  B(l) = E_Q[(P/Q - 1)^l].
 * The log moment is convex in alpha (Hoelder), so between integers the chord is an upper bound; below 2 it starts at
 * (1, 0). Never worse than no sampling at all. */
#include <math.h>

#include "composition.h"

enum { ORDER_MAX = 256 };

/* ln E_Q[(P/Q - 1)^l] for even l: the integrand is positive, so nothing cancels; trapezoid rule, step s/16, where
 * ln P/Q = (2 m x - m^2)/(2 s^2) with m/s = mu. */
static double log_even_moment(double mu, int order)
{
    double h = 1.0 / 16, peak = -INFINITY, sum = 0;
    for (double x = -14; x < order * mu + 14; x += h) {
        double ratio = fabs(expm1(fmin(mu * x - mu * mu / 2, 600)));
        double log_ratio = mu * x - mu * mu / 2 > 600 ? mu * x - mu * mu / 2 : log(ratio);
        double term = order * log_ratio - x * x / 2;
        if (term > peak)
            sum = sum * exp(peak - term) + 1, peak = term;
        else
            sum += exp(term - peak);
    }
    return peak + log(sum * h / sqrt(2 * M_PI)) + 1e-9;
}

static double log_add(double a, double b)
{
    double most = fmax(a, b);
    return most == -INFINITY ? most : most + log1p(exp(fmin(a, b) - most));
}

static double integer_moment(double q, double sigma, int alpha)
{
    if (alpha <= 1)
        return 0;
    double mu = 2 / sigma, rdp = mu * mu / 2; /* rho(j) = rdp j */
    double plain = (alpha - 1) * alpha * rdp;
    double two = fmin(log(4) + (2 * rdp < 700 ? log(expm1(2 * rdp)) : 2 * rdp), log(2) + 2 * rdp);
    double sum = log(alpha * (alpha - 1) / 2.0) + 2 * log(q) + two;
    double even = alpha >= 3 ? log_even_moment(mu, 2) : 0, next = even;
    for (int j = 3; j <= alpha; j++) {
        if (j % 2 == 1)
            even = next, next = log_even_moment(mu, j + 1);
        double bound = fmin(log(2) + (j - 1) * j * rdp, log(4) + (j % 2 ? (even + next) / 2 : next));
        double choose = lgamma(alpha + 1.0) - lgamma(j + 1.0) - lgamma(alpha - j + 1.0);
        double term = choose + j * log(q) + bound;
        sum = log_add(sum, term);
        if (sum > plain)
            return plain * (1 + 1e-12);
    }
    double moment = sum > 0 ? log_add(sum, 0) : log1p(exp(sum));
    return fmin(plain * (1 + 1e-12), moment * (1 + 1e-10));
}

double sg_fixed_size_log_moment(const struct sg_phase *phase, double alpha)
{
    double sigma = phase->noise_multiplier, q = phase->sample_rate;
    if (q >= 1)
        return 0; /* counted with the unsampled Gaussian releases */
    if (alpha > ORDER_MAX)
        return (alpha - 1) * alpha * 2 / (sigma * sigma) * (1 + 1e-12);
    double low = floor(alpha), share = alpha - low;
    double left = integer_moment(q, sigma, (int)low);
    double right = share > 0 ? integer_moment(q, sigma, (int)low + 1) : 0;
    return ((1 - share) * left + share * right) * (1 + 1e-12);
}
