/* sealgrad ledger backup, compact: the whole file, through SQLite. */
#include <stdio.h>

#include "audit/evidence.h"
#include "cmd_ledger.h"
#include "options.h"
#include "print_rows.h"

enum sg_status sg_ledger_verb_backup(int argc, char **argv)
{
    const char *path, *out = NULL;
    const struct sg_option options[] = {
        {.name = "out",
         .type = SG_OPTION_TEXT,
         .value = &out,
         .argument = "FILE",
         .help = "the new copy",
         .required = true},
    };
    const struct sg_command_line line = {
        .name = "ledger backup",
        .summary = "a consistent copy, while others may be writing",
        .options = options,
        .n_options = 1,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
        .details = "The side storage (FILE.side.db, with the datasets' keys) is not copied: keep it separately, it is "
                   "secret.\n",
    };
    struct sg_ledger *ledger = NULL;
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    SG_TRY(sg_ledger_open_read(path, &ledger));
    enum sg_status status = sg_evidence_backup(ledger, out);
    sg_ledger_close(&ledger);
    return status;
}

enum sg_status sg_ledger_verb_compact(int argc, char **argv)
{
    const char *path, *trust_path = NULL;
    bool json = false;
    const struct sg_option options[] = {
        {.name = "trust",
         .type = SG_OPTION_TEXT,
         .value = &trust_path,
         .argument = "KEY|POLICY",
         .help = "public key file or policy: the ledger must be that key's"},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "ledger compact",
        .summary = "the same rows in fewer pages; what was erased does not stay in free ones",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
        .details = "Needs no key, and as much free disk as the ledger takes. Writers and readers wait, or keep it "
                   "waiting.\nThe ledger is verified first, compared row by row, and replaced in one transaction.\n",
    };
    struct sg_trust trust;
    struct sg_compaction done;
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    if (trust_path)
        SG_TRY(sg_trust_read(trust_path, &trust));
    SG_TRY(sg_evidence_compact(path, trust_path ? &trust : NULL, &done));
    if (json) {
        json_t *object = json_pack("{s:I, s:I, s:s}", "bytes_before", (json_int_t)done.bytes_before, "bytes_after",
                                   (json_int_t)done.bytes_after, "sentence", done.sentence);
        sg_print_json(object);
        json_decref(object);
    } else {
        printf("compacted    %lld bytes, before %lld; every row is as it was\n%s\n", (long long)done.bytes_after,
               (long long)done.bytes_before, done.sentence);
    }
    return SG_OK;
}
