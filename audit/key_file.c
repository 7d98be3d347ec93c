/* The secret key file.
 *
 * NAME.key is text of five or six lines, mode 0600:
 *   sealgrad-key-v1
 *   name NAME
 *   algorithm p256                    only for ECDSA P-256; without this line the key is Ed25519
 *   kdf none                          or: kdf argon2id OPERATIONS MEMORY_BYTES SALT(base64, 16 bytes)
 *   public BASE64                     32 bytes, or the 91 bytes of a P-256 SubjectPublicKeyInfo
 *   secret BASE64(secret, 32 bytes)   or: secret BASE64(nonce, 24 bytes || secretbox of the secret, 48 bytes)
 * The secret is the seed, or the big-endian scalar. The secretbox key is Argon2id13 of the passphrase. NAME.pub is the
 * vkey and a line feed. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/number.h"
#include "p256.h"
#include "pkcs11.h"
#include "signer.h"

#define MAGIC "sealgrad-key-v1"
enum { SEED = SG_KEY_BYTES, SEALED = crypto_secretbox_NONCEBYTES + SEED + crypto_secretbox_MACBYTES };
/* A hostile key file must not make us fill the machine. */
static const int64_t operations_max = 16, memory_bytes_max = (int64_t)1 << 30;

static bool file_name_valid(const char *name)
{
    return sg_key_name_valid(name) && name[0] != '.' && !strchr(name, '/') && strlen(name) <= 100;
}

static enum sg_status derive(const char *passphrase, size_t len, const uint8_t *salt, int64_t operations,
                             int64_t memory_bytes, uint8_t out[crypto_secretbox_KEYBYTES])
{
    if (crypto_pwhash(out, crypto_secretbox_KEYBYTES, passphrase, len, salt, (unsigned long long)operations,
                      (size_t)memory_bytes, crypto_pwhash_ALG_ARGON2ID13))
        return sg_fail(SG_FAILED, "the passphrase could not be stretched: Argon2id needs %lld MiB of memory",
                       (long long)(memory_bytes >> 20));
    return SG_OK;
}

/* Appends the kdf line and returns the secret line's bytes in `sealed`. */
static enum sg_status seal(const uint8_t seed[SEED], const char *passphrase, struct sg_buffer *text,
                           uint8_t sealed[SEALED])
{
    uint8_t salt[crypto_pwhash_SALTBYTES], key[crypto_secretbox_KEYBYTES];
    int64_t operations = crypto_pwhash_OPSLIMIT_MODERATE, memory = crypto_pwhash_MEMLIMIT_MODERATE;
    SG_TRY(sg_random_bytes(salt, sizeof salt));
    SG_TRY(sg_random_bytes(sealed, crypto_secretbox_NONCEBYTES));
    SG_TRY(derive(passphrase, strlen(passphrase), salt, operations, memory, key));
    crypto_secretbox_easy(sealed + crypto_secretbox_NONCEBYTES, seed, SEED, sealed, key);
    sg_wipe(key, sizeof key);
    sg_buffer_printf(text, "kdf argon2id %lld %lld ", (long long)operations, (long long)memory);
    sg_base64_append(text, salt, sizeof salt);
    sg_buffer_text(text, "\n");
    return SG_OK;
}

/* NAME.pub; refuses to overwrite. */
static enum sg_status write_public(const char *path, const struct sg_vkey *key)
{
    struct sg_buffer vkey = {0};
    sg_vkey_print(key, &vkey);
    sg_buffer_text(&vkey, "\n");
    enum sg_status status = sg_file_write(path, vkey.data, vkey.len, 0644);
    sg_buffer_free(&vkey);
    return status;
}

static enum sg_status write_pair(const char *folder, const char *name, const struct sg_signer *signer,
                                 const char *passphrase)
{
    struct sg_buffer text = {0};
    uint8_t secret[SEALED];
    size_t secret_len = passphrase ? SEALED : SEED;
    sg_buffer_printf(&text, MAGIC "\nname %s\n%s", name, signer->key.type == SG_KEY_P256 ? "algorithm p256\n" : "");
    enum sg_status status = SG_OK;
    if (passphrase) {
        status = seal(signer->secret, passphrase, &text, secret);
    } else {
        sg_buffer_text(&text, "kdf none\n");
        memcpy(secret, signer->secret, SEED);
    }
    sg_buffer_text(&text, "public ");
    sg_base64_append(&text, signer->key.public_key, sg_public_key_bytes(signer->key.type));
    sg_buffer_text(&text, "\nsecret ");
    sg_base64_append(&text, secret, secret_len);
    sg_buffer_text(&text, "\n");
    sg_wipe(secret, sizeof secret);
    char *key_path = sg_format("%s/%s.key", folder, name), *pub_path = sg_format("%s/%s.pub", folder, name);
    if (status == SG_OK && (sg_file_exists(key_path) || sg_file_exists(pub_path)))
        status = sg_fail(SG_USAGE, "%s or %s.pub exists already: choose another --name or folder", key_path, name);
    if (status == SG_OK)
        status = sg_file_write(key_path, text.data, text.len, 0600);
    if (status == SG_OK)
        status = write_public(pub_path, &signer->key);
    free(key_path);
    free(pub_path);
    sg_buffer_free(&text);
    return status;
}

