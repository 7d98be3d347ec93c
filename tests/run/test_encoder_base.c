/* Would catch: a published encoder whose tensors are taken by the wrong name or from the wrong dtype, and a folder that
 * is not what it seems and is taken without a word: other architectures, weights in another form (a random start would
 * be silent), a file with more or less than its config.json describes. */
#include "support.h"

#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "run/encoder_base.h"

static char *folder;
static const struct sg_model_spec small = {.kind = SG_MODEL_ENCODER,
                                           .objective = SG_CLASSES,
                                           .n_outputs = 3,
                                           .encoder = {.vocabulary = 11,
                                                       .width = 8,
                                                       .layers = 2,
                                                       .heads = 2,
                                                       .intermediate = 12,
                                                       .positions = 6,
                                                       .types = 2,
                                                       .layer_norm_epsilon = 1e-12,
                                                       .pooling = SG_POOL_CLS}};

static int make_folder(void **state)
{
    (void)state;
    folder = test_folder_make();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

static struct sg_model *make_model(enum sg_pooling pooling)
{
    struct sg_model_spec spec = small;
    struct sg_model *model;
    spec.encoder.pooling = (int)pooling;
    if (sg_model_create(&spec, sg_ops_reference(), 1, &model) != SG_OK)
        fail_msg("%s", sg_error_text());
    return model;
}

/* ---- files ---- */

enum form { AS_F32, AS_F16, AS_BF16 };

/* What a file holds of the model: every name as `rename` gives it, in the form that `form` says. */
struct writer {
    const char *(*rename)(const char *name, char buffer[128]); /* NULL: the tensor is left out */
    enum form (*form)(size_t i);
    const char *extra; /* an entry of the header without its offsets, or NULL; with n_extra bytes of zeros */
    size_t n_extra;
};

/* Small multiples of 1/8: the same number in every form. */
static float value_of(int64_t i)
{
    return (float)(i * 7 % 31 - 15) / 8;
}

static uint16_t to_f16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return value == 0 ? 0 : (uint16_t)((bits >> 16 & 0x8000) | ((bits >> 23 & 255) - 112) << 10 | (bits >> 13 & 0x3ff));
}

static void put(struct sg_buffer *data, float value, enum form form)
{
    uint32_t bits;
    uint16_t half = to_f16(value), brain;
    memcpy(&bits, &value, 4);
    brain = (uint16_t)(bits >> 16);
    if (form == AS_F32)
        sg_buffer_append(data, &value, 4);
    else
        sg_buffer_append(data, form == AS_F16 ? &half : &brain, 2);
}

static const char *same(const char *name, char buffer[128])
{
    (void)buffer;
    return name;
}

static enum form all_f32(size_t i)
{
    (void)i;
    return AS_F32;
}

static void write_base(const struct sg_model *model, const struct writer *w)
{
    static const char *const dtypes[] = {"F32", "F16", "BF16"};
    struct sg_buffer header = {0}, data = {0}, file = {0};
    size_t n;
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    sg_buffer_text(&header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        char buffer[128], shape[64];
        const char *name = (w->rename ? w->rename : same)(p[i].name, buffer);
        enum form form = (w->form ? w->form : all_f32)(i);
        size_t begin = data.len;
        if (!name)
            continue;
        for (int64_t k = 0; k < p[i].n_out * p[i].n_in; k++)
            put(&data, value_of(p[i].first + k), form);
        snprintf(shape, sizeof shape, p[i].n_dimensions == 2 ? "%lld,%lld" : "%lld", (long long)p[i].n_out,
                 (long long)p[i].n_in);
        sg_buffer_printf(&header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", name,
                         dtypes[form], shape, begin, data.len);
    }
    if (w->extra) {
        sg_buffer_printf(&header, ",%s,\"data_offsets\":[%zu,%zu]}", w->extra, data.len, data.len + w->n_extra);
        for (size_t i = 0; i < w->n_extra; i++)
            sg_buffer_append(&data, "", 1);
    }
    sg_buffer_text(&header, "}");
    uint64_t length = header.len;
    sg_buffer_append(&file, &length, 8);
    sg_buffer_append(&file, header.data, header.len);
    sg_buffer_append(&file, data.data, data.len);
    char *path = sg_path_join(folder, "model.safetensors");
    assert_int_equal(sg_file_write(path, file.data, file.len, 0600), SG_OK);
    free(path);
    sg_buffer_free(&header);
    sg_buffer_free(&data);
    sg_buffer_free(&file);
}

static enum sg_status load(const struct sg_model *model, float **weights)
{
    char digest[65];
    *weights = sg_alloc((size_t)sg_model_n_weights(model), sizeof **weights);
    for (int64_t i = 0; i < sg_model_n_weights(model); i++)
        (*weights)[i] = 99; /* the start: what keeps it is seen */
    return sg_encoder_base_load(folder, model, *weights, digest);
}

