#include "pkcs11.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "p256.h"
#include "signer.h"

struct sg_pkcs11 {
    void *library;
    CK_FUNCTION_LIST *call;
    bool is_ours; /* we initialised the module and shall finalise it */
    bool has_session;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    uint8_t type; /* SG_KEY_ED25519 or SG_KEY_P256 */
};

static enum sg_status fail(const char *doing, CK_RV code)
{
    const char *why = code == CKR_PIN_INCORRECT ? ": the PIN is wrong"
                      : code == CKR_PIN_LOCKED  ? ": the PIN is locked after too many wrong ones"
                      : code == CKR_TOKEN_NOT_PRESENT || code == CKR_DEVICE_REMOVED ? ": the token was removed"
                      : code == CKR_MECHANISM_INVALID ? ": the token does not know this algorithm"
                                                      : "";
    return sg_fail(SG_FAILED, "pkcs11: %s: error 0x%lx%s", doing, (unsigned long)code, why);
}

/* ---- Module, token, session. */
static enum sg_status load(const char *path, struct sg_pkcs11 *out)
{
    out->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!out->library)
        return sg_fail(SG_USAGE, "pkcs11: the module cannot be loaded: %s", dlerror());
    CK_C_GetFunctionList get_list;
    *(void **)&get_list = dlsym(out->library, "C_GetFunctionList");
    if (!get_list || get_list(&out->call) != CKR_OK || !out->call)
        return sg_fail(SG_USAGE, "pkcs11: %s is not a PKCS#11 module", path);
    CK_C_INITIALIZE_ARGS how = {.flags = CKF_OS_LOCKING_OK};
    CK_RV code = out->call->C_Initialize(&how);
    out->is_ours = code == CKR_OK;
    return code == CKR_OK || code == CKR_CRYPTOKI_ALREADY_INITIALIZED ? SG_OK : fail("starting the module", code);
}

/* Labels of tokens are padded with blanks to 32 bytes. */
static bool label_matches(const CK_TOKEN_INFO *info, const char *label)
{
    size_t len = strlen(label);
    if (memcmp(info->label, label, len) != 0)
        return false;
    while (len < sizeof info->label && info->label[len] == ' ')
        len++;
    return len == sizeof info->label;
}

static enum sg_status find_slot(const struct sg_pkcs11 *module, const char *token, CK_SLOT_ID *out)
{
    CK_SLOT_ID slots[256];
    CK_ULONG n = sizeof slots / sizeof *slots, found = 0;
    CK_TOKEN_INFO info;
    CK_RV code = module->call->C_GetSlotList(CK_TRUE, slots, &n);
    if (code != CKR_OK)
        return fail("listing its tokens", code);
    for (CK_ULONG i = 0; i < n; i++)
        if (module->call->C_GetTokenInfo(slots[i], &info) == CKR_OK && info.flags & CKF_TOKEN_INITIALIZED &&
            (!*token || label_matches(&info, token))) {
            *out = slots[i];
            found++;
        }
    if (found == 1)
        return SG_OK;
    return sg_fail(SG_USAGE,
                   found ? "pkcs11: %lu tokens fit: name one of them with token=LABEL"
                         : "pkcs11: %lu tokens of that label are present",
                   (unsigned long)found);
}

static enum sg_status log_in(struct sg_pkcs11 *module, CK_SLOT_ID slot, const char *pin_file)
{
    struct stat info;
    struct sg_buffer text = {0};
    CK_RV code = module->call->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &module->session);
    if (code != CKR_OK)
        return fail("opening a session", code);
    module->has_session = true;
    if (!pin_file || !*pin_file)
        return sg_fail(SG_USAGE, "pkcs11: name a file that holds the PIN: pin-file=FILE in the URI, or --unlock-file");
    if (stat(pin_file, &info) == 0 && S_ISREG(info.st_mode) && info.st_mode & 077)
        return sg_fail(SG_USAGE, "%s: others may read this PIN: chmod 600 it", pin_file);
    SG_TRY(sg_file_read(pin_file, "PIN file", 4096, &text));
    size_t len = text.len ? strcspn(text.data, "\r\n") : 0;
    if (text.len)
        sodium_mlock(text.data, text.len);
    code = len ? module->call->C_Login(module->session, CKU_USER, (CK_UTF8CHAR *)text.data, len) : CKR_OK;
    if (text.len)
        sodium_munlock(text.data, text.len); /* wipes it */
    sg_buffer_free(&text);
    if (len == 0)
        return sg_fail(SG_USAGE, "%s: the first line must hold the PIN", pin_file);
    return code == CKR_OK || code == CKR_USER_ALREADY_LOGGED_IN ? SG_OK : fail("logging in", code);
}

/* ---- Objects. */
static enum sg_status find_object(const struct sg_pkcs11 *module, CK_OBJECT_CLASS class, const char *label,
                                  CK_OBJECT_HANDLE *out)
{
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, (void *)label, strlen(label)}};
    CK_OBJECT_HANDLE found[2];
    CK_ULONG n = 0;
    CK_RV code = module->call->C_FindObjectsInit(module->session, wanted, 2);
    if (code == CKR_OK) {
        code = module->call->C_FindObjects(module->session, found, 2, &n);
        module->call->C_FindObjectsFinal(module->session);
    }
    if (code != CKR_OK)
        return fail("looking for the key", code);
    if (n != 1)
        return sg_fail(SG_USAGE, "pkcs11: the token has %s %s key labelled \"%s\"", n ? "more than one" : "no",
                       class == CKO_PRIVATE_KEY ? "private" : "public", label);
    *out = found[0];
    return SG_OK;
}

