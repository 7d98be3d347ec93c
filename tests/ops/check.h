/* What the op tests share: the backends of this machine, random numbers, buffers with guards around them. */
#ifndef SG_TESTS_OPS_CHECK_H
#define SG_TESTS_OPS_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops_cpu.h"

#ifdef SG_CHECK_DEVICE
#include "on_device.h"
#endif
/* Emulated, a card is slow: the widest shapes are left out. */
#if defined(SG_CHECK_DEVICE) && !defined(SG_CHECK_NATIVE)
#define CHECK_EMULATED true
#else
#define CHECK_EMULATED false
#endif

#define BACKENDS_MAX 4

struct backend {
    const char *name;
    const struct sg_ops *ops;
};

static inline size_t check_backends(struct backend out[BACKENDS_MAX])
{
    size_t n = 0;
    out[n++] = (struct backend){"reference", sg_ops_reference()};
    if (sg_ops_has_avx2())
        out[n++] = (struct backend){"avx2", sg_ops_cpu_avx2()};
    else
        print_message("no AVX2\n");
    if (sg_ops_has_avx512())
        out[n++] = (struct backend){"avx512", sg_ops_cpu_avx512()};
    else
        print_message("SKIPPED here: no AVX-512\n");
#ifdef SG_CHECK_DEVICE /* built by tests/cuda: one more backend */
    out[n++] = (struct backend){"cuda", sg_ops_on_device()};
#endif
    return n;
}

/* splitmix64 (Steele, Lea & Flood 2014) */
static inline uint64_t check_word(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In (-1, 1), never zero. */
static inline float check_uniform(uint64_t *state)
{
    return ((float)(int64_t)(check_word(state) >> 40) + 0.5f) * 0x1p-23f - 1;
}

static inline int64_t check_below(uint64_t *state, int64_t n)
{
    return (int64_t)(check_word(state) % (uint64_t)n);
}

/* A guarded buffer: what lies outside [0, n), and inside wherever no op may write, keeps this pattern. */
#define GUARD 64
#define GUARD_BITS 0x7fc0dead /* a NaN: reading it shows too */

static inline float check_guard(void)
{
    uint32_t bits = GUARD_BITS;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t check_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float *check_floats(int64_t n)
{
    size_t bytes = ((size_t)(n + 2 * GUARD) * sizeof(float) + 63) / 64 * 64;
    float *p = aligned_alloc(64, bytes);
    assert_non_null(p);
    for (size_t i = 0; i < bytes / sizeof *p; i++)
        p[i] = check_guard();
    return p + GUARD;
}

static inline void check_free(float *p)
{
    if (p)
        free(p - GUARD);
}

static inline float *check_random(int64_t n, uint64_t *state)
{
    float *p = check_floats(n);
    for (int64_t i = 0; i < n; i++)
        p[i] = check_uniform(state);
    return p;
}

static inline float *check_copy(const float *from, int64_t n)
{
    float *p = check_floats(n);
    memcpy(p, from, (size_t)n * sizeof *p);
    return p;
}

static inline void *check_scratch(const struct sg_ops *ops, int64_t widest, int64_t rows_max)
{
    size_t bytes = ops->scratch_bytes(widest, rows_max);
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(p);
    memset(p, 0xff, bytes);
    return p;
}

/* Group norms after one tap and after the same tap twice: what was there stays and is added to, and group 3, excluded
 * before, stays so. */
static inline void check_added(const char *backend, const struct sg_group_norm *once, const struct sg_group_norm *twice,
                               int n)
{
    for (int j = 0; j < n; j++)
        if (j == 3 ? !twice[j].excluded
                   : twice[j].norm2 != 2 * once[j].norm2 || twice[j].slack2 != 2 * once[j].slack2 ||
                         twice[j].mass2 != 2 * once[j].mass2 || twice[j].excluded)
            fail_msg("group %d, %s: a second tap does not add to the first", j, backend);
}

/* Both matrices (rows, ld) with guards: same bits everywhere, gaps and guards included. NaNs of any payload are equal.
 */
static inline void check_same_bits(const char *what, const char *backend, const float *got, const float *want,
                                   int64_t rows, int64_t ld)
{
    for (int64_t i = -GUARD; i < rows * ld + GUARD; i++) {
        bool guard = check_bits(want[i]) == GUARD_BITS;
        if (check_bits(got[i]) == check_bits(want[i]) || (!guard && isnan(got[i]) && isnan(want[i])))
            continue;
        fail_msg("%s, %s: row %ld column %ld is %a, should be %a", what, backend, (long)(i / ld), (long)(i % ld),
                 (double)got[i], (double)want[i]);
    }
}

/* |got - want| <= absolute + relative |want|; NaN only where NaN is due; guards (NaN of want) must keep their bits. */
static inline void check_close(const char *what, const char *backend, const float *got, const float *want, int64_t rows,
                               int64_t ld, double absolute, double relative)
{
    for (int64_t i = -GUARD; i < rows * ld + GUARD; i++) {
        double x = got[i], y = want[i];
        if (check_bits(want[i]) == GUARD_BITS ? check_bits(got[i]) == GUARD_BITS
            : isnan(y)                        ? isnan(x)
            : isinf(y)                        ? x == y
                                              : fabs(x - y) <= absolute + relative * fabs(y))
            continue;
        fail_msg("%s, %s: row %ld column %ld is %.9g, should be %.9g", what, backend, (long)(i / ld), (long)(i % ld), x,
                 y);
    }
}

#endif
