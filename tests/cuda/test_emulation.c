/* Would catch: an emulation that lets a fault pass which a card would show only sometimes (a barrier that not all
 * reach, a race, an access outside, a read of what nobody wrote), or that computes shuffles, votes, barriers, atomics
 * or a meeting of the grid wrongly; a host that reads the device's memory unseen. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "device.h"
#include "emulation_kernels.h"

static void test_sums_through_shuffles_and_shared_memory(void **unused)
{
    (void)unused;
    enum { BLOCKS = 3 };
    static const int sizes[] = {32, 64, 96, 1024};
    for (size_t s = 0; s < 4; s++) {
        int n = BLOCKS * sizes[s];
        int32_t *x = malloc((size_t)n * sizeof *x), sum[BLOCKS], want[BLOCKS] = {0};
        assert_non_null(x);
        for (int i = 0; i < n; i++)
            want[i / sizes[s]] += x[i] = i * i % 1009;
        emulation_sum(BLOCKS, sizes[s], x, sum);
        assert_memory_equal(sum, want, sizeof want);
        free(x);
    }
}

static void test_the_grid_meets(void **unused)
{
    (void)unused;
    int32_t cells[5] = {10, 20, 30, 40, 50};
    emulation_ring(5, 64, 3, cells);
    const int32_t want[5] = {33, 43, 53, 13, 23};
    assert_memory_equal(cells, want, sizeof want);
}

static void test_lanes(void **unused)
{
    (void)unused;
    int32_t out[256];
    emulation_lanes(out);
    for (int lane = 0; lane < 32; lane++) {
        assert_int_equal(out[lane], 5);
        assert_int_equal(out[32 + lane], lane < 3 ? lane : lane - 3);
        assert_int_equal(out[64 + lane], lane > 28 ? lane : lane + 3);
        assert_int_equal(out[96 + lane], lane ^ 9);
        assert_int_equal(out[128 + lane], lane % 8 + 3 < 8 ? lane + 3 : lane);
        assert_int_equal((uint32_t)out[160 + lane], 0x49249249u);
        assert_int_equal(out[192 + lane], 1);
        assert_int_equal(out[224 + lane], 7);
    }
}

static void test_atomics(void **unused)
{
    (void)unused;
    int64_t sum;
    int32_t most;
    emulation_atomics(4, 100, &sum, &most);
    assert_int_equal(sum, 4 * 99 * 100 / 2);
    assert_int_equal(most, 3 * 99);
}

static const struct {
    enum fault fault;
    const char *says;
} faults[] = {
    {FAULT_RETURNS_BEFORE_BARRIER, "while others of its block"},
    {FAULT_OTHER_BARRIER, "while others of its block wait in __syncthreads at"},
    {FAULT_LANE_MISSING, "lanes of its warp"},
    {FAULT_WARP_AGAINST_BLOCK, "threads wait for ever: thread 0,0,0 of block 0,0,0 waits in __syncthreads at"},
    {FAULT_MASK, "all 32 lanes must exist and be named"},
    {FAULT_BLOCK_TOO_LARGE, "a block of 1025 x 1 x 1 threads"},
    {FAULT_GRID_EMPTY, "a grid of 0 x 1 x 1"},
    {FAULT_SHARED_TOO_LARGE, "49153 bytes of dynamic shared memory, allowed are 49152"},
    {FAULT_SHARED_UNWRITTEN, "4 bytes of shared memory are read before anybody wrote them"},
    {FAULT_SHARED_OUTSIDE, "4 bytes are written outside of any array of shared memory"},
    {FAULT_SHARED_RACE, "of shared memory"},
    {FAULT_SHARED_RACE_LATE, "a word of shared memory is"},
    {FAULT_DEVICE_OUTSIDE, "4 bytes are written outside of any allocation of device memory"},
    {FAULT_DEVICE_UNWRITTEN, "4 bytes of device memory are read before anybody wrote them"},
    {FAULT_DEVICE_RACE,
     "is written by thread 0 of block 0 and written by thread 1 of block 0, with no barrier between"},
    {FAULT_ATOMIC_AND_PLAIN, "with no barrier between"},
    {FAULT_HOST_MEMORY, "memory of the host"},
};

static void test_every_fault_is_seen(void **unused)
{
    (void)unused;
    assert_int_equal(sizeof faults / sizeof *faults, FAULTS - 1);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (faults[i].fault >= FAULT_SHARED_UNWRITTEN && !emulation_watches())
            break;
        const char *said = emulation_fault((int)faults[i].fault);
        if (!said || !strstr(said, "sg_k_test_fault: ") || !strstr(said, faults[i].says))
            fail_msg("fault %d: said \"%s\", should say \"%s\"", (int)faults[i].fault, said ? said : "nothing",
                     faults[i].says);
        assert_null(emulation_fault(FAULT_NONE)); /* and the next launch is as if nothing had been */
    }
}

/* In a child, which must die of it. */
static void test_the_host_cannot_read_the_device(void **unused)
{
    (void)unused;
    int32_t *at = sg_cuda_alloc(64 * sizeof *at);
    sg_cuda_zero(at, 64 * sizeof *at);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*(volatile int32_t *)at == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    sg_cuda_free(at);
}

static int open_device(void **unused)
{
    (void)unused;
    return sg_cuda_open(0) == SG_OK ? 0 : -1;
}

static int close_device(void **unused)
{
    (void)unused;
    enum sg_status status = sg_cuda_sync();
    sg_cuda_close();
    return status == SG_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_through_shuffles_and_shared_memory),
        cmocka_unit_test(test_the_grid_meets),
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_every_fault_is_seen),
        cmocka_unit_test(test_the_host_cannot_read_the_device),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
