/* Would catch: a token, label or split that goes to another message; quoted line feeds, empty and endless texts read
 * wrongly; a label never seen or broken UTF-8 that passes, or whose error shows the value; a registration whose
 * commitment differs from the reading; a schema that mixes texts with what is not supported. */
#include "data_test.h"

#include "base/file.h"

static struct sg_tokenizer *tokenizer;

static int open_tokenizer(void **state)
{
    static const struct sg_tokenizer_settings uncased = {true, true, true};
    char *path = sg_format("%s/tests/data/tokenizer/vocab.txt", getenv("SEALGRAD_SOURCE"));
    enum sg_status status = sg_tokenizer_read(path, &uncased, &tokenizer);
    free(path);
    return status == SG_OK ? make_folder(state) : -1;
}

static int close_tokenizer(void **state)
{
    sg_tokenizer_close(&tokenizer);
    return remove_folder(state);
}

#define TEXT_COLUMN "  - {name: text, role: text, max_tokens: 8}\n"
#define HEAD "layout: wide\nunit: row\ncolumns:\n" TEXT_COLUMN
static const char intents[] = HEAD "  - {name: intent, role: label, categories: [refund, card, \"fee?\"]}\n"
                                   "  - {name: part, role: split}\n";

static struct sg_dataset_options text_options(void)
{
    struct sg_dataset_options options = all_options();
    options.tokenizer = tokenizer;
    return options;
}

static struct sg_dataset *must_read_text(const struct sg_schema *schema, const char *csv,
                                         const struct sg_dataset_options *options)
{
    struct sg_dataset *d;
    if (read_csv(schema, csv, options, &d) != SG_OK)
        fail_msg("%s", sg_error_text());
    return d;
}

static void expect_tokens(const struct sg_dataset *d, int64_t unit, const char *text)
{
    int32_t ids[64];
    int64_t n = sg_tokenizer_encode(tokenizer, text, strlen(text), 8, ids, NULL);
    assert_int_equal(d->offset[unit + 1] - d->offset[unit], n);
    assert_memory_equal(d->token + d->offset[unit], ids, (size_t)n * sizeof *ids);
}

static void test_reading(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema(intents);
    struct sg_dataset_options options = text_options();
    struct sg_dataset *d = must_read_text(schema,
                                          "\xef\xbb\xbftext,intent,part\r\n"
                                          "my card,card,train\r\n"
                                          "\"the fee,\r\nwhat \"\"is\"\" it?\",fee?,test\r\n"
                                          ",refund,validation\r\n"
                                          "my card,card,train\r\n"
                                          "card card card card card card card,fee?,train\r\n",
                                          &options);
    assert_int_equal(d->n_units, 5);
    assert_int_equal(sg_schema_n_classes(schema), 3);
    assert_int_equal(d->n_features, 0);
    assert_null(d->x);
    static const char *const text[] = {"my card", "the fee,\nwhat \"is\" it?", "", "my card",
                                       "card card card card card card card"};
    static const int label[] = {1, 2, 0, 1, 2},
                     part[] = {SG_SPLIT_TRAIN, SG_SPLIT_TEST, SG_SPLIT_VALIDATION, SG_SPLIT_TRAIN, SG_SPLIT_TRAIN};
    for (int64_t i = 0; i < 5; i++) {
        expect_tokens(d, i, text[i]);
        assert_int_equal((int)d->label[i], label[i]);
        assert_int_equal(d->split[i], part[i]);
    }
    assert_int_equal(d->offset[0], 0);
    assert_int_equal(d->offset[3] - d->offset[2], 2); /* no words: [CLS] [SEP] */
    assert_int_equal(d->n_rows, d->offset[5]);
    assert_int_equal(d->n_truncated, 2);
    assert_memory_not_equal(d->digest[0], d->digest[3], SG_UNIT_DIGEST_BYTES); /* equal rows are two units */
    sg_dataset_close(&d);
    sg_schema_close(&schema);
}

