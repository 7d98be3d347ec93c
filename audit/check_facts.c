/* The form of an event: only the members that docs/ledger.md names, so that nothing else is kept under a signature in a
 * ledger that is handed to others; its number and its time in words; the limits that a registration states. */
#include <string.h>

#include "audit/query.h"
#include "check.h"

/* Members by type, each with a blank around it and a letter for what it holds: t text, d a digest, i a whole number
 * from 0, s any whole number or null, r a number, b true or false, o an object, l a list; a capital letter: or null;
 * "?" for ":": it may lack. */
#define RUN_END                                                                                                        \
    " run_id:t run_no:i start_leaf:i reason:T steps_done:i metrics:l artifacts:l curves?L"                             \
    " clock:o "
#define DECISION " model:d role:t reason:t expires_ms:s human?o needs?i "
#define BUDGET                                                                                                         \
    " filter_order:R rho:R delta_slack:R epsilon_limit:R delta_limit:R charges_before:i epsilon_before:R "             \
    "epsilon_after:R delta_after:R "
static const struct {
    const char *type, *members;
} forms[] = {
    {"ledger.genesis", " schema_version:i tree:t key:t key_name:t "},
    {"key.add", " key:t role:t "},
    {"key.revoke", " key_id:t compromised_since_ms:s "},
    {"dataset.register", " name:t population:t unit:t population_size:i public:b epsilon_limit:R delta_limit:R"
                         " filter_order:R row_bucket:t retention_class?T retain_until_ms?s commitment:d"
                         " schema_digest:d "},
    {"programme.register", " programme_id:t dataset:t population:t plan:o runs:i epsilon:r delta:r budget:O "},
    {"run.start", " run_id:t run_no:i dataset:t population:t data_commitment:d plan:o budget:O programme:T"
                  " configuration:O parameters:O secret_commitment:d secret_supplied:b code_digest:T"
                  " binary_digest:T environment:T libraries:O base_model_digest:T show_internal:b clock:o "},
    {"run.complete", RUN_END},
    {"run.fail", RUN_END},
    {"run.abort", RUN_END},
    {"model.approve", DECISION},
    {"model.deploy", DECISION},
    {"model.retire", DECISION},
    {"dataset.erase", " dataset:t basis:t destroyed:t "},
    {"run.heartbeat", " run_id:t run_no:i start_leaf:i beat:i step:i interval_s:I interval_steps:I wall_ms:s"
                      " clock:o "},
    {"run.erase", " run_id:t run_no:i basis:t destroyed:l "},
    {"clock.anomaly", " kind:t wall_ms:s expected_ms:s offset_ms:s boot_id_before:T clock:o "},
    {"ledger.gap", " kind:t run_id:T run_no:I from_ms:s to_ms:s clock:o "},
};

static bool is_hex(const char *text, size_t n)
{
    return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

static bool is_of(const json_t *value, char kind)
{
    if (json_is_null(value))
        return kind == 's' || (kind >= 'A' && kind <= 'Z');
    switch (kind) {
    case 't':
    case 'T':
        return json_is_string(value);
    case 'd':
        return json_is_string(value) && is_hex(json_string_value(value), 64);
    case 'i':
    case 'I':
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case 's':
        return json_is_integer(value);
    case 'r':
    case 'R':
        return json_is_number(value);
    case 'b':
        return json_is_boolean(value);
    case 'o':
    case 'O':
        return json_is_object(value);
    default: /* l, L */
        return json_is_array(value);
    }
}

/* Where the letter of a member stands; NULL when there is no such member. */
static const char *kind_of(const char *name, const char *members)
{
    char word[64];
    int n = snprintf(word, sizeof word, " %s", name);
    if (n >= (int)sizeof word || strpbrk(name, " :?"))
        return NULL;
    for (const char *at = members; (at = strstr(at, word)); at += n)
        if (at[n] == ':' || at[n] == '?')
            return at + n + 1;
    return NULL;
}

/* The first member that is none of these or holds something else; NULL when there is none, or no object. */
static const char *stranger(const json_t *object, const char *members)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        const char *kind = kind_of(name, members);
        if (!kind || !is_of(value, *kind))
            return name;
    }
    return NULL;
}

/* Whether it has every member that it must have. */
static bool is_complete(const json_t *object, const char *members)
{
    char name[64];
    for (const char *at = members; at; at = strchr(at + 1, ' ')) {
        size_t n = strcspn(at + 1, ":?");
        if (at[1] && at[1 + n] == ':' && n < sizeof name) {
            memcpy(name, at + 1, n);
            name[n] = 0;
            if (!json_object_get(object, name))
                return false;
        }
    }
    return true;
}

static const char *stranger_in(const json_t *object, const char *members)
{
    const char *found = stranger(object, members);
    return found ? found : is_complete(object, members) ? NULL : "(a member is missing)";
}

static const char *stranger_in_list(const json_t *list, const char *members)
{
    const char *found = NULL;
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) if (!found) found = json_is_object(one) ? stranger_in(one, members) : "an entry";
    return found;
}

/* Curves are numbers: rows of them under one of two names. */
static bool are_numbers(const json_t *rows)
{
    const json_t *row, *cell;
    size_t i, j;
    json_array_foreach(rows, i, row)
    {
        if (!json_is_array(row))
            return false;
        json_array_foreach(row, j, cell) if (!json_is_integer(cell) && !json_is_null(cell)) return false;
    }
    return !rows || json_is_array(rows);
}

