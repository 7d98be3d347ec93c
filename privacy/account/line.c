#include "line.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double sg_log_one_plus(double re, double im)
{
    double size = hypot(1 + re, im);
    return size < 0.5 ? log(size) : 0.5 * log1p(2 * re + (re * re + im * im));
}

bool sg_line_open(struct sg_line_sum *line)
{
    line->real = malloc(3 * SG_LINE_POINTS_MAX * sizeof *line->real);
    if (!line->real)
        return false;
    line->imag = line->real + SG_LINE_POINTS_MAX, line->error = line->imag + SG_LINE_POINTS_MAX;
    line->core_log = -INFINITY;
    return true;
}

/* Divides by s (s+1) = a + i b. */
void sg_line_store(struct sg_line_sum *line, size_t j, double real, double imag, double error)
{
    double t = (double)j * line->dt, c = line->c;
    double a = c * (1 + c) - t * t, b = t * (2 * c + 1), size = 1 / (a * a + b * b), modulus = hypot(real, imag);
    line->real[j] = (real * a + imag * b) * size;
    line->imag[j] = (imag * a - real * b) * size;
    line->error[j] = sqrt(size) * (error + 24 * SG_UNIT * modulus);
    line->magnitude += sqrt(size) * modulus;
    line->n = j + 1;
}

void sg_line_close(struct sg_line_sum *line)
{
    free(line->real);
    memset(line, 0, sizeof *line);
}

/* delta(epsilon) between *lower and *upper. */
void sg_line_delta(const struct sg_line_sum *line, double epsilon, double *lower, double *upper)
{
    double turn = line->shift - epsilon;
    double turn_error = SG_UNIT * (8 * fabs(line->shift) + fabs(epsilon));
    struct sg_sum sum = {0, 0};
    double error = 0;
    for (size_t j = 0; j < line->n; j++) {
        double t = (double)j * line->dt, sine, cosine;
        sincos(t * turn, &sine, &cosine);
        double half = j ? 1 : 0.5;
        sg_sum_add(&sum, half * (line->real[j] * cosine - line->imag[j] * sine));
        double modulus = fabs(line->real[j]) + fabs(line->imag[j]);
        error += half * (line->error[j] + modulus * (t * turn_error + 2 * SG_UNIT * fabs(t * turn) + 8 * SG_UNIT));
    }
    error += 4 * SG_UNIT * line->magnitude + 1.001 * line->tail;
    double exponent = line->log_scale - line->c * epsilon + log(line->dt / M_PI);
    double scale = exp(exponent);
    double relative = expm1(line->log_error + 6 * SG_UNIT * (fabs(line->log_scale) + line->c * fabs(epsilon) + 20));
    double value = sg_sum_value(&sum), period = 2 * M_PI / line->dt;
    double gap = line->alias_c2 - line->c, ratio = exp(-gap * period);
    double alias = exp(-line->c * period) * 1.0001 / -expm1(-line->c * period);
    alias += gap > 0 ? exp(line->alias_log - line->alias_c2 * epsilon) * ratio / (1 - ratio) * 1.0001 : INFINITY;
    *upper = fmax(value + error, 0) * scale * (1 + relative);
    if (line->core_log > -INFINITY)
        *upper += exp(fmin(line->core_log - line->core_c * epsilon, 1)) * (1 + 1e-9) + line->core_leak;
    *lower = fmax((value - error) * scale * (1 - relative) - alias, 0);
    if (!(*upper <= 1))
        *upper = 1;
    if (!(*lower > 0))
        *lower = 0;
}

static double log_excess(const struct sg_line_sum *line, double epsilon, double delta, bool is_upper)
{
    double value[2];
    sg_line_delta(line, epsilon, &value[0], &value[1]);
    return log(fmax(value[is_upper], 1e-300) / delta);
}

/* The root of bound(epsilon) = delta between `low`, where the bound exceeds delta, and `high`, where it does not;
 * Newton's steps on ln delta, whose slope is about -c, inside bisection. The end returned is on the safe side. */
static double narrow(const struct sg_line_sum *line, double delta, double low, double high, double start, bool is_upper)
{
    double at = start;
    for (int i = 0; i < 100 && high - low > 2e-13 * high; i++) {
        if (!(at > low && at < high) || i % 6 == 5)
            at = (low + high) / 2;
        double f = log_excess(line, at, delta, is_upper), step = f / line->c;
        if (f > 0)
            low = at;
        else
            high = at;
        /* a little past the root, so that the other end moves too */
        at += step + (f > 0 ? 1 : -1) * fmax(fabs(step) * 0.02, 0.8e-13 * at);
    }
    return is_upper ? high : low;
}

double sg_line_solve_upper(const struct sg_line_sum *line, double delta, double hint)
{
    if (log_excess(line, 0, delta, true) <= 0)
        return 0;
    double step = fmax(hint * 1e-3, 1e-3 / line->c), low = 0, high = hint;
    for (int i = 0; log_excess(line, high, delta, true) > 0; i++) {
        if (i == 60)
            return INFINITY;
        low = high, high += step, step *= 2;
    }
    return narrow(line, delta, low, high, hint, true);
}

/* Near the upper root: far below it the aliasing bound swamps everything. */
double sg_line_solve_lower(const struct sg_line_sum *line, double delta, double upper)
{
    double step = 1e-10 * upper, high = upper, low = upper - step;
    while (low > 0 && log_excess(line, low, delta, false) <= 0)
        high = low, step *= 3, low = upper - step;
    return low > 0 ? narrow(line, delta, low, high, high, false) : 0;
}