static void test_registration(void **state)
{
    (void)state;
    static const char csv[] = "text,intent,part\nmy card,card,train\n\"a\nfee\",fee?,test\n";
    struct sg_schema *schema = parse_schema(intents);
    struct sg_dataset_options options = text_options();
    struct sg_dataset *d = must_read_text(schema, csv, &options);
    options.check_only = true;
    options.tokenizer = NULL;
    struct sg_dataset *checked = must_read_text(schema, csv, &options);
    assert_memory_equal(d->commitment, checked->commitment, SG_DIGEST_BYTES);
    assert_int_equal(checked->n_units, 2);
    assert_int_equal(checked->n_split[SG_SPLIT_TRAIN], 1);
    assert_null(checked->token);
    sg_dataset_close(&checked);
    options.tokenizer = tokenizer; /* with one, long texts are counted */
    checked = must_read_text(schema, "text,intent,part\na a a a a a a a,card,train\n", &options);
    assert_int_equal(checked->n_truncated, 1);
    assert_null(checked->token);
    sg_dataset_close(&checked);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
}

static void expect_fault(const char *schema_text, const char *csv, const char *words, const char *secret)
{
    struct sg_schema *schema = parse_schema(schema_text);
    struct sg_dataset_options options = text_options();
    for (int check_only = 0; check_only < 2; check_only++) {
        struct sg_dataset *d;
        options.check_only = check_only;
        assert_int_equal(read_csv(schema, csv, &options, &d), SG_USAGE);
        if (!strstr(sg_error_text(), words) || (secret && strstr(sg_error_text(), secret)))
            fail_msg("\"%s\": expected \"%s\"", sg_error_text(), words);
    }
    sg_schema_close(&schema);
}

static void test_faults(void **state)
{
    (void)state;
    expect_fault(intents, "text,intent,part\nmy,card,train\n\"a\nb\",secretive,train\n",
                 "data.csv:3: column intent: not one of", "secretive");
    expect_fault(intents, "text,intent,part\nmy,,train\n", "data.csv:2: column intent", NULL);
    expect_fault(intents,
                 "text,intent,part\nmy,card,train\na\xff"
                 "b,card,train\n",
                 "data.csv:3: not valid UTF-8", "\xff");
    expect_fault(intents, "text,intent,part\nmy,card,exam\n", "data.csv:2: column part", "exam");
    expect_fault(intents, "words,intent,part\nmy,card,train\n", "data.csv:1: field 1 of the header", NULL);
    expect_fault(intents, "intent,part\ncard,train\n", "column text: declared", NULL);
    expect_fault(
        "layout: wide\nunit: who\ncolumns:\n  - {name: who, role: id}\n" TEXT_COLUMN
        "  - {name: good, role: label, positive: [1], negative: [0]}\nsplit: {fractions: {train: 1}, seed: 1}\n",
        "who,text,good\nAnna,a,1\nAnna,b,0\n", "data.csv:3: column who: a unit id that an earlier line has; a text",
        "Anna");
    struct sg_schema *schema = parse_schema(intents);
    struct sg_dataset_options options = all_options();
    struct sg_dataset *d;
    assert_int_equal(read_csv(schema, "text,intent,part\nmy,card,train\n", &options, &d), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "needs a tokenizer"));
    sg_schema_close(&schema);
}

static void test_long_text(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema(intents);
    struct sg_dataset_options options = text_options();
    struct sg_buffer csv = {0};
    sg_buffer_text(&csv, "text,intent,part\nmy,card,train\n");
    for (int i = 0; i < 10000; i++)
        sg_buffer_text(&csv, i ? " card" : "my");
    sg_buffer_text(&csv, ",card,train\na,card,train\n");
    struct sg_dataset *d = must_read_text(schema, csv.data, &options);
    assert_int_equal(d->offset[2] - d->offset[1], 8);
    assert_int_equal(d->n_truncated, 1);
    expect_tokens(d, 1, "my card card card card card card");
    expect_tokens(d, 2, "a");
    sg_dataset_close(&d);
    sg_buffer_free(&csv);
    sg_schema_close(&schema);
}

