#include "audit/leaf.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "envelope.h"

#define TYPE_PREFIX "urn:sealgrad:event:"
#define TYPE_SUFFIX ":1"

void sg_dsse_pae(const char *type, const void *body, size_t n, struct sg_buffer *out)
{
    sg_buffer_printf(out, "DSSEv1 %zu %s %zu ", strlen(type), type, n);
    sg_buffer_append(out, body, n);
}

enum sg_status sg_leaf_sign(const struct sg_signer *signer, const void *payload, size_t n, struct sg_buffer *out)
{
    struct sg_buffer pae = {0};
    uint8_t signature[SG_SIGNATURE_MAX];
    size_t signature_len = 0;
    char label[33];
    sg_dsse_pae(SG_LEAF_PAYLOAD_TYPE, payload, n, &pae);
    enum sg_status status = sg_signer_sign(signer, pae.data, pae.len, signature, &signature_len);
    sg_buffer_free(&pae);
    SG_TRY(status);
    sg_key_label(sg_signer_vkey(signer), label);
    sg_buffer_text(out, "{\"payloadType\":\"" SG_LEAF_PAYLOAD_TYPE "\",\"payload\":\"");
    sg_base64_append(out, payload, n);
    sg_buffer_printf(out, "\",\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"", label);
    sg_base64_append(out, signature, signature_len);
    sg_buffer_text(out, "\"}]}");
    return SG_OK;
}

/* A string member without surprises: jansson's own length, so that a NUL inside cannot hide a tail. */
static const char *member(const json_t *object, const char *key, size_t *len)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return NULL;
    *len = json_string_length(value);
    return json_string_value(value);
}

static bool fill_envelope(const json_t *object, struct sg_envelope *out)
{
    size_t type_len = 0, payload_len = 0, label_len = 0, signature_len = 0, got = 0;
    const char *type = member(object, "payloadType", &type_len);
    const char *payload = member(object, "payload", &payload_len);
    json_t *signatures = json_object_get(object, "signatures");
    if (!type || !payload || json_object_size(object) != 3 || json_array_size(signatures) != 1)
        return false;
    json_t *one = json_array_get(signatures, 0);
    const char *label = member(one, "keyid", &label_len), *signature = member(one, "sig", &signature_len);
    if (!label || !signature || json_object_size(one) != 2 || label_len >= sizeof out->key_label ||
        type_len != strlen(SG_LEAF_PAYLOAD_TYPE) || strcmp(type, SG_LEAF_PAYLOAD_TYPE) != 0)
        return false;
    strcpy(out->key_label, label);
    uint8_t *bytes = NULL;
    if (!sg_base64_decode(signature, signature_len, &bytes, &got))
        return false;
    out->signature_len = got;
    if (got <= SG_SIGNATURE_MAX)
        memcpy(out->signature, bytes, got);
    free(bytes);
    bytes = NULL;
    size_t payload_bytes = 0;
    if (got > SG_SIGNATURE_MAX || !sg_base64_decode(payload, payload_len, &bytes, &payload_bytes))
        return false;
    sg_buffer_append(&out->payload, bytes, payload_bytes);
    free(bytes);
    return true;
}

enum sg_status sg_envelope_parse(const char *bytes, size_t n, struct sg_envelope *out)
{
    *out = (struct sg_envelope){0};
    if (sg_envelope_read(bytes, n, out))
        return SG_OK;
    sg_envelope_free(out);
    *out = (struct sg_envelope){0};
    json_t *object = NULL;
    if (n > SG_LEAF_BYTES_MAX)
        return sg_fail(SG_BROKEN, "leaf: %zu bytes, more than %d", n, SG_LEAF_BYTES_MAX);
    SG_TRY(sg_json_parse(bytes, n, "leaf", SG_BROKEN, &object));
    bool good = json_is_object(object) && fill_envelope(object, out);
    json_decref(object);
    if (good)
        return SG_OK;
    sg_envelope_free(out);
    return sg_fail(SG_BROKEN, "leaf: not a DSSE envelope of one in-toto statement and one signature");
}

enum sg_status sg_leaf_payload(const char *bytes, size_t n, struct sg_buffer *out)
{
    if (sg_envelope_payload(bytes, n, out))
        return SG_OK;
    out->len = 0;
    struct sg_envelope envelope;
    SG_TRY(sg_envelope_parse(bytes, n, &envelope));
    sg_buffer_append(out, envelope.payload.data ? envelope.payload.data : "", envelope.payload.len);
    sg_envelope_free(&envelope);
    return SG_OK;
}

void sg_envelope_free(struct sg_envelope *envelope)
{
    sg_buffer_free(&envelope->payload);
}

bool sg_envelope_verify(const struct sg_envelope *envelope, const struct sg_vkey *key)
{
    struct sg_buffer pae = {0};
    sg_dsse_pae(SG_LEAF_PAYLOAD_TYPE, envelope->payload.data, envelope->payload.len, &pae);
    bool good = sg_key_verify(key, pae.data, pae.len, envelope->signature, envelope->signature_len);
    sg_buffer_free(&pae);
    return good;
}

