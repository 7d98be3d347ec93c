/* Self-attention of a unit over its own rows, one head at a time, a block of queries at a time.
 *
 * Every product is the GEMM's: each output one chain of fused multiply-adds, over ascending columns of the head or over
 * ascending rows of the unit. A row's exponentials are added over the lanes of sum.h. So a unit's bits depend on its
 * own rows alone, and on no blocking: between blocks of queries the chains of dk and dv go on from memory. */
#ifndef SG_OPS_CPU_ATTENTION_H
#define SG_OPS_CPU_ATTENTION_H

#include "cpu/gemm.h"
#include "cpu/sum.h"
#include "cpu/transcend.h"

#define ATTENTION_QUERIES 64

/* Scratch: packed keys and values, a block's scores and their gradients, a block's queries and output gradients. */
struct attention_scratch {
    int64_t ld_score;
    float *keys, *values, *rows, *score, *dscore, *block, *gemm;
};

static size_t attention_carve(int64_t n, int64_t width, void *memory, struct attention_scratch *s)
{
    int64_t columns = strips_width(width), ld = strips_width(n) + 16; /* not a power of two: rows would share sets */
    int64_t strip = columns * n > strips_width(n) * width ? columns * n : strips_width(n) * width;
    float *at = memory;
    *s = (struct attention_scratch){.ld_score = ld};
    float **part[] = {&s->keys, &s->values, &s->rows, &s->score, &s->dscore, &s->block, &s->gemm};
    int64_t floats[] = {strip,
                        strip,
                        strip,
                        ATTENTION_QUERIES * ld,
                        ATTENTION_QUERIES * ld,
                        ATTENTION_QUERIES * columns,
                        TILE_ROWS * GEMM_A_ROW};
    size_t used = 0;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        *part[i] = memory ? at + used : NULL;
        used += ((size_t)floats[i] + 15) / 16 * 16;
    }
    return used * sizeof(float);
}

static size_t attention_scratch_bytes(int64_t rows_per_unit_max, int64_t width)
{
    struct attention_scratch s;
    assert(rows_per_unit_max > 0 && width > 0);
    return attention_carve(rows_per_unit_max, width, NULL, &s);
}

/* score = exp(scale score - top), top the row's largest; returns their sum. Rows of scores are whole vectors here and
 * below: a masked store would keep the loads after it waiting. */
static float attention_row(int64_t n, float scale, float *score, float *top_out)
{
    float lane[SG_SUM_LANES];
    const vf first = vf_mul(vf_set(scale), vf_set(score[0])); /* stands in for lanes that do not exist */
    vf top = first, sum[SUM_VECTORS];
    for (int64_t j = 0; j < n; j += SG_LANES) {
        int64_t m = lanes_left(n, j);
        vf x = vf_mul(vf_set(scale), vf_load(score + j));
        top = vf_max(top, m == SG_LANES ? x : vf_first_of(x, first, m));
        vf_store(score + j, x);
    }
    vf_store(lane, top);
    float most = lane[0];
    for (int l = 1; l < SG_LANES; l++)
        most = lane[l] > most ? lane[l] : most;
    for (int v = 0; v < SUM_VECTORS; v++)
        sum[v] = vf_zero();
    for (int64_t j = 0; j < n; j += SG_SUM_LANES)
#pragma GCC unroll 2
        for (int v = 0; v < SUM_VECTORS; v++) {
            int64_t at = j + v * SG_LANES, m = at < n ? lanes_left(n, at) : 0;
            if (!m)
                break;
            vf e = exp_negative(vf_sub(vf_load(score + at), vf_set(most)));
            e = m == SG_LANES ? e : vf_first_of(e, vf_zero(), m);
            vf_store(score + at, e);
            sum[v] = vf_add(sum[v], e);
        }
    for (int v = 0; v < SUM_VECTORS; v++)
        vf_store(lane + v * SG_LANES, sum[v]);
    *top_out = most;
    return lanes_sum(lane);
}

/* lse = top + log(sum) of a block's queries. */
static void attention_lse(int64_t n, const float *top, const float *sum, float *lse, int64_t ldlse)
{
    float lane[SG_LANES];
    for (int64_t t = 0; t < n; t += SG_LANES) {
        int64_t m = lanes_left(n, t);
        vf_store(lane, vf_add(load_left(top + t, m), log_from_one(load_left(sum + t, m))));
        for (int64_t i = 0; i < m; i++)
            lse[(t + i) * ldlse] = lane[i];
    }
}

static void attention_scale_row(int64_t n, float factor, float *x)
{
    for (int64_t j = 0; j < n; j += SG_LANES) {
        int64_t m = lanes_left(n, j);
        store_left(x + j, vf_mul(vf_set(factor), load_left(x + j, m)), m);
    }
}