static const char *stranger_in_curves(const json_t *curves)
{
    const char *found = stranger_in_list(curves, " name:t split:t released:t bins?l points?l ");
    const json_t *one;
    size_t i;
    if (curves && !json_is_array(curves) && !json_is_null(curves))
        return "curves";
    json_array_foreach(curves, i, one) if (!found && (!are_numbers(json_object_get(one, "bins")) ||
                                                      !are_numbers(json_object_get(one, "points")))) found =
        "a curve's row";
    return found;
}

static const char *stranger_in_facts(const struct sg_event *event)
{
    const json_t *facts = event->facts;
    const char *found = NULL;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i].type, event->type) == 0)
            found = stranger_in(facts, forms[i].members);
    if (!found)
        found = stranger(json_object_get(facts, "clock"), " boot_id:T boottime_ms:i ");
    if (!found)
        found = stranger(json_object_get(facts, "budget"), BUDGET);
    if (!found)
        found = stranger_in_list(json_object_get(facts, "metrics"), " name:t value:R split:t released:t ");
    if (!found)
        found = stranger_in_list(json_object_get(facts, "artifacts"), " name:t sha256:d bytes:i ");
    return found ? found : stranger_in_curves(json_object_get(facts, "curves"));
}

static const char *stranger_around(const struct sg_event *event)
{
    const json_t *predicate = json_object_get(event->statement, "predicate"), *subjects;
    const char *found = stranger(event->statement,
                                 " _type:t subject:l predicateType:t predicate:o type:t "); /* type: ours, see leaf.c */
    if (!found)
        found = stranger(predicate, " origin:t seq:i event_id:t time:t time_ms:s prev:d by:o facts:o ");
    if (!found)
        found = stranger(json_object_get(predicate, "by"), " user:t uid:i host:t ");
    subjects = json_object_get(event->statement, "subject");
    return found ? found : stranger_in_list(subjects, " name:t digest:o ");
}

static void check_head(struct sg_check *check, const struct sg_event *event, const char *place)
{
    char time[40];
    const char *said = json_string_value(json_object_get(json_object_get(event->statement, "predicate"), "time"));
    if (event->time_ms < 0 || event->time_ms > INT64_C(253402300799999)) { /* the year 9999 ends */
        sg_check_problem(check, SG_BROKEN, place, "its time is none of a calendar");
        return;
    }
    sg_query_time(event->time_ms, time);
    if (!said || strcmp(said, time) != 0)
        sg_check_problem(check, SG_BROKEN, place, "its time in words is not its time in milliseconds");
    if (!is_hex(event->event_id, 32))
        sg_check_problem(check, SG_BROKEN, place, "its event_id is not 32 hexadecimal digits");
}

/* What registers people as limited has limits that limit; what does not is public. */
static void check_registration(struct sg_check *check, const struct sg_event *event, const char *place)
{
    const json_t *f = event->facts;
    const json_t *limits[] = {json_object_get(f, "epsilon_limit"), json_object_get(f, "delta_limit"),
                              json_object_get(f, "filter_order")};
    bool is_public = json_is_true(json_object_get(f, "public"));
    bool good = true;
    for (int i = 0; i < 3; i++)
        good &= is_public ? json_is_null(limits[i]) : json_is_number(limits[i]);
    double epsilon = json_number_value(limits[0]), delta = json_number_value(limits[1]),
           order = json_number_value(limits[2]);
    if (!good ||
        (!is_public && !(epsilon > 0 && epsilon <= 1000 && delta >= 1e-30 && delta < 1 && order > 1 && order <= 1e6)))
        sg_check_problem(
            check, SG_BROKEN, place,
            "people are registered either as public, without limits, or with an epsilon limit up to 1000, a delta "
            "limit from 1e-30 to below 1 and a filter order above 1");
    if (json_integer_value(json_object_get(f, "population_size")) < 1)
        sg_check_problem(check, SG_BROKEN, place, "its population_size is not above 0");
    if (!json_object_get(f, "retention_class") != !json_object_get(f, "retain_until_ms"))
        sg_check_problem(check, SG_BROKEN, place,
                         "it has one of retention_class and retain_until_ms without the other");
}

/* Why a run ended is said exactly where it did not complete; what an erasure destroys is one thing. */
static void check_words(struct sg_check *check, const struct sg_event *event, const char *place)
{
    const char *destroyed = json_string_value(json_object_get(event->facts, "destroyed"));
    bool is_complete_run = strcmp(event->type, "run.complete") == 0;
    bool is_end = is_complete_run || strcmp(event->type, "run.fail") == 0 || strcmp(event->type, "run.abort") == 0;
    if (is_end && json_is_null(json_object_get(event->facts, "reason")) != is_complete_run)
        sg_check_problem(check, SG_BROKEN, place, "a run that completed has no reason, any other one has");
    if (strcmp(event->type, "dataset.erase") == 0 && (!destroyed || strcmp(destroyed, "dataset_key") != 0))
        sg_check_problem(check, SG_BROKEN, place, "it does not say that the dataset's key was destroyed");
}

void sg_check_facts(struct sg_check *check, const struct sg_event *event, const char *place)
{
    const char *found = stranger_around(event);
    if (!found)
        found = stranger_in_facts(event);
    if (found)
        sg_check_problem(check, SG_BROKEN, place, "it holds what no event of its type has: %.40s", found);
    check_head(check, event, place);
    check_words(check, event, place);
    if (strcmp(event->type, "dataset.register") == 0)
        check_registration(check, event, place);
}
