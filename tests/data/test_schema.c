/* Would catch: a schema with a mistake that is accepted or explained at the wrong place; floats in another order or
 * under another name than documented; a draft that leaks values of the rows. */
#include "data_test.h"

#define HEAD "layout: wide\nunit: row\ncolumns:\n"
#define LONG                                                                                                           \
    "layout: long\nunit: ID\nrows_per_unit_max: 3\ncolumns:\n  - {name: ID, role: id}\n  - {name: T, role: time}\n"
#define AGE "  - {name: AGE, role: feature, type: number, bounds: [18, 100]}\n"
#define SEX "  - {name: SEX, role: feature, type: category, categories: [F, M]}\n"
#define STEPS HEAD AGE "steps:\n"

static void mistakes_are_refused_with_place_and_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *place, *want;
    } cases[] = {
        {"", "1:1", "empty"},
        {"layout: wide\n", "1:1", "needs the key \"unit\""},
        {"unit: row\ncolumns:\n" AGE, "1:1", "needs the key \"layout\""},
        {"layout: tall\nunit: row\ncolumns:\n" AGE, "1:9", "layout must be wide or long"},
        {"layout: wide\nunit: row\ncolums:\n" AGE, "3:1", "did you mean \"columns\"?"},
        {HEAD "  []\n", "4:3", "columns must be a list of columns"},
        {HEAD "  - {name: A, role: feature}\n", "4:5", "column A: a feature needs type: number or type: category"},
        {HEAD "  - {name: A, role: feature, type: number}\n", "4:5",
         "a number needs bounds: [lowest, highest]; take them from public"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: []}\n", "4:52", "bounds must be two numbers"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [1, 1]}\n", "4:52",
         "the lowest must be below the highest"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [1, 1e99]}\n", "4:56",
         "bounds must be a number from"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 1], categories: [x]}\n", "4:5",
         "belong to type: category"},
        {HEAD "  - {name: A, role: feature, type: category}\n", "4:5", "a category needs categories: [...]"},
        {HEAD "  - {name: A, role: feature, type: category, categories: []}\n", "4:58", "categories is empty"},
        {HEAD "  - {name: A, role: feature, type: category, categories: [x, x]}\n", "4:62", "\"x\" is listed twice"},
        {HEAD "  - {name: A, role: feature, type: category, categories: [x], bounds: [0, 1]}\n", "4:5",
         "bounds belong to type: number"},
        {HEAD "  - {name: A, role: fature, type: number, bounds: [0, 1]}\n", "4:21", "did you mean \"feature\"?"},
        {HEAD AGE AGE, "5:5", "column AGE is declared twice"},
        {HEAD "  - {role: ignore}\n", "4:5", "either name: or names: [...]"},
        {HEAD "  - {names: [A, B], role: id}\n", "4:5", "this role belongs to one column"},
        {HEAD AGE "  - {name: A, role: id}\n  - {name: B, role: id}\n", "6:5", "a second column with role id"},
        {HEAD AGE "  - {name: A, role: id, bounds: [0, 1]}\n", "5:5", "belong to features"},
        {HEAD AGE "  - {name: A, role: label, positive: [1]}\n", "5:5",
         "a label needs positive: [...] and negative: [...]"},
        {HEAD AGE "  - {name: A, role: label, positive: [1], negative: [0, 1]}\n", "5:53",
         "negative: \"1\" is also positive"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: cube}\n", "4:68",
         "unknown encoding; known are linear"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: log}\n", "4:68",
         "log needs a lower bound above 0"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: {as: linear, unit: 3}}\n", "4:68",
         "\"unit\" does not belong to the encoding linear"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: {as: linear, from: [3, 3]}}\n",
         "4:68", "from must be [lower, higher]"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: {as: one_hot, values: [10]}}\n",
         "4:91", "outside the bounds of the column"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: one_hot}\n", "4:68",
         "needs \"values\""},
        {HEAD
         "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: {as: at_least, thresholds: [2, 2]}}\n",
         "4:99", "a number is listed twice"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: {as: ratio, from: [0, 1]}}\n", "4:68",
         "ratio needs \"over\""},
        {HEAD
         "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: {as: ratio, over: B, from: [0, 1]}}\n",
         "4:68", "over: B is not a feature"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: {as: ratio, over: B, from: [0, 1]}}\n"
              "  - {name: B, role: feature, type: number, bounds: [0, 9]}\n",
         "4:68", "lower bound is above 0, or give over_min"},
        {HEAD "  - {name: S, role: feature, type: category, categories: [F], encode: linear}\n", "4:71",
         "only be encoded as one_hot"},
        {HEAD "  - {name: S, role: feature, type: category, categories: [F], encode: {as: one_hot, values: [M]}}\n",
         "4:93", "\"M\" is not one of the categories"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], if_missing: none}\n", "4:72",
         "if_missing must be error, zero"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], if_missing: 10}\n", "4:72",
         "outside the bounds"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], missing_flag: true}\n", "4:5",
         "only with if_missing"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], static: last}\n", "4:5",
         "belongs to features of layout: long"},
        {"layout: wide\nunit: A\ncolumns:\n" AGE, "2:7", "unit must be row, or the name of the column with role: id"},
        {"layout: long\nunit: row\nrows_per_unit_max: 2\ncolumns:\n" AGE "  - {name: T, role: time}\n", "2:7",
         "in layout: long the unit is a customer"},
        {"layout: long\nunit: ID\ncolumns:\n  - {name: ID, role: id}\n  - {name: T, role: time}\n" AGE, "1:1",
         "needs rows_per_unit_max"},
        {"layout: long\nunit: ID\nrows_per_unit_max: 2\ncolumns:\n  - {name: ID, role: id}\n" AGE, "1:1",
         "needs a column with role: time"},
        {"layout: long\nunit: ID\nrows_per_unit_max: 0\ncolumns:\n" AGE, "3:20",
         "rows_per_unit_max must be an integer from 1"},
        {LONG "  - {name: A, role: feature, type: number, bounds: [0, 9], static: last}\n", "5:3",
         "no feature that belongs to a time step"},
        {LONG AGE "steps:\n  - {name: P, columns: [A]}\n", "9:3", "steps belongs to layout: wide"},
        {"absent_steps: drop\n" HEAD AGE, "1:15", "absent_steps belongs to a wide file with steps"},
        {"rows_per_unit_max: 3\n" HEAD AGE, "1:1", "belong to layout: long"},
        {STEPS "  - {name: P, columns: [], type: number, bounds: [0, 1]}\n", "6:24", "oldest first"},
        {STEPS "  - {columns: [A], type: number, bounds: [0, 1]}\n", "6:5", "a step feature needs a name"},
        {STEPS "  - {name: P, columns: [A, B], type: number, bounds: [0, 1]}\n  - {name: Q, columns: [C], type: "
               "number, bounds: [0, 1]}\n",
         "7:24", "1 columns here but 2"},
        {STEPS "  - {name: P, columns: [AGE], type: number, bounds: [0, 1]}\n", "6:25", "column AGE is declared twice"},
        {STEPS "  - {name: AGE, columns: [B], type: number, bounds: [0, 1]}\n", "6:5", "the name is taken"},
        {HEAD "  - {name: A, role: feature, type: number, bounds: [0, 9], encode: {as: ratio, over: P, from: [0, "
              "1]}}\nsteps:\n"
              "  - {name: P, columns: [B], type: number, bounds: [1, 2]}\n",
         "4:68", "P changes from step to step but A does not"},
        {"header: false\n" STEPS "  - {name: P, columns: [A], type: number, bounds: [0, 1]}\n", "1:1",
         "needs column_order"},
        {"header: false\ncolumn_order: [AGE, AGE]\n" HEAD AGE SEX, "2:21", "AGE is listed twice"},
        {"header: false\nother_columns: ignore\n" HEAD AGE, "1:1", "needs a header"},
        {"separator: ab\n" HEAD AGE, "1:1", "separator must be one character"},
        {HEAD AGE "split: {seed: 1}\n", "5:8", "split needs fractions:, or file:, or a column"},
        {HEAD AGE "split: {fractions: {train: 0.5, test: 0.4}, seed: 1}\n", "5:20", "fractions must add up to 1"},
        {HEAD AGE "split: {fractions: {train: 0.5, tset: 0.5}, seed: 1}\n", "5:39", "unknown part \"tset\""},
        {HEAD AGE "split: {fractions: {train: 0.5, test: 0.5}}\n", "5:8", "needs a public seed:"},
        {HEAD AGE "split: {file: s.csv, column: c}\n", "5:8", "needs key:"},
        {HEAD AGE "split: {file: s.csv, key: K, column: c}\n", "5:8", "needs a column with role: id"},
        {LONG AGE "split: {file: s.csv, key: row_number, column: c}\n", "8:8", "one row per unit"},
        {HEAD AGE "  - {name: P, role: split}\nsplit: {column: P, train: [a], test: [a]}\n", "6:8",
         "\"a\" means both train and test"},
        {HEAD AGE "  - {name: P, role: split}\nsplit: {column: P, validation_fraction: 0.1}\n", "6:8",
         "needs a public seed:"},
        {HEAD AGE "  - {name: X, role: feature, type: number, bounds: [0, 1], bounds: [0, 2]}\n", "5:60",
         "appears twice"},
    };
    int n_wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_schema *schema;
        sg_error_clear();
        enum sg_status status = sg_schema_parse("s.yaml", cases[i].yaml, strlen(cases[i].yaml), &schema);
        if (status != SG_USAGE)
            fail_msg("case %zu was accepted:\n%s", i, cases[i].yaml);
        assert_null(schema);
        char *place = sg_format("s.yaml:%s: ", cases[i].place);
        if (strncmp(sg_error_text(), place, strlen(place)) != 0 || !strstr(sg_error_text(), cases[i].want)) {
            print_error("case %zu: got  %s\nwant %s... %s\n", i, sg_error_text(), place, cases[i].want);
            n_wrong++;
        }
        free(place);
    }
    assert_int_equal(n_wrong, 0);
}