/* One head of one unit of n rows. */
static void attention_head(int64_t n, int64_t width, float scale, const float *q, const float *k, const float *v,
                           int64_t ld, float *lse, int64_t ldlse, float *out, int64_t ldout,
                           const struct attention_scratch *s)
{
    float top[ATTENTION_QUERIES], sum[ATTENTION_QUERIES];
    pack_forward(n, width, k, ld, s->keys);
    pack_backward(n, width, v, ld, s->values);
    for (int64_t t = 0; t < n; t += ATTENTION_QUERIES) {
        int64_t m = n - t < ATTENTION_QUERIES ? n - t : ATTENTION_QUERIES;
        gemm(m, width, strips_width(n), q + t * ld, ld, NULL, s->keys, s->score, s->ld_score, NULL, false, s->gemm);
        for (int64_t i = 0; i < m; i++)
            sum[i] = attention_row(n, scale, s->score + i * s->ld_score, &top[i]);
        attention_lse(m, top, sum, lse + t * ldlse, ldlse);
        gemm(m, n, width, s->score, s->ld_score, NULL, s->values, out + t * ldout, ldout, NULL, false, s->gemm);
        for (int64_t i = 0; i < m; i++)
            attention_scale_row(width, 1 / sum[i], out + (t + i) * ldout);
    }
}

static void attention(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                      const float *q, const float *k, const float *v, int64_t ld, float *lse, float *out, int64_t ldout,
                      void *scratch)
{
    assert(scale > 0 && ld >= n_heads * width && ldout >= n_heads * width);
    for (int64_t b = 0; b < n_units; b++) {
        int64_t first = offset[b], n = offset[b + 1] - first;
        struct attention_scratch s;
        assert(n > 0);
        attention_carve(n, width, scratch, &s);
        for (int64_t h = 0; h < n_heads; h++) {
            int64_t at = first * ld + h * width;
            attention_head(n, width, scale, q + at, k + at, v + at, ld, lse + first * n_heads + h, n_heads,
                           out + first * ldout + h * width, ldout, &s);
        }
    }
}

/* Rows i .. i + rows of c and one strip: c[i][j] continues its chain over m of a[m lda + i] b[m][j]. */
SG_INLINE void transposed_tile(int rows, int vectors, int64_t n_k, const float *a, int64_t lda, const float *b,
                               int64_t last_lanes, float *c, int64_t ldc, bool load)
{
    vf acc[TILE_ROWS][2];
    int last = vectors - 1;
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        acc[i][0] = acc[i][1] = vf_zero();
        if (!load)
            continue;
        if (vectors == 2)
            acc[i][0] = vf_load(c + i * ldc);
        acc[i][last] = load_left(c + i * ldc + last * SG_LANES, last_lanes);
    }
    tile_chain(rows, vectors, n_k, a, 1, lda, b, vectors * SG_LANES, acc);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        if (vectors == 2)
            vf_store(c + i * ldc, acc[i][0]);
        store_left(c + i * ldc + last * SG_LANES, acc[i][last], last_lanes);
    }
}

/* All rows of c in one strip, the tallest tiles first. */
SG_INLINE void transposed_strip(int vectors, int64_t n_rows, int64_t n_k, const float *a, int64_t lda, const float *b,
                                int64_t last_lanes, float *c, int64_t ldc, bool load)
{
    int64_t i = 0;
    for (; i + TILE_ROWS <= n_rows; i += TILE_ROWS)
        transposed_tile(TILE_ROWS, vectors, n_k, a + i, lda, b, last_lanes, c + i * ldc, ldc, load);
    for (; i + 4 <= n_rows; i += 4)
        transposed_tile(4, vectors, n_k, a + i, lda, b, last_lanes, c + i * ldc, ldc, load);
    for (; i + 2 <= n_rows; i += 2)
        transposed_tile(2, vectors, n_k, a + i, lda, b, last_lanes, c + i * ldc, ldc, load);
    if (i < n_rows)
        transposed_tile(1, vectors, n_k, a + i, lda, b, last_lanes, c + i * ldc, ldc, load);
}

/* c (n_rows, n_cols) = a^T b, or goes on from c: a (n_k, n_rows), b (n_k, n_cols) in strips. */
static void gemm_transposed(int64_t n_rows, int64_t n_k, int64_t n_cols, const float *a, int64_t lda,
                            const float *strips, float *c, int64_t ldc, bool accumulate)
{
    for (int64_t j = 0; j < n_cols;) {
        int64_t width = strip_width(n_cols, j), left = n_cols - j - (width - SG_LANES);
        int64_t last_lanes = left < SG_LANES ? left : SG_LANES;
        if (width == STRIP)
            transposed_strip(2, n_rows, n_k, a, lda, strips, last_lanes, c + j, ldc, accumulate);
        else
            transposed_strip(1, n_rows, n_k, a, lda, strips, last_lanes, c + j, ldc, accumulate);
        strips += width * n_k;
        j += width;
    }
}

