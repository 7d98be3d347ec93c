/* In the place of pkcs11.c where the program is built without p11-kit's header. */
#include "pkcs11.h"

enum sg_status sg_pkcs11_open(const char *uri, const char *unlock_file, struct sg_signer **out)
{
    (void)uri, (void)unlock_file;
    *out = NULL;
    return sg_fail(SG_USAGE, "this program was built without PKCS#11: build it again with libp11-kit-dev installed");
}

enum sg_status sg_pkcs11_sign(const struct sg_pkcs11 *module, const void *bytes, size_t n,
                              uint8_t out[SG_SIGNATURE_MAX], size_t *len)
{
    (void)module, (void)bytes, (void)n, (void)out;
    *len = 0;
    return sg_fail(SG_FAILED, "no PKCS#11 module is open");
}

void sg_pkcs11_close(struct sg_pkcs11 **module)
{
    *module = NULL;
}
