/* sealgrad ledger retention, erase: how long what is kept, and its end. */

#include "audit/query.h"
#include "cmd_ledger.h"
#include "ledger_writer.h"
#include "options.h"
#include "parse_time.h"
#include "print_rows.h"

enum sg_status sg_ledger_verb_erase(int argc, char **argv)
{
    struct sg_ledger_writer w = {0};
    const char *positional[2], *basis = NULL, *file = NULL, *key = NULL, *unlock = NULL;
    bool json = false;
    const struct sg_option options[] = {
        {"key", SG_OPTION_TEXT, &key, "KEY", "a signing key of the ledger", 0, 0, true},
        {"unlock-file", SG_OPTION_TEXT, &unlock, "FILE", "its first line is the key's passphrase", 0, 0, false},
        {"basis", SG_OPTION_TEXT, &basis, "TEXT", "on which ground, e.g. retention period over", 0, 0, true},
        {"file", SG_OPTION_TEXT, &file, "MODEL", "a run's model file, to be destroyed; the subject is the run", 0, 0,
         false},
        {"json", SG_OPTION_FLAG, &json, NULL, "one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {
        .name = "ledger erase",
        .summary =
            "destroy a dataset's key (its commitment can no longer be tried against guesses) or a run's model file",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE DATASET|RUN",
        .positional_min = 2,
        .positional_max = 2,
        .details =
            "No run can use the dataset afterwards. Backups of the side storage (FILE.side.db) and copies of the "
            "model must be\ndestroyed as well. Every proof still verifies.\n",
    };
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    enum sg_status status = sg_ledger_writer_open(&w, positional[0], key, unlock);
    if (status == SG_OK)
        status = file ? sg_ledger_erase_run(w.ledger, positional[1], file, basis)
                      : sg_ledger_erase_dataset(w.ledger, positional[1], basis);
    if (status == SG_OK)
        sg_ledger_writer_say(&w, file ? "run.erase" : "dataset.erase", positional[1], json);
    sg_ledger_writer_close(&w);
    return status;
}

enum sg_status sg_ledger_verb_retention(int argc, char **argv)
{
    const char *path, *at = NULL, *format = NULL;
    bool due = false, json = false;
    int64_t at_ms;
    json_t *rows = NULL;
    struct sg_ledger *ledger = NULL;
    const struct sg_option options[] = {
        {"due", SG_OPTION_FLAG, &due, NULL, "only what is due for erasure", 0, 0, false},
        {"at", SG_OPTION_TEXT, &at, "DATE", "due on that date, UTC (default: now)", 0, 0, false},
        {"format", SG_OPTION_TEXT, &format, "FORMAT", "table, csv, json or html", 0, 0, false},
        {"json", SG_OPTION_FLAG, &json, NULL, "one JSON object a line", 0, 0, false},
    };
    const struct sg_command_line line = {
        .name = "ledger retention",
        .summary = "how long data and models may be kept (dataset register --retain-until; run: retain_until)",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
    };
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    SG_TRY(sg_parse_time("at", at, &at_ms));
    if (at && !due)
        return sg_fail(SG_USAGE, "ledger retention: --at goes with --due");
    SG_TRY(sg_ledger_open_read(path, &ledger));
    enum sg_status status = sg_query_view(ledger, due ? "due" : "retention", due ? at : NULL, &rows);
    if (status == SG_OK)
        status = sg_ledger_print_answer(ledger, due ? "due" : "retention", rows, json ? "json" : format,
                                        due ? "due for erasure" : "retention");
    json_decref(rows);
    sg_ledger_close(&ledger);
    return status;
}
