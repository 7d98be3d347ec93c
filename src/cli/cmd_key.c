/* sealgrad key add|rotate|revoke: which keys may write to a ledger. */
#include <stdio.h>
#include <string.h>

#include "audit/key.h"
#include "audit/trust.h"
#include "commands.h"
#include "options.h"
#include "parse_time.h"
#include "print_rows.h"

/* A .pub file holds one vkey. */
static enum sg_status read_public(const char *path, struct sg_vkey *out)
{
    struct sg_trust trust;
    if (!path)
        return SG_OK;
    SG_TRY(sg_trust_read(path, &trust));
    if (trust.is_policy)
        return sg_fail(SG_USAGE, "%s: expected a public key (.pub), this is a policy", path);
    *out = trust.logs[0];
    return SG_OK;
}

static enum sg_status change(const char *path, const char *root_key, const char *unlock, const struct sg_vkey *add,
                             const struct sg_vkey *revoke, int64_t since_ms, bool json)
{
    struct sg_signer *signer = NULL;
    struct sg_ledger *ledger = NULL;
    int64_t size = 0;
    uint8_t root[SG_DIGEST_BYTES];
    enum sg_status status = sg_signer_open(root_key, unlock, &signer);
    if (status == SG_OK)
        status = sg_ledger_open(path, signer, &ledger);
    if (status == SG_OK)
        status = sg_ledger_change_keys(ledger, add, revoke, since_ms);
    if (status == SG_OK)
        sg_ledger_head(ledger, &size, root);
    if (status == SG_OK && json) {
        json_t *object = json_pack("{s:s?, s:s?, s:I}", "added", add ? add->name : NULL, "revoked",
                                   revoke ? revoke->name : NULL, "size", (json_int_t)size);
        sg_print_json(object);
        json_decref(object);
    } else if (status == SG_OK) {
        if (add)
            printf("added        %s: it may write from now on\n", add->name);
        if (revoke)
            printf("revoked      %s: it may not write any more\n", revoke->name);
    }
    sg_ledger_close(&ledger);
    sg_signer_close(&signer);
    return status;
}

enum sg_status sg_cmd_key(int argc, char **argv)
{
    const char *ledger = NULL, *root_key = NULL, *unlock = NULL, *add = NULL, *revoke = NULL, *since = NULL, *verb;
    bool json = false;
    const struct sg_option options[] = {
        {.name = "ledger",
         .type = SG_OPTION_TEXT,
         .value = &ledger,
         .argument = "FILE",
         .help = "the ledger",
         .required = true},
        {.name = "root-key",
         .type = SG_OPTION_TEXT,
         .value = &root_key,
         .argument = "KEY",
         .help = "the key the ledger was made with",
         .required = true},
        {.name = "unlock-file",
         .type = SG_OPTION_TEXT,
         .value = &unlock,
         .argument = "FILE",
         .help = "its first line is the root key's passphrase"},
        {.name = "new",
         .type = SG_OPTION_TEXT,
         .value = &add,
         .argument = "PUB",
         .help = "add, rotate: the new key's .pub file"},
        {.name = "old",
         .type = SG_OPTION_TEXT,
         .value = &revoke,
         .argument = "PUB",
         .help = "rotate, revoke: the old key's .pub file"},
        {.name = "compromised-since",
         .type = SG_OPTION_TEXT,
         .value = &since,
         .argument = "TIME",
         .help = "revoke: what it signed since then is suspect"},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "key",
        .summary = "change which keys may write to a ledger",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "add|rotate|revoke",
        .positional_min = 1,
        .positional_max = 1,
        .details = "Keep the root key offline: it signs the genesis event and changes of keys; daily work uses a key "
                   "that it added.\n",
    };
    struct sg_vkey new_key, old_key;
    int64_t since_ms;
    SG_TRY(sg_options_parse(&line, argc, argv, &verb, NULL));
    bool wants_new = strcmp(verb, "add") == 0 || strcmp(verb, "rotate") == 0;
    bool wants_old = strcmp(verb, "revoke") == 0 || strcmp(verb, "rotate") == 0;
    if (!wants_new && !wants_old)
        return sg_fail(SG_USAGE, "key: say add, rotate or revoke");
    if (wants_new != !!add || wants_old != !!revoke)
        return sg_fail(SG_USAGE, "key %s takes %s%s%s", verb, wants_new ? "--new PUB" : "",
                       wants_new && wants_old ? " and " : "", wants_old ? "--old PUB" : "");
    SG_TRY(sg_parse_time("compromised-since", since, &since_ms));
    SG_TRY(read_public(add, &new_key));
    SG_TRY(read_public(revoke, &old_key));
    return change(ledger, root_key, unlock, add ? &new_key : NULL, revoke ? &old_key : NULL, since_ms, json);
}
