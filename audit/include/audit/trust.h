/* What a verifier brings along: which key is the ledger's, which witnesses count.
 *
 * A trust file is either one vkey (a .pub file), or a policy as c2sp.org/tlog-policy has it:
 *   log VKEY [URL]                      the ledger whose origin is the key's name
 *   witness NAME VKEY [URL]             a witness's cosignature key (type 4; a type 1 vkey of the same pair will do)
 *   group NAME N|any|all MEMBER...      satisfied by N members, witnesses or earlier groups
 *   quorum NAME|none                    what a checkpoint needs */
#ifndef SG_AUDIT_TRUST_H
#define SG_AUDIT_TRUST_H

#include "audit/key.h"

enum { SG_TRUST_LOGS_MAX = 16, SG_TRUST_WITNESSES_MAX = 32, SG_TRUST_GROUPS_MAX = 32 };

struct sg_trust_group {
    char name[SG_NAME_MAX];
    int threshold;
    uint64_t witnesses, groups; /* members, by bit */
};

struct sg_trust {
    bool is_policy; /* false: one vkey, whose name says nothing about the origin */
    size_t n_logs, n_witnesses, n_groups;
    struct sg_vkey logs[SG_TRUST_LOGS_MAX], witnesses[SG_TRUST_WITNESSES_MAX]; /* witnesses: always of type 4 */
    char witness_names[SG_TRUST_WITNESSES_MAX][SG_NAME_MAX];
    struct sg_trust_group groups[SG_TRUST_GROUPS_MAX];
    int quorum_group, quorum_witness; /* index, or -1 */
};

/* SG_USAGE with the line at fault. */
SG_MUST_USE enum sg_status sg_trust_read(const char *path, struct sg_trust *out);
SG_MUST_USE enum sg_status sg_trust_parse(const char *path, const char *text, size_t n, struct sg_trust *out);
bool sg_trust_has_log(const struct sg_trust *trust, const char *origin, const struct sg_vkey *key);
/* Whether a set of witnesses, by bit, meets the quorum. Without a quorum nothing does. */
bool sg_trust_quorum(const struct sg_trust *trust, uint64_t witnesses);

#endif
