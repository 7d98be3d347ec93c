/* Gradients that are sums of rows by column: embeddings (g), gains of layer norms (g xhat), biases (g a with one a for
 * a row). Norms are taken wholly in double, where products of two floats are exact and neither they nor their squares
 * can underflow or overflow; sums are the chains of absorb. */
#ifndef SG_OPS_CPU_COLUMNS_H
#define SG_OPS_CPU_COLUMNS_H

#include "cpu/absorb_tile.h"
#include "cpu/sum.h"

#define COLUMNS_ROWS_MAX (1 << 22) /* of a group: sums in double stay inside gamma(1) */

/* What a row of g is multiplied by: nothing, one float a row, or a float a column. */
enum column_factor { COLUMN_NONE, COLUMN_ROW, COLUMN_EACH };

struct columns {
    int64_t n_rows, width;
    const uint64_t *key; /* row r is the low half of key[r]; NULL: row r */
    const float *g, *x;
    int64_t ldg, ldx;
};

SG_INLINE int64_t columns_row(const struct columns *c, int64_t r)
{
    return c->key ? (int64_t)(uint32_t)c->key[r] : r;
}

/* Rows of one id stand together, ascending, ids ascending: keys are (id, row), all different, so that any way to sort
 * gives the same. Merges runs of 1, 2, 4, ... rows; returns where the result lies. */
static uint64_t *keys_sort(int64_t n, uint64_t *key, uint64_t *spare)
{
    bool sorted = true;
    for (int64_t i = 1; i < n; i++)
        sorted = sorted && key[i - 1] < key[i];
    for (int64_t run = 1; !sorted && run < n; run *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * run) {
            int64_t middle = begin + run < n ? begin + run : n, end = middle + run < n ? middle + run : n;
            for (int64_t i = begin, j = middle, k = begin; k < end; k++)
                spare[k] = j == end || (i < middle && key[i] < key[j]) ? key[i++] : key[j++];
        }
        uint64_t *swap = key;
        key = spare;
        spare = swap;
    }
    return key;
}

/* The keys of rows first .. end that have an id, rows counted from `first`; *n is their number. */
static uint64_t *keys_make(int64_t first, int64_t end, const int32_t *id, int64_t *n, void *scratch)
{
    uint64_t *key = scratch;
    *n = 0;
    for (int64_t r = first; r < end; r++)
        if (id[r] >= 0)
            key[(*n)++] = (uint64_t)(uint32_t)id[r] << 32 | (uint64_t)(r - first);
    return keys_sort(*n, key, key + (end - first));
}

/* Where the run of rows of one id ends that begins at i. */
static int64_t keys_run(int64_t n, const uint64_t *key, int64_t i)
{
    int64_t end = i + 1;
    while (end < n && key[end] >> 32 == key[i] >> 32)
        end++;
    return end;
}

static size_t columns_scratch(int64_t widest, int64_t rows_max)
{
    return (size_t)rows_max * 2 * sizeof(uint64_t) + (size_t)(strips_width(widest) + STRIP) * sizeof(double);
}

/* ---- Norms ---- */

SG_INLINE vd column_sum_step(enum column_factor factor, vd g, vd x, vd sum)
{
    return factor == COLUMN_NONE ? vd_add(sum, g) : vd_fma(g, x, sum);
}

