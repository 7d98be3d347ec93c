/* Decisions against the policy that the verifier brought: names for keys, how many people, and not the developer. What
 * holds without a policy (the signature itself, different keys, the number that a deployment says it needs) is in
 * past.c. */
#include <string.h>

#include "check.h"
#include "human.h"
#include "store.h"

static void unapproved(struct sg_check *check, const char *place, const char *what, const char *who)
{
    check->verdict->n_unapproved++;
    sg_check_problem(check, SG_INCOMPLETE, place, "%s%s%.80s", what, who ? ": " : "", who ? who : "");
}

/* The person's name: by the policy where there is one, else the key. NULL: the policy does not know the key. */
static const char *person_of(struct sg_check *check, const struct sg_event *event, const struct sg_human *human,
                             const char *place)
{
    const char *fingerprint = human->signature.fingerprint;
    if (!check->options->signers)
        return *human->name ? human->name : fingerprint;
    const char *name = sg_signers_name(check->options->signers, fingerprint, event->time_ms);
    if (!name)
        unapproved(check, place, "it is signed by a key that your list of signers does not allow at that time",
                   fingerprint);
    else if (*human->name && strcmp(human->name, name) != 0)
        unapproved(check, place, "your list of signers gives its key to somebody else than it names", name);
    return name;
}

/* {name: expires_ms or null} of a model since it was last retired. */
static json_t *approvers_of(struct sg_check *check, const char *model)
{
    if (!check->approvals)
        check->approvals = json_object();
    json_t *names = json_object_get(check->approvals, model);
    if (!names) {
        names = json_object();
        json_object_set_new(check->approvals, model, names);
    }
    return names;
}

static void count(struct sg_check *check, const struct sg_event *event, json_t *names, const char *developer,
                  const char *place)
{
    const char *name;
    json_t *expires;
    int64_t n = 0;
    char text[64];
    json_object_foreach(names, name, expires) n += sg_past_in_force(expires, event->time_ms) &&
                                                   !(check->options->four_eyes && sg_human_is_account(name, developer));
    int64_t needs = check->options->needs > 0 ? check->options->needs : check->options->four_eyes;
    snprintf(text, sizeof text, "%lld of %lld", (long long)n, (long long)needs);
    if (n < needs)
        unapproved(check, place, "it went into use with the approvals of too few people", text);
}

void sg_check_approval(struct sg_check *check, const struct sg_event *event, const char *place)
{
    const struct sg_verify_options *options = check->options;
    const char *model = json_string_value(json_object_get(event->facts, "model")), *person = NULL;
    struct sg_human human;
    bool is_signed = false;
    char developer[128];
    if (!model || (!options->signers && !options->needs && !options->four_eyes))
        return;
    if (sg_human_read(event->origin, event->type, event->facts, &human, &is_signed) != SG_OK)
        return sg_error_clear(); /* said by past.c */
    if (is_signed)
        person = person_of(check, event, &human, place);
    else if (!options->signers)
        person = event->user; /* the account that ran the command: all that is known */
    if (sg_store_developer(check->expected, model, developer) != SG_OK)
        sg_error_clear();
    json_t *names = approvers_of(check, model);
    if (strcmp(event->type, "model.approve") == 0) {
        if (person && options->four_eyes && sg_human_is_account(person, developer))
            unapproved(check, place, "whoever developed the model approved it", person);
        if (person)
            json_object_set(names, person, json_object_get(event->facts, "expires_ms"));
    } else if (strcmp(event->type, "model.retire") == 0) {
        json_object_clear(names);
    } else if (options->needs || options->four_eyes) {
        count(check, event, names, developer, place);
    }
    if (is_signed)
        sg_human_free(&human);
}
