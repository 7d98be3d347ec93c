/* Would catch: a table of the card with an op that nobody fills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "device.h"
#include "table.h"

/* Name and arithmetic lead the table, functions follow. */
static void test_the_table_is_complete(void **unused)
{
    (void)unused;
    assert_int_equal(sg_cuda_open(0), SG_OK);
    const struct sg_ops *ops = sg_ops_cuda();
    assert_string_equal(ops->name, "cuda");
    assert_true(strlen(sg_cuda_environment()) > 0);
    assert_non_null(strstr(ops->arithmetic, sg_cuda_environment()));
    void *entries[sizeof *ops / sizeof(void *)];
    _Static_assert(sizeof *ops % sizeof(void *) == 0, "a table of pointers");
    memcpy(entries, ops, sizeof *ops);
    int missing = 0;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (!entries[i]) {
            print_message("entry %zu of the table is missing\n", i);
            missing++;
        }
    sg_cuda_close();
    assert_int_equal(missing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_table_is_complete)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
