#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "base/bytes.h"
#include "base/file.h"
#include "commands.h"
#include "data/dataset.h"
#include "metrics/metrics.h"
#include "options.h"
#include "print_rows.h"
#include "report.h"
#include "run/evaluate.h"
#include "run/model_folder.h"

struct flags {
    const char *data, *out, *split, *backend;
    int64_t workers;
    bool json, quiet;
};

/* A model and the units of a file that were asked for. */
struct scoring {
    struct sg_model_folder model;
    struct sg_dataset *data;
    int32_t *unit;
    int64_t n;
    float *probability;
};

static enum sg_status choose_units(const struct flags *flags, struct scoring *s)
{
    for (int split = 0; flags->split && split < SG_N_SPLITS; split++)
        if (strcmp(flags->split, sg_split_name((enum sg_split)split)) == 0) {
            s->unit = sg_units_of_split(s->data, (enum sg_split)split, &s->n);
            return SG_OK;
        }
    if (flags->split)
        return sg_fail(SG_USAGE, "--split is train, validation or test, not \"%s\"", flags->split);
    s->unit = sg_alloc((size_t)s->data->n_units, sizeof *s->unit);
    for (; s->n < s->data->n_units; s->n++)
        s->unit[s->n] = (int32_t)s->n;
    return SG_OK;
}

static enum sg_status open_scoring(const char *folder, const struct flags *flags, bool need_label, struct scoring *s)
{
    *s = (struct scoring){0};
    const struct sg_ops *ops;
    SG_TRY(sg_backend_choose(flags->backend, &ops));
    SG_TRY(sg_model_folder_read(folder, ops, 0, &s->model));
    const struct sg_dataset_options reading = {
        .keep_ids = true,
        .need_label = need_label,
        .need_split = flags->split != NULL,
        .progress = flags->quiet ? NULL : "reading",
    };
    SG_TRY(sg_dataset_read(flags->data, s->model.schema, &reading, &s->data));
    SG_TRY(choose_units(flags, s));
    s->probability = sg_alloc((size_t)s->n, sizeof(float));
    sg_predict(s->model.model, s->model.weights, s->data, s->unit, s->n, sg_workers_choose(flags->workers), s->probability);
    return SG_OK;
}

static void close_scoring(struct scoring *s)
{
    sg_model_folder_free(&s->model);
    sg_dataset_close(&s->data);
    free(s->unit);
    free(s->probability);
}

/* An id as a CSV field: quoted where it must be. */
static void write_id(FILE *stream, const char *id)
{
    if (!strpbrk(id, ",\"\r\n")) {
        fputs(id, stream);
        return;
    }
    putc('"', stream);
    for (const char *c = id; *c; c++) {
        if (*c == '"')
            putc('"', stream);
        putc(*c, stream);
    }
    putc('"', stream);
}

static enum sg_status write_scores(const char *path, const struct scoring *s)
{
    struct sg_file_writer writer;
    SG_TRY(sg_file_writer_open(path, 0600, &writer));
    fprintf(writer.stream, "id,score\n");
    for (int64_t i = 0; i < s->n; i++) {
        if (s->data->id)
            write_id(writer.stream, s->data->id[s->unit[i]]);
        else
            fprintf(writer.stream, "%lld", (long long)s->unit[i] + 1);
        fprintf(writer.stream, ",%.9g\n", (double)s->probability[i]);
    }
    return sg_file_writer_commit(&writer);
}

static void print_scored(const struct flags *flags, const struct scoring *s)
{
    json_t *object = json_pack("{s:I, s:s, s:s}", "scored", (json_int_t)s->n, "out", flags->out, "model_sha256", s->model.digest);
    sg_print_json(object);
    json_decref(object);
}

enum sg_status sg_cmd_score(int argc, char **argv)
{
    struct flags flags = {0};
    const struct sg_option options[] = {
        {"data", SG_OPTION_TEXT, &flags.data, "FILE", "the file to score", 0, 0, true},
        {"out", SG_OPTION_TEXT, &flags.out, "FILE", "CSV with id and score, the probability of label 1", 0, 0, true},
        {"split", SG_OPTION_TEXT, &flags.split, "NAME", "only this split of the file", 0, 0, false},
        {"workers", SG_OPTION_INT, &flags.workers, "N", "worker threads; changes no bit", 1, 1024, false},
        {"backend", SG_OPTION_TEXT, &flags.backend, "NAME", "cpu (default), cuda or reference", 0, 0, false},
        {"quiet", SG_OPTION_FLAG, &flags.quiet, NULL, "no progress", 0, 0, false},
        {"json", SG_OPTION_FLAG, &flags.json, NULL, "print one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {"score", "score a file with a trained model", options, sizeof options / sizeof *options,
                                         "MODEL", 1, 1, NULL};
    const char *folder;
    SG_TRY(sg_options_parse(&line, argc, argv, &folder, NULL));
    struct scoring s;
    enum sg_status status = open_scoring(folder, &flags, false, &s);
    if (status == SG_OK)
        status = write_scores(flags.out, &s);
    if (status == SG_OK && flags.json)
        print_scored(&flags, &s);
    else if (status == SG_OK)
        printf("%lld scores in %s\n", (long long)s.n, flags.out);
    close_scoring(&s);
    return status;
}

enum sg_status sg_cmd_evaluate(int argc, char **argv)
{
    struct flags flags = {0};
    const struct sg_option options[] = {
        {"data", SG_OPTION_TEXT, &flags.data, "FILE", "a labelled file", 0, 0, true},
        {"split", SG_OPTION_TEXT, &flags.split, "NAME", "only this split of the file", 0, 0, false},
        {"workers", SG_OPTION_INT, &flags.workers, "N", "worker threads; changes no bit", 1, 1024, false},
        {"backend", SG_OPTION_TEXT, &flags.backend, "NAME", "cpu (default), cuda or reference", 0, 0, false},
        {"quiet", SG_OPTION_FLAG, &flags.quiet, NULL, "no progress", 0, 0, false},
        {"json", SG_OPTION_FLAG, &flags.json, NULL, "print one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {"evaluate", "metrics of a trained model on a labelled file", options,
                                         sizeof options / sizeof *options, "MODEL", 1, 1, NULL};
    const char *folder;
    SG_TRY(sg_options_parse(&line, argc, argv, &folder, NULL));
    struct scoring s;
    enum sg_status status = open_scoring(folder, &flags, true, &s);
    if (status == SG_OK) {
        float *label = sg_alloc((size_t)s.n, sizeof *label);
        for (int64_t i = 0; i < s.n; i++)
            label[i] = s.data->label[s.unit[i]];
        struct sg_metrics metrics;
        sg_metrics_compute(s.n, s.probability, label, &metrics);
        free(label);
        json_t *figures = sg_metrics_to_json(&metrics);
        json_t *all = json_pack("{s:o}", flags.split ? flags.split : "test", json_incref(figures));
        if (flags.json) {
            json_object_set_new(figures, "model_sha256", json_string(s.model.digest));
            sg_print_json(figures);
        } else {
            sg_report_metrics(all);
        }
        json_decref(all);
        json_decref(figures);
    }
    close_scoring(&s);
    return status;
}
