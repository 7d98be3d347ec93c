/* A vocabulary and a text: one byte of settings, the vocabulary up to a NUL (the special tokens are put before it
 * unless the byte says no), the text. Ids lie in the vocabulary, and a shorter limit gives the beginning of the same
 * ids. With another bit of that byte the vocabulary is a tokenizer.json; what is taken agrees with itself as vocab.txt.
 */
#include "data/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fuzz.h"
#include "tokenizer_files.h"

enum { LOWER = 1, STRIP = 2, CJK = 4, NO_SPECIALS = 8, JSON = 32, IDS_MAX = 1 << 18 };

static void check_text(const struct sg_tokenizer *tokenizer, const char *text, size_t n, int64_t limit)
{
    static int32_t whole[IDS_MAX], part[300];
    bool truncated;
    int64_t n_whole = sg_tokenizer_encode(tokenizer, text, n, IDS_MAX, whole, &truncated);
    int64_t n_part = sg_tokenizer_encode(tokenizer, text, n, limit, part, NULL);
    if ((n_whole < 0) != (n_part < 0))
        abort();
    if (n_whole < 0)
        return;
    if (truncated || n_whole < 2 || n_part != (n_whole < limit ? n_whole : limit) ||
        memcmp(whole, part, (size_t)(n_part - 1) * sizeof *part) != 0 ||
        part[n_part - 1] != sg_tokenizer_special(tokenizer, SG_TOKEN_SEP))
        abort();
    for (int64_t i = 0; i < n_whole; i++)
        if (whole[i] < 0 || whole[i] >= sg_tokenizer_n_vocab(tokenizer))
            abort();
}

/* False when it is refused. */
static bool from_json(const char *bytes, size_t n, struct sg_tokenizer_settings *settings, struct sg_buffer *vocabulary)
{
    struct tokenizer_json json;
    enum sg_status status = tokenizer_json_parse("input", bytes, n, &json);
    fuzz_check(status, SG_USAGE);
    if (status == SG_OK) {
        if (tokenizer_json_agrees(&json, "input", "its vocabulary", &json.vocabulary) != SG_OK)
            abort();
        *settings = json.settings;
        sg_buffer_append(vocabulary, json.vocabulary.data, json.vocabulary.len);
    }
    tokenizer_json_free(&json);
    return status == SG_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    uint8_t flags = data[0];
    const char *rest = (const char *)data + 1, *end = n > 1 ? memchr(rest, 0, n - 1) : NULL;
    size_t length = end ? (size_t)(end - rest) : n - 1;
    struct sg_buffer vocabulary = {0};
    struct sg_tokenizer_settings settings = {flags & LOWER, flags & STRIP, flags & CJK};
    if (flags & JSON) {
        if (!from_json(rest, length, &settings, &vocabulary))
            return 0;
    } else {
        if (!(flags & NO_SPECIALS))
            sg_buffer_text(&vocabulary, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
        sg_buffer_append(&vocabulary, rest, length);
    }
    struct sg_tokenizer *tokenizer = NULL;
    fuzz_check(sg_tokenizer_read(fuzz_file((const uint8_t *)vocabulary.data, vocabulary.len), &settings, &tokenizer),
               SG_USAGE);
    if (tokenizer && end)
        check_text(tokenizer, end + 1, n - 1 - length - 1, 2 + flags);
    sg_tokenizer_close(&tokenizer);
    sg_buffer_free(&vocabulary);
    return 0;
}
