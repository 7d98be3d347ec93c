/* sealgrad ledger witness serve, and witness FILE --url: the witness over HTTP. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit/witness_http.h"
#include "cmd_ledger.h"
#include "options.h"
#include "print_rows.h"

enum sg_status sg_ledger_witness_url(const char *path, const char *url, const char *trust_path, bool json)
{
    struct sg_trust trust;
    struct sg_ledger *ledger = NULL;
    int64_t size = 0;
    if (!trust_path)
        return sg_fail(SG_USAGE, "ledger witness: --url needs --trust POLICY, which names the witness");
    SG_TRY(sg_trust_read(trust_path, &trust));
    SG_TRY(sg_ledger_open(path, NULL, &ledger));
    enum sg_status status = sg_witness_submit(ledger, url, &trust, &size);
    sg_ledger_close(&ledger);
    if (status == SG_OK && json) {
        json_t *object = json_pack("{s:s, s:I}", "witness", url, "size", (json_int_t)size);
        sg_print_json(object);
        json_decref(object);
    } else if (status == SG_OK) {
        printf("witnessed    %lld events, by %s\n", (long long)size, url);
    }
    return status;
}

/* From the server's thread. */
static void report(void *context, int http_status, const char *why)
{
    (void)context;
    char text[32];
    struct tm utc;
    time_t now = time(NULL);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    fprintf(stderr, "%s %d %s\n", text, http_status, why ? why : "cosigned");
}

static void print_listening(const struct sg_signer *witness, int port, const char *listen)
{
    struct sg_vkey key;
    struct sg_buffer vkey = {0};
    if (sg_vkey_cosigner(sg_signer_vkey(witness), &key) == SG_OK)
        sg_vkey_print(&key, &vkey);
    printf("listening    http://%.*s:%d\nfor a policy witness %s %s\n", (int)(strrchr(listen, ':') - listen), listen,
           port, key.name, vkey.data);
    fflush(stdout);
    sg_buffer_free(&vkey);
}

static enum sg_status serve(const struct sg_witness_service *service, const char *listen, bool allow_network)
{
    struct sg_witness_server *server = NULL;
    sigset_t stop;
    int number = 0;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL); /* before the server's thread begins: it inherits the mask */
    SG_TRY(sg_witness_server_start(service, listen, allow_network, &server));
    print_listening(service->witness, sg_witness_server_port(server), listen);
    sigwait(&stop, &number);
    sg_witness_server_stop(&server);
    return SG_OK;
}

enum sg_status sg_ledger_verb_witness_serve(int argc, char **argv)
{
    const char *key = NULL, *unlock = NULL, *state = NULL, *trust_path = NULL, *listen = "127.0.0.1:8053";
    bool allow_network = false;
    const struct sg_option options[] = {
        {.name = "key",
         .type = SG_OPTION_TEXT,
         .value = &key,
         .argument = "KEY",
         .help = "the witness's signing key (Ed25519)",
         .required = true},
        {.name = "unlock-file",
         .type = SG_OPTION_TEXT,
         .value = &unlock,
         .argument = "FILE",
         .help = "its first line is the key's passphrase or PIN"},
        {.name = "state",
         .type = SG_OPTION_TEXT,
         .value = &state,
         .argument = "DIR",
         .help = "the witness's memory, one file a ledger",
         .required = true},
        {.name = "trust",
         .type = SG_OPTION_TEXT,
         .value = &trust_path,
         .argument = "KEY|POLICY",
         .help = "the ledgers' public keys, as the witness was told them",
         .required = true},
        {.name = "listen",
         .type = SG_OPTION_TEXT,
         .value = &listen,
         .argument = "HOST:PORT",
         .help = "by number (127.0.0.1:8053); port 0 takes a free one"},
        {.name = "allow-network",
         .type = SG_OPTION_FLAG,
         .value = &allow_network,
         .help = "listen where other machines reach it"},
    };
    const struct sg_command_line line = {
        .name = "ledger witness serve",
        .summary = "cosign checkpoints over HTTP (c2sp.org/tlog-witness), until SIGINT or SIGTERM",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .details =
            "There is no authentication but the ledger's own signature, and no TLS: put a proxy before it that has "
            "both where the\nnetwork is not yours. One line for each request on stderr.\n",
    };
    struct sg_trust trust;
    struct sg_signer *witness = NULL;
    SG_TRY(sg_options_parse(&line, argc, argv, NULL, NULL));
    SG_TRY(sg_trust_read(trust_path, &trust));
    SG_TRY(sg_signer_open(key, unlock, &witness));
    struct sg_witness_service service = {.folder = state, .witness = witness, .log = &trust, .report = report};
    enum sg_status status = serve(&service, listen, allow_network);
    sg_signer_close(&witness);
    return status;
}
