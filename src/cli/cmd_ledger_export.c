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

static enum sg_status export_ledger(const struct flags *flags, const char *path)
{
    struct sg_ledger *ledger = NULL;
    struct sg_export_result result = {0};
    const char *format = flags->evidence ? "evidence" : flags->format;
    SG_TRY(sg_ledger_open_read(path, &ledger));
    char *database = database_name(path);
    enum sg_status status = sg_export_write(ledger, format, flags->run, database, flags->out, &result);
    free(database);
    sg_ledger_close(&ledger);
    if (status == SG_OK && flags->json) {
        json_t *object =
            json_pack("{s:s, s:s, s:I}", "format", format, "out", flags->out, "files", (json_int_t)result.n_files);
        sg_print_json(object);
        json_decref(object);
    } else if (status == SG_OK) {
        printf("exported     %s, %lld file%s in %s\n", format, (long long)result.n_files,
               result.n_files == 1 ? "" : "s", flags->out);
    }
    return status;
}

/* A run without a format is asked for as evidence. */
static enum sg_status settle(struct flags *flags, const char *run)
{
    if (run && flags->run)
        return sg_fail(SG_USAGE, "ledger export: the run is named twice");
    if (run)
        flags->run = run;
    if (flags->evidence && flags->format)
        return sg_fail(SG_USAGE, "ledger export: give either --format FORMAT or --evidence --run RUN");
    if (!flags->format && !flags->run && !flags->evidence)
        return sg_fail(SG_USAGE, "ledger export: give --format FORMAT, or --run RUN for the evidence of one run");
    flags->evidence = !flags->format;
    return SG_OK;
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
    const char *positional[2] = {NULL, NULL};
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
        .positional_help = "FILE [RUN]",
        .positional_min = 1,
        .positional_max = 2,
        .details = details.data,
    };
    enum sg_status status = sg_options_parse(&line, argc, argv, positional, NULL);
    sg_buffer_free(&details);
    SG_TRY(status);
    SG_TRY(settle(&f, positional[1]));
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    status = sg_ledger_verify_first(positional[0], f.trust, "nothing is exported", verdict);
    free(verdict);
    SG_TRY(status);
    return export_ledger(&f, positional[0]);
}
