#include "account/account.h"

#include <math.h>
#include <string.h>

#include "closed.h"
#include "composition.h"
#include "rdp.h"

static const char *const sampler_names[SG_N_SAMPLERS] = {"poisson", "truncated_poisson", "fixed_size", "full_batch",
                                                         "shuffle"};
static const char *const relation_names[SG_N_RELATIONS] = {"add_or_remove_one", "replace_one"};

const char *sg_sampler_name(enum sg_sampler sampler)
{
    return sampler_names[sampler];
}
const char *sg_relation_name(enum sg_relation relation)
{
    return relation_names[relation];
}

static int parse(const char *name, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(name, names[i]))
            return i;
    return -1;
}
int sg_sampler_parse(const char *name)
{
    return parse(name, sampler_names, SG_N_SAMPLERS);
}
int sg_relation_parse(const char *name)
{
    return parse(name, relation_names, SG_N_RELATIONS);
}

const char *sg_sampler_caution(enum sg_sampler sampler)
{
    return sampler == SG_SAMPLER_SHUFFLE ? "shuffled batches are given no amplification: no useful upper bound is "
                                           "proven for them, and attacks reach "
                                           "several times the figure of Poisson sampling"
                                         : "";
}

enum sg_status sg_account_rdp(const struct sg_history *history, double alpha, double *out)
{
    if (!(alpha > 1 && alpha <= 1e9))
        return sg_fail(SG_USAGE, "a Renyi order lies in (1, 1e9], not %g", alpha);
    struct sg_composition composition;
    struct sg_nodes nodes = {0};
    enum sg_status status = sg_composition_make(history, &composition);
    if (status == SG_OK) {
        *out = sg_composition_rdp(&composition, alpha, &nodes);
        if (!composition.is_symmetric) { /* the other direction is never larger for one record; it is cheap to look */
            sg_composition_swap(&composition);
            double other = sg_composition_rdp(&composition, alpha, &nodes);
            *out = other > *out && isfinite(other) ? other : *out;
        }
    }
    sg_nodes_close(&nodes);
    sg_composition_close(&composition);
    return status;
}

static enum sg_status both_directions(struct sg_composition *composition, double delta, struct sg_epsilon *out)
{
    out->epsilon = out->epsilon_rdp;
    out->epsilon_lower = 0;
    out->accountant = "rdp";
    bool is_plain = !composition->n_events && !composition->n_laplaces && !composition->n_fixed_size;
    if (is_plain) {
        double mu = sqrt(composition->gaussian_mu2) * (1 + 0x1p-52), lower, upper;
        sg_gaussian_epsilon(mu, delta, &lower, &upper);
        sg_gaussian_epsilon(mu * (1 - 0x1p-48), delta, &out->epsilon_lower, &lower);
        out->epsilon = fmin(upper, out->epsilon_rdp);
        out->accountant = "closed_form";
    }
    return SG_OK;
}

enum sg_status sg_account_epsilon(const struct sg_history *history, double delta, struct sg_epsilon *out)
{
    SG_TRY(sg_delta_check(delta));
    struct sg_composition composition;
    enum sg_status status = sg_composition_make(history, &composition);
    if (status == SG_OK) {
        out->epsilon_rdp = sg_composition_rdp_epsilon(&composition, delta, NULL);
        status = both_directions(&composition, delta, out);
    }
    sg_composition_close(&composition);
    return status;
}