enum sg_status sg_key_export(const char *folder, const struct sg_signer *signer)
{
    const char *name = signer->key.name;
    if (!file_name_valid(name))
        return sg_fail(SG_USAGE, "the key's name cannot be a file's name: no blanks, '/', '+' or leading '.'");
    SG_TRY(sg_folder_make(folder));
    char *path = sg_format("%s/%s.pub", folder, name);
    enum sg_status status =
        sg_file_exists(path) ? sg_fail(SG_USAGE, "%s exists already", path) : write_public(path, &signer->key);
    free(path);
    return status;
}

enum sg_status sg_key_generate(const char *folder, const char *name, enum sg_algorithm algorithm,
                               const char *passphrase)
{
    uint8_t type = algorithm == SG_ALGORITHM_P256 ? SG_KEY_P256 : SG_KEY_ED25519;
    if (!file_name_valid(name))
        return sg_fail(SG_USAGE, "key name: 1 to 100 characters without blanks, '/', '+' and a leading '.'");
    if (passphrase && !*passphrase)
        return sg_fail(SG_USAGE, "the passphrase is empty: give one, or ask for a key without passphrase");
    uint8_t seed[SEED];
    SG_TRY(sg_folder_make(folder));
    do
        SG_TRY(sg_random_bytes(seed, sizeof seed));
    while (type == SG_KEY_P256 && !sg_p256_scalar_valid(seed)); /* FIPS 186-5, A.2.2: by rejection */
    struct sg_signer *signer = NULL;
    enum sg_status status = sg_signer_from_secret(name, type, seed, &signer);
    sg_wipe(seed, sizeof seed);
    if (status == SG_OK)
        status = write_pair(folder, name, signer, passphrase);
    sg_signer_close(&signer);
    return status;
}

/* Takes "label value\n" off the front of *at. */
static bool take_line(const char **at, const char *end, const char *label, const char **value, size_t *len)
{
    const char *feed = memchr(*at, '\n', (size_t)(end - *at));
    size_t label_len = strlen(label);
    if (!feed || (size_t)(feed - *at) < label_len || memcmp(*at, label, label_len) != 0)
        return false;
    *value = *at + label_len;
    *len = (size_t)(feed - *value);
    *at = feed + 1;
    return true;
}

struct key_file {
    char name[SG_NAME_MAX];
    uint8_t type;
    bool is_sealed;
    int64_t operations, memory_bytes;
    uint8_t salt[crypto_pwhash_SALTBYTES], public_key[SG_PUBLIC_KEY_MAX], secret[SEALED];
};

static bool take_base64(const char *text, size_t len, uint8_t *out, size_t n)
{
    uint8_t *bytes = NULL;
    size_t got = 0;
    if (!sg_base64_decode(text, len, &bytes, &got))
        return false;
    if (got == n)
        memcpy(out, bytes, n);
    sg_wipe(bytes, got);
    free(bytes);
    return got == n;
}

static bool parse_kdf(const char *text, size_t len, struct key_file *out)
{
    if (len == 4 && memcmp(text, "none", 4) == 0)
        return true;
    static const char prefix[] = "argon2id ";
    const char *end = text + len, *at = text + sizeof prefix - 1;
    if (len < sizeof prefix || memcmp(text, prefix, sizeof prefix - 1) != 0)
        return false;
    const char *second = memchr(at, ' ', (size_t)(end - at));
    const char *third = second ? memchr(second + 1, ' ', (size_t)(end - second - 1)) : NULL;
    out->is_sealed = true;
    return third && sg_number_int64(at, (size_t)(second - at), &out->operations) &&
           sg_number_int64(second + 1, (size_t)(third - second - 1), &out->memory_bytes) && out->operations >= 1 &&
           out->operations <= operations_max && out->memory_bytes >= crypto_pwhash_MEMLIMIT_MIN &&
           out->memory_bytes <= memory_bytes_max &&
           take_base64(third + 1, (size_t)(end - third - 1), out->salt, sizeof out->salt);
}

