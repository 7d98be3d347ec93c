/* Public keys: names, vkeys, verification. */
#include "audit/key.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "p256.h"

bool sg_key_name_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= SG_NAME_MAX)
        return false;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '+')
            return false;
    json_t *text = json_string(name); /* NULL when it is not UTF-8 */
    json_decref(text);
    return text != NULL;
}

size_t sg_public_key_bytes(uint8_t type)
{
    return type == SG_KEY_P256 ? SG_P256_KEY_BYTES : SG_ED25519_KEY_BYTES;
}

enum sg_status sg_vkey_make(const char *name, uint8_t type, const uint8_t *public_key, struct sg_vkey *out)
{
    if (!sg_key_name_valid(name))
        return sg_fail(SG_USAGE, "a key's or ledger's name must be 1 to 127 characters without blanks and '+'");
    *out = (struct sg_vkey){.type = type};
    strcpy(out->name, name);
    memcpy(out->public_key, public_key, sg_public_key_bytes(type));
    struct sg_buffer text = {0};
    if (type != SG_KEY_P256) /* the id of an ECDSA key is that of its DER alone, by the format */
        sg_buffer_printf(&text, "%s\n%c", name, type);
    sg_buffer_append(&text, public_key, sg_public_key_bytes(type));
    uint8_t digest[SG_DIGEST_BYTES];
    sg_sha256(text.data, text.len, digest);
    memcpy(out->key_id, digest, sizeof out->key_id);
    sg_buffer_free(&text);
    return SG_OK;
}

enum sg_status sg_vkey_parse(const char *text, size_t len, enum sg_status status, struct sg_vkey *out)
{
    const char *plus = memchr(text, '+', len);
    const char *second = plus ? memchr(plus + 1, '+', (size_t)(text + len - plus - 1)) : NULL;
    char name[SG_NAME_MAX];
    uint8_t key_id[4];
    if (!second || plus == text || plus - text >= SG_NAME_MAX ||
        !sg_hex_decode(plus + 1, (size_t)(second - plus - 1), key_id, sizeof key_id))
        return sg_fail(status, "not a public key: expected name+8 hexadecimal digits+base64");
    memcpy(name, text, (size_t)(plus - text));
    name[plus - text] = 0;
    uint8_t *key = NULL;
    size_t key_len = 0;
    if (strlen(name) != (size_t)(plus - text) || !sg_key_name_valid(name) ||
        !sg_base64_decode(second + 1, (size_t)(text + len - second - 1), &key, &key_len))
        return sg_fail(status, "not a public key: its name or base64 part is malformed");
    bool known = key_len > 1 && key_len == 1 + sg_public_key_bytes(key[0]) &&
                 (key[0] == SG_KEY_ED25519 || key[0] == SG_KEY_COSIGNATURE ||
                  (key[0] == SG_KEY_P256 && sg_p256_public_valid(key + 1)));
    enum sg_status made = known ? sg_vkey_make(name, key[0], key + 1, out) : SG_USAGE;
    free(key);
    if (!known)
        return sg_fail(status,
                       "public key %s: only Ed25519 (types 1 and 4) and ECDSA P-256 keys (type 2) are supported", name);
    if (made != SG_OK || memcmp(out->key_id, key_id, sizeof key_id) != 0)
        return sg_fail(status, "public key %s: its key id does not belong to its name and key", name);
    return SG_OK;
}

void sg_vkey_print(const struct sg_vkey *key, struct sg_buffer *out)
{
    char hex[9];
    uint8_t typed[1 + SG_PUBLIC_KEY_MAX] = {key->type};
    memcpy(typed + 1, key->public_key, sg_public_key_bytes(key->type));
    sg_hex_encode(key->key_id, sizeof key->key_id, hex);
    sg_buffer_printf(out, "%s+%s+", key->name, hex);
    sg_base64_append(out, typed, 1 + sg_public_key_bytes(key->type));
}

enum sg_status sg_vkey_rename(const struct sg_vkey *key, const char *name, struct sg_vkey *out)
{
    return sg_vkey_make(name, key->type == SG_KEY_P256 ? SG_KEY_P256 : SG_KEY_ED25519, key->public_key, out);
}

enum sg_status sg_vkey_cosigner(const struct sg_vkey *key, struct sg_vkey *out)
{
    if (key->type == SG_KEY_P256)
        return sg_fail(SG_USAGE, "the key %s is an ECDSA key: a witness signs with Ed25519, by its protocol",
                       key->name);
    return sg_vkey_make(key->name, SG_KEY_COSIGNATURE, key->public_key, out);
}

bool sg_vkey_same(const struct sg_vkey *a, const struct sg_vkey *b)
{
    return (a->type == SG_KEY_P256) == (b->type == SG_KEY_P256) &&
           memcmp(a->public_key, b->public_key, sg_public_key_bytes(a->type)) == 0;
}

void sg_key_label(const struct sg_vkey *key, char out[33])
{
    uint8_t digest[SG_DIGEST_BYTES];
    sg_sha256(key->public_key, sg_public_key_bytes(key->type), digest);
    sg_hex_encode(digest, 16, out);
}

bool sg_key_verify(const struct sg_vkey *key, const void *bytes, size_t n, const uint8_t *signature,
                   size_t signature_len)
{
    if (key->type == SG_KEY_P256)
        return sg_p256_verify(key->public_key, bytes, n, signature, signature_len);
    return signature_len == SG_ED25519_SIGNATURE_BYTES &&
           crypto_sign_ed25519_verify_detached(signature, bytes, n, key->public_key) == 0;
}
