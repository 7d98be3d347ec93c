/* sealgrad ledger VERB FILE [SUBJECT]. */
#include "cmd_ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/key.h"
#include "audit/query.h"
#include "base/number.h"
#include "commands.h"
#include "options.h"
#include "parse_time.h"
#include "print_rows.h"

static enum sg_status verb_init(int argc, char **argv)
{
    const char *path, *origin = NULL, *key = NULL, *unlock = NULL;
    bool json = false;
    const struct sg_option options[] = {
        {.name = "origin",
         .type = SG_OPTION_TEXT,
         .value = &origin,
         .argument = "NAME",
         .help = "the ledger's name for life, e.g. bank.example/credit",
         .required = true},
        {.name = "key",
         .type = SG_OPTION_TEXT,
         .value = &key,
         .argument = "KEY",
         .help = "signing key file",
         .required = true},
        {.name = "unlock-file",
         .type = SG_OPTION_TEXT,
         .value = &unlock,
         .argument = "FILE",
         .help = "its first line is the key's passphrase"},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "ledger init",
        .summary = "make a new ledger with its genesis event",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
    };
    struct sg_signer *signer = NULL;
    struct sg_vkey vkey;
    struct sg_buffer text = {0};
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    SG_TRY(sg_signer_open(key, unlock, &signer));
    enum sg_status status = sg_ledger_init(path, origin, signer);
    if (status == SG_OK)
        status = sg_vkey_rename(sg_signer_vkey(signer), origin, &vkey);
    sg_signer_close(&signer);
    SG_TRY(status);
    sg_vkey_print(&vkey, &text);
    if (json) {
        json_t *object =
            json_pack("{s:s, s:s, s:s, s:i}", "ledger", path, "origin", origin, "key", text.data, "size", 1);
        sg_print_json(object);
        json_decref(object);
    } else {
        printf("ledger       %s\norigin       %s\nkey          %s\n", path, origin, text.data);
    }
    sg_buffer_free(&text);
    return SG_OK;
}

enum sg_status sg_ledger_print_answer(struct sg_ledger *ledger, const char *view, const json_t *rows,
                                      const char *format, const char *title)
{
    json_t *columns = NULL;
    if (json_array_size(rows) == 0)
        SG_TRY(sg_query_columns(ledger, view, &columns));
    enum sg_status status = sg_print_rows_of(rows, columns, format, title);
    json_decref(columns);
    return status;
}

struct query_flags {
    struct sg_run_filter filter;
    const char *since, *until, *format, *view;
    bool json;
};

static enum sg_status answer(struct sg_ledger *ledger, struct query_flags *flags, const char *subject)
{
    json_t *rows = NULL;
    SG_TRY(flags->view ? sg_query_view(ledger, flags->view, subject, &rows)
                       : sg_query_runs(ledger, &flags->filter, &rows));
    const char *view = flags->view ? flags->view : "runs";
    enum sg_status status = flags->view ? sg_query_filter(rows, view, &flags->filter) : SG_OK;
    if (status == SG_OK)
        status = sg_ledger_print_answer(ledger, view, rows, flags->json ? "json" : flags->format, view);
    json_decref(rows);
    return status;
}

