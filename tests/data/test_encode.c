/* Would catch: a value encoded otherwise than docs/schema.md says; clipping not counted; a missing or unknown value
 * taken for a number; columns taken by position instead of by name; a data fault without line and column, or with the
 * value in its text. */
#include <math.h>

#include "data_test.h"

static void check_floats(const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fabsf(got[i] - want[i]) > 1e-6f)
            fail_msg("float %zu is %.9g, want %.9g", i, (double)got[i], (double)want[i]);
}

#define FLAT "layout: wide\nunit: row\nmissing_values: [\"\", \"NA\", \"-999\"]\ncolumns:\n"

static struct sg_dataset *read_flat(const char *columns, const char *csv)
{
    char *yaml = sg_format(FLAT "%s", columns);
    struct sg_schema *schema = parse_schema(yaml);
    struct sg_dataset_options options = {.keep_ids = true};
    struct sg_dataset *d;
    if (read_csv(schema, csv, &options, &d) != SG_OK)
        fail_msg("%s", sg_error_text());
    sg_schema_close(&schema);
    free(yaml);
    return d;
}

static void numbers(void **state)
{
    (void)state;
    struct sg_dataset *d = read_flat(
        "  - {name: A, role: feature, type: number, bounds: [0, 10], encode: [linear, {as: linear, to: [0, 1]},\n"
        "     {as: linear, from: [2, 4], to: [5, 3]}, {as: one_hot, values: [3, 0]}, {as: at_least, thresholds: [1, 3, "
        "10]}]}\n"
        "  - {name: B, role: feature, type: number, bounds: [1, 100], encode: [{as: log, unit: 10}, {as: log, divide: "
        "2},\n"
        "     {as: ratio, over: A1, from: [0, 5]}, {as: ratio, over: A1, from: [0, 5], to: [-1, 1]}]}\n"
        "  - {name: C, role: feature, type: number, bounds: [-1e6, 1e6], encode: {as: signed_log, unit: 1000, divide: "
        "3}}\n"
        "  - {name: A1, role: feature, type: number, bounds: [1, 2], encode: []}\n",
        "C,B,A,A1\n-2000,20,3,1\n0,100,0,2\n5e2,1,10.0,2\n3e6,0.5,-4,7\n");
    float l10 = logf(10), want[][14] = {
                              {-.4f, .3f, 4, 1, 0, 1, 1, 0, logf(2), logf(20) / 2, 5, 1, -logf(3) / 3},
                              {-1, 0, 5, 0, 1, 0, 0, 0, l10, l10, 5, 1, 0},
                              {1, 1, 3, 0, 0, 1, 1, 1, -l10, 0, .5f, -.8f, logf(1.5f) / 3},
                              {-1, 0, 5, 0, 1, 0, 0, 0, -l10, 0, .5f, -.8f, logf(1001) / 3},
                          };
    assert_int_equal(d->n_features, 13);
    assert_int_equal(d->n_units, 4);
    assert_int_equal(d->n_clipped, 4);
    for (int i = 0; i < 4; i++)
        check_floats(d->x + 13 * i, want[i], 13);
    assert_null(d->label);
    sg_dataset_close(&d);
}

static void categories_and_missing_values(void **state)
{
    (void)state;
    struct sg_dataset *d = read_flat(
        "  - {name: S, role: feature, type: category, categories: [M, F, \"NA\"], if_unknown: other}\n"
        "  - {name: R, role: feature, type: category, categories: [\"1\", \"2\"], encode: {as: one_hot, values: [2]}, "
        "if_missing: \"2\",\n"
        "     if_unknown: zero}\n"
        "  - {name: A, role: feature, type: number, bounds: [0, 10], if_missing: 10, missing_flag: true}\n"
        "  - {name: B, role: feature, type: number, bounds: [-1000, 1000], if_missing: zero, missing_flag: true}\n"
        "  - {name: C, role: feature, type: number, bounds: [-1000, 1000], missing_values: [\"?\"], if_missing: "
        "zero}\n",
        "S,R,A,B,C\nM,1,5,1000,-999\nF,2,NA,-999,?\nNA,,,,1000\nX,3,0,NA,0\n");
    static const float want[][10] = {
        /* S=M F NA other, R=2, A flag, B flag, C */
        {1, 0, 0, 0, 0, 0, 0, 1, 0, -.999f},
        {0, 1, 0, 0, 1, 1, 1, 0, 1, 0},
        {0, 0, 1, 0, 1, 1, 1, 0, 1, 1},
        {0, 0, 0, 1, 0, -1, 0, 0, 1, 0},
    };
    assert_int_equal(d->n_features, 10);
    for (int i = 0; i < 4; i++)
        check_floats(d->x + 10 * i, want[i], 10);
    assert_int_equal(d->n_clipped, 0);
    sg_dataset_close(&d);
}

