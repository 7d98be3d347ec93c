#include "audit/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "account/plan.h"
#include "audit/query.h"
#include "audit/timestamp.h"
#include "html.h"
#include "plot.h"
#include "report_curves.h"
#include "schema.h"
#include "store.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "not recorded";
}

static void verdict_part(struct sg_buffer *out, const struct sg_verdict *verdict)
{
    char root[2 * SG_DIGEST_BYTES + 1];
    sg_hex_encode(verdict->root, SG_DIGEST_BYTES, root);
    sg_buffer_printf(out, "<p class=\"verdict%s\">",
                     verdict->status == SG_BROKEN                                          ? " broken"
                     : verdict->status != SG_OK || verdict->witnessed_size < verdict->size ? " doubt"
                                                                                           : "");
    sg_html_text(out, verdict->sentence);
    sg_buffer_text(out, "</p>\n");
    for (size_t i = 0; i < verdict->n_listed; i++)
        sg_html_paragraph(out, "%s: %s", verdict->problems[i].place, verdict->problems[i].text);
    if (verdict->n_problems > verdict->n_listed)
        sg_html_paragraph(out, "and %zu more problems", verdict->n_problems - verdict->n_listed);
    sg_html_paragraph(out, "Ledger %s, key %s, %lld events, root %s.", verdict->origin, verdict->key,
                      (long long)verdict->size, root);
}

/* ---- One run. */
static void privacy_part(struct sg_buffer *out, const json_t *facts, const struct sg_plan *plan)
{
    static const char *const keys[] = {"epsilon",
                                       "delta",
                                       "accountant",
                                       "epsilon_lower",
                                       "epsilon_rdp",
                                       "neighboring_relation",
                                       "sampler",
                                       "sample_rate",
                                       "expected_batch_size",
                                       "population_size",
                                       "steps",
                                       "clip_group",
                                       "max_grad_norm",
                                       "noise_multiplier",
                                       "noise_source",
                                       "shrink",
                                       "delta_caps",
                                       "delta_noise",
                                       NULL};
    sg_html_heading(out, "Privacy");
    if (!plan->is_private) {
        sg_html_paragraph(
            out, "No privacy is claimed: the run had neither clipping nor noise. Its data is registered as public.");
        return;
    }
    sg_html_paragraph(out,
                      "Whoever sees the released model and this ledger can tell whether one person was in the training "
                      "data only as well as a test of "
                      "(epsilon, delta) = (%.4g, %.3g) allows: a false alarm rate of a bounds the chance of a right "
                      "detection by e^epsilon a + delta. "
                      "The relation is %s. People in validation and test sets are not covered; settings tuned on the "
                      "same people are not in this "
                      "epsilon; the operator is trusted, and secrets must stay secret.",
                      plan->epsilon, plan->delta, sg_relation_name(plan->relation));
    if (json_is_true(json_object_get(facts, "secret_supplied")))
        sg_html_paragraph(
            out, "The run's secret was supplied by a file: nothing is claimed against whoever holds that file.");
    sg_html_members(out, json_object_get(facts, "plan"), keys);
    sg_buffer_text(out, "<div class=\"plots\">\n");
    sg_report_epsilon(out, plan);
    sg_buffer_text(out, "</div>\n");
    if (json_is_object(json_object_get(facts, "budget"))) {
        sg_html_heading(out, "What was reserved before the data was opened");
        sg_html_members(out, json_object_get(facts, "budget"), NULL);
    }
    if (json_is_string(json_object_get(facts, "programme")))
        sg_html_paragraph(out,
                          "It was drawn from programme %.60s, which fixed this plan and the number of its runs in "
                          "advance and paid for all of them: the run itself reserved nothing.",
                          json_string_value(json_object_get(facts, "programme")));
}

/* The first thing that a reader wants to know, in a sentence. */
static void summary_part(struct sg_buffer *out, const json_t *run, const struct sg_plan *plan)
{
    const char *status = text_of(run, "status");
    sg_html_paragraph(out, "Run %s on dataset %s by %s on %s: %s.%s", text_of(run, "run_id"), text_of(run, "dataset"),
                      text_of(run, "actor"), text_of(run, "host"), status,
                      strcmp(status, "running") == 0 ? " It began and has no end: what it did is not recorded." : "");
    if (plan->is_private)
        sg_html_paragraph(out, "It is private: epsilon %.4g at delta %.3g over %lld steps.", plan->epsilon, plan->delta,
                          (long long)plan->steps);
    else
        sg_html_paragraph(out, "It is not private: no bound on what the model shows of single people is claimed.");
}

