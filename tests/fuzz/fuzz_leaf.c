/* A leaf: the envelope and the event in it; and the bytes themselves as an event, since mutations seldom survive
 * base64. */
#include "audit/leaf.h"

#include "fuzz.h"

static void read_event(const char *bytes, size_t n)
{
    struct sg_event event = {0};
    enum sg_status status = sg_event_parse(bytes, n, &event);
    fuzz_check(status, SG_BROKEN);
    if (status == SG_OK)
        json_decref(event.statement);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct sg_vkey keys[2] = {{.type = SG_KEY_ED25519, .public_key = {1}},
                                           {.type = SG_KEY_P256, .public_key = {1}}};
    struct sg_envelope envelope = {0};
    enum sg_status status = sg_envelope_parse((const char *)data, n, &envelope);
    fuzz_check(status, SG_BROKEN);
    if (status == SG_OK) {
        for (size_t i = 0; i < 2; i++)
            (void)!sg_envelope_verify(&envelope, &keys[i]);
        read_event(envelope.payload.data, envelope.payload.len);
        sg_envelope_free(&envelope);
    }
    read_event((const char *)data, n);
    return 0;
}
