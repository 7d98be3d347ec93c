/* In the place of witness_http_server.c where the program is built without libmicrohttpd. */
#include "audit/witness_http.h"

enum sg_status sg_witness_server_start(const struct sg_witness_service *service, const char *listen, bool allow_network,
                                       struct sg_witness_server **out)
{
    (void)service, (void)listen, (void)allow_network;
    *out = NULL;
    return sg_fail(SG_USAGE, "this program was built without an HTTP server: build it again with libmicrohttpd-dev");
}

int sg_witness_server_port(const struct sg_witness_server *server)
{
    (void)server;
    return 0;
}

void sg_witness_server_stop(struct sg_witness_server **server)
{
    *server = NULL;
}