static void run_body(struct sg_buffer *out, const json_t *show, const struct sg_plan *plan)
{
    static const char *const made[] = {"dataset",           "population",      "data_commitment", "base_model_digest",
                                       "code_digest",       "binary_digest",   "environment",     "libraries",
                                       "secret_commitment", "secret_supplied", "show_internal",   NULL};
    const json_t *run = json_object_get(show, "run");
    const json_t *facts = json_object_get(json_object_get(json_object_get(show, "start"), "predicate"), "facts");
    const json_t *end = json_object_get(json_object_get(json_object_get(show, "end"), "predicate"), "facts");
    sg_html_heading(out, "The run");
    json_t *shown = json_copy((json_t *)run); /* a run that is complete has no reason for its end */
    if (strcmp(text_of(run, "status"), "complete") == 0)
        json_object_del(shown, "reason");
    sg_html_members(out, shown, NULL);
    json_decref(shown);
    privacy_part(out, facts, plan);
    sg_report_curves(out, end, json_integer_value(json_object_get(run, "end_leaf")));
    sg_html_heading(out, "What was measured");
    sg_html_rows(out, json_object_get(show, "metrics"));
    sg_html_heading(out, "Files");
    sg_html_rows(out, json_object_get(show, "artifacts"));
    sg_html_heading(out, "What it was made from");
    sg_html_members(out, facts, made);
}

static void run_end(struct sg_buffer *out, const json_t *show)
{
    sg_html_heading(out, "Settings");
    sg_html_rows(out, json_object_get(show, "params"));
    sg_html_heading(out, "How to check");
    sg_html_paragraph(out,
                      "sealgrad ledger verify FILE --trust KEY checks the whole ledger; sealgrad ledger prove FILE %s "
                      "writes the evidence for this run "
                      "alone, which sealgrad ledger verify checks without the ledger. Every figure above stands in the "
                      "leaf named beside it, or in the "
                      "run's start leaf.",
                      text_of(json_object_get(show, "run"), "run_id"));
}

/* By when somebody else's clock had seen the run's last event. */
static enum sg_status stamp_part(struct sg_ledger *ledger, const json_t *run, struct sg_buffer *out)
{
    const json_t *end = json_object_get(run, "end_leaf");
    int64_t size, time_s, seq = json_integer_value(json_is_integer(end) ? end : json_object_get(run, "start_leaf"));
    char time[40];
    SG_TRY(sg_evidence_stamp_of(ledger, seq, &size, &time_s));
    if (size == 0)
        return SG_OK;
    sg_query_time(time_s * 1000, time);
    sg_html_paragraph(out,
                      "A time stamp (RFC 3161) over the checkpoint of %lld events, which covers this run up to leaf "
                      "%lld, names the time %s. Whether its authority was checked says the verdict.",
                      (long long)size, (long long)seq, time);
    return SG_OK;
}

/* ---- Populations. */

/* The spend after each run, as the signed reservations say. */
static enum sg_status spend_chart(struct sg_ledger *ledger, const json_t *budget, struct sg_buffer *out)
{
    const json_t *by = json_object_get(budget, "by"), *row;
    size_t n = json_array_size(by), i, used = 1;
    double *x = sg_alloc(n + 2, sizeof *x), *y = sg_alloc(n + 2, sizeof *y);
    enum sg_status status = SG_OK;
    json_array_foreach(by, i, row)
    {
        json_t *statement = NULL;
        status = sg_query_leaf(ledger, json_integer_value(json_object_get(row, "leaf")), &statement);
        if (status != SG_OK)
            break;
        const json_t *facts = json_object_get(json_object_get(statement, "predicate"), "facts");
        double after = json_number_value(json_object_get(json_object_get(facts, "budget"), "epsilon_after"));
        if (after > 0) {
            x[used] = (double)used;
            y[used++] = after;
        }
        json_decref(statement);
    }
    x[used] = (double)used, y[used] = y[used - 1]; /* the last one lasts as well */
    const struct sg_plot_series series = {.x = x, .y = y, .n = used + 1, .mark = SG_PLOT_STEPS};
    const struct sg_plot plot = {.title = "Privacy spent on these people, charge by charge",
                                 .x_label = "runs and programmes",
                                 .y_label = "epsilon spent",
                                 .series = &series,
                                 .n_series = 1,
                                 .limit = json_number_value(json_object_get(budget, "epsilon_limit")),
                                 .limit_label = "limit"};
    if (status == SG_OK && used > 1) {
        sg_buffer_text(out, "<div class=\"plots\">\n");
        sg_plot_svg(out, &plot);
        sg_buffer_text(out, "</div>\n");
    }
    free(x);
    free(y);
    return status;
}

