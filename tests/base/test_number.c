/* Would catch: a parser that rounds differently from the C library's (fast paths), that accepts what is not a number,
 * that obeys the locale, or whose printed numbers do not read back or are not the shortest. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

static uint64_t seed = 20240611;

static uint64_t random64(void)
{
    seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = seed;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void check_double(const char *text)
{
    double got = -1, want = strtod(text, NULL);
    bool read = sg_number_double(text, strlen(text), &got);
    if (read != (isfinite(want) != 0) || (read && bits_of(got) != bits_of(want)))
        fail_msg("\"%s\": read %d as %a, want %a", text, read, got, want);
}

static void doubles_agree_with_strtod_on_random_text(void **state)
{
    (void)state;
    char text[128];
    for (int i = 0; i < 400000; i++) {
        int n_digits = 1 + (int)(random64() % 21), point = (int)(random64() % (unsigned)(n_digits + 1)), n = 0;
        if (random64() & 1)
            text[n++] = '-';
        for (int j = 0; j < n_digits; j++) {
            if (j == point)
                text[n++] = '.';
            text[n++] = (char)('0' + random64() % 10);
        }
        if (point == n_digits && random64() & 1)
            text[n++] = '.';
        text[n] = 0;
        if (random64() % 3) {
            int spread = random64() % 4 ? 30 : 340;
            sprintf(text + n, "%c%+d", random64() & 1 ? 'e' : 'E', (int)(random64() % (unsigned)(2 * spread)) - spread);
        }
        check_double(text);
    }
}

/* Decimals of doubles and of the points half way between two, where a second rounding would show. */
static void doubles_agree_with_strtod_near_ties(void **state)
{
    (void)state;
    char text[128];
    for (int i = 0; i < 200000; i++) {
        double value = ldexp((double)(random64() >> 11 | UINT64_C(1) << 52), (int)(random64() % 120) - 110);
        long double half = (long double)value + (long double)(nextafter(value, INFINITY) - value) / 2;
        snprintf(text, sizeof text, "%.*Le", 15 + (int)(random64() % 5), half);
        check_double(text);
        snprintf(text, sizeof text, "%.*e", 15 + (int)(random64() % 3), value);
        check_double(text);
    }
    check_double("9007199254740993");
    check_double("9007199254740993.0000000000000000000000000000000000000000000001");
    check_double("9007199254740992.9999999999999999999999999999999999999999999999");
    check_double("18446744073709551615");
    check_double("1844674407370955161600000");
    check_double("2.2250738585072011e-308");
    check_double("4.9406564584124654e-324");
    check_double("2.4703282292062327e-324");
    check_double("2.4703282292062328e-324");
    check_double("1.7976931348623157e308");
    check_double("1.7976931348623159e308");
    check_double("0e999999999999999999999999");
    check_double("1e-999999999999999999999999");
    check_double("-0");
    check_double("-0.0e5");
}

static void doubles_may_be_long(void **state)
{
    (void)state;
    size_t n = 70000;
    char *text = calloc(n + 16, 1);
    memset(text, '1', n);
    strcpy(text + n, "e-69999");
    check_double(text);
    memset(text, '0', n);
    text[1] = '.';
    strcpy(text + n, "1e69999");
    check_double(text);
    free(text);
}

static void doubles_refuse_what_is_not_one(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",       " ",     "+1",   " 1",    "1 ",    "-",    ".",        "-.",
        "e5",     ".e5",   "1e",   "1e+",   "1e-",   "1e1.", "inf",      "-inf",
        "nan",    "NaN",   "0x10", "1_000", "1,5",   "--1",  "1-",       "1e5 ",
        "1.2.3",  "1e400", "1d5",  "1f",    "1e+-5", "\t1",  "infinity", "1e99999999999999999999",
        "-1e400", "1\n"};
    double value = 42;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sg_number_double(bad[i], strlen(bad[i]), &value))
            fail_msg("\"%s\" was accepted", bad[i]);
    assert_false(sg_number_double("1\0", 2, &value));
    assert_true(value == 42); /* a refusal leaves the result alone */
    assert_true(sg_number_double("5.", 2, &value) && value == 5);
    assert_true(sg_number_double(".5", 2, &value) && value == 0.5);
    assert_true(sg_number_double("1234", 2, &value) && value == 12); /* the length counts, not a terminator */
}

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {{"0", true, 0},
                 {"-0", true, 0},
                 {"7", true, 7},
                 {"-12", true, -12},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808", true, INT64_MIN},
                 {"9223372036854775808", false, 0},
                 {"-9223372036854775809", false, 0},
                 {"99999999999999999999999", false, 0},
                 {"", false, 0},
                 {"-", false, 0},
                 {"+1", false, 0},
                 {"010", false, 0},
                 {"-01", false, 0},
                 {"00", false, 0},
                 {"1.0", false, 0},
                 {"1e3", false, 0},
                 {" 1", false, 0},
                 {"1 ", false, 0},
                 {"0x1", false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 77;
        bool read = sg_number_int64(cases[i].text, strlen(cases[i].text), &value);
        if (read != cases[i].good || value != (read ? cases[i].value : 77))
            fail_msg("\"%s\": read %d as %" PRId64, cases[i].text, read, value);
    }
}

