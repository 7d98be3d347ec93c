#include "account/account.h"
#include "account/curve.h"

#include <math.h>
#include <string.h>

#include "attained.h"
#include "closed.h"
#include "composition.h"
#include "contour.h"
#include "largest.h"
#include "pld.h"
#include "rare.h"
#include "rdp.h"

enum { RARE = SG_CONTOUR_THINNED + 1 }; /* the parted law, beside the forms of the contour */

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

/* Removing a record costs at least as much as adding one, in Renyi divergence of every order: proven for single records
 * under Poisson sampling (Mironov, Talwar, Zhang 2019, theorem 5), not for groups or capped batches. */
static bool needs_both_divergences(const struct sg_history *history)
{
    return history->sampler == SG_SAMPLER_TRUNCATED_POISSON ||
           (history->sampler == SG_SAMPLER_POISSON && history->group_size > 1);
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
        if (needs_both_divergences(history)) {
            sg_composition_swap(&composition);
            *out = fmax(*out, sg_composition_rdp(&composition, alpha, &nodes));
        }
    }
    sg_nodes_close(&nodes);
    sg_composition_close(&composition);
    return status;
}

static bool is_once(const struct sg_composition *composition)
{
    return composition->n_events == 1 && composition->events[0].count == 1 && !composition->n_laplaces &&
           composition->gaussian_mu2 == 0;
}

/* Total variation adds over steps: at epsilon 0 the composition's delta is at most the sum of its steps'. */
static bool costs_nothing(const struct sg_composition *composition, double delta)
{
    if (composition->n_laplaces || composition->gaussian_mu2 > 0)
        return false;
    double sum = 0;
    for (size_t i = 0; i < composition->n_events; i++) {
        double lower, upper;
        if (!sg_event_delta_once(&composition->events[i], 0, &lower, &upper))
            return false;
        sum += composition->events[i].count * upper * (1 + 1e-14);
    }
    return sum <= delta;
}

static void tighten(double lower, double upper, struct sg_epsilon *out)
{
    out->epsilon = fmin(out->epsilon, upper), out->epsilon_lower = fmax(out->epsilon_lower, lower);
}

static bool is_tight(const struct sg_epsilon *bounds, double relative)
{
    return isfinite(bounds->epsilon) && bounds->epsilon - bounds->epsilon_lower <= relative * bounds->epsilon;
}

/* Little noise makes losses rare and large, many or noisy steps make them common and small. */
static bool has_little_noise(const struct sg_composition *composition)
{
    for (size_t i = 0; i < composition->n_events; i++)
        if (composition->events[i].branch[0].sigma < 0.8)
            return true;
    return false;
}

/* Hardly anybody ever takes part, and the noise hides who does: no form of the line has been seen to reach there. */
static bool is_hopeless(const struct sg_composition *composition)
{
    double taking_part = 0;
    for (size_t i = 0; i < composition->n_events; i++) {
        const struct sg_pair *pair = &composition->events[i].branch[0];
        if (pair->sigma < 1)
            return false;
        taking_part += composition->events[i].count * fmax(1 - pair->p.weight[0], 1 - pair->q.weight[0]);
    }
    return composition->n_events && !composition->n_laplaces && composition->gaussian_mu2 == 0 && taking_part < 1e-5;
}

/* What a form proves before it gives up holds too. */
static void by_form(struct sg_composition *composition, int form, double delta, double *lower, double *upper)
{
    bool ok = form == RARE ? sg_rare_epsilon(composition, delta, lower, upper)
                           : sg_contour_epsilon(composition, (enum sg_contour_form)form, delta, lower, upper);
    (void)ok;
}

/* The contour in its forms, the cheaper or likelier first: along a plain line, with the rarest losses left out, with
 * rare losses set apart. What each proves holds, so the best of them is kept; false when that is not tight. The last
 * two need the direction in which P is the mixture. */
static bool by_contour(struct sg_composition *composition, bool is_first, double delta, struct sg_epsilon *out)
{
    static const int little_noise[] = {SG_CONTOUR_CHEAP, SG_CONTOUR_CHEAP_THINNED, RARE, SG_CONTOUR_THINNED};
    static const int much_noise[] = {SG_CONTOUR_CHEAP, SG_CONTOUR_THINNED, RARE};
    static const int other[] = {SG_CONTOUR_CHEAP, SG_CONTOUR_WHOLE};
    const int *forms = !is_first ? other : has_little_noise(composition) ? little_noise : much_noise;
    int n = !is_first ? 2 : forms == little_noise ? 4 : 3;
    double lower, upper;
    for (int k = 0; k < n && !is_tight(out, 1e-6); k++) {
        by_form(composition, forms[k], delta, &lower, &upper);
        tighten(lower, upper, out);
    }
    return is_tight(out, 1e-5);
}