static enum sg_status population_part(struct sg_ledger *ledger, const char *population, struct sg_buffer *out)
{
    static const char *const keys[] = {
        "limited", "epsilon_limit", "delta_limit",         "epsilon_spent", "delta_spent", "epsilon_left",
        "runs",    "open_runs",     "more_runs_like_last", "filter_order",  NULL};
    json_t *budget = NULL;
    SG_TRY(sg_query_budget(ledger, population, &budget));
    char *heading = sg_format("Population %s", population);
    sg_html_heading(out, heading);
    free(heading);
    enum sg_status status = SG_OK;
    if (json_is_true(json_object_get(budget, "limited"))) {
        sg_html_members(out, budget, keys);
        status = spend_chart(ledger, budget, out);
        if (status == SG_OK)
            sg_html_rows(out, json_object_get(budget, "by"));
    } else {
        sg_html_paragraph(out, "These people's data is registered as public: nothing limits what may be spent on it.");
    }
    json_decref(budget);
    return status;
}

static enum sg_status view_part(struct sg_ledger *ledger, const char *heading, const char *view, const char *subject,
                                struct sg_buffer *out)
{
    json_t *rows = NULL;
    SG_TRY(sg_query_view(ledger, view, subject, &rows));
    sg_html_heading(out, heading);
    sg_html_rows(out, rows);
    json_decref(rows);
    return SG_OK;
}

/* What fits on a page: all else stands on each run's own. */
static enum sg_status runs_part(struct sg_ledger *ledger, struct sg_buffer *out)
{
    static const char *const shown[] = {"run_id", "status",  "dataset",    "epsilon",  "delta",
                                        "actor",  "started", "start_leaf", "end_leaf", "model"};
    json_t *rows = NULL, *row, *few = json_array();
    size_t i, k;
    SG_TRY(sg_query_view(ledger, "runs", NULL, &rows));
    json_array_foreach(rows, i, row)
    {
        json_t *one = json_object();
        for (k = 0; k < sizeof shown / sizeof *shown; k++)
            json_object_set(one, shown[k], json_object_get(row, shown[k]));
        json_array_append_new(few, one);
    }
    sg_html_heading(out, "Runs");
    sg_html_rows(out, few);
    json_decref(few);
    json_decref(rows);
    return SG_OK;
}

static enum sg_status ledger_page(struct sg_ledger *ledger, const struct sg_verdict *verdict, struct sg_buffer *out)
{
    json_t *populations = NULL, *one;
    size_t i;
    char *title = sg_format("Ledger %s", verdict->origin);
    sg_html_begin(out, title);
    free(title);
    verdict_part(out, verdict);
    SG_TRY(sg_query_view(ledger, "populations", NULL, &populations));
    enum sg_status status = SG_OK;
    json_array_foreach(populations, i, one) if (status == SG_OK) status =
        population_part(ledger, text_of(one, "name"), out);
    json_decref(populations);
    SG_TRY(status);
    SG_TRY(view_part(ledger, "Datasets", "datasets", NULL, out));
    SG_TRY(runs_part(ledger, out));
    SG_TRY(view_part(ledger, "Runs that began and never ended", "open", NULL, out));
    SG_TRY(view_part(ledger, "Runs without privacy, or with a supplied secret", "violations", NULL, out));
    SG_TRY(view_part(ledger, "Trials behind the models", "trials", NULL, out));
    SG_TRY(view_part(ledger, "Models in use", "deployed", NULL, out));
    SG_TRY(view_part(ledger, "Approvals, deployments, retirements", "approvals", NULL, out));
    SG_TRY(view_part(ledger, "Erasures", "erasures", NULL, out));
    SG_TRY(view_part(ledger, "Keys", "keys", NULL, out));
    SG_TRY(view_part(ledger, "Witnesses", "witnesses", NULL, out));
    sg_html_end(out);
    return SG_OK;
}

