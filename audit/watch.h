/* What a writer notices about its machine and about whoever wrote before it, and says in events of its own: a clock
 * that fell behind or jumped, a reboot under a running program, a writer that died in mid-commit, a run whose process
 * is gone. The events are appended first thing in the writer's next transaction. */
#ifndef SG_AUDIT_WATCH_H
#define SG_AUDIT_WATCH_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "audit/ledger.h"

enum {
    SG_WATCH_BEHIND_MS = 1000, /* a clock may be so far behind the last event before anybody speaks of it */
    SG_WATCH_JUMP_MS = 2000,   /* ... and differ so far from the monotone clock, plus a thousandth of the time passed */
};

struct sg_watch_clock {
    char boot_id[37]; /* "" where the system has none */
    int64_t boottime_ms, wall_ms;
};

struct sg_watch {
    struct sg_watch_clock seen;      /* at the last commit, or when the ledger was opened */
    struct sg_watch_clock now;       /* inside a transaction */
    bool has_dead_journal;           /* a writer was killed in mid-commit before this one opened */
    bool said_behind;                /* once until the clock has caught up */
    bool has_looked;                 /* for runs without a process: once for each opening */
    int64_t beat_run_no, beat, step; /* the last heartbeat written through this connection */
    int64_t ended_run_no;            /* of the transaction under way; 0: none */
};

/* {boot_id, boottime_ms} as events carry it. */
json_t *sg_watch_clock_facts(const struct sg_watch_clock *clock);

/* When a ledger is opened for writing, before its first transaction. */
void sg_watch_open(struct sg_ledger *ledger);
/* When its side storage is open: a dead journal is remembered there until it is recorded, whoever opens the file next.
 */
void sg_watch_keep(struct sg_ledger *ledger);
/* Inside a transaction, before its own event. */
SG_MUST_USE enum sg_status sg_watch_begin(struct sg_ledger *ledger);
/* After the commit: what was noticed is recorded. The first within a transaction of side storage. */
void sg_watch_forget(struct sg_ledger *ledger);
void sg_watch_commit(struct sg_ledger *ledger);

/* Which process carries a run, remembered in side storage: no evidence, only what lets a later writer say that the
 * process is gone. Failures do not matter. */
void sg_watch_run_begins(struct sg_ledger *ledger, int64_t run_no);
/* Before the commit, with which it is forgotten. */
void sg_watch_run_ends(struct sg_ledger *ledger, int64_t run_no);

#endif
