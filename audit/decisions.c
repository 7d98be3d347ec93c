/* Approvals, deployments and retirements of models, with the signatures of people under them. */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "human.h"
#include "past.h"
#include "schema.h"
#include "store.h"

/* The digest of the model that `subject` names. */
static enum sg_status find_model(struct sg_ledger *ledger, const char *subject, char digest[65])
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(
        ledger->db,
        "SELECT a.sha256 FROM artifact a JOIN run r ON r.run_no = a.run_no WHERE a.sha256 = ?1 OR r.run_id = ?1 OR "
        "r.run_no = ?1 ORDER BY a.run_no, a.ordinal LIMIT 1",
        &row));
    sg_db_bind(row, "t", subject);
    bool found = sqlite3_step(row) == SQLITE_ROW && sqlite3_column_bytes(row, 0) == 64;
    if (found)
        memcpy(digest, sqlite3_column_text(row, 0), 65);
    sqlite3_finalize(row);
    return found ? SG_OK
                 : sg_fail(SG_USAGE, "the ledger has no model \"%.80s\": give the SHA-256 of its file, or its run",
                           subject);
}

static const char *text_or(const char *text)
{
    return text ? text : "";
}

static json_t *decision_facts(const char *model, const struct sg_decision *decision)
{
    json_t *facts = json_object();
    json_object_set_new(facts, "model", json_string(model));
    json_object_set_new(facts, "role", json_string(text_or(decision->role)));
    json_object_set_new(facts, "reason", json_string(text_or(decision->reason)));
    json_object_set_new(facts, "expires_ms",
                        decision->expires_ms > 0 ? json_integer(decision->expires_ms) : json_null());
    return facts;
}

enum sg_status sg_ledger_draft(struct sg_ledger *ledger, const struct sg_decision *decision, struct sg_buffer *out)
{
    char model[65], nonce[33];
    uint8_t random[16];
    SG_TRY(find_model(ledger, decision->model, model));
    SG_TRY(sg_random_bytes(random, sizeof random));
    sg_hex_encode(random, sizeof random, nonce);
    json_t *facts = decision_facts(model, decision);
    enum sg_status status = sg_human_document(ledger->origin, decision->kind, facts, nonce, out);
    json_decref(facts);
    return status == SG_BROKEN
               ? sg_fail(SG_USAGE, "role and reason of a decision that a person signs are one line each")
               : status;
}

/* ---- Signatures. */

/* The document must be about this ledger, this decision and this model. */
static enum sg_status check_document(const struct sg_ledger *ledger, const struct sg_decision *decision,
                                     const char *model, const struct sg_human_text *text)
{
    if (strcmp(text->origin, ledger->origin) != 0)
        return sg_fail(SG_USAGE, "document: it is about the ledger %.80s, this is %.80s", text->origin, ledger->origin);
    if (strcmp(text->decision, decision->kind + strlen("model.")) != 0)
        return sg_fail(SG_USAGE, "document: it says %.20s, the command %s", text->decision,
                       decision->kind + strlen("model."));
    if (strcmp(text->model, model) != 0)
        return sg_fail(SG_USAGE, "document: it is about another model");
    return SG_OK;
}

static enum sg_status set_human(const struct sg_ledger *ledger, const struct sg_decision *decision, const char *nonce,
                                json_t *facts)
{
    struct sg_buffer blob = {0}, base64 = {0};
    struct sg_sshsig signature;
    const char *name = NULL;
    enum sg_status status = sg_sshsig_dearmor(decision->signature, decision->signature_len, &blob);
    if (status == SG_OK)
        status = sg_sshsig_parse((const uint8_t *)blob.data, blob.len, SG_USAGE, &signature);
    if (status == SG_OK && decision->signers &&
        !(name = sg_signers_name(decision->signers, signature.fingerprint, ledger->watch.now.wall_ms)))
        status = sg_fail(SG_USAGE, "signature: the key %s is not among the allowed signers", signature.fingerprint);
    if (status == SG_OK) {
        sg_base64_append(&base64, blob.data, blob.len);
        json_t *human = json_object();
        json_object_set_new(human, "nonce", json_string(nonce));
        json_object_set_new(human, "name", name ? json_string(name) : json_null());
        json_object_set_new(human, "sshsig", json_string(base64.data));
        json_object_set_new(facts, "human", human);
    }
    sg_buffer_free(&blob);
    sg_buffer_free(&base64);
    return status;
}

