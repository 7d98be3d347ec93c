/* The witness over HTTP, both sides, over loopback. The first byte says which:
 *
 *   B   bodies of add-checkpoint requests, answered one after the other by a witness that remembers nothing before the
 *       first; a line "====" is between two
 *   Q   the bytes of an HTTP request, sent to our server
 *   R   the bytes of an HTTP answer, sent to our client by a witness of the enemy's; "@COSIGN@" in it becomes the
 *       right cosignature
 *
 * A witness either cosigns or names a fault that is the request's; a client stores what verifies, or says why not. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../audit/fixture.h"
#include "audit/witness_http.h"
#include "base/bytes.h"
#include "base/file.h"
#include "fuzz.h"

static struct {
    char *folder, *state, *path, *url;
    struct sg_signer *signer, *witness;
    struct sg_trust policy;
    struct sg_witness_service service;
    struct sg_witness_server *server;
    struct sg_ledger *ledger;
    struct sg_buffer cosignature;
    int enemy; /* listens; its thread answers every connection with `answer` */
    struct sg_buffer answer;
} side;

static void must(enum sg_status status)
{
    fuzz_check(status, SG_OK);
}

static void forget(void)
{
    fixture_remove(sg_strdup(side.state)); /* the witness makes the folder again */
}

static void answer_body(const char *body, size_t n)
{
    struct sg_buffer line = {0};
    int64_t old_size = 0;
    enum sg_witness_fault fault;
    enum sg_status status =
        sg_witness_answer(side.state, side.witness, &side.policy, body, n, 1700000000, &old_size, &fault, &line);
    if ((status == SG_OK) != (fault == SG_WITNESS_NO_FAULT) || fault == SG_WITNESS_FAILED ||
        (status == SG_OK && (line.len == 0 || line.data[line.len - 1] != '\n')))
        abort();
    fuzz_check(status, status == SG_USAGE ? SG_USAGE : SG_BROKEN);
    sg_buffer_free(&line);
}

static void answer_bodies(const char *text, size_t n)
{
    static const char between[] = "====\n";
    forget();
    for (;;) {
        const char *end = n ? memmem(text, n, between, sizeof between - 1) : NULL;
        size_t len = end ? (size_t)(end - text) : n;
        answer_body(text, len);
        if (!end)
            return;
        text = end + sizeof between - 1;
        n -= len + sizeof between - 1;
    }
}

/* ---- Sockets. */
static bool send_all(int to, const char *bytes, size_t n)
{
    ssize_t sent = 0;
    for (; n > 0 && (sent = send(to, bytes, n, MSG_NOSIGNAL)) > 0; n -= (size_t)sent)
        bytes += sent;
    return n == 0;
}

static void set_timeout(int socket_number)
{
    struct timeval two = {.tv_sec = 2};
    setsockopt(socket_number, SOL_SOCKET, SO_RCVTIMEO, &two, sizeof two);
    setsockopt(socket_number, SOL_SOCKET, SO_SNDTIMEO, &two, sizeof two);
}

static void send_request(const char *bytes, size_t n)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)sg_witness_server_port(side.server)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char block[4096] = "";
    int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    forget();
    set_timeout(to);
    if (connect(to, (struct sockaddr *)&address, sizeof address))
        abort();
    (void)send_all(to, bytes, n); /* the server may hang up at once */
    shutdown(to, SHUT_WR);
    ssize_t got = recv(to, block, sizeof block - 1, 0);
    if (got > 0 && strncmp(block, "HTTP/1.", got < 7 ? (size_t)got : 7) != 0)
        abort();
    while (got > 0)
        got = recv(to, block, sizeof block, 0);
    close(to);
}

