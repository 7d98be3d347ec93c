/* What a person hands in with a decision: the armoured signature, and behind a line of "=" the document and the list of
 * signers. */
#include "audit/sshsig.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static const char seam[] = "=\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = data ? (const char *)data : "", *middle = n ? memmem(text, n, seam, 2) : NULL;
    size_t first = middle ? (size_t)(middle - text) : n, rest = middle ? n - first - 2 : 0;
    struct sg_buffer blob = {0};
    struct sg_sshsig signature;
    struct sg_signers signers;
    enum sg_status status = sg_sshsig_dearmor(text, first, &blob);
    fuzz_check(status, SG_USAGE);
    /* Both the bytes in the armour and the input itself: a fuzzer does not find its way through base64. */
    const uint8_t *inside = (const uint8_t *)blob.data;
    for (int i = 0; i < 2; i++) {
        const uint8_t *bytes = i ? (const uint8_t *)text : inside;
        size_t len = i ? first : blob.len;
        if (!bytes)
            continue;
        status = sg_sshsig_parse(bytes, len, SG_USAGE, &signature);
        fuzz_check(status, SG_USAGE);
        if (status != SG_OK)
            continue;
        if (signature.key.at + signature.key.n > bytes + len ||
            signature.signature.at + signature.signature.n > bytes + len ||
            strlen(signature.fingerprint) != SG_SSH_FINGERPRINT_CHARS - 1)
            abort();
        if (sg_sshsig_verify(&signature, "no such document", 16))
            abort(); /* a forgery */
        (void)sg_sshsig_verify(&signature, middle ? middle + 2 : "", rest);
    }
    status = sg_signers_parse("signers", middle ? middle + 2 : "", rest, &signers);
    fuzz_check(status, SG_USAGE);
    if (status == SG_OK) {
        for (size_t i = 0; i < signers.n; i++)
            if (!*signers.line[i].name || strlen(signers.line[i].fingerprint) != SG_SSH_FINGERPRINT_CHARS - 1)
                abort();
        sg_signers_free(&signers);
    }
    sg_buffer_free(&blob);
    return 0;
}