static void steps_are_oldest_first(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema(
        "layout: wide\nunit: ID\nother_columns: ignore\ncolumns:\n  - {name: ID, role: id}\n"
        "  - {name: LIMIT, role: feature, type: number, bounds: [10, 100], encode: {as: linear, to: [0, 1]}}\n"
        "  - {name: Y, role: label, positive: [bad, worse], negative: [good]}\n"
        "steps:\n"
        "  - {name: P, columns: [P3, P2, P0], type: number, bounds: [0, 9], encode: {as: linear, from: [0, 4], to: [0, "
        "4]},\n"
        "     if_missing: zero}\n"
        "  - {name: Q, columns: [Q3, Q2, Q1], type: number, bounds: [1, 100],\n"
        "     encode: [{as: ratio, over: LIMIT, from: [0, 2]}, {as: ratio, over: P1, from: [0, 50], over_min: 1.5}]}\n"
        "  - {name: P1, columns: [R3, R2, R1], type: number, bounds: [1, 9], encode: [], if_missing: zero}\n");
    struct sg_dataset_options options = {.keep_ids = true, .need_label = true};
    struct sg_dataset *d;
    assert_int_equal(read_csv(schema,
                              "P0,P2,P3,Q1,Q2,Q3,R1,R2,R3,LIMIT,extra,ID,Y\n"
                              "0,2,3,10,20,30,1,2,,10,x,b,bad\n"
                              ",9,1,10,20,30,2,2,2,100,y,a,good\n",
                              &options, &d),
                     SG_OK);
    static const float x[] = {3, 2, 0, 2, 2, 10, 0, 1, 20.f / 3, 1, .3f, 15, 4, .2f, 10, 0, .1f, 5};
    static const float statics[] = {0, 1};
    assert_int_equal(d->n_units, 2);
    assert_int_equal(d->n_rows, 6);
    check_floats(d->x, x, 18);
    check_floats(d->statics, statics, 2);
    check_floats(d->label, (float[]){1, 0}, 2);
    for (int64_t i = 0; i <= 2; i++)
        assert_int_equal(d->offset[i], 3 * i);
    assert_string_equal(d->id[0], "b");
    uint8_t digest[32];
    sg_sha256("b", 1, digest);
    assert_memory_equal(d->digest[0], digest, 16);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
}

static void absent_steps_shorten_a_history(void **state)
{
    (void)state;
    static const char rest[] =
        "layout: wide\nunit: ID\nmissing_values: [NA]\ncolumns:\n  - {name: ID, role: id}\nsteps:\n"
        "  - {name: P, columns: [P3, P2, P1], type: number, bounds: [-1, 1], if_missing: zero, "
        "missing_flag: true}\n"
        "  - {name: Q, columns: [Q3, Q2, Q1], type: number, bounds: [-1, 1], if_missing: 0.5}\n";
    static const char csv[] = "ID,P3,P2,P1,Q3,Q2,Q1\na,.1,.2,.3,.4,.5,.6\nb,NA,.2,NA,NA,.5,NA\nc,NA,NA,NA,NA,NA,NA\n"
                              "d,NA,NA,.3,.4,NA,.6\n";
    static const float want[] = {.1f, 0, .4f, .2f, 0, .5f, .3f, 0, .6f, /* a */
                                 .2f, 0, .5f, 0,   1, .5f, /* b: the oldest step is gone, the newest stays */
                                 0,   1, .5f,              /* c: one step at least */
                                 0,   1, .4f, 0,   1, .5f, .3f, 0, .6f}; /* d: Q3 is there */
    for (int drop = 0; drop < 2; drop++) {
        char *yaml = sg_format("absent_steps: %s\n%s", drop ? "drop" : "keep", rest);
        struct sg_schema *schema = parse_schema(yaml);
        struct sg_dataset_options options = {.keep_ids = true};
        struct sg_dataset *d, *checked;
        assert_int_equal(read_csv(schema, csv, &options, &d), SG_OK);
        options.check_only = true;
        assert_int_equal(read_csv(schema, csv, &options, &checked), SG_OK);
        assert_int_equal(checked->n_rows, d->n_rows);
        for (int u = 0; u <= 4; u++)
            assert_int_equal(d->offset[u], drop ? ((int[]){0, 3, 5, 6, 9})[u] : 3 * u);
        if (drop)
            check_floats(d->x, want, 27);
        sg_dataset_close(&d);
        sg_dataset_close(&checked);
        sg_schema_close(&schema);
        free(yaml);
    }
}

