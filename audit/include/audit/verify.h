/* The verifier. It treats the file as written by an enemy: nothing in it is executed, nothing of it is trusted, and
 * every fault found is listed, not only the first. docs/ledger.md says what is checked and what each finding means. */
#ifndef SG_AUDIT_VERIFY_H
#define SG_AUDIT_VERIFY_H

#include "audit/sshsig.h"
#include "audit/timestamp.h"
#include "audit/trust.h"

enum { SG_PROBLEMS_MAX = 200 }; /* listed; the rest is counted */

struct sg_problem {
    enum sg_status status; /* SG_BROKEN or SG_INCOMPLETE */
    char place[64];        /* "leaf 7", "checkpoint 8", "table run", "run-000003-9f12ab01" */
    char text[256];
};

/* Remembers which plans were recomputed; may outlive one call of verify. */
struct sg_plan_memo;
struct sg_plan_memo *sg_plan_memo_new(void);
void sg_plan_memo_free(struct sg_plan_memo **memo);

struct sg_verify_options {
    const struct sg_trust *trust; /* NULL: none */
    const struct sg_tsa *tsa;     /* authorities for time stamps; NULL: they are read, not verified */
    const char *since;            /* a checkpoint note that the verifier kept; NULL: none */
    bool allow_unwitnessed, allow_self_trust;
    const struct sg_signers *signers; /* who owns which SSH key: every signed decision must be by one of them; or NULL */
    int64_t needs;                    /* every deployment needs so many people's approvals; 0: no such rule */
    bool four_eyes;                   /* whoever began a model's run does not count among its approvers */
    bool quick; /* every hash, node and root, the newest checkpoint's signature and those of events that change keys; no
                   other signature, no event's meaning, no derived table */
    bool all_signatures;       /* else those that decide: see docs/ledger.md, section 7 */
    int64_t newest_signatures; /* and those of so many newest events; 0: 10,000 */
    struct sg_plan_memo *memo; /* NULL: a new one for this call */
};

struct sg_verdict {
    enum sg_status status; /* SG_OK, SG_BROKEN, SG_INCOMPLETE */
    char sentence[512];    /* the verdict in words */
    char origin[SG_NAME_MAX], key[192];
    int64_t size, first_ms, last_ms;
    uint8_t root[SG_DIGEST_BYTES];
    bool is_trusted, quick;
    bool has_journal;                       /* one waits beside the file, and was rolled back in a private copy */
    int64_t witnessed_size, witness_time_s; /* the largest size whose checkpoint meets the quorum; 0: none */
    int64_t stamped_size, stamp_time_s;     /* the largest size with a time stamp that verifies; 0: none */
    int64_t n_stamps_unchecked;             /* no authorities were given */
    int64_t n_clock;                        /* time stamps before the time of the event they cover */
    int64_t n_runs, n_open, n_datasets, n_plans_recomputed;
    int64_t n_unapproved;                    /* decisions that are not as signers, needs and four_eyes ask */
    int64_t n_signatures, n_signatures_left; /* of events and checkpoints: checked; not checked one by one */
    int64_t n_suspect;                       /* leaves by a key at a time when it was compromised */
    size_t n_problems, n_broken;             /* found */
    size_t n_listed;
    struct sg_problem problems[SG_PROBLEMS_MAX];
};

/* SG_OK whenever there is a verdict, good or bad: look at verdict->status. SG_USAGE or SG_FAILED when the file could
 * not be read at all. */
SG_MUST_USE enum sg_status sg_verify_file(const char *path, const struct sg_verify_options *options,
                                          struct sg_verdict *out);
/* The same over a whole database file in memory, which is copied. */
SG_MUST_USE enum sg_status sg_verify_bytes(const uint8_t *bytes, size_t n, const struct sg_verify_options *options,
                                           struct sg_verdict *out);

#endif
