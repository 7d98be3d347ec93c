#include "audit/sshsig.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <sodium.h>
#include <string.h>

#include "base/digest.h"

#define ARMOR_BEGIN "-----BEGIN SSH SIGNATURE-----\n"
#define ARMOR_END "-----END SSH SIGNATURE-----"

void sg_ssh_fingerprint(const uint8_t *key, size_t n, char out[SG_SSH_FINGERPRINT_CHARS])
{
    uint8_t digest[SG_DIGEST_BYTES];
    struct sg_buffer text = {0};
    sg_sha256(key, n, digest);
    sg_base64_append(&text, digest, sizeof digest);
    snprintf(out, SG_SSH_FINGERPRINT_CHARS, "SHA256:%.43s", text.data); /* without the padding */
    sg_buffer_free(&text);
}

enum sg_status sg_sshsig_dearmor(const char *text, size_t n, struct sg_buffer *out)
{
    struct sg_buffer compact = {0};
    size_t begin = strlen(ARMOR_BEGIN), end = strlen(ARMOR_END), got = 0;
    uint8_t *bytes = NULL;
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    bool good = n > begin + end && n < 2 * SG_SSHSIG_BYTES_MAX && memcmp(text, ARMOR_BEGIN, begin) == 0 &&
                memcmp(text + n - end, ARMOR_END, end) == 0;
    for (size_t i = begin; good && i < n - end; i++)
        if (text[i] != '\n' && text[i] != '\r')
            sg_buffer_append(&compact, text + i, 1);
    good = good && sg_base64_decode(compact.data ? compact.data : "", compact.len, &bytes, &got);
    sg_buffer_free(&compact);
    if (!good)
        return sg_fail(SG_USAGE, "signature: not the text that ssh-keygen -Y sign writes");
    sg_buffer_append(out, bytes, got);
    free(bytes);
    return SG_OK;
}

/* ---- Wire format: u32 length, bytes. */
static bool take(struct sg_ssh_bytes *from, struct sg_ssh_bytes *out)
{
    if (from->n < 4)
        return false;
    size_t n = (size_t)from->at[0] << 24 | (size_t)from->at[1] << 16 | (size_t)from->at[2] << 8 | from->at[3];
    if (n > from->n - 4)
        return false;
    *out = (struct sg_ssh_bytes){from->at + 4, n};
    *from = (struct sg_ssh_bytes){from->at + 4 + n, from->n - 4 - n};
    return true;
}

static bool is(const struct sg_ssh_bytes *bytes, const char *text)
{
    return bytes->n == strlen(text) && memcmp(bytes->at, text, bytes->n) == 0;
}

/* A positive number in its shortest form. */
static BIGNUM *take_number(struct sg_ssh_bytes *from)
{
    struct sg_ssh_bytes n;
    if (!take(from, &n) || n.n == 0 || n.n > 1025 || n.at[0] & 0x80 || (n.at[0] == 0 && (n.n == 1 || n.at[1] < 0x80)))
        return NULL;
    return BN_bin2bn(n.at, (int)n.n, NULL);
}

enum sg_status sg_sshsig_parse(const uint8_t *bytes, size_t n, enum sg_status status, struct sg_sshsig *out)
{
    static const uint8_t begin[10] = {'S', 'S', 'H', 'S', 'I', 'G', 0, 0, 0, 1};
    struct sg_ssh_bytes rest = {bytes + sizeof begin, n - sizeof begin}, reserved, signature;
    *out = (struct sg_sshsig){0};
    if (n < sizeof begin || n > SG_SSHSIG_BYTES_MAX || memcmp(bytes, begin, sizeof begin) != 0)
        return sg_fail(status, "signature: not an SSH signature of version 1");
    if (!take(&rest, &out->key) || !take(&rest, &out->namespace) || !take(&rest, &reserved) ||
        !take(&rest, &out->hash) || !take(&rest, &signature) || rest.n != 0 || !take(&signature, &out->algorithm) ||
        !take(&signature, &out->signature) || signature.n != 0)
        return sg_fail(status, "signature: it is cut off, or bytes stand behind it");
    if (!is(&out->namespace, SG_SSHSIG_NAMESPACE) || reserved.n != 0)
        return sg_fail(status, "signature: it was not made with -n " SG_SSHSIG_NAMESPACE);
    if (!is(&out->hash, "sha256") && !is(&out->hash, "sha512"))
        return sg_fail(status, "signature: its hash is neither sha256 nor sha512");
    sg_ssh_fingerprint(out->key.at, out->key.n, out->fingerprint);
    return SG_OK;
}

/* ---- Keys and algorithms. */
static void append_string(struct sg_buffer *out, const void *bytes, size_t n)
{
    const uint8_t length[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    sg_buffer_append(out, length, sizeof length);
    sg_buffer_append(out, bytes, n);
}

/* What the key signs: the message by its hash, with everything that says what the signature is for. */
static bool signed_bytes(const struct sg_sshsig *s, const void *message, size_t n, struct sg_buffer *out)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    if (EVP_Digest(message, n, digest, &digest_len, is(&s->hash, "sha512") ? EVP_sha512() : EVP_sha256(), NULL) != 1)
        return false;
    sg_buffer_append(out, "SSHSIG", 6);
    append_string(out, s->namespace.at, s->namespace.n);
    append_string(out, "", 0);
    append_string(out, s->hash.at, s->hash.n);
    append_string(out, digest, digest_len);
    return true;
}

