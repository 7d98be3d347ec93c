/* sealgrad ledger approve, deploy, retire: what people decide after a run, on their word or under their signature. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/sshsig.h"
#include "base/file.h"
#include "cmd_ledger.h"
#include "ledger_writer.h"
#include "options.h"
#include "parse_time.h"

struct flags {
    const char *key, *unlock, *expires, *draft, *document, *signature, *signers;
    bool json;
    struct sg_decision decision;
};

static enum sg_status write_draft(const struct flags *f, const char *path)
{
    struct sg_ledger *ledger = NULL;
    struct sg_buffer text = {0};
    SG_TRY(sg_ledger_open_read(path, &ledger));
    enum sg_status status = sg_ledger_draft(ledger, &f->decision, &text);
    if (status == SG_OK && strcmp(f->draft, "-") != 0)
        status = sg_file_write(f->draft, text.data, text.len, 0644);
    else if (status == SG_OK)
        fwrite(text.data, 1, text.len, stdout);
    if (status == SG_OK && strcmp(f->draft, "-") != 0)
        printf("written      %s\nnow          ssh-keygen -Y sign -n " SG_SSHSIG_NAMESPACE " -f KEY %s\n", f->draft,
               f->draft);
    sg_buffer_free(&text);
    sg_ledger_close(&ledger);
    return status;
}

static enum sg_status record(struct flags *f, const char *path)
{
    struct sg_ledger_writer w = {0};
    enum sg_status status = sg_ledger_writer_open(&w, path, f->key, f->unlock);
    if (status == SG_OK)
        status = sg_ledger_decide(w.ledger, &f->decision);
    if (status == SG_OK)
        sg_ledger_writer_say(&w, f->decision.kind, f->decision.model, f->json);
    sg_ledger_writer_close(&w);
    return status;
}

/* The document, its signature (FILE.sig, as ssh-keygen names it), and who owns which key. */
static enum sg_status record_signed(struct flags *f, const char *path)
{
    struct sg_buffer document = {0}, signature = {0};
    struct sg_signers signers = {0};
    char *beside = sg_format("%s.sig", f->document ? f->document : "");
    enum sg_status status = f->document ? sg_file_read(f->document, "document", 1 << 16, &document) : SG_OK;
    if (status == SG_OK && f->document)
        status = sg_file_read(f->signature ? f->signature : beside, "signature", 1 << 16, &signature);
    if (status == SG_OK && f->signers)
        status = sg_signers_read(f->signers, &signers);
    if (status == SG_OK) {
        f->decision.document = f->document ? document.data ? document.data : "" : NULL;
        f->decision.document_len = document.len;
        f->decision.signature = signature.data ? signature.data : "";
        f->decision.signature_len = signature.len;
        f->decision.signers = f->signers ? &signers : NULL;
        status = record(f, path);
    }
    sg_buffer_free(&document);
    sg_buffer_free(&signature);
    sg_signers_free(&signers);
    free(beside);
    return status;
}

static enum sg_status check_flags(const struct flags *f)
{
    if (!f->draft == !f->key)
        return sg_fail(SG_USAGE, "ledger %s: give --key to record the decision, or --draft FILE for a document to sign",
                       f->decision.kind + strlen("model."));
    if (f->document && (f->decision.role || f->decision.reason || f->expires))
        return sg_fail(SG_USAGE, "--document brings --role, --reason and --expires as they were signed: leave them out");
    if (!f->document && (f->signature || f->signers))
        return sg_fail(SG_USAGE, "--signature and --allowed-signers go with --document");
    if (f->decision.needs > 0 && strcmp(f->decision.kind, "model.deploy") != 0)
        return sg_fail(SG_USAGE, "--needs goes with deploy: so many people must have approved before");
    return SG_OK;
}

enum sg_status sg_ledger_verb_decide(int argc, char **argv)
{
    struct flags f = {0};
    const char *positional[2];
    char name[32], kind[32];
    snprintf(name, sizeof name, "ledger %s", argv[0]);
    snprintf(kind, sizeof kind, "model.%s", argv[0]);
    const struct sg_option options[] = {
        {"key", SG_OPTION_TEXT, &f.key, "KEY", "a signing key of the ledger", 0, 0, false},
        {"unlock-file", SG_OPTION_TEXT, &f.unlock, "FILE", "its first line is the key's passphrase", 0, 0, false},
        {"role", SG_OPTION_TEXT, &f.decision.role, "TEXT", "in which role, e.g. model validation", 0, 0, false},
        {"reason", SG_OPTION_TEXT, &f.decision.reason, "TEXT", "why, with a reference; never about single people", 0, 0, false},
        {"expires", SG_OPTION_TEXT, &f.expires, "DATE", "until when, UTC", 0, 0, false},
        {"draft", SG_OPTION_TEXT, &f.draft, "FILE", "record nothing: write the document for a person to sign (-: stdout)", 0, 0, false},
        {"document", SG_OPTION_TEXT, &f.document, "FILE", "the document that a person signed", 0, 0, false},
        {"signature", SG_OPTION_TEXT, &f.signature, "FILE", "the signature (default: the document's name with .sig)", 0, 0, false},
        {"allowed-signers", SG_OPTION_TEXT, &f.signers, "FILE", "who owns which SSH key: others are refused", 0, 0, false},
        {"needs", SG_OPTION_INT, &f.decision.needs, "N", "deploy: refused without signed approvals by N people", 1, 100, false},
        {"four-eyes", SG_OPTION_FLAG, &f.decision.four_eyes, NULL, "refused when whoever decides began the model's run", 0, 0, false},
        {"json", SG_OPTION_FLAG, &f.json, NULL, "one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {
        .name = name,
        .summary = "record a decision about a model, by who runs this command, or by who signed the document",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE MODEL|RUN",
        .positional_min = 2,
        .positional_max = 2,
        .details = "under a person's own SSH key:\n"
                   "  sealgrad ledger approve FILE MODEL --role ... --reason ... --draft decision.txt\n"
                   "  ssh-keygen -Y sign -n " SG_SSHSIG_NAMESPACE " -f ~/.ssh/id_ed25519 decision.txt\n"
                   "  sealgrad ledger approve FILE MODEL --key KEY --document decision.txt --allowed-signers people\n",
    };
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    f.decision.kind = kind;
    f.decision.model = positional[1];
    SG_TRY(check_flags(&f));
    SG_TRY(sg_parse_time("expires", f.expires, &f.decision.expires_ms));
    return f.draft ? write_draft(&f, positional[0]) : record_signed(&f, positional[0]);
}