/* Reads until head and body are there, so that hanging up loses nothing of the answer. */
static void read_request(int from)
{
    struct sg_buffer request = {0};
    char block[4096];
    for (ssize_t got; (got = recv(from, block, sizeof block, 0)) > 0;) {
        sg_buffer_append(&request, block, (size_t)got);
        const char *end = memmem(request.data, request.len, "\r\n\r\n", 4),
                   *length = end ? memmem(request.data, (size_t)(end - request.data), "Content-Length: ", 16) : NULL;
        if (end && request.len >= (size_t)(end + 4 - request.data) + (length ? strtoul(length + 16, NULL, 10) : 0))
            break;
    }
    sg_buffer_free(&request);
}

static void *be_enemy(void *context)
{
    (void)context;
    for (int peer; (peer = accept(side.enemy, NULL, NULL)) >= 0; close(peer)) {
        set_timeout(peer);
        read_request(peer);
        (void)send_all(peer, side.answer.data ? side.answer.data : "", side.answer.len);
    }
    return NULL;
}

static void submit(const char *text, size_t n)
{
    static const char word[] = "@COSIGN@";
    int64_t size;
    const char *at = n ? memmem(text, n, word, sizeof word - 1) : NULL;
    size_t before = at ? (size_t)(at - text) : n;
    side.answer.len = 0;
    if (before)
        sg_buffer_append(&side.answer, text, before);
    if (at) {
        sg_buffer_append(&side.answer, side.cosignature.data, side.cosignature.len);
        sg_buffer_append(&side.answer, at + sizeof word - 1, n - before - (sizeof word - 1));
    }
    enum sg_status status = sg_witness_submit(side.ledger, side.url, &side.policy, &size);
    if (status == SG_OK && !at)
        abort(); /* nobody else can have signed it */
    fuzz_check(status, status == SG_FAILED || status == SG_USAGE ? status : SG_BROKEN);
}

/* ---- Preparation. */
static void start_enemy(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    pthread_t thread;
    side.enemy = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (side.enemy < 0 || bind(side.enemy, (struct sockaddr *)&address, length) || listen(side.enemy, 16) ||
        getsockname(side.enemy, (struct sockaddr *)&address, &length) || pthread_create(&thread, NULL, be_enemy, NULL))
        abort();
    pthread_detach(thread);
    side.url = sg_format("http://127.0.0.1:%d", ntohs(address.sin_port));
}

static void clean_up(void)
{
    shutdown(side.enemy, SHUT_RDWR);
    sg_witness_server_stop(&side.server);
    sg_ledger_close(&side.ledger);
    sg_signer_close(&side.signer);
    sg_signer_close(&side.witness);
    sg_buffer_free(&side.cosignature);
    fixture_remove(side.state);
    fixture_remove(side.folder);
    free(side.path);
    free(side.url);
}

static void prepare(void)
{
    struct sg_buffer request = {0};
    int64_t old_size;
    side.folder = fixture_folder();
    side.state = sg_format("%s/state", side.folder);
    side.signer = fixture_signer(1);
    side.witness = fixture_witness_signer();
    side.path = fixture_init(side.folder, side.signer);
    fixture_witness(side.folder, side.path, side.signer, &side.policy);
    must(sg_ledger_open(side.path, NULL, &side.ledger));
    must(sg_evidence_witness_request(side.ledger, 0, &request));
    must(sg_witness_cosign(side.state, side.witness, &side.policy, request.data, request.len, 1700000000, &old_size,
                           &side.cosignature));
    sg_buffer_free(&request);
    side.service = (struct sg_witness_service){.folder = side.state, .witness = side.witness, .log = &side.policy};
    must(sg_witness_server_start(&side.service, "127.0.0.1:0", false, &side.server));
    start_enemy();
    atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = (const char *)data + 1;
    if (!side.folder)
        prepare();
    if (n > 0 && data[0] == 'B')
        answer_bodies(text, n - 1);
    else if (n > 0 && data[0] == 'Q')
        send_request(text, n - 1);
    else if (n > 0 && data[0] == 'R')
        submit(text, n - 1);
    return 0;
}
