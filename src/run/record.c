#include "record.h"

#include <openssl/crypto.h>
#include <sodium.h>
#include <string.h>
#include <sqlite3.h>
#include <gnu/libc-version.h>

#include "base/digest.h"
#include "base/bytes.h"
#include "run/evaluate.h"

json_t *sg_record_parameters(const struct sg_train_options *options, const struct sg_prepared *prepared)
{
    const struct sg_training *t = &options->config->training;
    static const char *const optimizers[] = {"sgd", "adam"}, *const schedules[] = {"constant", "linear"};
    json_t *training = json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:s, s:f, s:I, s:f, s:I}", "optimizer", optimizers[t->optimizer],
                                 "learning_rate", t->learning_rate, "momentum", t->momentum, "beta1", t->beta1, "beta2", t->beta2,
                                 "adam_epsilon", t->adam_epsilon, "schedule", schedules[t->schedule], "decay_start", t->decay_start,
                                 "warmup_steps", (json_int_t)t->warmup_steps, "average_decay", t->average_decay, "public_seed",
                                 (json_int_t)t->public_seed);
    json_t *parameters = json_pack("{s:o, s:o, s:s, s:i, s:i}", "model", sg_model_spec_to_json(sg_model_spec_of(prepared->model)), "training",
                     training, "backend", options->ops->name, "workers", prepared->shape.n_workers, "ranks", options->comm->size);
    if (prepared->tokenizer)
        json_object_set_new(parameters, "tokenizer", sg_record_tokenizer(prepared->tokenizer));
    return parameters;
}

json_t *sg_record_tokenizer(const struct sg_tokenizer *tokenizer)
{
    char digest[2 * SG_DIGEST_BYTES + 1];
    struct sg_tokenizer_settings t = sg_tokenizer_settings_of(tokenizer);
    sg_hex_encode(sg_tokenizer_digest(tokenizer), SG_DIGEST_BYTES, digest);
    return json_pack("{s:s, s:b, s:b, s:b}", "vocabulary_sha256", digest, "lower_case", t.lower_case, "strip_accents",
                     t.strip_accents, "spaced_cjk", t.spaced_cjk);
}

json_t *sg_record_libraries(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "libsodium", sodium_version_string(), "openssl",
                     OpenSSL_version(OPENSSL_VERSION_STRING), "sqlite", sqlite3_libversion(), "jansson", jansson_version_str(),
                     "libc", gnu_get_libc_version());
}

json_t *sg_record_metrics(const json_t *by_split)
{
    json_t *list = json_array(), *figures, *value;
    const char *split, *name;
    json_object_foreach((json_t *)by_split, split, figures) {
        if (strcmp(split, sg_split_name(SG_SPLIT_TRAIN)) == 0)
            continue; /* figures of the training people are for the operator's eyes only */
        json_object_foreach(figures, name, value) {
            if (strcmp(name, "psi_from_train") == 0)
                continue;
            json_array_append_new(list, json_pack("{s:s, s:O, s:s, s:s}", "name", name, "value", value, "split", split, "released",
                                                  "exact"));
        }
    }
    return list;
}

json_t *sg_record_curves(const json_t *curves, const json_t *track)
{
    json_t *list = json_array();
    json_array_extend(list, (json_t *)curves);
    json_array_extend(list, (json_t *)track);
    if (json_array_size(list) > 0)
        return list;
    json_decref(list);
    return NULL;
}

void sg_record_binary_digest(char out[65])
{
    uint8_t digest[SG_DIGEST_BYTES];
    out[0] = 0;
    if (sg_sha256_file("/proc/self/exe", digest) == SG_OK)
        sg_hex_encode(digest, sizeof digest, out);
    else
        sg_error_clear();
}
