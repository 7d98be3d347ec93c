/* What the tests of table functions share: one op run on the CPU's table and on the card's, each in its own memory, and
 * all bytes compared, guards included. */
#ifndef SG_TESTS_CUDA_MACHINE_H
#define SG_TESTS_CUDA_MACHINE_H

#include "../ops/check.h"
#include "device.h"
#include "table.h"

#define MACHINE_PARTS 128

struct machine {
    const char *name;
    const struct sg_ops *ops;
    bool is_card;
    void *part[MACHINE_PARTS]; /* what is freed with it */
    int n_parts;
};

static inline struct machine machine_cpu(void)
{
    return (struct machine){.name = "cpu", .ops = sg_ops_cpu()};
}

static inline struct machine machine_card(void)
{
    return (struct machine){.name = "card", .ops = sg_ops_cuda(), .is_card = true};
}

/* A copy of `bytes` bytes where this machine's ops can see it. */
static inline void *machine_put_bytes(struct machine *m, const void *from, size_t bytes)
{
    assert_true(m->n_parts < MACHINE_PARTS);
    void *at = m->is_card ? sg_cuda_alloc(bytes) : aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(at);
    if (m->is_card)
        sg_cuda_upload(at, from, bytes);
    else
        memcpy(at, from, bytes);
    return m->part[m->n_parts++] = at;
}

/* Of a guarded array of n floats. */
static inline float *machine_put(struct machine *m, const float *from, int64_t n)
{
    return (float *)machine_put_bytes(m, from - GUARD, (size_t)(n + 2 * GUARD) * sizeof *from) + GUARD;
}

/* An array of n floats that is all guard. */
static inline float *machine_empty(struct machine *m, int64_t n)
{
    float *guards = check_floats(n), *at = machine_put(m, guards, n);
    check_free(guards);
    return at;
}

/* A guarded copy on the host. */
static inline float *machine_get(const struct machine *m, const float *from, int64_t n)
{
    float *to = check_floats(n);
    if (m->is_card)
        sg_cuda_download(to - GUARD, from - GUARD, (size_t)(n + 2 * GUARD) * sizeof *from);
    else
        memcpy(to - GUARD, from - GUARD, (size_t)(n + 2 * GUARD) * sizeof *from);
    return to;
}

static inline void machine_close(struct machine *m)
{
    if (m->is_card)
        assert_int_equal(sg_cuda_sync(), SG_OK);
    while (m->n_parts > 0) {
        void *at = m->part[--m->n_parts];
        if (m->is_card)
            sg_cuda_free(at);
        else
            free(at);
    }
}

/* What one op made: up to eight arrays on the host. */
#define MADE_MAX 8
struct made {
    struct {
        const char *what;
        float *x;
        int64_t rows, ld;
    } part[MADE_MAX];
    int n;
};

static inline void made_add(struct made *made, const struct machine *m, const char *what, const float *x, int64_t rows,
                            int64_t ld)
{
    assert_true(made->n < MADE_MAX);
    made->part[made->n].what = what;
    made->part[made->n].x = machine_get(m, x, rows * ld);
    made->part[made->n].rows = rows;
    made->part[made->n++].ld = ld;
}

static inline void made_free(struct made *made)
{
    while (made->n > 0)
        check_free(made->part[--made->n].x);
}

typedef struct made machine_run(struct machine *m, const void *in);

/* Runs on both and compares; `where` says the case. */
static inline void machine_compare(machine_run *run, const void *in, const char *where)
{
    struct machine cpu = machine_cpu(), card = machine_card();
    struct made want = run(&cpu, in), got = run(&card, in);
    assert_int_equal(want.n, got.n);
    for (int i = 0; i < want.n; i++)
        check_same_bits(want.part[i].what, where, got.part[i].x, want.part[i].x, want.part[i].rows, want.part[i].ld);
    made_free(&want);
    made_free(&got);
    machine_close(&cpu);
    machine_close(&card);
}

/* Random floats; where they are `wild`, some of every magnitude, and some that are not finite. */
static inline float *machine_random(int64_t rows, int64_t width, int64_t ld, bool wild, uint64_t *state)
{
    static const uint32_t special[] = {0x7fc00000, 0x7f800000, 0xff800000, 0,          0x80000000, 1,
                                       0x807fffff, 0x7f7fffff, 0xff7fffff, 0x00800000, 0x3f800000, 0xc1500000};
    float *x = check_floats(rows * ld);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < width; j++) {
            float y = check_uniform(state);
            if (wild && check_below(state, 4) == 0)
                y = ldexpf(y, (int)check_below(state, 276) - 148);
            else if (wild)
                y *= 20;
            if (wild && check_below(state, 40) == 0)
                memcpy(&y, &special[check_below(state, (int64_t)(sizeof special / sizeof *special))], sizeof y);
            x[r * ld + j] = y;
        }
    return x;
}

static inline int machine_group_open(void **unused)
{
    (void)unused;
    return sg_cuda_open(0) == SG_OK ? 0 : -1;
}

static inline int machine_group_close(void **unused)
{
    (void)unused;
    sg_cuda_close();
    return 0;
}

#endif
