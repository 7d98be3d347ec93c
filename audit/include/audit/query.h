/* Questions put to a ledger. Every answer is a list of rows (JSON objects whose members are the columns, in order), and
 * every row names the leaf it rests on. The tables are derived: run verify first. "not recorded" is null, empty text is
 * empty text. */
#ifndef SG_AUDIT_QUERY_H
#define SG_AUDIT_QUERY_H

#include "audit/ledger.h"

struct sg_run_filter {
    const char *dataset, *model, *status, *actor, *population; /* NULL: any; model: the SHA-256 of an artifact */
    int64_t since_ms, until_ms;                                /* 0: any */
    int64_t limit;                                             /* 0: all */
    bool
        violates; /* without privacy on private data is impossible; this asks: no privacy, supplied secret, or failed */
};
/* Runs, oldest first. The caller json_decrefs *rows. */
SG_MUST_USE enum sg_status sg_query_runs(struct sg_ledger *ledger, const struct sg_run_filter *filter, json_t **rows);

struct sg_view {
    const char *name, *question;
    const char *subject; /* what SUBJECT is, NULL: none is taken; in square brackets: it may be left out */
    const char *sql;
};
extern const struct sg_view sg_views[];
extern const size_t sg_n_views;
/* SG_USAGE for an unknown view (the text lists them) and for a subject that is missing. */
SG_MUST_USE enum sg_status sg_query_view(struct sg_ledger *ledger, const char *view, const char *subject,
                                         json_t **rows);

/* The names of a view's columns, for an answer without rows. */
SG_MUST_USE enum sg_status sg_query_columns(struct sg_ledger *ledger, const char *view, json_t **names);

/* Keeps the rows of a view that pass the filters; the first `limit` of them. SG_USAGE when a view has no such column. */
SG_MUST_USE enum sg_status sg_query_filter(json_t *rows, const char *view, const struct sg_run_filter *filter);

/* One run, by id or number: {run: row, start: the signed statement, end: the signed statement or null, params, metrics,
 * artifacts, leaves: {start, end}}. SG_USAGE when there is none. */
SG_MUST_USE enum sg_status sg_query_show(struct sg_ledger *ledger, const char *run, json_t **object);
/* The statement of one leaf, parsed. SG_USAGE when there is no such leaf. */
SG_MUST_USE enum sg_status sg_query_leaf(struct sg_ledger *ledger, int64_t seq, json_t **statement);
/* {population, limited, epsilon_limit, delta_limit, epsilon_spent, delta_spent, epsilon_left, filter_order, runs,
 * open_runs, more_runs_like_last, programmes: [rows], by: [rows],
 * epsilon_as_if_fixed}; by: what was charged, in order: programmes, and runs
 * outside them. epsilon_as_if_fixed enforces nothing: what all of them, fixed before the first, would have cost. */
SG_MUST_USE enum sg_status sg_query_budget(struct sg_ledger *ledger, const char *population, json_t **object);

/* 2026-01-31T23:59:59.123Z */
void sg_query_time(int64_t time_ms, char out[40]);

#endif