static bool parse_key_file(const struct sg_buffer *text, struct key_file *out)
{
    const char *at = text->data, *end = text->data + text->len, *value;
    size_t len;
    if (text->len == 0 || !take_line(&at, end, MAGIC, &value, &len) || len != 0)
        return false;
    if (!take_line(&at, end, "name ", &value, &len) || len == 0 || len >= SG_NAME_MAX || memchr(value, 0, len))
        return false;
    memcpy(out->name, value, len);
    out->type = SG_KEY_ED25519;
    if (take_line(&at, end, "algorithm ", &value, &len)) {
        if (len != 4 || memcmp(value, "p256", 4) != 0)
            return false;
        out->type = SG_KEY_P256;
    }
    if (!take_line(&at, end, "kdf ", &value, &len) || !parse_kdf(value, len, out))
        return false;
    return take_line(&at, end, "public ", &value, &len) &&
           take_base64(value, len, out->public_key, sg_public_key_bytes(out->type)) &&
           take_line(&at, end, "secret ", &value, &len) &&
           take_base64(value, len, out->secret, out->is_sealed ? SEALED : SEED) && at == end;
}

static enum sg_status unseal(const char *path, const char *unlock_file, struct key_file *file, uint8_t seed[SEED])
{
    if (!file->is_sealed) {
        memcpy(seed, file->secret, SEED);
        return SG_OK;
    }
    if (!unlock_file)
        return sg_fail(SG_USAGE, "%s is sealed by a passphrase: name a file that holds it with --unlock-file", path);
    struct sg_buffer passphrase = {0};
    SG_TRY(sg_file_read(unlock_file, "passphrase file", 4096, &passphrase));
    size_t len = passphrase.len ? strcspn(passphrase.data, "\r\n") : 0;
    uint8_t key[crypto_secretbox_KEYBYTES];
    enum sg_status status = len ? SG_OK : sg_fail(SG_USAGE, "%s: the first line must hold the passphrase", unlock_file);
    if (status == SG_OK)
        status = derive(passphrase.data, len, file->salt, file->operations, file->memory_bytes, key);
    if (status == SG_OK && crypto_secretbox_open_easy(seed, file->secret + crypto_secretbox_NONCEBYTES,
                                                      SEALED - crypto_secretbox_NONCEBYTES, file->secret, key))
        status = sg_fail(SG_USAGE, "%s: wrong passphrase, or the key file is damaged", path);
    sg_wipe(key, sizeof key);
    sg_buffer_free(&passphrase);
    return status;
}

static enum sg_status check_mode(const char *path)
{
    struct stat info;
    if (stat(path, &info))
        return sg_fail(SG_USAGE, "%s: cannot read the signing key: %s", path, strerror(errno));
    if (S_ISREG(info.st_mode) && info.st_mode & 077)
        return sg_fail(SG_USAGE, "%s: others may read this signing key: chmod 600 it", path);
    return SG_OK;
}

enum sg_status sg_signer_open(const char *key_path, const char *unlock_file, struct sg_signer **out)
{
    *out = NULL;
    if (sodium_init() < 0)
        return sg_fail(SG_FAILED, "libsodium did not start: no randomness on this machine");
    if (strncmp(key_path, "pkcs11:", 7) == 0)
        return sg_pkcs11_open(key_path, unlock_file, out);
    SG_TRY(check_mode(key_path));
    struct sg_buffer text = {0};
    SG_TRY(sg_file_read(key_path, "signing key", 4096, &text));
    struct key_file file = {0};
    uint8_t seed[SEED] = {0};
    enum sg_status status = SG_OK;
    if (!parse_key_file(&text, &file))
        status =
            sg_fail(SG_USAGE, "%s: not a sealgrad signing key, or damaged (make one with sealgrad keygen)", key_path);
    if (status == SG_OK)
        status = unseal(key_path, unlock_file, &file, seed);
    if (status == SG_OK)
        status = sg_signer_from_secret(file.name, file.type, seed, out);
    if (status == SG_OK && memcmp((*out)->key.public_key, file.public_key, sg_public_key_bytes(file.type)) != 0) {
        sg_signer_close(out);
        status = sg_fail(SG_USAGE, "%s: the secret and the public part do not belong together", key_path);
    }
    sg_wipe(seed, sizeof seed);
    sg_wipe(&file, sizeof file);
    sg_buffer_free(&text);
    return status;
}
