/* sealgrad ledger verify: the verdict first, then every problem. */
#include <stdio.h>
#include <stdlib.h>

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
    json_object_set_new(o, "datasets", json_integer(v->n_datasets));
    json_object_set_new(o, "runs", json_integer(v->n_runs));
    json_object_set_new(o, "open_runs", json_integer(v->n_open));
    json_object_set_new(o, "plans_recomputed", json_integer(v->n_plans_recomputed));
    json_object_set_new(o, "quick", json_boolean(v->quick));
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
        printf("  content   %lld datasets, %lld runs; %lld different plans recomputed\n", (long long)v->n_datasets,
               (long long)v->n_runs, (long long)v->n_plans_recomputed);
    }
    for (size_t i = 0; i < v->n_listed; i++)
        printf("%s %s: %s\n", v->problems[i].status == SG_BROKEN ? "BROKEN    " : "INCOMPLETE", v->problems[i].place,
               v->problems[i].text);
    if (v->n_problems > v->n_listed)
        printf("and %zu more problems\n", v->n_problems - v->n_listed);
}

enum sg_status sg_ledger_verb_verify(int argc, char **argv)
{
    const char *path, *trust_path = NULL, *since_path = NULL;
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
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "ledger verify",
        .summary = "check everything that the ledger can show",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
        .details = "exit status: 0 intact, 3 broken, 4 incomplete (a run that never ended, no --trust, no witness)\n",
    };
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    struct sg_trust trust;
    struct sg_buffer since = {0};
    if (trust_path) {
        SG_TRY(sg_trust_read(trust_path, &trust));
        how.trust = &trust;
    }
    if (since_path) {
        SG_TRY(sg_file_read(since_path, "checkpoint", 1 << 16, &since));
        how.since = since.data ? since.data : "";
    }
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    enum sg_status status = sg_verify_file(path, &how, verdict);
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
