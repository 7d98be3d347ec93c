#include "batch.h"

#include <assert.h>
#include <string.h>

static size_t carve(size_t *used, int64_t n, size_t size)
{
    size_t at = *used;
    *used += ((size_t)n * size + 63) / 64 * 64;
    return at;
}

size_t sg_gathered_place(const struct sg_model_spec *spec, const struct sg_prefix *prefix, int64_t units_max,
                         int64_t rows_max, void *memory, struct sg_gathered *out)
{
    int64_t n_features = spec->n_features, n_static = spec->n_static;
    bool is_text = spec->kind == SG_MODEL_ENCODER;
    size_t used = 0;
    size_t offset = carve(&used, units_max + 1, sizeof(int32_t));
    size_t token = carve(&used, is_text ? rows_max : 0, sizeof(int32_t));
    size_t x = carve(&used, rows_max * n_features, sizeof(float));
    size_t statics = carve(&used, units_max * n_static, sizeof(float));
    size_t label = carve(&used, units_max, sizeof(float));
    size_t floats = carve(&used, prefix ? (rows_max + units_max) * prefix->width : 0, sizeof(float));
    size_t digest = carve(&used, units_max, SG_UNIT_DIGEST_BYTES);
    if (!memory)
        return used;
    char *base = memory;
    *out = (struct sg_gathered){
        .units_max = units_max,
        .rows_max = rows_max,
        .offset = (int32_t *)(base + offset),
        .token = is_text ? (int32_t *)(base + token) : NULL,
        .x = (float *)(base + x),
        .statics = n_static ? (float *)(base + statics) : NULL,
        .label = (float *)(base + label),
        .prefix = prefix ? (float *)(base + floats) : NULL,
        .digest = (uint8_t(*)[SG_UNIT_DIGEST_BYTES])(base + digest),
    };
    return used;
}

/* The units' rows of the prefix, one after another. */
static void gather_prefix(const struct sg_prefix *prefix, const int32_t *unit, int64_t n_units, float *out)
{
    for (int64_t b = 0; b < n_units; b++) {
        int64_t begin = prefix->offset[unit[b]], n = prefix->offset[unit[b] + 1] - begin;
        memcpy(out, prefix->rows + begin * prefix->width, (size_t)(n * prefix->width) * sizeof *out);
        out += n * prefix->width;
    }
}

void sg_gather(const struct sg_dataset *dataset, const struct sg_prefix *prefix, const int32_t *unit, int64_t n_units,
               int64_t step, struct sg_gathered *out)
{
    size_t row = (size_t)dataset->n_features, statics = (size_t)dataset->n_static;
    int64_t rows = 0;
    assert(n_units <= out->units_max);
    out->offset[0] = 0;
    for (int64_t b = 0; b < n_units; b++) {
        int64_t u = unit[b], begin = dataset->offset[u], n = dataset->offset[u + 1] - begin;
        assert(rows + n <= out->rows_max);
        if (row)
            memcpy(out->x + (size_t)rows * row, dataset->x + (size_t)begin * row, (size_t)n * row * sizeof(float));
        if (out->token)
            memcpy(out->token + rows, dataset->token + begin, (size_t)n * sizeof *out->token);
        if (statics)
            memcpy(out->statics + (size_t)b * statics, dataset->statics + (size_t)u * statics, statics * sizeof(float));
        out->label[b] = dataset->label ? dataset->label[u] : 0;
        memcpy(out->digest[b], dataset->digest[u], SG_UNIT_DIGEST_BYTES);
        rows += n;
        out->offset[b + 1] = (int32_t)rows;
    }
    if (prefix)
        gather_prefix(prefix, unit, n_units, out->prefix);
    out->batch = (struct sg_batch){
        .n_units = n_units,
        .n_rows = rows,
        .offset = out->offset,
        .x = out->x,
        .statics = out->statics,
        .token = out->token,
        .prefix = out->prefix,
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
