/* The ledger as its writer sees it: one connection, the tree's right edge, and transactions of one event. */
#ifndef SG_AUDIT_STORE_H
#define SG_AUDIT_STORE_H

#include "audit/leaf.h"
#include "audit/note.h"
#include "base/merkle.h"
#include "derive.h"
#include "snapshot.h"
#include "watch.h"

struct sg_ledger {
    struct sg_snapshot snapshot; /* its db is the connection, for writing too */
    sqlite3 *db, *side;
    char *path;
    const struct sg_signer *signer; /* NULL: nothing can be appended */
    char origin[SG_NAME_MAX];
    struct sg_vkey note_key; /* the signer's public key under the ledger's origin, as checkpoints carry it */
    struct sg_merkle tree;
    uint8_t root[SG_DIGEST_BYTES], last_hash[SG_DIGEST_BYTES];
    int64_t last_ms;
    bool is_current; /* tree and last_* belong to the file's state inside the transaction */
    struct sg_derive *derive;
    struct sg_buffer spend_text, spend_signature; /* a record for side storage, written after the next commit */
    struct sg_watch watch;                        /* what the writer notices, for events of its own */
};

/* Reads origin, right edge and last event, and checks them against the stored checkpoint and its signature. */
SG_MUST_USE enum sg_status sg_store_load_head(struct sg_ledger *ledger);
/* Whether the signer's key is in force; sets note_key. Without a signer there is nothing to check. */
SG_MUST_USE enum sg_status sg_store_check_signer(struct sg_ledger *ledger);
/* BEGIN IMMEDIATE, then the head. */
SG_MUST_USE enum sg_status sg_store_begin(struct sg_ledger *ledger);
/* Inside a transaction: leaf, tree, signed checkpoint, derived rows. `event_id` gets 33 characters, new if empty. */
SG_MUST_USE enum sg_status sg_store_append(struct sg_ledger *ledger, const char *type, json_t *subjects, json_t *facts,
                                           char event_id[33]);
/* A commit that reports a failure may have happened: the file is opened anew and asked for the event. */
SG_MUST_USE enum sg_status sg_store_commit(struct sg_ledger *ledger, const char *event_id);
void sg_store_rollback(struct sg_ledger *ledger);
/* Ends a transaction of one event: commits when `status` is SG_OK, else rolls back and returns it. */
SG_MUST_USE enum sg_status sg_store_end(struct sg_ledger *ledger, enum sg_status status, const char *event_id);
/* {"name": name, "digest": {kind: hex}} in a list of one; owned by the caller. */
json_t *sg_store_subject(const char *name, const char *kind, const uint8_t digest[SG_DIGEST_BYTES]);
/* The account and the machine, by name. */
void sg_store_who(char user[128], char host[128]);
/* Reads a node of the tree from the tables; `context` is the sqlite3 connection. */
enum sg_status sg_store_node(void *context, int level, uint64_t index, uint8_t out[SG_DIGEST_BYTES]);
/* The account that began the run which made that model first; "" when no run of the tables did. */
SG_MUST_USE enum sg_status sg_store_developer(sqlite3 *db, const char *model, char out[128]);
/* The right edge of a tree of tree->size events. */
SG_MUST_USE enum sg_status sg_store_edge(sqlite3 *db, struct sg_merkle *tree);
/* Called with one event after another; what is not SG_OK ends the walk. */
typedef enum sg_status sg_store_visit(void *context, const struct sg_event *event);
/* The events whose leaves' bodies `rows` selects. Finalizes it. */
SG_MUST_USE enum sg_status sg_store_events(sqlite3_stmt *rows, sg_store_visit *visit, void *context);
/* Of these, the events with one of the words somewhere in their statement; the rest is not even parsed. NULL: all. */
SG_MUST_USE enum sg_status sg_store_events_with(sqlite3_stmt *rows, const char *const *words, sg_store_visit *visit,
                                                void *context);
/* The keys that the ledger names, under its origin, for checking checkpoints: at most 64, the newest. */
SG_MUST_USE enum sg_status sg_store_note_keys(sqlite3 *db, struct sg_vkey keys[64], size_t *n);

#endif