/* Squared norm of the columns' sums. Rows are added in ascending order, squares over the lanes of sum.h. */
SG_INLINE double columns_norm2_of(enum column_factor factor, const struct columns *c)
{
    vd acc[SUM_DOUBLES];
#pragma GCC unroll 4
    for (int v = 0; v < SUM_DOUBLES; v++)
        acc[v] = vd_zero();
    for (int64_t j = 0; j < c->width; j += SG_SUM_LANES) {
        vd sum[SUM_DOUBLES];
#pragma GCC unroll 4
        for (int v = 0; v < SUM_DOUBLES; v++)
            sum[v] = vd_zero();
        for (int64_t k = 0; k < c->n_rows; k++) {
            int64_t r = columns_row(c, k);
            const float *g = c->g + r * c->ldg, *x = factor == COLUMN_NONE ? g : c->x + r * c->ldx;
#pragma GCC unroll 2
            for (int v = 0; v < SUM_VECTORS; v++) {
                int64_t at = j + v * SG_LANES;
                vf gv = sum_load(g, c->width, at);
                vf xv = factor == COLUMN_EACH ? sum_load(x, c->width, at) : vf_set(x[0]);
                sum[2 * v] = column_sum_step(factor, vd_low(gv), vd_low(xv), sum[2 * v]);
                sum[2 * v + 1] = column_sum_step(factor, vd_high(gv), vd_high(xv), sum[2 * v + 1]);
            }
        }
#pragma GCC unroll 4
        for (int v = 0; v < SUM_DOUBLES; v++)
            acc[v] = vd_fma(sum[v], sum[v], acc[v]);
    }
    return vd_lanes_sum(acc);
}

static double columns_norm2(enum column_factor factor, const struct columns *c)
{
    if (factor == COLUMN_NONE)
        return columns_norm2_of(COLUMN_NONE, c);
    return factor == COLUMN_ROW ? columns_norm2_of(COLUMN_ROW, c) : columns_norm2_of(COLUMN_EACH, c);
}

/* What summing in double can have lost is far below gamma(1). */
static void columns_add(int64_t n_rows, double norm2, double mass, struct sg_group_norm *norm)
{
    const double gamma = 0x1p-24 / (1 - 0x1p-24);
    assert(n_rows < COLUMNS_ROWS_MAX);
    norm->norm2 += norm2;
    norm->slack2 += gamma * mass * mass;
    norm->mass2 += mass * mass;
}

static void embed_group(int64_t first, int64_t end, const int32_t *id, int64_t width, const float *g, int64_t ldg,
                        struct sg_group_norm *norm, void *scratch)
{
    double mass = 0, norm2 = 0;
    int64_t n;
    for (int64_t r = first; r < end; r++)
        if (id[r] >= 0)
            mass += sqrt(dot_double(width, g + r * ldg, g + r * ldg));
    if (!isfinite(mass)) { /* a double holds the sum of squares of any finite floats */
        norm->excluded = true;
        return;
    }
    const uint64_t *key = keys_make(first, end, id, &n, scratch);
    for (int64_t i = 0, next; i < n; i = next) {
        next = keys_run(n, key, i);
        const struct columns c = {next - i, width, key + i, g + first * ldg, NULL, ldg, 0};
        norm2 += columns_norm2(COLUMN_NONE, &c);
    }
    columns_add(n, norm2, mass, norm);
}

static void embed_norm(int64_t n_groups, const int32_t *first, const int32_t *id, int64_t width, const float *g,
                       int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    assert(width > 0 && ldg >= width);
    for (int64_t j = 0; j < n_groups; j++)
        if (!norm[j].excluded)
            embed_group(first[j], first[j + 1], id, width, g, ldg, &norm[j], scratch);
}

/* norm2[0] = |x|^2, norm2[1] = |g x|^2 by column. */
static void scale_row(int64_t n, const float *x, const float *g, double norm2[2])
{
    vd acc[2][SUM_DOUBLES];
    for (int v = 0; v < 2 * SUM_DOUBLES; v++)
        acc[v / SUM_DOUBLES][v % SUM_DOUBLES] = vd_zero();
    for (int64_t j = 0; j < n; j += SG_SUM_LANES)
#pragma GCC unroll 2
        for (int v = 0; v < SUM_VECTORS; v++) {
            vf xv = sum_load(x, n, j + v * SG_LANES), gv = sum_load(g, n, j + v * SG_LANES);
            vd low = vd_low(xv), high = vd_high(xv), p = vd_mul(low, vd_low(gv)), q = vd_mul(high, vd_high(gv));
            acc[0][2 * v] = vd_fma(low, low, acc[0][2 * v]);
            acc[0][2 * v + 1] = vd_fma(high, high, acc[0][2 * v + 1]);
            acc[1][2 * v] = vd_fma(p, p, acc[1][2 * v]);
            acc[1][2 * v + 1] = vd_fma(q, q, acc[1][2 * v + 1]);
        }
    norm2[0] = vd_lanes_sum(acc[0]);
    norm2[1] = vd_lanes_sum(acc[1]);
}

