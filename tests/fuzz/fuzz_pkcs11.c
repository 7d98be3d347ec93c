/* The URI of a key in an HSM, from a command line or a configuration: what was taken names a module by its whole path,
 * and an object. */
#include "pkcs11.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sg_pkcs11_uri uri;
    char *text = strndup((const char *)data, n);
    enum sg_status status = sg_pkcs11_uri_parse(text, &uri);
    fuzz_check(status, SG_USAGE);
    if (status == SG_OK && (uri.module[0] != '/' || !uri.object[0] || strlen(uri.module) >= sizeof uri.module ||
                            strlen(uri.token) >= sizeof uri.token || strlen(uri.object) >= sizeof uri.object ||
                            strlen(uri.pin_file) >= sizeof uri.pin_file))
        abort();
    free(text);
    return 0;
}
