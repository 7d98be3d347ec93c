#include "batch.h"

#include <assert.h>
#include <string.h>

#include "loss.h"

void sg_gathered_carve(const struct sg_model_spec *spec, const struct sg_prefix *prefix, int64_t units_max,
                       int64_t rows_max, struct sg_zones *zones, struct sg_gathered *out)
{
    size_t units = (size_t)units_max, rows = (size_t)rows_max, n_static = (size_t)spec->n_static;
    bool is_text = spec->kind == SG_MODEL_ENCODER, is_masked = spec->objective == SG_MASKED_TOKENS;
    size_t masked = is_masked ? (size_t)sg_mask_rows_max(units_max, rows_max) : 0;
    size_t floats = prefix ? (rows + units * sg_model_unit_rows(spec, 0)) * (size_t)prefix->width : 0;
    struct sg_gathered g = {.spec = spec, .units_max = units_max, .rows_max = rows_max, .shift = zones->shift};
    g.offset = sg_zone_list(zones, (units + 1) * sizeof *g.offset);
    g.token = sg_zone_list(zones, is_text ? rows * sizeof *g.token : 0);
    g.masked = sg_zone_list(zones, masked * sizeof *g.masked);
    g.target = sg_zone_list(zones, masked * sizeof *g.target);
    g.masked_offset = sg_zone_list(zones, is_masked ? (units + 1) * sizeof *g.masked_offset : 0);
    g.x = sg_zone_list(zones, rows * (size_t)spec->n_features * sizeof *g.x);
    g.statics = sg_zone_list(zones, units * n_static * sizeof *g.statics);
    g.label = sg_zone_list(zones, units * sizeof *g.label);
    g.prefix = sg_zone_list(zones, floats * sizeof *g.prefix);
    g.digest = sg_zone_host(zones, units * SG_UNIT_DIGEST_BYTES);
    if (!zones->host)
        return;
    g.token = is_text ? g.token : NULL;
    g.statics = n_static ? g.statics : NULL;
    g.prefix = prefix ? g.prefix : NULL;
    *out = g;
}

/* The units' rows of the prefix, one after another. */
static size_t gather_prefix(const struct sg_prefix *prefix, const int32_t *unit, int64_t n_units, float *out)
{
    const float *first = out;
    for (int64_t b = 0; b < n_units; b++) {
        int64_t begin = prefix->offset[unit[b]], n = prefix->offset[unit[b] + 1] - begin;
        memcpy(out, prefix->rows + begin * prefix->width, (size_t)(n * prefix->width) * sizeof *out);
        out += n * prefix->width;
    }
    return (size_t)(out - first);
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
    out->n_prefix = prefix ? gather_prefix(prefix, unit, n_units, out->prefix) : 0;
    out->batch = (struct sg_batch){
        .shift = out->shift,
        .n_units = n_units,
        .n_rows = rows,
        .offset = out->offset,
        .x = sg_far(out->x, out->shift),
        .statics = sg_far(out->statics, out->shift),
        .token = out->token,
        .prefix = sg_far(out->prefix, out->shift),
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

void sg_gathered_upload(const struct sg_model_spec *spec, const struct sg_ops *ops, const struct sg_gathered *g)
{
    const struct sg_batch *batch = &g->batch;
    size_t units = (size_t)batch->n_units, rows = (size_t)batch->n_rows;
    if (!ops->far)
        return;
    sg_list_upload(ops, g->offset, (units + 1) * sizeof *g->offset, g->shift);
    if (g->token)
        sg_list_upload(ops, g->token, rows * sizeof *g->token, g->shift);
    if (batch->n_masked) {
        sg_list_upload(ops, g->masked, (size_t)batch->n_masked * sizeof *g->masked, g->shift);
        sg_list_upload(ops, g->target, (size_t)batch->n_masked * sizeof *g->target, g->shift);
    }
    sg_list_upload(ops, g->x, rows * (size_t)spec->n_features * sizeof *g->x, g->shift);
    if (g->statics)
        sg_list_upload(ops, g->statics, units * (size_t)spec->n_static * sizeof *g->statics, g->shift);
    sg_list_upload(ops, g->label, units * sizeof *g->label, g->shift);
    sg_list_upload(ops, g->prefix, g->n_prefix * sizeof *g->prefix, g->shift);
}

int64_t sg_gather_fitting(const struct sg_dataset *dataset, const int32_t *unit, int64_t n_units,
                          const struct sg_gathered *room)
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
