/* What is destroyed, with a record: a dataset's key, a run's file. Every proof still verifies. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "schema.h"
#include "side.h"
#include "store.h"

static enum sg_status count(struct sg_ledger *ledger, const char *sql, const char *dataset, bool *out)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db, sql, &row));
    sg_db_bind(row, "t", dataset);
    *out = sqlite3_step(row) == SQLITE_ROW;
    sqlite3_finalize(row);
    return SG_OK;
}

static enum sg_status append_erasure(struct sg_ledger *ledger, const char *dataset, const char *basis,
                                     char event_id[33])
{
    uint8_t digest[SG_DIGEST_BYTES];
    sg_sha256(dataset, strlen(dataset), digest);
    json_t *facts = json_object(), *subjects = sg_store_subject(dataset, "sha256", digest);
    json_object_set_new(facts, "dataset", json_string(dataset));
    json_object_set_new(facts, "basis", json_string(basis));
    json_object_set_new(facts, "destroyed", json_string("dataset_key"));
    enum sg_status status = sg_store_append(ledger, "dataset.erase", subjects, facts, event_id);
    json_decref(facts);
    json_decref(subjects);
    return status;
}

enum sg_status sg_ledger_erase_dataset(struct sg_ledger *ledger, const char *dataset, const char *basis)
{
    char event_id[33] = "";
    bool is_known = false, is_erased = false;
    SG_TRY(sg_store_begin(ledger));
    enum sg_status status = count(ledger, "SELECT 1 FROM dataset WHERE name = ?", dataset, &is_known);
    if (status == SG_OK && !is_known)
        status = sg_fail(SG_USAGE, "dataset %.80s is not registered in this ledger", dataset);
    if (status == SG_OK)
        status = count(ledger, "SELECT 1 FROM erasure WHERE dataset = ?", dataset, &is_erased);
    if (status == SG_OK && !is_erased)
        status = append_erasure(ledger, dataset, basis, event_id);
    if (is_erased)
        sg_store_rollback(ledger); /* the event stands; only the key may still have to go */
    else
        SG_TRY(sg_store_end(ledger, status, event_id));
    SG_TRY(status);
    return sg_side_destroy_key(ledger->side, dataset);
}

/* ---- A run's file. */
static enum sg_status find_file(struct sg_ledger *ledger, const char *run, const char *sha256, struct sg_run *out)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db,
                         "SELECT r.run_id, r.run_no, r.start_leaf FROM run r JOIN artifact a ON a.run_no = r.run_no "
                         "WHERE (r.run_id = ?1 OR r.run_no = ?1) AND a.sha256 = ?2",
                         &row));
    sg_db_bind(row, "tt", run, sha256);
    bool found = sqlite3_step(row) == SQLITE_ROW;
    if (found) {
        snprintf(out->run_id, sizeof out->run_id, "%s", (const char *)sqlite3_column_text(row, 0));
        out->run_no = sqlite3_column_int64(row, 1);
        out->leaf = sqlite3_column_int64(row, 2);
    }
    sqlite3_finalize(row);
    return found ? SG_OK
                 : sg_fail(SG_USAGE, "erase: that file is not one that run %.60s made: nothing was touched", run);
}

struct erased {
    int64_t run_no;
    bool found;
};

static enum sg_status look_for_run(void *context, const struct sg_event *event)
{
    struct erased *erased = context;
    erased->found |= json_integer_value(json_object_get(event->facts, "run_no")) == erased->run_no;
    return SG_OK;
}

static enum sg_status is_erased(struct sg_ledger *ledger, int64_t run_no, bool *out)
{
    sqlite3_stmt *rows = NULL;
    struct erased erased = {.run_no = run_no};
    SG_TRY(sg_db_prepare(ledger->db, "SELECT body FROM leaf WHERE type = 'run.erase'", &rows));
    enum sg_status status = sg_store_events(rows, look_for_run, &erased);
    *out = erased.found;
    return status;
}

static enum sg_status append_run_erasure(struct sg_ledger *ledger, const struct sg_run *run, const char *sha256,
                                         const char *basis, char event_id[33])
{
    uint8_t digest[SG_DIGEST_BYTES];
    bool again;
    SG_TRY(is_erased(ledger, run->run_no, &again));
    if (again)
        return sg_fail(SG_USAGE, "erase: the file of %s was destroyed before; delete this copy yourself", run->run_id);
    SG_TRY(sg_store_node(ledger->db, 0, (uint64_t)run->leaf, digest));
    json_t *facts = json_object(), *subjects = sg_store_subject(run->run_id, "sha256", digest), *files = json_array();
    json_array_append_new(files, json_string(sha256));
    json_object_set_new(facts, "run_id", json_string(run->run_id));
    json_object_set_new(facts, "run_no", json_integer(run->run_no));
    json_object_set_new(facts, "basis", json_string(basis));
    json_object_set_new(facts, "destroyed", files);
    enum sg_status status = sg_store_append(ledger, "run.erase", subjects, facts, event_id);
    json_decref(facts);
    json_decref(subjects);
    return status;
}

enum sg_status sg_ledger_erase_run(struct sg_ledger *ledger, const char *run, const char *path, const char *basis)
{
    char event_id[33] = "", sha256[65];
    uint8_t digest[SG_DIGEST_BYTES];
    struct sg_run found = {0};
    SG_TRY(sg_sha256_file(path, digest));
    sg_hex_encode(digest, sizeof digest, sha256);
    SG_TRY(find_file(ledger, run, sha256, &found));
    SG_TRY(sg_store_begin(ledger));
    SG_TRY(sg_store_end(ledger, append_run_erasure(ledger, &found, sha256, basis, event_id), event_id));
    return unlink(path) == 0 ? SG_OK
                             : sg_fail(SG_FAILED, "%s: the erasure is recorded, but the file could not be removed: %s",
                                       path, strerror(errno));
}
