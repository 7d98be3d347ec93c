/* Would catch: rows of one customer that are not brought together, or not oldest first; the cap on rows keeping the
 * wrong ones; static features, labels or splits that change within a customer let through; check_only that accepts what
 * training refuses. */
#include "data_test.h"

#define HEAD "layout: long\nunit: ID\nother_columns: ignore\n"
#define COLUMNS                                                                                                        \
    "columns:\n  - {name: ID, role: id}\n  - {name: T, role: time}\n"                                                  \
    "  - {name: A, role: feature, type: number, bounds: [0, 100], encode: {as: linear, to: [0, 100]}}\n"               \
    "  - {name: S, role: feature, type: category, categories: [x, y], static: constant}\n"                             \
    "  - {name: L, role: feature, type: number, bounds: [0, 9], static: last, encode: {as: linear, to: [0, 9]}}\n"
#define LABEL "  - {name: Y, role: label, positive: [1], negative: [0]}\n"
#define SPLIT "split: {fractions: {train: 0.5, test: 0.5}, seed: 3}\n"

static void check_unit(const struct sg_dataset *d, const char *id, const float *a, int64_t n, const float statics[3],
                       float label)
{
    int64_t u = find_id(d, id);
    assert_true(u >= 0);
    assert_int_equal(d->offset[u + 1] - d->offset[u], n);
    for (int64_t i = 0; i < n; i++)
        if (d->x[d->offset[u] + i] != a[i])
            fail_msg("unit %s, row %d: %g, want %g", id, (int)i, (double)d->x[d->offset[u] + i], (double)a[i]);
    assert_memory_equal(d->statics + 3 * u, statics, 3 * sizeof(float));
    assert_true(d->label[u] == label);
}

static void scattered_rows_are_brought_together(void **state)
{
    (void)state;
    struct sg_schema *schema =
        parse_schema(HEAD "rows_per_unit_max: 3\nif_more_rows: keep_newest\n" COLUMNS LABEL SPLIT);
    assert_int_equal(sg_schema_steps_max(schema), 3);
    struct sg_dataset *d = must_read(schema, "ID,T,A,S,L,Y\n"
                                             "a,1,10,x,1,0\nb,5,50,y,2,1\na,2,11,x,3,0\na,3.5,12,x,4,0\nc,1,70,x,0,0\n"
                                             "b,6,51,y,5,1\na,40,13,x,6,0\na,50,14,x,7,0\n");
    assert_int_equal(d->n_units, 3);
    assert_int_equal(d->n_rows, 6);
    check_unit(d, "a", (float[]){12, 13, 14}, 3, (float[]){1, 0, 7}, 0);
    check_unit(d, "b", (float[]){50, 51}, 2, (float[]){0, 1, 5}, 1);
    check_unit(d, "c", (float[]){70}, 1, (float[]){1, 0, 0}, 0);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
}

static void rows_in_any_order(void **state)
{
    (void)state;
    struct sg_schema *schema =
        parse_schema(HEAD "rows_per_unit_max: 2\nif_more_rows: keep_newest\nrow_order: any\n" COLUMNS
                          "  - {name: Y, role: label, positive: [1], negative: [0], static: last}\n" SPLIT);
    struct sg_dataset *d =
        must_read(schema, "ID,T,A,S,L,Y\nb,6,51,y,5,0\na,40,13,x,6,1\na,1,10,x,1,0\nb,5,50,y,2,1\na,-3,9,x,0,0\n");
    assert_int_equal(d->n_rows, 4);
    check_unit(d, "a", (float[]){10, 13}, 2, (float[]){1, 0, 6}, 1);
    check_unit(d, "b", (float[]){50, 51}, 2, (float[]){0, 1, 5}, 0);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
}

static void dates(void **state)
{
    (void)state;
    struct sg_schema *schema =
        parse_schema("layout: long\nunit: ID\nrows_per_unit_max: 9\ncolumns:\n  - {name: ID, role: id}\n"
                     "  - {name: T, role: time, type: date}\n"
                     "  - {name: A, role: feature, type: number, bounds: [0, 100]}\n");
    struct sg_dataset_options options = {.keep_ids = true};
    struct sg_dataset *d;
    assert_int_equal(read_csv(schema, "ID,T,A\na,2024-02-29,1\na,2024-03-01,1\na,2025-01,1\n", &options, &d), SG_OK);
    sg_dataset_close(&d);
    static const char *const bad[] = {"2023-02-29", "2024-13",    "2024-00", "2024-1-1",  "24-01-01",
                                      "2024/01/01", "2024-01-32", "",        "2024-01-0x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *csv = sg_format("ID,T,A\na,%s,1\n", bad[i]);
        assert_int_equal(read_csv(schema, csv, &options, &d), SG_USAGE);
        assert_non_null(strstr(sg_error_text(), ":2: column T: not a date"));
        free(csv);
    }
    assert_int_equal(read_csv(schema, "ID,T,A\na,2024-03-01,1\na,2024-02-29,1\n", &options, &d), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), ":3: column T: earlier than"));
    sg_schema_close(&schema);
}

