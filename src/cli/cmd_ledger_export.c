/* sealgrad ledger export: the ledger in other programs' formats, and the evidence for one run without the others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/export.h"
#include "audit/verify.h"
#include "cmd_ledger.h"
#include "options.h"
#include "print_rows.h"

struct flags {
    const char *format, *run, *out, *trust;
    bool evidence, json;
};

/* Tables are exported as they are, so they are checked first: nothing leaves a ledger that is broken. */
static enum sg_status check_file(const char *path, const char *trust_path)
{
    struct sg_trust trust;
    struct sg_verify_options how = {.allow_unwitnessed = true, .allow_self_trust = true};
    if (trust_path) {
        SG_TRY(sg_trust_read(trust_path, &trust));
        how.trust = &trust;
    }
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    enum sg_status status = sg_verify_file(path, &how, verdict);
    if (status == SG_OK && verdict->status == SG_BROKEN)
        status = sg_fail(SG_BROKEN,
                         "%s: nothing is exported from a broken ledger; sealgrad ledger verify lists what is "
                         "wrong with it",
                         path);
    if (status == SG_OK)
        sg_error_clear();
    free(verdict);
    return status;
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
    SG_TRY(check_file(path, f.trust));
    return export(&f, path);
}
