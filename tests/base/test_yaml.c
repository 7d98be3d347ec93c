/* Would catch: a wrong line or column in a message, a misspelt key that is silently ignored, a value of the wrong type
 * or range let through, YAML's implicit surprises (yes = true, 010 = 8), anchors, tags and duplicates accepted. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"

static struct sg_yaml *parse(const char *text)
{
    struct sg_yaml *document = NULL;
    if (sg_yaml_parse("credit.yaml", "configuration", text, strlen(text), &document) != SG_OK)
        fail_msg("%s", sg_error_text());
    return document;
}

static void refuse(const char *text, size_t n, const char *message)
{
    struct sg_yaml *document = (void *)1;
    assert_int_equal(sg_yaml_parse("credit.yaml", "configuration", text, n, &document), SG_USAGE);
    assert_null(document);
    if (strncmp(sg_error_text(), message, strlen(message)) != 0)
        fail_msg("got \"%s\", want \"%s\"", sg_error_text(), message);
}

static void structure(void **state)
{
    (void)state;
    struct sg_yaml *document = parse("# a comment\nname: credit\nlist: [1, two, \"3\"]\nnested:\n  - {a: 1}\n  - x\n");
    const struct sg_yaml_node *root = sg_yaml_root(document);
    const char *key, *text;
    assert_int_equal(sg_yaml_kind_of(root), SG_YAML_MAP);
    assert_int_equal(sg_yaml_count(root), 3);
    const struct sg_yaml_node *list = sg_yaml_item(root, 1, &key);
    assert_string_equal(key, "list");
    assert_ptr_equal(list, sg_yaml_get(root, "list"));
    assert_int_equal(sg_yaml_kind_of(list), SG_YAML_LIST);
    assert_int_equal(sg_yaml_count(list), 3);
    assert_int_equal(sg_yaml_text(sg_yaml_item(list, 1, &key), "item", &text), SG_OK);
    assert_string_equal(text, "two");
    assert_null(key);
    assert_null(sg_yaml_get(root, "absent"));
    assert_null(sg_yaml_get(list, "two"));
    sg_yaml_close(&document);
    assert_null(document);
    sg_yaml_close(&document);
}

struct config {
    const char *name;
    int64_t steps, free_int;
    double rate, free_number;
    bool shuffle;
    int unit;
    const struct sg_yaml_node *columns;
};

static const char *const units[] = {"row", "customer", NULL};
static const struct sg_yaml_field fields[] = {
    {.key = "name", .type = SG_YAML_TEXT, .offset = offsetof(struct config, name), .required = true},
    {.key = "steps", .type = SG_YAML_INT, .offset = offsetof(struct config, steps), .min = 1, .max = 1000},
    {.key = "free_int", .type = SG_YAML_INT, .offset = offsetof(struct config, free_int)},
    {.key = "learning_rate", .type = SG_YAML_NUMBER, .offset = offsetof(struct config, rate), .min = 0, .max = 10},
    {.key = "free_number", .type = SG_YAML_NUMBER, .offset = offsetof(struct config, free_number)},
    {.key = "shuffle", .type = SG_YAML_BOOL, .offset = offsetof(struct config, shuffle)},
    {.key = "unit", .type = SG_YAML_CHOICE, .offset = offsetof(struct config, unit), .choices = units},
    {.key = "columns", .type = SG_YAML_NODE, .offset = offsetof(struct config, columns)},
};
#define N_FIELDS (sizeof fields / sizeof *fields)

static void table_reads_and_keeps_defaults(void **state)
{
    (void)state;
    struct config config = {.steps = 5, .rate = 0.5, .free_number = 9};
    struct sg_yaml *document = parse("name: \"12\"\nlearning_rate: 1e-3\nshuffle: true\nunit: customer\n"
                                     "columns: [a]\nfree_int: -9223372036854775808\n");
    if (sg_yaml_table(sg_yaml_root(document), "training", fields, N_FIELDS, &config) != SG_OK)
        fail_msg("%s", sg_error_text());
    assert_string_equal(config.name, "12");
    assert_int_equal(config.steps, 5);
    assert_true(config.rate == 1e-3 && config.free_number == 9 && config.shuffle);
    assert_true(config.free_int == INT64_MIN);
    assert_int_equal(config.unit, 1);
    assert_int_equal(sg_yaml_count(config.columns), 1);
    sg_yaml_close(&document);
}

static void table_faults_name_place_and_cure(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"name: x\n\nlearning_rte: 1\n",
         "credit.yaml:3:1: unknown key \"learning_rte\" in training; did you mean \"learning_rate\"?"},
        {"name: x\nnuit: row\n", "credit.yaml:2:1: unknown key \"nuit\" in training; did you mean \"unit\"?"},
        {"name: x\nquantum: 1\n", "credit.yaml:2:1: unknown key \"quantum\" in training; known keys are name, steps, "},
        {"steps: 4\n", "credit.yaml:1:1: training needs the key \"name\""},
        {"name: x\nsteps:   0\n", "credit.yaml:2:10: steps must be an integer from 1 to 1000, found \"0\""},
        {"name: x\nsteps: 1001\n", "credit.yaml:2:8: steps must be an integer from 1 to 1000, found \"1001\""},
        {"name: x\nsteps: 1e3\n", "credit.yaml:2:8: steps must be an integer"},
        {"name: x\nsteps: 010\n", "credit.yaml:2:8: steps must be an integer"},
        {"name: x\nsteps: \"10\"\n", "credit.yaml:2:8: steps must be an integer from 1 to 1000, found the text \"10\""},
        {"name: x\nsteps:\n", "credit.yaml:2:7: steps must be an integer from 1 to 1000, found nothing"},
        {"name: x\nsteps: [1]\n", "credit.yaml:2:8: steps must be an integer from 1 to 1000, found a list"},
        {"name: x\nlearning_rate: fast\n",
         "credit.yaml:2:16: learning_rate must be a number from 0 to 10, found \"fast\""},
        {"name: x\nlearning_rate: .inf\n", "credit.yaml:2:16: learning_rate must be a number from 0 to 10"},
        {"name: x\nfree_number: nan\n", "credit.yaml:2:14: free_number must be a number, found \"nan\""},
        {"name: x\nshuffle: yes\n", "credit.yaml:2:10: shuffle must be true or false, found \"yes\""},
        {"name: x\nshuffle: \"true\"\n", "credit.yaml:2:10: shuffle must be true or false, found the text \"true\""},
        {"name: x\nunit: costumer\n",
         "credit.yaml:2:7: unit must be row or customer, found \"costumer\"; did you mean \"customer\"?"},
        {"name: x\nunit: 7\n", "credit.yaml:2:7: unit must be row or customer, found \"7\""},
        {"name: {a: 1}\n", "credit.yaml:1:7: name must be text, found a map"},
        {"name:\nsteps: 1\n", "credit.yaml:1:6: name must be text, found nothing"},
        {"name: ~\n", "credit.yaml:1:7: name must be text, found nothing"},
        {"- name\n", "credit.yaml:1:1: training must be a map of keys and values, found a list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config config = {0};
        struct sg_yaml *document = parse(cases[i].text);
        assert_int_equal(sg_yaml_table(sg_yaml_root(document), "training", fields, N_FIELDS, &config), SG_USAGE);
        if (strncmp(sg_error_text(), cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("got \"%s\", want \"%s\"", sg_error_text(), cases[i].message);
        sg_yaml_close(&document);
    }
}

static void refuses_what_is_not_plain_data(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "credit.yaml:1:1: the configuration is empty"},
        {"# only a comment\n", "credit.yaml:1:1: the configuration is empty"},
        {"a: 1\nb: &x 2\n", "credit.yaml:2:4: anchors and aliases are not accepted"},
        {"a: 1\nb: *x\n", "credit.yaml:2:4: anchors and aliases are not accepted"},
        {"*x : 1\n", "credit.yaml:1:1: anchors and aliases are not accepted"},
        {"a: &x [1]\n", "credit.yaml:1:4: anchors and aliases are not accepted"},
        {"a: &x {}\n", "credit.yaml:1:4: anchors and aliases are not accepted"},
        {"a: !!str 5\n", "credit.yaml:1:4: tags (\"!...\") are not accepted"},
        {"a: ! 5\n", "credit.yaml:1:4: tags (\"!...\") are not accepted"},
        {"a: !!python/object:x [1]\n", "credit.yaml:1:4: tags (\"!...\") are not accepted"},
        {"a: !m {}\n", "credit.yaml:1:4: tags (\"!...\") are not accepted"},
        {"!k a: 1\n", "credit.yaml:1:1: tags (\"!...\") are not accepted"},
        {"a: 1\nb: 2\na: 3\n", "credit.yaml:3:1: the key \"a\" appears twice; the first is in line 1"},
        {"x:\n  a: 1\n  \"a\": 3\n", "credit.yaml:3:3: the key \"a\" appears twice; the first is in line 2"},
        {"a: 1\n---\nb: 2\n", "credit.yaml:2:1: only one document is accepted"},
        {"? [a, b]\n: 1\n", "credit.yaml:1:3: a key must be plain text"},
        {"a: \"x\\0y\"\n", "credit.yaml:1:4: NUL characters are not accepted"},
        {"a: 1\n\tb: 2\n", "credit.yaml:2:"},
        {"a: [1, 2\nb: 3\n", "credit.yaml:"},
        {"a: 1\nb: caf\xe9\n", "credit.yaml:2:7: not UTF-8 text"},
        {"a: 1\nb: \x01\n", "credit.yaml:2:4: not UTF-8 text, or a control character"},
        {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", "credit.yaml:1:17: nested too deeply"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(cases[i].text, strlen(cases[i].text), cases[i].message);
}

static void limits(void **state)
{
    (void)state;
    size_t n = (4u << 20) + 1;
    char *text = malloc(n);
    memset(text, '[', n);
    refuse(text, n, "credit.yaml:1:1: the configuration is larger than 4194304 bytes");
    refuse(text, n - 1, "credit.yaml:1:17: nested too deeply");
    memset(text, ' ', n);
    memcpy(text, "a: 1 #", 6);
    struct sg_yaml *document = NULL;
    assert_int_equal(sg_yaml_parse("p", "w", text, n - 1, &document), SG_OK);
    sg_yaml_close(&document);
    free(text);
    document = parse("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n"); /* 16 levels are fine */
    sg_yaml_close(&document);
}