/* One direction by the best engine for it; the loss distribution on a grid is the last resort. */
static bool one_direction(struct sg_composition *composition, bool is_first, bool use_contour, double delta,
                          struct sg_epsilon *out)
{
    out->accountant = "closed_form";
    if (costs_nothing(composition, delta)) {
        out->epsilon = out->epsilon_lower = 0;
        return true;
    }
    if (is_once(composition) &&
        sg_event_epsilon_once(&composition->events[0], delta, &out->epsilon_lower, &out->epsilon))
        return true;
    out->accountant = "contour";
    out->epsilon = INFINITY, out->epsilon_lower = 0;
    if (use_contour && !is_hopeless(composition) && by_contour(composition, is_first, delta, out))
        return true;
    double lower, upper;
    if (sg_pld_epsilon(composition, delta, INFINITY, &lower, &upper)) {
        if (upper < out->epsilon)
            out->accountant = "pld";
        tighten(lower, upper, out);
    }
    if (is_first && isfinite(out->epsilon) && !is_tight(out, 1e-5))
        tighten(sg_largest_loss_epsilon(composition, delta, out->epsilon), out->epsilon, out);
    return isfinite(out->epsilon);
}

static void plain_gaussian(const struct sg_composition *composition, double delta, struct sg_epsilon *out)
{
    double mu = sqrt(composition->gaussian_mu2), ignored;
    sg_gaussian_epsilon(mu * (1 + 0x1p-50), delta, &ignored, &out->epsilon);
    sg_gaussian_epsilon(mu * (1 - 0x1p-40), delta, &out->epsilon_lower, &ignored);
    out->accountant = "closed_form";
}

/* When a record is added, Q >= (1 - q) P everywhere: no loss exceeds -ln(1 - q) a step. */
static double largest_loss(const struct sg_composition *composition)
{
    double sum = composition->n_laplaces || composition->gaussian_mu2 > 0 ? INFINITY : 0;
    for (size_t i = 0; i < composition->n_events; i++) {
        double most = 0;
        for (int b = 0; b < composition->events[i].n_branches; b++) {
            const struct sg_pair *pair = &composition->events[i].branch[b];
            double rest = 0; /* all weight of Q but that of P's only component */
            for (int j = 1; j < pair->q.n; j++)
                rest += pair->q.weight[j];
            most = fmax(most, pair->p.n == 1 && rest < 0.999 ? -log1p(-rest) : INFINITY);
        }
        sum += composition->events[i].count * most * (1 + 1e-12);
    }
    return sum;
}

/* Is the other direction's delta at the first one's epsilon within delta as well? It always was in practice; where it
 * cannot be shown the other direction is solved too. */
static bool other_direction_fits(const struct sg_composition *composition, bool use_contour, double epsilon,
                                 double delta)
{
    double lower, upper;
    if (largest_loss(composition) <= epsilon || costs_nothing(composition, delta))
        return true;
    if (is_once(composition))
        return sg_event_delta_once(&composition->events[0], epsilon, &lower, &upper) && upper <= delta;
    if (sg_contour_delta(composition, epsilon, delta, &lower, &upper) && upper <= delta)
        return true;
    return !use_contour && sg_pld_delta(composition, epsilon, delta, &upper) && upper <= delta;
}

/* Fixed size: Renyi divergences are a ceiling here too, and below it the grid of the mirrored pair. */
static void fixed_size(const struct sg_composition *composition, double delta, struct sg_epsilon *out)
{
    struct sg_composition mirrored;
    double lower, upper;
    if (sg_composition_mirror(composition, &mirrored) && sg_pld_epsilon(&mirrored, delta, INFINITY, &lower, &upper) &&
        upper < out->epsilon)
        out->epsilon = upper, out->accountant = "pld";
    sg_composition_unmirror(&mirrored);
}

static enum sg_status both_directions(struct sg_composition *composition, double delta, struct sg_epsilon *out)
{
    out->epsilon = out->epsilon_rdp;
    out->epsilon_lower = 0;
    out->accountant = "rdp";
    struct sg_epsilon first = *out, second = *out;
    if (composition->n_fixed_size) {
        fixed_size(composition, delta, out);
        return SG_OK;
    }
    if (!composition->n_events && !composition->n_laplaces) {
        plain_gaussian(composition, delta, out);
        return SG_OK;
    }
    if (!one_direction(composition, true, true, delta, &first))
        return SG_OK;
    if (!composition->is_symmetric) {
        sg_composition_swap(composition);
        if (!other_direction_fits(composition, strcmp(first.accountant, "contour") == 0, first.epsilon, delta)) {
            if (!one_direction(composition, false, strcmp(first.accountant, "contour") == 0, delta, &second))
                return SG_OK;
            first.epsilon = fmax(first.epsilon, second.epsilon);
            first.epsilon_lower = fmax(first.epsilon_lower, second.epsilon_lower);
        }
    }
    first.epsilon_rdp = out->epsilon_rdp;
    *out = first;
    return SG_OK;
}

