/* Approvals, deployments and retirements of models; erasure of a dataset's key. */
#include <stdlib.h>
#include <string.h>

#include "schema.h"
#include "side.h"
#include "store.h"

/* The digest of the model that `subject` names. */
static enum sg_status find_model(struct sg_ledger *ledger, const char *subject, char digest[65])
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(
        ledger->db,
        "SELECT a.sha256 FROM artifact a JOIN run r ON r.run_no = a.run_no WHERE a.sha256 = ?1 OR r.run_id = ?1 OR "
        "r.run_no = ?1 ORDER BY a.run_no, a.ordinal LIMIT 1",
        &row));
    sg_db_bind(row, "t", subject);
    bool found = sqlite3_step(row) == SQLITE_ROW && sqlite3_column_bytes(row, 0) == 64;
    if (found)
        memcpy(digest, sqlite3_column_text(row, 0), 65);
    sqlite3_finalize(row);
    return found ? SG_OK
                 : sg_fail(SG_USAGE, "the ledger has no model \"%.80s\": give the SHA-256 of its file, or its run",
                           subject);
}

static enum sg_status append_decision(struct sg_ledger *ledger, const struct sg_decision *decision, char event_id[33])
{
    char model[65];
    uint8_t digest[SG_DIGEST_BYTES];
    SG_TRY(find_model(ledger, decision->model, model));
    if (!sg_hex_decode(model, 64, digest, sizeof digest))
        return sg_fail(SG_BROKEN, "ledger: a model's digest is malformed: run sealgrad ledger verify");
    json_t *facts = json_object(), *subjects = sg_store_subject("model", "sha256", digest);
    json_object_set_new(facts, "model", json_string(model));
    json_object_set_new(facts, "role", json_string(decision->role ? decision->role : ""));
    json_object_set_new(facts, "reason", json_string(decision->reason ? decision->reason : ""));
    json_object_set_new(facts, "expires_ms",
                        decision->expires_ms > 0 ? json_integer(decision->expires_ms) : json_null());
    enum sg_status status = sg_store_append(ledger, decision->kind, subjects, facts, event_id);
    json_decref(facts);
    json_decref(subjects);
    return status;
}

enum sg_status sg_ledger_decide(struct sg_ledger *ledger, const struct sg_decision *decision)
{
    char event_id[33] = "";
    SG_TRY(sg_store_begin(ledger));
    return sg_store_end(ledger, append_decision(ledger, decision, event_id), event_id);
}

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
