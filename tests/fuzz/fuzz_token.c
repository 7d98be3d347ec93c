/* A time stamp as it comes from an authority: a TimeStampResp, or the token alone. A token that verifies is one that
 * can be read, with the same digest and time. */
#include "audit/timestamp.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* The authority that made the corpus. Its key was thrown away. */
static const char authority[] = "-----BEGIN CERTIFICATE-----\n"
                                "MIIBgDCCASWgAwIBAgIUQX69p5NgiSMcv2hbVGlzf5AXNv8wCgYIKoZIzj0EAwIw\n"
                                "FDESMBAGA1UEAwwJZnV6eiByb290MCAXDTI2MTEyNDE2MjkxNVoYDzIxMjYxMDMx\n"
                                "MTYyOTE1WjAUMRIwEAYDVQQDDAlmdXp6IHJvb3QwWTATBgcqhkjOPQIBBggqhkjO\n"
                                "PQMBBwNCAASHXuf/i4AN2BMchWachqfRpnSEtE7NPw7VNrMhKpS9e0sFXIjhaTA7\n"
                                "knrgRqzZSFQymdoRufdwm1joTmYu+aDNo1MwUTAdBgNVHQ4EFgQUkZSh5RNPWbK9\n"
                                "NEBCOSXLDPUio2gwHwYDVR0jBBgwFoAUkZSh5RNPWbK9NEBCOSXLDPUio2gwDwYD\n"
                                "VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAr7hO0PQVO/ieoN4XvCsP\n"
                                "Ut7CIvafpT4oZIk0Zd2h0zYCIQCx2lNtRbfpVi9tb0bSeB1u1HIvrZ/KJ9MoZ7Cg\n"
                                "DV0SWw==\n"
                                "-----END CERTIFICATE-----\n";

/* SHA-256 of "hello\n", which the corpus stamps. */
static const uint8_t stamped[SG_DIGEST_BYTES] = {
    0x58, 0x91, 0xb5, 0xb5, 0x22, 0xd5, 0xdf, 0x08, 0x6d, 0x0f, 0xf0, 0xb1, 0x10, 0xfb, 0xd9, 0xd2,
    0x1b, 0xb4, 0xfc, 0x71, 0x63, 0xaf, 0x34, 0xd0, 0x82, 0x86, 0xa2, 0xe8, 0x46, 0xf6, 0xbe, 0x03,
};

static void check_token(const struct sg_tsa *tsa, const uint8_t *token, size_t n)
{
    uint8_t digest[SG_DIGEST_BYTES];
    int64_t read_s = 0, checked_s = 0;
    enum sg_status read = sg_timestamp_read(token, n, digest, &read_s);
    fuzz_check(read, SG_BROKEN);
    enum sg_status checked = sg_timestamp_check(tsa, token, n, stamped, &checked_s);
    fuzz_check(checked, SG_BROKEN);
    if (checked == SG_OK && (read != SG_OK || memcmp(digest, stamped, sizeof digest) != 0 || read_s != checked_s))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct sg_tsa *tsa;
    struct sg_buffer token = {0};
    if (!tsa && sg_tsa_open(fuzz_file((const uint8_t *)authority, sizeof authority - 1), &tsa) != SG_OK)
        abort();
    check_token(tsa, data, n);
    enum sg_status status = sg_timestamp_from_response((const char *)data, n, &token);
    fuzz_check(status, SG_USAGE);
    if (status == SG_OK) {
        if (token.len == 0 || token.len > SG_TOKEN_BYTES_MAX)
            abort();
        check_token(tsa, (const uint8_t *)token.data, token.len);
    }
    sg_buffer_free(&token);
    return 0;
}