static void expect_weights(const struct writer *w, const char *untouched)
{
    struct sg_model *model = make_model(SG_POOL_CLS);
    float *weights;
    size_t n;
    write_base(model, w);
    if (load(model, &weights) != SG_OK)
        fail_msg("%s", sg_error_text());
    const struct sg_parameter *p = sg_model_parameters(model, &n);
    for (size_t i = 0; i < n; i++)
        for (int64_t k = 0; k < p[i].n_out * p[i].n_in; k++) {
            float wanted =
                untouched && strncmp(p[i].name, untouched, strlen(untouched)) == 0 ? 99 : value_of(p[i].first + k);
            if (weights[p[i].first + k] != wanted)
                fail_msg("%s[%lld] is %g, not %g", p[i].name, (long long)k, (double)weights[p[i].first + k],
                         (double)wanted);
        }
    free(weights);
    sg_model_close(&model);
}

static void expect_refusal(const struct sg_model *model, const char *words)
{
    float *weights;
    assert_int_equal(load(model, &weights), SG_USAGE);
    if (!strstr(sg_error_text(), words) || strchr(sg_error_text(), '\n'))
        fail_msg("\"%s\" is not one line that holds \"%s\"", sg_error_text(), words);
    free(weights);
}

static void refuse_file(const struct writer *w, const char *words)
{
    struct sg_model *model = make_model(SG_POOL_CLS);
    write_base(model, w);
    expect_refusal(model, words);
    sg_model_close(&model);
}

/* ---- names ---- */

static const char *with_prefix(const char *name, char buffer[128])
{
    snprintf(buffer, 128, "%s%s", strncmp(name, "classifier.", 11) == 0 ? "" : "bert.", name);
    return buffer;
}

/* As the first published files have it: a prefix, and gamma and beta. */
static const char *oldest(const char *name, char buffer[128])
{
    const char *norm = strstr(name, "LayerNorm.");
    if (!norm)
        return with_prefix(name, buffer);
    snprintf(buffer, 128, "bert.%.*sLayerNorm.%s", (int)(norm - name), name, strstr(norm, "weight") ? "gamma" : "beta");
    return buffer;
}

static const char *without_head(const char *name, char buffer[128])
{
    return strncmp(name, "classifier.", 11) == 0 ? NULL : same(name, buffer);
}

static void test_names(void **state)
{
    (void)state;
    expect_weights(&(struct writer){0}, NULL);
    expect_weights(&(struct writer){.rename = with_prefix}, NULL);
    expect_weights(&(struct writer){.rename = oldest}, NULL);
    expect_weights(&(struct writer){.rename = without_head}, "classifier.");
    /* What a published file holds besides. */
    static const char *const extras[] = {"\"embeddings.position_ids\":{\"dtype\":\"I64\",\"shape\":[1,1]",
                                         "\"bert.embeddings.position_ids\":{\"dtype\":\"I64\",\"shape\":[1,1]",
                                         "\"bert.embeddings.position_ids\":{\"dtype\":\"F32\",\"shape\":[1,2]",
                                         "\"cls.predictions.bias\":{\"dtype\":\"F32\",\"shape\":[2]",
                                         "\"cls.seq_relationship.weight\":{\"dtype\":\"F32\",\"shape\":[2]"};
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++)
        expect_weights(&(struct writer){.extra = extras[i], .n_extra = 8}, NULL);
}

/* ---- forms of numbers ---- */

static enum form all_f16(size_t i)
{
    (void)i;
    return AS_F16;
}

static enum form mixed(size_t i)
{
    return (enum form)(i % 3);
}

static void test_forms(void **state)
{
    (void)state;
    expect_weights(&(struct writer){.form = all_f16}, NULL);
    expect_weights(&(struct writer){.form = mixed, .rename = with_prefix}, NULL);
    refuse_file(&(struct writer){.extra = "\"cls.x\":{\"dtype\":\"F64\",\"shape\":[1]", .n_extra = 8},
                "the dtype must be");
    refuse_file(&(struct writer){.extra = "\"cls.x\":{\"dtype\":\"F8_E4M3\",\"shape\":[8]", .n_extra = 8},
                "the dtype must be");
}

/* ---- more or less than described ---- */

static const char *without_pooler(const char *name, char buffer[128])
{
    return strncmp(name, "pooler.", 7) == 0 ? NULL : same(name, buffer);
}

static const char *without_a_bias(const char *name, char buffer[128])
{
    return strcmp(name, "encoder.layer.1.output.dense.bias") == 0 ? NULL : same(name, buffer);
}

static const char *in_another_model(const char *name, char buffer[128])
{
    snprintf(buffer, 128, "model.%s", name);
    return buffer;
}

