/* From taps to integers: norms of the clip groups, their weights, the weighted sum of each panel.
 *
 * Taps may come all at once or in parts. In parts they come twice, first for the norms and then to be summed, and both
 * times hold the same floats: who recomputes activations makes them by the same operations on the same rows. */
#include <assert.h>

#include "internal.h"

/* A panel's sum in one coordinate, without privacy, beyond which the run ends (DESIGN: the grid). */
#define PLAIN_SUM_MAX 0x1p20
/* With privacy clipping bounds the sum and the plan keeps it far below this many grid units; reaching it is a defect.
 */
#define PRIVATE_SUM_MAX 0x1p61

void sg_absorber_carve(const struct sg_ops *ops, const struct sg_absorber_room *room, struct sg_zones *zones,
                       struct sg_absorber *out)
{
    size_t units = (size_t)room->units_max, panels = (size_t)room->panels_max;
    size_t rows = (size_t)(room->rows_max > room->units_max ? room->rows_max : room->units_max);
    struct sg_absorber a = {.room = *room, .shift = zones->shift};
    a.room.rows_max = (int64_t)rows;
    a.sum = sg_zone_tensor(zones, (size_t)room->n_weights * sizeof *a.sum);
    a.norm = sg_zone_tensor(zones, units * sizeof *a.norm);
    a.group_weight = sg_zone_tensor(zones, units * sizeof *a.group_weight);
    a.row_weight = sg_zone_tensor(zones, rows * sizeof *a.row_weight);
    a.overflow_at = sg_zone_tensor(zones, sizeof *a.overflow_at);
    a.counts_at = sg_zone_tensor(zones, sizeof *a.counts_at);
    a.group_unit = sg_zone_host(zones, (units + 1) * sizeof *a.group_unit);
    a.group_row = sg_zone_list(zones, (units + 1) * sizeof *a.group_row);
    a.panel_unit = sg_zone_host(zones, (panels + 1) * sizeof *a.panel_unit);
    a.panel_row = sg_zone_list(zones, (panels + 1) * sizeof *a.panel_row);
    a.seen = sg_zone_host(zones, room->taps_max * sizeof *a.seen);
    if (!zones->host)
        return;
    *out = a;
    sg_absorber_reset(ops, out, room->n_weights);
}

size_t sg_absorber_place(const struct sg_absorber_room *room, void *memory, struct sg_absorber *out)
{
    struct sg_zones sizes = {0};
    sg_absorber_carve(NULL, room, &sizes, NULL);
    if (memory) {
        struct sg_zones zones = sg_zones_within(&sizes, memory);
        sg_absorber_carve(sg_ops_reference(), room, &zones, out);
    }
    return sg_zones_bytes(&sizes);
}

void sg_absorber_reset(const struct sg_ops *ops, struct sg_absorber *absorber, int64_t n_weights)
{
    sg_ops_zero(ops, absorber->sum, (size_t)n_weights * sizeof *absorber->sum);
    sg_ops_zero(ops, absorber->overflow_at, sizeof *absorber->overflow_at);
    sg_ops_zero(ops, absorber->counts_at, sizeof *absorber->counts_at);
    absorber->overflow = false;
    absorber->counts = (struct sg_clip_counts){0};
}

void sg_absorber_finish(const struct sg_ops *ops, struct sg_absorber *absorber)
{
    sg_ops_download(ops, &absorber->overflow, absorber->overflow_at, sizeof absorber->overflow);
    sg_ops_download(ops, &absorber->counts, absorber->counts_at, sizeof absorber->counts);
}

