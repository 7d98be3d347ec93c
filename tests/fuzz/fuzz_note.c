/* A public key in the first line, a signed note after it: the parts that a stranger sends an auditor. */
#include "audit/note.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
    if (!end)
        return 0;
    struct sg_vkey key;
    struct sg_note_check check = {0};
    struct sg_checkpoint checkpoint;
    const char *note = (const char *)end + 1;
    size_t key_len = (size_t)(end - data), note_len = n - key_len - 1;
    enum sg_status status = sg_vkey_parse((const char *)data, key_len, SG_USAGE, &key);
    fuzz_check(status, SG_USAGE);
    if (status == SG_OK) { /* what was taken prints, and reads back as the same key */
        struct sg_buffer text = {0};
        struct sg_vkey again;
        sg_vkey_print(&key, &text);
        if (sg_vkey_parse(text.data, text.len, SG_USAGE, &again) != SG_OK || strcmp(again.name, key.name) != 0 ||
            memcmp(again.public_key, key.public_key, SG_PUBLIC_KEY_BYTES) != 0)
            abort();
        sg_buffer_free(&text);
    }
    enum sg_status verified = sg_note_verify(note, note_len, &key, status == SG_OK, &check);
    fuzz_check(verified, SG_BROKEN);
    if (verified == SG_OK && check.text_len > note_len)
        abort();
    fuzz_check(sg_checkpoint_parse(note, verified == SG_OK ? check.text_len : note_len, &checkpoint), SG_BROKEN);
    return 0;
}
