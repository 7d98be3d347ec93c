#include "p256.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING of 66 bytes, none unused } */
static const uint8_t prefix[26] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                                   0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
/* FIPS 186-4, D.1.2.3 */
static const uint8_t order[SG_KEY_BYTES] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,    0xff, 0xff, 0xff,
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                            0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

struct sg_p256 {
    EVP_PKEY *key;
};

void sg_p256_public_from_point(const uint8_t point[SG_P256_POINT_BYTES], uint8_t out[SG_P256_KEY_BYTES])
{
    memcpy(out, prefix, sizeof prefix);
    memcpy(out + sizeof prefix, point, SG_P256_POINT_BYTES);
}

static EVP_PKEY *public_from(const uint8_t public_key[SG_P256_KEY_BYTES])
{
    const unsigned char *at = public_key;
    if (memcmp(public_key, prefix, sizeof prefix) != 0 || public_key[sizeof prefix] != 4)
        return NULL;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, SG_P256_KEY_BYTES); /* refuses a point that is not on the curve */
    ERR_clear_error();
    return key;
}

bool sg_p256_public_valid(const uint8_t public_key[SG_P256_KEY_BYTES])
{
    EVP_PKEY *key = public_from(public_key);
    EVP_PKEY_free(key);
    return key != NULL;
}

bool sg_p256_verify(const uint8_t public_key[SG_P256_KEY_BYTES], const void *bytes, size_t n, const uint8_t *signature,
                    size_t signature_len)
{
    EVP_PKEY *key = public_from(public_key);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    /* ECDSA_verify encodes (r, s) again and compares: only the one DER of a signature is accepted. */
    bool good = key && context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, signature_len, bytes, n) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good;
}

bool sg_p256_scalar_valid(const uint8_t scalar[SG_KEY_BYTES])
{
    static const uint8_t zero[SG_KEY_BYTES];
    unsigned borrow = 0; /* of scalar - order, without a branch on the secret */
    for (int i = SG_KEY_BYTES - 1; i >= 0; i--)
        borrow = ((unsigned)scalar[i] - order[i] - borrow) >> 8 & 1;
    return borrow && !sg_bytes_equal(scalar, zero, SG_KEY_BYTES);
}

bool sg_p256_signature_from_raw(const uint8_t raw[SG_P256_RAW_BYTES], uint8_t out[SG_SIGNATURE_MAX], size_t *len)
{
    if (!sg_p256_scalar_valid(raw) || !sg_p256_scalar_valid(raw + SG_KEY_BYTES))
        return false;
    size_t n = 2;
    for (int part = 0; part < 2; part++) { /* INTEGER: shortest, and never negative */
        const uint8_t *number = raw + part * SG_KEY_BYTES;
        size_t skip = 0;
        while (number[skip] == 0)
            skip++;
        size_t pad = number[skip] >> 7, bytes = SG_KEY_BYTES - skip;
        out[n++] = 0x02;
        out[n++] = (uint8_t)(bytes + pad);
        if (pad)
            out[n++] = 0;
        memcpy(out + n, number + skip, bytes);
        n += bytes;
    }
    out[0] = 0x30;
    out[1] = (uint8_t)(n - 2);
    *len = n;
    return true;
}

static bool point_of(const BIGNUM *scalar, uint8_t point[SG_P256_POINT_BYTES])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *public_point = group ? EC_POINT_new(group) : NULL;
    bool good = public_point && EC_POINT_mul(group, public_point, scalar, NULL, NULL, NULL) == 1 &&
                EC_POINT_point2oct(group, public_point, POINT_CONVERSION_UNCOMPRESSED, point, SG_P256_POINT_BYTES,
                                   NULL) == SG_P256_POINT_BYTES;
    EC_POINT_free(public_point);
    EC_GROUP_free(group);
    return good;
}

static EVP_PKEY *pair_from(const BIGNUM *scalar, const uint8_t point[SG_P256_POINT_BYTES])
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, SG_P256_POINT_BYTES) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar))
        params = OSSL_PARAM_BLD_to_param(build);
    if (!params || !context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params); /* wipes the secure part */
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(context);
    return key;
}

enum sg_status sg_p256_open(const uint8_t scalar[SG_KEY_BYTES], struct sg_p256 **out,
                            uint8_t public_key[SG_P256_KEY_BYTES])
{
    uint8_t point[SG_P256_POINT_BYTES];
    *out = NULL;
    if (!sg_p256_scalar_valid(scalar))
        return sg_fail(SG_USAGE, "the secret is not a P-256 key: it is not between 1 and the group's order");
    if (!CRYPTO_secure_malloc_initialized())
        CRYPTO_secure_malloc_init(1 << 16, 32); /* where it fails, OpenSSL's ordinary heap serves, and is wiped too */
    BIGNUM *secret = BN_secure_new();
    EVP_PKEY *key = NULL;
    if (secret && BN_bin2bn(scalar, SG_KEY_BYTES, secret)) {
        BN_set_flags(secret, BN_FLG_CONSTTIME);
        if (point_of(secret, point))
            key = pair_from(secret, point);
    }
    BN_clear_free(secret);
    ERR_clear_error();
    if (!key)
        return sg_fail(SG_FAILED,
                       "OpenSSL cannot use a P-256 key on this machine: check openssl version and providers");
    *out = sg_alloc(1, sizeof **out);
    (*out)->key = key;
    sg_p256_public_from_point(point, public_key);
    return SG_OK;
}

enum sg_status sg_p256_sign(const struct sg_p256 *key, const void *bytes, size_t n, uint8_t out[SG_SIGNATURE_MAX],
                            size_t *len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    *len = SG_SIGNATURE_MAX;
    bool good = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->key) == 1 &&
                EVP_DigestSign(context, out, len, bytes, n) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good ? SG_OK : sg_fail(SG_FAILED, "OpenSSL did not sign with the P-256 key");
}

void sg_p256_close(struct sg_p256 **key)
{
    if (!*key)
        return;
    EVP_PKEY_free((*key)->key);
    free(*key);
    *key = NULL;
}
