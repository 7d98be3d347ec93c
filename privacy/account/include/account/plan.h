/* The plan: every public number that decides what a run does to the people in it, and the epsilon that follows.
 *
 * Sampler, clip group, clip norm, noise, divisor and accountant read this one object; a privacy number comes from it and
 * from nowhere else. It is recorded before any data is opened, and anyone can recompute its epsilon with sg_plan_check. */
#ifndef SG_ACCOUNT_PLAN_H
#define SG_ACCOUNT_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "account/account.h"
#include "base/json.h"
#include "base/status.h"

enum sg_clip_group { SG_CLIP_EXAMPLE, SG_CLIP_MICROBATCH };

/* What the user decides. Exactly two of sample_rate, expected_batch_size and population_size are given (others 0), and one
 * of target_epsilon and noise_multiplier (others 0). */
struct sg_plan_request {
    bool is_private;
    enum sg_sampler sampler; /* poisson */
    enum sg_relation relation;
    enum sg_clip_group clip_group;
    int64_t microbatch_size;  /* k units; 1 for SG_CLIP_EXAMPLE */
    double sample_rate, expected_batch_size;
    int64_t population_size;
    int64_t steps;
    double target_epsilon, noise_multiplier, target_delta;
    double max_grad_norm;
    int64_t n_panels; /* 0: ceil(expected_batch_size / 24), rounded so that it divides n_groups for microbatches */
    int64_t rows_per_unit_max;
    int64_t n_weights; /* P, trainable */
    const char *noise_source;
    double noise_tau_log2;   /* of that source's sampler */
    double mass_ratio_max;   /* kappa; 0: 8 */
};

struct sg_plan {
    bool is_private;
    enum sg_sampler sampler;
    enum sg_relation relation;
    enum sg_clip_group clip_group;
    int64_t microbatch_size;
    double sample_rate, expected_batch_size;
    int64_t population_size, steps;
    uint64_t sample_threshold;     /* t = floor(q 2^64); 0 stands for 2^64 (q = 1) */
    double max_grad_norm;          /* C */
    double noise_multiplier;       /* sigma */
    double noise_std;              /* sigma C, on the sum */
    double grid;                   /* h = std 2^-32; 2^-40 without privacy */
    double clip_norm;              /* C' = C (1 - 2 gamma(L+2) kappa U) - sqrt(P) h (1 + U 2^-19 / sigma): docs/privacy.md */
    double mass_ratio_max;         /* kappa */
    double shrink;                 /* 1 - C'/C */
    double divisor;                /* expected_batch_size, or n_groups for microbatches */
    int64_t n_groups, n_panels;    /* n_groups = 0 for SG_CLIP_EXAMPLE: every unit is its own group */
    int64_t units_per_panel_max, rows_per_unit_max;
    int64_t n_weights;
    char noise_source[16];
    double noise_tau_log2;         /* log2 of the statistical distance of one noise value from the ideal */
    double delta, delta_caps, delta_noise, delta_accountant; /* delta = the total = sum of the three or more */
    double epsilon, epsilon_lower, epsilon_rdp;
    char accountant[32];
};

/* Resolves a request. SG_USAGE, naming the field and the remedy, for what cannot be run as asked. */
SG_MUST_USE enum sg_status sg_plan_resolve(const struct sg_plan_request *request, struct sg_plan *out);

/* Recomputes every derived field from the deciding ones and compares; the epsilon recorded must not lie below the one
 * recomputed by more than 1e-9 relative. SG_BROKEN naming the first field that differs. */
SG_MUST_USE enum sg_status sg_plan_check(const struct sg_plan *plan);

/* The one history of this plan as the accountant sees it (microbatches count with sensitivity 2). `phase` is storage. */
struct sg_history sg_plan_history(const struct sg_plan *plan, struct sg_phase *phase);

/* What `runs` runs of this plan cost together, fixed in advance: *out is the plan with runs * steps steps, its epsilon the
 * certified one of that composition at the same total delta. The shares of delta that caps and noise take grow with the
 * steps and with 1 + e^epsilon and are refused above 1 % each, as for one run. It is for accounting (sg_plan_history,
 * epsilon, delta and its shares); nothing is trained by it. runs = 1 gives the plan. SG_USAGE for a plan without privacy,
 * fewer than one run, or shares that are too large. */
SG_MUST_USE enum sg_status sg_plan_programme(const struct sg_plan *plan, int64_t runs, struct sg_plan *out);

/* A list of plans, each run so many times, composed as if all of it had been fixed before the first run: a figure to
 * compare with, which enforces nothing where plans were chosen in knowledge of earlier runs. Certified, at total delta;
 * INFINITY when there is no such figure (plans without privacy, under several relations, or in more than 64 kinds, or
 * shares of delta for caps and noise beyond 2 % of it); 0 for an empty list. */
struct sg_plan_runs {
    struct sg_plan plan;
    int64_t runs;
};
double sg_plans_as_fixed(const struct sg_plan_runs *list, size_t n, double delta);

/* Whether two plans differ in any field, bit for bit, and then the first that does, with both values: deciding fields
 * come before the figures that follow from them. */
bool sg_plan_differs(const struct sg_plan *plan, const struct sg_plan *fixed, char text[160]);

/* Exact both ways: reals as 17 digits. epsilon is null without privacy. */
json_t *sg_plan_to_json(const struct sg_plan *plan);
SG_MUST_USE enum sg_status sg_plan_from_json(const json_t *object, enum sg_status status, struct sg_plan *out);

#endif
