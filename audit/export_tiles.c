/* Format tiles: the log as static files that any tile client reads (c2sp.org/tlog-tiles).
 *
 *   checkpoint              the newest that a witness cosigned, else the newest
 *   tile/L/N[.p/W]          hashes of level 8 L, 256 wide; W of the last tile when it is not full
 *   tile/entries/N[.p/W]    the leaves themselves, each behind its length as u16be
 *
 * N is written in groups of three digits, x before all but the last: 1234067 is x001/x234/067. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "audit/evidence.h"
#include "export.h"
#include "schema.h"

enum { TILE_WIDTH = 256, TILE_LEVEL = 8 };

static char *tile_path(const char *kind, int64_t n, int64_t width)
{
    struct sg_buffer path = {0};
    int64_t unit = 1;
    sg_buffer_printf(&path, "tile/%s/", kind);
    while (n / unit >= 1000)
        unit *= 1000;
    for (; unit >= 1; unit /= 1000)
        sg_buffer_printf(&path, unit > 1 ? "x%03d/" : "%03d", (int)(n / unit % 1000));
    if (width < TILE_WIDTH)
        sg_buffer_printf(&path, ".p/%d", (int)width);
    return path.data;
}

/* Appends the part of item i of a tile. */
typedef enum sg_status tile_part(const struct sg_tile_source *source, int level, int64_t i, struct sg_buffer *out);

static enum sg_status hash_part(const struct sg_tile_source *source, int level, int64_t i, struct sg_buffer *out)
{
    uint8_t hash[SG_DIGEST_BYTES];
    SG_TRY(source->node(source->context, level * TILE_LEVEL, (uint64_t)i, hash));
    sg_buffer_append(out, hash, sizeof hash);
    return SG_OK;
}

static enum sg_status entry_part(const struct sg_tile_source *source, int level, int64_t i, struct sg_buffer *out)
{
    (void)level;
    struct sg_buffer entry = {0};
    enum sg_status status = source->entry(source->context, i, &entry);
    if (status == SG_OK && entry.len > SG_LEAF_BYTES_MAX)
        status = sg_fail(SG_BROKEN, "leaf %lld is longer than an entry may be", (long long)i);
    if (status == SG_OK) {
        const uint8_t length[2] = {(uint8_t)(entry.len >> 8), (uint8_t)entry.len};
        sg_buffer_append(out, length, sizeof length);
        sg_buffer_append(out, entry.data, entry.len);
    }
    sg_buffer_free(&entry);
    return status;
}

/* All tiles over `n` items of one kind. */
static enum sg_status write_level(struct sg_export *into, const struct sg_tile_source *source, const char *kind,
                                  int level, int64_t n, tile_part *part)
{
    enum sg_status status = SG_OK;
    for (int64_t first = 0; first < n && status == SG_OK; first += TILE_WIDTH) {
        struct sg_buffer tile = {0};
        int64_t width = n - first < TILE_WIDTH ? n - first : TILE_WIDTH;
        for (int64_t i = 0; i < width && status == SG_OK; i++)
            status = part(source, level, first + i, &tile);
        char *path = tile_path(kind, first / TILE_WIDTH, width);
        if (status == SG_OK)
            status = sg_export_text(into, path, &tile);
        free(path);
        sg_buffer_free(&tile);
    }
    return status;
}

enum sg_status sg_export_write_tiles(struct sg_export *into, const struct sg_tile_source *source)
{
    SG_TRY(write_level(into, source, "entries", 0, source->size, entry_part));
    int64_t n = source->size;
    for (int level = 0; n > 0; level++, n /= TILE_WIDTH) {
        char *kind = sg_format("%d", level);
        enum sg_status status = write_level(into, source, kind, level, n, hash_part);
        free(kind);
        SG_TRY(status);
    }
    return SG_OK;
}

/* ---- The ledger as a source: one statement a kind, since there may be a million leaves. */
struct ledger_source {
    sqlite3 *db;
    sqlite3_stmt *leaf, *node, *entry;
};

static enum sg_status ledger_node(void *context, int level, uint64_t index, uint8_t out[SG_DIGEST_BYTES])
{
    struct ledger_source *from = context;
    sqlite3_stmt *row = level ? from->node : from->leaf;
    sg_db_bind(row, level ? "ii" : "i", (int64_t)index, (int64_t)level);
    bool found = sqlite3_step(row) == SQLITE_ROW && sqlite3_column_bytes(row, 0) == SG_DIGEST_BYTES;
    if (found)
        memcpy(out, sqlite3_column_blob(row, 0), SG_DIGEST_BYTES);
    sqlite3_reset(row);
    return found ? SG_OK : sg_fail(SG_BROKEN, "node %d/%llu is missing", level, (unsigned long long)index);
}

static enum sg_status ledger_entry(void *context, int64_t seq, struct sg_buffer *out)
{
    struct ledger_source *from = context;
    sg_db_bind(from->entry, "i", seq);
    bool found = sqlite3_step(from->entry) == SQLITE_ROW;
    if (found)
        sg_buffer_append(out, sqlite3_column_blob(from->entry, 0), (size_t)sqlite3_column_bytes(from->entry, 0));
    sqlite3_reset(from->entry);
    return found ? SG_OK : sg_fail(SG_BROKEN, "leaf %lld is missing", (long long)seq);
}

enum sg_status sg_export_tiles(struct sg_export *into, const char *run)
{
    struct ledger_source from = {.db = into->ledger->db};
    struct sg_buffer note = {0};
    struct sg_tile_source source = {.node = ledger_node, .entry = ledger_entry, .context = &from};
    assert(!run);
    /* A client asks for the partial tiles of the checkpoint's own size: both must be of one size. */
    SG_TRY(sg_db_number(from.db, "SELECT max(size) FROM cosignature", &source.size));
    if (source.size <= 0 || source.size > (int64_t)into->ledger->tree.size)
        source.size = (int64_t)into->ledger->tree.size;
    enum sg_status status = sg_db_prepare(from.db, "SELECT hash FROM node WHERE idx = ? AND level = ?", &from.node);
    if (status == SG_OK)
        status = sg_db_prepare(from.db, "SELECT leaf_hash FROM leaf WHERE seq = ?", &from.leaf);
    if (status == SG_OK)
        status = sg_db_prepare(from.db, "SELECT body FROM leaf WHERE seq = ?", &from.entry);
    if (status == SG_OK)
        status = sg_export_write_tiles(into, &source);
    if (status == SG_OK)
        status = sg_evidence_checkpoint(into->ledger, source.size, &note);
    if (status == SG_OK)
        status = sg_export_text(into, "checkpoint", &note);
    sqlite3_finalize(from.leaf);
    sqlite3_finalize(from.node);
    sqlite3_finalize(from.entry);
    sg_buffer_free(&note);
    return status;
}