static void faults_within_a_customer(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *csv, *want;
    } cases[] = {
        {HEAD "rows_per_unit_max: 2\n" COLUMNS LABEL SPLIT, "ID,T,A,S,L,Y\na,1,1,x,1,0\na,2,1,x,1,0\na,3,1,x,1,0\n",
         ":4: column ID: more rows of one customer than rows_per_unit_max"},
        {HEAD "rows_per_unit_max: 9\n" COLUMNS LABEL SPLIT, "ID,T,A,S,L,Y\na,1,1,x,1,0\nb,2,1,x,1,0\na,1,1,x,1,0\n",
         ":4: column T: a second row of the same customer and time"},
        {HEAD "rows_per_unit_max: 9\n" COLUMNS LABEL SPLIT, "ID,T,A,S,L,Y\na,2,1,x,1,0\nb,2,1,x,1,0\na,1,1,x,1,0\n",
         ":4: column T: earlier than the customer's row before it"},
        {HEAD "rows_per_unit_max: 9\nrow_order: any\n" COLUMNS LABEL SPLIT,
         "ID,T,A,S,L,Y\na,2,1,x,1,0\nb,2,1,x,1,0\na,2,1,x,1,0\n",
         ": column T: data records 1 and 3 are of the same customer and time"},
        {HEAD "rows_per_unit_max: 9\n" COLUMNS LABEL SPLIT, "ID,T,A,S,L,Y\na,1,1,x,1,0\na,2,1,y,1,0\n",
         ":3: column S: differs between rows of one customer; declare static: last"},
        {HEAD "rows_per_unit_max: 9\n" COLUMNS LABEL SPLIT, "ID,T,A,S,L,Y\na,1,1,x,1,0\na,2,1,x,2,1\n",
         ":3: column Y: differs between rows of one customer"},
        {HEAD "rows_per_unit_max: 9\n" COLUMNS LABEL "  - {name: P, role: split}\n",
         "ID,T,A,S,L,Y,P\na,1,1,x,1,0,train\na,2,1,x,2,0,test\n", ":3: column P: differs between rows of one customer"},
        {HEAD "rows_per_unit_max: 9\n" COLUMNS LABEL SPLIT, "ID,T,A,S,L,Y\na,soon,1,x,1,0\n",
         ":2: column T: not a plain number"},
        {HEAD "rows_per_unit_max: 9\n" COLUMNS LABEL SPLIT, "ID,T,A,S,L,Y\n,1,1,x,1,0\n",
         ":2: column ID: an empty unit id"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_schema *schema = parse_schema(cases[i].yaml);
        struct sg_dataset_options options = all_options();
        for (int check_only = 0; check_only < 2; check_only++) {
            struct sg_dataset *d;
            options.check_only = check_only;
            if (read_csv(schema, cases[i].csv, &options, &d) != SG_USAGE)
                fail_msg("case %zu was accepted", i);
            if (!strstr(sg_error_text(), cases[i].want))
                fail_msg("case %zu: got %s, want %s", i, sg_error_text(), cases[i].want);
        }
        sg_schema_close(&schema);
    }
}

/* Many customers in random interleaving against the same rows in order. */
static void interleaving_does_not_matter(void **state)
{
    (void)state;
    enum { UNITS = 500, ROWS = 7 };
    struct sg_schema *schema =
        parse_schema(HEAD "rows_per_unit_max: 5\nif_more_rows: keep_newest\n" COLUMNS LABEL SPLIT);
    struct sg_buffer in_order = {0}, mixed = {0};
    int next[UNITS] = {0};
    uint32_t seed = 1;
    sg_buffer_text(&in_order, "ID,T,A,S,L,Y\n");
    sg_buffer_text(&mixed, "ID,T,A,S,L,Y\n");
    static const char row[] = "u%d,%d,%d,x,%d,%d\n";
    for (int u = 0; u < UNITS; u++)
        for (int t = 0; t < 1 + u % ROWS; t++)
            sg_buffer_printf(&in_order, row, u, t, (u * 31 + t * 7) % 100, t, u & 1);
    for (int left = UNITS; left > 0;) {
        seed = seed * 1664525 + 1013904223;
        int u = (int)((seed >> 8) % UNITS), t = next[u];
        if (t == 1 + u % ROWS)
            continue;
        sg_buffer_printf(&mixed, row, u, t, (u * 31 + t * 7) % 100, t, u & 1);
        left -= ++next[u] == 1 + u % ROWS;
    }
    struct sg_dataset *a = must_read(schema, in_order.data), *b = must_read(schema, mixed.data);
    struct sg_dataset_options options = all_options();
    struct sg_dataset *checked;
    options.check_only = true;
    assert_int_equal(read_csv(schema, mixed.data, &options, &checked), SG_OK);
    assert_int_equal(a->n_rows, b->n_rows);
    assert_int_equal(checked->n_rows, b->n_rows);
    assert_memory_equal(checked->commitment, b->commitment, 32);
    assert_memory_equal(checked->n_split, a->n_split, sizeof a->n_split);
    for (int64_t u = 0; u < UNITS; u++) {
        int64_t v = find_id(b, a->id[u]), n = a->offset[u + 1] - a->offset[u];
        assert_int_equal(b->offset[v + 1] - b->offset[v], n);
        assert_memory_equal(a->x + a->offset[u], b->x + b->offset[v], (size_t)n * sizeof *a->x);
        assert_memory_equal(a->statics + 3 * u, b->statics + 3 * v, 3 * sizeof(float));
        assert_memory_equal(a->digest[u], b->digest[v], SG_UNIT_DIGEST_BYTES);
        assert_int_equal(a->split[u], b->split[v]);
    }
    sg_dataset_close(&a);
    sg_dataset_close(&b);
    sg_dataset_close(&checked);
    sg_buffer_free(&in_order);
    sg_buffer_free(&mixed);
    sg_schema_close(&schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scattered_rows_are_brought_together),
        cmocka_unit_test(rows_in_any_order),
        cmocka_unit_test(dates),
        cmocka_unit_test(faults_within_a_customer),
        cmocka_unit_test(interleaving_does_not_matter),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
