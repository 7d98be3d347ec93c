#include <stdlib.h>
#include <string.h>

#include "pkcs11.h"

/* Decodes %XX; false when malformed, too long, or with a NUL. */
static bool decode(const char *text, size_t n, char *out, size_t capacity)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '%') {
            if (n - i < 3 || !sg_hex_decode(text + i + 1, 2, &c, 1))
                return false;
            i += 2;
        }
        if (c == 0 || used + 1 >= capacity)
            return false;
        out[used++] = c;
    }
    out[used] = 0;
    return used > 0;
}

static bool is_name(const char *text, size_t n, const char *a, const char *b)
{
    return (n == strlen(a) && memcmp(text, a, n) == 0) || (b && n == strlen(b) && memcmp(text, b, n) == 0);
}

static enum sg_status take_part(const char *text, size_t n, struct sg_pkcs11_uri *out)
{
    const char *equals = memchr(text, '=', n);
    size_t name_len = equals ? (size_t)(equals - text) : 0;
    const char *value = text + name_len + 1;
    size_t value_len = equals ? n - name_len - 1 : 0;
    bool good = false;
    if (equals && is_name(text, name_len, "pin-value", NULL))
        return sg_fail(SG_USAGE,
                       "pkcs11: a PIN does not belong into a command line: put it into a file, pin-file=FILE");
    if (equals && is_name(text, name_len, "module", "module-path"))
        good = !*out->module && decode(value, value_len, out->module, sizeof out->module) && out->module[0] == '/';
    else if (equals && is_name(text, name_len, "token", NULL))
        good = !*out->token && decode(value, value_len, out->token, sizeof out->token);
    else if (equals && is_name(text, name_len, "object", NULL))
        good = !*out->object && decode(value, value_len, out->object, sizeof out->object);
    else if (equals && is_name(text, name_len, "pin-file", "pin-source"))
        good = !*out->pin_file && decode(value, value_len, out->pin_file, sizeof out->pin_file);
    return good ? SG_OK
                : sg_fail(SG_USAGE,
                          "pkcs11: \"%.*s\": expected pkcs11:module=/PATH;token=LABEL;object=LABEL;pin-file=FILE",
                          (int)(n < 80 ? n : 80), text);
}

enum sg_status sg_pkcs11_uri_parse(const char *text, struct sg_pkcs11_uri *out)
{
    *out = (struct sg_pkcs11_uri){0};
    if (strncmp(text, "pkcs11:", 7) != 0)
        return sg_fail(SG_USAGE, "not a pkcs11: URI");
    for (const char *at = text + 7; *at;) {
        size_t n = strcspn(at, ";?&");
        SG_TRY(take_part(at, n, out));
        at += n + (at[n] != 0);
    }
    if (!*out->module || !*out->object)
        return sg_fail(SG_USAGE, "pkcs11: module=/PATH and object=LABEL are needed");
    if (strncmp(out->pin_file, "file:", 5) == 0) /* a pin-source is a URI itself */
        memmove(out->pin_file, out->pin_file + 5, strlen(out->pin_file + 5) + 1);
    return SG_OK;
}