static void scale_norm(int64_t n_groups, const int32_t *first, int64_t width, const float *xhat, int64_t ldx,
                       const float *g, int64_t ldg, struct sg_group_norm *norm, void *scratch)
{
    (void)scratch;
    assert(width > 0 && ldx >= width && ldg >= width);
    for (int64_t j = 0; j < n_groups; j++) {
        const struct columns c = {first[j + 1] - first[j], width, NULL, g + first[j] * ldg,
                                  xhat + first[j] * ldx,   ldg,   ldx};
        double mass = 0;
        bool fit = !norm[j].excluded;
        for (int64_t r = 0; fit && r < c.n_rows; r++) {
            double norm2[2];
            scale_row(width, c.x + r * ldx, c.g + r * ldg, norm2);
            fit =
                norm2[0] <= 0x1p128 && isfinite(norm2[1]); /* |xhat| up to 2^64; a NaN in either shows in the product */
            mass += sqrt(norm2[1]);
        }
        if (fit)
            columns_add(c.n_rows, columns_norm2(COLUMN_EACH, &c), mass, &norm[j]);
        else
            norm[j].excluded = true;
    }
}

/* ---- Sums ---- */

/* (float)(w g): one rounding where w is a float, the double product's and one more where it is not. */
SG_INLINE vf column_weighted(vf g, double w, float short_w)
{
    if (__builtin_expect((double)short_w == w, 1))
        return vf_mul(g, vf_set(short_w));
    return vf_from(vd_mul(vd_low(g), vd_set(w)), vd_mul(vd_high(g), vd_set(w)));
}

/* One chain of rows k .. end for the strip at column j. */
SG_INLINE void columns_chain(enum column_factor factor, const struct columns *c, int64_t k, int64_t end, int64_t j,
                             const double *w, vf acc[2])
{
    int64_t left = c->width - j, first = left < SG_LANES ? left : SG_LANES;
    int64_t second = left - first < SG_LANES ? left - first : SG_LANES;
    acc[0] = acc[1] = vf_zero();
    for (; k < end; k++) {
        int64_t r = columns_row(c, k);
        const float *g = c->g + r * c->ldg + j, *x = c->x + r * c->ldx + (factor == COLUMN_EACH ? j : 0);
        float short_w = (float)w[r];
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            int64_t n = v ? second : first;
            vf b = column_weighted(load_left(g + v * SG_LANES, n), w[r], short_w);
            if (factor == COLUMN_NONE)
                acc[v] = vf_add(acc[v], b);
            else
                acc[v] = vf_fma(b, factor == COLUMN_ROW ? vf_set(x[0]) : load_left(x + v * SG_LANES, n), acc[v]);
        }
    }
}

/* Adds the weighted sum of the rows to t->sum, a chain of rows at a time for all columns. total: (width) doubles. */
SG_INLINE void columns_absorb(enum column_factor factor, const struct columns *c, const double *w, double *total,
                              struct absorb_tile *t)
{
    for (int64_t k = 0; k < c->n_rows; k += SG_CHAIN_ROWS) {
        int64_t end = k + SG_CHAIN_ROWS < c->n_rows ? k + SG_CHAIN_ROWS : c->n_rows;
        for (int64_t j = 0; j < c->width; j += STRIP) {
            vf acc[2];
            vd x[4];
            columns_chain(factor, c, k, end, j, w, acc);
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++) {
                x[v] = v % 2 ? vd_high(acc[v / 2]) : vd_low(acc[v / 2]);
                if (k > 0)
                    x[v] = vd_add(vd_load(total + j + v * (SG_LANES / 2)), x[v]);
                if (end < c->n_rows)
                    vd_store(total + j + v * (SG_LANES / 2), x[v]);
            }
            if (end < c->n_rows)
                continue;
            t->n_cols = c->width - j < STRIP ? c->width - j : STRIP;
            absorb_row(x, 4, t, t->sum + j);
        }
    }
}

