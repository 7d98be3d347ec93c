/* Making, opening and closing a ledger. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "schema.h"
#include "side.h"
#include "store.h"

/* Network file systems do not keep the locks that a ledger's writers rely on. */
static enum sg_status check_file_system(const char *path)
{
    struct statfs info;
    if (statfs(path, &info) == 0 && (info.f_type == 0x6969 || info.f_type == (long)0xff534d42 ||
                                     info.f_type == 0x517b || info.f_type == (long)0xfe534d42))
        return sg_fail(SG_USAGE,
                       "%s: a ledger cannot live on a network file system, whose locks do not hold: use a local disk",
                       path);
    return SG_OK;
}

/* Only what appending needs: no statement of ours deletes, drops or attaches anything. */
static int authorize(void *unused, int action, const char *table, const char *column, const char *db,
                     const char *trigger)
{
    (void)unused, (void)column, (void)db, (void)trigger;
    switch (action) {
    case SQLITE_DELETE:
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_TRIGGER:
    case SQLITE_DROP_INDEX:
    case SQLITE_DROP_VIEW:
    case SQLITE_ALTER_TABLE:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_TABLE:
        return SQLITE_DENY;
    case SQLITE_UPDATE:
        return strcmp(table, "run") == 0 || strcmp(table, "signing_key") == 0 ||
                       strncmp(table, "sqlite_temp", strlen("sqlite_temp")) == 0 /* questions: query_events.c */
                   ? SQLITE_OK
                   : SQLITE_DENY;
    default:
        return SQLITE_OK;
    }
}

