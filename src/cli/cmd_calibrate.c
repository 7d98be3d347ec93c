/* sealgrad calibrate: the noise, steps or rate that a target allows. */
#include <stdio.h>
#include <string.h>

#include "account_options.h"
#include "base/number.h"
#include "commands.h"
#include "figure.h"

struct request {
    struct account_options account;
    double target_epsilon, target_delta, sample_rate, noise_multiplier;
    int64_t steps;
    bool json;
};

/* Exactly one of rate, noise and steps is left open. */
static enum sg_status solve(const struct request *request, struct sg_phase *phase, const struct sg_history *history,
                            struct sg_epsilon *figure, const char **what)
{
    int given = (request->sample_rate > 0) + (request->noise_multiplier > 0) + (request->steps > 0);
    if (given != 2)
        return sg_fail(SG_USAGE,
                       "calibrate: give two of --sample-rate, --noise-multiplier and --steps; the third is found");
    if (request->noise_multiplier == 0) {
        *what = "noise_multiplier";
        return sg_account_calibrate(history, request->target_epsilon, request->target_delta, &phase->noise_multiplier,
                                    figure);
    }
    if (request->steps == 0) {
        *what = "steps";
        return sg_account_calibrate_steps(history, request->target_epsilon, request->target_delta, &phase->steps,
                                          figure);
    }
    *what = "sample_rate";
    return sg_account_calibrate_rate(history, request->target_epsilon, request->target_delta, &phase->sample_rate,
                                     figure);
}

static void print_answer(const struct request *request, const struct sg_phase *phase, const struct sg_history *history,
                         const struct sg_epsilon *figure, const char *what)
{
    bool is_steps = strcmp(what, "steps") == 0;
    double value = strcmp(what, "sample_rate") == 0 ? phase->sample_rate : phase->noise_multiplier;
    if (request->json) {
        json_t *object = json_object();
        json_object_set_new(object, what, is_steps ? json_integer(phase->steps) : sg_json_real(value));
        json_object_set_new(object, "epsilon", sg_json_real(figure->epsilon));
        json_object_set_new(object, "epsilon_lower", sg_json_real(figure->epsilon_lower));
        json_object_set_new(object, "delta", sg_json_real(request->target_delta));
        json_object_set_new(object, "accountant", json_string(figure->accountant));
        account_facts_json(history, object);
        account_print_json(object);
        return;
    }
    char text[32];
    sg_number_print(value, text);
    if (is_steps)
        snprintf(text, sizeof text, "%lld", (long long)phase->steps);
    printf("%-17s %s\n", what, text);
    printf("%-17s %s   at delta %s (certified upper bound, by %s)\n", "epsilon", figure_up(figure->epsilon, 12).text,
           figure_up(request->target_delta, 6).text, figure->accountant);
    account_facts_print(history);
}

enum sg_status sg_cmd_calibrate(int argc, char **argv)
{
    struct request r = {.account = account_options_default()};
    const struct sg_option options[] = {
        {"target-epsilon", SG_OPTION_NUMBER, &r.target_epsilon, "E", "epsilon not to be exceeded", 1e-6, 1e6, true},
        {"target-delta", SG_OPTION_NUMBER, &r.target_delta, "D", "delta", 1e-100, 0.999, true},
        {"sample-rate", SG_OPTION_NUMBER, &r.sample_rate, "Q", "chance of a unit to be in a step", 1e-12, 1, false},
        {"noise-multiplier", SG_OPTION_NUMBER, &r.noise_multiplier, "S", "noise std over the clip norm, on the sum",
         1e-2, 1e6, false},
        {"steps", SG_OPTION_INT, &r.steps, "T", "training steps", 1, 1e12, false},
        ACCOUNT_OPTIONS(r.account),
        {"json", SG_OPTION_FLAG, &r.json, NULL, "one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {
        .name = "calibrate",
        .summary = "the noise that meets a target epsilon (or the most steps, or the largest rate)",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .details = "Two of --sample-rate, --noise-multiplier and --steps are given; the third is found.\n"};
    SG_TRY(sg_options_parse(&line, argc, argv, NULL, NULL));
    struct sg_phase phase = {r.sample_rate > 0 ? r.sample_rate : 0.01, r.noise_multiplier > 0 ? r.noise_multiplier : 1,
                             r.steps > 0 ? r.steps : 1};
    struct account_storage storage;
    struct sg_history history;
    struct sg_epsilon figure;
    const char *what = "";
    SG_TRY(account_history(&r.account, &phase, 1, &storage, &history));
    SG_TRY(solve(&r, &phase, &history, &figure, &what));
    print_answer(&r, &phase, &history, &figure, what);
    return SG_OK;
}