static enum sg_status run_query(const char *name, const char *summary, int argc, char **argv, bool with_view)
{
    struct query_flags f = {0};
    const char *positional[2] = {NULL, NULL};
    const struct sg_option options[] = {
        {.name = "dataset",
         .type = SG_OPTION_TEXT,
         .value = &f.filter.dataset,
         .argument = "NAME",
         .help = "runs on this dataset"},
        {.name = "population",
         .type = SG_OPTION_TEXT,
         .value = &f.filter.population,
         .argument = "NAME",
         .help = "runs on this population"},
        {.name = "model",
         .type = SG_OPTION_TEXT,
         .value = &f.filter.model,
         .argument = "SHA256",
         .help = "runs that made this file"},
        {.name = "status",
         .type = SG_OPTION_TEXT,
         .value = &f.filter.status,
         .argument = "STATUS",
         .help = "running, complete, failed or aborted"},
        {.name = "actor",
         .type = SG_OPTION_TEXT,
         .value = &f.filter.actor,
         .argument = "USER",
         .help = "runs of this user"},
        {.name = "since",
         .type = SG_OPTION_TEXT,
         .value = &f.since,
         .argument = "DATE",
         .help = "started at or after, UTC"},
        {.name = "until", .type = SG_OPTION_TEXT, .value = &f.until, .argument = "DATE", .help = "started before, UTC"},
        {.name = "limit",
         .type = SG_OPTION_INT,
         .value = &f.filter.limit,
         .argument = "N",
         .help = "at most so many",
         .min = 1,
         .max = 1e9},
        {.name = "violates",
         .type = SG_OPTION_FLAG,
         .value = &f.filter.violates,
         .help = "no privacy, supplied secret, or not completed"},
        {.name = "format",
         .type = SG_OPTION_TEXT,
         .value = &f.format,
         .argument = "FORMAT",
         .help = "table, csv, json or html"},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &f.json, .help = "one JSON object a line"},
        {.name = "view",
         .type = SG_OPTION_TEXT,
         .value = &f.view,
         .argument = "NAME",
         .help = "another question than runs; the list is below"},
    };
    struct sg_buffer details = {0};
    sg_buffer_text(&details, "views:\n");
    for (size_t i = 0; i < sg_n_views; i++)
        sg_buffer_printf(&details, "  %-12s %s%s%s\n", sg_views[i].name, sg_views[i].question,
                         sg_views[i].subject ? "; SUBJECT: " : "", sg_views[i].subject ? sg_views[i].subject : "");
    const struct sg_command_line line = {
        .name = name,
        .summary = summary,
        .options = options,
        .n_options = sizeof options / sizeof *options - (with_view ? 0 : 1),
        .positional_help = with_view ? "FILE [SUBJECT]" : "FILE",
        .positional_min = 1,
        .positional_max = with_view ? 2 : 1,
        .details = with_view ? details.data : NULL,
    };
    enum sg_status status = sg_options_parse(&line, argc, argv, positional, NULL);
    sg_buffer_free(&details);
    SG_TRY(status);
    SG_TRY(sg_parse_time("since", f.since, &f.filter.since_ms));
    SG_TRY(sg_parse_time("until", f.until, &f.filter.until_ms));
    if (positional[1] && !f.view)
        return sg_fail(SG_USAGE, "ledger query: a subject belongs to --view; use --dataset, --model, --actor for runs");
    struct sg_ledger *ledger = NULL;
    SG_TRY(sg_ledger_open_read(positional[0], &ledger));
    status = answer(ledger, &f, positional[1]);
    sg_ledger_close(&ledger);
    return status;
}

static enum sg_status verb_runs(int argc, char **argv)
{
    return run_query("ledger runs", "the runs of a ledger, oldest first", argc, argv, false);
}

static enum sg_status verb_query(int argc, char **argv)
{
    return run_query("ledger query", "answers to an officer's questions, each with its leaf", argc, argv, true);
}

/* ---- show */
static void print_members(const json_t *object, const char *skip)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (skip && strcmp(key, skip) == 0)
            continue;
        char *text = sg_print_cell(value);
        printf("  %-22s %s\n", key, text);
        free(text);
    }
}

static enum sg_status print_list(const char *title, const json_t *rows)
{
    if (json_array_size(rows) == 0)
        return SG_OK;
    printf("\n%s\n", title);
    return sg_print_rows(rows, "table", title);
}

static enum sg_status print_run(const json_t *o)
{
    const json_t *facts = json_object_get(json_object_get(json_object_get(o, "start"), "predicate"), "facts");
    const json_t *budget = json_object_get(facts, "budget");
    printf("run\n");
    print_members(json_object_get(o, "run"), NULL);
    printf("\nplan (as signed)\n");
    print_members(json_object_get(facts, "plan"), NULL);
    if (json_is_object(budget)) {
        printf("\nreservation (as signed)\n");
        print_members(budget, NULL);
    }
    printf("\nhow it was made (as signed)\n");
    static const char *const keys[] = {
        "programme",   "data_commitment", "secret_commitment", "secret_supplied", "code_digest", "binary_digest",
        "environment", "libraries",       "base_model_digest", "show_internal",   "clock"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *value = json_object_get(facts, keys[i]);
        char *text = value ? sg_print_cell(value) : sg_strdup("not recorded");
        printf("  %-22s %s\n", keys[i], text);
        free(text);
    }
    SG_TRY(print_list("settings", json_object_get(o, "params")));
    SG_TRY(print_list("metrics", json_object_get(o, "metrics")));
    return print_list("files", json_object_get(o, "artifacts"));
}

