#include <arpa/inet.h>
#include <dlfcn.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/witness_http.h"
#include "base/number.h"

enum { BODY_MAX = SG_NOTE_BYTES_MAX + 64 * 64, CONNECTIONS_MAX = 64, TIMEOUT_S = 10 };

/* Loaded when it is needed: it brings libraries that nobody else shall wait for at start. */
static struct {
    typeof(MHD_start_daemon) *start;
    typeof(MHD_stop_daemon) *stop;
    typeof(MHD_get_daemon_info) *info;
    typeof(MHD_create_response_from_buffer) *create;
    typeof(MHD_add_response_header) *add_header;
    typeof(MHD_queue_response) *queue;
    typeof(MHD_destroy_response) *destroy;
} lib;

static enum sg_status load(void)
{
    static const struct {
        const char *name;
        void *at;
    } functions[] = {
        {"MHD_start_daemon", &lib.start},
        {"MHD_stop_daemon", &lib.stop},
        {"MHD_get_daemon_info", &lib.info},
        {"MHD_create_response_from_buffer", &lib.create},
        {"MHD_add_response_header", &lib.add_header},
        {"MHD_queue_response", &lib.queue},
        {"MHD_destroy_response", &lib.destroy},
    };
    void *library = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return sg_fail(SG_FAILED, "witness serve needs libmicrohttpd: install libmicrohttpd12");
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!(*(void **)functions[i].at = dlsym(library, functions[i].name)))
            return sg_fail(SG_FAILED, "libmicrohttpd.so.12 has no %s", functions[i].name);
    return SG_OK;
}

struct sg_witness_server {
    struct MHD_Daemon *daemon;
};

static const struct {
    enum sg_witness_fault fault;
    unsigned code;
} codes[] = {{SG_WITNESS_NO_FAULT, 200}, {SG_WITNESS_MALFORMED, 400}, {SG_WITNESS_UNSIGNED, 403},
             {SG_WITNESS_UNKNOWN, 404},  {SG_WITNESS_CONFLICT, 409},  {SG_WITNESS_UNPROVEN, 422},
             {SG_WITNESS_FAILED, 500}};

static unsigned code_of(enum sg_witness_fault fault)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].fault == fault)
            return codes[i].code;
    return 500;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned code, const char *type, const char *text)
{
    struct MHD_Response *response = lib.create(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    lib.add_header(response, "Content-Type", type);
    enum MHD_Result queued = lib.queue(connection, code, response);
    lib.destroy(response);
    return queued;
}

static enum MHD_Result answer(const struct sg_witness_service *service, struct MHD_Connection *connection,
                              const struct sg_buffer *body)
{
    struct sg_buffer line = {0};
    char size[32];
    int64_t old_size = 0;
    enum sg_witness_fault fault;
    enum sg_status status =
        sg_witness_answer(service->folder, service->witness, service->log, body->data ? body->data : "", body->len,
                          (int64_t)time(NULL), &old_size, &fault, &line);
    unsigned code = code_of(fault);
    snprintf(size, sizeof size, "%lld\n", (long long)old_size);
    if (service->report)
        service->report(service->context, (int)code, status == SG_OK ? NULL : sg_error_text());
    enum MHD_Result queued;
    if (status == SG_OK)
        queued = reply(connection, code, "text/plain; charset=utf-8", line.data);
    else if (code == 409)
        queued = reply(connection, code, "text/x.tlog.size", size);
    else /* what went wrong inside is for our own log */
        queued = reply(connection, code, "text/plain; charset=utf-8", code == 500 ? "failed" : sg_error_text());
    sg_buffer_free(&line);
    return queued;
}

/* Called first with the headers, then with each part of the body, then once more. */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *part, size_t *n, void **state)
{
    static const char type[] = "text/plain; charset=utf-8";
    (void)version;
    struct sg_buffer *body = *state;
    if (!body) {
        *state = sg_alloc(1, sizeof *body);
        return MHD_YES;
    }
    if (*n > 0) { /* what is too long is read, and thrown away */
        if (body->len <= BODY_MAX)
            sg_buffer_append(body, part, *n);
        *n = 0;
        return MHD_YES;
    }
    if (strcmp(url, "/add-checkpoint") != 0)
        return reply(connection, 404, type, "there is only /add-checkpoint");
    if (strcmp(method, "POST") != 0)
        return reply(connection, 405, type, "add-checkpoint is a POST");
    if (body->len > BODY_MAX)
        return reply(connection, 413, type, "too long");
    return answer(context, connection, body);
}

static void forget(void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
    (void)context, (void)connection, (void)code;
    if (*state)
        sg_buffer_free(*state);
    free(*state);
    *state = NULL;
}

/* ---- Address. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse_address(const char *text, union address *out, bool *is_loopback)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    int64_t port;
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool is_v6 = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (len == 0 || len >= sizeof host || !sg_number_int64(colon + 1, strlen(colon + 1), &port) || port < 0 ||
        port > 65535)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(is_v6 ? len - 2 : len), is_v6 ? text + 1 : text);
    *out = (union address){0};
    if (is_v6) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        bool good = inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1;
        *is_loopback = IN6_IS_ADDR_LOOPBACK(&out->v6.sin6_addr);
        return good;
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons((uint16_t)port);
    bool good = inet_pton(AF_INET, host, &out->v4.sin_addr) == 1;
    *is_loopback = ntohl(out->v4.sin_addr.s_addr) >> 24 == 127;
    return good;
}

enum sg_status sg_witness_server_start(const struct sg_witness_service *service, const char *listen, bool allow_network,
                                       struct sg_witness_server **out)
{
    union address address;
    bool is_loopback;
    struct sg_vkey key;
    *out = NULL;
    if (!parse_address(listen, &address, &is_loopback))
        return sg_fail(SG_USAGE, "--listen %s: expected an address and a port, e.g. 127.0.0.1:8053 or [::1]:8053",
                       listen);
    if (!is_loopback && !allow_network)
        return sg_fail(SG_USAGE, "--listen %s: other machines could reach it; say --allow-network if they shall",
                       listen);
    SG_TRY(sg_vkey_cosigner(sg_signer_vkey(service->witness), &key));
    SG_TRY(load());
    struct sg_witness_server *server = sg_alloc(1, sizeof *server);
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | (address.any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    server->daemon =
        lib.start(flags, 0, NULL, NULL, handle, (void *)(uintptr_t)service, MHD_OPTION_SOCK_ADDR, &address.any,
                  MHD_OPTION_NOTIFY_COMPLETED, forget, NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_END);
    if (!server->daemon) {
        free(server);
        return sg_fail(SG_FAILED, "--listen %s: cannot be opened: is the port taken?", listen);
    }
    *out = server;
    return SG_OK;
}

int sg_witness_server_port(const struct sg_witness_server *server)
{
    const union MHD_DaemonInfo *info = lib.info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

void sg_witness_server_stop(struct sg_witness_server **server)
{
    if (!*server)
        return;
    lib.stop((*server)->daemon);
    free(*server);
    *server = NULL;
}