static void test_labels(void **state)
{
    (void)state;
    static const char fractions[] = "split: {fractions: {train: 1}, seed: 1}\n";
    char *text = sg_format("%s  - {name: y, role: label, type: number, bounds: [-1, 2.5]}\n%s", HEAD, fractions);
    struct sg_schema *schema = parse_schema(text);
    struct sg_dataset_options options = text_options();
    struct sg_dataset *d = must_read_text(schema, "text,y\na,1.25\nb,-7\nc,9e9\n", &options);
    assert_int_equal(sg_schema_n_classes(schema), 0);
    assert_true(d->label[0] == 1.25F && d->label[1] == -1 && d->label[2] == 2.5F);
    assert_int_equal(d->n_clipped, 2);
    assert_int_equal(sg_schema_label_kind(schema), SG_LABEL_NUMBER);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
    expect_fault(text, "text,y\na,1.25\nb,much\n", "data.csv:3: column y: not a plain number", "much");
    free(text);
    text = sg_format("%s  - {name: y, role: label, positive: [yes, 1], negative: [no]}\n%s", HEAD, fractions);
    schema = parse_schema(text);
    d = must_read_text(schema, "text,y\na,yes\nb,no\nc,1\n", &options);
    assert_int_equal(sg_schema_n_classes(schema), 2);
    assert_true(d->label[0] == 1 && d->label[1] == 0 && d->label[2] == 1);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
    free(text);
    schema = parse_schema(intents);
    assert_string_equal(sg_schema_class_name(schema, 0), "refund");
    assert_string_equal(sg_schema_class_name(schema, 2), "fee?");
    assert_null(sg_schema_class_name(schema, 3));
    assert_int_equal(sg_schema_n_classes(schema), 3);
    assert_int_equal(sg_schema_max_tokens(schema), 8);
    assert_int_equal(sg_schema_steps_max(schema), 8);
    sg_schema_close(&schema);
}

/* ---- scoring ---- */

static void test_scoring(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema(intents);
    struct sg_dataset_options options = {.tokenizer = tokenizer, .keep_ids = true};
    struct sg_dataset *d = must_read_text(schema, "text\nmy card\n\"a\nfee\"\n", &options);
    assert_int_equal(d->n_units, 2);
    assert_null(d->label);
    expect_tokens(d, 1, "a fee");
    sg_dataset_close(&d);
    sg_schema_close(&schema);
}

static void test_lines(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema(intents);
    struct sg_dataset_options options = {.tokenizer = tokenizer, .keep_ids = true, .is_text_lines = true};
    struct sg_dataset *d = must_read_text(schema, "\xef\xbb\xbfmy card, \"the\" fee\r\n\nmy card\nmy card", &options);
    assert_int_equal(d->n_units, 4);
    expect_tokens(d, 0, "my card, \"the\" fee");
    expect_tokens(d, 1, "");
    expect_tokens(d, 3, "my card");
    assert_string_equal(d->id[3], "4");
    assert_null(d->label);
    sg_dataset_close(&d);
    assert_int_equal(read_csv(schema, "a\nb\xc3\n", &options, &d), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "data.csv:2: not valid UTF-8"));
    options.need_label = true;
    assert_int_equal(read_csv(schema, "a\n", &options, &d), SG_USAGE);
    sg_schema_close(&schema);
    schema =
        parse_schema("layout: wide\nunit: row\ncolumns:\n  - {name: a, role: feature, type: number, bounds: [0, 1]}\n");
    options.need_label = false;
    assert_int_equal(read_csv(schema, "a\n", &options, &d), SG_USAGE);
    sg_schema_close(&schema);
}

