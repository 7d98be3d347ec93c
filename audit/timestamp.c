#include "audit/timestamp.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/ts.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

struct sg_tsa {
    X509_STORE *store;
};

/* The innermost reason that OpenSSL gives. */
static enum sg_status fail(enum sg_status status, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    enum sg_status result = sg_fail(status, "time stamp: %s%s%s", what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return result;
}

enum sg_status sg_tsa_open(const char *pem_path, struct sg_tsa **out)
{
    struct sg_buffer text = {0};
    SG_TRY(sg_file_read(pem_path, "certificates of time stamp authorities", 1 << 20, &text));
    sg_buffer_free(&text);
    *out = sg_alloc(1, sizeof **out);
    (*out)->store = X509_STORE_new();
    if ((*out)->store && X509_STORE_load_file((*out)->store, pem_path) == 1)
        return SG_OK;
    sg_tsa_close(out);
    ERR_clear_error();
    return sg_fail(SG_USAGE, "%s: it holds no certificate in PEM", pem_path);
}

void sg_tsa_close(struct sg_tsa **tsa)
{
    if (!*tsa)
        return;
    X509_STORE_free((*tsa)->store);
    free(*tsa);
    *tsa = NULL;
}

static bool fill_request(TS_REQ *request, const uint8_t digest[SG_DIGEST_BYTES])
{
    TS_MSG_IMPRINT *imprint = TS_MSG_IMPRINT_new();
    X509_ALGOR *algorithm = X509_ALGOR_new();
    bool good = imprint && algorithm && TS_REQ_set_version(request, 1) == 1 &&
                X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL) == 1 &&
                TS_MSG_IMPRINT_set_algo(imprint, algorithm) == 1 &&
                TS_MSG_IMPRINT_set_msg(imprint, (unsigned char *)digest, SG_DIGEST_BYTES) == 1 &&
                TS_REQ_set_msg_imprint(request, imprint) == 1 && TS_REQ_set_cert_req(request, 1) == 1;
    X509_ALGOR_free(algorithm);
    TS_MSG_IMPRINT_free(imprint);
    return good;
}

enum sg_status sg_timestamp_request(const uint8_t digest[SG_DIGEST_BYTES], struct sg_buffer *out)
{
    unsigned char *der = NULL;
    TS_REQ *request = TS_REQ_new();
    int n = request && fill_request(request, digest) ? i2d_TS_REQ(request, &der) : -1;
    if (n > 0)
        sg_buffer_append(out, der, (size_t)n);
    OPENSSL_free(der);
    TS_REQ_free(request);
    return n > 0 ? SG_OK : fail(SG_FAILED, "OpenSSL cannot make a request");
}

enum sg_status sg_timestamp_from_response(const char *bytes, size_t n, struct sg_buffer *token)
{
    const unsigned char *at = (const unsigned char *)bytes;
    unsigned char *der = NULL;
    TS_RESP *response = n <= SG_TOKEN_BYTES_MAX ? d2i_TS_RESP(NULL, &at, (long)n) : NULL;
    if (!response || at != (const unsigned char *)bytes + n) {
        TS_RESP_free(response);
        return fail(SG_USAGE, "this is not an authority's response (TimeStampResp in DER)");
    }
    long code = ASN1_INTEGER_get(TS_STATUS_INFO_get0_status(TS_RESP_get_status_info(response)));
    PKCS7 *signed_data = TS_RESP_get_token(response);
    int len = code <= TS_STATUS_GRANTED_WITH_MODS && code >= 0 && signed_data ? i2d_PKCS7(signed_data, &der) : -1;
    if (len > 0)
        sg_buffer_append(token, der, (size_t)len);
    OPENSSL_free(der);
    TS_RESP_free(response);
    return len > 0 ? SG_OK : fail(SG_USAGE, "the authority refused the request");
}

