/* Would catch: a unit whose id digest or split moves when another unit leaves or the file is reordered; a customer in
 * two parts; duplicate ids let through; a commitment that misses a changed byte of a record, its order, the schema or
 * the split file, or that depends on quoting; registration (check_only) and training that disagree. */
#include "base/merkle.h"
#include "data_test.h"

#define COLUMNS "  - {name: ID, role: id}\n  - {name: A, role: feature, type: number, bounds: [0, 1000]}\n"
#define BY_ID "layout: wide\nunit: ID\ncolumns:\n" COLUMNS "  - {name: Y, role: label, positive: [1], negative: [0]}\n"
#define FRACTIONS "split: {fractions: {train: 0.6, validation: 0.1, test: 0.3}, seed: 5}\n"

enum { N = 2000 };

/* N units; `leave_out` < 0 keeps all; reversed from last to first. */
static char *make_csv(int leave_out, bool reversed, const char *header, const char *format)
{
    struct sg_buffer text = {0};
    sg_buffer_text(&text, header);
    for (int k = 0; k < N; k++) {
        int i = reversed ? N - 1 - k : k;
        if (i != leave_out)
            sg_buffer_printf(&text, format, i, i % 7, i % 2);
    }
    return text.data;
}

static void check_same_unit(const struct sg_dataset *a, int64_t i, const struct sg_dataset *b, int64_t k)
{
    assert_true(i >= 0 && k >= 0);
    assert_memory_equal(a->digest[i], b->digest[k], SG_UNIT_DIGEST_BYTES);
    assert_int_equal(a->split[i], b->split[k]);
    assert_memory_equal(a->x + a->offset[i] * a->n_features, b->x + b->offset[k] * b->n_features,
                        (size_t)((a->offset[i + 1] - a->offset[i]) * a->n_features) * sizeof(float));
}

static void nobody_moves_when_one_leaves(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *header, *format;
    } kinds[] = {
        {BY_ID FRACTIONS, "ID,A,Y\n", "c%d,%d,%d\n"},
        {"layout: wide\nunit: row\nother_columns: ignore\ncolumns:\n  - {name: A, role: feature, type: number, bounds: "
         "[0, 1000]}\n"
         "  - {name: Y, role: label, positive: [1], negative: [0]}\n" FRACTIONS,
         "note,A,Y\n", "n%d,%d,%d\n"},
        {BY_ID "  - {name: P, role: split}\nsplit: {train: [tr], test: [te], validation_fraction: 0.2, seed: 9}\n",
         "ID,A,Y,P\n", "c%d,%d,%d,tr\n"},
    };
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        struct sg_schema *schema = parse_schema(kinds[kind].yaml);
        char *csv = make_csv(-1, false, kinds[kind].header, kinds[kind].format);
        struct sg_dataset *all = must_read(schema, csv);
        free(csv);
        assert_int_equal(all->n_units, N);
        for (int variant = 0; variant < 4; variant++) {
            static const int gone[] = {0, 777, N - 1, -1};
            csv = make_csv(gone[variant], variant == 3, kinds[kind].header, kinds[kind].format);
            struct sg_dataset *rest = must_read(schema, csv);
            free(csv);
            assert_int_equal(rest->n_units, variant == 3 ? N : N - 1);
            for (int64_t i = 0; i < rest->n_units; i++)
                check_same_unit(rest, i, all, find_id(all, rest->id[i]));
            sg_dataset_close(&rest);
        }
        sg_dataset_close(&all);
        sg_schema_close(&schema);
    }
}

/* Without an id column equal rows are numbered among themselves: taking one away takes one id away. */
static void equal_rows_are_told_apart(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema("layout: wide\nunit: row\ncolumns:\n"
                                            "  - {name: A, role: feature, type: number, bounds: [0, 1000]}\n"
                                            "  - {name: Y, role: label, positive: [1], negative: [0]}\n" FRACTIONS);
    struct sg_dataset *all = must_read(schema, "A,Y\n1,0\n1,0\n2,1\n1,0\n\"1\",0\n");
    struct sg_dataset *rest = must_read(schema, "A,Y\n2,1\n1,0\n1,0\n1,0\n");
    assert_int_equal(all->n_units, 5);
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < i; k++)
            assert_memory_not_equal(all->digest[i], all->digest[k], SG_UNIT_DIGEST_BYTES);
    int gone = 0;
    for (int i = 0; i < 5; i++)
        gone += find_id(rest, all->id[i]) < 0;
    assert_int_equal(gone, 1);
    uint8_t digest[32];
    sg_sha256(all->id[0], strlen(all->id[0]), digest);
    assert_memory_equal(all->digest[0], digest, SG_UNIT_DIGEST_BYTES);
    sg_dataset_close(&all);
    sg_dataset_close(&rest);
    sg_schema_close(&schema);
}

