#include "fault_vfs.h"

#include <stdio.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

struct file {
    sqlite3_file base;
    char name[64];
    sqlite3_file *real; /* behind this struct, in SQLite's own memory */
};

static sqlite3_vfs vfs, *real_vfs;
static sqlite3_io_methods methods;
static struct {
    enum fault_op op;
    enum fault_kind kind;
    int left;
    bool armed, fired, recording;
} plan;
static struct fault_event *events;
static size_t n_events;

void fault_arm(enum fault_op op, enum fault_kind kind, int nth)
{
    plan.op = op, plan.kind = kind, plan.left = nth, plan.armed = true, plan.fired = false;
}

bool fault_disarm(void)
{
    plan.armed = false;
    return plan.fired;
}

void fault_record(bool on)
{
    for (size_t i = 0; on && i < n_events; i++)
        free(events[i].bytes);
    n_events = on ? 0 : n_events;
    plan.recording = on;
}

size_t fault_log(const struct fault_event **out)
{
    *out = events;
    return n_events;
}

static void record(int what, const char *name, int64_t offset, const void *bytes, size_t n)
{
    if (!plan.recording)
        return;
    events = sg_realloc(events, n_events + 1, sizeof *events);
    struct fault_event *event = &events[n_events++];
    *event = (struct fault_event){.what = what, .offset = offset, .n = n};
    snprintf(event->name, sizeof event->name, "%s", name);
    event->bytes = bytes ? memcpy(sg_alloc(n, 1), bytes, n) : NULL;
}

/* 0: go on. FAULT_EIO_AFTER also goes on; the caller asks `after`. */
static int strike(enum fault_op op, bool *after)
{
    *after = false;
    if (!plan.armed || plan.fired || plan.op != op || --plan.left > 0)
        return SQLITE_OK;
    plan.fired = true;
    if (plan.kind == FAULT_KILLED)
        kill(getpid(), SIGKILL);
    *after = plan.kind == FAULT_EIO_AFTER;
    if (plan.kind == FAULT_ENOSPC)
        return SQLITE_FULL;
    static const int codes[N_FAULT_OPS] = {SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC, SQLITE_CANTOPEN, SQLITE_IOERR_DELETE,
                                           SQLITE_IOERR_TRUNCATE};
    return plan.kind == FAULT_EIO_AFTER && op == FAULT_UNLINK ? SQLITE_IOERR_DIR_FSYNC : codes[op];
}

#define REAL(f) (((struct file *)(f))->real)
static int do_close(sqlite3_file *f)
{
    return REAL(f)->pMethods->xClose(REAL(f));
}
static int do_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return REAL(f)->pMethods->xRead(REAL(f), p, n, at);
}

static int do_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    bool after;
    int fault = strike(FAULT_WRITE, &after);
    if (fault && !after)
        return fault;
    record(LOG_WRITE, ((struct file *)f)->name, at, p, (size_t)n);
    int code = REAL(f)->pMethods->xWrite(REAL(f), p, n, at);
    return fault ? fault : code;
}

static int do_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    bool after;
    int fault = strike(FAULT_TRUNCATE, &after);
    if (fault && !after)
        return fault;
    record(LOG_TRUNCATE, ((struct file *)f)->name, size, NULL, 0);
    int code = REAL(f)->pMethods->xTruncate(REAL(f), size);
    return fault ? fault : code;
}

static int do_sync(sqlite3_file *f, int flags)
{
    bool after;
    int fault = strike(FAULT_SYNC, &after);
    if (fault && !after)
        return fault;
    record(LOG_SYNC, ((struct file *)f)->name, 0, NULL, 0);
    int code = REAL(f)->pMethods->xSync(REAL(f), flags);
    return fault ? fault : code;
}

static int do_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), n);
}
static int do_lock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xLock(REAL(f), level);
}
static int do_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), level);
}
static int do_reserved(sqlite3_file *f, int *out)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out);
}
static int do_control(sqlite3_file *f, int op, void *p)
{
    return REAL(f)->pMethods->xFileControl(REAL(f), op, p);
}
static int do_sector(sqlite3_file *f)
{
    return REAL(f)->pMethods->xSectorSize(REAL(f));
}
static int do_traits(sqlite3_file *f)
{ /* no promise of the real disk: neither atomic writes nor safe appends */
    (void)f;
    return 0;
}

static int do_open(sqlite3_vfs *self, const char *path, sqlite3_file *f, int flags, int *out_flags)
{
    (void)self;
    bool after;
    struct file *file = (struct file *)f;
    memset(file, 0, sizeof *file);
    int fault = strike(FAULT_OPEN, &after);
    if (fault)
        return fault;
    file->real = (sqlite3_file *)(file + 1);
    const char *slash = path ? strrchr(path, '/') : NULL;
    strncpy(file->name, slash ? slash + 1 : "", sizeof file->name - 1);
    int code = real_vfs->xOpen(real_vfs, path, file->real, flags, out_flags);
    if (file->real->pMethods)
        file->base.pMethods = &methods;
    return code;
}

static int do_delete(sqlite3_vfs *self, const char *path, int sync_folder)
{
    (void)self;
    bool after;
    int fault = strike(FAULT_UNLINK, &after);
    if (fault && !after)
        return fault;
    const char *slash = strrchr(path, '/');
    int code = real_vfs->xDelete(real_vfs, path, sync_folder);
    if (code == SQLITE_OK)
        record(sync_folder && !fault ? LOG_UNLINK_SYNCED : LOG_UNLINK, slash ? slash + 1 : path, 0, NULL, 0);
    return fault ? fault : code;
}

void fault_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "faults";
    vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    vfs.xOpen = do_open;
    vfs.xDelete = do_delete;
    vfs.pNext = NULL;
    methods = (sqlite3_io_methods){1,       do_close,  do_read,     do_write,   do_truncate, do_sync,   do_size,
                                   do_lock, do_unlock, do_reserved, do_control, do_sector,   do_traits, NULL,
                                   NULL,    NULL,      NULL,        NULL,       NULL};
    sqlite3_vfs_register(&vfs, 1);
}
