#include <math.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "parts.h"

int64_t sg_metrics_best_class(const float *probability, int64_t n_classes)
{
    int64_t top = 0;
    for (int64_t c = 1; c < n_classes; c++)
        if (probability[c] > probability[top])
            top = c;
    return top;
}

/* How many classes are at least as probable as `label`, itself included: its rank, the worst among equals. */
static int64_t rank_of(const float *probability, int64_t n_classes, int64_t label)
{
    int64_t rank = 0;
    for (int64_t c = 0; c < n_classes; c++)
        rank += probability[c] >= probability[label];
    return rank;
}

static double squared_distance(const float *probability, int64_t n_classes, int64_t label)
{
    double sum = 0;
    for (int64_t c = 0; c < n_classes; c++) {
        double d = (double)probability[c] - (c == label);
        sum += d * d;
    }
    return sum;
}

static void finish_classes(int64_t n_classes, struct sg_class_figures *figures, struct sg_class_metrics *out)
{
    double f1 = 0, recall = 0;
    int64_t present = 0;
    for (int64_t c = 0; c < n_classes; c++) {
        struct sg_class_figures *f = &figures[c];
        f->precision = f->n_predicted ? (double)f->n_hit / (double)f->n_predicted : 0;
        f->recall = f->n ? (double)f->n_hit / (double)f->n : NAN;
        f->f1 = f->n + f->n_predicted ? 2 * (double)f->n_hit / (double)(f->n + f->n_predicted) : NAN;
        if (!f->n)
            continue;
        present++;
        f1 += f->f1;
        recall += f->recall;
    }
    out->macro_f1 = f1 / (double)present;
    out->balanced_accuracy = recall / (double)present;
}

void sg_metrics_classes(int64_t n, int64_t n_classes, const float *probability, const float *label,
                        struct sg_class_metrics *out, struct sg_class_figures *figures)
{
    *out = (struct sg_class_metrics){n, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    struct sg_class_figures *each = figures ? figures : sg_alloc((size_t)n_classes, sizeof *each);
    for (int64_t c = 0; c < n_classes; c++)
        each[c] = (struct sg_class_figures){0};
    int64_t n_top = 0, n_top3 = 0;
    double loss = 0, brier = 0, distance = 0, excess[SG_METRICS_CALIBRATION_BINS] = {0};
    for (int64_t i = 0; i < n; i++) {
        const float *p = probability + i * n_classes;
        int64_t truth = (int64_t)label[i], guess = sg_metrics_best_class(p, n_classes);
        each[truth].n++;
        each[guess].n_predicted++;
        each[truth].n_hit += guess == truth;
        n_top += guess == truth;
        n_top3 += rank_of(p, n_classes, truth) <= 3;
        loss -= log(fmax((double)p[truth], 1e-15));
        brier += squared_distance(p, n_classes, truth);
        excess[metrics_bin_of((double)p[guess])] += (double)p[guess] - (guess == truth);
    }
    for (int i = 0; i < SG_METRICS_CALIBRATION_BINS; i++)
        distance += fabs(excess[i]);
    if (n > 0) {
        out->accuracy = (double)n_top / (double)n;
        out->top_3_accuracy = (double)n_top3 / (double)n;
        out->log_loss = loss / (double)n;
        out->brier = brier / (double)n;
        out->ece = distance / (double)n;
        finish_classes(n_classes, each, out);
    }
    if (!figures)
        free(each);
}

json_t *sg_metrics_classes_to_json(const struct sg_class_metrics *m)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "accuracy", sg_json_real(m->accuracy), "top_3_accuracy",
                     sg_json_real(m->top_3_accuracy), "macro_f1", sg_json_real(m->macro_f1), "balanced_accuracy",
                     sg_json_real(m->balanced_accuracy), "log_loss", sg_json_real(m->log_loss), "brier",
                     sg_json_real(m->brier), "ece", sg_json_real(m->ece));
}

json_t *sg_metrics_values(int64_t n, const float *value, const float *label)
{
    double squared = 0, absolute = 0, mean = 0, spread = 0;
    for (int64_t i = 0; i < n; i++) {
        double error = (double)value[i] - (double)label[i];
        squared += error * error;
        absolute += fabs(error);
        mean += (double)label[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++)
        spread += ((double)label[i] - mean) * ((double)label[i] - mean);
    return json_pack("{s:o, s:o, s:o}", "rmse", sg_json_real(n > 0 ? sqrt(squared / (double)n) : NAN), "mae",
                     sg_json_real(n > 0 ? absolute / (double)n : NAN), "r2",
                     sg_json_real(spread > 0 ? 1 - squared / spread : NAN));
}
