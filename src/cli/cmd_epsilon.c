/* sealgrad epsilon: what a history of noisy steps costs. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/curve.h"
#include "account_options.h"
#include "base/file.h"
#include "base/json.h"
#include "commands.h"
#include "figure.h"
#include "options.h"

struct request {
    struct account_options account;
    double sample_rate, noise_multiplier, delta, trials, zcdp, gdp;
    int64_t steps;
    struct sg_option_list phases;
    const char *svg, *tuning;
    bool curve, json;
};

/* "Q,S,T": rate, noise multiplier, steps. */
static enum sg_status parse_phase(const char *text, struct sg_phase *out)
{
    double values[3];
    SG_TRY(account_numbers(text, "phase", "Q,S,T", 3, values));
    if (!(values[2] >= 1 && values[2] <= 1e12) || values[2] != floor(values[2]))
        return sg_fail(SG_USAGE, "epsilon: --phase %s: steps are a whole number from 1 to 10^12", text);
    *out = (struct sg_phase){values[0], values[1], (int64_t)values[2]};
    return SG_OK;
}

static enum sg_status gather(const struct request *request, struct sg_phase *phases, size_t *n)
{
    bool some = request->sample_rate > 0 || request->noise_multiplier > 0 || request->steps > 0;
    bool all = request->sample_rate > 0 && request->noise_multiplier > 0 && request->steps > 0;
    if (some && !all)
        return sg_fail(SG_USAGE,
                       "epsilon: --sample-rate, --noise-multiplier and --steps go together; or give --phase Q,S,T");
    *n = 0;
    if (all)
        phases[(*n)++] = (struct sg_phase){request->sample_rate, request->noise_multiplier, request->steps};
    for (size_t i = 0; i < request->phases.n; i++)
        SG_TRY(parse_phase(request->phases.items[i], &phases[(*n)++]));
    return SG_OK;
}

/* What a figure under another notion is worth: no history is needed, nor taken. */
static enum sg_status convert(const struct request *request)
{
    bool is_zcdp = request->zcdp > 0;
    bool has_history = request->sample_rate > 0 || request->noise_multiplier > 0 || request->steps > 0 ||
                       request->phases.n || request->account.gaussians.n || request->account.laplaces.n ||
                       request->account.group > 1 || request->account.microbatch;
    if ((is_zcdp && request->gdp > 0) || has_history || request->tuning || request->curve || request->svg)
        return sg_fail(SG_USAGE, "epsilon: --zcdp RHO or --gdp MU stands alone, beside --delta and --json");
    double epsilon =
        is_zcdp ? sg_zcdp_epsilon(request->zcdp, request->delta) : sg_gdp_epsilon(request->gdp, request->delta);
    if (!isfinite(epsilon))
        return sg_fail(SG_USAGE, "epsilon: no finite epsilon can be certified at delta %g", request->delta);
    if (request->json)
        account_print_json(json_pack("{so so so}", "epsilon", sg_json_real(epsilon), "delta",
                                     sg_json_real(request->delta), is_zcdp ? "zcdp_rho" : "gdp_mu",
                                     sg_json_real(is_zcdp ? request->zcdp : request->gdp)));
    else
        printf("epsilon        %s   at delta %s (upper bound from %s %g)\n", figure_up(epsilon, 9).text,
               figure_up(request->delta, 6).text, is_zcdp ? "zCDP rho" : "Gaussian DP mu",
               is_zcdp ? request->zcdp : request->gdp);
    return SG_OK;
}

static json_t *curve_json(const struct sg_curve *curve)
{
    json_t *privacy = json_array(), *attack = json_array();
    for (int i = 0; i < SG_CURVE_POINTS; i++)
        json_array_append_new(privacy, json_pack("{so so}", "epsilon", sg_json_real(curve->privacy[i].epsilon), "delta",
                                                 sg_json_real(curve->privacy[i].delta)));
    for (int i = 0; i < SG_ATTACK_POINTS; i++)
        json_array_append_new(
            attack, json_pack("{so so}", "false_positive_rate", sg_json_real(curve->attack[i].false_positive_rate),
                              "true_positive_rate_max", sg_json_real(curve->attack[i].true_positive_rate_max)));
    return json_pack("{so so}", "privacy", privacy, "attack", attack);
}