void sg_mechanism_begin(const struct sg_mechanism *mechanism, const struct sg_sample *sample, int64_t first_panel,
                        int64_t n_panels, struct sg_absorber *a)
{
    const int32_t *panel_unit = sample->panel_unit + first_panel, *panel_group = sample->panel_group + first_panel;
    a->n_panels = n_panels;
    a->n_groups = panel_group[n_panels] - panel_group[0];
    assert(first_panel >= 0 && first_panel + n_panels <= sample->n_panels && n_panels <= a->room.panels_max);
    assert(panel_unit[n_panels] - panel_unit[0] <= a->room.units_max);
    for (int64_t p = 0; p <= n_panels; p++)
        a->panel_unit[p] = panel_unit[p] - panel_unit[0];
    for (int64_t j = 0; j <= a->n_groups; j++)
        a->group_unit[j] = sample->group_unit[panel_group[0] + j] - panel_unit[0];
    sg_ops_zero(mechanism->ops, a->norm, (size_t)a->n_groups * sizeof *a->norm);
    a->located = NULL;
    a->n_seen = a->n_summed = 0;
    a->weighed = false;
}

/* Finds the rows of the groups and of the panels in one tap. Taps that follow each other often share their offsets. */
static void locate(const struct sg_ops *ops, const struct sg_tap *tap, struct sg_absorber *a)
{
    if (tap->offset == a->located)
        return;
    for (int64_t j = 0; j <= a->n_groups; j++)
        a->group_row[j] = tap->offset[a->group_unit[j]];
    for (int64_t p = 0; p <= a->n_panels; p++)
        a->panel_row[p] = tap->offset[a->panel_unit[p]];
    assert(a->panel_row[0] == 0 && a->panel_row[a->n_panels] <= a->room.rows_max);
    sg_list_upload(ops, a->group_row, (size_t)(a->n_groups + 1) * sizeof *a->group_row, a->shift);
    sg_list_upload(ops, a->panel_row, (size_t)(a->n_panels + 1) * sizeof *a->panel_row, a->shift);
    a->located = tap->offset;
}

static struct sg_span span_of(const struct sg_tap *tap)
{
    assert(tap->n_in > 0 && tap->n_out > 0);
    return (struct sg_span){tap->weight, tap->weight + tap->n_in * tap->n_out};
}

/* Squared norms of taps add up only where no two share a weight: what one adds there the other could add again. */
static void see(const struct sg_tap *tap, struct sg_absorber *a)
{
    struct sg_span span = span_of(tap);
    assert(a->n_seen < a->room.taps_max);
    for (size_t s = 0; s < a->n_seen; s++)
        assert(span.end <= a->seen[s].begin || a->seen[s].end <= span.begin);
    a->seen[a->n_seen++] = span;
}

static const int32_t *group_rows(const struct sg_absorber *a)
{
    return sg_far(a->group_row, a->shift);
}

static void tap_norms(const struct sg_ops *ops, const struct sg_tap *tap, const struct sg_absorber *a, void *scratch)
{
    switch (tap->kind) {
    case SG_TAP_LINEAR:
        ops->group_norm(SG_ROUTE_CHEAPER, a->n_groups, group_rows(a), tap->n_in, tap->n_out, tap->a, tap->lda, tap->g,
                        tap->ldg, a->norm, scratch);
        break;
    case SG_TAP_EMBED:
        ops->embed_norm(a->n_groups, group_rows(a), tap->id, tap->n_in, tap->g, tap->ldg, a->norm, scratch);
        break;
    case SG_TAP_SCALE:
        ops->scale_norm(a->n_groups, group_rows(a), tap->n_out, tap->a, tap->lda, tap->g, tap->ldg, a->norm, scratch);
        break;
    }
}

void sg_mechanism_take_norms(const struct sg_mechanism *mechanism, const struct sg_tap *taps, size_t n_taps,
                             struct sg_absorber *absorber, void *scratch)
{
    assert(!absorber->weighed);
    for (size_t t = 0; mechanism->plan.is_private && t < n_taps; t++) {
        see(&taps[t], absorber);
        locate(mechanism->ops, &taps[t], absorber);
        tap_norms(mechanism->ops, &taps[t], absorber, scratch);
    }
}

/* Weight of every group: the one place where a gradient is clipped. */
void sg_mechanism_weigh(const struct sg_mechanism *m, struct sg_absorber *a)
{
    assert(!a->weighed);
    m->ops->clip_weight(a->n_groups, a->norm, m->plan.clip_norm, m->plan.mass_ratio_max, a->group_weight);
    m->ops->count_groups(a->n_groups, a->norm, a->group_weight, a->counts_at);
    a->weighed = true;
}