static void test_more_and_less(void **state)
{
    (void)state;
    refuse_file(&(struct writer){.rename = without_a_bias}, "encoder.layer.1.output.dense.bias is missing");
    refuse_file(&(struct writer){.rename = in_another_model}, "embeddings.word_embeddings.weight is missing");
    refuse_file(&(struct writer){.rename = without_pooler}, "use pooling: mean");
    static const struct {
        const char *entry, *words;
    } extras[] = {
        {"\"encoder.layer.2.output.dense.bias\":{\"dtype\":\"F32\",\"shape\":[2]", "no part of the encoder"},
        {"\"encoder.layer.0.attention.self.distance_embedding.weight\":{\"dtype\":\"F32\",\"shape\":[2]", "no part of"},
        {"\"encoder.layer.0.attention.self.query.lora_A.default.weight\":{\"dtype\":\"F32\",\"shape\":[2]",
         "no part of"},
        {"\"bert.pooler.dense.bias\":{\"dtype\":\"F32\",\"shape\":[2]", "two tensors are pooler.dense.bias"},
        {"\"embeddings.LayerNorm.gamma\":{\"dtype\":\"F32\",\"shape\":[2]",
         "two tensors are embeddings.LayerNorm.weight"},
    };
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++)
        refuse_file(&(struct writer){.extra = extras[i].entry, .n_extra = 8}, extras[i].words);
    /* The pooler is not asked for where means are taken. */
    struct sg_model *cls = make_model(SG_POOL_CLS), *mean = make_model(SG_POOL_MEAN);
    float *weights;
    write_base(cls, &(struct writer){.rename = without_pooler});
    assert_int_equal(load(mean, &weights), SG_OK);
    free(weights);
    write_base(cls, &(struct writer){0});
    assert_int_equal(load(mean, &weights), SG_OK);
    free(weights);
    sg_model_close(&cls);
    sg_model_close(&mean);
}

/* ---- other folders ---- */

static void test_other_weights(void **state)
{
    (void)state;
    static const struct {
        const char *name, *words;
    } others[] = {
        {"model.safetensors.index.json", "several files; save them as one model.safetensors"},
        {"pytorch_model.bin", "a pickle can run code; save model.safetensors"},
        {"pytorch_model.bin.index.json", "a pickle can run code; save model.safetensors"},
        {"tf_model.h5", "save model.safetensors"},
        {"flax_model.msgpack", "save model.safetensors"},
        {"adapter_model.safetensors", "merge it with its base"},
    };
    struct sg_model *model = make_model(SG_POOL_CLS);
    char *path = sg_path_join(folder, "model.safetensors");
    unlink(path);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char *other = sg_path_join(folder, others[i].name);
        test_file_write(folder, others[i].name, "x");
        expect_refusal(model, others[i].words);
        unlink(other);
        free(other);
    }
    float *weights; /* nothing at all is a random start */
    assert_int_equal(load(model, &weights), SG_OK);
    assert_true(weights[0] == 99);
    free(weights);
    free(path);
    sg_model_close(&model);
}

#define SIZES                                                                                                          \
    "\"vocab_size\": 11, \"hidden_size\": 8, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, "                   \
    "\"intermediate_size\": 12, \"max_position_embeddings\": 6, \"type_vocab_size\": 2, \"hidden_act\": \"gelu\""

static void test_configs(void **state)
{
    (void)state;
    static const struct {
        const char *config, *words; /* NULL: taken */
    } cases[] = {
        {"{\"model_type\": \"bert\", " SIZES "}", NULL},
        {"{" SIZES ", \"attention_probs_dropout_prob\": 0.1, \"hidden_dropout_prob\": 0.1, \"dtype\": \"float16\"}",
         NULL},
        {"{\"model_type\": \"roberta\", " SIZES "}", "\"model_type\" must be \"bert\""},
        {"{\"model_type\": \"distilbert\", \"dim\": 8, \"n_layers\": 2}", "\"model_type\" must be \"bert\""},
        {"{\"model_type\": [\"bert\"], " SIZES "}", "\"model_type\" must be \"bert\""},
        {"{\"model_type\": \"bert\", \"position_embedding_type\": \"relative_key\", " SIZES "}",
         "position_embedding_type"},
        {"{\"model_type\": \"bert\", \"is_decoder\": true, " SIZES "}", "is_decoder"},
        {"{\"model_type\": \"bert\"}", "vocab_size"},
        {"{\"model_type\": \"bert\", \"vocab_size\": 1e9}", "vocab_size"},
        {"[]", "an object"},
        {"", "config.json"},
    };
    struct sg_encoder_spec spec = {0};
    char *path = sg_path_join(folder, "config.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_file_write(folder, "config.json", cases[i].config);
        enum sg_status status = sg_encoder_base_spec(folder, &spec);
        assert_int_equal(status, cases[i].words ? SG_USAGE : SG_OK);
        if (cases[i].words && !strstr(sg_error_text(), cases[i].words))
            fail_msg("\"%s\" does not hold \"%s\"", sg_error_text(), cases[i].words);
    }
    unlink(path);
    test_file_write(folder, "adapter_config.json", "{}");
    assert_int_equal(sg_encoder_base_spec(folder, &spec), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "an adapter, no base model"));
    free(path);
    path = sg_path_join(folder, "adapter_config.json");
    unlink(path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_forms),   cmocka_unit_test(test_more_and_less),
        cmocka_unit_test(test_other_weights), cmocka_unit_test(test_configs),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
