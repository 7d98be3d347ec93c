/* Arrays on the card for tests: copied there, copied back, compared. Every array stands between guards of its own, so
 * that a write outside shows on a card too. */
#ifndef SG_TESTS_CUDA_DEVICE_ARRAYS_H
#define SG_TESTS_CUDA_DEVICE_ARRAYS_H

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

#include "../ops/check.h"
#include "base/status.h"
#include "device.h"
#include "ops/ops.h"
#include "table.h"

static inline void *host_alloc(size_t bytes)
{
    void *at = calloc(bytes + 1, 1);
    assert_non_null(at);
    return at;
}

#define DEVICE_GUARD 256 /* bytes on either side */

static inline void *device_put(const void *from, size_t bytes)
{
    uint8_t *all = malloc(bytes + 2 * DEVICE_GUARD), *at = sg_cuda_alloc(bytes + 2 * DEVICE_GUARD);
    assert_true(all && at);
    memset(all, 0xa5, bytes + 2 * DEVICE_GUARD);
    memcpy(all + DEVICE_GUARD, from, bytes);
    sg_cuda_upload(at, all, bytes + 2 * DEVICE_GUARD);
    free(all);
    return at + DEVICE_GUARD;
}

/* Into `to` (bytes; NULL: nowhere), and frees; the guards must be untouched. */
static inline void device_take(void *to, void *at, size_t bytes)
{
    uint8_t *all = malloc(bytes + 2 * DEVICE_GUARD);
    assert_non_null(all);
    sg_cuda_download(all, (uint8_t *)at - DEVICE_GUARD, bytes + 2 * DEVICE_GUARD);
    if (sg_cuda_sync() != SG_OK)
        fail_msg("%s", sg_error_text());
    for (size_t i = 0; i < DEVICE_GUARD; i++)
        if (all[i] != 0xa5 || all[DEVICE_GUARD + bytes + i] != 0xa5)
            fail_msg("a write outside of an array of %zu bytes", bytes);
    if (to)
        memcpy(to, all + DEVICE_GUARD, bytes);
    free(all);
    sg_cuda_free((uint8_t *)at - DEVICE_GUARD);
}

static inline void *device_scratch(int64_t widest, int64_t rows_max)
{
    const struct sg_ops *ops = sg_ops_cuda();
    size_t bytes = ops->scratch_bytes ? ops->scratch_bytes(widest, rows_max) : 0;
    return sg_cuda_alloc(bytes + 64);
}

/* NaNs of any payload are equal. */
static inline bool same_float(float x, float y)
{
    return memcmp(&x, &y, sizeof x) == 0 || (isnan(x) && isnan(y));
}

static inline bool same_double(double x, double y)
{
    return memcmp(&x, &y, sizeof x) == 0 || (isnan(x) && isnan(y));
}

/* Opens the card (in the emulation: the CPU) for a group of tests; -1 where there is no CPU backend to compare with. */
static inline int device_open(void **unused)
{
    (void)unused;
    if (sg_cuda_open(0) == SG_OK)
        return 0;
    print_message("%s\n", sg_error_text());
    return -1;
}

static inline int device_close(void **unused)
{
    (void)unused;
    sg_cuda_close();
    return 0;
}

#endif
