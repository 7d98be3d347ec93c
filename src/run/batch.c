#include "batch.h"

#include <assert.h>
#include <string.h>

#include "loss.h"

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
    bool is_text = spec->kind == SG_MODEL_ENCODER, is_masked = spec->objective == SG_MASKED_TOKENS;
    int64_t masked_max = is_masked ? sg_mask_rows_max(units_max, rows_max) : 0;
    size_t used = 0;
    size_t offset = carve(&used, units_max + 1, sizeof(int32_t));
    size_t token = carve(&used, is_text ? rows_max : 0, sizeof(int32_t));
    size_t masked = carve(&used, masked_max, sizeof(int32_t)), target = carve(&used, masked_max, sizeof(int32_t));
    size_t masked_offset = carve(&used, is_masked ? units_max + 1 : 0, sizeof(int32_t));
    size_t x = carve(&used, rows_max * n_features, sizeof(float));
    size_t statics = carve(&used, units_max * n_static, sizeof(float));
    size_t label = carve(&used, units_max, sizeof(float));
    size_t floats = carve(&used, prefix ? (rows_max + units_max) * prefix->width : 0, sizeof(float));
    size_t digest = carve(&used, units_max, SG_UNIT_DIGEST_BYTES);
    if (!memory)
        return used;
    char *base = memory;
    *out = (struct sg_gathered){
        .spec = spec,
        .units_max = units_max,
        .rows_max = rows_max,
        .offset = (int32_t *)(base + offset),
        .token = is_text ? (int32_t *)(base + token) : NULL,
        .masked = (int32_t *)(base + masked),
        .target = (int32_t *)(base + target),
        .masked_offset = (int32_t *)(base + masked_offset),
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
        out->label[b] = dataset->label ? sg_label_of(out->spec, dataset->label[u]) : 0;
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

void sg_gather_masked(const struct sg_masking *masking, struct sg_gathered *g)
{
    struct sg_batch *batch = &g->batch;
    g->masked_offset[0] = 0;
    for (int64_t b = 0; b < batch->n_units; b++) {
        int32_t begin = batch->offset[b], found = g->masked_offset[b];
        found += (int32_t)sg_mask_unit(masking, batch->digest[b], batch->step, begin, batch->offset[b + 1] - begin,
                                       g->token + begin, g->masked + found, g->target + found);
        g->masked_offset[b + 1] = found;
    }
    batch->n_masked = g->masked_offset[batch->n_units];
    batch->masked = g->masked;
    batch->masked_offset = g->masked_offset;
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