/* A place in the grid's integers to add to. */
static struct absorb_tile columns_target(double grid, double limit)
{
    struct absorb_tile t = {.inverse = 1 / grid, .limit = limit};
    assert(grid > 0 && limit * t.inverse <= 0x1p62); /* or the integer could overflow unseen */
    t.safe = fmin(limit * t.inverse * (1 - 0x1p-40), SG_ROUND_MAX);
    return t;
}

static void embed_panel(int64_t n_rows, int64_t n_ids, const int32_t *id, int64_t width, const float *g, int64_t ldg,
                        const double *w, int64_t *sum, void *scratch, struct absorb_tile *t)
{
    double *total = (double *)((uint64_t *)scratch + 2 * n_rows);
    int64_t n;
    const uint64_t *key = keys_make(0, n_rows, id, &n, scratch);
    for (int64_t i = 0, next; i < n; i = next) {
        next = keys_run(n, key, i);
        const struct columns c = {next - i, width, key + i, g, g, ldg, ldg};
        int64_t to = (int64_t)(key[i] >> 32);
        assert(to < n_ids); /* or the sum of another weight is written */
        t->sum = sum + to * width;
        columns_absorb(COLUMN_NONE, &c, w, total, t);
    }
}

static void embed_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t n_ids, const int32_t *id,
                         int64_t width, const float *g, int64_t ldg, const double *w, double grid, double limit,
                         int64_t *sum, bool *overflow, void *scratch)
{
    assert(width > 0 && ldg >= width && panel_row[0] == 0 && panel_row[n_panels] == n_rows);
    struct absorb_tile t = columns_target(grid, limit);
    for (int64_t p = 0; p < n_panels; p++) {
        int64_t r = panel_row[p];
        embed_panel(panel_row[p + 1] - r, n_ids, id + r, width, g + r * ldg, ldg, w + r, sum, scratch, &t);
    }
    if (t.overflow)
        *overflow = true;
}

static void scale_absorb(int64_t n_rows, int64_t n_panels, const int32_t *panel_row, int64_t width, const float *xhat,
                         int64_t ldx, const float *g, int64_t ldg, const double *w, double grid, double limit,
                         int64_t *sum, bool *overflow, void *scratch)
{
    assert(width > 0 && ldx >= width && ldg >= width && panel_row[0] == 0 && panel_row[n_panels] == n_rows);
    struct absorb_tile t = columns_target(grid, limit);
    t.sum = sum;
    for (int64_t p = 0; p < n_panels; p++) {
        int64_t r = panel_row[p];
        const struct columns c = {panel_row[p + 1] - r, width, NULL, g + r * ldg, xhat + r * ldx, ldg, ldx};
        columns_absorb(COLUMN_EACH, &c, w + r, scratch, &t);
    }
    if (t.overflow)
        *overflow = true;
}

/* One panel of a weight with one input: absorb's chains, with lanes over outputs. */
static void bias_absorb(int64_t n_rows, int64_t n_out, const float *a, int64_t lda, const float *g, int64_t ldg,
                        const double *w, int64_t *sum, void *scratch, struct absorb_tile *t)
{
    const struct columns c = {n_rows, n_out, NULL, g, a, ldg, lda};
    t->sum = sum;
    columns_absorb(COLUMN_ROW, &c, w, scratch, t);
}

#endif
