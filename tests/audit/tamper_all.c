/* Would catch: any byte of a ledger that can be changed so that a table reads differently while verify still says ok,
 * and any change on which verify crashes, hangs or grows. Every byte of a 23-event ledger is changed once, in memory.
 *
 *   tamper_all            2,000 seeded positions, at least 40 in every table
 *   tamper_all --full     every byte
 *   tamper_all --seed N   other positions and other changes */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/verify.h"
#include "base/file.h"
#include "base/number.h"
#include "fixture.h"
#include "schema.h"
#include "snapshot.h"

static uint64_t random_state;
static uint64_t next_random(void) /* splitmix64: positions only */
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "tamper_all: %s: %s\n", what, sg_error_text());
    exit(1);
}

/* Every cell of every table with its type, and the schema, as bytes; false when something cannot be read. */
static bool dump(const uint8_t *bytes, size_t n, struct sg_buffer *out)
{
    struct sg_snapshot snapshot;
    bool good = true;
    out->len = 0;
    if (sg_snapshot_from_bytes(bytes, n, &snapshot) != SG_OK)
        return false;
    for (size_t t = 0; good && t <= sg_schema_n_tables; t++) {
        const struct sg_schema_table *table = t < sg_schema_n_tables ? &sg_schema_tables[t] : NULL;
        char *sql = table ? sg_format("SELECT * FROM %s ORDER BY %s", table->name, table->order)
                          : sg_strdup("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name");
        sqlite3_stmt *rows = NULL;
        int code = sqlite3_prepare_v2(snapshot.db, sql, -1, &rows, NULL);
        while (code == SQLITE_OK || code == SQLITE_ROW) {
            code = sqlite3_step(rows);
            for (int c = 0; code == SQLITE_ROW && c < sqlite3_column_count(rows); c++) {
                sg_buffer_u64be(out, (uint64_t)sqlite3_column_type(rows, c));
                sg_buffer_field(out, sqlite3_column_blob(rows, c), (size_t)sqlite3_column_bytes(rows, c));
            }
            if (out->len > 64 * n)
                code = SQLITE_TOOBIG;
        }
        good = code == SQLITE_DONE;
        sqlite3_finalize(rows);
        free(sql);
    }
    sg_snapshot_close(&snapshot);
    return good;
}

/* The table that owns each page, by walking the trees as dbstat would; NULL for what belongs to none. */
static void owners(const uint8_t *bytes, size_t n, const char **owner, size_t n_pages, size_t page_bytes)
{
    struct sg_snapshot snapshot;
    sqlite3_stmt *rows = NULL;
    if (sg_snapshot_from_bytes(bytes, n, &snapshot) != SG_OK)
        die("the untouched ledger");
    if (sqlite3_prepare_v2(snapshot.db, "SELECT tbl_name, rootpage FROM sqlite_schema WHERE rootpage > 0", -1, &rows,
                           NULL) != SQLITE_OK)
        die("sqlite_schema");
    while (sqlite3_step(rows) == SQLITE_ROW) {
        size_t stack[256], depth = 0;
        const char *name = NULL;
        for (size_t t = 0; t < sg_schema_n_tables; t++)
            if (strcmp(sg_schema_tables[t].name, (const char *)sqlite3_column_text(rows, 0)) == 0)
                name = sg_schema_tables[t].name;
        stack[depth++] = (size_t)sqlite3_column_int(rows, 1);
        while (depth && name) {
            size_t page = stack[--depth];
            const uint8_t *p = bytes + (page - 1) * page_bytes;
            if (page < 1 || page > n_pages || depth > 200)
                continue;
            owner[page - 1] = name;
            if (p[0] != 5 && p[0] != 2) /* only interior pages have children */
                continue;
            stack[depth++] = (size_t)p[8] << 24 | p[9] << 16 | p[10] << 8 | p[11];
            for (size_t c = 0; c < ((size_t)p[3] << 8 | p[4]) && depth < 200; c++) {
                const uint8_t *cell = p + ((size_t)p[12 + 2 * c] << 8 | p[13 + 2 * c]);
                stack[depth++] = (size_t)cell[0] << 24 | cell[1] << 16 | cell[2] << 8 | cell[3];
            }
        }
    }
    sqlite3_finalize(rows);
    sg_snapshot_close(&snapshot);
}

