#include "batch.h"

#include <assert.h>
#include <string.h>

static size_t carve(size_t *used, int64_t n, size_t size)
{
    size_t at = *used;
    *used += ((size_t)n * size + 63) / 64 * 64;
    return at;
}

size_t sg_gathered_place(int64_t n_features, int64_t n_static, int64_t units_max, int64_t rows_max, void *memory,
                         struct sg_gathered *out)
{
    size_t used = 0;
    size_t offset = carve(&used, units_max + 1, sizeof(int32_t));
    size_t x = carve(&used, rows_max * n_features, sizeof(float));
    size_t statics = carve(&used, units_max * n_static, sizeof(float));
    size_t label = carve(&used, units_max, sizeof(float));
    size_t digest = carve(&used, units_max, SG_UNIT_DIGEST_BYTES);
    if (!memory)
        return used;
    char *base = memory;
    *out = (struct sg_gathered){
        .units_max = units_max,
        .rows_max = rows_max,
        .offset = (int32_t *)(base + offset),
        .x = (float *)(base + x),
        .statics = n_static ? (float *)(base + statics) : NULL,
        .label = (float *)(base + label),
        .digest = (uint8_t(*)[SG_UNIT_DIGEST_BYTES])(base + digest),
    };
    return used;
}

void sg_gather(const struct sg_dataset *dataset, const int32_t *unit, int64_t n_units, int64_t step, struct sg_gathered *out)
{
    size_t row = (size_t)dataset->n_features, statics = (size_t)dataset->n_static;
    int64_t rows = 0;
    assert(n_units <= out->units_max);
    out->offset[0] = 0;
    for (int64_t b = 0; b < n_units; b++) {
        int64_t u = unit[b], begin = dataset->offset[u], n = dataset->offset[u + 1] - begin;
        assert(rows + n <= out->rows_max);
        memcpy(out->x + (size_t)rows * row, dataset->x + (size_t)begin * row, (size_t)n * row * sizeof(float));
        if (statics)
            memcpy(out->statics + (size_t)b * statics, dataset->statics + (size_t)u * statics, statics * sizeof(float));
        out->label[b] = dataset->label ? dataset->label[u] : 0;
        memcpy(out->digest[b], dataset->digest[u], SG_UNIT_DIGEST_BYTES);
        rows += n;
        out->offset[b + 1] = (int32_t)rows;
    }
    out->batch = (struct sg_batch){
        .n_units = n_units,
        .n_rows = rows,
        .offset = out->offset,
        .x = out->x,
        .statics = out->statics,
        .label = out->label,
        .digest = (const uint8_t(*)[SG_UNIT_DIGEST_BYTES])out->digest,
        .step = step,
    };
}

int64_t sg_gather_fitting(const struct sg_dataset *dataset, const int32_t *unit, int64_t n_units, const struct sg_gathered *room)
{
    int64_t n = 0, rows = 0;
    for (; n < n_units && n < room->units_max; n++) {
        rows += dataset->offset[unit[n] + 1] - dataset->offset[unit[n]];
        if (rows > room->rows_max)
            break;
    }
    assert(n > 0);
    return n;
}
