/* The envelope exactly as sg_leaf_sign writes it, read without a parser of JSON: a million leaves are read this way.
 * Whatever differs from that form by one byte is left to sg_envelope_parse, which accepts the same meaning or none. */
#include "envelope.h"

#include <stdlib.h>
#include <string.h>

static const char head[] = "{\"payloadType\":\"" SG_LEAF_PAYLOAD_TYPE "\",\"payload\":\"";
static const char middle[] = "\",\"signatures\":[{\"keyid\":\"", before_signature[] = "\",\"sig\":\"", tail[] = "\"}]}";
enum { LABEL_CHARS = 32 };

/* The value of a digit of base64 plus one; 0 for any other character. */
static const uint8_t digit[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* Strict, as sg_base64_decode: padding, and no loose bits. `out` has room for n / 4 * 3 bytes. */
static bool decode(const char *text, size_t n, uint8_t *out, size_t *len)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t pad = n && at[n - 1] == '=' ? 1 + (n > 1 && at[n - 2] == '=') : 0, whole = pad ? n - 4 : n;
    *len = n / 4 * 3 - pad;
    if (n % 4)
        return false;
    for (size_t i = 0; i < whole; i += 4, out += 3) {
        uint32_t a = digit[at[i]], b = digit[at[i + 1]], c = digit[at[i + 2]], d = digit[at[i + 3]];
        if (!a || !b || !c || !d)
            return false;
        uint32_t word = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        out[0] = (uint8_t)(word >> 16), out[1] = (uint8_t)(word >> 8), out[2] = (uint8_t)word;
    }
    if (!pad)
        return true;
    uint32_t a = digit[at[whole]], b = digit[at[whole + 1]], c = pad == 1 ? digit[at[whole + 2]] : 1;
    if (!a || !b || !c)
        return false;
    uint32_t word = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6;
    out[0] = (uint8_t)(word >> 16);
    if (pad == 1)
        out[1] = (uint8_t)(word >> 8);
    return (word & (pad == 1 ? 0xffu : 0xffffu)) == 0;
}

struct parts {
    const char *payload, *label, *signature;
    size_t payload_len, signature_len;
};

static bool take(const char **at, const char *end, const char *text, size_t n)
{
    if ((size_t)(end - *at) < n || memcmp(*at, text, n) != 0)
        return false;
    *at += n;
    return true;
}

static bool take_until_quote(const char **at, const char *end, const char **value, size_t *len)
{
    const char *quote = memchr(*at, '"', (size_t)(end - *at));
    *value = *at;
    *len = quote ? (size_t)(quote - *at) : 0;
    *at = quote;
    return quote != NULL;
}

static bool is_label(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return n == LABEL_CHARS;
}

static bool split(const char *bytes, size_t n, struct parts *out)
{
    const char *at = bytes, *end = bytes + n;
    size_t label_len;
    return n <= SG_LEAF_BYTES_MAX && take(&at, end, head, sizeof head - 1) &&
           take_until_quote(&at, end, &out->payload, &out->payload_len) && take(&at, end, middle, sizeof middle - 1) &&
           take_until_quote(&at, end, &out->label, &label_len) && is_label(out->label, label_len) &&
           take(&at, end, before_signature, sizeof before_signature - 1) &&
           take_until_quote(&at, end, &out->signature, &out->signature_len) && take(&at, end, tail, sizeof tail - 1) &&
           at == end;
}

static bool decode_payload(const struct parts *parts, struct sg_buffer *out)
{
    size_t room = parts->payload_len / 4 * 3 + 4, len;
    if (out->capacity < room) {
        out->data = sg_realloc(out->data, room, 1);
        out->capacity = room;
    }
    if (!decode(parts->payload, parts->payload_len, (uint8_t *)out->data, &len))
        return false;
    out->len = len;
    out->data[len] = 0;
    return true;
}

bool sg_envelope_read(const char *bytes, size_t n, struct sg_envelope *out)
{
    struct parts parts;
    uint8_t signature[SG_SIGNATURE_MAX + 3];
    out->payload.len = 0;
    if (!split(bytes, n, &parts) || parts.signature_len > sizeof signature / 3 * 4 ||
        !decode(parts.signature, parts.signature_len, signature, &out->signature_len) ||
        out->signature_len > SG_SIGNATURE_MAX || !decode_payload(&parts, &out->payload))
        return false;
    memcpy(out->signature, signature, out->signature_len);
    memcpy(out->key_label, parts.label, LABEL_CHARS);
    out->key_label[LABEL_CHARS] = 0;
    return true;
}

bool sg_envelope_payload(const char *bytes, size_t n, struct sg_buffer *out)
{
    struct parts parts;
    out->len = 0;
    return split(bytes, n, &parts) && decode_payload(&parts, out);
}