/* CKA_EC_POINT is an OCTET STRING around the point; some modules leave the wrapping out. */
static bool unwrap_point(const uint8_t *bytes, size_t n, size_t wanted, const uint8_t **point)
{
    *point = n == wanted ? bytes : bytes + 2;
    return n == wanted || (n == wanted + 2 && bytes[0] == 0x04 && bytes[1] == wanted);
}

static enum sg_status read_public(const struct sg_pkcs11 *module, CK_OBJECT_HANDLE object, uint8_t *type,
                                  uint8_t public_key[SG_PUBLIC_KEY_MAX])
{
    static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_KEY_TYPE kind = 0;
    uint8_t curve[64], bytes[128];
    CK_ATTRIBUTE wanted[] = {
        {CKA_KEY_TYPE, &kind, sizeof kind}, {CKA_EC_PARAMS, curve, sizeof curve}, {CKA_EC_POINT, bytes, sizeof bytes}};
    CK_RV code = module->call->C_GetAttributeValue(module->session, object, wanted, 3);
    const uint8_t *point;
    if (code == CKR_OK && kind == CKK_EC_EDWARDS &&
        unwrap_point(bytes, wanted[2].ulValueLen, SG_ED25519_KEY_BYTES, &point)) {
        *type = SG_KEY_ED25519; /* Ed448's points have 57 bytes */
        memcpy(public_key, point, SG_ED25519_KEY_BYTES);
        return SG_OK;
    }
    if (code == CKR_OK && kind == CKK_EC && wanted[1].ulValueLen == sizeof p256 &&
        memcmp(curve, p256, sizeof p256) == 0 &&
        unwrap_point(bytes, wanted[2].ulValueLen, SG_P256_POINT_BYTES, &point)) {
        *type = SG_KEY_P256;
        sg_p256_public_from_point(point, public_key);
        if (sg_p256_public_valid(public_key))
            return SG_OK;
    }
    return sg_fail(SG_USAGE, "pkcs11: the key is neither Ed25519 nor ECDSA P-256");
}

/* ---- Signing. */
enum sg_status sg_pkcs11_sign(const struct sg_pkcs11 *module, const void *bytes, size_t n,
                              uint8_t out[SG_SIGNATURE_MAX], size_t *len)
{
    bool is_p256 = module->type == SG_KEY_P256;
    CK_MECHANISM how = {is_p256 ? CKM_ECDSA : CKM_EDDSA, NULL, 0};
    uint8_t digest[SG_DIGEST_BYTES], raw[128];
    CK_ULONG raw_len = sizeof raw;
    if (is_p256) {
        sg_sha256(bytes, n, digest);
        bytes = digest;
        n = sizeof digest;
    }
    CK_RV code = module->call->C_SignInit(module->session, &how, module->key);
    if (code == CKR_OK)
        code = module->call->C_Sign(module->session, (CK_BYTE *)bytes, n, raw, &raw_len);
    if (code != CKR_OK)
        return fail("signing", code);
    *len = raw_len;
    if (raw_len != 64 || (is_p256 && !sg_p256_signature_from_raw(raw, out, len)))
        return sg_fail(SG_FAILED, "pkcs11: the module made a signature of another shape than the standard's");
    if (!is_p256)
        memcpy(out, raw, raw_len);
    return SG_OK;
}

void sg_pkcs11_close(struct sg_pkcs11 **module)
{
    struct sg_pkcs11 *m = *module;
    if (!m)
        return;
    if (m->has_session)
        m->call->C_CloseSession(m->session);
    if (m->is_ours)
        m->call->C_Finalize(NULL);
    if (m->library)
        dlclose(m->library);
    free(m);
    *module = NULL;
}

/* A public object that does not belong to the private one would make a ledger that nobody can verify. */
static enum sg_status try_key(const struct sg_signer *signer)
{
    static const char message[] = "sealgrad: this signature tests a key, it states nothing\n";
    uint8_t signature[SG_SIGNATURE_MAX];
    size_t len;
    SG_TRY(sg_signer_sign(signer, message, sizeof message - 1, signature, &len));
    return sg_key_verify(&signer->key, message, sizeof message - 1, signature, len)
               ? SG_OK
               : sg_fail(SG_USAGE, "pkcs11: the public and the private object of that label do not belong together");
}

static enum sg_status open_key(const struct sg_pkcs11_uri *uri, const char *unlock_file, struct sg_signer *signer)
{
    struct sg_pkcs11 *module = signer->module;
    CK_SLOT_ID slot = 0;
    CK_OBJECT_HANDLE object;
    uint8_t public_key[SG_PUBLIC_KEY_MAX];
    SG_TRY(load(uri->module, module));
    SG_TRY(find_slot(module, uri->token, &slot));
    SG_TRY(log_in(module, slot, *uri->pin_file ? uri->pin_file : unlock_file));
    SG_TRY(find_object(module, CKO_PRIVATE_KEY, uri->object, &module->key));
    SG_TRY(find_object(module, CKO_PUBLIC_KEY, uri->object, &object));
    SG_TRY(read_public(module, object, &module->type, public_key));
    SG_TRY(sg_vkey_make(uri->object, module->type, public_key, &signer->key));
    return try_key(signer);
}

enum sg_status sg_pkcs11_open(const char *text, const char *unlock_file, struct sg_signer **out)
{
    struct sg_pkcs11_uri uri;
    *out = NULL;
    SG_TRY(sg_pkcs11_uri_parse(text, &uri));
    struct sg_signer *signer = sg_signer_new();
    signer->module = sg_alloc(1, sizeof *signer->module);
    enum sg_status status = open_key(&uri, unlock_file, signer);
    if (status != SG_OK)
        sg_signer_close(&signer);
    *out = signer;
    return status;
}
