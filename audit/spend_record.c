/* The signed record of what was spent: text and back. */
#include <stdlib.h>
#include <string.h>

#include "spend_state.h"

static const char head[] = "sealgrad-spend/v1\n";

/* A double by its bits: sums must come back as they were, infinite ones too. */
static json_t *bits_of(double value)
{
    char text[17];
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)bits);
    return json_string(text);
}

static double double_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    uint64_t bits = text ? strtoull(text, NULL, 16) : 0;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static json_t *population_object(const struct sg_spend_population *p)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(p->name));
    json_object_set_new(object, "charges", json_integer(p->charged.n_charges));
    json_object_set_new(object, "rho", bits_of(p->charged.rho));
    json_object_set_new(object, "slack", bits_of(p->charged.slack));
    json_object_set_new(object, "first_epsilon", bits_of(p->charged.first_epsilon));
    json_object_set_new(object, "first_delta", bits_of(p->charged.first_delta));
    json_object_set_new(object, "relation", json_string(p->charged.relation));
    return object;
}

enum sg_status sg_spend_record_make(struct sg_ledger *ledger, const struct sg_spend_state *state,
                                    struct sg_buffer *text, struct sg_buffer *signature)
{
    uint8_t root[SG_DIGEST_BYTES], bytes[SG_SIGNATURE_MAX];
    char hex[2 * SG_DIGEST_BYTES + 1];
    size_t len = 0;
    json_t *object = json_object(), *populations = json_array(), *programmes = json_array();
    sg_merkle_root(&state->tree, root);
    sg_hex_encode(root, sizeof root, hex);
    for (size_t i = 0; i < state->n_populations; i++)
        json_array_append_new(populations, population_object(&state->populations[i]));
    for (size_t i = 0; i < state->n_programmes; i++)
        json_array_append_new(programmes, json_pack("{s:s, s:I, s:I}", "id", state->programmes[i].id, "leaf",
                                                    (json_int_t)state->programmes[i].leaf, "drawn",
                                                    (json_int_t)state->programmes[i].drawn));
    json_object_set_new(object, "origin", json_string(ledger->origin));
    json_object_set_new(object, "size", json_integer((json_int_t)state->tree.size));
    json_object_set_new(object, "root", json_string(hex));
    json_object_set_new(object, "populations", populations);
    json_object_set_new(object, "programmes", programmes);
    text->len = signature->len = 0;
    sg_buffer_text(text, head);
    sg_json_dump(object, text);
    json_decref(object);
    SG_TRY(sg_signer_sign(ledger->signer, text->data, text->len, bytes, &len));
    sg_buffer_append(signature, bytes, len);
    return SG_OK;
}

static bool read_populations(const json_t *list, struct sg_spend_state *out)
{
    json_t *one;
    size_t i;
    json_array_foreach((json_t *)list, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *relation = json_string_value(json_object_get(one, "relation"));
        if (!name || strlen(name) >= sizeof out->populations->name || !relation ||
            strlen(relation) >= sizeof out->populations->charged.relation)
            return false;
        struct sg_filter *f = &sg_spend_state_population(out, name)->charged;
        f->n_charges = json_integer_value(json_object_get(one, "charges"));
        f->rho = double_of(one, "rho");
        f->slack = double_of(one, "slack");
        f->first_epsilon = double_of(one, "first_epsilon");
        f->first_delta = double_of(one, "first_delta");
        strcpy(f->relation, relation);
    }
    return true;
}

static bool read_programmes(const json_t *list, struct sg_spend_state *out)
{
    json_t *one;
    size_t i;
    json_array_foreach((json_t *)list, i, one)
    {
        const char *id = json_string_value(json_object_get(one, "id"));
        if (!id || strlen(id) >= sizeof out->programmes->id)
            return false;
        struct sg_spend_programme *p = sg_spend_state_programme(out, id);
        p->leaf = json_integer_value(json_object_get(one, "leaf"));
        p->drawn = json_integer_value(json_object_get(one, "drawn"));
    }
    return true;
}

static bool read_object(const json_t *object, const char *origin, struct sg_spend_state *out,
                        uint8_t root[SG_DIGEST_BYTES])
{
    const char *name = json_string_value(json_object_get(object, "origin"));
    const char *hex = json_string_value(json_object_get(object, "root"));
    json_int_t size = json_integer_value(json_object_get(object, "size"));
    if (!name || strcmp(name, origin) != 0 || !hex || !sg_hex_decode(hex, strlen(hex), root, SG_DIGEST_BYTES) ||
        size < 1)
        return false;
    out->tree.size = (uint64_t)size;
    return read_populations(json_object_get(object, "populations"), out) &&
           read_programmes(json_object_get(object, "programmes"), out);
}

bool sg_spend_record_read(struct sg_ledger *ledger, const struct sg_buffer *text, const struct sg_buffer *signature,
                          struct sg_spend_state *out, uint8_t root[SG_DIGEST_BYTES])
{
    size_t skip = sizeof head - 1;
    json_t *object = NULL;
    if (text->len <= skip || memcmp(text->data, head, skip) != 0 || !signature->data ||
        !sg_key_verify(sg_signer_vkey(ledger->signer), text->data, text->len, (const uint8_t *)signature->data,
                       signature->len) ||
        sg_json_parse(text->data + skip, text->len - skip, "spend record", SG_BROKEN, &object) != SG_OK)
        return false;
    bool good = read_object(object, ledger->origin, out, root);
    json_decref(object);
    if (!good)
        sg_spend_state_free(out);
    return good;
}
