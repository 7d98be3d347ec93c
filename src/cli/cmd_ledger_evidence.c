/* sealgrad ledger checkpoint, prove, diff, witness: evidence that leaves the ledger. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/evidence.h"
#include "audit/query.h"
#include "base/file.h"
#include "base/number.h"
#include "cmd_ledger.h"
#include "options.h"
#include "print_rows.h"

/* Into a file, or onto stdout. */
static enum sg_status give_out(const struct sg_buffer *text, const char *path)
{
    if (path)
        return sg_file_write(path, text->data, text->len, 0644);
    fwrite(text->data, 1, text->len, stdout);
    return SG_OK;
}

enum sg_status sg_ledger_verb_checkpoint(int argc, char **argv)
{
    const char *path, *out = NULL;
    int64_t size = 0;
    const struct sg_option options[] = {
        {.name = "size",
         .type = SG_OPTION_INT,
         .value = &size,
         .argument = "N",
         .help = "after N events (the newest)",
         .min = 1,
         .max = 9e18},
        {.name = "out",
         .type = SG_OPTION_TEXT,
         .value = &out,
         .argument = "FILE",
         .help = "write it there, not on stdout"},
    };
    const struct sg_command_line line = {
        .name = "ledger checkpoint",
        .summary = "the signed checkpoint with its cosignatures; keep it for verify --since",
        .options = options,
        .n_options = 2,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
    };
    struct sg_ledger *ledger = NULL;
    struct sg_buffer text = {0};
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    SG_TRY(sg_ledger_open_read(path, &ledger));
    enum sg_status status = sg_evidence_checkpoint(ledger, size, &text);
    if (status == SG_OK)
        status = give_out(&text, out);
    sg_buffer_free(&text);
    sg_ledger_close(&ledger);
    return status;
}

/* leaf:N, or a run: the event that ended it, or began it while it is open. */
static enum sg_status find_leaf(struct sg_ledger *ledger, const char *subject, int64_t *seq)
{
    json_t *object = NULL;
    if (strncmp(subject, "leaf:", 5) == 0)
        return sg_number_int64(subject + 5, strlen(subject + 5), seq)
                   ? SG_OK
                   : sg_fail(SG_USAGE, "ledger prove: leaf:N takes the number of a leaf");
    SG_TRY(sg_query_show(ledger, subject, &object));
    const json_t *run = json_object_get(object, "run"), *end = json_object_get(run, "end_leaf");
    *seq = json_integer_value(json_is_integer(end) ? end : json_object_get(run, "start_leaf"));
    json_decref(object);
    return SG_OK;
}

enum sg_status sg_ledger_verb_prove(int argc, char **argv)
{
    const char *positional[2], *out = NULL;
    const struct sg_option options[] = {
        {.name = "out",
         .type = SG_OPTION_TEXT,
         .value = &out,
         .argument = "FILE",
         .help = "write it there, not on stdout"},
    };
    const struct sg_command_line line = {
        .name = "ledger prove",
        .summary = "a proof file for one run (its last event) or leaf; sealgrad ledger verify checks it alone",
        .options = options,
        .n_options = 1,
        .positional_help = "FILE RUN|leaf:N",
        .positional_min = 2,
        .positional_max = 2,
    };
    struct sg_ledger *ledger = NULL;
    struct sg_buffer text = {0};
    int64_t seq = 0;
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    SG_TRY(sg_ledger_open_read(positional[0], &ledger));
    enum sg_status status = find_leaf(ledger, positional[1], &seq);
    if (status == SG_OK)
        status = sg_evidence_proof(ledger, seq, &text);
    if (status == SG_OK)
        status = give_out(&text, out);
    sg_buffer_free(&text);
    sg_ledger_close(&ledger);
    return status;
}

enum sg_status sg_ledger_verb_diff(int argc, char **argv)
{
    const char *path, *since = NULL, *format = NULL;
    bool json = false;
    const struct sg_option options[] = {
        {.name = "since",
         .type = SG_OPTION_TEXT,
         .value = &since,
         .argument = "CHECKPOINT",
         .help = "a checkpoint you kept",
         .required = true},
        {.name = "format",
         .type = SG_OPTION_TEXT,
         .value = &format,
         .argument = "FORMAT",
         .help = "table, csv, json or html"},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object a line"},
    };
    const struct sg_command_line line = {
        .name = "ledger diff",
        .summary = "what was appended since a checkpoint, after checking that the ledger continues it",
        .options = options,
        .n_options = 3,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
    };
    struct sg_ledger *ledger = NULL;
    struct sg_buffer note = {0};
    json_t *rows = NULL;
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    SG_TRY(sg_file_read(since, "checkpoint", 1 << 16, &note));
    enum sg_status status = sg_ledger_open_read(path, &ledger);
    if (status == SG_OK)
        status = sg_evidence_since(ledger, note.data ? note.data : "", note.len, &rows);
    if (status == SG_OK)
        status = sg_ledger_print_answer(ledger, "events", rows, json ? "json" : format, "events since the checkpoint");
    json_decref(rows);
    sg_buffer_free(&note);
    sg_ledger_close(&ledger);
    return status;
}