static enum sg_status signed_facts(const struct sg_ledger *ledger, const struct sg_decision *decision,
                                   const char *model, json_t **facts)
{
    struct sg_human_text text;
    if (!decision->signature)
        return sg_fail(SG_USAGE, "decision: a document without its signature");
    SG_TRY(sg_human_parse(decision->document, decision->document_len, &text));
    enum sg_status status = check_document(ledger, decision, model, &text);
    struct sg_decision as_signed = *decision;
    as_signed.role = text.role;
    as_signed.reason = text.reason;
    as_signed.expires_ms = text.expires_ms;
    if (status == SG_OK) {
        *facts = decision_facts(model, &as_signed);
        status = set_human(ledger, decision, text.nonce, *facts);
    }
    sg_human_text_free(&text);
    return status;
}

/* ---- Rules: the verifier's own, asked before anything is written. */
static enum sg_status remember(void *past, const struct sg_event *event)
{
    return sg_past_event(past, event);
}

static enum sg_status load_past(struct sg_ledger *ledger, struct sg_past *past)
{
    sqlite3_stmt *rows = NULL;
    SG_TRY(sg_db_prepare(ledger->db,
                         "SELECT body FROM leaf WHERE type IN ('model.approve', 'model.deploy', "
                         "'model.retire') ORDER BY seq",
                         &rows));
    return sg_store_events(rows, remember, past);
}

static enum sg_status check_rules(struct sg_ledger *ledger, const struct sg_decision *decision, json_t *facts)
{
    int64_t now = ledger->watch.now.wall_ms;
    struct sg_event event = {.type = decision->kind,
                             .origin = ledger->origin,
                             .seq = (int64_t)ledger->tree.size,
                             .time_ms = now > ledger->last_ms ? now : ledger->last_ms,
                             .facts = facts};
    struct sg_past *past = sg_past_new();
    enum sg_status status = load_past(ledger, past);
    if (status == SG_OK && sg_past_event(past, &event) != SG_OK) {
        char *why = sg_strdup(sg_error_text());
        status = sg_fail(SG_USAGE, "%s", why);
        free(why);
    }
    sg_past_free(&past);
    return status;
}

/* Who decides did not begin the run: by account, and by the name that the list of signers gives. */
static enum sg_status check_four_eyes(struct sg_ledger *ledger, const char *model, const json_t *facts)
{
    char user[128], host[128], developer[128];
    const char *name = json_string_value(json_object_get(json_object_get(facts, "human"), "name"));
    sg_store_who(user, host);
    SG_TRY(sg_store_developer(ledger->db, model, developer));
    bool is_own = name ? sg_human_is_account(name, developer) : strcmp(user, developer) == 0;
    return is_own
               ? sg_fail(SG_USAGE, "four eyes: %.80s began the run that made this model: another person has to decide",
                         name ? name : user)
               : SG_OK;
}

static enum sg_status fill_facts(struct sg_ledger *ledger, const struct sg_decision *decision, const char *model,
                                 json_t **facts)
{
    if (decision->document)
        SG_TRY(signed_facts(ledger, decision, model, facts));
    else
        *facts = decision_facts(model, decision);
    if (decision->needs > 0)
        json_object_set_new(*facts, "needs", json_integer(decision->needs));
    if (decision->four_eyes)
        SG_TRY(check_four_eyes(ledger, model, *facts));
    return check_rules(ledger, decision, *facts);
}

static enum sg_status append_decision(struct sg_ledger *ledger, const struct sg_decision *decision, char event_id[33])
{
    char model[65];
    uint8_t digest[SG_DIGEST_BYTES];
    json_t *facts = NULL;
    SG_TRY(find_model(ledger, decision->model, model));
    if (!sg_hex_decode(model, 64, digest, sizeof digest))
        return sg_fail(SG_BROKEN, "ledger: a model's digest is malformed: run sealgrad ledger verify");
    enum sg_status status = fill_facts(ledger, decision, model, &facts);
    if (status == SG_OK) {
        json_t *subjects = sg_store_subject("model", "sha256", digest);
        status = sg_store_append(ledger, decision->kind, subjects, facts, event_id);
        json_decref(subjects);
    }
    json_decref(facts);
    return status;
}

enum sg_status sg_ledger_decide(struct sg_ledger *ledger, const struct sg_decision *decision)
{
    char event_id[33] = "";
    SG_TRY(sg_store_begin(ledger));
    return sg_store_end(ledger, append_decision(ledger, decision, event_id), event_id);
}