static void fractions_are_met(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema(BY_ID FRACTIONS);
    char *csv = make_csv(-1, false, "ID,A,Y\n", "c%d,%d,%d\n");
    struct sg_dataset *d = must_read(schema, csv);
    static const double fraction[3] = {.6, .1, .3};
    for (int i = 0; i < 3; i++) { /* six standard deviations */
        double mean = N * fraction[i], off = (double)d->n_split[i] - mean;
        assert_true(off * off < 36 * mean * (1 - fraction[i]));
        int64_t n = 0;
        for (int64_t u = 0; u < N; u++)
            n += d->split[u] == i;
        assert_int_equal(n, d->n_split[i]);
    }
    sg_schema_close(&schema);
    struct sg_schema *other =
        parse_schema(BY_ID "split: {fractions: {train: 0.6, validation: 0.1, test: 0.3}, seed: 6}\n");
    struct sg_dataset *e = must_read(other, csv);
    int64_t n_moved = 0;
    for (int64_t u = 0; u < N; u++)
        n_moved += d->split[u] != e->split[u];
    assert_true(n_moved > N * .4 && n_moved < N * .68); /* 1 - .36 - .01 - .09 = .54 for independent draws */
    sg_dataset_close(&d);
    sg_dataset_close(&e);
    sg_schema_close(&other);
    free(csv);
}

static void splits_by_file(void **state)
{
    (void)state;
    struct sg_schema *schema =
        parse_schema(BY_ID "split: {file: parts.csv, separator: \";\", key: who, column: part}\n");
    struct sg_dataset_options options = all_options();
    struct sg_dataset *d;
    free(write_text("parts.csv", "part;who\ntrain;b\ntest;a\nvalidation;c\n"));
    d = must_read(schema, "ID,A,Y\na,1,0\nb,2,1\nc,3,1\n");
    static const uint8_t want[] = {SG_SPLIT_TEST, SG_SPLIT_TRAIN, SG_SPLIT_VALIDATION};
    assert_memory_equal(d->split, want, 3);
    sg_dataset_close(&d);
    static const struct {
        const char *parts, *want;
    } faults[] = {
        {"part;who\ntrain;b\n", "data.csv:2: column ID: the split file has no line for this unit"},
        {"part;who\ntrain;a\nx;b\n", "parts.csv:3: column part: not one of the values"},
        {"part;who\ntrain;a\ntest;a\n", "parts.csv:3: a second line for the same unit"},
        {"part;id\ntrain;a\n", "parts.csv:1: column who: not in the header of the split file"},
        {"part;who\ntrain\n", "parts.csv:2: 1 fields where the header has 2"},
        {"", "parts.csv: the split file is empty"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        free(write_text("parts.csv", faults[i].parts));
        assert_int_equal(read_csv(schema, "ID,A,Y\na,1,0\n", &options, &d), SG_USAGE);
        if (!strstr(sg_error_text(), faults[i].want))
            fail_msg("%s; want %s", sg_error_text(), faults[i].want);
    }
    sg_schema_close(&schema);
    schema = parse_schema(BY_ID "split: {file: nowhere.csv, key: who, column: part}\n");
    assert_int_equal(read_csv(schema, "ID,A,Y\na,1,0\n", &options, &d), SG_USAGE);
    assert_non_null(
        strstr(sg_error_text(), "nowhere.csv: the split file named in schema.yaml is neither beside the data nor"));
    sg_schema_close(&schema);
    schema = parse_schema(BY_ID "split: {file: parts.csv, key: row_number, column: part}\n");
    free(write_text("parts.csv", "row,part\n3,train\n1,test\n"));
    assert_int_equal(read_csv(schema, "ID,A,Y\na,1,0\nb,1,0\nc,1,0\n", &options, &d), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "data.csv:3: column ID: the split file has no line for this unit"));
    free(write_text("parts.csv", "row,part\n3,train\n1,test\n2,validation\n"));
    d = must_read(schema, "ID,A,Y\na,1,0\nb,1,0\nc,1,0\n");
    assert_memory_equal(d->split, ((uint8_t[]){SG_SPLIT_TEST, SG_SPLIT_VALIDATION, SG_SPLIT_TRAIN}), 3);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
}

/* ---- the commitment ---- */

static void commit(const char *yaml, const char *csv, const uint8_t *key, uint8_t out[32])
{
    struct sg_schema *schema = parse_schema(yaml);
    struct sg_dataset_options options = all_options();
    options.dataset_key = key;
    uint8_t first[32];
    for (int check_only = 0; check_only < 2; check_only++) {
        struct sg_dataset *d;
        options.check_only = check_only;
        if (read_csv(schema, csv, &options, &d) != SG_OK)
            fail_msg("%s", sg_error_text());
        if (check_only) /* registration and training must agree */
            assert_memory_equal(first, d->commitment, 32);
        memcpy(first, d->commitment, 32);
        sg_dataset_close(&d);
    }
    memcpy(out, first, 32);
    sg_schema_close(&schema);
}

