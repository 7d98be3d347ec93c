#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "run/model_folder.h"

static void say(json_t *list, char *text)
{
    json_array_append_new(list, json_string(text));
    free(text);
}

/* "row" stays a row; an id column's name becomes what it stands for. */
static char *unit_words(const char *unit)
{
    return strcmp(unit, "row") == 0 ? sg_strdup("row") : sg_format("unit (all rows of one %s)", unit);
}

static void claim_words(const struct sg_plan *plan, const char *unit, json_t *claims)
{
    say(claims,
        sg_format("This model is (epsilon, delta) = (%.6g, %.3g) differentially private for each %s of the training "
                  "split, under %s, against whoever sees the model and the ledger.",
                  plan->epsilon, plan->delta, unit,
                  plan->relation == SG_ADD_OR_REMOVE_ONE ? "adding or removing one" : "replacing one by another"));
    say(claims,
        sg_format(
            "Every %s's gradient is clipped to norm %.6g (%.6g after the margin for rounding) and Gaussian noise of "
            "standard deviation %.6g is added to the sum in each of %lld steps; each step takes each unit with "
            "probability %.6g.",
            plan->clip_group == SG_CLIP_MICROBATCH ? "microbatch" : "unit", plan->max_grad_norm, plan->clip_norm,
            plan->noise_std, (long long)plan->steps, plan->sample_rate));
    if (plan->clip_group == SG_CLIP_MICROBATCH)
        say(claims,
            sg_format(
                "Clip groups are microbatches of %lld units: one unit can move its group's clipped mean by twice the "
                "clip norm, so equal epsilon needs %lld times the noise of clipping each unit alone.",
                (long long)plan->microbatch_size, 2 * (long long)plan->microbatch_size));
}

static void assumption_words(const struct sg_plan *plan, bool secret_supplied, json_t *assumptions)
{
    if (strcmp(plan->noise_source, "curand") == 0)
        say(assumptions,
            sg_format("Noise words come from cuRAND's Philox4x32-10, a statistical generator with a 64-bit key: the "
                      "claim holds against whoever cannot search 2^64 keys or break Philox."));
    else
        say(assumptions, sg_format("Noise words come from ChaCha20, a cryptographic generator under a 256-bit key."));
    say(assumptions, sg_format("The claim is computational and lasts as long as the run secret stays secret."));
    if (secret_supplied)
        say(assumptions,
            sg_format("The run secret was supplied from a file: the claim is void for whoever holds that file."));
}

static void base_words(const struct sg_statement_facts *facts, json_t *assumptions, json_t *outside)
{
    if (!facts->base_digest[0])
        return;
    if (facts->base_is_public)
        say(assumptions, sg_format("Training started from a base (weights of SHA-256 %.16s...) of which it was "
                                   "asserted that it learnt from "
                                   "public data only; nobody in that data is covered.",
                                   facts->base_digest));
    else
        say(outside, sg_format("Training started from a private model of the same population (weights of SHA-256 "
                               "%.16s...): this epsilon is "
                               "that of this run's steps; the two together cost what the population's account says.",
                               facts->base_digest));
}

json_t *sg_statement(const struct sg_plan *plan, const struct sg_statement_facts *facts)
{
    json_t *claims = json_array(), *assumptions = json_array(), *outside = json_array();
    if (plan->is_private) {
        char *words = unit_words(facts->unit);
        claim_words(plan, words, claims);
        free(words);
        assumption_words(plan, facts->secret_supplied, assumptions);
        base_words(facts, assumptions, outside);
        say(outside, sg_format("People in the validation and test splits are not covered; their metrics are exact."));
        say(outside,
            sg_format("Settings chosen by looking at earlier results on the same people are not in this epsilon."));
        say(outside,
            sg_format("The operator of the training machine is trusted; timing and side channels are out of scope."));
    } else {
        say(claims, sg_format("This model was trained without privacy: no claim is made for anyone in its data."));
    }
    if (facts->without_ledger)
        say(outside, sg_format("No ledger holds this run: its spend is not part of any recorded budget."));
    json_t *statement = json_pack("{s:b, s:s, s:o, s:o, s:o}", "private", plan->is_private, "unit_of_privacy",
                                  facts->unit, "claims", claims, "assumptions", assumptions, "not_covered", outside);
    json_object_set_new(statement, "plan", sg_plan_to_json(plan));
    return statement;
}
