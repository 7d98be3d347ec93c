/* A witness over HTTP, as c2sp.org/tlog-witness has it: POST PREFIX/add-checkpoint. Both sides share their checks and
 * their memory with the witness over files (audit/evidence.h). */
#ifndef SG_AUDIT_WITNESS_HTTP_H
#define SG_AUDIT_WITNESS_HTTP_H

#include "audit/evidence.h"

struct sg_witness_service {
    const char *folder; /* the witness's memory */
    const struct sg_signer *witness;
    const struct sg_trust *log; /* the ledgers it was told of */
    /* Called after each answer, from the server's thread; may be NULL. `why` is NULL when it cosigned. */
    void (*report)(void *context, int http_status, const char *why);
    void *context;
};

struct sg_witness_server;
/* Starts answering in a thread of its own, one request after the other. `listen` is HOST:PORT or [HOST]:PORT by number;
 * port 0 takes a free one. SG_USAGE for an address that other machines can reach, unless `allow_network`. The service
 * and what it names must live until sg_witness_server_stop. */
SG_MUST_USE enum sg_status sg_witness_server_start(const struct sg_witness_service *service, const char *listen,
                                                   bool allow_network, struct sg_witness_server **out);
int sg_witness_server_port(const struct sg_witness_server *server);
/* Finishes the request in hand. */
void sg_witness_server_stop(struct sg_witness_server **server);

/* Has the newest checkpoint cosigned by the witness at `url` (the prefix), and stores every cosignature that verifies
 * under the witnesses of `trust`; at least one must. SG_BROKEN when the witness remembers more than this ledger has, or
 * another ledger: this one is an older copy, or a fork. */
SG_MUST_USE enum sg_status sg_witness_submit(struct sg_ledger *ledger, const char *url, const struct sg_trust *trust,
                                             int64_t *size);

#endif
