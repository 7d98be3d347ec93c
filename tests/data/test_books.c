/* Would catch: the example schemas and the books they describe drifting apart; encoded numbers of the real book that
 * differ from arithmetic done here; a synthetic book that depends on its size, or whose stated limit is not the AUC of
 * the true probability. */
#include <errno.h>
#include <math.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/number.h"
#include "base/file.h"
#include "data_test.h"

static const char *source(void)
{
    const char *folder_text = getenv("SEALGRAD_SOURCE");
    return folder_text ? folder_text : ".";
}

/* A file of the shared data folder; skips the test, visibly, when it is not there. */
static char *shared_file(const char *name)
{
    const char *shared = getenv("SEALGRAD_SHARED");
    char *path = shared ? sg_format("%s/data/%s", shared, name) : sg_format("%s/../shared/data/%s", source(), name);
    if (!sg_file_exists(path)) {
        print_message("SKIPPED: no %s; set SEALGRAD_SHARED\n", path);
        free(path);
        skip();
    }
    return path;
}

static struct sg_schema *example_schema(const char *name)
{
    char *path = sg_format("%s/examples/credit_risk/%s", source(), name);
    struct sg_schema *schema;
    if (sg_schema_read(path, &schema) != SG_OK)
        fail_msg("%s", sg_error_text());
    free(path);
    return schema;
}

static struct sg_dataset *read_book(const char *path, const struct sg_schema *schema)
{
    struct sg_dataset_options options = all_options();
    struct sg_dataset *d;
    if (sg_dataset_read(path, schema, &options, &d) != SG_OK)
        fail_msg("%s", sg_error_text());
    return d;
}

static void check_near(float got, double want)
{
    if (fabs((double)got - want) > 1e-6)
        fail_msg("%.9g, want %.9g", (double)got, want);
}

static double signed_log(double v, double unit)
{
    return copysign(log1p(fabs(v) / unit), v) / 5;
}

/* The first two customers of the file, as printed in it. */
static void taiwan(void **state)
{
    (void)state;
    char *path = shared_file("taiwan-default/UCI_Credit_Card.csv");
    struct sg_schema *schema = example_schema("taiwan.yaml");
    struct sg_dataset *d = read_book(path, schema);
    static const double pay[2][6] = {{-2, -2, -1, -1, 2, 2}, {2, 0, 0, 0, 2, -1}}, limit[2] = {20000, 120000};
    static const double bill[2][6] = {{0, 0, 0, 689, 3102, 3913}, {3261, 3455, 3272, 2682, 1725, 2682}};
    static const double paid[2][6] = {{0, 0, 0, 0, 689, 0}, {2000, 0, 1000, 1000, 1000, 0}};
    static const double statics[2][7] = {{0, 1, 0, 1, 0, 1, -.8}, {0, 1, 0, 1, 0, 0, -.7}};
    assert_int_equal(d->n_units, 30000);
    assert_int_equal(d->n_rows, 180000);
    assert_int_equal(d->n_features, 11);
    assert_int_equal(d->n_static, 7);
    int32_t width[5], fewer[2]; /* LIMIT_BAL, SEX, EDUCATION, MARRIAGE, AGE */
    static const int32_t widths[] = {1, 1, 3, 1, 1};
    assert_int_equal(sg_schema_static_widths(schema, 2, fewer), 5);
    assert_int_equal(sg_schema_static_widths(schema, 5, width), 5);
    assert_memory_equal(width, widths, sizeof width);
    for (int u = 0; u < 2; u++) {
        for (int t = 0; t < 6; t++) {
            const float *x = d->x + (6 * u + t) * 11;
            double p = pay[u][t];
            const double want[11] = {fmin(fmax(p, 0), 4) / 2,
                                     p == -2,
                                     p == -1,
                                     p == 0,
                                     p >= 1,
                                     p >= 2,
                                     p >= 3,
                                     bill[u][t] / limit[u],
                                     signed_log(bill[u][t], 1000),
                                     fmin(paid[u][t] / limit[u], 1) * 2,
                                     signed_log(paid[u][t], 100)};
            for (int k = 0; k < 11; k++)
                check_near(x[k], want[k]);
        }
        for (int k = 1; k < 7; k++)
            check_near(d->statics[7 * u + k], statics[u][k]);
        check_near(d->statics[7 * u], log(limit[u] / 1e5));
        assert_true(d->label[u] == 1);
    }
    double positives = 0;
    for (int64_t u = 0; u < d->n_units; u++)
        positives += (double)d->label[u];
    assert_true(positives == 6636);
    assert_int_equal(d->n_split[SG_SPLIT_TEST], 6000);
    assert_int_equal(d->n_split[SG_SPLIT_TRAIN] + d->n_split[SG_SPLIT_VALIDATION], 24000);
    assert_true(d->n_split[SG_SPLIT_VALIDATION] > 2200 && d->n_split[SG_SPLIT_VALIDATION] < 2600);
    assert_int_equal(d->split[12], SG_SPLIT_TEST); /* ID 13 */
    assert_int_equal(d->n_clipped, 0);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
    free(path);
}

