/* What the data tests share: a folder of their own, files written from text, data sets read from text. */
#ifndef DATA_TEST_H
#define DATA_TEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "data/dataset.h"

static char folder[] = "/tmp/sealgrad_data_XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char *command = sg_format("rm -rf %s", folder);
    int rc = system(command);
    free(command);
    return rc;
}

static inline char *write_text(const char *name, const char *text)
{
    char *path = sg_format("%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    return path;
}

static inline struct sg_schema *parse_schema(const char *text)
{
    struct sg_schema *schema;
    if (sg_schema_parse("schema.yaml", text, strlen(text), &schema) != SG_OK)
        fail_msg("%s", sg_error_text());
    return schema;
}

static const uint8_t test_key[32] = "a key of thirty-two bytes ......";

static inline struct sg_dataset_options all_options(void)
{
    return (struct sg_dataset_options){
        .dataset_key = test_key, .keep_ids = true, .need_label = true, .need_split = true};
}

/* Writes `csv` to data.csv and reads it. */
static inline enum sg_status read_csv(const struct sg_schema *schema, const char *csv,
                                      const struct sg_dataset_options *options, struct sg_dataset **out)
{
    char *path = write_text("data.csv", csv);
    enum sg_status status = sg_dataset_read(path, schema, options, out);
    assert_true((status == SG_OK) == (*out != NULL));
    free(path);
    return status;
}

static inline struct sg_dataset *must_read(const struct sg_schema *schema, const char *csv)
{
    struct sg_dataset_options options = all_options();
    struct sg_dataset *dataset;
    if (read_csv(schema, csv, &options, &dataset) != SG_OK)
        fail_msg("%s", sg_error_text());
    return dataset;
}

/* The unit of that id, or -1. */
static inline int64_t find_id(const struct sg_dataset *d, const char *id)
{
    for (int64_t i = 0; i < d->n_units; i++)
        if (strcmp(d->id[i], id) == 0)
            return i;
    return -1;
}

#endif
