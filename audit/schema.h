/* The tables of the ledger file, the settings of its connections, and a few helpers around SQLite. */
#ifndef SG_AUDIT_SCHEMA_H
#define SG_AUDIT_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

enum {
    SG_LEDGER_APPLICATION_ID = 0x53474c31, /* "SGL1", bytes 68 to 71 of the file */
    SG_LEDGER_VERSION = 2,                 /* user_version */
};

struct sg_schema_table {
    const char *name;
    const char *order; /* the columns that order its rows */
    bool is_derived;   /* can be rebuilt from the leaves; never evidence */
};
extern const struct sg_schema_table sg_schema_tables[];
extern const size_t sg_schema_n_tables;

/* Creates every table, index and trigger in an empty database. */
SG_MUST_USE enum sg_status sg_schema_create(sqlite3 *db);
/* Compares the objects of a database with those that sg_schema_create makes, by text. SG_BROKEN naming the first that
 * differs. Nothing of the file's own schema is executed. */
SG_MUST_USE enum sg_status sg_schema_compare(sqlite3 *db, sqlite3 *expected);
/* The same against the digest of that text: a hundredth of a millisecond for the file that is as it should be. Where it is
 * not, it is compared as above. */
SG_MUST_USE enum sg_status sg_schema_check(sqlite3 *db);
/* The digest; a test holds sg_schema_create against the one that is known. */
SG_MUST_USE enum sg_status sg_schema_objects_digest(sqlite3 *db, uint8_t out[SG_DIGEST_BYTES]);
extern const char sg_schema_known[];

/* Settings for a connection to a file that an attacker may have written. */
SG_MUST_USE enum sg_status sg_db_harden(sqlite3 *db);
SG_MUST_USE enum sg_status sg_db_run(sqlite3 *db, const char *sql);
/* SG_FAILED or, where the file itself is at fault, SG_BROKEN; with SQLite's own text. */
SG_MUST_USE enum sg_status sg_db_fail(sqlite3 *db, const char *doing);
SG_MUST_USE enum sg_status sg_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out);
SG_MUST_USE enum sg_status sg_db_number(sqlite3 *db, const char *sql, int64_t *out);
/* Binds by a format of one letter a parameter: i int64_t, t const char * (NULL: null), r double (not finite: null),
 * b 32 bytes (NULL: null), m bytes and size_t length. */
void sg_db_bind(sqlite3_stmt *statement, const char *format, ...);
/* One statement that returns nothing, with its parameters by such a format. */
SG_MUST_USE enum sg_status sg_db_write(sqlite3 *db, const char *doing, const char *sql, const char *format, ...);
/* Steps a statement that returns nothing, and resets it. */
SG_MUST_USE enum sg_status sg_db_done(sqlite3 *db, sqlite3_stmt *statement, const char *doing);

#endif