static void german(void **state)
{
    (void)state;
    char *path = shared_file("german-credit/german.data");
    struct sg_schema *schema = example_schema("german.yaml");
    struct sg_dataset *d = read_book(path, schema);
    assert_int_equal(d->n_units, 1000);
    assert_int_equal(d->n_static, 0);
    assert_int_equal(sg_schema_static_widths(schema, 0, NULL), 0);
    assert_int_equal(d->n_split[SG_SPLIT_TRAIN], 800);
    assert_int_equal(d->n_split[SG_SPLIT_TEST], 200);
    assert_int_equal(d->n_clipped, 0);
    double positives = 0;
    for (int64_t u = 0; u < 1000; u++)
        positives += (double)d->label[u];
    assert_true(positives == 300);
    check_near(d->x[0], 1);           /* first loan: A11 */
    check_near(d->x[4], 6. / 60 - 1); /* 6 months in [0, 120] */
    assert_int_equal(d->split[1], SG_SPLIT_TEST);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
    free(path);
}

/* ---- the synthetic book ---- */

static char *make_book(int customers, int months, int seed, const char *name)
{
    const char *program = getenv("SEALGRAD_MAKE_BOOK");
    if (!program || !*program)
        fail_msg("SEALGRAD_MAKE_BOOK is not set; run under meson test");
    char *path = sg_format("%s/%s", folder, name);
    char *command = sg_format("%s --customers %d --months %d --seed %d --out %s >%s/stdout 2>%s/stderr", program,
                              customers, months, seed, path, folder, folder);
    assert_int_equal(system(command), 0);
    free(command);
    return path;
}

static double truth(const char *path, const char *key)
{
    char *truth_path = sg_format("%s.truth.json", path);
    struct sg_buffer text;
    json_t *object;
    double value;
    assert_int_equal(sg_file_read(truth_path, "truth", 1 << 16, &text), SG_OK);
    assert_int_equal(sg_json_parse(text.data, text.len, "truth", SG_USAGE, &object), SG_OK);
    assert_int_equal(sg_json_double(object, key, "truth", SG_USAGE, &value), SG_OK);
    json_decref(object);
    sg_buffer_free(&text);
    free(truth_path);
    return value;
}

static void the_schema_reads_the_synthetic_book(void **state)
{
    (void)state;
    char *path = make_book(3000, 24, 11, "book.csv");
    struct sg_schema *schema = example_schema("book.yaml");
    struct sg_dataset *d = read_book(path, schema);
    double defaults = 0;
    for (int64_t u = 0; u < d->n_units; u++)
        defaults += (double)d->label[u];
    assert_int_equal(d->n_units, 3000);
    assert_true((double)d->n_rows == truth(path, "rows"));
    assert_true(truth(path, "features") > 200);
    assert_true(fabs(defaults / 3000 - truth(path, "default_rate")) < 1e-6);
    assert_true(defaults > 150 && defaults < 600);
    /* Bounds of the schema are those of the recipe: next to nothing is clipped. */
    assert_true(d->n_clipped < d->n_rows * d->n_features / 1000);
    sg_dataset_close(&d);
    sg_schema_close(&schema);
    free(path);
}

static void a_customer_is_the_same_in_any_book(void **state)
{
    (void)state;
    char *small = make_book(20, 6, 3, "small.csv"), *large = make_book(200, 6, 3, "large.csv"),
         *other = make_book(20, 6, 4, "other.csv");
    struct sg_buffer a, b, c;
    assert_int_equal(sg_file_read(small, "book", 1 << 24, &a), SG_OK);
    assert_int_equal(sg_file_read(large, "book", 1 << 24, &b), SG_OK);
    assert_int_equal(sg_file_read(other, "book", 1 << 24, &c), SG_OK);
    assert_true(b.len > 5 * a.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_true(a.len != c.len || memcmp(a.data, c.data, a.len) != 0);
    sg_buffer_free(&a);
    sg_buffer_free(&b);
    sg_buffer_free(&c);
    free(small);
    free(large);
    free(other);
}

/* ---- the stated limit: the true probability, once more, from the columns of the last rows ---- */

struct column_of {
    int late, late_max_6, utilisation_mean_6, utilisation_change_6, inquiries, income, utilisation_mean_3,
        payment_ratio_mean_3, label;
};

static int field_named(char **field, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(field[i], name) == 0)
            return i;
    fail_msg("no column %s", name);
    return -1;
}

static int cut(char *line, char **field, int max)
{
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *p = line; p && n < max; n++)
        field[n] = strsep(&p, ",");
    return n;
}

