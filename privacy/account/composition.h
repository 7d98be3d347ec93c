/* A history as the engines see it: independent events whose log moments add. One composition is one direction of the
 * neighbouring relation. */
#ifndef SG_ACCOUNT_COMPOSITION_H
#define SG_ACCOUNT_COMPOSITION_H

#include "account/account.h"
#include "pair.h"

struct sg_laplace {
    double loss_max; /* 1/b */
    double count;
};

struct sg_composition {
    struct sg_event *events; /* sampled Gaussian mixtures */
    size_t n_events;
    double gaussian_mu2; /* all unsampled Gaussian releases together are one of size mu (their losses are Gaussian) */
    struct sg_laplace *laplaces;
    size_t n_laplaces;
    /* Without replacement we know Renyi bounds only: then events is empty and these phases hold the bound. */
    const struct sg_phase *fixed_size;
    size_t n_fixed_size;
    bool is_symmetric; /* the other direction has the same losses */
};

/* Checks every field; the message names field, value range and remedy. */
SG_MUST_USE enum sg_status sg_history_check(const struct sg_history *history);
SG_MUST_USE enum sg_status sg_delta_check(double delta);

/* The direction in which a record is removed (P has it). Close it also after failure. */
SG_MUST_USE enum sg_status sg_composition_make(const struct sg_history *history, struct sg_composition *out);
/* The same history seen the other way. */
void sg_composition_swap(struct sg_composition *composition);
void sg_composition_close(struct sg_composition *composition);

struct sg_tilt {
    double log_mgf, error; /* K(c) = ln E_P[e^{cL}] and a bound of its absolute error; INFINITY when out of reach */
    double mean, variance; /* K'(c), K''(c), for choosing lines only */
};

/* Tilts the whole composition by c > 0. `nodes` is scratch, closed by the caller. */
struct sg_tilt sg_composition_tilt(const struct sg_composition *composition, double c, struct sg_nodes *nodes);
/* Leaves out the far tail of each event's P, where the loss is largest, with probability `mass` at most over the whole
 * composition; returns what was left out. delta of the rest is a lower bound of delta, and plus that an upper bound.
 * The moments of the rest do not explode at high orders. Only for the direction in which the loss rises with x (P is
 * the mixture). */
double sg_composition_thin(struct sg_composition *composition, double mass, double sharpness);
void sg_composition_unthin(struct sg_composition *composition);

/* How many events there are, as a real number: the amplification of per-step errors. */
double sg_composition_count(const struct sg_composition *composition);

/* Binomial tail Pr[Bin(n, p) >= k], rounded up by 1e-10 relative or more; and the same rounded down. */
double sg_binomial_tail(int64_t n, double p, int64_t k);
double sg_binomial_tail_down(int64_t n, double p, int64_t k);

/* Fixed size as the grid sees it: the mirrored pairs of its phases as events of a copy, which sg_composition_unmirror
 * frees. docs/accounting.md, section 1. */
SG_MUST_USE bool sg_composition_mirror(const struct sg_composition *composition, struct sg_composition *copy);
void sg_composition_unmirror(struct sg_composition *copy);

/* ln of the Renyi moment of one fixed-size step, (alpha - 1) times its divergence, rounded up. */
double sg_fixed_size_log_moment(const struct sg_phase *phase, double alpha);

#endif
