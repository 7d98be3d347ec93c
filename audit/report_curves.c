#include "report_curves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "plot.h"

enum { ROWS_MAX = 64, POINTS = 25, BIN_EDGES = 42 };

void sg_report_epsilon(struct sg_buffer *out, const struct sg_plan *plan)
{
    double x[POINTS] = {0}, y[POINTS] = {0};
    size_t n = 1;
    for (int i = 1; i < POINTS; i++) {
        struct sg_phase phase;
        struct sg_history history = sg_plan_history(plan, &phase);
        struct sg_epsilon figure;
        int64_t steps = plan->steps * i / (POINTS - 1);
        if (steps < 1 || (double)steps == x[n - 1])
            continue;
        phase.steps = steps;
        if (sg_account_epsilon(&history, plan->delta_accountant, &figure) != SG_OK || !isfinite(figure.epsilon))
            return sg_error_clear();
        x[n] = (double)steps;
        y[n++] = figure.epsilon;
    }
    const struct sg_plot_series series = {.x = x, .y = y, .n = n, .mark = SG_PLOT_LINE};
    const struct sg_plot plot = {.title = "Privacy spent over the steps",
                                 .x_label = "steps",
                                 .y_label = "epsilon, recomputed here from the plan",
                                 .series = &series,
                                 .n_series = 1,
                                 .limit = NAN};
    sg_plot_svg(out, &plot);
}

/* The edges of docs/ledger.md: odds of 2^((i - 21) / 2). */
static double edge(int64_t i)
{
    return i <= 0 ? 0 : i >= BIN_EDGES ? 1 : 1 / (1 + exp2((double)(BIN_EDGES / 2 - i) / 2));
}

/* One split's scores, as drawn. Nothing of the ledger is trusted to be in its range. */
struct scores {
    size_t n;
    double edge[ROWS_MAX + 1], density[ROWS_MAX], mean[ROWS_MAX], rate[ROWS_MAX];
    double alarm[ROWS_MAX + 1], found[ROWS_MAX + 1]; /* ROC: rates of false and right alarms */
};

static double number_at(const json_t *row, size_t column)
{
    const json_t *value = json_array_get(row, column);
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    return number >= 0 && number <= 1e4 ? number : NAN;
}

static bool read_scores(const json_t *bins, struct scores *out)
{
    double positive[ROWS_MAX], negative[ROWS_MAX], positives = 0, negatives = 0;
    out->n = json_array_size(bins);
    if (out->n == 0 || out->n > ROWS_MAX)
        return false;
    for (size_t i = 0; i < out->n; i++) {
        const json_t *row = json_array_get(bins, i);
        double first = number_at(row, 0), last = number_at(row, 1), share = number_at(row, 2) / 1e4;
        out->mean[i] = number_at(row, 3) / 1e4;
        out->rate[i] = number_at(row, 4) / 1e4;
        double low = edge((int64_t)first), high = edge((int64_t)last + 1);
        if (!isfinite(first + last + share + out->mean[i] + out->rate[i]) || !(high > low) ||
            (i > 0 && low < out->edge[i]))
            return false;
        out->edge[i] = low; /* bins that nobody fell into widen their neighbour below */
        out->edge[i + 1] = high;
        out->density[i] = share / (high - low);
        positives += positive[i] = share * out->rate[i];
        negatives += negative[i] = share * (1 - out->rate[i]);
    }
    if (!(positives > 0 && negatives > 0))
        return false;
    out->alarm[0] = out->found[0] = 0;
    for (size_t i = 0; i < out->n; i++) { /* from high scores to low */
        out->alarm[i + 1] = out->alarm[i] + negative[out->n - 1 - i] / negatives;
        out->found[i + 1] = out->found[i] + positive[out->n - 1 - i] / positives;
    }
    return true;
}

struct split {
    const char *name;
    struct scores scores;
};

static void plot_roc(struct sg_buffer *out, const struct split *splits, size_t n)
{
    struct sg_plot_series series[2];
    for (size_t k = 0; k < n; k++)
        series[k] = (struct sg_plot_series){.label = splits[k].name,
                                            .x = splits[k].scores.alarm,
                                            .y = splits[k].scores.found,
                                            .n = splits[k].scores.n + 1,
                                            .is_second = k > 0};
    const struct sg_plot plot = {.title = "ROC: positives found, at which rate of false alarms",
                                 .x_label = "false alarms among the negatives",
                                 .y_label = "found among the positives",
                                 .series = series,
                                 .n_series = n,
                                 .x_max = 1,
                                 .y_max = 1,
                                 .limit = NAN,
                                 .diagonal = true};
    sg_plot_svg(out, &plot);
}

