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
}