/* ---- the schema ---- */

static void expect_schema_fault(const char *text, const char *words)
{
    struct sg_schema *schema;
    assert_int_equal(sg_schema_parse("schema.yaml", text, strlen(text), &schema), SG_USAGE);
    if (!strstr(sg_error_text(), words))
        fail_msg("\"%s\" does not hold \"%s\"", sg_error_text(), words);
}

static void test_schema_faults(void **state)
{
    (void)state;
    expect_schema_fault("layout: wide\nunit: row\ncolumns:\n  - {name: text, role: text}\n", "needs max_tokens");
    expect_schema_fault("layout: wide\nunit: row\ncolumns:\n  - {name: text, role: text, max_tokens: 2}\n",
                        "max_tokens");
    expect_schema_fault(HEAD "  - {name: other, role: text, max_tokens: 8}\n", "second column with role text");
    expect_schema_fault(HEAD "  - {name: n, role: feature, type: number, bounds: [0, 1]}\n", "stands alone");
    expect_schema_fault(HEAD "steps:\n  - {name: n, columns: [a, b], type: number, bounds: [0, 1]}\n", "stands alone");
    expect_schema_fault("layout: long\nunit: who\nrows_per_unit_max: 9\ncolumns:\n  - {name: who, role: id}\n"
                        "  - {name: when, role: time}\n" TEXT_COLUMN,
                        "several messages of one customer");
    expect_schema_fault(HEAD "  - {name: y, role: label, categories: [a]}\n", "2 to");
    expect_schema_fault(HEAD "  - {name: y, role: label, categories: []}\n", "empty");
    expect_schema_fault(HEAD "  - {name: y, role: label, categories: [a, b, a]}\n", "listed twice");
    expect_schema_fault(HEAD "  - {name: y, role: label, categories: [a, b], positive: [a]}\n", "either");
    expect_schema_fault(HEAD "  - {name: y, role: label, type: number}\n", "needs bounds");
    expect_schema_fault(HEAD "  - {name: y, role: label, type: number, bounds: [1, 1]}\n", "below the second");
    expect_schema_fault(HEAD "  - {name: y, role: label, type: category, categories: [a, b]}\n", "type");
    expect_schema_fault(HEAD "  - {name: y, role: label, positive: [a], negative: [b], max_tokens: 8}\n",
                        "belongs to a text");
    expect_schema_fault(HEAD "missing_values: [\"NA\"]\n", "no meaning for a text");
    expect_schema_fault(
        "layout: wide\nunit: row\ncolumns:\n  - {name: a, role: feature, type: number, bounds: [0, 1]}\n"
        "  - {name: y, role: label, categories: [a, b]}\n",
        "needs a column with role: text");
    expect_schema_fault("layout: wide\nunit: row\ncolumns:\n"
                        "  - {name: a, role: feature, type: number, bounds: [0, 1], max_tokens: 8}\n",
                        "role: text");
}

static void test_draft(void **state)
{
    (void)state;
    struct sg_buffer draft;
    char *path = write_text("draft.csv", "n,intent,text\n1,card,where is my card\n2,fee,\"what, then,\nis the fee\"\n");
    assert_int_equal(sg_schema_draft(path, ',', &draft), SG_OK);
    assert_non_null(strstr(draft.data, "{name: \"text\", role: text, max_tokens: 128}"));
    assert_non_null(strstr(draft.data, "{name: \"intent\", role: label, categories: []}"));
    assert_non_null(strstr(draft.data, "{name: \"n\", role: ignore}"));
    assert_null(strstr(draft.data, "missing_values"));
    struct sg_schema *schema; /* to be finished by a person */
    assert_int_equal(sg_schema_parse("draft.yaml", draft.data, draft.len, &schema), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "categories is empty"));
    sg_buffer_free(&draft);
    free(path);
}

/* ---- BANKING77 ---- */