/* "urn:sealgrad:event:run.start:1" -> "run.start", cut out in place of the statement's own string. */
static const char *event_type(json_t *statement)
{
    const char *uri = json_string_value(json_object_get(statement, "predicateType"));
    size_t len = uri ? strlen(uri) : 0, prefix = strlen(TYPE_PREFIX), suffix = strlen(TYPE_SUFFIX);
    if (len <= prefix + suffix || memcmp(uri, TYPE_PREFIX, prefix) != 0 || strcmp(uri + len - suffix, TYPE_SUFFIX) != 0)
        return NULL;
    json_t *type = json_stringn(uri + prefix, len - prefix - suffix);
    json_object_set_new(statement, "type", type); /* lives and dies with the statement */
    return json_string_value(type);
}

static bool subjects_valid(const json_t *statement)
{
    json_t *subjects = json_object_get(statement, "subject"), *one;
    size_t i;
    json_array_foreach(subjects, i, one)
    {
        if (!json_is_string(json_object_get(one, "name")) || json_object_size(json_object_get(one, "digest")) < 1)
            return false;
    }
    return json_array_size(subjects) >= 1;
}

static enum sg_status fill_event(json_t *predicate, struct sg_event *out)
{
    static const char what[] = "statement";
    const char *prev = NULL, *time = NULL;
    json_t *by = json_object_get(predicate, "by");
    SG_TRY(sg_json_string(predicate, "origin", what, SG_BROKEN, &out->origin));
    SG_TRY(sg_json_int(predicate, "seq", what, SG_BROKEN, &out->seq));
    SG_TRY(sg_json_string(predicate, "event_id", what, SG_BROKEN, &out->event_id));
    SG_TRY(sg_json_string(predicate, "time", what, SG_BROKEN, &time));
    SG_TRY(sg_json_int(predicate, "time_ms", what, SG_BROKEN, &out->time_ms));
    SG_TRY(sg_json_string(predicate, "prev", what, SG_BROKEN, &prev));
    SG_TRY(sg_json_string(by, "user", what, SG_BROKEN, &out->user));
    SG_TRY(sg_json_string(by, "host", what, SG_BROKEN, &out->host));
    out->facts = json_object_get(predicate, "facts");
    if (!json_is_object(out->facts) || !sg_hex_decode(prev, strlen(prev), out->prev, SG_DIGEST_BYTES))
        return sg_fail(SG_BROKEN, "statement: facts or prev is malformed");
    return SG_OK;
}

enum sg_status sg_event_parse(const char *payload, size_t n, struct sg_event *out)
{
    *out = (struct sg_event){0};
    json_t *statement = NULL;
    SG_TRY(sg_json_parse(payload, n, "statement", SG_BROKEN, &statement));
    const char *schema = json_string_value(json_object_get(statement, "_type"));
    json_t *predicate = json_object_get(statement, "predicate");
    enum sg_status status = SG_OK;
    if (!schema || strcmp(schema, SG_LEAF_STATEMENT_TYPE) != 0 || !subjects_valid(statement) ||
        !json_is_object(predicate) || json_object_get(statement, "type")) /* that name is event_type's */
        status = sg_fail(SG_BROKEN, "statement: not an in-toto Statement v1 with subject and predicate");
    if (status == SG_OK && !(out->type = event_type(statement)))
        status = sg_fail(SG_BROKEN, "statement: its predicateType is not a sealgrad event");
    if (status == SG_OK)
        status = fill_event(predicate, out);
    if (status != SG_OK) {
        json_decref(statement);
        *out = (struct sg_event){0};
        return status;
    }
    out->statement = statement;
    return SG_OK;
}

/* 2026-01-31T23:59:59.123Z */
static void print_time(int64_t time_ms, char out[40])
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + n, 40 - n, ".%03dZ", (int)(time_ms % 1000));
}

void sg_event_print(const struct sg_event *event, int64_t uid, json_t *subjects, struct sg_buffer *out)
{
    char time[40], prev[2 * SG_DIGEST_BYTES + 1];
    print_time(event->time_ms, time);
    sg_hex_encode(event->prev, SG_DIGEST_BYTES, prev);
    json_t *statement = json_object(), *predicate = json_object(), *by = json_object();
    char *type = sg_format(TYPE_PREFIX "%s" TYPE_SUFFIX, event->type);
    json_object_set_new(statement, "_type", json_string(SG_LEAF_STATEMENT_TYPE));
    json_object_set(statement, "subject", subjects);
    json_object_set_new(statement, "predicateType", json_string(type));
    free(type);
    json_object_set_new(predicate, "origin", json_string(event->origin));
    json_object_set_new(predicate, "seq", json_integer(event->seq));
    json_object_set_new(predicate, "event_id", json_string(event->event_id));
    json_object_set_new(predicate, "time", json_string(time));
    json_object_set_new(predicate, "time_ms", json_integer(event->time_ms));
    json_object_set_new(predicate, "prev", json_string(prev));
    json_object_set_new(by, "user", json_string(event->user));
    json_object_set_new(by, "uid", json_integer(uid));
    json_object_set_new(by, "host", json_string(event->host));
    json_object_set_new(predicate, "by", by);
    json_object_set(predicate, "facts", event->facts);
    json_object_set_new(statement, "predicate", predicate);
    sg_json_dump(statement, out);
    json_decref(statement);
}
