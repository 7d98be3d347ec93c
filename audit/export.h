/* Inside the exports: a folder that appears whole or not at all, and what the formats share. */
#ifndef SG_AUDIT_EXPORT_INSIDE_H
#define SG_AUDIT_EXPORT_INSIDE_H

#include "audit/export.h"
#include "audit/proof.h"
#include "base/json.h"
#include "store.h"

struct sg_export {
    struct sg_ledger *ledger;
    const char *database;
    char *out, *temporary; /* files go into `temporary`, which becomes `out` */
    int64_t n_files;
};

/* SG_USAGE when `out` is in the way. */
SG_MUST_USE enum sg_status sg_export_begin(struct sg_ledger *ledger, const char *out, struct sg_export *into);
/* Syncs and renames; sg_export_abandon after it does nothing. */
SG_MUST_USE enum sg_status sg_export_commit(struct sg_export *into);
void sg_export_abandon(struct sg_export *into);

/* A file at a relative path, whose folders are made. Names from the ledger go through sg_export_name first. A file that
 * is there already gets the bytes at its end. */
SG_MUST_USE enum sg_status sg_export_file(struct sg_export *into, const char *path, const void *bytes, size_t n);
SG_MUST_USE enum sg_status sg_export_text(struct sg_export *into, const char *path, const struct sg_buffer *text);
SG_MUST_USE enum sg_status sg_export_folder(struct sg_export *into, const char *path);
/* A file or key name out of text that anybody with a signing key chose: letters, digits, "_", "-", "." and blanks;
 * other characters become "_", a leading "." too, and what is long is cut. The caller frees it. */
char *sg_export_name(const char *text);

/* The leaves that one run rests on: genesis and keys, its dataset's registration and erasure, its start and end, and
 * decisions on its files; no other run's. The caller frees *seqs. */
SG_MUST_USE enum sg_status sg_export_leaves_of(struct sg_ledger *ledger, int64_t run_no, int64_t **seqs, size_t *n);

/* A run as the formats need it; strings are borrowed from the three objects. */
struct sg_export_run {
    json_t *show;                                       /* sg_query_show: owned */
    const json_t *row;                                  /* of table run */
    const json_t *facts;                                /* of run.start */
    const json_t *end_facts;                            /* NULL: it is not ended */
    json_t *decisions;                                  /* rows on this run: owned */
    int64_t start_leaf, end_leaf, started_ms, ended_ms; /* -1: not ended */
    char start_hash[65], end_hash[65];
    const char *run_id, *status;
};
SG_MUST_USE enum sg_status sg_export_run_read(struct sg_ledger *ledger, const char *run, struct sg_export_run *out);
void sg_export_run_free(struct sg_export_run *run);
/* Calls `one` for the run, or for every run in order when `run` is NULL. */
typedef enum sg_status sg_export_each(struct sg_export *into, const struct sg_export_run *run, void *context);
SG_MUST_USE enum sg_status sg_export_runs(struct sg_export *into, const char *run, sg_export_each *one, void *context);

/* The bytes of one leaf, appended. */
SG_MUST_USE enum sg_status sg_export_leaf(struct sg_ledger *ledger, int64_t seq, struct sg_buffer *out);
SG_MUST_USE enum sg_status sg_export_leaf_hash(struct sg_ledger *ledger, int64_t seq, char out[65]);
/* The text of a member, "" where it is null or missing. */
const char *sg_export_member(const json_t *object, const char *key);

/* ---- Formats. `run` is an id or number that exists, or NULL. */
SG_MUST_USE enum sg_status sg_export_csv(struct sg_export *into, const char *run);
SG_MUST_USE enum sg_status sg_export_json(struct sg_export *into, const char *run);
SG_MUST_USE enum sg_status sg_export_mlflow(struct sg_export *into, const char *run);
SG_MUST_USE enum sg_status sg_export_openlineage(struct sg_export *into, const char *run);
SG_MUST_USE enum sg_status sg_export_slsa(struct sg_export *into, const char *run);
SG_MUST_USE enum sg_status sg_export_datasette(struct sg_export *into, const char *run);
SG_MUST_USE enum sg_status sg_export_evidence(struct sg_export *into, const char *run);
SG_MUST_USE enum sg_status sg_export_tiles(struct sg_export *into, const char *run);

/* What tiles are made of; the ledger is one source, tests have another. */
struct sg_tile_source {
    int64_t size;
    sg_node_reader *node;
    enum sg_status (*entry)(void *context, int64_t seq, struct sg_buffer *out); /* appends the entry's bytes */
    void *context;
};
SG_MUST_USE enum sg_status sg_export_write_tiles(struct sg_export *into, const struct sg_tile_source *source);

#endif
