/* sealgrad ledger verify: the verdict first, then every problem. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/evidence.h"
#include "audit/query.h"
#include "audit/verify.h"
#include "base/file.h"
#include "cmd_ledger.h"
#include "options.h"
#include "print_rows.h"

static const char *word_of(enum sg_status status)
{
    return status == SG_OK ? "ok" : status == SG_BROKEN ? "broken" : "incomplete";
}

static json_t *time_or_null(int64_t time_ms)
{
    char text[40];
    sg_query_time(time_ms, text);
    return time_ms > 0 ? json_string(text) : json_null();
}

static json_t *verdict_object(const struct sg_verdict *v)
{
    char root[2 * SG_DIGEST_BYTES + 1];
    sg_hex_encode(v->root, SG_DIGEST_BYTES, root);
    json_t *o = json_object(), *problems = json_array();
    json_object_set_new(o, "verdict", json_string(word_of(v->status)));
    json_object_set_new(o, "sentence", json_string(v->sentence));
    json_object_set_new(o, "origin", json_string(v->origin));
    json_object_set_new(o, "key", json_string(v->key));
    json_object_set_new(o, "trusted", json_boolean(v->is_trusted));
    json_object_set_new(o, "size", json_integer(v->size));
    json_object_set_new(o, "root", json_string(root));
    json_object_set_new(o, "first_event", time_or_null(v->first_ms));
    json_object_set_new(o, "last_event", time_or_null(v->last_ms));
    json_object_set_new(o, "witnessed_size", json_integer(v->witnessed_size));
    json_object_set_new(o, "witnessed_at", time_or_null(v->witness_time_s * 1000));
    json_object_set_new(o, "timestamped_size", json_integer(v->stamped_size));
    json_object_set_new(o, "timestamped_at", time_or_null(v->stamp_time_s * 1000));
    json_object_set_new(o, "timestamps_unchecked", json_integer(v->n_stamps_unchecked));
    json_object_set_new(o, "datasets", json_integer(v->n_datasets));
    json_object_set_new(o, "runs", json_integer(v->n_runs));
    json_object_set_new(o, "open_runs", json_integer(v->n_open));
    json_object_set_new(o, "decisions_against_policy", json_integer(v->n_unapproved));
    json_object_set_new(o, "plans_recomputed", json_integer(v->n_plans_recomputed));
    json_object_set_new(o, "quick", json_boolean(v->quick));
    json_object_set_new(o, "signatures_checked", json_integer(v->n_signatures));
    json_object_set_new(o, "signatures_left", v->quick ? json_null() : json_integer(v->n_signatures_left));
    json_object_set_new(o, "n_problems", json_integer((json_int_t)v->n_problems));
    for (size_t i = 0; i < v->n_listed; i++) {
        json_t *text = json_string(v->problems[i].text), *place = json_string(v->problems[i].place);
        json_t *one = json_object();
        json_object_set_new(one, "kind", json_string(word_of(v->problems[i].status)));
        json_object_set_new(one, "place", place ? place : json_string("?"));
        json_object_set_new(one, "text", text ? text : json_string("(not text)"));
        json_array_append_new(problems, one);
    }
    json_object_set_new(o, "problems", problems);
    return o;
}

static void print_verdict(const struct sg_verdict *v)
{
    char root[2 * SG_DIGEST_BYTES + 1], first[40], last[40];
    printf("%s\n", v->sentence);
    if (v->size > 0) {
        sg_hex_encode(v->root, SG_DIGEST_BYTES, root);
        sg_query_time(v->first_ms, first);
        sg_query_time(v->last_ms, last);
        printf("  origin    %s\n  key       %s\n  root      %s\n  events    %lld, from %s to %s\n", v->origin, v->key,
               root, (long long)v->size, first, last);
        if (!v->quick)
            printf("  content   %lld datasets, %lld runs; %lld different plans recomputed\n"
                   "  checked   every hash, root, rule and table; %s%lld signatures\n",
                   (long long)v->n_datasets, (long long)v->n_runs, (long long)v->n_plans_recomputed,
                   v->n_signatures_left ? "" : "all ", (long long)v->n_signatures);
        if (v->n_stamps_unchecked)
            printf("  stamps    %lld time stamps were read, not verified: no --tsa-ca\n",
                   (long long)v->n_stamps_unchecked);
    }
    for (size_t i = 0; i < v->n_listed; i++)
        printf("%s %s: %s\n", v->problems[i].status == SG_BROKEN ? "BROKEN    " : "INCOMPLETE", v->problems[i].place,
               v->problems[i].text);
    if (v->n_problems > v->n_listed)
        printf("and %zu more problems\n", v->n_problems - v->n_listed);
}

/* ---- One proof file instead of a ledger. */
static bool is_proof(const char *path)
{
    char begin[17] = "";
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(begin, 1, 16, file) : 0;
    if (file)
        fclose(file);
    return n == 16 && strcmp(begin, "c2sp.org/tlog-pr") == 0;
}

