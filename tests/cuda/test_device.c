/* Would catch: an error of the card that is lost, told late or overwritten by a later one, told without what to do, or
 * that lets undefined bytes reach the caller; memory that is not zeroed, copied or freed as asked; a card that does not
 * exist taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "device.h"
#include "device_errors.h"

static void test_memory(void **unused)
{
    (void)unused;
    assert_int_equal(sg_cuda_open(0), SG_OK);
    assert_non_null(strstr(sg_cuda_environment(), "driver 13.0, runtime 13.0"));
    uint8_t from[1000], to[1000];
    for (int i = 0; i < 1000; i++)
        from[i] = (uint8_t)(i * 7);
    uint8_t *a = sg_cuda_alloc(1000), *b = sg_cuda_alloc(1000);
    assert_non_null(a);
    assert_int_equal((uintptr_t)a % 256, 0);
    assert_null(sg_cuda_alloc(0));
    sg_cuda_upload(a, from, 1000);
    sg_cuda_zero(b, 1000);
    sg_cuda_copy(b + 10, a + 20, 900);
    sg_cuda_download(to, b, 1000);
    assert_int_equal(sg_cuda_sync(), SG_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(to[i], i < 10 || i >= 910 ? 0 : from[i + 10]);
    size_t before, after, total;
    sg_cuda_memory(&before, &total);
    sg_cuda_free(a);
    sg_cuda_free(b);
    sg_cuda_memory(&after, &total);
    assert_int_equal(after - before, 2000);
    assert_int_equal(sg_cuda_sync(), SG_OK);
    sg_cuda_close();
}

static void test_the_first_error_stays(void **unused)
{
    (void)unused;
    uint8_t bytes[16] = {1, 2, 3};
    assert_int_equal(sg_cuda_open(0), SG_OK);
    uint8_t *a = sg_cuda_alloc(16);
    sg_cuda_upload(a, bytes, 16);
    assert_null(sg_cuda_alloc((size_t)1 << 40)); /* more than there is */
    assert_non_null(strstr(sg_cuda_error(), "out of memory"));
    assert_non_null(strstr(sg_cuda_error(), "1048576.0 MiB"));
    emulated_error_next(EMULATED_LAUNCH_FAILURE);
    sg_cuda_zero(a, 16);
    assert_null(sg_cuda_alloc(16)); /* nothing is handed out any more */
    sg_cuda_download(bytes, a, 16);
    assert_int_equal(sg_cuda_sync(), SG_FAILED);
    assert_non_null(strstr(sg_error_text(), "out of memory"));
    assert_non_null(strstr(sg_error_text(), "smaller batch"));
    assert_int_equal(sg_cuda_sync(), SG_FAILED);
    for (int i = 0; i < 16; i++)
        assert_int_equal(bytes[i], 0);
    sg_cuda_free(a);
    sg_cuda_close();
    assert_int_equal(sg_cuda_open(0), SG_OK); /* a new start knows nothing of it */
    assert_int_equal(sg_cuda_sync(), SG_OK);
    sg_cuda_close();
}

static void test_a_lost_card_is_told_at_the_next_sync(void **unused)
{
    (void)unused;
    assert_int_equal(sg_cuda_open(0), SG_OK);
    emulated_error_next(EMULATED_LAUNCH_FAILURE);
    assert_int_equal(sg_cuda_sync(), SG_FAILED);
    assert_non_null(strstr(sg_error_text(), "the card gave up the work"));
    assert_null(strchr(sg_error_text(), '\n'));
    sg_cuda_close();
}

static const struct {
    enum emulated_error error;
    const char *says;
} openings[] = {
    {EMULATED_NO_DEVICE, "use --backend cpu"},
    {EMULATED_OLD_DRIVER, "older than this build needs"},
};

static void test_openings_that_fail(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        emulated_error_next(openings[i].error);
        assert_int_equal(sg_cuda_open(0), SG_FAILED);
        assert_non_null(strstr(sg_error_text(), openings[i].says));
        sg_cuda_close();
    }
    assert_int_equal(sg_cuda_open(1), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "there is no card 1: this machine shows 1"));
    assert_int_equal(sg_cuda_open(-1), SG_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_the_first_error_stays),
        cmocka_unit_test(test_a_lost_card_is_told_at_the_next_sync),
        cmocka_unit_test(test_openings_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