/* score becomes p = exp(scale score - lse), dscore becomes scale p (dscore - mean). */
static void attention_row_backward(int64_t n, float scale, float lse, float mean, float *score, float *dscore)
{
    for (int64_t j = 0; j < n; j += SG_LANES) {
        vf p = exp_negative(vf_sub(vf_mul(vf_set(scale), vf_load(score + j)), vf_set(lse)));
        vf d = vf_mul(vf_mul(vf_set(scale), p), vf_sub(vf_load(dscore + j), vf_set(mean)));
        vf_store(score + j, p);
        vf_store(dscore + j, d);
    }
}

/* One head of one unit: what its rows read and what they get. */
struct attention_gradient {
    int64_t n, width, ld, ldlse, ldout, lddout, ldd;
    float scale;
    const float *q, *k, *v, *lse, *out, *dout;
    float *dq, *dk, *dv;
};

/* Queries t .. t + m. */
static void attention_queries_backward(const struct attention_gradient *h, int64_t t, int64_t m,
                                       const struct attention_scratch *s)
{
    const float *q = h->q + t * h->ld, *dout = h->dout + t * h->lddout;
    int64_t lds = s->ld_score, whole = strips_width(h->n);
    gemm(m, h->width, whole, q, h->ld, NULL, s->keys, s->score, lds, NULL, false, s->gemm);
    gemm(m, h->width, whole, dout, h->lddout, NULL, s->values, s->dscore, lds, NULL, false, s->gemm);
    for (int64_t i = 0; i < m; i++) {
        float mean = dot(h->width, dout + i * h->lddout, h->out + (t + i) * h->ldout); /* sum over keys of p dp */
        attention_row_backward(h->n, h->scale, h->lse[(t + i) * h->ldlse], mean, s->score + i * lds,
                               s->dscore + i * lds);
    }
    gemm(m, h->n, h->width, s->dscore, lds, NULL, s->rows, h->dq + t * h->ldd, h->ldd, NULL, false, s->gemm);
    copy_strips(m, h->width, dout, h->lddout, s->block);
    gemm_transposed(h->n, m, h->width, s->score, lds, s->block, h->dv, h->ldd, t > 0);
    copy_strips(m, h->width, q, h->ld, s->block);
    gemm_transposed(h->n, m, h->width, s->dscore, lds, s->block, h->dk, h->ldd, t > 0);
}

static void attention_head_backward(const struct attention_gradient *h, const struct attention_scratch *s)
{
    pack_forward(h->n, h->width, h->k, h->ld, s->keys);
    pack_forward(h->n, h->width, h->v, h->ld, s->values);
    pack_backward(h->n, h->width, h->k, h->ld, s->rows);
    for (int64_t t = 0; t < h->n; t += ATTENTION_QUERIES)
        attention_queries_backward(h, t, h->n - t < ATTENTION_QUERIES ? h->n - t : ATTENTION_QUERIES, s);
}

static void attention_backward(int64_t n_units, const int32_t *offset, int64_t n_heads, int64_t width, float scale,
                               const float *q, const float *k, const float *v, int64_t ld, const float *lse,
                               const float *out, int64_t ldout, const float *dout, int64_t lddout, float *dq, float *dk,
                               float *dv, int64_t ldd, void *scratch)
{
    assert(scale > 0 && ld >= n_heads * width && ldd >= n_heads * width);
    for (int64_t b = 0; b < n_units; b++) {
        int64_t first = offset[b], n = offset[b + 1] - first;
        struct attention_scratch s;
        assert(n > 0);
        attention_carve(n, width, scratch, &s);
        for (int64_t head = 0; head < n_heads; head++) {
            int64_t from = first * ld + head * width, to = first * ldd + head * width;
            const struct attention_gradient h = {
                .n = n,
                .width = width,
                .ld = ld,
                .ldlse = n_heads,
                .ldout = ldout,
                .lddout = lddout,
                .ldd = ldd,
                .scale = scale,
                .q = q + from,
                .k = k + from,
                .v = v + from,
                .lse = lse + first * n_heads + head,
                .out = out + first * ldout + head * width,
                .dout = dout + first * lddout + head * width,
                .dq = dq + to,
                .dk = dk + to,
                .dv = dv + to,
            };
            attention_head_backward(&h, &s);
        }
    }
}

#endif