static void print_proof(const struct sg_proof_facts *facts, enum sg_status status, const char *sentence, bool json)
{
    char time[40], root[2 * SG_DIGEST_BYTES + 1];
    json_t *statement = NULL;
    sg_query_time(facts->time_ms, time);
    sg_hex_encode(facts->checkpoint.root, SG_DIGEST_BYTES, root);
    if (sg_json_parse(facts->payload.data, facts->payload.len, "statement", SG_BROKEN, &statement) != SG_OK)
        statement = json_null();
    if (json) {
        json_t *o =
            json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:b, s:b, s:s, s:s, s:O}", "verdict", word_of(status), "sentence",
                      sentence, "origin", facts->checkpoint.origin, "leaf", (json_int_t)facts->seq, "size",
                      (json_int_t)facts->checkpoint.size, "root", root, "trusted", facts->is_trusted, "witnessed",
                      facts->is_witnessed, "type", facts->type, "time", time, "statement", statement);
        sg_print_json(o);
        json_decref(o);
    } else {
        printf("%s\n  origin    %s\n  event     %lld of %lld, %s, %s\n  root      %s\n", sentence,
               facts->checkpoint.origin, (long long)facts->seq, (long long)facts->checkpoint.size, facts->type, time,
               root);
        sg_print_json(statement);
    }
    json_decref(statement);
}

/* What was asked for and cannot be answered is not passed over: a status 0 would be taken for the answer. */
static enum sg_status refuse_for_proof(const char *path)
{
    return sg_fail(
        SG_USAGE,
        "%s: a proof file shows one event: --since, --tsa-ca, --allowed-signers, --needs, --four-eyes and the choice "
        "of signatures are about a whole ledger",
        path);
}

static enum sg_status verify_proof(const char *path, const struct sg_verify_options *how, bool json)
{
    struct sg_buffer text = {0};
    struct sg_proof_facts facts;
    if (how->needs || how->four_eyes || how->quick || how->all_signatures || how->newest_signatures)
        return refuse_for_proof(path);
    SG_TRY(sg_file_read(path, "proof", 1 << 20, &text));
    enum sg_status status = sg_evidence_check_proof(text.data, text.len, how->trust, &facts);
    sg_buffer_free(&text);
    SG_TRY(status);
    bool enough = (facts.is_trusted || how->allow_self_trust) && (facts.is_witnessed || how->allow_unwitnessed);
    char *sentence =
        sg_format("%s: this event is in the ledger%s%s", enough ? "PROVEN" : "INCOMPLETE",
                  facts.is_trusted ? " of the key you trust" : "; who signed it was not checked: no --trust",
                  facts.is_witnessed ? ", and a witness has seen it" : "; no witness");
    status = enough ? SG_OK : SG_INCOMPLETE;
    print_proof(&facts, status, sentence, json);
    free(sentence);
    sg_buffer_free(&facts.payload);
    return status;
}

