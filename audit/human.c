#include "human.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/query.h"

static bool is_line(const char *text)
{
    for (; text && *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return text != NULL;
}

static const char *text_of(const json_t *facts, const char *key)
{
    return json_string_value(json_object_get(facts, key));
}

enum sg_status sg_human_document(const char *origin, const char *type, const json_t *facts, const char *nonce,
                                 struct sg_buffer *out)
{
    const char *model = text_of(facts, "model"), *role = text_of(facts, "role"), *reason = text_of(facts, "reason");
    const json_t *expires = json_object_get(facts, "expires_ms");
    char until[40] = "never";
    if (!is_line(model) || !is_line(role) || !is_line(reason) || !is_line(origin) || !is_line(nonce))
        return sg_fail(SG_BROKEN, "%s: role and reason of a decision that a person signs are one line each", type);
    if (json_is_integer(expires))
        sg_query_time(json_integer_value(expires), until);
    const char *verb = strncmp(type, "model.", 6) == 0 ? type + 6 : type;
    sg_buffer_printf(out,
                     "sealgrad decision v1\nledger: %s\ndecision: %s\nmodel: %s\nrole: %s\nreason: %s\nexpires: "
                     "%s\nnonce: %s\n",
                     origin, verb, model, role, reason, until, nonce);
    return SG_OK;
}

static bool is_nonce(const char *text)
{
    uint8_t bytes[16];
    return text && sg_hex_decode(text, strlen(text), bytes, sizeof bytes) && strspn(text, "0123456789abcdef") == 32;
}

static enum sg_status verify(const char *origin, const char *type, const json_t *facts, struct sg_human *human)
{
    struct sg_buffer document = {0};
    SG_TRY(sg_sshsig_parse((const uint8_t *)human->bytes.data, human->bytes.len, SG_BROKEN, &human->signature));
    enum sg_status status = sg_human_document(origin, type, facts, human->nonce, &document);
    if (status == SG_OK && !sg_sshsig_verify(&human->signature, document.data, document.len))
        status = sg_fail(SG_BROKEN, "%s: the signature under it is not the key's signature of this decision", type);
    sg_buffer_free(&document);
    return status;
}

enum sg_status sg_human_read(const char *origin, const char *type, const json_t *facts, struct sg_human *out,
                             bool *is_signed)
{
    const json_t *human = json_object_get(facts, "human"), *name = json_object_get(human, "name");
    const char *base64 = text_of(human, "sshsig"), *nonce = text_of(human, "nonce");
    uint8_t *bytes = NULL;
    size_t n = 0;
    *out = (struct sg_human){0};
    *is_signed = false;
    if (!human || json_is_null(human))
        return SG_OK;
    if (json_object_size(human) != 3 || !base64 || !is_nonce(nonce) || (!json_is_null(name) && !json_is_string(name)) ||
        !sg_base64_decode(base64, strlen(base64), &bytes, &n))
        return sg_fail(SG_BROKEN, "%s: human must hold nonce, name and sshsig", type);
    sg_buffer_append(&out->bytes, bytes, n);
    free(bytes);
    strcpy(out->nonce, nonce);
    if (json_is_string(name))
        snprintf(out->name, sizeof out->name, "%s", json_string_value(name));
    enum sg_status status =
        n == 0 ? sg_fail(SG_BROKEN, "%s: its signature is empty", type) : verify(origin, type, facts, out);
    if (status != SG_OK)
        sg_human_free(out);
    *is_signed = status == SG_OK;
    return status;
}

void sg_human_free(struct sg_human *human)
{
    sg_buffer_free(&human->bytes);
    human->signature = (struct sg_sshsig){0};
}

bool sg_human_is_account(const char *name, const char *account)
{
    size_t n = strcspn(name, "@");
    return n > 0 && strlen(account) == n && memcmp(name, account, n) == 0;
}

/* ---- The document taken apart. */
static char *take_line(const char **at, const char *end, const char *key)
{
    size_t n = strlen(key);
    const char *stop =
        (size_t)(end - *at) > n && memcmp(*at, key, n) == 0 ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    if (!stop || memchr(*at, 0, (size_t)(stop - *at)))
        return NULL;
    char *value = sg_format("%.*s", (int)(stop - *at - (ptrdiff_t)n), *at + n);
    *at = stop + 1;
    return value;
}

static bool read_expiry(const char *text, int64_t *out)
{
    struct tm utc = {0};
    int ms = 0, used = 0;
    char again[40];
    *out = 0;
    if (strcmp(text, "never") == 0)
        return true;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
    if (!rest || sscanf(rest, ".%3dZ%n", &ms, &used) != 1 || rest[used])
        return false;
    *out = (int64_t)timegm(&utc) * 1000 + ms;
    sg_query_time(*out, again);
    return *out > 0 && strcmp(again, text) == 0;
}

enum sg_status sg_human_parse(const char *text, size_t n, struct sg_human_text *out)
{
    static const char *const keys[] = {
        "ledger: ", "decision: ", "model: ", "role: ", "reason: ", "expires: ", "nonce: "};
    *out = (struct sg_human_text){0};
    char **const values[] = {&out->origin, &out->decision, &out->model, &out->role,
                             &out->reason, &out->expires,  &out->nonce};
    const char *at = text, *end = text + n;
    char *first = take_line(&at, end, "sealgrad decision v1");
    bool good = first && !*first;
    free(first);
    for (size_t i = 0; good && i < sizeof keys / sizeof *keys; i++)
        good = (*values[i] = take_line(&at, end, keys[i])) != NULL;
    if (good && at == end && is_nonce(out->nonce) && read_expiry(out->expires, &out->expires_ms))
        return SG_OK;
    sg_human_text_free(out);
    return sg_fail(SG_USAGE,
                   "document: not one that sealgrad ledger approve, deploy or retire --draft wrote, unchanged");
}

void sg_human_text_free(struct sg_human_text *text)
{
    char *const owned[] = {text->origin, text->decision, text->model, text->role,
                           text->reason, text->expires,  text->nonce};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    *text = (struct sg_human_text){0};
}
