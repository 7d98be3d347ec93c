#include "base/number.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* What a scan of the text found: the value is mantissa * 10^exponent, exactly when no digit was dropped. */
struct decimal {
    bool negative;
    bool dropped;      /* digits beyond the 19th significant one were left out of the mantissa */
    uint64_t mantissa; /* at most 19 digits */
    int64_t exponent;
};

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c_locale) /* only without memory: the C locale is built in */
        abort();
}

/* Adds digits to the mantissa; returns where they end. */
static const char *scan_digits(const char *p, const char *end, struct decimal *d, int *significant, int64_t *kept)
{
    for (; p < end; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (digit > 9)
            break;
        if (*significant == 19) {
            d->dropped |= digit != 0;
            continue;
        }
        d->mantissa = d->mantissa * 10 + digit;
        *significant += d->mantissa != 0;
        ++*kept;
    }
    return p;
}

/* Reads [(e|E)[+-]digits] at p, which must end the text. Exponents saturate far outside the range of a double, yet far
 * enough inside int64_t for sums with the length of any text. */
static bool scan_exponent(const char *p, const char *end, int64_t *exponent)
{
    if (p == end)
        return true;
    if (*p != 'e' && *p != 'E')
        return false;
    p++;
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end)
        return false;
    int64_t value = 0;
    for (; p < end; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (digit > 9)
            return false;
        if (value < INT64_C(1000000000000000))
            value = value * 10 + digit;
    }
    *exponent += negative ? -value : value;
    return true;
}

static bool scan(const char *text, size_t len, struct decimal *d)
{
    const char *p = text, *end = text + len;
    if (p < end && *p == '-') {
        d->negative = true;
        p++;
    }
    int significant = 0;
    int64_t kept_whole = 0, kept_part = 0;
    const char *whole = p;
    p = scan_digits(p, end, d, &significant, &kept_whole);
    int64_t digits = p - whole;
    d->exponent = digits - kept_whole; /* dropped whole digits still count as powers of ten */
    if (p < end && *p == '.') {
        const char *part = ++p;
        p = scan_digits(p, end, d, &significant, &kept_part);
        digits += p - part;
        d->exponent -= kept_part;
    }
    return digits > 0 && scan_exponent(p, end, &d->exponent);
}

/* One rounding gives the right answer when mantissa and power of ten are exact (Clinger 1990). */
static bool convert_double(const struct decimal *d, double *out)
{
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (d->mantissa > UINT64_C(1) << 53 || d->exponent < -22 || d->exponent > 22)
        return false;
    double m = (double)(int64_t)d->mantissa;
    *out = d->exponent < 0 ? m / power[-d->exponent] : m * power[d->exponent];
    return true;
}

/* The same with a significand of 64 bits. The second rounding, to 53 bits, goes wrong only if the first one ended on
 * (or was) a tie: the low 11 bits are then exactly one half, and the slow path decides. */
static bool convert_extended(const struct decimal *d, double *out)
{
#if LDBL_MANT_DIG == 64 && defined(__x86_64__)
    static const long double power[] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,
                                        1e10L, 1e11L, 1e12L, 1e13L, 1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L,
                                        1e20L, 1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
    if (d->exponent < -27 || d->exponent > 27)
        return false;
    long double m = (long double)d->mantissa;
    long double value = d->exponent < 0 ? m / power[-d->exponent] : m * power[d->exponent];
    uint64_t significand;
    memcpy(&significand, &value, sizeof significand);
    if ((significand & 0x7ff) == 0x400)
        return false;
    *out = (double)value;
    return true;
#else
    (void)d;
    (void)out;
    return false;
#endif
}

/* The C library's strtod is correctly rounded for any length; it wants a NUL and the C locale. */
static bool convert_slow(const char *text, size_t len, double *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_c_locale);
    char small[128];
    char *copy = len < sizeof small ? small : sg_alloc(len + 1, 1);
    memcpy(copy, text, len);
    copy[len] = 0;
    char *end;
    *out = strtod_l(copy, &end, c_locale);
    bool whole = end == copy + len;
    if (copy != small)
        free(copy);
    return whole && isfinite(*out);
}

bool sg_number_double(const char *text, size_t len, double *out)
{
    struct decimal d = {0};
    double value;
    if (!scan(text, len, &d))
        return false;
    if (!d.dropped && (convert_double(&d, &value) || convert_extended(&d, &value))) {
        *out = d.negative ? -value : value;
        return true;
    }
    if (!convert_slow(text, len, &value))
        return false;
    *out = value;
    return true;
}

bool sg_number_int64(const char *text, size_t len, int64_t *out)
{
    bool negative = len > 0 && text[0] == '-';
    const char *p = text + negative, *end = text + len;
    if (p == end || (*p == '0' && end - p > 1))
        return false;
    int64_t value = 0; /* negative all the way: the smallest integer has no positive twin */
    for (; p < end; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, (int)digit, &value))
            return false;
    }
    if (!negative && value == INT64_MIN)
        return false;
    *out = negative ? value : -value;
    return true;
}

/* Significant digits d1 d2 ... and the exponent of d1. */
struct digits {
    char digit[20];
    int n, exponent;
};

/* The nearest decimal of n digits. The decimal point, whatever the locale makes of it, is skipped. */
static void nearest_digits(double value, int n, struct digits *out)
{
    char text[64];
    snprintf(text, sizeof text, "%.*e", n - 1, value);
    out->n = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            out->digit[out->n++] = *p;
    out->exponent = atoi(p + 1);
}

static void next_digits(struct digits *d)
{
    int i = d->n - 1;
    for (; i >= 0 && d->digit[i] == '9'; i--)
        d->digit[i] = '0';
    if (i >= 0) {
        d->digit[i]++;
        return;
    }
    d->digit[0] = '1';
    d->exponent++;
}

static void lay_out(const struct digits *d, bool negative, char out[32])
{
    char *p = out;
    int n = d->n;
    while (n > 1 && d->digit[n - 1] == '0')
        n--;
    if (negative)
        *p++ = '-';
    if (d->exponent < -5 || d->exponent > 16) {
        *p++ = d->digit[0];
        if (n > 1)
            *p++ = '.';
        memcpy(p, d->digit + 1, (size_t)n - 1);
        sprintf(p + n - 1, "e%d", d->exponent);
        return;
    }
    if (d->exponent < 0) {
        *p++ = '0';
        *p++ = '.';
        for (int place = -1; place > d->exponent; place--)
            *p++ = '0';
    }
    for (int i = 0; i < n || i <= d->exponent; i++) {
        if (i == d->exponent + 1 && d->exponent >= 0)
            *p++ = '.';
        *p++ = i < n ? d->digit[i] : '0';
    }
    *p = 0;
}

static bool reads_back(const struct digits *d, double value, char out[32])
{
    double back;
    lay_out(d, false, out);
    return sg_number_double(out, strlen(out), &back) && back == value;
}

void sg_number_print(double value, char out[32])
{
    bool negative = signbit(value);
    double magnitude = fabs(value);
    int binary_exponent;
    /* Below a power of two the doubles lie twice as dense: there the nearest decimal may miss while the next one up,
     * though farther away, still reads back. */
    bool power_of_two = frexp(magnitude, &binary_exponent) == 0.5;
    struct digits d = {.n = 1};
    for (int n = 1; n <= 17; n++) {
        nearest_digits(magnitude, n, &d);
        if (reads_back(&d, magnitude, out))
            break;
        if (!power_of_two)
            continue;
        next_digits(&d);
        if (reads_back(&d, magnitude, out))
            break;
    }
    lay_out(&d, negative, out);
}
