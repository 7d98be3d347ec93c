/* sealgrad ledger timestamp: somebody else's clock for a checkpoint (RFC 3161). */
#include <stdio.h>

#include "audit/query.h"
#include "audit/timestamp.h"
#include "base/file.h"
#include "cmd_ledger.h"
#include "options.h"
#include "print_rows.h"

struct timestamp_flags {
    const char *request, *response, *token, *tsa_ca;
    int64_t size;
    bool json;
};

static enum sg_status write_out(const struct timestamp_flags *flags, const char *path)
{
    struct sg_ledger *ledger = NULL;
    struct sg_buffer bytes = {0};
    SG_TRY(sg_ledger_open_read(path, &ledger));
    enum sg_status status = flags->request ? sg_evidence_timestamp_request(ledger, flags->size, &bytes)
                                           : sg_evidence_timestamp(ledger, flags->size, &bytes);
    if (status == SG_OK)
        status = sg_file_write(flags->request ? flags->request : flags->token, bytes.data, bytes.len, 0644);
    sg_buffer_free(&bytes);
    sg_ledger_close(&ledger);
    return status;
}

static void print_stored(int64_t size, int64_t time_s, bool json)
{
    char time[40];
    sg_query_time(time_s * 1000, time);
    if (json) {
        json_t *object = json_pack("{s:I, s:s}", "size", (json_int_t)size, "time", time);
        sg_print_json(object);
        json_decref(object);
    } else {
        printf("time stamped %lld events existed at %s\n", (long long)size, time);
    }
}

static enum sg_status store_response(const struct timestamp_flags *flags, const char *path)
{
    struct sg_ledger *ledger = NULL;
    struct sg_buffer response = {0};
    struct sg_tsa *tsa = NULL;
    int64_t size = 0, time_s = 0;
    if (!flags->tsa_ca)
        return sg_fail(SG_USAGE, "ledger timestamp: --response needs --tsa-ca, the authority's root certificate");
    SG_TRY(sg_file_read(flags->response, "time stamp response", SG_TOKEN_BYTES_MAX, &response));
    enum sg_status status = sg_tsa_open(flags->tsa_ca, &tsa);
    if (status == SG_OK)
        status = sg_ledger_open(path, NULL, &ledger);
    if (status == SG_OK)
        status =
            sg_evidence_add_timestamp(ledger, tsa, response.data ? response.data : "", response.len, &size, &time_s);
    if (status == SG_OK)
        print_stored(size, time_s, flags->json);
    sg_ledger_close(&ledger);
    sg_tsa_close(&tsa);
    sg_buffer_free(&response);
    return status;
}

enum sg_status sg_ledger_verb_timestamp(int argc, char **argv)
{
    struct timestamp_flags f = {0};
    const char *path;
    const struct sg_option options[] = {
        {.name = "request",
         .type = SG_OPTION_TEXT,
         .value = &f.request,
         .argument = "OUT.tsq",
         .help = "1: write the request for a checkpoint"},
        {.name = "response",
         .type = SG_OPTION_TEXT,
         .value = &f.response,
         .argument = "IN.tsr",
         .help = "2: check the authority's response, and store its token"},
        {.name = "tsa-ca",
         .type = SG_OPTION_TEXT,
         .value = &f.tsa_ca,
         .argument = "CA.pem",
         .help = "certificates of the authorities you trust"},
        {.name = "token",
         .type = SG_OPTION_TEXT,
         .value = &f.token,
         .argument = "OUT.tst",
         .help = "write the stored token, for openssl ts -verify -token_in"},
        {.name = "size",
         .type = SG_OPTION_INT,
         .value = &f.size,
         .argument = "N",
         .help = "the checkpoint of N events (the newest)",
         .min = 1,
         .max = 9e18},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &f.json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "ledger timestamp",
        .summary = "have a time stamp authority (RFC 3161) date a checkpoint, and with it every event before it",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE",
        .positional_min = 1,
        .positional_max = 1,
        .details = "Between the two steps the request goes to the authority:\n"
                   "  curl -H 'Content-Type: application/timestamp-query' --data-binary @OUT.tsq URL > IN.tsr\n",
    };
    SG_TRY(sg_options_parse(&line, argc, argv, &path, NULL));
    if (!!f.request + !!f.response + !!f.token != 1)
        return sg_fail(SG_USAGE, "ledger timestamp: say --request, --response or --token");
    return f.response ? store_response(&f, path) : write_out(&f, path);
}
