<<<<<<< HEAD
/* sealgrad ledger export: the ledger in other programs' formats, and the evidence for one run without the others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/export.h"
#include "cmd_ledger.h"
#include "options.h"
#include "print_rows.h"

struct flags {
    const char *format, *run, *out, *trust;
    bool evidence, json;
};

enum sg_status sg_ledger_verify_first(const char *path, const char *trust_path, const char *what,
                                      struct sg_verdict *verdict)
{
    struct sg_trust trust;
    struct sg_verify_options how = {.allow_unwitnessed = true, .allow_self_trust = true};
    if (trust_path) {
        SG_TRY(sg_trust_read(trust_path, &trust));
        how.trust = &trust;
    }
    SG_TRY(sg_verify_file(path, &how, verdict));
    if (verdict->status == SG_BROKEN)
        return sg_fail(SG_BROKEN, "%s: %s from a broken ledger (%s: %s); sealgrad ledger verify lists everything", path,
                       what, verdict->n_listed ? verdict->problems[0].place : "file",
                       verdict->n_listed ? verdict->problems[0].text : "it does not verify");
    sg_error_clear();
    return SG_OK;
}

/* Datasette serves a file under its name without the last extension. */
static char *database_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = sg_strdup(slash ? slash + 1 : path), *dot = strrchr(name, '.');
    if (dot && dot > name)
        *dot = 0;
    return name;
}

static enum sg_status export(const struct flags *flags, const char *path) {
    struct sg_ledger *ledger = NULL; struct sg_export_result result = {0};
    const char *format = flags->evidence ? "evidence" : flags->format; SG_TRY(sg_ledger_open_read(path, &ledger));
    char *database = database_name(path);
    enum sg_status status = sg_export_write(ledger, format, flags->run, database, flags->out, &result); free(database);
    sg_ledger_close(&ledger);
    if (status == SG_OK && flags->json){json_t *object = json_pack("{s:s, s:s, s:I}", "format", format, "out",
                                                                   flags->out, "files", (json_int_t)result.n_files);
                                        sg_print_json(object); json_decref(object);}
else if (status == SG_OK)
{
    printf("exported     %s, %lld file%s in %s\n", format, (long long)result.n_files, result.n_files == 1 ? "" : "s",
           flags->out);
}
return status;
}

static void list_formats(struct sg_buffer *out)
{
    sg_buffer_text(out, "formats:\n");
    for (size_t i = 0; i < sg_n_export_formats; i++)
        sg_buffer_printf(out, "  %-12s %s\n", sg_export_formats[i].name, sg_export_formats[i].what);
    sg_buffer_text(out, "The ledger is verified first: nothing is exported from a broken one.\n");
}

enum sg_status sg_ledger_verb_export(int argc, char **argv)
{
    const char *path;
    struct flags f = {0};
    const struct sg_option options[] = {
        {.name = "format",
         .type = SG_OPTION_TEXT,
         .value = &f.format,
         .argument = "FORMAT",
         .help = "one of those below"},
        {.name = "out",
         .type = SG_OPTION_TEXT,
         .value = &f.out,
         .argument = "DIR",
         .help = "a new folder; it is there whole or not at all",
         .required = true},
        {.name = "run",
         .type = SG_OPTION_TEXT,
         .value = &f.run,
         .argument = "RUN",
         .help = "only this run, by id or number"},
        {.name = "evidence",
         .type = SG_OPTION_FLAG,
         .value = &f.evidence,
         .help = "proofs for one run without the others, with how to check them"},
        {.name = "trust",
         .type = SG_OPTION_TEXT,
         .value = &f.trust,
         .argument = "KEY|POLICY",
         .help = "as for verify, which runs first"},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &f.json, .help = "one JSON object"},
    };
    struct sg_buffer details = {0};
    list_formats(&details);
    const struct sg_command_line line = {
        .name = "ledger export",
        .summary = "the ledger in other programs' formats, or the evidence for one run without the others",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
        .details = details.data,
    };
    enum sg_status status = sg_options_parse(&line, argc, argv, &path, NULL);
    sg_buffer_free(&details);
    SG_TRY(status);
    if (!f.evidence == !f.format)
        return sg_fail(SG_USAGE, "ledger export: give either --format FORMAT or --evidence --run RUN");
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    status = sg_ledger_verify_first(path, f.trust, "nothing is exported", verdict);
    free(verdict);
    SG_TRY(status);
    return export(&f, path);
=======
/* sealgrad ledger export: one run's evidence without the others, or every answer of the ledger as JSON lines. */
#include <stdlib.h>
#include <string.h>

#include "audit/evidence.h"
#include "audit/query.h"
#include "base/file.h"
#include "cmd_ledger.h"
#include "options.h"