/* ---- witness */
struct witness_flags {
    const char *key, *unlock, *state, *trust, *request_to, *sign_to, *add, *policy, *url;
    int64_t old_size;
    bool json;
};

static enum sg_status write_request(const struct witness_flags *flags, const char *path)
{
    struct sg_ledger *ledger = NULL;
    struct sg_buffer text = {0};
    SG_TRY(sg_ledger_open_read(path, &ledger));
    enum sg_status status = sg_evidence_witness_request(ledger, flags->old_size, &text);
    if (status == SG_OK)
        status = sg_file_write(flags->request_to, text.data, text.len, 0644);
    sg_buffer_free(&text);
    sg_ledger_close(&ledger);
    return status;
}

/* A cosignature file is "SIZE\n" and the line, so that it can be stored without guessing. */
static enum sg_status sign_request(const struct witness_flags *flags, const struct sg_signer *witness,
                                   const struct sg_trust *trust, const char *path)
{
    struct sg_buffer request = {0}, line = {0}, text = {0};
    int64_t old_size = 0, size = 0;
    struct sg_note_check check;
    struct sg_checkpoint checkpoint;
    SG_TRY(sg_file_read(path, "witness request", SG_NOTE_BYTES_MAX, &request));
    enum sg_status status = sg_witness_cosign(flags->state, witness, trust, request.data ? request.data : "",
                                              request.len, (int64_t)time(NULL), &old_size, &line);
    const char *note = status == SG_OK ? strstr(request.data, "\n\n") + 2 : NULL;
    if (note && sg_note_verify(note, strlen(note), NULL, 0, &check) == SG_OK &&
        sg_checkpoint_parse(note, check.text_len, &checkpoint) == SG_OK)
        size = checkpoint.size;
    if (status == SG_OK) {
        sg_buffer_printf(&text, "%lld\n%s", (long long)size, line.data);
        status = sg_file_write(flags->sign_to, text.data, text.len, 0644);
    }
    sg_buffer_free(&request);
    sg_buffer_free(&line);
    sg_buffer_free(&text);
    return status;
}

static enum sg_status add_line(const struct witness_flags *flags, const char *path)
{
    struct sg_ledger *ledger = NULL;
    struct sg_buffer text = {0};
    int64_t size = 0;
    SG_TRY(sg_file_read(flags->add, "cosignature", 4096, &text));
    const char *feed = text.data ? strchr(text.data, '\n') : NULL;
    enum sg_status status =
        feed && sg_number_int64(text.data, (size_t)(feed - text.data), &size)
            ? sg_ledger_open(path, NULL, &ledger)
            : sg_fail(SG_USAGE, "%s: not a cosignature file of sealgrad ledger witness --sign-to", flags->add);
    if (status == SG_OK)
        status = sg_evidence_add_cosignature(ledger, size, feed + 1);
    sg_buffer_free(&text);
    sg_ledger_close(&ledger);
    return status;
}

/* A policy for verify --trust: this log, this witness. */
static enum sg_status write_policy(const struct witness_flags *flags, const char *origin,
                                   const struct sg_signer *witness, const struct sg_trust *trust)
{
    struct sg_buffer text = {0};
    struct sg_vkey log, key;
    SG_TRY(sg_vkey_rename(&trust->logs[0], trust->is_policy ? trust->logs[0].name : origin, &log));
    SG_TRY(sg_vkey_cosigner(sg_signer_vkey(witness), &key));
    sg_buffer_text(&text, "log ");
    sg_vkey_print(&log, &text);
    sg_buffer_printf(&text, "\nwitness %s ", key.name);
    sg_vkey_print(&key, &text);
    sg_buffer_printf(&text, "\nquorum %s\n", key.name);
    enum sg_status status = sg_file_write(flags->policy, text.data, text.len, 0644);
    sg_buffer_free(&text);
    return status;
}

