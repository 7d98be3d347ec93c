/* Would catch: a key in an HSM whose signatures or public half are of another form than the ledger's formats; a wrong
 * PIN, token or label that is not explained; objects that do not belong together; a PIN that others may read or that
 * stands in the URI; a ledger under such a key that does not verify. The HSM is SoftHSM 2; its token is made here. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <p11-kit/pkcs11.h>

#include "audit/evidence.h"
#include "audit/verify.h"
#include "base/file.h"
#include "fixture.h"
#include "pkcs11.h"
#include "signer.h"

/* SoftHSM 2.6.1 leaks the curve's name at each EdDSA signature. Its frames are seen only by the slow unwinder. */
const char *__asan_default_options(void);
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "fast_unwind_on_malloc=0";
}
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:libsofthsm2";
}

static const char *const modules[] = {"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so",
                                      "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"};
static const char *module_path;
static char *folder, *pin_file, *tokens;

static void uris(void **state)
{
    (void)state;
    struct sg_pkcs11_uri uri;
    assert_int_equal(
        sg_pkcs11_uri_parse("pkcs11:token=The%20HSM;object=a%2fb?module-path=/m.so&pin-source=file:/p", &uri), SG_OK);
    assert_string_equal(uri.token, "The HSM");
    assert_string_equal(uri.object, "a/b");
    assert_string_equal(uri.module, "/m.so");
    assert_string_equal(uri.pin_file, "/p");
    static const char *const bad[] = {"pkcs11:",
                                      "pkcs11:module=/m.so",
                                      "pkcs11:object=k",
                                      "pkcs11:module=m.so;object=k",
                                      "pkcs11:module=/m.so;object=",
                                      "pkcs11:module=/m.so;object=%0",
                                      "pkcs11:module=/m.so;object=%00",
                                      "pkcs11:module=/m.so;object=k;object=l",
                                      "pkcs11:module=/m.so;object=k;pin-value=1234",
                                      "pkcs11:module=/m.so;object=k;slot=1",
                                      "pkcs11:module=/m.so;object=k;token=123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sg_pkcs11_uri_parse(bad[i], &uri), SG_USAGE);
    struct sg_signer *signer = NULL;
    assert_int_equal(sg_signer_open("pkcs11:module=/nowhere/m.so;object=k", NULL, &signer), SG_USAGE);
    assert_null(signer);
}

/* ---- A token with keys: "ed", "ec", "mixed" (the public object of another key), "p384". */
static void must(CK_RV code)
{
    if (code != CKR_OK)
        fail_msg("SoftHSM: 0x%lx", (unsigned long)code);
}

static void make_pair(CK_FUNCTION_LIST *call, CK_SESSION_HANDLE session, CK_MECHANISM_TYPE type, const void *curve,
                      size_t curve_len, const char *public_label, const char *private_label)
{
    CK_BBOOL yes = CK_TRUE;
    CK_MECHANISM how = {type, NULL, 0};
    CK_OBJECT_HANDLE one, other;
    CK_ATTRIBUTE public[] = {{CKA_TOKEN, &yes, sizeof yes},
                             {CKA_VERIFY, &yes, sizeof yes},
                             {CKA_EC_PARAMS, (void *)curve, curve_len},
                             {CKA_LABEL, (void *)public_label, strlen(public_label)}};
    CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, sizeof yes},
                              {CKA_SIGN, &yes, sizeof yes},
                              {CKA_PRIVATE, &yes, sizeof yes},
                              {CKA_SENSITIVE, &yes, sizeof yes},
                              {CKA_LABEL, (void *)private_label, strlen(private_label)}};
    must(call->C_GenerateKeyPair(session, &how, public, 4, private, 5, &one, &other));
}