/* The engines are independent: what one proves possible no other may exclude. */
static enum sg_status reconcile(struct sg_epsilon *out)
{
    if (out->epsilon_lower > out->epsilon_rdp * (1 + 1e-12) || out->epsilon_lower > out->epsilon * (1 + 1e-12))
        return sg_fail(SG_FAILED,
                       "the accountants disagree: at least %.17g by %s, at most %.17g by RDP; please report this",
                       out->epsilon_lower, out->accountant, out->epsilon_rdp);
    if (out->epsilon_rdp < out->epsilon)
        out->epsilon = out->epsilon_rdp, out->accountant = "rdp";
    return SG_OK;
}

enum sg_status sg_account_by_pair(const struct sg_history *history, double delta, struct sg_epsilon *out)
{
    struct sg_composition composition;
    enum sg_status status = sg_composition_make(history, &composition);
    if (status == SG_OK) {
        out->epsilon_rdp = sg_composition_rdp_epsilon(&composition, delta, NULL);
        if (needs_both_divergences(history)) {
            sg_composition_swap(&composition);
            out->epsilon_rdp = fmax(out->epsilon_rdp, sg_composition_rdp_epsilon(&composition, delta, NULL));
            sg_composition_swap(&composition);
        }
        status = both_directions(&composition, delta, out);
        if (status == SG_OK)
            status = reconcile(out);
    }
    sg_composition_close(&composition);
    return status;
}

enum sg_status sg_account_epsilon(const struct sg_history *history, double delta, struct sg_epsilon *out)
{
    SG_TRY(sg_delta_check(delta));
    SG_TRY(sg_account_by_pair(history, delta, out));
    if (sg_history_is_attained(history))
        return SG_OK;
    struct sg_attained attained;
    struct sg_epsilon below;
    out->epsilon_lower = 0;
    enum sg_status status = sg_attained_make(history, &attained);
    for (int i = 0; status == SG_OK && i < attained.n; i++) {
        if (sg_history_check(&attained.history[i]) != SG_OK)
            continue; /* a rate or a noise too small or too large to be accounted: nothing is known from there */
        status = sg_account_by_pair(&attained.history[i], delta, &below);
        if (status == SG_OK)
            out->epsilon_lower = fmax(out->epsilon_lower, below.epsilon_lower);
    }
    sg_attained_close(&attained);
    return status == SG_OK ? reconcile(out) : status;
}

/* Upper bound by RDP in the composition's direction: the best of a few orders. */
static double rdp_delta(const struct sg_composition *composition, double epsilon)
{
    struct sg_nodes nodes = {0};
    double best = 0;
    for (double log_order = -6; log_order < 16; log_order += 0.25) {
        double alpha = 1 + exp(log_order), rho = sg_composition_rdp(composition, alpha, &nodes);
        if (!isfinite(rho))
            break;
        best = fmin(best, sg_account_rdp_to_log_delta(rho, alpha, epsilon));
    }
    sg_nodes_close(&nodes);
    return exp(best) * (1 + 1e-14);
}

static void direction_delta(const struct sg_composition *composition, double epsilon, double *lower, double *upper)
{
    *lower = 0;
    if (composition->n_fixed_size) {
        struct sg_composition mirrored;
        *upper = rdp_delta(composition, epsilon);
        double by_grid;
        if (sg_composition_mirror(composition, &mirrored) && sg_pld_delta(&mirrored, epsilon, 0, &by_grid))
            *upper = fmin(*upper, by_grid);
        sg_composition_unmirror(&mirrored);
    } else if (!composition->n_events && !composition->n_laplaces)
        sg_gaussian_delta(sqrt(composition->gaussian_mu2) * (1 + 0x1p-50), epsilon, lower, upper);
    else if (!((is_once(composition) && sg_event_delta_once(&composition->events[0], epsilon, lower, upper)) ||
               sg_contour_delta(composition, epsilon, 0, lower, upper) || sg_pld_delta(composition, epsilon, 0, upper)))
        *upper = rdp_delta(composition, epsilon);
}

static enum sg_status delta_by_pair(const struct sg_history *history, double epsilon, double *lower, double *upper)
{
    struct sg_composition composition;
    enum sg_status status = sg_composition_make(history, &composition);
    if (status == SG_OK) {
        direction_delta(&composition, epsilon, lower, upper);
        if (!composition.is_symmetric) {
            double low, high;
            sg_composition_swap(&composition);
            direction_delta(&composition, epsilon, &low, &high);
            *lower = fmax(*lower, low), *upper = fmax(*upper, high);
        }
    }
    sg_composition_close(&composition);
    return status;
}

enum sg_status sg_account_delta(const struct sg_history *history, double epsilon, double *lower, double *upper)
{
    if (!(epsilon >= 0 && epsilon <= 1e12))
        return sg_fail(SG_USAGE, "epsilon %g is outside [0, 1e12]", epsilon);
    SG_TRY(delta_by_pair(history, epsilon, lower, upper));
    if (!sg_history_is_attained(history))
        *lower = 0; /* of the pair, which need not be attained */
    return SG_OK;
}