struct tally {
    size_t tried, broken, incomplete, ok_same, bad;
    double slowest_s;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void try_byte(uint8_t *bytes, size_t n, size_t at, const struct sg_verify_options *options,
                     const struct sg_buffer *truth, struct tally *tally)
{
    static struct sg_verdict verdict;
    struct sg_buffer now = {0};
    uint8_t change = (uint8_t)(1 + next_random() % 255);
    bytes[at] ^= change;
    double begin = seconds();
    enum sg_status status = sg_verify_bytes(bytes, n, options, &verdict);
    double took = seconds() - begin;
    tally->tried++;
    tally->slowest_s = took > tally->slowest_s ? took : tally->slowest_s;
    if (status != SG_OK || took > 10) {
        fprintf(stderr, "byte %zu ^ %02x: no verdict, or one after %.1f s: %s\n", at, change, took, sg_error_text());
        tally->bad++;
    } else if (verdict.status == SG_BROKEN) {
        tally->broken++;
    } else if (verdict.status == SG_INCOMPLETE) {
        tally->incomplete++;
    } else if (dump(bytes, n, &now) && now.len == truth->len && memcmp(now.data, truth->data, now.len) == 0) {
        tally->ok_same++;
    } else {
        fprintf(stderr, "byte %zu ^ %02x: verify says ok, and the tables read differently\n", at, change);
        tally->bad++;
    }
    bytes[at] ^= change;
    sg_buffer_free(&now);
}

static void try_sample(uint8_t *bytes, size_t n, size_t page_bytes, const struct sg_verify_options *options,
                       const struct sg_buffer *truth, struct tally *tally)
{
    size_t n_pages = n / page_bytes;
    const char **owner = sg_alloc(n_pages, sizeof *owner);
    owners(bytes, n, owner, n_pages, page_bytes);
    for (size_t t = 0; t < sg_schema_n_tables; t++) {
        int found = 0;
        for (int k = 0; k < 40;) {
            size_t page = next_random() % n_pages;
            if (++found > 1000000)
                die(sg_schema_tables[t].name);
            if (owner[page] && strcmp(owner[page], sg_schema_tables[t].name) == 0)
                try_byte(bytes, n, page * page_bytes + next_random() % page_bytes, options, truth, tally), k++;
        }
    }
    for (size_t i = 0; i < 100; i++) /* the file's header */
        try_byte(bytes, n, i, options, truth, tally);
    while (tally->tried < 2000)
        try_byte(bytes, n, next_random() % n, options, truth, tally);
    free(owner);
}

int main(int argc, char **argv)
{
    bool full = false;
    int64_t seed = 20240131;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0)
            full = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc &&
                 sg_number_int64(argv[i + 1], strlen(argv[i + 1]), &seed))
            i++;
        else
            return fprintf(stderr, "usage: tamper_all [--full] [--seed N]\n"), 2;
    }
    random_state = (uint64_t)seed;
    char *folder = fixture_folder();
    struct sg_signer *signer = fixture_signer(1);
    char *path = fixture_programme(folder, signer);
    struct sg_buffer file = {0}, truth = {0};
    struct sg_trust trust;
    fixture_witness(folder, path, signer, &trust);
    if (sg_file_read(path, "ledger", 1 << 26, &file) != SG_OK)
        die("the ledger");
    struct sg_verify_options options = {.trust = &trust, .memo = sg_plan_memo_new()};
    static struct sg_verdict verdict;
    if (sg_verify_bytes((uint8_t *)file.data, file.len, &options, &verdict) != SG_OK || verdict.status != SG_OK ||
        verdict.size != 23)
        die(verdict.n_listed ? verdict.problems[0].text : "the untouched ledger is not ok");
    if (!dump((uint8_t *)file.data, file.len, &truth))
        die("the untouched ledger");
    size_t page_bytes = (size_t)(uint8_t)file.data[16] << 8 | (uint8_t)file.data[17];
    struct tally tally = {0};
    double begin = seconds();
    if (full)
        for (size_t i = 0; i < file.len; i++)
            try_byte((uint8_t *)file.data, file.len, i, &options, &truth, &tally);
    else
        try_sample((uint8_t *)file.data, file.len, page_bytes, &options, &truth, &tally);
    printf("seed %lld: %zu of %zu bytes changed, one at a time: %zu broken, %zu incomplete, %zu without effect on any "
           "table, %zu BAD; "
           "%.0f s of CPU, slowest %.3f s\n",
           (long long)seed, tally.tried, file.len, tally.broken, tally.incomplete, tally.ok_same, tally.bad,
           seconds() - begin, tally.slowest_s);
    sg_plan_memo_free(&options.memo);
    sg_buffer_free(&file), sg_buffer_free(&truth);
    sg_signer_close(&signer);
    free(path);
    fixture_remove(folder);
    return tally.bad ? 1 : 0;
}
