/* What `epsilon` and `calibrate` share: how the history is described on the command line, and how it is printed. */
#ifndef SG_CLI_ACCOUNT_OPTIONS_H
#define SG_CLI_ACCOUNT_OPTIONS_H

#include <stdbool.h>

#include "account/curve.h"
#include "base/bytes.h"
#include "base/json.h"
#include "options.h"

struct account_options {
    const char *sampler, *relation;
    bool microbatch;
    int64_t group, population_size, batch_max;
    struct sg_option_list gaussians, laplaces;
};

struct account_options account_options_default(void);

#define ACCOUNT_OPTIONS(a)                                                                                             \
    {"sampler",                                                                                                        \
     SG_OPTION_TEXT,                                                                                                   \
     &(a).sampler,                                                                                                     \
     "NAME",                                                                                                           \
     "poisson (default), truncated_poisson, fixed_size, full_batch, shuffle",                                          \
     0,                                                                                                                \
     0,                                                                                                                \
     false},                                                                                                           \
        {"relation", SG_OPTION_TEXT, &(a).relation, "NAME", "add_or_remove_one (default), replace_one", 0, 0, false},  \
        {"microbatch", SG_OPTION_FLAG, &(a).microbatch, NULL, "clip groups hold several units: sensitivity 2", 0, 0,   \
         false},                                                                                                       \
        {"group", SG_OPTION_INT, &(a).group, "K", "protect K records together", 1, 1e6, false},                        \
        {"population-size", SG_OPTION_INT, &(a).population_size, "N", "units, for truncated_poisson", 1, 1e12, false}, \
        {"batch-max", SG_OPTION_INT, &(a).batch_max, "B", "largest batch, for truncated_poisson", 1, 1e12, false},     \
        {"gaussian", SG_OPTION_LIST, &(a).gaussians, "S,N", "N Gaussian statistics, std S over sensitivity", 0,        \
         0,          false},                                                                                           \
    {                                                                                                                  \
        "laplace", SG_OPTION_LIST, &(a).laplaces, "B,N", "N Laplace statistics, scale B over sensitivity", 0, 0, false \
    }

struct account_storage {
    struct sg_query queries[128];
};

/* n numbers separated by commas. */
SG_MUST_USE enum sg_status account_numbers(const char *text, const char *flag, const char *form, size_t n, double *out);
SG_MUST_USE enum sg_status account_history(const struct account_options *options, const struct sg_phase *phases,
                                           size_t n_phases, struct account_storage *storage, struct sg_history *out);

void account_facts_json(const struct sg_history *history, json_t *object);
void account_facts_print(const struct sg_history *history);
/* One line on stdout; takes the object. */
void account_print_json(json_t *object);
/* delta over epsilon, logarithmic, beside the attack's detection rate: a standalone SVG file. */
void account_curve_svg(const struct sg_curve *curve, struct sg_buffer *out);

#endif