static void floats_have_names_in_order(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema(
        "layout: wide\nunit: ID\ncolumns:\n  - {name: ID, role: id}\n"
        "  - {name: LIMIT, role: feature, type: number, bounds: [10, 1000], encode: [log, {as: linear, from: [10, "
        "500]}]}\n"
        "  - {name: SEX, role: feature, type: category, categories: [M, F, D], encode: {as: one_hot, values: [F, M]},\n"
        "     if_missing: zero, missing_flag: true, if_unknown: other}\n"
        "  - {name: KEPT, role: feature, type: number, bounds: [0, 1], encode: []}\n"
        "steps:\n"
        "  - {name: PAY, columns: [P1, P0], type: number, bounds: [-2, 9],\n"
        "     encode: [linear, {as: one_hot, values: [-1, 0]}, {as: at_least, thresholds: [1, 2.5]}]}\n"
        "  - {name: BILL, columns: [B1, B0], type: number, bounds: [-5, 5],\n"
        "     encode: [{as: ratio, over: LIMIT, from: [-0.5, 1.5]}, {as: signed_log, unit: 1000, divide: 3}]}\n");
    static const char *const want[] = {"PAY",
                                       "PAY[=-1]",
                                       "PAY[=0]",
                                       "PAY[>=1]",
                                       "PAY[>=2.5]",
                                       "BILL[/LIMIT in -0.5..1.5]",
                                       "BILL[signed log]",
                                       "LIMIT[log]",
                                       "LIMIT[clipped in 10..500]",
                                       "SEX[=F]",
                                       "SEX[=M]",
                                       "SEX[other]",
                                       "SEX[missing]"};
    assert_int_equal(sg_schema_n_features(schema), 7);
    assert_int_equal(sg_schema_n_static(schema), 6);
    assert_int_equal(sg_schema_steps_max(schema), 2);
    assert_string_equal(sg_schema_unit(schema), "ID");
    for (int i = 0; i < 13; i++)
        assert_string_equal(sg_schema_float_name(schema, i), want[i]);
    assert_string_equal(sg_schema_float_name(schema, 13), "");
    sg_schema_close(&schema);
    assert_null(schema);
    sg_schema_close(&schema);
}

