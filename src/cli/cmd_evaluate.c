#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "commands.h"
#include "metrics/metrics.h"
#include "options.h"
#include "print_rows.h"
#include "report.h"
#include "run/evaluate.h"
#include "scoring.h"

struct flags {
    struct sg_scoring_flags scoring;
    int64_t confusions;
    bool by_class, calibration, json;
};

/* One row a class: how many there are, how many are called so, and how right that is. */
static json_t *class_rows(const struct sg_scoring *s, const float *label)
{
    struct sg_class_metrics all;
    struct sg_class_figures *each = sg_alloc((size_t)s->n_outputs, sizeof *each);
    sg_metrics_classes(s->n, s->n_outputs, s->score, label, &all, each);
    json_t *rows = json_array();
    for (int64_t c = 0; c < s->n_outputs; c++)
        json_array_append_new(rows, json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "class",
                                              sg_schema_class_name(s->model.schema, c), "records",
                                              (json_int_t)each[c].n, "called", (json_int_t)each[c].n_predicted,
                                              "precision", sg_json_real(each[c].precision), "recall",
                                              sg_json_real(each[c].recall), "f1", sg_json_real(each[c].f1)));
    free(each);
    return rows;
}

/* The most frequent wrong answers; share: of the records of that class. */
static json_t *confusion_rows(const struct sg_scoring *s, const float *label, int64_t n_max)
{
    struct sg_confusion *wrong = sg_alloc((size_t)n_max, sizeof *wrong);
    int64_t n = sg_metrics_confusions(s->n, s->n_outputs, s->score, label, n_max, wrong);
    json_t *rows = json_array();
    for (int64_t i = 0; i < n; i++) {
        int64_t of_class = 0;
        for (int64_t u = 0; u < s->n; u++)
            of_class += (int64_t)label[u] == wrong[i].truth;
        json_array_append_new(
            rows, json_pack("{s:s, s:s, s:I, s:o}", "class", sg_schema_class_name(s->model.schema, wrong[i].truth),
                            "taken_for", sg_schema_class_name(s->model.schema, wrong[i].guess), "records",
                            (json_int_t)wrong[i].n, "share", sg_json_real((double)wrong[i].n / (double)of_class)));
    }
    free(wrong);
    return rows;
}

/* Whether probabilities are what they claim: of label 1, or of the class that is called. */
static json_t *calibration_rows(const struct sg_scoring *s, const float *label)
{
    bool has_classes = sg_model_spec_of(s->model.model)->objective == SG_CLASSES;
    struct sg_calibration_bin bin[SG_METRICS_CALIBRATION_BINS];
    float *probability = sg_alloc((size_t)s->n, sizeof *probability);
    float *came_true = sg_alloc((size_t)s->n, sizeof *came_true);
    for (int64_t i = 0; i < s->n; i++) {
        const float *score = s->score + i * s->n_outputs;
        int64_t best = has_classes ? sg_metrics_best_class(score, s->n_outputs) : 0;
        probability[i] = score[best];
        came_true[i] = has_classes ? (float)(best == (int64_t)label[i]) : label[i];
    }
    sg_metrics_calibration(s->n, probability, came_true, bin);
    json_t *rows = json_array();
    for (int i = 0; i < SG_METRICS_CALIBRATION_BINS; i++)
        json_array_append_new(rows, json_pack("{s:o, s:o, s:I, s:o, s:o}", "above", sg_json_real(i / 10.0), "up_to",
                                              sg_json_real((i + 1) / 10.0), "records", (json_int_t)bin[i].n,
                                              "mean_probability", sg_json_real(bin[i].probability), "came_true",
                                              sg_json_real(bin[i].rate)));
    free(probability);
    free(came_true);
    return rows;
}

/* Tables beside the figures, by the name that they have in JSON. */
static json_t *make_tables(const struct sg_scoring *s, const struct flags *flags, const float *label)
{
    json_t *tables = json_object();
    if (flags->by_class)
        json_object_set_new(tables, "classes", class_rows(s, label));
    if (flags->confusions)
        json_object_set_new(tables, "confusions", confusion_rows(s, label, flags->confusions));
    if (flags->calibration)
        json_object_set_new(tables, "calibration", calibration_rows(s, label));
    return tables;
}