static void files_without_a_header(void **state)
{
    (void)state;
    struct sg_schema *schema =
        parse_schema("layout: wide\nunit: row\nheader: false\nseparator: \" \"\ncolumn_order: [P1, A, P0]\ncolumns:\n"
                     "  - {name: A, role: feature, type: number, bounds: [-1, 1]}\n"
                     "steps:\n  - {name: P, columns: [P1, P0], type: number, bounds: [-1, 1]}\n");
    struct sg_dataset_options options = {.keep_ids = false};
    struct sg_dataset *d;
    assert_int_equal(read_csv(schema, "0.1  0.2 0.3\n 0.4 0.5 0.6 \n", &options, &d), SG_OK);
    check_floats(d->x, (float[]){.1f, .3f, .4f, .6f}, 4);
    check_floats(d->statics, (float[]){.2f, .5f}, 2);
    sg_dataset_close(&d);
    assert_int_equal(read_csv(schema, "0.1 0.2\n", &options, &d), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "data.csv:1: 2 fields where the schema declares 3"));
    sg_schema_close(&schema);
}

#define GOOD "ID,A,S,Y,P\n1,5,x,1,train\n2,6,x,0,test\n"

static void faults_name_line_and_column_but_no_value(void **state)
{
    (void)state;
    static const char schema_text[] =
        "layout: wide\nunit: ID\nmissing_values: [\"\", \"?\"]\ncolumns:\n  - {name: ID, role: id}\n"
        "  - {name: A, role: feature, type: number, bounds: [0, 10]}\n  - {name: S, role: feature, type: category, "
        "categories: [x]}\n"
        "  - {name: Y, role: label, positive: [1], negative: [0]}\n  - {name: P, role: split}\n";
    static const struct {
        const char *csv, *want;
    } cases[] = {
        {"", ": no data records"},
        {"ID,A,S,Y,P\n", ": no data records"},
        {"ID,A,S,Y\n", ":1: column P: declared in the schema but not in the header"},
        {"ID,A,S,P\n", ":1: column Y: declared in the schema but not in the header"},
        {"A,S,Y,P\n", ":1: column ID: declared in the schema but not in the header"},
        {"ID;A;S;Y;secret\n",
         ":1: field 1 of the header is no column of the schema; declare it (role: ignore will do), or check the "
         "separator, or say header: false"},
        {"ID,A,S,Y,P,secret\n", ":1: field 6 of the header is no column of the schema"},
        {"ID,A,A,S,Y,P\n", ":1: column A: stands twice in the header"},
        {GOOD "3,5,x,1\n", ":4: 4 fields where the header has 5"},
        {GOOD "3,5,x,1,train,secret\n", ":4: 6 fields where the header has 5"},
        {GOOD "\"3\n3\",secret,x,1,train\n", ":4: column A: not a plain number"},
        {GOOD "\n\n3,1 000,x,1,train\n", ":6: column A: not a plain number"},
        {GOOD "3,0x1f,x,1,train\n", ":4: column A: not a plain number"},
        {GOOD "3,nan,x,1,train\n", ":4: column A: not a plain number"},
        {GOOD "3,inf,x,1,train\n", ":4: column A: not a plain number"},
        {GOOD "3,+5,x,1,train\n", ":4: column A: not a plain number"},
        {GOOD "3,\"5,1\",x,1,train\n", ":4: column A: not a plain number"},
        {GOOD "3,,x,1,train\n", ":4: column A: a missing value; say in the schema what it means"},
        {GOOD "3,?,x,1,train\n", ":4: column A: a missing value"},
        {GOOD "3,5,secret,1,train\n", ":4: column S: not one of the declared categories"},
        {GOOD "3,5,X,1,train\n", ":4: column S: not one of the declared categories"},
        {GOOD "3,5,?,1,train\n", ":4: column S: a missing value"},
        {GOOD "3,5,x,secret,train\n", ":4: column Y: neither a positive nor a negative value"},
        {GOOD "3,5,x,,train\n", ":4: column Y: neither a positive nor a negative value"},
        {GOOD "3,5,x,1,secret\n", ":4: column P: not one of the values that the schema's split gives"},
        {GOOD ",5,x,1,train\n", ":4: column ID: an empty unit id"},
        {GOOD "2,5,x,1,train\n", ":4: column ID: a unit id that an earlier line has"},
        {GOOD "3,5,\"x,1,train\n", ":4: the record that begins here has a quoted field that is never closed"},
    };
    struct sg_schema *schema = parse_schema(schema_text);
    for (int check_only = 0; check_only < 2; check_only++) { /* registration finds every fault that training would */
        struct sg_dataset_options options = all_options();
        options.check_only = check_only;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct sg_dataset *d;
            if (read_csv(schema, cases[i].csv, &options, &d) != SG_USAGE)
                fail_msg("case %zu was accepted", i);
            char *want = sg_format("/data.csv%s", cases[i].want);
            if (!strstr(sg_error_text(), want) || strstr(sg_error_text(), "secret"))
                fail_msg("case %zu: got %s, want %s", i, sg_error_text(), want);
            free(want);
        }
    }
    sg_schema_close(&schema);
}

