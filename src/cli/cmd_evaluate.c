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

static enum sg_status print_metrics(const struct sg_scoring *s, const char *split, bool by_class, bool json)
{
    float *label = sg_alloc((size_t)s->n, sizeof *label);
    for (int64_t i = 0; i < s->n; i++)
        label[i] = s->data->label[s->unit[i]];
    json_t *figures = sg_score_metrics(sg_model_spec_of(s->model.model), s->n, s->score, label);
    json_t *rows = by_class ? class_rows(s, label) : NULL;
    json_t *all = json_pack("{s:O}", split ? split : "test", figures);
    free(label);
    enum sg_status status = SG_OK;
    if (json) {
        json_object_set_new(figures, "model_sha256", json_string(s->model.digest));
        if (rows)
            json_object_set(figures, "classes", rows);
        sg_print_json(figures);
    } else {
        if (rows)
            status = sg_print_rows(rows, "table", "classes");
        sg_report_metrics(all);
    }
    json_decref(rows);
    json_decref(all);
    json_decref(figures);
    return status;
}

enum sg_status sg_cmd_evaluate(int argc, char **argv)
{
    struct sg_scoring_flags flags = {0};
    bool json = false, by_class = false;
    const struct sg_option options[] = {
        {"data", SG_OPTION_TEXT, &flags.data, "FILE", "a labelled file", 0, 0, true},
        {"split", SG_OPTION_TEXT, &flags.split, "NAME", "only this split of the file", 0, 0, false},
        {"by-class", SG_OPTION_FLAG, &by_class, NULL, "precision and recall of every class", 0, 0, false},
        {"workers", SG_OPTION_INT, &flags.workers, "N", "worker threads; changes no bit", 1, 1024, false},
        {"backend", SG_OPTION_TEXT, &flags.backend, "NAME", "cpu (default), cuda or reference", 0, 0, false},
        {"quiet", SG_OPTION_FLAG, &flags.quiet, NULL, "no progress", 0, 0, false},
        {"json", SG_OPTION_FLAG, &json, NULL, "print one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {"evaluate", "metrics of a trained model on a labelled file",
                                         options,    sizeof options / sizeof *options,
                                         "MODEL",    1,
                                         1,          NULL};
    const char *folder;
    SG_TRY(sg_options_parse(&line, argc, argv, &folder, NULL));
    struct sg_scoring s;
    enum sg_status status = sg_scoring_open(folder, &flags, true, &s);
    if (status == SG_OK && by_class && sg_model_spec_of(s.model.model)->objective != SG_CLASSES)
        status = sg_fail(SG_USAGE, "--by-class: this model does not predict classes");
    if (status == SG_OK)
        status = print_metrics(&s, flags.split, by_class, json);
    sg_scoring_close(&s);
    return status;
}
