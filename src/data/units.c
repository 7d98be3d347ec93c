#include "units.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static uint64_t place(const struct unit_table *table, const uint8_t *digest)
{
    uint64_t i = sg_load_u64be(digest) & (table->n_slots - 1);
    while (table->slot[i] && memcmp(table->digest[table->slot[i] - 1], digest, SG_UNIT_DIGEST_BYTES) != 0)
        i = (i + 1) & (table->n_slots - 1);
    return i;
}

static void grow_slots(struct unit_table *table)
{
    table->n_slots = table->n_slots ? 2 * table->n_slots : 1024;
    free(table->slot);
    table->slot = sg_alloc(table->n_slots, sizeof *table->slot);
    for (int64_t i = 0; i < table->n; i++)
        table->slot[place(table, table->digest[i])] = (uint32_t)i + 1;
}

int64_t units_add(struct unit_table *table, const uint8_t digest[SG_UNIT_DIGEST_BYTES], bool *added)
{
    if ((uint64_t)table->n * 2 >= table->n_slots)
        grow_slots(table);
    uint64_t i = place(table, digest);
    *added = table->slot[i] == 0;
    if (!*added)
        return table->slot[i] - 1;
    assert(table->n < INT32_MAX);
    if (table->n == table->capacity) {
        table->capacity = table->capacity ? table->capacity + table->capacity / 2 : 1024;
        table->digest = sg_realloc(table->digest, (size_t)table->capacity, sizeof *table->digest);
    }
    memcpy(table->digest[table->n], digest, SG_UNIT_DIGEST_BYTES);
    table->slot[i] = (uint32_t)++table->n;
    return table->n - 1;
}

int64_t units_find(const struct unit_table *table, const uint8_t digest[SG_UNIT_DIGEST_BYTES])
{
    return table->n_slots ? (int64_t)table->slot[place(table, digest)] - 1 : -1;
}

void units_free(struct unit_table *table)
{
    free(table->digest);
    free(table->slot);
    *table = (struct unit_table){0};
}

void unit_digest(const void *id, size_t n, uint8_t out[SG_UNIT_DIGEST_BYTES])
{
    uint8_t digest[SG_DIGEST_BYTES];
    sg_sha256(id, n, digest);
    memcpy(out, digest, SG_UNIT_DIGEST_BYTES);
}