static void commitments_bind_everything(void **state)
{
    (void)state;
    static const char schema[] = BY_ID "split: {file: parts.csv, key: who, column: part}\n";
    uint8_t base[32], other[32], zero[32] = {0}, key[32] = {1};
    free(write_text("parts.csv", "who,part\na,train\nb,train\n"));
    commit(schema, "ID,A,Y\na,1,0\nb,2,1\n", test_key, base);
    assert_memory_not_equal(base, zero, 32);
    commit(schema, "\xef\xbb\xbf\"ID\",A,Y\r\na,\"1\",0\r\n\r\nb, 2 ,1", test_key,
           other); /* the same records, other bytes */
    assert_memory_equal(base, other, 32);
    static const char *const changed[] = {
        "ID,A,Y\na,1,0\nb,3,1\n", "ID,A,Y\na,1,0\nb,2.0,1\n", "ID,A,Y\nb,2,1\na,1,0\n",
        "ID,Y,A\na,0,1\nb,1,2\n", "ID,A,Y\na,1,1\nb,2,1\n",   "ID,A,Y\na,1,0\n",
    };
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        commit(schema, changed[i], test_key, other);
        assert_memory_not_equal(base, other, 32);
    }
    commit(schema, "ID,A,Y\na,1,0\nb,2,1\n", key, other);
    assert_memory_not_equal(base, other, 32);
    commit(BY_ID "split: {file: parts.csv, key: who, column: part} \n", "ID,A,Y\na,1,0\nb,2,1\n", test_key, other);
    assert_memory_not_equal(base, other, 32);
    free(write_text("parts.csv", "who,part\na,train\nb,test\n"));
    commit(schema, "ID,A,Y\na,1,0\nb,2,1\n", test_key, other);
    assert_memory_not_equal(base, other, 32);
    commit(schema, "ID,A,Y\na,1,0\nb,2,1\n", NULL, other);
    assert_memory_equal(other, zero, 32);
}

/* Fields that run into one another: ("ab", "c") is not ("a", "bc"). */
static void commitments_see_field_borders(void **state)
{
    (void)state;
    static const char schema[] =
        "layout: wide\nunit: row\ncolumns:\n  - {name: A, role: feature, type: number, bounds: [0, 1000]}\n"
        "  - {name: B, role: feature, type: number, bounds: [0, 1000]}\n"
        "  - {name: Y, role: label, positive: [1], negative: [0]}\n" FRACTIONS;
    uint8_t a[32], b[32];
    commit(schema, "A,B,Y\n12,3,0\n", test_key, a);
    commit(schema, "A,B,Y\n1,23,0\n", test_key, b);
    assert_memory_not_equal(a, b, 32);
}

/* Golden value: tests/data/commitment_golden.py, which follows the definition with nothing but Python's standard
 * library. */
static void the_commitment_is_what_its_definition_says(void **state)
{
    (void)state;
    static const char golden[] = "99c543c6cec18dd8f68c4be24c6e0a2d3b56831267ea53aa57ee88f2f9ef8cfd";
    struct sg_buffer csv = {0};
    uint8_t got[32];
    char hex[65];
    sg_buffer_text(&csv, "ID,A,Y\n");
    for (int i = 0; i < 299; i++)
        sg_buffer_printf(&csv, "c%d,%d,%d\n", i, i % 7, i % 2);
    commit(BY_ID FRACTIONS, csv.data, test_key, got);
    sg_hex_encode(got, 32, hex);
    assert_string_equal(hex, golden);
    sg_buffer_free(&csv);
}

static void the_plain_digest_is_of_the_bytes(void **state)
{
    (void)state;
    static const char csv[] = "\xef\xbb\xbfID,A,Y\r\na,1,0\r\n";
    struct sg_schema *schema = parse_schema(BY_ID FRACTIONS);
    struct sg_dataset *d = must_read(schema, csv);
    uint8_t want[32];
    sg_sha256(csv, sizeof csv - 1, want);
    assert_memory_equal(d->plain_sha256, want, 32);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
}

static void registration_keeps_no_rows(void **state)
{
    (void)state;
    struct sg_schema *schema = parse_schema(BY_ID FRACTIONS);
    struct sg_dataset_options options = all_options();
    struct sg_dataset *d, *full;
    char *csv = make_csv(-1, false, "ID,A,Y\n", "c%d,%d,%d\n");
    options.check_only = true;
    assert_int_equal(read_csv(schema, csv, &options, &d), SG_OK);
    full = must_read(schema, csv);
    assert_null(d->x);
    assert_null(d->statics);
    assert_null(d->label);
    assert_null(d->id);
    assert_int_equal(d->n_units, full->n_units);
    assert_int_equal(d->n_rows, full->n_rows);
    assert_int_equal(d->n_clipped, full->n_clipped);
    assert_memory_equal(d->n_split, full->n_split, sizeof d->n_split);
    assert_memory_equal(d->digest, full->digest, N * SG_UNIT_DIGEST_BYTES);
    sg_dataset_close(&d);
    sg_dataset_close(&full);
    sg_schema_close(&schema);
    free(csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_moves_when_one_leaves),
        cmocka_unit_test(equal_rows_are_told_apart),
        cmocka_unit_test(fractions_are_met),
        cmocka_unit_test(splits_by_file),
        cmocka_unit_test(commitments_bind_everything),
        cmocka_unit_test(commitments_see_field_borders),
        cmocka_unit_test(the_commitment_is_what_its_definition_says),
        cmocka_unit_test(the_plain_digest_is_of_the_bytes),
        cmocka_unit_test(registration_keeps_no_rows),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
