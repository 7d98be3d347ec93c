/* sealgrad ledger report FILE annex-iv|mrm|dora [MODEL]: what evidence there is for each provision, and what is
 * missing. */
#include <stdio.h>
#include <stdlib.h>

#include "audit/pack.h"
#include "base/file.h"
#include "cmd_ledger.h"
#include "options.h"

struct flags {
    const char *trust, *out;
    bool html, json;
};

static enum sg_status give_out(const struct flags *flags, const json_t *pack)
{
    struct sg_buffer text = {0};
    enum sg_status status = SG_OK;
    if (flags->json) {
        sg_json_dump(pack, &text);
        sg_buffer_text(&text, "\n");
    } else if (flags->html) {
        sg_pack_html(pack, &text);
    } else {
        sg_pack_markdown(pack, &text);
    }
    if (flags->out)
        status = sg_file_write(flags->out, text.data, text.len, 0644);
    else
        fwrite(text.data, 1, text.len, stdout);
    sg_buffer_free(&text);
    return status;
}

static enum sg_status verb_pack(int argc, char **argv)
{
    const char *positional[3] = {NULL, NULL, NULL};
    struct flags f = {0};
    const struct sg_option options[] = {
        {.name = "trust",
         .type = SG_OPTION_TEXT,
         .value = &f.trust,
         .argument = "KEY|POLICY",
         .help = "as for verify, whose verdict heads the pack"},
        {.name = "out",
         .type = SG_OPTION_TEXT,
         .value = &f.out,
         .argument = "FILE",
         .help = "write it there, not on stdout"},
        {.name = "html", .type = SG_OPTION_FLAG, .value = &f.html, .help = "one self-contained HTML page"},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &f.json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "ledger report",
        .summary = "what evidence the ledger holds for each provision of a rule book, and what is missing (Markdown)",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE annex-iv|mrm|dora [MODEL]",
        .positional_min = 2,
        .positional_max = 3,
        .details = "MODEL: the SHA-256 of its file, or its run; by default the one model in use. Not legal advice.\n",
    };
    struct sg_ledger *ledger = NULL;
    json_t *pack = NULL;
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    if (f.html && f.json)
        return sg_fail(SG_USAGE, "ledger report: --html and --json exclude each other");
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    enum sg_status status = sg_ledger_verify_first(positional[0], f.trust, "no pack is made", verdict);
    if (status == SG_OK)
        status = sg_ledger_open_read(positional[0], &ledger);
    if (status == SG_OK)
        status = sg_pack_build(ledger, verdict, positional[1], positional[2], &pack);
    if (status == SG_OK)
        status = give_out(&f, pack);
    json_decref(pack);
    sg_ledger_close(&ledger);
    free(verdict);
    return status;
}

enum sg_status sg_ledger_verb_report_or_pack(int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        if (sg_pack_exists(argv[i]))
            return verb_pack(argc, argv);
    return sg_ledger_verb_report(argc, argv);
}
