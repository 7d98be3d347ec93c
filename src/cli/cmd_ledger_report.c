/* sealgrad ledger report: a page for people. */
#include <stdio.h>
#include <stdlib.h>

#include "audit/report.h"
#include "base/file.h"
#include "cmd_ledger.h"
#include "options.h"

enum sg_status sg_ledger_verb_report(int argc, char **argv)
{
    const char *positional[2] = {NULL, NULL}, *trust_path = NULL, *out = NULL;
    bool html = false;
    struct sg_verify_options how = {.allow_unwitnessed = true, .allow_self_trust = true};
    const struct sg_option options[] = {
        {.name = "trust",
         .type = SG_OPTION_TEXT,
         .value = &trust_path,
         .argument = "KEY|POLICY",
         .help = "as for verify, whose verdict heads the page"},
        {.name = "out",
         .type = SG_OPTION_TEXT,
         .value = &out,
         .argument = "FILE",
         .help = "write it there, not on stdout"},
        {.name = "html",
         .type = SG_OPTION_FLAG,
         .value = &html,
         .help = "one self-contained HTML page (the only format)"},
    };
    const struct sg_command_line line = {
        .name = "ledger report",
        .summary = "one page about a run, model, dataset or population, or the whole ledger",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE [SUBJECT]",
        .positional_min = 1,
        .positional_max = 2,
    };
    struct sg_trust trust;
    struct sg_ledger *ledger = NULL;
    struct sg_buffer page = {0};
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    if (trust_path) {
        SG_TRY(sg_trust_read(trust_path, &trust));
        how.trust = &trust;
    }
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    enum sg_status status = sg_verify_file(positional[0], &how, verdict);
    if (status == SG_OK)
        status = sg_ledger_open_read(positional[0], &ledger);
    if (status == SG_OK)
        status = sg_report_html(ledger, verdict, positional[1], &page);
    if (status == SG_OK && out)
        status = sg_file_write(out, page.data, page.len, 0644);
    else if (status == SG_OK)
        fwrite(page.data, 1, page.len, stdout);
    sg_buffer_free(&page);
    sg_ledger_close(&ledger);
    free(verdict);
    return status;
}