static void check_print(double value)
{
    char text[32];
    double back;
    sg_number_print(value, text);
    if (strlen(text) > 24 || !sg_number_double(text, strlen(text), &back) || bits_of(back) != bits_of(value))
        fail_msg("%a printed as \"%s\"", value, text);
    /* No decimal of fewer digits that printf can make reads back. */
    int digits = 0;
    bool leading = true;
    for (const char *p = text; *p && *p != 'e'; p++) {
        leading = leading && (*p == '0' || *p == '.' || *p == '-');
        digits += !leading && *p >= '0' && *p <= '9';
    }
    char shorter[64];
    const char *end = text + strcspn(text, "e");
    while (digits > 1 && !memchr(text, '.', (size_t)(end - text)) && end[-1] == '0')
        end--, digits--; /* zeros of a large integer are not digits that say anything */
    if (digits > 1) {
        snprintf(shorter, sizeof shorter, "%.*e", digits - 2, value);
        assert_true(strtod(shorter, NULL) != value);
    }
}

static void printing_is_shortest_and_reads_back(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "-0"},
                 {1, "1"},
                 {0.1, "0.1"},
                 {-2.5, "-2.5"},
                 {100, "100"},
                 {1e16, "10000000000000000"},
                 {1e17, "1e17"},
                 {1e23, "1e23"},
                 {0x1p-44, "5.684341886080802e-14"},
                 {5e-324, "5e-324"},
                 {1.7976931348623157e308, "1.7976931348623157e308"},
                 {1e-5, "0.00001"},
                 {1.5e-6, "1.5e-6"},
                 {-0.000012345678901234567, "-0.000012345678901234568"},
                 {9007199254740994.0, "9007199254740994"},
                 {123456.75, "123456.75"},
                 {0.30000000000000004, "0.30000000000000004"}};
    char text[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_number_print(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
    for (int i = 0; i < 50000; i++) {
        uint64_t bits = random64();
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            check_print(value);
        check_print((double)(int64_t)(random64() >> 20) / 1000);
    }
    for (int i = -1074; i < 1024; i++)
        check_print(ldexp(1, i));
}

/* An installed locale with a decimal comma, or one compiled for this test. */
static bool set_comma_locale(void)
{
    static const char *const installed[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8", "de_DE"};
    for (size_t i = 0; i < sizeof installed / sizeof *installed; i++)
        if (setlocale(LC_ALL, installed[i]))
            return strcmp(localeconv()->decimal_point, ",") == 0;
    char folder[] = "/tmp/sg_test_locale_XXXXXX", command[128];
    if (!mkdtemp(folder))
        return false;
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 2>/dev/null", folder);
    bool made = system(command) == 0 && setenv("LOCPATH", folder, 1) == 0 && setlocale(LC_ALL, "de_DE.UTF-8");
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 && made && strcmp(localeconv()->decimal_point, ",") == 0;
}

static void locale_does_not_matter(void **state)
{
    (void)state;
    if (!set_comma_locale()) {
        print_message("no locale with a decimal comma can be had\n");
        setlocale(LC_ALL, "C");
        skip();
    }
    double fast = 0, slow = 0, refused = 0;
    char text[32], comma[32];
    snprintf(comma, sizeof comma, "%.1f", 0.5); /* the locale is really at work */
    bool fast_read = sg_number_double("1.5", 3, &fast), slow_read = sg_number_double("1.5e300", 7, &slow);
    bool comma_read = sg_number_double("1,5", 3, &refused) || sg_number_double("1,5e300", 7, &refused);
    sg_number_print(0.25, text);
    setlocale(LC_ALL, "C");
    assert_string_equal(comma, "0,5");
    assert_true(fast_read && slow_read && !comma_read);
    assert_true(fast == 1.5 && slow == 1.5e300);
    assert_string_equal(text, "0.25");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_agree_with_strtod_on_random_text),
        cmocka_unit_test(doubles_agree_with_strtod_near_ties),
        cmocka_unit_test(doubles_may_be_long),
        cmocka_unit_test(doubles_refuse_what_is_not_one),
        cmocka_unit_test(integers),
        cmocka_unit_test(printing_is_shortest_and_reads_back),
        cmocka_unit_test(locale_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
