#include "audit/note.h"

#include <stdlib.h>
#include <string.h>

#include "base/number.h"

static const char dash[] = "\xe2\x80\x94 "; /* U+2014 EM DASH and a blank */
enum { DASH = sizeof dash - 1 };

/* What is signed: the text itself, or the text under a cosignature's header. */
static void signed_bytes(uint8_t type, const char *text, size_t text_len, uint64_t time_s, struct sg_buffer *out)
{
    if (type == SG_KEY_COSIGNATURE)
        sg_buffer_printf(out, "cosignature/v1\ntime %llu\n", (unsigned long long)time_s);
    sg_buffer_append(out, text, text_len);
}

enum sg_status sg_note_sign(const struct sg_signer *signer, const struct sg_vkey *key, const char *text,
                            size_t text_len, uint64_t time_s, struct sg_buffer *out)
{
    struct sg_buffer message = {0}, blob = {0};
    uint8_t signature[SG_SIGNATURE_MAX];
    size_t signature_len = 0;
    signed_bytes(key->type, text, text_len, time_s, &message);
    enum sg_status status = sg_signer_sign(signer, message.data, message.len, signature, &signature_len);
    sg_buffer_free(&message);
    SG_TRY(status);
    sg_buffer_append(&blob, key->key_id, sizeof key->key_id);
    if (key->type == SG_KEY_COSIGNATURE)
        sg_buffer_u64be(&blob, time_s);
    sg_buffer_append(&blob, signature, signature_len);
    sg_buffer_printf(out, "%s%s ", dash, key->name);
    sg_base64_append(out, blob.data, blob.len);
    sg_buffer_text(out, "\n");
    sg_buffer_free(&blob);
    return SG_OK;
}

static bool text_valid(const char *note, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)note[i] < ' ' && note[i] != '\n') || note[i] == 0x7f)
            return false;
    json_t *text = json_stringn(note, n); /* NULL when it is not UTF-8 */
    json_decref(text);
    return text != NULL;
}

/* The blob of one line against every key of that name and id. */
static bool check_line(const char *text, size_t text_len, const char *name, size_t name_len, const uint8_t *blob,
                       size_t blob_len, const struct sg_vkey *keys, size_t n_keys, struct sg_note_check *out)
{
    for (size_t i = 0; i < n_keys; i++) {
        const struct sg_vkey *key = &keys[i];
        if (strlen(key->name) != name_len || memcmp(key->name, name, name_len) != 0 ||
            memcmp(key->key_id, blob, sizeof key->key_id) != 0)
            continue;
        size_t header = key->type == SG_KEY_COSIGNATURE ? 8 : 0;
        if (blob_len < 4 + header)
            return false;
        uint64_t time_s = header ? sg_load_u64be(blob + 4) : 0;
        struct sg_buffer message = {0};
        signed_bytes(key->type, text, text_len, time_s, &message);
        bool good = sg_key_verify(key, message.data, message.len, blob + 4 + header, blob_len - 4 - header);
        sg_buffer_free(&message);
        if (!good)
            return false;
        out->verified |= (uint64_t)1 << i;
        out->time_s[i] = time_s;
    }
    return true;
}

static enum sg_status check_signature(const char *note, const char *line, size_t line_len, const struct sg_vkey *keys,
                                      size_t n_keys, struct sg_note_check *out)
{
    const char *blank = line_len > DASH ? memchr(line + DASH, ' ', line_len - DASH) : NULL;
    if (line_len <= DASH || memcmp(line, dash, DASH) != 0 || !blank || blank == line + DASH)
        return sg_fail(SG_BROKEN, "signed note: a signature line is malformed");
    size_t name_len = (size_t)(blank - line - DASH);
    uint8_t *blob = NULL;
    size_t blob_len = 0;
    if (name_len >= SG_NAME_MAX ||
        !sg_base64_decode(blank + 1, (size_t)(line + line_len - blank - 1), &blob, &blob_len))
        return sg_fail(SG_BROKEN, "signed note: a signature line is malformed");
    bool good =
        blob_len >= 5 && check_line(note, out->text_len, line + DASH, name_len, blob, blob_len, keys, n_keys, out);
    free(blob);
    if (!good)
        return sg_fail(SG_BROKEN, "signed note: the signature of %.*s does not verify", (int)name_len, line + DASH);
    return SG_OK;
}