static enum sg_status verb_show(int argc, char **argv)
{
    const char *positional[2];
    bool json = false;
    const struct sg_option options[] = {
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object"}};
    const struct sg_command_line line = {
        .name = "ledger show",
        .summary = "everything recorded about one run, by id or number, or one leaf, by leaf:N",
        .options = options,
        .n_options = 1,
        .positional_help = "FILE RUN",
        .positional_min = 2,
        .positional_max = 2,
    };
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    struct sg_ledger *ledger = NULL;
    json_t *object = NULL;
    int64_t seq;
    bool is_leaf = strncmp(positional[1], "leaf:", 5) == 0;
    if (is_leaf && !sg_number_int64(positional[1] + 5, strlen(positional[1] + 5), &seq))
        return sg_fail(SG_USAGE, "ledger show: leaf:N takes the number of a leaf");
    SG_TRY(sg_ledger_open_read(positional[0], &ledger));
    enum sg_status status =
        is_leaf ? sg_query_leaf(ledger, seq, &object) : sg_query_show(ledger, positional[1], &object);
    if (status == SG_OK && (json || is_leaf))
        sg_print_json(object);
    else if (status == SG_OK)
        status = print_run(object);
    json_decref(object);
    sg_ledger_close(&ledger);
    return status;
}

static const struct sg_command verbs[] = {
    {"init", verb_init, "make a new ledger with its genesis event"},
    {"verify", sg_ledger_verb_verify, "check everything that the ledger can show; the verdict comes first"},
    {"runs", verb_runs, "the runs, with filters"},
    {"show", verb_show, "everything recorded about one run or leaf"},
    {"query", verb_query, "answers to an officer's questions"},
    {"report", sg_ledger_verb_report_or_pack,
     "one page about the ledger, a run, a model or a dataset; packs annex-iv, mrm, dora"},
    {"export", sg_ledger_verb_export, "in other programs' formats, or one run's evidence without the others"},
    {"diff", sg_ledger_verb_diff, "what was appended since a checkpoint you kept"},
    {"prove", sg_ledger_verb_prove, "a proof file for one run, checkable without the ledger"},
    {"checkpoint", sg_ledger_verb_checkpoint, "the signed checkpoint, to keep"},
    {"approve", sg_ledger_verb_decide, "record that a model was approved"},
    {"deploy", sg_ledger_verb_decide, "record that a model went into use"},
    {"retire", sg_ledger_verb_decide, "record that a model went out of use"},
    {"erase", sg_ledger_verb_erase, "destroy a dataset's key or a run's model file, with a record"},
    {"retention", sg_ledger_verb_retention, "how long data and models may be kept, and what is due for erasure"},
    {"reproduce", sg_ledger_verb_reproduce,
     "what a repetition of a run to the bit needs, and whether this program has it"},
    {"witness", sg_ledger_verb_witness, "cosign the ledger as a second party"},
    {"timestamp", sg_ledger_verb_timestamp, "a date from a time stamp authority (RFC 3161)"},
    {"backup", sg_ledger_verb_backup, "a consistent copy"},
    {"compact", sg_ledger_verb_compact, "fewer pages, the same rows; nothing erased stays in free pages"},
};

enum sg_status sg_cmd_ledger(int argc, char **argv)
{
    size_t n = sizeof verbs / sizeof *verbs;
    for (size_t i = 0; argc > 1 && i < n; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "--help") != 0)
        return sg_fail(SG_USAGE, "ledger: there is no verb of that name; sealgrad ledger --help lists them");
    printf("sealgrad ledger: the record of what was trained, by whom, on what, at which cost in privacy\n\n"
           "usage: sealgrad ledger VERB FILE [SUBJECT] [options]; sealgrad ledger VERB --help\n\n");
    for (size_t i = 0; i < n; i++)
        printf("  %-12s %s\n", verbs[i].name, verbs[i].summary);
    if (argc > 1)
        return SG_OK;
    return sg_fail(SG_USAGE, "ledger: name a verb");
}
