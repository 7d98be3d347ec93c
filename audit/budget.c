#include "budget.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "account/filter.h"
#include "schema.h"

#define ROUND_UP (1 + 1e-12) /* of delta's shares, as sg_renyi_add rounds divergences */

/* The limit at the recorded order, with what is left of delta to convert with. */
static struct sg_renyi_limit renyi_limit(const struct sg_filter *filter)
{
    return sg_renyi_limit_at(filter->epsilon_limit, filter->delta_limit - filter->slack, filter->order);
}

static enum sg_status renyi_charge(const struct sg_filter *filter, const struct sg_history *history, double *out)
{
    struct sg_renyi_limit limit = renyi_limit(filter);
    struct sg_renyi_spend charge;
    SG_TRY(sg_renyi_charge(&limit, history, 1, &charge));
    *out = charge.rho[0];
    return SG_OK;
}

enum sg_status sg_filter_charge(const struct sg_filter *filter, const struct sg_plan *plan, struct sg_charge *out)
{
    struct sg_phase phase;
    struct sg_history history = sg_plan_history(plan, &phase);
    double scale = (1 + exp(filter->epsilon_limit)) / (1 + exp(plan->epsilon));
    *out = (struct sg_charge){
        .epsilon = plan->epsilon, .delta = plan->delta, .relation = sg_relation_name(plan->relation)};
    out->slack = (plan->delta_caps + plan->delta_noise) * fmax(scale, 1) * ROUND_UP;
    if (!(out->slack >= 0)) /* NaN: an epsilon beyond what exp can hold leaves no delta to convert with */
        out->slack = INFINITY;
    return renyi_charge(filter, &history, &out->rho);
}

void sg_filter_add(struct sg_filter *filter, const struct sg_charge *charge)
{
    if (filter->n_charges++ == 0) {
        filter->first_epsilon = charge->epsilon;
        filter->first_delta = charge->delta;
        snprintf(filter->relation, sizeof filter->relation, "%s", charge->relation);
    }
    struct sg_renyi_spend spend = {{filter->rho}}, more = {{charge->rho}};
    sg_renyi_add(&spend, &more);
    filter->rho = spend.rho[0];
    filter->slack = (filter->slack + charge->slack) * ROUND_UP;
}

static double composed_epsilon(const struct sg_filter *filter)
{
    struct sg_renyi_limit limit = renyi_limit(filter);
    struct sg_renyi_spend spend = {{filter->rho}};
    return limit.delta > 0 ? sg_renyi_epsilon(&limit, &spend) : INFINITY;
}

void sg_filter_spent(const struct sg_filter *filter, double *epsilon, double *delta)
{
    *epsilon = *delta = 0;
    if (filter->n_charges == 0)
        return;
    *epsilon = composed_epsilon(filter);
    *delta = filter->delta_limit;
    if (filter->n_charges == 1 && filter->first_delta <= filter->delta_limit && filter->first_epsilon < *epsilon) {
        *epsilon = filter->first_epsilon;
        *delta = filter->first_delta;
    }
}

bool sg_filter_admits(const struct sg_filter *filter, const struct sg_charge *charge)
{
    struct sg_filter after = *filter;
    double epsilon, delta;
    if (filter->n_charges && strcmp(filter->relation, charge->relation) != 0)
        return false;
    sg_filter_add(&after, charge);
    sg_filter_spent(&after, &epsilon, &delta);
    return epsilon <= filter->epsilon_limit && delta <= filter->delta_limit;
}

/* The least noise multiplier, to three digits, at which the plan's history fits; 0 when none up to 1000 does. */
static double fitting_noise(const struct sg_filter *filter, const struct sg_plan *plan)
{
    double low = plan->noise_multiplier, high = 1000;
    for (int i = 0; i < 24; i++) {
        double middle = i == 0 ? high : sqrt(low * high);
        struct sg_plan louder = *plan;
        struct sg_charge charge;
        louder.noise_multiplier = middle;
        if (sg_filter_charge(filter, &louder, &charge) != SG_OK)
            return 0;
        charge.epsilon = INFINITY; /* only the composition counts here */
        bool fits = sg_filter_admits(filter, &charge);
        if (i == 0 && !fits)
            return 0;
        if (fits)
            high = middle;
        else
            low = middle;
    }
    return ceil(high * 1000) / 1000;
}