/* How many floats of g a row of the tap has. */
static int64_t g_width(const struct sg_tap *tap)
{
    return tap->kind == SG_TAP_EMBED ? tap->n_in : tap->n_out;
}

/* How many floats of a: none in an EMBED tap, and none that are this tap's own where all rows share one. */
static int64_t a_width(const struct sg_tap *tap)
{
    if (tap->kind == SG_TAP_EMBED || tap->lda == 0)
        return 0;
    return tap->kind == SG_TAP_SCALE ? tap->n_out : tap->n_in;
}

/* Rows of excluded groups become zeros, in a and in g. */
static void clear_excluded(const struct sg_ops *ops, const struct sg_tap *tap, const struct sg_absorber *a)
{
    ops->clear_rows(a->n_groups, group_rows(a), a->norm, g_width(tap), tap->g, tap->ldg);
    if (a_width(tap))
        ops->clear_rows(a->n_groups, group_rows(a), a->norm, a_width(tap), tap->a, tap->lda);
}

static void sum_tap(const struct sg_mechanism *m, const struct sg_tap *tap, struct sg_absorber *a, void *scratch)
{
    const double *w = a->row_weight;
    double grid = m->plan.grid, limit = m->plan.is_private ? PRIVATE_SUM_MAX * grid : PLAIN_SUM_MAX;
    const int32_t *panel_row = sg_far(a->panel_row, a->shift);
    int64_t *sum = a->sum + tap->weight, n_panels = a->n_panels, n_rows = a->panel_row[n_panels];
    switch (tap->kind) {
    case SG_TAP_LINEAR:
        m->ops->absorb(n_rows, n_panels, panel_row, tap->n_in, tap->n_out, tap->a, tap->lda, tap->g, tap->ldg, w, grid,
                       limit, sum, a->overflow_at, scratch);
        break;
    case SG_TAP_EMBED:
        m->ops->embed_absorb(n_rows, n_panels, panel_row, tap->n_out, tap->id, tap->n_in, tap->g, tap->ldg, w, grid,
                             limit, sum, a->overflow_at, scratch);
        break;
    case SG_TAP_SCALE:
        m->ops->scale_absorb(n_rows, n_panels, panel_row, tap->n_out, tap->a, tap->lda, tap->g, tap->ldg, w, grid,
                             limit, sum, a->overflow_at, scratch);
        break;
    }
}

/* With privacy nothing is summed whose norm was not taken: the taps of the second pass are those of the first. */
static void check_seen(const struct sg_tap *tap, struct sg_absorber *a)
{
    struct sg_span span = span_of(tap);
    assert(a->n_summed < a->n_seen && a->seen[a->n_summed].begin == span.begin && a->seen[a->n_summed].end == span.end);
    a->n_summed++;
}

void sg_mechanism_sum(const struct sg_mechanism *mechanism, const struct sg_tap *taps, size_t n_taps,
                      struct sg_absorber *absorber, void *scratch)
{
    assert(absorber->weighed);
    for (size_t t = 0; t < n_taps; t++) {
        if (mechanism->plan.is_private)
            check_seen(&taps[t], absorber);
        locate(mechanism->ops, &taps[t], absorber);
        clear_excluded(mechanism->ops, &taps[t], absorber);
        mechanism->ops->spread_weights(absorber->n_groups, group_rows(absorber), absorber->group_weight,
                                       absorber->row_weight);
        sum_tap(mechanism, &taps[t], absorber, scratch);
    }
}

void sg_mechanism_absorb(const struct sg_mechanism *mechanism, const struct sg_sample *sample, int64_t first_panel,
                         int64_t n_panels, const struct sg_tap *taps, size_t n_taps, struct sg_absorber *absorber,
                         void *scratch)
{
    sg_mechanism_begin(mechanism, sample, first_panel, n_panels, absorber);
    sg_mechanism_take_norms(mechanism, taps, n_taps, absorber, scratch);
    sg_mechanism_weigh(mechanism, absorber);
    sg_mechanism_sum(mechanism, taps, n_taps, absorber, scratch);
}
