/* Strict, locale-free numbers: the whole text must be one number and nothing else.
 *
 * double:  -?digits[.digits][(e|E)[+-]digits], at least one digit before the exponent, ".5" and "5." allowed.
 *          Correctly rounded. No blanks, no leading '+', no "inf", "nan" or hexadecimal; overflow is refused.
 * integer: -?digits; "010" is refused, "-0" is 0. */
#ifndef SG_BASE_NUMBER_H
#define SG_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool sg_number_double(const char *text, size_t len, double *out);
bool sg_number_int64(const char *text, size_t len, int64_t *out);
/* The shortest decimal text that reads back as the same double (at most 25 characters with the NUL); finite only. */
void sg_number_print(double value, char out[32]);

#endif
