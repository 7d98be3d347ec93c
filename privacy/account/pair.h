/* Pairs of one-dimensional Gaussian mixtures: the dominating pair of one step of every Gaussian mechanism we account.
 *
 * A step is described by (P, Q), both mixtures of N(m_j, sigma^2); its privacy loss is L(x) = ln P(x)/Q(x) with x ~ P.
 * All engines ask one question of it: the moments M(s) = E_P[e^{sL}] = int P^{1+s} Q^{-s}, for real or complex s.
 * The integrand is entire up to the zeros of P and Q and decays like a Gaussian, so the trapezoid rule converges
 * geometrically; docs/accounting.md (section "Quadrature") has the bound that fixes the step used here. */
#ifndef SG_ACCOUNT_PAIR_H
#define SG_ACCOUNT_PAIR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { SG_PAIR_COMPONENTS_MAX = 33 };
#define SG_UNIT 0x1p-53 /* unit roundoff of double */

/* sum_j weight[j] N(shift[j], sigma^2); component 0 has shift 0; shifts are small integers times the sensitivity. */
struct sg_mixture {
    int n;
    double shift[SG_PAIR_COMPONENTS_MAX];
    double weight[SG_PAIR_COMPONENTS_MAX];
};

struct sg_pair {
    double probability; /* of this branch of the step; the branches' sum to 1 */
    double sigma;
    double cut, cut_width;     /* the law of x is thinned by Phi((cut - x) / cut_width); width 0: not at all */
    double floor, floor_width; /* and by Phi((x - floor) / floor_width) */
    struct sg_mixture p, q;
};

/* `count` equal steps; each discloses which of its branches it takes (truncated Poisson has two, the others one). */
struct sg_event {
    double count;
    int n_branches;
    struct sg_pair branch[2];
    /* Only the part with a positive loss is the pair's; there is as much of it with P and Q exchanged, and the rest has
     * no loss. For the grid alone: no moment of it is analytic. */
    bool is_mirrored;
};

/* ln of the mixture's density over N(0, sigma^2) at x. *error is a bound of its absolute error in units of SG_UNIT. */
double sg_mixture_log_ratio(const struct sg_mixture *mixture, double sigma, double x, double *error);

/* Quadrature nodes of one event tilted by c: the law with density P^{1+c} Q^{-c} / M(c). */
struct sg_nodes {
    size_t n, capacity;
    double *weight;                /* tilted, sum 1 */
    double *loss;                  /* L(x_i) */
    double *eta;                   /* relative error of the untilted weight e^{exponent}, units of SG_UNIT */
    double *loss_error;            /* absolute error of loss, units of SG_UNIT */
    double *phi_error;             /* the share of eta that belongs to log_phi */
    double *log_phi, *exponent;    /* scratch: ln(h phi(x_i)) and (1+c) ln p - c ln q over N(0, sigma^2) */
    double log_mgf, log_mgf_error; /* ln M(c) and a bound of its absolute error: quadrature, truncation and rounding */
    double truncation;             /* quadrature and dropped nodes, relative to M(c), for every |t| <= t_max */
    double mean, variance;         /* of the loss under the tilt */
};

void sg_nodes_close(struct sg_nodes *nodes);

/* Nodes good to a relative quadrature and truncation error of e^-digits for every s = c + it, |t| <= t_max.
 * False when the tilt is out of reach (more nodes than a bound allows, overflow): the caller treats M as infinite. */
bool sg_nodes_tilt(const struct sg_event *event, double c, double t_max, double digits, struct sg_nodes *nodes);

/* ln of the factors that thin the law of x, 0 without any; *error bounds its absolute error in units of SG_UNIT. */
double sg_pair_log_thinning(const struct sg_pair *pair, double x, double *error);

/* Outside [*low, *high] the tilted density falls at least as fast as a Gaussian of width sigma centred on the nearer
 * end. */
void sg_pair_range(const struct sg_pair *pair, double c, double *low, double *high);

/* The event with the roles of P and Q exchanged (the other direction of the neighbouring relation). */
void sg_event_swap(struct sg_event *event);

/* The loss at x and its density factor, for the cell forms: ln P(x)/Q(x). */
double sg_pair_loss(const struct sg_pair *pair, double x);

/* Neumaier's compensated sum: error at most 2 u |sum| + n^2 u^2 sum |terms|. */
struct sg_sum {
    double sum, carry;
};
static inline void sg_sum_add(struct sg_sum *s, double term)
{
    double total = s->sum + term;
    double big = __builtin_fabs(s->sum) >= __builtin_fabs(term) ? s->sum : term;
    double small = __builtin_fabs(s->sum) >= __builtin_fabs(term) ? term : s->sum;
    s->carry += (big - total) + small;
    s->sum = total;
}
static inline double sg_sum_value(const struct sg_sum *s)
{
    return s->sum + s->carry;
}

#endif
