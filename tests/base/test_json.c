/* Would catch: hostile JSON accepted (depth, size, duplicates, NUL, trailing bytes), a member of the wrong type let
 * through, input quoted in an error text, and numbers that do not survive being written. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static void refuse(const char *bytes, size_t n, const char *message)
{
    json_t *value = (void *)1;
    assert_int_equal(sg_json_parse(bytes, n, "proof", SG_BROKEN, &value), SG_BROKEN);
    assert_null(value);
    if (strncmp(sg_error_text(), message, strlen(message)) != 0)
        fail_msg("got \"%s\", want \"%s\"", sg_error_text(), message);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "proof:1:0: "},
        {"  ", "proof:1:2: "},
        {"{\"a\":1,\"a\":2}", "proof:1:10: duplicate key"},
        {"[1]x", "proof:1:4: something follows the end of the value"},
        {"1 2", "proof:1:3: something follows the end of the value"},
        {"\"a\\u0000b\"", "proof:1:10: NUL character"},
        {"{\"a\\u0000b\":1}", "proof:1:11: NUL character"},
        {"[\"\xff\"]", "proof:1:2: not valid UTF-8"},
        {"[1,]", "proof:1:4: not valid JSON"},
        {"[01]", "proof:1:"},
        {"{a:1}", "proof:1:2: not valid JSON"},
        {"nan", "proof:1:3: not valid JSON"},
        {"[1e999]", "proof:1:6: number out of range"},
        {"123456789012345678901234567890", "proof:1:30: number out of range"},
        {"[1", "proof:1:2: ends too early"},
        {"\"secret", "proof:1:7: ends too early"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(cases[i].text, strlen(cases[i].text), cases[i].message);
    assert_null(strstr(sg_error_text(), "secret"));
    refuse("[1]\0", 4, "proof:1:");
    refuse(NULL, 0, "proof:1:0: ");
}

static void limits(void **state)
{
    (void)state;
    char deep[200] = {0};
    json_t *value;
    for (int levels = 1; levels <= 66; levels++) {
        memset(deep, 0, sizeof deep);
        memset(deep, '[', (size_t)levels);
        memset(deep + levels, ']', (size_t)levels);
        enum sg_status status = sg_json_parse(deep, strlen(deep), "x", SG_USAGE, &value);
        assert_int_equal(status, levels <= 64 ? SG_OK : SG_USAGE);
        json_decref(value);
    }
    /* Brackets inside strings are no levels, wherever the quotes are escaped. */
    char text[200] = "[\"\\\\\",\"\\\"";
    size_t n = strlen(text);
    memset(text + n, '[', 100);
    strcpy(text + n + 100, "\"]");
    assert_int_equal(sg_json_parse(text, strlen(text), "x", SG_USAGE, &value), SG_OK);
    json_decref(value);
    n = (16u << 20) + 1;
    char *large = malloc(n);
    memset(large, ' ', n);
    large[0] = '1';
    assert_int_equal(sg_json_parse(large, n - 1, "x", SG_USAGE, &value), SG_OK);
    json_decref(value);
    assert_int_equal(sg_json_parse(large, n, "x", SG_USAGE, &value), SG_USAGE);
    memset(large, '[', n - 1);
    assert_int_equal(sg_json_parse(large, n - 1, "x", SG_USAGE, &value), SG_USAGE);
    free(large);
}

static void members(void **state)
{
    (void)state;
    json_t *object;
    const char *bytes = "{\"s\":\"text\",\"i\":-5,\"d\":0.5,\"n\":null}";
    assert_int_equal(sg_json_parse(bytes, strlen(bytes), "event", SG_BROKEN, &object), SG_OK);
    const char *text = NULL;
    int64_t integer = 0;
    double number = 0;
    assert_int_equal(sg_json_string(object, "s", "event", SG_BROKEN, &text), SG_OK);
    assert_string_equal(text, "text");
    assert_int_equal(sg_json_int(object, "i", "event", SG_BROKEN, &integer), SG_OK);
    assert_int_equal(integer, -5);
    assert_int_equal(sg_json_double(object, "d", "event", SG_BROKEN, &number), SG_OK);
    assert_true(number == 0.5);
    assert_int_equal(sg_json_double(object, "i", "event", SG_BROKEN, &number), SG_OK);
    assert_true(number == -5);
    assert_int_equal(sg_json_int(object, "d", "event", SG_BROKEN, &integer), SG_BROKEN);
    assert_string_equal(sg_error_text(), "event: the member \"d\" must be an integer");
    assert_int_equal(sg_json_string(object, "n", "event", SG_BROKEN, &text), SG_BROKEN);
    assert_int_equal(sg_json_double(object, "s", "event", SG_BROKEN, &number), SG_BROKEN);
    assert_int_equal(sg_json_string(object, "absent", "event", SG_USAGE, &text), SG_USAGE);
    assert_string_equal(sg_error_text(), "event: the member \"absent\" is missing");
    json_t *array = json_array(); /* no object at all */
    assert_int_equal(sg_json_string(array, "s", "event", SG_USAGE, &text), SG_USAGE);
    json_decref(array);
    json_decref(object);
}

static void writing(void **state)
{
    (void)state;
    json_t *object = json_object();
    json_object_set_new(object, "z", sg_json_real(0.1));
    json_object_set_new(object, "a", sg_json_real(INFINITY));
    json_object_set_new(object, "m", sg_json_real(NAN));
    json_object_set_new(object, "text", json_string("line\nfeed \"quoted\" \xc3\xa9"));
    struct sg_buffer out = {0};
    sg_buffer_text(&out, "record ");
    sg_json_dump(object, &out);
    assert_string_equal(out.data, "record {\"z\":0.10000000000000001,\"a\":null,\"m\":null,"
                                  "\"text\":\"line\\nfeed \\\"quoted\\\" \xc3\xa9\"}");
    sg_buffer_free(&out);
    json_decref(object);
    static const double values[] = {1.0 / 3, 1e300, -5e-324, 123456789.123456789, 0x1.fffffffffffffp1023, 3};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        json_t *value = sg_json_real(values[i]), *back;
        sg_json_dump(value, &out);
        assert_int_equal(sg_json_parse(out.data, out.len, "x", SG_USAGE, &back), SG_OK);
        assert_true(json_is_real(back) && json_real_value(back) == values[i]);
        json_decref(value);
        json_decref(back);
        sg_buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses),
        cmocka_unit_test(limits),
        cmocka_unit_test(members),
        cmocka_unit_test(writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