static void fill_token(CK_FUNCTION_LIST *call, CK_SLOT_ID slot)
{
    static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    static const uint8_t p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
    static const uint8_t ed[] = {0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'};
    CK_UTF8CHAR label[32];
    CK_SESSION_HANDLE session;
    memset(label, ' ', sizeof label);
    memcpy(label, "The HSM", 7);
    must(call->C_InitToken(slot, (CK_UTF8CHAR *)"so-pin", 6, label));
    must(call->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    must(call->C_Login(session, CKU_SO, (CK_UTF8CHAR *)"so-pin", 6));
    must(call->C_InitPIN(session, (CK_UTF8CHAR *)"1234", 4));
    must(call->C_Logout(session));
    must(call->C_Login(session, CKU_USER, (CK_UTF8CHAR *)"1234", 4));
    make_pair(call, session, CKM_EC_KEY_PAIR_GEN, p256, sizeof p256, "ec", "ec");
    make_pair(call, session, CKM_EC_KEY_PAIR_GEN, p256, sizeof p256, "mixed", "lonely");
    make_pair(call, session, CKM_EC_KEY_PAIR_GEN, p256, sizeof p256, "twice", "mixed");
    make_pair(call, session, CKM_EC_KEY_PAIR_GEN, p256, sizeof p256, "twice", "twice");
    make_pair(call, session, CKM_EC_KEY_PAIR_GEN, p384, sizeof p384, "p384", "p384");
    make_pair(call, session, CKM_EC_EDWARDS_KEY_PAIR_GEN, ed, sizeof ed, "ed", "ed");
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof modules / sizeof *modules && !module_path; i++)
        if (access(modules[i], R_OK) == 0)
            module_path = modules[i];
    folder = fixture_folder();
    pin_file = sg_format("%s/pin", folder);
    tokens = sg_format("%s/tokens", folder);
    if (!module_path)
        return 0;
    char *config = sg_format("%s/softhsm2.conf", folder);
    char *text = sg_format("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens);
    CK_FUNCTION_LIST *call = NULL;
    CK_C_GetFunctionList get_list;
    CK_SLOT_ID slot;
    CK_ULONG n = 1;
    mkdir(tokens, 0700);
    assert_int_equal(sg_file_write(config, text, strlen(text), 0600), SG_OK);
    assert_int_equal(sg_file_write(pin_file, "1234\n", 5, 0600), SG_OK);
    setenv("SOFTHSM2_CONF", config, 1);
    void *library = dlopen(module_path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    *(void **)&get_list = dlsym(library, "C_GetFunctionList");
    must(get_list(&call));
    must(call->C_Initialize(NULL));
    must(call->C_GetSlotList(CK_FALSE, &slot, &n));
    fill_token(call, slot);
    must(call->C_Finalize(NULL));
    free(config), free(text);
    return 0; /* the library stays loaded, so that a leak in it can be named */
}

static int teardown(void **state)
{
    (void)state;
    char *command = sg_format("rm -r '%s'", folder);
    int code = system(command);
    free(command), free(folder), free(pin_file), free(tokens);
    return code;
}

static void need_module(void)
{
    if (module_path)
        return;
    print_message("SoftHSM 2 is not installed (softhsm2)\n");
    skip();
}

static enum sg_status open_key(const char *token, const char *object, bool with_pin, struct sg_signer **out)
{
    char *uri = sg_format("pkcs11:module=%s;token=%s;object=%s%s%s", module_path, token, object,
                          with_pin ? ";pin-file=" : "", with_pin ? pin_file : "");
    enum sg_status status = sg_signer_open(uri, NULL, out);
    free(uri);
    return status;
}

static void signatures(void **state)
{
    (void)state;
    need_module();
    static const char *const names[] = {"ed", "ec"};
    for (int which = 0; which < 2; which++) {
        struct sg_signer *signer = NULL;
        uint8_t signature[SG_SIGNATURE_MAX];
        size_t len;
        if (open_key("The%20HSM", names[which], true, &signer) != SG_OK)
            fail_msg("%s", sg_error_text());
        assert_int_equal(sg_signer_vkey(signer)->type, which ? SG_KEY_P256 : SG_KEY_ED25519);
        assert_string_equal(sg_signer_vkey(signer)->name, names[which]);
        for (int i = 0; i < 30; i++) {
            assert_int_equal(sg_signer_sign(signer, &i, sizeof i, signature, &len), SG_OK);
            assert_true(sg_key_verify(sg_signer_vkey(signer), &i, sizeof i, signature, len));
            signature[10] ^= 1;
            assert_false(sg_key_verify(sg_signer_vkey(signer), &i, sizeof i, signature, len));
        }
        sg_signer_close(&signer);
    }
}

static void expect_refusal(const char *token, const char *object, bool with_pin, enum sg_status status,
                           const char *words)
{
    struct sg_signer *signer = NULL;
    assert_int_equal(open_key(token, object, with_pin, &signer), status);
    assert_null(signer);
    if (!strstr(sg_error_text(), words))
        fail_msg("\"%s\" does not say \"%s\"", sg_error_text(), words);
}

static void refusals(void **state)
{
    (void)state;
    need_module();
    expect_refusal("Other", "ec", true, SG_USAGE, "0 tokens");
    expect_refusal("The%20HS", "ec", true, SG_USAGE, "0 tokens");
    expect_refusal("The%20HSM", "none", true, SG_USAGE, "no private key");
    expect_refusal("The%20HSM", "lonely", true, SG_USAGE, "no public key");
    expect_refusal("The%20HSM", "twice", true, SG_USAGE, "more than one public key");
    expect_refusal("The%20HSM", "mixed", true, SG_USAGE, "do not belong together");
    expect_refusal("The%20HSM", "p384", true, SG_USAGE, "neither");
    expect_refusal("The%20HSM", "ec", false, SG_USAGE, "PIN");
    chmod(pin_file, 0644);
    expect_refusal("The%20HSM", "ec", true, SG_USAGE, "chmod 600");
    assert_int_equal(sg_file_write(pin_file, "4321\n", 5, 0600), SG_OK);
    expect_refusal("The%20HSM", "ec", true, SG_FAILED, "PIN is wrong");
    assert_int_equal(sg_file_write(pin_file, "\n", 1, 0600), SG_OK);
    expect_refusal("The%20HSM", "ec", true, SG_USAGE, "first line");
    assert_int_equal(sg_file_write(pin_file, "1234\n", 5, 0600), SG_OK);
}

/* A ledger and its witness, both with keys in the token. One module, two signers at once. */
static void ledger(void **state)
{
    (void)state;
    need_module();
    struct sg_signer *signer = NULL, *witness = NULL;
    struct sg_ledger *file = NULL;
    struct sg_trust trust = {.n_logs = 1, .quorum_group = -1, .quorum_witness = 0, .n_witnesses = 1};
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    struct sg_verify_options how = {.trust = &trust};
    int64_t size;
    assert_int_equal(open_key("The%20HSM", "ec", true, &signer), SG_OK);
    assert_int_equal(open_key("The%20HSM", "ed", true, &witness), SG_OK);
    trust.logs[0] = *sg_signer_vkey(signer);
    assert_int_equal(sg_vkey_cosigner(sg_signer_vkey(witness), &trust.witnesses[0]), SG_OK);
    char *path = fixture_twenty(folder, signer), *pub = sg_format("%s/ec.pub", folder);
    assert_int_equal(sg_ledger_open(path, NULL, &file), SG_OK);
    assert_int_equal(sg_witness_ledger(file, folder, witness, &trust, &size), SG_OK);
    sg_ledger_close(&file);
    assert_int_equal(sg_key_export(folder, signer), SG_OK);
    assert_int_equal(sg_key_export(folder, signer), SG_USAGE);
    sg_signer_close(&witness);
    sg_signer_close(&signer);
    assert_int_equal(sg_verify_file(path, &how, verdict), SG_OK);
    if (verdict->status != SG_OK)
        fail_msg("%s", verdict->sentence);
    struct sg_trust exported;
    assert_int_equal(sg_trust_read(pub, &exported), SG_OK);
    assert_true(sg_vkey_same(&exported.logs[0], &trust.logs[0]));
    free(verdict), free(path), free(pub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uris),
        cmocka_unit_test(signatures),
        cmocka_unit_test(refusals),
        cmocka_unit_test(ledger),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