static enum sg_status dataset_page(struct sg_ledger *ledger, const struct sg_verdict *verdict, const char *dataset,
                                   const char *population, struct sg_buffer *out)
{
    char *title = sg_format(dataset ? "Dataset %s" : "Population %s", dataset ? dataset : population);
    sg_html_begin(out, title);
    free(title);
    verdict_part(out, verdict);
    if (dataset)
        SG_TRY(view_part(ledger, "Models made from it", "lineage", dataset, out));
    SG_TRY(population_part(ledger, population, out));
    sg_html_end(out);
    return SG_OK;
}

/* ---- A run and what stands around it: its people's budget, other models of its data, decisions. */
static enum sg_status run_page(struct sg_ledger *ledger, const struct sg_verdict *verdict, const char *run,
                               struct sg_buffer *out)
{
    json_t *show = NULL;
    struct sg_plan plan;
    SG_TRY(sg_query_show(ledger, run, &show));
    const json_t *facts = json_object_get(json_object_get(json_object_get(show, "start"), "predicate"), "facts");
    const json_t *row = json_object_get(show, "run");
    enum sg_status status = sg_plan_from_json(json_object_get(facts, "plan"), SG_BROKEN, &plan);
    if (status == SG_OK) {
        const char *model = json_string_value(json_object_get(row, "model"));
        char *title = sg_format("Run %s", text_of(row, "run_id"));
        sg_html_begin(out, title);
        free(title);
        verdict_part(out, verdict);
        summary_part(out, row, &plan);
        run_body(out, show, &plan);
        status = stamp_part(ledger, row, out);
        if (status == SG_OK)
            status = view_part(ledger, "Models made from the same data", "lineage", text_of(row, "dataset"), out);
        if (status == SG_OK)
            status = population_part(ledger, text_of(row, "population"), out);
        if (status == SG_OK)
            status = view_part(ledger, "Approvals and deployments", "approvals", model ? model : "", out);
        run_end(out, show);
        sg_html_end(out);
    }
    json_decref(show);
    return status;
}

/* One text by one parameter; NULL when there is no row. The caller frees it. */
static enum sg_status look_up(struct sg_ledger *ledger, const char *sql, const char *subject, char **out)
{
    sqlite3_stmt *row = NULL;
    *out = NULL;
    SG_TRY(sg_db_prepare(ledger->db, sql, &row));
    sg_db_bind(row, "t", subject);
    if (sqlite3_step(row) == SQLITE_ROW && sqlite3_column_type(row, 0) != SQLITE_NULL)
        *out = sg_strdup((const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    return SG_OK;
}

enum sg_status sg_report_html(struct sg_ledger *ledger, const struct sg_verdict *verdict, const char *subject,
                              struct sg_buffer *out)
{
    char *found = NULL;
    if (!subject)
        return ledger_page(ledger, verdict, out);
    SG_TRY(look_up(ledger, "SELECT run_id FROM run WHERE run_id = ?1 OR run_no = ?1", subject, &found));
    if (!found)
        SG_TRY(look_up(ledger,
                       "SELECT r.run_id FROM run r JOIN artifact a ON a.run_no = r.run_no WHERE a.sha256 = ?1 LIMIT 1",
                       subject, &found));
    enum sg_status status = SG_OK;
    if (found) {
        status = run_page(ledger, verdict, found, out);
        free(found);
        return status;
    }
    SG_TRY(look_up(ledger, "SELECT population FROM dataset WHERE name = ?1", subject, &found));
    bool is_dataset = found != NULL;
    if (!found)
        SG_TRY(look_up(ledger, "SELECT name FROM population WHERE name = ?1", subject, &found));
    if (!found)
        return sg_fail(SG_USAGE, "the ledger has no run, model, dataset or population \"%.80s\"", subject);
    status = dataset_page(ledger, verdict, is_dataset ? subject : NULL, found, out);
    free(found);
    return status;
}