static void label_and_split_only_where_needed(void **state)
{
    (void)state;
    struct sg_schema *schema =
        parse_schema("layout: wide\nunit: ID\ncolumns:\n  - {name: ID, role: id}\n"
                     "  - {name: A, role: feature, type: number, bounds: [0, 10]}\n"
                     "  - {name: Y, role: label, positive: [1], negative: [0]}\n  - {name: P, role: split}\n");
    struct sg_dataset_options options = {.keep_ids = true};
    struct sg_dataset *d;
    assert_int_equal(read_csv(schema, "ID,A\n1,2\n", &options, &d), SG_OK); /* to be scored: neither label nor split */
    assert_null(d->label);
    assert_int_equal(d->split[0], SG_SPLIT_TEST);
    sg_dataset_close(&d);
    assert_int_equal(read_csv(schema, "ID,A,Y\n1,2,never seen\n", &options, &d), SG_OK);
    assert_null(d->label);
    sg_dataset_close(&d);
    options.need_label = true;
    assert_int_equal(read_csv(schema, "ID,A,Y\n1,2,never seen\n", &options, &d), SG_USAGE);
    assert_int_equal(read_csv(schema, "ID,A,Y\n1,2,1\n", &options, &d), SG_OK);
    assert_true(d->label[0] == 1);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
    schema = parse_schema(
        "layout: wide\nunit: row\ncolumns:\n  - {name: A, role: feature, type: number, bounds: [0, 10]}\n");
    options.need_label = true;
    assert_int_equal(read_csv(schema, "A\n1\n", &options, &d), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "schema.yaml: no column has role: label"));
    options.need_label = false;
    options.need_split = true;
    assert_int_equal(read_csv(schema, "A\n1\n", &options, &d), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "schema.yaml: no split"));
    sg_schema_close(&schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(categories_and_missing_values),
        cmocka_unit_test(steps_are_oldest_first),
        cmocka_unit_test(absent_steps_shorten_a_history),
        cmocka_unit_test(files_without_a_header),
        cmocka_unit_test(faults_name_line_and_column_but_no_value),
        cmocka_unit_test(label_and_split_only_where_needed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
