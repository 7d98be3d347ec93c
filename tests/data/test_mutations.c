/* Would catch (best under the sanitizers): a crash, a hang or a leak on a damaged schema or data file; a refusal
 * without a text; a data set handed out although reading failed. Seeds are fixed and printed with a failure. */
#include <sys/mman.h>

#include "data_test.h"

static uint64_t seed;

static uint64_t random64(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static const char schema_text[] =
    "layout: long\nunit: ID\nrows_per_unit_max: 3\nif_more_rows: keep_newest\nrow_order: any\nmissing_values: [\"\", "
    "\"NA\"]\n"
    "columns:\n  - {name: ID, role: id}\n  - {name: T, role: time, type: date}\n"
    "  - {name: Y, role: label, positive: [1], negative: [0], static: last}\n"
    "  - {name: S, role: feature, type: category, categories: [x, y], static: constant, if_missing: x, if_unknown: "
    "other}\n"
    "  - {names: [A, B], role: feature, type: number, bounds: [0, 100], if_missing: zero, missing_flag: true,\n"
    "     encode: [linear, {as: signed_log, unit: 3}, {as: at_least, thresholds: [1, 2]}]}\n"
    "  - {name: C, role: feature, type: number, bounds: [1, 9], encode: {as: ratio, over: D, from: [0, 3], to: [-1, "
    "1]}}\n"
    "  - {name: D, role: feature, type: number, bounds: [1, 9], encode: []}\n"
    "split: {fractions: {train: 0.5, test: 0.5}, seed: 3}\n";
static const char csv_text[] =
    "ID,T,Y,S,A,B,C,D\na,2024-01,0,x,1,2,3,4\n\"b\",2024-02,1,y,NA,,5,6\r\na,2023-12,0,x,99,1e2,1,1\n"
    "\"c\n1\",2024-01-31,1,,5,5,5,5\na,2025-01,1,x,0,0,9,9\na,2026-01,1,x,0.5,0,9,9\n";

/* A byte or two changed, dropped, doubled, or a stretch copied elsewhere. */
static size_t mutate(const char *text, size_t n, char *out)
{
    static const char alphabet[] = "\"\n\r,:[]{}- 019xA\t\\#&*!|>'%@\xff\xc3\xa9";
    memcpy(out, text, n);
    for (uint64_t k = 1 + (random64() % 4 == 0); k && n > 8; k--) {
        size_t i = random64() % n;
        switch (random64() % 4) {
        case 0:
            out[i] = alphabet[random64() % (sizeof alphabet - 1)];
            break;
        case 1:
            memmove(out + i, out + i + 1, n - i - 1);
            n--;
            break;
        case 2:
            memmove(out + i + 1, out + i, n - i);
            n++;
            break;
        default: {
            size_t from = random64() % (n - 4), len = 1 + random64() % 4;
            size_t to = random64() % (n - 4);
            memmove(out + to, out + from, len);
        }
        }
    }
    return n;
}

static void check_read(const char *path, const struct sg_schema *schema, bool check_only, uint64_t case_seed,
                       int *n_good)
{
    struct sg_dataset_options options = all_options();
    struct sg_dataset *d;
    options.check_only = check_only;
    sg_error_clear();
    enum sg_status status = sg_dataset_read(path, schema, &options, &d);
    if ((status == SG_OK) != (d != NULL) || (status != SG_OK && (status != SG_USAGE || !*sg_error_text())))
        fail_msg("seed %llu: status %d, \"%s\"", (unsigned long long)case_seed, status, sg_error_text());
    *n_good += status == SG_OK;
    if (d && !check_only)
        for (int64_t i = 0; i < d->n_rows * d->n_features; i++)
            if (!(d->x[i] >= -1e6f && d->x[i] <= 1e6f)) /* also not a number */
                fail_msg("seed %llu: a float is %g", (unsigned long long)case_seed, (double)d->x[i]);
    sg_dataset_close(&d);
}

static void damaged_schemas(void **state)
{
    (void)state;
    char *path = write_text("data.csv", csv_text), text[sizeof schema_text + 16];
    int n_good = 0, n_parsed = 0;
    for (uint64_t round = 0; round < 4000; round++) {
        seed = round;
        size_t n = mutate(schema_text, sizeof schema_text - 1, text);
        struct sg_schema *schema;
        sg_error_clear();
        enum sg_status status = sg_schema_parse("s.yaml", text, n, &schema);
        if ((status == SG_OK) != (schema != NULL) || (status != SG_OK && (status != SG_USAGE || !*sg_error_text())))
            fail_msg("seed %llu: status %d, \"%s\"", (unsigned long long)round, status, sg_error_text());
        if (schema)
            check_read(path, schema, false, round, &n_good);
        n_parsed += schema != NULL;
        sg_schema_close(&schema);
    }
    print_message("%d schemas parsed, %d of them read the data\n", n_parsed, n_good);
    assert_true(n_parsed > 200 && n_parsed < 3800 && n_good > 50);
    free(path);
}

static void damaged_data(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema(schema_text);
    char text[sizeof csv_text + 16];
    int n_good = 0;
    int memory = memfd_create("data.csv", MFD_CLOEXEC);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    for (uint64_t round = 0; round < 4000; round++) {
        seed = round;
        size_t n = mutate(csv_text, sizeof csv_text - 1, text);
        assert_int_equal(ftruncate(memory, 0), 0);
        assert_int_equal(pwrite(memory, text, n, 0), n);
        check_read(path, schema, round & 1, round, &n_good);
    }
    print_message("%d of 4000 files read\n", n_good);
    assert_true(n_good > 200 && n_good < 3800);
    close(memory);
    sg_schema_close(&schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(damaged_schemas), cmocka_unit_test(damaged_data)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