static bool verify_ed25519(const struct sg_sshsig *s, struct sg_ssh_bytes key, const struct sg_buffer *bytes)
{
    struct sg_ssh_bytes public_key;
    return is(&s->algorithm, "ssh-ed25519") && take(&key, &public_key) && key.n == 0 && public_key.n == 32 &&
           s->signature.n == 64 &&
           crypto_sign_verify_detached(s->signature.at, (const uint8_t *)bytes->data, bytes->len, public_key.at) == 0;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

static bool verify_openssl(EVP_PKEY *key, const EVP_MD *hash, const uint8_t *signature, size_t n,
                           const struct sg_buffer *bytes)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = key && context && EVP_DigestVerifyInit(context, NULL, hash, NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, n, (const uint8_t *)bytes->data, bytes->len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good;
}

/* (r, s) on the wire to the DER that OpenSSL takes. */
static bool ecdsa_der(struct sg_ssh_bytes signature, unsigned char **der, int *n)
{
    BIGNUM *r = take_number(&signature), *s = take_number(&signature);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    if (!r || !s || !pair || signature.n != 0 || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(pair);
        return false;
    }
    *n = i2d_ECDSA_SIG(pair, der);
    ECDSA_SIG_free(pair);
    return *n > 0;
}

static bool verify_ecdsa(const struct sg_sshsig *s, const char *type, struct sg_ssh_bytes key,
                         const struct sg_buffer *bytes)
{
    static const struct {
        const char *type, *curve, *group;
        const EVP_MD *(*hash)(void);
        size_t point_bytes;
    } curves[] = {{"ecdsa-sha2-nistp256", "nistp256", "P-256", EVP_sha256, 65},
                  {"ecdsa-sha2-nistp384", "nistp384", "P-384", EVP_sha384, 97},
                  {"ecdsa-sha2-nistp521", "nistp521", "P-521", EVP_sha512, 133}};
    struct sg_ssh_bytes curve, point;
    size_t i = 0;
    while (i < sizeof curves / sizeof *curves && strcmp(curves[i].type, type) != 0)
        i++;
    if (i == sizeof curves / sizeof *curves || !is(&s->algorithm, type) || !take(&key, &curve) || !take(&key, &point) ||
        key.n != 0 || !is(&curve, curves[i].curve) || point.n != curves[i].point_bytes || point.at[0] != 4)
        return false;
    unsigned char *der = NULL;
    int der_len = 0;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    bool good = build && ecdsa_der(s->signature, &der, &der_len) &&
                OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group, 0) == 1 &&
                OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.at, point.n) == 1;
    EVP_PKEY *public_key = good ? key_from("EC", build) : NULL; /* refuses a point off the curve */
    good = good && verify_openssl(public_key, curves[i].hash(), der, (size_t)der_len, bytes);
    EVP_PKEY_free(public_key);
    OSSL_PARAM_BLD_free(build);
    OPENSSL_free(der);
    ERR_clear_error();
    return good;
}

static bool verify_rsa(const struct sg_sshsig *s, struct sg_ssh_bytes key, const struct sg_buffer *bytes)
{
    const EVP_MD *hash = is(&s->algorithm, "rsa-sha2-512")   ? EVP_sha512()
                         : is(&s->algorithm, "rsa-sha2-256") ? EVP_sha256()
                                                             : NULL; /* "ssh-rsa" would be SHA-1 */
    BIGNUM *e = take_number(&key), *n = e ? take_number(&key) : NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    bool good = hash && n && build && key.n == 0 && BN_num_bits(n) >= 2048 && BN_num_bits(n) <= 8192 &&
                BN_num_bits(e) <= 64 && s->signature.n == (size_t)BN_num_bytes(n) &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1;
    EVP_PKEY *public_key = good ? key_from("RSA", build) : NULL;
    good = good && verify_openssl(public_key, hash, s->signature.at, s->signature.n, bytes);
    EVP_PKEY_free(public_key);
    OSSL_PARAM_BLD_free(build);
    BN_free(e);
    BN_free(n);
    ERR_clear_error();
    return good;
}

bool sg_sshsig_verify(const struct sg_sshsig *signature, const void *message, size_t n)
{
    struct sg_ssh_bytes key = signature->key, type;
    struct sg_buffer bytes = {0};
    char name[32];
    if (!take(&key, &type) || type.n >= sizeof name || !signed_bytes(signature, message, n, &bytes)) {
        sg_buffer_free(&bytes);
        return false;
    }
    memcpy(name, type.at, type.n);
    name[type.n] = 0;
    bool good = strcmp(name, "ssh-ed25519") == 0 ? verify_ed25519(signature, key, &bytes)
                : strcmp(name, "ssh-rsa") == 0   ? verify_rsa(signature, key, &bytes)
                                                 : verify_ecdsa(signature, name, key, &bytes);
    sg_buffer_free(&bytes);
    return good;
}