enum sg_status sg_ledger_verb_verify(int argc, char **argv)
{
    const char *path, *trust_path = NULL, *since_path = NULL, *tsa_path = NULL, *signers_path = NULL;
    bool json = false;
    struct sg_verify_options how = {0};
    const struct sg_option options[] = {
        {.name = "trust",
         .type = SG_OPTION_TEXT,
         .value = &trust_path,
         .argument = "KEY|POLICY",
         .help = "public key file, or policy with log, witnesses and quorum"},
        {.name = "since",
         .type = SG_OPTION_TEXT,
         .value = &since_path,
         .argument = "CHECKPOINT",
         .help = "a checkpoint you kept: the ledger must continue it"},
        {.name = "tsa-ca",
         .type = SG_OPTION_TEXT,
         .value = &tsa_path,
         .argument = "CA.pem",
         .help = "time stamp authorities you trust"},
        {.name = "allowed-signers",
         .type = SG_OPTION_TEXT,
         .value = &signers_path,
         .argument = "FILE",
         .help = "who owns which SSH key: signed decisions must be by one of them"},
        {.name = "needs",
         .type = SG_OPTION_INT,
         .value = &how.needs,
         .argument = "N",
         .help = "every deployment needs the approvals of N people",
         .min = 1,
         .max = 100},
        {.name = "four-eyes",
         .type = SG_OPTION_FLAG,
         .value = &how.four_eyes,
         .help = "who began a model's run does not count among its approvers"},
        {.name = "allow-unwitnessed",
         .type = SG_OPTION_FLAG,
         .value = &how.allow_unwitnessed,
         .help = "no witness is no reason for exit status 4"},
        {.name = "allow-self-trust",
         .type = SG_OPTION_FLAG,
         .value = &how.allow_self_trust,
         .help = "no --trust is no reason for exit status 4"},
        {.name = "quick",
         .type = SG_OPTION_FLAG,
         .value = &how.quick,
         .help = "hashes, roots and the newest signature only"},
        {.name = "all-signatures",
         .type = SG_OPTION_FLAG,
         .value = &how.all_signatures,
         .help = "every signature of every event and checkpoint, however old"},
        {.name = "newest",
         .type = SG_OPTION_INT,
         .value = &how.newest_signatures,
         .argument = "N",
         .help = "every signature of the newest N events (default 10000)",
         .min = 1,
         .max = 1e12},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "ledger verify",
        .summary = "check everything that a ledger, or one proof file, can show",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
        .details = "exit status: 0 intact, 3 broken, 4 incomplete (a run that never ended, an event by a "
                   "compromised key,\n             a decision against your policy, no --trust, no witness)\n",
    };
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    struct sg_trust trust;
    struct sg_buffer since = {0};
    struct sg_tsa *tsa = NULL;
    struct sg_signers signers = {0};
    if (trust_path) {
        SG_TRY(sg_trust_read(trust_path, &trust));
        how.trust = &trust;
    }
    if (since_path) {
        SG_TRY(sg_file_read(since_path, "checkpoint", 1 << 16, &since));
        how.since = since.data ? since.data : "";
    }
    if (is_proof(path)) {
        sg_buffer_free(&since);
        return since_path || tsa_path || signers_path ? refuse_for_proof(path) : verify_proof(path, &how, json);
    }
    if (how.quick && (signers_path || how.needs || how.four_eyes)) {
        sg_buffer_free(&since);
        return sg_fail(
            SG_USAGE,
            "ledger verify: --quick reads no decision: leave it out with --allowed-signers, --needs or --four-eyes");
    }
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    enum sg_status status = tsa_path ? sg_tsa_open(tsa_path, &tsa) : SG_OK;
    if (status == SG_OK && signers_path) {
        status = sg_signers_read(signers_path, &signers);
        how.signers = &signers;
    }
    how.tsa = tsa;
    if (status == SG_OK)
        status = sg_verify_file(path, &how, verdict);
    sg_tsa_close(&tsa);
    sg_signers_free(&signers);
    if (status == SG_OK && json) {
        json_t *object = verdict_object(verdict);
        sg_print_json(object);
        json_decref(object);
    } else if (status == SG_OK) {
        print_verdict(verdict);
    }
    if (status == SG_OK) { /* the verdict is the message */
        status = verdict->status;
        sg_error_clear();
    }
    free(verdict);
    sg_buffer_free(&since);
    return status;
}
