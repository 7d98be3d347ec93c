/* Inside the verifier: what its parts share. */
#ifndef SG_AUDIT_CHECK_H
#define SG_AUDIT_CHECK_H

#include <sqlite3.h>

#include "audit/leaf.h"
#include "audit/note.h"
#include "audit/verify.h"
#include "base/merkle.h"
#include "budget.h"
#include "derive.h"
#include "past.h"

enum { SG_CHECK_KEYS_MAX = 64 };

struct sg_check_key {
    struct sg_vkey key; /* under the ledger's origin */
    char label[33];
    bool is_root, has_ended;
};

struct sg_check_population {
    char name[128];
    struct sg_filter filter;
};

struct sg_check_programme {
    char id[40], population[128];
    json_t *plan; /* as recorded; owned */
    int64_t runs, drawn;
};

/* Which signatures were asked for, and the one that waits until its key's stretch of events ends. */
struct sg_check_signatures {
    int64_t last, all_from; /* events in the file; every signature from this event on is checked */
    sqlite3_stmt *evidence; /* the sizes that a witness or authority vouched for, in order */
    bool has_evidence, is_pending;
    int64_t evidence_size, pending_seq;
    size_t pending_key;
    struct sg_envelope pending;
    struct sg_buffer text; /* of the checkpoint at hand */
};

/* One level of the stored tree, read in order. */
struct sg_check_level {
    sqlite3_stmt *rows;
    bool has_row;
};

struct sg_check {
    const struct sg_verify_options *options;
    struct sg_verdict *verdict;
    struct sg_plan_memo *memo;
    sqlite3 *db;       /* the file */
    sqlite3 *expected; /* ours: every table as it follows from the leaves */
    struct sg_derive *derive;
    bool derive_stopped; /* an event could not be derived: the tables after it cannot be compared */
    struct sg_merkle tree;
    uint8_t previous[SG_DIGEST_BYTES];
    struct sg_check_key keys[SG_CHECK_KEYS_MAX];
    size_t n_keys;
    struct sg_buffer signer_of; /* a byte a leaf: the index of its key, 255 for none */
    struct sg_check_population *populations;
    size_t n_populations;
    struct sg_check_programme *programmes;
    size_t n_programmes;
    struct sg_checkpoint since;
    struct sg_check_signatures signatures;
    struct sg_check_level level[64];
    struct sg_buffer payload; /* of the leaf at hand, in a quick check */
    struct sg_past *past;
    json_t *approvals; /* by the verifier's policy: see check_approvals.c; owned */
};

void sg_check_problem(struct sg_check *check, enum sg_status status, const char *place, const char *format, ...)
    SG_PRINTF(4, 5);
/* The last error text as a problem of `place`. */
void sg_check_error(struct sg_check *check, const char *place);

/* Events in order, after their bytes were checked: keys, plans, budgets. */
void sg_check_semantics(struct sg_check *check, const struct sg_event *event, const struct sg_check_key *signer);
void sg_check_programmes_free(struct sg_check *check);
/* The form of an event beside its meaning: members, number, time, limits. */
void sg_check_facts(struct sg_check *check, const struct sg_event *event, const char *place);
/* Around the walk over the leaves. */
SG_MUST_USE enum sg_status sg_check_signatures_begin(struct sg_check *check);
void sg_check_signatures_end(struct sg_check *check);
/* The key in force that signed, or NULL; whether its signature is checked now, when its stretch ends or not at all is
 * decided here. `is_deciding`: an event that changes which keys are in force. May take the envelope's payload. */
const struct sg_check_key *sg_check_signer(struct sg_check *check, struct sg_envelope *envelope, bool is_deciding);
void sg_check_stretch(struct sg_check *check);
/* A stored checkpoint note against the one that follows from the leaves; its signature where that was asked for. */
void sg_check_note(struct sg_check *check, const struct sg_checkpoint *expected, const char *note, size_t n,
                   const char *place);
/* A decision against the policy that the verifier brought: whose key signed, and how many people approved. */
void sg_check_approval(struct sg_check *check, const struct sg_event *event, const char *place);
/* Every leaf with its node rows and its checkpoint. */
void sg_check_leaves(struct sg_check *check);
void sg_check_cosignatures(struct sg_check *check);
void sg_check_timestamps(struct sg_check *check);
void sg_check_derived_tables(struct sg_check *check);
/* Runs that began and did not end. */
void sg_check_open_runs(struct sg_check *check);

#endif
