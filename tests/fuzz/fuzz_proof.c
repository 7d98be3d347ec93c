/* A policy, a blank line, a proof file: what a stranger checks without the ledger. What is taken lies inside its tree,
 * and trust comes from the policy alone. */
#include "audit/evidence.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static void check_proof(const char *text, size_t n, const struct sg_trust *trust)
{
    struct sg_proof_facts facts;
    enum sg_status status = sg_evidence_check_proof(text, n, trust, &facts);
    fuzz_check(status, SG_BROKEN);
    if (status != SG_OK)
        return;
    if (facts.seq < 0 || facts.seq >= facts.checkpoint.size || facts.payload.len == 0 ||
        ((facts.is_trusted || facts.is_witnessed) && !trust))
        abort();
    sg_buffer_free(&facts.payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sg_trust trust;
    const char *text = (const char *)data, *blank = n ? memmem(text, n, "\n\n", 2) : NULL;
    if (!blank)
        return 0;
    size_t policy_len = (size_t)(blank + 1 - text);
    enum sg_status status = sg_trust_parse("policy", text, policy_len, &trust);
    fuzz_check(status, SG_USAGE);
    check_proof(blank + 2, n - policy_len - 1, status == SG_OK ? &trust : NULL);
    return 0;
}