static enum sg_status witness_ledger(const struct witness_flags *flags, const struct sg_signer *witness,
                                     const struct sg_trust *trust, const char *path)
{
    struct sg_ledger *ledger = NULL;
    struct sg_buffer text = {0};
    struct sg_note_check check;
    struct sg_checkpoint checkpoint;
    int64_t size = 0;
    SG_TRY(sg_ledger_open(path, NULL, &ledger));
    enum sg_status status = sg_witness_ledger(ledger, flags->state, witness, trust, &size);
    if (status == SG_OK)
        status = sg_evidence_checkpoint(ledger, size, &text);
    if (status == SG_OK)
        status = sg_note_verify(text.data, text.len, NULL, 0, &check);
    if (status == SG_OK)
        status = sg_checkpoint_parse(text.data, check.text_len, &checkpoint);
    if (status == SG_OK && flags->policy)
        status = write_policy(flags, checkpoint.origin, witness, trust);
    if (status == SG_OK && flags->json) {
        json_t *object = json_pack("{s:s, s:I, s:s}", "origin", checkpoint.origin, "size", (json_int_t)size, "witness",
                                   sg_signer_vkey(witness)->name);
        sg_print_json(object);
        json_decref(object);
    } else if (status == SG_OK) {
        printf("witnessed    %s, %lld events, by %s\n", checkpoint.origin, (long long)size,
               sg_signer_vkey(witness)->name);
    }
    sg_buffer_free(&text);
    sg_ledger_close(&ledger);
    return status;
}

static enum sg_status with_key(const struct witness_flags *flags, const char *path)
{
    struct sg_signer *witness = NULL;
    struct sg_trust trust;
    if (!flags->key || !flags->state || !flags->trust)
        return sg_fail(SG_USAGE,
                       "ledger witness: give --witness-key, --state DIR and --trust with the ledger's public key");
    SG_TRY(sg_trust_read(flags->trust, &trust));
    SG_TRY(sg_signer_open(flags->key, flags->unlock, &witness));
    enum sg_status status =
        flags->sign_to ? sign_request(flags, witness, &trust, path) : witness_ledger(flags, witness, &trust, path);
    sg_signer_close(&witness);
    return status;
}

enum sg_status sg_ledger_verb_witness(int argc, char **argv)
{
    struct witness_flags f = {0};
    const char *path;
    const struct sg_option options[] = {
        {.name = "witness-key",
         .type = SG_OPTION_TEXT,
         .value = &f.key,
         .argument = "KEY",
         .help = "the witness's signing key"},
        {.name = "unlock-file",
         .type = SG_OPTION_TEXT,
         .value = &f.unlock,
         .argument = "FILE",
         .help = "its first line is the key's passphrase"},
        {.name = "state",
         .type = SG_OPTION_TEXT,
         .value = &f.state,
         .argument = "DIR",
         .help = "the witness's memory, one file a ledger"},
        {.name = "trust",
         .type = SG_OPTION_TEXT,
         .value = &f.trust,
         .argument = "KEY|POLICY",
         .help = "the ledger's public key, as the witness was told it"},
        {.name = "write-policy",
         .type = SG_OPTION_TEXT,
         .value = &f.policy,
         .argument = "FILE",
         .help = "a policy for verify --trust: this ledger, this witness"},
        {.name = "request-to",
         .type = SG_OPTION_TEXT,
         .value = &f.request_to,
         .argument = "FILE",
         .help = "air gap 1: write the request for the witness"},
        {.name = "old-size",
         .type = SG_OPTION_INT,
         .value = &f.old_size,
         .argument = "N",
         .help = "the size that the witness has seen (0)",
         .min = 0,
         .max = 9e18},
        {.name = "sign-to",
         .type = SG_OPTION_TEXT,
         .value = &f.sign_to,
         .argument = "FILE",
         .help = "air gap 2: FILE is the request; write the cosignature"},
        {.name = "add",
         .type = SG_OPTION_TEXT,
         .value = &f.add,
         .argument = "FILE",
         .help = "air gap 3: store the cosignature in the ledger"},
        {.name = "url",
         .type = SG_OPTION_TEXT,
         .value = &f.url,
         .argument = "URL",
         .help = "ask the witness that serves there; --trust is a policy that names it"},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &f.json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "ledger witness",
        .summary = "a second party remembers how far the ledger went, and signs that it only ever grew",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
        .details = "Run it as another user, or on another machine: a witness that the ledger's owner can rewrite "
                   "proves nothing.\nsealgrad ledger witness serve --help: a witness over HTTP.\n",
    };
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return sg_ledger_verb_witness_serve(argc - 1, argv + 1);
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    if (!!f.request_to + !!f.sign_to + !!f.add + !!f.url > 1)
        return sg_fail(SG_USAGE,
                       "ledger witness: --request-to, --sign-to and --add are three separate steps, and --url "
                       "takes none of them");
    if (f.url)
        return sg_ledger_witness_url(path, f.url, f.trust, f.json);
    if (f.request_to)
        return write_request(&f, path);
    return f.add ? add_line(&f, path) : with_key(&f, path);
}