static enum sg_status write_in(const char *folder, const char *name, const struct sg_buffer *text)
{
    char *path = sg_path_join(folder, name);
    enum sg_status status = sg_file_exists(path)
                                ? sg_fail(SG_USAGE, "%s exists already: export into a new folder", path)
                                : sg_file_write(path, text->data ? text->data : "", text->len, 0644);
    free(path);
    return status;
}

static enum sg_status write_proof(struct sg_ledger *ledger, const json_t *seq, const char *folder, const char *name)
{
    struct sg_buffer text = {0};
    if (!json_is_integer(seq)) /* an open run has no end */
        return SG_OK;
    enum sg_status status = sg_evidence_proof(ledger, json_integer_value(seq), &text);
    if (status == SG_OK)
        status = write_in(folder, name, &text);
    sg_buffer_free(&text);
    return status;
}

/* The leaf that registered the run's dataset. */
static enum sg_status write_dataset_proof(struct sg_ledger *ledger, const json_t *run, const char *folder)
{
    const char *name = json_string_value(json_object_get(run, "dataset"));
    json_t *rows = NULL, *one;
    size_t i;
    SG_TRY(sg_query_view(ledger, "datasets", NULL, &rows));
    enum sg_status status = SG_OK;
    json_array_foreach(rows, i, one)
    {
        const char *other = json_string_value(json_object_get(one, "name"));
        if (status == SG_OK && name && other && strcmp(name, other) == 0)
            status = write_proof(ledger, json_object_get(one, "leaf"), folder, "dataset.proof");
    }
    json_decref(rows);
    return status;
}

static enum sg_status export_run(struct sg_ledger *ledger, const char *run, const char *folder)
{
    json_t *show = NULL, *first = json_integer(0);
    struct sg_buffer text = {0};
    enum sg_status status = sg_query_show(ledger, run, &show);
    const json_t *row = json_object_get(show, "run");
    if (status == SG_OK)
        status = sg_folder_make(folder);
    if (status == SG_OK)
        status = write_proof(ledger, first, folder, "genesis.proof");
    if (status == SG_OK)
        status = write_dataset_proof(ledger, row, folder);
    if (status == SG_OK)
        status = write_proof(ledger, json_object_get(row, "start_leaf"), folder, "start.proof");
    if (status == SG_OK)
        status = write_proof(ledger, json_object_get(row, "end_leaf"), folder, "end.proof");
    if (status == SG_OK) {
        sg_json_dump(show, &text);
        sg_buffer_text(&text, "\n");
        status = write_in(folder, "run.json", &text);
    }
    sg_buffer_free(&text);
    json_decref(first);
    json_decref(show);
    return status;
}

static enum sg_status export_view(struct sg_ledger *ledger, const char *view, const char *folder)
{
    json_t *rows = NULL, *one;
    struct sg_buffer text = {0};
    size_t i;
    SG_TRY(sg_query_view(ledger, view, NULL, &rows));
    json_array_foreach(rows, i, one)
    {
        sg_json_dump(one, &text);
        sg_buffer_text(&text, "\n");
    }
    char *name = sg_format("%s.jsonl", view);
    enum sg_status status = write_in(folder, name, &text);
    free(name);
    sg_buffer_free(&text);
    json_decref(rows);
    return status;
}

static enum sg_status export_all(struct sg_ledger *ledger, const char *folder)
{
    SG_TRY(sg_folder_make(folder));
    for (size_t i = 0; i < sg_n_views; i++)
        if (!sg_views[i].subject || sg_views[i].subject[0] == '[')
            SG_TRY(export_view(ledger, sg_views[i].name, folder));
    return SG_OK;
}

enum sg_status sg_ledger_verb_export(int argc, char **argv)
{
    const char *positional[2] = {NULL, NULL}, *out = NULL;
    const struct sg_option options[] = {
        {.name = "out",
         .type = SG_OPTION_TEXT,
         .value = &out,
         .argument = "DIR",
         .help = "a new folder",
         .required = true},
    };
    const struct sg_command_line line = {
        .name = "ledger export",
        .summary = "one run's evidence without the others, or every list of the ledger as JSON lines",
        .options = options,
        .n_options = 1,
        .positional_help = "FILE [RUN]",
        .positional_min = 1,
        .positional_max = 2,
        .details = "With RUN: genesis.proof, dataset.proof, start.proof and end.proof, each of which sealgrad ledger "
                   "verify checks alone, and\n"
                   "run.json, which repeats them in readable form. The proofs are the evidence.\n",
    };
    struct sg_ledger *ledger = NULL;
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    SG_TRY(sg_ledger_open_read(positional[0], &ledger));
    enum sg_status status = positional[1] ? export_run(ledger, positional[1], out) : export_all(ledger, out);
    sg_ledger_close(&ledger);
    return status;
>>>>>>> audit
}