static void a_flat_table_is_one_time_step(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema(HEAD AGE SEX);
    assert_int_equal(sg_schema_n_features(schema), 3);
    assert_int_equal(sg_schema_n_static(schema), 0);
    assert_int_equal(sg_schema_steps_max(schema), 1);
    sg_schema_close(&schema);
}

static void the_digest_is_of_the_bytes(void **state)
{
    (void)state;
    uint8_t want[32];
    static const char text[] = HEAD AGE;
    char *path = write_text("schema.yaml", text);
    struct sg_schema *schema;
    assert_int_equal(sg_schema_read(path, &schema), SG_OK);
    sg_sha256(text, sizeof text - 1, want);
    assert_memory_equal(sg_schema_digest(schema), want, 32);
    assert_int_equal(sg_schema_bytes(schema)->len, sizeof text - 1);
    assert_memory_equal(sg_schema_bytes(schema)->data, text, sizeof text - 1);
    sg_schema_close(&schema);
    free(path);
    assert_int_equal(sg_schema_read("/nonexistent.yaml", &schema), SG_USAGE);
    assert_null(schema);
}

/* Names and types only: no value, bound or category of a row, and not usable before a person has filled it. */
static void a_draft_holds_nothing_of_the_rows(void **state)
{
    (void)state;
    char *path =
        write_text("draft.csv", "ID;\"AG\"\"E\";SEX;NOTE;EMPTY\n1;4711;female;?;\n2;?;secret;12.5;\n3;NA;female;;\n");
    struct sg_buffer draft;
    assert_int_equal(sg_schema_draft(path, ';', &draft), SG_OK);
    assert_non_null(strstr(draft.data, "separator: \";\"\n"));
    assert_non_null(strstr(draft.data, "  - {name: \"AG\\\"E\", role: feature, type: number, bounds: []}\n"));
    assert_non_null(strstr(draft.data, "  - {name: \"SEX\", role: feature, type: category, categories: []}\n"));
    assert_non_null(strstr(draft.data, "  - {name: \"NOTE\", role: feature, type: number, bounds: []}\n"));
    assert_non_null(strstr(draft.data, "  - {name: \"EMPTY\", role: feature, type: category, categories: []}\n"));
    static const char *const values[] = {"4711", "female", "secret", "12.5"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_null(strstr(draft.data, values[i]));
    struct sg_schema *schema;
    assert_int_equal(sg_schema_parse("draft.yaml", draft.data, draft.len, &schema), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "bounds must be two numbers"));
    sg_buffer_free(&draft);
    free(path);
    path = write_text("empty.csv", "");
    assert_int_equal(sg_schema_draft(path, ',', &draft), SG_USAGE);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_refused_with_place_and_remedy),
        cmocka_unit_test(floats_have_names_in_order),
        cmocka_unit_test(a_flat_table_is_one_time_step),
        cmocka_unit_test(the_digest_is_of_the_bytes),
        cmocka_unit_test(a_draft_holds_nothing_of_the_rows),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