static PKCS7 *parse_token(const uint8_t *token, size_t n)
{
    const unsigned char *at = token;
    PKCS7 *signed_data = n <= SG_TOKEN_BYTES_MAX ? d2i_PKCS7(NULL, &at, (long)n) : NULL;
    if (signed_data && at == token + n && PKCS7_type_is_signed(signed_data))
        return signed_data;
    PKCS7_free(signed_data);
    return NULL;
}

static bool read_info(const TS_TST_INFO *info, uint8_t digest[SG_DIGEST_BYTES], int64_t *time_s)
{
    const X509_ALGOR *algorithm = TS_MSG_IMPRINT_get_algo(TS_TST_INFO_get_msg_imprint((TS_TST_INFO *)info));
    const ASN1_OCTET_STRING *stamped = TS_MSG_IMPRINT_get_msg(TS_TST_INFO_get_msg_imprint((TS_TST_INFO *)info));
    const ASN1_OBJECT *kind = NULL;
    struct tm utc = {0};
    X509_ALGOR_get0(&kind, NULL, NULL, algorithm);
    if (OBJ_obj2nid(kind) != NID_sha256 || ASN1_STRING_length(stamped) != SG_DIGEST_BYTES ||
        ASN1_TIME_to_tm(TS_TST_INFO_get_time(info), &utc) != 1)
        return false;
    memcpy(digest, ASN1_STRING_get0_data(stamped), SG_DIGEST_BYTES);
    *time_s = (int64_t)timegm(&utc);
    return true;
}

static enum sg_status read_token(PKCS7 *signed_data, uint8_t digest[SG_DIGEST_BYTES], int64_t *time_s)
{
    TS_TST_INFO *info = signed_data ? PKCS7_to_TS_TST_INFO(signed_data) : NULL;
    bool good = info && read_info(info, digest, time_s);
    TS_TST_INFO_free(info);
    return good ? SG_OK : fail(SG_BROKEN, "this is not a token over a SHA-256");
}

enum sg_status sg_timestamp_read(const uint8_t *token, size_t n, uint8_t digest[SG_DIGEST_BYTES], int64_t *time_s)
{
    PKCS7 *signed_data = parse_token(token, n);
    enum sg_status status = read_token(signed_data, digest, time_s);
    PKCS7_free(signed_data);
    return status;
}

/* OpenSSL's context takes the store and the imprint into its possession. */
static bool verify(const struct sg_tsa *tsa, PKCS7 *signed_data, const uint8_t digest[SG_DIGEST_BYTES], int64_t time_s)
{
    TS_VERIFY_CTX *context = TS_VERIFY_CTX_new();
    unsigned char *imprint = OPENSSL_memdup(digest, SG_DIGEST_BYTES);
    /* A certificate that has expired since does not undo what it signed. */
    X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(tsa->store), (time_t)time_s);
    X509_STORE_up_ref(tsa->store);
    TS_VERIFY_CTX_set_flags(context, TS_VFY_VERSION | TS_VFY_SIGNER | TS_VFY_SIGNATURE | TS_VFY_IMPRINT);
    TS_VERIFY_CTX_set_store(context, tsa->store);
    TS_VERIFY_CTX_set_imprint(context, imprint, SG_DIGEST_BYTES);
    bool good = TS_RESP_verify_token(context, signed_data) == 1;
    TS_VERIFY_CTX_free(context);
    return good;
}

enum sg_status sg_timestamp_check(const struct sg_tsa *tsa, const uint8_t *token, size_t n,
                                  const uint8_t digest[SG_DIGEST_BYTES], int64_t *time_s)
{
    uint8_t stamped[SG_DIGEST_BYTES];
    PKCS7 *signed_data = parse_token(token, n);
    enum sg_status status = read_token(signed_data, stamped, time_s);
    if (status == SG_OK && memcmp(stamped, digest, SG_DIGEST_BYTES) != 0)
        status = sg_fail(SG_BROKEN, "time stamp: it stamps something else than this checkpoint");
    if (status == SG_OK && !verify(tsa, signed_data, digest, *time_s))
        status = fail(SG_BROKEN, "it does not verify under the authorities you trust");
    PKCS7_free(signed_data);
    return status;
}