enum sg_status sg_note_verify(const char *note, size_t n, const struct sg_vkey *keys, size_t n_keys,
                              struct sg_note_check *out)
{
    *out = (struct sg_note_check){0};
    if (n == 0 || n > SG_NOTE_BYTES_MAX || note[n - 1] != '\n' || !text_valid(note, n))
        return sg_fail(SG_BROKEN, "signed note: not text of at most 64 KiB that ends with a line feed");
    size_t split = 0; /* the last blank line */
    for (size_t i = n - 1; i > 0 && !split; i--)
        if (note[i] == '\n' && note[i - 1] == '\n')
            split = i;
    if (!split || split + 1 == n)
        return sg_fail(SG_BROKEN, "signed note: no blank line before its signatures");
    out->text_len = split;
    for (const char *line = note + split + 1, *end = note + n; line < end;) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));
        if (++out->n_signatures > SG_NOTE_SIGNATURES_MAX)
            return sg_fail(SG_BROKEN, "signed note: more than %d signatures", SG_NOTE_SIGNATURES_MAX);
        SG_TRY(check_signature(note, line, (size_t)(feed - line), keys, n_keys, out));
        line = feed + 1;
    }
    return SG_OK;
}

void sg_checkpoint_print(const struct sg_checkpoint *checkpoint, struct sg_buffer *out)
{
    sg_buffer_printf(out, "%s\n%lld\n", checkpoint->origin, (long long)checkpoint->size);
    sg_base64_append(out, checkpoint->root, SG_DIGEST_BYTES);
    sg_buffer_text(out, "\n");
}

static bool take_root(const char *line, size_t len, uint8_t out[SG_DIGEST_BYTES])
{
    uint8_t *root = NULL;
    size_t root_len = 0;
    if (!sg_base64_decode(line, len, &root, &root_len))
        return false;
    if (root_len == SG_DIGEST_BYTES)
        memcpy(out, root, SG_DIGEST_BYTES);
    free(root);
    return root_len == SG_DIGEST_BYTES;
}

enum sg_status sg_note_digest(const char *note, size_t n, uint8_t out[SG_DIGEST_BYTES])
{
    struct sg_note_check check;
    SG_TRY(sg_note_verify(note, n, NULL, 0, &check));
    sg_sha256(note, check.text_len, out);
    return SG_OK;
}

enum sg_status sg_checkpoint_parse(const char *text, size_t n, struct sg_checkpoint *out)
{
    *out = (struct sg_checkpoint){0};
    const char *end = text + n, *first = n ? memchr(text, '\n', n) : NULL;
    const char *second = first ? memchr(first + 1, '\n', (size_t)(end - first - 1)) : NULL;
    const char *third = second ? memchr(second + 1, '\n', (size_t)(end - second - 1)) : NULL;
    if (!third || end[-1] != '\n' || first - text >= SG_NAME_MAX || memchr(text, 0, n))
        return sg_fail(SG_BROKEN, "checkpoint: expected the lines origin, size and root");
    memcpy(out->origin, text, (size_t)(first - text));
    if (!sg_key_name_valid(out->origin) || !sg_number_int64(first + 1, (size_t)(second - first - 1), &out->size) ||
        out->size < 0 || first[1] == '-' || !take_root(second + 1, (size_t)(third - second - 1), out->root))
        return sg_fail(SG_BROKEN, "checkpoint: its origin, size or root is malformed");
    for (const char *line = third + 1; line < end; line = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1)
        if (*line == '\n')
            return sg_fail(SG_BROKEN, "checkpoint: an extension line is empty");
    return SG_OK;
}