/* The most runs of the plan that fit as one programme; 0 when not even one does. */
static int64_t fitting_runs(const struct sg_filter *filter, const struct sg_plan *plan, int64_t runs)
{
    int64_t low = 0, high = runs; /* low fits, high does not */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        struct sg_plan whole;
        struct sg_charge charge;
        bool fits = sg_plan_programme(plan, middle, &whole) == SG_OK &&
                    sg_filter_charge(filter, &whole, &charge) == SG_OK && sg_filter_admits(filter, &charge);
        if (fits)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void what_fits(const struct sg_filter *filter, const struct sg_plan *plan, int64_t runs,
                      const struct sg_plan *whole, char out[160])
{
    int64_t fewer = runs > 1 ? fitting_runs(filter, plan, runs) : 0;
    double noise = fitting_noise(filter, whole);
    if (fewer > 0)
        snprintf(out, 160, "%lld run%s of it would fit", (long long)fewer, fewer == 1 ? "" : "s");
    else if (noise > 0)
        snprintf(out, 160, "the same plan with noise_multiplier %.3f instead of %.3f would fit", noise,
                 plan->noise_multiplier);
    else
        snprintf(out, 160, "no noise up to 1000 would make it fit");
}

enum sg_status sg_filter_refuse(const struct sg_filter *filter, const char *population, const struct sg_plan *plan,
                                int64_t runs)
{
    double epsilon, delta;
    char fits[160], what[64] = "this run";
    struct sg_plan whole = *plan;
    if (runs > 1) {
        snprintf(what, sizeof what, "this programme of %lld runs", (long long)runs);
        SG_TRY(sg_plan_programme(plan, runs, &whole));
    }
    sg_filter_spent(filter, &epsilon, &delta);
    if (filter->n_charges && strcmp(filter->relation, sg_relation_name(plan->relation)) != 0)
        return sg_fail(SG_REFUSED,
                       "population %s: its runs are accounted under %s; a run under %s cannot be added to them",
                       population, filter->relation, sg_relation_name(plan->relation));
    what_fits(filter, plan, runs, &whole, fits);
    return sg_fail(
        SG_REFUSED,
        "population %s: epsilon %.3f (delta %.3g) of %.3f (delta %.3g) is spent by %lld runs or programmes, and %s of "
        "epsilon %.3f (delta %.3g) does not fit beside them; %s",
        population, epsilon, delta, filter->epsilon_limit, filter->delta_limit, (long long)filter->n_charges, what,
        whole.epsilon, whole.delta, fits);
}

int64_t sg_filter_more(const struct sg_filter *filter, const struct sg_charge *charge)
{
    struct sg_filter after = *filter;
    int64_t n = 0;
    while (n < 1000000 && sg_filter_admits(&after, charge)) {
        sg_filter_add(&after, charge);
        n++;
    }
    return n;
}

enum sg_status sg_filter_nominal(const struct sg_filter *filter, double epsilon, struct sg_charge *out)
{
    struct sg_phase phase = {.sample_rate = 1, .noise_multiplier = 1, .steps = 1};
    const struct sg_history history = {
        .sampler = SG_SAMPLER_FULL_BATCH, .sensitivity = 1, .phases = &phase, .n_phases = 1};
    struct sg_epsilon figure;
    SG_TRY(sg_account_calibrate(&history, epsilon, filter->delta_limit, &phase.noise_multiplier, &figure));
    *out = (struct sg_charge){
        .epsilon = epsilon,
        .delta = filter->delta_limit,
        .relation = filter->n_charges ? filter->relation : sg_relation_name(history.relation),
    };
    return renyi_charge(filter, &history, &out->rho);
}

static enum sg_status read_charges(sqlite3 *db, const char *population, struct sg_filter *out)
{
    sqlite3_stmt *rows = NULL;
    SG_TRY(
        sg_db_prepare(db,
                      "SELECT epsilon, delta, rho, delta_slack, relation, start_leaf AS leaf FROM run WHERE population "
                      "= ?1 AND is_private AND programme IS NULL UNION ALL SELECT epsilon, delta, rho, delta_slack, "
                      "relation, leaf FROM programme WHERE population = ?1 ORDER BY leaf",
                      &rows));
    sg_db_bind(rows, "t", population);
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *relation = (const char *)sqlite3_column_text(rows, 4);
        bool unknown = sqlite3_column_type(rows, 2) == SQLITE_NULL || sqlite3_column_type(rows, 3) == SQLITE_NULL;
        struct sg_charge charge = {
            .epsilon = sqlite3_column_double(rows, 0),
            .delta = sqlite3_column_double(rows, 1),
            .rho = unknown ? INFINITY : sqlite3_column_double(rows, 2),
            .slack = unknown ? INFINITY : sqlite3_column_double(rows, 3),
            .relation = relation ? relation : "",
        };
        sg_filter_add(out, &charge);
    }
    sqlite3_finalize(rows);
    return code == SQLITE_DONE ? SG_OK : sg_db_fail(db, "reading the budget");
}

static enum sg_status count_runs(sqlite3 *db, const char *population, struct sg_filter *out)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(db, "SELECT count(*), sum(status = 'running') FROM run WHERE population = ? AND is_private",
                         &row));
    sg_db_bind(row, "t", population);
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW) {
        out->n_runs = sqlite3_column_int64(row, 0);
        out->n_open = sqlite3_column_int64(row, 1);
    }
    sqlite3_finalize(row);
    return code == SQLITE_ROW ? SG_OK : sg_db_fail(db, "reading the budget");
}

enum sg_status sg_filter_read(sqlite3 *db, const char *population, struct sg_filter *out)
{
    sqlite3_stmt *row = NULL;
    *out = (struct sg_filter){0};
    SG_TRY(sg_db_prepare(
        db, "SELECT is_limited, epsilon_limit, delta_limit, filter_order FROM population WHERE name = ?", &row));
    sg_db_bind(row, "t", population);
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW) {
        out->is_limited = sqlite3_column_int(row, 0);
        out->epsilon_limit = sqlite3_column_double(row, 1);
        out->delta_limit = sqlite3_column_double(row, 2);
        out->order = sqlite3_column_double(row, 3);
    }
    sqlite3_finalize(row);
    if (code == SQLITE_DONE)
        return sg_fail(SG_USAGE, "no population of that name is registered in this ledger: sealgrad ledger query FILE "
                                 "--view populations lists them");
    if (code != SQLITE_ROW)
        return sg_db_fail(db, "reading the budget");
    SG_TRY(read_charges(db, population, out));
    return count_runs(db, population, out);
}