/* Any cut and any single changed byte either parses or is refused with a place: never a crash or a leak. */
static void mutations_end_well(void **state)
{
    (void)state;
    static const char good[] =
        "a: [1, {b: \"c\\n\"}, 'd']\nlist:\n  - x: |\n      block\n    y: >-\n      fold\n  - ? k\n    : v\n";
    char text[sizeof good];
    for (size_t i = 0; i < sizeof good; i++) {
        for (int byte = 0; byte < 256; byte += i % 3 + 1) {
            struct sg_yaml *document = NULL;
            memcpy(text, good, sizeof good);
            text[i] = (char)byte;
            size_t n = byte == 0 ? i : sizeof good - 1;
            enum sg_status status = sg_yaml_parse("p", "w", text, n, &document);
            if (status == SG_OK) {
                json_t *json = sg_yaml_to_json(sg_yaml_root(document));
                assert_non_null(json);
                json_decref(json);
            } else {
                assert_int_equal(status, SG_USAGE);
                assert_int_equal(strncmp(sg_error_text(), "p:", 2), 0);
                assert_null(document);
            }
            sg_yaml_close(&document);
        }
    }
}

static void to_json(void **state)
{
    (void)state;
    struct sg_yaml *document =
        parse("a: 1\nb: 0.5\nc: \"1\"\nd: true\ne: yes\nf: [x, ~, {}]\ng:\nh: 010\ni: 1e400\nj: 'null'\nk: 1e3\n");
    json_t *json = sg_yaml_to_json(sg_yaml_root(document));
    struct sg_buffer text = {0};
    sg_json_dump(json, &text);
    assert_string_equal(text.data,
                        "{\"a\":1,\"b\":0.5,\"c\":\"1\",\"d\":true,\"e\":\"yes\",\"f\":[\"x\",null,{}],\"g\":null,"
                        "\"h\":\"010\",\"i\":\"1e400\",\"j\":\"null\",\"k\":1000.0}");
    sg_buffer_free(&text);
    json_decref(json);
    sg_yaml_close(&document);
}

static void missing_file(void **state)
{
    (void)state;
    struct sg_yaml *document = NULL;
    assert_int_equal(sg_yaml_read("/nonexistent/credit.yaml", "configuration", &document), SG_USAGE);
    assert_string_equal(sg_error_text(),
                        "/nonexistent/credit.yaml: cannot open the configuration: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structure),
        cmocka_unit_test(table_reads_and_keeps_defaults),
        cmocka_unit_test(table_faults_name_place_and_cure),
        cmocka_unit_test(refuses_what_is_not_plain_data),
        cmocka_unit_test(limits),
        cmocka_unit_test(mutations_end_well),
        cmocka_unit_test(to_json),
        cmocka_unit_test(missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