static void plot_calibration(struct sg_buffer *out, const struct split *splits, size_t n)
{
    struct sg_plot_series series[2];
    double most = 0;
    for (size_t k = 0; k < n; k++) {
        const struct scores *s = &splits[k].scores;
        series[k] = (struct sg_plot_series){
            .label = splits[k].name, .x = s->mean, .y = s->rate, .n = s->n, .mark = SG_PLOT_POINTS, .is_second = k > 0};
        for (size_t i = 0; i < s->n; i++)
            most = fmax(most, fmax(s->mean[i], s->rate[i]));
    }
    most = fmin(1, ceil(most * 10) / 10);
    const struct sg_plot plot = {.title = "Calibration: what was predicted, and what happened",
                                 .x_label = "mean score of a bin",
                                 .y_label = "share of positives",
                                 .series = series,
                                 .n_series = n,
                                 .x_max = most,
                                 .y_max = most,
                                 .limit = NAN,
                                 .diagonal = true};
    sg_plot_svg(out, &plot);
}

static void plot_scores(struct sg_buffer *out, const struct split *splits, size_t n)
{
    struct sg_plot_series series[2];
    double x[2][2 * ROWS_MAX + 2], y[2][2 * ROWS_MAX + 2], most = 0;
    for (size_t k = 0; k < n; k++) {
        const struct scores *s = &splits[k].scores;
        size_t used = 0;
        most = fmax(most, s->edge[s->n]);
        x[k][used] = s->edge[0], y[k][used++] = 0;
        for (size_t i = 0; i < s->n; i++) {
            x[k][used] = s->edge[i], y[k][used++] = s->density[i];
            x[k][used] = s->edge[i + 1], y[k][used++] = s->density[i];
        }
        x[k][used] = s->edge[s->n], y[k][used++] = 0;
        series[k] =
            (struct sg_plot_series){.label = splits[k].name, .x = x[k], .y = y[k], .n = used, .is_second = k > 0};
    }
    const struct sg_plot plot = {.title = "Distribution of the scores",
                                 .x_label = "score",
                                 .y_label = "density",
                                 .series = series,
                                 .n_series = n,
                                 .x_max = most,
                                 .limit = NAN};
    sg_plot_svg(out, &plot);
}

static bool is_curve(const json_t *curve, const char *name)
{
    const char *text = json_string_value(json_object_get(curve, "name"));
    return text && strcmp(text, name) == 0;
}

/* One figure over the steps; false when the curve holds none that can be drawn. */
static bool plot_track(struct sg_buffer *out, const json_t *curve)
{
    const json_t *points = json_object_get(curve, "points");
    const char *name = json_string_value(json_object_get(curve, "name")),
               *split = json_string_value(json_object_get(curve, "split"));
    size_t n = json_array_size(points);
    double x[ROWS_MAX], y[ROWS_MAX], least = INFINITY, most = -INFINITY;
    if (!name || !split || n == 0 || n > ROWS_MAX)
        return false;
    for (size_t k = 0; k < n; k++) {
        const json_t *step = json_array_get(json_array_get(points, k), 0),
                     *value = json_array_get(json_array_get(points, k), 1);
        x[k] = json_is_number(step) ? json_number_value(step) : NAN;
        y[k] = json_is_number(value) ? json_number_value(value) / 1e4 : NAN;
        least = fmin(least, y[k]), most = fmax(most, y[k]);
    }
    if (!isfinite(least) || !isfinite(most))
        return false;
    const char *word = strcmp(name, "auc") == 0 ? "AUC" : strcmp(name, "log_loss") == 0 ? "log loss" : name;
    char *title = sg_format("%.30s over the steps, on %.30s data", word, split);
    const struct sg_plot_series series = {.x = x, .y = y, .n = n, .mark = SG_PLOT_POINTS};
    const struct sg_plot plot = {.title = title,
                                 .x_label = "steps",
                                 .y_label = word,
                                 .series = &series,
                                 .n_series = 1,
                                 .y_min = most - least < least ? fmax(0, floor((least - 0.02) * 20) / 20) : 0,
                                 .limit = NAN};
    sg_plot_svg(out, &plot);
    free(title);
    return true;
}

void sg_report_curves(struct sg_buffer *out, const json_t *end_facts, int64_t end_leaf)
{
    static struct split splits[2];
    const json_t *curves = json_object_get(end_facts, "curves"), *curve;
    size_t n = 0, i;
    sg_html_heading(out, "How it performs");
    json_array_foreach(curves, i, curve) if (n < 2 && is_curve(curve, "scores") &&
                                             read_scores(json_object_get(curve, "bins"), &splits[n].scores))
    {
        const char *name = json_string_value(json_object_get(curve, "split"));
        splits[n++].name = name ? name : "split not recorded";
    }
    sg_buffer_text(out, "<div class=\"plots\">\n");
    if (n > 0) {
        plot_roc(out, splits, n);
        plot_calibration(out, splits, n);
        plot_scores(out, splits, n);
    }
    size_t n_tracks = 0;
    json_array_foreach(curves, i, curve) if (n_tracks < 4) n_tracks += plot_track(out, curve);
    sg_buffer_text(out, "</div>\n");
    if (n > 0 || n_tracks > 0)
        sg_html_paragraph(out, "From leaf %lld. Scores are recorded by bins of at least ten people.",
                          (long long)end_leaf);
    if (n == 0)
        sg_html_missing(out, "ROC curve, calibration and distribution of scores: not recorded for this run.");
    if (n_tracks == 0)
        sg_html_missing(out, "Validation metric over the steps: not recorded for this run "
                             "(the configuration's validation_points asks for it).");
}