static enum sg_status connect(struct sg_ledger *ledger, int flags)
{
    if (sqlite3_open_v2(ledger->path, &ledger->db, flags | SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        return sg_fail(SG_FAILED, "%s: cannot open the ledger for writing: %s", ledger->path,
                       sqlite3_errmsg(ledger->db));
    sqlite3_busy_timeout(ledger->db, 600000); /* a long verify may hold a reader's lock: a run's end must not be lost to it */
    SG_TRY(sg_db_harden(ledger->db));
    sg_watch_open(ledger); /* the next statement reads the file, and so rolls a journal back */
    return sg_db_run(ledger->db, "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA; PRAGMA foreign_keys=ON; "
                                 "PRAGMA recursive_triggers=ON; PRAGMA fullfsync=ON;");
}

static struct sg_ledger *new_ledger(const char *path, const struct sg_signer *signer)
{
    struct sg_ledger *ledger = sg_alloc(1, sizeof *ledger);
    ledger->path = sg_strdup(path);
    ledger->signer = signer;
    return ledger;
}

void sg_ledger_close(struct sg_ledger **ledger)
{
    if (!*ledger)
        return;
    sg_store_rollback(*ledger);
    sg_derive_close(&(*ledger)->derive);
    sqlite3_close((*ledger)->side);
    if ((*ledger)->db != (*ledger)->snapshot.db)
        sqlite3_close((*ledger)->db);
    sg_snapshot_close(&(*ledger)->snapshot);
    sg_buffer_free(&(*ledger)->spend_text);
    sg_buffer_free(&(*ledger)->spend_signature);
    free((*ledger)->path);
    free(*ledger);
    *ledger = NULL;
}

/* ---- Init. */
static enum sg_status append_genesis(struct sg_ledger *ledger)
{
    struct sg_buffer vkey = {0};
    char event_id[33] = "";
    uint8_t digest[SG_DIGEST_BYTES];
    sg_vkey_print(&ledger->note_key, &vkey);
    sg_sha256(vkey.data, vkey.len, digest);
    json_t *facts = json_object(), *subjects = sg_store_subject(ledger->origin, "sha256", digest);
    json_object_set_new(facts, "schema_version", json_integer(SG_LEDGER_VERSION));
    json_object_set_new(facts, "tree", json_string("rfc6962-sha256"));
    json_object_set_new(facts, "key", json_string(vkey.data));
    json_object_set_new(facts, "key_name", json_string(sg_signer_vkey(ledger->signer)->name));
    enum sg_status status = sg_store_append(ledger, "ledger.genesis", subjects, facts, event_id);
    json_decref(facts);
    json_decref(subjects);
    sg_buffer_free(&vkey);
    return status;
}

static enum sg_status fill_new(struct sg_ledger *ledger)
{
    SG_TRY(connect(ledger, 0));
    char *pragmas =
        sg_format("PRAGMA application_id=%d; PRAGMA user_version=%d;", SG_LEDGER_APPLICATION_ID, SG_LEDGER_VERSION);
    enum sg_status status = sg_db_run(ledger->db, "BEGIN EXCLUSIVE");
    if (status == SG_OK)
        status = sg_db_run(ledger->db, pragmas);
    free(pragmas);
    SG_TRY(status);
    SG_TRY(sg_schema_create(ledger->db));
    SG_TRY(sg_derive_open(ledger->db, &ledger->derive));
    SG_TRY(append_genesis(ledger));
    SG_TRY(sg_side_open(ledger->path, &ledger->side));
    SG_TRY(sg_db_run(ledger->db, "COMMIT"));
    return sg_side_put_anchor(ledger->side, (int64_t)ledger->tree.size, ledger->root);
}

enum sg_status sg_ledger_init(const char *path, const char *origin, const struct sg_signer *signer)
{
    struct sg_ledger *ledger = new_ledger(path, signer);
    enum sg_status status = sg_vkey_rename(sg_signer_vkey(signer), origin, &ledger->note_key);
    if (status == SG_OK)
        snprintf(ledger->origin, sizeof ledger->origin, "%s", origin);
    char *side = sg_format("%s.side.db", path);
    if (status == SG_OK && access(path, F_OK) == 0)
        status = sg_fail(SG_USAGE, "%s exists already: a ledger is never overwritten", path);
    if (status == SG_OK && access(side, F_OK) == 0)
        status = sg_fail(SG_USAGE, "%s exists: it belongs to another ledger of this name; move it away first", side);
    int file = status == SG_OK ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
    if (status == SG_OK && file < 0)
        status = sg_fail(SG_USAGE, "%s: cannot make the ledger: %s", path, strerror(errno));
    if (file >= 0) {
        close(file);
        status = check_file_system(path);
        if (status == SG_OK)
            status = fill_new(ledger);
        if (status != SG_OK) {
            sg_ledger_close(&ledger);
            unlink(path);
            unlink(side);
        }
    }
    sg_ledger_close(&ledger);
    free(side);
    return status;
}

/* ---- Open. */
static enum sg_status check_identity(sqlite3 *db)
{
    int64_t id = 0, version = 0;
    SG_TRY(sg_db_number(db, "PRAGMA application_id", &id));
    SG_TRY(sg_db_number(db, "PRAGMA user_version", &version));
    if (id != SG_LEDGER_APPLICATION_ID)
        return sg_fail(SG_BROKEN, "this is not a ledger: the database does not bear a ledger's mark");
    if (version != SG_LEDGER_VERSION)
        return sg_fail(SG_BROKEN, "the ledger has format version %lld, this program knows %d", (long long)version,
                       SG_LEDGER_VERSION);
    return sg_schema_check(db);
}

static enum sg_status open_for_writing(struct sg_ledger *ledger)
{
    struct stat info;
    if (stat(ledger->path, &info))
        return sg_fail(SG_USAGE, "%s: cannot open the ledger: %s (make one with sealgrad ledger init)", ledger->path,
                       strerror(errno));
    if (!S_ISREG(info.st_mode))
        return sg_fail(SG_USAGE, "%s: not a file: name the ledger's database", ledger->path);
    SG_TRY(check_file_system(ledger->path));
    SG_TRY(connect(ledger, 0));
    SG_TRY(sg_db_run(ledger->db, "BEGIN"));
    enum sg_status status = check_identity(ledger->db);
    if (status == SG_OK) /* only now: a file that is no ledger gets no side storage */
        status = sg_side_open(ledger->path, &ledger->side);
    if (status == SG_OK)
        status = sg_store_load_head(ledger);
    if (status == SG_OK)
        status = sg_store_check_signer(ledger);
    if (status == SG_OK)
        status = sg_derive_open(ledger->db, &ledger->derive);
    if (status == SG_OK)
        sg_watch_keep(ledger);
    if (sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK && status == SG_OK)
        status = sg_db_fail(ledger->db, "opening");
    sqlite3_set_authorizer(ledger->db, authorize, NULL);
    return status;
}

enum sg_status sg_ledger_open(const char *path, const struct sg_signer *signer, struct sg_ledger **out)
{
    *out = new_ledger(path, signer);
    enum sg_status status = open_for_writing(*out);
    if (status == SG_BROKEN) { /* the text of a broken file names the file */
        char *text = sg_strdup(sg_error_text());
        status = sg_fail(SG_BROKEN, "%s: %s", path, text);
        free(text);
    }
    if (status != SG_OK)
        sg_ledger_close(out);
    return status;
}

enum sg_status sg_ledger_open_read(const char *path, struct sg_ledger **out)
{
    *out = new_ledger(path, NULL);
    enum sg_status status = sg_snapshot_open(path, &(*out)->snapshot);
    (*out)->db = (*out)->snapshot.db;
    if (status == SG_OK)
        status = check_identity((*out)->db);
    if (status == SG_OK)
        status = sg_store_load_head(*out);
    if (status != SG_OK)
        sg_ledger_close(out);
    return status;
}

void sg_ledger_head(const struct sg_ledger *ledger, int64_t *size, uint8_t root[SG_DIGEST_BYTES])
{
    *size = (int64_t)ledger->tree.size;
    memcpy(root, ledger->root, SG_DIGEST_BYTES);
}
