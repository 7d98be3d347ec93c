/* sealgrad budget: what has been spent on a population, by whom, and what is left. */
#include <stdio.h>

#include "audit/query.h"
#include "commands.h"
#include "figure.h"
#include "options.h"
#include "print_rows.h"

static double real_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}
static long long whole_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_programmes(const json_t *programmes)
{
    size_t i;
    const json_t *p;
    json_array_foreach(programmes, i, p)
        printf("programme      %s: %lld of %lld runs drawn; all of them cost epsilon %s, delta %s\n",
               json_string_value(json_object_get(p, "programme_id")), whole_of(p, "drawn"), whole_of(p, "runs"),
               figure_fixed_up(real_of(p, "epsilon"), 4).text, figure_up(real_of(p, "delta"), 3).text);
}

static enum sg_status print_budget(const json_t *o)
{
    printf("population     %s\n", json_string_value(json_object_get(o, "population")));
    if (!json_is_true(json_object_get(o, "limited"))) {
        printf("limit          none: registered as public\n");
    } else {
        printf("limit          epsilon %.4f, delta %.3g, for life\n", real_of(o, "epsilon_limit"),
               real_of(o, "delta_limit"));
        printf("spent          epsilon %s, delta %s; %lld runs began (%lld not ended)\n",
               figure_fixed_up(real_of(o, "epsilon_spent"), 4).text, figure_up(real_of(o, "delta_spent"), 3).text,
               whole_of(o, "runs"), whole_of(o, "open_runs"));
        printf("left           epsilon %s", figure_fixed_down(real_of(o, "epsilon_left"), 4).text);
        if (json_is_integer(json_object_get(o, "more_runs_like_last")))
            printf("; %lld more runs like the last one fit", whole_of(o, "more_runs_like_last"));
        printf("\nrule           one run or programme: its certified epsilon; several: Renyi filter at order %g, fixed "
               "at registration\n",
               real_of(o, "filter_order"));
        if (json_array_size(json_object_get(o, "by")) > 0 && json_is_real(json_object_get(o, "epsilon_as_if_fixed")))
            printf("as if fixed    epsilon %s, delta %.3g, had all of it been fixed in advance; enforces nothing\n",
                   figure_fixed_up(real_of(o, "epsilon_as_if_fixed"), 4).text, real_of(o, "delta_limit"));
        print_programmes(json_object_get(o, "programmes"));
    }
    if (json_array_size(json_object_get(o, "by")) == 0)
        return SG_OK;
    puts("");
    return sg_print_rows(json_object_get(o, "by"), "table", "charges");
}

enum sg_status sg_cmd_budget(int argc, char **argv)
{
    const char *path = NULL, *population;
    bool json = false;
    const struct sg_option options[] = {
        {.name = "ledger",
         .type = SG_OPTION_TEXT,
         .value = &path,
         .argument = "FILE",
         .help = "the ledger",
         .required = true},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "budget",
        .summary = "privacy spent on a population, by whom, and what is left",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "POPULATION",
        .positional_min = 1,
        .positional_max = 1,
    };
    struct sg_ledger *ledger = NULL;
    json_t *object = NULL;
    SG_TRY(sg_options_parse(&line, argc, argv, &population, NULL));
    SG_TRY(sg_ledger_open_read(path, &ledger));
    enum sg_status status = sg_query_budget(ledger, population, &object);
    if (status == SG_OK && json)
        sg_print_json(object);
    else if (status == SG_OK)
        status = print_budget(object);
    json_decref(object);
    sg_ledger_close(&ledger);
    return status;
}