static double probability(char **f, const struct column_of *c, int relapses)
{
    double eta = -3.8 + .6 * fmin(atof(f[c->late]), 3) + .5 * (atof(f[c->late_max_6]) >= 2);
    eta += 1.2 * (atof(f[c->utilisation_mean_6]) - .5) + atof(f[c->utilisation_change_6]) +
           .2 * fmin(atof(f[c->inquiries]), 4);
    eta += *f[c->income] ? -.4 * log(atof(f[c->income]) / 3000) : .2;
    eta +=
        .7 * (atof(f[c->utilisation_mean_3]) > .8 && atof(f[c->payment_ratio_mean_3]) < .12) + .3 * fmin(relapses, 4);
    return 1 / (1 + exp(-eta));
}

struct person {
    double p;
    int label;
};

static int by_probability(const void *a, const void *b)
{
    double x = ((const struct person *)a)->p, y = ((const struct person *)b)->p;
    return x < y ? -1 : x > y;
}

/* Reads the book line by line; returns how many customers. */
static int read_people(const char *path, struct person *people)
{
    enum { FIELDS_MAX = 300 };
    FILE *file = fopen(path, "r");
    char *line = NULL, *field[FIELDS_MAX], id[32] = "";
    size_t capacity = 0;
    assert_non_null(file);
    assert_true(getline(&line, &capacity, file) > 0);
    int n_fields = cut(line, field, FIELDS_MAX), n = 0, relapses = 0, late_before = 0;
    struct column_of c = {
        field_named(field, n_fields, "months_late"),        field_named(field, n_fields, "months_late_max_6"),
        field_named(field, n_fields, "utilisation_mean_6"), field_named(field, n_fields, "utilisation_change_6"),
        field_named(field, n_fields, "card_inquiries_3m"),  field_named(field, n_fields, "income"),
        field_named(field, n_fields, "utilisation_mean_3"), field_named(field, n_fields, "payment_ratio_mean_3"),
        field_named(field, n_fields, "default_12m")};
    while (getline(&line, &capacity, file) > 0) {
        assert_int_equal(cut(line, field, FIELDS_MAX), n_fields);
        if (strcmp(id, field[0]) != 0) {
            snprintf(id, sizeof id, "%s", field[0]);
            n++;
            relapses = late_before = 0;
        }
        int late = atoi(field[c.late]);
        relapses += late > 0 && late_before == 0;
        late_before = late;
        people[n - 1] =
            (struct person){probability(field, &c, relapses), atoi(field[c.label])}; /* the last row stays */
    }
    free(line);
    fclose(file);
    return n;
}

static void the_limit_is_the_auc_of_the_true_probability(void **state)
{
    (void)state;
    enum { N = 2000 };
    char *path = make_book(N, 12, 5, "truth.csv");
    struct person *people = sg_alloc(N, sizeof *people);
    assert_int_equal(read_people(path, people), N);
    qsort(people, N, sizeof *people, by_probability);
    double good = 0, good_drawn = 0, pairs = 0, pairs_drawn = 0, bad = 0, bad_drawn = 0;
    for (int i = 0; i < N; i++) { /* ties have no weight here: the probabilities are all but continuous */
        pairs += people[i].p * (good + (1 - people[i].p) / 2);
        pairs_drawn += people[i].label * good_drawn;
        good += 1 - people[i].p;
        bad += people[i].p;
        good_drawn += 1 - people[i].label;
        bad_drawn += people[i].label;
    }
    assert_true(fabs(pairs / (good * bad) - truth(path, "auc_limit")) < 1e-4);
    assert_true(fabs(pairs_drawn / (good_drawn * bad_drawn) - truth(path, "auc_of_true_probability")) < 1e-3);
    assert_true(truth(path, "auc_limit") > .8 && truth(path, "auc_limit") < .9);
    double variance = 0; /* labels are drawn from p: the number of defaults is within 5 standard deviations */
    for (int i = 0; i < N; i++)
        variance += people[i].p * (1 - people[i].p);
    assert_true(fabs(bad - bad_drawn) < 5 * sqrt(variance));
    free(people);
    free(path);
}

static void bad_flags_are_refused(void **state)
{
    (void)state;
    static const char *const flags[] = {"",
                                        "--customers 5",
                                        "--out x",
                                        "--customers 0 --out x",
                                        "--customers 5 --months 0 --out x",
                                        "--customers 5x --out x",
                                        "--customers 5 --out",
                                        "--rows 5 --out x",
                                        "--customers 5 --out /nonexistent/x"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        char *command = sg_format("cd %s && %s %s >stdout 2>stderr", folder, getenv("SEALGRAD_MAKE_BOOK"), flags[i]);
        int rc = system(command);
        assert_true(WIFEXITED(rc));
        assert_int_equal(WEXITSTATUS(rc), i == 8 ? SG_FAILED : SG_USAGE);
        free(command);
    }
    char *path = sg_format("%s/x", folder);
    assert_false(sg_file_exists(path));
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taiwan),
        cmocka_unit_test(german),
        cmocka_unit_test(the_schema_reads_the_synthetic_book),
        cmocka_unit_test(a_customer_is_the_same_in_any_book),
        cmocka_unit_test(the_limit_is_the_auc_of_the_true_probability),
        cmocka_unit_test(bad_flags_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