static enum sg_status print_tables(json_t *tables)
{
    const char *name;
    json_t *rows;
    json_object_foreach(tables, name, rows)
    {
        printf("%s\n", name);
        SG_TRY(sg_print_rows(rows, "table", name));
        printf("\n");
    }
    return SG_OK;
}

static enum sg_status print_metrics(const struct sg_scoring *s, const struct flags *flags)
{
    float *label = sg_alloc((size_t)s->n, sizeof *label);
    for (int64_t i = 0; i < s->n; i++)
        label[i] = s->data->label[s->unit[i]];
    json_t *figures = sg_score_metrics(sg_model_spec_of(s->model.model), s->n, s->score, label);
    json_t *tables = make_tables(s, flags, label);
    json_t *all = json_pack("{s:O}", flags->scoring.split ? flags->scoring.split : "all", figures);
    free(label);
    enum sg_status status = SG_OK;
    if (flags->json) {
        json_object_set_new(figures, "records", json_integer(s->n));
        json_object_set_new(figures, "model_sha256", json_string(s->model.digest));
        json_object_update(figures, tables);
        sg_print_json(figures);
    } else {
        status = print_tables(tables);
        sg_report_metrics(all);
    }
    json_decref(tables);
    json_decref(all);
    json_decref(figures);
    return status;
}

/* What the tables need of the model. */
static enum sg_status check_tables(const struct sg_scoring *s, const struct flags *flags)
{
    int objective = sg_model_spec_of(s->model.model)->objective;
    if ((flags->by_class || flags->confusions) && objective != SG_CLASSES)
        return sg_fail(SG_USAGE, "%s: this model does not predict classes",
                       flags->by_class ? "--by-class" : "--confusions");
    if (flags->calibration && objective == SG_REGRESSION)
        return sg_fail(SG_USAGE, "--calibration: this model does not predict probabilities");
    return SG_OK;
}

enum sg_status sg_cmd_evaluate(int argc, char **argv)
{
    struct flags flags = {0};
    struct sg_scoring_flags *f = &flags.scoring;
    const struct sg_option options[] = {
        {"data", SG_OPTION_TEXT, &f->data, "FILE", "a labelled file", 0, 0, true},
        {"split", SG_OPTION_TEXT, &f->split, "NAME", "only this split of the file", 0, 0, false},
        {"by-class", SG_OPTION_FLAG, &flags.by_class, NULL, "precision and recall of every class", 0, 0, false},
        {"confusions", SG_OPTION_INT, &flags.confusions, "N", "the N most frequent wrong classes", 1, 10000, false},
        {"calibration", SG_OPTION_FLAG, &flags.calibration, NULL, "probabilities against what came true, in ten bins",
         0, 0, false},
        {"workers", SG_OPTION_INT, &f->workers, "N", "worker threads; changes no bit", 1, 1024, false},
        {"backend", SG_OPTION_TEXT, &f->backend, "NAME", "cpu (default), cuda, cuda:CARD or reference", 0, 0, false},
        {"quiet", SG_OPTION_FLAG, &f->quiet, NULL, "no progress", 0, 0, false},
        {"json", SG_OPTION_FLAG, &flags.json, NULL, "print one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {"evaluate", "metrics of a trained model on a labelled file",
                                         options,    sizeof options / sizeof *options,
                                         "MODEL",    1,
                                         1,          NULL};
    const char *folder;
    SG_TRY(sg_options_parse(&line, argc, argv, &folder, NULL));
    struct sg_scoring s;
    enum sg_status status = sg_scoring_open(folder, f, true, &s);
    if (status == SG_OK)
        status = check_tables(&s, &flags);
    if (status == SG_OK)
        status = print_metrics(&s, &flags);
    sg_scoring_close(&s);
    return status;
}
