/* An SQLite file system that fails on demand and remembers what was written, over the real one. */
#ifndef SG_TESTS_AUDIT_FAULT_VFS_H
#define SG_TESTS_AUDIT_FAULT_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault_op { FAULT_WRITE, FAULT_SYNC, FAULT_OPEN, FAULT_UNLINK, FAULT_TRUNCATE, N_FAULT_OPS };
enum fault_kind {
    FAULT_EIO,       /* the call does nothing and reports an I/O error */
    FAULT_ENOSPC,    /* the same, disk full */
    FAULT_EIO_AFTER, /* the call happens and reports an error: a folder's sync after an unlink */
    FAULT_KILLED,    /* the process dies by SIGKILL before the call */
    N_FAULT_KINDS
};

void fault_install(void); /* becomes the default file system of this process */
void fault_arm(enum fault_op op, enum fault_kind kind, int nth);
bool fault_disarm(void); /* true: it fired */

/* What reached the files since fault_record(true), call by call. */
struct fault_event {
    enum { LOG_WRITE, LOG_TRUNCATE, LOG_SYNC, LOG_UNLINK, LOG_UNLINK_SYNCED } what;
    char name[64]; /* without the folder */
    int64_t offset;
    uint8_t *bytes;
    size_t n;
};
void fault_record(bool on);
size_t fault_log(const struct fault_event **out);

#endif
