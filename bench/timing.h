/* What benchmarks share: a clock, a median, and memory to work on. */
#ifndef SG_BENCH_TIMING_H
#define SG_BENCH_TIMING_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of a CPU-time clock or of CLOCK_MONOTONIC. */
static inline double clock_seconds(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline double thread_seconds(void)
{
    return clock_seconds(CLOCK_THREAD_CPUTIME_ID);
}

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline void sort_doubles(double *x, size_t n)
{
    qsort(x, n, sizeof *x, compare_doubles);
}

static inline double median(double *x, size_t n)
{
    sort_doubles(x, n);
    return x[n / 2];
}

/* Zeros, aligned for every vector width. */
static inline void *memory(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 4096) / 64 * 64);
    if (!p)
        abort();
    memset(p, 0, (bytes + 4096) / 64 * 64);
    return p;
}

static inline float *random_floats(int64_t n)
{
    float *p = memory((size_t)n * sizeof *p);
    uint32_t state = 12345;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = (float)(int32_t)state * 0x1p-31f;
    }
    return p;
}

#endif