/* train.csv and test.csv as one file with a column that says which. */
static void append_part(FILE *out, const char *path, const char *part, bool header)
{
    struct sg_buffer bytes;
    assert_int_equal(sg_file_read(path, "data", 4u << 20, &bytes), SG_OK);
    bool quoted = false, first = true;
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.data[i];
        quoted ^= c == '"';
        if (c == '\r' && !quoted && (!first || header))
            fprintf(out, ",%s", first ? "part" : part);
        if (!first || header)
            putc(c, out);
        first &= c != '\n' || quoted;
    }
    sg_buffer_free(&bytes);
}

static struct sg_schema *banking_schema(const char *folder77)
{
    char *path = sg_format("%s/categories.json", folder77);
    struct sg_buffer categories;
    assert_int_equal(sg_file_read(path, "categories", 1u << 16, &categories), SG_OK);
    char *text = sg_format("layout: wide\nunit: row\ncolumns:\n  - {name: text, role: text, max_tokens: 64}\n"
                           "  - {name: part, role: split}\n  - {name: category, role: label, categories: %s}\n",
                           categories.data);
    struct sg_schema *schema = parse_schema(text);
    sg_buffer_free(&categories);
    free(text);
    free(path);
    return schema;
}

static void test_banking(void **state)
{
    (void)state;
    const char *shared = getenv("SEALGRAD_SHARED");
    char *folder77 = sg_format("%s/data/banking77", shared ? shared : "../shared");
    char *train = sg_format("%s/train.csv", folder77), *test = sg_format("%s/test.csv", folder77);
    char *vocabulary = sg_format("%s/../bert-vocab/vocab.txt", folder77);
    if (!sg_file_exists(train) || !sg_file_exists(vocabulary)) {
        print_message("SKIPPED: no %s; set SEALGRAD_SHARED\n", train);
        skip();
    }
    struct sg_schema *schema = banking_schema(folder77);
    char *path = sg_format("%s/banking.csv", folder);
    FILE *out = fopen(path, "wb");
    append_part(out, train, "train", true);
    append_part(out, test, "test", false);
    assert_int_equal(fclose(out), 0);
    struct sg_tokenizer *published;
    assert_int_equal(sg_tokenizer_read(vocabulary, NULL, &published), SG_OK);
    struct sg_dataset_options options = text_options();
    options.tokenizer = published;
    struct sg_dataset *d;
    if (sg_dataset_read(path, schema, &options, &d) != SG_OK)
        fail_msg("%s", sg_error_text());
    assert_int_equal(d->n_units, 13083);
    assert_int_equal(d->n_split[SG_SPLIT_TRAIN], 10003);
    assert_int_equal(d->n_split[SG_SPLIT_TEST], 3080);
    assert_int_equal(sg_schema_n_classes(schema), 77);
    int64_t of_class[77] = {0};
    for (int64_t i = 0; i < d->n_units; i++)
        of_class[(int)d->label[i]] += d->split[i] == SG_SPLIT_TEST;
    for (int i = 0; i < 77; i++)
        assert_int_equal(of_class[i], 40);
    assert_true(d->n_truncated > 0 && d->n_truncated < 131); /* 99 % have at most 51 tokens */
    print_message("%lld tokens, %lld texts cut at 64\n", (long long)d->n_rows, (long long)d->n_truncated);
    sg_dataset_close(&d);
    sg_tokenizer_close(&published);
    sg_schema_close(&schema);
    free(path);
    free(vocabulary);
    free(test);
    free(train);
    free(folder77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),   cmocka_unit_test(test_registration),  cmocka_unit_test(test_faults),
        cmocka_unit_test(test_long_text), cmocka_unit_test(test_labels),        cmocka_unit_test(test_scoring),
        cmocka_unit_test(test_lines),     cmocka_unit_test(test_schema_faults), cmocka_unit_test(test_draft),
        cmocka_unit_test(test_banking),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