static void print_json(const struct request *request, const struct sg_history *history, const struct sg_epsilon *figure,
                       const struct sg_curve *curve, double tuned)
{
    json_t *object = json_object();
    json_object_set_new(object, "epsilon", sg_json_real(figure->epsilon));
    json_object_set_new(object, "epsilon_lower", sg_json_real(figure->epsilon_lower));
    json_object_set_new(object, "epsilon_rdp", sg_json_real(figure->epsilon_rdp));
    json_object_set_new(object, "delta", sg_json_real(request->delta));
    json_object_set_new(object, "accountant", json_string(figure->accountant));
    account_facts_json(history, object);
    double mu;
    if (sg_account_gdp(history, &mu) == SG_OK) {
        json_object_set_new(object, "gdp_mu", sg_json_real(mu));
        json_object_set_new(object, "zcdp_rho", sg_json_real(mu * mu / 2 * (1 + 4 * DBL_EPSILON)));
    }
    if (request->tuning)
        json_object_set_new(object, "epsilon_with_tuning", sg_json_real(tuned));
    if (curve)
        json_object_set_new(object, "curve", curve_json(curve));
    account_print_json(object);
}

static void print_table(const struct request *request, const struct sg_history *history,
                        const struct sg_epsilon *figure, const struct sg_curve *curve, double tuned)
{
    printf("epsilon        %s   at delta %s (certified upper bound, by %s)\n", figure_up(figure->epsilon, 9).text,
           figure_up(request->delta, 6).text, figure->accountant);
    if (figure->epsilon_lower > 0)
        printf("lower bound    %s\n", figure_down(figure->epsilon_lower, 9).text);
    printf("by RDP         %s\n", figure_up(figure->epsilon_rdp, 9).text);
    account_facts_print(history);
    double mu;
    if (sg_account_gdp(history, &mu) == SG_OK)
        printf("Gaussian DP    mu %.9g; zCDP rho %.9g\n", mu, mu * mu / 2);
    if (request->tuning)
        printf("with tuning    %s   best of %s trials, %g expected\n", figure_up(tuned, 9).text, request->tuning,
               request->trials);
    if (!curve)
        return;
    if (request->tuning)
        printf("\nof one trial, the choice among trials not included:");
    printf("\n%12s  %12s\n", "epsilon", "delta <=");
    for (int i = 0; i < SG_CURVE_POINTS; i += 2)
        printf("%12s  %12s\n", figure_up(curve->privacy[i].epsilon, 6).text,
               figure_up(curve->privacy[i].delta, 4).text);
    printf("\nbest test of whether one person took part\n%12s  %12s\n", "false alarms", "detected <=");
    for (int i = 0; i < SG_ATTACK_POINTS; i++)
        printf("%12g  %12s\n", curve->attack[i].false_positive_rate,
               figure_fixed_up(curve->attack[i].true_positive_rate_max, 6).text);
}

static enum sg_status tuned_epsilon(const struct request *request, const struct sg_history *history, double *out)
{
    if (!(request->trials > 0))
        return sg_fail(SG_USAGE, "epsilon: --tuning needs --trials K, how many trials are expected");
    struct sg_tuning tuning = {.trials_expected = request->trials};
    if (strcmp(request->tuning, "geometric") == 0)
        tuning.shape = 1;
    else if (strcmp(request->tuning, "poisson") == 0)
        tuning.kind = SG_TUNING_POISSON;
    else if (strcmp(request->tuning, "sweep") == 0)
        tuning.kind = SG_TUNING_SWEEP;
    else if (strcmp(request->tuning, "logarithmic") != 0)
        return sg_fail(SG_USAGE, "epsilon: --tuning is geometric, logarithmic, poisson or sweep, not \"%s\"",
                       request->tuning);
    return sg_account_tuning(history, &tuning, request->delta, out);
}

