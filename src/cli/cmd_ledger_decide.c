/* sealgrad ledger approve, deploy, retire, erase: what people decide after a run. */
#include <stdio.h>
#include <string.h>

#include "audit/ledger.h"
#include "cmd_ledger.h"
#include "options.h"
#include "parse_time.h"
#include "print_rows.h"

struct writer {
    const char *key, *unlock;
    struct sg_signer *signer;
    struct sg_ledger *ledger;
};

static enum sg_status open_writer(struct writer *w, const char *path)
{
    SG_TRY(sg_signer_open(w->key, w->unlock, &w->signer));
    return sg_ledger_open(path, w->signer, &w->ledger);
}

/* Says where the event stands. */
static void say(const struct writer *w, const char *what, const char *subject, bool json)
{
    int64_t size;
    uint8_t root[SG_DIGEST_BYTES];
    sg_ledger_head(w->ledger, &size, root);
    if (json) {
        json_t *object =
            json_pack("{s:s, s:s, s:I}", "recorded", what, "subject", subject, "leaf", (json_int_t)(size - 1));
        sg_print_json(object);
        json_decref(object);
    } else {
        printf("recorded     %s, %s, leaf %lld\n", what, subject, (long long)(size - 1));
    }
}

static void close_writer(struct writer *w)
{
    sg_ledger_close(&w->ledger);
    sg_signer_close(&w->signer);
}

enum sg_status sg_ledger_verb_decide(int argc, char **argv)
{
    struct writer w = {0};
    struct sg_decision decision = {0};
    const char *positional[2], *expires = NULL;
    char name[32], kind[32];
    bool json = false;
    snprintf(name, sizeof name, "ledger %s", argv[0]);
    snprintf(kind, sizeof kind, "model.%s", argv[0]);
    const struct sg_option options[] = {
        {.name = "key",
         .type = SG_OPTION_TEXT,
         .value = &w.key,
         .argument = "KEY",
         .help = "a signing key of the ledger",
         .required = true},
        {.name = "unlock-file",
         .type = SG_OPTION_TEXT,
         .value = &w.unlock,
         .argument = "FILE",
         .help = "its first line is the key's passphrase"},
        {.name = "role",
         .type = SG_OPTION_TEXT,
         .value = &decision.role,
         .argument = "TEXT",
         .help = "in which role, e.g. model validation"},
        {.name = "reason",
         .type = SG_OPTION_TEXT,
         .value = &decision.reason,
         .argument = "TEXT",
         .help = "why, with a reference; never about single people"},
        {.name = "expires", .type = SG_OPTION_TEXT, .value = &expires, .argument = "DATE", .help = "until when, UTC"},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = name,
        .summary = "record a decision about a model, by who runs this command",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE MODEL|RUN",
        .positional_min = 2,
        .positional_max = 2,
    };
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    SG_TRY(sg_parse_time("expires", expires, &decision.expires_ms));
    decision.kind = kind;
    decision.model = positional[1];
    enum sg_status status = open_writer(&w, positional[0]);
    if (status == SG_OK)
        status = sg_ledger_decide(w.ledger, &decision);
    if (status == SG_OK)
        say(&w, kind, positional[1], json);
    close_writer(&w);
    return status;
}

enum sg_status sg_ledger_verb_erase(int argc, char **argv)
{
    struct writer w = {0};
    const char *positional[2], *basis = NULL;
    bool json = false;
    const struct sg_option options[] = {
        {.name = "key",
         .type = SG_OPTION_TEXT,
         .value = &w.key,
         .argument = "KEY",
         .help = "a signing key of the ledger",
         .required = true},
        {.name = "unlock-file",
         .type = SG_OPTION_TEXT,
         .value = &w.unlock,
         .argument = "FILE",
         .help = "its first line is the key's passphrase"},
        {.name = "basis",
         .type = SG_OPTION_TEXT,
         .value = &basis,
         .argument = "TEXT",
         .help = "on which ground, e.g. retention period over",
         .required = true},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "ledger erase",
        .summary = "destroy a dataset's key: its commitment can no longer be tried against guesses",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE DATASET",
        .positional_min = 2,
        .positional_max = 2,
        .details = "No run can use the dataset afterwards. Backups of the side storage (FILE.side.db) must be "
                   "destroyed as well.\n",
    };
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    enum sg_status status = open_writer(&w, positional[0]);
    if (status == SG_OK)
        status = sg_ledger_erase_dataset(w.ledger, positional[1], basis);
    if (status == SG_OK)
        say(&w, "dataset.erase", positional[1], json);
    close_writer(&w);
    return status;
}
