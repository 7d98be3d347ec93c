#include "figure.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"

static struct figure written(double value, int digits, bool is_fixed)
{
    struct figure f;
    if (is_fixed)
        snprintf(f.text, sizeof f.text, "%.*f", digits, value);
    else
        snprintf(f.text, sizeof f.text, "%.*g", digits, value);
    return f;
}

/* Half a unit of the last place farther, until the text is on its side. What is no number, or too long, is as it is. */
static struct figure rounded(double value, int digits, bool is_fixed, double direction)
{
    struct figure f = written(value, digits, is_fixed);
    double unit = pow(10, is_fixed ? -digits : floor(log10(fabs(value))) + 1 - digits), read;
    for (int k = 1; k < 4; k++) {
        if (!sg_number_double(f.text, strlen(f.text), &read) || (read - value) * direction >= 0)
            break;
        f = written(value + k * 0.5 * unit * direction, digits, is_fixed);
    }
    return f;
}

struct figure figure_up(double value, int digits)
{
    return rounded(value, digits, false, 1);
}
struct figure figure_down(double value, int digits)
{
    return rounded(value, digits, false, -1);
}
struct figure figure_fixed_up(double value, int decimals)
{
    return rounded(value, decimals, true, 1);
}
struct figure figure_fixed_down(double value, int decimals)
{
    return rounded(value, decimals, true, -1);
}