static enum sg_status answer(const struct request *request, const struct sg_history *history)
{
    struct sg_epsilon figure;
    struct sg_curve curve;
    double tuned = 0;
    bool wants_curve = request->curve || request->svg;
    SG_TRY(sg_account_epsilon(history, request->delta, &figure));
    if (request->tuning)
        SG_TRY(tuned_epsilon(request, history, &tuned));
    if (wants_curve)
        SG_TRY(sg_account_curve(history, &curve));
    if (request->svg) {
        struct sg_buffer svg = {0};
        account_curve_svg(&curve, &svg);
        enum sg_status status = sg_file_write(request->svg, svg.data, svg.len, 0644);
        sg_buffer_free(&svg);
        SG_TRY(status);
    }
    if (request->json)
        print_json(request, history, &figure, wants_curve ? &curve : NULL, tuned);
    else
        print_table(request, history, &figure, wants_curve ? &curve : NULL, tuned);
    return SG_OK;
}

enum sg_status sg_cmd_epsilon(int argc, char **argv)
{
    struct request r = {.account = account_options_default()};
    const struct sg_option options[] = {
        {"sample-rate", SG_OPTION_NUMBER, &r.sample_rate, "Q", "chance of a unit to be in a step", 1e-12, 1, false},
        {"noise-multiplier", SG_OPTION_NUMBER, &r.noise_multiplier, "S", "noise std over the clip norm, on the sum",
         1e-2, 1e6, false},
        {"steps", SG_OPTION_INT, &r.steps, "T", "training steps", 1, 1e12, false},
        {"delta", SG_OPTION_NUMBER, &r.delta, "D", "delta", 1e-100, 0.999, true},
        {"phase", SG_OPTION_LIST, &r.phases, "Q,S,T", "a further phase; may be repeated", 0, 0, false},
        ACCOUNT_OPTIONS(r.account),
        {"tuning", SG_OPTION_TEXT, &r.tuning, "LAW", "best of K trials: geometric, logarithmic, poisson, sweep", 0, 0,
         false},
        {"trials", SG_OPTION_NUMBER, &r.trials, "K", "expected number of trials", 1, 1e6, false},
        {"zcdp", SG_OPTION_NUMBER, &r.zcdp, "RHO", "convert this zCDP figure; no history", 1e-12, 1e6, false},
        {"gdp", SG_OPTION_NUMBER, &r.gdp, "MU", "convert this Gaussian-DP figure; no history", 1e-6, 1e3, false},
        {"curve", SG_OPTION_FLAG, &r.curve, NULL, "also delta over epsilon and the best attack", 0, 0, false},
        {"svg", SG_OPTION_TEXT, &r.svg, "FILE", "the curve as a plot", 0, 0, false},
        {"json", SG_OPTION_FLAG, &r.json, NULL, "one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {.name = "epsilon",
                                         .summary = "what a history of noisy steps costs",
                                         .options = options,
                                         .n_options = sizeof options / sizeof *options};
    SG_TRY(sg_options_parse(&line, argc, argv, NULL, NULL));
    if (r.trials > 0 && !r.tuning)
        return sg_fail(SG_USAGE, "epsilon: --trials needs --tuning LAW; for runs tried by hand say --tuning sweep");
    if (r.zcdp > 0 || r.gdp > 0)
        return convert(&r);
    struct sg_phase phases[65];
    struct account_storage storage;
    struct sg_history history;
    size_t n_phases = 0;
    SG_TRY(gather(&r, phases, &n_phases));
    SG_TRY(account_history(&r.account, phases, n_phases, &storage, &history));
    return answer(&r, &history);
}
